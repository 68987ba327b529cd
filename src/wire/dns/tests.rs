//! Messages as servers send them, and every way to spoil them.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use super::*;

/// The answer to `www.example A`: an alias, and the address of what it stands for, with pointers.
const ANSWER: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\0\
    \x03www\x07example\0\0\x01\0\x01\
    \xc0\x0c\0\x05\0\x01\0\0\x0e\x10\0\x06\x03web\xc0\x10\
    \xc0\x29\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01";

/// No such name, with the zone's SOA, and an OPT record that has a class of its own.
const NO_SUCH_NAME: &[u8] = b"\x12\x34\x85\x83\0\x01\0\0\0\x01\0\x01\
    \x04gone\x07example\0\0\x0f\0\x01\
    \xc0\x11\0\x06\0\x01\0\0\0\x3c\0\x21\x02ns\xc0\x11\x05admin\xc0\x11\
    \0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05\
    \0\0\x29\x04\xd0\0\0\0\0\0\0";

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn record(kind: &str, data: Data) -> Record {
    Record {
        name: name("host.example"),
        kind: kind_of(kind).unwrap(),
        class: CLASS_IN,
        ttl: 120,
        data,
    }
}

/// One record of each kind, and those of an UPDATE, which have no data.
fn everything() -> Message {
    let mut message = Message::query(7, RESPONSE, name("host.example"), A);
    message.answers = vec![
        record("A", Data::A([192, 0, 2, 1].into())),
        record("AAAA", Data::Aaaa("2001:db8::1".parse().unwrap())),
        record("NS", Data::Name(name("ns.example"))),
        record("CNAME", Data::Name(name("."))),
        record(
            "MX",
            Data::Mx {
                preference: 10,
                exchange: name("mail.example"),
            },
        ),
        record(
            "TXT",
            Data::Txt(vec![vec![b'a'; 20], Vec::new(), b"b".to_vec()]),
        ),
    ];
    message.authorities = vec![Record {
        class: 255,
        ttl: 0,
        ..record("A", Data::Other(Vec::new()))
    }];
    message.additionals = vec![
        record(
            "SRV",
            Data::Srv {
                priority: 1,
                weight: 2,
                port: 5432,
                target: name("db.example"),
            },
        ),
        Record {
            kind: 250,
            ..record("A", Data::Other(b"signed".to_vec()))
        },
    ];
    message
}

fn shown(records: &[Record]) -> Vec<String> {
    let show = |record: &Record| {
        let kind = kind_name(record.kind);
        format!("{} {kind} {}", record.name, record.data)
    };
    records.iter().map(show).collect()
}

#[test]
fn a_query_is_the_bytes_of_the_rfc() {
    let query = Message::query(0x1234, RECURSION_DESIRED, name("www.example"), A);
    let bytes = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\0\0\x01\0\x01";
    assert_eq!(query.encode().unwrap(), bytes);
}

#[test]
fn answers_are_read_through_their_pointers() {
    let answer = Message::decode(ANSWER).unwrap();
    assert_eq!(
        shown(&answer.answers),
        [
            "www.example. CNAME web.example.",
            "web.example. A 192.0.2.1"
        ]
    );
    assert_eq!(answer.answers[0].ttl, 3_600);
    let gone = Message::decode(NO_SUCH_NAME).unwrap();
    assert_eq!(gone.rcode(), rcode::NO_SUCH_NAME);
    assert_eq!(
        shown(&gone.authorities),
        ["example. SOA ns.example. admin.example. 1 2 3 4 5"]
    );
    assert_eq!(gone.additionals[0].data, Data::Other(Vec::new()));
    assert_eq!(id_and_flags(ANSWER), Some((0x1234, 0x8180)));
    assert_eq!(id_and_flags(&ANSWER[..3]), None);
}

#[test]
fn every_kind_survives_the_round_trip() {
    let message = everything();
    let bytes = message.encode().unwrap();
    assert_eq!(Message::decode(&bytes).unwrap(), message);
    // Bytes after the end have no meaning.
    let longer = [&bytes[..], b"rest"].concat();
    assert_eq!(Message::decode(&longer).unwrap(), message);
}

#[test]
fn what_does_not_fit_is_not_written() {
    let mut message = everything();
    message.answers = vec![record("TXT", Data::Txt(vec![vec![0; 256]]))];
    assert!(message.encode().is_err());
    message.answers = vec![record("TXT", Data::Other(vec![0; 65_536]))];
    assert!(message.encode().is_err());
    message.answers = vec![record("TXT", Data::Other(vec![0; 40_000])); 2];
    assert!(message.encode().is_err());
}

#[test]
fn no_bytes_panic_and_what_is_understood_round_trips() {
    let everything = everything().encode().unwrap();
    for golden in [ANSWER, NO_SUCH_NAME, &everything] {
        for len in 0..golden.len() {
            assert!(Message::decode(&golden[..len]).is_err(), "{len}");
        }
        for at in 0..golden.len() {
            for flip in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
                let mut bytes = golden.to_vec();
                bytes[at] ^= flip;
                let Ok(message) = Message::decode(&bytes) else {
                    continue;
                };
                let again = message.encode().unwrap();
                assert_eq!(Message::decode(&again).as_ref(), Ok(&message));
                shown(&message.answers);
            }
        }
    }
}

#[test]
fn pointers_cannot_loop_nor_lead_forward() {
    let with_name = |bytes: &[u8]| {
        let head = b"\0\0\x80\0\0\x01\0\0\0\0\0\0";
        Message::decode(&[head, bytes, b"\0\x01\0\x01"].concat()).map(|read| read.questions)
    };
    // To itself, forward, to a label before that leads here again, and a kind not in use.
    for bad in [
        &b"\xc0\x0c"[..],
        b"\xc0\x0e\0",
        b"\x01a\xc0\x0c",
        b"\x40\0",
        b"\x80\0",
    ] {
        assert!(with_name(bad).is_err(), "{bad:?}");
    }
    // Into the header, where the first byte is an empty label.
    assert_eq!(with_name(b"\x01a\xc0\0").unwrap()[0].name, name("a"));
    // Names grow along pointers, up to their limit: here each record adds a label to the last.
    let mut chain = b"\0\0\x80\0\0\x64\0\0\0\0\0\0\x0bhello-there\0\0\x01\0\x01".to_vec();
    let mut last = 12;
    for _ in 1..100 {
        let at = chain.len();
        chain.extend_from_slice(b"\x0bhello-there");
        chain.extend_from_slice(&(0xc000 | last as u16).to_be_bytes());
        chain.extend_from_slice(b"\0\x01\0\x01");
        last = at;
    }
    let problem = Message::decode(&chain).unwrap_err();
    assert_eq!(problem.0, "a name of more than 255 bytes");
    let many = b"\0\0\x80\0\xff\xff\xff\xff\0\0\0\0";
    assert_eq!(
        Message::decode(many).unwrap_err().0,
        "more than 1000 records"
    );
}

#[test]
fn data_has_the_length_of_its_type() {
    let mut bytes = ANSWER.to_vec();
    bytes.push(0);
    // The address says that it has five bytes.
    bytes[ANSWER.len() - 5] = 5;
    assert!(Message::decode(&bytes).is_err());
    bytes[ANSWER.len() - 5] = 3;
    assert!(Message::decode(&bytes).is_err());
}

#[test]
fn an_answer_belongs_to_its_question() {
    let query = Message::query(0x1234, 0, name("WWW.Example."), A);
    let answer = Message::decode(ANSWER).unwrap();
    assert!(answer.answers(&query));
    let changed = |change: fn(&mut Message)| {
        let mut other = answer.clone();
        change(&mut other);
        other.answers(&query)
    };
    assert!(!changed(|answer| answer.id += 1));
    assert!(!changed(|answer| answer.flags &= !RESPONSE));
    assert!(!changed(|answer| answer.flags |= 5 << 11));
    assert!(!changed(
        |answer| answer.questions[0].name = name("other.example")
    ));
    assert!(!changed(|answer| answer.questions[0].kind = 28));
    assert!(!changed(|answer| answer.questions.clear()));
    // A server that does not understand the question may leave it out.
    assert!(changed(|answer| {
        answer.questions.clear();
        answer.flags |= 1;
    }));
}

#[test]
fn names_are_read_and_written_as_in_zones() {
    for (text, shown) in [
        ("www.example", "www.example."),
        ("www.example.", "www.example."),
        (".", "."),
        ("a\\.b.c", "a\\.b.c."),
        ("a\\046b", "a\\.b."),
        ("a\\\\b", "a\\\\b."),
        (
            "My Printer._http._tcp.local",
            "My\\032Printer._http._tcp.local.",
        ),
        ("é", "\\195\\169."),
    ] {
        assert_eq!(name(text).to_string(), shown);
        assert_eq!(name(&name(text).to_string()), name(text));
    }
    let long_label = "a".repeat(64);
    let long_name = ["a23456789"; 26].join(".");
    for bad in [
        "",
        "..",
        ".a",
        "a..b",
        "a\\",
        "a\\25",
        "a\\256",
        &long_label,
        &long_name,
    ] {
        assert!(Name::parse(bad).is_err(), "{bad:?}");
    }
    assert!(Name::parse(&"a".repeat(63)).is_ok());
    assert!(Name::parse(&["a23456789"; 25].join(".")).is_ok());
    assert!(name("WWW.example").is(&name("www.EXAMPLE")));
    assert!(!name("www.example").is(&name("www.example.org")));
}

#[test]
fn addresses_have_names_too() {
    let reverse = |text: &str| Name::reverse(text.parse::<IpAddr>().unwrap()).to_string();
    assert_eq!(reverse("192.0.2.1"), "1.2.0.192.in-addr.arpa.");
    let zeros = "0.".repeat(20);
    assert_eq!(
        reverse("2001:db8::7f"),
        format!("f.7.0.0.{zeros}8.b.d.0.1.0.0.2.ip6.arpa.")
    );
}
