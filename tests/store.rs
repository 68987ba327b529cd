//! The state directory: what it keeps, through kills, damage and full disks.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use failover::{Age, ErrorKind, Store};

use support::{PATIENCE, eventually};

/// A state directory of its own, removed at the end, and what its stores complained of.
struct Place {
    path: PathBuf,
    complaints: Arc<Mutex<Vec<String>>>,
}

impl Place {
    fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("failover-state-{}-{count}", process::id());
        Place {
            path: std::env::temp_dir().join(name),
            complaints: Arc::default(),
        }
    }

    fn open(&self) -> Store {
        let complaints = self.complaints.clone();
        let complain = move |text: &str| complaints.lock().unwrap().push(text.to_string());
        Store::open(&self.path, complain).unwrap()
    }

    fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap().clone()
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.path).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700));
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn bytes(store: &Store, name: &str) -> Option<Vec<u8>> {
    store.load(name).map(|stored| stored.bytes)
}

#[test]
fn what_is_put_is_there_after_a_restart() {
    let place = Place::new();
    let store = place.open();
    store.put_and_wait("web", "one").unwrap();
    store.put_and_wait("latch/a/b.c_D-9", [0, 255, 10]).unwrap();
    store.put("later", "two").unwrap();
    store.put_and_wait("gone", "x").unwrap();
    store.remove_and_wait("gone").unwrap();
    store.remove_and_wait("never-there").unwrap();
    // What waits is written at the end.
    drop(store);
    let store = place.open();
    assert_eq!(bytes(&store, "web").unwrap(), b"one");
    assert_eq!(bytes(&store, "latch/a/b.c_D-9").unwrap(), [0, 255, 10]);
    assert_eq!(bytes(&store, "later").unwrap(), b"two");
    assert_eq!(bytes(&store, "gone"), None);
    assert_eq!(store.names().unwrap(), ["latch/a/b.c_D-9", "later", "web"]);
    let age = store.load("web").unwrap().age;
    assert!(matches!(age, Age::Exactly(age) if age < Duration::from_secs(3_600)));
    let files = ["latch+a+b.c_D-9.state", "later.state", "lock", "web.state"];
    assert_eq!(place.files(), files);
    assert_eq!(place.complaints(), [""; 0]);
}

#[test]
fn its_files_are_for_its_owner_only() {
    let place = Place::new();
    let store = place.open();
    store.put_and_wait("web", "secret").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.path), 0o700);
    assert_eq!(mode(&place.path.join("web.state")), 0o600);
}

#[test]
fn of_many_values_for_one_name_the_last_is_kept() {
    let place = Place::new();
    let store = place.open();
    for n in 0..10_000 {
        store.put("web", n.to_string()).unwrap();
        if n % 1_000 == 0 {
            store.remove("web").unwrap();
        }
    }
    assert!(store.flush(PATIENCE));
    assert_eq!(bytes(&store, "web").unwrap(), b"9999");
    store.put("web", "x").unwrap();
    store.remove_and_wait("web").unwrap();
    assert_eq!(bytes(&store, "web"), None);
}

#[test]
fn a_second_one_is_refused_until_the_first_is_gone() {
    let place = Place::new();
    let store = place.open();
    for _ in 0..3 {
        let error = Store::open(&place.path, |_| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Taken);
        assert!(
            error.to_string().contains("another failover has"),
            "{error}"
        );
    }
    store.put("web", "last").unwrap();
    drop(store);
    assert_eq!(bytes(&place.open(), "web").unwrap(), b"last");
}

#[test]
fn a_damaged_file_is_set_aside_and_told_of() {
    let place = Place::new();
    let store = place.open();
    let path = place.path.join("web.state");
    let too_long = vec![b'x'; 3 * 1024 * 1024];
    let mut count = 0;
    for damage in [
        |bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2),
        |bytes: &mut Vec<u8>| bytes.clear(),
        |bytes: &mut Vec<u8>| *bytes.last_mut().unwrap() ^= 1,
        |bytes: &mut Vec<u8>| bytes[15] = b'2',
        |bytes: &mut Vec<u8>| bytes.fill(0),
        |bytes: &mut Vec<u8>| bytes.extend_from_slice(b"more"),
    ] {
        store.put_and_wait("web", "value").unwrap();
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        assert_eq!(store.load("web"), None);
        assert_eq!(store.load("web"), None, "told of once");
        count += 1;
        let complaints = place.complaints();
        assert_eq!(complaints.len(), count);
        assert!(
            complaints[count - 1].contains("is damaged"),
            "{complaints:?}"
        );
        assert_eq!(fs::read(place.path.join("web.damaged")).unwrap(), bytes);
        assert_eq!(store.names().unwrap(), [""; 0]);
    }
    fs::write(&path, &too_long).unwrap();
    assert_eq!(store.load("web"), None);
    // Neither is what somebody else left there.
    fs::write(place.path.join("NOTES"), "mine").unwrap();
    fs::write(place.path.join("a b.state"), "mine").unwrap();
    assert_eq!(store.names().unwrap(), [""; 0]);
    fs::create_dir(place.path.join("folder.state")).unwrap();
    assert_eq!(store.load("folder"), None);
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let place = Place::new();
    let store = place.open();
    for name in ["", "/a", "a/../b", "a b", "a+b", &"a".repeat(201)] {
        if name == "a/../b" {
            // Only a name: the file is `a+..+b.state`.
            store.put_and_wait(name, "x").unwrap();
            assert_eq!(bytes(&store, name).unwrap(), b"x");
            continue;
        }
        assert_eq!(store.put(name, "x").unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(store.load(name), None);
    }
    let error = store.put("web", vec![0; 1024 * 1024 + 1]).unwrap_err();
    assert!(error.to_string().contains("expected 1048576 at most"));
    let long = "a".repeat(200);
    store.put_and_wait(&long, vec![0; 1024 * 1024]).unwrap();
    assert_eq!(bytes(&store, &long).unwrap().len(), 1024 * 1024);
    let file = place.path.join("file");
    fs::write(&file, "x").unwrap();
    let error = Store::open(file.join("state"), |_| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::System);
}

#[test]
fn what_cannot_be_written_is_complained_of_and_tried_again() {
    let place = Place::new();
    let store = place.open();
    store.put_and_wait("web", "old").unwrap();
    // A folder in the way of the temporary file: root, too, cannot write there.
    let obstacle = place.path.join("web.new");
    fs::create_dir(&obstacle).unwrap();
    let error = store.put_and_wait("web", "refused").unwrap_err();
    assert!(error.to_string().contains("could not be stored"), "{error}");
    store.put("web", "new").unwrap();
    eventually("a complaint", || place.complaints().len() >= 2);
    assert!(place.complaints()[0].contains("cannot be stored in"));
    assert_eq!(bytes(&store, "web").unwrap(), b"old");
    // Others are not kept waiting by it.
    store.put_and_wait("other", "x").unwrap();
    assert!(!store.flush(Duration::from_millis(100)));
    fs::remove_dir(&obstacle).unwrap();
    store.flush(PATIENCE);
    eventually("another try", || bytes(&store, "web").unwrap() == b"new");
}

#[test]
fn too_much_that_waits_is_refused_and_bounded() {
    let place = Place::new();
    let store = place.open();
    store.put_and_wait("web0", "x").unwrap();
    fs::create_dir(place.path.join("web.new")).unwrap();
    store.put("web", "x").unwrap();
    eventually("a complaint", || !place.complaints().is_empty());
    // Now the writer rests.
    let refused = (0..10_000).find(|n| store.put(&format!("w{n}"), "x").is_err());
    assert!(refused.is_some_and(|count| count >= 4_000), "{refused:?}");
    assert!(
        store.put("w0", "newer").is_ok(),
        "a newer value has a place"
    );
    fs::remove_dir(place.path.join("web.new")).unwrap();
    // The writer need not rest any more.
    store.flush(Duration::ZERO);
    eventually("the first to be written", || {
        (1..100).all(|n| bytes(&store, &format!("w{n}")).is_some_and(|value| value == b"x"))
    });
    assert_eq!(bytes(&store, "w0").unwrap(), b"newer");
    // Four thousand take minutes on a disk that is slow, and no time where nothing can be written.
    let aside = place.path.with_extension("aside");
    fs::rename(&place.path, &aside).unwrap();
    drop(store);
    fs::remove_dir_all(&aside).unwrap();
}

/// The variable that makes this very program a writer in that directory.
const WRITER: &str = "FAILOVER_TEST_WRITER";

/// Not a test by itself: what [`kills_leave_whole_values`] starts and kills.
#[test]
fn writer() {
    let Ok(path) = std::env::var(WRITER) else {
        return;
    };
    let store = Store::open(path, |_| {}).unwrap();
    for n in 0_u32.. {
        store.put_and_wait("web", long(n)).unwrap();
        store.put("other", long(n)).unwrap();
        writeln!(std::io::stdout(), "done {n}").unwrap();
    }
}

/// Long enough that a write of it can be seen halfway.
fn long(n: u32) -> String {
    format!("{n} ").repeat(5_000)
}

fn number(value: &[u8]) -> u32 {
    let text = String::from_utf8(value.to_vec()).unwrap();
    let n = text.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(text, long(n));
    n
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn kills_leave_whole_values_and_what_was_acknowledged() {
    let place = Place::new();
    drop(place.open());
    for round in 1..=10 {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writer", "--nocapture"])
            .env(WRITER, &place.path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut child = Killed(child);
        let stdout = BufReader::new(child.0.stdout.take().unwrap());
        let mut done = stdout
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| line.rsplit_once("done ")?.1.parse::<u32>().ok());
        let first = done.nth(round * 3).unwrap();
        child.0.kill().unwrap();
        let acknowledged = done.last().unwrap_or(first);
        child.0.wait().unwrap();
        let store = place.open();
        let web = number(&bytes(&store, "web").unwrap());
        assert!((acknowledged..=acknowledged + 2).contains(&web), "{web}");
        if let Some(other) = bytes(&store, "other") {
            assert!(number(&other) <= web);
        }
        assert!(!place.files().iter().any(|file| file.ends_with(".new")));
        assert_eq!(place.complaints(), [""; 0]);
        store.remove_and_wait("other").unwrap();
    }
}
