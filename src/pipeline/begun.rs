//! A start that fails: what it has put to work comes to its end.

use super::orphans::Orphans;
use super::replay::Replays;
use crate::export::Export;
use crate::store::Store;
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// What of a pipeline is at work before all of it is.
#[derive(Debug, Default)]
pub(super) struct Begun {
    pub(super) store: Option<Store>,
    pub(super) exports: Vec<Arc<Export>>,
    pub(super) orphans: Option<Orphans>,
    pub(super) replays: Option<Replays>,
}

impl Begun {
    /// Ends what sends already, once the attempts under way have ended or `grace` is over. What it
    /// has of the store's queue stays there.
    pub(super) async fn end(self, grace: Duration) {
        if let Some(replays) = self.replays {
            replays.stop().await;
        }
        if let Some(orphans) = self.orphans {
            orphans.stop().await;
        }
        join_all(self.exports.iter().map(|export| export.rest(grace))).await;
        join_all(self.exports.iter().map(|export| export.stop())).await;
        if let Some(store) = self.store {
            let _ = store.close().await;
        }
    }
}
