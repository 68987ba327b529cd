//! The program against the real ones that it is made for: HAProxy, keepalived, curl, ApacheBench,
//! and the servers that its checks talk to.
//!
//! `make test-peers` installs them where it may and runs this. A program that is missing is said
//! to be, and its tests are skipped; with `FAILOVER_PEERS_REQUIRED=1` that is a failure, unless
//! [`support::MAY_BE_SKIPPED`] gives a reason. Peers listen on loopback, or in network namespaces
//! that a test makes for itself, on ports that the system chose. The waits are real and bounded.

mod agent;
mod browser;
mod chroot;
mod clients;
mod cluster;
mod daemon;
mod deploy;
mod haproxy;
mod htpasswd;
mod http_check;
mod http_get;
mod json;
mod keepalived;
mod listen;
mod metrics;
mod page;
mod postgres;
mod service;
mod store;
mod support;
mod talk;
mod track_file;
mod traffic;
