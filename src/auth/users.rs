//! The lines of an htpasswd file: users and what their passwords are held against.
//!
//! One bad line makes the whole file bad, since a line that is passed over in silence is a user
//! who is locked out without a word. Messages name user and line, never a hash or a password.
#![forbid(unsafe_code)]

use std::hint;
use std::path::Path;

use super::hash::Hash;
use super::{apr1, bcrypt, shown};
use crate::error::Error;
use crate::wire::digest::sha1;

/// What a file says.
#[derive(PartialEq, Eq)]
pub(super) struct Users {
    /// By name.
    #[expect(
        clippy::vec_box,
        reason = "whoever comes in between moves all that follow"
    )]
    users: Vec<Box<User>>,
    /// Whether any hash is an apr1 hash.
    apr1: bool,
    /// The rounds of the dearest bcrypt hash, 0 if there is none.
    rounds: u32,
}

impl Users {
    /// Reads a whole file; `path` is for messages only.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Users, Error> {
        let mut users = Users {
            users: Vec::new(),
            apr1: false,
            rounds: 0,
        };
        // Editors of other systems put a byte order mark first.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        for (at, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            users
                .add(at + 1, line)
                .map_err(|what| Error::invalid(format!("{}:{}: {what}", path.display(), at + 1)))?;
        }
        Ok(users)
    }

    fn add(&mut self, number: usize, line: &[u8]) -> Result<(), String> {
        let (name, hash) = read_line(line)?;
        match &hash {
            Hash::Apr1(_) => self.apr1 = true,
            Hash::Bcrypt(hash) => self.rounds = self.rounds.max(hash.rounds()),
            Hash::Sha1(_) => {}
        }
        match self.find(name) {
            Ok(first) => Err(format!(
                "user \"{}\" is on line {} already",
                shown(name),
                self.users[first].line
            )),
            Err(place) => {
                let (name, line) = (name.to_vec(), number);
                self.users
                    .insert(place, Box::new(User { name, line, hash }));
                Ok(())
            }
        }
    }

    /// Where the user is, or where it would have to be.
    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        self.users
            .binary_search_by(|user| user.name.as_slice().cmp(name))
    }

    /// How many users there are.
    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether `password` is the password of `name`. A refusal takes the same time whoever was
    /// named, so that nobody can ask which users there are.
    pub(super) fn verify(&self, name: &[u8], password: &[u8]) -> bool {
        let hash = self.find(name).ok().map(|at| &self.users[at].hash);
        let right = hash.is_some_and(|hash| hash.matches(password));
        if !right {
            self.make_up(hash, password);
        }
        right
    }

    /// Does what the check against `hash` lacks to one of every kind in the file, the dearest of
    /// each: a decoy in place of an unknown user, and in place of a hash of another kind.
    fn make_up(&self, hash: Option<&Hash>, password: &[u8]) {
        if self.apr1 && !matches!(hash, Some(Hash::Apr1(_))) {
            hint::black_box(apr1::hash(password, b"decoysal"));
        }
        if !matches!(hash, Some(Hash::Sha1(_))) {
            hint::black_box(sha1(password));
        }
        match hash {
            Some(Hash::Bcrypt(hash)) => {
                hint::black_box(bcrypt::burn(password, self.rounds - hash.rounds()));
            }
            _ if self.rounds > 0 => {
                hint::black_box(bcrypt::hash(password, b"salt for a decoy", self.rounds));
            }
            _ => {}
        }
    }
}

#[derive(PartialEq, Eq)]
struct User {
    name: Vec<u8>,
    /// Counted from 1.
    line: usize,
    hash: Hash,
}

/// `user:hash`; what follows a second colon is a comment, as Apache and nginx have it.
fn read_line(line: &[u8]) -> Result<(&[u8], Hash), String> {
    if line.len() > LINE_MAX {
        return Err(format!("line over {LINE_MAX} bytes"));
    }
    let mut fields = line.split(|&byte| byte == b':');
    let (Some(name), Some(hash)) = (fields.next(), fields.next()) else {
        return Err("no colon, expected user:hash".to_string());
    };
    if name.is_empty() {
        return Err("no user before the colon, expected user:hash".to_string());
    }
    // Such a name is not quoted: it is a hash.
    if Hash::parse(name).is_ok() {
        return Err("a hash before the colon, expected user:hash".to_string());
    }
    let user = shown(name);
    if name.iter().any(u8::is_ascii_control) {
        return Err(format!(
            "user \"{user}\" has a control character, which no client can send"
        ));
    }
    match Hash::parse(hash) {
        Ok(hash) => Ok((name, hash)),
        Err(what) => Err(format!("user \"{user}\": {what}")),
    }
}

/// htpasswd writes up to 255 bytes; the rest is room for a comment.
const LINE_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `htpasswd -nb` with `-B -C 4`, `-B -C 5`, `-m` and `-s`.
    const GOLDEN: &str = "\
# the people who may reset

bob:$2y$04$Zkt2u8v9PWfrZGCa1ObWXuhImsBDDwtTmpOrK6S.iAIOzJzHY1yqO
carol:$2y$05$lnzAOANwzbKmNa5I0iG0FeW8dbHY7yfiUN6sHlYlHocgC0YkYBuGe:Carol Jones
dave:$apr1$RfIpuEMn$GF4nR8Q78nQeTJo3Y1oze/
erin:{SHA}JsOgtunoAwKq88m+QC94Y9zO394=
";

    fn parse(text: &str) -> Result<Users, String> {
        Users::parse(Path::new("/etc/failover/users"), text.as_bytes()).map_err(|e| e.to_string())
    }

    fn flaw(line: &str) -> String {
        parse(&format!("# first\n\n{line}\n"))
            .err()
            .unwrap_or_default()
    }

    #[test]
    fn takes_every_kind_that_htpasswd_writes_with_a_hash() {
        for text in [
            GOLDEN.to_string(),
            GOLDEN.replace('\n', "\r\n"),
            format!("\u{feff}{GOLDEN}"),
        ] {
            let users = parse(&text).unwrap();
            assert_eq!((users.len(), users.apr1, users.rounds), (4, true, 32));
        }
        let users = parse(GOLDEN).unwrap();
        for name in ["bob", "carol", "dave", "erin"] {
            let password = format!("{name}'s secret");
            assert!(users.verify(name.as_bytes(), password.as_bytes()));
            assert!(!users.verify(name.as_bytes(), b"bob's secrex"));
        }
    }

    #[test]
    fn a_file_without_users_lets_nobody_in() {
        for text in ["", "\n\n", "# nobody"] {
            assert!(!parse(text).unwrap().verify(b"", b""));
        }
    }

    /// Whoever is named, a refusal costs the bcrypt rounds of the dearest hash.
    #[test]
    fn a_refusal_costs_the_same_for_everybody() {
        let users = parse(GOLDEN).unwrap();
        for name in ["bob", "carol", "dave", "erin", "mallory", ""] {
            bcrypt::STIRRED.set(0);
            assert!(!users.verify(name.as_bytes(), b"wrong"));
            assert_eq!(bcrypt::STIRRED.get(), 32, "{name}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_line() {
        let sha = "{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=";
        let wrong = [
            ("hunter2".to_string(), "no colon, expected user:hash"),
            (
                format!(":{sha}"),
                "no user before the colon, expected user:hash",
            ),
            (
                format!("{sha}:bob"),
                "a hash before the colon, expected user:hash",
            ),
            (
                format!("b\tb:{sha}"),
                "user \"b\\tb\" has a control character, which no client can send",
            ),
            (
                format!("{}:{sha}", "x".repeat(1024)),
                "line over 1024 bytes",
            ),
            (
                format!("bob:{sha}\nbob:{sha}"),
                "user \"bob\" is on line 3 already",
            ),
            (
                "bob:hunter2".to_string(),
                "user \"bob\": plain-text passwords are not supported; use htpasswd -B",
            ),
        ];
        for (line, what) in wrong {
            let number = if what.contains("already") { 4 } else { 3 };
            assert_eq!(flaw(&line), format!("/etc/failover/users:{number}: {what}"));
        }
    }

    #[test]
    fn no_message_shows_a_secret() {
        for line in [
            "hunter2",
            "bob:hunter2",
            "bob:$6$hunter2",
            "bob:$2y$99$hunter2",
            ":hunter2",
        ] {
            let message = flaw(line);
            assert!(
                !message.is_empty() && !message.contains("hunter2"),
                "{message}"
            );
        }
    }

    #[test]
    fn no_cut_or_flip_panics_or_lets_another_in() {
        let text = GOLDEN.as_bytes();
        for at in 0..text.len() {
            let _ = Users::parse(Path::new("x"), &text[..at]);
            for bit in 0..8 {
                let mut flipped = text.to_vec();
                flipped[at] ^= 1 << bit;
                if let Ok(users) = Users::parse(Path::new("x"), &flipped) {
                    assert!(users.len() <= 5);
                }
            }
        }
    }
}
