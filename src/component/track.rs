//! Track-files: a number in a file that says a component's state, for keepalived (track_file in
//! keepalived.conf(5)).
//!
//! Files are written one after the other, each as a whole: a temporary file beside it, then a
//! rename, so that nobody reads half a number. Of several values for one file the last is written.
//! A file that cannot be written is complained of and tried again; it delays nobody, and other
//! files for no longer than its disk is waited for, once for each folder that hangs.
#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::locked;
use crate::error::Error;
use crate::log::{Complaints, Level, Log};
use crate::sys::hang;
use crate::sys::thread::{self, Stack};

/// How long a file may take. Others wait meanwhile, once: what is in the same folder is then not
/// waited for until that answers.
const WRITE_WITHIN: Duration = Duration::from_secs(1);

/// After a failure, until it is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// How long the end of the program waits for what is to be written yet.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Writes track-files until it is dropped; what was wished until then is written.
pub(crate) struct TrackFiles(Arc<Shared>);

struct Shared {
    wishes: Mutex<Wishes>,
    changed: Condvar,
    write: Write,
    log: Log,
}

/// Has a file say a value.
type Write = fn(&Path, &str) -> io::Result<()>;

#[derive(Default)]
struct Wishes {
    /// The last value for each file that is to be written yet.
    files: Vec<(PathBuf, String)>,
    /// What could not be written the last time.
    failed: Vec<(PathBuf, String)>,
    is_writing: bool,
    is_stopped: bool,
}

impl TrackFiles {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread could be had.
    pub(crate) fn start(log: Log) -> Result<TrackFiles, Error> {
        TrackFiles::start_with(write, log)
    }

    fn start_with(write: Write, log: Log) -> Result<TrackFiles, Error> {
        let shared = Arc::new(Shared {
            wishes: Mutex::default(),
            changed: Condvar::new(),
            write,
            log,
        });
        let working = shared.clone();
        thread::spawn("track-files", Stack::Ours, move || working.work())
            .map_err(|error| Error::system("no thread for track-files could be started", error))?;
        Ok(TrackFiles(shared))
    }

    /// Has the file say this value.
    pub(crate) fn set(&self, path: &Path, value: &str) {
        let mut wishes = locked(&self.0.wishes);
        let Wishes { files, failed, .. } = &mut *wishes;
        for wished in [files, failed] {
            wished.retain(|(other, _)| other != path);
        }
        wishes.files.push((path.to_path_buf(), value.to_string()));
        self.0.changed.notify_all();
    }

    /// Has no other files written any more, such as one that could not be and was renamed.
    pub(crate) fn keep_only(&self, is_meant: &dyn Fn(&Path) -> bool) {
        let mut wishes = locked(&self.0.wishes);
        let Wishes { files, failed, .. } = &mut *wishes;
        for wished in [files, failed] {
            wished.retain(|(path, _)| is_meant(path));
        }
    }
}

impl Drop for TrackFiles {
    fn drop(&mut self) {
        let mut wishes = locked(&self.0.wishes);
        wishes.is_stopped = true;
        self.0.changed.notify_all();
        let busy = |wishes: &mut Wishes| wishes.is_writing || !wishes.files.is_empty();
        // A disk that hangs must not keep the program from its end.
        let _ = self.0.changed.wait_timeout_while(wishes, END_WITHIN, busy);
    }
}

impl Shared {
    fn work(&self) {
        let complaints = Complaints::default();
        // Which ones were complained of: each is named once, however many others there are.
        let mut named: Vec<PathBuf> = Vec::new();
        while let Some((path, value)) = self.next() {
            let written = self.write(&path, &value);
            let mut wishes = locked(&self.wishes);
            wishes.is_writing = false;
            named.retain(|other| written.is_err() || *other != path);
            if let Err(error) = written {
                let text = format!("track-file {path:?} cannot be written: {error}");
                if named.contains(&path) {
                    complaints.line(&self.log, Level::Error, format_args!("{text}"));
                } else {
                    self.log.line(Level::Error, format_args!("{text}"));
                    named.push(path.clone());
                }
                if !wishes.files.iter().any(|(other, _)| *other == path) {
                    wishes.failed.push((path, value));
                }
            }
            self.changed.notify_all();
        }
    }

    /// What hangs is written yet if its disk ever answers, before anything else is there.
    fn write(&self, path: &Path, value: &str) -> io::Result<()> {
        let (write, file, value) = (self.write, path.to_path_buf(), value.to_string());
        let folder = path.parent().unwrap_or(path);
        let work = move || write(&file, &value);
        hang::within(folder, WRITE_WITHIN, work).and_then(|written| written)
    }

    /// The next file to write; `None` when there will be no more.
    fn next(&self) -> Option<(PathBuf, String)> {
        let idle = |wishes: &mut Wishes| wishes.files.is_empty() && !wishes.is_stopped;
        let mut wishes = locked(&self.wishes);
        if wishes.failed.is_empty() {
            wishes = self
                .changed
                .wait_while(wishes, idle)
                .unwrap_or_else(PoisonError::into_inner);
        } else {
            let rested = self.changed.wait_timeout_while(wishes, RETRY_EVERY, idle);
            wishes = rested.unwrap_or_else(PoisonError::into_inner).0;
            if wishes.files.is_empty() && !wishes.is_stopped {
                wishes.files = std::mem::take(&mut wishes.failed);
            }
        }
        if wishes.files.is_empty() {
            return None;
        }
        wishes.is_writing = true;
        Some(wishes.files.remove(0))
    }
}

/// Replaces the file as a whole. keepalived watches the directory and sees the rename.
fn write(path: &Path, value: &str) -> io::Result<()> {
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    name.push(".new");
    let new = path.with_file_name(name);
    // What is there may lead elsewhere, or be a pipe that nobody reads: in a folder such as /tmp
    // anybody may have put it there. What is made afresh is ours.
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).open(&new)?;
    file.write_all(format!("{value}\n").as_bytes())?;
    drop(file);
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    fn folder(name: &str) -> PathBuf {
        let name = format!("failover-track-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn the_last_value_is_written_before_the_end() {
        let folder = folder("last");
        let files = TrackFiles::start(Log::none()).unwrap();
        for value in 0..100 {
            files.set(&folder.join("a"), &value.to_string());
            files.set(&folder.join("b"), "1");
        }
        drop(files);
        assert_eq!(fs::read_to_string(folder.join("a")).unwrap(), "99\n");
        assert_eq!(fs::read_to_string(folder.join("b")).unwrap(), "1\n");
        assert_eq!(
            fs::read_dir(&folder).unwrap().count(),
            2,
            "nothing is left over"
        );
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_cannot_be_written_delays_no_other_and_is_tried_again() {
        let folder = folder("retry");
        let files = TrackFiles::start(Log::none()).unwrap();
        files.set(&folder.join("missing/a"), "1");
        files.set(&folder.join("b"), "0");
        let until = SystemClock.now() + Duration::from_secs(30);
        let says = |path: &Path, value: &str| {
            let says_it = || fs::read_to_string(path).is_ok_and(|text| text == value);
            while !says_it() && SystemClock.now() < until {
                std::thread::yield_now();
            }
            assert!(says_it(), "{path:?} does not say {value:?}");
        };
        says(&folder.join("b"), "0\n");
        fs::create_dir(folder.join("missing")).unwrap();
        says(&folder.join("missing/a"), "1\n");
        drop(files);
        fs::remove_dir_all(&folder).unwrap();
    }

    /// Whoever writes into a folder `hangs` waits until this is let go.
    static GATE: Mutex<()> = Mutex::new(());

    fn write_through_gate(path: &Path, value: &str) -> io::Result<()> {
        if path
            .parent()
            .is_some_and(|folder| folder.ends_with("hangs"))
        {
            drop(locked(&GATE));
        }
        write(path, value)
    }

    #[test]
    fn a_disk_that_hangs_delays_no_other_file_and_gets_the_last_value() {
        let (folder, log) = (folder("hangs-and-not"), Log::to_memory());
        fs::create_dir(folder.join("hangs")).unwrap();
        let files = TrackFiles::start_with(write_through_gate, log.clone()).unwrap();
        let says = |name: &str, value: &str| {
            let until = SystemClock.now() + Duration::from_secs(30);
            let says_it = || fs::read_to_string(folder.join(name)).is_ok_and(|text| text == value);
            while !says_it() && SystemClock.now() < until {
                std::thread::yield_now();
            }
            assert!(says_it(), "{name:?} does not say {value:?}");
        };
        let gate = locked(&GATE);
        for number in 0..200 {
            files.set(&folder.join(format!("hangs/{number}")), "0");
        }
        for value in 0..20 {
            files.set(&folder.join("hangs/0"), &format!("{value}"));
            files.set(&folder.join("well"), &format!("{value}"));
            says("well", &format!("{value}\n"));
        }
        let line = log.lines().remove(0);
        let begins = format!("track-file {:?}", folder.join("hangs"));
        let begins = begins.trim_end_matches('"');
        let ends = " cannot be written: did not answer within 1 s";
        assert!(line.starts_with(begins) && line.ends_with(ends), "{line}");
        drop(gate);
        says("hangs/0", "19\n");
        says("hangs/199", "0\n");
        drop(files);
        fs::remove_dir_all(&folder).unwrap();
    }

    /// A write that fails when this is let go, of the first value only.
    static FAILS: Mutex<()> = Mutex::new(());

    fn write_late(path: &Path, value: &str) -> io::Result<()> {
        if value != "old" {
            return write(path, value);
        }
        let _ = fs::write(path.with_file_name("begun"), "");
        drop(locked(&FAILS));
        Err(io::ErrorKind::StorageFull.into())
    }

    #[test]
    fn what_could_not_be_written_is_not_tried_again_after_what_is_newer() {
        let (folder, log) = (folder("newer"), Log::to_memory());
        let files = TrackFiles::start_with(write_late, log.clone()).unwrap();
        let gate = locked(&FAILS);
        files.set(&folder.join("a"), "old");
        while !folder.join("begun").exists() {
            std::thread::yield_now();
        }
        files.set(&folder.join("a"), "new");
        drop(gate);
        while !folder.join("a").exists() {
            std::thread::yield_now();
        }
        // Had it been kept, it would be there by then.
        files.set(&folder.join("b"), "new");
        while !folder.join("b").exists() {
            std::thread::yield_now();
        }
        assert!(locked(&files.0.wishes).failed.is_empty());
        drop(files);
        assert_eq!(log.lines().len(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_is_meant_no_more_is_not_tried_again() {
        let folder = folder("meant");
        let files = TrackFiles::start(Log::none()).unwrap();
        for name in ["missing/a", "missing/b"] {
            files.set(&folder.join(name), "1");
        }
        while locked(&files.0.wishes).failed.len() < 2 {
            std::thread::yield_now();
        }
        files.keep_only(&|path| path.ends_with("b"));
        fs::create_dir(folder.join("missing")).unwrap();
        while !folder.join("missing/b").exists() {
            std::thread::yield_now();
        }
        drop(files);
        assert!(!folder.join("missing/a").exists());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn each_file_that_cannot_be_written_is_named() {
        let (folder, log) = (folder("named"), Log::to_memory());
        let files = TrackFiles::start(log.clone()).unwrap();
        files.set(&folder.join("missing/a"), "1");
        files.set(&folder.join("missing/b"), "0");
        drop(files);
        let told = log.lines();
        for name in ["a", "b"] {
            let is_named = |line: &String| line.contains(&format!("missing/{name}\" cannot be"));
            assert_eq!(
                told.iter().filter(|line| is_named(line)).count(),
                1,
                "{told:?}"
            );
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_somebody_else_put_beside_it_is_replaced_and_not_followed() {
        let folder = folder("link");
        let theirs = folder.join("theirs");
        fs::write(&theirs, "precious").unwrap();
        std::os::unix::fs::symlink(&theirs, folder.join(".a.new")).unwrap();
        std::os::unix::fs::symlink(&theirs, folder.join("a")).unwrap();
        let files = TrackFiles::start(Log::none()).unwrap();
        files.set(&folder.join("a"), "1");
        drop(files);
        assert_eq!(fs::read_to_string(&theirs).unwrap(), "precious");
        assert_eq!(fs::read_to_string(folder.join("a")).unwrap(), "1\n");
        assert!(fs::symlink_metadata(folder.join("a")).unwrap().is_file());
        fs::remove_dir_all(&folder).unwrap();
    }
}
