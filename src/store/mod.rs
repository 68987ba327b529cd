//! The state directory: one small file for each thing that must outlive a restart.
//!
//! A file is replaced as a whole: temporary file, fsync, rename, fsync of the directory, so that
//! whatever kills us leaves the old value or the new one. All writing is done by one thread, so
//! that a slow disk blocks nobody; who has to know that it is done waits for it. A file that is
//! damaged is set aside and told of, and everything goes on without it. What the values mean is
//! not known here, and nothing is logged: who opens the store says where complaints go.
//!
//! `NAME.state` holds a value (a `/` of the name is a `+`), `NAME.new` one that is being
//! written, `NAME.damaged` one that was set aside, and `lock` keeps a second daemon out (flock(2)).
#![forbid(unsafe_code)]

mod file;

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::locked;
use crate::error::Error;
use crate::order;
use crate::sys::boot;
use crate::sys::file::{lock_now, make_directory, read_at_most, unlock};
use crate::sys::thread::{self, Stack};
use file::{HEAD_BYTES_MAX, Parsed, file_name, parse, render};

/// A value's length at most: a plan's whole journal is a few KiB.
const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// Names that wait to be written at most; more than there are components and plans.
const QUEUE_MAX: usize = 4_096;

/// How long who waits for the disk waits. One that takes longer is as good as gone.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// The pause after something could not be written, unless somebody waits for it.
const RETRY_EVERY: Duration = Duration::from_secs(10);

/// How long the end of the program waits for the disk.
const END_WITHIN: Duration = Duration::from_secs(5);

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Told what went wrong, in a sentence. It may come often.
type Complain = Box<dyn Fn(&str) + Send + Sync>;

/// A directory of values that are kept safely, locked against other processes.
///
/// ```
/// use failover::Store;
///
/// let directory = std::env::temp_dir().join(format!("failover-store-{}", std::process::id()));
/// let store = Store::open(&directory, |trouble| eprintln!("{trouble}"))?;
/// assert!(Store::open(&directory, |_| {}).is_err(), "only one process has it");
/// store.put_and_wait("latch/web", b"armed")?;
///
/// let stored = store.load("latch/web").unwrap();
/// assert_eq!(stored.bytes, b"armed");
/// # drop(store);
/// # std::fs::remove_dir_all(&directory).unwrap();
/// # Ok::<(), failover::Error>(())
/// ```
pub struct Store(Arc<Inner>);

struct Inner {
    path: PathBuf,
    /// To have its entries written.
    directory: File,
    /// Locked until the writer has ended.
    lock: File,
    /// This boot, read once.
    boot_id: Option<String>,
    complain: Complain,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    /// The writer has taken a job out and is at it.
    is_writing: bool,
    /// After a failure nothing is tried for a while unless somebody waits for it.
    is_resting: bool,
    has_thread: bool,
    is_stopped: bool,
}

/// The last that was wished for one name.
struct Job {
    name: String,
    /// `None` removes it.
    value: Option<Vec<u8>>,
    waiters: Vec<Arc<Ticket>>,
}

/// What became of what somebody waits for.
type Ticket = Mutex<Option<Result<(), String>>>;

/// A value, and how old it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The value.
    pub bytes: Vec<u8>,
    /// How long ago it was put.
    pub age: Age,
}

/// How long ago something was put, as far as that can be told. The wall clock is not asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// At least that long ago, during this very boot of the machine; exactly that long unless a
    /// container's own uptime started again.
    Exactly(Duration),
    /// Before the machine was started, or nobody can tell: take the cautious side.
    Unknown,
}

impl Store {
    /// Opens a state directory, and makes it if it is not there. `complain` is told of everything
    /// that goes wrong later: a full disk, a damaged file.
    ///
    /// # Errors
    /// [`ErrorKind::Taken`](crate::ErrorKind::Taken) when another process has it;
    /// [`ErrorKind::System`](crate::ErrorKind::System) when it cannot be made, locked or written.
    pub fn open(
        directory: impl Into<PathBuf>,
        complain: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Store, Error> {
        let path = directory.into();
        let failed = |error| Error::system(format!("the state directory {path:?} failed"), error);
        make_directories(&path).map_err(failed)?;
        let lock = open_to_write(&path.join("lock"), false).map_err(failed)?;
        if !lock_now(&lock).map_err(failed)? {
            return Err(Error::taken(format!(
                "another failover has the state directory {path:?}; expected one of its own"
            )));
        }
        remove_unfinished(&path).map_err(failed)?;
        let inner = Inner {
            directory: File::open(&path).map_err(failed)?,
            lock,
            boot_id: boot::boot_id(),
            complain: Box::new(complain),
            queue: Mutex::default(),
            changed: Condvar::new(),
            path,
        };
        Ok(Store(Arc::new(inner)))
    }

    /// Has a value written soon, and returns at once. Of several for one name the last is written.
    /// What cannot be written is complained of and tried again.
    ///
    /// # Errors
    /// A name that cannot be used (expected is a component's, or several joined by `/`); a value
    /// of over 1 MiB; too much waits already.
    pub fn put(&self, name: &str, value: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.wish(name, Some(value.into()), None)
    }

    /// Has a value written, and returns when it is on the disk, or 10 s have passed.
    ///
    /// # Errors
    /// As for [`put`](Store::put); it could not be written, and is not tried again; it was not
    /// written in time, and may be yet.
    pub fn put_and_wait(&self, name: &str, value: impl Into<Vec<u8>>) -> Result<(), Error> {
        self.wish_and_wait(name, Some(value.into()))
    }

    /// Has a value removed soon, if it is there, and returns at once.
    ///
    /// # Errors
    /// As for [`put`](Store::put).
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        self.wish(name, None, None)
    }

    /// Has a value removed, and returns when the disk says so, or 10 s have passed.
    ///
    /// # Errors
    /// As for [`put_and_wait`](Store::put_and_wait).
    pub fn remove_and_wait(&self, name: &str) -> Result<(), Error> {
        self.wish_and_wait(name, None)
    }

    /// The value on the disk; `None` when there is none, or none that can be read, which is
    /// complained of. What was put a moment ago may not be there yet.
    pub fn load(&self, name: &str) -> Option<Stored> {
        let file = file_name(name).ok()?;
        let path = self.0.path.join(format!("{file}.state"));
        let bytes = match read_whole(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                (self.0.complain)(&format!("{path:?} cannot be read: {error}"));
                return None;
            }
        };
        match parse(&bytes) {
            Ok(parsed) => Some(Stored {
                age: self.0.age(&parsed),
                bytes: parsed.value.to_vec(),
            }),
            Err(what) => {
                let aside = self.0.path.join(format!("{file}.damaged"));
                let moved = match fs::rename(&path, &aside) {
                    Ok(()) => format!("it is now {aside:?}"),
                    Err(error) => format!("it stays, for setting it aside failed: {error}"),
                };
                (self.0.complain)(&format!(
                    "{path:?} is damaged ({what}); going on without it, {moved}"
                ));
                None
            }
        }
    }

    /// The names of all values on the disk, sorted.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn names(&self) -> Result<Vec<String>, Error> {
        let path = &self.0.path;
        let files = files(path).map_err(|error| {
            Error::system(format!("reading the directory {path:?} failed"), error)
        })?;
        let names = files
            .iter()
            .filter_map(|file| file.strip_suffix(".state"))
            .map(|name| name.replace('+', "/"));
        // A file that somebody else left here is nobody's value.
        let mut names: Vec<String> = names.filter(|name| file_name(name).is_ok()).collect();
        order::sort(&mut names, Ord::cmp);
        Ok(names)
    }

    /// Waits until all that was put is written or has failed, at most that long. Whether it is so.
    pub fn flush(&self, at_most: Duration) -> bool {
        let busy = |queue: &mut Queue| queue.is_writing || !queue.jobs.is_empty();
        let mut queue = locked(&self.0.queue);
        queue.is_resting = false;
        self.0.changed.notify_all();
        let waited = self.0.changed.wait_timeout_while(queue, at_most, busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    fn wish_and_wait(&self, name: &str, value: Option<Vec<u8>>) -> Result<(), Error> {
        let failed =
            |error: io::Error| Error::system(format!("{name:?} could not be stored"), error);
        let ticket = Arc::new(Ticket::default());
        self.wish(name, value, Some(ticket.clone()))?;
        let queue = locked(&self.0.queue);
        let is_open = |_: &mut Queue| locked(&ticket).is_none();
        let waited = self.0.changed.wait_timeout_while(queue, WAIT_MAX, is_open);
        drop(waited);
        match locked(&ticket).take() {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => Err(failed(io::Error::other(why))),
            None => Err(failed(io::ErrorKind::TimedOut.into())),
        }
    }

    fn wish(
        &self,
        name: &str,
        value: Option<Vec<u8>>,
        ticket: Option<Arc<Ticket>>,
    ) -> Result<(), Error> {
        file_name(name)?;
        let len = value.as_ref().map_or(0, Vec::len);
        if len > VALUE_BYTES_MAX {
            return Err(Error::invalid(format!(
                "the value of {name:?} has {len} bytes; expected {VALUE_BYTES_MAX} at most"
            )));
        }
        let mut queue = locked(&self.0.queue);
        if !queue.has_thread {
            let inner = self.0.clone();
            let spawned = thread::spawn("store", Stack::Ours, move || inner.work());
            spawned.map_err(|error| Error::system("no thread for the store", error))?;
            queue.has_thread = true;
        }
        queue.is_resting &= ticket.is_none();
        if let Some(job) = queue.jobs.iter_mut().find(|job| job.name == name) {
            job.value = value;
            job.waiters.extend(ticket);
        } else if queue.jobs.len() < QUEUE_MAX {
            queue.jobs.push(Job {
                name: name.to_string(),
                value,
                waiters: ticket.into_iter().collect(),
            });
        } else {
            return Err(Error::system(
                format!("{QUEUE_MAX} values wait to be stored, so {name:?} cannot"),
                io::ErrorKind::StorageFull.into(),
            ));
        }
        drop(queue);
        self.0.changed.notify_all();
        Ok(())
    }
}

impl Drop for Store {
    /// Writes what waits, each once.
    fn drop(&mut self) {
        let mut queue = locked(&self.0.queue);
        queue.is_stopped = true;
        self.0.changed.notify_all();
        let works = |queue: &mut Queue| queue.has_thread;
        let waited = self.0.changed.wait_timeout_while(queue, END_WITHIN, works);
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !queue.has_thread {
            // Without this it is given back when the file is closed, a moment later.
            let _ = unlock(&self.0.lock);
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.0.path).finish()
    }
}

impl Inner {
    /// The writer, until the store is dropped and all is written.
    fn work(&self) {
        while let Some(job) = self.next() {
            let done = self.carry_out(&job);
            let mut queue = locked(&self.queue);
            queue.is_writing = false;
            for waiter in &job.waiters {
                let result = done.as_ref().copied().map_err(ToString::to_string);
                *locked(waiter) = Some(result);
            }
            if let Err(error) = done {
                let name = job.name.clone();
                // Who waited knows, and does not expect it to come true later.
                let is_newer = queue.jobs.iter().any(|other| other.name == name);
                if job.waiters.is_empty() && !is_newer && !queue.is_stopped {
                    queue.jobs.push(job);
                    queue.is_resting = true;
                }
                drop(queue);
                let path = &self.path;
                (self.complain)(&format!("{name:?} cannot be stored in {path:?}: {error}"));
            }
            self.changed.notify_all();
        }
        locked(&self.queue).has_thread = false;
        self.changed.notify_all();
    }

    fn next(&self) -> Option<Job> {
        let idle = |queue: &mut Queue| queue.jobs.is_empty() && !queue.is_stopped;
        let rests = |queue: &mut Queue| queue.is_resting && !queue.is_stopped;
        let mut queue = locked(&self.queue);
        queue = self
            .changed
            .wait_timeout_while(queue, RETRY_EVERY, rests)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
        queue.is_resting = false;
        queue = self
            .changed
            .wait_while(queue, idle)
            .unwrap_or_else(PoisonError::into_inner);
        if queue.jobs.is_empty() {
            return None;
        }
        queue.is_writing = true;
        // First come, first served; those that somebody waits for before all others.
        let urgent = queue.jobs.iter().position(|job| !job.waiters.is_empty());
        Some(queue.jobs.remove(urgent.unwrap_or(0)))
    }

    fn carry_out(&self, job: &Job) -> io::Result<()> {
        let name = file_name(&job.name).map_err(|error| io::Error::other(error.to_string()))?;
        let state = self.path.join(format!("{name}.state"));
        match &job.value {
            Some(value) => {
                let new = self.path.join(format!("{name}.new"));
                let written = self.write(&new, value);
                let replaced = written.and_then(|()| fs::rename(&new, &state));
                if let Err(error) = replaced {
                    // On a disk that is full every byte counts.
                    let _ = fs::remove_file(&new);
                    return Err(error);
                }
            }
            None => match fs::remove_file(&state) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                removed => removed?,
            },
        }
        match self.directory.sync_all() {
            // A file system that cannot do that for directories (fsync(2)) does it by itself.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        }
    }

    fn write(&self, path: &Path, value: &[u8]) -> io::Result<()> {
        let bytes = render(self.boot_id.as_deref(), boot::uptime(), value);
        let mut file = open_to_write(path, true)?;
        file.write_all(&bytes)?;
        file.sync_all()
    }

    fn age(&self, parsed: &Parsed<'_>) -> Age {
        let same_boot = self.boot_id.is_some() && self.boot_id.as_deref() == parsed.boot_id;
        let age = match (parsed.uptime, boot::uptime()) {
            (Some(then), Some(now)) if same_boot => now.checked_sub(then),
            _ => None,
        };
        age.map_or(Age::Unknown, Age::Exactly)
    }
}

fn open_to_write(path: &Path, afresh: bool) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(afresh)
        .mode(FILE_MODE)
        .open(path)
}

/// Makes a directory that is not there, and what it is to be in.
fn make_directories(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        make_directories(above)?;
    }
    match make_directory(path, DIRECTORY_MODE) {
        // Somebody else may have made it meanwhile.
        Err(_) if path.is_dir() => Ok(()),
        made => made,
    }
}

/// What one who was killed was writing.
fn remove_unfinished(directory: &Path) -> io::Result<()> {
    for file in files(directory)? {
        if file.ends_with(".new") {
            fs::remove_file(directory.join(file))?;
        }
    }
    Ok(())
}

/// The names of the files, as far as they are text.
fn files(directory: &Path) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        files.extend(entry?.file_name().into_string());
    }
    Ok(files)
}

/// Reads a file that may be too long, and one byte more than it may have then.
fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let len_max = HEAD_BYTES_MAX + VALUE_BYTES_MAX + 1;
    read_at_most(path, len_max as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANOTHER_BOOT: &str = "01234567-89ab-cdef-0123-456789abcdef";

    #[test]
    fn an_age_is_known_within_a_boot_only() {
        let path = std::env::temp_dir().join(format!("failover-ages-{}", std::process::id()));
        let store = Store::open(&path, |_| {}).unwrap();
        store.put_and_wait("now", "x").unwrap();
        let young = store.load("now").unwrap().age;
        assert!(matches!(young, Age::Exactly(age) if age < Duration::from_secs(3_600)));
        let boot_id = boot::boot_id();
        let uptime = boot::uptime().unwrap();
        let hour = Duration::from_secs(3_600);
        for (boot_id, then) in [
            (Some(ANOTHER_BOOT), Some(uptime)),
            (None, Some(uptime)),
            (boot_id.as_deref(), None),
            // The uptime of a container that was started again.
            (boot_id.as_deref(), Some(uptime + hour)),
        ] {
            fs::write(path.join("old.state"), render(boot_id, then, b"x")).unwrap();
            assert_eq!(store.load("old").unwrap().age, Age::Unknown);
        }
        drop(store);
        fs::remove_dir_all(path).unwrap();
    }
}
