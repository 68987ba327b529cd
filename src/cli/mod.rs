//! The command line: one file for each command.
//!
//! A command reads its words, does its work and says how it ended. Unknown words and options are
//! errors with the usage on standard error; `failover help` is the whole manual. Exit codes are
//! those of sysexits(3), except for `probe`, whose callers know 0 and 1 only.
#![forbid(unsafe_code)]

mod admin;
mod check_config;
mod events;
mod explain;
mod help;
mod maint;
mod options;
mod probe;
mod replay;
mod reset;
mod run;
mod status;
mod topics;

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, ErrorKind};
use crate::sys::file::standard_output;
use crate::sys::signals::Signals;

/// How a command ended, as sysexits(3) numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// Well.
    Ok = 0,
    /// `probe`: not healthy, or not known to be.
    Fail = 1,
    /// `probe --nagios`: critical.
    NagiosCritical = 2,
    /// `probe --nagios`: unknown.
    NagiosUnknown = 3,
    /// The words were wrong.
    Usage = 64,
    /// Something that is needed is not there: an address is in use.
    Unavailable = 69,
    /// The daemon could not do it, by its own fault.
    Internal = 70,
    /// The system refused something.
    System = 71,
    /// What was to be read could not be, or what was said could not be written.
    Io = 74,
    /// Permission was refused.
    NoPermission = 77,
    /// The configuration is wrong.
    Config = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// The program.
pub fn main() -> ExitCode {
    // What is not UTF-8 is no word that means anything here, and is shown as well as it can be.
    let mut words = Vec::new();
    for word in env::args_os().skip(1) {
        words.push(word.to_string_lossy().into_owned());
    }
    let (command, rest) = match words.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => {
            complain(help::USAGE);
            return Exit::Usage.into();
        }
    };
    let asks_for_help = matches!(rest, [option] if option == "--help" || option == "-h");
    let exit = match command {
        _ if asks_for_help && help::is_command(command) => help::run(&words[..1]),
        "probe" => probe::run(rest),
        "run" => run::run(rest),
        "check-config" => check_config::run(rest),
        "explain" => explain::run(rest),
        "replay" => replay::run(rest),
        "status" => status::run(rest),
        "events" => events::run(rest),
        "reset" => reset::run(rest),
        "maint" => maint::run(rest),
        "help" | "--help" | "-h" => help::run(rest),
        "version" | "--version" | "-V" => version(rest),
        _ => {
            complain_of(format!(
                "failover: unknown command {command:?}{}\n{}",
                help::meant(command, &help::commands()),
                help::USAGE
            ));
            Exit::Usage
        }
    };
    // What a probe found is its exit code, wherever its line went.
    match exit {
        Exit::Ok if is_lost() && command != "probe" => Exit::Io,
        exit => exit,
    }
    .into()
}

/// `failover run` inside another program, such as the demo: on this configuration, until SIGINT or
/// SIGTERM. The signals are those that it keeps, kept before any thread was started; SIGHUP reloads
/// where it is among them.
pub fn run_config(path: &Path, signals: &Signals) -> ExitCode {
    match run::on(path.to_path_buf(), signals) {
        Ok(()) => Exit::Ok,
        Err(exit) => exit,
    }
    .into()
}

fn version(rest: &[String]) -> Exit {
    if let Some(word) = rest.first() {
        complain_of(format!(
            "failover: version: unexpected {word:?}; expected nothing more\n"
        ));
        return Exit::Usage;
    }
    say(&format!("failover {}\n", env!("CARGO_PKG_VERSION")));
    Exit::Ok
}

/// Whether something that was said is lost, which has been told.
static LOST: AtomicBool = AtomicBool::new(false);

fn is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Writes to standard output. A reader that is gone wants no more, which is no failure of ours;
/// whatever else it is, the command ends with [`Exit::Io`].
fn say(text: &str) {
    let written = standard_output().and_then(|mut out| out.write_all(text.as_bytes()));
    let Err(error) = written else {
        return;
    };
    if error.kind() != io::ErrorKind::BrokenPipe && !LOST.swap(true, Ordering::Relaxed) {
        complain_of(format!("failover: standard output: {error}\n"));
    }
}

/// How a command ended, however it came to that.
fn ended(result: Result<Exit, Exit>) -> Exit {
    match result {
        Ok(exit) | Err(exit) => exit,
    }
}

/// Writes to standard error.
fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// The same with a text that ends here, and not in every caller.
fn complain_of(text: String) {
    complain(&text);
    drop(text);
}

/// What the system had against it, if it was the system.
fn cause_of(error: &Error) -> Option<io::ErrorKind> {
    let source = std::error::Error::source(error).and_then(|it| it.downcast_ref::<io::Error>());
    source.map(io::Error::kind)
}

fn exit_of(error: &Error) -> Exit {
    match (error.kind(), cause_of(error)) {
        (ErrorKind::Invalid, _) => Exit::Config,
        (ErrorKind::Taken, _) => Exit::Unavailable,
        (_, Some(io::ErrorKind::PermissionDenied)) => Exit::NoPermission,
        (_, Some(io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)) => Exit::Unavailable,
        _ => Exit::System,
    }
}
