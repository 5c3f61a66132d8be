//! Checks of what waits for an export: its queue and its breaker.

use crate::config::keys::{BreakerKeys, QueueFullKey, QueueKeys, QueueModeKey};
use crate::config::report::At;
use crate::config::{Breaker, Queue, QueueFull, QueueMode};
use std::num::NonZeroU32;

pub(super) fn queue(keys: &QueueKeys, at: &At<'_>) -> Queue {
    for (bytes, key) in [(keys.memory_bytes, "memory_bytes"), (keys.disk_bytes, "disk_bytes")] {
        if bytes.0 == 0 {
            at.key(key).problem("no event is that short", "write a size such as `8MB`");
        }
    }
    if keys.max_age.0.is_some_and(|age| age.is_zero()) {
        at.key("max_age").problem("it is no time at all", "write `24h`, or `none`");
    }
    if matches!(keys.mode, QueueModeKey::Memory) {
        at.key("mode").warning(
            "with `memory` a receiver that is down makes the sources of this export wait, and \
             with them every other export they feed",
            "use `overflow`, unless nothing may be written to disk",
        );
    }
    Queue {
        mode: match keys.mode {
            QueueModeKey::Memory => QueueMode::Memory,
            QueueModeKey::Overflow => QueueMode::Overflow,
            QueueModeKey::Disk => QueueMode::Disk,
        },
        memory_events: keys.memory_events.0 as usize,
        memory_bytes: keys.memory_bytes.0,
        disk_bytes: keys.disk_bytes.0 as u64,
        when_full: match keys.when_full {
            QueueFullKey::DeadLetter => QueueFull::DeadLetter,
            QueueFullKey::Block => QueueFull::Block,
            QueueFullKey::DropNewest => QueueFull::DropNewest,
        },
        max_age: keys.max_age.0,
    }
}

pub(super) fn breaker(keys: &BreakerKeys, at: &At<'_>) -> Option<Breaker> {
    let probe_after: Vec<_> = keys.probe_after.iter().map(|wait| wait.0).collect();
    if probe_after.is_empty() {
        at.key("probe_after").problem("an empty list", "name at least one wait");
    } else if probe_after.iter().any(|wait| wait.is_zero()) {
        at.key("probe_after").problem("a wait is no time at all", "write waits such as `30s`");
    }
    Some(Breaker { failures: NonZeroU32::new(keys.failures.0)?, probe_after })
}
