//! The files in `examples/deploy/` before the programs that they are for: HAProxy, keepalived,
//! systemd and shellcheck take them as they are, but for what this machine does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::support::{Failover, Folder, command, get, need, program, run, said, wait_until};

/// Over this, in tenths, `systemd-analyze security` calls the unit too much exposed.
const EXPOSURE_MAX: u32 = 20;

pub(crate) fn sample(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/deploy");
    folder.join(name)
}

/// The text of a sample with the program where it was built.
pub(crate) fn text_of(name: &str) -> String {
    let text = fs::read_to_string(sample(name)).unwrap();
    text.replace("/usr/local/bin/failover", program())
}

/// Both outputs of a command, and whether it ended well.
fn verdict(command: &mut Command) -> (bool, String) {
    let output = run(command);
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.success(), text)
}

#[test]
fn haproxy_takes_its_file() {
    let Some(haproxy) = need("haproxy") else {
        return;
    };
    let check = |path: &Path| verdict(command(&haproxy).args(["-c", "-f"]).arg(path));
    let (is_well, text) = check(&sample("haproxy.cfg"));
    assert!(is_well, "{text}");
    assert!(!text.contains("WARNING"), "{text}");
    // It would have said.
    let folder = Folder::new("deploy");
    let wrong = text_of("haproxy.cfg").replace("agent-check", "agent-chek");
    let (is_well, text) = check(&folder.write("haproxy.cfg", &wrong));
    assert!(!is_well && text.contains("agent-chek"), "{text}");
}

/// A network interface of this machine, which is only named: one that is no loopback (0x8) and can
/// multicast (0x1000), as netdevice(7) numbers these flags.
fn interface() -> String {
    let interfaces = fs::read_dir("/sys/class/net").unwrap().flatten();
    let can = interfaces.filter(|it| {
        let flags = fs::read_to_string(it.path().join("flags")).unwrap_or_default();
        let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16);
        flags.is_ok_and(|flags| flags & 0x1008 == 0x1000)
    });
    let mut names = can.map(|it| it.file_name().into_string().unwrap());
    names.next().expect("a network interface")
}

#[test]
fn keepalived_takes_its_file() {
    let Some(keepalived) = need("keepalived") else {
        return;
    };
    let folder = Folder::new("deploy");
    // Where the program was built, others may write: a stranger stands for it. And not every
    // machine has that interface.
    let text = text_of("keepalived.conf").replace(program(), "/usr/bin/env");
    let text = text.replace("interface eth0", &format!("interface {}", interface()));
    let check = |text: &str| {
        let path = folder.write("keepalived.conf", text);
        verdict(command(&keepalived).args(["-t", "-f"]).arg(path))
    };
    let (is_well, said) = check(&text);
    assert!(is_well && said.is_empty(), "{said}");
    // It would have said. A name that it does not know makes 2.2.7 crash or spin: none of these.
    for (right, wrong) in [
        ("param_match partial", "param_match parted"),
        ("    weight -1\n", "    wieght -1\n"),
    ] {
        let (is_well, said) = check(&text.replace(right, wrong));
        assert!(!is_well && said.contains("Line"), "{wrong}: {said}");
    }
}

#[test]
fn systemd_takes_its_unit_and_finds_it_confined() {
    let Some(analyze) = need("systemd-analyze") else {
        return;
    };
    let folder = Folder::new("deploy");
    let unit = folder.write("failover.service", &text_of("failover.service"));
    let verify = |unit: &Path| verdict(command(&analyze).args(["verify", "--man=no"]).arg(unit));
    // What it says of other units of this machine is no matter.
    let about = |text: &str| text.contains("failover.service") || text.contains("Unknown");
    let (is_well, text) = verify(&unit);
    assert!(is_well && !about(&text), "{text}");
    let wrong = text_of("failover.service").replace("WatchdogSec", "WatchdogSecs");
    let (_, text) = verify(&folder.write("wrong.service", &wrong));
    assert!(text.contains("WatchdogSecs"), "{text}");

    let security = said(
        command(&analyze)
            .args(["security", "--offline=true", "--no-pager"])
            .arg(format!("--threshold={EXPOSURE_MAX}"))
            .arg(&unit),
    );
    let level = security.lines().find(|line| line.contains("Overall"));
    eprintln!("{}", level.unwrap_or(&security));
}

/// The system calls of each of systemd's groups, as it says them itself.
fn groups(analyze: &Path) -> BTreeMap<String, Vec<String>> {
    let text = said(command(analyze).args(["syscall-filter", "--no-pager"]));
    let mut groups = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines() {
        let word = line.trim();
        if line.starts_with('@') {
            name = word.to_string();
        } else if line.starts_with(' ') && !word.starts_with('#') {
            let group: &mut Vec<String> = groups.entry(name.clone()).or_default();
            group.push(word.to_string());
        }
    }
    groups
}

/// All system calls of these groups and of those in them.
fn calls(groups: &BTreeMap<String, Vec<String>>, names: &[&str]) -> BTreeSet<String> {
    let mut left: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let mut calls = BTreeSet::new();
    while let Some(name) = left.pop() {
        if name.starts_with('@') {
            left.extend(groups[&name].iter().cloned());
        } else {
            calls.insert(name);
        }
    }
    calls
}

/// A check of every kind that does something of its own to the system.
fn every_kind(folder: &Folder) -> String {
    let place = folder.path().display();
    fs::write(folder.file("access.log"), "").unwrap();
    format!(
        "  agent-listen 127.0.0.1:0\n\
         \x20 state-dir {place}/state\n\
         \x20 default web\n\
         defaults\n  every 200ms\n  timeout 200ms\n\
         component web\n  all-of here name file who log haproxy\n  track-file {place}/web\n\
         component here\n  tcp 127.0.0.1:9\n  source 127.0.0.1\n\
         component name\n  http http://localhost:9/\n\
         component file\n  file /etc/hosts\n  fresher-than 1h\n\
         component who\n  process failover\n\
         component run\n  exec /bin/true\n\
         component log\n  access-log {place}/access.log\n\
         component haproxy\n  haproxy-traffic {place}/none b/s\n\
         component dns\n  dns localhost\n  server 127.0.0.1:9\n\
         component due\n  tcp 127.0.0.1:9\n  manual-reset\n\
         component asked\n  tcp 127.0.0.1:9\n  on-request\n"
    )
}

#[test]
fn the_daemon_gets_by_with_the_system_calls_that_its_unit_grants() {
    let (Some(analyze), Some(strace)) = (need("systemd-analyze"), need("strace")) else {
        return;
    };
    let groups = groups(&analyze);
    let mut granted = calls(&groups, &["@system-service"]);
    for call in calls(&groups, &["@privileged", "@resources"]) {
        granted.remove(&call);
    }
    assert!(granted.contains("accept4") && !granted.contains("setuid"));

    let folder = Folder::new("deploy");
    let trace = folder.file("trace");
    let config = every_kind(&folder);
    fs::create_dir(folder.file("state")).unwrap();
    let mut traced = command(strace);
    traced
        .arg("-f")
        // A strace that is told to end tells what it traces; by default it would not listen.
        .arg("-I2")
        .arg("-qq")
        .arg("-o")
        .arg(&trace)
        .arg(program());
    let failover = Failover::serve_by(traced, "127.0.0.1:0", &config, Folder::new("traced"));
    failover.wait_for("/", "HTTP/1.0 503 FAIL");
    let _ = get(failover.address, "/asked");
    wait_until("the track-file", &[&failover.peer], || {
        fs::read(folder.file("web")).map_err(|error| error.to_string())
    });
    // A few rounds of each.
    thread::sleep(Duration::from_secs(1));
    drop(failover);
    let trace = fs::read_to_string(trace).unwrap();
    let used: BTreeSet<&str> = trace.lines().filter_map(call_of).collect();
    for call in ["accept4", "connect", "execve"] {
        assert!(used.contains(call), "{call} is not among {used:?}");
    }
    let refused: Vec<_> = used
        .iter()
        .filter(|call| !granted.contains(**call))
        .collect();
    assert!(refused.is_empty(), "{refused:?} of {used:?}");
}

/// The name in a line of strace such as `123 connect(3, ...) = 0`.
fn call_of(line: &str) -> Option<&str> {
    let call = line.split_once(' ')?.1.trim_start().split_once('(')?.0;
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    (!call.is_empty() && call.chars().all(is_name)).then_some(call)
}

#[test]
fn the_openwrt_script_is_plain_shell() {
    let script = sample("failover.init");
    for shell in ["sh", "dash", "busybox"] {
        if shell == "sh" || need(shell).is_some() {
            let mut shell = command(shell);
            if shell.get_program() == "busybox" {
                shell.arg("ash");
            }
            said(shell.arg("-n").arg(&script));
        }
    }
    let Some(shellcheck) = need("shellcheck") else {
        return;
    };
    assert_eq!(said(command(shellcheck).arg(&script)), "");
}
