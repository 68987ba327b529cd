//! DNS as a client: one question to one server (RFC 1035), over UDP, and over TCP when the answer
//! does not fit.
//!
//! It follows no referral and keeps nothing. An answer counts only from the address that was
//! asked, to the port, the id and the question that it was asked with (RFC 5452); whatever else
//! arrives is passed over.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use crate::health::{Health, Outcome, Reason};
use crate::net::conversation::{Conversation, converse, passes};
use crate::net::deadline::Deadline;
use crate::net::dial::{Family, Target, checked_host, outcome_of, worse};
use crate::sys::errno;
use crate::sys::file::read_at_most;
use crate::wire::dns::{Malformed, Message, RESPONSE, TRUNCATED, id_and_flags};

/// How often the question is sent over UDP, where any packet may be lost.
const TRIES: usize = 3;

/// Without EDNS an answer over UDP has at most 512 bytes (RFC 1035 section 4.2.1).
const DATAGRAM_LEN_MAX: usize = 4_096;

/// Datagrams that answer something else, before the server is taken for broken.
const STRANGERS_MAX: usize = 1_000;

/// RFC 1035 section 4.2.2: two bytes for the length, and as much as they can say.
const STREAM_LEN_MAX: usize = 2 + 0xffff;

/// What came over UDP.
enum Datagram {
    Whole(Message),
    Truncated,
}

/// Asks the first address of a server that answers, or each with [`Family::All`], all within
/// `timeout`, and has `judge` say what the answers come to. With `All` the first outcome that does
/// not pass is the result.
pub(crate) fn ask(
    server: &Target,
    timeout: Duration,
    query: &Message,
    mut judge: impl FnMut(&Message) -> Outcome,
) -> Outcome {
    let deadline = Deadline::after(timeout);
    let resolved_by = match server.connect_timeout {
        Some(timeout) => deadline.earlier(timeout),
        None => deadline,
    };
    let addresses = match server.addresses(resolved_by) {
        Ok(addresses) => addresses,
        Err(outcome) => return *outcome,
    };
    let mut result: Option<Outcome> = None;
    for (index, address) in addresses.iter().enumerate() {
        let share = deadline.share(addresses.len() - index);
        let asked = share
            .ok_or_else(|| late(*address).into())
            .and_then(|share| ask_address(server, *address, share, query));
        let is_answered = asked.is_ok();
        let outcome = asked.map_or_else(|outcome| *outcome, |answer| judge(&answer));
        let is_enough = match server.family {
            Family::All => !passes(&outcome),
            _ => is_answered,
        };
        if is_enough {
            return outcome;
        }
        result = Some(worse(result, outcome));
    }
    // Invariant: a server has an address, and each has an outcome.
    result.unwrap_or_else(|| Outcome::new(Health::Unknown, Reason::ResolveFailure))
}

fn ask_address(
    server: &Target,
    address: SocketAddr,
    deadline: Deadline,
    query: &Message,
) -> Result<Message, Box<Outcome>> {
    let bytes = query.encode().map_err(malformed)?;
    let socket = open(server, address, deadline)
        .map_err(|error| outcome_of(&error).with_detail(address.to_string()))?;
    let mut strangers = 0;
    for tried in 0..TRIES {
        let Some(share) = deadline.share(TRIES - tried) else {
            break;
        };
        // A full queue of ours loses the packet like any other queue on the way.
        if let Err(error) = socket.send(&bytes) {
            if !errno::is_not_ready(&error) {
                return Err(unreachable(&error, address).into());
            }
        }
        match receive(&socket, share, query, &mut strangers) {
            Ok(Some(Datagram::Whole(answer))) => return Ok(answer),
            Ok(Some(Datagram::Truncated)) => {
                return ask_by_stream(server, address, deadline, query, &bytes);
            }
            Ok(None) => {}
            Err(Problem::Socket(error)) => return Err(unreachable(&error, address).into()),
            Err(Problem::Answer(outcome)) => return Err(outcome),
        }
    }
    Err(late(address).into())
}

fn late(address: SocketAddr) -> Outcome {
    Outcome::new(Health::Fail, Reason::AnswerTimeout).with_detail(address.to_string())
}

fn malformed(Malformed(what): Malformed) -> Outcome {
    Outcome::new(Health::Fail, Reason::AnswerMalformed).with_detail(what)
}

/// The host of the server says that nobody listens there, or the way to it is closed.
fn unreachable(error: &io::Error, address: SocketAddr) -> Outcome {
    let outcome = match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::new(Health::Fail, Reason::DnsUnreachable),
        _ => outcome_of(error),
    };
    outcome.with_detail(address.to_string())
}

/// A socket on a port that the system chose at random, which hears that one peer only.
fn open(server: &Target, peer: SocketAddr, deadline: Deadline) -> io::Result<UdpSocket> {
    let any = match peer {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let source = server.source_for(peer, deadline)?;
    let socket = UdpSocket::bind(source.unwrap_or(SocketAddr::new(any, 0)))?;
    socket.connect(peer)?;
    Ok(socket)
}

enum Problem {
    Socket(io::Error),
    Answer(Box<Outcome>),
}

/// Waits for the answer; `None` when the time for it is up.
fn receive(
    socket: &UdpSocket,
    deadline: Deadline,
    query: &Message,
    strangers: &mut usize,
) -> Result<Option<Datagram>, Problem> {
    let mut buffer = [0; DATAGRAM_LEN_MAX];
    while let Some(left) = deadline.left() {
        let came = socket
            .set_read_timeout(Some(left))
            .and_then(|()| socket.recv(&mut buffer));
        let len = match came {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if errno::is_not_ready(&error) => return Ok(None),
            Err(error) => return Err(Problem::Socket(error)),
        };
        match understand(&buffer[..len], query) {
            Some(understood) => return understood.map(Some).map_err(Problem::Answer),
            None => *strangers += 1,
        }
        if *strangers > STRANGERS_MAX {
            let what = Malformed("nothing but answers to other questions");
            return Err(Problem::Answer(malformed(what).into()));
        }
    }
    Ok(None)
}

/// What a datagram is to this question; `None` when it answers another one.
fn understand(bytes: &[u8], query: &Message) -> Option<Result<Datagram, Box<Outcome>>> {
    let (id, flags) = id_and_flags(bytes)?;
    if id != query.id || flags & RESPONSE == 0 {
        return None;
    }
    if flags & TRUNCATED != 0 {
        // What is left of it may end in the middle of a record.
        return Some(Ok(Datagram::Truncated));
    }
    match Message::decode(bytes) {
        Ok(answer) if answer.answers(query) => Some(Ok(Datagram::Whole(answer))),
        Ok(_) => None,
        Err(problem) => Some(Err(malformed(problem).into())),
    }
}

fn ask_by_stream(
    server: &Target,
    address: SocketAddr,
    deadline: Deadline,
    query: &Message,
    bytes: &[u8],
) -> Result<Message, Box<Outcome>> {
    let mut target = server.clone();
    target.family = Family::Any;
    // A link-local address needs the zone that only its text has.
    if !target.host().contains('%') {
        target.set_address(address.ip());
    }
    let left = deadline.left().ok_or_else(|| late(address))?;
    let mut answer = None;
    let outcome = converse(&target, left, |conversation| {
        match exchange(conversation, query, bytes) {
            Ok(message) => {
                answer = Some(message);
                Outcome::from(true)
            }
            Err(outcome) => *outcome,
        }
    });
    answer.ok_or_else(|| outcome.into())
}

fn exchange(
    conversation: &mut Conversation,
    query: &Message,
    bytes: &[u8],
) -> Result<Message, Box<Outcome>> {
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    conversation.send(&[&len.to_be_bytes()[..], bytes].concat())?;
    conversation.receive_len(2, STREAM_LEN_MAX)?;
    let head = conversation.take(2);
    let len = head
        .iter()
        .fold(0, |len, byte| len << 8 | usize::from(*byte));
    conversation.receive_len(len, STREAM_LEN_MAX)?;
    let answer = Message::decode(&conversation.take(len)).map_err(malformed)?;
    if !answer.answers(query) {
        return Err(malformed(Malformed("an answer to another question")).into());
    }
    Ok(answer)
}

/// resolv.conf(5).
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A handful of lines; more is another file.
const RESOLV_CONF_BYTES_MAX: u64 = 64 * 1024;

/// The machine's own name server: the first one in `/etc/resolv.conf`. That file may change at any
/// time, so it is read every time.
pub(crate) fn own_server() -> Option<String> {
    let text = read_at_most(Path::new(RESOLV_CONF), RESOLV_CONF_BYTES_MAX).ok()?;
    first_server(&String::from_utf8_lossy(&text))
}

fn first_server(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let is_it = words.next() == Some("nameserver");
        let server = words.next().filter(|_| is_it)?;
        checked_host(server).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_server_of_the_file_is_ours() {
        for (text, server) in [
            (
                "nameserver 192.0.2.1\nnameserver 192.0.2.2\n",
                Some("192.0.2.1"),
            ),
            (
                "# nameserver 1\n; x\nsearch a\n  nameserver\tfe80::1%eth0 # x\n",
                Some("fe80::1%eth0"),
            ),
            ("nameserver\nnameserver ::1", Some("::1")),
            ("nameserver a/b\n", None),
            ("", None),
            ("nameservers 192.0.2.1", None),
        ] {
            assert_eq!(first_server(text).as_deref(), server, "{text:?}");
        }
    }
}
