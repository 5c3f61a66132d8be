//! From globs to files: one look at the file system. Which of the files are new, and what becomes
//! of them, is not decided here.

use super::identity::FileKey;
use crate::glob::{Fit, Part, PathGlob};
use crate::{poison, store};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How many files one source reads at most; more are named in the log and left.
pub(super) const MAX_FILES: usize = 65_536;

/// The globs of a source.
#[derive(Debug)]
pub(super) struct Discover {
    globs: Vec<PathGlob>,
    exclude: Vec<PathGlob>,
    /// The `data_dir`, without symbolic links.
    own: Option<PathBuf>,
}

/// What one look found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Regular files, those changed longest ago first. A file with several names is here several
    /// times.
    pub(super) files: Vec<Found>,
    /// Folders in which something may appear or change, all of which exist.
    pub(super) folders: BTreeMap<PathBuf, FileKey>,
    /// Files that are on none of the globs' paths any more, and the one that each was on.
    pub(super) renamed: Vec<(Found, PathBuf)>,
    /// What could not be looked at.
    pub(super) troubles: Vec<(PathBuf, io::Error)>,
}

/// A file at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) key: FileKey,
    /// Its length in bytes.
    pub(super) size: u64,
    /// When it was changed last: seconds and nanoseconds.
    pub(super) modified: (i64, i64),
    /// Where a symbolic link leads in the end.
    pub(super) target: Option<PathBuf>,
}

impl Discover {
    /// The files of these globs, without those of the others.
    ///
    /// # Errors
    /// When a glob is not valid; says which.
    pub(super) fn new(paths: &[String], exclude: &[String]) -> Result<Self, String> {
        let parse = |list: &[String]| -> Result<Vec<PathGlob>, String> {
            let parse = |text: &String| {
                PathGlob::parse(text).map_err(|error| format!("`{text}` is not a glob: {error}"))
            };
            let globs = list.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
            Ok(globs.into_iter().flatten().collect())
        };
        Ok(Discover { globs: parse(paths)?, exclude: parse(exclude)?, own: None })
    }

    /// Leaves out what postrider itself writes in its `data_dir`, by whatever way a glob comes
    /// there: each dead letter of that would be written there.
    pub(super) fn without_own(self, data_dir: &Path) -> Self {
        Discover { own: fs::canonicalize(data_dir).ok(), ..self }
    }

    fn is_own(&self, path: &Path) -> bool {
        let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
        let mut others = store::OTHER_FILES.iter().chain(&poison::FILES);
        let is_named_so = name.starts_with(store::FILE_NAME.as_bytes())
            || others.any(|other| other.as_bytes() == name);
        is_named_so
            && self.own.is_some()
            && path.parent().and_then(|folder| fs::canonicalize(folder).ok()) == self.own
    }

    /// Whether a change of what stands at this path can change what a look finds.
    pub(super) fn is_relevant(&self, path: &Path) -> bool {
        self.globs.iter().any(|glob| glob.fit(path) > Fit::None)
    }

    /// Whether a file at this path is one of them.
    pub(super) fn matches(&self, path: &Path) -> bool {
        PathGlob::any_matches(&self.globs, path) && !PathGlob::any_matches(&self.exclude, path)
    }

    /// Looks. Blocks for as long as the file system takes.
    pub(super) fn scan(&self) -> Scan {
        let mut look = Look { discover: self, files: BTreeMap::new(), scan: Scan::default() };
        for glob in &self.globs {
            look.walk(&glob.base, &glob.parts);
        }
        let mut scan = look.scan;
        scan.files = look.files.into_values().collect();
        // The sort is stable: of the same time, in order of name.
        scan.files.sort_by_key(|found| found.modified);
        scan
    }
}

/// A look under way.
struct Look<'a> {
    discover: &'a Discover,
    files: BTreeMap<PathBuf, Found>,
    scan: Scan,
}

impl Look<'_> {
    fn walk(&mut self, place: &Path, parts: &[Part]) {
        let Some((part, rest)) = parts.split_first() else {
            self.folder(place.parent().unwrap_or(place));
            return self.candidate(place);
        };
        if !self.folder(place) {
            return;
        }
        match part {
            Part::Name(name) => self.walk(&place.join(name), rest),
            Part::Pattern(_) => {
                for entry in self.list(place).iter().filter(|entry| part.fits(&entry.file_name())) {
                    self.step(entry, rest);
                }
            }
            Part::Deep => {
                if !rest.is_empty() {
                    self.walk(place, rest);
                }
                for entry in self.list(place) {
                    // A link to a folder is not followed here: it may lead in a circle.
                    if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                        self.walk(&entry.path(), parts);
                    } else if rest.is_empty() {
                        self.candidate(&entry.path());
                    }
                }
            }
        }
    }

    /// Goes on into an entry whose name fits.
    fn step(&mut self, entry: &DirEntry, rest: &[Part]) {
        if rest.is_empty() {
            return self.candidate(&entry.path());
        }
        let Ok(kind) = entry.file_type() else { return };
        if kind.is_dir() || (kind.is_symlink() && entry.path().is_dir()) {
            self.walk(&entry.path(), rest);
        }
    }

    /// Notes that something may appear in a folder; where it does not exist, in the nearest one
    /// above it that does. Returns whether it exists.
    fn folder(&mut self, folder: &Path) -> bool {
        for ancestor in folder.ancestors() {
            if self.scan.folders.contains_key(ancestor) {
                return ancestor == folder;
            }
            match fs::metadata(ancestor) {
                Ok(metadata) if metadata.is_dir() => {
                    self.scan.folders.insert(ancestor.to_owned(), FileKey::of(&metadata));
                    return ancestor == folder;
                }
                Ok(_) => {}
                Err(error) if is_absent(&error) => {}
                Err(error) => self.scan.troubles.push((ancestor.to_owned(), error)),
            }
        }
        false
    }

    fn list(&mut self, folder: &Path) -> Vec<DirEntry> {
        match fs::read_dir(folder).and_then(Iterator::collect) {
            Ok(entries) => entries,
            Err(error) => {
                if !is_absent(&error) {
                    self.scan.troubles.push((folder.to_owned(), error));
                }
                Vec::new()
            }
        }
    }

    fn candidate(&mut self, path: &Path) {
        let excluded = PathGlob::any_matches(&self.discover.exclude, path);
        if excluded || self.files.contains_key(path) || self.discover.is_own(path) {
            return;
        }
        match find(path) {
            Ok(Some(_)) if self.files.len() == MAX_FILES => {
                let error = io::Error::other(format!(
                    "the globs match more than {MAX_FILES} files, and this one is left"
                ));
                self.scan.troubles.push((path.to_owned(), error));
            }
            Ok(Some(found)) => {
                if let Some(folder) = found.target.as_deref().and_then(Path::parent) {
                    self.folder(folder);
                }
                self.files.insert(path.to_owned(), found);
            }
            Ok(None) => {}
            Err(error) if is_absent(&error) => {}
            Err(error) => self.scan.troubles.push((path.to_owned(), error)),
        }
    }
}

/// The regular file at a path, links followed; `None` for anything else.
pub(super) fn find(path: &Path) -> io::Result<Option<Found>> {
    let own = fs::symlink_metadata(path)?;
    let linked = own.is_symlink();
    let metadata = if linked { fs::metadata(path)? } else { own };
    if !metadata.is_file() {
        return Ok(None);
    }
    Ok(Some(Found {
        path: path.to_owned(),
        key: FileKey::of(&metadata),
        size: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        target: if linked { Some(fs::canonicalize(path)?) } else { None },
    }))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glob;
    use std::os::unix::fs::symlink;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(files: &[&str]) -> Self {
            let tree = Tree(tempfile::tempdir().unwrap());
            for file in files {
                let path = tree.0.path().join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, file).unwrap();
            }
            tree
        }

        fn glob(&self, glob: &str) -> String {
            format!("{}/{glob}", glob::escape(&self.0.path().to_string_lossy()))
        }

        fn scan(&self, globs: &[&str], exclude: &[&str]) -> Scan {
            let list =
                |globs: &[&str]| globs.iter().map(|glob| self.glob(glob)).collect::<Vec<_>>();
            Discover::new(&list(globs), &list(exclude)).unwrap().scan()
        }

        fn relative(&self, path: &Path) -> String {
            path.strip_prefix(self.0.path()).unwrap().to_string_lossy().into_owned()
        }

        fn files(&self, globs: &[&str], exclude: &[&str]) -> Vec<String> {
            let scan = self.scan(globs, exclude);
            let mut files: Vec<_> =
                scan.files.iter().map(|found| self.relative(&found.path)).collect();
            files.sort();
            files
        }
    }

    #[test]
    fn what_postrider_keeps_is_left_out_by_whatever_way() {
        let tree =
            Tree::new(&["data/postrider.db-wal", "data/lock", "data/lock.log", "b/postrider.db"]);
        symlink(tree.0.path().join("data"), tree.0.path().join("link")).unwrap();
        for data_dir in ["data", "link", "b/../data"] {
            let discover = Discover::new(&[tree.glob("*/*")], &[]).unwrap();
            let scan = discover.without_own(&tree.0.path().join(data_dir)).scan();
            let mut files: Vec<_> =
                scan.files.iter().map(|found| tree.relative(&found.path)).collect();
            files.sort();
            let expected = ["b/postrider.db", "data/lock.log", "link/lock.log"];
            assert_eq!(files, expected, "{data_dir}");
        }
    }

    #[test]
    fn globs_find_files() {
        let tree = Tree::new(&["a.log", "b.log", "c.txt", "x/a.log", "x/y/a.log", "x/y/b.log"]);
        for (globs, exclude, expected) in [
            (&["a.log"][..], &[][..], &["a.log"][..]),
            (&["*.log"], &[], &["a.log", "b.log"]),
            (&["*.log", "a.*"], &["b*"], &["a.log"]),
            (&["**/a.log"], &[], &["a.log", "x/a.log", "x/y/a.log"]),
            (&["x/**"], &["x/*"], &["x/y/a.log", "x/y/b.log"]),
            (&["*/?/[ab].log"], &["**/b.log"], &["x/y/a.log"]),
            (&["{a,x/y/b}.log"], &[], &["a.log", "x/y/b.log"]),
            (&["none/*.log", "a.log/b"], &[], &[]),
        ] {
            assert_eq!(tree.files(globs, exclude), expected, "{globs:?} without {exclude:?}");
            assert!(tree.scan(globs, exclude).troubles.is_empty());
        }
    }

    #[test]
    fn links_are_followed_but_never_in_a_circle() {
        let tree = Tree::new(&["real/a.log"]);
        let root = tree.0.path();
        symlink("real/a.log", root.join("link.log")).unwrap();
        symlink("nowhere", root.join("broken.log")).unwrap();
        symlink("self.log", root.join("self.log")).unwrap();
        symlink("..", root.join("real/up")).unwrap();
        assert_eq!(tree.files(&["link.log", "broken.log"], &[]), ["link.log"]);
        assert_eq!(tree.files(&["real/**/*.log"], &[]), ["real/a.log"]);
        assert_eq!(tree.files(&["*/up/real/a.log"], &[]), ["real/up/real/a.log"]);
        assert_eq!(tree.scan(&["self.log"], &[]).troubles.len(), 1);
        let scan = tree.scan(&["link.log"], &[]);
        let real = fs::canonicalize(root.join("real")).unwrap();
        assert_eq!(scan.files[0].target, Some(real.join("a.log")));
        assert!(scan.folders.contains_key(&real), "{:?}", scan.folders);
    }

    #[test]
    fn folders_are_told_in_which_files_may_appear() {
        let tree = Tree::new(&["x/a.log", "x/y/b.log"]);
        for (glob, expected) in [
            ("x/*.log", &["x"][..]),
            ("x/*/*.log", &["x", "x/y"]),
            ("**/*.log", &["", "x", "x/y"]),
            ("x/a.log", &["x"]),
            ("x/new/deep/*.log", &["x"]),
            ("new/a.log", &[""]),
        ] {
            let scan = tree.scan(&[glob], &[]);
            let folders: Vec<_> = scan.folders.keys().map(|path| tree.relative(path)).collect();
            assert_eq!(folders, expected, "{glob}");
        }
    }

    #[test]
    fn the_file_changed_longest_ago_comes_first() {
        let tree = Tree::new(&["a.log", "b.log"]);
        let old = std::time::SystemTime::UNIX_EPOCH;
        let file = fs::File::options().write(true).open(tree.0.path().join("b.log")).unwrap();
        file.set_modified(old).unwrap();
        let scan = tree.scan(&["*.log"], &[]);
        let files: Vec<_> = scan.files.iter().map(|found| tree.relative(&found.path)).collect();
        assert_eq!(files, ["b.log", "a.log"]);
    }
}
