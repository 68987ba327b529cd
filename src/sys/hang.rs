//! What a disk or a server of files may never answer, on a thread of its own that nobody has to
//! wait for: a file on a dead NFS server holds whoever opens it for ever, and nothing ends that.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::thread::{self, Stack};

/// Threads at most: as many heartbeats as may have their files on one server that is gone, so that
/// those elsewhere are read yet.
const BUSY_MAX: usize = 1_000;

/// What is being done, by what it is done to.
static BUSY: Mutex<Vec<Busy>> = Mutex::new(Vec::new());

/// Something was done.
static DONE: Condvar = Condvar::new();

/// What came of it.
type Done = Box<dyn Any + Send>;

struct Busy {
    place: PathBuf,
    /// When nobody waits for it any more.
    late_at: Instant,
}

/// Does `work`, and waits for it at most that long. For one `place` one thing is done at a time:
/// while one takes longer than that, the next are refused at once, so that at most one thread hangs
/// for each place.
///
/// # Errors
/// It is not done in time, and may be yet; no thread could be had.
pub(crate) fn within<T: Send + 'static>(
    place: &Path,
    at_most: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let work = move || Box::new(work()) as Done;
    let done = run(place, at_most, Box::new(work))?;
    // Invariant: it is what `work` made.
    done.downcast().map(|it| *it).map_err(|_| late(at_most))
}

/// One for all results.
fn run(
    place: &Path,
    at_most: Duration,
    work: Box<dyn FnOnce() -> Done + Send>,
) -> io::Result<Done> {
    let late_at = Instant::now() + at_most;
    let mut busy = locked(&BUSY);
    while let Some(one) = busy.iter().find(|one| one.place == place) {
        let until = one.late_at.min(late_at);
        busy = wait(busy, until).ok_or_else(|| late(at_most))?;
    }
    if busy.len() >= BUSY_MAX {
        return Err(late(at_most));
    }
    let place = place.to_path_buf();
    busy.push(Busy {
        place: place.clone(),
        late_at,
    });
    drop(busy);
    let result = Arc::new(Mutex::new(None));
    let given = result.clone();
    // Dropped without having run where there is no thread, and also if the work panics.
    let end = End(place);
    thread::spawn("file", Stack::Ours, move || {
        let _end = end;
        let done = work();
        *locked(&given) = Some(done);
    })?;
    let mut busy = Some(locked(&BUSY));
    loop {
        if let Some(done) = locked(&result).take() {
            return Ok(done);
        }
        busy = match busy {
            Some(held) => wait(held, late_at),
            None => return Err(late(at_most)),
        };
    }
}

/// Waits until something is done, or longer than until then: `None`.
fn wait(
    busy: MutexGuard<'static, Vec<Busy>>,
    until: Instant,
) -> Option<MutexGuard<'static, Vec<Busy>>> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return None;
    }
    let waited = DONE.wait_timeout(busy, left);
    Some(waited.unwrap_or_else(PoisonError::into_inner).0)
}

fn late(at_most: Duration) -> io::Error {
    let text = format!("did not answer within {} s", at_most.as_secs());
    io::Error::new(io::ErrorKind::TimedOut, text)
}

/// Nothing is done there any more.
struct End(PathBuf);

impl Drop for End {
    fn drop(&mut self) {
        let mut busy = locked(&BUSY);
        let at = busy.iter().position(|one| one.place == self.0);
        at.map(|at| busy.swap_remove(at));
        DONE.notify_all();
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn what_is_done_is_answered_one_after_the_other() {
        let place = Path::new("/test/one");
        let mut threads = Vec::new();
        for number in 0..20 {
            let ask = move || within(place, LONG, move || number).unwrap();
            threads.push(std::thread::spawn(ask));
        }
        let answers = threads.into_iter().map(|thread| thread.join().unwrap());
        assert_eq!(answers.sum::<i32>(), 190);
    }

    #[test]
    fn what_hangs_hangs_once_and_holds_no_other() {
        let place = Path::new("/test/hangs");
        let (end, ends) = mpsc::channel::<()>();
        let error = within(place, SHORT, move || ends.recv()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        for _ in 0..1_000 {
            let again = within(place, LONG, || panic!("a second thread"));
            let message = again.unwrap_err().to_string();
            assert_eq!(message, "did not answer within 60 s");
        }
        assert_eq!(within(Path::new("/test/other"), LONG, || 7).unwrap(), 7);
        end.send(()).unwrap();
        while within(place, LONG, || ()).is_err() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn who_comes_second_waits_no_longer_than_it_says() {
        let place = Path::new("/test/second");
        let (end, ends) = mpsc::channel::<()>();
        let first = std::thread::spawn(move || within(place, LONG, move || ends.recv()));
        while !locked(&BUSY).iter().any(|one| one.place == place) {
            std::thread::yield_now();
        }
        assert!(within(place, SHORT, || ()).is_err());
        end.send(()).unwrap();
        assert!(first.join().unwrap().is_ok());
    }

    #[test]
    fn a_panic_is_an_error_and_the_place_is_free() {
        let place = Path::new("/test/panics");
        assert!(within(place, SHORT, || panic!("on purpose")).is_err());
        while within(place, LONG, || ()).is_err() {
            std::thread::yield_now();
        }
    }
}
