//! `/-/events`, and what the dispatcher does with events beside telling them.
#![forbid(unsafe_code)]

use std::sync::Weak;

use super::*;
use crate::clock::Clock;
use crate::component::Table;
use crate::component::group::Follow;
use crate::health::maint::{Maint, Mode};

#[test]
fn events_are_numbered_and_blame_what_explains_them() {
    let site = Site::new(&[
        ("dns", Health::Ok, about()),
        ("mail", Health::Ok, depending_on(&["nothing", "dns"])),
    ]);
    site.until("/-/events", r#""last":2"#);
    site.say("dns", Outcome::from(false).with_detail("no <answer>"));
    site.run();
    site.until("/-/events", r#""last":3"#);
    site.say("mail", Outcome::from(false));
    site.run();
    let body = site.until("/-/events?after=2", r#""last":4"#);
    let expected = joined(
        r#"{"events":[{"seq":3,"at":"DATE","component":"dns","what":"changed","from":"ok",
           "to":"fail","phase":"unhealthy","reason":"said fail","detail":"no \u003canswer>",
           "took_ms":0,"run":2,"blamed":null},{"seq":4,"at":"DATE","component":"mail",
           "what":"changed","from":"ok","to":"fail","phase":"unhealthy","reason":"said fail",
           "detail":"","took_ms":0,"run":3,"blamed":"dns"}],"last":4}"#,
    );
    assert_eq!(masked(&body), expected);
    let logged = site.log.lines();
    assert!(
        logged.iter().any(|line| line.ends_with("run=3 blamed=dns")),
        "{logged:?}"
    );
    // Up again it blames nobody.
    site.say("mail", Outcome::from(true));
    site.run();
    let body = site.until("/-/events?after=4", r#""last":5"#);
    assert!(
        body.contains(r#""to":"ok""#) && body.contains(r#""blamed":null"#),
        "{body}"
    );
    assert_eq!(site.get("/-/events?after=5").1, r#"{"events":[],"last":5}"#);
    // The number of another run of the program.
    assert!(site.get("/-/events?after=99").1.contains(r#""seq":1,"#));
    assert_eq!(site.get("/-/events?after=x").0, 400);
}

#[test]
fn the_last_events_are_kept() {
    let site = Site::new(&[("a", Health::Ok, about())]);
    for run in 0..300 {
        site.say("a", Outcome::from(run % 2 == 1));
        site.run();
    }
    let body = site.until("/-/events", r#""last":301"#);
    assert_eq!(body.matches(r#""seq":"#).count(), 256);
    assert!(body.starts_with(r#"{"events":[{"seq":46,"#), "{body}");
}

#[test]
fn a_component_that_flaps_is_folded_into_one_line_a_minute() {
    let site = Site::with(|builder| builder);
    let mut runs = 0;
    // Forty times another state, and then ok for a long time.
    let flaps = move || {
        runs += 1;
        runs > 40 || runs % 2 == 1
    };
    let background = Background::builder(flaps, 1)
        .unwrap()
        .clock(Arc::new(site.clock.clone()))
        .start()
        .unwrap();
    site.add("a", Box::new(background), None, about());
    site.start();
    let lines_with = |what: &str| {
        let lines = site.log.lines();
        lines.iter().filter(|line| line.contains(what)).count()
    };
    site.clock.advance_and_settle(50 * SECOND);
    site.until("/-/events", r#""last":41"#);
    assert_eq!((lines_with(" -> "), lines_with("folded=")), (10, 0));
    // What a human does is logged whatever the component does.
    let component = site.components().find(b"a").unwrap();
    let drain = || Maint {
        mode: Mode::Drain,
        since: site.clock.now(),
        until: None,
        because: String::new(),
    };
    component.board().maintain(Some(drain()));
    site.until("/-/events", r#""last":43"#);
    assert_eq!(
        (lines_with("maintenance=drain"), lines_with(" -> ")),
        (1, 10)
    );
    component.board().maintain(None);
    site.until("/-/events", r#""last":45"#);
    // A minute after the first.
    site.clock.advance_and_settle(11 * SECOND);
    let expected = String::from("component=a folded=33 within=1m state=\"ok\" phase=healthy");
    let lines = site.log.lines();
    assert!(lines.contains(&expected), "{lines:?}");
    // The next minute is quiet, and then all is as before.
    site.clock.advance_and_settle(61 * SECOND);
    assert_eq!((lines_with(" -> "), lines_with("folded=")), (10, 1));
    component.board().maintain(Some(drain()));
    site.until("/-/events", r#""last":47"#);
    assert_eq!((lines_with(" -> "), lines_with("folded=")), (11, 1));
}

#[test]
fn what_is_made_of_a_component_follows_it_at_once() {
    let site = Site::new(&[("part", Health::Ok, about())]);
    let follow = Follow {
        components: Arc::downgrade(site.components()),
        name: String::from("part"),
        critical: true,
        says_name: false,
    };
    // On the clock its next run would be in an hour.
    let whole = Background::builder(follow, 3_600)
        .unwrap()
        .clock(Arc::new(site.clock.clone()))
        .start()
        .unwrap();
    site.add("whole", Box::new(whole), None, made_of(&["part"]));
    site.until("/-/status", r#"{"name":"whole","state":"ok""#);
    site.say("part", Outcome::from(false));
    site.run();
    site.until("/-/status", r#"{"name":"whole","state":"fail""#);
    assert_eq!(site.get("/health").0, 503);
}

#[test]
fn what_is_unmounted_is_forgotten() {
    let site = Site::new(&[("a", Health::Ok, about()), ("b", Health::Ok, about())]);
    let stays = site.components().find(b"b").unwrap();
    let gone: Weak<_> = Arc::downgrade(&site.components().find(b"a").unwrap());
    site.components().replace(Table::of(vec![stays]).unwrap());
    site.settle();
    let until = std::time::Instant::now() + PATIENCE;
    while gone.strong_count() > 0 {
        assert!(std::time::Instant::now() < until, "somebody keeps it");
        std::thread::yield_now();
    }
    assert!(!site.get("/metrics").1.contains(r#"{component="a"}"#));
    assert_eq!(site.get("/a").0, 404);
}
