//! Globs of whole paths, cut at their slashes: which names matter in which folder. The file system
//! is not known here.

use globset::{Glob, GlobBuilder, GlobMatcher};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// How many globs a glob with braces may stand for.
const MAX_ALTERNATIVES: usize = 1_024;

/// A glob of absolute paths.
#[derive(Debug, Clone)]
pub(super) struct PathGlob {
    /// The names before the first part that is no plain name, as a path.
    pub(super) base: PathBuf,
    /// The parts behind the base.
    pub(super) parts: Vec<Part>,
}

/// What stands between two slashes.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// A plain name.
    Name(PathBuf),
    /// A name with wildcards.
    Pattern(GlobMatcher),
    /// `**`: any number of folders, none included.
    Deep,
}

/// How a path stands to a glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
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
    /// When it is no valid glob or stands for too many; says why.
    pub(super) fn parse(text: &str) -> Result<Vec<PathGlob>, String> {
        let mut choices = Vec::new();
        alternatives(text, &mut choices)?;
        choices.iter().map(|choice| PathGlob::plain(choice)).collect()
    }

    /// A glob without braces.
    fn plain(text: &str) -> Result<PathGlob, String> {
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

    /// How a path stands to it.
    pub(super) fn fit(&self, path: &Path) -> Fit {
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
    fn parse(text: &str) -> Result<Part, String> {
        if text == "**" {
            return Ok(Part::Deep);
        }
        if let Some(name) = plain_name(text) {
            return Ok(Part::Name(name.into()));
        }
        let glob: Result<Glob, _> = GlobBuilder::new(text).literal_separator(true).build();
        match glob {
            Ok(glob) => Ok(Part::Pattern(glob.compile_matcher())),
            Err(error) => Err(format!("`{text}` is not a glob: {}", error.kind())),
        }
    }

    /// Whether a name fits; every name fits `**`.
    pub(super) fn fits(&self, name: &OsStr) -> bool {
        match self {
            Part::Name(own) => own.as_os_str() == name,
            Part::Pattern(pattern) => pattern.is_match(name),
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

/// The name that a part without wildcards stands for: `\x` and `[x]` are that character.
fn plain_name(part: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = part.chars();
    while let Some(character) = rest.next() {
        match character {
            '*' | '?' | '{' | '}' | ']' => return None,
            '\\' => name.push(rest.next()?),
            '[' => {
                let inner = rest.next().filter(|inner| !matches!(inner, '!' | '^'))?;
                name.push(inner);
                rest.next().filter(|end| *end == ']')?;
            }
            character => name.push(character),
        }
    }
    Some(name)
}

/// Writes out every choice of the first braces that are not escaped, and of those in the results.
fn alternatives(text: &str, found: &mut Vec<String>) -> Result<(), String> {
    let Some((open, commas, close)) = braces(text)? else {
        if found.len() == MAX_ALTERNATIVES {
            return Err(format!("braces that stand for more than {MAX_ALTERNATIVES} globs"));
        }
        found.push(text.to_owned());
        return Ok(());
    };
    let mut from = open + 1;
    for to in commas.into_iter().chain([close]) {
        let choice = format!("{}{}{}", &text[..open], &text[from..to], &text[close + 1..]);
        alternatives(&choice, found)?;
        from = to + 1;
    }
    Ok(())
}

/// Where the first braces open, are divided, and close.
fn braces(text: &str) -> Result<Option<(usize, Vec<usize>, usize)>, String> {
    let (mut open, mut commas, mut depth) = (0, Vec::new(), 0);
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            '[' => {
                // The first character of a class may be a bracket itself.
                characters.next_if(|(_, next)| matches!(next, '!' | '^'));
                characters.next();
                while characters.next().is_some_and(|(_, next)| next != ']') {}
            }
            '{' => {
                if depth == 0 {
                    open = at;
                }
                depth += 1;
            }
            ',' if depth == 1 => commas.push(at),
            '}' if depth == 1 => return Ok(Some((open, commas, at))),
            '}' if depth > 1 => depth -= 1,
            _ => {}
        }
    }
    if depth > 0 { Err("braces that never close".to_owned()) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            ("/var/[[]x[]]/[{]a,b[}]", "/var/[x]/{a,b}", Matches),
            ("/var/log/../x*", "/var/log/../xy", Matches),
        ] {
            assert_eq!(fit_of(glob, path), expected, "{glob} on {path}");
        }
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        for glob in ["/a/[", "/a/{b", "/{a,b,c,d}{a,b,c,d}{a,b,c,d}{a,b,c,d}{a,b,c,d}{a,b,c,d}"] {
            assert!(PathGlob::parse(glob).is_err(), "{glob}");
        }
    }

    #[test]
    fn plain_names_need_no_listing() {
        let glob = PathGlob::parse(&format!("{}/*.log", globset::escape("/x/[y]{z}"))).unwrap();
        assert_eq!(glob[0].base, Path::new("/x/[y]{z}"));
        assert_eq!(glob[0].parts.len(), 1);
    }

    proptest! {
        /// Whole paths match just as the glob library has it, which checks the configuration.
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
