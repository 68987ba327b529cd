//! What the manual has beside commands and keywords: the grammar, the paths, the metrics.
#![forbid(unsafe_code)]

use crate::health::Reason;
use crate::server::METRICS;

/// The topics; `all` is everything.
pub(super) const TOPICS: [&str; 5] = ["config", "paths", "reasons", "metrics", "all"];

/// How a configuration is written.
const CONFIG: &str = r#"how a configuration is written:

  server
      listen 0.0.0.0:8080

  component mail
      tcp 192.0.2.1:25
      expect "220"
      every 5s fast 1s
      timeout 1s
      fail-after 3
      ok-after 3

  A line that starts in column 1 opens a block; indented lines are its settings,
  one a line: a keyword and what follows it. What begins with # is a comment.

  "..."     a word with blanks in it; \" \\ \n \r \t \xNN in it stand for bytes
  DURATION  a number with its unit: 500ms 10s 5m 2h 1d
  COUNT     a whole number; M of N: so many of the last so many
  SIZE      bytes, or 16KiB 1MiB 2GiB
  PERCENT   5% 0.5%
  CIDR      192.0.2.0/24 2001:db8::/32 192.0.2.7

  'defaults' applies to every component, wherever it stands; what a component
  says itself counts. 'include' reads another file at its place.

  A path in include, htpasswd, token-file, password-file, state-dir or admin-socket
  may be relative: to the folder of the file that it stands in. What is looked at
  or run, and a track-file, has an absolute path.
"#;

/// What is answered, by path.
const PATHS: &str = "what is answered:

  /NAME              GET HEAD OPTIONS: a component: 200 OK, 503 FAIL or its
                     fail-status, 500 ERROR when that is not known, 404 when there is
                     none. ?format=json explains it
  /NAME              POST: a manual reset or, with ?status=warn or fail, a report
  /                  the page to a browser; to others what the 'default' component says
  /health            health+json: all of it; fails when a critical component does
  /health/live       whether the daemon's own threads go on: no target's fault
  /health/ready      the same, once it has started up
  /health/startup    fails until every component had its first outcome
  /metrics           for Prometheus; see 'failover help metrics'
  /-/status          all that is known, as JSON; ?format=text: a line for each component
  /-/events          what happened last, as JSON or ?format=text; ?after=NUMBER: since then
  /-/reload          POST: reads the configuration again
  /-/reset/NAME      POST: a manual reset
  /-/maint/NAME      POST: mode=drain|hold|off, for=DURATION, because=TEXT

  Paths under /- that change something are for the admin socket and, over TCP, for
  who has a credential of 'admin', and so is why a configuration was refused in
  /-/status. Listeners with 'only components' answer components alone.
";

/// The page of a topic.
pub(super) fn page(topic: &str) -> Option<String> {
    match topic {
        "config" => Some(CONFIG.to_string()),
        "paths" => Some(PATHS.to_string()),
        "reasons" => Some(reasons()),
        "metrics" => Some(metrics()),
        _ => None,
    }
}

fn reasons() -> String {
    let row = |reason: &Reason| format!("\n  {}\n      {}", reason.words(), reason.about());
    let rows: String = Reason::ALL.iter().map(row).collect();
    format!("how a check can end:\n{rows}\n")
}

fn metrics() -> String {
    let row = |(name, kind, about): &(&str, &str, &str)| {
        let mut text = format!("\n  {name} ({kind})");
        flow(&mut text, about, 5, LINE_LEN_MAX);
        text
    };
    let rows: String = METRICS.iter().map(row).collect();
    format!("what /metrics says:\n{rows}\n")
}

/// Lines that a terminal holds.
pub(super) const LINE_LEN_MAX: usize = 80;

/// Adds these words to a text whose last line has so many columns, and goes on in others that
/// begin in that column.
pub(super) fn flow(text: &mut String, words: &str, begin: usize, mut column: usize) {
    for word in words.split(' ') {
        if column + word.len() >= LINE_LEN_MAX {
            *text += &format!("\n{:begin$}", "");
            column = begin;
        }
        text.push(' ');
        *text += word;
        column += word.len() + 1;
    }
}
