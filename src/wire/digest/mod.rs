//! SHA-256 (RFC 6234) with HMAC (RFC 2104) and PBKDF2 (RFC 8018); SHA-1 (RFC 3174) and MD5
//! (RFC 1321) for the formats that others have fixed: htpasswd files and PostgreSQL's older
//! passwords.
//!
//! Those two do not resist collisions any more: nothing new may rely on them. The code is loops
//! over tables rather than unrolled rounds, since it runs on routers, where its size counts and
//! its speed does not.
#![forbid(unsafe_code)]

mod hmac;
mod md5;
mod sha1;
mod sha256;

pub(crate) use hmac::{Hmac, Pbkdf2};
pub(crate) use md5::{Md5, md5};
pub(crate) use sha1::{Sha1, sha1};
pub(crate) use sha256::{Sha256, sha256};

/// Cuts what it is fed into blocks of 64 bytes, and pads the end: the part all digests share.
#[derive(Clone)]
struct Blocks {
    /// The bytes of the unfinished block: `length % 64` of them.
    buffer: [u8; BLOCK],
    /// All bytes so far. 2^61 bytes, where the standards end, cannot be reached.
    length: u64,
}

impl Blocks {
    fn new() -> Blocks {
        Blocks {
            buffer: [0; BLOCK],
            length: 0,
        }
    }

    /// Hands every full block to `compress`, and keeps the rest.
    fn update(&mut self, mut bytes: &[u8], mut compress: impl FnMut(&[u8; BLOCK])) {
        while !bytes.is_empty() {
            let filled = self.filled();
            let taken = bytes.len().min(BLOCK - filled);
            let (now, later) = bytes.split_at(taken);
            self.buffer[filled..filled + taken].copy_from_slice(now);
            self.length = self.length.wrapping_add(taken as u64);
            bytes = later;
            if self.filled() == 0 {
                compress(&self.buffer);
            }
        }
    }

    /// Pads to the last block: a one bit, zeros, and the length in bits, whose byte order is all
    /// that differs between the digests.
    fn finish(mut self, order: fn(u64) -> [u8; 8], mut compress: impl FnMut(&[u8; BLOCK])) {
        let bits = self.length.wrapping_mul(8);
        self.update(&[0x80], &mut compress);
        while self.filled() != BLOCK - 8 {
            self.update(&[0], &mut compress);
        }
        self.update(&order(bits), &mut compress);
    }

    fn filled(&self) -> usize {
        (self.length % BLOCK as u64) as usize
    }
}

/// All of them work on 512 bits at a time.
const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The digest must not depend on how its input was cut.
    #[test]
    fn pieces_give_the_digest_of_the_whole() {
        let bytes: Vec<u8> = (0..200_u8).collect();
        for cut in 0..=bytes.len() {
            let (left, right) = bytes.split_at(cut);
            let mut md5_pieces = Md5::new();
            let mut sha1_pieces = Sha1::new();
            let mut sha256_pieces = Sha256::new();
            for piece in [left, &[], right] {
                md5_pieces.update(piece);
                sha1_pieces.update(piece);
                sha256_pieces.update(piece);
            }
            assert_eq!(sha256_pieces.finish(), sha256(&bytes));
            assert_eq!(md5_pieces.finish(), md5(&bytes));
            assert_eq!(sha1_pieces.finish(), sha1(&bytes));
        }
    }
}
