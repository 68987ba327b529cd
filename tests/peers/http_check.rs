//! Our HTTP check asks nginx and HAProxy, each on a port that it was handed as an open listener.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use failover::{Check, Health, HttpCheck, Side, second};

use crate::support::{Folder, Peer, ask, command, free_port, need, wait_until};

/// A check with time enough.
fn check_of(address: SocketAddr, path: &str) -> HttpCheck {
    HttpCheck::new(&format!("http://{address}{path}"), second(10)).unwrap()
}

#[track_caller]
fn assert_outcome(mut check: HttpCheck, expected: &str) {
    let outcome = check.check();
    assert_eq!(
        format!("{:?} {outcome}", outcome.health),
        expected,
        "{check:?}"
    );
}

/// So that what is read in chunks here is known to be sent in chunks.
#[track_caller]
fn assert_is_chunked(address: SocketAddr, path: &str) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answer = ask(address, request.as_bytes()).unwrap();
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(
        answer.contains("\r\ntransfer-encoding: chunked\r\n"),
        "{answer}"
    );
}

/// Waits until the peer answers at all.
fn await_answer(address: SocketAddr, peer: &Peer) {
    let mut check = check_of(address, "/").expect_status("100-999").unwrap();
    wait_until("an answer", &[peer], || {
        let outcome = check.check();
        let is_there = outcome.health == Health::Ok;
        is_there.then_some(()).ok_or(outcome.to_string())
    });
}

/// nginx on a free port: it takes no listener from others but an nginx.
/// With it comes where it logs errors.
fn nginx(program: &Path) -> (Peer, SocketAddr, PathBuf) {
    let folder = Folder::new("nginx");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    folder.write("page", "hello from nginx\n");
    folder.write("big", &format!("begin{}end", "x".repeat(200_000)));
    let root = folder.path().display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path {root}/{name};\n"))
        .collect();
    let config = format!(
        "daemon off;\nmaster_process off;\npid {root}/pid;\nerror_log {root}/errors info;\n\
         events {{}}\n\
         http {{\n{temporary}\
         \x20   access_log off;\n\
         \x20   gzip off;\n\
         \x20   server {{\n\
         \x20       listen {address};\n\
         \x20       root {root};\n\
         \x20       absolute_redirect off;\n\
         \x20       location = / {{ return 204; }}\n\
         \x20       location = /down {{ return 503 'closed for today'; }}\n\
         \x20       location = /moved {{ return 302 page; }}\n\
         \x20       location = /tls {{ return 301 https://$host/; }}\n\
         \x20       location = /chunked {{\n\
         \x20           ssi on;\n\
         \x20           ssi_types *;\n\
         \x20           try_files /page =404;\n\
         \x20       }}\n\
         \x20       location = /health {{\n\
         \x20           default_type application/health+json;\n\
         \x20           return 200 '{{\"status\":\"warn\",\"output\":\"91 %\",\"n\":[7]}}';\n\
         \x20       }}\n\
         \x20       location = /host {{ return 200 $http_host; }}\n\
         \x20   }}\n\
         }}\n"
    );
    let (config, errors) = (folder.write("nginx.conf", &config), folder.file("errors"));
    let mut nginx = command(program);
    nginx
        .arg("-p")
        .arg(&root)
        .arg("-e")
        .arg(&errors)
        .arg("-c")
        .arg(config);
    let peer = Peer::start("nginx", nginx, folder);
    await_answer(address, &peer);
    (peer, address, errors)
}

#[test]
fn nginx_is_understood() {
    let Some(program) = need("nginx") else {
        return;
    };
    let (_peer, address, errors) = nginx(&program);
    let check = |path| check_of(address, path);
    assert_outcome(check("/"), "Ok http answered: 204 No Content");
    assert_outcome(check("/page"), "Ok http answered: 200 OK");
    let hello = || check("/page").expect_body("hello from nginx").unwrap();
    assert_outcome(hello(), "Ok http answered: 200 OK");
    let head = |path| check(path).method("HEAD").unwrap();
    assert_outcome(head("/page"), "Ok http answered: 200 OK");
    assert_outcome(
        head("/gone"),
        "Fail http status not expected: 404 Not Found",
    );
    assert_outcome(
        check("/down"),
        "Fail http status not expected: 503 Service Temporarily Unavailable: closed for today",
    );
    let gone = check("/gone").check();
    assert!(gone.detail.starts_with("404 Not Found: <html>"), "{gone}");
    // A page with parts to be filled in has no length that could be told before.
    assert_is_chunked(address, "/chunked");
    assert_outcome(
        check("/chunked").expect_body("hello from nginx").unwrap(),
        "Ok http answered: 200 OK",
    );
    let post = check("/page").method("POST").unwrap().check();
    assert!(post.detail.starts_with("405 Not Allowed"), "{post}");
    assert_outcome(
        check("/host")
            .host("www.example:81")
            .unwrap()
            .expect_body("www.example:81")
            .unwrap(),
        "Ok http answered: 200 OK",
    );
    // At its level info it would log a client that went away in the middle.
    let log = fs::read_to_string(errors).unwrap();
    assert!(
        !log.contains("prematurely") && !log.contains("reset"),
        "{log}"
    );
    assert_outcome(
        check("/big").expect_body("begin").unwrap(),
        "Ok http answered: 200 OK",
    );
    let long = check("/big").expect_body("end").unwrap().check();
    assert_eq!(long.reason.words(), "answer too long", "{long}");
}

#[test]
fn nginxs_redirects_and_health_are_understood() {
    let Some(program) = need("nginx") else {
        return;
    };
    let (_peer, address, _) = nginx(&program);
    let check = |path| check_of(address, path);
    let moved = check("/moved").check();
    assert!(moved.detail.starts_with("302 Moved Temporarily"), "{moved}");
    let follow = |path| check(path).follow(1).unwrap();
    assert_outcome(
        follow("/moved").expect_body("hello").unwrap(),
        "Ok http answered: 200 OK",
    );
    assert_outcome(
        follow("/tls"),
        "Fail http redirect refused: 301 Moved Permanently to https://127.0.0.1/",
    );
    assert_outcome(check("/health"), "Warn http says warn: 91 %");
    assert_outcome(
        check("/health").value("n.0", Side::Below, 7.0).unwrap(),
        "Fail value beyond limit: n.0 is 7, expected below 7",
    );
}

#[test]
fn haproxy_is_understood() {
    let Some(program) = need("haproxy") else {
        return;
    };
    let folder = Folder::new("haproxy-http");
    let config = folder.write(
        "haproxy.cfg",
        "defaults\n\
         \x20   mode http\n\
         \x20   timeout connect 10s\n\
         \x20   timeout client 30s\n\
         \x20   timeout server 30s\n\
         frontend front\n\
         \x20   bind fd@0\n\
         \x20   stats enable\n\
         \x20   stats uri /stats\n\
         \x20   http-request return status 503 content-type text/plain string busy if \
         { path /busy }\n\
         \x20   http-request return status 200 content-type text/plain string fine if \
         { path /fine }\n\
         \x20   http-request redirect location /fine if { path /moved }\n",
    );
    let front = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = front.local_addr().unwrap();
    let mut haproxy = command(&program);
    haproxy.arg("-db").arg("-f").arg(config);
    haproxy.stdin(OwnedFd::from(front));
    let peer = Peer::start("haproxy", haproxy, folder);
    await_answer(address, &peer);
    let check = |path| check_of(address, path);
    assert_outcome(
        check("/fine").expect_body("fine").unwrap(),
        "Ok http answered: 200 OK",
    );
    assert_outcome(
        check("/busy"),
        "Fail http status not expected: 503 Service Unavailable: busy",
    );
    // Without a backend there is only its own page for that.
    let nobody = check("/").check();
    assert!(
        nobody.detail.starts_with("503 Service Unavailable: <html>"),
        "{nobody}"
    );
    assert_is_chunked(address, "/stats");
    assert_outcome(
        check("/stats")
            .expect_body("Statistics Report for HAProxy")
            .unwrap(),
        "Ok http answered: 200 OK",
    );
    assert_outcome(
        check("/moved").follow(1).unwrap(),
        "Ok http answered: 200 OK",
    );
}
