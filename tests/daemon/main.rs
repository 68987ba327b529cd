//! The life of the daemon, through the real program: reloads, restarts, signals, and what its
//! neighbours (systemd, keepalived, balancers, administrators) see of it.

mod composed;
mod exec;
mod found;
mod hangs;
mod heartbeat;
mod house;
mod load;
mod maintenance;
mod places;
mod reload;
mod restart;
mod signals;
#[path = "../support/mod.rs"]
mod support;
mod told;
mod track;
