//! `failover maint`: puts a component into maintenance, or ends that.
#![forbid(unsafe_code)]

use super::admin::{self, OPTIONS, form_value};
use super::options::Words;
use super::{Exit, ended};

const USAGE: &str = "usage: failover maint [-s SOCKET | -c FILE] NAME drain|hold|off \
                     [for DURATION] [because TEXT]\n";

pub(super) fn run(words: &[String]) -> Exit {
    ended(maint(words))
}

fn maint(words: &[String]) -> Result<Exit, Exit> {
    let words = Words::read("maint", USAGE, &OPTIONS, words)?;
    let (name, rest) = admin::component(&words)?;
    let Some((mode, mut rest)) = rest.split_first() else {
        return Err(words.wrong("expected drain, hold or off"));
    };
    let mut form = format!("mode={}", form_value(mode));
    while let Some((word, after)) = rest.split_first() {
        if !matches!(*word, "for" | "because") {
            let expected = "expected for DURATION or because \"TEXT\"";
            return Err(words.wrong_as(format!("unexpected {word:?}; {expected}")));
        }
        let Some((value, others)) = after.split_first() else {
            return Err(words.wrong_as(format!("{word:?} is followed by nothing")));
        };
        form += &format!("&{word}={}", form_value(value));
        rest = others;
    }
    let target = format!("/-/maint/{name}");
    Ok(admin::ask(&admin::socket(&words)?, "POST", &target, &form))
}
