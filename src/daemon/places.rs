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
        let was = |place: &Place| before.0.iter().any(|old| old.address() == place.address());
        let mut opened: Vec<&Place> = Vec::new();
        for place in self.0.iter().filter(|place| !was(place)) {
            if let Err(error) = server.listen_also(place.settings()?) {
                for place in opened {
                    server.close(place.address());
                }
                return Err(error);
            }
            opened.push(place);
        }
        for old in before.0.iter().filter(|old| !self.0.contains(old)) {
            server.close(old.address());
            // The same address with other rules: free just now, and ours again at once.
            let mut others = self.0.iter();
            if let Some(new) = others.find(|new| new.address() == old.address()) {
                server.listen_also(new.settings()?)?;
            }
        }
        Ok(())
    }
}

impl Place {
    fn address(&self) -> SocketAddr {
        match self {
            Place::Listen(listen) => listen.address,
            Place::Agent(agent) => agent.address,
        }
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
