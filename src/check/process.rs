//! Process: does it run on this machine?
//!
//! Linux says so in `/proc` (proc(5)); elsewhere the answer is that we cannot tell. That a process
//! is there does not mean that it works: asking the service itself says more.
#![forbid(unsafe_code)]

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::file::{checked_path, is_missing};
use crate::check::Check;
use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::sys::file::read_at_most;

const PROC: &str = "/proc";

/// Enough for every field that is looked at, and for the path in a command line.
const READ_BYTES_MAX: u64 = 4_096;

/// No such process: it ended while its file was open.
const ESRCH: i32 = 3;

/// Checks that a process runs, by its name or its pidfile. One that has ended and was not reaped,
/// a zombie, does not count.
///
/// Reasons: `process running`; failures `process missing`, `pidfile missing`, `pidfile malformed`;
/// unknown `file unreadable`, `process list unreadable`.
///
/// ```
/// use failover::{Check, ProcessCheck};
///
/// let path = std::env::temp_dir().join(format!("failover-{}.pid", std::process::id()));
/// std::fs::write(&path, format!("{}\n", std::process::id()))?;
/// let mut check = ProcessCheck::pidfile(&path.to_string_lossy())?;
/// assert_eq!(check.check().reason.words(), "process running");
/// std::fs::remove_file(&path)?;
/// assert_eq!(check.check().reason.words(), "pidfile missing");
///
/// let mut check = ProcessCheck::named("no-such-daemon")?;
/// assert_eq!(check.check().to_string(), "process missing: no-such-daemon");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ProcessCheck {
    name: Option<String>,
    pidfile: Option<PathBuf>,
}

impl ProcessCheck {
    /// Checks that at least one process has this name: the one that the kernel keeps, which is the
    /// program's or the script's file name and may be changed by the program; or the file name of
    /// the program as it was called; or that of the program itself. The kernel cuts the one it
    /// keeps to 15 bytes, so that a longer name has to be one of the others.
    ///
    /// # Errors
    /// A name that is empty or has a slash or a NUL in it.
    pub fn named(name: &str) -> Result<ProcessCheck, Error> {
        Ok(ProcessCheck {
            name: Some(checked_name(name)?),
            pidfile: None,
        })
    }

    /// Checks that the process whose number is in this file runs. After a crash the number may
    /// have become another's; [`and_named`](ProcessCheck::and_named) notices that.
    ///
    /// # Errors
    /// A path that is not absolute, or has a NUL in it.
    pub fn pidfile(path: &str) -> Result<ProcessCheck, Error> {
        Ok(ProcessCheck {
            name: None,
            pidfile: Some(checked_path(path)?),
        })
    }

    /// Also that it has this name, as for [`named`](ProcessCheck::named). Default: any.
    ///
    /// # Errors
    /// A name that is empty or has a slash or a NUL in it.
    pub fn and_named(mut self, name: &str) -> Result<ProcessCheck, Error> {
        self.name = Some(checked_name(name)?);
        Ok(self)
    }

    fn by_pidfile(&self, path: &Path) -> Outcome {
        let content = match read(path) {
            Ok(content) => content,
            Err(error) if is_missing(&error) => {
                return fail(Reason::PidfileMissing, path.display());
            }
            Err(error) => {
                return Outcome::new(Health::Unknown, Reason::FileUnreadable)
                    .with_detail(format!("{}: {error}", path.display()));
            }
        };
        let Some(id) = process_id(&content) else {
            return fail(Reason::PidfileMalformed, path.display());
        };
        let process = Process::new(id);
        match process.status() {
            Ok(status) if !status.is_alive || status.is_thread => {
                fail(Reason::ProcessMissing, format_args!("process {id}"))
            }
            Ok(status) if !self.is_meant(&process, &status.name) => fail(
                Reason::ProcessMissing,
                format_args!("process {id} is {}", status.name),
            ),
            Ok(status) => running(id, &status.name),
            Err(error) if is_gone(&error) && has_processes() => {
                fail(Reason::ProcessMissing, format_args!("process {id}"))
            }
            Err(error) => unreadable(&error),
        }
    }

    fn is_meant(&self, process: &Process, kept: &str) -> bool {
        self.name
            .as_ref()
            .is_none_or(|name| process.has_name(name, kept))
    }

    /// Looks at one process after the other until one is meant.
    fn by_name(&self) -> Outcome {
        let entries = match fs::read_dir(PROC) {
            Ok(entries) => entries,
            Err(error) => return unreadable(&error),
        };
        let mut hidden = None;
        // Invariant: bounded by the system's own limit of processes (pid_max).
        for id in entries.flatten().filter_map(|entry| process_number(&entry)) {
            let process = Process::new(id);
            match process.status() {
                Ok(status) if status.is_alive && self.is_meant(&process, &status.name) => {
                    return running(id, &status.name);
                }
                Err(error) if !is_gone(&error) => hidden = Some(error),
                _ => {}
            }
        }
        match hidden {
            Some(error) => unreadable(&error),
            None if !has_processes() => unreadable(&io::ErrorKind::NotFound.into()),
            None => fail(
                Reason::ProcessMissing,
                self.name.as_deref().unwrap_or_default(),
            ),
        }
    }
}

fn checked_name(name: &str) -> Result<String, Error> {
    if name.is_empty() || name.contains(['/', '\0']) {
        let message =
            format!("process name {name:?} cannot be; expected a file name without its path");
        return Err(Error::invalid(message));
    }
    Ok(name.to_string())
}

fn fail(reason: Reason, detail: impl fmt::Display) -> Outcome {
    Outcome::new(Health::Fail, reason).with_detail(detail.to_string())
}

fn running(id: u32, name: &str) -> Outcome {
    Outcome::new(Health::Ok, Reason::ProcessRunning).with_detail(format!("{name}, process {id}"))
}

fn unreadable(error: &io::Error) -> Outcome {
    Outcome::new(Health::Unknown, Reason::ProcessUnreadable).with_detail(format!("{PROC}: {error}"))
}

fn is_gone(error: &io::Error) -> bool {
    is_missing(error) || error.raw_os_error() == Some(ESRCH)
}

/// Whether the list of processes is there, and shows us those of others: if it is mounted with
/// `hidepid=2` it does not, and who is not to be seen is not missing.
fn has_processes() -> bool {
    Path::new(PROC).join("1").exists()
}

fn process_number(entry: &fs::DirEntry) -> Option<u32> {
    entry.file_name().to_str()?.parse().ok()
}

/// The number in a pidfile: the first word, since some write more below it.
fn process_id(content: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(content).ok()?;
    let number = text.split_whitespace().next()?.parse().ok()?;
    (number > 0 && number <= i32::MAX as u32).then_some(number)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, READ_BYTES_MAX)
}

/// A folder of `/proc`.
struct Process(PathBuf);

/// The lines of `/proc/PID/status` that are looked at.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    /// As the kernel keeps it, cut, with backslashes and newlines escaped.
    name: String,
    is_alive: bool,
    /// A thread's number has a folder, too, which is not listed.
    is_thread: bool,
}

impl Process {
    fn new(id: u32) -> Process {
        Process(Path::new(PROC).join(id.to_string()))
    }

    fn status(&self) -> io::Result<Status> {
        let content = read(&self.0.join("status"))?;
        Ok(status(&String::from_utf8_lossy(&content)))
    }

    /// Whether this is one of its names; `kept` is the one that the kernel keeps.
    fn has_name(&self, name: &str, kept: &str) -> bool {
        // The kernel keeps 15 bytes, which a longer name never equals.
        if escaped(name) == kept {
            return true;
        }
        // A kernel's thread has neither; another user's program is not shown to everybody.
        let called = read(&self.0.join("cmdline")).is_ok_and(|line| called_as(&line, name));
        called || fs::read_link(self.0.join("exe")).is_ok_and(|path| is_program(&path, name))
    }
}

fn status(text: &str) -> Status {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_default().trim()
    };
    let state = value("State:");
    Status {
        // A blank may be part of the name; the tab before it is not.
        name: text
            .lines()
            .find_map(|line| line.strip_prefix("Name:\t"))
            .unwrap_or_default()
            .to_string(),
        is_alive: !state.is_empty() && !state.starts_with(['Z', 'X', 'x']),
        is_thread: value("Tgid:") != value("Pid:"),
    }
}

/// As the kernel writes a name in its lines.
fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('\n', "\\n")
}

/// Whether the first word of a command line, which ends with a NUL, is a program of this name.
fn called_as(command_line: &[u8], name: &str) -> bool {
    let word = command_line.split(|byte| *byte == 0).next();
    let file = word.and_then(|word| word.rsplit(|byte| *byte == b'/').next());
    file == Some(name.as_bytes())
}

/// Whether a link to a program leads to one of this name. An upgrade takes the file away from
/// under a program that runs on.
fn is_program(path: &Path, name: &str) -> bool {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    file.strip_suffix(" (deleted)").unwrap_or(&file) == name
}

impl Check for ProcessCheck {
    fn check(&mut self) -> Outcome {
        match &self.pidfile {
            Some(path) => self.by_pidfile(path),
            None => self.by_name(),
        }
    }
}

impl fmt::Debug for ProcessCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.pidfile, &self.name) {
            (Some(path), _) => write!(f, "ProcessCheck({})", path.display()),
            (None, name) => write!(f, "ProcessCheck({})", name.as_deref().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\ta b\\\\c\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t7\nNgid:\t0\n\
                          Pid:\t7\nPPid:\t1\n";

    #[test]
    fn the_kernels_lines_are_read() {
        let found = status(STATUS);
        assert_eq!(found.name, escaped("a b\\c"));
        assert_eq!(escaped("a\\n\n"), "a\\\\n\\n");
        assert!(found.is_alive && !found.is_thread);
        assert!(!status(&STATUS.replace("S (sleeping)", "Z (zombie)")).is_alive);
        assert!(!status(&STATUS.replace("S (sleeping)", "X (dead)")).is_alive);
        assert!(status(&STATUS.replace("Pid:\t7", "Pid:\t8")).is_thread);
        assert!(!status("").is_alive);
    }

    #[test]
    fn no_content_ends_in_a_panic() {
        for end in 0..=STATUS.len() {
            let _ = (
                status(&STATUS[..end]),
                process_id(&STATUS.as_bytes()[..end]),
            );
        }
        for at in 0..STATUS.len() {
            let mut bytes = STATUS.as_bytes().to_vec();
            bytes[at] ^= 0x80;
            let _ = (status(&String::from_utf8_lossy(&bytes)), process_id(&bytes));
            let _ = called_as(&bytes, "a");
        }
    }

    #[test]
    fn a_pidfile_begins_with_a_number() {
        for (content, id) in [
            ("7", Some(7)),
            (" 7\n", Some(7)),
            ("2147483647\nmore\n", Some(i32::MAX as u32)),
            ("2147483648", None),
            ("0", None),
            ("-7", None),
            ("", None),
            ("\n", None),
            ("seven", None),
            ("7x", None),
            ("\0\0", None),
        ] {
            assert_eq!(process_id(content.as_bytes()), id, "{content:?}");
        }
        assert_eq!(process_id(b"\xff"), None);
    }

    #[test]
    fn names_are_those_of_files() {
        for (line, is_it) in [
            ("/usr/sbin/nginx\0-g\0", true),
            ("nginx\0", true),
            ("nginx", true),
            ("/usr/bin/vi\0nginx\0", false),
            ("nginx: master\0", false),
            ("", false),
            ("/nginx/\0", false),
        ] {
            assert_eq!(called_as(line.as_bytes(), "nginx"), is_it, "{line:?}");
        }
        assert!(is_program(Path::new("/usr/sbin/nginx"), "nginx"));
        assert!(is_program(Path::new("/usr/sbin/nginx (deleted)"), "nginx"));
        assert!(!is_program(Path::new("/usr/sbin/nginx2"), "nginx"));
        assert!(!is_program(Path::new("/"), "nginx"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for name in ["", "/usr/sbin/nginx", "a\0b"] {
            assert!(ProcessCheck::named(name).is_err(), "{name:?}");
            let check = ProcessCheck::pidfile("/run/a.pid").unwrap();
            assert!(check.and_named(name).is_err(), "{name:?}");
        }
        assert!(ProcessCheck::pidfile("run/a.pid").is_err());
    }
}
