//! Requests as a client sends them (RFC 9110, RFC 9112 section 3), without a body.
//!
//! Whatever comes from outside is checked when it is given, so that nothing can put a line of its
//! own into a request.
#![forbid(unsafe_code)]

use super::request::is_token;
use crate::error::Error;
use crate::wire::url::Url;

/// What a request says of who sends it.
const USER_AGENT: &str = concat!("failover/", env!("CARGO_PKG_VERSION"));

/// Header lines that a caller may add; a request for health needs one or two.
const HEADERS_MAX: usize = 32;

/// A header's value; servers take 8 KiB for all headers together.
const VALUE_LEN_MAX: usize = 4_096;

/// Headers that are made here, and would say the opposite if others did.
const OURS: [&str; 4] = ["Host", "Content-Length", "Transfer-Encoding", "Expect"];

/// A request, except for where it goes. By default a plain GET.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asking {
    method: Option<String>,
    host: Option<String>,
    headers: Vec<(String, String)>,
}

impl Asking {
    pub(crate) fn method(&self) -> &str {
        self.method.as_deref().unwrap_or("GET")
    }

    pub(crate) fn is_head(&self) -> bool {
        self.method() == "HEAD"
    }

    /// # Errors
    /// What is no method; CONNECT, which opens a tunnel instead of asking something.
    pub(crate) fn set_method(&mut self, method: &str) -> Result<(), Error> {
        if !is_token(method) || method == "CONNECT" {
            return Err(Error::invalid(format!(
                "{method:?} is not a method; expected a word such as GET, HEAD or OPTIONS"
            )));
        }
        self.method = Some(method.to_string());
        Ok(())
    }

    /// The header Host instead of what the URL says.
    ///
    /// # Errors
    /// What cannot be a host with or without a port.
    pub(crate) fn set_host(&mut self, host: &str) -> Result<(), Error> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if host.is_empty() || host.len() > 260 || !host.bytes().all(is_allowed) {
            return Err(Error::invalid(format!(
                "{host:?} cannot be a Host; expected a name or an address, perhaps with :PORT"
            )));
        }
        self.host = Some(host.to_string());
        Ok(())
    }

    /// One more header. User-Agent, Accept and Connection take the place of our own.
    ///
    /// # Errors
    /// What is no header; one that is made here; too many of them. The value is not quoted, since
    /// it may be a secret.
    pub(crate) fn add_header(&mut self, name: &str, value: &str) -> Result<(), Error> {
        if OURS.iter().any(|ours| ours.eq_ignore_ascii_case(name)) {
            return Err(Error::invalid(format!(
                "the header {name:?} cannot be given; expected another, or host for the Host"
            )));
        }
        if !is_token(name) {
            return Err(Error::invalid(format!(
                "{name:?} is not a header's name; expected a word such as Accept"
            )));
        }
        let is_allowed = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        if value.len() > VALUE_LEN_MAX || !value.bytes().all(is_allowed) {
            return Err(Error::invalid(format!(
                "the value of the header {name:?} cannot be sent; \
                 expected at most 4096 bytes without line ends and other control characters"
            )));
        }
        if self.headers.len() >= HEADERS_MAX {
            return Err(Error::invalid(format!(
                "the header {name:?} is one too many; expected at most {HEADERS_MAX}"
            )));
        }
        self.headers.push((name.to_string(), value.to_string()));
        Ok(())
    }

    /// The same for another server, which is told nothing that was meant for this one: neither
    /// headers, which may hold credentials, nor the host.
    pub(crate) fn elsewhere(&self) -> Asking {
        Asking {
            method: self.method.clone(),
            host: None,
            headers: Vec::new(),
        }
    }

    /// The same after a redirect with this status (RFC 9110 section 15.4): 303 always asks anew,
    /// 301 and 302 do after a POST.
    pub(crate) fn redirected(&self, status: u16) -> Asking {
        let asks_anew = match status {
            303 => !self.is_head(),
            301 | 302 => self.method() == "POST",
            _ => false,
        };
        let mut asking = self.clone();
        if asks_anew {
            asking.method = None;
        }
        asking
    }

    /// The bytes of the request.
    pub(crate) fn bytes(&self, url: &Url) -> Vec<u8> {
        let host = self.host.clone().unwrap_or_else(|| url.host_header());
        let mut text = format!(
            "{} {} HTTP/1.1\r\nHost: {host}\r\n",
            self.method(),
            url.target
        );
        let ours = [
            ("User-Agent", USER_AGENT),
            ("Accept", "*/*"),
            ("Connection", "close"),
        ];
        let mut line = |name: &str, value: &str| {
            for part in [name, ": ", value, "\r\n"] {
                text.push_str(part);
            }
        };
        for (name, value) in ours {
            let is_it = |(other, _): &(String, String)| other.eq_ignore_ascii_case(name);
            if !self.headers.iter().any(is_it) {
                line(name, value);
            }
        }
        // RFC 9110 section 8.6: these announce that there is no body.
        if let "POST" | "PUT" | "PATCH" = self.method() {
            line("Content-Length", "0");
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{Seen, examine};

    fn sent(asking: &Asking) -> String {
        let url = Url::parse("http://a:8080/b?c").unwrap();
        String::from_utf8(asking.bytes(&url)).unwrap()
    }

    #[test]
    fn a_request_is_what_our_own_server_understands() {
        let mut asking = Asking::default();
        let version = env!("CARGO_PKG_VERSION");
        let plain = format!(
            "GET /b?c HTTP/1.1\r\nHost: a:8080\r\nUser-Agent: failover/{version}\r\n\
             Accept: */*\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(sent(&asking), plain);
        asking.set_method("POST").unwrap();
        asking.set_host("www.example").unwrap();
        asking.add_header("accept", "text/plain").unwrap();
        asking.add_header("X-Y", "z é").unwrap();
        let text = sent(&asking);
        assert_eq!(
            text,
            format!(
                "POST /b?c HTTP/1.1\r\nHost: www.example\r\nUser-Agent: failover/{version}\r\n\
                 Connection: close\r\nContent-Length: 0\r\naccept: text/plain\r\nX-Y: z é\r\n\r\n"
            )
        );
        assert!(matches!(examine(text.as_bytes(), 0), Seen::Whole(_)));
    }

    #[test]
    fn nothing_puts_a_line_of_its_own_into_a_request() {
        let mut asking = Asking::default();
        for bad in ["a\r\nb", "a\nb", "a\rb", "a\0b", "", " ", "a b", "a:b/"] {
            assert!(asking.set_method(bad).is_err(), "{bad:?}");
            assert!(asking.set_host(bad).is_err(), "{bad:?}");
            assert!(asking.add_header(bad, "x").is_err(), "{bad:?}");
        }
        for bad in [
            "a\r\nb",
            "a\nb",
            "a\rb",
            "a\0b",
            "\u{7f}",
            &"x".repeat(VALUE_LEN_MAX + 1),
        ] {
            let message = asking.add_header("X", bad).unwrap_err().to_string();
            assert!(!message.contains(bad), "{message}");
        }
        assert!(asking.set_method("CONNECT").is_err());
        for ours in ["host", "CONTENT-LENGTH", "Transfer-Encoding", "expect"] {
            assert!(asking.add_header(ours, "x").is_err(), "{ours}");
        }
        assert_eq!(asking, Asking::default());
        for _ in 0..HEADERS_MAX {
            asking.add_header("X", "").unwrap();
        }
        assert!(asking.add_header("X", "").is_err());
    }

    #[test]
    fn a_redirect_keeps_or_changes_the_method_by_its_status() {
        let mut asking = Asking::default();
        for (method, status, after) in [
            ("GET", 302, "GET"),
            ("HEAD", 303, "HEAD"),
            ("OPTIONS", 303, "GET"),
            ("POST", 301, "GET"),
            ("POST", 302, "GET"),
            ("POST", 303, "GET"),
            ("POST", 307, "POST"),
            ("POST", 308, "POST"),
            ("PUT", 302, "PUT"),
        ] {
            asking.set_method(method).unwrap();
            assert_eq!(
                asking.redirected(status).method(),
                after,
                "{method} {status}"
            );
        }
        asking.add_header("Authorization", "secret").unwrap();
        asking.set_host("b").unwrap();
        assert!(!sent(&asking.elsewhere()).contains("secret"));
        assert!(sent(&asking.elsewhere()).contains("Host: a:8080\r\n"));
        assert!(sent(&asking.redirected(302)).contains("secret"));
    }
}
