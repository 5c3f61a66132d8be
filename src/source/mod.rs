//! Where events come in. A source reads bytes and finds lines; what a line becomes is the same for
//! all of them and stands in `intake`.

mod buffer;
mod burials;
mod datagrams;
mod documents;
pub mod file;
mod framer;
mod handle;
mod intake;
pub mod internal;
mod lines;
mod messages;
pub mod socket;
pub mod stdin;
#[cfg(test)]
pub(crate) mod testing;
mod walk;

use crate::ack::{AckTracker, Settled};
use crate::event::StreamId;
pub use documents::{Documents, Piece, Records, What};
pub use framer::Framer;
pub use handle::{InForce, Prepared, SourceHandle};
pub use intake::Intake;
pub use lines::{Lines, OVERLONG_HEAD, Overlong, READ_SIZE, Stretch};
pub use messages::Messages;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
pub use walk::{not_an_object, trim};

/// A source at work.
pub trait Source: Send + 'static {
    /// Takes events in until there are no more, or until `stop`; then all that was read is
    /// accepted.
    ///
    /// # Errors
    /// When the source cannot go on; says what to do.
    fn run(self, stop: CancellationToken) -> impl Future<Output = Result<(), String>> + Send;
}

/// One stream of lines: a file, a connection, standard input.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its id, part of every position in it.
    pub id: StreamId,
    /// Its ledger.
    pub tracker: Arc<AckTracker>,
    /// What it is, for messages: a path or a peer; empty where the source's name says it all.
    pub label: Arc<str>,
    /// Whether an earlier run settled some of its lines.
    resumed: bool,
}

impl Stream {
    /// A stream that nothing was read of before.
    pub fn fresh(label: &str) -> Self {
        Stream::resume(StreamId::random(), label, &Settled::default(), Arc::default())
    }

    /// A stream that goes on where `settled` left off; `changed` is told whenever more of it may
    /// be settled.
    pub fn resume(id: StreamId, label: &str, settled: &Settled, changed: Arc<Notify>) -> Self {
        let resumed = !settled.ranges.is_empty();
        Stream { id, tracker: AckTracker::new(settled, changed), label: label.into(), resumed }
    }

    /// Whether an earlier run settled the line at this offset.
    fn was_settled(&self, offset: u64) -> bool {
        self.resumed && self.tracker.is_settled(offset)
    }
}
