//! Walks the JSON text of an event once and tells what of it is to be replaced.
//!
//! A path is followed as everywhere: a segment names a key of an object, or by its number the
//! element of a list. All of repeated keys are followed, for a receiver may read any of them.

use super::find::{self, name};
use super::splice::Splice;
use super::{Redaction, Strategy, is_redacted};
use crate::event::FieldPath;
use crate::event::json::{Cursor, Json, Kind, key_is, unescape};
use std::borrow::Cow;
use std::ops::Range;

/// What was found in a text.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// In order, none inside another.
    pub(super) splices: Vec<Splice>,
    /// What was redacted, where it stood.
    pub(super) redacted: Vec<Redacted>,
}

/// Something that was redacted.
#[derive(Debug, Clone)]
pub(super) enum Redacted {
    /// A whole value.
    Value(Range<usize>),
    /// A part of a string, as it is written between its quotes.
    Part(Range<usize>),
}

/// What is to be replaced in a checked text.
pub(super) fn walk(redaction: &Redaction, json: Json<'_>) -> Found {
    let secrets = redaction.finder.as_ref().is_some_and(|finder| finder.wants_secrets());
    let money = redaction.finder.as_ref().is_some_and(|finder| finder.wants_money());
    let mut walk = Walk {
        redaction,
        secrets,
        money,
        text: json.text(),
        cursor: Cursor::new(json),
        found: Found::default(),
        parts: Vec::new(),
    };
    walk.value(&redaction.paths, 0, false);
    walk.found
}

struct Walk<'a, 'r> {
    redaction: &'r Redaction,
    /// Whether secrets are searched for, and numbers of cards.
    secrets: bool,
    money: bool,
    text: &'a str,
    cursor: Cursor<'a>,
    found: Found,
    /// Parts of one string.
    parts: Vec<Range<usize>>,
}

impl<'a> Walk<'a, '_> {
    /// Where a value stands in the text: it is a part of it.
    fn range(&self, part: &str) -> Range<usize> {
        let start = part.as_ptr() as usize - self.text.as_ptr() as usize;
        start..start + part.len()
    }

    fn path(&self, index: usize) -> &FieldPath {
        let fields = &self.redaction.fields;
        fields.get(index).unwrap_or_else(|| &self.redaction.limits[index - fields.len()].0)
    }

    /// The paths that lead on through a step, of those that led so far.
    fn follow(&self, alive: &[usize], depth: usize, is: impl Fn(&str) -> bool) -> Vec<usize> {
        let leads = |index: &&usize| self.path(**index).segments().nth(depth).is_some_and(&is);
        alive.iter().filter(leads).copied().collect()
    }

    /// Whether a path to redact ends here.
    fn is_field(&self, alive: &[usize], depth: usize) -> bool {
        let ends = |index: &usize| {
            *index < self.redaction.fields.len() && self.path(*index).segments().len() == depth
        };
        alive.iter().any(ends)
    }

    /// The longest that a value may be whose path ends here.
    fn limit(&self, alive: &[usize], depth: usize) -> Option<usize> {
        let limits = alive.iter().filter_map(|index| {
            let limit = index.checked_sub(self.redaction.fields.len())?;
            let (path, bytes) = &self.redaction.limits[limit];
            (path.segments().len() == depth).then_some(*bytes)
        });
        limits.min()
    }

    /// Walks a value that is not redacted as a whole, and steps behind it.
    fn value(&mut self, alive: &[usize], depth: usize, secret: bool) {
        let mark = self.found.splices.len();
        let kind = self.cursor.kind();
        let start = self.cursor.at();
        match kind {
            Kind::Object => self.object(alive, depth),
            Kind::Array => self.array(alive, depth, secret),
            Kind::String => self.string(secret),
            Kind::Number => self.number(secret),
            Kind::Null | Kind::Bool => {
                self.cursor.value();
            }
        }
        if !alive.is_empty()
            && let Some(limit) = self.limit(alive, depth)
        {
            self.shorten(start..self.cursor.at(), limit, mark);
        }
    }

    /// Replaces what is still too long, with all that was found in it. What stands for a long
    /// field already stays.
    fn shorten(&mut self, range: Range<usize>, limit: usize, mark: usize) {
        let growth: isize = self.found.splices[mark..].iter().map(Splice::growth).sum();
        let bytes = range.len().saturating_add_signed(growth);
        let untouched = self.found.splices.len() == mark;
        if bytes > limit && !(untouched && is_shortened(&self.text[range.clone()])) {
            self.found.splices.truncate(mark);
            let with = format!("{{\"truncated\":true,\"bytes\":{bytes}}}").into();
            self.found.splices.push(Splice { range, with });
        }
    }

    fn object(&mut self, alive: &[usize], depth: usize) {
        // Where the last member ends that stays; and where the first one stands, if it goes.
        let mut kept: Option<usize> = None;
        let mut gone: Option<Range<usize>> = None;
        self.cursor.enter();
        while let Some((start, key)) = self.cursor.next_member() {
            if let Some(gone) = gone.take() {
                // Nothing stays before it: it goes with the comma behind it.
                self.splice(gone.start..start, "");
            }
            let alive = self.follow(alive, depth, |segment| key_is(key, segment));
            if !self.is_field(&alive, depth + 1) {
                let secret = self.secrets && is_secret(key);
                self.value(&alive, depth + 1, secret);
                kept = Some(self.cursor.at());
            } else if self.redaction.strategy != Strategy::Remove {
                self.whole(&alive, depth + 1);
                kept = Some(self.cursor.at());
            } else {
                let value = self.cursor.value();
                self.found.redacted.push(Redacted::Value(self.range(value.text())));
                let end = self.cursor.at();
                match &mut kept {
                    Some(kept) => {
                        let comma = std::mem::replace(kept, end)..end;
                        self.splice(comma, "");
                    }
                    None => gone = Some(start..end),
                }
            }
        }
        if let Some(gone) = gone {
            self.splice(gone, "");
        }
    }

    fn array(&mut self, alive: &[usize], depth: usize, secret: bool) {
        self.cursor.enter();
        let mut index = 0;
        while self.cursor.next_item() {
            let alive = self.follow(alive, depth, |segment| segment.parse() == Ok(index));
            if self.is_field(&alive, depth + 1) {
                self.whole(&alive, depth + 1);
            } else {
                self.value(&alive, depth + 1, secret);
            }
            index += 1;
        }
    }

    /// Replaces a whole value. What stands in its place may be too long for its limit as well.
    fn whole(&mut self, alive: &[usize], depth: usize) {
        let mark = self.found.splices.len();
        let value = self.cursor.value();
        let range = self.range(value.text());
        let done = match self.redaction.strategy {
            Strategy::Remove => value.kind() == Kind::Null,
            _ => value.as_str().is_some_and(|text| is_redacted(&text)),
        };
        if !done {
            let with = self.redaction.whole(value);
            self.found.redacted.push(Redacted::Value(range.clone()));
            self.found.splices.push(Splice { range: range.clone(), with });
        }
        if let Some(limit) = self.limit(alive, depth) {
            self.shorten(range, limit, mark);
        }
    }

    fn splice(&mut self, range: Range<usize>, with: &'static str) {
        self.found.splices.push(Splice { range, with: Cow::Borrowed(with) });
    }

    /// A number that is a secret by its key, or the number of a card.
    fn number(&mut self, secret: bool) {
        let digits = self.cursor.value().text();
        if secret || self.money && find::is_card_number(digits) {
            let range = self.range(digits);
            let with = format!("\"{}\"", self.redaction.part(digits)).into();
            self.found.redacted.push(Redacted::Value(range.clone()));
            self.found.splices.push(Splice { range, with });
        }
    }

    fn string(&mut self, secret: bool) {
        let value = self.cursor.value().text();
        let Some(finder) = &self.redaction.finder else { return };
        let raw = &value[1..value.len() - 1];
        let text = unescape(raw);
        if secret {
            if !text.is_empty() && !is_redacted(&text) {
                self.part(raw, &text, 0..text.len());
            }
            return;
        }
        let mut parts = std::mem::take(&mut self.parts);
        finder.find(&text, &mut parts);
        let mut escapes = Escapes { raw, written: 0, read: 0 };
        for part in parts.drain(..) {
            let written = match &text {
                Cow::Borrowed(_) => part.clone(),
                Cow::Owned(_) => escapes.written(part.start)..escapes.written(part.end),
            };
            self.part(&raw[written], &text, part);
        }
        self.parts = parts;
    }

    /// Replaces what is written as `raw` and is this part of a string's text.
    fn part(&mut self, raw: &'a str, text: &str, part: Range<usize>) {
        let range = self.range(raw);
        let with = self.redaction.part(&text[part]);
        self.found.redacted.push(Redacted::Part(range.clone()));
        self.found.splices.push(Splice { range, with });
    }
}

/// Whether a key, as it is written, names a secret.
fn is_secret(key: &str) -> bool {
    match key.as_bytes().contains(&b'\\') {
        true => name::is_secret(unescape(key).as_bytes()),
        false => name::is_secret(key.as_bytes()),
    }
}

/// Whether this is what stands for a field that was too long.
fn is_shortened(value: &str) -> bool {
    let digits = value.strip_prefix("{\"truncated\":true,\"bytes\":");
    let digits = digits.and_then(|rest| rest.strip_suffix('}'));
    digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Finds where in a string with escapes the bytes of its text are written, going forward.
struct Escapes<'a> {
    raw: &'a str,
    /// Bytes of `raw`, and of the text, that are passed.
    written: usize,
    read: usize,
}

impl Escapes<'_> {
    fn written(&mut self, read: usize) -> usize {
        while self.read < read {
            let rest = &self.raw[self.written..];
            let length = match rest.as_bytes() {
                // A surrogate pair is one character.
                [b'\\', b'u', b'd' | b'D', b'8'..=b'9' | b'a'..=b'b' | b'A'..=b'B', ..] => 12,
                [b'\\', b'u', ..] => 6,
                [b'\\', ..] => 2,
                _ => rest.chars().next().map_or(1, char::len_utf8),
            };
            let one = rest.get(..length).unwrap_or(rest);
            self.read += unescape(one).len();
            self.written += one.len();
        }
        self.written
    }
}
