//! The HTTP/1.0 server that balancers ask.
//!
//! The thread that accepts a connection serves it: a few leaders block in `accept` on each listener
//! ([`listening`]), and a request that has come is read, answered with one write and closed on the
//! spot. What would keep a leader waiting is handed on, so that a slow client costs nobody
//! anything: an unfinished request, an answer that does not fit the socket's buffer and a close
//! that is not safe yet go to the sweeper ([`park`]); a request for a check that has to run first
//! is kept with the run; POSTs and long reports go to desks. No check and no code of a POST ever
//! runs on a thread that accepts.
//!
//! ```text
//! accept -> examine -> route -> one write -> close           leaders (accept.rs, agent.rs)
//!              |         |         `- no room --.
//!              |         |- must run: kept with the run, answered by the prober
//!              |         |- POST: a desk (desk.rs), where posts.rs or admin.rs acts on it
//!              |         `- long report: another desk, where reports/ makes it
//!              `- unfinished -----------------> parked, poll(2), the sweeper (park.rs)
//! ```
#![forbid(unsafe_code)]

mod accept;
mod admin;
mod agent;
mod answers;
mod desk;
mod listening;
mod local;
mod page;
mod park;
mod posts;
mod pulse;
mod reports;
mod route;
pub(crate) mod settings;

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::check::Check;
use crate::clock::{Moment, locked};
use crate::component::{About, Components, Listener, Mount, OnPost};
use crate::error::Error;
use crate::event::Event;
use crate::log::{Complaints, Log};
use crate::sys::signals::Signals;
use crate::sys::thread::{self, Stack};
use admin::NoConfig;
pub(crate) use admin::{Admin, Config};
pub use agent::{AgentAdmin, AgentReply, AgentSettings, AgentView};
use desk::Desk;
pub use listening::ListenSettings;
use listening::{Listeners, Listening, Which};
use park::Inbox;
use pulse::Pulse;
pub use reports::METRICS;
use reports::Times;
pub use settings::Builder;
use settings::Settings;
pub(crate) use settings::Site;

/// Answers load balancers: each component under its own path. It stops when it is dropped.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use failover::HealthCheckServer;
///
/// let server = HealthCheckServer::bind("127.0.0.1:0")?;
/// server.add_component("mail", || true)?;
/// let running = server.start()?;
///
/// let mut connection = TcpStream::connect(server.local_addr())?;
/// connection.write_all(b"GET /mail HTTP/1.0\r\n\r\n")?;
/// let mut answer = String::new();
/// connection.read_to_string(&mut answer)?;
/// assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"));
/// assert!(answer.ends_with("\r\n\r\nOK"));
///
/// server.handle().shutdown();
/// running.wait();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct HealthCheckServer {
    shared: Arc<Shared>,
    listeners: Mutex<Vec<Listener>>,
}

/// What all threads of one server know.
struct Shared {
    listeners: Mutex<Listeners>,
    /// Some listener's address is not to be had yet.
    waiting: AtomicBool,
    /// Connections that were closed because no `allow` held their peer.
    refused: AtomicUsize,
    /// The first listener's, also when that has ended.
    address: OnceLock<SocketAddr>,
    settings: Settings,
    components: Arc<Components>,
    inbox: Inbox,
    /// Where POSTs are acted on, and where long reports are made. Strangers who try
    /// passwords, and files that hang, must cost neither an administrator on this machine nor a
    /// heartbeat its turn.
    posts: Arc<Desk>,
    local_acts: Arc<Desk>,
    heartbeats: Arc<Desk>,
    reloads: Arc<Desk>,
    reports: Arc<Desk>,
    /// Who does what administrators ask for; the server itself until it is told.
    admin: OnceLock<Arc<dyn Admin>>,
    site: Mutex<Arc<Site>>,
    log: Log,
    /// Requests that were whole and well-formed.
    requests: AtomicUsize,
    /// Connections that no leader holds: parked, kept with a run, or at a desk.
    held: AtomicUsize,
    /// Of these, callers that are kept with a run.
    kept: AtomicUsize,
    complaints: Complaints,
    stopping: AtomicBool,
    started: Moment,
    /// The sweeper's.
    pulse: Pulse,
    /// Every component has had an outcome.
    started_up: AtomicBool,
    /// What the clocks said to the last report.
    times: Mutex<Option<Times>>,
    /// Threads of this server that have not ended.
    threads: Mutex<usize>,
    ended: Condvar,
}

impl HealthCheckServer {
    /// Listens on an address, such as `"0.0.0.0:8080"`, with the default limits. Port 0 lets the
    /// system choose; see [`local_addr`](HealthCheckServer::local_addr).
    ///
    /// # Errors
    /// Not an address, or one that cannot be listened on.
    pub fn bind(address: impl ToSocketAddrs + fmt::Debug) -> Result<HealthCheckServer, Error> {
        HealthCheckServer::builder().bind(address)
    }

    /// The same with limits of one's own.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Listens in the first place at once or not at all, and then in all others.
    fn listen(
        mut builder: Builder,
        first: Option<ListenSettings>,
    ) -> Result<HealthCheckServer, Error> {
        let mut listeners = Listeners::default();
        let mut address = listening::NOWHERE;
        let admin_socket = builder.admin_socket.as_deref().map(Listening::at_path);
        let admin_socket = admin_socket.transpose()?;
        if let Some(first) = first {
            listeners.add(first.bind()?);
        } else if let Some(first) = builder.listens.first() {
            address = first.address();
        } else if admin_socket.is_none() {
            return Err(Error::invalid(
                "there is no place to listen; expected an address or an admin socket",
            ));
        }
        let inbox = Inbox::new()
            .map_err(|error| Error::system("no sockets for the sweeper could be had", error))?;
        let further = std::mem::take(&mut builder.listens);
        let shared = Arc::new(Shared {
            address: OnceLock::new(),
            listeners: Mutex::new(listeners),
            waiting: AtomicBool::new(false),
            refused: AtomicUsize::new(0),
            settings: builder.settings,
            started: builder.clock.now(),
            components: Arc::new(Components::new(builder.clock)),
            inbox,
            posts: Desk::new("POST", Stack::Users),
            local_acts: Desk::new("POST", Stack::Users),
            heartbeats: Desk::new("POST", Stack::Users),
            reloads: Desk::for_reloads(),
            reports: Desk::new("report", Stack::Ours),
            admin: OnceLock::new(),
            site: Mutex::new(Arc::new(builder.site)),
            log: builder.log,
            requests: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
            complaints: Complaints::default(),
            stopping: AtomicBool::new(false),
            pulse: Pulse::new(),
            started_up: AtomicBool::new(false),
            times: Mutex::default(),
            threads: Mutex::new(0),
            ended: Condvar::new(),
        });
        for settings in further {
            shared.listen_also(settings)?;
        }
        let mut listeners = locked(&shared.listeners);
        let first = listeners.addresses().first().copied();
        shared.address.get_or_init(|| first.unwrap_or(address));
        if let Some(admin_socket) = admin_socket {
            listeners.add(admin_socket);
        }
        drop(listeners);
        Ok(HealthCheckServer {
            shared,
            listeners: Mutex::default(),
        })
    }

    /// Listens in one more place, or answers agent-checks there; also while the server runs.
    /// Answers the address that it is, with the port that the system chose; `None` while this
    /// machine does not have the address yet: then it is tried again every second.
    ///
    /// # Errors
    /// The address is in use or may not be used; no thread for it; 64 listeners are there already.
    pub fn listen_also(
        &self,
        settings: impl Into<ListenSettings>,
    ) -> Result<Option<SocketAddr>, Error> {
        self.shared.listen_also(settings.into())
    }

    /// The same where it was listened until just now, and is tried again whatever goes wrong.
    /// Whether nothing did.
    pub(crate) fn listen_back(&self, settings: ListenSettings) -> bool {
        self.shared.listen_back(settings)
    }

    /// Stops listening on that address, and trying to. Connections that were accepted are
    /// answered. Whether it was listened on.
    pub fn close(&self, address: SocketAddr) -> bool {
        self.shared.close_listener(Which::At(address))
    }

    /// The same of the one that has this number.
    pub(crate) fn close_numbered(&self, number: usize) -> bool {
        self.shared.close_listener(Which::Numbered(number))
    }

    /// The addresses that are listened on now, with the ports that the system chose, in the order
    /// in which they came. The admin socket has none.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        locked(&self.shared.listeners).addresses()
    }

    /// How many connections were closed so far because no [`allow`](ListenSettings::allow) held
    /// their peer.
    pub fn refused_connections(&self) -> usize {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Mounts a check under a name: `mail` is asked for as `/mail`. A check that is a
    /// [`Background`](crate::Background) answers from memory; any other runs when it is asked for,
    /// on a thread of its own, once for all who ask at the same time.
    ///
    /// # Errors
    /// A name that cannot be used (a leading slash, other characters than `A-Za-z0-9._-` and inner
    /// `/`, one that begins with `health`, `metrics`, `healthchecker`, `role` or `-`) or is in
    /// use; no thread for the check.
    pub fn add_component(&self, name: &str, task: impl Check + 'static) -> Result<(), Error> {
        self.mount(name, Box::new(task), None)
    }

    /// The same, and acts on a POST: a [`Oneshot`](crate::Oneshot) for a manual reset, or a
    /// closure that takes a [`Post`](crate::Post) and returns a [`Reply`](crate::Reply).
    ///
    /// # Errors
    /// As for [`add_component`](HealthCheckServer::add_component).
    pub fn add_component_with_post(
        &self,
        name: &str,
        task: impl Check + 'static,
        on_post: impl OnPost + 'static,
    ) -> Result<(), Error> {
        self.mount(name, Box::new(task), Some(Box::new(on_post)))
    }

    fn mount(
        &self,
        name: &str,
        check: Box<dyn Check>,
        on_post: Option<Box<dyn OnPost>>,
    ) -> Result<(), Error> {
        self.shared.components.add(Mount {
            name: name.to_string(),
            check,
            on_post,
            about: About::default(),
        })
    }

    /// Has administrators' wishes done by `admin`; to be called once.
    pub(crate) fn administer(&self, admin: Arc<dyn Admin>) {
        let _ = self.shared.admin.set(admin);
    }

    /// Changes what may change while the server runs.
    pub(crate) fn set_site(&self, site: Site) {
        *locked(&self.shared.site) = Arc::new(site);
    }

    /// The table of what is mounted.
    pub(crate) fn components(&self) -> &Arc<Components> {
        &self.shared.components
    }

    /// Has every event told to `listener`, in order, on a thread of its own. To be called before
    /// the server is started. A listener that takes longer than ten seconds over one event makes
    /// `/health/live` fail meanwhile, since nobody else is told of anything.
    pub fn on_event(&self, listener: impl Fn(&Event) + Send + 'static) {
        locked(&self.listeners).push(Box::new(listener));
    }

    /// The address that it listens on; of several, the first that was there. With an admin socket
    /// alone it is `0.0.0.0:0`.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.address()
    }

    /// Whether the server's own threads go on, as `/health/live` says it; for a watchdog. No
    /// component ever changes it.
    pub fn is_live(&self) -> bool {
        reports::ailment(&self.shared).is_none()
    }

    /// A handle that stops the server from any thread.
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(self.shared.clone())
    }

    /// Starts answering and returns.
    ///
    /// # Errors
    /// No thread could be had, or it was started before.
    pub fn start(&self) -> Result<Running, Error> {
        let shared = &self.shared;
        {
            let mut threads = locked(&shared.threads);
            if *threads > 0 || shared.is_stopping() {
                return Err(Error::invalid(
                    "the server was started before; expected a new one",
                ));
            }
            // This start counts as a thread until it is done, so that nothing ends meanwhile.
            *threads = 1;
        }
        let running = Running(shared.clone());
        let started = self.start_threads();
        if started.is_err() {
            self.handle().shutdown();
        }
        shared.thread_ended();
        started.map(|()| running)
    }

    fn start_threads(&self) -> Result<(), Error> {
        let shared = &self.shared;
        let listeners = std::mem::take(&mut *locked(&self.listeners));
        shared
            .components
            .dispatcher()
            .start(listeners, shared.log.clone())?;
        shared.spawn("sweeper", |shared| park::sweep(&shared))?;
        shared.start_listeners()
    }

    /// Answers until [`ServerHandle::shutdown`] is called on another thread.
    ///
    /// # Errors
    /// As for [`start`](HealthCheckServer::start).
    pub fn serve_forever(&self) -> Result<(), Error> {
        self.start()?.wait();
        Ok(())
    }

    /// Answers until one of these signals comes, then ends in an orderly way.
    ///
    /// # Errors
    /// As for [`start`](HealthCheckServer::start).
    pub fn serve_until(&self, signals: &Signals) -> Result<(), Error> {
        let running = self.start()?;
        signals.wait();
        self.handle().shutdown();
        running.wait();
        Ok(())
    }
}

impl Drop for HealthCheckServer {
    fn drop(&mut self) {
        self.handle().shutdown();
    }
}

impl fmt::Debug for HealthCheckServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthCheckServer")
            .field("address", &self.shared.address())
            .finish_non_exhaustive()
    }
}

/// Stops a server from any thread.
#[derive(Clone)]
pub struct ServerHandle(Arc<Shared>);

impl ServerHandle {
    /// Accepts no more, answers what has come, and ends; [`Running::wait`] returns then. A run that
    /// somebody waits for may take two seconds more.
    pub fn shutdown(&self) {
        let shared = &self.0;
        if shared.stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        shared.close_listeners();
        shared.components.close();
        for desk in shared.desks() {
            desk.stop();
        }
        shared.inbox.wake();
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerHandle({})", self.0.address())
    }
}

/// A server that answers.
#[must_use = "the server goes on without it, but nobody learns when it ends"]
pub struct Running(Arc<Shared>);

impl Running {
    /// Waits until the server has ended after [`ServerHandle::shutdown`].
    pub fn wait(self) {
        let threads = locked(&self.0.threads);
        let ended = self.0.ended.wait_while(threads, |threads| *threads > 0);
        drop(ended.unwrap_or_else(PoisonError::into_inner));
        self.0.log.flush(Duration::from_secs(1));
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Running({})", self.0.address())
    }
}

impl Shared {
    fn admin(&self) -> &dyn Admin {
        self.admin.get().map_or(&NoConfig, |admin| &**admin)
    }

    fn desks(&self) -> [&Arc<Desk>; 5] {
        [
            &self.posts,
            &self.local_acts,
            &self.heartbeats,
            &self.reloads,
            &self.reports,
        ]
    }

    fn site(&self) -> Arc<Site> {
        locked(&self.site).clone()
    }

    fn address(&self) -> SocketAddr {
        self.address.get().copied().unwrap_or(listening::NOWHERE)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Starts one of this server's own threads and counts it.
    fn spawn<F>(self: &Arc<Self>, name: &str, run: F) -> Result<(), Error>
    where
        F: FnOnce(Arc<Shared>) + Send + 'static,
    {
        *locked(&self.threads) += 1;
        let shared = self.clone();
        let spawned = thread::spawn(name, Stack::Ours, move || {
            run(shared.clone());
            shared.thread_ended();
        });
        spawned.map(drop).map_err(|error| {
            self.thread_ended();
            Error::system(
                format!("no thread for the server's {name} could be started"),
                error,
            )
        })
    }

    fn thread_ended(&self) {
        let left = {
            let mut threads = locked(&self.threads);
            *threads -= 1;
            *threads
        };
        if left == 0 {
            // What happened until now is told yet.
            self.components.stop();
        }
        self.ended.notify_all();
    }
}
