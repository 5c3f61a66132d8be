//! Phone numbers: international ones by their `+` or `00`, national ones by how they are grouped.
//! A row of digits without either is no phone number: it could be anything.

use super::{Look, is_word};
use std::ops::Range;

/// The most digits of a phone number (ITU-T E.164).
const MOST: usize = 15;

/// The most groups that are looked at.
const GROUPS: usize = 8;

pub(super) fn find(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    match look.bytes[at] {
        b'+' => international(look, at, at + 1),
        b'(' => bracketed(look, at),
        b'0' if look.starts_with(at, b"00") => {
            let found = international(look, at, at + 2)?;
            // Without gaps it is a number with zeros in front.
            look.bytes[found.clone()].iter().any(|byte| !byte.is_ascii_digit()).then_some(found)
        }
        _ => national(look, at),
    }
}

/// The digits of a number and where its groups end.
struct Number {
    digits: [u8; MOST],
    /// For each group: where it begins, where it ends, and how many digits there are with it.
    groups: [(usize, usize, usize); GROUPS],
    count: usize,
}

impl Number {
    /// Reads groups of digits with gaps that `gap` measures; ends before what does not fit.
    fn read(look: &Look<'_>, start: usize, gap: impl Fn(&[u8]) -> usize) -> Number {
        let mut number = Number { digits: [0; MOST], groups: [(0, 0, 0); GROUPS], count: 0 };
        let (mut at, mut total) = (start, 0);
        while number.count < GROUPS {
            let length = look.run(at, u8::is_ascii_digit);
            if length == 0 || total + length > MOST || !look.ends_word(at + length) {
                break;
            }
            number.digits[total..total + length].copy_from_slice(&look.bytes[at..at + length]);
            total += length;
            number.groups[number.count] = (at, at + length, total);
            number.count += 1;
            at += length;
            let skipped = gap(&look.bytes[at..]);
            if skipped == 0 {
                break;
            }
            at += skipped;
        }
        number
    }

    fn groups(&self) -> &[(usize, usize, usize)] {
        &self.groups[..self.count]
    }

    fn lengths(&self) -> [usize; GROUPS] {
        self.groups.map(|(start, end, _)| end - start)
    }
}

/// What may stand between groups of an international number: ` `, `-`, `.`, `/`, `(`, `)` and
/// pairs of them.
fn any_gap(rest: &[u8]) -> usize {
    let gap = rest.iter().take(3).take_while(|byte| b" -./()".contains(byte)).count();
    match &rest[..gap] {
        [] | [b' ' | b'-' | b'.' | b'/' | b')' | b'('] => gap,
        [b' ', b'('] | [b')', b' ' | b'-' | b'/'] => gap,
        [b' ', b'/' | b'-', b' '] => gap,
        _ => 0,
    }
}

fn international(look: &Look<'_>, start: usize, digits: usize) -> Option<Range<usize>> {
    let before = look.before(start);
    if before.is_some_and(|byte| is_word(byte) || matches!(byte, b'+' | b'.' | b'-' | b'_')) {
        return None;
    }
    if !look.bytes.get(digits).is_some_and(|digit| matches!(digit, b'1'..=b'9')) {
        return None;
    }
    let number = Number::read(look, digits, any_gap);
    let fits = |total: usize| match number.digits[0] {
        // North America: an area code begins with 2 to 9.
        b'1' => total == 11 && number.digits[1] >= b'2',
        b'7' => total == 11,
        _ => (8..=MOST).contains(&total),
    };
    // A group that would make it too long, such as a date behind it, does not belong to it.
    let last = number.groups().iter().rev().find(|(_, _, total)| fits(*total))?;
    Some(start..last.1)
}

/// `(030) 1234567`, `(415) 555-2671`.
fn bracketed(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    if !look.begins_word(at) {
        return None;
    }
    let length = look.run(at + 1, u8::is_ascii_digit);
    if !(2..=5).contains(&length) || look.bytes.get(at + 1 + length) != Some(&b')') {
        return None;
    }
    let mut found = national(look, at + 1)?;
    found.start = at;
    Some(found)
}

fn national(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let before = look.before(at);
    let named =
        before == Some(b':') && look.before(at - 1).is_some_and(|byte| byte.is_ascii_alphabetic());
    let free = before.is_none_or(|byte| {
        matches!(
            byte,
            b' ' | b'\t' | b'\n' | b'\r' | b'(' | b'"' | b'\'' | b',' | b';' | b'=' | b'>'
        )
    });
    if !free && !named {
        return None;
    }
    match look.bytes[at] {
        b'0' => zero(look, at),
        _ => north_american(look, at),
    }
}

/// The numbers that begin with a zero: `030 1234567`, `0151/123 4567`, `020 7946 0958`,
/// `06 12 34 56 78`.
fn zero(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    if !look.bytes.get(at + 1).is_some_and(|digit| matches!(digit, b'1'..=b'9')) {
        return None;
    }
    if let Some(pairs) = pairs(look, at) {
        return Some(pairs);
    }
    let first = at + look.run(at, u8::is_ascii_digit);
    let gap = |rest: &[u8]| match (any_gap(rest), rest.first()) {
        (1, Some(b' ')) => 1,
        // What else stands between groups may only follow the area code, and a dot not even there.
        (length, byte) if byte != Some(&b'.') && look.bytes.len() - rest.len() == first => length,
        _ => 0,
    };
    let number = Number::read(look, at, gap);
    let (lengths, groups) = (number.lengths(), number.groups());
    if groups.len() < 2 {
        return None;
    }
    let long = (1..groups.len()).take_while(|index| lengths[*index] >= 3).count();
    let last = groups[..=long].iter().rposition(|(_, _, total)| (9..=12).contains(total))?;
    ((2..=5).contains(&lengths[0]) && (1..=3).contains(&last) && ends(look, groups[last].1))
        .then(|| at..groups[last].1)
}

/// Five pairs with one and the same gap.
fn pairs(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let end = at + 14;
    let number = look.bytes.get(at..end)?;
    let gap = number[2];
    let fits = number.iter().enumerate().all(|(index, byte)| match index % 3 {
        2 => *byte == gap,
        _ => byte.is_ascii_digit(),
    });
    (fits && matches!(gap, b' ' | b'.' | b'-') && ends(look, end)).then_some(at..end)
}

/// `415-555-2671`, `415.555.2671`, `415 555 2671`, `(415) 555-2671`, also behind a `1`.
fn north_american(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let one = look.bytes[at] == b'1';
    let first = look.run(at, u8::is_ascii_digit);
    if first != if one { 1 } else { 3 } {
        return None;
    }
    let number = Number::read(look, at, any_gap);
    let (lengths, groups) = (number.lengths(), number.groups());
    let skip = usize::from(one);
    let last = groups.get(skip + 2)?;
    let codes = number.digits[skip] >= b'2' && number.digits[skip + 3] >= b'2';
    let blanks =
        look.bytes[groups[skip].1..last.0].iter().all(|byte| matches!(byte, b' ' | b'0'..=b'9'));
    let fits = lengths[skip..skip + 3] == [3, 3, 4] && codes;
    let alone = !blanks || one || is_alone(look, at..last.1, &number.digits[..10]);
    (fits && alone && ends(look, last.1)).then_some(at..last.1)
}

/// Whether three groups with blanks between them are a number and not a row of three or more:
/// no other number stands beside them, and the codes are some that are given out.
fn is_alone(look: &Look<'_>, number: Range<usize>, digits: &[u8]) -> bool {
    let is_amount = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'$' | b'%');
    let before = look.before(number.start).filter(|byte| *byte == b' ');
    let beside = before.and_then(|_| look.before(number.start - 1)).is_some_and(is_amount);
    let after = look.bytes.get(number.end..number.end + 2);
    let beside = beside || after.is_some_and(|after| after[0] == b' ' && is_amount(after[1]));
    // N11 are services, N9X and most of N00 are given to nobody.
    let area = &digits[..3];
    let area_fits =
        area[1] != b'9' && area[1..] != *b"11" && (area[1..] != *b"00" || area[0] >= b'8');
    let exchange_fits = digits[4..6] != *b"11";
    let round = digits[1..3] == *b"00" && digits[4..6] == *b"00";
    !beside && area_fits && exchange_fits && !round
}

/// Whether nothing follows that would make it a longer thing.
fn ends(look: &Look<'_>, at: usize) -> bool {
    let follows = look.bytes.get(at + 1).copied().is_some_and(is_word);
    match look.bytes.get(at) {
        Some(b'-' | b'.' | b'/' | b':' | b'_') => !follows,
        Some(b' ') => true,
        Some(byte) => !is_word(*byte),
        None => true,
    }
}
