//! Pure codecs: bytes to values and back. No sockets, no clock, no files.
//!
//! Every decoder takes any bytes without a panic and says what is wrong with them.
#![forbid(unsafe_code)]

pub(crate) mod access_log;
pub(crate) mod base64;
pub(crate) mod digest;
pub(crate) mod dns;
pub(crate) mod form;
pub(crate) mod haproxy;
pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod postgres;
pub(crate) mod tls;
pub(crate) mod url;
