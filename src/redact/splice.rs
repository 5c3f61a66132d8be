//! Replacing parts of a text.

use std::borrow::Cow;
use std::ops::Range;

/// A part of a text and what takes its place.
#[derive(Debug, Clone)]
pub(super) struct Splice {
    pub(super) range: Range<usize>,
    pub(super) with: Cow<'static, str>,
}

impl Splice {
    /// By how many bytes the text gets longer.
    pub(super) fn growth(&self) -> isize {
        self.with.len() as isize - self.range.len() as isize
    }
}

/// The text with all of these replaced; they stand in order, none inside another.
pub(super) fn apply(text: &str, splices: &[Splice]) -> String {
    let growth: isize = splices.iter().map(Splice::growth).sum();
    let mut out = String::with_capacity(text.len().saturating_add_signed(growth));
    let mut done = 0;
    for Splice { range, with } in splices {
        out.push_str(&text[done..range.start]);
        out.push_str(with);
        done = range.end;
    }
    out.push_str(&text[done..]);
    out
}
