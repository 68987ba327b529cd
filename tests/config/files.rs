//! Where the files are that a configuration names, and what is no file.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::thread;

use crate::support::{Folder, Said};

const TOKEN: &[u8] = b"0123456789abcdef0123456789abcdef\n";

/// `bob` with the password `pass`, as `htpasswd -nbs` writes it.
const USERS: &[u8] = b"bob:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\n";

/// A named pipe, which whoever opens it waits for.
fn make_pipe(folder: &Folder, name: &str) {
    let path = folder.path().join(name);
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn what_is_no_file_is_not_included() {
    let folder = Folder::new();
    make_pipe(&folder, "pipe");
    let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
    for (name, kind) in [("pipe", "pipe"), ("socket", "socket"), ("p*", "pipe")] {
        let Said { code, errors, .. } =
            folder.check(&format!("include {name}\ncomponent a\n file /\n"));
        let file = if name == "p*" { "./pipe" } else { name };
        let told = format!(
            "failover.conf:1:9: {file:?} is a {kind}; expected a regular file\n  \
             include {name}\n          ^\n"
        );
        assert!(errors.starts_with(&told), "{errors}");
        assert_eq!(code, 78);
    }
}

#[test]
fn credentials_and_passwords_that_are_no_files_are_told_of() {
    let folder = Folder::new();
    make_pipe(&folder, "pipe");
    let said = folder.check(
        "component a\n file /\n manual-reset htpasswd pipe\n\
         component b\n file /\n manual-reset token-file pipe\n\
         component c\n postgres 127.0.0.1:5432\n password-file pipe\n",
    );
    for told in [
        "failover.conf:3:24: pipe: not a regular file\n",
        "failover.conf:6:26: pipe: no regular file\n",
        "failover.conf:9:16: warning: pipe: no regular file; until that is mended, the outcome is ",
    ] {
        assert!(said.errors.contains(told), "{}", said.errors);
    }
}

#[test]
fn a_configuration_may_come_from_a_pipe_and_is_bounded() {
    const TEXT: &str = "component a\n file /\n manual-reset token-file token\n";
    let folder = Folder::new();
    folder.write("token", TOKEN, 0o600);
    let used = |said: Said| assert_eq!(said.code, 0, "{}", said.errors);
    for path in ["-", "/dev/stdin", "/dev/fd/0"] {
        // What has no folder names files as whoever runs it does.
        used(folder.run(&["check-config", "-c", path], TEXT));
    }
    make_pipe(&folder, "pipe");
    let pipe = folder.path().join("pipe");
    let writer = thread::spawn(move || fs::write(pipe, TEXT));
    used(folder.run(&["check-config", "-c", "pipe"], ""));
    writer.join().unwrap().unwrap();
    let Said { code, errors, .. } = folder.run(&["check-config", "-c", "/dev/zero"], "");
    let told = "/dev/zero:1:1: \"/dev/zero\" has more than 4194304 bytes; expected a configuration";
    assert!(errors.starts_with(told), "{errors}");
    assert_eq!(code, 78);
}

#[test]
fn files_are_relative_to_the_file_that_names_them() {
    let folder = Folder::new();
    folder.write("etc/users", USERS, 0o600);
    folder.write("etc/token", TOKEN, 0o600);
    folder.write("etc/conf.d/token", TOKEN, 0o600);
    folder.write("etc/conf.d/password", b"secret\n", 0o600);
    let included = "component b\n heartbeat token-file token\n every 1m\n\
                    component c\n postgres 127.0.0.1:5432\n password-file password\n";
    folder.write("etc/conf.d/b.conf", included.as_bytes(), 0o600);
    let main = "server\n admin token-file token\n state-dir state\n default a\n\
                include conf.d/*.conf\n\
                component a\n file /\n manual-reset htpasswd users\n";
    folder.write("etc/failover.conf", main.as_bytes(), 0o600);
    let absolute = folder.path().join("etc/failover.conf");
    for path in ["etc/failover.conf", absolute.to_str().unwrap()] {
        let said = folder.run(&["check-config", "-c", path], "");
        assert_eq!((said.code, said.errors.as_str()), (0, ""));
        let said = folder.run(&["status", "-c", path], "");
        let socket = path.replace("failover.conf", "state/failover.sock");
        assert!(said.errors.contains(&socket), "{}", said.errors);
    }
    fs::remove_file(folder.path().join("etc/users")).unwrap();
    let Said { errors, .. } = folder.run(&["check-config", "-c", "etc/failover.conf"], "");
    let told = "etc/failover.conf:8:24: etc/users: cannot be read: No such file or directory";
    assert!(errors.starts_with(told), "{errors}");
}

/// The report on a program in a configuration of this name, with the folder as `@DIR@`.
fn told_of_program(folder: &Folder, name: &str) -> String {
    let Said { errors, .. } = folder.run(&["check-config", "-c", name], "");
    errors.replace(&folder.path().display().to_string(), "@DIR@")
}

#[test]
fn whoever_may_write_where_a_file_is_could_run_any_program() {
    let folder = Folder::new();
    let allow = |name: &str, mode| {
        let path = folder.path().join(name);
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    let program = b"component a\n exec /bin/true\n";
    folder.write("conf.d/a.conf", program, 0o600);
    folder.write("failover.conf", b"include conf.d/*.conf\n", 0o600);
    symlink("conf.d/a.conf", folder.path().join("link.conf")).unwrap();
    for mode in [0o700, 0o755, 0o1777, 0o1770] {
        allow("conf.d", mode);
        assert_eq!(told_of_program(&folder, "failover.conf"), "");
        assert_eq!(told_of_program(&folder, "link.conf"), "");
    }
    for mode in [0o777, 0o702, 0o770] {
        allow("conf.d", mode);
        let told = format!(
            ":2:2: this file runs a program, and whoever may change it could run any: \
             @DIR@/conf.d has mode {mode:o}; expected writable by its owner only: chmod go-w \
             @DIR@/conf.d\n   exec /bin/true\n   ^\n"
        );
        for (name, file) in [
            ("failover.conf", "conf.d/a.conf"),
            ("conf.d/a.conf", "conf.d/a.conf"),
            ("link.conf", "link.conf"),
        ] {
            let report = told_of_program(&folder, name);
            assert!(report.starts_with(&format!("{file}{told}")), "{report}");
        }
    }
    allow("conf.d", 0o700);
    allow("", 0o777);
    let report = told_of_program(&folder, "failover.conf");
    assert!(report.contains(": @DIR@ has mode 777; "), "{report}");
    // What runs no program is anybody's to keep where they like.
    folder.write("conf.d/a.conf", b"component a\n file /\n", 0o666);
    assert_eq!(told_of_program(&folder, "failover.conf"), "");
}

/// What Kubernetes makes of a ConfigMap, with a program in it; `SHELL` is done where it is mounted
/// read-only for all that there is, and says how the program `failover` ends.
fn in_a_config_map(shell: &str) -> Option<Vec<String>> {
    let folder = Folder::safe()?;
    let config = format!("component a\n exec {}/map/job\n", folder.path().display());
    folder.write("map/..2026/failover.conf", config.as_bytes(), 0o644);
    folder.write("map/..2026/job", b"#!/bin/sh\nexit 0\n", 0o755);
    let map = folder.path().join("map");
    symlink("..2026", map.join("..data")).unwrap();
    for name in ["failover.conf", "job"] {
        symlink(format!("..data/{name}"), map.join(name)).unwrap();
    }
    for open in [&map, &map.join("..2026")] {
        fs::set_permissions(open, Permissions::from_mode(0o777)).unwrap();
    }
    let output = Command::new("unshare")
        .args(["-rmpf", "--mount-proc", "sh", "-c", shell])
        .env("FAILOVER", env!("CARGO_BIN_EXE_failover"))
        .current_dir(folder.path())
        .output()
        .ok()?;
    let said = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<String> = said.lines().map(String::from).collect();
    if lines.first().is_none_or(|line| line != "mounted") {
        println!("skipped: no mounts of our own to be had");
        return None;
    }
    Some(lines[1..].to_vec())
}

#[test]
fn what_everybody_may_write_may_run_programs_where_it_is_mounted_read_only_for_all() {
    let ends = in_a_config_map(
        "check() { $FAILOVER check-config -c map/failover.conf > said 2>&1; echo $?; }
         mount --bind map map && mount -o remount,bind,ro map && echo mounted || exit
         check
         $FAILOVER probe exec $PWD/map/job > said; echo $?
         unshare -m $FAILOVER probe exec $PWD/map/job > said 2>&1; echo $?
         umount map; check; cat said
         unshare -m sh -c \"mount --bind map map; mount -o remount,bind,ro map;
             $FAILOVER check-config -c map/failover.conf\" > said 2>&1; echo $?; cat said",
    );
    let Some(ends) = ends else { return };
    assert_eq!(ends[..4], ["0", "0", "1", "78"], "{ends:?}");
    // Read-only for who asks alone is writable for others.
    assert!(ends.contains(&String::from("78")), "{ends:?}");
    let refused = ends.iter().filter(|line| line.contains("has mode 777; "));
    assert!(refused.count() >= 2, "{ends:?}");
}

#[test]
fn a_track_file_that_could_not_be_written_is_warned_of() {
    let folder = Folder::new();
    folder.write("file", b"", 0o600);
    for (place, why) in [
        ("none", "No such file or directory (os error 2)"),
        ("file", "Not a directory (os error 20)"),
    ] {
        let place = folder.path().join(place);
        let said = folder.check(&format!(
            "component a\n file /\n track-file {}/web\n",
            place.display()
        ));
        let told = format!(
            "failover.conf:3:13: warning: track-file {:?} could not be written now: {why}; make \
             its folder {place:?}, writable for the daemon's user, before the daemon starts",
            place.join("web")
        );
        assert!(said.errors.starts_with(&told), "{}", said.errors);
        assert_eq!(said.code, 0);
    }
    let here = folder.path().display();
    let said = folder.check(&format!("component a\n file /\n track-file {here}/web\n"));
    assert_eq!((said.code, said.errors.as_str()), (0, ""));
}

#[test]
fn a_line_without_end_is_not_told_without_end() {
    let long = "x".repeat(60_000);
    let wide = "\u{e9} ".repeat(30_000);
    for (line, expected) in [
        (
            format!("tcp {long}"),
            "expected HOST:PORT, with an IPv6 address in brackets\n",
        ),
        (format!("tcp {wide}"), "such as: tcp [2001:db8::1]:smtp\n"),
        (
            format!("tcp 192.0.2.1:25 # {long}\n timeout {long}"),
            "such as 500ms 10s 5m 2h 1d\n",
        ),
        (
            format!("all-of {wide}"),
            "made of 30000 components; expected at most 1000\n",
        ),
        (long.clone(), " is no keyword; 'failover help' lists them\n"),
        (
            format!("send \"{long}\" \"\\q\""),
            "expected \\\" \\\\ \\n \\r \\t or \\xNN\n",
        ),
    ] {
        let said = Folder::new().check(&format!("component web\n {line}\n"));
        assert_eq!(said.code, 78);
        let first = said
            .errors
            .split_inclusive('\n')
            .take(3)
            .collect::<String>();
        assert!(first.contains(expected), "{first}");
        assert!(first.len() < 2_000, "{} bytes: {first}", first.len());
        let lines: Vec<&str> = first.lines().collect();
        let (shown, caret) = (lines[1].chars().count(), lines[2].chars().count());
        assert!(lines[2].trim() == "^" && caret <= shown, "{first}");
    }
}
