//! Logging that never blocks: lines go to a bounded queue, one thread writes them.
//!
//! What does not fit is counted, and the count is the next line that does. It decides nothing: who
//! logs says how grave it is.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::clock::locked;
use crate::sys::thread::{self, Stack};

/// How grave a line is; the words are syslog's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something does not work, and a human has to see to it.
    Error,
    /// Something may not work.
    Warning,
    /// Normal, and worth knowing: a component's state changed.
    Notice,
    /// For the curious.
    Info,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
            Level::Notice => "notice",
            Level::Info => "info",
        }
    }
}

/// Lines that wait to be written at most.
const QUEUE_MAX: usize = 1_024;

/// A line's length in bytes at most; the rest is cut.
const LINE_MAX: usize = 2_048;

/// Where lines go. Clones are the same log.
#[derive(Clone)]
pub struct Log(Option<Arc<Queue>>);

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<String>,
    dropped: usize,
    is_writing: bool,
    has_thread: bool,
}

impl Log {
    /// To standard error, each line with the time and its level. The writing thread is started
    /// with the first line.
    pub fn to_stderr() -> Log {
        Log(Some(Arc::default()))
    }

    /// To nowhere.
    pub fn none() -> Log {
        Log(None)
    }

    /// To memory, for tests: nothing is written.
    #[cfg(test)]
    pub(crate) fn to_memory() -> Log {
        let queue = Queue::default();
        // Said to have a thread, so that none takes the lines away.
        locked(&queue.waiting).has_thread = true;
        Log(Some(Arc::new(queue)))
    }

    /// What was logged to memory so far, without times and levels.
    #[cfg(test)]
    pub(crate) fn lines(&self) -> Vec<String> {
        let Some(queue) = &self.0 else {
            return Vec::new();
        };
        let waiting = locked(&queue.waiting);
        let text = |line: &String| {
            line.split_once(": ")
                .map(|(_, text)| text.trim_end().into())
        };
        waiting.lines.iter().filter_map(text).collect()
    }

    /// Logs one line.
    pub fn line(&self, level: Level, text: fmt::Arguments<'_>) {
        let Some(queue) = &self.0 else { return };
        let mut line = format!("{} {}: {text}", stamp(SystemTime::now()), level.word());
        // A line is a line whatever was put into it.
        line.retain(|c| !c.is_control());
        line = format!("{}\n", cut(&line, LINE_MAX));
        let mut waiting = locked(&queue.waiting);
        if waiting.lines.len() >= QUEUE_MAX {
            waiting.dropped += 1;
            return;
        }
        waiting.lines.push_back(line);
        if !waiting.has_thread {
            let writer = queue.clone();
            // Without a thread the lines wait, and the next line tries again.
            waiting.has_thread = thread::spawn("log", Stack::Ours, move || {
                writer.write_out(&mut io::stderr())
            })
            .is_ok();
        }
        drop(waiting);
        queue.changed.notify_all();
    }

    /// Waits until all that was logged is written, at most that long.
    pub fn flush(&self, at_most: Duration) {
        let Some(queue) = &self.0 else { return };
        let waiting = locked(&queue.waiting);
        let busy = |waiting: &mut Waiting| {
            waiting.has_thread && (waiting.is_writing || !waiting.lines.is_empty())
        };
        drop(queue.changed.wait_timeout_while(waiting, at_most, busy));
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Log(stderr)"
        } else {
            "Log(none)"
        })
    }
}

impl Queue {
    fn write_out(&self, to: &mut dyn Write) {
        loop {
            let batch = self.next_batch();
            // Nobody can be told that standard error is gone.
            let _ = to.write_all(batch.as_bytes());
            locked(&self.waiting).is_writing = false;
            self.changed.notify_all();
        }
    }

    fn next_batch(&self) -> String {
        let waiting = locked(&self.waiting);
        let mut waiting = self
            .changed
            .wait_while(waiting, |waiting| waiting.lines.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        waiting.is_writing = true;
        let mut batch = String::new();
        while let Some(line) = waiting.lines.pop_front() {
            batch += &line;
        }
        if waiting.dropped > 0 {
            let (stamp, dropped) = (stamp(SystemTime::now()), waiting.dropped);
            batch += &format!("{stamp} warning: {dropped} log lines were dropped\n");
            waiting.dropped = 0;
        }
        batch
    }
}

/// The longest beginning of a text that is at most that many bytes.
fn cut(text: &str, at_most: usize) -> &str {
    let end = (0..=at_most.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}

/// What is logged of troubles that come in floods: one line, then silence for a while, then how
/// many more there were.
///
/// Errors have a silence of their own: most of the others can be brought about by strangers, who
/// must not keep an error from being told.
#[derive(Default)]
pub(crate) struct Complaints {
    errors: Mutex<Complained>,
    others: Mutex<Complained>,
}

#[derive(Default)]
struct Complained {
    last: Option<Instant>,
    silent: usize,
}

/// The silence after a complaint.
const COMPLAINT_EVERY: Duration = Duration::from_secs(10);

impl Complaints {
    /// Logs it, or counts it.
    pub(crate) fn line(&self, log: &Log, level: Level, text: fmt::Arguments<'_>) {
        let mut complained = locked(match level {
            Level::Error => &self.errors,
            _ => &self.others,
        });
        if complained
            .last
            .is_some_and(|last| last.elapsed() < COMPLAINT_EVERY)
        {
            complained.silent += 1;
            return;
        }
        match complained.silent {
            0 => log.line(level, text),
            more => log.line(level, format_args!("{text} (and {more} more like it)")),
        }
        *complained = Complained {
            last: Some(Instant::now()),
            silent: 0,
        };
    }
}

/// 2026-01-01: a router's clock that is before this has not been set since it was switched on.
const NOT_BEFORE: u64 = 1_767_225_600;

/// `2026-11-21T03:11:00Z`, or `-` when the wall clock is not set.
fn stamp(time: SystemTime) -> String {
    since_1970(time).map_or_else(|| String::from("-"), |time| date(time.as_secs()))
}

/// How long after the beginning of 1970 this is; `None` when the wall clock that said it is not
/// set.
pub(crate) fn since_1970(time: SystemTime) -> Option<Duration> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    (since.as_secs() >= NOT_BEFORE).then_some(since)
}

/// So many seconds after the beginning of 1970 as `2026-11-21T03:11:00Z` (RFC 3339).
pub(crate) fn date(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Days since 1970 to year, month and day of the Gregorian calendar, counted in years that begin
/// in March, so that the leap day is the last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_utc() {
        for (seconds, text) in [
            (1_767_225_600, "2026-01-01T00:00:00Z"),
            (1_835_395_199, "2028-02-28T23:59:59Z"),
            (1_835_395_200, "2028-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (100, "-"),
        ] {
            assert_eq!(stamp(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_full_queue_drops_counts_and_says_so() {
        let queue = Arc::new(Queue::default());
        // Said to have a thread, so that none takes the lines away.
        locked(&queue.waiting).has_thread = true;
        let log = Log(Some(queue.clone()));
        for n in 0..QUEUE_MAX + 3 {
            log.line(Level::Notice, format_args!("line {n}"));
        }
        let batch = queue.next_batch();
        assert_eq!(batch.lines().count(), QUEUE_MAX + 1);
        assert!(batch.ends_with("warning: 3 log lines were dropped\n"));
    }

    #[test]
    fn a_line_stays_one_line_of_bounded_length() {
        let queue = Arc::new(Queue::default());
        locked(&queue.waiting).has_thread = true;
        let log = Log(Some(queue.clone()));
        log.line(
            Level::Error,
            format_args!("a\nb\x1b[2J{}", "é".repeat(LINE_MAX)),
        );
        let batch = queue.next_batch();
        assert!(batch.contains("error: ab[2Jé"));
        assert!(batch.len() <= LINE_MAX + 1);
        assert_eq!(batch.matches('\n').count(), 1);
    }

    #[test]
    fn what_strangers_bring_about_keeps_no_error_from_being_told() {
        let (log, complaints) = (Log::to_memory(), Complaints::default());
        for n in 0..3 {
            complaints.line(&log, Level::Warning, format_args!("stranger {n}"));
            complaints.line(&log, Level::Error, format_args!("trouble {n}"));
        }
        assert_eq!(log.lines(), ["stranger 0", "trouble 0"]);
    }
}
