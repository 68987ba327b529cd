//! peers
mod htpasswd;
