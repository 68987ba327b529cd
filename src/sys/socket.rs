//! Sockets beyond std: bound before they connect, read and written without waiting, many at once.

use std::ffi::{c_int, c_short, c_ulong, c_void};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::cerr;

#[cfg(target_os = "linux")]
const MSG_DONTWAIT: c_int = 0x40;
#[cfg(not(target_os = "linux"))]
const MSG_DONTWAIT: c_int = 0x80;

/// A peer that is gone must be an error, never a SIGPIPE.
#[cfg(target_os = "linux")]
const MSG_NOSIGNAL: c_int = 0x4000;
#[cfg(not(target_os = "linux"))]
const MSG_NOSIGNAL: c_int = 0;

unsafe extern "C" {
    fn recv(fd: c_int, buffer: *mut c_void, len: usize, flags: c_int) -> isize;
    fn send(fd: c_int, buffer: *const c_void, len: usize, flags: c_int) -> isize;
    safe fn listen(fd: c_int, backlog: c_int) -> c_int;
    fn poll(fds: *mut Watch, count: PollCount, timeout_ms: c_int) -> c_int;
}

/// `nfds_t`: 32 bits wide in 32-bit glibc and on the BSDs.
#[cfg(target_os = "linux")]
type PollCount = c_ulong;
#[cfg(not(target_os = "linux"))]
type PollCount = std::ffi::c_uint;

/// Makes a listener's queue of connections not yet accepted longer than std's 128, which costs
/// clients a second each in a storm. The system cuts it at its own limit (`somaxconn`).
///
/// # Errors
/// The listener is none any more.
pub(crate) fn lengthen_queue(listener: &TcpListener, len: u16) -> io::Result<()> {
    // listen(2): calling it again on a listening socket sets the new length.
    cerr(listen(listener.as_raw_fd(), c_int::from(len))).map(drop)
}

/// Reads what is there, without waiting.
///
/// # Errors
/// `WouldBlock` when nothing is there, and whatever ended the connection.
pub(crate) fn read_now(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: recv(2) writes at most `len` bytes to `buffer`, which has that many; the descriptor
    // is open as long as `stream` is borrowed.
    let result = unsafe {
        recv(
            stream.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            MSG_DONTWAIT,
        )
    };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Writes what there is room for, without waiting.
///
/// # Errors
/// `WouldBlock` when there is no room, and whatever ended the connection.
pub(crate) fn write_now(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    // SAFETY: send(2) reads `len` bytes from `bytes`, which has that many; the descriptor is open
    // as long as `stream` is borrowed.
    let result = unsafe {
        send(
            stream.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            flags,
        )
    };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// What to wait for on a socket, and what came: one `struct pollfd`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    fd: c_int,
    wanted: c_short,
    came: c_short,
}

const _: () = assert!(size_of::<Watch>() == 8);

const POLLIN: c_short = 0x1;
const POLLOUT: c_short = 0x4;

impl Watch {
    /// Until something can be read, or the peer is gone.
    pub(crate) fn readable(socket: &impl AsFd) -> Watch {
        Watch {
            fd: socket.as_fd().as_raw_fd(),
            wanted: POLLIN,
            came: 0,
        }
    }

    /// Until something can be written, or the peer is gone.
    pub(crate) fn writable(socket: &impl AsFd) -> Watch {
        Watch {
            fd: socket.as_fd().as_raw_fd(),
            wanted: POLLOUT,
            came: 0,
        }
    }

    /// Until the peer is gone.
    pub(crate) fn gone(socket: &impl AsFd) -> Watch {
        Watch {
            fd: socket.as_fd().as_raw_fd(),
            wanted: 0,
            came: 0,
        }
    }

    /// Whether it came, or an error did, which the next read or write tells.
    pub(crate) fn is_ready(&self) -> bool {
        self.came != 0
    }
}

/// Waits until one of them is ready, at most that long; a signal may end it early.
///
/// # Errors
/// More descriptors than the process may have.
pub(crate) fn wait_for_any(watches: &mut [Watch], at_most: Duration) -> io::Result<()> {
    // Rounded up, so that a wait for less than a millisecond does not become a busy loop.
    let timeout_ms = c_int::try_from(at_most.as_micros().div_ceil(1_000)).unwrap_or(c_int::MAX);
    // SAFETY: poll(2) reads and writes `count` structs pollfd at `fds`, which `watches` are; a
    // descriptor that is closed meanwhile is reported, not touched.
    let result = unsafe { poll(watches.as_mut_ptr(), watches.len() as PollCount, timeout_ms) };
    match cerr(result) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

#[cfg(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6"
))]
mod number {
    use std::ffi::c_int;
    pub(super) const SOCK_STREAM: c_int = 2;
    pub(super) const SOCK_NONBLOCK: c_int = 0x80;
    pub(super) const SOL_SOCKET: c_int = 0xffff;
    pub(super) const SO_REUSEADDR: c_int = 4;
    pub(super) const SO_LINGER: c_int = 0x80;
    pub(super) const EINPROGRESS: i32 = 150;
}
#[cfg(not(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6"
)))]
mod number {
    use std::ffi::c_int;
    pub(super) const SOCK_STREAM: c_int = 1;
    pub(super) const SOCK_NONBLOCK: c_int = 0x800;
    pub(super) const SOL_SOCKET: c_int = 1;
    pub(super) const SO_REUSEADDR: c_int = 2;
    pub(super) const SO_LINGER: c_int = 13;
    pub(super) const EINPROGRESS: i32 = 115;
}

const SOCK_CLOEXEC: c_int = 0o2000000;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

unsafe extern "C" {
    safe fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn bind(fd: c_int, address: *const c_void, len: u32) -> c_int;
    fn connect(fd: c_int, address: *const c_void, len: u32) -> c_int;
    fn setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: u32) -> c_int;
}

/// Connects from a given local address. std can connect, and bind, but not both.
///
/// # Errors
/// As for `TcpStream::connect_timeout`; also an address that is not this machine's, or a port that
/// is taken.
pub(crate) fn connect_from(
    source: SocketAddr,
    target: SocketAddr,
    timeout: Duration,
) -> io::Result<TcpStream> {
    if !cfg!(target_os = "linux") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let deadline = Instant::now() + timeout;
    let family = if target.is_ipv4() { AF_INET } else { AF_INET6 };
    let kind = number::SOCK_STREAM | number::SOCK_NONBLOCK | SOCK_CLOEXEC;
    let fd = cerr(socket(c_int::from(family), kind, 0))?;
    // SAFETY: socket(2) just gave us this descriptor, and nobody else has it.
    let stream = TcpStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    set_option(&stream, number::SO_REUSEADDR, &1_i32.to_ne_bytes())?;
    let local = Address::of(source);
    // SAFETY: bind(2) reads `len` bytes of a socket address, which `local` has.
    cerr(unsafe { bind(fd, local.bytes.as_ptr().cast(), local.len) })?;
    let remote = Address::of(target);
    // SAFETY: connect(2) reads `len` bytes of a socket address, which `remote` has.
    match cerr(unsafe { connect(fd, remote.bytes.as_ptr().cast(), remote.len) }) {
        Err(error) if error.raw_os_error() != Some(number::EINPROGRESS) => return Err(error),
        _ => {}
    }
    await_connection(&stream, deadline)?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// What the path of a Unix socket may have at most: `sun_path` with its closing NUL (unix(7)).
pub(crate) const UNIX_PATH_LEN_MAX: usize = 107;

/// Connects to a Unix socket. std's own way waits for as long as the listener's queue is full,
/// which with a listener that hangs is for ever.
///
/// # Errors
/// As for `UnixStream::connect`; also `WouldBlock` when the queue stayed full.
pub(crate) fn connect_unix(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    if !cfg!(target_os = "linux") {
        // The BSDs refuse at once when the queue is full.
        return UnixStream::connect(path);
    }
    let path = path.as_os_str().as_bytes();
    if path.is_empty() || path.len() > UNIX_PATH_LEN_MAX || path.contains(&0) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut address = [0; 2 + UNIX_PATH_LEN_MAX + 1];
    address[..2].copy_from_slice(&AF_UNIX.to_ne_bytes());
    address[2..2 + path.len()].copy_from_slice(path);
    let len = 2 + path.len() + 1;
    let deadline = Instant::now() + timeout;
    let fd = cerr(socket(
        c_int::from(AF_UNIX),
        number::SOCK_STREAM | SOCK_CLOEXEC,
        0,
    ))?;
    // SAFETY: socket(2) just gave us this descriptor, and nobody else has it.
    let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // socket(7): SO_SNDTIMEO bounds the wait of connect(2), too.
        stream.set_write_timeout(Some(left))?;
        // SAFETY: connect(2) reads `len` bytes of a socket address, which `address` has.
        match cerr(unsafe { connect(stream.as_raw_fd(), address.as_ptr().cast(), len as u32) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map(|_| stream),
        }
    }
}

fn await_connection(stream: &TcpStream, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut watch = [Watch::writable(stream)];
        wait_for_any(&mut watch, left)?;
        if watch[0].is_ready() {
            return stream.take_error()?.map_or(Ok(()), Err);
        }
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// Has the connection reset when it is closed, which leaves no `TIME_WAIT` behind: the only way to
/// use a fixed source port again within a minute.
///
/// # Errors
/// The socket is none any more.
pub(crate) fn reset_on_close(stream: &TcpStream) -> io::Result<()> {
    // struct linger { int l_onoff; int l_linger; }
    let on_for_zero_seconds = [1_i32.to_ne_bytes(), 0_i32.to_ne_bytes()].concat();
    set_option(stream, number::SO_LINGER, &on_for_zero_seconds)
}

/// Whether a listener hands out a connection only when its first bytes have come, or when none
/// came for about a second (tcp(7), TCP_DEFER_ACCEPT). Who accepts then finds the request there
/// already, and is woken once for it instead of twice.
///
/// # Errors
/// The system refuses, or this is not Linux, which alone has it.
pub(crate) fn defer_accept(listener: &TcpListener, seconds: u8) -> io::Result<()> {
    if !cfg!(target_os = "linux") {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let value = c_int::from(seconds).to_ne_bytes();
    set_any_option(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &value)
}

const IPPROTO_TCP: c_int = 6;
const TCP_DEFER_ACCEPT: c_int = 9;

fn set_option(stream: &TcpStream, name: c_int, value: &[u8]) -> io::Result<()> {
    set_any_option(stream, number::SOL_SOCKET, name, value)
}

fn set_any_option(
    socket: &impl AsRawFd,
    level: c_int,
    name: c_int,
    value: &[u8],
) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    // SAFETY: setsockopt(2) reads `len` bytes at `value`, which has that many.
    let result = unsafe { setsockopt(fd, level, name, value.as_ptr().cast(), value.len() as u32) };
    cerr(result).map(drop)
}

/// A `sockaddr_in` or `sockaddr_in6` of Linux, byte by byte.
#[repr(align(8))]
struct Address {
    bytes: [u8; 28],
    len: u32,
}

impl Address {
    fn of(address: SocketAddr) -> Address {
        let mut bytes = [0; 28];
        bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                bytes[..2].copy_from_slice(&AF_INET.to_ne_bytes());
                bytes[4..8].copy_from_slice(&v4.ip().octets());
                Address { bytes, len: 16 }
            }
            SocketAddr::V6(v6) => {
                bytes[..2].copy_from_slice(&AF_INET6.to_ne_bytes());
                bytes[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
                bytes[8..24].copy_from_slice(&v6.ip().octets());
                bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
                Address { bytes, len: 28 }
            }
        }
    }
}
