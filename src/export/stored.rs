//! Exports that are not at work: how they stand in the store, pausing and resuming them there.

use super::Standing;
use super::standing::{ALL_ENDPOINTS, paused_by_hand, resumed_by_hand};
use crate::metrics::ExportState;
use crate::store::{EndpointChange, EndpointState, Store, StoreError};
use std::sync::Arc;

/// The exports of which the store knows anything, in order of their names.
///
/// # Errors
/// When the store can't be read.
pub async fn names(store: &Store) -> Result<Vec<Arc<str>>, StoreError> {
    let mut names = store.exports_with_endpoints().await?;
    names.extend(store.queue_totals().into_iter().map(|(export, _)| export));
    names.extend(store.totals().into_iter().filter_map(|total| total.export));
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// How an export would stand when it is started.
///
/// # Errors
/// When the store can't be read.
pub async fn standing(store: &Store, export: &str) -> Result<Standing, StoreError> {
    let endpoints = store.endpoints(export).await?;
    let by_hand = endpoints.iter().any(|(name, _)| name == ALL_ENDPOINTS);
    let state = if endpoints.iter().any(|(_, row)| row.state == EndpointState::Paused) {
        ExportState::Paused
    } else if endpoints.is_empty() {
        ExportState::Up
    } else {
        ExportState::Open
    };
    let pending = store.queue_total(export).all();
    let shut = endpoints.len() - usize::from(by_hand);
    Ok(Standing { state, by_hand, shut, pending, on_disk: pending })
}

/// Pauses an export by hand; on disk when this returns.
///
/// # Errors
/// When the store fails; nothing is changed then.
pub async fn pause(store: &Store, export: &Arc<str>) -> Result<(), StoreError> {
    if standing(store, export).await?.by_hand {
        return Ok(());
    }
    let (row, event) = paused_by_hand();
    let (endpoint, export) = (ALL_ENDPOINTS.to_owned(), Arc::clone(export));
    let change = EndpointChange { export, endpoint, row: Some(row), event: Some(event) };
    store.endpoint_changed(change).await
}

/// Forgets that an export was paused or failed; on disk when this returns.
///
/// # Errors
/// When the store fails; what was forgotten before stays forgotten.
pub async fn resume(store: &Store, export: &Arc<str>) -> Result<(), StoreError> {
    for (endpoint, row) in store.endpoints(export).await? {
        let event = Some(resumed_by_hand(row.state));
        let change = EndpointChange { export: Arc::clone(export), endpoint, row: None, event };
        store.endpoint_changed(change).await?;
    }
    Ok(())
}
