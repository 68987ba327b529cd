//! What a proxy or web server writes of its requests, in its access log.
//!
//! It follows one file and counts its lines; what the lines mean is told by the codec. What is in
//! them came from clients, so that no word of them ever gets into a detail.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::check::Check;
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::wire::access_log::parse;

use super::rules::{Traffic, TrafficRules, malformed};
use super::tail::Tail;
use super::window::{Counts, Window};

/// Judges by the access log of a proxy or web server (seed 002).
///
/// Each run reads the lines that were added since the last one. The first run begins at the end of
/// the file, so that old lines are no news. Rotation is followed, by renaming and by
/// copytruncate. Formats: HAProxy's `option httplog`, and the common and combined ones of nginx
/// and Apache, with or without a syslog prefix; each line may be of another.
///
/// Any status from 500 to 599 is a 5xx, whether the server or the proxy made it. Errors are, with
/// HAProxy, sessions that the server ended wrongly (termination state `S`, `s`, `D` or `PH`) or
/// that have no status (`-1`) and were not ended by their client; with nginx and Apache, the
/// statuses 502 and 504, which say that the server behind could not be asked. The latency is
/// HAProxy's `Tr`, or a field `rt=SECONDS` (or `request_time=SECONDS`) behind nginx's usual ones:
/// `log_format timed '$remote_addr - $remote_user [$time_local] "$request" $status
/// $body_bytes_sent "$http_referer" "$http_user_agent" rt=$request_time';`.
///
/// Reasons: `traffic normal`; failures `traffic 5xx rate`, `traffic error rate`, `traffic
/// latency`; unknown `traffic too little` (also at the first run), `traffic source unreadable`,
/// `traffic source malformed`.
///
/// ```
/// use std::io::Write;
/// use failover::{AccessLogCheck, Check, TrafficRules};
///
/// let path = std::env::temp_dir().join(format!("failover-doc-{}.log", std::process::id()));
/// let mut log = std::fs::File::create(&path)?;
/// let mut check = AccessLogCheck::new(&path)?.rules(TrafficRules::new().min_requests(4)?);
/// assert_eq!(check.check().reason.words(), "traffic too little");
/// for status in [200, 404, 200, 503] {
///     writeln!(log, r#"::1 - - [21/Nov/2026:06:26:41 +0000] "GET / HTTP/1.1" {status} 2"#)?;
/// }
/// assert!(check.check().detail.starts_with("5xx 1 of 4 requests"));
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct AccessLogCheck {
    tail: Tail,
    pub(crate) rules: TrafficRules,
    clock: Arc<dyn Clock>,
    window: Window,
    name: Option<String>,
}

impl AccessLogCheck {
    /// Follows the log at `path`. It need not be there yet: the check is then unknown, and all of
    /// the file is news when it comes.
    ///
    /// # Errors
    /// A path that cannot be, or that depends on where the program was started.
    pub fn new(path: impl AsRef<Path>) -> Result<AccessLogCheck, Error> {
        AccessLogCheck::of(path.as_ref())
    }

    fn of(path: &Path) -> Result<AccessLogCheck, Error> {
        if !path.is_absolute() || path.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(Error::invalid(format!(
                "{path:?} is not the path of a log; expected an absolute one such as \
                 /var/log/haproxy.log"
            )));
        }
        Ok(AccessLogCheck {
            tail: Tail::new(path),
            rules: TrafficRules::new(),
            clock: Arc::new(SystemClock),
            window: Window::default(),
            name: None,
        })
    }

    /// What is too much. Default: [`TrafficRules::new`].
    pub fn rules(mut self, rules: TrafficRules) -> AccessLogCheck {
        self.rules = rules;
        self
    }

    /// Which clock says how old a line is, by when it was read. Default: the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> AccessLogCheck {
        self.clock = clock;
        self
    }

    /// What `Debug` prints, to tell one from another.
    pub fn name(mut self, name: impl Into<String>) -> AccessLogCheck {
        self.name = Some(name.into());
        self
    }

    fn judge(&self, counts: &Counts, time: Duration) -> Outcome {
        let lines = counts.requests.saturating_add(counts.unmatched);
        if counts.unmatched > counts.requests && !self.rules.is_too_little(lines) {
            return malformed(format!(
                "{} of {lines} lines are of no known format; expected HAProxy's option httplog, \
                 or the common or combined format",
                counts.unmatched
            ));
        }
        let latency = (counts.timed > 0).then(|| counts.micros / counts.timed.max(1));
        self.rules.judge(&Traffic {
            requests: counts.requests,
            server_errors: Some(counts.server_errors),
            errors: counts.errors,
            latency: latency.map(Duration::from_micros),
            time,
        })
    }
}

/// Counts one line.
fn count(counts: &mut Counts, line: &[u8]) {
    let Some(request) = parse(&String::from_utf8_lossy(line)) else {
        counts.unmatched += 1;
        return;
    };
    counts.requests += 1;
    counts.server_errors += u64::from(request.is_server_error);
    counts.errors += u64::from(request.is_error);
    if let Some(took) = request.took {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counts.timed += 1;
        counts.micros = counts.micros.saturating_add(micros);
    }
}

impl Check for AccessLogCheck {
    fn check(&mut self) -> Outcome {
        let mut news = Counts::default();
        let looked = self.tail.look(&mut |line| count(&mut news, line));
        // Also after an error: what was read before it is not read again.
        let now = self.clock.now();
        let (counts, time) = self.window.add(now, news, self.rules.span());
        let skipped = match looked {
            Ok(skipped) => skipped,
            Err(error) => {
                let detail = format!("{}: {error}", self.tail.path().display());
                return Outcome::new(Health::Unknown, Reason::TrafficSourceUnreadable)
                    .with_detail(detail);
            }
        };
        let mut outcome = self.judge(&counts, time);
        if skipped > 0 {
            outcome.detail += &format!("; {} KiB too many to read", skipped.div_ceil(1024));
        }
        outcome
    }
}

impl fmt::Debug for AccessLogCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "AccessLogCheck({})", self.tail.path().display()),
        }
    }
}
