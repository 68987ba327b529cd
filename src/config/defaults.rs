//! Which settings a component has: its own, and those of `defaults` that say something of it.
#![forbid(unsafe_code)]

use super::blocks::{Block, Setting};
use super::problem::Problems;
use super::schema::{COMPOSITES, Keyword, Place};

use crate::text::joined;

/// Settings of which one takes the place of the other.
const INSTEAD: [&str; 2] = ["every", "on-request"];

/// Those of defaults that say nothing of a component that nobody may be asking, and the one that
/// says nothing of any other.
const WHILE_ASKED_BY_ITSELF: [&str; 3] = ["track-file", "notify", "delay"];
const WHILE_ON_REQUEST: &str = "answer-within";

/// The block's own settings, those that are for its kind, and the defaults that it does not
/// override.
pub(super) fn with_defaults(
    block: &Block,
    kind: &Setting,
    defaults: &[Setting],
    name: &str,
    problems: &Problems,
) -> Vec<Setting> {
    let kind_name = kind.keyword.name;
    let mut settings = Vec::new();
    for setting in &block.settings {
        if setting.keyword.is_for(kind_name) {
            settings.push(setting.clone());
        } else {
            problems.error(setting.at, not_for(setting.keyword, kind_name));
        }
    }
    let own: Vec<&'static str> = settings.iter().map(|it| it.keyword.name).collect();
    let is_own = |keyword: &str| own.contains(&keyword);
    let applies = |default: &&Setting| {
        let keyword = default.keyword.name;
        let instead = INSTEAD.contains(&keyword) && INSTEAD.iter().any(|it| is_own(it));
        // What a composite or a heartbeat makes of outcomes is not what a probe does.
        let is_judging = matches!(keyword, "ok-after" | "fail-after" | "every");
        let judges_otherwise = is_judging && (is_composite(kind_name) || kind_name == "heartbeat");
        let itself = default.words.iter().any(|word| word.text == name);
        let names_itself = matches!(keyword, "only-if" | "depends-on") && itself;
        let is_for = default.keyword.is_for(kind_name) && !is_own(keyword);
        is_for && !instead && !judges_otherwise && !names_itself
    };
    let defaults: Vec<&Setting> = defaults.iter().filter(applies).collect();
    let is_on_request = |name: &str| name == "on-request";
    let on_request = own.iter().any(|name| is_on_request(name))
        || defaults.iter().any(|it| is_on_request(it.keyword.name));
    for default in defaults {
        let keyword = default.keyword.name;
        let says_nothing = match on_request {
            true => WHILE_ASKED_BY_ITSELF.contains(&keyword),
            false => keyword == WHILE_ON_REQUEST,
        };
        if !says_nothing {
            settings.push(default.clone());
        }
    }
    settings
}

/// Why a setting has no place with a kind.
pub(super) fn not_for(keyword: &Keyword, kind: &str) -> String {
    let name = keyword.name;
    if is_composite(kind) && matches!(keyword.place, Place::Component) {
        return format!(
            "{name:?} is not for {kind:?}, which follows its members at every change; expected it \
             with a check"
        );
    }
    let kinds = match keyword.kinds {
        [kind] => (*kind).to_string(),
        _ if keyword.kinds_in_words().starts_with("all but") => {
            String::from("another kind of check")
        }
        kinds => format!("one of {}", joined(kinds, ", ")),
    };
    format!("{name:?} is not for {kind:?}; expected it with {kinds}")
}

/// Whether a kind is made of other components.
pub(super) fn is_composite(kind: &str) -> bool {
    COMPOSITES.contains(&kind)
}
