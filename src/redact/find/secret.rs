//! Secrets told by what stands before them: a name and `=`, an authorization scheme, the user in
//! a URL, the address of a webhook. Those told by their own shape are found in `token` and
//! `prefix`.

use super::{Look, is_word, name, prefix, scheme, token};
use std::ops::Range;

/// The longest name that is looked at.
const NAME: usize = 48;

/// The longest word of prose, in bytes: `authentication` and a few more.
const LONGEST_WORD: usize = 18;

/// How far a value is looked into before it is believed to be random.
const PEEK: usize = 64;

pub(super) fn find(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    match look.bytes[at] {
        b'=' => assigned(look, at),
        b':' => {
            in_url(look, at).or_else(|| token::telegram(look, at)).or_else(|| assigned(look, at))
        }
        b' ' | b'\t' => scheme::authorized(look, at),
        b'_' => prefix::find(look, at),
        b'-' => prefix::find(look, at)
            .or_else(|| token::private_key(look, at))
            .or_else(|| option(look, at)),
        b'/' => hook(look, at).or_else(|| token::refresh(look, at)),
        b'.' => token::dotted(look, at),
        b'A' => token::cloud(look, at),
        b'S' => token::hexadecimal(look, at, b"SK"),
        b'd' => token::hexadecimal(look, at, b"dapi"),
        b'e' => token::jwt(look, at),
        b'+' => token::azure_key(look, at),
        b'~' => token::entra_secret(look, at),
        _ => None,
    }
}

/// Whether a secret may be told here; a look at one neighbour does for most bytes.
#[inline]
pub(super) fn may_stand(bytes: &[u8], at: usize) -> bool {
    let before = || at.checked_sub(1).map(|before| bytes[before]);
    match bytes[at] {
        b' ' | b'\t' => {
            before().is_some_and(|byte| matches!(byte | 0x20, b'r' | b'c' | b'n' | b'y'))
        }
        b'_' => before().is_some_and(|byte| prefix::may_stand(byte, b'_')),
        b'-' => {
            // The first of two begins an option or a private key.
            bytes.get(at + 1) == Some(&b'-')
                || before().is_some_and(|byte| prefix::may_stand(byte, b'-'))
        }
        b'/' => matches!(before(), Some(b's' | b'2' | b'1')),
        b'.' => {
            matches!(before(), Some(b's' | b'b' | b'r' | b'G' | b'0'..=b'9'))
                || bytes.get(at + 7) == Some(&b'.')
        }
        b'A' => matches!(bytes.get(at + 1), Some(b'K' | b'S' | b'I' | b'T' | b'B' | b'C')),
        b'S' => bytes.get(at + 1) == Some(&b'K'),
        b'd' => matches!(bytes.get(at + 1..), Some([b'a', b'p', ..])),
        b'e' => bytes.get(at + 1) == Some(&b'y'),
        b'+' => bytes.get(at + 1) == Some(&b'A'),
        b'~' => before() == Some(b'Q'),
        _ => true,
    }
}

/// The value of `password=…`, `"password": "…"`, `?token=…`.
fn assigned(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let (name, before) = name_before(look, at)?;
    let in_query = matches!(before, Some(b'?' | b'&')) && look.bytes[at] == b'=';
    let secret = name::is_secret(name)
        || in_query
            && [&b"key"[..], b"sig", b"signature", b"code"]
                .iter()
                .any(|word| name.eq_ignore_ascii_case(word));
    let colon = look.bytes[at] == b':';
    if !secret {
        return shaped(look, name, at);
    }
    // `arn:aws:secretsmanager:…:secret:name` names a secret, and is none.
    if colon && before == Some(b':') {
        return None;
    }
    let mut start = at + 1 + look.run(at + 1, |byte| matches!(byte, b'=' | b'>')).min(2);
    start += look.run(start, |byte| matches!(byte, b' ' | b'\t')).min(3);
    if let Some(quoted) = quoted(look, start).or_else(|| list(look, start)) {
        return quoted;
    }
    if name::is_authorization(name)
        && let Some(credentials) = scheme::credentials(look, start)
    {
        return Some(if colon { credentials } else { start..credentials.end });
    }
    if colon && name::is_cookie(name) {
        let end = start + look.run(start, |byte| !matches!(byte, b'\r' | b'\n' | b'"' | b'\''));
        return look.bytes[start..end].contains(&b'=').then_some(start..end);
    }
    let place = if in_query {
        Place::Query
    } else if colon {
        Place::Structure
    } else {
        Place::Text
    };
    // Behind a colon stands prose too: `token: expired`.
    let head = &look.bytes[start.min(look.bytes.len())..look.bytes.len().min(start + PEEK)];
    let head = head.split(|byte| place.ends(*byte)).next().unwrap_or_default();
    if colon && (head.len() < 4 || is_word_of_prose(head)) {
        return None;
    }
    let mut end = start + place.length(look, start);
    if scheme::is_known(&look.bytes[start..end]) && look.bytes.get(end) == Some(&b' ') {
        end += 1 + look.run(end + 1, is_value);
    }
    (!is_masked(&look.bytes[start..end])).then_some(start..end)
}

/// Where a value without quotes stands, which decides where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the query of a URL, or in a form: up to the next `&`.
    Query,
    /// Behind a colon: perhaps among brackets that are not the value's.
    Structure,
    /// In the middle of a text: up to a blank, a quote, a comma or a semicolon.
    Text,
}

impl Place {
    /// Whether a value ends before this byte.
    fn ends(self, byte: u8) -> bool {
        match self {
            Place::Query => !is_value(&byte) || byte == b'#',
            Place::Structure => !is_value(&byte) && byte != b'&',
            Place::Text => byte <= b' ' || matches!(byte, b',' | b';' | b'"' | b'\''),
        }
    }

    /// How long a value is that begins here and has no quotes.
    fn length(self, look: &Look<'_>, start: usize) -> usize {
        let rest = look.bytes.get(start..).unwrap_or_default();
        // A form may begin with it: `password=…&user=…`. Nothing behind that is looked at.
        let ends = |(at, byte): (usize, &u8)| {
            self.ends(*byte) || *byte == b'&' && begins_pair(&rest[at + 1..])
        };
        rest.iter().enumerate().position(ends).unwrap_or(rest.len())
    }
}

/// Whether a name and `=` stand here.
fn begins_pair(rest: &[u8]) -> bool {
    let name = &rest[..rest.len().min(NAME)];
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.[]%".contains(byte);
    let length = name.iter().position(|byte| !is_name(byte));
    let letter = name.first().is_some_and(u8::is_ascii_alphabetic);
    letter && length.is_some_and(|length| name[length] == b'=')
}

/// What is called `Signature`, `sig` or `AccountKey` (of Azure storage), and looks like one: the
/// names alone say too little.
fn shaped(look: &Look<'_>, name: &[u8], at: usize) -> Option<Range<usize>> {
    let ends = |word: &[u8]| {
        let start = name.len().checked_sub(word.len());
        start.is_some_and(|start| name[start..].eq_ignore_ascii_case(word))
    };
    let least = match name.last()?.to_ascii_lowercase() {
        b'e' if ends(b"signature") => 16,
        b'g' if name.eq_ignore_ascii_case(b"sig") => 40,
        b'y' if ends(b"accountkey") => 40,
        _ => return None,
    };
    if look.bytes[at] != b'=' {
        return None;
    }
    let value = at + 1..at + 1 + look.run(at + 1, is_value);
    let text = &look.bytes[value.clone()];
    (text.len() >= least && is_random(&text[..text.len().min(PEEK)])).then_some(value)
}

/// What follows a long option that is named like a secret: `--password …`.
fn option(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let before = look.before(at).is_some_and(|byte| is_word(byte) || byte == b'-');
    if before || !look.starts_with(at, b"--") {
        return None;
    }
    let rest = &look.bytes[at + 2..look.bytes.len().min(at + 2 + NAME)];
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let length = rest.iter().position(|byte| !is_name(byte))?;
    if !name::is_secret(&rest[..length]) {
        return None;
    }
    let blanks = look.run(at + 2 + length, |byte| matches!(byte, b' ' | b'\t'));
    let start = at + 2 + length + blanks;
    if blanks == 0 || look.bytes.get(start) == Some(&b'-') {
        return None;
    }
    if let Some(quoted) = quoted(look, start) {
        return quoted;
    }
    let value = start..start + Place::Text.length(look, start);
    let text = &look.bytes[value.clone()];
    let long = text.len() >= 4 || has_digit(text);
    (long && !is_masked(text)).then_some(value)
}

/// The name that ends before `at`, quoted or not, and the byte before it.
fn name_before<'a>(look: &Look<'a>, at: usize) -> Option<(&'a [u8], Option<u8>)> {
    let lowest = at.saturating_sub(NAME).max(look.floor);
    let before = &look.bytes[lowest..at];
    let is_frame = |byte: &u8| matches!(byte, b' ' | b'"' | b'\'' | b'\\' | b']');
    let frame = before.iter().rev().take(8).take_while(|byte| is_frame(byte)).count();
    let before = &before[..before.len() - frame];
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let length = before.iter().rev().take_while(|byte| is_name(byte)).count();
    let start = before.len() - length;
    let name = &before[start..];
    (!name.is_empty()).then(|| (name, start.checked_sub(1).map(|last| before[last])))
}

/// The text between quotes that begin here; `Some(None)` where it is empty or masked already.
fn quoted(look: &Look<'_>, at: usize) -> Option<Option<Range<usize>>> {
    let (text, _) = string(look, at)?;
    Some((!is_masked(&look.bytes[text.clone()])).then_some(text))
}

/// The texts of a list that begins here, from the first to the last one.
fn list(look: &Look<'_>, at: usize) -> Option<Option<Range<usize>>> {
    if look.bytes.get(at) != Some(&b'[') {
        return None;
    }
    let blanks = |at: usize| at + look.run(at, u8::is_ascii_whitespace);
    let (mut texts, mut after) = string(look, blanks(at + 1))?;
    while let Some(b',') = look.bytes.get(blanks(after)) {
        let Some((text, end)) = string(look, blanks(blanks(after) + 1)) else { break };
        texts.end = text.end;
        after = end;
    }
    Some((!is_masked(&look.bytes[texts.clone()])).then_some(texts))
}

/// The text between quotes that begin here, and where they end.
pub(super) fn string(look: &Look<'_>, at: usize) -> Option<(Range<usize>, usize)> {
    let slashes = look.run(at, |byte| *byte == b'\\');
    let quote = *look.bytes.get(at + slashes)?;
    if !matches!(quote, b'"' | b'\'') || slashes > 8 {
        return None;
    }
    let start = at + slashes + 1;
    let rest = &look.bytes[start..];
    let length = if slashes == 0 {
        let mut escaped = false;
        rest.iter().enumerate().position(|(at, byte)| {
            // SQL writes a quote twice; at once, they are an empty text.
            let twice = quote == b'\'' && at > 0 && rest.get(at + 1) == Some(&quote);
            let ends = *byte == quote && !escaped && !twice;
            escaped = !escaped && (*byte == b'\\' || *byte == quote && twice);
            ends
        })
    } else {
        // JSON inside a string inside JSON: its quotes are escaped.
        memchr::memmem::find(rest, &look.bytes[at..start])
    };
    let end = start + length.unwrap_or(rest.len());
    Some((start..end, look.bytes.len().min(end + slashes + 1)))
}

/// Whether this is letters alone, as a word is written: `expired`, `Required.`, `MISSING`.
fn is_word_of_prose(text: &[u8]) -> bool {
    let text = text.strip_suffix(b".").unwrap_or(text);
    let lower = |text: &[u8]| !text.iter().any(u8::is_ascii_uppercase);
    let upper = !text.iter().any(u8::is_ascii_lowercase);
    text.len() <= LONGEST_WORD
        && text.iter().all(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii())
        && (upper || lower(text.get(1..).unwrap_or_default()))
}

/// Whether letters and digits look as if nobody had chosen them.
pub(super) fn is_random(text: &[u8]) -> bool {
    let lower = text.iter().any(u8::is_ascii_lowercase);
    let upper = text.iter().skip(1).any(u8::is_ascii_uppercase);
    let digit = has_digit(text);
    let mixed = (lower || upper) && digit || lower && upper;
    text.len() >= 8 && mixed || text.len() >= 20 && (digit || !text.contains(&b'-'))
}

/// The password in a URL, or what stands there alone and looks like a token.
fn in_url(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    if !look.starts_with(at, b"://") {
        return None;
    }
    let start = at + 3;
    let is = |byte: &u8| {
        !matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'\\') && *byte > b' '
    };
    let authority = &look.bytes[start..start + look.run(start, is)];
    let user = &authority[..authority.iter().rposition(|byte| *byte == b'@')?];
    let secret = match user.iter().position(|byte| *byte == b':') {
        Some(colon) => start + colon + 1..start + user.len(),
        None if user.len() >= 16 && is_random(user) => start..start + user.len(),
        None => return None,
    };
    (!is_masked(&look.bytes[secret.clone()])).then_some(secret)
}

/// Addresses behind which every character is a credential.
const HOOKS: &[&[u8]] = &[
    b"hooks.slack.com/services",
    b"hooks.slack.com/workflows",
    b"hooks.slack.com/triggers",
    b"discord.com/api/webhooks",
    b"discordapp.com/api/webhooks",
    b"webhook.office.com/webhookb2",
];

/// The rest of a webhook's address.
fn hook(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    if !matches!(look.before(at)?, b's' | b'2')
        || !HOOKS.iter().any(|hook| look.ends_with(at, hook))
    {
        return None;
    }
    let is = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~/?=&%+:@!$*".contains(byte);
    let length = look.run(at + 1, is);
    let path = &look.bytes[at + 1..at + 1 + length];
    (length >= 8 && !is_masked(path)).then_some(at + 1..at + 1 + length)
}

pub(super) fn is_value(byte: &u8) -> bool {
    *byte > b' '
        && !matches!(byte, b',' | b';' | b'&' | b')' | b']' | b'}' | b'"' | b'\'' | b'<' | b'>')
}

pub(super) fn has_digit(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit)
}

/// Whether it was redacted before, or is nothing.
pub(super) fn is_masked(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte == b'*')
        || text.strip_prefix(b"sha256:").is_some_and(|hash| hash.len() == 16)
}
