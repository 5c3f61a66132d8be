//! Tokens told by their own shape: keys of clouds and platforms, JWT, private keys. Those that
//! begin with a word and `_` or `-` stand in a list of their own, `prefix`.

use super::Look;
use super::secret::{has_digit, is_random};
use std::ops::Range;

/// How far a token is looked into before it is believed.
const PEEK: usize = 64;

/// `sk-…`: random letters and digits, or a platform's name before them.
pub(super) fn secret_key(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let start = at - 2;
    if !look.begins_word(start) || look.before(start) == Some(b'-') {
        return None;
    }
    let named = [&b"ant-"[..], b"proj-", b"svcacct-", b"admin-", b"or-v1-", b"lf-"];
    let long = named
        .iter()
        .any(|name| look.starts_with(at + 1, name) && look.is_long(at + 1 + name.len(), 20));
    let body = &look.bytes[at + 1..look.bytes.len().min(at + 1 + PEEK)];
    let plain = body.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let random = plain >= 20
        && body[..plain].iter().any(u8::is_ascii_digit)
        && body[..plain].iter().any(u8::is_ascii_alphabetic);
    (long || random).then(|| start..look.token_end(at + 1))
}

/// What begins with an `A`: an id of an AWS key (with which its secret is found), a key of Amazon
/// Bedrock, a Google API key, a token of Atlassian or JFrog.
pub(super) fn cloud(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    if !look.begins_word(at) {
        return None;
    }
    let begins = |prefixes: &[&[u8]]| prefixes.iter().any(|prefix| look.starts_with(at, prefix));
    let exactly = |length: usize, is: fn(&u8) -> bool| {
        let body = look.bytes.get(at + 4..at + 4 + length)?;
        let end = at + 4 + length;
        (body.iter().all(is) && look.ends_word(end)).then_some(at..end)
    };
    let long = |prefix: usize, least: usize, is: fn(&u8) -> bool| {
        let start = at + prefix;
        let whole = look.are(start, least, is).is_some_and(is_random);
        whole.then(|| at..start + look.run(start, |byte| is(byte) || *byte == b'='))
    };
    if begins(&[b"AKIA", b"ASIA", b"ABIA", b"ACCA"]) {
        exactly(16, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    } else if begins(&[b"AIza"]) {
        exactly(35, is_token)
    } else if begins(&[b"ATATT3", b"ATCTT3"]) {
        long(6, 32, is_token)
    } else if begins(&[b"ATBB"]) {
        exactly(32, u8::is_ascii_alphanumeric).filter(|found| has_digit(&look.bytes[found.clone()]))
    } else if begins(&[b"AKCp"]) {
        long(4, 60, u8::is_ascii_alphanumeric)
    } else if begins(&[b"ABSK"]) {
        long(4, 100, is_base64)
    } else {
        None
    }
}

/// A token whose first part ends with the dot that stands here: of Google (`ya29.`), Vault,
/// SendGrid, Terraform, Dynatrace, or a Discord bot's.
pub(super) fn dotted(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let upper = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    let begins = |length: usize| {
        let start = at.checked_sub(length).filter(|start| *start >= look.floor)?;
        look.begins_word(start).then_some((start, &look.bytes[start..at]))
    };
    // A part behind a dot of so many bytes.
    let part = |from: usize, least: usize| {
        look.bytes.get(from) == Some(&b'.') && look.are(from + 1, least, is_token).is_some()
    };
    let ends = |end: usize| look.ends_word(end).then_some(end);
    if let Some((start, b"ya29")) = begins(4) {
        return part(at, 20).then(|| start..look.token_end(at + 1));
    }
    if let Some((start, b"hvs" | b"hvb" | b"hvr")) = begins(3) {
        let random = look.are(at + 1, 20, is_token).is_some_and(is_random);
        return random.then(|| start..look.token_end(at + 1));
    }
    if let Some((start, b"SG")) = begins(2) {
        return (part(at, 22) && part(at + 23, 43)).then(|| start..look.token_end(at + 24));
    }
    if let Some((start, [b'd', b't', b'0', b'a'..=b'z', b'0'..=b'9', b'0'..=b'9'])) = begins(6) {
        let first = look.are(at + 1, 24, upper).is_some();
        let second = part(at + 25, 64) && look.are(at + 26, 64, upper).is_some();
        return (first && second).then_some(()).and_then(|()| Some(start..ends(at + 90)?));
    }
    if look.ends_with_exactly(at, b".atlasv1") {
        let (start, id) = begins(14 + b".atlasv1".len())?;
        let whole = id[..14].iter().all(u8::is_ascii_alphanumeric) && part(at, 60);
        return whole.then(|| start..look.token_end(at + 1));
    }
    bot(look, at)
}

/// A Discord bot's token: its id in base64, a time, a signature.
fn bot(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    if look.bytes.get(at + 7) != Some(&b'.') || look.are(at + 1, 6, is_token).is_none() {
        return None;
    }
    let before = &look.bytes[look.floor.max(at.saturating_sub(29))..at];
    let length = before.iter().rev().take_while(|byte| is_token(byte)).count();
    let (start, id) = (at - length, &look.bytes[at - length..at]);
    let random = |text: &[u8]| {
        has_digit(text)
            && text.iter().any(u8::is_ascii_lowercase)
            && text.iter().any(u8::is_ascii_uppercase)
    };
    let known = (23..=28).contains(&length) && matches!(id[0], b'M' | b'N' | b'O') && random(id);
    let signed = look.are(at + 8, 27, is_token).is_some_and(random);
    (known && signed).then(|| start..look.token_end(at + 8))
}

/// A key that Azure gave out, for storage, messages and batches: what it is for stands in the
/// middle, where the `+` is.
pub(super) fn azure_key(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let (before, after, padding) = match look.bytes.get(at..at + 4)? {
        b"+ASt" | b"+ABa" => (76, 6, &b"=="[..]),
        b"+ASb" | b"+AEh" | b"+ARm" => (33, 6, &b"="[..]),
        _ => return None,
    };
    let start = at.checked_sub(before).filter(|start| *start >= look.floor)?;
    let end = at + 4 + after;
    let key = look.are(start, end - start, is_base64)?;
    (is_random(key) && look.begins_word(start) && look.starts_with(end, padding))
        .then_some(start..end + padding.len())
}

/// A client secret of Microsoft Entra: three characters, a digit, `Q~`, the rest.
pub(super) fn entra_secret(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let is = |byte: &u8| is_token(byte) || matches!(byte, b'.' | b'~');
    let start = at.checked_sub(5).filter(|start| *start >= look.floor)?;
    let known = look.bytes[start..at - 2].iter().all(is)
        && look.bytes[at - 2].is_ascii_digit()
        && look.bytes[at - 1] == b'Q';
    let whole = known && look.begins_word(start) && look.are(at + 1, 31, is).is_some();
    let more = || (at + 32..at + 35).take_while(|at| look.bytes.get(*at).is_some_and(is));
    whole.then(|| start..at + 32 + more().count())
}

/// A Telegram bot's token: its number, a colon, 35 characters.
pub(super) fn telegram(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    if !look.starts_with(at, b":AA") {
        return None;
    }
    let before = &look.bytes[look.floor.max(at.saturating_sub(11))..at];
    let length = before.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let start = at - length;
    // In the address of its API it stands behind `bot`.
    let begins = look.begins_word(start) || look.ends_with(start, b"/bot");
    let end = at + 36;
    let random = look.are(at + 1, 35, is_token).is_some_and(is_random);
    let ends = !look.bytes.get(end).is_some_and(is_token);
    ((8..=10).contains(&length) && begins && random && ends).then_some(start..end)
}

/// A key of Databricks or Twilio: letters, then 32 hexadecimal digits.
pub(super) fn hexadecimal(look: &Look<'_>, at: usize, prefix: &[u8]) -> Option<Range<usize>> {
    let end = at + prefix.len() + 32;
    let known = look.starts_with(at, prefix) && look.begins_word(at);
    let digits = known.then(|| look.are(at + prefix.len(), 32, is_hex))??;
    let random = has_digit(digits) && digits.iter().any(u8::is_ascii_alphabetic);
    (random && look.ends_word(end)).then_some(at..end)
}

/// A refresh token of Google: `1//0` and what follows.
pub(super) fn refresh(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let start = at.checked_sub(1).filter(|start| *start >= look.floor)?;
    let known = look.starts_with(start, b"1//0") && look.begins_word(start);
    (known && look.are(at + 3, 40, is_token).is_some_and(is_random))
        .then(|| start..look.token_end(at + 3))
}

/// A JSON web token: three to five parts.
pub(super) fn jwt(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    // Only where such a part begins: each is then looked at a fixed number of times.
    if !look.starts_with(at, b"eyJ") || look.before(at).is_some_and(|byte| is_token(&byte)) {
        return None;
    }
    let part = |start: usize| look.run(start, is_token);
    let first = part(at);
    let second = at + first + 1;
    let length = part(second);
    let third = second + length + 1;
    let dots =
        look.bytes.get(second - 1) == Some(&b'.') && look.bytes.get(third - 1) == Some(&b'.');
    if !dots || first < 10 || length < 8 {
        return None;
    }
    let mut end = third + part(third);
    for _ in 0..2 {
        let more = if look.bytes.get(end) == Some(&b'.') { part(end + 1) } else { 0 };
        end += if more > 0 { more + 1 } else { 0 };
    }
    Some(at..end)
}

/// A PEM block with a private key; one that is cut off counts to the end.
pub(super) fn private_key(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    if !look.starts_with(at, BEGIN) {
        return None;
    }
    let label = &look.bytes[at + BEGIN.len()..look.bytes.len().min(at + BEGIN.len() + PEEK)];
    let label = &label[..memchr::memmem::find(label, b"-----").unwrap_or(label.len())];
    memchr::memmem::find(label, b"PRIVATE KEY")?;
    let rest = &look.bytes[at..];
    let end = memchr::memmem::find(rest, b"-----END ").map(|end| end + b"-----END ".len());
    let close = end
        .and_then(|end| memchr::memmem::find(&rest[end..], b"-----").map(|close| end + close + 5));
    Some(at..at + close.unwrap_or(rest.len()))
}

impl Look<'_> {
    pub(super) fn ends_with_exactly(&self, at: usize, prefix: &[u8]) -> bool {
        self.bytes[..at].ends_with(prefix)
    }

    /// So many bytes from here, if all of them are such.
    pub(super) fn are(&self, at: usize, length: usize, is: impl Fn(&u8) -> bool) -> Option<&[u8]> {
        self.bytes.get(at..at + length).filter(|body| body.iter().all(is))
    }

    fn is_long(&self, at: usize, least: usize) -> bool {
        self.are(at, least, is_token).is_some()
    }

    pub(super) fn token_end(&self, at: usize) -> usize {
        at + self.run(at, is_token)
    }
}

pub(super) fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

pub(super) fn is_hex(byte: &u8) -> bool {
    byte.is_ascii_hexdigit()
}

pub(super) fn is_base64(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
}
