//! HTTP/1.0 and 1.1 as bytes (RFC 9110, RFC 9112, RFC 1945).
//!
//! For a server: requests as they come, and answers to send. For a client: requests to send, and
//! answers as they come.
#![forbid(unsafe_code)]

mod asking;
mod body;
mod request;
mod response;
mod target;

pub(crate) use asking::Asking;
pub(crate) use body::{Body, Progress};
pub(crate) use request::{HEAD_BYTES_MAX, Head, Refusal, Request, Seen, examine, is_head};
pub(crate) use response::{ANSWER_HEAD_BYTES_MAX, AnswerHead, Framing, examine_answer};
pub(crate) use target::{percent_decoded, query as target_query};

/// Sent before the body to a client that waits for it.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A line that may end in a bare line feed or in both, without them.
fn without_return(line: &str) -> &str {
    match line.as_bytes() {
        [.., b'\r'] => &line[..line.len() - 1],
        _ => line,
    }
}

/// What stands before the first such byte, and what behind it. std's way looks for characters,
/// which takes several times as long for the few bytes of a line.
fn cut(text: &str, at: u8) -> Option<(&str, &str)> {
    let place = text.bytes().position(|byte| byte == at)?;
    Some((&text[..place], &text[place + 1..]))
}

/// The words of a status line (RFC 9110 section 15).
fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Other",
    }
}

/// An answer in plain text, ready to be written at once. `extra` is whole header lines.
pub(crate) fn answer(status: u16, extra: &str, text: &str) -> Vec<u8> {
    answer_as(status, "text/plain; charset=utf-8", extra, text)
}

/// The same of another media type.
pub(crate) fn answer_as(status: u16, media_type: &str, extra: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.0 {status} {}\r\nContent-Type: {media_type}\r\n\
         Content-Length: {}\r\nConnection: close\r\nCache-Control: no-store\r\n{extra}\r\n{body}",
        phrase(status),
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_its_exact_length() {
        assert_eq!(
            String::from_utf8(answer(405, "Allow: GET\r\n", "no")).unwrap(),
            "HTTP/1.0 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: 2\r\nConnection: close\r\nCache-Control: no-store\r\n\
             Allow: GET\r\n\r\nno"
        );
    }
}
