//! Credentials behind the scheme of an `Authorization` header, in it or in the middle of a text.

use super::Look;
use super::secret::{has_digit, is_masked, is_random, is_value, string};
use std::ops::Range;

/// How far a word is looked into before it is believed to be random.
const PEEK: usize = 64;

/// The longest name of a scheme, or of one of its parameters, that is looked at.
const NAME: usize = 40;

/// How many blanks may stand behind a scheme.
const BLANKS: usize = 16;

/// The shortest credentials.
const SHORTEST: usize = 4;

/// Lower-case letters alone are a word, unless they are this many.
const LONG: usize = 20;

/// Schemes that are believed anywhere in a text.
const SCHEMES: [&[u8]; 6] = [b"bearer", b"basic", b"token", b"digest", b"apikey", b"negotiate"];

/// Schemes that are believed behind the header's name.
const NAMED: [&[u8]; 7] =
    [b"dpop", b"geniekey", b"hawk", b"oauth", b"signature", b"splunk", b"vapid"];

/// Whether this is a scheme that is believed anywhere.
pub(super) fn is_known(word: &[u8]) -> bool {
    SCHEMES.iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// The credentials behind `Bearer `, `Basic `, `Token `.
pub(super) fn authorized(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    if !matches!(look.before(at)?.to_ascii_lowercase(), b'r' | b'c' | b'n' | b'y') {
        return None;
    }
    let scheme = SCHEMES.iter().find(|scheme| look.ends_with(at, scheme))?;
    if !look.begins_word(at - scheme.len()) {
        return None;
    }
    let basic = *scheme == b"basic";
    let is = |byte: &u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'+' | b'/' | b'=')
            || (!basic && matches!(byte, b'.' | b'_' | b'-' | b'~'))
    };
    let start = at + blanks(look, at);
    let head = &look.bytes[start..look.bytes.len().min(start + PEEK)];
    let head = &head[..head.iter().position(|byte| !is(byte)).unwrap_or(head.len())];
    is_random(head).then(|| start..start + look.run(start, is))
}

/// The credentials of an `Authorization` header whose value begins here: of any scheme, one word
/// or parameters.
pub(super) fn credentials(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let length = bounded(look, at, is_scheme)?;
    if !look.bytes.get(at)?.is_ascii_alphabetic() {
        return None;
    }
    let start = at + length + blanks(look, at + length);
    if start == at + length {
        return None;
    }
    let scheme = &look.bytes[at..at + length];
    // `GoogleLogin`, `SSWS`, `AWS4-HMAC-SHA256`: no word is written like this.
    let known = is_known(scheme)
        || NAMED.iter().any(|known| scheme.eq_ignore_ascii_case(known))
        || scheme.iter().skip(1).any(u8::is_ascii_uppercase);
    if let Some(end) = parameters(look, start) {
        // `Authorization: granted user=ann` is prose.
        return known.then_some(start..end);
    }
    let mut end = start + look.run(start, is_value);
    // The quote around the header may be escaped.
    if matches!(look.bytes.get(end), Some(b'"' | b'\'')) {
        let slashes = look.bytes[start..end].iter().rev().take_while(|byte| **byte == b'\\');
        end -= slashes.count();
    }
    let text = &look.bytes[start..end];
    let head = &text[..text.len().min(PEEK)];
    // So are `Authorization: access denied` and `Authorization: Bearer token missing`.
    let is_last = look.bytes.get(end).is_none_or(|byte| *byte != b' ');
    let chosen = has_digit(head)
        || head.iter().any(u8::is_ascii_uppercase)
        || head.len() >= LONG
        || known && is_last;
    (chosen && head.len() >= SHORTEST && !is_masked(text)).then_some(start..end)
}

/// Where a row of parameters ends that begins here: `username="…", response="…"`.
fn parameters(look: &Look<'_>, start: usize) -> Option<usize> {
    let mut at = start;
    let mut end = None;
    loop {
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let value = match bounded(look, at, is_name) {
            Some(length) if look.bytes.get(at + length) == Some(&b'=') => at + length + 1,
            _ => return end,
        };
        let after = match string(look, value) {
            // Without an end it would take in all that follows: such a quote is the text's own.
            Some((text, after)) if after > text.end => after,
            _ => {
                match look.run(value, |byte| (is_value(byte) || *byte == b';') && *byte != b'\\') {
                    0 => return end,
                    // The padding of base64.
                    _ if look.bytes[value] == b'=' => return end,
                    length => value + length,
                }
            }
        };
        end = Some(after);
        at = after + look.run(after, |byte| *byte == b',').min(1);
        at += blanks(look, at);
    }
}

/// How many such bytes there are, not many more than a name has; `None` where there is none.
fn bounded(look: &Look<'_>, at: usize, is: impl Fn(&u8) -> bool) -> Option<usize> {
    let rest = look.bytes.get(at..look.bytes.len().min(at + NAME))?;
    let length = rest.iter().position(|byte| !is(byte)).unwrap_or(rest.len());
    (length > 0 && length < NAME).then_some(length)
}

/// How many blanks stand here.
fn blanks(look: &Look<'_>, at: usize) -> usize {
    let rest = look.bytes.get(at..look.bytes.len().min(at + BLANKS)).unwrap_or_default();
    rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}
