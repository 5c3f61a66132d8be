//! Tokens told by how they begin: keys of clouds and platforms, JWT, private keys.

use super::Look;
use std::ops::Range;

/// How far a token is looked into before it is believed.
const PEEK: usize = 64;

/// A token whose beginning ends with the `_` or `-` that stands here.
pub(super) fn prefixed(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let pair = (at.checked_sub(2).map(|two| look.bytes[two])?, look.bytes[at - 1]);
    let candidates: &[(&[u8], usize)] = match (pair, look.bytes[at]) {
        ((b'h', b'p' | b'o' | b'u' | b's' | b'r'), b'_') => {
            &[(b"ghp_", 30), (b"gho_", 30), (b"ghu_", 30), (b"ghs_", 30), (b"ghr_", 30)]
        }
        ((b'a', b't'), b'_') => &[(b"github_pat_", 22), (b"shpat_", 32)],
        ((b'v', b'e'), b'_') => &[(b"sk_live_", 16), (b"rk_live_", 16)],
        ((b's', b't'), b'_') => &[(b"sk_test_", 16), (b"rk_test_", 16)],
        ((b'p', b'm'), b'_') => &[(b"npm_", 30)],
        ((b'e', b'c'), b'_') => &[(b"whsec_", 16)],
        ((b'h', b'f'), b'_') => &[(b"hf_", 30)],
        ((b'v', b'1'), b'_') => &[(b"dop_v1_", 60)],
        ((b'a', b't'), b'-') => &[(b"glpat-", 20)],
        ((b'x', b'b' | b'p' | b'a' | b'r' | b's' | b'e' | b'o'), b'-') => &[
            (b"xoxb-", 10),
            (b"xoxp-", 10),
            (b"xoxa-", 10),
            (b"xoxr-", 10),
            (b"xoxs-", 10),
            (b"xoxe-", 10),
            (b"xoxo-", 10),
        ],
        ((b'p', b'p'), b'-') => &[(b"xapp-", 10)],
        ((b'p', b'i'), b'-') => &[(b"pypi-", 32)],
        ((b's', b'k'), b'-') => return secret_key(look, at),
        _ => return None,
    };
    let (prefix, least) =
        candidates.iter().find(|(prefix, _)| look.ends_with_exactly(at + 1, prefix))?;
    let start = at + 1 - prefix.len();
    (look.begins_word(start) && look.is_long(at + 1, *least)).then(|| start..look.token_end(at + 1))
}

/// `sk-…`: random letters and digits, or a platform's name before them.
fn secret_key(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let start = at - 2;
    if !look.begins_word(start) || look.before(start) == Some(b'-') {
        return None;
    }
    let named = [&b"ant-"[..], b"proj-", b"svcacct-", b"admin-", b"or-v1-"];
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

/// An id of an AWS key (with which its secret is found) or a Google API key.
pub(super) fn cloud(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    if !matches!(look.bytes.get(at + 1), Some(b'K' | b'S' | b'I')) || !look.begins_word(at) {
        return None;
    }
    let exactly = |length: usize, is: fn(&u8) -> bool| {
        let body = look.bytes.get(at + 4..at + 4 + length)?;
        let end = at + 4 + length;
        (body.iter().all(is) && look.ends_word(end)).then_some(at..end)
    };
    if look.starts_with(at, b"AKIA") || look.starts_with(at, b"ASIA") {
        return exactly(16, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    }
    if look.starts_with(at, b"AIza") {
        return exactly(35, is_token);
    }
    None
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
    fn ends_with_exactly(&self, at: usize, prefix: &[u8]) -> bool {
        self.bytes[..at].ends_with(prefix)
    }

    fn is_long(&self, at: usize, least: usize) -> bool {
        let body = self.bytes.get(at..at + least);
        body.is_some_and(|body| body.iter().all(is_token))
    }

    fn token_end(&self, at: usize) -> usize {
        at + self.run(at, is_token)
    }
}

pub(super) fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}
