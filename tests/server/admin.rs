//! The admin socket: who may use it, whose file it is, and what its client makes of hostile peers.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use failover::{AdminSocket, Error, ErrorKind, HealthCheckServer, Log, Post, Reply, second};

use crate::crowd;
use crate::support::{PATIENCE, Served, eventually, has_answer};

/// A folder of its own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("failover-admin-{}-{count}", process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path) -> Result<HealthCheckServer, Error> {
    HealthCheckServer::builder()
        .log(Log::none())
        .admin_socket(path)
        .open()
}

fn served_at(path: &Path) -> Served {
    Served::with(HealthCheckServer::builder().admin_socket(path), |server| {
        server.add_component("up", || true).unwrap();
        let on_post = |post: &Post| {
            let text = format!("{} {}", post.peer(), post.body().len());
            Reply::new(200, text)
        };
        server
            .add_component_with_post("acts", || true, on_post)
            .unwrap();
    })
}

#[test]
fn its_file_is_for_its_owner_only_and_gone_at_the_end() {
    let folder = Folder::new();
    let path = folder.socket();
    let mut served = served_at(&path);
    let metadata = fs::symlink_metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(folder.files(), ["admin.sock"]);
    let admin = AdminSocket::new(&path);
    for _ in 0..20 {
        let (status, body) = admin.request("GET", "/up", b"").unwrap();
        assert_eq!((status, &body[..]), (200, &b"OK"[..]));
    }
    assert_eq!(admin.request("GET", "/nothing", b"").unwrap().0, 404);
    served.end();
    assert_eq!(folder.files(), [""; 0]);
    let error = admin.request("GET", "/up", b"").unwrap_err();
    assert!(error.to_string().starts_with("no failover answers on"));
}

#[test]
fn slow_and_silent_clients_are_parked_here_too() {
    let _crowd = crowd();
    let folder = Folder::new();
    let _served = served_at(&folder.socket());
    let slow: Vec<UnixStream> = (0..50)
        .map(|n| {
            let mut stream = UnixStream::connect(folder.socket()).unwrap();
            stream.write_all([&b""[..], b"GET /up"][n % 2]).unwrap();
            stream
        })
        .collect();
    let admin = AdminSocket::new(folder.socket());
    for _ in 0..20 {
        assert_eq!(admin.request("GET", "/up", b"").unwrap().0, 200);
    }
    let mut finished = slow.into_iter().nth(1).unwrap();
    finished.set_read_timeout(Some(PATIENCE)).unwrap();
    finished.write_all(b" HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    finished.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("OK"), "{answer}");
}

#[test]
fn a_post_over_it_is_trusted_and_has_no_address() {
    let folder = Folder::new();
    let _served = served_at(&folder.socket());
    let admin = AdminSocket::new(folder.socket());
    let body = vec![b'x'; 10_000];
    let (status, text) = admin.request("POST", "/acts", &body).unwrap();
    assert_eq!((status, &text[..]), (200, &b"0.0.0.0:0 10000"[..]));
    let (status, text) = admin.request("POST", "/acts", &[b'x'; 1_000_000]).unwrap();
    assert_eq!(status, 413, "{}", String::from_utf8_lossy(&text));
    let mut stream = UnixStream::connect(folder.socket()).unwrap();
    let foreign = "POST /acts HTTP/1.0\r\nContent-Length: 0\r\nOrigin: http://a.example\r\n\r\n";
    stream.write_all(foreign.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
}

#[test]
fn a_second_server_is_refused_and_takes_nothing_away() {
    let folder = Folder::new();
    let _served = served_at(&folder.socket());
    for _ in 0..3 {
        let error = open(&folder.socket()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Taken);
        assert!(error.to_string().contains("another failover runs"));
    }
    let admin = AdminSocket::new(folder.socket());
    assert_eq!(admin.request("GET", "/up", b"").unwrap().0, 200);
}

#[test]
fn a_queue_that_is_full_is_somebody_s() {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.socket()).unwrap();
    // Its queue has room for some thousand, and whoever is gone again keeps its place there; none
    // of these connects may wait for ever.
    let (sender, receiver) = channel();
    let path = folder.socket();
    thread::spawn(move || {
        while UnixStream::connect(&path).is_ok() {
            if sender.send(()).is_err() {
                return;
            }
        }
    });
    while receiver.recv_timeout(Duration::from_millis(500)).is_ok() {}
    assert_eq!(open(&folder.socket()).unwrap_err().kind(), ErrorKind::Taken);
    let started = Instant::now();
    let admin = AdminSocket::new(folder.socket())
        .timeout(second(1))
        .unwrap();
    assert!(admin.request("GET", "/", b"").is_err());
    assert!(started.elapsed() < PATIENCE);
    drop(listener);
}

#[test]
fn what_a_killed_server_left_is_replaced() {
    let folder = Folder::new();
    // A socket on which nobody listens any more, and the folder that it was being made in.
    drop(UnixListener::bind(folder.socket()).unwrap());
    // Until it starts its program, a process that another test forks has it, too.
    let is_refused = || UnixStream::connect(folder.socket()).is_err();
    eventually("nobody listens", is_refused);
    let unfinished = folder.0.join("admin.sock.new");
    fs::create_dir(&unfinished).unwrap();
    drop(UnixListener::bind(unfinished.join("s")).unwrap());
    let served = served_at(&folder.socket());
    let admin = AdminSocket::new(folder.socket());
    assert_eq!(admin.request("GET", "/up", b"").unwrap().0, 200);
    assert_eq!(folder.files(), ["admin.sock"]);
    drop(served);
    assert_eq!(folder.files(), [""; 0]);
}

#[test]
fn what_is_no_socket_stays() {
    let folder = Folder::new();
    fs::write(folder.socket(), "precious").unwrap();
    let error = open(&folder.socket()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("is no socket"), "{error}");
    assert_eq!(fs::read_to_string(folder.socket()).unwrap(), "precious");
    let error = open(&folder.0.join("no/such/folder.sock")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::System);
    let error = open(&folder.0.join("a".repeat(120))).unwrap_err();
    assert!(error.to_string().contains("listening on"), "{error}");
}

#[test]
fn a_file_that_is_another_s_by_now_stays() {
    let folder = Folder::new();
    let mut served = served_at(&folder.socket());
    fs::rename(folder.socket(), folder.0.join("moved")).unwrap();
    let _other = UnixListener::bind(folder.socket()).unwrap();
    served.end();
    assert!(folder.socket().exists());
}

/// A peer on a Unix socket that reads a request and then does this.
fn peer(folder: &Folder, act: impl FnOnce(UnixStream) + Send + 'static) -> AdminSocket {
    let _ = fs::remove_file(folder.socket());
    let listener = UnixListener::bind(folder.socket()).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4_096]);
        act(stream);
    });
    AdminSocket::new(folder.socket())
}

#[test]
fn an_answer_is_whole_or_an_error() {
    let folder = Folder::new();
    type Act = fn(UnixStream);
    let short = second(1);
    let acts: [(&str, Act); 8] = [
        ("closes", drop),
        ("closes within the head", |mut stream| {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nCont");
        }),
        ("closes within the body", |mut stream| {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nfour");
        }),
        ("sends more than it said", |mut stream| {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nfour");
        }),
        ("says nonsense", |mut stream| {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n\r\n");
        }),
        ("sends a head without end", |mut stream| {
            while stream.write_all(&[b'x'; 4_096]).is_ok() {}
        }),
        ("would send too much", |mut stream| {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n");
            while stream.write_all(&[b'x'; 4_096]).is_ok() {}
        }),
        ("says nothing", |mut stream| {
            let _ = stream.read_to_end(&mut Vec::new());
        }),
    ];
    for (what, act) in acts {
        let admin = peer(&folder, act).timeout(short).unwrap();
        let error = admin.request("GET", "/", b"").expect_err(what);
        assert!(error.to_string().contains("admin.sock"), "{what}: {error}");
    }
    let admin = peer(&folder, |mut stream| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4_096]).is_ok() {}
    });
    assert!(admin.request("GET", "/", b"").is_err(), "endless");
}

#[test]
fn lines_are_handed_out_as_they_come() {
    let folder = Folder::new();
    let (sender, receiver) = channel::<&str>();
    let admin = peer(&folder, move |mut stream| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfirst\n");
        for text in receiver {
            stream.write_all(text.as_bytes()).unwrap();
        }
    });
    let (status, mut lines) = admin.follow("/-/events").unwrap();
    assert_eq!(status, 200);
    assert_eq!(lines.next().unwrap().unwrap(), "first");
    for (sent, line) in [
        ("second\r\n", "second"),
        ("\n", ""),
        ("th\u{e9}\n", "th\u{e9}"),
    ] {
        sender.send(sent).unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), line);
    }
    sender.send("a\nb\nlast").unwrap();
    drop(sender);
    let rest: Vec<String> = lines.by_ref().map(Result::unwrap).collect();
    assert_eq!(rest, ["a", "b", "last"]);
    assert!(lines.next().is_none());

    let admin = peer(&folder, |mut stream| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4_096]).is_ok() {}
    });
    let (_, mut lines) = admin.follow("/-/events").unwrap();
    assert!(lines.next().unwrap().is_err(), "a line without end");
    assert!(lines.next().is_none());
}

#[test]
fn many_ask_at_once() {
    let folder = Folder::new();
    let served = served_at(&folder.socket());
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let admin = AdminSocket::new(folder.socket());
            thread::spawn(move || {
                for _ in 0..25 {
                    assert_eq!(admin.request("GET", "/up", b"").unwrap().0, 200);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    eventually("TCP beside it", || served.get("/up") == "OK");
}

#[test]
fn posts_over_tcp_that_hang_keep_no_administrator_waiting() {
    let _crowd = crowd();
    let folder = Folder::new();
    let path = folder.socket();
    let (release, hangs) = channel::<()>();
    let hangs = std::sync::Mutex::new(hangs);
    let served = Served::with(HealthCheckServer::builder().admin_socket(&path), |server| {
        let on_post = move |_: &Post| {
            let _ = hangs.lock().unwrap().recv_timeout(2 * PATIENCE);
            Reply::new(200, "at last")
        };
        server
            .add_component_with_post("slow", || true, on_post)
            .unwrap();
    });
    let waiting: Vec<_> = (0..70)
        .map(|_| served.client("POST /slow HTTP/1.0\r\n\r\n"))
        .collect();
    // Asking once more could come to wait itself, before the last of these have been read.
    eventually("one is turned away", || waiting.iter().any(has_answer));
    let admin = AdminSocket::new(&path);
    let (status, said) = admin
        .request("POST", "/-/maint/slow", b"mode=drain")
        .unwrap();
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&said));
    assert_eq!(served.get("/slow"), "FAIL");
    drop((release, waiting));
}
