//! Where the server listens, and for whom.
//!
//! Every listener has leaders of its own, so that the slow clients of one cost the others nothing.
//! Listeners come and go while the server runs. An address that this machine does not have yet (a
//! virtual one, on the backup) is tried again until it is there; whatever else goes wrong is an
//! error at once. What is asked over a listener is not this file's business, only what may be.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::agent::Agent;
use super::local::LocalSocket;
use super::{Shared, accept};
use crate::clock::locked;
use crate::error::Error;
use crate::log::Level;
use crate::net::cidr::Cidr;
use crate::sys::socket::lengthen_queue;

/// The longest queue of connections not yet accepted that is asked for; the system's own limit
/// (`somaxconn`, 4096 on Linux) cuts it.
const QUEUE_LEN: u16 = 4_096;

/// How long a leader blocks in `accept`, or in the first read of a connection, before it looks up:
/// the listener's receive timeout, which accepted sockets inherit on Linux.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// Leaders of every listener but the first: one accepts while the other has a read to wait for.
const LEADERS_OF_FURTHER: usize = 2;

/// Listeners of one server at most, each with its threads. A machine has few addresses.
const LISTENERS_MAX: usize = 64;

/// How often an address that is not there yet is tried: a balancer gives a new address seconds.
pub(super) const RETRY_EVERY: Duration = Duration::from_secs(1);

/// One more place where a server listens, and whom it answers there.
///
/// ```
/// use failover::{Cidr, HealthCheckServer, ListenSettings};
///
/// let server = HealthCheckServer::builder()
///     .listen(
///         ListenSettings::new("127.0.0.1:0")?
///             .only_components()
///             .allow(Cidr::try_from("127.0.0.0/8")?),
///     )
///     .bind("127.0.0.1:0")?;
/// assert_eq!(server.addresses().len(), 2);
/// # Ok::<(), failover::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ListenSettings {
    /// As it was given, for messages.
    name: String,
    /// Never empty; several for a name, and then the first that works is listened on.
    addresses: Vec<SocketAddr>,
    only_components: bool,
    allow: Vec<Cidr>,
    agent: Option<Arc<Agent>>,
    /// By which it is closed; 0 where nobody gave it any.
    number: usize,
}

impl ListenSettings {
    /// An address and a port, such as `"0.0.0.0:8080"` or `"[::]:8080"`, for everything and
    /// everybody. Port 0 lets the system choose; see
    /// [`addresses`](super::HealthCheckServer::addresses).
    ///
    /// # Errors
    /// Not an address; a name that cannot be resolved.
    pub fn new(address: impl ToSocketAddrs + fmt::Debug) -> Result<ListenSettings, Error> {
        let name = format!("{address:?}");
        let found = address.to_socket_addrs();
        ListenSettings::of(name, found.map(Iterator::collect))
    }

    fn of(name: String, found: io::Result<Vec<SocketAddr>>) -> Result<ListenSettings, Error> {
        let addresses = match found {
            Ok(addresses) if !addresses.is_empty() => addresses,
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                return Err(failed(&name, error));
            }
            _ => {
                return Err(Error::invalid(format!(
                    "{name} is not an address to listen on; expected ADDRESS:PORT"
                )));
            }
        };
        Ok(ListenSettings {
            name,
            addresses,
            only_components: false,
            allow: Vec::new(),
            agent: None,
            number: 0,
        })
    }

    /// Answers for components and `/` only, as balancers ask; all other paths are `404` here.
    pub fn only_components(mut self) -> ListenSettings {
        self.only_components = true;
        self
    }

    /// Serves only peers in this range, and in those that were allowed before. All others are
    /// closed at once and counted. Without any range everybody is served.
    pub fn allow(mut self, range: Cidr) -> ListenSettings {
        self.allow.push(range);
        self
    }

    /// Under a number of its own, more than 0.
    pub(crate) fn numbered(mut self, number: usize) -> ListenSettings {
        self.number = number;
        self
    }

    /// For agent-checks instead of HTTP.
    pub(super) fn speaking(mut self, agent: Agent) -> ListenSettings {
        self.agent = Some(Arc::new(agent));
        self
    }

    /// Binds and listens.
    pub(super) fn bind(&self) -> Result<Listening, Error> {
        self.try_bind().map_err(|error| failed(&self.name, error))
    }

    fn try_bind(&self) -> io::Result<Listening> {
        let listener = TcpListener::bind(&self.addresses[..])?;
        lengthen_queue(&listener, QUEUE_LEN)?;
        set_tick(listener.try_clone()?.into())?;
        Ok(Listening {
            address: listener.local_addr()?,
            socket: Socket::Tcp(listener),
            only_components: self.only_components,
            allow: self.allow.clone(),
            agent: self.agent.clone(),
            number: self.number,
            accepting: AtomicUsize::new(0),
            deferring: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        })
    }

    /// The first that is tried.
    pub(super) fn address(&self) -> SocketAddr {
        self.addresses.first().copied().unwrap_or(NOWHERE)
    }

    fn is_at(&self, address: SocketAddr) -> bool {
        self.addresses.contains(&address)
    }
}

fn failed(name: &str, error: io::Error) -> Error {
    Error::system(format!("listening on {name} failed"), error)
}

/// The receive timeout of any socket is set in the same way, whatever kind it is.
fn set_tick(socket: OwnedFd) -> io::Result<()> {
    TcpStream::from(socket).set_read_timeout(Some(TICK))
}

/// Who asks, and what the listener that it came over lets it ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    /// `0.0.0.0:0` on the admin socket.
    pub(super) peer: SocketAddr,
    /// Everything but components and `/` is not there for it.
    pub(super) only_components: bool,
    /// It came over the admin socket, so it may do everything.
    pub(super) is_trusted: bool,
}

/// Where there is no address.
pub(super) const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Client {
    /// For a connection on which nothing is asked any more.
    pub(super) const NOBODY: Client = Client {
        peer: NOWHERE,
        only_components: true,
        is_trusted: false,
    };
}

/// A listener, and its rules.
pub(super) struct Listening {
    socket: Socket,
    address: SocketAddr,
    only_components: bool,
    allow: Vec<Cidr>,
    /// The agent's protocol is spoken here, and not HTTP.
    pub(super) agent: Option<Arc<Agent>>,
    number: usize,
    /// Its leaders that are in `accept`.
    pub(super) accepting: AtomicUsize,
    /// Connections are handed out only with their first bytes.
    pub(super) deferring: AtomicBool,
    is_closed: AtomicBool,
}

/// By what a listener is known.
#[derive(Clone, Copy)]
pub(super) enum Which {
    At(SocketAddr),
    Numbered(usize),
}

enum Socket {
    Tcp(TcpListener),
    Local(LocalSocket),
}

impl Listening {
    /// The admin socket.
    ///
    /// # Errors
    /// Somebody listens there already; a file that is no socket; the system refuses.
    pub(super) fn at_path(path: &Path) -> Result<Listening, Error> {
        let local = LocalSocket::open(path)?;
        let tick = local.listener().try_clone();
        tick.and_then(|tick| set_tick(tick.into()))
            .map_err(|error| failed(&format!("{path:?}"), error))?;
        Ok(Listening {
            socket: Socket::Local(local),
            address: NOWHERE,
            only_components: false,
            allow: Vec::new(),
            agent: None,
            number: 0,
            accepting: AtomicUsize::new(0),
            deferring: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        })
    }

    /// Waits for a connection, a tick at most.
    pub(super) fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.socket {
            Socket::Tcp(listener) => listener.accept(),
            Socket::Local(local) => {
                let (stream, _) = local.listener().accept()?;
                Ok((TcpStream::from(OwnedFd::from(stream)), NOWHERE))
            }
        }
    }

    /// The TCP listener, if it is one.
    pub(super) fn tcp(&self) -> Option<&TcpListener> {
        match &self.socket {
            Socket::Tcp(listener) => Some(listener),
            Socket::Local(_) => None,
        }
    }

    /// Whether an accepted socket has the listener's timeouts already.
    pub(super) fn hands_down_timeouts(&self) -> bool {
        cfg!(target_os = "linux") && self.tcp().is_some()
    }

    pub(super) fn client(&self, peer: SocketAddr) -> Client {
        Client {
            peer,
            only_components: self.only_components,
            is_trusted: self.tcp().is_none(),
        }
    }

    /// Whether this peer is served at all.
    pub(super) fn admits(&self, peer: SocketAddr) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|range| range.contains(peer.ip()))
    }

    /// Counts a peer that is not served.
    pub(super) fn turn_away(&self, shared: &Shared, peer: SocketAddr) {
        shared.refused.fetch_add(1, Ordering::Relaxed);
        let (from, here) = (peer.ip(), self.address);
        shared.complaints.line(
            &shared.log,
            Level::Warning,
            format_args!("a connection from {from} to {here} closed: no 'allow' there holds it"),
        );
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed)
    }

    /// Accepts no more.
    fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // On Linux this wakes every thread that is blocked in accept; elsewhere they find out at
        // their next tick.
        let copy = match &self.socket {
            Socket::Tcp(listener) => listener.try_clone().map(OwnedFd::from),
            Socket::Local(local) => {
                local.remove();
                local.listener().try_clone().map(OwnedFd::from)
            }
        };
        if let Ok(copy) = copy {
            let _ = TcpStream::from(copy).shutdown(Shutdown::Both);
        }
    }
}

/// All listeners of a server.
#[derive(Default)]
pub(super) struct Listeners {
    /// In the order in which they came.
    bound: Vec<Arc<Listening>>,
    /// Those whose address is not there yet, or was taken while we had let go of it.
    waiting: Vec<ListenSettings>,
    /// Leaders are started for those that come from now on.
    has_started: bool,
}

impl Listeners {
    /// Before the server starts.
    pub(super) fn add(&mut self, listening: Listening) {
        self.bound.push(Arc::new(listening));
    }

    /// The addresses that are listened on, with the ports that the system chose.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let over_tcp = self.bound.iter().filter(|it| it.tcp().is_some());
        over_tcp.map(|listening| listening.address).collect()
    }

    fn count(&self) -> usize {
        self.bound.len() + self.waiting.len()
    }
}

impl Shared {
    /// Listens in one more place; `None` while its address is not there.
    pub(super) fn listen_also(
        self: &Arc<Self>,
        settings: ListenSettings,
    ) -> Result<Option<SocketAddr>, Error> {
        let mut listeners = locked(&self.listeners);
        if self.is_stopping() || listeners.count() >= LISTENERS_MAX {
            return Err(Error::invalid(format!(
                "{} is one listener too many; expected {LISTENERS_MAX} at most, \
                 on a server that was not stopped",
                settings.name
            )));
        }
        match settings.try_bind() {
            Ok(listening) => self.start_also(&mut listeners, listening).map(Some),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                self.log.line(
                    Level::Warning,
                    format_args!(
                        "{} is no address of this machine yet; it is tried again every {} s",
                        settings.name,
                        RETRY_EVERY.as_secs()
                    ),
                );
                self.listen_later(&mut listeners, settings);
                Ok(None)
            }
            Err(error) => Err(failed(&settings.name, error)),
        }
    }

    /// Listens where it was listened until just now. Whether that could be had back, or at least is
    /// no address of this machine for now; else it is tried again until it can.
    pub(super) fn listen_back(self: &Arc<Self>, settings: ListenSettings) -> bool {
        let Err(error) = self.listen_also(settings.clone()) else {
            return true;
        };
        let every = RETRY_EVERY.as_secs();
        let text = format_args!(
            "nobody listens there any more, and it is tried again every {every} s: {error:?}"
        );
        self.log.line(Level::Error, text);
        self.listen_later(&mut locked(&self.listeners), settings);
        false
    }

    fn listen_later(&self, listeners: &mut Listeners, settings: ListenSettings) {
        listeners.waiting.push(settings);
        self.waiting.store(true, Ordering::SeqCst);
        // The sweeper tries again, and may be waiting without a limit.
        self.inbox.wake();
    }

    fn start_also(
        self: &Arc<Self>,
        listeners: &mut Listeners,
        listening: Listening,
    ) -> Result<SocketAddr, Error> {
        let listening = Arc::new(listening);
        if listeners.has_started {
            self.start_leaders(&listening, LEADERS_OF_FURTHER)?;
        }
        listeners.bound.push(listening.clone());
        Ok(listening.address)
    }

    /// Starts the leaders of all listeners there are, and of those that come.
    pub(super) fn start_listeners(self: &Arc<Self>) -> Result<(), Error> {
        let mut listeners = locked(&self.listeners);
        listeners.has_started = true;
        let mut count = self.settings.leaders;
        for listening in &listeners.bound {
            self.start_leaders(listening, count)?;
            count = LEADERS_OF_FURTHER;
        }
        Ok(())
    }

    fn start_leaders(
        self: &Arc<Self>,
        listening: &Arc<Listening>,
        count: usize,
    ) -> Result<(), Error> {
        for number in 0..count {
            let listening = listening.clone();
            let started = self.spawn("leader", move |shared| accept::lead(&shared, &listening));
            // One leader is a server; more are speed.
            if number == 0 {
                started?;
            }
        }
        Ok(())
    }

    /// Tries those again whose address was not there.
    pub(super) fn retry_listening(self: &Arc<Self>) {
        let mut listeners = locked(&self.listeners);
        for settings in mem::take(&mut listeners.waiting) {
            match self.listen_again(&mut listeners, &settings) {
                Ok(address) => {
                    self.log.line(
                        Level::Notice,
                        format_args!("listening on {address}, which is there now"),
                    );
                }
                Err(error) => {
                    if let Some(error) = error {
                        self.complaints.line(
                            &self.log,
                            Level::Error,
                            format_args!("{error:?}; it is tried again"),
                        );
                    }
                    listeners.waiting.push(settings);
                }
            }
        }
        let is_waiting = !listeners.waiting.is_empty();
        self.waiting.store(is_waiting, Ordering::SeqCst);
    }

    /// Without an error to tell, the address is still not there.
    fn listen_again(
        self: &Arc<Self>,
        listeners: &mut Listeners,
        settings: &ListenSettings,
    ) -> Result<SocketAddr, Option<Error>> {
        match settings.try_bind() {
            Ok(listening) => self.start_also(listeners, listening).map_err(Some),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Err(None),
            Err(error) => Err(Some(failed(&settings.name, error))),
        }
    }

    /// Stops listening in one place, by its address or its number. Whether there was one.
    pub(super) fn close_listener(&self, which: Which) -> bool {
        let mut listeners = locked(&self.listeners);
        let before = listeners.count();
        listeners.waiting.retain(|settings| match which {
            Which::At(address) => !settings.is_at(address),
            Which::Numbered(number) => settings.number != number,
        });
        let is_it = |it: &Arc<Listening>| match which {
            Which::At(address) => it.tcp().is_some() && it.address == address,
            Which::Numbered(number) => it.number == number,
        };
        for listening in listeners.bound.iter().filter(|it| is_it(it)) {
            listening.close();
        }
        listeners.bound.retain(|it| !is_it(it));
        before > listeners.count()
    }

    /// Stops listening everywhere.
    pub(super) fn close_listeners(&self) {
        let mut listeners = locked(&self.listeners);
        listeners.waiting.clear();
        self.waiting.store(false, Ordering::SeqCst);
        for listening in mem::take(&mut listeners.bound) {
            listening.close();
        }
    }
}
