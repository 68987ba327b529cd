//! Where the daemon listens, as a configuration says it, and what changes with another one.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::server::{Agent, Listen, ServerPlan};
use crate::error::Error;
use crate::log::Log;
use crate::server::{AgentSettings, HealthCheckServer, ListenSettings};
use crate::text::joined;

/// The places of one configuration.
#[derive(Default)]
pub(super) struct Places(Vec<Place>);

/// A place, under the number by which the server knows its listener: two places may be the same,
/// and where the system chooses the port the address is none to go by.
#[derive(Clone)]
struct Place {
    number: usize,
    asked: Asked,
}

#[derive(Clone, PartialEq)]
enum Asked {
    Listen(Listen),
    Agent(Agent),
}

impl Places {
    /// Each with a number of its own.
    pub(super) fn of(plan: &ServerPlan) -> Places {
        static LAST: AtomicUsize = AtomicUsize::new(0);
        let listens = plan.listens.iter().cloned().map(Asked::Listen);
        let agents = plan.agents.iter().cloned().map(Asked::Agent);
        let places = listens.chain(agents).map(|asked| Place {
            number: LAST.fetch_add(1, Ordering::Relaxed) + 1,
            asked,
        });
        Places(places.collect())
    }

    /// Listens in all of them, at the start of a configuration's daemon.
    ///
    /// # Errors
    /// An address that is in use or may not be used; an admin socket that another daemon has.
    pub(super) fn open(&self, plan: &ServerPlan, log: &Log) -> Result<HealthCheckServer, Error> {
        let mut builder = HealthCheckServer::builder().log(log.clone());
        if let Some(connections) = plan.connections_max {
            builder = builder.max_connections(connections);
        }
        for place in &self.0 {
            builder = builder.listen(place.settings()?);
        }
        if let Some(path) = &plan.admin_socket {
            builder = builder.admin_socket(path);
        }
        builder.open()
    }

    /// Listens where it is to be listened now and was not, and no more where it is not.
    ///
    /// # Errors
    /// An address that cannot be listened on; then all is as it was, but for what another has taken
    /// meanwhile, which the error names and which is tried again.
    pub(super) fn replace(
        &mut self,
        before: &Places,
        server: &HealthCheckServer,
    ) -> Result<(), Error> {
        let (new, old) = self.changed_since(before);
        let (blocked, free) = meeting(new, &old);
        let (in_the_way, gone) = meeting(old, &blocked);
        listen(&free, server)?;
        // Free just now, and ours again at once: the same address with other rules, or the same
        // port of other addresses.
        close(&in_the_way, server);
        if let Err(error) = listen(&blocked, server) {
            close(&free, server);
            return Err(listen_back(&in_the_way, server, error));
        }
        close(&gone, server);
        Ok(())
    }

    /// Those that are new, and those that are not any more; the others keep their numbers.
    fn changed_since(&mut self, before: &Places) -> (Vec<Place>, Vec<Place>) {
        let (mut new, mut old) = (Vec::new(), before.0.clone());
        for place in &mut self.0 {
            match old.iter().position(|old| old.asked == place.asked) {
                Some(at) => place.number = old.remove(at).number,
                None => new.push(place.clone()),
            }
        }
        (new, old)
    }
}

/// Those of which the system has only one at a time with one of the others, and the rest.
fn meeting(places: Vec<Place>, others: &[Place]) -> (Vec<Place>, Vec<Place>) {
    let meets = |place: &Place| others.iter().any(|other| place.meets(other));
    places.into_iter().partition(meets)
}

/// Listens in all of these places or in none.
fn listen(places: &[Place], server: &HealthCheckServer) -> Result<(), Error> {
    for (index, place) in places.iter().enumerate() {
        let listening = place
            .settings()
            .and_then(|settings| server.listen_also(settings));
        if let Err(error) = listening {
            close(&places[..index], server);
            return Err(error);
        }
    }
    Ok(())
}

/// Listens again in each of these that can be had. The error, with those that cannot.
fn listen_back(places: &[Place], server: &HealthCheckServer, error: Error) -> Error {
    let is_lost = |place: &&Place| {
        let settings = place.settings();
        !settings.is_ok_and(|settings| server.listen_back(settings))
    };
    let lost = places.iter().filter(is_lost);
    let lost: Vec<String> = lost.map(|place| place.address().to_string()).collect();
    if lost.is_empty() {
        return error;
    }
    let lost = joined(&lost, ", ");
    Error::taken(format!(
        "{error:?}; and nobody listens on {lost} any more, which is tried again"
    ))
}

fn close(places: &[Place], server: &HealthCheckServer) {
    for place in places {
        server.close_numbered(place.number);
    }
}

impl Place {
    fn address(&self) -> SocketAddr {
        match &self.asked {
            Asked::Listen(listen) => listen.address,
            Asked::Agent(agent) => agent.address,
        }
    }

    /// Whether the system has only one of them at a time.
    fn meets(&self, other: &Place) -> bool {
        let (one, other) = (self.address(), other.address());
        let is_wide = one.ip().is_unspecified() || other.ip().is_unspecified();
        let is_same = one.port() == other.port() && one.port() != 0;
        is_same && (is_wide || one.ip() == other.ip())
    }

    fn settings(&self) -> Result<ListenSettings, Error> {
        let settings = match &self.asked {
            Asked::Listen(listen) => listen_settings(listen),
            Asked::Agent(agent) => agent_settings(agent),
        };
        settings.map(|settings| settings.numbered(self.number))
    }
}

fn listen_settings(listen: &Listen) -> Result<ListenSettings, Error> {
    let mut settings = ListenSettings::new(listen.address)?;
    if listen.only_components {
        settings = settings.only_components();
    }
    for range in &listen.allow {
        settings = settings.allow(*range);
    }
    Ok(settings)
}

fn agent_settings(agent: &Agent) -> Result<ListenSettings, Error> {
    let mut settings = AgentSettings::new(agent.address)?;
    if let Some(name) = &agent.component {
        settings = settings.component(name)?;
    }
    if agent.controls_admin {
        settings = settings.controls_admin();
    }
    if agent.controls_weight {
        settings = settings.controls_weight();
    }
    for range in &agent.allow {
        settings = settings.allow(*range);
    }
    Ok(settings.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, TcpListener};

    fn plan(addresses: &[SocketAddr], only_components: bool) -> ServerPlan {
        let listen = |address: &SocketAddr| Listen {
            address: *address,
            only_components,
            allow: Vec::new(),
        };
        ServerPlan {
            listens: addresses.iter().map(listen).collect(),
            ..ServerPlan::default()
        }
    }

    #[test]
    fn what_cannot_be_had_back_is_told_and_tried_again_and_the_others_are_back() {
        let server = HealthCheckServer::bind("127.0.0.1:0").unwrap();
        let running = server.start().unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let lost = taken.local_addr().unwrap();
        // Free, and nobody else's on this address.
        let kept = TcpListener::bind("127.99.1.7:0").unwrap();
        let (kept, free) = (kept.local_addr().unwrap(), kept);
        drop(free);
        let before = Places::of(&plan(&[lost, kept], false));
        let mut after = Places::of(&plan(&[kept, lost], true));
        let error = after.replace(&before, &server).unwrap_err().to_string();
        let told = format!("; and nobody listens on {lost} any more, which is tried again");
        assert!(error.ends_with(&told), "{error}");
        assert_eq!(server.addresses(), [server.local_addr(), kept]);
        drop(taken);
        while !server.addresses().contains(&lost) {
            std::thread::yield_now();
        }
        close(&before.0, &server);
        assert_eq!(server.addresses(), [server.local_addr()]);
        server.handle().shutdown();
        running.wait();
    }
}
