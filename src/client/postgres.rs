//! A session with a PostgreSQL server: login by trust, password, md5 or SCRAM-SHA-256, simple
//! queries, and a close that leaves nothing unusual in the server's log.
//!
//! There is no TLS: a server that demands it refuses the login, in words of its own. What a
//! refusal is worth is for the caller, who knows what was asked; only what means the same to
//! everybody is an outcome here.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::health::{Health, Outcome, Reason};
use crate::net::conversation::Conversation;
use crate::sys::random::random;
use crate::units::whole_millis;
use crate::wire::postgres::scram::{Challenge, Key, KeyMaker, Scram};
use crate::wire::postgres::{self as wire, Authentication, Malformed, Refusal, Row};

/// What is read of one session: a server that talks without end is not listened to for as long.
/// A login has less than a kilobyte; the rest is for an operator's own query.
const SESSION_BYTES_MAX: usize = 1024 * 1024;

/// How much longer than ours the server's time for a query is, so that ours always ends first.
const AFTER_LIMIT: Duration = Duration::from_secs(1);

/// Whom to be.
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: Option<&'a [u8]>,
}

/// Why a session ended before its time.
pub(crate) enum Problem {
    /// What happened has one meaning, whatever was asked.
    Ended(Box<Outcome>),
    /// The server refused, with an SQLSTATE.
    Refused(Refusal),
}

impl From<Box<Outcome>> for Box<Problem> {
    fn from(outcome: Box<Outcome>) -> Box<Problem> {
        Box::new(Problem::Ended(outcome))
    }
}

impl From<Malformed> for Box<Problem> {
    fn from(Malformed(what): Malformed) -> Box<Problem> {
        ended(Outcome::new(Health::Fail, Reason::AnswerMalformed).with_detail(what))
    }
}

/// What a server does with a startup.
pub(crate) enum Opening<'a> {
    /// It let us in at once.
    Session(Session<'a>),
    /// It asks for something first. Who leaves now leaves no trace in the log.
    Asked(Asked<'a>),
}

/// Opens a session as far as the server's first word.
///
/// # Errors
/// The server refuses, or its first word is none.
pub(crate) fn open<'a>(
    conversation: &'a mut Conversation,
    user: &str,
    database: &str,
) -> Result<Opening<'a>, Box<Problem>> {
    let mut wire = Wire {
        conversation,
        bytes: 0,
    };
    wire.conversation.awaits("answer to the startup");
    wire.conversation.send(&wire::startup(user, database))?;
    let request = wire.authentication()?;
    match Authentication::read(&request)? {
        Authentication::Ok => Ok(Opening::Session(wire.enter()?)),
        _ => Ok(Opening::Asked(Asked { wire, request })),
    }
}

/// A server that has asked for authentication.
pub(crate) struct Asked<'a> {
    wire: Wire<'a>,
    request: Vec<u8>,
}

impl<'a> Asked<'a> {
    /// Answers. `key` is what SCRAM made of the password the last time, and makes the next login
    /// cheap.
    ///
    /// # Errors
    /// The server refuses, asks for what we cannot give, or breaks the rules.
    pub(crate) fn log_in(
        mut self,
        login: &Login,
        key: &mut Option<Key>,
    ) -> Result<Session<'a>, Box<Problem>> {
        self.wire.conversation.awaits("login");
        let request = Authentication::read(&self.request)?;
        let is_spoken = matches!(
            request,
            Authentication::Cleartext | Authentication::Md5(_) | Authentication::Scram
        );
        if !is_spoken {
            let detail = format!("the server asks for {request}");
            return Err(unknown(Reason::PostgresAuthUnsupported, detail));
        }
        let Some(password) = login.password else {
            let detail = format!("the server asks for {request}, and no password is set");
            return Err(unknown(Reason::PostgresLoginRefused, detail));
        };
        let answer = match request {
            Authentication::Md5(salt) => wire::md5_password(login.user, password, salt),
            Authentication::Scram => {
                self.wire.scram(password, key)?;
                return self.wire.finish_login();
            }
            _ => password.to_vec(),
        };
        self.wire.conversation.send(&wire::password(&answer))?;
        self.wire.finish_login()
    }
}

/// A session that is open.
pub(crate) struct Session<'a>(Wire<'a>);

impl Session<'_> {
    /// Asks, and takes the first row of the answer, if there is one. The server gives the query up
    /// a second after `limit`, when we have left: it would not notice that nobody waits any more,
    /// and queries that are stuck would pile up until it has no connection left.
    ///
    /// # Errors
    /// The server refuses the query, ends the session, or breaks the rules.
    pub(crate) fn query(
        &mut self,
        text: &str,
        limit: Duration,
    ) -> Result<Option<Row>, Box<Problem>> {
        // Statements sent together are one transaction, so the limit is for this one alone, also
        // behind a pooler that hands the same session to others.
        let limit_ms = whole_millis(limit + AFTER_LIMIT).min(i32::MAX as u64);
        let text = format!("SET LOCAL statement_timeout = {limit_ms}; {text}");
        self.0.conversation.awaits("answer to the query");
        self.0.conversation.send(&wire::query(&text))?;
        let mut row = None;
        let mut refusal = None;
        loop {
            let (kind, body) = match self.0.message() {
                Ok(message) => message,
                // A server that ends the session says why and then closes.
                Err(problem) => return Err(refusal.map_or(problem, refused)),
            };
            match kind {
                wire::DATA_ROW if row.is_none() => row = Some(wire::row(&body)?),
                wire::ERROR => refusal = Some(Refusal::read(&body)?),
                wire::READY => return refusal.map_or(Ok(row), |it| Err(refused(it))),
                wire::DATA_ROW
                | wire::COMMAND_COMPLETE
                | wire::EMPTY_QUERY
                | wire::ROW_DESCRIPTION => {}
                kind => passing(kind)?,
            }
        }
    }

    /// Says goodbye. The connection is still to be closed.
    pub(crate) fn end(self) {
        // A server that does not take it any more needs no goodbye.
        let _ = self.0.conversation.send(&wire::terminate());
    }
}

/// The messages of one conversation, counted.
struct Wire<'a> {
    conversation: &'a mut Conversation,
    bytes: usize,
}

impl<'a> Wire<'a> {
    /// The kind and the body of the next message.
    fn message(&mut self) -> Result<(u8, Vec<u8>), Box<Problem>> {
        let len_max = wire::HEADER_LEN + wire::BODY_LEN_MAX;
        let conversation = &mut *self.conversation;
        conversation.receive_len(wire::HEADER_LEN, len_max)?;
        let received = conversation.received();
        let Some(header) = received.first_chunk() else {
            return Err(Malformed("no header").into());
        };
        let (kind, body_len) = match wire::header(*header) {
            Ok(header) => header,
            Err(malformed) => {
                let said = wire::bare_error(received);
                return Err(said.map_or(malformed.into(), could_not_start));
            }
        };
        let len = wire::HEADER_LEN + body_len;
        self.bytes += len;
        if self.bytes > SESSION_BYTES_MAX {
            let detail = format!("over {SESSION_BYTES_MAX} bytes");
            let outcome = Outcome::new(Health::Fail, Reason::AnswerTooLong);
            return Err(ended(outcome.with_detail(detail)));
        }
        conversation.receive_len(len, len_max)?;
        let mut body = conversation.take(len);
        body.drain(..wire::HEADER_LEN);
        Ok((kind, body))
    }

    /// The body of the next request for authentication.
    fn authentication(&mut self) -> Result<Vec<u8>, Box<Problem>> {
        loop {
            match self.message()? {
                (wire::AUTHENTICATION, body) => return Ok(body),
                (wire::ERROR, body) => return Err(refused(Refusal::read(&body)?)),
                (wire::NOTICE | wire::NEGOTIATE_VERSION, _) => {}
                _ => return Err(Malformed("a message before its time").into()),
            }
        }
    }

    /// The server is content, and lets us in.
    fn finish_login(mut self) -> Result<Session<'a>, Box<Problem>> {
        let body = self.authentication()?;
        match Authentication::read(&body)? {
            Authentication::Ok => self.enter(),
            _ => Err(Malformed("a second request for authentication").into()),
        }
    }

    /// Waits until the session is ready for queries.
    fn enter(mut self) -> Result<Session<'a>, Box<Problem>> {
        loop {
            match self.message()? {
                (wire::READY, _) => return Ok(Session(self)),
                (wire::ERROR, body) => return Err(refused(Refusal::read(&body)?)),
                (kind, _) => passing(kind)?,
            }
        }
    }

    fn scram(&mut self, password: &[u8], key: &mut Option<Key>) -> Result<(), Box<Problem>> {
        let random = random().map_err(|error| {
            let detail = format!("no random numbers for SCRAM: {error}");
            unknown(Reason::PostgresAuthUnsupported, detail)
        })?;
        let scram = Scram::new("", &random);
        self.conversation
            .send(&wire::sasl_initial(&scram.first()))?;
        let body = self.authentication()?;
        let Authentication::SaslContinue(server_first) = Authentication::read(&body)? else {
            return Err(Malformed("a SCRAM exchange without a challenge").into());
        };
        let challenge = scram.challenge(server_first)?;
        let known = key.take().filter(|key| key.serves(&challenge, password));
        let known = match known {
            Some(known) => known,
            None => self.make_key(&challenge, password)?,
        };
        let (answer, expected) = scram.proof(&challenge, &known);
        *key = Some(known);
        self.conversation.send(&wire::sasl_response(&answer))?;
        let body = self.authentication()?;
        let Authentication::SaslFinal(server_final) = Authentication::read(&body)? else {
            return Err(Malformed("a SCRAM exchange without proof").into());
        };
        Ok(expected.verify(server_final)?)
    }

    /// The server chooses how much work this is, and the deadline holds all the same.
    fn make_key(&self, challenge: &Challenge, password: &[u8]) -> Result<Key, Box<Problem>> {
        let mut maker = KeyMaker::new(challenge, password);
        while !self.conversation.is_late() {
            if let Some(key) = maker.work(challenge, password) {
                return Ok(key);
            }
        }
        let detail = format!(
            "{} rounds of SCRAM take longer than the timeout on this machine",
            challenge.rounds
        );
        Err(unknown(Reason::PostgresAuthUnsupported, detail))
    }
}

/// What a server may say at any time in a session, and nobody here needs to know.
fn passing(kind: u8) -> Result<(), Malformed> {
    match kind {
        wire::KEY_DATA
        | wire::NEGOTIATE_VERSION
        | wire::NOTICE
        | wire::NOTIFICATION
        | wire::PARAMETER_STATUS => Ok(()),
        _ => Err(Malformed("a message before its time")),
    }
}

fn ended(outcome: Outcome) -> Box<Problem> {
    Box::new(Problem::Ended(outcome.into()))
}

fn refused(refusal: Refusal) -> Box<Problem> {
    Box::new(Problem::Refused(refusal))
}

fn unknown(reason: Reason, detail: String) -> Box<Problem> {
    ended(Outcome::new(Health::Unknown, reason).with_detail(detail))
}

/// As libpq judges it: a server that cannot start a process for a client does not serve.
fn could_not_start(said: String) -> Box<Problem> {
    ended(Outcome::new(Health::Fail, Reason::PostgresRejecting).with_detail(said))
}
