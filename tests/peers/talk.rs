//! The checks that talk, against what they are made for: Redis, nginx, OpenSSL, Exim, dnsmasq.
//!
//! What a server makes of us is read from its log: a check that runs every few seconds must not
//! fill it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use failover::{Check, DnsCheck, Health, SmtpCheck, TcpCheck, TlsCheck, second};

use crate::support::{Folder, Peer, command, free_port, need, said, skip, wait_until};

/// Runs a check until it passes, which is when its peer has started, and says what it said.
fn passes(check: &mut dyn Check, peer: &Peer) -> String {
    wait_until("a check that passes", &[peer], || {
        let outcome = check.check();
        let is_ok = outcome.health == Health::Ok;
        is_ok
            .then(|| outcome.to_string())
            .ok_or(outcome.to_string())
    })
}

#[track_caller]
fn assert_says(check: &mut dyn Check, health: Health, words: &str) {
    let outcome = check.check();
    assert_eq!(
        (outcome.health, outcome.to_string()),
        (health, words.to_string())
    );
}

fn redis(program: &Path, port: u16, more: &[&str]) -> Peer {
    let mut redis = command(program);
    redis.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    redis.args(["--save", "", "--daemonize", "no"]).args(more);
    Peer::start("redis", redis, Folder::new("redis"))
}

#[test]
fn redis_answers_a_ping() {
    let Some(program) = need("redis-server") else {
        return;
    };
    let ping = |port| {
        let check = TcpCheck::new("127.0.0.1", port, second(10)).unwrap();
        check.send("PING\r\n").unwrap()
    };
    let port = free_port();
    let open = redis(&program, port, &[]);
    let mut check = ping(port).expect("+PONG\r\n").unwrap();
    let found = passes(&mut check, &open);
    assert_eq!(found, format!("text found: 127.0.0.1:{port}"));
    let said_before = open.log();
    for _ in 0..10 {
        assert_says(&mut check, Health::Ok, &found);
    }
    let alone = format!("tcp connected: 127.0.0.1:{port}");
    assert_says(&mut ping(port), Health::Ok, &alone);
    assert_eq!(open.log(), said_before);
    // It says no, and keeps the connection.
    let port = free_port();
    let locked = redis(&program, port, &["--requirepass", "secret"]);
    passes(&mut ping(port), &locked);
    let mut check = ping(port).send("PING\r\nQUIT\r\n").unwrap();
    check = check.expect("+PONG").unwrap();
    let outcome = check.check().to_string();
    assert!(outcome.starts_with("text missing: -NOAUTH"), "{outcome}");
}

/// A key and a certificate of its own, of this kind.
fn make_certificate(openssl: &Path, folder: &Folder, kind: &[&str]) {
    let mut make = command(openssl);
    make.args([
        "req",
        "-x509",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]);
    make.args(["-keyout", "key.pem", "-out", "cert.pem", "-newkey"]);
    said(make.args(kind).current_dir(folder.path()));
}

const EC_KEY: [&str; 3] = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

#[test]
fn nginx_speaks_tls_and_logs_nothing() {
    let (Some(program), Some(openssl)) = (need("nginx"), need("openssl")) else {
        return;
    };
    let folder = Folder::new("nginx");
    make_certificate(&openssl, &folder, &EC_KEY);
    let [both, newest, plain] = [free_port(), free_port(), free_port()];
    let certificate = "ssl_certificate cert.pem; ssl_certificate_key key.pem;";
    let config = format!(
        "daemon off; master_process off; pid pid; error_log errors;\n\
         events {{}}\n\
         http {{\n\
             ssl_protocols TLSv1.2 TLSv1.3;\n\
             access_log off; client_body_temp_path b; proxy_temp_path p;\n\
             fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\n\
             server {{ listen 127.0.0.1:{both} ssl; {certificate} }}\n\
             server {{ listen 127.0.0.1:{newest} ssl; ssl_protocols TLSv1.3; {certificate} }}\n\
             server {{ listen 127.0.0.1:{plain}; }}\n\
         }}\n"
    );
    let config = folder.write("nginx.conf", &config);
    let errors = folder.file("errors");
    let mut nginx = command(program);
    nginx.arg("-p").arg(folder.path()).arg("-c").arg(config);
    nginx.arg("-e").arg(&errors);
    let nginx = Peer::start("nginx", nginx, folder);
    let check = |port| TlsCheck::new("localhost", port, second(10)).unwrap();
    let found = passes(&mut check(both), &nginx);
    assert_eq!(found, "tls spoken: TLS 1.2");
    let newest_only = "tls spoken: alert protocol version: TLS 1.3 only";
    let http = "tls not spoken: plain HTTP: HTTP/1.1 400 Bad Request";
    for _ in 0..10 {
        assert_says(&mut check(both), Health::Ok, &found);
        assert_says(&mut check(newest), Health::Ok, newest_only);
        assert_says(&mut check(plain), Health::Fail, http);
    }
    // At its default level.
    assert_eq!(fs::read_to_string(errors).unwrap(), "");
}

#[test]
fn openssl_understands_the_hello_with_either_kind_of_key() {
    let Some(openssl) = need("openssl") else {
        return;
    };
    let serve = |kind: &[&str], more: &[&str]| {
        let folder = Folder::new("openssl");
        make_certificate(&openssl, &folder, kind);
        let port = free_port();
        let mut server = command(&openssl);
        server.args(["s_server", "-accept", &format!("127.0.0.1:{port}")]);
        // It would end with its input otherwise.
        server.args(["-www", "-cert", "cert.pem", "-key", "key.pem"]);
        let server = Peer::start(
            "openssl",
            {
                server.args(more);
                server
            },
            folder,
        );
        let mut reached = TcpCheck::new("127.0.0.1", port, second(10)).unwrap();
        passes(&mut reached, &server);
        (
            server,
            TlsCheck::new("127.0.0.1", port, second(10)).unwrap(),
        )
    };
    for kind in [&EC_KEY[..], &["rsa:2048"], &["ed25519"]] {
        let (_server, mut check) = serve(kind, &["-tls1_2"]);
        assert_says(&mut check, Health::Ok, "tls spoken: TLS 1.2");
    }
    // Without forward secrecy, as old appliances have it.
    let (_server, mut check) = serve(&["rsa:2048"], &["-tls1_2", "-cipher", "AES128-SHA"]);
    assert_says(&mut check, Health::Ok, "tls spoken: TLS 1.2");
    // A server for another name that insists on it, and one that shares no suite with us.
    let names = ["-servername", "mail.example", "-servername_fatal"];
    let with_name = [&["-cert2", "cert.pem", "-key2", "key.pem"], &names[..]].concat();
    let (_server, check) = serve(&EC_KEY, &with_name);
    let mut other = check.clone().sni("www.example").unwrap();
    assert_says(&mut other, Health::Fail, "tls alert: 112 unrecognized_name");
    let mut right = check.sni("mail.example").unwrap();
    assert_says(&mut right, Health::Ok, "tls spoken: TLS 1.2");
    let (_server, mut check) = serve(&EC_KEY, &["-tls1_2", "-cipher", "CAMELLIA128-SHA"]);
    assert_says(&mut check, Health::Fail, "tls alert: 40 handshake_failure");
}

#[test]
fn exim_sees_an_ordinary_session() {
    let Some(program) = need("exim4") else {
        return;
    };
    let folder = Folder::new("exim");
    // It becomes a user of its own, whichever that is here.
    let spool = folder.file("spool");
    fs::create_dir(&spool).unwrap();
    fs::set_permissions(&spool, PermissionsExt::from_mode(0o777)).unwrap();
    let config = format!(
        "primary_hostname = mail.example\n\
         keep_environment =\n\
         tls_advertise_hosts =\n\
         spool_directory = {spool}\n\
         log_file_path = {spool}/%slog\n\
         log_selector = +all\n\
         helo_verify_hosts = *\n",
        spool = spool.display()
    );
    let config = folder.write("exim.conf", &config);
    let port = free_port();
    let mut exim = command(program);
    exim.arg("-C").arg(config);
    exim.args(["-bdf", "-oX", &format!("127.0.0.1.{port}")]);
    let exim = Peer::start("exim4", exim, folder);
    let reached = wait_until("exim4 to listen, or to refuse", &[], || {
        let log = exim.log();
        let is_refused = log.contains("permission denied");
        let mut reached = TcpCheck::new("127.0.0.1", port, second(10)).unwrap();
        let is_up = reached.check().health == Health::Ok;
        (is_up || is_refused).then_some(is_up).ok_or(log)
    });
    if !reached {
        return skip("an exim4 of our own", "only root may start one");
    }
    let check = |host: &str| SmtpCheck::new(host, port, second(30)).unwrap();
    let outcome = check("127.0.0.1").check();
    assert_eq!(outcome.health, Health::Ok, "{outcome}");
    assert!(outcome.detail.starts_with("220 mail.example ESMTP Exim"));
    // It does not believe that we are this one.
    let outcome = check("localhost").helo("lb1.example").unwrap().check();
    let words = outcome.to_string();
    assert!(words.starts_with("smtp refused: 550"), "{words}");
    let log = wait_until("two sessions in its log", &[&exim], || {
        let log = fs::read_to_string(spool.join("mainlog")).unwrap_or_default();
        let is_whole = log.matches("closed by QUIT").count() >= 2;
        is_whole.then(|| log.clone()).ok_or(log)
    });
    for bad in ["error", "unexpected", "HELO,"] {
        assert!(!log.contains(bad), "{bad}: {log}");
    }
    let mut greeted = TcpCheck::new("127.0.0.1", port, second(10)).unwrap();
    greeted = greeted.expect("220 mail.example ESMTP").unwrap();
    assert_eq!(greeted.check().reason.words(), "text found");
    let mut imap = greeted.send("QUIT\r\n").unwrap().expect("* OK").unwrap();
    let outcome = imap.check();
    assert!(
        outcome.to_string().starts_with("text missing: "),
        "{outcome}"
    );
}

/// dnsmasq for the zone `example`, and nothing else.
fn dnsmasq(program: &Path, port: u16) -> Peer {
    let text = "t".repeat(250);
    let mut dnsmasq = command(program);
    dnsmasq.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--listen-address=127.0.0.1",
        "--bind-interfaces",
        "--no-resolv",
        "--no-hosts",
        "--log-facility=-",
        "--pid-file=",
        "--user=root",
        "--local=/example/",
        "--host-record=www.example,192.0.2.1,2001:db8::1",
        "--cname=alias.example,www.example",
        "--cname=lost.example,www.elsewhere",
        "--mx-host=example,mail.example,10",
        "--mx-host=example,backup.example,20",
        "--srv-host=_db._tcp.example,db.example,5432,1,2",
        "--ptr-record=1.2.0.192.in-addr.arpa,www.example",
        "--txt-record=example,v=spf1 -all",
        // Name, type NS or SOA, and the bytes.
        "--dns-rr=example,2,026e73076578616d706c6500",
        "--dns-rr=example,6,026e73000161000000000100000002000000030000000400000005",
    ]);
    dnsmasq.arg(format!("--port={port}"));
    dnsmasq.arg(format!(
        "--txt-record=big.example{}",
        format!(",{text}").repeat(8)
    ));
    Peer::start("dnsmasq", dnsmasq, Folder::new("dnsmasq"))
}

#[test]
fn dnsmasq_answers_for_every_type() {
    let Some(program) = need("dnsmasq") else {
        return;
    };
    let port = free_port();
    let server = dnsmasq(&program, port);
    let ask = |name: &str, kind: &str| {
        let check = DnsCheck::new(name, second(10)).unwrap();
        let check = check.server("127.0.0.1", port).unwrap();
        check.record_type(kind).unwrap()
    };
    passes(&mut ask("www.example", "A"), &server);
    for (name, kind, record) in [
        ("www.example", "A", "192.0.2.1"),
        ("WWW.example.", "aaaa", "2001:DB8:0::1"),
        ("alias.example", "A", "192.0.2.1"),
        ("alias.example", "CNAME", "WWW.example"),
        ("example", "MX", "20 backup.example"),
        ("example", "TXT", "v=spf1 -all"),
        ("example", "NS", "ns.example."),
        ("example", "SOA", "ns. a. 1 2 3 4 5"),
        ("_db._tcp.example", "SRV", "1 2 5432 db.example"),
        ("192.0.2.1", "PTR", "www.example"),
        ("big.example", "TXT", &"t".repeat(2_000)),
    ] {
        let outcome = ask(name, kind).expect(record).unwrap().check();
        assert_eq!(
            outcome.reason.words(),
            "dns answered",
            "{name} {kind}: {outcome}"
        );
        let outcome = ask(name, kind).expect("other").unwrap().check();
        let words = outcome.reason.words();
        assert_eq!(words, "dns answer not expected", "{name} {kind}: {outcome}");
    }
    for (name, kind, words) in [
        ("gone.example", "A", "dns no such name: gone.example A"),
        ("www.example", "MX", "dns no record: www.example MX"),
        ("www.elsewhere", "A", "dns refused: www.elsewhere A"),
    ] {
        assert_says(&mut ask(name, kind), Health::Fail, words);
    }
    drop(server);
    let unreachable = format!("dns server unreachable: 127.0.0.1:{port}");
    assert_says(&mut ask("www.example", "A"), Health::Fail, &unreachable);
}
