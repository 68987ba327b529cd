//! URLs of HTTP (RFC 3986, RFC 9110 section 4.2.1): `http://HOST[:PORT][/PATH][?QUERY]`.
//!
//! A URL is taken as it is or refused with what is wrong; nothing is encoded or repaired. All of a
//! [`Url`] is printable ASCII without blanks, so that it can stand in a request as it is.
#![forbid(unsafe_code)]

use std::net::Ipv6Addr;

use crate::error::Error;
use crate::text::{cut, cut_last, joined};

/// The default port (RFC 9110 section 4.2.1).
const PORT: u16 = 80;

/// RFC 1035 allows 253 characters.
const HOST_LEN_MAX: usize = 253;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    /// A name, or an address without brackets; with its zone (`fe80::1%eth0`) if it has one.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Path and query as they stand in the request line.
    pub(crate) target: String,
}

impl Url {
    /// # Errors
    /// What cannot be a URL of HTTP, what is not asked for over plain TCP, and what has no place
    /// in a request: credentials, a fragment, characters that are to be percent-encoded.
    pub(crate) fn parse(text: &str) -> Result<Url, Error> {
        let Some((scheme, rest)) = cut(text, "://") else {
            return Err(not_a_url(text));
        };
        if scheme.eq_ignore_ascii_case("https") {
            return Err(Error::invalid(
                "https:// needs a build with the feature tls; `tls HOST:PORT` checks that TLS is \
                 spoken, `exec` can run a program that verifies",
            ));
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(not_a_url(text));
        }
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            // Not quoted: it may hold a password.
            return Err(Error::invalid(
                "a user or a password (what is before the @) has no place in a URL; \
                 expected a header Authorization",
            ));
        }
        let (host, port) = host_and_port(authority).ok_or_else(|| not_a_url(text))?;
        if port == 0 {
            return Err(Error::invalid(format!(
                "{text:?} has the port 0; expected 1 to 65535"
            )));
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Url {
            host,
            port,
            target: checked_target(format!("{slash}{target}"))?,
        })
    }

    /// Where a `Location` leads that came as an answer to this (RFC 3986 section 5.2). A fragment
    /// is left out: it is not sent.
    ///
    /// # Errors
    /// As [`Url::parse`].
    pub(crate) fn join(&self, location: &str) -> Result<Url, Error> {
        let location = location.split('#').next().unwrap_or_default();
        if has_scheme(location) {
            return Url::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            return Url::parse(&format!("http://{rest}"));
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let target = match location.bytes().next() {
            None => self.target.clone(),
            Some(b'/') => without_dots(location),
            Some(b'?') => format!("{path}{location}"),
            Some(_) => {
                let folder = cut_last(path, b'/').map_or("", |(folder, _)| folder);
                without_dots(&format!("{folder}/{location}"))
            }
        };
        Ok(Url {
            target: checked_target(target)?,
            ..self.clone()
        })
    }

    /// The value of the header `Host`. A zone means something on this machine only (RFC 6874).
    pub(crate) fn host_header(&self) -> String {
        let host = self.host.split('%').next().unwrap_or_default();
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_string()
        };
        if self.port == PORT {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// Whether both are on the same server, as far as the URL tells.
    pub(crate) fn has_origin_of(&self, other: &Url) -> bool {
        self.host.eq_ignore_ascii_case(&other.host) && self.port == other.port
    }
}

fn not_a_url(text: &str) -> Error {
    Error::invalid(format!(
        "{text:?} is not a URL; expected http://HOST[:PORT][/PATH][?QUERY], \
         with an IPv6 address in brackets"
    ))
}

fn checked_target(target: String) -> Result<String, Error> {
    if target.contains('#') {
        return Err(Error::invalid(format!(
            "{target:?} has a fragment (what follows the #), which is not sent; expected none"
        )));
    }
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Error::invalid(format!(
            "{target:?} has a blank, a control character or one beyond ASCII; \
             expected them percent-encoded"
        )));
    }
    Ok(target)
}

fn host_and_port(authority: &str) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            (address_of(address)?, port)
        }
        None => {
            let (name, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            if name.is_empty() || name.len() > HOST_LEN_MAX || !name.bytes().all(is_name) {
                return None;
            }
            (name.to_string(), port)
        }
    };
    if port.is_empty() {
        return Some((host, PORT));
    }
    let digits = port.strip_prefix(':')?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = digits.parse().ok().filter(|_| is_number)?;
    Some((host, port))
}

/// An IPv6 address, with its zone after `%25` as it has to be written or after `%` as it is.
fn address_of(text: &str) -> Option<String> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
        None => (text, None),
    };
    address.parse::<Ipv6Addr>().ok()?;
    let Some(zone) = zone else {
        return Some(address.to_string());
    };
    let is_zone = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_good = !zone.is_empty() && zone.len() <= HOST_LEN_MAX && zone.bytes().all(is_zone);
    is_good.then(|| format!("{address}%{zone}"))
}

/// RFC 3986 section 3.1: a scheme ends in the first colon, before any slash.
fn has_scheme(text: &str) -> bool {
    let end = text.find([':', '/', '?']);
    end.is_some_and(|end| text[end..].starts_with(':'))
}

/// RFC 3986 section 5.2.4, for a path that begins with a slash; a query stays as it is.
fn without_dots(target: &str) -> String {
    let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let is_folder = path.ends_with("/.") || path.ends_with("/..");
    let end = if is_folder && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{end}{query}", joined(kept, "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn the_parts_of_a_url_are_told() {
        for (text, host, port, target, header) in [
            ("http://a.example", "a.example", 80, "/", "a.example"),
            ("HTTP://A:80/b?c=d", "A", 80, "/b?c=d", "A"),
            ("http://a_b-c:8080?q", "a_b-c", 8080, "/?q", "a_b-c:8080"),
            (
                "http://192.0.2.1:1/%20//x@y:z",
                "192.0.2.1",
                1,
                "/%20//x@y:z",
                "192.0.2.1:1",
            ),
            (
                "http://[2001:db8::1]/",
                "2001:db8::1",
                80,
                "/",
                "[2001:db8::1]",
            ),
            ("http://[::1]:81", "::1", 81, "/", "[::1]:81"),
            (
                "http://[fe80::1%25eth0]/",
                "fe80::1%eth0",
                80,
                "/",
                "[fe80::1]",
            ),
            (
                "http://[fe80::1%eth0]:8/",
                "fe80::1%eth0",
                8,
                "/",
                "[fe80::1]:8",
            ),
        ] {
            let parsed = url(text);
            assert_eq!(
                (parsed.host.as_str(), parsed.port, parsed.target.as_str()),
                (host, port, target)
            );
            assert_eq!(parsed.host_header(), header);
        }
    }

    #[test]
    fn what_is_no_url_is_quoted_with_what_was_expected() {
        for bad in [
            "",
            "a.example",
            "a:80",
            "/path",
            "http:/a",
            "http:a",
            "ftp://a",
            "://a",
            "http://",
            "http:///x",
            "http://:80",
            "http://a:",
            "http://a:65536",
            "http://a:+1",
            "http://a:8x",
            "http://a b/",
            "http://é/",
            "http://a\n/",
            "http://a%41/",
            "http://::1/",
            "http://[::1",
            "http://[::1]x",
            "http://[a]/",
            "http://[::1%]/",
            "http://[::1%a/b]/",
            "http://[127.0.0.1]/",
            "http://a\\b/",
        ] {
            let message = Url::parse(bad).unwrap_err().to_string();
            let expected = format!("{bad:?} is not a URL; expected http://HOST");
            assert!(message.starts_with(&expected), "{bad}: {message}");
        }
        let message = Url::parse("http://a:0").unwrap_err().to_string();
        assert_eq!(
            message,
            "\"http://a:0\" has the port 0; expected 1 to 65535"
        );
        let long = format!("http://{}/", "a".repeat(254));
        assert!(Url::parse(&long).is_err());
    }

    #[test]
    fn what_has_no_place_in_a_request_is_refused() {
        for (text, words) in [
            ("http://a/b c", "expected them percent-encoded"),
            ("http://a/é", "expected them percent-encoded"),
            ("http://a/\r\nX: y", "expected them percent-encoded"),
            ("http://a/?\u{0}", "expected them percent-encoded"),
            ("http://a/b#c", "which is not sent; expected none"),
            ("http://a#c", "which is not sent; expected none"),
            (
                "https://a/",
                "https:// needs a build with the feature tls; `tls HOST:PORT`",
            ),
        ] {
            let message = Url::parse(text).unwrap_err().to_string();
            assert!(message.contains(words), "{text:?}: {message}");
        }
        let message = Url::parse("http://root:secret@a/").unwrap_err().to_string();
        assert!(!message.contains("secret") && message.contains("Authorization"));
    }

    #[test]
    fn a_location_is_resolved_where_it_stands() {
        let base = url("http://a:8080/b/c?d");
        for (location, host, port, target) in [
            ("", "a", 8080, "/b/c?d"),
            ("#f", "a", 8080, "/b/c?d"),
            ("/x/?y#f", "a", 8080, "/x/?y"),
            ("x", "a", 8080, "/b/x"),
            ("./x:y", "a", 8080, "/b/x:y"),
            ("../x", "a", 8080, "/x"),
            ("../../../x", "a", 8080, "/x"),
            (".", "a", 8080, "/b/"),
            ("..", "a", 8080, "/"),
            ("/x/./y/../z/..?a/../b", "a", 8080, "/x/?a/../b"),
            ("?x", "a", 8080, "/b/c?x"),
            ("//e/x", "e", 80, "/x"),
            ("http://e:1#f", "e", 1, "/"),
        ] {
            let to = base.join(location).unwrap();
            let parts = (to.host.as_str(), to.port, to.target.as_str());
            assert_eq!(parts, (host, port, target), "{location:?}");
        }
        for bad in [
            "https://a/",
            "mailto:a",
            "x:1",
            "//",
            "/a b",
            "http://u@a/",
            "/\u{e9}",
        ] {
            assert!(base.join(bad).is_err(), "{bad:?}");
        }
        assert!(base.join("/x").unwrap().has_origin_of(&base));
        assert!(!base.join("//a/x").unwrap().has_origin_of(&base));
    }

    #[test]
    fn no_text_brings_it_down() {
        let golden = "http://[fe80::1%25eth0]:8080/a/../b?c=%20";
        let base = url("http://a/b/c");
        for len in 0..golden.len() {
            let _ = Url::parse(&golden[..len]);
            let _ = base.join(&golden[..len]);
        }
        for position in 0..golden.len() {
            for byte in 0..=255 {
                let mut flipped = golden.as_bytes().to_vec();
                flipped[position] = byte;
                let flipped = String::from_utf8_lossy(&flipped);
                let _ = Url::parse(&flipped);
                if let Ok(to) = base.join(&flipped) {
                    assert!(to.target.starts_with('/'), "{flipped:?}");
                }
            }
        }
    }
}
