//! HMAC (RFC 2104) and PBKDF2 (RFC 8018 section 5.2), both with SHA-256.
#![forbid(unsafe_code)]

use super::{BLOCK, Sha256, sha256};

/// An HMAC-SHA-256 that is fed piece by piece. A copy of a fresh one saves computing the key's
/// part anew, which is half of the work of a short message.
#[derive(Clone)]
pub(crate) struct Hmac {
    inner: Sha256,
    outer: Sha256,
}

impl Hmac {
    /// Nothing fed yet. A key longer than a block stands for its digest.
    pub(crate) fn new(key: &[u8]) -> Hmac {
        let mut block = [0; BLOCK];
        if key.len() > BLOCK {
            block[..32].copy_from_slice(&sha256(key));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let keyed = |pad: u8| {
            let mut digest = Sha256::new();
            digest.update(&block.map(|byte| byte ^ pad));
            digest
        };
        Hmac {
            inner: keyed(0x36),
            outer: keyed(0x5c),
        }
    }

    /// Takes the next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.inner.update(bytes);
    }

    /// The code of everything fed.
    pub(crate) fn finish(mut self) -> [u8; 32] {
        self.outer.update(&self.inner.finish());
        self.outer.finish()
    }

    /// The code of one message.
    pub(crate) fn of(key: &[u8], message: &[u8]) -> [u8; 32] {
        let mut hmac = Hmac::new(key);
        hmac.update(message);
        hmac.finish()
    }
}

/// The first 32 bytes of PBKDF2-HMAC-SHA-256, which is all that SCRAM uses. The work is done in
/// portions, so that whoever has a deadline can keep it: the peer chooses the number of rounds.
pub(crate) struct Pbkdf2 {
    keyed: Hmac,
    last: [u8; 32],
    sum: [u8; 32],
    left: u32,
}

impl Pbkdf2 {
    /// The first of `rounds` rounds; there is always at least one.
    pub(crate) fn new(password: &[u8], salt: &[u8], rounds: u32) -> Pbkdf2 {
        let keyed = Hmac::new(password);
        let mut first = keyed.clone();
        first.update(salt);
        // The number of this block of 32 bytes.
        first.update(&1_u32.to_be_bytes());
        let last = first.finish();
        Pbkdf2 {
            keyed,
            last,
            sum: last,
            left: rounds.saturating_sub(1),
        }
    }

    /// Does up to so many rounds more; the key, once all are done.
    pub(crate) fn advance(&mut self, rounds: u32) -> Option<[u8; 32]> {
        for _ in 0..rounds.min(self.left) {
            let mut next = self.keyed.clone();
            next.update(&self.last);
            self.last = next.finish();
            for (sum, byte) in self.sum.iter_mut().zip(self.last) {
                *sum ^= byte;
            }
        }
        self.left -= rounds.min(self.left);
        (self.left == 0).then_some(self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hex;
    use super::*;

    /// RFC 4231 sections 4.2 to 4.4, 4.7 and 4.8.
    #[test]
    fn hmac_agrees_with_the_vectors_of_the_rfc() {
        let vectors: [(&[u8], &[u8], &str); 5] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &[0xaa; 131],
                b"This is a test using a larger than block-size key and a larger than \
                  block-size data. The key needs to be hashed before being used by the HMAC \
                  algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ];
        for (key, message, code) in vectors {
            assert_eq!(hex(&Hmac::of(key, message)), code);
        }
    }

    /// RFC 7914 section 11; the first half of its 64 bytes.
    #[test]
    fn pbkdf2_agrees_with_the_vectors_of_the_rfc_in_any_portions() {
        for portion in [1, 1_000, u32::MAX] {
            let mut once = Pbkdf2::new(b"passwd", b"salt", 1);
            assert_eq!(
                hex(&once.advance(portion).unwrap()),
                "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
            );
        }
        let mut often = Pbkdf2::new(b"Password", b"NaCl", 80_000);
        let mut portions = 0;
        let key = loop {
            portions += 1;
            if let Some(key) = often.advance(30_000) {
                break key;
            }
        };
        assert_eq!(portions, 3);
        assert_eq!(
            hex(&key),
            "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56"
        );
    }
}
