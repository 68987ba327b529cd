//! What people are told of a component beside its state. Nothing here changes while it runs.
#![forbid(unsafe_code)]

use std::time::Duration;

/// Which layer of the system a component looks at (seed 002).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    Infrastructure,
    Platform,
    Application,
    Business,
}

impl Layer {
    pub(crate) const ALL: [Layer; 4] = [
        Layer::Infrastructure,
        Layer::Platform,
        Layer::Application,
        Layer::Business,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Layer::Infrastructure => "infrastructure",
            Layer::Platform => "platform",
            Layer::Application => "application",
            Layer::Business => "business",
        }
    }
}

/// How a component is described, and how it takes part in the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    /// What is asked, as the configuration says it: `tcp 192.0.2.1:25`.
    pub(crate) asks: String,
    /// How often, where it runs by itself.
    pub(crate) every: Option<Duration>,
    pub(crate) layer: Option<Layer>,
    /// Why it is set up as it is, in its owner's words.
    pub(crate) why: String,
    /// Whether the whole fails with it.
    pub(crate) critical: bool,
    /// The components that it is made of.
    pub(crate) members: Vec<String>,
    /// The components whose failure explains its own.
    pub(crate) depends_on: Vec<String>,
    /// Whether a POST resets it.
    pub(crate) manual_reset: bool,
    /// Whether somebody else reports for it.
    pub(crate) heartbeat: bool,
    /// The HTTP status of a failure.
    pub(crate) fail_status: u16,
    /// How long a caller waits for its check; the server's own limit if it says nothing.
    pub(crate) answer_within: Option<Duration>,
}

impl Default for About {
    fn default() -> About {
        About {
            asks: String::new(),
            every: None,
            layer: None,
            why: String::new(),
            critical: true,
            members: Vec::new(),
            depends_on: Vec::new(),
            manual_reset: false,
            heartbeat: false,
            fail_status: 503,
            answer_within: None,
        }
    }
}
