//! How many files may be open: file sources share half of what the process may open, less what
//! everything else needs in any case. Which of them a source closes is the roster's choice.

use super::roster::MAX_OPEN;
use rustix::process::{Resource, getrlimit};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the store, the listeners, the watches and a few connections take.
const RESERVE: usize = 64;

/// What the file sources of a process may have open.
#[derive(Debug)]
pub struct OpenFiles {
    all: usize,
    sources: AtomicUsize,
}

impl OpenFiles {
    /// For so many file sources, by the limit that the process has now.
    pub fn of_process(sources: usize) -> Arc<Self> {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        Arc::new(OpenFiles::new(usize::try_from(limit).unwrap_or(usize::MAX), sources))
    }

    pub(super) fn new(limit: usize, sources: usize) -> Self {
        let all = limit.saturating_sub(RESERVE) / 2;
        OpenFiles { all, sources: AtomicUsize::new(sources) }
    }

    /// There are so many file sources from now on; returns how many there were.
    pub fn share_among(&self, sources: usize) -> usize {
        self.sources.swap(sources, Ordering::Relaxed)
    }

    /// How many files one source may keep open between turns; 0 is enough to read.
    pub(super) fn share(&self) -> usize {
        (self.all / self.sources.load(Ordering::Relaxed).max(1)).min(MAX_OPEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_share_half_of_what_is_not_needed_elsewhere() {
        for (limit, sources, share) in [
            (1_024, 1, 480),
            (1_024, 8, 60),
            (64, 1, 0),
            (20, 3, 0),
            (1_048_576, 2, MAX_OPEN),
            (usize::MAX, 0, MAX_OPEN),
        ] {
            let files = OpenFiles::new(limit, 1);
            files.share_among(sources);
            assert_eq!(files.share(), share, "{limit} for {sources}");
        }
    }
}
