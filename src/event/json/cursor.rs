//! Going through checked JSON text once, from value to value, without a look back.

use super::scanner::Scanner;
use super::{Json, Kind, MAX_DEPTH};

/// A place in checked JSON text: before a value, or between the members of an array or object.
pub struct Cursor<'a> {
    text: &'a str,
    scanner: Scanner<'a>,
}

impl<'a> Cursor<'a> {
    /// Before a value.
    pub fn new(json: Json<'a>) -> Self {
        Cursor { text: json.0, scanner: Scanner::new(json.0) }
    }

    /// The offset of the next byte.
    pub fn at(&self) -> usize {
        self.scanner.at
    }

    /// What the value behind the cursor is.
    pub fn kind(&mut self) -> Kind {
        let at = self.scanner.skip_space();
        Json(&self.text[at..]).kind()
    }

    /// Takes the whole value.
    pub fn value(&mut self) -> Json<'a> {
        // The text was checked, so there is one; without, the way is at its end.
        self.scanner.value(MAX_DEPTH).unwrap_or_else(|| {
            self.scanner.at = self.text.len();
            Json("null")
        })
    }

    /// Steps into the array or object behind the cursor.
    pub fn enter(&mut self) {
        self.scanner.skip_space();
        self.scanner.at += 1;
    }

    /// Steps to the value of the next member of an object; its key as it is written between its
    /// quotes, and where the key begins. `None`: there was none, and the object is left.
    pub fn next_member(&mut self) -> Option<(usize, &'a str)> {
        self.next_item().then_some(())?;
        let start = self.scanner.skip_space();
        Some((start, self.scanner.key()?.raw))
    }

    /// Steps to the next element of an array; `false`: there was none, and the array is left.
    pub fn next_item(&mut self) -> bool {
        self.scanner.skip_space();
        match self.scanner.peek() {
            Some(b',') => self.scanner.at += 1,
            Some(b']' | b'}') => {
                self.scanner.at += 1;
                return false;
            }
            Some(_) => {}
            None => return false,
        }
        true
    }
}
