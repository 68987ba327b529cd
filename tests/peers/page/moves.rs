//! What a refresh puts below a finger takes no click that was meant for what was there before.

use super::daemon::{Daemon, component, four, status};
use super::{NAMES, row, summary};
use crate::browser::{Browser, HIT};

/// In-page: for the page the time in which it takes no such click does not end.
const HOLD: &str = "performance.now = () => 1e9";

/// Clicks at a place that was aimed at, and says what was hit, if anything.
fn click_at(browser: &mut Browser, place: &str) -> String {
    let (x, y) = place.split_once(' ').unwrap();
    browser.press_mouse(x, y);
    browser.eval(HIT)
}

#[test]
fn another_row_is_not_opened_by_a_click_that_came_late() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let daemon = Daemon::start(&four("d"));
    browser.look(1280, 800, "light");
    browser.open(&daemon.url());
    let opened = "[...document.querySelectorAll('[open] .name')].map(b => b.textContent).join()";
    browser.click(&summary("b"));
    browser.eval(HOLD);
    let place = browser.aim(&summary("d"));
    daemon.say(&four("c"));
    browser.wait_for(&format!("{NAMES} === 'c,a,b,d'"));
    assert_eq!(click_at(&mut browser, &place), "", "c was opened");
    assert_eq!(browser.eval(opened), "b");
    // What stayed where it was takes clicks all the time, and keys are for what has the focus.
    let place = browser.aim(&summary("a"));
    assert_eq!(click_at(&mut browser, &place), "it");
    browser.eval(&format!("{}.focus()", summary("d")));
    browser.press("Enter");
    browser.wait_for(&format!("{opened} === 'a,b,d'"));
    // So does, soon after, what has moved.
    browser.open(&daemon.url());
    daemon.say(&four("d"));
    browser.wait_for(&format!("{NAMES} === 'd,a,b,c'"));
    browser.click(&summary("c"));
    browser.wait_for(&format!("{opened} === 'c'"));
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn another_button_is_not_pressed_by_a_click_that_came_late() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let all = |state: &str| {
        let drained = r#""manual_reset":true,"maint":{"mode":"drain",
            "since":"2026-11-21T04:05:05Z","until":null,"because":""}"#;
        status(&[component("web", state, drained)], "")
    };
    let daemon = Daemon::start(&all("ok"));
    daemon.answer_posts(200, "done");
    browser.look(1280, 800, "light");
    browser.open(&daemon.url());
    browser.click(&summary("web"));
    let button = |nth: u32| format!("{}.querySelectorAll('.acts button')[{nth}]", row("web"));
    browser.wait_for(&format!("{}?.hidden === false", button(1)));
    browser.eval(HOLD);
    let end = browser.aim(&button(1));
    daemon.say(&all("fail"));
    browser.wait_for(&format!("{}.hidden === false", button(0)));
    assert_eq!(click_at(&mut browser, &end), "", "reset");
    assert_eq!(daemon.posts(), [""; 0]);
    browser.eval(&format!("{}.focus()", button(0)));
    browser.press("Enter");
    browser.wait_for(&format!("!!{}.querySelector('.said.ok')", row("web")));
    assert_eq!(daemon.posts(), ["/below/-/reset/web "]);
    assert_eq!(browser.complaints(), [""; 0]);
}
