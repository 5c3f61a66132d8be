//! Numbers of payment cards and of bank accounts (IBAN), told by their check digits.

use super::{Look, is_word};
use std::ops::Range;

pub(super) fn find(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    account(look, at).or_else(|| card(look, at))
}

/// Countries of the IBAN registry and how long their numbers are.
const COUNTRIES: &[(&[u8; 2], usize)] = &[
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

/// An IBAN whose check digits begin here.
fn account(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(2).filter(|start| *start >= look.floor)?;
    let country = [look.bytes[start], look.bytes[start + 1]].map(|byte| byte.to_ascii_uppercase());
    if !country.iter().all(u8::is_ascii_uppercase) || !look.begins_word(start) {
        return None;
    }
    let (_, length) = COUNTRIES.iter().find(|(name, _)| **name == country)?;
    let mut number = [0; 34];
    let (mut taken, mut end) = (0, start);
    while taken < *length {
        match look.bytes.get(end) {
            Some(byte) if byte.is_ascii_alphanumeric() => {
                number[taken] = byte.to_ascii_uppercase();
                taken += 1;
            }
            // Written in groups of four.
            Some(b' ' | b'-') if taken > 0 && taken % 4 == 0 && look.bytes[end - 1] != b' ' => {}
            _ => return None,
        }
        end += 1;
    }
    let number = &number[..*length];
    let valid = number[2..4].iter().all(u8::is_ascii_digit) && mod_97(number) == 1;
    (valid && look.ends_word(end)).then_some(start..end)
}

/// ISO 7064: the country and the check digits count last, letters as 10 to 35.
fn mod_97(number: &[u8]) -> u32 {
    let (head, rest) = number.split_at(4);
    rest.iter().chain(head).fold(0, |sum, byte| match byte {
        b'0'..=b'9' => (sum * 10 + u32::from(byte - b'0')) % 97,
        _ => (sum * 100 + u32::from(byte - b'A') + 10) % 97,
    })
}

/// The most digits of a card.
const MOST: usize = 19;

/// The number of a card that begins here.
fn card(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let before = look.before(at);
    let fraction = matches!(before, Some(b'.' | b'-' | b'_'));
    if before.is_some_and(is_word) || fraction || !matches!(look.bytes[at], b'2'..=b'6') {
        return None;
    }
    let first = look.run(at, u8::is_ascii_digit);
    let gap = look.bytes.get(at + first).copied().filter(|byte| matches!(byte, b' ' | b'-'));
    let (mut digits, mut taken, mut end) = ([0; MOST], 0, at);
    let mut found = None;
    for group in 0..5 {
        let length = look.run(end, u8::is_ascii_digit);
        if length == 0 || taken + length > MOST {
            break;
        }
        digits[taken..taken + length].copy_from_slice(&look.bytes[end..end + length]);
        taken += length;
        end += length;
        let whole = group == 0 || (first == 4 && length <= 6);
        if whole && is_card(&digits[..taken]) && ends(look, end) {
            found = Some(at..end);
        }
        if gap.is_none() || look.bytes.get(end).copied() != gap {
            break;
        }
        end += 1;
    }
    found
}

/// Whether nothing follows that would make it a part of something else.
fn ends(look: &Look<'_>, at: usize) -> bool {
    let follows = look.bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
    look.ends_word(at) && !(follows && matches!(look.bytes.get(at), Some(b'.')))
}

/// Whether a row of digits is the number of a card: by its issuer, its length and its check digit.
pub(super) fn is_card(digits: &[u8]) -> bool {
    (13..=MOST).contains(&digits.len()) && is_issued(digits) && luhn(digits)
}

fn is_issued(digits: &[u8]) -> bool {
    let prefix = |length: usize| {
        digits[..length].iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
    };
    let length = digits.len();
    match (prefix(1), prefix(2), prefix(4)) {
        (4, ..) => matches!(length, 13 | 16 | 19),
        (_, 51..=55, _) | (.., 2221..=2720) => length == 16,
        (_, 34 | 37, _) => length == 15,
        (_, 36 | 38 | 39, _) | (.., 3000..=3059 | 3095) => (14..=MOST).contains(&length),
        (_, 62 | 65, _) | (.., 3528..=3589 | 6011 | 6440..=6499) => (16..=MOST).contains(&length),
        (_, 50 | 56..=58, _) | (.., 6304 | 6759 | 6761..=6763) => true,
        _ => false,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, u32::from(digit - b'0')) {
            (0, digit) => digit,
            (_, digit) => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}
