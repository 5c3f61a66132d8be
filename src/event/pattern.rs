//! Globs over the text of a field, as filters and severity rules write them.

use super::json::{Json, Kind};
use crate::glob::Glob;

/// A list of globs. A text matches when one of them does and none with a leading `!` does; a list
/// of nothing but `!` globs takes all others. `*` matches any text, `/` and `.` too; case counts.
#[derive(Debug, Clone)]
pub struct Globs {
    texts: Vec<String>,
    takes: Vec<Glob>,
    refuses: Vec<Glob>,
}

/// Why a list of globs cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobsError {
    /// The list is empty and would match nothing.
    #[error("an empty list matches nothing: name at least one pattern, or leave the key out")]
    Empty,
    /// One of the globs is not valid.
    #[error("`{glob}` is not a valid pattern: {reason}")]
    Invalid {
        /// The glob as written.
        glob: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Globs {
    /// Compiles a list of globs.
    pub fn new(texts: Vec<String>) -> Result<Globs, GlobsError> {
        if texts.is_empty() {
            return Err(GlobsError::Empty);
        }
        let (mut takes, mut refuses) = (Vec::new(), Vec::new());
        for text in &texts {
            let (list, glob) = match text.strip_prefix('!') {
                Some(glob) => (&mut refuses, glob),
                None => (&mut takes, &**text),
            };
            list.extend(Glob::parse(glob).map_err(|error| GlobsError::Invalid {
                glob: glob.to_owned(),
                reason: error.to_string(),
            })?);
        }
        Ok(Globs { texts, takes, refuses })
    }

    /// The globs as written.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Whether a text matches.
    pub fn matches(&self, text: &str) -> bool {
        (self.takes.is_empty() || self.takes.iter().any(|glob| glob.matches(text)))
            && !self.refuses.iter().any(|glob| glob.matches(text))
    }

    /// Whether a value matches: a string by its text, a number or boolean by its JSON text, a list
    /// if one of its elements does. Null, objects and absent fields match nothing.
    pub fn match_value(&self, value: Option<Json<'_>>) -> bool {
        let Some(value) = value else { return false };
        match value.kind() {
            Kind::Array => {
                value.items().any(|item| item.kind() != Kind::Array && self.match_value(Some(item)))
            }
            _ => value.as_scalar().is_some_and(|text| self.matches(&text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(texts: &[&str]) -> Globs {
        Globs::new(texts.iter().map(|text| (*text).to_owned()).collect()).unwrap()
    }

    #[test]
    fn texts_match() {
        for (list, text, matches) in [
            (&["auth_*"][..], "auth_fail", true),
            (&["auth_*"], "Auth_fail", false),
            (&["*"], "", true),
            (&["a*z"], "a/b.c/z", true),
            (&["myapp/prod*"], "myapp/production/x", true),
            (&["deny"], "denyx", false),
            (&["a", "!a"], "a", false),
            (&["!debug*"], "info", true),
            (&["!debug*"], "debug_x", false),
            (&["*_denied"], "auth_denied", true),
            (&["*_denied"], "auth_denied_", false),
            (&["*detect*"], "undetected", true),
            (&["*detect*"], "detec", false),
            (&["**"], "", true),
            (&[r"*\*"], "a*", true),
            (&["k8s-?"], "k8s-1", true),
            (&["{a,b}"], "b", true),
            (&["[ab]c"], "bc", true),
            (&[r"a\*"], "a*", true),
        ] {
            assert_eq!(globs(list).matches(text), matches, "{list:?} on {text:?}");
        }
    }

    #[test]
    fn values_match() {
        for (list, value, matches) in [
            (&["5*"][..], "503", true),
            (&["true"], "true", true),
            (&["true"], r#""true""#, true),
            (&["a"], r#"["b","a"]"#, true),
            (&["a"], r#"[["a"]]"#, false),
            (&["*"], "null", false),
            (&["*"], "{}", false),
            (&["é"], r#""\u00e9""#, true),
        ] {
            assert_eq!(
                globs(list).match_value(Json::check(value).ok()),
                matches,
                "{list:?} on {value}"
            );
        }
        assert!(!globs(&["*"]).match_value(None), "an absent field matches nothing");
    }

    #[test]
    fn bad_lists_are_refused() {
        assert_eq!(Globs::new(vec![]).unwrap_err(), GlobsError::Empty);
        assert!(Globs::new(vec!["[a".into()]).unwrap_err().to_string().contains("`[a` is not"));
    }
}
