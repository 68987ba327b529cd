//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as a client, without channel binding.
//!
//! Both sides prove that they know the password, and neither sends it. The password is taken as it
//! is: SASLprep (RFC 4013), which would unify spellings of some letters beyond ASCII, is not
//! applied. A password that it would change has to be given in its normal form (NFKC).
#![forbid(unsafe_code)]

use std::str;

use super::Malformed;
use crate::wire::base64;
use crate::wire::digest::{Hmac, Pbkdf2, sha256};

/// Random bytes in our nonce, as many as libpq has.
pub(crate) const NONCE_LEN: usize = 18;

/// The header for "no channel binding", and what it is in base64.
const GS2_HEADER: &str = "n,,";
const GS2_HEADER_BASE64: &str = "biws";

/// The longest base64 read: PostgreSQL's salts have 16 bytes, signatures 32.
const BASE64_LEN_MAX: usize = 512;

/// Our half of the exchange.
pub(crate) struct Scram {
    nonce: String,
    /// `n=..,r=..`, which is signed later.
    first_bare: String,
}

impl Scram {
    /// An exchange for a user. PostgreSQL ignores the name: the startup has said it.
    pub(crate) fn new(user: &str, random: &[u8; NONCE_LEN]) -> Scram {
        Scram::with_nonce(user, base64::encode(random))
    }

    fn with_nonce(user: &str, nonce: String) -> Scram {
        Scram {
            first_bare: format!("n={user},r={nonce}"),
            nonce,
        }
    }

    /// What we say first.
    pub(crate) fn first(&self) -> String {
        format!("{GS2_HEADER}{}", self.first_bare)
    }

    /// Reads what the server answers: how to make a key of the password, and what to prove.
    pub(crate) fn challenge<'a>(&self, server_first: &'a [u8]) -> Result<Challenge<'a>, Malformed> {
        let wrong = Malformed("a SCRAM challenge that is none");
        let text = str::from_utf8(server_first).map_err(|_| wrong)?;
        // The order is fixed; a first part `m=` would demand an extension that we do not know.
        let mut parts = text.split(',');
        let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name));
        let nonce = part("r=").ok_or(wrong)?;
        let salt = part("s=").ok_or(wrong)?;
        let rounds = part("i=").and_then(|rounds| rounds.parse().ok());
        let rounds = rounds.filter(|rounds| *rounds > 0).ok_or(wrong)?;
        let is_ours = nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce);
        if !is_ours {
            return Err(Malformed("a SCRAM challenge for somebody else"));
        }
        Ok(Challenge {
            server_first: text,
            nonce,
            salt: base64::decode(salt.as_bytes(), BASE64_LEN_MAX).map_err(|_| wrong)?,
            rounds,
        })
    }

    /// Our proof for the key that the challenge asked for, and how to recognise the server's.
    pub(crate) fn proof(&self, challenge: &Challenge, key: &Key) -> (String, Expected) {
        let key = &key.key;
        let client_key = Hmac::of(key, b"Client Key");
        let without_proof = format!("c={GS2_HEADER_BASE64},r={}", challenge.nonce);
        let signed = format!(
            "{},{},{without_proof}",
            self.first_bare, challenge.server_first
        );
        let mut proof = Hmac::of(&sha256(&client_key), signed.as_bytes());
        for (byte, key) in proof.iter_mut().zip(client_key) {
            *byte ^= key;
        }
        let server_key = Hmac::of(key, b"Server Key");
        let expected = Expected(Hmac::of(&server_key, signed.as_bytes()));
        let text = format!("{without_proof},p={}", base64::encode(&proof));
        (text, expected)
    }
}

/// The server's first answer.
pub(crate) struct Challenge<'a> {
    server_first: &'a str,
    nonce: &'a str,
    /// What the key is made with.
    pub(crate) salt: Vec<u8>,
    /// How dear the server wants the key to be; at least 1.
    pub(crate) rounds: u32,
}

/// The key that a salt and a number of rounds make of a password. To make it is the dear part, so
/// it is worth keeping for the next time: until the password is set anew, a server asks for the
/// same.
#[derive(Clone)]
pub(crate) struct Key {
    password: [u8; 32],
    salt: Vec<u8>,
    rounds: u32,
    key: [u8; 32],
}

impl Key {
    /// Whether this is the key that is asked for.
    pub(crate) fn serves(&self, challenge: &Challenge, password: &[u8]) -> bool {
        self.salt == challenge.salt
            && self.rounds == challenge.rounds
            && self.password == sha256(password)
    }
}

/// A key in the making.
pub(crate) struct KeyMaker(Pbkdf2);

/// How many rounds are one portion: a few milliseconds on a small router.
const PORTION_ROUNDS: u32 = 512;

impl KeyMaker {
    pub(crate) fn new(challenge: &Challenge, password: &[u8]) -> KeyMaker {
        KeyMaker(Pbkdf2::new(password, &challenge.salt, challenge.rounds))
    }

    /// Does a portion of the work; the key, once it is made.
    pub(crate) fn work(&mut self, challenge: &Challenge, password: &[u8]) -> Option<Key> {
        self.0.advance(PORTION_ROUNDS).map(|key| Key {
            password: sha256(password),
            salt: challenge.salt.clone(),
            rounds: challenge.rounds,
            key,
        })
    }
}

/// The signature by which the server proves that it knows the password, too.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expected([u8; 32]);

impl Expected {
    /// Holds the server's last word against it.
    pub(crate) fn verify(&self, server_final: &[u8]) -> Result<(), Malformed> {
        let signature = server_final
            .strip_prefix(b"v=")
            .and_then(|rest| rest.split(|byte| *byte == b',').next())
            .and_then(|text| base64::decode(text, BASE64_LEN_MAX).ok());
        if signature.as_deref() == Some(&self.0[..]) {
            Ok(())
        } else {
            Err(Malformed(
                "a SCRAM signature of a server that does not know the password",
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER_FIRST: &[u8] = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const SERVER_FINAL: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn scram() -> Scram {
        Scram::with_nonce("user", "rOprNGfwEbeRWgbNEkqO".to_string())
    }

    fn made(challenge: &Challenge, password: &[u8]) -> Key {
        let mut maker = KeyMaker::new(challenge, password);
        loop {
            if let Some(key) = maker.work(challenge, password) {
                return key;
            }
        }
    }

    /// RFC 7677 section 3.
    #[test]
    fn agrees_with_the_exchange_of_the_rfc() {
        let scram = scram();
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = scram.challenge(SERVER_FIRST).unwrap();
        assert_eq!((challenge.rounds, challenge.salt.len()), (4096, 16));
        let key = made(&challenge, b"pencil");
        let (answer, expected) = scram.proof(&challenge, &key);
        assert_eq!(
            answer,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(expected.verify(SERVER_FINAL), Ok(()));
    }

    #[test]
    fn a_key_serves_only_the_challenge_and_password_that_it_was_made_for() {
        let scram = scram();
        let challenge = scram
            .challenge(b"r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=2")
            .unwrap();
        let key = made(&challenge, b"pencil");
        assert!(key.serves(&challenge, b"pencil"));
        assert!(!key.serves(&challenge, b"pencils"));
        for other in ["s=AAAB,i=2", "s=AAAA,i=3"] {
            let text = format!("r=rOprNGfwEbeRWgbNEkqOx,{other}");
            let other = scram.challenge(text.as_bytes()).unwrap();
            assert!(!key.serves(&other, b"pencil"));
        }
    }

    #[test]
    fn a_challenge_that_is_none_is_refused() {
        for bad in [
            "",
            "r=rOprNGfwEbeRWgbNEkqOx",
            "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA",
            "r=rOprNGfwEbeRWgbNEkqOx,s=AAA,i=1",
            "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=0",
            "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=-1",
            "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4294967296",
            "m=x,r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=1",
            // The nonce as we sent it, and another one: the answer of a recording.
            "r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=1",
            "r=x,s=AAAA,i=1",
        ] {
            assert!(scram().challenge(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    /// Whatever the server sends, there is an answer and no panic; and no other signature is
    /// taken.
    #[test]
    fn every_prefix_and_every_flip_is_read() {
        let scram = scram();
        let challenge = scram.challenge(SERVER_FIRST).unwrap();
        let key = made(&challenge, b"pencil");
        let (_, expected) = scram.proof(&challenge, &key);
        for bytes in [SERVER_FIRST, SERVER_FINAL] {
            for end in 0..bytes.len() {
                let _ = scram.challenge(&bytes[..end]);
                assert!(expected.verify(&bytes[..end]).is_err());
            }
            for at in 0..bytes.len() {
                for byte in 0..=255 {
                    let mut flipped = bytes.to_vec();
                    flipped[at] = byte;
                    let _ = scram.challenge(&flipped);
                    let is_whole = flipped == SERVER_FINAL;
                    assert_eq!(expected.verify(&flipped).is_ok(), is_whole);
                }
            }
        }
    }
}
