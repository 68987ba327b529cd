//! `/metrics`, `/-/status`, and the administrator behind them.
#![forbid(unsafe_code)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::super::metrics::METRICS;
use super::*;
use crate::auth::TokenFile;
use crate::component::Layer;
use crate::decide::oneshot::Oneshot;
use crate::health::State;
use crate::server::admin::{Admin, Config};

#[test]
fn metrics_are_as_they_are_promised() {
    let site = Site::new(&[
        ("mail", Health::Fail, about()),
        ("web", Health::Ok, about()),
    ]);
    site.add("asked", Box::new(|| true), None, about());
    site.run();
    let (status, text) = site.get("/metrics");
    assert_eq!(status, 200);
    let samples: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| match line.split_once(' ') {
            Some((name, seconds)) if name.contains("time") && seconds.len() == 10 => {
                format!("{name} WALL")
            }
            _ => line.to_string(),
        })
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        r#"failover_build_info{{version="{version}"}} 1
failover_start_time_seconds WALL
failover_live 1
failover_config_generation 1
failover_config_last_reload_successful 1
failover_http_requests_total 1
failover_connections_held 1
failover_connections_refused_total 0
failover_events_dropped_total 0
failover_component_state{{component="asked"}} -1
failover_component_state{{component="mail"}} 0
failover_component_state{{component="web"}} 1
failover_component_transitions_total{{component="asked"}} 0
failover_component_transitions_total{{component="mail"}} 1
failover_component_transitions_total{{component="web"}} 1
failover_component_last_change_timestamp_seconds{{component="asked"}} WALL
failover_component_last_change_timestamp_seconds{{component="mail"}} WALL
failover_component_last_change_timestamp_seconds{{component="web"}} WALL
failover_component_maintenance{{component="asked"}} 0
failover_component_maintenance{{component="mail"}} 0
failover_component_maintenance{{component="web"}} 0
failover_check_up{{component="mail"}} 0
failover_check_up{{component="web"}} 1
failover_check_runs_total{{component="asked"}} 0
failover_check_runs_total{{component="mail"}} 2
failover_check_runs_total{{component="web"}} 2
failover_check_failures_total{{component="asked"}} 0
failover_check_failures_total{{component="mail"}} 2
failover_check_failures_total{{component="web"}} 0
failover_check_indeterminate_total{{component="asked"}} 0
failover_check_indeterminate_total{{component="mail"}} 0
failover_check_indeterminate_total{{component="web"}} 0
failover_check_skipped_total{{component="asked"}} 0
failover_check_skipped_total{{component="mail"}} 0
failover_check_skipped_total{{component="web"}} 0
failover_check_duration_seconds{{component="mail"}} 0
failover_check_duration_seconds{{component="web"}} 0"#
    );
    assert_eq!(samples.join("\n"), expected);
}

#[test]
fn every_metric_has_one_help_and_one_type_before_its_samples() {
    let site = Site::new(&[("a", Health::Ok, about())]);
    let (_, text) = site.get("/metrics");
    let mut expected = Vec::new();
    for (name, kind, help) in METRICS {
        assert!(["gauge", "counter"].contains(kind));
        assert_eq!(*kind == "counter", name.ends_with("_total"), "{name}");
        assert!(!help.contains(['\\', '\n']), "{name} would need escaping");
        expected.push(format!(
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name}"
        ));
    }
    let families: Vec<&str> = text.split("# HELP ").skip(1).collect();
    assert_eq!(families.len(), expected.len());
    for (family, expected) in families.iter().zip(expected) {
        assert!(
            format!("# HELP {family}").starts_with(&expected),
            "{family}"
        );
    }
}

#[test]
fn the_status_has_every_key_and_is_json_whatever_it_holds() {
    let described = About {
        asks: String::from("tcp 192.0.2.1:25"),
        every: Some(Duration::from_millis(2_500)),
        layer: Some(Layer::Business),
        why: String::from("\"because\""),
        manual_reset: true,
        depends_on: vec![String::from("dns")],
        ..about()
    };
    let site = Site::new(&[
        ("dns", Health::Fail, optional()),
        ("mail", Health::Fail, described),
    ]);
    site.ask("GET /mail HTTP/1.0\r\nX-Haproxy-Server-State: UP 2/3; <b>\r\n\r\n");
    site.say("mail", Outcome::from(true).with_detail("</script>"));
    site.run();
    site.say("mail", Outcome::from(false).with_detail("</script>"));
    site.run();
    let (_, body) = site.get("/-/status");
    let version = env!("CARGO_PKG_VERSION");
    let pid = std::process::id();
    let text = masked(&body);
    let (begin, rest) = text.split_once(r#""uptime_s":"#).unwrap();
    assert_eq!(
        begin,
        format!(r#"{{"name":"failover","version":"{version}","pid":{pid},"#)
    );
    let (_, rest) = rest.split_once(',').unwrap();
    let (rest, mail) = rest.split_once(r#"{"name":"mail","#).unwrap();
    let begins = joined(
        r#""generation":1,"now":"DATE","live":true,"state":"fail","config":{"file":null,
           "error":null},"components":[{"name":"dns","state":"fail""#,
    );
    assert!(rest.starts_with(&begins), "{rest}");
    let expected = joined(
        r#""state":"fail","phase":"unhealthy","health":"fail","reason":"said fail",
           "detail":"\u003c/script>","since":"DATE","since_s":0,"took_ms":0,"runs":3,
           "failures":2,"unknowns":0,"skipped":0,"changes":3,"disagreeing":0,"disagreeing_s":0,
           "needed":null,"asks":"tcp 192.0.2.1:25","every_s":2.5,"layer":"business",
           "why":"\"because\"","critical":true,"members":[],"depends_on":["dns"],
           "blamed":"dns","maint":null,"manual_reset":true,"heartbeat":false,
           "balancer":{"at":"DATE","text":"UP 2/3; \u003cb>"},"history":[["fail",0],["ok",0],
           ["fail",0]]}]}"#,
    );
    assert_eq!(mail, expected);
}

/// An administrator's ears: what it was asked for.
#[derive(Default)]
struct Recorded(Mutex<Vec<String>>);

impl Admin for Recorded {
    fn reload(&self) -> Result<u64, String> {
        let mut asked = locked(&self.0);
        asked.push(String::from("reload"));
        match asked.len() {
            1 => Ok(7),
            _ => Err(String::from("failover.conf:1:1: \"x\" is no keyword")),
        }
    }

    fn generation(&self) -> u64 {
        7
    }

    fn config(&self) -> Config {
        Config {
            file: Some(String::from("/etc/failover.conf")),
            error: Some(String::from("line 1")),
        }
    }
}

#[test]
fn what_runs_the_server_is_asked_and_told_of() {
    let folder = std::env::temp_dir();
    let path = folder.join(format!("failover-reports-{}", std::process::id()));
    fs::write(&path, "0123456789abcdef\n").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let tokens = TokenFile::open(&path).unwrap();
    let site = Site::with(|builder| builder.admin_tokens(tokens));
    site.server.administer(Arc::new(Recorded::default()));
    let reset = Oneshot::new(State::Fail);
    let check = Box::new(reset.clone());
    site.mount_check("mail/a", check, Some(Box::new(reset.clone())), about());
    site.start();
    let post = |path: &str| {
        let credentials = "Authorization: Bearer 0123456789abcdef\r\n";
        site.ask(&format!("POST {path} HTTP/1.0\r\n{credentials}\r\n"))
    };
    let answer = post("/-/reload");
    assert!(
        answer.ends_with("\r\n\r\nGeneration 7 is in force"),
        "{answer}"
    );
    let answer = post("/-/reload");
    assert!(answer.starts_with("HTTP/1.0 409 Conflict\r\n"), "{answer}");
    assert!(answer.ends_with("ERROR: failover.conf:1:1: \"x\" is no keyword"));
    let (_, body) = site.get("/-/status");
    let refused = r#""error":"the log, 'failover status' and 'failover check-config' say why"}"#;
    let config = format!(r#""config":{{"file":"/etc/failover.conf",{refused}"#);
    assert!(
        body.contains(&config) && body.contains(r#""generation":7,"#),
        "{body}"
    );
    // What is wrong names files and quotes them: that is for administrators.
    for (token, error) in [
        ("0123456789abcdef", r#""error":"line 1"}"#),
        ("0123456789abcdeg", refused),
    ] {
        let body = site.ask(&format!(
            "GET /-/status HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n"
        ));
        assert!(body.contains(error), "{body}");
        let text = site.ask(&format!(
            "GET /-/status?format=text HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n"
        ));
        let is_told = text.contains("\nnot taken: line 1\n");
        assert_eq!(is_told, token.ends_with('f'), "{text}");
    }
    let (_, text) = site.get("/metrics");
    assert!(text.contains("\nfailover_config_last_reload_successful 0\n"));
    // A reset without the component's own credentials, answered after a run.
    assert_eq!(site.get("/mail/a").1, "FAIL");
    let said = "\r\n\r\nmail/a is reset: ok, and judged afresh";
    assert!(post("/-/reset/mail/a").ends_with(said));
    assert_eq!(site.get("/mail/a").1, "OK");
    let logged = site.log.lines();
    let reset_line = "reset component=mail/a by=\"token from 127.0.0.1:";
    assert!(
        logged.iter().any(|line| line.starts_with(reset_line)),
        "{logged:?}"
    );
    fs::remove_file(path).unwrap();
}
