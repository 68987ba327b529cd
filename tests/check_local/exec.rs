//! Programs that end well, badly, late or never, and those that are not to be run.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use failover::{Check, ExecCheck, ExitCodes, Health, Outcome, Side, Signal, Signals, second};

use crate::place::{Place, exists, is_alone, is_root, is_running};
use crate::support::{PATIENCE, eventually};

/// A check of what a shell does, with time enough.
fn shell(script: &str) -> ExecCheck {
    ExecCheck::new(&["sh", "-c", script], second(60)).unwrap()
}

/// The same with half a second.
fn hurried(script: &str) -> ExecCheck {
    within(script, 0.5)
}

fn within(script: &str, seconds: f64) -> ExecCheck {
    ExecCheck::new(&["sh", "-c", script], second(seconds)).unwrap()
}

/// The outcome of a script that does not end in its time, which is half a second, or as much as it
/// takes to get as far as to say something.
fn timed_out(check_within: impl Fn(f64) -> ExecCheck) -> Outcome {
    let mut seconds = 0.5;
    loop {
        let outcome = check_within(seconds).check();
        assert_eq!(outcome.reason.words(), "exec timeout", "{outcome}");
        if !outcome.detail.starts_with("not within ") {
            return outcome;
        }
        assert!(seconds < PATIENCE.as_secs_f64(), "it says nothing");
        seconds *= 4.0;
    }
}

#[track_caller]
fn said(outcome: &Outcome) -> String {
    format!("{} {outcome}", outcome.health.word())
}

#[test]
fn exit_codes_have_their_meaning() {
    let Some(place) = Place::new() else { return };
    let path = place.script("check", "echo code $1\nexit $1");
    for (code, plain, nagios) in [
        ("0", "ok exec passed", "ok exec passed"),
        ("1", "fail exec failed", "warn exec warned"),
        ("2", "fail exec failed", "fail exec failed"),
        ("3", "fail exec failed", "unknown exec unknown"),
        ("127", "fail exec failed", "unknown exec unknown"),
    ] {
        let mut check = ExecCheck::new(&[path.as_str(), code], second(60)).unwrap();
        assert_eq!(said(&check.check()), format!("{plain}: code {code}"));
        let mut check = check.exit_codes(ExitCodes::Nagios);
        assert_eq!(said(&check.check()), format!("{nagios}: code {code}"));
    }
    let killed = shell("kill -TERM $$").check();
    assert_eq!(said(&killed), "fail exec killed: signal 15");
}

#[test]
fn a_number_is_held_to_its_limit() {
    let limited = |script: &str| {
        let check = shell(script).value("queue_depth", Side::Below, 20.0);
        said(&check.unwrap().check())
    };
    let within = "ok value within limit: queue_depth is 17";
    assert_eq!(limited("echo queue_depth 17"), within);
    assert_eq!(limited("echo '{\"queue_depth\": 17}'"), within);
    assert!(limited("echo queue_depth 20").starts_with("fail value beyond limit"));
    assert_eq!(
        limited("echo queue_depth 17; exit 1"),
        "fail exec failed: queue_depth 17"
    );
    let long = "while :; do echo '# a line before the number'; done | head -n 1000";
    assert!(limited(long).starts_with("fail answer too long"));
}

#[test]
fn arguments_are_not_for_a_shell() {
    let words = ["printf", "%s|", "$HOME", "a b", "*", "", "\"; exit 3"];
    let outcome = ExecCheck::new(&words, second(60)).unwrap().check();
    assert_eq!(outcome.health, Health::Ok);
    assert_eq!(outcome.detail, "$HOME|a b|*||\"; exit 3|");
}

/// A program has all its ordinary signals; those above are the C library's.
#[track_caller]
fn assert_ignores_nothing() {
    let line = shell("grep SigIgn /proc/self/status").check().detail;
    let mask = line.split_whitespace().nth(1).unwrap();
    let mask = u64::from_str_radix(mask, 16).unwrap();
    assert_eq!(mask & 0x7fff_ffff, 0, "{line}");
}

#[test]
fn a_program_is_cut_loose_from_us() {
    // As in a daemon, which has its signals blocked in every thread.
    let checks = thread::spawn(|| {
        Signals::keep(&[Signal::Terminate, Signal::Interrupt, Signal::Hangup]).unwrap();
        let group = ["cut", "-d", " ", "-f", "1,5", "/proc/self/stat"];
        let group = ExecCheck::new(&group, second(60)).unwrap().check().detail;
        let (id, leader) = group.split_once(' ').unwrap();
        assert_eq!(id, leader);
        // Without a shell, which lets signals through itself.
        let blocked = ["grep", "SigBlk", "/proc/self/status"];
        let blocked = ExecCheck::new(&blocked, second(60)).unwrap().check();
        assert_eq!(blocked.detail, "SigBlk:\t0000000000000000");
        for (script, expected) in [
            ("pwd", "/"),
            ("readlink /proc/self/fd/0", "/dev/null"),
            ("cat; echo nothing", "nothing"),
            // The last one is the folder's.
            ("set -- $(ls /proc/self/fd); echo $@", "0 1 2 3"),
            ("echo out; echo error >&2", "out"),
            ("echo error >&2; echo out", "error"),
            ("echo reopened > /dev/stderr", "reopened"),
        ] {
            assert_eq!(shell(script).check().detail, expected, "{script}");
        }
        assert_ignores_nothing();
    });
    checks.join().unwrap();
}

#[test]
fn the_environment_is_clean() {
    let environment = ["cat", "/proc/self/environ"];
    let mut check = ExecCheck::new(&environment, second(60))
        .unwrap()
        .env("FAILOVER_COMPONENT", "mail")
        .and_then(|check| check.env("EMPTY", ""))
        .unwrap();
    let detail = check.check().detail;
    let mut names: Vec<&str> = detail
        .split_terminator('\0')
        .filter_map(|pair| Some(pair.split_once('=')?.0))
        .collect();
    names.sort_unstable();
    let expected = [
        "EMPTY",
        "FAILOVER_COMPONENT",
        "HOME",
        "LOGNAME",
        "PATH",
        "USER",
    ];
    assert_eq!(names, expected, "{detail:?}");
    assert!(detail.contains("FAILOVER_COMPONENT=mail\0"));
    let mut check = shell("echo $PATH").env("PATH", "/bin").unwrap();
    assert_eq!(check.check().detail, "/bin");
}

#[test]
fn output_without_end_is_a_timeout_and_much_output_is_none() {
    let words = ["yes", "still here"];
    let outcome = timed_out(|seconds| ExecCheck::new(&words, second(seconds)).unwrap());
    assert_eq!(said(&outcome), "fail exec timeout: still here");
    let outcome = shell("head -c 3000000 /dev/zero | tr '\\0' x; exit 3").check();
    assert_eq!(
        said(&outcome),
        format!("fail exec failed: {}", "x".repeat(200))
    );
}

#[test]
fn a_timeout_ends_all_that_was_started() {
    let Some(place) = Place::new() else { return };
    let others = place.path("others");
    // The first of the two does not care.
    let script = format!(
        "sh -c 'trap \"\" TERM; while :; do sleep 1; done' & echo $! > {others}
         sleep 1000 & echo $! >> {others}; echo $$; wait"
    );
    let started = Instant::now();
    let outcome = timed_out(|seconds| within(&script, seconds));
    let took = started.elapsed();
    assert_eq!(outcome.health, Health::Fail);
    assert!(took >= Duration::from_millis(500), "{took:?}");
    assert!(!exists(&outcome.detail), "it is there, perhaps as a zombie");
    let others = fs::read_to_string(others).unwrap();
    assert_eq!(others.lines().count(), 2);
    for id in others.lines() {
        eventually("the end of what it started", || !is_running(id));
    }
}

#[test]
fn who_is_told_to_terminate_has_time_to_tidy_up_and_no_more() {
    let Some(place) = Place::new() else { return };
    let lock = place.path("lock");
    let tidy =
        format!("trap 'rm {lock}; exit 0' TERM; touch {lock}; echo ready; sleep 1000 & wait");
    timed_out(|seconds| within(&tidy, seconds));
    assert!(!Path::new(&lock).exists());

    let script = "trap '' TERM; echo $$; while :; do sleep 1; done";
    let budget = hurried(script).budget().unwrap();
    assert_eq!(budget, Duration::from_millis(3_500));
    let started = Instant::now();
    let outcome = timed_out(|seconds| within(script, seconds));
    assert!(started.elapsed() >= Duration::from_millis(2_500));
    assert!(!exists(&outcome.detail));
}

#[test]
fn what_stays_in_the_group_ends_with_the_program_and_a_daemon_lives_on() {
    let outcome = shell("sleep 1000 & echo $!").check();
    assert_eq!(outcome.health, Health::Ok);
    eventually("the end of what it left", || !is_running(&outcome.detail));

    // Both hold the pipe open. It has left the group by the time that it says so.
    let Some(place) = Place::new() else { return };
    let gone = place.path("gone");
    let script = format!(
        "setsid sh -c 'echo $$; : > {gone}; exec sleep 1000' &
         while [ ! -e {gone} ]; do sleep 0.05; done"
    );
    let started = Instant::now();
    let outcome = shell(&script).check();
    assert_eq!(outcome.health, Health::Ok);
    assert!(started.elapsed() < PATIENCE);
    assert!(is_running(&outcome.detail), "{outcome}");
    let killed = Command::new("kill").arg(&outcome.detail).status().unwrap();
    assert!(killed.success());
}

#[test]
fn programs_that_others_could_change_are_refused() {
    let Some(place) = Place::new() else { return };
    let good = place.script("good", "echo ran");
    let mut check = ExecCheck::new(&[&good], second(60)).unwrap();
    assert_eq!(said(&check.check()), "ok exec passed: ran");
    let refusal = |path: &str| {
        let error = ExecCheck::new(&[path], second(60)).unwrap_err();
        error.to_string()
    };
    for mode in [0o720, 0o702, 0o777] {
        place.set_mode("good", mode);
        let expected = format!("{good} has mode {mode:o}; expected writable by its owner only");
        assert_eq!(
            said(&check.check()),
            format!("unknown exec refused: {expected}")
        );
        assert_eq!(
            refusal(&good),
            format!("program {good:?} is refused: {expected}")
        );
    }
    place.set_mode("good", 0o755);
    assert_eq!(check.check().health, Health::Ok);

    // On the way, sticky or not; also on the way of a link, and on the way to a link.
    fs::create_dir(place.path("shared")).unwrap();
    let inside = place.script("shared/script", "echo ran");
    let leads_in = place.path("leads-in");
    symlink("shared/script", &leads_in).unwrap();
    symlink("../good", place.path("shared/leads-out")).unwrap();
    let leads_out = place.path("shared/leads-out");
    for (mode, is_fit) in [
        (0o755, true),
        (0o1777, false),
        (0o775, false),
        (0o700, true),
    ] {
        place.set_mode("shared", mode);
        for path in [&inside, &leads_in, &leads_out] {
            let made = ExecCheck::new(&[path], second(60));
            assert_eq!(made.is_ok(), is_fit, "{path} {mode:o}");
        }
    }
    let mut check = ExecCheck::new(&[&leads_in], second(60)).unwrap();
    assert_eq!(check.check().detail, "ran");

    if is_root() {
        chown(&good, Some(65_534), None).unwrap();
        let expected = format!("{good} belongs to user 65534; expected root or our own");
        assert_eq!(
            refusal(&good),
            format!("program {good:?} is refused: {expected}")
        );
    }
}

#[test]
fn links_keep_their_name_and_lead_somewhere() {
    let Some(place) = Place::new() else { return };
    place.script("program", "echo $0");
    let link = place.path("by-this-name");
    symlink(place.path("program"), &link).unwrap();
    let mut check = ExecCheck::new(&[&link], second(60)).unwrap();
    assert_eq!(check.check().detail, link);

    let circle = place.path("circle");
    symlink("circle", &circle).unwrap();
    let outcome = ExecCheck::new(&[&circle], second(60)).unwrap().check();
    assert_eq!(
        said(&outcome),
        "unknown exec not started: too many links lead to it"
    );
}

#[test]
fn what_is_not_there_or_no_program_is_not_started() {
    let Some(place) = Place::new() else { return };
    let path = place.path("later/program");
    let mut check = ExecCheck::new(&[&path], second(60)).unwrap();
    for _ in 0..3 {
        let outcome = check.check();
        assert!(said(&outcome).starts_with("unknown exec not started: No such file"));
    }
    fs::create_dir(place.path("later")).unwrap();
    place.set_mode("later", 0o700);
    place.script("later/program", "echo here");
    assert_eq!(said(&check.check()), "ok exec passed: here");
    place.set_mode("later/program", 0o600);
    assert!(said(&check.check()).starts_with("unknown exec not started: Permission denied"));
    let mut folder = ExecCheck::new(&["/usr"], second(60)).unwrap();
    assert_eq!(folder.check().reason.words(), "exec not started");
}

#[test]
fn another_user_has_that_users_rights_only() {
    if !is_root() {
        let error = shell("true").user("root").unwrap_err().to_string();
        assert!(error.contains("only root can switch"), "{error}");
        return;
    }
    // With groups that it must not keep.
    let prepare = "setpriv --groups 4,24,27 true || exit 0; exec setpriv --groups 4,24,27";
    if !is_alone("exec::another_user_has_that_users_rights_only", prepare) {
        return;
    }
    assert!(shell("id -G").check().detail.contains("24"));
    let mut check = shell("echo $(id -u) $(id -G) $USER $LOGNAME $HOME $(pwd)")
        .user("nobody")
        .unwrap();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.starts_with("nobody:"));
    let fields: Vec<&str> = line.unwrap().split(':').collect();
    let (uid, gid, home) = (fields[2], fields[3], fields[5]);
    let expected = format!("{uid} {gid} nobody nobody {home} /");
    assert_eq!(check.check().detail, expected);
    let script = "trap '' TERM; echo $$; while :; do sleep 1; done";
    let outcome = timed_out(|seconds| within(script, seconds).user("nobody").unwrap());
    assert!(!exists(&outcome.detail));
}

#[test]
fn nothing_is_left_open_after_many_runs() {
    if !is_alone("exec::nothing_is_left_open_after_many_runs", "exec") {
        return;
    }
    let open = || fs::read_dir("/proc/self/fd").unwrap().count();
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let mut runs = [
        shell("echo one"),
        shell("exit 3"),
        shell("setsid sleep 3 & exit 0"),
        shell("kill -9 $$"),
        ExecCheck::new(&["/no/such/program"], second(60)).unwrap(),
    ];
    runs[0].check();
    let before = (open(), threads());
    for _ in 0..10 {
        for check in &mut runs {
            check.check();
        }
    }
    assert_eq!((open(), threads()), before);
    let own = fs::read_to_string(format!("/proc/self/task/{}/children", process::id()));
    // Where the kernel tells.
    assert_eq!(own.unwrap_or_default(), "");
}

#[test]
fn what_we_inherited_is_not_passed_on() {
    let prepare = "exec 7< /dev/null 8> /dev/null; trap '' HUP TERM PIPE; exec";
    if !is_alone("exec::what_we_inherited_is_not_passed_on", prepare) {
        return;
    }
    assert!(Path::new("/proc/self/fd/7").exists());
    let open = shell("set -- $(ls /proc/self/fd); echo $@").check().detail;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = kernel
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) >= (Some(5), Some(11)) {
        assert_eq!(open, "0 1 2 3");
    }
    assert_ignores_nothing();
}

#[test]
fn without_the_exit_code_nothing_is_known() {
    let prepare = "trap '' CHLD; exec";
    if !is_alone("exec::without_the_exit_code_nothing_is_known", prepare) {
        return;
    }
    let ignored = fs::read_to_string("/proc/self/status").unwrap();
    let line = ignored
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:\t"));
    let mask = u64::from_str_radix(line.unwrap(), 16).unwrap();
    if mask & 1 << 16 == 0 {
        println!("skipped: this shell does not ignore SIGCHLD");
        return;
    }
    for script in ["exit 0", "exit 3"] {
        let outcome = shell(script).check();
        let expected = "unknown exec unknown: its exit code was lost, since SIGCHLD is ignored";
        assert_eq!(said(&outcome), expected);
    }
    // What hangs is still ended.
    let outcome = hurried("sleep 1000").check();
    assert_eq!(outcome.reason.words(), "exec timeout");
}

#[test]
fn a_program_does_not_outlive_us() {
    let Some(place) = Place::new() else { return };
    let file = place.path("id");
    let prepare = format!("export FAILOVER_TEST_FILE={file}; exec");
    if is_alone("exec::a_program_does_not_outlive_us", &prepare) {
        let file = std::env::var("FAILOVER_TEST_FILE").unwrap();
        let script = format!("echo $$ > {file}.new; mv {file}.new {file}; exec sleep 1000");
        thread::spawn(move || shell(&script).check());
        eventually("the program", || Path::new(&file).exists());
        drop(place);
        process::exit(0);
    }
    let id = fs::read_to_string(file).unwrap();
    eventually("its end", || !is_running(id.trim()));
}
