//! The order of the rooms: a room uses the rooms below it, never one above or beside it.

use crate::Fault;
use crate::paths::{UsedPath, paths};
use crate::source::Source;

/// The rooms from the ground up; those on one floor do not use each other. `error` is on the
/// lowest: everything above may fail, and the system calls beside it answer with `io::Error`.
const FLOORS: [&[&str]; 15] = [
    &["sys", "error", "number", "order", "text"],
    &["units", "clock"],
    &["health"],
    &["log", "event", "breaker", "store"],
    &["wire"],
    &["net", "auth"],
    &["client"],
    &["check", "notify", "action"],
    &["decide"],
    &["component"],
    &["registry", "orchestrator"],
    &["server"],
    &["config"],
    &["daemon"],
    &["cli"],
];

/// They put the rooms together, so that they see all of them.
const ABOVE_ALL: [&str; 2] = ["src/lib.rs", "src/main.rs"];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Holds one file of `src` to the order. Code that is compiled for tests only may also use the
/// other rooms of its own floor, to try two neighbours on each other, but never a higher one.
pub(crate) fn check(source: &Source) -> Vec<Fault> {
    if ABOVE_ALL.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let module = module_of(&source.path);
    let Some(own) = floor(&module[0]) else {
        let message = format!(
            "'{}' is no room; expected one of the list in {}",
            module[0],
            file!()
        );
        return vec![Fault::new(&source.path, 0, message)];
    };
    let found = paths(source);
    let wrong = found.iter().filter_map(|path| {
        let message = judge(path, &module, own, source.in_test[path.line])?;
        Some(Fault::new(&source.path, path.line, message))
    });
    wrong.collect()
}

/// `src/check/tcp.rs` is the module `check::tcp`.
fn module_of(path: &str) -> Vec<String> {
    let path = path
        .trim_start_matches("src/")
        .trim_end_matches(".rs")
        .trim_end_matches("/mod");
    path.split('/').map(str::to_string).collect()
}

/// What is wrong with this path in a file of this module, whose room is on the floor `own`.
fn judge(path: &UsedPath, module: &[String], own: usize, in_test: bool) -> Option<String> {
    let target = absolute(path, module)?;
    let written = path.segments.join("::");
    let room = &module[0];
    let used = target.first().map_or("", String::as_str);
    if used == room {
        return None;
    }
    let Some(other) = floor(used) else {
        let expected = "expected crate::ROOM::NAME, not what lib.rs re-exports";
        return Some(format!("'{written}' names no room; {expected}"));
    };
    if other < own || (in_test && other == own) {
        return None;
    }
    let place = if other == own { "beside" } else { "above" };
    Some(format!(
        "'{written}': {used} is {place} {room}; expected only rooms below it"
    ))
}

/// The path from the crate's root, when it says where it starts; a path to another crate, or to
/// something imported, does not.
fn absolute(path: &UsedPath, module: &[String]) -> Option<Vec<String>> {
    if !["crate", "self", "super"].contains(&path.segments[0].as_str()) {
        return None;
    }
    let mut target = [module, &path.inside].concat();
    for segment in &path.segments {
        match segment.as_str() {
            "crate" => target.clear(),
            "self" => {}
            "super" => drop(target.pop()),
            name => target.push(name.to_string()),
        }
    }
    Some(target)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::said;

    fn says(path: &str, text: &str) -> Vec<String> {
        said(&check(&Source::new(path, text)))
    }

    #[test]
    fn a_higher_room_is_caught_in_every_spelling() {
        for text in [
            "use crate::server::Page;",
            "use crate::{error::Error, server};",
            "use crate::{error::Error, wire::{http, form}, server::{Page}};",
            "fn f() -> crate::server::Page {}",
            "use super::server::Page;",
            "mod inner { use super::super::server::Page; }",
            "fn f() { super::server::listen() }",
        ] {
            let found = says("src/check/mod.rs", text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].starts_with("src/check/mod.rs:1: '"), "{found:?}");
            assert!(
                found[0].contains("': server is above check; expected only"),
                "{found:?}"
            );
        }
        assert_eq!(
            says("src/check/tcp.rs", "\nuse super::super::server::Page;").len(),
            1
        );
    }

    #[test]
    fn rooms_of_one_floor_do_not_use_each_other() {
        assert_eq!(
            says("src/check/tcp.rs", "use crate::notify::Email;").len(),
            1
        );
        assert_eq!(says("src/sys/poll.rs", "use crate::error::Error;").len(), 1);
    }

    #[test]
    fn lower_rooms_and_the_own_room_are_free() {
        let text = "use crate::{error::Error, net::dial};\nuse super::Check;\nuse self::a::B;\n\
                    use std::server::X;\nuse crate::check::exec;\nmod tests { use super::*; }\n\
                    pub(crate) fn f(self) { self.x() }\npub(super) fn g() {}\n\
                    // crate::server\nconst A: &str = \"crate::server::Page\";";
        assert_eq!(says("src/check/tcp.rs", text), [""; 0]);
    }

    #[test]
    fn the_root_is_not_a_way_round() {
        for text in [
            "use crate::TcpCheck;",
            "use crate::*;",
            "use super::super::TcpCheck;",
        ] {
            let found = says("src/decide/trigger.rs", text);
            assert_eq!(found.len(), 1, "{text}");
            assert!(
                found[0].contains("names no room; expected crate::ROOM::NAME"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn tests_may_use_neighbours_but_nothing_later() {
        let text =
            "#[cfg(test)]\nmod tests {\n    use crate::notify::A;\n    use crate::decide::B;\n}";
        let found = says("src/check/tcp.rs", text);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("src/check/tcp.rs:4: "), "{found:?}");
    }

    #[test]
    fn every_file_is_in_a_room_but_the_two_above_all() {
        assert!(says("src/misc.rs", "fn f() {}")[0].contains("'misc' is no room"));
        assert_eq!(says("src/lib.rs", "pub use crate::server::Page;"), [""; 0]);
    }
}
