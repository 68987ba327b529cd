//! Decisions: what is made of outcomes.
//!
//! Each file is one decision and is pure at its heart: it takes a moment and an outcome, and says
//! where it stands; the sockets, threads and clocks are around it. Here checks are known by their
//! trait only, so that every decision composes with every check and with every other decision.
#![forbid(unsafe_code)]

pub(crate) mod background;
pub(crate) mod combine;
pub(crate) mod forecast;
pub(crate) mod hysteresis;
pub(crate) mod oneshot;
pub(crate) mod replay;
pub(crate) mod rules;
pub(crate) mod toggle;
