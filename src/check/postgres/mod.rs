//! PostgreSQL: does a server answer, is it the primary or a standby, how far behind is it, and what
//! does it say to a query?
//!
//! Without anything to ask, this is what `pg_isready` does: no login, no password, nothing in the
//! server's log. No TLS is spoken. What is made of the server's answers is in `verdict`; the
//! conversation itself is `client`'s.
#![forbid(unsafe_code)]

mod verdict;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::auth::secret::read_secret;
use crate::check::Check;
use crate::check::way::way_to_target;
use crate::client::postgres::{Login, Opening, Problem, Session, open};
use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::net::conversation::{Conversation, converse};
use crate::net::dial::Target;
use crate::net::port::Port;
use crate::units::Span;
use crate::wire::postgres::Refusal;
use crate::wire::postgres::scram::Key;

pub use verdict::{Lag, Role};

/// The user that every server has unless somebody removed it.
pub(crate) const USER: &str = "postgres";

/// PostgreSQL cuts names at 63 bytes; poolers take longer ones.
const NAME_LEN_MAX: usize = 255;

/// A query is a line or a few.
const QUERY_LEN_MAX: usize = 8 * 1024;

/// Checks a PostgreSQL server.
///
/// Without a password file, query, role or lag the check asks what `pg_isready` asks: a server
/// that asks for authentication, or lets us in, is ready. Nothing of that is in its log, unless
/// connections are logged, or the server trusts us (`pg_hba.conf`) and there is no such user: then
/// give it one that exists. With any of the four it logs in: by trust, `password`, `md5` or
/// `scram-sha-256`. As with `psql`, a server that asks for `password` gets it in clear text.
///
/// A pooler such as PgBouncer answers the login by itself: only a role, lag or query reaches the
/// server behind it.
///
/// What a server says that refuses us depends on what was asked. That it is alive passes with a
/// warning where nothing else was asked; a role, a lag or a query that could not be asked is
/// unknown, which is no reason to fail over:
///
/// | the server says | nothing else asked | role, lag or query asked |
/// |---|---|---|
/// | 57P03: starting up, shutting down, recovering | fail `postgres rejecting` | the same |
/// | 57P01, 57P02: ended by a shutdown or a crash | fail `postgres shut down` | the same |
/// | 53300: too many connections | warn `postgres out of connections` | unknown, the same |
/// | anything else before the login is done | warn `postgres login refused` | unknown, the same |
///
/// Other reasons: `postgres ready`; failures `postgres wrong role`, `postgres lag`, `postgres query
/// failed`, `postgres query false`, `answer timeout`, `answer reset`, `answer ended early`, `answer
/// too long`, `answer malformed`, `send timeout`; unknown `postgres auth unsupported`, `postgres
/// login refused` (a password is asked for and none is set), `postgres query failed` (our own
/// question about role and lag: too old a server, or not permitted), `value missing` (no lag can
/// be told), `file unreadable` (the password file); and those of [`TcpCheck`](crate::TcpCheck)
/// but `tcp connected`.
///
/// ```
/// use failover::{Check, Health, Lag, PostgresCheck, Role, second};
///
/// let mut standby = PostgresCheck::new("127.0.0.1", 5432, second(3))?
///     .user("monitor")?
///     .password_file("/etc/failover/monitor.password")
///     .role(Role::Standby)?
///     .max_lag("16MiB")?;
/// // There is no such file here, and without its password the server is not asked.
/// let outcome = standby.check();
/// assert_eq!(outcome.health, Health::Unknown);
/// assert_eq!(outcome.reason.words(), "file unreadable");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct PostgresCheck {
    target: Target,
    timeout: Duration,
    name: Option<String>,
    pub(crate) questions: Questions,
    /// What SCRAM made of the password the last time.
    key: Option<Key>,
}

/// Who asks for what.
#[derive(Clone, Default)]
pub(crate) struct Questions {
    pub(crate) user: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) query: Option<String>,
    pub(crate) role: Option<Role>,
    pub(crate) max_lag: Option<Lag>,
}

impl PostgresCheck {
    /// Checks the server at `host` (a name, an IPv4 or an IPv6 address) and `port` (1 to 65535, or
    /// the name of a service; usually 5432) within `timeout` (a bare number is seconds).
    ///
    /// # Errors
    /// A host, port or timeout that cannot be.
    pub fn new<P, T>(host: &str, port: P, timeout: T) -> Result<PostgresCheck, Error>
    where
        P: TryInto<Port>,
        T: TryInto<Span>,
        Error: From<P::Error> + From<T::Error>,
    {
        let timeout: Span = timeout.try_into()?;
        let target = Target::new(host, port.try_into()?)?;
        Ok(PostgresCheck::to(target, timeout))
    }

    /// The same for a target that is made already.
    pub(crate) fn to(target: Target, timeout: Span) -> PostgresCheck {
        PostgresCheck {
            target,
            timeout: timeout.duration(),
            name: None,
            questions: Questions::default(),
            key: None,
        }
    }

    /// The user to be. Default: `postgres`. A user without any rights can be asked for its role,
    /// and for its lag if it is a member of `pg_monitor`.
    ///
    /// # Errors
    /// A name that cannot be.
    pub fn user(mut self, user: &str) -> Result<PostgresCheck, Error> {
        self.questions.user = Some(checked_name("user", user)?);
        Ok(self)
    }

    /// The database to ask for. Default: the one with the user's name.
    ///
    /// # Errors
    /// A name that cannot be.
    pub fn database(mut self, database: &str) -> Result<PostgresCheck, Error> {
        self.questions.database = Some(checked_name("database", database)?);
        Ok(self)
    }

    /// Logs in, with the first line of this file as the password. It is read anew at every check,
    /// never shown, and refused when everybody may read or write it: mode 0600, or 0640 with the
    /// group of the user that the check runs as.
    ///
    /// The password is used as it is: SASLprep is not applied, which makes no difference to ASCII.
    pub fn password_file(mut self, path: impl Into<PathBuf>) -> PostgresCheck {
        self.questions.password_file = Some(path.into());
        self
    }

    /// Asks this, and passes when the first column of the first row is true: `t`, `true`, or a
    /// plain number other than zero. Anything else is `postgres query false`: no row, NULL, another
    /// text. The server is told to give the query up a second after the check's timeout
    /// (`statement_timeout`), so that queries that are stuck do not pile up.
    ///
    /// # Errors
    /// A query that is empty, has a zero byte or more than 8 KiB.
    pub fn query(mut self, query: &str) -> Result<PostgresCheck, Error> {
        self.questions.query = Some(checked_query(query)?);
        Ok(self)
    }

    /// Fails when the server has another role. The server is asked (`pg_is_in_recovery`), since
    /// what a pooler reports of a server at login may be older than the last failover.
    ///
    /// A primary on which `default_transaction_read_only` is on passes with a warning.
    ///
    /// # Errors
    /// A primary with a lag.
    pub fn role(mut self, role: Role) -> Result<PostgresCheck, Error> {
        self.questions.role = Some(role);
        self.questions.checked()?;
        Ok(self)
    }

    /// Fails when a standby is further behind than this: a size (`"16MiB"`) or a length of time
    /// (`"30s"`, [`second`](crate::second)). A primary has no lag, and passes.
    ///
    /// A standby knows only what its primary has told it:
    ///
    /// - A size is what it has not replayed of what it has received, and of what its primary had
    ///   written when it last wrote to us. The second part takes a member of `pg_monitor`.
    /// - A time is the age of the last transaction that it has replayed, by both machines' clocks;
    ///   zero when all is replayed, so that an idle primary is no lag.
    /// - A standby that is cut off from its primary does not know what it misses. It passes with a
    ///   warning: should the primary be dead, all of its standbys would fail otherwise.
    /// - One that never streams, but is fed from an archive, cannot be measured in bytes, and is
    ///   late by time when the primary is idle.
    ///
    /// PostgreSQL 10 or later.
    ///
    /// # Errors
    /// A lag that cannot be, or a primary with a lag.
    pub fn max_lag<L>(mut self, lag: L) -> Result<PostgresCheck, Error>
    where
        L: TryInto<Lag>,
        Error: From<L::Error>,
    {
        self.questions.max_lag = Some(lag.try_into()?);
        self.questions.checked()?;
        Ok(self)
    }

    /// What `Debug` prints, to tell one from another.
    pub fn name(mut self, name: impl Into<String>) -> PostgresCheck {
        self.name = Some(name.into());
        self
    }
}

/// # Errors
/// A query that is empty, has a zero byte or more than 8 KiB.
pub(crate) fn checked_query(query: &str) -> Result<String, Error> {
    if query.trim().is_empty() || query.contains('\0') || query.len() > QUERY_LEN_MAX {
        return Err(Error::invalid(format!(
            "{query:?} is not a query; expected SQL of at most {QUERY_LEN_MAX} bytes"
        )));
    }
    Ok(query.to_string())
}

/// # Errors
/// A name that cannot be; `what` says of what.
pub(crate) fn checked_name(what: &str, name: &str) -> Result<String, Error> {
    if name.is_empty() || name.len() > NAME_LEN_MAX || name.contains('\0') {
        return Err(Error::invalid(format!(
            "{name:?} is not a {what}; expected a name of 1 to {NAME_LEN_MAX} bytes"
        )));
    }
    Ok(name.to_string())
}

way_to_target!(PostgresCheck);

impl Check for PostgresCheck {
    fn check(&mut self) -> Outcome {
        let password = match self.questions.password_file.as_deref().map(read_secret) {
            None => None,
            Some(Ok(password)) => Some(password),
            Some(Err(message)) => {
                let outcome = Outcome::new(Health::Unknown, Reason::FileUnreadable);
                return outcome.with_detail(message);
            }
        };
        let (questions, key, timeout) = (&self.questions, &mut self.key, self.timeout);
        converse(&self.target, timeout, |conversation| {
            let asked = questions.ask(conversation, password.as_deref(), key, timeout);
            asked.unwrap_or_else(|outcome| *outcome)
        })
    }

    fn budget(&self) -> Option<Duration> {
        Some(self.timeout)
    }
}

impl Questions {
    /// # Errors
    /// Questions that do not go together.
    pub(crate) fn checked(&self) -> Result<(), Error> {
        match (self.role, self.max_lag) {
            (Some(Role::Primary), Some(lag)) => Err(Error::invalid(format!(
                "a primary has no lag of {lag}; expected the role standby"
            ))),
            _ => Ok(()),
        }
    }

    /// Whether more is to be known than that the server is alive.
    fn is_more_than_life(&self) -> bool {
        self.query.is_some() || self.is_position()
    }

    /// Whether role or lag are to be known.
    fn is_position(&self) -> bool {
        self.role.is_some() || self.max_lag.is_some()
    }

    fn ask(
        &self,
        conversation: &mut Conversation,
        password: Option<&[u8]>,
        key: &mut Option<Key>,
        limit: Duration,
    ) -> Result<Outcome, Box<Outcome>> {
        let peer = conversation.peer().to_string();
        let ready = Outcome::new(Health::Ok, Reason::PostgresReady).with_detail(peer);
        let session = self
            .log_in(conversation, password, key)
            .map_err(|problem| {
                let more = self.is_more_than_life();
                meaning(*problem, |refusal| verdict::login_refused(refusal, more))
            })?;
        let Some(mut session) = session else {
            return Ok(ready);
        };
        let outcome = self.examine(&mut session, ready, limit);
        session.end();
        outcome
    }

    /// A session, or none where the server's request for authentication is answer enough.
    fn log_in<'a>(
        &self,
        conversation: &'a mut Conversation,
        password: Option<&[u8]>,
        key: &mut Option<Key>,
    ) -> Result<Option<Session<'a>>, Box<Problem>> {
        let user = self.user.as_deref().unwrap_or(USER);
        let database = self.database.as_deref().unwrap_or(user);
        match open(conversation, user, database)? {
            Opening::Session(session) => Ok(Some(session)),
            Opening::Asked(asked) if self.is_more_than_life() || password.is_some() => {
                asked.log_in(&Login { user, password }, key).map(Some)
            }
            Opening::Asked(_) => Ok(None),
        }
    }

    /// Asks in a session for all that is to be known.
    fn examine(
        &self,
        session: &mut Session,
        mut ready: Outcome,
        limit: Duration,
    ) -> Result<Outcome, Box<Outcome>> {
        if self.is_position() {
            let text = verdict::position_query(self.max_lag.is_some());
            let row = session
                .query(&text, limit)
                .map_err(|problem| meaning(*problem, verdict::own_query_refused))?;
            let position = verdict::Position::read(row)?;
            ready = position.judged(self.role, self.max_lag, ready)?;
        }
        if let Some(query) = &self.query {
            let row = session
                .query(query, limit)
                .map_err(|problem| meaning(*problem, verdict::query_refused))?;
            verdict::query_true(row)?;
        }
        Ok(ready)
    }
}

/// What a problem comes to; `refused` knows what a refusal means here.
fn meaning(problem: Problem, refused: impl FnOnce(Refusal) -> Outcome) -> Box<Outcome> {
    match problem {
        Problem::Ended(outcome) => outcome,
        Problem::Refused(refusal) => Box::new(refused(refusal)),
    }
}

impl fmt::Debug for PostgresCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(
                f,
                "PostgresCheck({} within {:?})",
                self.target, self.timeout
            ),
        }
    }
}
