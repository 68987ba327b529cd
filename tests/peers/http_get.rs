//! keepalived's HTTP_GET, byte for byte.
//!
//! What it sends was read from `http_request` in keepalived/check/check_http.c of 1.3.5 to 2.4.3:
//! one `send` of a request line, a fixed User-Agent, for `http_protocol` 1.0C and 1.1 also
//! `Connection: close`, and last a Host. That is the virtualhost as it was configured or, without
//! one, the address and the port that are checked, an IPv6 address in brackets. Its checker itself
//! would need a kernel with IPVS.

use std::net::{SocketAddr, TcpListener};

use crate::service::Service;
use crate::support::{Failover, Folder, ask, command, program, skip};

/// The values of `http_protocol`, by the version and the header that they bring about.
const PROTOCOLS: [(&str, &str); 3] = [
    ("1.0", ""),
    ("1.0", "Connection: close\r\n"),
    ("1.1", "Connection: close\r\n"),
];

const VIRTUALHOSTS: [&str; 4] = [
    "www.example.org",
    "www.example.org:8080",
    "192.0.2.1",
    "[2001:db8::1]",
];

/// What is expected at the paths of [`serve`].
const EXPECTED: [(&str, &str, &str); 3] = [
    ("/web", "200 OK", "OK"),
    ("/gone", "503 FAIL", "FAIL"),
    // The default component.
    ("/", "200 OK", "OK"),
];

fn serve(listen: &str, up: &Service, down: &Service) -> Failover {
    let config = format!("  default web\ncomponent web\n tcp {up}\ncomponent gone\n tcp {down}");
    Failover::serve_by(command(program()), listen, &config, Folder::new("get"))
}

fn requests(path: &str, address: SocketAddr) -> Vec<String> {
    // An address with its port prints as keepalived's two templates make it.
    let mut hosts = vec![address.to_string()];
    hosts.extend(VIRTUALHOSTS.map(String::from));
    let mut requests = Vec::new();
    for (version, connection) in PROTOCOLS {
        for host in &hosts {
            requests.push(format!(
                "GET {path} HTTP/{version}\r\n\
                 User-Agent: KeepAliveClient\r\n\
                 {connection}Host: {host}\r\n\r\n"
            ));
        }
    }
    requests
}

fn answers_all_at(listen: &str) {
    let up = Service::start();
    let mut down = Service::start();
    down.stop();
    let failover = serve(listen, &up, &down);
    for (path, status, body) in EXPECTED {
        let expected = format!(
            "HTTP/1.0 {status}\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {}\r\n\
             Connection: close\r\n\
             Cache-Control: no-store\r\n\r\n{body}",
            body.len()
        );
        for request in requests(path, failover.address) {
            // Fails if the connection is reset instead of closed.
            let answer = ask(failover.address, request.as_bytes())
                .unwrap_or_else(|error| panic!("{request:?}: {error}"));
            assert_eq!(String::from_utf8_lossy(&answer), expected, "{request:?}");
        }
    }
}

#[test]
fn every_form_of_keepaliveds_http_get_is_answered_over_ipv4() {
    answers_all_at("127.0.0.1:0");
}

#[test]
fn every_form_of_keepaliveds_http_get_is_answered_over_ipv6() {
    if let Err(error) = TcpListener::bind("[::1]:0") {
        return skip("IPv6", &format!("[::1]: {error}"));
    }
    answers_all_at("[::1]:0");
}
