//! The table of keywords: form, default, reason, example. Parser and manual read it.
#![forbid(unsafe_code)]

/// Where a keyword may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before the first `component`.
    Server,
    /// After a `component NAME`.
    Component,
    /// After the kind of check that it belongs to, also in `failover probe`.
    Check,
}

/// What follows a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing.
    Alone,
    /// One word.
    One,
    /// One word, or three with `of` in the middle.
    Threshold,
    /// Two words.
    Two,
}

/// One keyword.
#[derive(Debug)]
pub(crate) struct Keyword {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) form: Form,
    /// How its arguments are written, for people.
    pub(crate) arguments: &'static str,
    /// The default, or an empty text where there is none.
    pub(crate) default: &'static str,
    /// What it does, and why the default is what it is.
    pub(crate) about: &'static str,
    pub(crate) example: &'static str,
}

/// Every keyword, in the order of the manual.
pub(crate) const KEYWORDS: [Keyword; 16] = [
    Keyword {
        name: "listen",
        place: Place::Server,
        form: Form::One,
        arguments: "ADDRESS:PORT",
        default: "127.0.0.1:8080",
        about: "The address that balancers ask. Only this machine can by default, since who may\n\
                ask is yours to say.",
        example: "listen 0.0.0.0:8080",
    },
    Keyword {
        name: "default",
        place: Place::Server,
        form: Form::One,
        arguments: "NAME",
        default: "the only component; with several, / answers 200 alive",
        about: "The component that / answers for, which is what HAProxy's bare 'option httpchk'\n\
                asks.",
        example: "default web",
    },
    Keyword {
        name: "component",
        place: Place::Component,
        form: Form::One,
        arguments: "NAME",
        default: "",
        about: "Begins a component, answered under /NAME. A name has letters, digits, '.', '_',\n\
                '-', and '/' between them.",
        example: "component mail tcp 192.0.2.1:25",
    },
    Keyword {
        name: "tcp",
        place: Place::Component,
        form: Form::One,
        arguments: "HOST:PORT",
        default: "",
        about: "Checks that a TCP service accepts connections. HOST is a name, an IPv4 address or\n\
                an IPv6 address in brackets; PORT is 1 to 65535 or the name of a service.",
        example: "tcp [2001:db8::1]:smtp",
    },
    Keyword {
        name: "timeout",
        place: Place::Check,
        form: Form::One,
        arguments: "DURATION",
        default: "3s",
        about: "How long one check may take in all, resolving included. Three seconds outlast one\n\
                lost packet, which the system sends again after one second.",
        example: "timeout 10s",
    },
    Keyword {
        name: "source",
        place: Place::Check,
        form: Form::One,
        arguments: "HOST",
        default: "what the system chooses",
        about: "The address of this machine to connect from.",
        example: "source 192.0.2.7",
    },
    Keyword {
        name: "source-port",
        place: Place::Check,
        form: Form::One,
        arguments: "PORT",
        default: "any",
        about: "The port to connect from. The connection is then reset when it is closed, since\n\
                an orderly close would keep the port from being used again for a minute.",
        example: "source-port 1025",
    },
    Keyword {
        name: "family",
        place: Place::Check,
        form: Form::One,
        arguments: "any|4|6|all",
        default: "any",
        about: "Which addresses of a name count: the first that answers (any), of IPv4 or IPv6\n\
                only, or every one has to answer (all).",
        example: "family all",
    },
    Keyword {
        name: "every",
        place: Place::Component,
        form: Form::One,
        arguments: "DURATION",
        default: "5s",
        about: "The check runs by itself this often, from start to start, and callers are\n\
                answered from memory.",
        example: "every 1s",
    },
    Keyword {
        name: "on-request",
        place: Place::Component,
        form: Form::Alone,
        arguments: "",
        default: "off",
        about: "The check runs when somebody asks, once for all who ask at the same time, and\n\
                they wait for it.",
        example: "on-request",
    },
    Keyword {
        name: "start",
        place: Place::Component,
        form: Form::One,
        arguments: "probe|ok|fail",
        default: "probe",
        about: "The state before anything is known. With probe the first outcome decides at once,\n\
                and a caller who comes earlier waits for it.",
        example: "start fail",
    },
    Keyword {
        name: "ok-after",
        place: Place::Component,
        form: Form::Threshold,
        arguments: "COUNT|DURATION|M of N",
        default: "3",
        about: "How much consistent success changes fail to ok. As many as the other way round,\n\
                so that recovery is never easier than failure.",
        example: "ok-after 1m",
    },
    Keyword {
        name: "fail-after",
        place: Place::Component,
        form: Form::Threshold,
        arguments: "COUNT|DURATION|M of N",
        default: "3",
        about: "How much consistent failure changes ok to fail: so many in a row, for so long, or\n\
                M of the last N. One lost packet is no reason to move traffic.",
        example: "fail-after 3 of 5",
    },
    Keyword {
        name: "stale-after",
        place: Place::Component,
        form: Form::One,
        arguments: "DURATION",
        default: "three times 'every', or 'every' and twice 'timeout' if that is longer",
        about: "After this long without a known outcome the state is unknown and answered\n\
                500 ERROR. With on-request: never.",
        example: "stale-after 30s",
    },
    Keyword {
        name: "manual-reset",
        place: Place::Component,
        form: Form::Two,
        arguments: "htpasswd FILE",
        default: "off",
        about: "Once failed, the component stays failed until somebody in FILE, as Apache's\n\
                htpasswd -B writes it, resets it: curl -u NAME -X POST http://HOST/COMPONENT",
        example: "manual-reset htpasswd /etc/failover/users",
    },
    Keyword {
        name: "answer-within",
        place: Place::Server,
        form: Form::One,
        arguments: "DURATION",
        default: "60s",
        about: "How long a caller of an on-request component waits for the check before it is\n\
                answered 500 ERROR.",
        example: "answer-within 15s",
    },
];

/// The keyword of that name.
pub(crate) fn find(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.name == name)
}

/// The keyword that a misspelt word most likely means.
pub(crate) fn nearest(word: &str) -> Option<&'static str> {
    let distance = |keyword: &Keyword| (edits(word, keyword.name), keyword.name);
    let (edits, name) = KEYWORDS.iter().map(distance).min()?;
    (edits <= 1 + word.len() / 4).then_some(name)
}

/// Insertions, deletions and changes of a letter that make one word of the other.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let change = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_words_find_their_keyword() {
        for (word, meant) in [
            ("tmeout", Some("timeout")),
            ("fail_after", Some("fail-after")),
            ("banana", None),
        ] {
            assert_eq!(nearest(word), meant, "{word}");
        }
        assert_eq!(edits("kitten", "sitting"), 3);
    }

    #[test]
    fn every_keyword_is_whole_and_its_example_uses_it() {
        for keyword in &KEYWORDS {
            assert!(
                keyword.example.starts_with(keyword.name),
                "{}",
                keyword.name
            );
            assert!(
                keyword.about.ends_with(|c: char| ".T".contains(c)),
                "{}",
                keyword.name
            );
            assert_eq!(keyword.arguments.is_empty(), keyword.form == Form::Alone);
        }
    }
}
