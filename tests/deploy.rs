//! The files in `examples/deploy/`: that the configuration can be used, that all of them mean the
//! same names, ports and paths by it, and what the OpenWrt script has procd do. Whether HAProxy,
//! keepalived and systemd take theirs is for the tests with real peers.

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{TempFile, program};

fn path_of(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy");
    folder.join(name)
}

/// A file without its comments.
fn text_of(name: &str) -> String {
    let text = fs::read_to_string(path_of(name)).unwrap();
    let lines = text.lines().map(|line| match line.split_once('#') {
        Some((before, _)) => before,
        None => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// What follows a word in the lines that begin with it.
fn after<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    let rest = move |line: &'a str| {
        let rest = line.trim().strip_prefix(word)?;
        rest.starts_with(' ').then(|| rest.trim())
    };
    text.lines().filter_map(rest)
}

/// The first word.
fn first(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// What stands between two marks, wherever it does.
fn between<'a>(text: &'a str, from: &'a str, to: &'a str) -> impl Iterator<Item = &'a str> {
    let pieces = text.split(from).skip(1);
    pieces.filter_map(move |piece| piece.split(to).next())
}

fn components() -> BTreeSet<String> {
    let text = text_of("failover.conf");
    after(&text, "component").map(String::from).collect()
}

#[track_caller]
fn assert_is_component(name: &str) {
    let components = components();
    assert!(
        components.contains(name),
        "{name:?}; expected one of {components:?}"
    );
}

/// Whether failover answers there: `listen`, or `agent-listen`.
fn listens(keyword: &str, port: &str) -> bool {
    let text = text_of("failover.conf");
    let mut places = after(&text, keyword).map(first);
    places.any(|place| place.ends_with(&format!(":{port}")))
}

#[test]
fn the_configuration_can_be_used_and_only_lacks_the_password_and_its_folder() {
    let path = path_of("failover.conf");
    let output = program(&["check-config", "-c", path.to_str().unwrap()])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    // This machine has no such file, nor the folder that is the daemon's while it runs.
    let expected = [
        "warning: /etc/failover/db.password: ",
        "warning: track-file \"/run/failover/",
    ];
    let is_expected = |line: &str| expected.iter().any(|it| line.contains(it));
    let mut told = errors.lines().filter(|line| !line.starts_with("  "));
    assert!(told.all(is_expected), "{errors}");
}

#[test]
fn haproxy_asks_for_components_and_on_ports_that_there_are() {
    let text = text_of("haproxy.cfg");
    let mut asked_by_name = 0;
    // One piece for each section that has servers.
    let sections = text
        .split("\nbackend ")
        .flat_map(|it| it.split("\nlisten "));
    for section in sections.skip(1) {
        let servers = after(section, "server").filter(|rest| rest.contains(' '));
        if section.contains("/%[srv_name]") {
            for server in servers {
                assert_is_component(first(server));
                asked_by_name += 1;
            }
            assert!(
                between(section, "default-server addr 127.0.0.1 port ", "\n")
                    .all(|port| listens("listen", port))
            );
        }
        for name in between(section, "agent-send \"", "\\n\"") {
            assert_is_component(name);
            asked_by_name += 1;
        }
        for port in between(section, "agent-port ", " ") {
            assert!(listens("agent-listen", port), "{port}");
        }
    }
    assert_eq!(asked_by_name, 6);
    // The agent that is told nothing is one of a component's own.
    let own = between(&text, "server mail1 ", "\n").next().unwrap();
    let port = between(own, "agent-port ", " ").next().unwrap();
    let conf = text_of("failover.conf");
    let agent = after(&conf, "agent-listen").find(|rest| rest.contains(port));
    assert!(agent.unwrap().ends_with(" component mail"));
    // Passively measured: by that socket, of that server.
    for traffic in after(&conf, "haproxy-traffic") {
        let (socket, server) = traffic.split_once(' ').unwrap();
        assert!(text.contains(&format!("stats socket {socket} ")));
        let (backend, server) = server.split_once('/').unwrap();
        let sections = text.split("\nbackend ").skip(1);
        let section = sections.map(str::trim).find(|it| first(it) == backend);
        assert!(section.unwrap().contains(&format!("server {server} ")));
    }
}

#[test]
fn keepalived_asks_for_components_and_reads_what_they_write() {
    let (text, conf) = (text_of("keepalived.conf"), text_of("failover.conf"));
    let paths: Vec<&str> = after(&text, "path").collect();
    assert_eq!(paths, ["/web1", "/web2"]);
    for path in paths {
        assert_is_component(&path[1..]);
    }
    for port in after(&text, "connect_port") {
        assert!(listens("listen", port));
    }
    let read: BTreeSet<&str> = after(&text, "file")
        .map(|it| it.trim_matches('"'))
        .collect();
    let written: BTreeSet<&str> = after(&conf, "track-file").map(first).collect();
    assert_eq!(read, written);
    assert!(!read.is_empty());
}

#[test]
fn the_unit_starts_what_is_installed_and_owns_what_is_configured() {
    let unit = text_of("failover.service");
    let conf = text_of("failover.conf");
    let makefile = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Makefile"));
    let makefile = makefile.unwrap();
    let prefix = between(&makefile, "PREFIX ?= ", "\n").next().unwrap();
    let start = format!("ExecStart={prefix}/bin/failover run -c /etc/failover/failover.conf\n");
    assert!(unit.contains(&start), "{start}");
    assert!(text_of("keepalived.conf").contains(&format!("{prefix}/bin/failover")));
    for (setting, root) in [
        ("StateDirectory", "/var/lib"),
        ("RuntimeDirectory", "/run"),
        ("ConfigurationDirectory", "/etc"),
    ] {
        assert!(
            unit.contains(&format!("\n{setting}=failover\n")),
            "{setting}"
        );
        assert!(conf.contains(&format!(" {root}/failover")), "{root}");
    }
    // By default the programs of 'exec' would be ended with it, and have failed.
    assert!(unit.contains("\nKillMode=mixed\n"));
    // Written files are below what it may write to.
    for path in after(&conf, "track-file").chain(after(&conf, "admin-socket")) {
        assert!(path.starts_with("/run/failover/"), "{path}");
    }
}

/// Stands for OpenWrt's `rc.common` and `procd.sh`: says what procd would be told.
const PROCD: &str = r#"
procd_open_instance() { echo "instance"; }
procd_set_param() { echo "set $*"; }
procd_close_instance() { echo "end"; }
procd_send_signal() { echo "signal $*"; }
"#;

/// What a command of the OpenWrt script has procd do with this configuration.
fn procd(command: &str, config: &str) -> Output {
    let config = TempFile::new("failover.conf", config);
    let script = fs::read_to_string(path_of("failover.init")).unwrap();
    let script = script
        .replace("/usr/bin/failover", env!("CARGO_BIN_EXE_failover"))
        .replace("/etc/failover/failover.conf", config.path())
        .replace("mkdir -p /var/lib/failover /var/run/failover", ":");
    let script = format!("{PROCD}{script}\n{command}\n");
    let script = TempFile::new("failover.init", &script);
    let mut shell = Command::new("sh");
    shell.arg("-eu").arg(script.path()).output().unwrap()
}

#[test]
fn the_openwrt_script_starts_and_reloads_only_what_can_be_used() {
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let good = "component a\n  tcp 127.0.0.1:9\n";
    let started = procd("start_service", good);
    assert!(started.status.success(), "{started:?}");
    let lines = said(&started);
    let lines: Vec<&str> = lines.lines().collect();
    let start = format!("set command {} run -c /", env!("CARGO_BIN_EXE_failover"));
    assert_eq!(lines[0], "instance");
    assert!(lines[1].starts_with(&start), "{lines:?}");
    assert_eq!(
        &lines[2..],
        [
            "set respawn 60 1 0",
            "set limits nofile=4096 4096",
            "set stderr 1",
            "set term_timeout 10",
            "set no_new_privs 1",
            "end"
        ]
    );
    let reloaded = procd("reload_service", good);
    assert_eq!(said(&reloaded), "signal failover * HUP\n");
    for command in ["start_service", "reload_service"] {
        let refused = procd(command, "component a\n  tpc 127.0.0.1:9\n");
        assert_eq!(refused.status.code(), Some(1));
        assert_eq!(said(&refused), "");
        let errors = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(errors.contains("\"tpc\""), "{errors}");
    }
}
