//! Where the daemon listens, as a configuration says it, and what changes with another one.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use crate::config::server::{Agent, Listen, ServerPlan};
use crate::error::Error;
use crate::log::Log;
use crate::server::{AgentSettings, HealthCheckServer, ListenSettings};

/// The places of one configuration.
#[derive(Default)]
pub(super) struct Places(Vec<Place>);

#[derive(Clone, PartialEq)]
enum Place {
    Listen(Listen),
    Agent(Agent),
}

/// Listens wherever a configuration says, at its start.
///
/// # Errors
/// An address that is in use or may not be used; an admin socket that another daemon has.
pub(super) fn open(plan: &ServerPlan, log: &Log) -> Result<HealthCheckServer, Error> {
    let mut builder = HealthCheckServer::builder().log(log.clone());
    if let Some(connections) = plan.connections_max {
        builder = builder.max_connections(connections);
    }
    for place in Places::of(plan).0 {
        builder = builder.listen(place.settings()?);
    }
    if let Some(path) = &plan.admin_socket {
        builder = builder.admin_socket(path);
    }
    builder.open()
}

impl Places {
    pub(super) fn of(plan: &ServerPlan) -> Places {
        let listens = plan.listens.iter().cloned().map(Place::Listen);
        let agents = plan.agents.iter().cloned().map(Place::Agent);
        Places(listens.chain(agents).collect())
    }

    /// Listens where it is to be listened now and was not, and no more where it is not.
    ///
    /// # Errors
    /// An address that cannot be listened on; then all is as it was.
    pub(super) fn replace(&self, before: &Places, server: &HealthCheckServer) -> Result<(), Error> {
        let (new, old) = (self.without(before), before.without(self));
        let is_blocked = |new: &&Place| old.iter().any(|old| old.is_in_the_way_of(new));
        let (blocked, free): (Vec<&Place>, Vec<&Place>) = new.into_iter().partition(is_blocked);
        let blocks = |old: &&Place| blocked.iter().any(|new| old.is_in_the_way_of(new));
        let (in_the_way, gone): (Vec<&Place>, Vec<&Place>) = old.iter().copied().partition(blocks);
        listen(&free, server)?;
        // Free just now, and ours again at once: the same address with other rules, or the same
        // port of other addresses.
        close(&in_the_way, server);
        if let Err(error) = listen(&blocked, server) {
            close(&free, server);
            listen(&in_the_way, server)?;
            return Err(error);
        }
        close(&gone, server);
        Ok(())
    }

    /// The places that are not among others.
    fn without(&self, others: &Places) -> Vec<&Place> {
        let places = self.0.iter();
        places.filter(|place| !others.0.contains(place)).collect()
    }
}

/// Listens in all of these places or in none.
fn listen(places: &[&Place], server: &HealthCheckServer) -> Result<(), Error> {
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

fn close(places: &[&Place], server: &HealthCheckServer) {
    for place in places {
        server.close(place.address());
    }
}

impl Place {
    fn address(&self) -> SocketAddr {
        match self {
            Place::Listen(listen) => listen.address,
            Place::Agent(agent) => agent.address,
        }
    }

    /// Whether the system has only one of them at a time.
    fn is_in_the_way_of(&self, other: &Place) -> bool {
        let (one, other) = (self.address(), other.address());
        let is_wide = one.ip().is_unspecified() || other.ip().is_unspecified();
        one.port() == other.port() && (is_wide || one.ip() == other.ip())
    }

    fn settings(&self) -> Result<ListenSettings, Error> {
        match self {
            Place::Listen(listen) => listen_settings(listen),
            Place::Agent(agent) => agent_settings(agent),
        }
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
