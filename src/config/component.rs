//! A component as it is planned: read and checked, not yet running.
#![forbid(unsafe_code)]

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::blocks::{Block, Setting, incomplete};
use super::checks;
use super::defaults::{is_composite, with_defaults};
use super::lex::Word;
use super::problem::{At, Problems};
use super::schema::Place;
use super::section::Section;
use super::server::{Credential, credential};
use crate::auth::Guard;
use crate::check::Check;
use crate::check::prober::Pace;
use crate::component::{About, Layer, checked_name};
use crate::decide::rules::Rules;
use crate::health::State;
use crate::sys::file::may_write;
use crate::text::joined;
use crate::units::{Rule, Span, Threshold};

/// Seed 002: 5000 ms.
const EVERY: Span = Span::seconds(5);

/// Seed 002: 3000 ms.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);

/// Seed 002: three to fail; ours: three to recover, not fewer.
const THRESHOLD: i32 = 3;

/// How often what is known already is looked at: heartbeats that may have become due, composites
/// whose members only warn. Changes are followed at once.
pub(crate) const LOOK_EVERY: Span = Span::seconds(1);

/// What is made of more than these is made of groups, so that people see which part is wrong.
const MEMBERS_MAX: usize = 1_000;

/// A component as it is planned.
pub(crate) struct ComponentPlan {
    pub(crate) name: String,
    pub(crate) at: At,
    /// Its own settings, and the defaults that apply.
    pub(crate) settings: Vec<Setting>,
    pub(crate) kind: &'static str,
    /// Taken when it is given its threads.
    pub(crate) asks: Option<Asks>,
    pub(crate) judging: Judging,
    pub(crate) about: About,
    pub(crate) only_if: Vec<Name>,
    pub(crate) track: Option<Track>,
    pub(crate) reset: Option<Option<Credential>>,
    /// Its credential, opened; taken when it is given its threads.
    pub(crate) guard: Option<Guard>,
    /// As they stand, for what is wrong only together with others.
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) window: Option<Duration>,
}

/// The name of another component, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) at: At,
}

impl Name {
    pub(crate) fn of(word: &Word) -> Name {
        Name {
            name: word.text.clone(),
            at: word.at,
        }
    }
}

/// What a component asks.
pub(crate) enum Asks {
    /// The world.
    Check(Box<dyn Check>),
    /// Whoever reports.
    Heartbeat {
        /// From one report to the next at most.
        silence_max: Duration,
        credential: Option<Credential>,
    },
    /// Other components.
    Others(Others),
}

/// What is made of other components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Others {
    /// How many have to be ok.
    pub(crate) needed: usize,
    /// Whether the outcome is turned round.
    pub(crate) is_not: bool,
    pub(crate) names: Vec<Name>,
    pub(crate) non_critical: Vec<Name>,
}

/// When it is asked, and what is made of the outcomes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judging {
    pub(crate) start: State,
    pub(crate) ok_after: Threshold,
    pub(crate) fail_after: Threshold,
    pub(crate) schedule: Schedule,
    pub(crate) delay: Option<Duration>,
    pub(crate) stale_after: Option<Duration>,
    /// For one check in all, where it waits for anybody.
    pub(crate) timeout: Option<Duration>,
}

/// When a component is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schedule {
    Every(Pace),
    OnRequest,
}

/// A file that says the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Track {
    pub(crate) path: PathBuf,
    pub(crate) ok: String,
    pub(crate) fail: String,
}

impl ComponentPlan {
    /// Reads one component with the defaults that apply to it.
    pub(crate) fn read(
        block: &Block,
        defaults: &[Setting],
        problems: &Problems,
    ) -> Option<ComponentPlan> {
        let word = block.name.as_ref().filter(|_| !block.is_broken)?;
        let name = problems.or_error(word.at, checked_name(&word.text))?;
        let kind = kind_of(block, problems)?;
        let settings = with_defaults(block, kind, defaults, &name, problems);
        let section = Section {
            settings: &settings,
            problems,
            at: block.at,
            owner: Some(&name),
        };
        let judging = judging(&section, kind.keyword.name);
        let asks = asks(kind, &section, &judging);
        let about = about(kind, &section, &judging, asks.as_ref());
        Some(ComponentPlan {
            name: name.clone(),
            at: word.at,
            kind: kind.keyword.name,
            only_if: names(&section, "only-if"),
            track: section
                .find("track-file")
                .and_then(|setting| track(setting, problems)),
            reset: section
                .find("manual-reset")
                .map(|setting| credential(setting, problems)),
            guard: None,
            connect_timeout: section.span("connect-timeout"),
            window: section.span("window"),
            asks: Some(asks?),
            judging,
            about,
            settings,
        })
    }

    /// Who may report or reset, where it says so.
    pub(crate) fn credential(&self) -> Option<&Credential> {
        match (&self.reset, &self.asks) {
            (Some(reset), _) => reset.as_ref(),
            (None, Some(Asks::Heartbeat { credential, .. })) => credential.as_ref(),
            _ => None,
        }
    }

    /// Its setting of that keyword, its own or from the defaults.
    pub(crate) fn setting(&self, keyword: &str) -> Option<&Setting> {
        let mut settings = self.settings.iter();
        settings.find(|setting| setting.keyword.name == keyword)
    }

    /// Whether it would run as the other does, so that the other can go on.
    pub(crate) fn runs_as(&self, other: &ComponentPlan) -> bool {
        same_settings(&self.settings, &other.settings, &|_| true)
    }

    /// Whether it asks the same question as the other, however it judges the answers.
    pub(crate) fn asks_as(&self, other: &ComponentPlan) -> bool {
        same_settings(&self.settings, &other.settings, &|setting| {
            matches!(setting.keyword.place, Place::Kind | Place::Check)
        })
    }

    /// The longest that one check can take; nothing where it only looks at what is known.
    pub(crate) fn budget(&self) -> Option<Duration> {
        match &self.asks {
            Some(Asks::Check(check)) => check.budget(),
            _ => None,
        }
    }

    /// How its outcomes are judged.
    pub(crate) fn rules(&self) -> Rules {
        let judging = &self.judging;
        let otherwise = match judging.schedule {
            Schedule::Every(pace) => Some(pace.stale_after(self.budget())),
            Schedule::OnRequest => None,
        };
        Rules {
            start: judging.start,
            ok_after: judging.ok_after,
            fail_after: judging.fail_after,
            stale_after: judging.stale_after.or(otherwise),
            manual_reset: self.reset.is_some(),
        }
    }

    pub(crate) fn is_composite(&self) -> bool {
        is_composite(self.kind)
    }

    /// The components that have to exist for this one, with what it takes them for.
    pub(crate) fn uses(&self) -> Vec<(&'static str, Name)> {
        let mut uses = Vec::new();
        if let Some(Asks::Others(others)) = &self.asks {
            uses.extend(others.names.iter().map(|name| (self.kind, name.clone())));
        }
        uses.extend(self.only_if.iter().map(|name| ("only-if", name.clone())));
        let depends = self.settings.iter();
        let depends = depends.filter(|setting| setting.keyword.name == "depends-on");
        for setting in depends {
            let names = setting.words.iter().map(Name::of);
            uses.extend(names.map(|name| ("depends-on", name)));
        }
        uses
    }
}

impl fmt::Debug for ComponentPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComponentPlan({} {})", self.name, self.about.asks)
    }
}

fn same_settings(one: &[Setting], other: &[Setting], counts: &dyn Fn(&Setting) -> bool) -> bool {
    let one: Vec<&Setting> = one.iter().filter(|setting| counts(setting)).collect();
    let other: Vec<&Setting> = other.iter().filter(|setting| counts(setting)).collect();
    let found = |setting: &&Setting| other.iter().any(|other| other.says_as(setting));
    one.len() == other.len() && one.iter().all(found)
}

/// What is asked: exactly one of the block's settings says so.
fn kind_of<'a>(block: &'a Block, problems: &Problems) -> Option<&'a Setting> {
    let mut kinds = block.settings.iter();
    let mut kinds = kinds
        .by_ref()
        .filter(|setting| setting.keyword.place == Place::Kind);
    let Some(first) = kinds.next() else {
        // What could not be read may have been it.
        if block.is_doubtful {
            return None;
        }
        let message = "this component asks nothing; expected a check, such as: tcp HOST:PORT";
        problems.error(block.at, message);
        return None;
    };
    for other in kinds {
        problems.error(
            other.at,
            format!(
                "{:?} after {:?}: a component asks one thing; expected two components, and one \
                 made of both: all-of NAME NAME",
                other.keyword.name, first.keyword.name
            ),
        );
    }
    Some(first)
}

fn judging(section: &Section<'_>, kind: &str) -> Judging {
    let follows = is_composite(kind) || kind == "heartbeat";
    let default = if follows { 1 } else { THRESHOLD };
    let default = || Threshold::try_from(default).unwrap_or(Threshold::ONE);
    let states = [
        ("probe", State::Unknown),
        ("ok", State::Ok),
        ("fail", State::Fail),
    ];
    let schedule = schedule(section, follows);
    let shortest = match schedule {
        Schedule::Every(pace) => TIMEOUT.min(shortest(pace)),
        Schedule::OnRequest => TIMEOUT,
    };
    let waits = checks::waits(kind);
    // Silence is for a heartbeat to judge; the one before the first report is none.
    let never = (kind == "heartbeat").then_some(Span::MAX);
    Judging {
        start: section.choice("start", &states).unwrap_or(State::Unknown),
        ok_after: section.value("ok-after").unwrap_or_else(default),
        fail_after: section.value("fail-after").unwrap_or_else(default),
        schedule,
        delay: section.span("delay"),
        stale_after: section.span("stale-after").or(never),
        timeout: waits.then(|| section.span("timeout").unwrap_or(shortest)),
    }
}

fn schedule(section: &Section<'_>, follows: bool) -> Schedule {
    let every = section.find("every");
    if let (Some(on_request), Some(every)) = (section.find("on-request"), every) {
        let message = format!(
            "\"on-request\" and \"every\" in line {}; expected one of them",
            every.at.line
        );
        section.problems.error(on_request.at, message);
    }
    if section.has("on-request") {
        return Schedule::OnRequest;
    }
    if follows {
        return Schedule::Every(Pace::even(LOOK_EVERY));
    }
    let pace = every.and_then(|every| pace(every, section.problems));
    Schedule::Every(pace.unwrap_or(Pace::even(EVERY)))
}

/// `5s fast 1s down 10s`.
fn pace(setting: &Setting, problems: &Problems) -> Option<Pace> {
    let span = |word: &Word| problems.or_error(word.at, Span::try_from(word.text.as_str()));
    let (first, mut rest) = setting.words.split_first()?;
    let mut pace = Pace::even(span(first)?);
    let (mut fast, mut down) = (None, None);
    while let Some((word, after)) = rest.split_first() {
        let expected = setting.keyword.arguments;
        let slot = match word.text.as_str() {
            "fast" => &mut fast,
            "down" => &mut down,
            other => {
                let message = format!(
                    "{other:?} is no pace; expected {expected}, and a setting on a line of its own"
                );
                problems.error(word.at, message);
                return None;
            }
        };
        let Some(value) = after.first() else {
            let message = format!(
                "{:?} is followed by nothing; expected {expected}",
                word.text
            );
            problems.error(word.at, message);
            return None;
        };
        if slot.replace(span(value)?).is_some() {
            let message = format!("{:?} stands twice; expected {expected}", word.text);
            problems.error(word.at, message);
            return None;
        }
        rest = &after[1..];
    }
    pace.fast = fast.unwrap_or(pace.every);
    pace.down = down.unwrap_or(pace.every);
    Some(pace)
}

/// The shortest time from one start to the next.
pub(crate) fn shortest(pace: Pace) -> Duration {
    pace.every.min(pace.fast).min(pace.down).duration()
}

fn asks(kind: &Setting, section: &Section<'_>, judging: &Judging) -> Option<Asks> {
    match kind.keyword.name {
        "heartbeat" => {
            let Some(every) = section.find("every") else {
                let message = "a heartbeat without \"every\"; expected how often a report is due";
                section.problems.error(kind.at, message);
                return None;
            };
            if let [_, word, ..] = every.words.as_slice() {
                let message = format!(
                    "{:?} is no pace of a heartbeat; expected DURATION, and a setting on a line \
                     of its own",
                    word.text
                );
                section.problems.error(word.at, message);
                return None;
            }
            let every = pace(every, section.problems)?.every.duration();
            let grace = section.span("grace").unwrap_or(every);
            Some(Asks::Heartbeat {
                silence_max: every.saturating_add(grace),
                credential: credential(kind, section.problems),
            })
        }
        name if is_composite(name) => others(kind, section).map(Asks::Others),
        _ => checks::check(kind, section, judging.timeout).map(Asks::Check),
    }
}

/// `all-of A B`, `majority of A B C`, `at-least 2 of A B C`, `not A`.
fn others(kind: &Setting, section: &Section<'_>) -> Option<Others> {
    let problems = section.problems;
    let texts: Vec<&str> = kind.words.iter().map(|word| word.text.as_str()).collect();
    let (needed, names): (Option<&str>, &[Word]) = match (kind.keyword.name, texts.as_slice()) {
        ("all-of" | "any-of" | "not", _) => (None, &kind.words),
        ("majority", ["of", ..]) => (None, &kind.words[1..]),
        ("at-least", [needed, "of", ..]) => (Some(needed), &kind.words[2..]),
        _ => {
            problems.error(kind.at, incomplete(kind.keyword, &kind.words));
            return None;
        }
    };
    let count = names.len();
    if count > MEMBERS_MAX {
        let message = format!("made of {count} components; expected at most {MEMBERS_MAX}");
        problems.error(kind.at, message);
        return None;
    }
    let needed = match (kind.keyword.name, needed) {
        ("any-of", _) => 1,
        ("majority", _) => count / 2 + 1,
        (_, Some(text)) => match text.parse() {
            Ok(needed) if (1..=count).contains(&needed) => needed,
            _ => {
                let message =
                    format!("{text:?} of {count} components cannot be; expected 1 to {count}");
                problems.error(kind.value_at(), message);
                return None;
            }
        },
        _ => count,
    };
    let names: Vec<Name> = names.iter().map(Name::of).collect();
    for (index, name) in names.iter().enumerate() {
        if names[..index].iter().any(|before| before.name == name.name) {
            problems.error(
                name.at,
                format!("{:?} stands twice; expected it once", name.name),
            );
        }
    }
    let non_critical = self::names(section, "non-critical");
    for name in &non_critical {
        if !names.iter().any(|member| member.name == name.name) {
            let members = joined(names.iter().map(|it| &it.name), ", ");
            let message = format!(
                "{:?} is no part of it; expected one of {members}",
                name.name
            );
            problems.error(name.at, message);
        }
    }
    let spared = names
        .iter()
        .filter(|it| non_critical.iter().any(|other| other.name == it.name));
    if let (Some(first), true) = (non_critical.first(), spared.count() >= needed) {
        let message = format!(
            "it can never fail: {needed} of {count} are needed, and as many are non-critical; \
             expected fewer"
        );
        problems.error(first.at, message);
    }
    Some(Others {
        needed,
        is_not: kind.keyword.name == "not",
        names,
        non_critical,
    })
}

fn names(section: &Section<'_>, keyword: &str) -> Vec<Name> {
    let words = section.find(keyword).map(|setting| &setting.words);
    words.into_iter().flatten().map(Name::of).collect()
}

/// What is asked, for everybody who may look: without the query of a URL and the arguments of a
/// program, which may hold credentials.
fn shown(kind: &Setting) -> String {
    let (name, text) = (kind.keyword.name, kind.text());
    let shown = match (name, kind.words.first()) {
        ("http", _) => text.split_once('?').map(|(url, _)| format!("{url}?...")),
        ("exec", Some(program)) if kind.words.len() > 1 => Some(format!("{} ...", program.text)),
        _ => None,
    };
    let text = shown.unwrap_or(text);
    format!("{name} {text}").trim_end().to_string()
}

fn about(kind: &Setting, section: &Section<'_>, judging: &Judging, asks: Option<&Asks>) -> About {
    let members = match asks {
        Some(Asks::Others(others)) => others.names.iter().map(|it| it.name.clone()).collect(),
        _ => Vec::new(),
    };
    let every = match judging.schedule {
        Schedule::Every(pace) => Some(pace.every.duration()),
        Schedule::OnRequest => None,
    };
    // What people want to know of a heartbeat is how often a report is due.
    let due = |every: &Setting| pace(every, section.problems);
    let is_heartbeat = matches!(asks, Some(Asks::Heartbeat { .. }));
    let due = section.find("every").filter(|_| is_heartbeat).and_then(due);
    let every = due.map(|due| due.every.duration()).or(every);
    let layers = Layer::ALL.map(|layer| (layer.word(), layer));
    let yes_or_no = [("yes", true), ("no", false)];
    let fail_status = section.number("fail-status", 400, 599);
    About {
        asks: shown(kind),
        every,
        layer: section.choice("layer", &layers),
        why: section.text("why").unwrap_or_default(),
        critical: section.choice("critical", &yes_or_no).unwrap_or(true),
        members,
        depends_on: section.words("depends-on"),
        manual_reset: section.has("manual-reset"),
        heartbeat: kind.keyword.name == "heartbeat",
        answer_within: section.span("answer-within"),
        fail_status: fail_status
            .and_then(|status| u16::try_from(status).ok())
            .unwrap_or(503),
    }
}

/// `PATH`, or `PATH values OK FAIL`.
fn track(setting: &Setting, problems: &Problems) -> Option<Track> {
    let texts: Vec<&str> = setting
        .words
        .iter()
        .map(|word| word.text.as_str())
        .collect();
    let (path, ok, fail) = match texts.as_slice() {
        [path] => (*path, "0", "1"),
        [path, "values", ok, fail] => (*path, *ok, *fail),
        _ => {
            problems.error(setting.at, incomplete(setting.keyword, &setting.words));
            return None;
        }
    };
    if !path.starts_with('/') {
        let message = format!("{path:?} is no path for a track-file; expected an absolute one");
        problems.error(setting.value_at(), message);
        return None;
    }
    // keepalived reads one number (track_file in keepalived.conf(5)).
    for word in setting.words.iter().skip(2) {
        if word.text.parse::<i32>().is_err() {
            let value = &word.text;
            let message = format!("{value:?} is no whole number, and keepalived reads no other");
            problems.error(word.at, message);
            return None;
        }
    }
    if ok == fail {
        let message = format!("{ok:?} would say both ok and failed; expected two values");
        problems.error(setting.value_at(), message);
        return None;
    }
    let path = PathBuf::from(path);
    // A dot, so that it has to be a folder. Another may make it before it is needed.
    let folder = path.parent().unwrap_or(&path);
    if let Err(error) = may_write(&folder.join(".")) {
        let message = format!(
            "track-file {path:?} could not be written now: {error}; make its folder {folder:?}, \
             writable for the daemon's user, before the daemon starts (tmpfiles.d)"
        );
        problems.warning(setting.value_at(), message);
    }
    Some(Track {
        path,
        ok: ok.to_string(),
        fail: fail.to_string(),
    })
}

/// Whether a threshold is a count of consecutive outcomes, and how many.
pub(crate) fn as_count(threshold: &Threshold) -> Option<u32> {
    match threshold.0 {
        Rule::Count(count) => Some(count),
        _ => None,
    }
}
