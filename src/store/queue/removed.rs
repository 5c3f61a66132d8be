//! Events of an export that is no longer configured become dead letters.

use super::super::StoreError;
use super::super::bury::Replaces;
use super::super::chunk::Restored;
use super::super::transaction::Tx;
use super::read::{self, Asked};
use super::write::QueueChange;
use crate::delivery::Claim;
use crate::retry::Reason;
use std::sync::Arc;

/// What their records say.
const ERROR: &str = "the export is no longer configured";

/// About how many bytes of rows are read at once.
const READ_BYTES: usize = 1024 * 1024;

impl Tx<'_> {
    /// Buries at most `limit` events of the export's queue; returns how many. Where there is none,
    /// those that could not be read are told of: they stay.
    pub(super) fn bury_removed(
        &mut self,
        export: &Arc<str>,
        limit: usize,
    ) -> Result<u64, StoreError> {
        let (mut buried, mut damaged) = (0, 0);
        let mut asked =
            Asked { after: 0, up_to: i64::MAX, max_events: limit, max_bytes: READ_BYTES };
        while buried < limit {
            asked.max_events = limit - buried;
            let page = read::fifo_page(&read::fifo_rows(self.conn, export, asked)?, asked);
            buried += self.bury_all(export, &page.events)?;
            damaged += page.damaged;
            asked.after = page.next;
            if page.done {
                break;
            }
        }
        let mut after = None;
        while buried < limit {
            let rows = read::waiting_rows(self.conn, export, after, limit - buried, READ_BYTES)?;
            let page = read::waiting_page(&rows, after);
            buried += self.bury_all(export, &page.events)?;
            damaged += page.damaged.len() as u64;
            after = page.next;
            if page.next_due.is_none() {
                break;
            }
        }
        if buried == 0 && damaged > 0 {
            self.state.unreadable.push((Arc::clone(export), damaged));
        }
        Ok(buried as u64)
    }

    fn bury_all(&mut self, export: &Arc<str>, events: &[Restored]) -> Result<usize, StoreError> {
        let mut settled = Vec::with_capacity(events.len());
        for Restored { delivery, .. } in events {
            let letter = delivery.dead_letter(export, Reason::ExportRemoved, ERROR);
            self.bury(&letter, &Replaces::Nothing)?;
            if let Claim::Row(row) = delivery.claim {
                settled.push(QueueChange::Settled(row));
            }
        }
        self.change_queue(export, &settled)?;
        Ok(events.len())
    }
}
