//! Where the tests put their files, and how they get a process to themselves.

use std::env;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use failover::ExecCheck;

/// A folder of a test's own that nobody else can write to, all the way from the root; removed when
/// this is dropped.
pub(crate) struct Place(PathBuf);

impl Place {
    /// `None`, and a line that says so, where this machine has no such place for us.
    pub(crate) fn new() -> Option<Place> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let home = env::var("HOME").unwrap_or_default();
        for base in [env!("CARGO_TARGET_TMPDIR"), "/var/lib", &home] {
            let path = Path::new(base).join(format!("failover-test-{}-{number}", process::id()));
            if fs::create_dir(&path).is_err() {
                continue;
            }
            let place = Place(path);
            place.set_mode("", 0o700);
            if ExecCheck::new(&[place.path("program")], 1).is_ok() {
                return Some(place);
            }
        }
        println!("skipped: no folder of ours that only we and root could change");
        None
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_string()
    }

    /// Writes a script for `/bin/sh` and says where.
    ///
    /// Another process writes it: were the file open here, it would be so for a moment in every
    /// program that another test starts meanwhile, and what is open for writing does not run.
    pub(crate) fn script(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        let mut writer = Command::new("/bin/sh")
            .args(["-c", "cat > \"$0\" && chmod 700 \"$0\"", &path])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = writer.stdin.take().unwrap();
        write!(stdin, "#!/bin/sh\n{text}\n").unwrap();
        drop(stdin);
        assert!(writer.wait().unwrap().success());
        path
    }

    pub(crate) fn set_mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.0.join(name), Permissions::from_mode(mode)).unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn is_root() -> bool {
    let user = Command::new("id").arg("-u").output().unwrap();
    user.stdout == b"0\n"
}

/// Whether a process runs, a zombie does not.
pub(crate) fn is_running(id: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status"));
    status.is_ok_and(|status| !status.contains("State:\tZ"))
}

/// Whether there is anything with this number.
pub(crate) fn exists(id: &str) -> bool {
    assert!(id.parse::<u32>().is_ok(), "no process number: {id:?}");
    Path::new("/proc").join(id).exists()
}

const ALONE: &str = "FAILOVER_TEST_ALONE";

/// Runs this test again in a process that it has to itself. `prepare` is the shell's part before
/// that: it ends with `exec WORDS`, and what it says instead of running the test is a skip.
///
/// True in that process; false here, when it has ended well.
#[track_caller]
pub(crate) fn is_alone(test: &str, prepare: &str) -> bool {
    if env::var_os(ALONE).is_some() {
        println!("alone");
        return true;
    }
    let script = format!("{prepare} \"$0\" --exact {test} --nocapture --test-threads 1");
    let own = env::current_exe().unwrap();
    let output = Command::new("/bin/sh")
        .args(["-c", &script])
        .arg(&own)
        .env(ALONE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    if said.lines().any(|line| line.ends_with("alone")) {
        assert!(output.status.success(), "{said}{errors}");
    } else {
        println!("skipped: {said}{errors}");
    }
    false
}
