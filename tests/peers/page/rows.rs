//! In what order the rows stand, and how much of what they say is seen.

use super::daemon::{Daemon, component, status};
use super::{BEYOND, NAMES, row, text_of};
use crate::browser::Browser;

/// As people count, in the list, below a composite, and in the headline.
#[test]
fn two_comes_before_ten() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let mut all: Vec<String> = ["c10", "c2", "c1", "e10", "e9", "d10", "d9", "D1"]
        .map(|name| component(name, if name < "e" { "fail" } else { "ok" }, ""))
        .into();
    all.push(component("inner", "ok", r#""members":["e10","e9"]"#));
    all.push(component("all", "ok", r#""members":["inner","d10","d9"]"#));
    let daemon = Daemon::start(&status(&all, ""));
    browser.open(&daemon.url());
    assert_eq!(browser.eval(NAMES), "all,c1,c2,c10,D1");
    let below = format!(
        "[...{}.querySelectorAll('.name')].map(name => name.textContent).join()",
        row("all")
    );
    assert_eq!(browser.eval(&below), "all,d9,d10,inner,e9,e10");
    assert_eq!(
        browser.eval(&text_of("headline")),
        "6 of 10 failed: c1, c2, c10, D1 \u{2026}"
    );
    assert_eq!(browser.complaints(), [""; 0]);
}

/// What is found is what a row of trouble is for; of what is well a line is enough.
#[test]
fn long_texts_leave_room_for_the_rest() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let name = "a-datacentre/".repeat(9) + "last";
    let long = format!(
        r#""detail":"{}""#,
        "expected OK and got nothing ".repeat(20)
    );
    let until = r#""runs":0,"maint":{"mode":"drain","since":"2026-11-21T03:04:05Z",
        "until":"2026-11-22T05:04:05Z","because":"kernel update"}"#;
    let all = [
        component(&name, "fail", &long),
        component("well", "ok", &long),
        component("drained", "fail", until),
    ];
    let daemon = Daemon::start(&status(&all, ""));
    for (width, name_lines_max) in [(1280, 6), (360, 6)] {
        browser.look(width, 740, "light");
        browser.open(&daemon.url());
        let lines = |of: &str, element: &str| {
            format!(
                "(() => {{ const e = {of}.querySelector('{element}'); return Math.round( \
                 e.offsetHeight / parseFloat(getComputedStyle(e).lineHeight)); }})()"
            )
        };
        assert_eq!(browser.eval(&lines(&row(&name), ".about")), "3", "{width}");
        assert_eq!(browser.eval(&lines(&row("well"), ".about")), "1", "{width}");
        let name_lines = browser.eval(&lines(&row(&name), ".name"));
        assert!(name_lines.parse::<u32>().unwrap() <= name_lines_max);
        let headline = browser.eval(&lines("document", "h1"));
        assert!(headline.parse::<u32>().unwrap() <= 3, "{headline}");
        assert_eq!(browser.eval(BEYOND), "", "{width}");
        browser.picture(&format!("long-{width}"));
    }
    let note = format!("{}.querySelector('.about b').textContent", row("drained"));
    let note = browser.eval(&note);
    assert!(note.starts_with("drained until 2026-11-22 "), "{note}");
    assert!(note.contains(": kernel update, since "), "{note}");
    // Of what never ran there is no time that it took.
    let took = format!("{}.querySelector('.took').textContent", row("drained"));
    assert_eq!(browser.eval(&took), "");
    assert!(
        browser.eval(&text_of("foot")).contains("GMT"),
        "whose times"
    );
    assert_eq!(browser.complaints(), [""; 0]);
}
