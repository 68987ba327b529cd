//! Names to addresses, with the resolver's own word on why not.
//!
//! std resolves too, but folds "no such name" and "ask again later" into one error, and the one
//! means that a service is gone while the other means that we cannot tell.

use std::net::SocketAddr;

/// Why a name has no address.
#[derive(Debug)]
pub(crate) enum ResolveError {
    /// The name does not exist.
    NoSuchName,
    /// It exists and has no address.
    NoAddress,
    /// The resolver could not tell.
    Failure(String),
}

#[cfg(target_os = "linux")]
pub(crate) use linux::addresses;

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{CStr, CString, c_char, c_int};
    use std::io;
    use std::net::{Ipv4Addr, SocketAddrV4, SocketAddrV6};
    use std::ptr;

    use super::{ResolveError, SocketAddr};

    /// `struct addrinfo` of glibc and musl.
    #[repr(C)]
    struct AddrInfo {
        flags: c_int,
        family: c_int,
        kind: c_int,
        protocol: c_int,
        address_len: u32,
        address: *const u8,
        canonical_name: *const c_char,
        next: *const AddrInfo,
    }

    unsafe extern "C" {
        fn getaddrinfo(
            name: *const c_char,
            service: *const c_char,
            hints: *const AddrInfo,
            found: *mut *const AddrInfo,
        ) -> c_int;
        fn freeaddrinfo(found: *const AddrInfo);
        fn gai_strerror(code: c_int) -> *const c_char;
    }

    #[cfg(any(
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6"
    ))]
    const SOCK_STREAM: c_int = 2;
    #[cfg(not(any(
        target_arch = "mips",
        target_arch = "mips32r6",
        target_arch = "mips64",
        target_arch = "mips64r6"
    )))]
    const SOCK_STREAM: c_int = 1;

    const EAI_NONAME: c_int = -2;
    const EAI_NODATA: c_int = -5;
    const EAI_SYSTEM: c_int = -11;

    /// More than any sane name has; the rest is not looked at.
    const ADDRESSES_MAX: usize = 32;

    /// The addresses of a name with port 0, in the order the system prefers (RFC 6724). It blocks
    /// for as long as the resolver likes.
    ///
    /// # Errors
    /// The name has none, or the resolver cannot tell.
    pub(crate) fn addresses(name: &str) -> Result<Vec<SocketAddr>, ResolveError> {
        let Ok(c_name) = CString::new(name) else {
            return Err(ResolveError::NoSuchName);
        };
        let hints = AddrInfo {
            flags: 0,
            family: 0,
            // One entry an address instead of one for each kind of socket.
            kind: SOCK_STREAM,
            protocol: 0,
            address_len: 0,
            address: ptr::null(),
            canonical_name: ptr::null(),
            next: ptr::null(),
        };
        let mut found = ptr::null();
        // SAFETY: getaddrinfo(3) reads a C string and a hints structure whose pointers are null,
        // and stores a list at `found` when it returns 0.
        let code = unsafe { getaddrinfo(c_name.as_ptr(), ptr::null(), &hints, &mut found) };
        if code != 0 {
            return Err(error_of(code));
        }
        let mut addresses = Vec::new();
        let mut entry = found;
        while !entry.is_null() && addresses.len() < ADDRESSES_MAX {
            // SAFETY: the list that getaddrinfo(3) stored is valid until freeaddrinfo(3), and
            // `next` is null at its end.
            let info = unsafe { &*entry };
            addresses.extend(address_of(info));
            entry = info.next;
        }
        // SAFETY: `found` came from getaddrinfo(3) and is freed once; nothing borrows from it.
        unsafe { freeaddrinfo(found) };
        if addresses.is_empty() {
            Err(ResolveError::NoAddress)
        } else {
            Ok(addresses)
        }
    }

    fn address_of(info: &AddrInfo) -> Option<SocketAddr> {
        if info.address.is_null() {
            return None;
        }
        // SAFETY: `address` points to a socket address of `address_len` bytes (getaddrinfo(3)).
        let bytes = unsafe { std::slice::from_raw_parts(info.address, info.address_len as usize) };
        // sockaddr_in: family, port, 4 bytes. sockaddr_in6: family, port, flow, 16 bytes, scope.
        if let (16, Some(ip)) = (bytes.len(), bytes.get(4..8)) {
            let ip = <[u8; 4]>::try_from(ip).ok()?;
            return Some(SocketAddrV4::new(Ipv4Addr::from(ip), 0).into());
        }
        let ip = <[u8; 16]>::try_from(bytes.get(8..24)?).ok()?;
        let scope = <[u8; 4]>::try_from(bytes.get(24..28)?).ok()?;
        Some(SocketAddrV6::new(ip.into(), 0, 0, u32::from_ne_bytes(scope)).into())
    }

    fn error_of(code: c_int) -> ResolveError {
        match code {
            EAI_NONAME => ResolveError::NoSuchName,
            EAI_NODATA => ResolveError::NoAddress,
            EAI_SYSTEM => ResolveError::Failure(io::Error::last_os_error().to_string()),
            _ => {
                // SAFETY: gai_strerror(3) returns a static C string for every code.
                let text = unsafe { CStr::from_ptr(gai_strerror(code)) };
                ResolveError::Failure(text.to_string_lossy().to_ascii_lowercase())
            }
        }
    }
}

/// The addresses of a name, by std's resolver, which does not tell the errors apart.
///
/// # Errors
/// The resolver has none.
#[cfg(not(target_os = "linux"))]
pub(crate) fn addresses(name: &str) -> Result<Vec<SocketAddr>, ResolveError> {
    use std::net::ToSocketAddrs;
    match (name, 0).to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        Err(error) => Err(ResolveError::Failure(error.to_string())),
    }
}
