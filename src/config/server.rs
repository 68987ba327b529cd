//! The `server` block.
#![forbid(unsafe_code)]

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use super::blocks::Setting;
use super::lex::Word;
use super::problem::{At, Problems};
use super::section::Section;
use crate::auth::{Guard, HtpasswdFile, TokenFile};
use crate::error::Error;
use crate::net::cidr::Cidr;

/// Where balancers ask by default: nobody but this machine.
pub(crate) const LISTEN: &str = "127.0.0.1:8080";

/// The daemon's own settings.
#[derive(Debug, Default)]
pub(crate) struct ServerPlan {
    pub(crate) listens: Vec<Listen>,
    pub(crate) agents: Vec<Agent>,
    /// The components that agents are asked about, and where that stands.
    pub(crate) agent_components: Vec<(String, At)>,
    pub(crate) default: Option<(String, At)>,
    pub(crate) admin_socket: Option<PathBuf>,
    pub(crate) admin: Option<Credential>,
    pub(crate) server_names: Vec<String>,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) connections_max: Option<usize>,
}

/// An address that is answered on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) address: SocketAddr,
    pub(crate) only_components: bool,
    pub(crate) allow: Vec<Cidr>,
}

/// An address for HAProxy's agent-check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    pub(crate) component: Option<String>,
    pub(crate) allow: Vec<Cidr>,
    pub(crate) controls_admin: bool,
    pub(crate) controls_weight: bool,
}

/// Who may do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Credential {
    Htpasswd(PathBuf),
    TokenFile(PathBuf),
}

impl Credential {
    /// # Errors
    /// A file that cannot be read, or that is none.
    pub(crate) fn open(&self) -> Result<Guard, Error> {
        Ok(match self {
            Credential::Htpasswd(file) => Guard::Users(HtpasswdFile::open(file)?),
            Credential::TokenFile(file) => Guard::Tokens(TokenFile::open(file)?),
        })
    }
}

impl ServerPlan {
    pub(crate) fn read(section: &Section<'_>) -> ServerPlan {
        let problems = section.problems;
        let mut listens: Vec<Listen> = section
            .all("listen")
            .filter_map(|setting| listen(setting, problems))
            .collect();
        if !section.has("listen") {
            // Invariant: a constant that a test reads.
            listens.extend(LISTEN.parse().ok().map(|address| Listen {
                address,
                only_components: false,
                allow: Vec::new(),
            }));
        }
        let agents = section.all("agent-listen");
        let controls = section.words("agent-controls");
        if let Some(setting) = section.find("agent-controls") {
            for word in &setting.words {
                if !matches!(word.text.as_str(), "admin" | "weight") {
                    let message = format!("{:?} is no control; expected admin, weight", word.text);
                    problems.error(word.at, message);
                }
            }
        }
        let agents = agents.filter_map(|setting| agent(setting, &controls, problems));
        let state_dir = section.text("state-dir").map(PathBuf::from);
        let default = section.find("default");
        ServerPlan {
            listens,
            agents: agents.collect(),
            agent_components: agent_components(section),
            default: default.map(|setting| (setting.text(), setting.value_at())),
            admin_socket: admin_socket_of(section),
            admin: section
                .find("admin")
                .and_then(|setting| credential(setting, problems)),
            server_names: section.words("server-name"),
            connections_max: section
                .number("max-connections", 1, 1_000_000)
                .and_then(|number| usize::try_from(number).ok()),
            state_dir,
        }
    }
}

/// The one that is named, or else one in the state directory.
pub(crate) fn admin_socket_of(section: &Section<'_>) -> Option<PathBuf> {
    let in_state_dir = |dir: String| PathBuf::from(dir).join("failover.sock");
    let named = section.text("admin-socket").map(PathBuf::from);
    named.or_else(|| section.text("state-dir").map(in_state_dir))
}

fn listen(setting: &Setting, problems: &Problems) -> Option<Listen> {
    let (first, mut rest) = setting.words.split_first()?;
    let mut listen = Listen {
        address: address(&first.text, first.at, problems)?,
        only_components: false,
        allow: Vec::new(),
    };
    while let Some((word, after)) = rest.split_first() {
        let next = after.first();
        match word.text.as_str() {
            "only" if next.is_some_and(|next| next.text == "components") => {
                listen.only_components = true;
                rest = &after[1..];
            }
            "allow" if !after.is_empty() => {
                listen.allow = allowed(after, problems);
                return Some(listen);
            }
            other => {
                let message = format!(
                    "{other:?} says nothing about an address; expected {}",
                    setting.keyword.arguments
                );
                problems.error(word.at, message);
                return None;
            }
        }
    }
    Some(listen)
}

/// `agent-listen ADDRESS component NAME`.
fn agent_components(section: &Section<'_>) -> Vec<(String, At)> {
    let named = section.all("agent-listen");
    let named = named.filter_map(|setting| match setting.words.as_slice() {
        [_, word, name, ..] if word.text == "component" => Some((name.text.clone(), name.at)),
        _ => None,
    });
    named.collect()
}

fn agent(setting: &Setting, controls: &[String], problems: &Problems) -> Option<Agent> {
    let (first, mut rest) = setting.words.split_first()?;
    let has = |control: &str| controls.iter().any(|word| word == control);
    let mut agent = Agent {
        address: address(&first.text, first.at, problems)?,
        component: None,
        allow: Vec::new(),
        controls_admin: has("admin"),
        controls_weight: has("weight"),
    };
    if let [word, name, after @ ..] = rest {
        if word.text == "component" {
            agent.component = Some(name.text.clone());
            rest = after;
        }
    }
    match rest {
        [] => {}
        [word, ranges @ ..] if word.text == "allow" && !ranges.is_empty() => {
            agent.allow = allowed(ranges, problems);
        }
        [word, ..] => {
            let message = format!(
                "{:?} says nothing about an agent; expected {}",
                word.text, setting.keyword.arguments
            );
            problems.error(word.at, message);
            return None;
        }
    }
    Some(agent)
}

fn allowed(ranges: &[Word], problems: &Problems) -> Vec<Cidr> {
    let ranges = ranges.iter().filter_map(|word| {
        let range = Cidr::try_from(word.text.as_str());
        problems.or_error(word.at, range)
    });
    ranges.collect()
}

/// An address of this machine with a port. Names are looked up, for `localhost`.
fn address(text: &str, at: At, problems: &Problems) -> Option<SocketAddr> {
    let found = text
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.next());
    if found.is_none() {
        problems.error(
            at,
            format!("{text:?} is not an address to listen on; expected ADDRESS:PORT"),
        );
    }
    found
}

/// `htpasswd FILE` or `token-file FILE`.
pub(crate) fn credential(setting: &Setting, problems: &Problems) -> Option<Credential> {
    let [kind, file] = setting.words.as_slice() else {
        return None;
    };
    let path = PathBuf::from(&file.text);
    let credential = match kind.text.as_str() {
        "htpasswd" => Credential::Htpasswd(path),
        "token-file" => Credential::TokenFile(path),
        other => {
            problems.error(
                kind.at,
                format!("{other:?} is no credential; expected htpasswd FILE or token-file FILE"),
            );
            return None;
        }
    };
    // A file that cannot be used is better told now than when somebody needs it.
    problems.or_error(file.at, credential.open())?;
    Some(credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_address_is_one() {
        assert!(LISTEN.parse::<SocketAddr>().is_ok());
    }
}
