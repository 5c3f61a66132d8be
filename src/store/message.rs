//! What the writer's thread is sent: something to write, to do between two commits, or to end.

use super::transaction::Tx;
use super::{Observer, StoreError};
use rusqlite::Connection;
use tokio::sync::oneshot;

/// What the thread is sent.
pub(super) enum Message {
    /// Something to write.
    Write(Box<dyn Write>),
    /// Something to do on the connection between two commits.
    Between(Between),
    /// The first rider has got on.
    Ride,
    /// Commit everything and end; the answer comes when the file is closed.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// Something to do on the connection between two commits, and who is told of it.
pub(super) type Between = Box<dyn FnOnce(&Connection, &Observer) + Send>;

/// Something to write, and who waits for it.
pub(super) trait Write: Send {
    /// About how many rows and bytes it writes.
    fn size(&self) -> (usize, usize);
    /// Writes; called once.
    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;
    /// Says how the commit went.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A closure that writes, and the oneshot of the one who waits.
pub(super) struct Job<T, F> {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) work: Option<F>,
    pub(super) done: Option<T>,
    pub(super) waiting: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Write for Job<T, F>
where
    T: Send,
    F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn size(&self) -> (usize, usize) {
        (self.rows, self.bytes)
    }

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        if let Some(work) = self.work.take() {
            self.done = Some(work(tx)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Job { done, waiting, .. } = *self;
        // Who no longer waits has lost nothing: it is written.
        let _ = waiting.send(committed.and_then(|()| done.ok_or(StoreError::Closed)));
    }
}
