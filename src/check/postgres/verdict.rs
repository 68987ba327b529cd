//! What a server's answers come to, and what is asked to get them. Nothing is sent here.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::units::size::{parse_size, print_size};
use crate::units::{Quantity, Span, print_duration};
use crate::wire::postgres::{Refusal, Row};

/// What a PostgreSQL server is in replication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It takes writes.
    Primary,
    /// It replays what a primary wrote.
    Standby,
}

impl Role {
    /// The word in configurations and details.
    fn word(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Standby => "standby",
        }
    }
}

impl TryFrom<&str> for Role {
    type Error = Error;

    fn try_from(text: &str) -> Result<Role, Error> {
        match text {
            "primary" => Ok(Role::Primary),
            "standby" => Ok(Role::Standby),
            _ => Err(Error::invalid(format!(
                "{text:?} is not a role; expected primary or standby"
            ))),
        }
    }
}

/// How far behind its primary a standby may be: made from text (`"16MiB"`, `"30s"`), from
/// [`second`](crate::second) and its like, or from a [`Span`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// So many bytes of write-ahead log; 0 asks for all of it to be replayed.
    Bytes(u64),
    /// So much time.
    Time(Duration),
}

impl From<Span> for Lag {
    fn from(span: Span) -> Lag {
        Lag::Time(span.duration())
    }
}

impl TryFrom<Quantity> for Lag {
    type Error = Error;

    fn try_from(quantity: Quantity) -> Result<Lag, Error> {
        Ok(Span::try_from(quantity)?.into())
    }
}

impl TryFrom<&str> for Lag {
    type Error = Error;

    fn try_from(text: &str) -> Result<Lag, Error> {
        if let Ok(bytes) = parse_size(text) {
            return Ok(Lag::Bytes(bytes));
        }
        match Span::try_from(text) {
            Ok(span) => Ok(span.into()),
            Err(_) => Err(Error::invalid(format!(
                "{text:?} is not a lag; expected a size, such as 16MiB, or a duration of more \
                 than 0, such as 30s"
            ))),
        }
    }
}

impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self {
            Lag::Bytes(bytes) => print_size(*bytes),
            Lag::Time(time) => print_duration(*time),
        })
    }
}

/// Role, and whether transactions are read-only by default for more than this user alone: a user
/// that only looks is often made so, and that says nothing of the server.
const ROLE_COLUMNS: &str = "pg_is_in_recovery(), EXISTS (SELECT 1 FROM pg_settings \
    WHERE name = 'default_transaction_read_only' AND setting = 'on' AND source NOT LIKE '%user')";

/// The bytes and the milliseconds behind, and whether anything is being received. What others may
/// not see of `pg_stat_wal_receiver` is NULL, which `greatest` passes over.
const LAG_COLUMNS: &str = "pg_wal_lsn_diff(greatest(pg_last_wal_receive_lsn(), \
    (SELECT latest_end_lsn FROM pg_stat_wal_receiver)), pg_last_wal_replay_lsn())::bigint, \
    (extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::bigint, \
    EXISTS (SELECT 1 FROM pg_stat_wal_receiver)";

/// What to ask for a [`Position`].
pub(super) fn position_query(with_lag: bool) -> String {
    if with_lag {
        format!("SELECT {ROLE_COLUMNS}, {LAG_COLUMNS}")
    } else {
        format!("SELECT {ROLE_COLUMNS}")
    }
}

/// Where a server stands in replication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    is_standby: bool,
    is_read_only: bool,
    behind_bytes: Option<u64>,
    behind_ms: Option<u64>,
    is_receiving: bool,
}

impl Position {
    /// Reads the answer to [`position_query`].
    ///
    /// # Errors
    /// An answer to something else.
    pub(super) fn read(row: Option<Row>) -> Result<Position, Box<Outcome>> {
        let row = row.unwrap_or_default();
        let mut columns = row.iter().map(Option::as_deref);
        let mut next = || columns.next().flatten();
        let (role, read_only) = (next(), next());
        if !matches!(role, Some("t" | "f")) {
            let outcome = Outcome::new(Health::Fail, Reason::AnswerMalformed);
            return Err(outcome
                .with_detail("it says neither primary nor standby")
                .into());
        }
        // What has been replayed may be ahead of what was received, and clocks differ: less than
        // nothing behind is nothing behind.
        let number = |text: Option<&str>| {
            let number: i64 = text?.parse().ok()?;
            Some(u64::try_from(number).unwrap_or(0))
        };
        Ok(Position {
            is_standby: role == Some("t"),
            is_read_only: read_only == Some("t"),
            behind_bytes: number(next()),
            behind_ms: number(next()),
            is_receiving: next() == Some("t"),
        })
    }

    fn role(&self) -> Role {
        if self.is_standby {
            Role::Standby
        } else {
            Role::Primary
        }
    }

    /// `ready` with what is known of the position.
    ///
    /// # Errors
    /// The outcome, where it does not pass.
    pub(super) fn judged(
        &self,
        wanted: Option<Role>,
        max_lag: Option<Lag>,
        mut ready: Outcome,
    ) -> Result<Outcome, Box<Outcome>> {
        let role = self.role();
        ready.detail = format!("{}, {}", ready.detail, role.word());
        let ends = |health, reason, detail: String| {
            let outcome = Outcome::new(health, reason);
            let detail = format!("{}{detail}", ready.detail);
            Err(outcome.with_detail(detail).into())
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != role) {
            let detail = format!("; expected a {}", wanted.word());
            return ends(Health::Fail, Reason::PostgresWrongRole, detail);
        }
        let max_lag = max_lag.filter(|_| self.is_standby);
        if let Some(max) = max_lag {
            let Some(behind) = self.behind(max) else {
                let detail = ", and it cannot tell how far behind".to_string();
                return ends(Health::Unknown, Reason::ValueMissing, detail);
            };
            if behind.is_over(max) {
                let detail = format!(", {behind} behind; expected at most {max}");
                return ends(Health::Fail, Reason::PostgresLag, detail);
            }
            ready.detail = format!("{}, {behind} behind", ready.detail);
        }
        if max_lag.is_some() && !self.is_receiving {
            ready.health = Health::Warn;
            ready.detail.push_str(", and it receives nothing more");
        }
        if wanted == Some(Role::Primary) && self.is_read_only {
            ready.health = Health::Warn;
            ready
                .detail
                .push_str(", default_transaction_read_only is on");
        }
        Ok(ready)
    }

    /// How far behind, in the unit of `max`.
    fn behind(&self, max: Lag) -> Option<Lag> {
        match max {
            Lag::Bytes(_) => self.behind_bytes.map(Lag::Bytes),
            // All is replayed: the last transaction is old because nobody has written since.
            Lag::Time(_) if self.behind_bytes == Some(0) => Some(Lag::Time(Duration::ZERO)),
            Lag::Time(_) => self
                .behind_ms
                .map(|ms| Lag::Time(Duration::from_millis(ms))),
        }
    }
}

impl Lag {
    fn is_over(self, max: Lag) -> bool {
        match (self, max) {
            (Lag::Bytes(behind), Lag::Bytes(max)) => behind > max,
            (Lag::Time(behind), Lag::Time(max)) => behind > max,
            _ => false,
        }
    }
}

/// A refusal before the login is done. A server that says so is alive, and for libpq's `PQping`
/// that is enough; but where more was to be known, it is not known.
pub(super) fn login_refused(refusal: Refusal, is_more_asked: bool) -> Outcome {
    let alive = if is_more_asked {
        Health::Unknown
    } else {
        Health::Warn
    };
    let (health, reason) = match refusal.code.as_str() {
        "57P03" => (Health::Fail, Reason::PostgresRejecting),
        "57P01" | "57P02" => (Health::Fail, Reason::PostgresShutDown),
        "53300" => (alive, Reason::PostgresFull),
        _ => (alive, Reason::PostgresLoginRefused),
    };
    Outcome::new(health, reason).with_detail(refusal.to_string())
}

/// A refusal of the operator's query.
pub(super) fn query_refused(refusal: Refusal) -> Outcome {
    let reason = match refusal.code.as_str() {
        "57P01" | "57P02" => Reason::PostgresShutDown,
        _ => Reason::PostgresQueryFailed,
    };
    Outcome::new(Health::Fail, reason).with_detail(refusal.to_string())
}

/// A refusal of our own question. Class 42 is what the asker did wrong: a function that an old
/// server does not have, or a right that we do not have. That says nothing of the server.
pub(super) fn own_query_refused(refusal: Refusal) -> Outcome {
    let is_ours = refusal.code.starts_with("42");
    let mut outcome = query_refused(refusal);
    if is_ours {
        outcome.health = Health::Unknown;
    }
    outcome
}

/// Whether the first column of the first row is true.
///
/// # Errors
/// The outcome, if it is not.
pub(super) fn query_true(row: Option<Row>) -> Result<(), Box<Outcome>> {
    let found = match row.as_ref().map(|row| row.first()) {
        None => "no row".to_string(),
        Some(None) => "no column".to_string(),
        Some(Some(None)) => "NULL".to_string(),
        Some(Some(Some(text))) if is_true(text) => return Ok(()),
        Some(Some(Some(text))) => text.chars().take(FOUND_CHARS_MAX).collect(),
    };
    let detail = format!("found {found}; expected true or a number other than 0");
    Err(Outcome::new(Health::Fail, Reason::PostgresQueryFalse)
        .with_detail(detail)
        .into())
}

/// What is shown of a value that is not true.
const FOUND_CHARS_MAX: usize = 100;

fn is_true(text: &str) -> bool {
    let number = text.strip_prefix('-').unwrap_or(text);
    let is_number = number
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_zero = !number.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    matches!(text, "t" | "true") || (is_number && !is_zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[&str]) -> Option<Row> {
        let column = |text: &&str| (*text != "NULL").then(|| text.to_string());
        Some(columns.iter().map(column).collect())
    }

    fn refusal(code: &str) -> Refusal {
        Refusal::read(format!("C{code}\0Mno\0\0").as_bytes()).unwrap()
    }

    fn said(result: Result<Outcome, Box<Outcome>>) -> (Health, String) {
        let outcome = result.unwrap_or_else(|outcome| *outcome);
        (outcome.health, outcome.to_string())
    }

    /// What a position comes to; of a role only, or with a lag.
    fn judged(columns: &[&str], wanted: Option<Role>, lag: Option<&str>) -> (Health, String) {
        let lag = lag.map(|lag| Lag::try_from(lag).unwrap());
        let ready = Outcome::new(Health::Ok, Reason::PostgresReady).with_detail("peer");
        let position = Position::read(row(columns));
        said(position.and_then(|position| position.judged(wanted, lag, ready)))
    }

    #[test]
    fn roles_are_as_wanted_or_not() {
        let (primary, standby) = (Some(Role::Primary), Some(Role::Standby));
        for (columns, wanted, health, text) in [
            (
                ["f", "f"],
                primary,
                Health::Ok,
                "postgres ready: peer, primary",
            ),
            (
                ["t", "f"],
                standby,
                Health::Ok,
                "postgres ready: peer, standby",
            ),
            (
                ["t", "t"],
                standby,
                Health::Ok,
                "postgres ready: peer, standby",
            ),
            (
                ["f", "t"],
                None,
                Health::Ok,
                "postgres ready: peer, primary",
            ),
            (
                ["f", "t"],
                primary,
                Health::Warn,
                "postgres ready: peer, primary, default_transaction_read_only is on",
            ),
            (
                ["t", "f"],
                primary,
                Health::Fail,
                "postgres wrong role: peer, standby; expected a primary",
            ),
            (
                ["f", "f"],
                standby,
                Health::Fail,
                "postgres wrong role: peer, primary; expected a standby",
            ),
            (
                ["yes", "f"],
                primary,
                Health::Fail,
                "answer malformed: it says neither primary nor standby",
            ),
        ] {
            assert_eq!(judged(&columns, wanted, None), (health, text.to_string()));
        }
        assert!(Position::read(None).is_err());
        assert!(Position::read(row(&[])).is_err());
        assert!(Position::read(row(&["NULL"])).is_err());
    }

    #[test]
    fn a_lag_is_within_its_limit_or_not() {
        let mebibyte = (1 << 20).to_string();
        let beyond = ((1 << 20) + 1).to_string();
        let (ready, late) = (
            "postgres ready: peer, standby, ",
            "postgres lag: peer, standby, ",
        );
        for (bytes, ms, receiving, max, health, start, text) in [
            ("0", "9000", "t", "0B", Health::Ok, ready, "0B behind"),
            (
                &mebibyte,
                "9000",
                "t",
                "1MiB",
                Health::Ok,
                ready,
                "1MiB behind",
            ),
            (
                &beyond,
                "0",
                "t",
                "1MiB",
                Health::Fail,
                late,
                "1048577B behind; expected at most 1MiB",
            ),
            // Replayed beyond what was received, as from an archive.
            ("-7", "9000", "t", "0B", Health::Ok, ready, "0B behind"),
            // An idle primary is no lag, and neither are clocks that differ.
            ("0", "9000000", "t", "1s", Health::Ok, ready, "0s behind"),
            ("5", "-40", "t", "1s", Health::Ok, ready, "0s behind"),
            ("5", "1000", "t", "1s", Health::Ok, ready, "1s behind"),
            (
                "5",
                "1001",
                "t",
                "1s",
                Health::Fail,
                late,
                "1.001s behind; expected at most 1s",
            ),
            (
                "NULL",
                "1001",
                "f",
                "1s",
                Health::Fail,
                late,
                "1.001s behind; expected at most 1s",
            ),
            (
                "0",
                "9000",
                "f",
                "1s",
                Health::Warn,
                ready,
                "0s behind, and it receives nothing more",
            ),
        ] {
            let columns = ["t", "f", bytes, ms, receiving];
            let expected = format!("{start}{text}").replace("1.001s", "1001ms");
            assert_eq!(judged(&columns, None, Some(max)), (health, expected));
        }
    }

    #[test]
    fn a_lag_that_cannot_be_told_is_unknown_and_a_primary_has_none() {
        for (bytes, ms, max) in [("NULL", "5", "1B"), ("5", "NULL", "1s"), ("x", "", "1s")] {
            let (health, text) = judged(&["t", "f", bytes, ms, "t"], None, Some(max));
            let expected = "value missing: peer, standby, and it cannot tell how far behind";
            assert_eq!((health, text.as_str()), (Health::Unknown, expected));
        }
        let columns = ["f", "f", "NULL", "NULL", "f"];
        assert_eq!(judged(&columns, None, Some("0B")).0, Health::Ok);
    }

    #[test]
    fn a_refusal_at_login_is_a_failure_only_when_the_server_says_so() {
        for (code, alone, asked, words) in [
            ("57P03", Health::Fail, Health::Fail, "postgres rejecting"),
            ("57P01", Health::Fail, Health::Fail, "postgres shut down"),
            ("57P02", Health::Fail, Health::Fail, "postgres shut down"),
            (
                "53300",
                Health::Warn,
                Health::Unknown,
                "postgres out of connections",
            ),
            (
                "28000",
                Health::Warn,
                Health::Unknown,
                "postgres login refused",
            ),
            (
                "28P01",
                Health::Warn,
                Health::Unknown,
                "postgres login refused",
            ),
            (
                "3D000",
                Health::Warn,
                Health::Unknown,
                "postgres login refused",
            ),
            (
                "XX000",
                Health::Warn,
                Health::Unknown,
                "postgres login refused",
            ),
        ] {
            for (more, health) in [(false, alone), (true, asked)] {
                let outcome = login_refused(refusal(code), more);
                assert_eq!((outcome.health, outcome.reason.words()), (health, words));
                assert_eq!(outcome.detail, format!("{code} no"));
            }
        }
    }

    #[test]
    fn a_refusal_of_a_query_is_a_failure_unless_we_asked_wrongly() {
        for (code, theirs, ours, words) in [
            ("57P01", Health::Fail, Health::Fail, "postgres shut down"),
            ("57P02", Health::Fail, Health::Fail, "postgres shut down"),
            (
                "42883",
                Health::Fail,
                Health::Unknown,
                "postgres query failed",
            ),
            (
                "42501",
                Health::Fail,
                Health::Unknown,
                "postgres query failed",
            ),
            ("58030", Health::Fail, Health::Fail, "postgres query failed"),
        ] {
            for (outcome, health) in [
                (query_refused(refusal(code)), theirs),
                (own_query_refused(refusal(code)), ours),
            ] {
                assert_eq!((outcome.health, outcome.reason.words()), (health, words));
            }
        }
    }

    #[test]
    fn true_is_what_a_human_would_take_for_it() {
        for text in ["t", "true", "1", "-1", "0.5", "42", "00100", "-0.001"] {
            assert!(query_true(row(&[text, "f"])).is_ok(), "{text}");
        }
        for (columns, found) in [
            (row(&["f", "t"]), "f"),
            (row(&["false"]), "false"),
            (row(&["0"]), "0"),
            (row(&["-0.00"]), "-0.00"),
            (row(&["NULL"]), "NULL"),
            (row(&[""]), ""),
            (row(&["-"]), "-"),
            (row(&["1 row"]), "1 row"),
            (row(&["0x1"]), "0x1"),
            (row(&["NaN"]), "NaN"),
            (row(&[]), "no column"),
            (None, "no row"),
        ] {
            let outcome = query_true(columns).unwrap_err();
            let text = format!(
                "postgres query false: found {found}; expected true or a number other than 0"
            );
            assert_eq!((outcome.health, outcome.to_string()), (Health::Fail, text));
        }
    }

    #[test]
    fn lags_and_roles_are_read_from_text() {
        for (text, lag) in [
            ("16MiB", Lag::Bytes(16 << 20)),
            ("0B", Lag::Bytes(0)),
            ("30s", Lag::Time(Duration::from_secs(30))),
        ] {
            assert_eq!(Lag::try_from(text).unwrap(), lag);
            assert_eq!(lag.to_string(), text);
        }
        for text in ["", "16", "16MB", "0s", "-1s", "x"] {
            let message = Lag::try_from(text).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{text:?} is not a lag; expected")));
        }
        assert_eq!(Role::try_from("standby").unwrap(), Role::Standby);
        assert_eq!(
            Role::try_from("master").unwrap_err().to_string(),
            "\"master\" is not a role; expected primary or standby"
        );
    }
}
