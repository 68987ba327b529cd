//! From settings to checks, components and a server. The only place that names concrete kinds.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::schema::Place;
use super::words::Setting;
use crate::auth::HtpasswdFile;
use crate::check::Check;
use crate::check::tcp::TcpCheck;
use crate::component::checked_name;
use crate::decide::background::Background;
use crate::decide::hysteresis::Hysteresis;
use crate::decide::oneshot::Oneshot;
use crate::decide::toggle::Toggle;
use crate::error::Error;
use crate::health::State;
use crate::log::Log;
use crate::net::dial::Family;
use crate::server::HealthCheckServer;
use crate::units::{Span, Threshold};

/// Seed 002: 3000 ms.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Seed 002: 5000 ms.
const EVERY: Duration = Duration::from_secs(5);

/// Seed 002: three to fail; ours: three to recover, not fewer.
const THRESHOLD: i32 = 3;

/// Where balancers ask by default: nobody but this machine.
const LISTEN: &str = "127.0.0.1:8080";

/// The settings of one component, or of the check that a probe makes.
struct Settings<'a> {
    list: &'a [Setting],
    /// Whose settings they are, for messages.
    whose: &'a str,
}

impl<'a> Settings<'a> {
    /// # Errors
    /// A keyword that stands twice, or that has no place here.
    fn new(list: &'a [Setting], whose: &'a str, places: &[Place]) -> Result<Settings<'a>, Error> {
        for (index, setting) in list.iter().enumerate() {
            let name = setting.keyword.name;
            if !places.contains(&setting.keyword.place) && name != "tcp" {
                return Err(Error::invalid(format!("{name:?} has no place in {whose}")));
            }
            if list[..index]
                .iter()
                .any(|before| before.keyword.name == name)
            {
                return Err(Error::invalid(format!("{name:?} stands twice in {whose}")));
            }
        }
        Ok(Settings { list, whose })
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        let mut list = self.list.iter();
        list.find(|setting| setting.keyword.name == name)
            .map(|setting| setting.value.as_str())
    }

    /// The value of a keyword, with the keyword named in what is wrong with it.
    fn value<T>(&self, name: &str) -> Result<Option<T>, Error>
    where
        T: TryFrom<&'a str, Error = Error>,
    {
        let named = |error| Error::invalid(format!("{name}: {error}"));
        self.text(name).map(T::try_from).transpose().map_err(named)
    }

    fn missing(&self, what: &str) -> Error {
        Error::invalid(format!("{} has no {what}", self.whose))
    }
}

/// The check that the words of a `failover probe` describe.
///
/// # Errors
/// What cannot be read, stands twice, is missing, or has no place in a probe.
pub(crate) fn probe(settings: &[Setting]) -> Result<TcpCheck, Error> {
    tcp(&Settings::new(settings, "a probe", &[Place::Check])?)
}

fn tcp(settings: &Settings<'_>) -> Result<TcpCheck, Error> {
    let target = settings
        .text("tcp")
        .ok_or_else(|| settings.missing("tcp HOST:PORT"))?;
    let (host, port) = host_and_port(target)?;
    let timeout = match settings.value::<Span>("timeout")? {
        Some(timeout) => timeout,
        None => Span::try_from(TIMEOUT)?,
    };
    let mut check = TcpCheck::new(host, port, timeout)?;
    if let Some(source) = settings.text("source") {
        check = check.source_host(source)?;
    }
    if let Some(port) = settings.text("source-port") {
        check = check.source_port(port)?;
    }
    if let Some(family) = settings.value::<Family>("family")? {
        check = check.family(family);
    }
    Ok(check)
}

/// `host:port`, `192.0.2.1:25`, `[2001:db8::1]:25`.
fn host_and_port(target: &str) -> Result<(&str, &str), Error> {
    match target.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.starts_with('[') => Ok((host, port)),
        _ => Err(Error::invalid(format!(
            "{target:?} is not a target; expected HOST:PORT, with an IPv6 address in brackets"
        ))),
    }
}

/// The server that the words of a `failover serve` describe, with its components; it logs to `log`.
///
/// # Errors
/// What cannot be read, stands twice, is missing or has no place; an address that cannot be
/// listened on; no thread for a check.
pub(crate) fn server(settings: &[Setting], log: &Log) -> Result<HealthCheckServer, Error> {
    let is_begin = |setting: &Setting| setting.keyword.name == "component";
    let begin = settings.iter().position(is_begin).unwrap_or(settings.len());
    let (of_server, of_components) = settings.split_at(begin);
    if of_components.is_empty() {
        return Err(Error::invalid(
            "nothing to serve; expected component NAME tcp HOST:PORT",
        ));
    }
    let of_server = Settings::new(of_server, "the server's settings", &[Place::Server])?;
    let components: Vec<&[Setting]> = split_before(of_components, is_begin);
    let default = of_server.text("default");
    if let Some(default) = default {
        let has = |component: &[Setting]| component.first().is_some_and(|it| it.value == default);
        if !components.iter().any(|component| has(component)) {
            return Err(Error::invalid(format!(
                "default: there is no component {default:?}"
            )));
        }
    }
    let mut builder = HealthCheckServer::builder().log(log.clone());
    if let Some(default) = default {
        builder = builder.default_component(default);
    }
    if let Some(limit) = of_server.value::<Span>("answer-within")? {
        builder = builder.answer_within(limit)?;
    }
    // All is read before anything is opened.
    let planned: Vec<Planned> = components
        .iter()
        .map(|it| planned(it))
        .collect::<Result<_, _>>()?;
    let server = builder.bind(of_server.text("listen").unwrap_or(LISTEN))?;
    for component in planned {
        component.add_to(&server)?;
    }
    Ok(server)
}

fn split_before<T>(list: &[T], is_begin: impl Fn(&T) -> bool) -> Vec<&[T]> {
    list.chunk_by(|_, next| !is_begin(next)).collect()
}

/// A component that is read, not yet running.
struct Planned {
    name: String,
    check: Box<dyn Check>,
    reset: Option<Oneshot>,
    schedule: Schedule,
    start: State,
    stale_after: Option<Span>,
}

enum Schedule {
    Every(Duration),
    OnRequest,
}

fn planned(settings: &[Setting]) -> Result<Planned, Error> {
    let Some((begin, settings)) = settings.split_first() else {
        return Err(Error::invalid("no component; expected component NAME"));
    };
    let name = checked_name(&begin.value)?;
    let whose = format!("component {name:?}");
    let named = |error: Error| Error::invalid(format!("{whose}: {error}"));
    let settings = Settings::new(settings, &whose, &[Place::Component, Place::Check])?;
    planned_of(name.clone(), &settings).map_err(|error| {
        // What names the component already needs no second naming.
        if error.to_string().starts_with(&whose) {
            error
        } else {
            named(error)
        }
    })
}

fn planned_of(name: String, settings: &Settings<'_>) -> Result<Planned, Error> {
    let start = match settings.text("start") {
        None | Some("probe") => State::Unknown,
        Some("ok") => State::Ok,
        Some("fail") => State::Fail,
        Some(other) => {
            return Err(Error::invalid(format!(
                "start: {other:?} is none of probe, ok, fail"
            )));
        }
    };
    let default = Threshold::try_from(THRESHOLD)?;
    let stale_after = settings.value::<Span>("stale-after")?;
    let mut check = Hysteresis::new(tcp(settings)?)
        .initial_state(start)
        .ok_after(settings.value::<Threshold>("ok-after")?.unwrap_or(default))?
        .fail_after(
            settings
                .value::<Threshold>("fail-after")?
                .unwrap_or(default),
        )?;
    if let Some(limit) = stale_after {
        check = check.stale_after(limit)?;
    }
    let (check, reset) = with_reset(check, start, settings)?;
    let schedule = match (
        settings.text("on-request"),
        settings.value::<Span>("every")?,
    ) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid(
                "\"every\" and \"on-request\" exclude each other",
            ));
        }
        (Some(_), None) => Schedule::OnRequest,
        (None, every) => Schedule::Every(every.map_or(EVERY, Span::duration)),
    };
    Ok(Planned {
        name,
        check,
        reset,
        schedule,
        start,
        stale_after,
    })
}

/// The check, and what resets it if it stays failed until a human does.
fn with_reset(
    check: Hysteresis,
    start: State,
    settings: &Settings<'_>,
) -> Result<(Box<dyn Check>, Option<Oneshot>), Error> {
    let Some(credentials) = settings.text("manual-reset") else {
        return Ok((Box::new(check), None));
    };
    let Some(file) = credentials.strip_prefix("htpasswd ") else {
        return Err(Error::invalid(format!(
            "manual-reset: {credentials:?} names no credentials; expected htpasswd FILE"
        )));
    };
    let reset = Oneshot::with_auth(State::Fail, HtpasswdFile::open(file)?);
    let latch = Toggle::new(check, reset.clone()).initial_state(start);
    Ok((Box::new(latch), Some(reset)))
}

impl Planned {
    fn add_to(self, server: &HealthCheckServer) -> Result<(), Error> {
        match self.schedule {
            Schedule::OnRequest => add(server, &self.name, self.check, self.reset),
            Schedule::Every(every) => {
                let mut background = Background::builder(self.check, every)?
                    .initial_state(self.start)
                    .own_stack();
                if let Some(limit) = self.stale_after {
                    background = background.stale_after(limit)?;
                }
                add(server, &self.name, background.start()?, self.reset)
            }
        }
    }
}

fn add(
    server: &HealthCheckServer,
    name: &str,
    check: impl Check + 'static,
    reset: Option<Oneshot>,
) -> Result<(), Error> {
    match reset {
        Some(reset) => server.add_component_with_post(name, check, reset),
        None => server.add_component(name, check),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::words;

    fn read(text: &str) -> Result<Vec<Setting>, Error> {
        words::settings(&text.split(' ').map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn targets_have_a_host_and_a_port() {
        for (target, parts) in [
            ("a:25", ("a", "25")),
            ("[::1]:smtp", ("[::1]", "smtp")),
            ("192.0.2.1:1", ("192.0.2.1", "1")),
        ] {
            assert_eq!(host_and_port(target).unwrap(), parts);
        }
        for target in ["a", "::1", "::1:25"] {
            assert!(host_and_port(target).is_err(), "{target}");
        }
    }

    #[test]
    fn what_is_wrong_names_its_component() {
        for (text, message) in [
            (
                "listen 127.0.0.1:0",
                "nothing to serve; expected component NAME tcp HOST:PORT",
            ),
            ("component a", "component \"a\" has no tcp HOST:PORT"),
            (
                "component /a tcp b:1",
                "component name \"/a\" cannot be used; expected no leading slash",
            ),
            (
                "component a tcp b:1 tcp b:2",
                "\"tcp\" stands twice in component \"a\"",
            ),
            (
                "component a tcp b:1 listen c:1",
                "\"listen\" has no place in component \"a\"",
            ),
            (
                "timeout 3s component a tcp b:1",
                "\"timeout\" has no place in the server's settings",
            ),
            (
                "default b component a tcp b:1",
                "default: there is no component \"b\"",
            ),
            (
                "component a tcp b:1 start up",
                "component \"a\": start: \"up\" is none of probe, ok, fail",
            ),
            (
                "component a tcp b:1 every 1s on-request",
                "component \"a\": \"every\" and \"on-request\" exclude each other",
            ),
            (
                "component a tcp b:1 fail-after 0",
                "component \"a\": fail-after: a count of 0 cannot be used; expected at least 1",
            ),
            (
                "component a tcp b:1 family 5",
                "component \"a\": family: \"5\" is not a family; expected any, 4, 6 or all",
            ),
            (
                "component a tcp b:1 manual-reset password x",
                "component \"a\": manual-reset: \"password x\" names no credentials; \
                 expected htpasswd FILE",
            ),
        ] {
            let error = read(text)
                .and_then(|settings| server(&settings, &Log::none()))
                .unwrap_err();
            assert_eq!(error.to_string(), message, "{text}");
        }
    }
}
