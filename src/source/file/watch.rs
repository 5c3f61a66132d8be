//! When to look: the system's events about folders, and where there are none, the clock. What a
//! look finds is not known here.

use super::discover::{self, Discover, Scan};
use super::identity::FileKey;
use notify::event::{ModifyKind, RenameMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

/// With events, how often everything is looked at anyway.
const SAFETY_LOOK: Duration = Duration::from_secs(10);

/// Without events, how often everything is looked at.
const POLL: Duration = Duration::from_millis(25);

/// Looks that changes ask for may take one part in so many of the time.
const SHARE: u32 = 5;

/// Looks by the clock may take one part in so many of the time.
const CLOCK_SHARE: u32 = 20;

/// How many files that grew are remembered one by one; of more, a look tells.
const MAX_GROWN: usize = 4_096;

/// How many looks in a row may find a folder that no watch was on before.
const MAX_LOOKS: usize = 8;

/// How many looks in a row may not find a file that was renamed.
const MAX_MISSED: u32 = 3;

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// These files were written to.
    Grown(HashSet<PathBuf>),
    /// Something appeared, went away or has another name.
    Names,
    /// The time for a look has come, and nothing is known to have changed.
    Time,
}

/// Watches over what a source's globs lead to.
#[derive(Debug)]
pub(super) struct Watch {
    source: Arc<str>,
    watcher: Option<RecommendedWatcher>,
    folders: BTreeMap<PathBuf, FileKey>,
    seen: Arc<Seen>,
}

/// When the next look is due.
#[derive(Debug)]
pub(super) struct Pace {
    seen: Arc<Seen>,
    /// Not before this, however much changes.
    not_before: Instant,
    /// Even if nothing changes.
    at_last: Instant,
}

/// What events told.
#[derive(Debug)]
struct Seen {
    discover: RwLock<Arc<Discover>>,
    state: Mutex<State>,
    notify: Notify,
}

#[derive(Debug, Default)]
struct State {
    grown: HashSet<PathBuf>,
    names: bool,
    /// Where a folder may have been that a watch was on.
    moved: HashSet<PathBuf>,
    /// Folders that the globs do not name: links lead there.
    behind_links: HashSet<PathBuf>,
    /// Files that were renamed away from a path of the globs, by where they are now, each with that
    /// path: no look may have found them there.
    renamed: HashMap<PathBuf, Rename>,
}

#[derive(Debug)]
struct Rename {
    from: PathBuf,
    /// How many looks did not find it.
    missed: u32,
}

impl Watch {
    /// Watches nothing before the first look. Without `follow` there are no events.
    pub(super) fn new(source: &Arc<str>, discover: Discover, follow: bool) -> (Self, Pace) {
        let discover = RwLock::new(Arc::new(discover));
        let seen = Arc::new(Seen { discover, state: Mutex::default(), notify: Notify::new() });
        let mut watch = Watch {
            source: Arc::clone(source),
            watcher: None,
            folders: BTreeMap::new(),
            seen: Arc::clone(&seen),
        };
        watch.listen(follow);
        let now = Instant::now();
        (watch, Pace { seen, not_before: now, at_last: now })
    }

    /// Has the system tell of changes, or not, without `follow`.
    fn listen(&mut self, follow: bool) {
        if !follow {
            self.watcher = None;
            self.folders.clear();
        } else if self.watcher.is_none() {
            let told = Arc::clone(&self.seen);
            match notify::recommended_watcher(move |event| told.note(event)) {
                Ok(watcher) => self.watcher = Some(watcher),
                Err(error) => self.poll_because(&error.to_string()),
            }
        }
    }

    /// Looks for other files from now on.
    pub(super) fn look_for(&mut self, discover: Discover, follow: bool) {
        *self.seen.discover.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(discover);
        self.listen(follow);
    }

    /// Whether events tell of changes.
    pub(super) fn has_events(&self) -> bool {
        self.watcher.is_some()
    }

    /// Does without events from now on.
    pub(super) fn poll_because(&mut self, reason: &str) {
        self.watcher = None;
        self.folders.clear();
        warn!(
            source = %self.source, reason,
            fix = "raise fs.inotify.max_user_watches and max_user_instances; on a network file system this is as it must be",
            "files cannot be watched and are looked at every {} ms", POLL.as_millis(),
        );
    }

    /// Looks at everything, with a watch on each folder before it is looked at. Blocks.
    pub(super) fn look(&mut self) -> Scan {
        let mut scan = self.seen.discover().scan();
        for _ in 0..MAX_LOOKS {
            let targets = scan.files.iter().filter_map(|found| found.target.as_deref()?.parent());
            self.seen.state().behind_links = targets.map(Path::to_owned).collect();
            if !self.follow(&scan.folders) {
                break;
            }
            scan = self.seen.discover().scan();
        }
        self.find_renamed(&mut scan);
        scan
    }

    /// Finds the files that were renamed before a look found them.
    fn find_renamed(&self, scan: &mut Scan) {
        let mut state = self.seen.state();
        state.renamed.retain(|path, rename| match discover::find(path) {
            Ok(Some(found)) => {
                scan.renamed.push((found, rename.from.clone()));
                false
            }
            // It may have been renamed again: the event is on its way.
            Ok(None) | Err(_) => {
                rename.missed += 1;
                rename.missed < MAX_MISSED
            }
        });
    }

    /// Puts watches on these folders and on no others. Returns whether one is new.
    fn follow(&mut self, folders: &BTreeMap<PathBuf, FileKey>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let moved = std::mem::take(&mut self.seen.state().moved);
        let stays =
            |path: &Path, key: &FileKey| folders.get(path) == Some(key) && !moved.contains(path);
        self.folders.retain(|path, key| {
            let stays = stays(path, key);
            if !stays {
                // The watch may have gone with its folder.
                let _ = watcher.unwatch(path);
            }
            stays
        });
        let mut added = false;
        for (path, key) in folders {
            if self.folders.contains_key(path) {
                continue;
            }
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    added = true;
                    self.folders.insert(path.clone(), *key);
                }
                Err(error) if goes_away(&error) => {}
                Err(error) => {
                    self.poll_because(&error.to_string());
                    return false;
                }
            }
        }
        added
    }
}

/// Whether only this folder cannot be watched: it is gone, or not to be read.
fn goes_away(error: &notify::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => {
            matches!(error.kind(), NotFound | NotADirectory | PermissionDenied)
        }
        _ => false,
    }
}

impl Pace {
    /// A look has ended that took this long.
    pub(super) fn looked(&mut self, took: Duration, events: bool) {
        let now = Instant::now();
        let by_clock = (took * CLOCK_SHARE).max(if events { SAFETY_LOOK } else { POLL });
        self.at_last = now + by_clock;
        self.not_before = now + if events { took * SHARE } else { by_clock };
    }

    /// A look failed: another follows after this time.
    pub(super) fn look_again_in(&mut self, time: Duration) {
        self.at_last = Instant::now() + time;
    }

    /// Asks for a look.
    pub(super) fn ask(&self) {
        self.seen.state().names = true;
        self.seen.notify.notify_one();
    }

    /// Waits until there is something to do.
    pub(super) async fn change(&mut self) -> Change {
        loop {
            let until = {
                let mut state = self.seen.state();
                if state.names && Instant::now() >= self.not_before {
                    state.names = false;
                    return Change::Names;
                }
                if !state.grown.is_empty() {
                    return Change::Grown(std::mem::take(&mut state.grown));
                }
                if state.names { self.not_before.min(self.at_last) } else { self.at_last }
            };
            tokio::select! {
                () = self.seen.notify.notified() => {}
                () = sleep_until(until) => if until == self.at_last {
                    return Change::Time;
                },
            }
        }
    }
}

impl State {
    /// A file was renamed; `ours` says that it was one of the globs'. Returns whether it is to be
    /// looked for.
    fn rename(&mut self, from: &Path, to: &Path, ours: bool) -> bool {
        let earlier = self.renamed.remove(from).map(|rename| rename.from);
        let from = earlier.or_else(|| ours.then(|| from.to_owned()));
        let Some(from) = from.filter(|_| self.renamed.len() < MAX_GROWN) else { return false };
        self.renamed.insert(to.to_owned(), Rename { from, missed: 0 });
        true
    }
}

impl Seen {
    fn state(&self) -> MutexGuard<'_, State> {
        // Each change under this lock is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn discover(&self) -> Arc<Discover> {
        Arc::clone(&self.discover.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a change at this path can change what a look finds.
    fn matters(&self, state: &State, path: &Path) -> bool {
        let linked = |path| state.behind_links.contains(path);
        self.discover().is_relevant(path) || linked(path) || path.parent().is_some_and(linked)
    }

    /// Called on the watcher's thread.
    fn note(&self, event: notify::Result<notify::Event>) {
        let mut state = self.state();
        match event {
            Ok(event) if event.need_rescan() => state.names = true,
            Ok(event) => match event.kind {
                // Reading files is what we do ourselves.
                EventKind::Access(_) => return,
                EventKind::Modify(ModifyKind::Data(_)) => {
                    state.grown.extend(event.paths);
                    if state.grown.len() > MAX_GROWN {
                        state.grown.clear();
                        state.names = true;
                    }
                }
                kind => {
                    let renamed = match (kind, event.paths.as_slice()) {
                        (EventKind::Modify(ModifyKind::Name(RenameMode::Both)), [from, to]) => {
                            state.rename(from, to, self.discover().matches(from))
                        }
                        _ => false,
                    };
                    if !renamed && !event.paths.iter().any(|path| self.matters(&state, path)) {
                        return;
                    }
                    state.names = true;
                    if state.moved.len() < MAX_GROWN {
                        state.moved.extend(event.paths);
                    }
                }
            },
            Err(_) => state.names = true,
        }
        drop(state);
        self.notify.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Bench {
        dir: tempfile::TempDir,
        watch: Watch,
        pace: Pace,
    }

    impl Bench {
        fn new(glob: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let glob = format!("{}/{glob}", dir.path().display());
            let discover = Discover::new(&[glob], &[]).unwrap();
            let (watch, pace) = Watch::new(&"a".into(), discover, true);
            Bench { dir, watch, pace }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn look(&mut self) -> Vec<PathBuf> {
            let scan = self.watch.look();
            self.pace.looked(Duration::ZERO, self.watch.has_events());
            scan.files.into_iter().map(|found| found.path).collect()
        }

        /// What is told until `wanted` is.
        async fn until(&mut self, wanted: &Change) {
            let told = async { while self.pace.change().await != *wanted {} };
            tokio::time::timeout(Duration::from_secs(5), told).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_happens_is_told() {
        let mut bench = Bench::new("x/*.log");
        assert!(bench.look().is_empty());
        fs::create_dir(bench.path("x")).unwrap();
        bench.until(&Change::Names).await;
        assert!(bench.look().is_empty());
        fs::write(bench.path("x/a.log"), "").unwrap();
        bench.until(&Change::Names).await;
        assert_eq!(bench.look(), [bench.path("x/a.log")]);
        fs::write(bench.path("x/a.log"), "text").unwrap();
        bench.until(&Change::Grown([bench.path("x/a.log")].into())).await;
        // A folder of the same name is another one.
        fs::remove_dir_all(bench.path("x")).unwrap();
        fs::create_dir(bench.path("x")).unwrap();
        bench.until(&Change::Names).await;
        bench.look();
        fs::write(bench.path("x/b.log"), "").unwrap();
        bench.until(&Change::Names).await;
        assert_eq!(bench.look(), [bench.path("x/b.log")]);
    }

    #[tokio::test]
    async fn a_file_renamed_before_a_look_is_found() {
        let mut bench = Bench::new("*.log");
        bench.look();
        fs::write(bench.path("a.log"), "").unwrap();
        fs::rename(bench.path("a.log"), bench.path("a.1")).unwrap();
        fs::rename(bench.path("a.1"), bench.path("a.2")).unwrap();
        fs::write(bench.path("other"), "").unwrap();
        fs::rename(bench.path("other"), bench.path("other.1")).unwrap();
        let mut found = Vec::new();
        while found.is_empty() {
            bench.until(&Change::Names).await;
            found = bench.watch.look().renamed;
        }
        let found: Vec<_> = found.into_iter().map(|(found, from)| (found.path, from)).collect();
        assert_eq!(found, [(bench.path("a.2"), bench.path("a.log"))]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_events_the_clock_tells_when_to_look() {
        let mut bench = Bench::new("*.log");
        bench.watch.poll_because("a test");
        bench.look();
        let began = Instant::now();
        assert_eq!(bench.pace.change().await, Change::Time);
        assert_eq!(began.elapsed(), POLL);
        // A look that takes long is not repeated as often.
        bench.pace.looked(Duration::from_millis(10), false);
        assert_eq!(bench.pace.change().await, Change::Time);
        assert_eq!(began.elapsed(), POLL + Duration::from_millis(200));
    }

    #[tokio::test(start_paused = true)]
    async fn lost_events_ask_for_a_look() {
        let mut bench = Bench::new("*.log");
        bench.look();
        let overflow = notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan);
        bench.watch.seen.note(Ok(overflow));
        assert_eq!(bench.pace.change().await, Change::Names);
        let began = Instant::now();
        assert_eq!(bench.pace.change().await, Change::Time);
        assert!(began.elapsed() <= SAFETY_LOOK, "{:?}", began.elapsed());
    }
}
