//! `failover help`: the manual. Routers have no man pages.
#![forbid(unsafe_code)]

use super::topics::{self, LINE_LEN_MAX, TOPICS};
use super::{Exit, complain_of, say};
use crate::config::schema::{self, Keyword, Place};
use crate::text::joined;

/// What there is, in one screen.
pub(super) const USAGE: &str = "\
usage: failover COMMAND [WORD]...

  run [-c FILE]                      the daemon: check, judge, answer load balancers
  check-config [-c FILE]             say everything that is wrong with a configuration
  explain [-c FILE] [NAME]...        what it means in seconds and in false alarms
  replay [-c FILE] NAME < OUTCOMES   what its rules would have made of outcomes that were
  status                             what the running daemon knows
  events [--follow]                  what happened, and what happens
  reset NAME                         a manual reset
  maint NAME drain|hold|off [for DURATION] [because TEXT]
                                     maintenance of a component
  probe CHECK [SETTING]...           check once; exit 0 when healthy, else 1
  help [COMMAND|KEYWORD|TOPIC]       this, or more about one thing; topics: config paths
                                     reasons metrics all
  version                            the version
";

/// The commands in full.
const COMMANDS: &[(&str, &str)] = &[
    (
        "run",
        "failover run [-c FILE]

  Runs the daemon on a configuration, /etc/failover/failover.conf by default. It
  checks each component and answers load balancers until SIGTERM or SIGINT:

    200 OK       the component is healthy
    503 FAIL     it is not
    500 ERROR    that is not known, or no longer
    404 ERROR    there is no component of that name

  GET, HEAD and OPTIONS are answered under /NAME; a browser finds a page under /.
  SIGHUP reads the configuration again; one that is wrong changes nothing. The
  log is standard error, a line for each change of state.

  Exit codes: 0 ended by a signal, 64 wrong words, 69 an address or the state
  directory is in use, 71 the system refused something, 77 no permission, 78 the
  configuration is wrong.
",
    ),
    (
        "check-config",
        "failover check-config [-c FILE]

  Reads a configuration and all that it includes, and says everything that is
  wrong with it, or worth a warning, with its line. Exit 0 when it can be used,
  else 78.
",
    ),
    (
        "explain",
        "failover explain [-c FILE] [NAME]...

  Says for each component what is asked and how often, how long a failure and a
  recovery take at best, typically and at worst, how often a lossy network would
  raise a false alarm, and what a HAProxy or keepalived that asks adds. From the
  numbers that the daemon uses.
",
    ),
    (
        "replay",
        "failover replay [-c FILE] NAME < OUTCOMES

  Judges outcomes that were by the rules of a component, without asking anybody.
  Each line is SECONDS ok|warn|fail|unknown [reason]; for each one comes
  SECONDS OUTCOME OK|FAIL|ERROR PHASE, the state just after it. A gap is judged
  stale at the next line; a heartbeat that was missed is a fail of its own. A
  line SECONDS reset is a manual reset, where there is one. The summary goes to
  standard error.
",
    ),
    (
        "status",
        "failover status [-s SOCKET | -c FILE] [--json]

  Says what the running daemon knows: the whole, then a line for each component:
  its health, its name, its phase, since when, and the last outcome. --json: all
  of it, as /-/status has it.

  It asks over the daemon's admin socket: the one of -s, or else of the
  configuration, /etc/failover/failover.conf by default. Exit codes: 0 it was
  done, 64 wrong words or nothing of that name, 69 nobody answers or it cannot be
  done now, 74 standard output cannot be written, 77 no permission, 78 no socket
  is known.
",
    ),
    (
        "events",
        "failover events [-s SOCKET | -c FILE] [--follow]

  Says what happened, a line for each event as in the log, with its number in
  front; the daemon keeps the last 256. With --follow it goes on with those to
  come, also of a daemon that is started again. The socket is found as by
  'status'.
",
    ),
    (
        "reset",
        "failover reset [-s SOCKET | -c FILE] NAME

  Resets a component with a manual-reset: while it is failed it becomes ok at
  once and is judged afresh; while it is ok nothing is changed. The socket is
  found as by 'status'.
",
    ),
    (
        "maint",
        "failover maint [-s SOCKET | -c FILE] NAME drain|hold|off [for DURATION] [because TEXT]

  drain: it answers as failed, so that traffic leaves it. hold: it keeps the
  state that it has, after a drain that which its check finds. off: it answers
  what its check finds again. Checking goes on underneath. Without 'for' it lasts
  until it is ended; with a state-dir it outlives a restart. The socket is found
  as by 'status'.

  failover maint web drain for 1h because 'new kernel'
",
    ),
    (
        "probe",
        "failover probe [--nagios] CHECK [SETTING]...

  Checks once and says in one line what was found. The exit code is 0 when the
  target is healthy and 1 in every other case, so that it can be keepalived's
  vrrp_script or MISC_CHECK, which reads 2 and more as a success. With --nagios
  the line and the codes (0, 1, 2, 3) are those of monitoring plugins.

  The words are those of a component in the configuration; exec comes last.

  failover probe tcp 192.0.2.1:25 timeout 2s
  failover probe tcp 192.0.2.1:6379 send 'PING\\r\\n' expect +PONG
  failover probe http http://10.0.0.5/health expect-body fine
",
    ),
    (
        "help",
        "failover help [COMMAND|KEYWORD|TOPIC]

  All of it in short, or one command, keyword or topic in full: config (how one is
  written), paths, reasons (how a check can end), metrics, all.

  --help or -h after a command is its page, too. Options stand before or after a
  command's other words; those of 'probe' before them.
",
    ),
    (
        "version",
        "failover version

  Prints the version; so do --version and -V.
",
    ),
];

/// Whether there is a command of that name.
pub(super) fn is_command(name: &str) -> bool {
    commands().contains(&name)
}

/// The names of the commands.
pub(super) fn commands() -> Vec<&'static str> {
    let mut names = Vec::new();
    for (name, _) in COMMANDS {
        names.push(*name);
    }
    names
}

/// What an unknown word most likely means, to be added to what is said of it; or nothing.
pub(super) fn meant(word: &str, known: &[&str]) -> String {
    match schema::nearest(word, known) {
        Some(meant) => ["; did you mean \"", meant, "\"?"].concat(),
        None => String::new(),
    }
}

pub(super) fn run(words: &[String]) -> Exit {
    let topic = match words {
        [] => {
            say(&overview());
            return Exit::Ok;
        }
        [topic] => topic.as_str(),
        [_, word, ..] => {
            complain_of(format!(
                "failover: help: unexpected {word:?}; expected one topic\n"
            ));
            return Exit::Usage;
        }
    };
    match page(topic) {
        Some(page) => {
            say(&page);
            Exit::Ok
        }
        None => {
            let places = PLACES.map(|(place, _)| place);
            let known = [commands(), schema::names(&places)].concat();
            let mut expected = meant(topic, &known);
            if expected.is_empty() {
                let topics = joined(TOPICS, ", ");
                expected = ["; expected a command, a keyword or one of ", &topics].concat();
            }
            complain_of(format!(
                "failover: help: nothing about {topic:?}{expected}\n"
            ));
            Exit::Usage
        }
    }
}

/// The keywords of each place, under what it is called.
const PLACES: [(Place, &str); 5] = [
    (Place::Block, "blocks, at the beginning of a line:"),
    (Place::Server, "in \"server\":"),
    (Place::Kind, "in \"component\", what is asked:"),
    (
        Place::Check,
        "how that is asked, in \"component\" or \"defaults\":",
    ),
    (
        Place::Component,
        "what is made of it, in \"component\" or \"defaults\":",
    ),
];

/// Of keywords with what follows them, most are shorter.
const WIDTH: usize = 38;

fn overview() -> String {
    let mut text = String::from(USAGE);
    for (place, title) in PLACES {
        text += &format!("\n{title}\n\n");
        for keyword in schema::keywords().filter(|keyword| keyword.place == place) {
            let form = format!("{} {}", keyword.name, keyword.arguments);
            if keyword.default.is_empty() {
                text += &format!("  {}\n", form.trim_end());
                continue;
            }
            text += &format!("  {form:<WIDTH$}");
            // What is too long leaves the line to itself.
            let column = if form.len() > WIDTH {
                LINE_LEN_MAX
            } else {
                WIDTH + 2
            };
            topics::flow(
                &mut text,
                &["default: ", keyword.default].concat(),
                WIDTH + 2,
                column,
            );
            text += "\n";
        }
    }
    text + "\n  A DURATION has a unit: 500ms 10s 5m 2h 1d. A bare whole number is a COUNT.\n"
}

fn page(topic: &str) -> Option<String> {
    if topic == "all" {
        return Some(all());
    }
    let mut pages: Vec<String> = Vec::new();
    let command = COMMANDS.iter().find(|(name, _)| *name == topic);
    pages.extend(command.map(|(_, text)| (*text).to_string()));
    let keywords = schema::keywords().filter(|keyword| keyword.name == topic);
    pages.extend(keywords.map(about));
    pages.extend(topics::page(topic));
    (!pages.is_empty()).then(|| joined(pages, "\n"))
}

/// Everything, with a line between the parts.
fn all() -> String {
    let mut parts = vec![String::from(USAGE)];
    parts.extend(COMMANDS.iter().map(|(_, text)| (*text).to_string()));
    parts.extend(TOPICS.iter().filter_map(|topic| topics::page(topic)));
    parts.extend(schema::keywords().map(about));
    joined(parts, "\n")
}

fn about(keyword: &Keyword) -> String {
    let Keyword {
        name,
        arguments,
        default,
        about,
        example,
        kinds,
        ..
    } = keyword;
    let form = format!("{name} {arguments}");
    let mut text = format!("{}\n\n", form.trim_end());
    for line in about.lines() {
        text += &format!("  {line}\n");
    }
    text += "\n";
    let place = match keyword.place {
        Place::Block => "the beginning of a line",
        Place::Server => "server",
        Place::Kind => "component",
        Place::Component | Place::Check => "component, defaults",
    };
    text += &format!("  in:      {place}\n");
    if !kinds.is_empty() {
        text += &format!("  for:     {}\n", keyword.kinds_in_words());
    }
    if !default.is_empty() {
        text += &format!("  default: {default}\n");
    }
    text + &format!("  example: {example}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_keyword_and_topic_has_its_place_in_the_manual() {
        for (command, _) in COMMANDS {
            assert!(USAGE.contains(&format!("\n  {command} ")), "{command}");
            assert!(
                page(command).is_some_and(|page| page.contains(&format!("failover {command}")))
            );
        }
        for keyword in schema::keywords() {
            assert!(
                overview().contains(&format!("\n  {}", keyword.name)),
                "{}",
                keyword.name
            );
            assert!(page(keyword.name).is_some_and(|page| page.contains(keyword.example)));
        }
        for topic in TOPICS {
            assert!(
                page(topic).is_some_and(|page| page.lines().count() > 5),
                "{topic}"
            );
            assert!(USAGE.contains(topic), "{topic}");
        }
        assert!(page("banana").is_none());
    }
}
