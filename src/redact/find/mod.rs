//! Finds what belongs to the categories inside one plain text: secrets, mail addresses, phone
//! numbers, card and account numbers. One pass: a table tells at which bytes anything can begin,
//! and only there a shape is tried. Every shape looks at a bounded number of bytes, or at bytes
//! that no other try of it looks at, so a hostile text costs no more than a long one.

mod mail;
mod money;
pub(super) mod name;
mod phone;
mod prefix;
mod scheme;
mod secret;
mod token;

#[cfg(test)]
mod tests;

use super::Category;
use std::ops::Range;

const SECRET: u8 = 1;
const MAIL: u8 = 2;
const PHONE: u8 = 4;
const MONEY: u8 = 8;

/// What is looked for, and at which bytes.
#[derive(Debug, Clone)]
pub(super) struct Finder {
    /// For each byte, the categories of which something can be told there.
    table: Box<[u8; 256]>,
}

impl Finder {
    pub(super) fn new(categories: impl IntoIterator<Item = Category>) -> Finder {
        let mut table = Box::new([0; 256]);
        for category in categories {
            let (bit, triggers): (u8, &[u8]) = match category {
                Category::Secrets => (SECRET, b"=: \t_-/.+~ASde"),
                Category::Email => (MAIL, b"@%"),
                Category::Phone => (PHONE, b"+(0123456789"),
                Category::Financial => (MONEY, b"0123456789"),
            };
            triggers.iter().for_each(|byte| table[usize::from(*byte)] |= bit);
        }
        Finder { table }
    }

    /// Whether it looks for secrets.
    pub(super) fn wants_secrets(&self) -> bool {
        self.table[usize::from(b'=')] & SECRET != 0
    }

    /// Whether it looks for numbers of cards.
    pub(super) fn wants_money(&self) -> bool {
        self.table[usize::from(b'0')] & MONEY != 0
    }

    /// Appends the parts of `text` that belong to a category, in order, none touching another's
    /// inside.
    pub(super) fn find(&self, text: &str, found: &mut Vec<Range<usize>>) {
        let mut look = Look { bytes: text.as_bytes(), floor: 0 };
        let mut at = 0;
        while let Some(byte) = look.bytes.get(at) {
            let wanted = self.table[usize::from(*byte)];
            if wanted == 0 || (wanted == SECRET && !secret::may_stand(look.bytes, at)) {
                at += 1;
                continue;
            }
            let hit = look.find(wanted, at);
            match hit.filter(|hit| hit.start.max(look.floor) < hit.end) {
                Some(hit) => {
                    found.push(hit.start.max(look.floor)..hit.end);
                    look.floor = hit.end;
                    at = hit.end.max(at + 1);
                }
                None if byte.is_ascii_digit() => at += look.run(at, u8::is_ascii_digit),
                None => at += 1,
            }
        }
    }
}

/// A text and how far it is done.
struct Look<'a> {
    bytes: &'a [u8],
    /// Where the last found part ends.
    floor: usize,
}

impl<'a> Look<'a> {
    fn find(&self, wanted: u8, at: usize) -> Option<Range<usize>> {
        let mut hit = None;
        if wanted & SECRET != 0 {
            hit = secret::find(self, at);
        }
        if wanted & MAIL != 0 {
            hit = hit.or_else(|| mail::find(self, at));
        }
        if wanted & MONEY != 0 {
            hit = hit.or_else(|| money::find(self, at));
        }
        if wanted & PHONE != 0 {
            hit = hit.or_else(|| phone::find(self, at));
        }
        hit
    }

    /// The byte before, unless what was found ends there.
    fn before(&self, at: usize) -> Option<u8> {
        if at <= self.floor { None } else { self.bytes.get(at - 1).copied() }
    }

    /// Whether no word is cut by beginning here.
    fn begins_word(&self, at: usize) -> bool {
        !self.before(at).is_some_and(is_word)
    }

    /// Whether no word is cut by ending here.
    fn ends_word(&self, at: usize) -> bool {
        !self.bytes.get(at).copied().is_some_and(is_word)
    }

    /// How many bytes from here on are such.
    fn run(&self, at: usize, is: impl Fn(&u8) -> bool) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        rest.iter().position(|byte| !is(byte)).unwrap_or(rest.len())
    }

    fn starts_with(&self, at: usize, text: &[u8]) -> bool {
        self.bytes.get(at..).is_some_and(|rest| rest.starts_with(text))
    }

    /// Whether the text up to here ends with these words, in any case.
    fn ends_with(&self, at: usize, words: &[u8]) -> bool {
        let start = at.checked_sub(words.len());
        start
            .and_then(|start| self.bytes.get(start..at))
            .is_some_and(|end| end.eq_ignore_ascii_case(words))
    }
}

/// Whether a JSON number is the number of a card.
pub(super) fn is_card_number(number: &str) -> bool {
    number.bytes().all(|byte| byte.is_ascii_digit()) && money::is_card(number.as_bytes())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}
