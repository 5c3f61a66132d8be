//! Globs of whole paths, cut at their slashes: which names matter in which folder. The file system
//! is not known here.

use super::{Glob, GlobError, choices};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// A glob of absolute paths.
#[derive(Debug, Clone)]
pub(crate) struct PathGlob {
    /// The names before the first part that is no plain name, as a path.
    pub(crate) base: PathBuf,
    /// The parts behind the base.
    pub(crate) parts: Vec<Part>,
}

/// What stands between two slashes.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    /// A plain name.
    Name(PathBuf),
    /// A name with wildcards.
    Pattern(Glob),
    /// `**`: any number of folders, none included.
    Deep,
}

/// How a path stands to a glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fit {
    /// Nothing at it or below it matches.
    None,
    /// Something below it may match.
    Leads,
    /// It matches.
    Matches,
}

impl PathGlob {
    /// The globs that this text stands for: one for each choice within its braces.
    ///
    /// # Errors
    /// When it is no valid glob or stands for too many.
    pub(crate) fn parse(text: &str) -> Result<Vec<PathGlob>, GlobError> {
        choices(text)?.iter().map(|choice| PathGlob::plain(choice)).collect()
    }

    /// A glob without braces.
    fn plain(text: &str) -> Result<PathGlob, GlobError> {
        let parts = text.split('/').filter(|part| !part.is_empty() && *part != ".");
        let mut parts = parts.map(Part::parse).collect::<Result<Vec<_>, _>>()?.into_iter();
        let mut base = PathBuf::from("/");
        let mut rest = Vec::new();
        for part in parts.by_ref() {
            match part {
                Part::Name(name) => base.push(name),
                part => {
                    rest.push(part);
                    break;
                }
            }
        }
        rest.extend(parts);
        Ok(PathGlob { base, parts: rest })
    }

    /// Whether a path matches one of these.
    pub(crate) fn any_matches(globs: &[PathGlob], path: &Path) -> bool {
        globs.iter().any(|glob| glob.fit(path) == Fit::Matches)
    }

    /// How a path stands to it.
    pub(crate) fn fit(&self, path: &Path) -> Fit {
        if self.base.starts_with(path) && (self.base != path || !self.parts.is_empty()) {
            return Fit::Leads;
        }
        match path.strip_prefix(&self.base) {
            Ok(rest) => fit(&self.parts, &names(rest)),
            Err(_) => Fit::None,
        }
    }
}

impl Part {
    fn parse(text: &str) -> Result<Part, GlobError> {
        if text == "**" {
            return Ok(Part::Deep);
        }
        let glob = Glob::plain(text)?;
        Ok(match glob.literal() {
            Some(name) => Part::Name(name.into()),
            None => Part::Pattern(glob),
        })
    }

    /// Whether a name fits; every name fits `**`.
    pub(crate) fn fits(&self, name: &OsStr) -> bool {
        match self {
            Part::Name(own) => own.as_os_str() == name,
            Part::Pattern(pattern) => pattern.matches(&name.to_string_lossy()),
            Part::Deep => true,
        }
    }
}

fn names(path: &Path) -> Vec<&OsStr> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            Component::ParentDir => Some(OsStr::from_bytes(b"..")),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

fn fit(parts: &[Part], names: &[&OsStr]) -> Fit {
    match (parts, names) {
        ([], []) => Fit::Matches,
        ([], _) => Fit::None,
        (_, []) => Fit::Leads,
        // `**` as the last part is every file below.
        ([Part::Deep], _) => Fit::Matches,
        ([Part::Deep, rest @ ..], [_, deeper @ ..]) => {
            fit(rest, names).max(fit(parts, deeper)).max(Fit::Leads)
        }
        ([part, rest @ ..], [name, deeper @ ..]) if part.fits(name) => fit(rest, deeper),
        _ => Fit::None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::escape;
    use super::*;
    use globset::GlobBuilder;
    use proptest::prelude::*;

    fn fit_of(glob: &str, path: &str) -> Fit {
        let globs = PathGlob::parse(glob).unwrap();
        globs.iter().map(|glob| glob.fit(Path::new(path))).max().unwrap()
    }

    #[test]
    fn paths_fit_globs() {
        use Fit::{Leads, Matches, None};
        for (glob, path, expected) in [
            ("/var/log/a.jsonl", "/var/log/a.jsonl", Matches),
            ("/var/log/a.jsonl", "/var/log", Leads),
            ("/var/log/a.jsonl", "/var/log/b.jsonl", None),
            ("/var/log/*.jsonl", "/var/log/.jsonl", Matches),
            ("/var/log/*.jsonl", "/var/log/x/a.jsonl", None),
            ("/var/*/a?.jsonl", "/var/x", Leads),
            ("/var/*/a?.jsonl", "/var/x/a1.jsonl", Matches),
            ("/var/**/a.jsonl", "/var/a.jsonl", Matches),
            ("/var/**/a.jsonl", "/var/x/y/a.jsonl", Matches),
            ("/var/**/a.jsonl", "/var/x/y", Leads),
            ("/var/**", "/var/x/y", Matches),
            ("/var/**", "/var", Leads),
            ("/var/{a,b/c}/*.{log,jsonl}", "/var/b/c/x.jsonl", Matches),
            ("/var/{a,b/c}/*.{log,jsonl}", "/var/b", Leads),
            ("/var/{a,b/c}/*.{log,jsonl}", "/var/b/x.jsonl", None),
            ("/var/a{,.old}", "/var/a", Matches),
            ("/var/{a{1,2},b}", "/var/a2", Matches),
            ("/var/[ab].log", "/var/b.log", Matches),
            ("/var/[!ab].log", "/var/b.log", None),
            (r"/var/\*.log", "/var/*.log", Matches),
            ("/var/?.log", "/var/é.log", Matches),
            ("/var/[!a].log", "/var/é.log", Matches),
            ("/var/a}", "/var/a}", Matches),
            ("/var/[[]x[]]/[{]a,b[}]", "/var/[x]/{a,b}", Matches),
            ("/var/log/../x*", "/var/log/../xy", Matches),
        ] {
            assert_eq!(fit_of(glob, path), expected, "{glob} on {path}");
        }
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        for glob in ["/a/[", "/a/[b/c]", "/a/{b", &format!("/{}", "{a,b,c,d}".repeat(9))] {
            assert!(PathGlob::parse(glob).is_err(), "{glob}");
        }
    }

    #[test]
    fn names_that_are_no_text_fit_stars() {
        let path = Path::new("/var").join(OsStr::from_bytes(b"a\xff\xfe.log"));
        for (glob, expected) in [("/var/*.log", Fit::Matches), ("/var/a.log", Fit::None)] {
            assert_eq!(PathGlob::parse(glob).unwrap()[0].fit(&path), expected, "{glob}");
        }
    }

    #[test]
    fn plain_names_need_no_listing() {
        let glob = PathGlob::parse(&format!("{}/*.log", escape("/x/[y]{z}"))).unwrap();
        assert_eq!(glob[0].base, Path::new("/x/[y]{z}"));
        assert_eq!(glob[0].parts.len(), 1);
    }

    proptest! {
        /// Whole paths match just as a library has it, written by another hand.
        #[test]
        fn the_library_agrees(
            glob in "(/([ab*?]|\\*\\*|\\{a,b\\}|[ab]\\*|[a-b]){1,3}){1,4}",
            path in "(/[abc]{1,2}){1,5}",
        ) {
            // Elsewhere than alone between slashes `**` is two single ones; the library's brace
            // next to it counts as alone.
            prop_assume!(!glob.split('/').any(|part| part.contains("**") && part != "**"));
            let library = GlobBuilder::new(&glob).literal_separator(true).build().unwrap();
            prop_assert_eq!(
                fit_of(&glob, &path) == Fit::Matches,
                library.compile_matcher().is_match(&path),
                "{} on {}", glob, path
            );
        }
    }
}
