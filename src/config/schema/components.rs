//! What stands in a component: judging, describing, telling.
#![forbid(unsafe_code)]

use super::{Form, Keyword, Place};

/// Those that are asked by themselves, on a schedule.
const SCHEDULED: &[&str] = &[
    "tcp",
    "http",
    "tls",
    "postgres",
    "smtp",
    "dns",
    "file",
    "process",
    "exec",
    "haproxy-traffic",
    "access-log",
];

/// The same and heartbeats, whose reports come every so often.
const TIMED: &[&str] = &[
    "tcp",
    "http",
    "tls",
    "postgres",
    "smtp",
    "dns",
    "file",
    "process",
    "exec",
    "haproxy-traffic",
    "access-log",
    "heartbeat",
];

/// All but heartbeats: a POST to those is a report.
const RESETTABLE: &[&str] = &[
    "tcp",
    "http",
    "tls",
    "postgres",
    "smtp",
    "dns",
    "file",
    "process",
    "exec",
    "haproxy-traffic",
    "access-log",
    "all-of",
    "any-of",
    "majority",
    "at-least",
    "not",
];

pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword::new(
        Place::Component,
        "every",
        Form::List(1),
        "DURATION [fast DURATION] [down DURATION]",
        "The check runs by itself this often, from start to start, and callers are answered from\n\
         memory. 'fast' is the pace while the state is about to change, 'down' while it is\n\
         failed; both are as 'every' by default. For a heartbeat: how often a report is due.",
        "every 5s fast 1s down 10s",
    )
    .default("5s")
    .of(TIMED),
    Keyword::new(
        Place::Component,
        "on-request",
        Form::Alone,
        "",
        "The check runs when somebody asks, once for all who ask at the same time, and they wait\n\
         for it. Nothing else can follow such a component, since nobody may be asking.",
        "on-request",
    )
    .default("off")
    .of(SCHEDULED),
    Keyword::new(
        Place::Component,
        "answer-within",
        Form::Words(1),
        "DURATION",
        "How long a caller of an on-request component waits for the check before it is answered\n\
         500 ERROR. Longer than any sane check takes, so that it ends only the wait for one that\n\
         hangs.",
        "answer-within 15s",
    )
    .default("60s")
    .of(SCHEDULED),
    Keyword::new(
        Place::Component,
        "delay",
        Form::Words(1),
        "DURATION",
        "How long after the start the first check begins.",
        "delay 30s",
    )
    .default("at once; many components are spread over their interval")
    .of(SCHEDULED),
    Keyword::new(
        Place::Component,
        "start",
        Form::Words(1),
        "probe|ok|fail",
        "The state before anything is known. With probe the first outcome decides at once, and a\n\
         caller who comes earlier waits for it.",
        "start fail",
    )
    .default("probe"),
    Keyword::new(
        Place::Component,
        "ok-after",
        Form::Threshold,
        "COUNT|DURATION|M of N",
        "How much consistent success changes fail to ok. As many as the other way round, so that\n\
         recovery is never easier than failure.",
        "ok-after 1m",
    )
    .default("3; at once for heartbeats and what is made of other components"),
    Keyword::new(
        Place::Component,
        "fail-after",
        Form::Threshold,
        "COUNT|DURATION|M of N",
        "How much consistent failure changes ok to fail: so many in a row, for so long, or M of\n\
         the last N. One lost packet is no reason to move traffic.",
        "fail-after 3 of 5",
    )
    .default("3; at once for heartbeats and what is made of other components"),
    Keyword::new(
        Place::Component,
        "stale-after",
        Form::Words(1),
        "DURATION",
        "After this long without a known outcome the state is unknown and answered 500 ERROR, and\n\
         what was counted is forgotten. With on-request, and for a heartbeat: never.",
        "stale-after 30s",
    )
    .default("three times the slowest pace, or once that and twice 'timeout' if longer"),
    Keyword::new(
        Place::Component,
        "manual-reset",
        Form::Optional(2),
        "[htpasswd|token-file FILE]",
        "Once failed, the component stays failed until somebody resets it: 'failover reset NAME',\n\
         the page, or a POST to /NAME with a credential of FILE.",
        "manual-reset htpasswd /etc/failover/users",
    )
    .default("off")
    .of(RESETTABLE),
    Keyword::new(
        Place::Component,
        "critical",
        Form::Words(1),
        "yes|no",
        "Whether /health fails when this component does. What is part of another counts there;\n\
         what runs on request never counts, since looking does not run it.",
        "critical no",
    )
    .default("yes"),
    Keyword::new(
        Place::Component,
        "layer",
        Form::Words(1),
        "infrastructure|platform|application|business",
        "Which layer of the system it looks at, shown by 'explain' and the page. A layer can be\n\
         well while the one above it is not.",
        "layer business",
    ),
    Keyword::new(
        Place::Component,
        "why",
        Form::Words(1),
        "TEXT",
        "Why it is set up as it is, for whoever reads it at night; shown by 'explain' and the\n\
         page.",
        "why \"a deploy restarts in under 2s and must not fail over\"",
    ),
    Keyword::new(
        Place::Component,
        "depends-on",
        Form::List(1),
        "NAME...",
        "Components whose failure explains this one's. It is asked and judged all the same; only\n\
         what is told names the other as the cause.",
        "depends-on router",
    ),
    Keyword::new(
        Place::Component,
        "only-if",
        Form::List(1),
        "NAME...",
        "It is asked only while all of these are ok; otherwise nothing is known of it. For our\n\
         own uplink: when that is down, everything behind it merely looks dead.",
        "only-if uplink",
    )
    .of(SCHEDULED),
    Keyword::new(
        Place::Component,
        "fail-status",
        Form::Words(1),
        "STATUS",
        "The HTTP status that says fail, 400 to 599. 404 with HAProxy's 'disable-on-404' lets\n\
         sessions end instead of cutting them.",
        "fail-status 404",
    )
    .default("503"),
    Keyword::new(
        Place::Component,
        "track-file",
        Form::List(1),
        "PATH [values OK FAIL]",
        "A file that says 0 while it is ok and 1 while it is failed, for keepalived's track_file.\n\
         It is written at every change, not before the first outcome, and kept at exit; while the\n\
         state is unknown it stays as it is.",
        "track-file /run/keepalived/web values 0 20",
    ),
    Keyword::new(
        Place::Component,
        "notify",
        Form::List(1),
        "CONTACT...",
        "The contacts that are told of its changes. This version tells nobody yet.",
        "notify ops",
    ),
];
