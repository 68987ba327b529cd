//! Bearer tokens (RFC 6750 section 2.1) against a file of ours.
//!
//! A token is a secret of a machine's making, long and random, so that comparing it needs no slow
//! hash and guessing it no pace. The file is read with every verification: it is small, asked for
//! seldom, and so an edit is in force at once. Nothing here shows a token.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};

use super::secret::read_private;
use super::{Access, same};
use crate::error::Error;

/// A file of this length has a hundred tokens; nobody needs more.
const FILE_MAX: u64 = 16 * 1024;

/// Shorter ones can be guessed. Sixteen characters of base64 are 96 bits.
const TOKEN_LEN_MIN: usize = 16;

/// Longer ones are no tokens, but something else in the wrong file.
const TOKEN_LEN_MAX: usize = 512;

/// Bearer tokens in a file: whoever sends one of them, in `Authorization: Bearer TOKEN`, is let in.
///
/// The file has one token a line, 16 to 512 visible ASCII characters; blank lines and lines that
/// start with `#` are skipped. Two lines let a token be replaced without a moment at which neither
/// is taken. Others than its owner and its group may neither read nor write it, or nobody is let
/// in. `(umask 077; head -c 24 /dev/urandom | base64 > FILE)` makes one.
///
/// The file is read with every verification, so that an edit is in force at once. While it is
/// missing, damaged or open to others, or takes over 2 s to be read, the answer is
/// [`Access::Unavailable`].
///
/// ```
/// use failover::{Access, TokenFile};
/// use std::fs;
/// use std::os::unix::fs::PermissionsExt;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let path = std::env::temp_dir().join(format!("failover-token-{}", std::process::id()));
/// fs::write(&path, "q83vASNFZ4mrze8BI0Vn\n")?;
/// fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
///
/// let tokens = TokenFile::open(&path)?;
/// let access = tokens.verify(Some("Bearer q83vASNFZ4mrze8BI0Vn"));
/// assert!(matches!(access, Access::Granted { .. }));
/// assert_eq!(tokens.verify(Some("Bearer q83vASNFZ4mrze8BI0V0")), Access::Denied);
/// # fs::remove_file(&path)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct TokenFile(PathBuf);

impl TokenFile {
    /// Looks whether the file at `path` can be used.
    ///
    /// # Errors
    /// The file cannot be read, is not a regular file, is over 16 KiB, may be read or written by
    /// others, has no token, or a line that is none. The message never shows a token.
    pub fn open(path: impl Into<PathBuf>) -> Result<TokenFile, Error> {
        let file = TokenFile(path.into());
        read(&file.0)?;
        Ok(file)
    }

    /// Decides about the value of an `Authorization` header, `None` if the request had none. Who
    /// is let in is called `token`.
    pub fn verify(&self, authorization: Option<&str>) -> Access {
        let text = match read(&self.0) {
            Ok(text) => text,
            Err(error) => return Access::Unavailable(error.to_string()),
        };
        let Some(sent) = authorization.and_then(bearer) else {
            return Access::Denied;
        };
        // Every token is compared, so that the time does not tell which one was right.
        let is_one = tokens(&text).fold(false, |is_one, (_, token)| {
            same(token.as_bytes(), sent.as_bytes()) | is_one
        });
        if is_one {
            let user = String::from("token");
            Access::Granted { user }
        } else {
            Access::Denied
        }
    }
}

/// The scheme is taken in any case (RFC 9110 section 11.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim_start_matches(' '))
}

/// The lines that are tokens, with their numbers from 1.
fn tokens(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(str::trim_end).zip(1..);
    lines
        .filter(|(line, _)| !line.is_empty() && !line.starts_with('#'))
        .map(|(line, number)| (number, line))
}

/// The file's text, in which every line is good.
fn read(path: &Path) -> Result<String, Error> {
    let refused = |why: &str| Error::invalid(format!("{}: {why}", path.display()));
    let bytes = read_private(path, FILE_MAX).map_err(|error| match error.raw_os_error() {
        Some(_) => refused(&format!("cannot be read: {error}")),
        None => refused(&error.to_string()),
    })?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(refused("file over 16384 bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused("not text"))?;
    let is_token = |token: &str| {
        (TOKEN_LEN_MIN..=TOKEN_LEN_MAX).contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if let Some((number, _)) = tokens(&text).find(|(_, token)| !is_token(token)) {
        return Err(Error::invalid(format!(
            "{}:{number}: not a token; \
             expected {TOKEN_LEN_MIN} to {TOKEN_LEN_MAX} visible ASCII characters",
            path.display()
        )));
    }
    if tokens(&text).next().is_none() {
        return Err(refused("no token; expected one a line"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::super::tests::{Folder, hold_openers_of};
    use super::*;

    const TOKEN: &str = "q83vASNFZ4mrze8BI0Vn";
    const OTHER: &str = "AAAAAAAAAAAAAAAAAAAA";

    fn write(folder: &Folder, text: &str, mode: u32) -> PathBuf {
        let path = folder.path("token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn verify(file: &TokenFile, token: &str) -> Access {
        file.verify(Some(&format!("Bearer {token}")))
    }

    fn granted() -> Access {
        Access::Granted {
            user: String::from("token"),
        }
    }

    #[test]
    fn one_of_the_tokens_is_let_in_and_nothing_else() {
        let folder = Folder::new("token");
        let text = format!("# both for a while\n{TOKEN}\r\n\n{OTHER}");
        let file = TokenFile::open(write(&folder, &text, 0o640)).unwrap();
        for right in [TOKEN, OTHER] {
            assert_eq!(verify(&file, right), granted());
        }
        assert_eq!(file.verify(Some(&format!("bearer  {TOKEN}"))), granted());
        for wrong in ["", "# both for a while", &TOKEN[1..], &format!("{TOKEN} ")] {
            assert_eq!(verify(&file, wrong), Access::Denied, "{wrong:?}");
        }
        for header in [None, Some(""), Some(TOKEN), Some("Basic Ym9iOnBhc3M=")] {
            assert_eq!(file.verify(header), Access::Denied, "{header:?}");
        }
    }

    #[test]
    fn an_edit_is_in_force_at_once_and_what_cannot_be_used_lets_nobody_in() {
        let folder = Folder::new("token-edits");
        let path = write(&folder, TOKEN, 0o600);
        let file = TokenFile::open(&path).unwrap();
        write(&folder, OTHER, 0o600);
        assert_eq!(verify(&file, TOKEN), Access::Denied);
        assert_eq!(verify(&file, OTHER), granted());
        write(&folder, OTHER, 0o604);
        let expected = format!(
            "{}: everybody may read or write it; expected mode 0600 or 0640",
            path.display()
        );
        assert_eq!(verify(&file, OTHER), Access::Unavailable(expected));
        fs::remove_file(&path).unwrap();
        assert!(matches!(verify(&file, OTHER), Access::Unavailable(_)));
        write(&folder, OTHER, 0o600);
        assert_eq!(verify(&file, OTHER), granted());
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_without_what_is_in_it() {
        let folder = Folder::new("token-wrong");
        for (text, mode, why) in [
            ("hunter2", 0o600, ":1: not a token; expected 16 to 512 "),
            ("\n#\nhunter2 hunter2 hunter2", 0o600, ":3: not a token"),
            ("# nothing", 0o600, ": no token; expected one a line"),
            (TOKEN, 0o602, ": everybody may read or write it"),
            (&"#".repeat(16_385), 0o600, ": file over 16384 bytes"),
        ] {
            let path = write(&folder, text, mode);
            let message = TokenFile::open(&path).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("{}{why}", path.display())),
                "{message}"
            );
            assert!(!message.contains("hunter2"));
        }
        let error = TokenFile::open("/dev/null").unwrap_err().to_string();
        assert_eq!(error, "/dev/null: no regular file");
        assert!(TokenFile::open(folder.path("none")).is_err());
    }

    #[test]
    fn a_file_that_hangs_is_told_of_and_is_taken_when_it_answers_again() {
        let folder = Folder::new("token-hangs");
        let path = write(&folder, TOKEN, 0o600);
        let file = TokenFile::open(&path).unwrap();
        let Some(holder) = hold_openers_of(&path) else {
            return;
        };
        let expected = format!("{}: did not answer within 2 s", path.display());
        for _ in 0..100 {
            assert_eq!(verify(&file, TOKEN), Access::Unavailable(expected.clone()));
        }
        let error = TokenFile::open(&path).unwrap_err();
        assert_eq!(error.to_string(), expected);
        drop(holder);
        while verify(&file, TOKEN) != granted() {
            std::thread::yield_now();
        }
    }
}
