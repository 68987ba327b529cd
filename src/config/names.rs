//! Whether the names in a configuration are those of something: each once, each there, and nobody
//! waiting for himself.
#![forbid(unsafe_code)]

use super::blocks::Setting;
use super::component::{ComponentPlan, Name};
use super::cross::Whole;
use super::problem::At;
use super::schema::nearest;
use crate::order;
use crate::text::joined;

/// More names than this are not listed to choose from.
const LISTED_MAX: usize = 8;

/// Tells every name that is wrong.
pub(super) fn check(whole: &Whole<'_>) {
    components_once(whole);
    track_files_once(whole);
    let names = ordered(whole.names.iter().map(String::as_str));
    for component in whole.components {
        for (keyword, Name { name, at }) in component.uses() {
            must_exist(whole, &names, keyword, &name, at);
        }
    }
    if let Some((name, at)) = &whole.server.default {
        must_exist(whole, &names, "default", name, *at);
    }
    for (name, at) in &whole.server.agent_components {
        must_exist(whole, &names, "agent-listen", name, *at);
    }
    Circles::new(whole).tell();
}

/// The names of components.
pub(crate) fn index(components: &[ComponentPlan]) -> Vec<(&str, usize)> {
    ordered(components.iter().map(|it| it.name.as_str()))
}

/// Names in order, each with its place in what they come from, which decides between equal ones.
pub(super) fn ordered<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(&'a str, usize)> {
    let mut ordered: Vec<(&str, usize)> = names.zip(0..).collect();
    order::sort(&mut ordered, Ord::cmp);
    ordered
}

/// The place of a name, if it is one of these.
pub(crate) fn place_of(name: &str, names: &[(&str, usize)]) -> Option<usize> {
    let found = names.binary_search_by(|(known, _)| (*known).cmp(name));
    Some(names[found.ok()?].1)
}

/// Neighbours of the same name.
fn twins<'a>(names: &'a [(&str, usize)]) -> impl Iterator<Item = (usize, usize)> + 'a {
    let pairs = names.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    pairs.map(|pair| (pair[0].1, pair[1].1))
}

fn components_once(whole: &Whole<'_>) {
    for (first, second) in twins(&whole.index) {
        let (first, second) = (&whole.components[first], &whole.components[second]);
        let line = whole.sources.line_of(first.at, second.at);
        let name = &second.name;
        let message = format!("component {name:?} stands in {line} already; expected another name");
        whole.problems.error(second.at, message);
    }
}

/// The first word of a setting.
fn path(setting: &Setting) -> &str {
    setting.words.first().map_or("", |word| &word.text)
}

fn track_files_once(whole: &Whole<'_>) {
    let components = whole.components.iter();
    let tracked = components.filter_map(|it| Some((it, it.setting("track-file")?)));
    let tracked: Vec<(&ComponentPlan, &Setting)> = tracked.collect();
    let paths = ordered(tracked.iter().map(|(_, setting)| path(setting)));
    for (first, second) in twins(&paths) {
        let ((first, _), (second, setting)) = (tracked[first], tracked[second]);
        let message = format!(
            "track-file {:?} of component {:?} is that of {:?} already; expected a file of its own",
            path(setting),
            second.name,
            first.name
        );
        whole.problems.error(setting.value_at(), message);
    }
}

fn must_exist(whole: &Whole<'_>, names: &[(&str, usize)], keyword: &str, name: &str, at: At) {
    if place_of(name, names).is_some() || whole.problems.is_full() {
        return;
    }
    let mut known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    known.dedup();
    let hint = match nearest(name, &known) {
        Some(meant) => format!("did you mean {meant:?}?"),
        None if known.is_empty() => format!("expected a block: component {name}"),
        None if known.len() <= LISTED_MAX => format!("expected one of {}", joined(known, ", ")),
        None => String::from("expected the name of one"),
    };
    let message = format!("{keyword}: there is no component {name:?}; {hint}");
    whole.problems.error(at, message);
}

/// Who is being looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Never,
    /// On the way that is being followed.
    Now,
    /// With everything that it needs.
    Done,
}

/// Ways from component to component, by index. Every way is followed once, and without recursion:
/// a chain may be as long as a configuration.
struct Circles<'a> {
    whole: &'a Whole<'a>,
    seen: Vec<Seen>,
    /// The components on the way, each with those that it needs and that are still to be followed.
    way: Vec<(usize, Vec<(usize, At)>)>,
}

impl<'a> Circles<'a> {
    fn new(whole: &'a Whole<'a>) -> Circles<'a> {
        Circles {
            whole,
            seen: vec![Seen::Never; whole.components.len()],
            way: Vec::new(),
        }
    }

    /// Tells each circle once, where it closes.
    fn tell(&mut self) {
        for start in 0..self.whole.components.len() {
            if self.seen[start] == Seen::Never {
                self.enter(start);
            }
            while let Some((at, needs)) = self.way.last_mut() {
                match needs.pop() {
                    Some((next, place)) => self.follow(next, place),
                    None => {
                        self.seen[*at] = Seen::Done;
                        self.way.pop();
                    }
                }
            }
        }
    }

    fn follow(&mut self, next: usize, place: At) {
        match self.seen[next] {
            Seen::Never => self.enter(next),
            Seen::Now => self.close(next, place),
            Seen::Done => {}
        }
    }

    fn enter(&mut self, component: usize) {
        let uses = self.whole.components[component].uses();
        let needs = uses
            .iter()
            .rev()
            .filter_map(|(_, Name { name, at })| Some((self.whole.find(name)?, *at)));
        let needs = needs.collect();
        self.seen[component] = Seen::Now;
        self.way.push((component, needs));
    }

    fn close(&self, first: usize, at: At) {
        if self.whole.problems.is_full() {
            return;
        }
        let way = self.way.iter().map(|(component, _)| *component);
        let circle = way.skip_while(|component| *component != first);
        let name = |component: usize| self.whole.components[component].name.as_str();
        let message = format!(
            "a circle: {} -> {}; expected components that do not need themselves",
            joined(circle.map(name), " -> "),
            name(first)
        );
        self.whole.problems.error(at, message);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::super::plan::read_bytes;

    fn errors(config: &str) -> Vec<String> {
        let report = read_bytes("c", config.as_bytes()).report();
        let lines = report.lines().filter(|line| line.starts_with("c:"));
        lines.map(str::to_string).collect()
    }

    /// `a0` made of `a1` made of `a2` and so on, and of others beside.
    fn chain(len: usize, members: impl Fn(usize) -> String) -> String {
        let mut text = String::from("server\n default a0\n");
        for i in 0..len {
            let _ = write!(text, "component a{i}\n all-of {}\n", members(i));
        }
        text + &format!(
            "component a{len}\n file /f\ncomponent a{}\n file /f\n",
            len + 1
        )
    }

    #[test]
    fn a_long_chain_is_no_circle_until_it_closes() {
        const LEN: usize = 10_000;
        assert_eq!(errors(&chain(LEN, |i| format!("a{}", i + 1))), [""; 0]);
        let closed = errors(&chain(LEN, |i| format!("a{}", (i + 1) % LEN)));
        assert_eq!(closed.len(), 1);
        let line = 2 + 2 * LEN;
        assert!(closed[0].starts_with(&format!("c:{line}:9: a circle: a0 -> a1 -> a2 -> ")));
        assert!(closed[0].ends_with(" -> a0; expected components that do not need themselves"));
    }

    /// There are 2^60 ways through this, and none is followed twice.
    #[test]
    fn many_ways_to_the_same_component_are_no_circle() {
        assert_eq!(
            errors(&chain(60, |i| format!("a{} a{}", i + 1, i + 2))),
            [""; 0]
        );
    }

    /// To find out what each of them may have meant would take minutes.
    #[test]
    fn thousands_of_wrong_names_are_told_of_in_no_time() {
        let wrong = |i: usize| format!("component c{i}\n all-of here{i} there{i}\n");
        let text: String = (0..2_000).map(wrong).collect();
        assert_eq!(errors(&text).len(), 200);
        let circles = |_| format!("component c\n all-of {}\n", "c ".repeat(300));
        let text: String = (0..20).map(circles).collect();
        assert_eq!(errors(&text).len(), 200);
    }

    #[test]
    fn no_number_of_warnings_hides_an_error() {
        let mut text: String = (0..300).map(|i| format!("contact c{i}\n")).collect();
        text += "component a\n all-of b\n";
        let told = errors(&text);
        let is_it = |line: &&String| line.contains("there is no component \"b\"");
        assert_eq!(told.iter().filter(is_it).count(), 1);
        assert!(read_bytes("c", text.as_bytes()).plan.is_none());
    }

    #[test]
    fn each_circle_is_told_where_it_closes() {
        let told = errors(
            "server\n default a\ncomponent a\n all-of b c\ncomponent b\n any-of a\n\
             component c\n not c\n",
        );
        let expected = [
            "c:6:9: a circle: a -> b -> a; ",
            "c:8:6: a circle: c -> c; ",
        ];
        assert_eq!(told.len(), 2, "{told:?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}");
        }
    }
}
