//! SMTP as a client (RFC 5321): replies, the greeting, EHLO or HELO, and an orderly end.
//!
//! It says only what any mail client says, so that a server's log shows an ordinary session.
#![forbid(unsafe_code)]

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::health::{Health, Outcome, Reason};
use crate::net::conversation::{Conversation, excerpt};
use crate::sys::file::read_at_most;

/// RFC 5321 section 4.5.3.1.5 allows a reply line 512 octets; some servers say more.
const LINE_BYTES_MAX: usize = 2_048;

/// Lines of one reply; servers list some twenty extensions.
const LINES_MAX: usize = 100;

/// What is kept of the text of a reply: enough to tell people.
const TEXT_BYTES_MAX: usize = 200;

/// How long a server is given to answer QUIT.
const PARTING: Duration = Duration::from_secs(1);

/// A whole reply.
#[derive(Debug)]
pub(crate) struct Reply {
    /// 200 to 599.
    pub(crate) code: u16,
    /// The code and the text of all lines, cut after a while.
    pub(crate) text: String,
}

impl Reply {
    /// Whether what was asked for has been done.
    pub(crate) fn is_ok(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Whether the server does not know the command (RFC 5321 section 4.2.4).
    fn is_unknown_command(&self) -> bool {
        [500, 502].contains(&self.code)
    }
}

/// Reads a reply, which may have many lines.
///
/// # Errors
/// The outcome that the conversation comes to; a reply that breaks the rules.
pub(crate) fn read_reply(conversation: &mut Conversation) -> Result<Reply, Box<Outcome>> {
    let mut reply: Option<Reply> = None;
    for _ in 0..LINES_MAX {
        let line = conversation.receive_line(LINE_BYTES_MAX)?;
        let Some((code, is_last, text)) = parse_line(&line) else {
            return Err(malformed(&line).into());
        };
        let mut so_far = reply.take().unwrap_or_else(|| Reply {
            code,
            text: code.to_string(),
        });
        if so_far.code != code {
            return Err(malformed(&line).into());
        }
        let room = TEXT_BYTES_MAX.saturating_sub(so_far.text.len());
        if !text.is_empty() && room > 0 {
            so_far.text.push(' ');
            so_far.text.push_str(&excerpt(text, room));
        }
        if is_last {
            return Ok(so_far);
        }
        reply = Some(so_far);
    }
    let too_long = Outcome::new(Health::Fail, Reason::AnswerTooLong);
    Err(too_long
        .with_detail(format!("over {LINES_MAX} lines"))
        .into())
}

/// RFC 5321 section 4.2.1: `250-text` or, last, `250 text` or `250` alone.
fn parse_line(line: &[u8]) -> Option<(u16, bool, &[u8])> {
    let (digits, rest) = line.split_first_chunk::<3>()?;
    if !matches!(digits, [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9']) {
        return None;
    }
    let digit = |byte: u8| u16::from(byte - b'0');
    let code = digit(digits[0]) * 100 + digit(digits[1]) * 10 + digit(digits[2]);
    match rest {
        [] => Some((code, true, rest)),
        [b' ', text @ ..] => Some((code, true, text)),
        [b'-', text @ ..] => Some((code, false, text)),
        _ => None,
    }
}

fn malformed(line: &[u8]) -> Outcome {
    let outcome = Outcome::new(Health::Fail, Reason::AnswerMalformed);
    outcome.with_detail(excerpt(line, TEXT_BYTES_MAX))
}

/// Sends one line and reads the reply. The line must not have a line end in it.
///
/// # Errors
/// As [`read_reply`].
pub(crate) fn command(conversation: &mut Conversation, line: &str) -> Result<Reply, Box<Outcome>> {
    conversation.send(format!("{line}\r\n").as_bytes())?;
    read_reply(conversation)
}

/// Says who we are: by EHLO, or HELO to a server that is too old for it.
///
/// # Errors
/// As [`read_reply`].
pub(crate) fn hello(conversation: &mut Conversation, name: &str) -> Result<Reply, Box<Outcome>> {
    let reply = command(conversation, &format!("EHLO {name}"))?;
    if reply.is_unknown_command() {
        return command(conversation, &format!("HELO {name}"));
    }
    Ok(reply)
}

/// Says that this was all. What the server answers changes nothing, but who does not wait for it
/// is a lost connection in the server's log.
pub(crate) fn quit(conversation: &mut Conversation) {
    conversation.hurry(PARTING);
    let _ = command(conversation, "QUIT");
}

/// The name to say hello with: this machine's if it is a full one, else the address that the
/// server sees (RFC 5321 section 4.1.3), since many servers refuse a bare word.
pub(crate) fn own_name(conversation: &Conversation) -> String {
    machine_name().unwrap_or_else(|| match conversation.local_ip() {
        Some(IpAddr::V4(ip)) => format!("[{ip}]"),
        Some(IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
        None => String::from("[127.0.0.1]"),
    })
}

/// proc_sys_kernel(5); elsewhere there is no such file, and no name.
fn machine_name() -> Option<String> {
    let path = Path::new("/proc/sys/kernel/hostname");
    let name = read_at_most(path, NAME_LEN_MAX as u64 + 1).ok()?;
    let name = std::str::from_utf8(&name).ok()?.trim_end();
    (is_domain(name) && name.contains('.')).then(|| name.to_string())
}

/// RFC 5321 section 4.5.3.1.2.
const NAME_LEN_MAX: usize = 255;

/// Whether a server can be told this name: a domain, or an address in square brackets.
pub(crate) fn is_name(name: &str) -> bool {
    let literal = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match literal {
        None => is_domain(name),
        Some(address) => match address.strip_prefix("IPv6:") {
            Some(v6) => matches!(v6.parse(), Ok(IpAddr::V6(_))),
            None => matches!(address.parse(), Ok(IpAddr::V4(_))),
        },
    }
}

/// RFC 5321 section 2.3.5. Underscores are not in it, and yet in use.
fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_in = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        (1..=63).contains(&label.len()) && label.bytes().all(is_in)
    };
    name.len() <= NAME_LEN_MAX && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_line_has_a_code_and_says_whether_more_follows() {
        for (line, expected) in [
            (
                &b"220 mail.example ESMTP"[..],
                Some((220, true, &b"mail.example ESMTP"[..])),
            ),
            (b"250-PIPELINING", Some((250, false, b"PIPELINING"))),
            (b"250", Some((250, true, b""))),
            (b"599 ", Some((599, true, b""))),
            (b"", None),
            (b"25", None),
            (b"2500 x", None),
            (b"150 x", None),
            (b"600 x", None),
            (b"25x x", None),
            (b"HTTP/1.1 400", None),
            (b"+OK", None),
        ] {
            assert_eq!(parse_line(line), expected, "{line:?}");
        }
    }

    #[test]
    fn no_line_panics() {
        let golden = b"250-mail.example Hello [192.0.2.1]";
        for len in 0..golden.len() {
            parse_line(&golden[..len]);
        }
        for at in 0..golden.len() {
            for flip in 1..=255 {
                let mut line = *golden;
                line[at] ^= flip;
                parse_line(&line);
            }
        }
    }

    #[test]
    fn names_are_domains_or_addresses_in_brackets() {
        for name in [
            "a",
            "lb1.example",
            "[192.0.2.1]",
            "[IPv6:::1]",
            "under_score.example",
        ] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "a..b",
            "a b",
            "a\r\nRSET",
            "[a]",
            "[::1]",
            "[IPv6:1.2.3.4]",
            "é",
        ] {
            assert!(!is_name(name), "{name:?}");
        }
        assert!(machine_name().is_none_or(|name| is_name(&name)));
    }
}
