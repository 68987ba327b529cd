//! SHA-1, RFC 3174, by its first method (section 6.1).
#![forbid(unsafe_code)]

use super::{BLOCK, Blocks};

/// A SHA-1 that is fed piece by piece.
pub(crate) struct Sha1 {
    state: [u32; 5],
    blocks: Blocks,
}

impl Sha1 {
    /// Nothing fed yet.
    pub(crate) fn new() -> Sha1 {
        Sha1 {
            state: START,
            blocks: Blocks::new(),
        }
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.blocks
            .update(bytes, |block| compress(&mut self.state, block));
    }

    /// The digest of everything fed.
    pub(crate) fn finish(mut self) -> [u8; 20] {
        self.blocks
            .finish(u64::to_be_bytes, |block| compress(&mut self.state, block));
        let mut digest = [0; 20];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }
}

/// The SHA-1 of `bytes`.
pub(crate) fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut digest = Sha1::new();
    digest.update(bytes);
    digest.finish()
}

fn compress(state: &mut [u32; 5], block: &[u8; BLOCK]) {
    let mut words = [0_u32; 80];
    for (word, bytes) in words.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes
            .iter()
            .fold(0, |value, &byte| (value << 8) | u32::from(byte));
    }
    for t in 16..80 {
        let mixed = words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16];
        words[t] = mixed.rotate_left(1);
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for (t, word) in words.iter().enumerate() {
        let mixed = match t / 20 {
            0 => (b & c) | (!b & d),
            2 => (b & c) | (b & d) | (c & d),
            _ => b ^ c ^ d,
        };
        let next = a
            .rotate_left(5)
            .wrapping_add(mixed)
            .wrapping_add(e)
            .wrapping_add(*word)
            .wrapping_add(ADDED[t / 20]);
        (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
    }
    for (sum, word) in state.iter_mut().zip([a, b, c, d, e]) {
        *sum = sum.wrapping_add(word);
    }
}

const START: [u32; 5] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];

/// Section 5: the constant of each run of twenty rounds.
const ADDED: [u32; 4] = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6];

#[cfg(test)]
mod tests {
    use super::super::tests::hex;
    use super::*;

    /// RFC 3174 section 7.3.
    #[test]
    fn agrees_with_the_vectors_of_the_rfc() {
        let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        assert_eq!(
            hex(&sha1(b"abc")),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(
            hex(&sha1(two_blocks)),
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
        );
        let tens = "01234567".repeat(80);
        assert_eq!(
            hex(&sha1(tens.as_bytes())),
            "dea356a2cddd90c7a7ecedc5ebb563934f460452"
        );
        let million = vec![b'a'; 1_000_000];
        assert_eq!(
            hex(&sha1(&million)),
            "34aa973cd4c4daa4f61eeb2bdbad27316534016f"
        );
    }

    /// Around the lengths where the padding or the input needs another block; the digests were
    /// made with the system's sha1sum.
    #[test]
    fn pads_right_around_the_borders_of_blocks() {
        let vectors = [
            (55, "cef734ba81a024479e09eb5a75b6ddae62e6abf1"),
            (56, "901305367c259952f4e7af8323f480d59f81335b"),
            (57, "025ecbd5d70f8fb3c5457cd96bab13fda305dc59"),
            (63, "0ddc4e0cccd9a12850deb5abb0853a4425559fec"),
            (64, "bb2fa3ee7afb9f54c6dfb5d021f14b1ffe40c163"),
            (65, "78c741ddc482e4cdf8c474a0876347a0905b6233"),
            (119, "4300320394f7ee239bcdce7d3b8bcee173a0cd5c"),
            (120, "ceb2821639c4b6dcb10bce0e522ca2e608ce056d"),
            (121, "f8b9fb92a99638962adc81b9e0270ab9c6dd6c84"),
            (127, "e463484d274607e1897d4099497cbf2aedcf8206"),
            (128, "150fa3fbdc899bd0b8f95a9fb6027f564d953762"),
            (129, "2699b675922cc84a9b0dfd926eb7f8211c78693d"),
        ];
        for (length, digest) in vectors {
            assert_eq!(hex(&sha1(&vec![b'x'; length])), digest);
        }
    }
}
