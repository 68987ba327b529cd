//! Connecting to a Unix socket without waiting (unix(7)).
//!
//! std waits for ever when the listener's queue is full, as that of a process that hangs is.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

#[cfg(target_os = "linux")]
pub(crate) use linux::connect_now;

/// Connects, or says at once why not.
///
/// # Errors
/// As for `UnixStream::connect`.
#[cfg(not(target_os = "linux"))]
pub(crate) fn connect_now(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{c_int, c_void};
    use std::os::fd::{FromRawFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;

    use super::super::cerr;
    use super::{Path, UnixStream, io};

    const AF_UNIX: u16 = 1;
    const SOCK_CLOEXEC: c_int = 0o2000000;

    #[cfg(any(
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6"
    ))]
    const SOCK_STREAM_NONBLOCK: c_int = 2 | 0x80;
    #[cfg(not(any(
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6"
    )))]
    const SOCK_STREAM_NONBLOCK: c_int = 1 | 0x800;

    /// `struct sockaddr_un`.
    #[repr(C)]
    struct LocalAddress {
        family: u16,
        path: [u8; 108],
    }

    const _: () = assert!(size_of::<LocalAddress>() == 110);

    unsafe extern "C" {
        safe fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
        fn connect(fd: c_int, address: *const c_void, len: u32) -> c_int;
    }

    /// Connects, or says at once why not.
    ///
    /// # Errors
    /// `WouldBlock` when the listener's queue is full, `ConnectionRefused` when nobody listens,
    /// `InvalidInput` for a path that does not fit, and whatever the path's folders bring.
    pub(crate) fn connect_now(path: &Path) -> io::Result<UnixStream> {
        let bytes = path.as_os_str().as_bytes();
        let mut address = LocalAddress {
            family: AF_UNIX,
            path: [0; 108],
        };
        // One is left for the zero that ends it; one at the start would mean another name space.
        if bytes.is_empty() || bytes.len() >= address.path.len() || bytes.contains(&0) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        address.path[..bytes.len()].copy_from_slice(bytes);
        let kind = SOCK_STREAM_NONBLOCK | SOCK_CLOEXEC;
        let fd = cerr(socket(c_int::from(AF_UNIX), kind, 0))?;
        // SAFETY: socket(2) just gave us this descriptor, and nobody else has it.
        let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
        let len = size_of::<LocalAddress>() as u32;
        // SAFETY: connect(2) reads `len` bytes of a socket address, which `address` has.
        cerr(unsafe { connect(fd, (&raw const address).cast(), len) })?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    }
}
