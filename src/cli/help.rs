//! `failover help`: the manual. Routers have no man pages.
#![forbid(unsafe_code)]

use super::{Exit, complain, say};
use crate::config::schema::{self, KEYWORDS, Keyword};
use crate::health::Reason;

/// What there is, in one screen.
pub(super) const USAGE: &str = "\
usage: failover COMMAND [WORD]...

  probe tcp HOST:PORT [SETTING]...   check once; exit 0 when healthy, else 1
  serve component NAME tcp HOST:PORT [SETTING]...
                                     check, and answer load balancers under /NAME
  help [COMMAND|KEYWORD|reasons]     this, or more about one thing
  version                            the version
";

/// The commands in full.
const COMMANDS: [(&str, &str); 4] = [
    (
        "probe",
        "failover probe [--nagios] tcp HOST:PORT [SETTING]...

  Checks once and says in one line what was found. The exit code is 0 when the
  target is healthy and 1 in every other case, so that it can be keepalived's
  vrrp_script or MISC_CHECK, which reads 2 and more as a success. With --nagios
  the line and the codes (0, 1, 2, 3) are those of monitoring plugins.

  settings: timeout, source, source-port, family

  failover probe tcp 192.0.2.1:25 timeout 2s
",
    ),
    (
        "serve",
        "failover serve [listen ADDRESS:PORT] [SETTING]... component NAME tcp HOST:PORT [SETTING]...

  Checks each component and answers load balancers until SIGTERM or SIGINT:

    200 OK       the component is healthy
    503 FAIL     it is not
    500 ERROR    that is not known, or no longer
    404 ERROR    there is no component of that name

  GET, HEAD and OPTIONS are answered under /NAME; POST resets what has a
  manual-reset. Changes of state are logged to standard error.

  failover serve listen 0.0.0.0:8080 \\
      component mail tcp 192.0.2.1:25 timeout 10s start fail ok-after 1m fail-after 2m

  Exit codes: 0 ended by a signal, 64 wrong words, 69 the address is in use or
  not this machine's, 71 the system refused something, 77 no permission.
",
    ),
    (
        "help",
        "failover help [COMMAND|KEYWORD|reasons]

  The manual: all of it in short, or one command or keyword in full, or the
  fixed words for how a check ended.
",
    ),
    (
        "version",
        "failover version

  Prints the version.
",
    ),
];

/// Whether there is a command of that name.
pub(super) fn is_command(name: &str) -> bool {
    COMMANDS.iter().any(|(command, _)| *command == name)
}

pub(super) fn run(words: &[String]) -> Exit {
    let topic = match words {
        [] => {
            say(&overview());
            return Exit::Ok;
        }
        [topic] => topic.as_str(),
        [_, word, ..] => {
            complain(&format!(
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
            complain(&format!(
                "failover: help: nothing about {topic:?}; \
                 expected a command, a keyword or 'reasons'\n"
            ));
            Exit::Usage
        }
    }
}

fn overview() -> String {
    let mut text = format!("{USAGE}\nkeywords:\n\n");
    for keyword in &KEYWORDS {
        let form = format!("{} {}", keyword.name, keyword.arguments);
        let default = if keyword.default.is_empty() {
            ""
        } else {
            "default: "
        };
        text += &format!("  {form:<34} {default}{}\n", keyword.default);
    }
    text + "\n  A DURATION has a unit: 500ms 10s 5m 2h 1d. A bare whole number is a COUNT.\n"
}

fn page(topic: &str) -> Option<String> {
    if topic == "reasons" {
        let row = |reason: &Reason| format!("\n  {}\n      {}", reason.words(), reason.about());
        let rows: String = Reason::ALL.iter().map(row).collect();
        return Some(format!("how a check can end:\n{rows}\n"));
    }
    let command = COMMANDS.iter().find(|(name, _)| *name == topic);
    command
        .map(|(_, text)| (*text).to_string())
        .or_else(|| schema::find(topic).map(about))
}

fn about(keyword: &Keyword) -> String {
    let Keyword {
        name,
        arguments,
        default,
        about,
        example,
        ..
    } = keyword;
    let about = about.replace('\n', "\n  ");
    let mut text = format!(
        "{}\n\n  {about}\n\n",
        format!("{name} {arguments}").trim_end()
    );
    if !default.is_empty() {
        text += &format!("  default: {default}\n");
    }
    text + &format!("  example: {example}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_keyword_and_reason_has_its_place_in_the_manual() {
        for (command, _) in COMMANDS {
            assert!(USAGE.contains(&format!("\n  {command} ")), "{command}");
            assert!(
                page(command).is_some_and(|page| page.contains(&format!("failover {command}")))
            );
        }
        for keyword in &KEYWORDS {
            assert!(
                overview().contains(&format!("\n  {} ", keyword.name)),
                "{}",
                keyword.name
            );
            assert!(page(keyword.name).is_some_and(|page| page.contains(keyword.example)));
        }
        let reasons = page("reasons").unwrap_or_default();
        assert!(
            Reason::ALL
                .iter()
                .all(|reason| reasons.contains(reason.words()))
        );
        assert!(page("banana").is_none());
    }
}
