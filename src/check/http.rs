//! HTTP: does a server answer a request as expected?
//!
//! One request on a connection of its own, and one deadline for resolving, connecting, redirects
//! and the whole answer. Over plain TCP only: what is asked of an `https://` URL cannot be trusted
//! without verifying who answers, which is not done here.
#![forbid(unsafe_code)]

use std::fmt;
use std::time::Duration;

use crate::check::Check;
use crate::check::health_json;
use crate::check::status::StatusSet;
use crate::check::value::{Side, ValueRule};
use crate::check::way::way_to_target;
use crate::client::http::{BODY_BYTES_KEPT, Received, ask, receive_body};
use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::net::conversation::{Conversation, converse};
use crate::net::deadline::Deadline;
use crate::net::dial::Target;
use crate::net::port::Port;
use crate::text::place_of;
use crate::units::Span;
use crate::wire::http::{AnswerHead, Asking, Framing};
use crate::wire::url::Url;

/// Redirects that can be followed at most; more are a loop.
pub(crate) const FOLLOW_MAX: u8 = 10;

/// How much of an unexpected answer's body is told.
const EXCERPT_BYTES: usize = 100;

/// How much of a `Location` is told.
const LOCATION_CHARS_MAX: usize = 200;

/// Checks whether an HTTP server answers a request as expected. By default that is a GET, answered
/// with a status from 200 to 299.
///
/// Redirects are answers like any other unless [`follow`](HttpCheck::follow) says otherwise. The
/// whole answer has to come in time, up to the first 64 KiB of its body. An answer whose media type
/// is `application/health+json` is also asked what it says: `warn` passes with a warning, `fail`
/// does not.
///
/// Reasons: `http answered`; warning `http says warn`; failures `http status not expected`, `http
/// says fail`, `text missing`, `value beyond limit`, `value missing`, `http too many redirects`,
/// `http redirect refused`, `answer malformed`, `answer too long`, `answer ended early`, `answer
/// timeout`, `answer reset`, `send timeout`, and those of [`TcpCheck`](crate::TcpCheck) for a
/// connection that cannot be made.
///
/// ```
/// use failover::{Check, Health, HealthCheckServer, HttpCheck, second};
///
/// let server = HealthCheckServer::bind("127.0.0.1:0")?;
/// server.add_component("web", || true)?;
/// server.add_component("mail", || false)?;
/// let address = server.local_addr();
/// let running = server.start()?;
///
/// let mut web = HttpCheck::new(&format!("http://{address}/web"), second(10))?;
/// assert_eq!(web.check().to_string(), "http answered: 200 OK");
/// let mut mail = HttpCheck::new(&format!("http://{address}/mail"), second(10))?;
/// assert_eq!(mail.check().to_string(), "http status not expected: 503 FAIL: FAIL");
/// let mut mail = mail.expect_status("200-299,503")?.expect_body("FAIL")?;
/// assert_eq!(mail.check().health, Health::Ok);
///
/// server.handle().shutdown();
/// running.wait();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct HttpCheck {
    url: Url,
    pub(crate) target: Target,
    timeout: Duration,
    pub(crate) asking: Asking,
    pub(crate) expected: StatusSet,
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) value: Option<ValueRule>,
    pub(crate) follow: usize,
    name: Option<String>,
}

impl HttpCheck {
    /// Asks `url` (`http://HOST[:PORT][/PATH][?QUERY]`) and expects the whole answer within
    /// `timeout` (a bare number is seconds), redirects included.
    ///
    /// # Errors
    /// A URL or a timeout that cannot be; `https://`.
    pub fn new<T>(url: &str, timeout: T) -> Result<HttpCheck, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        let timeout: Span = timeout.try_into()?;
        let url = Url::parse(url)?;
        Ok(HttpCheck {
            target: Target::new(&url.host, Port::try_from(url.port)?)?,
            url,
            timeout: timeout.duration(),
            asking: Asking::default(),
            expected: StatusSet::success(),
            body: None,
            value: None,
            follow: 0,
            name: None,
        })
    }

    /// Asks with this method. Default: GET. A POST, PUT or PATCH has an empty body.
    ///
    /// # Errors
    /// What is no method; CONNECT; HEAD where something is expected of the body.
    pub fn method(mut self, method: &str) -> Result<HttpCheck, Error> {
        self.asking.set_method(method)?;
        self.checked()?;
        Ok(self)
    }

    /// Sends one more header. User-Agent, Accept and Connection take the place of the check's own.
    /// Headers go to the URL's own host and port only, wherever a redirect leads.
    ///
    /// # Errors
    /// What is no header, and those that the check makes itself: Host (see
    /// [`host`](HttpCheck::host)), Content-Length, Transfer-Encoding, Expect.
    pub fn header(mut self, name: &str, value: &str) -> Result<HttpCheck, Error> {
        self.asking.add_header(name, value)?;
        Ok(self)
    }

    /// Sends this as the Host, to ask one server for one of several sites. Default: what the URL
    /// says.
    ///
    /// # Errors
    /// What can be no host, with or without a port.
    pub fn host(mut self, host: &str) -> Result<HttpCheck, Error> {
        self.asking.set_host(host)?;
        Ok(self)
    }

    /// Which statuses are expected, such as `"200-299,304"`. Default: 200 to 299.
    ///
    /// # Errors
    /// What is no set of statuses.
    pub fn expect_status<S>(mut self, expected: S) -> Result<HttpCheck, Error>
    where
        S: TryInto<StatusSet>,
        Error: From<S::Error>,
    {
        self.expected = expected.try_into()?;
        Ok(self)
    }

    /// Expects these bytes somewhere in the first 64 KiB of the body. Default: nothing.
    ///
    /// # Errors
    /// No bytes at all; a HEAD, which is answered without a body.
    pub fn expect_body(mut self, bytes: impl Into<Vec<u8>>) -> Result<HttpCheck, Error> {
        self.body = Some(checked_body(bytes.into())?);
        self.checked()?;
        Ok(self)
    }

    /// Expects a number in the body, strictly below or above a limit. In JSON the key is a path
    /// such as `checks.queue:depth.0.observedValue`; otherwise the body is read as Prometheus
    /// does, and the key is a sample such as `jobs_waiting` or `jobs_waiting{queue="mail"}`, of
    /// which the first one that has these labels is taken. Default: no number.
    ///
    /// # Errors
    /// A key or a limit that cannot be; a HEAD, which is answered without a body.
    pub fn value(mut self, key: &str, side: Side, limit: f64) -> Result<HttpCheck, Error> {
        self.value = Some(ValueRule::new(key, side, limit)?);
        self.checked()?;
        Ok(self)
    }

    /// Follows up to that many redirects (301, 302, 303, 307, 308) in one run, 0 to 10. What is
    /// expected is expected of the last answer. Default: 0, since a redirect to somewhere else
    /// says little of the server that was asked.
    ///
    /// # Errors
    /// More than 10.
    pub fn follow(mut self, redirects: u8) -> Result<HttpCheck, Error> {
        if redirects > FOLLOW_MAX {
            return Err(Error::invalid(format!(
                "{redirects} redirects are too many to follow; expected 0 to {FOLLOW_MAX}"
            )));
        }
        self.follow = usize::from(redirects);
        Ok(self)
    }

    /// What `Debug` prints, to tell one from another.
    pub fn name(mut self, name: impl Into<String>) -> HttpCheck {
        self.name = Some(name.into());
        self
    }

    /// What cannot be found in any answer is not to be looked for.
    ///
    /// # Errors
    /// A HEAD, where something is expected of the body.
    pub(crate) fn checked(&self) -> Result<(), Error> {
        if self.asking.is_head() && (self.body.is_some() || self.value.is_some()) {
            return Err(Error::invalid(
                "a HEAD is answered without a body, so nothing can be found there; expected GET",
            ));
        }
        Ok(())
    }
}

/// # Errors
/// Bytes that are in every body, or that none is read far enough for.
pub(crate) fn checked_body(bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    if bytes.is_empty() || bytes.len() > BODY_BYTES_KEPT {
        return Err(Error::invalid(
            "an empty text, or one over 64 KiB, cannot be found in a body; expected another",
        ));
    }
    Ok(bytes)
}

/// One request and where it goes.
#[derive(Clone, PartialEq, Eq)]
struct Hop {
    url: Url,
    asking: Asking,
}

/// What one answer comes to.
enum Step {
    Judged(Outcome),
    Redirected(Hop),
}

impl HttpCheck {
    /// The request, and those that it is redirected to. With `family all` several addresses may
    /// each redirect elsewhere: every such place is asked, once.
    fn run(&self) -> Outcome {
        let deadline = Deadline::after(self.timeout);
        let mut open = vec![Hop {
            url: self.url.clone(),
            asking: self.asking.clone(),
        }];
        let mut followed = 0;
        let mut result = Outcome::new(Health::Fail, Reason::AnswerTimeout);
        while let Some(hop) = open.pop() {
            let Some(left) = deadline.left() else {
                return Outcome::new(Health::Fail, Reason::AnswerTimeout);
            };
            let target = match self.target_of(&hop.url) {
                Ok(target) => target,
                Err(error) => return refused(error.to_string()),
            };
            result = converse(&target, left, |conversation| {
                match self.talk(conversation, &hop) {
                    Step::Judged(outcome) => outcome,
                    Step::Redirected(next) => {
                        if open.contains(&next) {
                            return passed();
                        }
                        followed += 1;
                        if followed > self.follow {
                            let detail = format!("over {}", self.follow);
                            return fail(Reason::HttpTooManyRedirects).with_detail(detail);
                        }
                        open.push(next);
                        passed()
                    }
                }
            });
            if !matches!(result.health, Health::Ok | Health::Warn) {
                return result;
            }
        }
        result
    }

    fn target_of(&self, url: &Url) -> Result<Target, Error> {
        self.target.to(&url.host, Port::try_from(url.port)?)
    }

    fn talk(&self, conversation: &mut Conversation, hop: &Hop) -> Step {
        let is_head = hop.asking.is_head();
        let head = match ask(conversation, &hop.asking.bytes(&hop.url), is_head) {
            Ok(head) => head,
            Err(outcome) => return Step::Judged(*outcome),
        };
        if self.follow > 0 && matches!(head.status, 301 | 302 | 303 | 307 | 308) {
            return match redirect(hop, &head) {
                Ok(next) => Step::Redirected(next),
                Err(outcome) => Step::Judged(*outcome),
            };
        }
        // Read even when the status has decided: a server that is left in the middle of its answer
        // logs an error.
        let body = receive_body(conversation, &head, BODY_BYTES_KEPT);
        Step::Judged(if self.expected.contains(head.status) {
            self.judge(&head, body)
        } else {
            unexpected(&head, &body.bytes)
        })
    }

    /// An answer with an expected status.
    fn judge(&self, head: &AnswerHead, body: Received) -> Outcome {
        if let Some(problem) = body.problem {
            return problem;
        }
        let mut result = said(head, &body);
        if result.health == Health::Fail {
            return result;
        }
        if let Some(text) = &self.body {
            let is_there = place_of(&body.bytes, text).is_some();
            match (is_there, body.is_cut) {
                (true, _) => {}
                (false, false) => return fail(Reason::TextMissing).with_detail(head.line()),
                (false, true) => {
                    let detail = format!("no such text in the first {} bytes", body.bytes.len());
                    return fail(Reason::AnswerTooLong).with_detail(detail);
                }
            }
        }
        if let Some(rule) = &self.value {
            let outcome = if body.is_cut {
                rule.judge_beginning(&body.bytes)
            } else {
                rule.judge(&body.bytes)
            };
            if outcome.health != Health::Ok {
                return outcome;
            }
            if result.health == Health::Ok {
                result.detail = format!("{}, {}", result.detail, outcome.detail);
            }
        }
        result
    }
}

/// What the answer says of itself: its status, and what it has to say in health+json.
fn said(head: &AnswerHead, body: &Received) -> Outcome {
    let is_health = head
        .header("Content-Type")
        .is_some_and(health_json::is_health_json);
    if is_health && head.framing != Framing::None {
        let outcome = health_json::judge(&body.bytes, body.is_cut);
        if outcome.health != Health::Ok {
            return outcome;
        }
    }
    passed().with_detail(head.line())
}

fn unexpected(head: &AnswerHead, body: &[u8]) -> Outcome {
    let excerpt = String::from_utf8_lossy(&body[..body.len().min(EXCERPT_BYTES)]);
    let line = head.line();
    let detail = match excerpt.trim() {
        "" => line,
        excerpt => format!("{line}: {excerpt}"),
    };
    fail(Reason::HttpStatusUnexpected).with_detail(detail)
}

/// Where a redirect leads.
fn redirect(hop: &Hop, head: &AnswerHead) -> Result<Hop, Box<Outcome>> {
    let Some(location) = head.header("Location") else {
        let detail = format!("{} without a Location", head.line());
        return Err(fail(Reason::AnswerMalformed).with_detail(detail).into());
    };
    let shown: String = location.chars().take(LOCATION_CHARS_MAX).collect();
    let url = hop
        .url
        .join(location)
        .map_err(|_| refused(format!("{} to {shown}", head.line())))?;
    let asking = hop.asking.redirected(head.status);
    let is_elsewhere = !url.has_origin_of(&hop.url);
    Ok(Hop {
        asking: if is_elsewhere {
            asking.elsewhere()
        } else {
            asking
        },
        url,
    })
}

fn fail(reason: Reason) -> Outcome {
    Outcome::new(Health::Fail, reason)
}

fn refused(detail: String) -> Outcome {
    fail(Reason::HttpRedirectRefused).with_detail(detail)
}

fn passed() -> Outcome {
    Outcome::new(Health::Ok, Reason::HttpAnswered)
}

way_to_target!(HttpCheck);

impl Check for HttpCheck {
    fn check(&mut self) -> Outcome {
        self.run()
    }

    fn budget(&self) -> Option<Duration> {
        Some(self.timeout)
    }
}

impl fmt::Debug for HttpCheck {
    /// Neither headers nor the query, since they may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            return f.write_str(name);
        }
        let path = self.url.target.split('?').next().unwrap_or_default();
        let (method, host) = (self.asking.method(), self.url.host_header());
        write!(
            f,
            "HttpCheck({method} http://{host}{path} within {:?})",
            self.timeout
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::examine_answer;

    fn check() -> HttpCheck {
        HttpCheck::new("http://a.example:81/b?token=secret", 3).unwrap()
    }

    #[test]
    fn what_cannot_be_is_refused_where_it_is_given() {
        assert!(HttpCheck::new("a.example", 3).is_err());
        assert!(HttpCheck::new("http://a.example", 0).is_err());
        assert!(HttpCheck::new("https://a.example", 3).is_err());
        assert!(check().method("GET x").is_err());
        assert!(check().header("Host", "x").is_err());
        assert!(check().host("a b").is_err());
        assert!(check().expect_status("2xx").is_err());
        assert!(check().expect_body("").is_err());
        assert!(check().value("a..b", Side::Below, 1.0).is_err());
        assert!(check().follow(11).is_err());
        assert!(check().connect_timeout(0).is_err());
        assert!(check().source_host("a b").is_err());
        assert!(check().source_port(0).is_err());
    }

    #[test]
    fn a_head_and_what_is_expected_of_a_body_exclude_each_other() {
        let head = || check().method("HEAD").unwrap();
        assert!(head().expect_body("x").is_err());
        assert!(head().value("x", Side::Below, 1.0).is_err());
        assert!(check().expect_body("x").unwrap().method("HEAD").is_err());
        assert!(head().method("GET").unwrap().expect_body("x").is_ok());
    }

    #[test]
    fn debug_shows_no_secrets() {
        let check = check().header("Authorization", "Bearer secret").unwrap();
        assert_eq!(
            format!("{check:?}"),
            "HttpCheck(GET http://a.example:81/b within 3s)"
        );
        assert_eq!(format!("{:?}", check.name("web")), "web");
    }

    #[test]
    fn nothing_that_was_meant_for_one_server_goes_to_another() {
        let check = check().header("Authorization", "secret").unwrap();
        let hop = Hop {
            url: check.url.clone(),
            asking: check.host("b").unwrap().asking,
        };
        for (location, is_told) in [
            ("/c", true),
            ("http://A.EXAMPLE:81/c", true),
            ("http://a.example/c", false),
            ("//b.example:81/c", false),
        ] {
            let text = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n");
            let (head, _) = examine_answer(text.as_bytes(), false).unwrap().unwrap();
            let next = redirect(&hop, &head).unwrap();
            let sent = String::from_utf8(next.asking.bytes(&next.url)).unwrap();
            assert_eq!(sent.contains("secret"), is_told, "{location}");
            assert_eq!(sent.contains("Host: b\r\n"), is_told, "{location}");
        }
    }
}
