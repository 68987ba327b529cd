//! The `htpasswd` program of Apache writes files, and `HtpasswdFile` is held against them.
//!
//! In Debian it comes with the package `apache2-utils`.

use std::path::Path;
use std::process::Command;

use failover::{Access, ErrorKind, HtpasswdFile};

use crate::support::{Folder, need, skip};

/// What htpasswd calls the kinds that are taken.
const TAKEN: [&[&str]; 5] = [
    &["-B"],
    &["-B", "-C", "4"],
    &["-B", "-C", "8"],
    &["-m"],
    &["-s"],
];

/// Adds or changes a user, creating the file if there is none.
fn htpasswd(path: &Path, flags: &[&str], user: &str, password: &str) {
    let mut command = Command::new("htpasswd");
    if !path.exists() {
        command.arg("-c");
    }
    let output = command
        .arg("-b")
        .args(flags)
        .arg(path)
        .args([user, password])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn verify(file: &HtpasswdFile, user: &str, password: &str) -> Access {
    file.verify(Some(&format!(
        "Basic {}",
        base64(format!("{user}:{password}").as_bytes())
    )))
}

fn granted(user: &str) -> Access {
    Access::Granted {
        user: user.to_string(),
    }
}

fn base64(bytes: &[u8]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for at in 0..=chunk.len() {
            text.push(char::from(digits[(group >> (18 - 6 * at) & 63) as usize]));
        }
        text.push_str(&"=".repeat(3 - chunk.len()));
    }
    text
}

/// Empty, odd, UTF-8, around the borders of MD5's and bcrypt's blocks, and as long as htpasswd
/// takes.
fn passwords() -> Vec<String> {
    let mut all: Vec<String> = [
        "",
        "a",
        " b ",
        "a:b:c",
        "\"'\\$`{SHA}",
        "zoë",
        "пароль",
        "🔑🔑",
        "=+/",
    ]
    .map(String::from)
    .to_vec();
    for length in [8, 15, 16, 17, 55, 56, 63, 64, 65, 71, 72, 128, 200, 255] {
        all.push(
            "0123456789abcdefghijklmnopqrstuvwxyz"
                .chars()
                .cycle()
                .take(length)
                .collect(),
        );
    }
    all.push("é".repeat(36));
    all.push(format!("{}é", "x".repeat(71)));
    all
}

#[test]
fn every_kind_that_is_taken_agrees_on_every_password() {
    if need("htpasswd").is_none() {
        return;
    }
    let folder = Folder::new("kinds");
    for (number, flags) in TAKEN.iter().enumerate() {
        let path = folder.file(format!("users-{number}"));
        let passwords = passwords();
        // The dear ones only here and there: a debug build would take its time.
        let step = match **flags {
            ["-B"] => 4,
            [.., "8"] => 12,
            _ => 1,
        };
        for (at, password) in passwords.iter().enumerate().step_by(step) {
            htpasswd(&path, flags, &format!("user{at}"), password);
        }
        let file = HtpasswdFile::open(&path).unwrap();
        for (at, password) in passwords.iter().enumerate().step_by(step) {
            let user = format!("user{at}");
            assert_eq!(
                verify(&file, &user, password),
                granted(&user),
                "{flags:?} {password:?}"
            );
            let wrong = format!("x{password}");
            assert_eq!(
                verify(&file, &user, &wrong),
                Access::Denied,
                "{flags:?} {wrong:?}"
            );
            assert_eq!(verify(&file, "nobody", password), Access::Denied);
        }
    }
}

#[test]
fn kinds_and_names_mix_in_one_file() {
    if need("htpasswd").is_none() {
        return;
    }
    let folder = Folder::new("mixed");
    let path = folder.file("users");
    let long = "n".repeat(150);
    let names = [
        "bob",
        "zoë",
        "Иван",
        "a b",
        "user@example.org",
        long.as_str(),
    ];
    for (at, name) in names.iter().enumerate() {
        htpasswd(
            &path,
            TAKEN[at % TAKEN.len()],
            name,
            &format!("secret {at}"),
        );
    }
    let file = HtpasswdFile::open(&path).unwrap();
    for (at, name) in names.into_iter().enumerate() {
        assert_eq!(verify(&file, name, &format!("secret {at}")), granted(name));
        assert_eq!(verify(&file, name, "secret"), Access::Denied);
    }
}

/// As Apache does, by `htpasswd -v`: what is over 72 bytes makes no difference to bcrypt, and a
/// difference to the others.
#[test]
fn long_passwords_are_cut_where_the_program_cuts_them() {
    if need("htpasswd").is_none() {
        return;
    }
    let folder = Folder::new("long");
    let path = folder.file("users");
    let long = "0123456789abcdef".repeat(5);
    htpasswd(&path, &["-B", "-C", "4"], "bcrypt", &long);
    htpasswd(&path, &["-m"], "md5", &long);
    htpasswd(&path, &["-s"], "sha", &long);
    let file = HtpasswdFile::open(&path).unwrap();
    for length in [71, 72, 73, 79, 80] {
        for user in ["bcrypt", "md5", "sha"] {
            let password = &long[..length];
            let mut program = Command::new("htpasswd");
            program.arg("-vb").arg(&path).args([user, password]);
            let theirs = program.output().unwrap().status.success();
            let ours = verify(&file, user, password) == granted(user);
            assert_eq!(ours, theirs, "{user} with {length} bytes");
        }
    }
}

#[test]
fn crypt_sha_crypt_and_plain_text_are_refused_by_name() {
    if need("htpasswd").is_none() {
        return;
    }
    let folder = Folder::new("refused");
    let mut kinds = vec![("-d", "DES crypt hashes"), ("-p", "plain-text passwords")];
    // htpasswd 2.4.55 and later.
    let usage = Command::new("htpasswd").output().unwrap().stderr;
    if String::from_utf8_lossy(&usage).contains(" -5 ") {
        kinds.extend([
            ("-2", "SHA-256 crypt hashes"),
            ("-5", "SHA-512 crypt hashes"),
        ]);
    } else {
        skip("SHA-crypt", "this htpasswd has none");
    }
    for (flag, kind) in kinds {
        let path = folder.file(format!("users{flag}"));
        htpasswd(&path, &["-s"], "alice", "secret");
        htpasswd(&path, &[flag], "bob", "secret");
        let error = HtpasswdFile::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let expected = format!(
            "{}:2: user \"bob\": {kind} are not supported; use htpasswd -B",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn what_the_program_changes_is_in_force_at_once() {
    if need("htpasswd").is_none() {
        return;
    }
    let folder = Folder::new("changes");
    let path = folder.file("users");
    htpasswd(&path, &["-B", "-C", "4"], "bob", "first");
    let file = HtpasswdFile::open(&path).unwrap();
    assert_eq!(verify(&file, "bob", "first"), granted("bob"));
    htpasswd(&path, &["-B", "-C", "4"], "bob", "second");
    assert_eq!(verify(&file, "bob", "first"), Access::Denied);
    assert_eq!(verify(&file, "bob", "second"), granted("bob"));
    htpasswd(&path, &["-p"], "eve", "plain");
    assert_eq!(verify(&file, "bob", "second"), granted("bob"));
    assert!(
        file.problem()
            .unwrap()
            .ends_with("are not supported; use htpasswd -B")
    );
    let status = Command::new("htpasswd")
        .arg("-D")
        .arg(&path)
        .arg("eve")
        .output()
        .unwrap()
        .status;
    assert!(status.success());
    assert_eq!(file.problem(), None);
    assert_eq!(verify(&file, "bob", "second"), granted("bob"));
}
