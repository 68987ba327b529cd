//! The machine's users: names to numbers, for programs that run as somebody else (passwd(5)).
//!
//! It reads `/etc/passwd` and asks nobody else: a static program has no other name services, and a
//! check must not hang on a directory server. Nothing is changed here.
#![forbid(unsafe_code)]

use std::io;
use std::path::Path;

use crate::error::Error;
use crate::sys::file::read_at_most;
use crate::sys::process::effective_user;

const PASSWD: &str = "/etc/passwd";

/// Ten thousand users; who has more has a directory server for them.
const PASSWD_BYTES_MAX: u64 = 1_048_576;

/// A user that a program can run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: String,
}

impl Account {
    /// The user of this name, if we may run programs as that one.
    ///
    /// # Errors
    /// There is no such user in `/etc/passwd`; or it is another than we are, and we are not root.
    pub(crate) fn named(name: &str) -> Result<Account, Error> {
        let text = passwd().map_err(|error| {
            Error::system(
                format!("user {name:?} cannot be looked up in {PASSWD}"),
                error,
            )
        })?;
        let found = find(&text, &|account| account.name == name).ok_or_else(|| {
            Error::invalid(format!("no user {name:?}; expected a name in {PASSWD}"))
        })?;
        if ![0, found.uid].contains(&effective_user()) {
            let message = format!(
                "user {name:?} cannot be switched to; expected our own, since only root can switch"
            );
            return Err(Error::invalid(message));
        }
        Ok(found)
    }

    /// The one that we run as ourselves, if it has a name.
    pub(crate) fn own() -> Option<Account> {
        let own = effective_user();
        find(&passwd().ok()?, &|account| account.uid == own)
    }

    /// Whether a program has to change its user to run as this one.
    pub(crate) fn is_other(&self) -> bool {
        self.uid != effective_user()
    }
}

fn passwd() -> io::Result<String> {
    let bytes = read_at_most(Path::new(PASSWD), PASSWD_BYTES_MAX)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The first line that is meant; those that break the form are passed over.
fn find(text: &str, is_meant: &dyn Fn(&Account) -> bool) -> Option<Account> {
    text.lines().filter_map(account).find(is_meant)
}

/// `name:password:uid:gid:comment:home:shell`
fn account(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = fields.nth(1)?;
    Some(Account {
        name: name.to_string(),
        uid,
        gid,
        home: if home.is_empty() { "/" } else { home }.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
root:x:0:0:root:/root:/bin/bash
# a remark
+
+@staff::::::
:x:5:5::/:
short:x:7
words:x:one:two::/:
mail:x:8:12:mail:/var/mail:/usr/sbin/nologin
mail:x:9:13:again:/other:
empty:x:10:10:::
";

    #[test]
    fn lines_of_the_right_form_are_found_and_the_first_one_counts() {
        let named = |name: &str| find(TEXT, &|account| account.name == name);
        let mail = named("mail").unwrap();
        assert_eq!(
            (mail.uid, mail.gid, mail.home.as_str()),
            (8, 12, "/var/mail")
        );
        assert_eq!(named("empty").unwrap().home, "/");
        assert_eq!(
            find(TEXT, &|account| account.uid == 0).unwrap().name,
            "root"
        );
        for name in ["", "#", "+", "short", "words", "mai", "# a remark"] {
            assert_eq!(named(name), None, "{name:?}");
        }
    }

    #[test]
    fn no_text_ends_in_a_panic() {
        for end in 0..=TEXT.len() {
            let _ = find(&TEXT[..end], &|_| false);
        }
        for at in 0..TEXT.len() {
            let mut bytes = TEXT.as_bytes().to_vec();
            bytes[at] ^= 0x08;
            let _ = find(&String::from_utf8_lossy(&bytes), &|_| false);
        }
    }

    #[test]
    fn who_is_not_there_is_an_error() {
        let error = Account::named("nobody-at-all").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no user \"nobody-at-all\"; expected a name in /etc/passwd"
        );
    }

    #[test]
    fn we_may_always_run_as_ourselves() {
        let Some(own) = Account::own() else {
            println!("skipped: our user has no name here");
            return;
        };
        assert_eq!(Account::named(&own.name).unwrap(), own);
        assert!(!own.is_other());
    }
}
