//! The `server` block.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::blocks::Setting;
use super::checks::host_and_port;
use super::lex::Word;
use super::problem::{At, Problems};
use super::section::Section;
use crate::auth::{Guard, HtpasswdFile, TokenFile};
use crate::error::Error;
use crate::net::cidr::Cidr;
use crate::net::dial::checked_host;
use crate::sys::resolve::addresses;

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
        let mut listens = Vec::new();
        for setting in section.all("listen") {
            listens.extend(listen(setting, problems));
        }
        if !section.has("listen") {
            // Invariant: a constant that a test reads.
            listens.extend(LISTEN.parse().ok().map(|address| Listen {
                address,
                only_components: false,
                allow: Vec::new(),
            }));
        }
        let controls = section.words("agent-controls");
        if let Some(setting) = section.find("agent-controls") {
            if !section.has("agent-listen") {
                let message = "\"agent-controls\" without \"agent-listen\": nobody is told";
                problems.warning(setting.at, message);
            }
            for word in &setting.words {
                if !matches!(word.text.as_str(), "admin" | "weight") {
                    let message = format!("{:?} is no control; expected admin, weight", word.text);
                    problems.error(word.at, message);
                }
            }
        }
        let mut agents = Vec::new();
        for setting in section.all("agent-listen") {
            agents.extend(agent(setting, &controls, problems));
        }
        addresses_once(section);
        let state_dir = section.text("state-dir").map(PathBuf::from);
        let default = section.find("default");
        ServerPlan {
            listens,
            agents,
            agent_components: agent_components(section),
            default: default.map(|setting| (setting.text(), setting.value_at())),
            admin_socket: admin_socket_of(section).inspect(|path| socket_fits(section, path)),
            admin: section
                .find("admin")
                .and_then(|setting| credential(setting, problems)),
            server_names: server_names(section),
            connections_max: section
                .number("max-connections", 1, 1_000_000)
                .and_then(|number| usize::try_from(number).ok()),
            state_dir,
        }
    }
}

/// Every address can be had once.
fn addresses_once(section: &Section<'_>) {
    let mut before: Vec<(SocketAddr, &Setting)> = Vec::new();
    for setting in section.settings {
        let is_address = matches!(setting.keyword.name, "listen" | "agent-listen");
        let word = setting.words.first().filter(|_| is_address);
        // What is none has been told.
        let Some(address) = word.and_then(|word| word.text.parse::<SocketAddr>().ok()) else {
            continue;
        };
        if let Some((_, first)) = before.iter().find(|(other, _)| collide(*other, address)) {
            let message = format!(
                "{address} is taken by {:?} in line {}; expected another address or port",
                first.keyword.name, first.at.line
            );
            section.problems.error(setting.value_at(), message);
        }
        before.push((address, setting));
    }
}

/// Whether the system gives one of two addresses only: they are the same, or one is all of them.
/// Port 0 is another one each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let is_all = one.ip().is_unspecified() || other.ip().is_unspecified();
    let is_same = one.ip() == other.ip() || (is_all && one.is_ipv4() == other.is_ipv4());
    one.port() == other.port() && one.port() != 0 && is_same
}

fn server_names(section: &Section<'_>) -> Vec<String> {
    let words = section.find("server-name").map(|setting| &setting.words);
    for word in words.into_iter().flatten() {
        if word.text.contains(':') || checked_host(&word.text).is_err() {
            let message = format!(
                "{:?} is no host name; expected one without scheme and port, such as \
                 health.example.org",
                word.text
            );
            section.problems.error(word.at, message);
        }
    }
    section.words("server-name")
}

/// A Unix socket's path has to fit with its zero byte (unix(7): `sun_path`).
const SOCKET_PATH_MAX: usize = 107;

fn socket_fits(section: &Section<'_>, path: &Path) {
    let (name, hint) = match section.has("admin-socket") {
        true => ("admin-socket", ""),
        false => ("state-dir", ": name a shorter admin-socket"),
    };
    let len = path.as_os_str().len();
    if len == 0 || len > SOCKET_PATH_MAX {
        let message = format!(
            "the path of the admin socket has {len} bytes; expected 1 to {SOCKET_PATH_MAX}{hint}"
        );
        section.checked(name, Err::<(), Error>(Error::invalid(message)));
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
                unexpected(other, word.at, next, setting, problems);
                return None;
            }
        }
    }
    Some(listen)
}

/// `agent-listen ADDRESS component NAME`.
fn agent_components(section: &Section<'_>) -> Vec<(String, At)> {
    let mut named = Vec::new();
    for setting in section.all("agent-listen") {
        if let [_, word, name, ..] = setting.words.as_slice() {
            if word.text == "component" {
                named.push((name.text.clone(), name.at));
            }
        }
    }
    named
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
            unexpected(&word.text, word.at, rest.get(1), setting, problems);
            return None;
        }
    }
    Some(agent)
}

/// Tells of a word that has no place there, or lacks the one that has to follow it.
fn unexpected(word: &str, at: At, next: Option<&Word>, setting: &Setting, problems: &Problems) {
    let expected = setting.keyword.arguments;
    let begins = matches!(word, "only" | "allow" | "component");
    let message = match next {
        None if begins => format!("{word:?} is followed by nothing; expected {expected}"),
        Some(next) if begins => {
            format!(
                "{:?} has no place here; expected {expected}",
                format!("{word} {}", next.text)
            )
        }
        _ => format!("{word:?} has no place here; expected {expected}"),
    };
    problems.error(at, message);
}

fn allowed(ranges: &[Word], problems: &Problems) -> Vec<Cidr> {
    let last = ranges.iter().position(|word| word.text == "only");
    if let Some(only) = last.and_then(|last| ranges.get(last)) {
        let message = "\"only\" behind \"allow\"; expected \"only components\" before it";
        problems.error(only.at, message);
    }
    let ranges = &ranges[..last.unwrap_or(ranges.len())];
    let ranges = ranges.iter().filter_map(|word| {
        let range = Cidr::try_from(word.text.as_str());
        problems.or_error(word.at, range)
    });
    ranges.collect()
}

/// An address of this machine with a port. Of names only `localhost` is looked up: another may need
/// a resolver that is not there yet when the machine starts.
fn address(text: &str, at: At, problems: &Problems) -> Option<SocketAddr> {
    let found = match host_and_port(text) {
        Ok(("localhost", port)) => localhost(port),
        _ => text.parse().ok(),
    };
    if found.is_none() {
        let message = format!(
            "{text:?} is not an address to listen on; expected ADDRESS:PORT, such as \
             127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080"
        );
        problems.error(at, message);
    }
    found
}

fn localhost(port: &str) -> Option<SocketAddr> {
    let port = port.parse().ok()?;
    let mut address = *addresses("localhost").ok()?.first()?;
    address.set_port(port);
    Some(address)
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
    let guard = problems.or_error(file.at, credential.open())?;
    if guard.is_for_nobody() {
        let message = format!("no user in {:?}: nobody can log in", file.text);
        problems.warning(file.at, message);
    }
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
