//! What the writer's thread is sent: something to write, to do between two commits, or to end.

use super::transaction::Tx;
use super::{DlqBounds, Observer, StoreError};
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
    /// Work otherwise from now on.
    Change(Change),
    /// Commit everything and end; the answer comes when the file is closed.
    Close(oneshot::Sender<Result<(), StoreError>>),
}

/// Something to do on the connection between two commits, and who is told of it.
pub(super) type Between = Box<dyn FnOnce(&Connection, &Observer) + Send>;

/// What can be changed while the writer works.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// What the dead letters may take up.
    Bounds(DlqBounds),
    /// Whether dead letters raise events.
    EmitDlqEvents(bool),
    /// The program stops: what is not stored now is lost, so nothing is spared any more.
    Stopping,
}

/// What a write does to the disk's room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It takes room; refused while the disk is full.
    Adds,
    /// It gives room, or takes hardly any; goes on while the disk is full.
    Frees,
}

/// Something to write, and who waits for it.
pub(super) trait Write: Send {
    /// What it does to the disk's room.
    fn kind(&self) -> Kind;
    /// About how many rows and bytes it writes.
    fn size(&self) -> (usize, usize);
    /// Writes; called again where the disk was full and now has room.
    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;
    /// Says how the commit went.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// A closure that writes, and the oneshot of the one who waits.
pub(super) struct Job<T, F> {
    pub(super) kind: Kind,
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) work: F,
    pub(super) done: Option<Result<T, StoreError>>,
    pub(super) waiting: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Write for Job<T, F>
where
    T: Send,
    F: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn kind(&self) -> Kind {
        self.kind
    }

    fn size(&self) -> (usize, usize) {
        (self.rows, self.bytes)
    }

    fn apply(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let done = (self.work)(tx);
        // What found no room has written nothing, so the others' commit need not fail with it.
        if let Err(error) = &done
            && !matches!(error, StoreError::NoRoom(_))
        {
            return Err(error.clone());
        }
        self.done = Some(done);
        Ok(())
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let Job { done, waiting, .. } = *self;
        // Who no longer waits has lost nothing: it is written.
        let _ = waiting.send(committed.and_then(|()| done.unwrap_or(Err(StoreError::Closed))));
    }
}
