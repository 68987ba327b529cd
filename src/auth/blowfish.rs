//! Blowfish, as Schneier describes it (1993), with the key schedule that bcrypt takes a salt into.
//!
//! A block cipher and nothing more: what it is used for is `bcrypt`'s.
#![forbid(unsafe_code)]

use super::pi;

/// Blowfish with the keys and boxes it has come to: 4 KiB, kept on the stack.
pub(super) struct Blowfish {
    subkeys: [u32; 18],
    boxes: [[u32; 256]; 4],
}

impl Blowfish {
    /// As it is before any key.
    pub(super) fn new() -> Blowfish {
        Blowfish {
            subkeys: pi::SUBKEYS,
            boxes: pi::BOXES,
        }
    }

    /// Mixes `key` into the subkeys, then replaces subkeys and boxes, two words at a time, by an
    /// encryption of what came before and the next half of the salt.
    pub(super) fn expand(&mut self, salt: &[u32; 4], key: &[u32; 18]) {
        for (subkey, word) in self.subkeys.iter_mut().zip(key) {
            *subkey ^= word;
        }
        let (mut left, mut right) = (0, 0);
        for at in (0..18).step_by(2) {
            (left, right) = self.encrypt(left ^ salt[at % 4], right ^ salt[(at + 1) % 4]);
            self.subkeys[at] = left;
            self.subkeys[at + 1] = right;
        }
        for index in 0..4 {
            for at in (0..256).step_by(2) {
                // The eighteen subkeys took the salt to its second half.
                (left, right) = self.encrypt(left ^ salt[(at + 2) % 4], right ^ salt[(at + 3) % 4]);
                self.boxes[index][at] = left;
                self.boxes[index][at + 1] = right;
            }
        }
    }

    /// Sixteen rounds on one block of two words.
    pub(super) fn encrypt(&self, mut left: u32, mut right: u32) -> (u32, u32) {
        let (rounds, last) = self.subkeys.split_at(16);
        for subkey in rounds {
            left ^= subkey;
            right ^= self.substitute(left);
            (left, right) = (right, left);
        }
        (right ^ last[1], left ^ last[0])
    }

    /// Schneier's function F.
    fn substitute(&self, word: u32) -> u32 {
        let [a, b, c, d] = word.to_be_bytes().map(usize::from);
        let [first, second, third, fourth] = &self.boxes;
        (first[a].wrapping_add(second[b]) ^ third[c]).wrapping_add(fourth[d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Schneier's test vectors at <https://www.schneier.com/code/vectors.txt>: key, clear, cipher.
    const VECTORS: [(u64, u64, u64); 6] = [
        (0x0000000000000000, 0x0000000000000000, 0x4ef997456198dd78),
        (0xffffffffffffffff, 0xffffffffffffffff, 0x51866fd5b85ecb8a),
        (0x3000000000000000, 0x1000000000000001, 0x7d856f9a613063f2),
        (0x0123456789abcdef, 0x1111111111111111, 0x61f9c3802281b096),
        (0xfedcba9876543210, 0x0123456789abcdef, 0x0aceab0fc6a0a28d),
        (0x7ca110454a1a6e57, 0x01a1d6d039776742, 0x59c68245eb05282b),
    ];

    /// Without a salt, the key schedule is the cipher's own.
    #[test]
    fn agrees_with_the_vectors_of_its_author() {
        let halves = |block: u64| [(block >> 32) as u32, block as u32];
        for (key, clear, text) in VECTORS {
            let mut cipher = Blowfish::new();
            cipher.expand(&[0; 4], &std::array::from_fn(|at| halves(key)[at % 2]));
            let [left, right] = halves(clear);
            assert_eq!(<[u32; 2]>::from(cipher.encrypt(left, right)), halves(text));
        }
    }
}
