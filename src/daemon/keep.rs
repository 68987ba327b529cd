//! What outlives a restart: manual resets that are due, and maintenance.
//!
//! Each is one small value in the state directory, `latch/NAME` and `maint/NAME`. Without a state
//! directory nothing is kept, and everything else works. What a value means is known here only.
//!
//! What is kept of a component that the configuration does not have is told of at the start, and
//! stays: a name that was misspelt must cost nobody a reset that is due. A reload, which a human
//! asks for who sees what it does, forgets the maintenance of components that are gone; it never
//! takes a component away whose reset is due.
//!
//! ```text
//! latch/NAME   due
//! maint/NAME   drain | hold ok | hold fail
//!              SECONDS left when it was put, or ever
//!              the human's reason
//! ```
#![forbid(unsafe_code)]

use std::mem;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::{Moment, locked};
use crate::component::Components;
use crate::error::Error;
use crate::health::maint::BECAUSE_LEN_MAX;
use crate::health::{Maint, Mode, State};
use crate::log::{Complaints, Level, Log};
use crate::store::{Age, Store, Stored};

/// How long the end waits for the disk.
const END_WITHIN: Duration = Duration::from_secs(5);

/// What is kept.
pub(super) struct Keep {
    store: Option<Store>,
    known: Mutex<Vec<Known>>,
    /// The component whose maintenance is being changed on disk and in force. Never held over a
    /// wait for the disk: who is told of events looks here, and must not hang with it.
    changing: Mutex<Option<String>>,
    log: Log,
}

/// What is known of one component, which need not be in the configuration.
struct Known {
    name: String,
    /// It was found to have failed, and not to be ok since.
    has_failed: bool,
    /// Its manual reset is due.
    is_due: bool,
    /// Its last reset was given then.
    given: Option<Moment>,
    is_in_maintenance: bool,
}

impl Keep {
    /// Opens the state directory, if there is to be one.
    ///
    /// # Errors
    /// It cannot be used, or another process has it.
    pub(super) fn open(directory: Option<&Path>, log: Log) -> Result<Keep, Error> {
        let (complaints, complain_to) = (Complaints::default(), log.clone());
        let complain = move |trouble: &str| {
            complaints.line(&complain_to, Level::Error, format_args!("{trouble}"));
        };
        let store = directory.map(|path| Store::open(path, complain));
        Ok(Keep {
            store: store.transpose()?,
            known: Mutex::default(),
            changing: Mutex::default(),
            log,
        })
    }

    /// Whether a component's reset is due, by what was kept before this start.
    pub(super) fn was_due(&self, name: &str) -> bool {
        let kept = self
            .store
            .as_ref()
            .and_then(|store| store.load(&latch(name)));
        let is_due = kept.is_some();
        if is_due {
            let mut known = locked(&self.known);
            let known = of(&mut known, name);
            (known.has_failed, known.is_due) = (true, true);
        }
        is_due
    }

    pub(super) fn is_due(&self, name: &str) -> bool {
        of(&mut locked(&self.known), name).is_due
    }

    /// A component with a manual reset is in this state, as something says that happened then.
    pub(super) fn judged(&self, name: &str, state: State, at: Moment) {
        let mut known = locked(&self.known);
        let known = of(&mut known, name);
        let has_failed = match state {
            State::Ok => false,
            State::Fail => true,
            State::Unknown => return,
        };
        // What is told once more, say because of its maintenance, is no other failure.
        if mem::replace(&mut known.has_failed, has_failed) == has_failed {
            return;
        }
        // It failed before the reset, and that is told of only now.
        let is_reset = known.given.is_some_and(|given| at <= given);
        let is_due = has_failed && !is_reset;
        if known.is_due == is_due {
            return;
        }
        known.is_due = is_due;
        // Before a reset can come in between: it is written in the order in which it happened.
        match &self.store {
            Some(store) if is_due => self.tell_of(store.put(&latch(name), "due")),
            _ => self.remove(&latch(name)),
        }
    }

    /// A human resets a component now: nobody is told so before it is on disk.
    ///
    /// # Errors
    /// It could not be written; the reset is still due after a restart.
    pub(super) fn reset(&self, name: &str, now: Moment) -> Result<(), Error> {
        let mut known = locked(&self.known);
        let reset = of(&mut known, name);
        (reset.is_due, reset.given) = (false, Some(now));
        drop(known);
        match &self.store {
            Some(store) => store.remove_and_wait(&latch(name)),
            None => Ok(()),
        }
    }

    /// Keeps a component's maintenance, or that it ended, and then has it so. To be called for one
    /// component at a time.
    ///
    /// # Errors
    /// It could not be written; nothing was changed.
    pub(super) fn maintain(
        &self,
        name: &str,
        maint: Option<Maint>,
        change: impl FnOnce(Option<Maint>),
    ) -> Result<(), Error> {
        *locked(&self.changing) = Some(name.to_string());
        let kept = match (&self.store, &maint) {
            (None, _) => Ok(()),
            (Some(store), Some(maint)) => store.put_and_wait(&maintenance(name), text_of(maint)),
            (Some(store), None) => store.remove_and_wait(&maintenance(name)),
        };
        if kept.is_ok() {
            of(&mut locked(&self.known), name).is_in_maintenance = maint.is_some();
            change(maint);
        }
        *locked(&self.changing) = None;
        kept
    }

    /// The maintenance that a component was in before this start, if it is not over.
    pub(super) fn maint(&self, name: &str, now: Moment) -> Option<Maint> {
        let store = self.store.as_ref()?;
        let stored = store.load(&maintenance(name))?;
        let maint = maint_of(&stored, now);
        of(&mut locked(&self.known), name).is_in_maintenance = maint.is_some();
        if maint.is_none() {
            self.remove(&maintenance(name));
        }
        maint
    }

    /// Tells of what is kept of components that there are not, or that have no reset.
    pub(super) fn tell_of_strangers(&self, components: &Components, now: Moment) {
        let names = self.store.as_ref().map(Store::names);
        for kept in names.iter().flatten().flatten() {
            let Some((kind, name)) = kept.split_once('/') else {
                continue;
            };
            let component = components.find(name.as_bytes());
            let has_reset = component.as_ref().is_some_and(|it| it.about().manual_reset);
            let (what, until) = match kind {
                "latch" if !has_reset => ("manual reset that is due", "its file is removed"),
                "maint" if component.is_none() && self.maint(name, now).is_some() => {
                    ("maintenance", "the next reload")
                }
                _ => continue,
            };
            self.log.line(
                Level::Warning,
                format_args!(
                    "the {what} of {name:?} has no place in this configuration; kept until it \
                     has, or {until}"
                ),
            );
        }
        if let Some(Err(error)) = names {
            self.tell_of(Err(error));
        }
    }

    /// Forgets what is known of components that there are not any more, their maintenance too.
    pub(super) fn forget_strangers(&self, components: &Components) {
        locked(&self.known).retain(|known| {
            let name = known.name.as_str();
            if components.find(name.as_bytes()).is_some() {
                return true;
            }
            if known.is_in_maintenance {
                self.log.line(
                    Level::Notice,
                    format_args!("the maintenance of {name:?} is forgotten with it"),
                );
                self.remove(&maintenance(name));
            }
            false
        });
    }

    /// Maintenance ended, unless it is in another by now.
    pub(super) fn maint_ended(&self, name: &str, has_none: impl FnOnce() -> bool) {
        let changing = locked(&self.changing);
        if changing.as_deref() == Some(name) {
            // What it comes to is on its way to the disk.
            return;
        }
        if has_none() {
            of(&mut locked(&self.known), name).is_in_maintenance = false;
            self.remove(&maintenance(name));
        }
    }

    /// Has what is to be written yet written, if the disk does not hang.
    pub(super) fn end(&self) {
        if let Some(store) = &self.store {
            store.flush(END_WITHIN);
        }
    }

    /// Soon.
    fn remove(&self, kept: &str) {
        if let Some(store) = &self.store {
            self.tell_of(store.remove(kept));
        }
    }

    fn tell_of(&self, kept: Result<(), Error>) {
        if let Err(error) = kept {
            self.log.line(Level::Error, format_args!("{error:?}"));
        }
    }
}

/// What is known of a component; nothing at first.
fn of<'a>(known: &'a mut Vec<Known>, name: &str) -> &'a mut Known {
    let at = known.iter().position(|one| one.name == name);
    let at = at.unwrap_or_else(|| {
        known.push(Known {
            name: name.to_string(),
            has_failed: false,
            is_due: false,
            given: None,
            is_in_maintenance: false,
        });
        known.len() - 1
    });
    &mut known[at]
}

fn latch(name: &str) -> String {
    format!("latch/{name}")
}

fn maintenance(name: &str) -> String {
    format!("maint/{name}")
}

fn text_of(maint: &Maint) -> String {
    let mode = match maint.mode {
        Mode::Drain => String::from("drain"),
        Mode::Hold(state) => format!("hold {state}"),
    };
    let left = match maint.until {
        Some(until) => until.since(maint.since).as_secs().to_string(),
        None => String::from("ever"),
    };
    format!("{mode}\n{left}\n{}", maint.because)
}

/// `None` for one that is over, or that is none.
fn maint_of(stored: &Stored, now: Moment) -> Option<Maint> {
    let text = std::str::from_utf8(&stored.bytes).ok()?;
    let mut lines = text.splitn(3, '\n');
    let mode = match lines.next()? {
        "drain" => Mode::Drain,
        "hold ok" => Mode::Hold(State::Ok),
        "hold fail" => Mode::Hold(State::Fail),
        _ => return None,
    };
    let until = match lines.next()? {
        "ever" => None,
        seconds => {
            let left = Duration::from_secs(seconds.parse().ok()?);
            let left = match stored.age {
                Age::Exactly(age) => left.checked_sub(age)?,
                // Over a restart of the machine nobody knows how long it was off: traffic that
                // somebody took away comes back rather too late than too early.
                Age::Unknown => left,
            };
            Some(now + left)
        }
    };
    let mut because = lines.next().unwrap_or_default().to_string();
    let mut len = because.len().min(BECAUSE_LEN_MAX);
    while !because.is_char_boundary(len) {
        len -= 1;
    }
    because.truncate(len);
    Some(Maint {
        mode,
        since: now,
        until,
        because,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use std::sync::Arc;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn stored(text: &str, age: Age) -> Stored {
        Stored {
            bytes: text.as_bytes().to_vec(),
            age,
        }
    }

    #[test]
    fn maintenance_is_read_as_it_was_written_and_goes_on_aging() {
        let clock = ManualClock::new();
        let now = clock.now();
        for mode in [Mode::Drain, Mode::Hold(State::Ok), Mode::Hold(State::Fail)] {
            for until in [None, Some(now + HOUR)] {
                let maint = Maint {
                    mode,
                    since: now,
                    until,
                    because: String::from("a\nb"),
                };
                let text = text_of(&maint);
                let at_once = stored(&text, Age::Exactly(Duration::ZERO));
                assert_eq!(maint_of(&at_once, now), Some(maint.clone()));
                let later = maint_of(&stored(&text, Age::Exactly(HOUR / 4)), now).unwrap();
                assert_eq!(later.until, until.map(|_| now + HOUR / 4 * 3));
                let rebooted = maint_of(&stored(&text, Age::Unknown), now).unwrap();
                assert_eq!(rebooted.until, until, "the cautious side");
                let over = maint_of(&stored(&text, Age::Exactly(HOUR * 2)), now);
                assert_eq!(over.is_some(), until.is_none());
            }
        }
    }

    #[test]
    fn what_is_no_maintenance_is_none() {
        let clock = ManualClock::new();
        for text in [
            "",
            "drain",
            "hold\never\n",
            "drain\n-1\n",
            "hold unknown\never\n",
            "x\n1\n",
        ] {
            let stored = stored(text, Age::Unknown);
            assert_eq!(maint_of(&stored, clock.now()), None, "{text:?}");
        }
    }

    #[test]
    fn an_end_that_is_told_meanwhile_waits_for_nobody_s_disk() {
        let name = format!("failover-keep-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let keep = Keep::open(Some(&folder), Log::none()).unwrap();
        let maint = Maint {
            mode: Mode::Drain,
            since: ManualClock::new().now(),
            until: None,
            because: String::new(),
        };
        keep.maintain("b", Some(maint.clone()), |_| {}).unwrap();
        let change = |_| {
            std::thread::scope(|scope| {
                let (told, is_told) = std::sync::mpsc::channel();
                let keep = &keep;
                scope.spawn(move || {
                    keep.maint_ended("a", || true);
                    keep.maint_ended("b", || true);
                    told.send(()).unwrap();
                });
                let within = Duration::from_secs(30);
                is_told.recv_timeout(within).expect("it waits for nobody");
            });
        };
        keep.maintain("a", Some(maint), change).unwrap();
        keep.end();
        let now = ManualClock::new().now();
        assert!(keep.maint("a", now).is_some(), "it has just come");
        assert!(keep.maint("b", now).is_none());
        drop(keep);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn nothing_is_known_of_one_that_is_gone() {
        let clock = ManualClock::new();
        let keep = Keep::open(None, Log::none()).unwrap();
        for number in 0..100 {
            let name = number.to_string();
            keep.judged(&name, State::Fail, clock.now());
            keep.reset(&name, clock.now()).unwrap();
            keep.forget_strangers(&Components::new(Arc::new(clock.clone())));
            assert_eq!(locked(&keep.known).len(), 0);
        }
    }

    #[test]
    fn what_is_told_late_of_a_failure_that_was_reset_makes_it_due_no_more() {
        let name = format!("failover-kept-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let keep = || Keep::open(Some(&folder), Log::none()).unwrap();
        let first = keep();
        let clock = ManualClock::new();
        let now = || {
            clock.advance(HOUR);
            clock.now()
        };
        first.judged("a", State::Fail, now());
        first.reset("a", now()).unwrap();
        // Its maintenance, say, before the run that follows the reset.
        first.judged("a", State::Fail, now());
        assert!(!first.is_due("a"));
        drop(first);
        let second = keep();
        assert!(
            !second.was_due("a"),
            "a reset that was acknowledged is lost"
        );
        second.judged("a", State::Ok, now());
        second.judged("a", State::Fail, now());
        drop(second);
        let third = keep();
        assert!(third.was_due("a"), "it is another failure");
        third.reset("a", now()).unwrap();
        third.judged("a", State::Fail, now());
        drop(third);
        assert!(!keep().was_due("a"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_failure_that_is_told_of_after_its_reset_is_not_due_again() {
        let keep = Keep::open(None, Log::none()).unwrap();
        let clock = ManualClock::new();
        let failed_at = clock.now();
        keep.judged("a", State::Fail, failed_at);
        assert!(keep.is_due("a"));
        clock.advance(HOUR);
        keep.reset("a", clock.now()).unwrap();
        keep.judged("a", State::Fail, failed_at);
        assert!(!keep.is_due("a"), "it failed before");
        keep.judged("b", State::Fail, failed_at);
        assert!(keep.is_due("b"), "that is another");
        clock.advance(HOUR);
        keep.judged("a", State::Ok, clock.now());
        keep.judged("a", State::Fail, clock.now());
        assert!(keep.is_due("a"), "it failed again");
        keep.judged("a", State::Ok, clock.now());
        assert!(!keep.is_due("a"));
    }

    #[test]
    fn a_reason_that_is_cut_is_cut_between_characters() {
        let text = format!("drain\never\n{}x{}", "é".repeat(100), "é".repeat(100));
        let maint = maint_of(&stored(&text, Age::Unknown), ManualClock::new().now()).unwrap();
        assert_eq!(maint.because.len(), BECAUSE_LEN_MAX - 1);
    }
}
