//! Room on an export's disk, promised to a source before it gives anything.

use super::Export;
use std::sync::Arc;

/// Room on an export's disk; given back when it is dropped.
#[derive(Debug)]
pub struct Promise {
    export: Arc<Export>,
    bytes: usize,
}

impl Promise {
    /// Whether it promises this export's room: where nobody needs to ask it promises nothing.
    pub fn is_of(&self, export: &Arc<Export>) -> bool {
        self.bytes > 0 && Arc::ptr_eq(&self.export, export)
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.export.board.release(self.bytes);
        }
    }
}

impl Export {
    /// Promises room on disk for so many bytes; `None` where there is none now.
    pub fn promise(self: &Arc<Self>, bytes: usize) -> Option<Promise> {
        let bytes = self.board.promise(bytes, self.store.queue_total(&self.name).bytes)?;
        Some(Promise { export: Arc::clone(self), bytes })
    }

    /// Waits for room on disk, as long as a full queue holds its sources back; `others_wait` tells
    /// whether another export of the same source has room and is kept waiting. What is not
    /// promised then is refused when it is pushed.
    pub async fn await_room(
        self: &Arc<Self>,
        bytes: usize,
        others_wait: impl Fn() -> bool,
    ) -> Promise {
        let on_disk = || self.store.queue_total(&self.name).bytes;
        let (bytes, waited) = self.board.await_room(bytes, on_disk, others_wait).await;
        if !waited.is_zero() {
            self.metrics.blocked(waited);
        }
        Promise { export: Arc::clone(self), bytes }
    }
}
