//! Redaction: what of an event an export must not carry is replaced before the export stores,
//! renders or sends anything. Works on the untouched JSON text: the bytes of the values are
//! replaced in place, repeated keys too, and nothing else changes.
//!
//! Where things stand in the JSON is the business of `walk`, what belongs to a category inside a
//! string that of `find`.

mod envelope;
mod find;
mod splice;
#[cfg(test)]
mod tests;
mod walk;

use crate::event::FieldPath;
use crate::event::json::Json;
use find::Finder;
use sha2::{Digest, Sha256};
use splice::Splice;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;

/// What stands in the place of what was masked.
const MASK: &str = "***";

/// How hashes begin; sixteen hexadecimal digits follow.
const HASH: &str = "sha256:";

/// Hexadecimal digits of a hash.
const HASH_DIGITS: usize = 16;

/// What is searched for inside strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Passwords, tokens, keys.
    Secrets,
    /// Mail addresses.
    Email,
    /// Phone numbers.
    Phone,
    /// Numbers of payment cards and bank accounts.
    Financial,
}

/// What becomes of what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strategy {
    /// It becomes `***`.
    #[default]
    Mask,
    /// It goes: a member with its key, an element of a list becomes null, a part of a string
    /// becomes nothing.
    Remove,
    /// It becomes a hash, so that equal values can be told to be equal.
    Hash,
}

/// What of an event is replaced; by default nothing.
#[derive(Debug, Clone, Default)]
pub struct Redaction {
    fields: Vec<FieldPath>,
    limits: Vec<(FieldPath, usize)>,
    /// The numbers of all paths: the fields, then the limits.
    paths: Vec<usize>,
    finder: Option<Finder>,
    strategy: Strategy,
}

impl Redaction {
    /// Replaces the values of these fields, and what belongs to these categories inside all other
    /// strings.
    pub fn new(
        fields: Vec<FieldPath>,
        categories: BTreeSet<Category>,
        strategy: Strategy,
    ) -> Redaction {
        let finder = (!categories.is_empty()).then(|| Finder::new(categories));
        let paths = (0..fields.len()).collect();
        Redaction { fields, limits: Vec::new(), paths, finder, strategy }
    }

    /// Replaces, after all else, each of these fields whose JSON is longer than so many bytes by
    /// `{"truncated":true,"bytes":n}`.
    pub fn with_limits(self, limits: Vec<(FieldPath, usize)>) -> Redaction {
        let paths = (0..self.fields.len() + limits.len()).collect();
        Redaction { limits, paths, ..self }
    }

    /// The redacted text of an event; `None` where nothing of it is to be replaced.
    pub fn text(&self, json: Json<'_>) -> Option<String> {
        let found = walk::walk(self, json);
        (!found.splices.is_empty()).then(|| splice::apply(json.text(), &found.splices))
    }

    /// A text that is no event, with what belongs to the categories replaced.
    pub fn plain<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut found = Vec::new();
        if let Some(finder) = &self.finder {
            finder.find(text, &mut found);
        }
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let splice = |part: std::ops::Range<usize>| {
            let with = self.part(&text[part.clone()]);
            Splice { range: part, with }
        };
        Cow::Owned(splice::apply(text, &found.into_iter().map(splice).collect::<Vec<_>>()))
    }

    /// What stands in the place of a part of a string.
    fn part(&self, original: &str) -> Cow<'static, str> {
        match self.strategy {
            Strategy::Mask => Cow::Borrowed(MASK),
            Strategy::Remove => Cow::Borrowed(""),
            Strategy::Hash => Cow::Owned(hash(original)),
        }
    }

    /// What stands in the place of a whole value, as JSON. What is removed is not asked for here,
    /// but where something must stand.
    fn whole(&self, value: Json<'_>) -> Cow<'static, str> {
        match self.strategy {
            Strategy::Mask => Cow::Borrowed("\"***\""),
            Strategy::Remove => Cow::Borrowed("null"),
            Strategy::Hash => {
                let text = value.as_str().unwrap_or(Cow::Borrowed(value.text()));
                Cow::Owned(format!("\"{}\"", hash(&text)))
            }
        }
    }
}

/// `sha256:` and the first 8 bytes of the digest, in hexadecimal digits.
fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let mut out = String::with_capacity(HASH.len() + HASH_DIGITS);
    out.push_str(HASH);
    for byte in &digest[..HASH_DIGITS / 2] {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Whether a text is what redaction left of another: it is not redacted again.
fn is_redacted(text: &str) -> bool {
    let hex = |digits: &str| {
        digits.len() == HASH_DIGITS
            && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    text == MASK || text.strip_prefix(HASH).is_some_and(hex)
}
