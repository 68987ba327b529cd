//! POSTs that need credentials, and what a heartbeat's POST says.
#![forbid(unsafe_code)]

use super::post::{OnPost, Post, Reply};
use crate::auth::{Access, Guard};
use crate::check::heartbeat::Reports;
use crate::health::{Health, State};
use crate::wire::form;
use crate::wire::http::target_query;

/// Acts only for who has the credentials. Without any it acts only for who may do everything.
pub(crate) struct Guarded {
    pub(crate) guard: Option<Guard>,
    pub(crate) inner: Box<dyn OnPost>,
}

impl OnPost for Guarded {
    fn on_post(&self, post: &Post) -> Reply {
        if post.is_admin {
            return self.inner.on_post(post);
        }
        let Some(guard) = &self.guard else {
            let why = "ERROR: this component has no credentials of its own; expected those \
                       of an administrator, or the admin socket";
            return Reply::new(403, why);
        };
        match guard.verify(post.header("authorization")) {
            Access::Granted { .. } => self.inner.on_post(post),
            Access::Denied => Reply::unauthorized_by("Invalid credentials", guard.challenge()),
            Access::Unavailable(why) => Reply::no_credentials(why),
        }
    }

    fn reset_by_admin(&self, state: State) -> Option<Reply> {
        self.inner.reset_by_admin(state)
    }

    fn is_for_admins(&self) -> bool {
        self.guard.is_none()
    }

    fn reports(&self) -> Option<Reports> {
        self.inner.reports()
    }
}

/// A heartbeat's report: well, unless `?status=` says otherwise; the body is its detail.
impl OnPost for Reports {
    fn on_post(&self, post: &Post) -> Reply {
        let refuse = |what: &str| {
            let text = format!("ERROR: {what}; expected ?status=ok, warn or fail, or nothing");
            Reply::new(400, text)
        };
        let Some(fields) = form::fields(target_query(post.path()).as_bytes()) else {
            return refuse("the query cannot be read");
        };
        if fields.len() > 1 {
            return refuse("there is more than one field");
        }
        let mut health = Health::Ok;
        for (name, value) in fields {
            health = match (name.as_str(), value.as_str()) {
                ("status", "ok") => Health::Ok,
                ("status", "warn") => Health::Warn,
                ("status", "fail") => Health::Fail,
                ("status", _) => return refuse(&format!("status {value:?} is none")),
                _ => return refuse(&format!("field {name:?} is unknown")),
            };
        }
        self.report(health, &String::from_utf8_lossy(post.body()));
        Reply::new(200, "OK").after_next_run()
    }

    fn reports(&self) -> Option<Reports> {
        Some(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Check;
    use crate::check::heartbeat::HeartbeatCheck;

    fn post(path: &str, body: &str, is_admin: bool) -> Post {
        Post {
            path: path.to_string(),
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
            peer: "127.0.0.1:9".parse().unwrap(),
            state: State::Ok,
            is_admin,
        }
    }

    #[test]
    fn a_report_says_how_it_is() {
        let mut check = HeartbeatCheck::new(60).unwrap();
        let reports = check.reports();
        for (path, outcome) in [
            ("/a", "heartbeat heard: x"),
            ("/a?", "heartbeat heard: x"),
            ("/a?status=warn", "heartbeat says warn: x"),
            ("/a?status=fail", "heartbeat says fail: x"),
            ("/a?status=ok", "heartbeat heard: x"),
        ] {
            assert_eq!(reports.on_post(&post(path, "x", false)).status(), 200);
            assert_eq!(check.check().to_string(), outcome, "{path}");
        }
        for path in [
            "/a?status=bad",
            "/a?stats=ok",
            "/a?%",
            "/a?status=ok&status=fail",
        ] {
            assert_eq!(
                reports.on_post(&post(path, "y", false)).status(),
                400,
                "{path}"
            );
        }
        assert_eq!(
            check.check().to_string(),
            "heartbeat heard: x",
            "nothing was taken"
        );
    }

    #[test]
    fn without_credentials_only_an_administrator_acts() {
        let check = HeartbeatCheck::new(60).unwrap();
        let guarded = Guarded {
            guard: None,
            inner: Box::new(check.reports()),
        };
        assert_eq!(guarded.on_post(&post("/a", "", false)).status(), 403);
        assert_eq!(guarded.on_post(&post("/a", "", true)).status(), 200);
    }
}
