//! What a POST to a component brings, and what it is answered with.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use crate::auth::{Access, BASIC};
use crate::check::heartbeat::Reports;
use crate::decide::oneshot::Oneshot;
use crate::health::State;

/// A POST request to a component.
#[derive(Clone, Debug)]
pub struct Post {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) peer: SocketAddr,
    pub(crate) state: State,
    /// Whether it came over a way on which everything may be done.
    pub(crate) is_admin: bool,
}

impl Post {
    /// The method; always `POST`, since nothing else acts.
    pub fn method(&self) -> &str {
        "POST"
    }

    /// The target as sent, with its query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The first header of that name, in whatever case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(is, _)| is.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All headers in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The body; the server's limit bounds it.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Who sent it.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The component's state when the request came.
    pub fn state(&self) -> State {
        self.state
    }
}

/// The answer to a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) text: String,
    /// What `WWW-Authenticate` says, where it says something.
    pub(crate) challenge: Option<&'static str>,
    /// What is wrong on our side, for the log and not for strangers.
    pub(crate) trouble: Option<String>,
    acts_on_state: bool,
}

impl Reply {
    /// A status and a text. A status that is none is sent as 500.
    pub fn new(status: u16, text: impl Into<String>) -> Reply {
        let status = if (200..600).contains(&status) {
            status
        } else {
            500
        };
        Reply {
            status,
            text: text.into(),
            challenge: None,
            trouble: None,
            acts_on_state: false,
        }
    }

    /// `401` with the challenge that makes a browser or curl send credentials.
    pub fn unauthorized(text: impl Into<String>) -> Reply {
        Reply::unauthorized_by(text, BASIC)
    }

    /// The same with that challenge.
    pub(crate) fn unauthorized_by(text: impl Into<String>, challenge: &'static str) -> Reply {
        Reply {
            challenge: Some(challenge),
            ..Reply::new(401, text)
        }
    }

    /// `500`: the credentials that came cannot be held against anything, for that reason.
    pub(crate) fn no_credentials(why: String) -> Reply {
        Reply {
            trouble: Some(why),
            ..Reply::new(500, "ERROR: no credentials to compare")
        }
    }

    /// The same, sent only after the component's check has run once more, so that whoever has the
    /// answer finds the state that the request brought about.
    pub fn after_next_run(self) -> Reply {
        Reply {
            acts_on_state: true,
            ..self
        }
    }

    /// Whether it is sent only after the next run.
    pub(crate) fn acts_on_state(&self) -> bool {
        self.acts_on_state
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// What is done on a POST. Closures that take a [`Post`] and return a [`Reply`] are one. It runs
/// on a thread of its own, one POST at a time.
pub trait OnPost: Send + Sync {
    /// Acts, and answers.
    fn on_post(&self, post: &Post) -> Reply;

    /// Resets for an administrator, who has shown other credentials; `None` where a POST resets
    /// nothing.
    #[doc(hidden)]
    fn reset_by_admin(&self, _state: State) -> Option<Reply> {
        None
    }

    /// Whether it has no credentials of its own, so that an administrator's are asked for.
    #[doc(hidden)]
    fn is_for_admins(&self) -> bool {
        false
    }

    /// Where a heartbeat's reports go; `None` where a POST is none.
    #[doc(hidden)]
    fn reports(&self) -> Option<Reports> {
        None
    }
}

impl<F> OnPost for F
where
    F: Fn(&Post) -> Reply + Send + Sync,
{
    fn on_post(&self, post: &Post) -> Reply {
        self(post)
    }
}

/// A manual reset over the network (seed 000, U5): while the component fails it arms the oneshot;
/// otherwise nothing is changed, and the answer says so.
impl OnPost for Oneshot {
    fn on_post(&self, post: &Post) -> Reply {
        if let Some(auth) = self.auth() {
            match auth.verify(post.header("authorization")) {
                Access::Granted { .. } => {}
                Access::Denied => return Reply::unauthorized("Invalid credentials"),
                Access::Unavailable(why) => return Reply::no_credentials(why),
            }
        }
        reset(self, post.state())
    }

    fn reset_by_admin(&self, state: State) -> Option<Reply> {
        Some(reset(self, state))
    }
}

fn reset(oneshot: &Oneshot, state: State) -> Reply {
    if state == State::Ok {
        return Reply::new(200, "Nothing to reset: the state is ok");
    }
    oneshot.fire();
    Reply::new(200, "Armed").after_next_run()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(state: State) -> Post {
        Post {
            path: String::from("/a?b"),
            headers: vec![(String::from("X-Y"), String::from("z"))],
            body: b"body".to_vec(),
            peer: "127.0.0.1:9".parse().unwrap(),
            state,
            is_admin: false,
        }
    }

    #[test]
    fn a_reset_while_ok_changes_nothing_and_says_so() {
        let reset = Oneshot::new(State::Fail);
        assert_eq!(
            reset.on_post(&post(State::Ok)).text(),
            "Nothing to reset: the state is ok"
        );
        assert!(!reset.is_armed());
        assert_eq!(
            reset.on_post(&post(State::Fail)),
            Reply::new(200, "Armed").after_next_run()
        );
        assert!(reset.is_armed());
    }

    #[test]
    fn a_post_is_seen_whole() {
        let seen = |post: &Post| {
            Reply::new(
                202,
                format!(
                    "{} {} {:?} {:?} {:?} {} {}",
                    post.method(),
                    post.path(),
                    post.header("x-y"),
                    post.headers().count(),
                    post.body(),
                    post.peer(),
                    post.state()
                ),
            )
        };
        let reply = seen.on_post(&post(State::Fail));
        assert_eq!(reply.status(), 202);
        assert_eq!(
            reply.text(),
            "POST /a?b Some(\"z\") 1 [98, 111, 100, 121] 127.0.0.1:9 fail"
        );
    }

    #[test]
    fn a_status_that_is_none_is_an_error() {
        for status in [0, 100, 199, 600] {
            assert_eq!(Reply::new(status, "").status(), 500);
        }
    }
}
