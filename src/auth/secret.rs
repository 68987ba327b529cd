//! Files that hold a secret of ours, such as a password for a server that we check.
//!
//! The secret is the first line. It is never shown: what goes wrong names the file only.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::ANSWER_WITHIN;
use crate::sys::file::take_at_most;
use crate::sys::hang;

/// The longest secret; what is longer is some other file.
const SECRET_LEN_MAX: u64 = 1_024;

/// Read and write for everybody.
const MODE_OTHERS: u32 = 0o006;

/// Reads the first line of a file that is not everybody's. It is read anew at every use, so that a
/// secret can be changed without telling anybody.
///
/// # Errors
/// A sentence with the path: the file cannot be read, does not answer in time, is no regular file,
/// may be read or written by everybody (its group may, since that is how a service of its own user
/// is given a secret), is too long, or has nothing in its first line.
pub(crate) fn read_secret(path: &Path) -> Result<Vec<u8>, String> {
    let shown = |error: io::Error| format!("{}: {error}", path.display());
    let mut content = read_private(path, SECRET_LEN_MAX).map_err(shown)?;
    if content.len() as u64 > SECRET_LEN_MAX {
        return Err(shown(io::Error::other("over 1 KiB; expected one line")));
    }
    let line_end = content.iter().position(|byte| *byte == b'\n');
    content.truncate(line_end.unwrap_or(content.len()));
    if content.last() == Some(&b'\r') {
        content.pop();
    }
    if content.is_empty() || content.contains(&0) {
        let what = "the first line is no secret; expected some text";
        return Err(format!("{}: {what}", path.display()));
    }
    Ok(content)
}

/// The content of a file that is not everybody's, or a byte more of it than that.
pub(super) fn read_private(path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
    let file = path.to_path_buf();
    let read = move || read_now(&file, len_max);
    hang::within(path, ANSWER_WITHIN, read).and_then(|content| content)
}

fn read_now(path: &Path, len_max: u64) -> io::Result<Vec<u8>> {
    // Before it is opened, since opening a pipe waits for a writer.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("no regular file"));
    }
    let file = File::open(path)?;
    // Of what was opened, whatever the path leads to by now.
    if file.metadata()?.mode() & MODE_OTHERS != 0 {
        let what = "everybody may read or write it; expected mode 0600 or 0640";
        return Err(io::Error::other(what));
    }
    take_at_most(file, len_max + 1)
}

#[cfg(test)]
mod tests {
    use super::super::tests::Folder;
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn written(folder: &Folder, text: &[u8], mode: u32) -> Result<Vec<u8>, String> {
        let path = folder.path("secret");
        // One that may only be read is written by nobody but root.
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        read_secret(&path)
    }

    #[test]
    fn the_secret_is_the_first_line() {
        let folder = Folder::new("secret-line");
        for text in ["s3 cret", "s3 cret\n", "s3 cret\r\n", "s3 cret\nmore\n"] {
            for mode in [0o600, 0o640, 0o400] {
                assert_eq!(written(&folder, text.as_bytes(), mode).unwrap(), b"s3 cret");
            }
        }
        let _ = fs::remove_file(folder.path("secret"));
    }

    #[test]
    fn what_is_no_secret_is_refused_without_being_shown() {
        let folder = Folder::new("secret-bad");
        for (text, mode, what) in [
            (&b"s3cret"[..], 0o644, "everybody may read or write it"),
            (b"s3cret", 0o602, "everybody may read or write it"),
            (b"", 0o600, "the first line is no secret"),
            (b"\ns3cret", 0o600, "the first line is no secret"),
            (b"s3\0cret", 0o600, "the first line is no secret"),
            (&[b'x'; 1_025], 0o600, "over 1 KiB"),
        ] {
            let message = written(&folder, text, mode).unwrap_err();
            let path = folder.path("secret");
            assert!(
                message.starts_with(&format!("{}: {what}", path.display())),
                "{message}"
            );
            assert!(!message.contains("s3"), "{message}");
        }
        let message = read_secret(&folder.path("")).unwrap_err();
        assert!(message.ends_with("no regular file"), "{message}");
        let message = read_secret(&folder.path("none")).unwrap_err();
        assert!(message.contains("No such file"), "{message}");
    }
}
