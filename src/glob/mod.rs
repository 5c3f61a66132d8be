//! Globs: `*` is any text, `?` one character, `[a-z]` one of a class and `[!a-z]` or `[^a-z]` one
//! outside of it, `{a,b}` a choice, `\*` the character itself. Case counts.

mod path;

pub(crate) use path::{Fit, Part, PathGlob};

/// How many bytes may be written to write out all choices of a glob, which braces multiply.
const MAX_WRITTEN: usize = 1 << 20;

/// A glob of a whole text, without braces.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    /// What the text begins with.
    head: Piece,
    /// What stands behind each star, the last one at the end of the text.
    rest: Vec<Piece>,
}

/// What stands between two stars.
#[derive(Debug, Clone)]
enum Piece {
    Text(Box<str>),
    Characters(Box<[Character]>),
}

/// What one character may be.
#[derive(Debug, Clone)]
enum Character {
    Is(char),
    Any,
    /// Within one of the ranges, or within none.
    Class {
        ranges: Vec<(char, char)>,
        outside: bool,
    },
}

/// Why a text is no glob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GlobError {
    /// `[` stands alone.
    #[error("brackets that never close")]
    OpenClass,
    /// `[z-a]` has nothing.
    #[error("a class that runs backwards")]
    Backwards,
    /// `{` stands alone.
    #[error("braces that never close")]
    OpenBraces,
    /// A backslash has nothing behind it.
    #[error("a `\\` with nothing behind it")]
    Backslash,
    /// Braces beside braces multiply.
    #[error("braces that stand for too much")]
    TooMuch,
}

impl GlobError {
    /// What to do about it.
    pub(crate) fn fix(&self) -> &'static str {
        match self {
            GlobError::OpenClass => {
                "write `\\[` for the bracket itself; a class of a path holds no `/`"
            }
            GlobError::Backwards => "begin with the lower character, as in `[a-z]`",
            GlobError::OpenBraces => "write `\\{` for the brace itself",
            GlobError::Backslash => "write `\\\\` for the backslash itself",
            GlobError::TooMuch => "name fewer choices, or write several globs",
        }
    }
}

impl Glob {
    /// The globs that a text stands for: one for each choice within its braces.
    pub(crate) fn parse(text: &str) -> Result<Vec<Glob>, GlobError> {
        choices(text)?.iter().map(|choice| Glob::plain(choice)).collect()
    }

    fn plain(text: &str) -> Result<Glob, GlobError> {
        let mut pieces = Vec::new();
        let mut piece = Vec::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '*' => pieces.push(Piece::new(std::mem::take(&mut piece))),
                '?' => piece.push(Character::Any),
                '[' => piece.push(class(&mut rest)?),
                '\\' => piece.push(Character::Is(rest.next().ok_or(GlobError::Backslash)?)),
                character => piece.push(Character::Is(character)),
            }
        }
        pieces.push(Piece::new(piece));
        let head = pieces.remove(0);
        Ok(Glob { head, rest: pieces })
    }

    /// Whether a text fits.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let Some(mut text) = self.head.behind(text) else { return false };
        let Some((last, middle)) = self.rest.split_last() else { return text.is_empty() };
        for piece in middle {
            match piece.behind_first(text) {
                Some(rest) => text = rest,
                None => return false,
            }
        }
        last.ends(text)
    }

    /// The only text that fits, where there are no wildcards.
    fn literal(&self) -> Option<&str> {
        match &self.head {
            Piece::Text(text) if self.rest.is_empty() => Some(text),
            _ => None,
        }
    }
}

impl Piece {
    fn new(characters: Vec<Character>) -> Piece {
        let text = characters.iter().map(|character| match character {
            Character::Is(character) => Some(*character),
            _ => None,
        });
        match text.collect::<Option<String>>() {
            Some(text) => Piece::Text(text.into()),
            None => Piece::Characters(characters.into()),
        }
    }

    /// What follows it, where the text begins with it.
    fn behind<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Piece::Text(own) => text.strip_prefix(&**own),
            Piece::Characters(own) => {
                let mut rest = text.chars();
                let fits = own.iter().all(|own| rest.next().is_some_and(|next| own.fits(next)));
                fits.then_some(rest.as_str())
            }
        }
    }

    /// What follows the first place where it stands.
    fn behind_first<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Piece::Text(own) => text.find(&**own).map(|at| &text[at + own.len()..]),
            Piece::Characters(_) => {
                text.char_indices().find_map(|(at, _)| self.behind(&text[at..]))
            }
        }
    }

    /// Whether the text ends with it.
    fn ends(&self, text: &str) -> bool {
        match self {
            Piece::Text(own) => text.ends_with(&**own),
            Piece::Characters(own) => {
                let mut rest = text.chars();
                own.iter().rev().all(|own| rest.next_back().is_some_and(|last| own.fits(last)))
            }
        }
    }
}

impl Character {
    fn fits(&self, character: char) -> bool {
        match self {
            Character::Is(own) => *own == character,
            Character::Any => true,
            Character::Class { ranges, outside } => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&character)) != *outside
            }
        }
    }
}

/// Reads a class from behind its bracket. The first character may be a bracket itself.
fn class(rest: &mut std::str::Chars<'_>) -> Result<Character, GlobError> {
    let mut inner = rest.clone();
    let outside = matches!(inner.clone().next(), Some('!' | '^'));
    if outside {
        inner.next();
    }
    let mut ranges = Vec::new();
    loop {
        let from = inner.next().ok_or(GlobError::OpenClass)?;
        if from == ']' && !ranges.is_empty() {
            break;
        }
        let mut ahead = inner.clone();
        let to = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) if to != ']' => {
                inner = ahead;
                to
            }
            _ => from,
        };
        if to < from {
            return Err(GlobError::Backwards);
        }
        ranges.push((from, to));
    }
    *rest = inner;
    Ok(match ranges[..] {
        [(from, to)] if from == to && !outside => Character::Is(from),
        _ => Character::Class { ranges, outside },
    })
}

/// Writes out what braces stand for, from the left to the right.
fn choices(text: &str) -> Result<Vec<String>, GlobError> {
    let mut found = Vec::new();
    let mut open = vec![text.to_owned()];
    let mut written = 0;
    while let Some(text) = open.pop() {
        let edges = braces(&text)?;
        let (Some(first), Some(last)) = (edges.first(), edges.last()) else {
            found.push(text);
            continue;
        };
        let (before, behind) = (&text[..*first], &text[last + 1..]);
        for edge in edges.windows(2).rev() {
            let choice = format!("{before}{}{behind}", &text[edge[0] + 1..edge[1]]);
            written += choice.len() + 1;
            if written > MAX_WRITTEN {
                return Err(GlobError::TooMuch);
            }
            open.push(choice);
        }
    }
    Ok(found)
}

/// Where the first braces open, are divided, and close; nothing where there are none.
fn braces(text: &str) -> Result<Vec<usize>, GlobError> {
    let (mut edges, mut depth) = (Vec::new(), 0);
    let mut rest = text.chars();
    loop {
        let at = text.len() - rest.as_str().len();
        match (rest.next(), depth) {
            (None, 0) => return Ok(edges),
            (None, _) => return Err(GlobError::OpenBraces),
            (Some('\\'), _) => drop(rest.next()),
            (Some('['), _) => drop(class(&mut rest)?),
            (Some('{'), _) => {
                if depth == 0 {
                    edges.push(at);
                }
                depth += 1;
            }
            (Some(','), 1) => edges.push(at),
            (Some('}'), 1) => {
                edges.push(at);
                return Ok(edges);
            }
            (Some('}'), 2..) => depth -= 1,
            _ => {}
        }
    }
}

/// The glob that only this text fits.
pub(crate) fn escape(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            glob.push('\\');
        }
        glob.push(character);
    }
    glob
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(glob: &str, text: &str) -> bool {
        Glob::parse(glob).unwrap().iter().any(|glob| glob.matches(text))
    }

    #[test]
    fn texts_match() {
        for (glob, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("a", "ab", false),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("*a*", "bac", true),
            ("*a*", "b", false),
            ("a*a", "a", false),
            ("*ab*ab*", "abab", true),
            ("*ab*ab*", "aba", false),
            ("*aab", "aaab", true),
            ("a**b", "axb", true),
            ("?", "é", true),
            ("?", "", false),
            ("*?", "", false),
            ("*??a", "bca", true),
            ("*?a*?a", "xaya", true),
            ("*?a*?a", "xaa", false),
            ("[a-cx]", "b", true),
            ("[a-cx]", "d", false),
            ("[!a-cx]", "é", true),
            ("[^a]", "a", false),
            ("[]]", "]", true),
            ("[!]]", "]", false),
            ("[-a]", "-", true),
            ("[a-]", "-", true),
            ("[\\]", "\\", true),
            ("[a-b-c]", "-", true),
            ("[^]a]", "]", false),
            ("a]", "a]", true),
            ("a}", "a}", true),
            ("a{,2}", "a", true),
            ("a,b", "a,b", true),
            ("{a,b{c,}}d", "bd", true),
            ("{a,b{c,}}d", "bcd", true),
            ("{a,b{c,}}d", "d", false),
            ("{[,],b}", ",", true),
            ("[{]", "{", true),
            (r"\{a,b\}", "{a,b}", true),
            (r"{a\,b,c}", "a,b", true),
            (r"\\", "\\", true),
        ] {
            assert_eq!(matches(glob, text), expected, "{glob} on {text}");
        }
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        use GlobError::{Backslash, Backwards, OpenBraces, OpenClass, TooMuch};
        for (glob, error) in [
            ("[", OpenClass),
            ("[]", OpenClass),
            ("[!", OpenClass),
            ("[a-", OpenClass),
            ("a[z-a]", Backwards),
            ("{a", OpenBraces),
            ("{a,{b}", OpenBraces),
            ("{[}", OpenClass),
            ("a\\", Backslash),
            (&"{a,b}".repeat(20), TooMuch),
            (&"{a}".repeat(100_000), TooMuch),
            (&format!("{}{}", "{".repeat(50_000), "}".repeat(50_000)), TooMuch),
        ] {
            assert_eq!(Glob::parse(glob).unwrap_err(), error, "{glob}");
        }
        let words: Vec<String> = (0..5_000).map(|number| format!("kind_{number}")).collect();
        assert_eq!(Glob::parse(&format!("{{{}}}", words.join(","))).unwrap().len(), 5_000);
    }

    proptest! {
        /// Whole texts match just as a library has it, written by another hand.
        #[test]
        fn a_library_agrees(
            glob in "([ab/*?]|\\{a,b\\}|\\{,b\\*,\\{a,[!a]\\}c\\}|[ab]\\*|\\[a-b\\]|\\[!b\\]|\\[\\^\\]a\\]|\\\\\\*){0,7}",
            text in "[abc*/\\]]{0,9}",
        ) {
            // Between slashes the library has `**` for any number of folders.
            prop_assume!(!glob.contains("**"));
            let library = globset::GlobBuilder::new(&glob).literal_separator(false).empty_alternates(true).build().unwrap();
            prop_assert_eq!(
                matches(&glob, &text),
                library.compile_matcher().is_match(&text),
                "{} on {}", glob, text
            );
        }

        #[test]
        fn an_escaped_text_fits_itself(text in any::<String>(), other in any::<String>()) {
            let globs = Glob::parse(&escape(&text)).unwrap();
            prop_assert_eq!(globs.len(), 1);
            prop_assert_eq!(globs[0].literal(), Some(&*text));
            prop_assert!(globs[0].matches(&text));
            prop_assert_eq!(globs[0].matches(&other), other == text);
        }

        #[test]
        fn nothing_panics(glob in "[ab\\[\\]{}!^,*?\\\\-]{0,12}", text in any::<String>()) {
            for glob in Glob::parse(&glob).unwrap_or_default() {
                glob.matches(&text);
            }
        }
    }
}
