//! The state directory under strace: the order of its system calls, and a kill at each of them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use failover::Store;

use crate::support::{Folder, command, need, run, skip};

/// The variable that makes this very program a writer in that directory.
const WRITER: &str = "FAILOVER_TEST_STRACED";

/// All that changes files.
const CALLS: &str = "openat,write,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat";

/// Not a test by itself: what the others trace.
#[test]
fn straced_writer() {
    let Ok(path) = std::env::var(WRITER) else {
        return;
    };
    let store = Store::open(path, |_| {}).unwrap();
    store.put_and_wait("web", "new").unwrap();
    store.remove_and_wait("old").unwrap();
}

/// Runs the writer under strace with these options.
fn traced(strace: &Path, state: &Path, options: &[&str]) -> Output {
    let mut strace = command(strace);
    strace
        .args(["-f", "-y", "-qq", "-o"])
        .arg(state.with_extension("trace"))
        .args(["-e", &format!("trace={CALLS}")])
        .args(options)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "store::straced_writer"])
        .env(WRITER, state);
    run(&mut strace)
}

/// A state directory with an old value of `web`, and one to be removed.
fn prepared(folder: &Folder, name: &str) -> std::path::PathBuf {
    let state = folder.file(name);
    let store = Store::open(&state, |_| {}).unwrap();
    store.put_and_wait("web", "before").unwrap();
    store.put_and_wait("old", "here").unwrap();
    drop(store);
    state
}

/// The system calls on files of the state directory, in their order, without the process's number.
fn calls(state: &Path) -> Vec<String> {
    let trace = fs::read_to_string(state.with_extension("trace")).unwrap();
    let state = state.to_str().unwrap();
    let ours = trace.lines().filter(|line| line.contains(state));
    ours.filter_map(|line| line.split_once(' '))
        .map(|(_, call)| call.trim_start().replace(state, "DIR"))
        .collect()
}

fn may_trace(strace: &Path) -> bool {
    let output: Output = run(Command::new(strace).args(["-qq", "true"]));
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).trim().to_string();
        skip("strace", &why);
    }
    output.status.success()
}

#[test]
fn a_value_is_on_the_disk_before_its_name_and_its_name_before_the_answer() {
    let Some(strace) = need("strace").filter(|strace| may_trace(strace)) else {
        return;
    };
    let folder = Folder::new("store");
    let state = prepared(&folder, "state");
    assert!(traced(&strace, &state, &[]).status.success());
    let calls = calls(&state);
    let steps = [
        ("openat(", "DIR/web.new\""),
        ("write(", "DIR/web.new>, \"failover-store 1 "),
        ("fsync(", "DIR/web.new>"),
        ("rename", "DIR/web.state\""),
        ("fsync(", "DIR>"),
        ("unlink", "DIR/old.state\""),
        ("fsync(", "DIR>"),
    ];
    let mut at = 0;
    for (call, what) in steps {
        let is_it = |line: &&String| line.starts_with(call) && line.contains(what);
        let found = calls[at..].iter().position(|line| is_it(&line));
        let found = found.unwrap_or_else(|| panic!("no {call} {what} after {at} of {calls:#?}"));
        at += found + 1;
    }
}

#[test]
fn a_kill_at_any_system_call_leaves_the_old_or_the_new() {
    let Some(strace) = need("strace").filter(|strace| may_trace(strace)) else {
        return;
    };
    let folder = Folder::new("store");
    let mut kills = 0;
    let mut seen = Vec::new();
    for call in ["openat", "write", "fsync", "rename", "unlink"] {
        for when in 1..200 {
            let state = prepared(&folder, &format!("{call}{when}"));
            let inject = format!("inject={call}:signal=SIGKILL:when={when}");
            // Only in the state directory, so that the runner's own calls are not counted.
            let path = state.to_str().unwrap();
            let files = ["", "/web.new", "/web.state", "/old.state", "/lock"];
            let paths: Vec<String> = files.iter().map(|file| format!("{path}{file}")).collect();
            let mut options = vec!["-e", &inject];
            options.extend(paths.iter().flat_map(|path| ["-P", path]));
            let output = traced(&strace, &state, &options);
            if output.status.success() {
                break;
            }
            kills += 1;
            let store = Store::open(&state, |text| panic!("{text}")).unwrap();
            let web = store.load("web").unwrap().bytes;
            assert!(web == b"before" || web == b"new", "{call} {when}: {web:?}");
            let is_removed = store.load("old").is_none();
            assert!(!is_removed || web == b"new", "{call} {when}: out of order");
            seen.push((web == b"new", is_removed));
        }
    }
    // Opening, writing, both kinds of fsync, renaming and unlinking were all hit.
    assert!(kills >= 8, "{kills} kills, {seen:?}");
    assert!(
        seen.contains(&(false, false)) && seen.contains(&(true, false)),
        "{seen:?}"
    );
}
