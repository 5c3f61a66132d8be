//! Keeping the log short. What stands in it must find room in the file when it is copied back, and
//! on a full disk the reserve is all the room there is: so the log is copied back before it holds
//! more than that, and what is large is only begun where the disk has room for it twice.

use super::database::{self, PAGE_BYTES};
use super::message::{Kind, Write};
use super::riders::Riders;
use super::writer::Writer;
use super::{StoreError, StoreFact};

/// The log is copied back when it holds so many bytes: what is written and settled soon after, as
/// an overflow is, reaches the file itself less often.
const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// Riders that go with one commit while the disk is full: its log must fit into the reserve.
const FEW_RIDERS: usize = 256;

/// How much the log may hold beside a reserve of so many bytes: what is left of the reserve is for
/// the last commit before it is copied back.
pub(super) fn bound(reserve_bytes: u64) -> u64 {
    (reserve_bytes / 4 * 3).min(MOST_BYTES)
}

/// About how many bytes are added.
pub(super) fn added(writes: &[Box<dyn Write>]) -> u64 {
    let adding = writes.iter().filter(|write| write.kind() == Kind::Adds);
    adding.map(|write| write.size().1 as u64).sum()
}

impl Writer {
    /// Says how long the log's file stays, by the reserve beside it.
    pub(super) fn bound_log(&self) {
        if let Err(error) = database::bound_log(&self.conn, 2 * bound(self.reserve.bytes())) {
            (self.observer)(StoreFact::Failed { op: "checkpoint", error: &error });
        }
    }

    /// Copies the log back where it holds as much as it may. On a full disk that is done after
    /// each commit, and the log's own room is given back.
    pub(super) fn look_after_log(&mut self) {
        let done = if self.state.disk_full {
            database::cut_log(&self.conn)
        } else {
            match database::log_pages(&self.conn) {
                Ok(pages) if pages * PAGE_BYTES as u64 >= bound(self.reserve.bytes()) => {
                    database::copy_back(&self.conn)
                }
                looked => looked.map(drop),
            }
        };
        match done {
            // What a reader holds back stays for the next time.
            Ok(()) | Err(StoreError::Busy(_)) => {}
            Err(StoreError::Full) => drop(self.make_do()),
            Err(error) => (self.observer)(StoreFact::Failed { op: "checkpoint", error: &error }),
        }
    }

    /// Before much is added: the disk must have room for it in the log and in the file. Else it
    /// counts as full while there is still room for the log to be copied back.
    pub(super) fn look_ahead(&mut self, writes: &[Box<dyn Write>]) {
        if !self.state.disk_full && !self.reserve.has_room_for(added(writes)) {
            self.make_do();
        }
    }

    /// On a full disk, commits what nobody waits for in small parts until what is left is one.
    pub(super) fn commit_riders(&mut self, riders: &mut Riders) -> Result<(), StoreError> {
        while self.state.disk_full && riders.rows() > FEW_RIDERS {
            let mut part = riders.take_some(FEW_RIDERS);
            if let Err(error) = self.attempt(&mut [], &mut part) {
                riders.put_back(part);
                return Err(error);
            }
        }
        Ok(())
    }
}
