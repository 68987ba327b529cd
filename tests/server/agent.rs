//! HAProxy's agent-check as its clients see it: a line, or none, and one line back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use failover::{
    AgentAdmin, AgentReply, AgentSettings, AgentView, Background, Cidr, Hysteresis, ServerHandle,
    State, count, fail, ok, second,
};

use crate::crowd;
use crate::support::{Gate, PATIENCE, Served, a_moment, client, eventually, expect_panics, rest};

fn settings() -> AgentSettings {
    AgentSettings::new("127.0.0.1:0").unwrap()
}

fn served() -> Served {
    Served::new(|server| {
        for (name, state) in [("up", State::Ok), ("down", State::Fail)] {
            let background = Background::new(move || state, second(60), state).unwrap();
            server.add_component(name, background).unwrap();
        }
        server.add_component("on-request", || State::Ok).unwrap();
        server.add_component("dark", || State::Unknown).unwrap();
    })
}

fn agent(served: &Served, settings: AgentSettings) -> SocketAddr {
    served.server.listen_also(settings).unwrap().unwrap()
}

/// What whoever names nothing is told, also who does so too late.
const UNNAMED: &str = "# no component was named\n";

/// Asks until the name was there in time, if there is one: a client that was made to wait between
/// connecting and sending is one that sends nothing.
#[track_caller]
fn ask(address: SocketAddr, line: impl AsRef<[u8]>) -> String {
    let is_name = line.as_ref().first().is_some_and(u8::is_ascii_alphanumeric);
    let mut answer = String::new();
    eventually("a name in time", || {
        answer = rest(client(address, &line));
        !is_name || answer != UNNAMED
    });
    answer
}

#[test]
fn a_named_component_is_answered_for() {
    let served = served();
    let address = agent(&served, settings());
    eventually("the first outcomes", || {
        ask(address, "down\n") == "down #said fail\n"
    });
    for (line, answer) in [
        ("up\n", "up\n"),
        ("up\r\n", "up\n"),
        (" up \n", "up\n"),
        ("down\n", "down #said fail\n"),
        ("on-request\n", "up\n"),
        ("dark\n", "#state unknown\n"),
        ("nothing\n", "# no such component\n"),
        ("\n", UNNAMED),
        ("UP\n", "# no such component\n"),
        ("/up\n", "# no such component\n"),
    ] {
        assert_eq!(ask(address, line), answer, "{line:?}");
    }
    assert_eq!(ask(address, [0xff; 300]), UNNAMED);
    assert_eq!(ask(address, [b'x'; 100_000]), "# no such component\n");
}

#[test]
fn a_name_without_an_end_or_none_is_not_waited_for_long() {
    let served = served();
    let address = agent(&served, settings());
    assert_eq!(ask(address, "up"), "up\n");
    assert_eq!(ask(address, ""), UNNAMED);
    eventually("a lost packet in time", || {
        let mut late = client(address, "");
        a_moment();
        // Whoever is too late is answered already, and may be gone.
        let _ = late.write_all(b"up\n");
        let mut answer = String::new();
        late.read_to_string(&mut answer).is_ok() && answer == "up\n"
    });
    eventually("both halves in time", || {
        let mut half = client(address, "u");
        // Whoever is late is answered for the first half, and may be gone.
        let _ = half.write_all(b"p");
        let _ = half.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        half.read_to_string(&mut answer).is_ok() && answer == "up\n"
    });
}

#[test]
fn a_listener_of_one_component_needs_no_name() {
    let served = served();
    let address = agent(&served, settings().component("down").unwrap());
    eventually("the first outcomes", || {
        ask(address, "") == "down #said fail\n"
    });
    for line in ["", "up\n", "nothing\n", "a\nb\nc\n"] {
        assert_eq!(ask(address, line), "down #said fail\n", "{line:?}");
    }
    let none = agent(&served, settings().component("none").unwrap());
    assert_eq!(ask(none, ""), "# no such component\n");
    assert!(settings().component("/a b").is_err());
}

#[test]
fn it_follows_the_component() {
    let is_up = Arc::new(AtomicBool::new(true));
    let seen = is_up.clone();
    let served = Served::new(|server| {
        let check = move || seen.load(Ordering::SeqCst);
        server.add_component("web", check).unwrap();
    });
    let address = agent(&served, settings());
    for _ in 0..3 {
        is_up.store(true, Ordering::SeqCst);
        assert_eq!(ask(address, "web\n"), "up\n");
        is_up.store(false, Ordering::SeqCst);
        assert_eq!(ask(address, "web\n"), "down #said fail\n");
    }
}

#[test]
fn on_its_way_back_it_is_down_for_that_and_not_for_its_good_answer() {
    let is_up = Arc::new(AtomicBool::new(false));
    let seen = is_up.clone();
    let served = Served::new(|server| {
        let check = Hysteresis::new(move || seen.load(Ordering::SeqCst));
        server
            .add_component("web", check.ok_after(count(3)).unwrap())
            .unwrap();
    });
    let address = agent(&served, settings());
    assert_eq!(ask(address, "web\n"), "down #said fail\n");
    is_up.store(true, Ordering::SeqCst);
    assert_eq!(ask(address, "web\n"), "down #recovering\n");
    assert_eq!(ask(address, "web\n"), "down #recovering\n");
    assert_eq!(ask(address, "web\n"), "up\n");
}

#[test]
fn a_check_that_hangs_claims_nothing_and_holds_nobody_up() {
    let (mut gate, check) = Gate::new();
    let served = Served::new(|server| {
        server.add_component("slow", check).unwrap();
        let up = Background::new(|| true, second(60), ok).unwrap();
        server.add_component("up", up).unwrap();
    });
    let address = agent(&served, settings());
    let waits: Vec<TcpStream> = (0..20).map(|_| client(address, "slow\n")).collect();
    gate.hangs();
    assert_eq!(ask(address, "up\n"), "up\n");
    let started = Instant::now();
    let answers: Vec<String> = waits.into_iter().map(rest).collect();
    let claims = |answer: &String| answer != "#state unknown\n" && answer != UNNAMED;
    assert!(!answers.iter().any(claims), "{answers:?}");
    assert!(started.elapsed() < PATIENCE);
    gate.open();
    eventually("the end of the run", || ask(address, "slow\n") == "up\n");
}

#[test]
fn who_is_not_allowed_is_told_nothing() {
    let served = served();
    let elsewhere = Cidr::try_from("192.0.2.0/24").unwrap();
    let address = agent(&served, settings().allow(elsewhere));
    let mut stream = TcpStream::connect(address).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert_eq!(answer, "");
    assert_eq!(served.server.refused_connections(), 1);
}

/// Maintenance on top of what the components are.
struct Maintenance(ServerHandle);

impl AgentView for Maintenance {
    fn reply(&self, component: &str) -> Option<AgentReply> {
        let reply = self.0.reply(component)?;
        Some(AgentReply {
            admin: AgentAdmin::Drain,
            weight_percent: 25,
            ..reply
        })
    }
}

#[test]
fn a_view_of_ones_own_is_asked_and_controls_what_was_handed_over() {
    let served = served();
    let view = || Maintenance(served.server.handle());
    for (settings, answer) in [
        (settings().view(view()), "down #drain\n"),
        (settings().view(view()).controls_admin(), "drain up\n"),
        (
            settings().view(view()).controls_weight(),
            "down 25% #drain\n",
        ),
        (
            settings().controls_admin().controls_weight(),
            "ready up 100%\n",
        ),
        (
            settings().view(view()).controls_admin().controls_weight(),
            "drain up 25%\n",
        ),
    ] {
        let address = agent(&served, settings);
        assert_eq!(ask(address, "up\n"), answer);
        assert_eq!(ask(address, "nothing\n"), "# no such component\n");
        assert!(served.server.close(address));
    }
}

struct Panics;

impl AgentView for Panics {
    fn reply(&self, _component: &str) -> Option<AgentReply> {
        panic!("meant: a view that panics");
    }
}

#[test]
fn a_view_that_panics_claims_nothing_and_the_next_is_answered() {
    expect_panics();
    let served = served();
    let address = agent(&served, settings().view(Panics));
    for _ in 0..5 {
        assert_eq!(ask(address, "up\n"), "# cannot be told\n");
    }
    assert_eq!(served.get("/up"), "OK");
}

#[test]
fn a_hundred_balancers_are_served_beside_silent_clients() {
    let _crowd = crowd();
    let served = Served::new(|server| {
        let down = Background::new(|| false, second(60), fail).unwrap();
        server.add_component("web", down).unwrap();
    });
    let address = agent(&served, settings());
    eventually("the first outcome", || {
        ask(address, "web\n") == "down #said fail\n"
    });
    let threads: Vec<_> = (0..100)
        .map(|n| {
            thread::spawn(move || {
                // Some in their silence, and all of them several times.
                for _ in 0..5 {
                    let _silent = (n % 2 == 0).then(|| client(address, ""));
                    assert_eq!(ask(address, "web\n"), "down #said fail\n");
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn an_end_of_the_server_is_the_end_of_its_agents() {
    let mut served = served();
    let address = agent(&served, settings());
    let view = Maintenance(served.server.handle());
    let other = agent(&served, settings().view(view));
    let _silent = client(address, "");
    served.end();
    for address in [address, other] {
        let refused = TcpStream::connect_timeout(&address, Duration::from_secs(5));
        assert!(refused.is_err());
    }
}
