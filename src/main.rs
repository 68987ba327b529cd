//! The `failover` program. Everything it does is in the library's `cli` room.

use std::process::ExitCode;

fn main() -> ExitCode {
    failover::cli::main()
}
