//! Going through checked JSON text once, from value to value, without a look back.

use super::scanner::Scanner;
use super::{Json, Kind, MAX_DEPTH};

/// A place in checked JSON text: before a value, or between the members of an array or object.
pub struct Cursor<'a> {
    text: &'a str,
    scanner: Scanner<'a>,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Before a value.
    pub fn new(json: Json<'a>) -> Self {
        Cursor { text: json.0, scanner: Scanner::new(json.0), at: 0 }
    }

    /// The offset of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// What the value behind the cursor is.
    pub fn kind(&mut self) -> Kind {
        self.at = self.scanner.token(self.at);
        Json(&self.text[self.at..]).kind()
    }

    /// Takes the whole value.
    pub fn value(&mut self) -> Json<'a> {
        // The text was checked, so there is one; without, the way is at its end.
        let value = self.scanner.value(self.at, MAX_DEPTH);
        let (value, end) = value.unwrap_or((Json("null"), self.text.len()));
        self.at = end;
        value
    }

    /// Steps into the array or object behind the cursor.
    pub fn enter(&mut self) {
        self.at = self.scanner.token(self.at) + 1;
    }

    /// Steps to the value of the next member of an object; its key as it is written between its
    /// quotes, and where the key begins. `None`: there was none, and the object is left.
    pub fn next_member(&mut self) -> Option<(usize, &'a str)> {
        self.next_item().then_some(())?;
        let start = self.scanner.token(self.at);
        let (key, colon) = self.scanner.key(start)?;
        self.at = colon + 1;
        Some((start, key.raw))
    }

    /// Steps to the next element of an array; `false`: there was none, and the array is left.
    pub fn next_item(&mut self) -> bool {
        self.at = self.scanner.token(self.at);
        match self.scanner.byte(self.at) {
            b',' => self.at += 1,
            b']' | b'}' => {
                self.at += 1;
                return false;
            }
            _ => return !self.scanner.is_end(self.at),
        }
        true
    }
}
