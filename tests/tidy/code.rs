//! Rules about what code may do, and where.

use crate::Fault;
use crate::paths::paths;
use crate::source::Source;

/// A function that needs more than a screen has two ideas. A ceiling, not a target.
const FUNCTION_LINES_MAX: usize = 70;

/// Functions that are longer, as `path: name`. A ratchet: take out, never put in.
const LONGER_FUNCTIONS: [&str; 0] = [];

/// Where unsafe code lives; every other file forbids it.
const UNSAFE_ROOM: &str = "src/sys";

/// They hold modules that the attribute would reach into, or nothing at all.
const WITHOUT_FORBID: [&str; 3] = ["src/lib.rs", "src/main.rs", UNSAFE_ROOM];

/// Who may read the real clock, with the reason. All others are handed a moment or a `Clock`.
const CLOCK_READERS: [(&str, &str); 7] = [
    ("src/clock", "it is the clock"),
    (
        "src/sys",
        "calls with a timeout are repeated after a signal with what is left",
    ),
    ("src/log.rs", "a line says when it was written, to people"),
    ("src/net", "a socket's deadline is real time"),
    ("src/auth", "the pace of wrong passwords is real time"),
    ("src/server", "a client's deadline is real time"),
    (
        "src/check/file",
        "when a file was written is wall time, and so is its age",
    ),
];

/// Who may read it in tests as well.
const CLOCK_READERS_IN_TESTS: [(&str, &str); 4] = [
    ("src/client", "proves that a real socket's deadline is kept"),
    ("src/check", "proves that a real socket's deadline is kept"),
    ("src/notify", "proves that a real socket's deadline is kept"),
    ("src/action", "proves that a real socket's deadline is kept"),
];

/// Who may sleep, with the reason. Nobody in `src` does: the `Clock` owns waiting.
const SLEEPERS: [(&str, &str); 4] = [
    ("tests/support", "peers that are slow on purpose"),
    ("tests/bench", "measures real time"),
    (
        "tests/peers",
        "waits for programs that cannot say when they are ready",
    ),
    ("examples", "a main thread with nothing to do"),
];

/// Calls that end the thread; as tokens.
const PANICS: [&[&str]; 7] = [
    &[".", "unwrap", "("],
    &["::", "unwrap"],
    &[".", "expect", "("],
    &["panic", "!"],
    &["todo", "!"],
    &["unimplemented", "!"],
    &["unreachable", "!"],
];

/// Output that panics when the reader of the pipe is gone (EPIPE), or that was left behind.
const PRINTS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// Whether the file is this one, or in this folder; `src/auth` is `src/auth.rs` and `src/auth/..`.
fn is_in(path: &str, place: &str) -> bool {
    let rest = path.strip_prefix(place);
    rest.is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
}

fn is_listed(path: &str, places: &[(&str, &str)]) -> bool {
    places.iter().any(|(place, _)| is_in(path, place))
}

/// Every function fits on a screen.
pub(crate) fn function_length(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for at in 0..source.tokens.len() {
        let name = source.word(at + 1);
        // `fn(` is a type.
        if source.word(at) != "fn" || name == "(" {
            continue;
        }
        let Some(open) = body(source, at) else {
            continue;
        };
        let first = source.tokens[at].line;
        let lines = source.tokens[source.closing(open)].line - first + 1;
        let is_listed = LONGER_FUNCTIONS.contains(&format!("{}: {name}", source.path).as_str());
        if lines > FUNCTION_LINES_MAX && !is_listed {
            let message =
                format!("fn {name} has {lines} lines; expected {FUNCTION_LINES_MAX} at most");
            faults.push(Fault::new(&source.path, first, message));
        }
    }
    faults
}

/// The brace that opens the body of the function declared at `at`, if it has one.
fn body(source: &Source, mut at: usize) -> Option<usize> {
    while at < source.tokens.len() {
        match source.word(at) {
            "(" | "[" => at = source.closing(at),
            "{" => return Some(at),
            ";" => return None,
            _ => {}
        }
        at += 1;
    }
    None
}

/// Every file of `src` opens with its purpose and forbids unsafe code.
pub(crate) fn header(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !source
        .lines
        .first()
        .is_some_and(|line| line.starts_with("//!"))
    {
        let message = "does not say what it is for; expected '//!' on the first line";
        faults.push(Fault::new(&source.path, 0, message));
    }
    let forbid = ["#", "!", "[", "forbid", "(", "unsafe_code", ")", "]"];
    let forbids = (0..source.tokens.len()).any(|at| source.reads(at, &forbid));
    if !forbids
        && !WITHOUT_FORBID
            .iter()
            .any(|place| is_in(&source.path, place))
    {
        let message = "allows unsafe code; expected '#![forbid(unsafe_code)]'";
        faults.push(Fault::new(&source.path, 0, message));
    }
    faults
}

/// Unsafe code is in one room, and every block of it says why it is sound.
pub(crate) fn unsafe_code(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for at in 0..source.tokens.len() {
        if source.word(at) != "unsafe" {
            continue;
        }
        let line = source.tokens[at].line;
        if !is_in(&source.path, UNSAFE_ROOM) {
            let message = format!("'unsafe'; expected only in {UNSAFE_ROOM}");
            faults.push(Fault::new(&source.path, line, message));
        } else if ["{", "impl"].contains(&source.word(at + 1))
            && !source.has_marker(line, "SAFETY: ")
        {
            let message = "'unsafe' without its reason; expected '// SAFETY: ' above it";
            faults.push(Fault::new(&source.path, line, message));
        }
    }
    faults
}

/// In `src` nothing panics without a reason, and nothing is printed but through a writer.
pub(crate) fn panics_and_prints(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        let line = token.line;
        if source.in_test[line] {
            continue;
        }
        // `panic != 3` is no macro.
        let is_macro = source.word(at + 1) == "!" && source.word(at + 2) != "=";
        if is_macro && PRINTS.contains(&token.text.as_str()) {
            let word = &token.text;
            let message = format!("'{word}!'; expected a write whose error is looked at");
            faults.push(Fault::new(&source.path, line, message));
        }
        let Some(words) = PANICS.iter().find(|words| source.reads(at, words)) else {
            continue;
        };
        let is_call = words[1] != "!" || is_macro;
        if is_call && !source.has_marker(line, "Invariant: ") {
            let message = format!(
                "'{}' may panic; expected an error, or '// Invariant: ' above it",
                words.concat()
            );
            faults.push(Fault::new(&source.path, line, message));
        }
    }
    faults
}

/// In `src` only those who wait for the real world read the real clock.
pub(crate) fn clock_reads(source: &Source) -> Vec<Fault> {
    if !is_in(&source.path, "src") || is_listed(&source.path, &CLOCK_READERS) {
        return Vec::new();
    }
    let also_in_tests = is_listed(&source.path, &CLOCK_READERS_IN_TESTS);
    let reads = paths(source).into_iter().filter(|path| {
        let reads = path.has(&["Instant", "now"]) || path.has(&["SystemTime", "now"]);
        reads && !(also_in_tests && source.in_test[path.line])
    });
    let fault = |line| {
        let message = "reads the real clock; expected a moment handed in, or crate::clock";
        Fault::new(&source.path, line, message)
    };
    reads.map(|path| fault(path.line)).collect()
}

/// Nobody sleeps to make time pass.
pub(crate) fn sleeps(source: &Source) -> Vec<Fault> {
    if is_listed(&source.path, &SLEEPERS) {
        return Vec::new();
    }
    let sleeps = paths(source)
        .into_iter()
        .filter(|path| path.has(&["thread", "sleep"]));
    let fault = |line| {
        let message = "sleeps; expected a Clock, or a peer in tests/support that is waited for";
        Fault::new(&source.path, line, message)
    };
    sleeps.map(|path| fault(path.line)).collect()
}

/// Nothing that only compilers after `rust-version` take; what clippy's `incompatible_msrv` sees,
/// it sees better.
pub(crate) fn newer_syntax(source: &Source) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        let message = if source.reads(at, &["&", "&", "let"]) {
            "a chain of 'let', which Rust 1.88 brought; expected two ifs"
        } else if source.reads(at, &["=", "format_args", "!"]) {
            "'format_args!' outlives its line, as only from Rust 1.89 on; expected it in the call"
        } else {
            continue;
        };
        faults.push(Fault::new(&source.path, token.line, message));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::said;

    fn says(rule: fn(&Source) -> Vec<Fault>, path: &str, text: &str) -> Vec<String> {
        said(&rule(&Source::new(path, text)))
    }

    fn function(lines: usize) -> String {
        format!(
            "fn long<T>(x: [u8; 3]) -> T {{\n{}}}\n",
            "x();\n".repeat(lines - 2)
        )
    }

    #[test]
    fn a_long_function_is_caught() {
        assert_eq!(says(function_length, "src/x.rs", &function(70)), [""; 0]);
        assert_eq!(
            says(
                function_length,
                "src/x.rs",
                &format!("trait T {{ fn f(); }}\n{}", function(71))
            ),
            ["src/x.rs:2: fn long has 71 lines; expected 70 at most"]
        );
    }

    #[test]
    fn a_missing_header_is_caught() {
        let good = "//! What for.\n#![forbid(unsafe_code)]\n";
        assert_eq!(says(header, "src/x.rs", good), [""; 0]);
        assert_eq!(says(header, "src/lib.rs", "//! What for.\n"), [""; 0]);
        assert_eq!(says(header, "src/sys/poll.rs", "//! What for.\n"), [""; 0]);
        assert_eq!(
            says(header, "src/x.rs", "// #![forbid(unsafe_code)]\n").len(),
            2
        );
        assert_eq!(says(header, "src/system.rs", "//! What for.\n").len(), 1);
    }

    #[test]
    fn unsafe_code_elsewhere_or_without_a_reason_is_caught() {
        let block = "fn f() {\n    unsafe { g() }\n}";
        let reasoned =
            "fn f() {\n    // SAFETY: g has no contract.\n    let a =\n        unsafe { g() };\n}";
        assert_eq!(says(unsafe_code, "src/net/x.rs", reasoned).len(), 1);
        assert_eq!(says(unsafe_code, "src/sys/x.rs", reasoned), [""; 0]);
        assert_eq!(
            says(unsafe_code, "src/sys/x.rs", block),
            ["src/sys/x.rs:2: 'unsafe' without its reason; expected '// SAFETY: ' above it"]
        );
        assert_eq!(
            says(unsafe_code, "src/sys/x.rs", "unsafe impl Send for A {}").len(),
            1
        );
        assert_eq!(
            says(unsafe_code, "src/sys/x.rs", "unsafe extern \"C\" {}"),
            [""; 0]
        );
        assert_eq!(
            says(unsafe_code, "src/net/x.rs", "// unsafe\nf(\"unsafe\");"),
            [""; 0]
        );
    }

    #[test]
    fn panics_without_an_invariant_are_caught() {
        for text in [
            "a.unwrap();",
            "a\n.expect(\"b\");",
            "a.map(Result::unwrap);",
            "panic!();",
            "todo!();",
            "unimplemented!();",
            "unreachable!();",
        ] {
            assert_eq!(says(panics_and_prints, "src/x.rs", text).len(), 1, "{text}");
            let excused = format!("// Invariant: a is full.\n{text}");
            assert_eq!(says(panics_and_prints, "src/x.rs", &excused), [""; 0]);
            let test = format!("#[cfg(test)]\nmod tests {{\n{text}\n}}");
            assert_eq!(says(panics_and_prints, "src/x.rs", &test), [""; 0]);
        }
        let harmless = "a.unwrap_or(b); /// a.unwrap()\nif panic != b {}\nf(\"panic!()\");";
        assert_eq!(says(panics_and_prints, "src/x.rs", harmless), [""; 0]);
    }

    #[test]
    fn prints_have_no_excuse() {
        for word in PRINTS {
            let text = format!("// Invariant: none.\n{word}!(\"a\");");
            assert_eq!(
                says(panics_and_prints, "src/x.rs", &text).len(),
                1,
                "{word}"
            );
        }
    }

    #[test]
    fn a_read_of_the_real_clock_is_caught() {
        for text in ["Instant::now();", "a(std::time::SystemTime::now);"] {
            assert_eq!(says(clock_reads, "src/decide/x.rs", text).len(), 1);
            assert_eq!(says(clock_reads, "src/network.rs", text).len(), 1);
            for path in [
                "src/clock.rs",
                "src/net/dial.rs",
                "src/auth.rs",
                "tests/a.rs",
            ] {
                assert_eq!(says(clock_reads, path, text), [""; 0]);
            }
            let test = format!("#[test]\nfn a() {{ {text} }}\nfn b() {{ {text} }}");
            assert_eq!(says(clock_reads, "src/check/tcp.rs", &test).len(), 1);
            assert_eq!(says(clock_reads, "src/decide/x.rs", &test).len(), 2);
        }
    }

    #[test]
    fn a_sleep_is_caught() {
        for text in ["thread::sleep(a);", "use std::thread::{self, sleep};"] {
            assert_eq!(says(sleeps, "src/clock.rs", text).len(), 1);
            assert_eq!(says(sleeps, "tests/server.rs", text).len(), 1);
            assert_eq!(says(sleeps, "tests/support/mod.rs", text), [""; 0]);
        }
    }

    #[test]
    fn what_only_newer_compilers_take_is_caught() {
        for text in [
            "if let Some(a) = b\n&& let c = a {}",
            "let a = format_args!(\"{b}\");",
        ] {
            assert_eq!(says(newer_syntax, "src/x.rs", text).len(), 1, "{text}");
        }
        let taken = "a(format_args!(\"{b}\"));\nmatch c { _ => format_args!(\"{d}\") }\n// && let";
        assert_eq!(says(newer_syntax, "src/x.rs", taken), [""; 0]);
    }
}
