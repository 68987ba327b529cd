//! DNS: does a name server give the right answer?
//!
//! It asks one server one question and follows no referral. Where the server was named, it is what
//! is checked; where the machine's own one is asked, it is the name that is, and a server that does
//! not answer tells nothing of it.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::check::Check;
use crate::client::dns::{ask, own_server};
use crate::error::Error;
use crate::health::{Health, Outcome, Reason};
use crate::net::conversation::excerpt;
use crate::net::dial::Target;
use crate::net::port::Port;
use crate::net::random::random;
use crate::text::joined;
use crate::units::Span;
use crate::wire::dns::{
    A, CNAME, Data, Malformed, Message, Name, PTR, RECURSION_DESIRED, Record, TXT, kind_name,
    kind_of, rcode,
};

/// Where a name server listens.
const DNS_PORT: u16 = 53;

/// A name may stand for another, and that for a third; more in a row is a loop.
const ALIASES_MAX: usize = 16;

/// What a detail shows of the records.
const SHOWN_MAX: usize = 200;

/// Checks whether a name server knows a name, and, if that is asked for, whether it says the right
/// thing of it.
///
/// Without [`server`](DnsCheck::server) the first name server of `/etc/resolv.conf` is asked; what
/// then goes wrong with that server is unknown and no failure, since it says nothing of the name.
///
/// Reasons: `dns answered`, with the records; failures `dns no such name`, `dns no record`, `dns
/// answer not expected`; and, unknown without a server of its own, `dns server failure`, `dns
/// refused`, `dns server unreachable`, `answer timeout`, `answer malformed`, and for long answers
/// those of a conversation by [`TcpCheck`](crate::TcpCheck). Unknown also `resolve failure` when
/// `/etc/resolv.conf` names no server.
///
/// ```
/// use failover::{Check, DnsCheck, Health, second};
///
/// // Nobody answers there.
/// let silent = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// let mut check = DnsCheck::new("www.example", second(0.1))?
///     .server("127.0.0.1", silent.local_addr()?.port())?
///     .record_type("AAAA")?
///     .expect("2001:db8::1")?;
/// let outcome = check.check();
/// assert_eq!((outcome.health, outcome.reason.words()), (Health::Fail, "answer timeout"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DnsCheck {
    name: String,
    pub(crate) kind: u16,
    pub(crate) server: Option<Target>,
    timeout: Duration,
    pub(crate) expected: Option<String>,
    pub(crate) is_recursive: bool,
}

impl DnsCheck {
    /// Checks `name` within `timeout` (a bare number is seconds), which includes all tries. A dot
    /// at the end of the name is optional: no search list is applied.
    ///
    /// # Errors
    /// A name or timeout that cannot be.
    pub fn new<T>(name: &str, timeout: T) -> Result<DnsCheck, Error>
    where
        T: TryInto<Span>,
        Error: From<T::Error>,
    {
        let timeout = timeout.try_into()?;
        checked_name(name)?;
        Ok(DnsCheck {
            name: name.to_string(),
            kind: A,
            server: None,
            timeout: timeout.duration(),
            expected: None,
            is_recursive: true,
        })
    }

    /// Asks this server, which is then what is checked. Its port is 53 as a rule.
    ///
    /// # Errors
    /// A host or port that cannot be.
    pub fn server<P>(mut self, host: &str, port: P) -> Result<DnsCheck, Error>
    where
        P: TryInto<Port>,
        Error: From<P::Error>,
    {
        self.server = Some(Target::new(host, port.try_into()?)?);
        Ok(self)
    }

    /// What to ask for: `A`, `AAAA`, `MX`, `NS`, `TXT`, `CNAME`, `SOA`, `SRV` or `PTR`, in
    /// whatever case. Default: `A`. With `PTR` the name may be an address.
    ///
    /// # Errors
    /// Another type.
    pub fn record_type(mut self, name: &str) -> Result<DnsCheck, Error> {
        self.kind = checked_kind(name)?;
        Ok(self)
    }

    /// Passes only if one of the records is this one, written as in a zone: `192.0.2.1`, `10
    /// mail.example`. The case of names and a dot at their end do not matter. The strings of a
    /// `TXT` record are taken as one, without quotes, and byte by byte. Default: any record will
    /// do.
    ///
    /// # Errors
    /// No text.
    pub fn expect(mut self, text: &str) -> Result<DnsCheck, Error> {
        self.expected = Some(checked_record(text)?);
        Ok(self)
    }

    /// Asks for what the server itself knows, not for what it can find out: for a server that is
    /// responsible for a zone. Default: it may find out.
    pub fn without_recursion(mut self) -> DnsCheck {
        self.is_recursive = false;
        self
    }

    /// The question, with an id that nobody can guess.
    fn query(&self) -> Result<Message, Box<Outcome>> {
        let name = match self.name.parse::<IpAddr>() {
            Ok(ip) if self.kind == PTR => Name::reverse(ip),
            _ => Name::parse(&self.name).map_err(|Malformed(what)| {
                Outcome::new(Health::Unknown, Reason::ResolveFailure).with_detail(what)
            })?,
        };
        let flags = if self.is_recursive {
            RECURSION_DESIRED
        } else {
            0
        };
        // The lowest bits of a random number are as good as any.
        Ok(Message::query(random() as u16, flags, name, self.kind))
    }

    fn ask_server(&self, server: &Target) -> Outcome {
        match self.query() {
            Ok(query) => ask(server, self.timeout, &query, |answer| self.judge(answer)),
            Err(outcome) => *outcome,
        }
    }

    /// Asks the machine's own server: what is wrong with that is no fault of the name's.
    fn ask_own_server(&self) -> Outcome {
        let unknown = Outcome::new(Health::Unknown, Reason::ResolveFailure);
        let Some(host) = own_server() else {
            return unknown.with_detail("no name server in /etc/resolv.conf");
        };
        let port = Port::try_from(DNS_PORT);
        let Ok(server) = port.and_then(|port| Target::new(&host, port)) else {
            return unknown.with_detail(host);
        };
        excused(self.ask_server(&server))
    }

    fn judge(&self, answer: &Message) -> Outcome {
        let question = format!("{} {}", self.name, kind_name(self.kind));
        let reason = match answer.rcode() {
            rcode::NO_ERROR => return self.judge_records(answer, question),
            rcode::NO_SUCH_NAME => Reason::DnsNoSuchName,
            rcode::REFUSED => Reason::DnsRefused,
            code => {
                return fail(Reason::DnsServerFailure)
                    .with_detail(format!("{question}: {}", rcode::name(code)));
            }
        };
        fail(reason).with_detail(question)
    }

    fn judge_records(&self, answer: &Message, question: String) -> Outcome {
        let (name, found) = self.records(answer);
        if found.is_empty() {
            let detail = match name {
                Some(alias) => format!("{question}: it is an alias of {alias}"),
                None => question,
            };
            return fail(Reason::DnsNoRecord).with_detail(detail);
        }
        let shown: Vec<String> = found.iter().map(|data| data.to_string()).collect();
        let is_expected = match &self.expected {
            None => true,
            Some(expected) if self.kind == TXT => shown.contains(expected),
            Some(expected) => {
                let expected = plain(expected);
                shown.iter().any(|record| plain(record) == expected)
            }
        };
        let outcome = match is_expected {
            true => Outcome::new(Health::Ok, Reason::DnsAnswered),
            false => fail(Reason::DnsUnexpected),
        };
        outcome.with_detail(excerpt(joined(shown, ", ").as_bytes(), SHOWN_MAX))
    }

    /// The records that were asked for, of the name or of what it is an alias of; and that alias.
    fn records<'a>(&self, answer: &'a Message) -> (Option<&'a Name>, Vec<&'a Data>) {
        let Some(question) = answer.questions.first() else {
            return (None, Vec::new());
        };
        let mut alias = None;
        for _ in 0..ALIASES_MAX {
            let name = alias.unwrap_or(&question.name);
            let mine = |record: &&Record| record.class == question.class && record.name.is(name);
            let of_kind = |kind| {
                let records = answer.answers.iter().filter(mine);
                records
                    .filter(move |record| record.kind == kind)
                    .map(|record| &record.data)
            };
            let found: Vec<&Data> = of_kind(self.kind).collect();
            match of_kind(CNAME).next() {
                Some(Data::Name(next)) if found.is_empty() => alias = Some(next),
                _ => return (alias, found),
            }
        }
        (alias, Vec::new())
    }
}

fn checked_name(name: &str) -> Result<(), Error> {
    let is_graphic = name.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_graphic || Name::parse(name).is_err() {
        return Err(Error::invalid(format!(
            "{name:?} is not a domain name; expected one such as www.example.org, in ASCII"
        )));
    }
    Ok(())
}

fn fail(reason: Reason) -> Outcome {
    Outcome::new(Health::Fail, reason)
}

/// The outcome where the server is not what is checked: unknown, unless it is about the name.
fn excused(mut outcome: Outcome) -> Outcome {
    let is_of_the_name = matches!(
        outcome.reason,
        Reason::DnsAnswered | Reason::DnsNoSuchName | Reason::DnsNoRecord | Reason::DnsUnexpected
    );
    if !is_of_the_name {
        outcome.health = Health::Unknown;
    }
    outcome
}

/// # Errors
/// No type of a record.
pub(crate) fn checked_kind(name: &str) -> Result<u16, Error> {
    kind_of(name).ok_or_else(|| {
        Error::invalid(format!(
            "{name:?} is not a record type; expected A, AAAA, MX, NS, TXT, CNAME, SOA, SRV or PTR"
        ))
    })
}

/// # Errors
/// No text.
pub(crate) fn checked_record(text: &str) -> Result<String, Error> {
    if text.trim().is_empty() {
        return Err(Error::invalid(format!(
            "{text:?} is not a record; expected one such as 192.0.2.1"
        )));
    }
    Ok(text.to_string())
}

/// A record's text without what does not matter in it: case, last dots, ways to write an address.
fn plain(record: &str) -> String {
    let words = record
        .split_whitespace()
        .map(|word| match word.parse::<IpAddr>() {
            Ok(ip) => ip.to_string(),
            Err(_) => word.strip_suffix('.').unwrap_or(word).to_ascii_lowercase(),
        });
    joined(words, " ")
}

impl Check for DnsCheck {
    fn check(&mut self) -> Outcome {
        match &self.server {
            Some(server) => self.ask_server(server),
            None => self.ask_own_server(),
        }
    }

    fn budget(&self) -> Option<Duration> {
        Some(self.timeout)
    }
}

impl fmt::Debug for DnsCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = kind_name(self.kind);
        write!(
            f,
            "DnsCheck({} {kind} within {:?})",
            self.name, self.timeout
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::dns::{CLASS_IN, RESPONSE};

    fn check() -> DnsCheck {
        DnsCheck::new("www.example", 3).unwrap()
    }

    fn alias(name: &str, target: &str) -> Record {
        Record {
            name: Name::parse(name).unwrap(),
            kind: CNAME,
            class: CLASS_IN,
            ttl: 60,
            data: Data::Name(Name::parse(target).unwrap()),
        }
    }

    /// What an answer with these records comes to.
    fn judged(check: &DnsCheck, answers: Vec<Record>) -> String {
        let query = check.query().unwrap();
        let answer = Message {
            flags: RESPONSE,
            answers,
            ..query
        };
        check.judge(&answer).to_string()
    }

    #[test]
    fn aliases_are_followed_and_cannot_loop() {
        let address = Record {
            kind: A,
            data: Data::A([192, 0, 2, 1].into()),
            ..alias("c.example", ".")
        };
        let chain = |last: Record| {
            let first = alias("WWW.example", "b.example");
            // In no order.
            judged(&check(), vec![last, alias("b.example", "C.example"), first])
        };
        assert_eq!(chain(address.clone()), "dns answered: 192.0.2.1");
        let no_record = "dns no record: www.example A";
        let lost = alias("c.example", "d.example");
        assert_eq!(
            chain(lost),
            format!("{no_record}: it is an alias of d.example.")
        );
        let round = alias("c.example", "www.example");
        assert!(chain(round).starts_with(no_record));
        // The address of another name is not this one's.
        assert_eq!(judged(&check(), vec![address]), no_record);
    }

    #[test]
    fn trouble_with_our_own_server_says_nothing_of_the_name() {
        for (reason, health) in [
            (Reason::DnsNoSuchName, Health::Fail),
            (Reason::DnsNoRecord, Health::Fail),
            (Reason::DnsUnexpected, Health::Fail),
            (Reason::DnsServerFailure, Health::Unknown),
            (Reason::DnsRefused, Health::Unknown),
            (Reason::DnsUnreachable, Health::Unknown),
            (Reason::AnswerTimeout, Health::Unknown),
            (Reason::TcpConnectRefused, Health::Unknown),
        ] {
            assert_eq!(excused(fail(reason)).health, health, "{reason}");
        }
    }

    #[test]
    fn only_what_matters_in_a_record_is_compared() {
        for (record, written) in [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:0DB8:0:0::1"),
            ("10 mail.example.", " 10  MAIL.example"),
            (".", "."),
        ] {
            assert_eq!(plain(record), plain(written));
        }
        assert_ne!(plain("10 mail.example."), plain("mail.example"));
    }

    #[test]
    fn an_address_is_turned_round_for_ptr_only() {
        let ptr = DnsCheck::new("192.0.2.1", 3)
            .unwrap()
            .record_type("ptr")
            .unwrap();
        let name = |check: &DnsCheck| check.query().unwrap().questions[0].name.to_string();
        assert_eq!(name(&ptr), "1.2.0.192.in-addr.arpa.");
        assert_eq!(name(&check()), "www.example.");
        assert_eq!(check().query().unwrap().flags, RECURSION_DESIRED);
        assert_eq!(check().without_recursion().query().unwrap().flags, 0);
    }
}
