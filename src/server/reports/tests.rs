//! Reports as a client gets them, of components that are described, over real sockets.
#![forbid(unsafe_code)]

#[cfg(test)]
mod events;
#[cfg(test)]
mod health;
#[cfg(test)]
mod status;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::check::Check;
use crate::clock::{ManualClock, locked};
use crate::component::{About, Components, Mount, OnPost};
use crate::decide::background::Background;
use crate::health::{Health, Outcome};
use crate::log::Log;
use crate::server::{Builder, HealthCheckServer};
use crate::wire::json::tests::is_valid;

const SECOND: Duration = Duration::from_secs(1);

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the checks of one test say, by name: each run takes its component's outcome from here.
type Outcomes = Arc<Mutex<Vec<(&'static str, Outcome)>>>;

/// A server on a clock of its own, whose components run every ten seconds.
struct Site {
    /// Ends when it is dropped. Nobody waits for the end, which would wait for the log's writer,
    /// and a log in memory has none.
    server: HealthCheckServer,
    clock: ManualClock,
    log: Log,
    outcomes: Outcomes,
}

impl Site {
    fn with(build: impl FnOnce(Builder) -> Builder) -> Site {
        let (clock, log) = (ManualClock::new(), Log::to_memory());
        let builder = HealthCheckServer::builder().clock(Arc::new(clock.clone()));
        let server = build(builder.log(log.clone())).bind("127.0.0.1:0").unwrap();
        Site {
            server,
            clock,
            log,
            outcomes: Outcomes::default(),
        }
    }

    /// A started server with these components, all of which said this first.
    fn new(components: &[(&'static str, Health, About)]) -> Site {
        let site = Site::with(|builder| builder);
        for (name, health, about) in components {
            site.say(name, Outcome::from(*health));
            site.mount(name, about.clone());
        }
        site.start();
        site
    }

    fn start(&self) {
        drop(self.server.start().unwrap());
        self.settle();
    }

    fn components(&self) -> &Arc<Components> {
        &self.server.shared.components
    }

    fn mount(&self, name: &'static str, about: About) {
        let outcomes = self.outcomes.clone();
        let check = move || {
            let outcomes = locked(&outcomes);
            let outcome = outcomes.iter().find(|(of, _)| *of == name);
            outcome.map_or(Outcome::from(Health::Unknown), |(_, it)| it.clone())
        };
        self.mount_check(name, Box::new(check), None, about);
    }

    fn mount_check(
        &self,
        name: &str,
        check: Box<dyn Check>,
        on_post: Option<Box<dyn OnPost>>,
        about: About,
    ) {
        let background = Background::builder(check, 10)
            .unwrap()
            .clock(Arc::new(self.clock.clone()))
            .start()
            .unwrap();
        self.add(name, Box::new(background), on_post, about);
    }

    fn add(
        &self,
        name: &str,
        check: Box<dyn Check>,
        on_post: Option<Box<dyn OnPost>>,
        about: About,
    ) {
        let mount = Mount {
            name: name.to_string(),
            check,
            on_post,
            about,
        };
        self.components().add(mount).unwrap();
    }

    /// What the component's check says from now on.
    fn say(&self, name: &'static str, outcome: Outcome) {
        let mut outcomes = locked(&self.outcomes);
        outcomes.retain(|(of, _)| *of != name);
        outcomes.push((name, outcome));
    }

    fn settle(&self) {
        self.clock.advance_and_settle(Duration::ZERO);
    }

    /// The next run of every check.
    fn run(&self) {
        self.clock.advance_and_settle(10 * SECOND);
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.server.local_addr()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The status of a GET, and its body, which is JSON where it says so.
    fn get(&self, path: &str) -> (u16, String) {
        let answer = self.ask(&format!("GET {path} HTTP/1.0\r\n\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let is_json = head.contains("json\r\n");
        assert!(!is_json || is_valid(body), "{answer}");
        assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())));
        (head[9..12].parse().unwrap(), body.to_string())
    }

    /// Waits until the answer has this in it: what the dispatcher does is seen a little later.
    #[track_caller]
    fn until(&self, path: &str, text: &str) -> String {
        let until = std::time::Instant::now() + PATIENCE;
        loop {
            let (_, body) = self.get(path);
            if body.contains(text) {
                return body;
            }
            assert!(std::time::Instant::now() < until, "{text} is not in {body}");
            std::thread::yield_now();
        }
    }
}

fn about() -> About {
    About::default()
}

fn optional() -> About {
    About {
        critical: false,
        ..about()
    }
}

fn made_of(members: &[&str]) -> About {
    About {
        members: members.iter().map(|name| name.to_string()).collect(),
        ..about()
    }
}

fn depending_on(names: &[&str]) -> About {
    About {
        depends_on: names.iter().map(|name| name.to_string()).collect(),
        ..about()
    }
}

/// The text with its dates and other wall times masked.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("202") {
        let (before, date) = rest.split_at(at);
        masked.push_str(before);
        let end = date.find('"').unwrap();
        assert_eq!((end, &date[19..20]), (20, "Z"), "{date}");
        masked.push_str("DATE");
        rest = &date[end..];
    }
    masked + rest
}

/// A long text that is written in several lines.
fn joined(lines: &str) -> String {
    lines.lines().map(str::trim_start).collect()
}
