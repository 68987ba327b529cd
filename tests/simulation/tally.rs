//! What a simulation has been through: one that never changes a state proves nothing.

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Steps,
    ToOk,
    ToFail,
    ByCount,
    ByDuration,
    ByWindow,
    WentStale,
    CameBack,
    Resets,
    Unknowns,
    FiresWhileOk,
    FiresWhileFailed,
    Released,
    Met,
    MetWithDissent,
    Missed,
    Open,
    Runs,
    Nudges,
    Skipped,
}

/// How often each happened.
#[derive(Debug, Default)]
pub(crate) struct Tally([usize; Mark::Skipped as usize + 1]);

impl Tally {
    pub(crate) fn add(&mut self, mark: Mark, times: usize) {
        self.0[mark as usize] += times;
    }

    pub(crate) fn note(&mut self, mark: Mark) {
        self.add(mark, 1);
    }

    /// Each of these happened at least that often.
    #[track_caller]
    pub(crate) fn assert_many(&self, floors: &[(Mark, usize)]) {
        for (mark, floor) in floors {
            let times = self.0[*mark as usize];
            assert!(times >= *floor, "{mark:?}: {times} times; expected {floor}");
        }
    }
}
