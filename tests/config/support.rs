//! What these tests share: the program, run to its end in a folder of the test's own.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

fn name() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("failover-config-{}-{number}", std::process::id())
}

/// A folder of a test's own, gone with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        let path = std::env::temp_dir().join(name());
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    /// One where only we and root may change anything, all the way from the root, as has to be
    /// where programs are. `None`, and a line that says so, where this machine has no such place.
    pub(crate) fn safe() -> Option<Folder> {
        let home = std::env::var("HOME").unwrap_or_default();
        for base in [env!("CARGO_TARGET_TMPDIR"), "/var/lib", &home] {
            let path = Path::new(base).join(name());
            let ours = |path: &Path| fs::metadata(path).is_ok_and(|it| it.mode() & 0o022 == 0);
            if Path::new(base).ancestors().all(ours) && fs::create_dir(&path).is_ok() {
                return Some(Folder(path));
            }
        }
        println!("skipped: no folder of ours that only we and root could change");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file, and the folders that it is in.
    pub(crate) fn write(&self, name: &str, bytes: &[u8], mode: u32) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Runs the program in it.
    pub(crate) fn run(&self, words: &[&str], input: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_failover"));
        let mut child = command
            .args(words)
            .current_dir(&self.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Whoever does not read it has ended with something to say about that.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Said::of(child.wait_with_output().unwrap())
    }

    /// What `check-config` says of a configuration in it.
    pub(crate) fn check(&self, config: &str) -> Said {
        self.write("failover.conf", config.as_bytes(), 0o600);
        self.run(&["check-config", "-c", "failover.conf"], "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs the program on words that need no folder.
pub(crate) fn run(words: &[&str]) -> Said {
    Folder::new().run(words, "")
}

/// How the program ended, and what it said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Said {
    fn of(output: Output) -> Said {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said {
            code: output.status.code().expect("an exit code"),
            out: text(output.stdout),
            errors: text(output.stderr),
        }
    }
}
