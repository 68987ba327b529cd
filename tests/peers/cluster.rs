//! PostgreSQL servers of a test's own: made with `initdb`, run without root's rights, stopped and
//! removed with the test. In Debian they come with the package `postgresql`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use failover::{PostgresCheck, second};

use crate::support::{Folder, command, free_port, run, said, skip};

/// Where Debian keeps the programs of its versions, which are not in anybody's path.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Who runs the server where the tests run as root, which PostgreSQL refuses.
const SERVER_USER: &str = "postgres";

/// The programs of the newest version, or `None` once they were said to be missing.
pub(crate) fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let newest = versions
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").is_file())
        .max_by_key(|bin| version_of(bin));
    if newest.is_none() {
        skip("postgresql", "it is not on this machine");
    }
    newest
}

fn version_of(bin: &Path) -> u32 {
    let version = bin.parent().and_then(Path::file_name);
    let version = version.and_then(|version| version.to_str());
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

/// A server on a port of its own. It is stopped when this is dropped, and its files go.
pub(crate) struct Cluster {
    bin: PathBuf,
    /// The numbers of user and group to run as, if not our own.
    ids: Option<(u32, u32)>,
    port: u16,
    folder: Folder,
}

impl Cluster {
    /// A primary that runs with these settings, one `name = value` a line, and lets in by these
    /// lines of `pg_hba.conf` after those for itself: replication and `postgres` by trust.
    /// `None` where there is no PostgreSQL.
    pub(crate) fn primary(name: &str, settings: &str, hba: &str) -> Option<Cluster> {
        let cluster = Cluster::new(programs()?, name);
        cluster.said("initdb", &["--no-sync", "-A", "trust", "-U", "postgres"]);
        let hba = format!(
            "local all all trust\nhost replication all 127.0.0.1/32 trust\n\
             host all postgres 127.0.0.1/32 trust\n{hba}\n"
        );
        cluster.write("data/pg_hba.conf", &hba);
        cluster.set(settings);
        cluster.start();
        Some(cluster)
    }

    /// A standby that follows this server. It is not started.
    pub(crate) fn standby(&self, name: &str, settings: &str) -> Cluster {
        let standby = Cluster::new(self.bin.clone(), name);
        let from = format!("host=127.0.0.1 port={} user=postgres", self.port);
        let words = ["-R", "--no-sync", "-c", "fast", "-d", &from];
        standby.said("pg_basebackup", &words);
        standby.set(settings);
        standby
    }

    fn new(bin: PathBuf, name: &str) -> Cluster {
        let folder = Folder::new(name);
        let ids = (id("-un", None) == "root").then(|| {
            let number = |flag| id(flag, Some(SERVER_USER)).parse().unwrap();
            (number("-u"), number("-g"))
        });
        if let Some((user, group)) = ids {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        Cluster {
            bin,
            ids,
            port: free_port(),
            folder,
        }
    }

    /// Adds to the settings; what a running server makes of it is up to [`Cluster::reload`]. The
    /// last value counts.
    pub(crate) fn set(&self, settings: &str) {
        let path = self.folder.file("data/postgresql.conf");
        let before = fs::read_to_string(&path).unwrap();
        let place = self.folder.path().display();
        let own = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{place}'\n\
             fsync = off\nlc_messages = 'C'\nwal_retrieve_retry_interval = 200\n",
            self.port
        );
        self.write(
            "data/postgresql.conf",
            &format!("{before}\n{own}{settings}\n"),
        );
    }

    /// Starts, and waits until it is up; one that never takes connections counts as well.
    pub(crate) fn start(&self) {
        let log = self.log_path();
        self.control(&["-w", "-l", &log.display().to_string(), "start"]);
    }

    /// Stops by `smart`, `fast` or `immediate`, and waits for the end.
    pub(crate) fn stop(&self, mode: &str) {
        self.control(&["-w", "-m", mode, "stop"]);
    }

    /// Begins to stop, and does not wait.
    pub(crate) fn stop_later(&self, mode: &str) {
        self.control(&["-W", "-m", mode, "stop"]);
    }

    pub(crate) fn reload(&self) {
        self.control(&["reload"]);
    }

    /// Makes a standby a primary, and waits until it is one.
    pub(crate) fn promote(&self) {
        self.control(&["-w", "promote"]);
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A check of it, with time enough.
    pub(crate) fn check(&self) -> PostgresCheck {
        PostgresCheck::new("127.0.0.1", self.port, second(30)).unwrap()
    }

    /// What `psql` prints of this, as superuser.
    pub(crate) fn sql(&self, text: &str) -> String {
        said(&mut self.psql(text)).trim().to_string()
    }

    /// `psql` as superuser, to be run.
    pub(crate) fn psql(&self, text: &str) -> Command {
        let mut psql = self.program("psql");
        psql.arg("-h").arg(self.folder.path());
        psql.args(["-p", &self.port.to_string(), "-U", "postgres"]);
        psql.args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text]);
        psql
    }

    /// All that the server has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// A file for a check's password, that only its owner may read.
    pub(crate) fn password_file(&self, name: &str, password: &str) -> PathBuf {
        let path = self.folder.write(name, password);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn log_path(&self) -> PathBuf {
        self.folder.file("log")
    }

    fn control(&self, words: &[&str]) {
        self.said("pg_ctl", words);
    }

    /// Runs a program of the server on its data.
    fn said(&self, program: &str, words: &[&str]) -> String {
        let mut command = self.program(program);
        said(command.arg("-D").arg(self.folder.file("data")).args(words))
    }

    fn program(&self, name: &str) -> Command {
        let mut command = command(self.bin.join(name));
        command.current_dir("/").env("LC_ALL", "C");
        for name in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGOPTIONS"] {
            command.env_remove(name);
        }
        if let Some((user, group)) = self.ids {
            command.uid(user).gid(group);
        }
        command
    }

    /// Writes a file of the server's own.
    fn write(&self, name: &str, text: &str) {
        let path = self.folder.write(name, text);
        if let Some((user, group)) = self.ids {
            chown(path, Some(user), Some(group)).unwrap();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.program("pg_ctl");
        stop.arg("-D").arg(self.folder.file("data"));
        // It may have been stopped already, which is said, and no matter.
        run(stop.args(["-w", "-m", "immediate", "stop"]));
    }
}

fn id(flag: &str, user: Option<&str>) -> String {
    said(command("id").arg(flag).args(user)).trim().to_string()
}
