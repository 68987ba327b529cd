//! The configuration through the real program: what is wrong is told in exact words, what is right
//! is taken, and the manual has everything. Nothing here listens or asks a network.

mod explain;
mod files;
mod manual;
mod right;
mod said;
mod support;
mod wrong;
