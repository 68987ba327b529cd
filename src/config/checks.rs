//! From a kind of check and its settings to the check. The only place that names concrete kinds.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::blocks::{Setting, incomplete};
use super::component::TIMEOUT;
use super::defaults::not_for;
use super::lex::Word;
use super::schema::{self, Place};
use super::section::Section;
use crate::auth::secret::read_secret;
use crate::check::Check;
use crate::check::dns::{DnsCheck, checked_kind, checked_record};
use crate::check::exec::{ExecCheck, ExitCodes};
use crate::check::file::{self, FileCheck};
use crate::check::http::{FOLLOW_MAX, HttpCheck, checked_body};
use crate::check::postgres::{PostgresCheck, checked_name, checked_query};
use crate::check::process::ProcessCheck;
use crate::check::smtp::{SmtpCheck, checked_helo};
use crate::check::status::StatusSet;
use crate::check::tcp::{self, TcpCheck};
use crate::check::tls::{TlsCheck, checked_server_name};
use crate::check::traffic::access_log::AccessLogCheck;
use crate::check::traffic::haproxy::HaproxyTrafficCheck;
use crate::check::traffic::rules::TrafficRules;
use crate::check::value::{Side, ValueRule};
use crate::error::Error;
use crate::net::account::Account;
use crate::net::dial::{Family, Target};
use crate::net::port::Port;
use crate::net::program;
use crate::number;
use crate::text::cut_last;
use crate::units::Span;

/// Whether checks of that kind wait for somebody else, and so have a timeout.
pub(crate) fn waits(kind: &str) -> bool {
    schema::find("timeout", &[Place::Check]).is_some_and(|keyword| keyword.is_for(kind))
}

/// The check that a kind and its settings describe; what is wrong with them is told.
pub(crate) fn check(
    kind: &Setting,
    section: &Section<'_>,
    timeout: Option<Duration>,
) -> Option<Box<dyn Check>> {
    let reader = Reader {
        kind,
        section,
        timeout: timeout.unwrap_or_default(),
    };
    match kind.keyword.name {
        "tcp" => reader.tcp(),
        "http" => reader.http(),
        "tls" => reader.tls(),
        "postgres" => reader.postgres(),
        "smtp" => reader.smtp(),
        "dns" => reader.dns(),
        "file" => reader.file(),
        "process" => reader.process(),
        "exec" => reader.exec(),
        "haproxy-traffic" => reader.haproxy_traffic(),
        "access-log" => reader.access_log(),
        other => {
            let message = format!(
                "{other:?} asks nobody by itself; expected one check, such as: tcp HOST:PORT"
            );
            section.problems.error(kind.at, message);
            None
        }
    }
}

/// The check of a `failover probe`: one kind, and settings that are for it.
pub(crate) fn probe(section: &Section<'_>) -> Option<Box<dyn Check>> {
    let problems = section.problems;
    let is_kind = |setting: &&Setting| setting.keyword.place == Place::Kind;
    let kinds: Vec<&Setting> = section.settings.iter().filter(is_kind).collect();
    let [kind] = kinds.as_slice() else {
        let message = "expected one check, such as: tcp HOST:PORT";
        problems.error(section.at, message);
        return None;
    };
    for (index, setting) in section.settings.iter().enumerate() {
        let name = setting.keyword.name;
        let before = &section.settings[..index];
        if !setting.keyword.is_for(kind.keyword.name) {
            problems.error(setting.at, not_for(setting.keyword, kind.keyword.name));
        } else if !setting.keyword.repeats && before.iter().any(|it| it.keyword.name == name) {
            problems.error(
                setting.at,
                format!("{name:?} stands twice; expected it once"),
            );
        }
    }
    let timeout = section.span("timeout").unwrap_or(TIMEOUT);
    check(kind, section, Some(timeout))
}

struct Reader<'a> {
    kind: &'a Setting,
    section: &'a Section<'a>,
    timeout: Duration,
}

impl Reader<'_> {
    /// The value, or its error at the place of the kind.
    fn here<T>(&self, result: Result<T, Error>) -> Option<T> {
        self.section.problems.or_error(self.kind.value_at(), result)
    }

    fn span(&self) -> Option<Span> {
        self.here(Span::try_from(self.timeout))
    }

    /// Says what is missing as yet, and has to be there when the check runs.
    fn warn(&self, name: &str, why: &str) {
        let at = self
            .section
            .find(name)
            .map_or(self.kind.at, Setting::value_at);
        let message = format!("{why}; until that is mended, the outcome is unknown");
        self.section.problems.warning(at, message);
    }

    /// `HOST:PORT`, and how to get there.
    fn target(&self) -> Option<Target> {
        let text = self.kind.text();
        let parsed = host_and_port(&text).and_then(|(host, port)| {
            let port = Port::try_from(port)?;
            Target::new(host, port)
        });
        let mut target = self.here(parsed)?;
        self.way(&mut target);
        Some(target)
    }

    /// `source`, `source-port`, `family`, `connect-timeout`.
    fn way(&self, target: &mut Target) {
        let section = self.section;
        let source = section.text("source");
        let source = source.map(|source| crate::net::dial::checked_host(&source));
        target.source_host = source.and_then(|source| section.checked("source", source));
        target.source_port = section.value::<Port>("source-port");
        target.family = section.value::<Family>("family").unwrap_or_default();
        target.connect_timeout = section.span("connect-timeout");
        self.same_family(target);
    }

    /// Addresses of which none leads to the other.
    fn same_family(&self, target: &Target) {
        let Ok(host) = target.host.parse::<IpAddr>() else {
            return;
        };
        let wrong = |name: &str| {
            if let Some(setting) = self.section.find(name) {
                let message = format!(
                    "{name} {} does not go with the address {host}; expected the same kind of \
                     address",
                    setting.text()
                );
                self.section.problems.error(setting.value_at(), message);
            }
        };
        let source = target
            .source_host
            .as_ref()
            .and_then(|it| it.parse::<IpAddr>().ok());
        if source.is_some_and(|source| source.is_ipv4() != host.is_ipv4()) {
            wrong("source");
        }
        let is_other = match target.family {
            Family::V4 => host.is_ipv6(),
            Family::V6 => host.is_ipv4(),
            _ => false,
        };
        if is_other {
            wrong("family");
        }
    }

    fn tcp(&self) -> Option<Box<dyn Check>> {
        let section = self.section;
        let mut check = TcpCheck::to(self.target()?, self.span()?);
        if let Some(bytes) = section.bytes("send") {
            check.send = section.checked("send", tcp::checked_text(bytes, "send"))?;
        }
        if let Some(bytes) = section.bytes("expect") {
            check.expect = section.checked("expect", tcp::checked_text(bytes, "expect"))?;
        }
        Some(Box::new(check))
    }

    fn http(&self) -> Option<Box<dyn Check>> {
        let section = self.section;
        let mut check = self.here(HttpCheck::new(&self.kind.text(), self.span()?))?;
        self.way(&mut check.target);
        if let Some(method) = section.text("method") {
            // Methods are told apart by case (RFC 9110 section 9.1), and no known one has small
            // letters.
            let capitals = method.to_ascii_uppercase();
            if capitals != method {
                let message = format!("{method:?} is no method; expected {capitals:?}");
                section.checked("method", Err::<(), Error>(Error::invalid(message)))?;
            }
            section.checked("method", check.asking.set_method(&method))?;
        }
        for header in section.all("header") {
            let [name, value] = header.words.as_slice() else {
                continue;
            };
            let added = check.asking.add_header(&name.text, &value.text);
            section.problems.or_error(name.at, added)?;
        }
        if let Some(host) = section.text("host") {
            section.checked("host", check.asking.set_host(&host))?;
        }
        if let Some(statuses) = section.value::<StatusSet>("expect-status") {
            check.expected = statuses;
        }
        if let Some(bytes) = section.bytes("expect-body") {
            check.body = Some(section.checked("expect-body", checked_body(bytes.to_vec()))?);
            section.checked("expect-body", check.checked())?;
        }
        if let Some(count) = section.number("follow", 0, FOLLOW_MAX.into()) {
            check.follow = count as usize;
        }
        check.value = self.value_rule()?;
        section.checked("value", check.checked())?;
        Some(Box::new(check))
    }

    /// `value KEY below|above NUMBER`; the outer `None` is an error that was told.
    fn value_rule(&self) -> Option<Option<ValueRule>> {
        let section = self.section;
        let Some(setting) = section.find("value") else {
            return Some(None);
        };
        let [key, side, limit] = setting.words.as_slice() else {
            return None;
        };
        let side = section
            .problems
            .or_error(side.at, Side::try_from(side.text.as_str()))?;
        let number = number::parse(&limit.text);
        let Some(number) = number.filter(|number| number.is_finite()) else {
            let message = format!("{:?} is no number; expected one, such as 100", limit.text);
            section.problems.error(limit.at, message);
            return None;
        };
        let rule = ValueRule::new(&key.text, side, number);
        section.checked("value", rule).map(Some)
    }

    fn tls(&self) -> Option<Box<dyn Check>> {
        let mut check = TlsCheck::to(self.target()?, self.span()?);
        if let Some(name) = self.section.text("sni") {
            check.sni = Some(self.section.checked("sni", checked_server_name(&name))?);
        }
        Some(Box::new(check))
    }

    fn postgres(&self) -> Option<Box<dyn Check>> {
        let section = self.section;
        let mut check = PostgresCheck::to(self.target()?, self.span()?);
        let questions = &mut check.questions;
        if let Some(user) = section.text("user") {
            questions.user = Some(section.checked("user", checked_name("user", &user))?);
        }
        if let Some(database) = section.text("database") {
            let database = section.checked("database", checked_name("database", &database));
            questions.database = Some(database?);
        }
        if let Some(file) = section.text("password-file") {
            if let Err(why) = read_secret(Path::new(&file)) {
                self.warn("password-file", &why);
            }
            questions.password_file = Some(PathBuf::from(file));
        }
        if let Some(query) = section.text("query") {
            questions.query = Some(section.checked("query", checked_query(&query))?);
        }
        questions.role = section.value("role");
        questions.max_lag = section.value("max-lag");
        section.checked("max-lag", questions.checked())?;
        Some(Box::new(check))
    }

    fn smtp(&self) -> Option<Box<dyn Check>> {
        let mut check = SmtpCheck::to(self.target()?, self.span()?);
        if let Some(name) = self.section.text("helo") {
            check.helo = Some(self.section.checked("helo", checked_helo(&name))?);
        }
        Some(Box::new(check))
    }

    fn dns(&self) -> Option<Box<dyn Check>> {
        let section = self.section;
        let mut check = self.here(DnsCheck::new(&self.kind.text(), self.span()?))?;
        if let Some(text) = section.text("server") {
            let (host, port) = match host_and_port(&text) {
                Ok((host, port)) => (host, port),
                Err(_) => (text.as_str(), "53"),
            };
            let server = Port::try_from(port).and_then(|port| Target::new(host, port));
            check.server = Some(section.checked("server", server)?);
        }
        if let Some(kind) = section.text("type") {
            check.kind = section.checked("type", checked_kind(&kind))?;
        }
        if let Some(record) = section.text("expect") {
            section.checked("expect", record_of(section.text("type"), &record))?;
            check.expected = Some(section.checked("expect", checked_record(&record))?);
        }
        check.is_recursive = !section.has("no-recursion");
        Some(Box::new(check))
    }
}

impl Reader<'_> {
    fn file(&self) -> Option<Box<dyn Check>> {
        let section = self.section;
        let mut check = self.here(FileCheck::new(&self.kind.text()))?;
        check.fresher_than = section.span("fresher-than");
        if let Some(text) = section.text("contains") {
            check.text = Some(section.checked("contains", file::checked_text(&text))?);
        }
        Some(Box::new(check))
    }

    /// `process NAME` or `process pidfile PATH`.
    fn process(&self) -> Option<Box<dyn Check>> {
        let words: Vec<&str> = self.kind.words.iter().map(|it| it.text.as_str()).collect();
        let check = match words.as_slice() {
            ["pidfile", path] => ProcessCheck::pidfile(path),
            [name] if *name != "pidfile" => ProcessCheck::named(name),
            _ => Err(Error::invalid(incomplete(
                self.kind.keyword,
                &self.kind.words,
            ))),
        };
        Some(Box::new(self.here(check)?))
    }

    fn exec(&self) -> Option<Box<dyn Check>> {
        let section = self.section;
        let words: Vec<String> = self.kind.words.iter().map(|it| it.text.clone()).collect();
        let missing = words.first().and_then(|name| why_not_run(name));
        if let Some(word) = self.kind.words.iter().skip(1).find(|it| is_for_a_shell(it)) {
            let message = "there is no shell, and the program is given this as it is; expected \
                           it in quotes, or: exec sh -c \"...\"";
            section.problems.warning(word.at, message);
        }
        let mut check = self.here(ExecCheck::of(words, self.span()?))?;
        if let Some(why) = missing {
            self.warn("exec", &why);
        }
        if let Some(name) = section.owner {
            check.one_of(name);
            let own = ("FAILOVER_COMPONENT".to_string(), name.to_string());
            check.environment.push(own);
        }
        let codes = [("plain", ExitCodes::Plain), ("nagios", ExitCodes::Nagios)];
        if let Some(codes) = section.choice("exit-codes", &codes) {
            check.codes = codes;
        }
        if let Some(user) = section.text("user") {
            check.account = Some(section.checked("user", Account::named(&user))?);
        }
        check.value = self.value_rule()?;
        Some(Box::new(check))
    }

    fn haproxy_traffic(&self) -> Option<Box<dyn Check>> {
        let [socket, server] = self.kind.words.as_slice() else {
            return None;
        };
        if socket.text.contains('/') {
            self.absolute()?;
        }
        let check = HaproxyTrafficCheck::new(&socket.text, &server.text, self.span()?);
        let mut check = self.here(check)?;
        self.traffic_rules(&mut check.rules);
        Some(Box::new(check))
    }

    fn access_log(&self) -> Option<Box<dyn Check>> {
        let mut check = self.here(AccessLogCheck::new(self.kind.text()))?;
        self.traffic_rules(&mut check.rules);
        Some(Box::new(check))
    }

    /// What is looked at has one path, wherever the configuration lies.
    fn absolute(&self) -> Option<()> {
        let path = &self.kind.words.first()?.text;
        let is_absolute = path.starts_with('/');
        let refused = || {
            Error::invalid(format!(
                "path {path:?} cannot be used; expected an absolute path"
            ))
        };
        self.here(is_absolute.then_some(()).ok_or_else(refused))
    }

    fn traffic_rules(&self, rules: &mut TrafficRules) {
        let section = self.section;
        if let Some(window) = section.span("window") {
            rules.window = window;
        }
        rules.server_errors = section.value("5xx-rate");
        rules.errors = section.value("error-rate");
        rules.latency = section.span("latency");
        if let Some(count) = section.number("min-requests", 1, 1_000_000) {
            rules.min_requests = count;
        }
    }
}

/// Whether a word means something to a shell: what stands in no quotes was meant for one.
fn is_for_a_shell(word: &Word) -> bool {
    let is_sign = |byte: &u8| b"|&;<>$`".contains(byte);
    // `2>` is one, too; a URL may have them farther on.
    word.text.as_bytes().iter().take(2).any(is_sign) && !word.is_quoted
}

/// Why a program that is safe to run cannot be.
fn why_not_run(name: &str) -> Option<String> {
    let path = program::locate(name).ok()?;
    let why = match std::fs::metadata(&path) {
        Err(error) => error.to_string(),
        Ok(about) if !about.is_file() => String::from("no file"),
        Ok(about) if about.permissions().mode() & 0o111 == 0 => {
            format!(
                "mode {:o} lets nobody run it",
                about.permissions().mode() & 0o7777
            )
        }
        Ok(_) => return None,
    };
    Some(format!("program {name:?} cannot be run: {why}"))
}

/// What cannot be among the answers, whatever those are.
fn record_of(kind: Option<String>, record: &str) -> Result<(), Error> {
    let kind = kind
        .unwrap_or_else(|| String::from("A"))
        .to_ascii_uppercase();
    let (is_one, expected) = match kind.as_str() {
        "A" => (record.parse::<Ipv4Addr>().is_ok(), "192.0.2.1"),
        "AAAA" => (record.parse::<Ipv6Addr>().is_ok(), "2001:db8::1"),
        _ => return Ok(()),
    };
    if is_one {
        return Ok(());
    }
    let message =
        format!("{record:?} is no record of type {kind}; expected one such as {expected}");
    Err(Error::invalid(message))
}

/// `host:port`, `192.0.2.1:25`, `[2001:db8::1]:25`.
pub(super) fn host_and_port(target: &str) -> Result<(&str, &str), Error> {
    let in_brackets = |host: &str| host.starts_with('[') && host.ends_with(']');
    match cut_last(target, b':') {
        // What has a slash is a URL.
        Some((host, port)) if (!host.contains(':') || in_brackets(host)) && !port.contains('/') => {
            Ok((host, port))
        }
        _ => Err(Error::invalid(format!(
            "{target:?} is not a target; expected HOST:PORT, with an IPv6 address in brackets"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_a_host_and_a_port() {
        for (target, parts) in [
            ("a:25", ("a", "25")),
            ("[::1]:smtp", ("[::1]", "smtp")),
            ("192.0.2.1:1", ("192.0.2.1", "1")),
        ] {
            assert_eq!(host_and_port(target).unwrap(), parts);
        }
        let unclear = ["[::1]", "[::1]25", "[::1:25", "http://a/"];
        for target in ["a", "::1", "::1:25"].into_iter().chain(unclear) {
            assert!(host_and_port(target).is_err(), "{target}");
        }
    }
}
