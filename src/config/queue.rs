//! What waits for an export: how much, where, and when it is held back.

use std::num::NonZeroU32;
use std::time::Duration;

/// What waits for an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Where it stands.
    pub mode: QueueMode,
    /// Number of events in memory, waiting and in-flight ones included.
    pub memory_events: usize,
    /// Bytes of their texts.
    pub memory_bytes: usize,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// What becomes of an event that finds no room.
    pub when_full: QueueFull,
    /// How long an event may wait.
    pub max_age: Option<Duration>,
}

impl Default for Queue {
    fn default() -> Self {
        Queue {
            mode: QueueMode::Overflow,
            memory_events: 1000,
            memory_bytes: 8_000_000,
            disk_bytes: 1_000_000_000,
            when_full: QueueFull::DeadLetter,
            max_age: None,
        }
    }
}

/// Where a queue stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueMode {
    /// In memory alone.
    Memory,
    /// In memory, and what it has no room for on disk.
    Overflow,
    /// On disk before anything else.
    Disk,
}

/// What becomes of an event that finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueFull {
    /// It is a dead letter.
    DeadLetter,
    /// Its source waits.
    Block,
    /// It is lost and counted.
    DropNewest,
}

/// When first attempts are held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    /// After so many failures in a row.
    pub failures: NonZeroU32,
    /// The waits before each probe; the last one repeats. Not empty.
    pub probe_after: Vec<Duration>,
}
