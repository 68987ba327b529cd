//! Exec: what does a program of this machine say?
//!
//! It runs what its administrator wrote down, and nothing that came over the network: no shell is
//! between, and a program that others could replace is not run. How programs are started and ended
//! is [`net::child`](crate::net::child)'s; here their end gets its meaning.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::check::Check;
use crate::check::value::{Side, ValueRule};
use crate::error::Error;
use crate::health::{Health, Outcome, Reason, State};
use crate::net::account::Account;
use crate::net::child::{ENDING_MAX, End, Ended, Run};
use crate::net::program::{self, Unfit};
use crate::net::slot::{NotRun, Slot};
use crate::sys::errno;
use crate::units::{Span, print_duration};

/// How much of the output is kept, for a value and the detail: what Consul keeps.
const OUTPUT_BYTES_MAX: usize = 4_096;

/// A line for people.
const DETAIL_BYTES_MAX: usize = 200;

/// What a program's exit code means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExitCodes {
    /// 0 is ok, everything else fail: as keepalived's scripts.
    #[default]
    Plain,
    /// 0 is ok, 1 warn, 2 fail, everything else unknown: as monitoring plugins.
    Nagios,
}

/// Runs a program and goes by its exit code, or by a number that it prints.
///
/// The program is run directly, without a shell, in `/`, with nothing to read, and with an
/// environment of `PATH`, `HOME`, `USER`, `LOGNAME` and what [`env`](ExecCheck::env) adds. A script
/// begins with its `#!` line. What it says on standard output and standard error is read; the
/// first line of it is the detail. The run is over when the program ends; what it started and left
/// behind is then killed, but for what has made itself a daemon. When the timeout is over it is
/// told to terminate, with all that it started, and two seconds later killed.
///
/// A program that others could change is refused: it, every directory on the way to it, and those
/// on the way of links have to belong to root or to the user that we run as, and to be writable by
/// their owner only. That is looked at now and before every run. What an argument names, and a
/// script's interpreter, is not looked at.
///
/// Reasons: `exec passed`; warning `exec warned`; failures `exec failed`, `exec timeout`, `exec
/// killed`; unknown `exec unknown`, `exec timeout` (while the run before has not ended), `exec
/// refused`, `exec not started`, `out of descriptors`, `out of memory`; for a value `value within
/// limit`, and failures `value beyond limit`, `value missing`, `answer too long`.
///
/// ```
/// use failover::{Check, ExecCheck, ExitCodes, Health, second};
///
/// let mut check = ExecCheck::new(&["test", "-d", "/"], second(10))?;
/// assert_eq!(check.check().health, Health::Ok);
///
/// let mut check = ExecCheck::new(&["sh", "-c", "echo disk is filling up; exit 1"], second(10))?
///     .exit_codes(ExitCodes::Nagios);
/// assert_eq!(check.check().to_string(), "exec warned: disk is filling up");
/// # Ok::<(), failover::Error>(())
/// ```
pub struct ExecCheck {
    program: PathBuf,
    /// With the program's name as it was given.
    command: Vec<String>,
    timeout: Duration,
    pub(crate) codes: ExitCodes,
    pub(crate) value: Option<ValueRule>,
    pub(crate) account: Option<Account>,
    pub(crate) environment: Vec<(String, String)>,
    slot: Slot,
}

impl ExecCheck {
    /// Runs `command`, a program and its arguments, within `timeout` (a bare number is seconds).
    /// The program is an absolute path, or a name that is looked up now in `/usr/local/sbin`,
    /// `/usr/local/bin`, `/usr/sbin`, `/usr/bin`, `/sbin` and `/bin`.
    ///
    /// A path at which nothing is yet is no error: its directory may be mounted later.
    ///
    /// # Errors
    /// A timeout or a command that cannot be, a name that is not found, or a program that others
    /// could change.
    pub fn new<A, T>(command: &[A], timeout: T) -> Result<ExecCheck, Error>
    where
        A: AsRef<str>,
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        let command = command.iter().map(|word| word.as_ref().to_string());
        ExecCheck::of(command.collect(), timeout.try_into()?)
    }

    /// The same of what has been checked or split already.
    pub(crate) fn of(command: Vec<String>, timeout: Span) -> Result<ExecCheck, Error> {
        let name = command.first().map_or("", String::as_str);
        if let Some(word) = command.iter().find(|word| word.contains('\0')) {
            let message = format!("{word:?} cannot be used; expected a command without NUL");
            return Err(Error::invalid(message));
        }
        let program = program::locate(name)?;
        if let Err(Unfit::Unsafe(message)) = program::examine(&program) {
            return Err(Error::invalid(format!(
                "program {name:?} is refused: {message}"
            )));
        }
        Ok(ExecCheck {
            program,
            command,
            timeout: timeout.duration(),
            codes: ExitCodes::Plain,
            value: None,
            account: Account::own(),
            environment: Vec::new(),
            slot: Slot::default(),
        })
    }

    /// What its exit code means. Default: [`ExitCodes::Plain`].
    pub fn exit_codes(mut self, codes: ExitCodes) -> ExecCheck {
        self.codes = codes;
        self
    }

    /// When its exit code says ok or warn, also goes by a number in its output, which has to be on
    /// this side of the limit. Output that begins like an object or an array is JSON, and `key` a
    /// path in it (`queue.depth`); otherwise it is lines such as `queue_depth 17`, as Prometheus
    /// reads them, and `key` a name, alone or with labels (`queue_depth{queue="mail"}`). The first
    /// 4,096 bytes of output count. Default: the exit code alone counts.
    ///
    /// # Errors
    /// A key or a limit that cannot be.
    pub fn value(mut self, key: &str, side: Side, limit: f64) -> Result<ExecCheck, Error> {
        self.value = Some(ValueRule::new(key, side, limit)?);
        Ok(self)
    }

    /// Runs it as this user of `/etc/passwd`, with that user's own group and no other. Default: as
    /// ourselves, with all that we may do.
    ///
    /// # Errors
    /// There is no such user; or we are neither root nor that user.
    pub fn user(mut self, name: &str) -> Result<ExecCheck, Error> {
        self.account = Some(Account::named(name)?);
        Ok(self)
    }

    /// Adds to its environment, or replaces what is there.
    ///
    /// # Errors
    /// A name that is empty or contains `=`, or a NUL in either.
    pub fn env(mut self, name: &str, value: &str) -> Result<ExecCheck, Error> {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let message = format!(
                "environment {name:?} cannot be {value:?}; expected a name without '=', and no NUL"
            );
            return Err(Error::invalid(message));
        }
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_string(), value.to_string()));
        Ok(self)
    }

    /// Never runs beside another of that name, also one that was put away and has not ended: it
    /// waits for that one's end, and no longer than for its own.
    pub(crate) fn one_of(&mut self, name: &str) {
        self.slot = Slot::of(name);
    }

    fn run(&mut self) -> Result<Ended, NotRun> {
        self.slot.run(&Run {
            program: &self.program,
            arguments: &self.command[1..],
            environment: &self.environment,
            account: self.account.as_ref(),
            timeout: self.timeout,
            kept_max: OUTPUT_BYTES_MAX,
        })
    }

    fn judge(&self, ended: &Ended) -> Outcome {
        let line = first_line(&ended.output);
        let said = |health, reason, otherwise: String| {
            let detail = if line.is_empty() { otherwise } else { line };
            Outcome::new(health, reason).with_detail(detail)
        };
        match ended.end {
            End::Code(code) => {
                let (health, reason) = meaning(self.codes, code);
                let otherwise = match code {
                    0 => String::new(),
                    _ => format!("exit code {code}"),
                };
                let outcome = said(health, reason, otherwise);
                self.valued(outcome, ended)
            }
            End::Signal(number) => Outcome::new(Health::Fail, Reason::ExecKilled)
                .with_detail(format!("signal {number}")),
            End::Late => said(
                Health::Fail,
                Reason::ExecTimeout,
                format!("not within {}", print_duration(self.timeout)),
            ),
            End::Lost => Outcome::new(Health::Unknown, Reason::ExecUnknown)
                .with_detail("its exit code was lost, since SIGCHLD is ignored"),
        }
    }

    /// What its number says, if its exit code does not say worse.
    fn valued(&self, outcome: Outcome, ended: &Ended) -> Outcome {
        match &self.value {
            Some(rule) if outcome.health.known() == Some(State::Ok) => {
                let judged = if ended.is_cut {
                    rule.judge_beginning(&ended.output)
                } else {
                    rule.judge(&ended.output)
                };
                if judged.health == Health::Ok && outcome.health == Health::Warn {
                    outcome
                } else {
                    judged
                }
            }
            _ => outcome,
        }
    }
}

fn meaning(codes: ExitCodes, code: i32) -> (Health, Reason) {
    match (codes, code) {
        (_, 0) => (Health::Ok, Reason::ExecPassed),
        (ExitCodes::Nagios, 1) => (Health::Warn, Reason::ExecWarned),
        (ExitCodes::Plain, _) | (ExitCodes::Nagios, 2) => (Health::Fail, Reason::ExecFailed),
        (ExitCodes::Nagios, _) => (Health::Unknown, Reason::ExecUnknown),
    }
}

/// The first line that is not blank, as far as people are shown it.
fn first_line(output: &[u8]) -> String {
    let line = output
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    let mut text = String::from_utf8_lossy(line).into_owned();
    let end = (0..=text.len().min(DETAIL_BYTES_MAX))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or(0));
    text
}

fn not_run(not_run: NotRun) -> Outcome {
    let unknown = |reason| Outcome::new(Health::Unknown, reason);
    match not_run {
        NotRun::Occupied(id) => unknown(Reason::ExecTimeout).with_detail(format!(
            "process {id} of the run before was killed and has not ended"
        )),
        NotRun::Taken => unknown(Reason::ExecTimeout)
            .with_detail("what it ran before the configuration changed has not ended"),
        NotRun::NotStarted(error) if errno::is_out_of_descriptors(&error) => {
            unknown(Reason::OutOfDescriptors)
        }
        NotRun::NotStarted(error) if errno::is_out_of_memory(&error) => {
            unknown(Reason::OutOfMemory)
        }
        NotRun::NotStarted(error) => unknown(Reason::ExecNotStarted).with_detail(error.to_string()),
    }
}

impl Check for ExecCheck {
    fn check(&mut self) -> Outcome {
        match program::examine(&self.program) {
            Err(Unfit::Missing(error)) => return not_run(NotRun::NotStarted(error)),
            Err(Unfit::Unsafe(message)) => {
                return Outcome::new(Health::Unknown, Reason::ExecRefused).with_detail(message);
            }
            Ok(()) => {}
        }
        match self.run() {
            Ok(ended) => self.judge(&ended),
            Err(error) => not_run(error),
        }
    }

    fn budget(&self) -> Option<Duration> {
        Some(self.timeout + ENDING_MAX)
    }
}

impl fmt::Debug for ExecCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExecCheck({:?} within {:?})", self.command, self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(codes: ExitCodes) -> ExecCheck {
        ExecCheck::new(&["true"], 10).unwrap().exit_codes(codes)
    }

    fn judged(codes: ExitCodes, end: End, output: &str) -> String {
        let outcome = check(codes).judge(&Ended {
            end,
            output: output.as_bytes().to_vec(),
            is_cut: false,
        });
        format!("{} {outcome}", outcome.health.word())
    }

    #[test]
    fn each_end_has_its_meaning() {
        use ExitCodes::{Nagios, Plain};
        for (codes, end, output, expected) in [
            (Plain, End::Code(0), "", "ok exec passed"),
            (Plain, End::Code(0), "fine\nmore", "ok exec passed: fine"),
            (Plain, End::Code(1), "", "fail exec failed: exit code 1"),
            (Plain, End::Code(2), "\n \n no \r\n", "fail exec failed: no"),
            (Plain, End::Code(127), "", "fail exec failed: exit code 127"),
            (Nagios, End::Code(0), "fine", "ok exec passed: fine"),
            (Nagios, End::Code(1), "hm", "warn exec warned: hm"),
            (Nagios, End::Code(2), "no", "fail exec failed: no"),
            (Nagios, End::Code(3), "?", "unknown exec unknown: ?"),
            (Nagios, End::Code(127), "?", "unknown exec unknown: ?"),
            (Plain, End::Signal(9), "no", "fail exec killed: signal 9"),
            (Plain, End::Late, "", "fail exec timeout: not within 10s"),
            (Nagios, End::Late, "begun", "fail exec timeout: begun"),
        ] {
            assert_eq!(judged(codes, end, output), expected, "{codes:?} {end:?}");
        }
        assert!(judged(Plain, End::Lost, "").starts_with("unknown exec unknown: its exit code"));
    }

    #[test]
    fn a_number_counts_when_the_exit_code_passes() {
        let judged = |code, output: &str, is_cut| {
            let check = check(ExitCodes::Nagios).value("depth", Side::Below, 10.0);
            let outcome = check.unwrap().judge(&Ended {
                end: End::Code(code),
                output: output.as_bytes().to_vec(),
                is_cut,
            });
            (outcome.health, outcome.reason.words())
        };
        for (code, output, is_cut, expected) in [
            (0, "depth 9", false, (Health::Ok, "value within limit")),
            (
                0,
                "{\"depth\": 10}",
                false,
                (Health::Fail, "value beyond limit"),
            ),
            (0, "", false, (Health::Fail, "value missing")),
            (0, "a 1\ndepth 9", true, (Health::Fail, "answer too long")),
            (0, "depth 9\na", true, (Health::Ok, "value within limit")),
            (1, "depth 9", false, (Health::Warn, "exec warned")),
            (1, "depth 10", false, (Health::Fail, "value beyond limit")),
            (2, "depth 9", false, (Health::Fail, "exec failed")),
            (3, "depth 10", false, (Health::Unknown, "exec unknown")),
        ] {
            assert_eq!(judged(code, output, is_cut), expected, "{code} {output:?}");
        }
        let refused = check(ExitCodes::Plain).value("a..b", Side::Below, 1.0);
        assert!(refused.is_err());
    }

    #[test]
    fn a_line_for_people_is_short_and_text() {
        assert_eq!(first_line(b""), "");
        assert_eq!(first_line(b"\xff\n"), "\u{fffd}");
        assert_eq!(first_line(&[b'x'; 4_096]).len(), DETAIL_BYTES_MAX);
        let cut = first_line("x\u{20ac}".repeat(100).as_bytes());
        assert_eq!((cut.len(), cut.ends_with('\u{20ac}')), (200, true));
        assert_eq!(first_line("\u{20ac}".repeat(100).as_bytes()).len(), 198);
    }

    #[test]
    fn our_own_trouble_is_unknown() {
        let error = |number| NotRun::NotStarted(std::io::Error::from_raw_os_error(number));
        for (trouble, words) in [
            (NotRun::Occupied(7), "exec timeout"),
            (NotRun::Taken, "exec timeout"),
            (error(2), "exec not started"),
            (error(12), "out of memory"),
            (error(24), "out of descriptors"),
        ] {
            let outcome = not_run(trouble);
            assert_eq!(
                (outcome.health, outcome.reason.words()),
                (Health::Unknown, words)
            );
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let message = |command: &[&str]| ExecCheck::new(command, 10).unwrap_err().to_string();
        assert!(message(&[]).starts_with("program \"\" cannot be used"));
        assert!(message(&["true", "a\0b"]).ends_with("expected a command without NUL"));
        assert!(message(&["/tmp/script"]).starts_with("program \"/tmp/script\" is refused: /tmp"));
        assert!(ExecCheck::new(&["true"], 0).is_err());
        let environment = |name, value| check(ExitCodes::Plain).env(name, value).is_ok();
        for (name, value, is_fine) in [
            ("A", "", true),
            ("A", "b=c d", true),
            ("", "a", false),
            ("A=B", "a", false),
            ("A\0", "a", false),
            ("A", "\0", false),
        ] {
            assert_eq!(environment(name, value), is_fine, "{name:?} {value:?}");
        }
        assert!(check(ExitCodes::Plain).user("nobody-at-all").is_err());
    }
}
