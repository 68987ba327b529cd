//! A server's limits, their defaults and the reasons for these.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{HealthCheckServer, ListenSettings};
use crate::auth::{Guard, HtpasswdFile, TokenFile};
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::log::Log;
use crate::sys::limits;
use crate::units::Span;

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) held_max: usize,
    pub(super) request_timeout: Duration,
    pub(super) answer_within: Duration,
    pub(super) body_max: usize,
    pub(super) leaders: usize,
}

/// What may change while the server runs: it is looked up only where it matters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Site {
    /// What `/` answers for.
    pub(crate) default_component: Option<String>,
    /// The names under which browsers reach this server.
    pub(crate) server_names: Vec<String>,
    /// Whose credentials are an administrator's.
    pub(crate) guards: Vec<Arc<Guard>>,
}

/// Longer than any checker waits for its answer; short enough that the slow do not pile up.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than any sane check takes, so that it ends only the wait for one that hangs.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// What people post to a health checker is a few words.
const BODY_MAX: usize = 16 * 1024;

/// Two leaders keep answering while one of them has a read to wait for; more than four were
/// measured to be slower.
fn default_leaders() -> usize {
    limits::processors().clamp(2, 4)
}

/// Three quarters of the descriptors that the process may have; the rest is for checks, files and
/// the program around this server.
fn default_held_max() -> usize {
    limits::descriptors() / 4 * 3
}

/// A server's limits, and the start of one.
#[derive(Clone)]
pub struct Builder {
    pub(super) settings: Settings,
    pub(super) log: Log,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) listens: Vec<ListenSettings>,
    pub(super) admin_socket: Option<PathBuf>,
    pub(super) site: Site,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            settings: Settings {
                held_max: default_held_max(),
                request_timeout: REQUEST_TIMEOUT,
                answer_within: ANSWER_WITHIN,
                body_max: BODY_MAX,
                leaders: default_leaders(),
            },
            site: Site::default(),
            log: Log::to_stderr(),
            clock: Arc::new(SystemClock),
            listens: Vec::new(),
            admin_socket: None,
        }
    }

    /// How many connections may be unfinished, kept waiting for a run, or waiting for a POST to be
    /// acted on, all together. Over it the unfinished one that has waited longest is closed; a
    /// request that has come in full never is. Default: three quarters of the descriptor limit.
    pub fn max_connections(mut self, connections: usize) -> Builder {
        self.settings.held_max = connections.max(1);
        self
    }

    /// How long a client may take to send its request and to take the answer. Default: 10 s.
    ///
    /// # Errors
    /// No time at all, or more than ten years.
    pub fn request_timeout<T>(mut self, timeout: T) -> Result<Builder, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        let timeout: Span = timeout.try_into()?;
        self.settings.request_timeout = timeout.duration();
        Ok(self)
    }

    /// How long a caller waits for a check that runs on request; then it is answered `500 ERROR`.
    /// Default: 60 s.
    ///
    /// # Errors
    /// No time at all, or more than ten years.
    pub fn answer_within<T>(mut self, limit: T) -> Result<Builder, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        let limit: Span = limit.try_into()?;
        self.settings.answer_within = limit.duration();
        Ok(self)
    }

    /// The longest body of a POST that is taken, in bytes. Default: 16 KiB.
    pub fn max_body(mut self, bytes: usize) -> Builder {
        self.settings.body_max = bytes;
        self
    }

    /// The component that `/` answers for. Default: the only one there is; with several, `/`
    /// answers `200 alive`.
    pub fn default_component(mut self, name: impl Into<String>) -> Builder {
        self.site.default_component = Some(name.into());
        self
    }

    /// A host name under which people's browsers reach this server. A browser's POST is accepted
    /// only from a page of this very server, and only under an address, `localhost` or such a
    /// name, since any other name may be an attacker's that points here. Default: none.
    pub fn server_name(mut self, name: impl Into<String>) -> Builder {
        self.site.server_names.push(name.into());
        self
    }

    /// Where the server says what happens to it. Default: standard error.
    pub fn log(mut self, log: Log) -> Builder {
        self.log = log;
        self
    }

    /// Whose time decides when a check is too old. Default: the system's. Sockets always follow
    /// the system's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Builder {
        self.clock = clock;
        self
    }

    /// Listens in one more place, or answers agent-checks there. Default: none but the one that
    /// [`bind`](Builder::bind) is given.
    pub fn listen(mut self, settings: impl Into<ListenSettings>) -> Builder {
        self.listens.push(settings.into());
        self
    }

    /// A Unix socket over which everything may be done, for its owner and root only: for
    /// [`AdminSocket`](crate::AdminSocket) and the command line. What a killed process left there
    /// is replaced. Default: none.
    pub fn admin_socket(mut self, path: impl Into<PathBuf>) -> Builder {
        self.admin_socket = Some(path.into());
        self
    }

    /// Lets the users of this file administrate: put components into maintenance
    /// (`POST /-/maint/NAME`) and reset them (`POST /-/reset/NAME`). Default: nobody may.
    pub fn admin_users(mut self, users: HtpasswdFile) -> Builder {
        self.site.guards.push(Arc::new(Guard::Users(users)));
        self
    }

    /// Lets whoever has one of the tokens of this file administrate. Default: nobody may.
    pub fn admin_tokens(mut self, tokens: TokenFile) -> Builder {
        self.site.guards.push(Arc::new(Guard::Tokens(tokens)));
        self
    }

    /// Listens, on this address and wherever else it was told to. This one has to be there now.
    ///
    /// # Errors
    /// Not an address, or one that cannot be listened on;
    /// [`ErrorKind::Taken`](crate::ErrorKind::Taken) if another answers on the admin socket.
    pub fn bind(
        self,
        address: impl ToSocketAddrs + fmt::Debug,
    ) -> Result<HealthCheckServer, Error> {
        HealthCheckServer::listen(self, Some(ListenSettings::new(address)?))
    }

    /// Listens wherever it was told to. An address that this machine does not have yet is tried
    /// again every second; [`addresses`](HealthCheckServer::addresses) says which are there.
    ///
    /// # Errors
    /// As for [`bind`](Builder::bind); it was told of no place at all.
    pub fn open(self) -> Result<HealthCheckServer, Error> {
        HealthCheckServer::listen(self, None)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
