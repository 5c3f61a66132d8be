//! Giving room back to the disk while the store is at work: pages that are free are cut off the
//! file and the log is cut to nothing, a step at a time, when the writer has nothing better to do.

#![allow(clippy::disallowed_types, reason = "the writer is a thread without a runtime")]

use super::writer::Writer;
use super::{StoreError, StoreFact, database};
use std::time::{Duration, Instant};

/// How long after a commit the file is tidied, and how often beside commits that go on.
const TIDY_AFTER: Duration = Duration::from_secs(1);

/// How much later tidying is tried again after it failed.
const TRY_AFTER: Duration = Duration::from_secs(10);

/// When the file is to be tidied.
#[derive(Debug, Default)]
pub(super) struct Tidy {
    due: Option<Instant>,
    /// Whether there was a commit since the last step.
    busy: bool,
}

impl Tidy {
    /// When the next step is due; `None` while all is tidy.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// There was a commit.
    pub(super) fn committed(&mut self, now: Instant) {
        self.busy = true;
        self.due.get_or_insert(now + TIDY_AFTER);
    }
}

impl Writer {
    /// Takes a step where one is due.
    pub(super) fn tidy(&mut self) {
        let now = Instant::now();
        if self.tidy.due.is_none_or(|due| due > now) {
            return;
        }
        let busy = std::mem::take(&mut self.tidy.busy);
        let given = database::give_back(&self.conn);
        self.look_after_log();
        if self.state.disk_full {
            self.reserve.try_soon();
        }
        self.tidy.due = match given {
            Ok(true) => Some(if busy { now + TIDY_AFTER } else { now }),
            Ok(false) => None,
            // It is told where something is to be written; here nothing is lost.
            Err(StoreError::Full | StoreError::Busy(_)) => Some(now + TRY_AFTER),
            Err(error) => {
                (self.observer)(StoreFact::Failed { op: "vacuum", error: &error });
                Some(now + TRY_AFTER)
            }
        };
    }
}
