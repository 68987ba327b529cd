//! The admin socket's file: made so that nobody else can ever connect, and removed at the end.
//!
//! Who may connect to a Unix socket is decided by its file's permissions (unix(7)), and between
//! bind(2) and chmod(2) these are what the umask leaves. So the socket is made in a folder that
//! only its owner can enter, and moved to its place when its permissions are right. Moving also
//! replaces what a killed process left behind, without a moment at which nothing is there.
#![forbid(unsafe_code)]

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Error;
use crate::sys::file::make_directory;
use crate::sys::local::connect_now;

/// Only its owner, and root, may connect.
const SOCKET_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// A Unix socket that is listened on.
pub(super) struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of our file, so that we never remove another's.
    identity: (u64, u64),
    is_removed: AtomicBool,
}

impl LocalSocket {
    /// # Errors
    /// Somebody listens there already; a file that is no socket; the system refuses.
    pub(super) fn open(path: &Path) -> Result<LocalSocket, Error> {
        refuse_if_taken(path)?;
        LocalSocket::make(path)
            .map_err(|error| Error::system(format!("listening on {path:?} failed"), error))
    }

    fn make(path: &Path) -> io::Result<LocalSocket> {
        let mut folder = path.as_os_str().to_os_string();
        folder.push(".new");
        let folder = PathBuf::from(folder);
        let place = folder.join("s");
        // What a process that was killed here may have left.
        let _ = fs::remove_file(&place);
        let _ = fs::remove_dir(&folder);
        make_directory(&folder, FOLDER_MODE)?;
        let made = UnixListener::bind(&place).and_then(|listener| {
            fs::set_permissions(&place, Permissions::from_mode(SOCKET_MODE))?;
            let identity = identity(&place)?;
            fs::rename(&place, path)?;
            Ok(LocalSocket {
                listener,
                path: path.to_path_buf(),
                identity,
                is_removed: AtomicBool::new(false),
            })
        });
        let _ = fs::remove_file(&place);
        let _ = fs::remove_dir(&folder);
        made
    }

    pub(super) fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Removes the file, if it is still ours.
    pub(super) fn remove(&self) {
        if self.is_removed.swap(true, Ordering::SeqCst) {
            return;
        }
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // One that stays is known to be stale by the next who comes.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        self.remove();
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// A socket on which nobody listens may be replaced; nothing else may.
fn refuse_if_taken(path: &Path) -> Result<(), Error> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        // Nothing is there, or making it will tell why it cannot be seen.
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(Error::invalid(format!(
            "{path:?} is there and is no socket; expected a path of its own for the admin socket"
        )));
    }
    match connect_now(path) {
        // A queue that is full is somebody's too.
        Ok(_) => Err(taken(path)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(taken(path)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::system(
            format!("it cannot be told whether another failover answers on {path:?}"),
            error,
        )),
    }
}

fn taken(path: &Path) -> Error {
    Error::taken(format!(
        "another failover runs and answers on {path:?}; expected to be the only one there"
    ))
}
