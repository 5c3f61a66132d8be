//! Tokens that begin with a word and `_` or `-`: which words there are, and what follows them.
//! The shapes are those the platforms give out or that public secret scanners look for.

use super::Look;
use super::secret::is_random;
use super::token::{is_base64, is_hex, is_token, secret_key};
use std::ops::Range;

/// How far a token is looked into before it is believed.
const PEEK: usize = 64;

/// A token's beginning, up to its last `_` or `-`, and how much of what must follow at least.
#[derive(Debug, Clone, Copy)]
struct Shape(&'static [u8], usize, Body);

/// What a token is made of behind its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    /// Letters and digits.
    Plain,
    /// Hexadecimal digits.
    Hex,
    /// Letters and digits with `_` and `-` between them; no row of words.
    Token,
    /// The same, beginning with these.
    Begun(&'static [u8]),
    /// A token, and parts of it behind dots.
    Parts,
    /// Base64 in either alphabet; no row of words.
    Base64,
}

use Body::{Base64, Begun, Hex, Parts, Plain, Token};

/// The shapes whose `_` stands behind this byte.
fn underscored(before: u8) -> &'static [Shape] {
    match before {
        b'1' => {
            &[Shape(b"dop_v1_", 60, Hex), Shape(b"doo_v1_", 60, Hex), Shape(b"dor_v1_", 60, Hex)]
        }
        b'8' => &[Shape(b"r8_", 36, Plain)],
        b'a' => &[Shape(b"glsa_", 32, Plain), Shape(b"shpca_", 32, Hex), Shape(b"shppa_", 32, Hex)],
        b'c' => &[Shape(b"whsec_", 16, Base64), Shape(b"glc_", 32, Base64)],
        b'd' => &[Shape(b"figd_", 40, Token)],
        b'e' => &[Shape(b"sk_live_", 16, Plain), Shape(b"rk_live_", 16, Plain)],
        b'f' => &[Shape(b"hf_", 30, Plain)],
        b'h' => &[Shape(b"lin_oauth_", 40, Plain), Shape(b"pscale_oauth_", 32, Parts)],
        b'i' => &[Shape(b"lin_api_", 32, Plain)],
        b'k' => &[Shape(b"gsk_", 40, Plain), Shape(b"lsv2_sk_", 32, Hex)],
        b'm' => &[Shape(b"npm_", 30, Plain)],
        b'n' => &[Shape(b"ntn_", 40, Plain), Shape(b"pscale_tkn_", 32, Parts)],
        b'o' => &[Shape(b"gho_", 30, Plain)],
        b'p' => &[Shape(b"ghp_", 30, Plain), Shape(b"nfp_", 36, Plain), Shape(b"sbp_", 40, Hex)],
        b'r' => &[Shape(b"ghr_", 30, Plain)],
        b's' => &[
            Shape(b"ghs_", 30, Plain),
            Shape(b"shpss_", 32, Hex),
            Shape(b"sntrys_", 40, Base64),
            Shape(b"rubygems_", 48, Hex),
        ],
        b't' => &[
            Shape(b"github_pat_", 22, Token),
            Shape(b"shpat_", 32, Hex),
            Shape(b"dckr_pat_", 20, Token),
            Shape(b"dckr_oat_", 20, Token),
            Shape(b"sk_test_", 16, Plain),
            Shape(b"rk_test_", 16, Plain),
            Shape(b"sb_secret_", 20, Token),
            Shape(b"lsv2_pt_", 32, Hex),
        ],
        b'u' => &[Shape(b"ghu_", 30, Plain), Shape(b"sntryu_", 60, Hex)],
        b'w' => &[Shape(b"pscale_pw_", 32, Parts)],
        _ => &[],
    }
}

/// The shapes whose `-` stands behind this byte.
fn dashed(before: u8) -> &'static [Shape] {
    match before {
        b'A' => &[Shape(b"NRRA-", 40, Hex)],
        b'I' => &[Shape(b"NRII-", 30, Token)],
        b'K' => &[Shape(b"NRAK-", 27, Plain), Shape(b"PMAK-", 24, Hex)],
        b'T' => &[Shape(b"CFPAT-", 40, Token)],
        b'U' => &[Shape(b"HRKU-", 50, Begun(b"AA"))],
        b'X' => &[Shape(b"GOCSPX-", 24, Token)],
        b'Y' => &[Shape(b"AGE-SECRET-KEY-", 50, Begun(b"1"))],
        b'a' => &[Shape(b"xoxa-", 10, Token)],
        b'b' => &[Shape(b"xoxb-", 10, Token)],
        b'c' => &[Shape(b"xoxc-", 10, Token)],
        b'd' => &[Shape(b"xoxd-", 10, Token)],
        b'e' => &[Shape(b"xoxe-", 10, Token)],
        b'i' => &[Shape(b"pypi-", 30, Begun(b"AgE")), Shape(b"xai-", 60, Plain)],
        b'l' => &[Shape(b"pul-", 40, Hex)],
        b'o' => &[Shape(b"xoxo-", 10, Token)],
        b'p' => &[
            Shape(b"xoxp-", 10, Token),
            Shape(b"xapp-", 10, Token),
            Shape(b"sq0csp-", 40, Token),
            Shape(b"sq0atp-", 22, Token),
        ],
        b'r' => &[Shape(b"xoxr-", 10, Token)],
        b's' => &[Shape(b"xoxs-", 10, Token), Shape(b"gloas-", 60, Hex)],
        b't' => &[
            Shape(b"glpat-", 20, Parts),
            Shape(b"gldt-", 20, Parts),
            Shape(b"glrt-", 20, Parts),
            Shape(b"glft-", 20, Parts),
            Shape(b"glcbt-", 20, Parts),
            Shape(b"glptt-", 40, Hex),
            Shape(b"glimt-", 20, Token),
            Shape(b"glsoat-", 20, Token),
            Shape(b"glagent-", 40, Token),
        ],
        b'x' => &[Shape(b"pplx-", 40, Plain)],
        _ => &[],
    }
}

/// Whether a shape's `_` or `-` may stand behind this byte.
#[inline]
pub(super) fn may_stand(before: u8, separator: u8) -> bool {
    match separator {
        b'-' => before.is_ascii_alphabetic(),
        _ => matches!(
            before,
            b'1' | b'8' | b'a' | b'c'..=b'f' | b'h' | b'i' | b'k' | b'm'..=b'p' | b'r'..=b'u' | b'w'
        ),
    }
}

/// A token whose beginning ends with the `_` or `-` that stands here.
pub(super) fn find(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let before = *look.bytes.get(at.checked_sub(1)?)?;
    let shapes = match look.bytes[at] {
        b'-' if before == b'k' && look.ends_with_exactly(at, b"sk") => {
            return secret_key(look, at);
        }
        b'-' => dashed(before),
        _ => underscored(before),
    };
    let second = *look.bytes.get(at.checked_sub(2)?)?;
    // One byte tells nearly all of them apart.
    let is_shape = |Shape(prefix, ..): &&Shape| {
        prefix[prefix.len() - 3] == second && look.ends_with_exactly(at + 1, prefix)
    };
    let Shape(prefix, least, kind) = *shapes.iter().find(is_shape)?;
    let (start, body) = (at + 1 - prefix.len(), at + 1);
    let is: fn(&u8) -> bool = match kind {
        Plain => u8::is_ascii_alphanumeric,
        Hex => is_hex,
        Token | Begun(_) | Parts => is_token,
        Base64 => |byte| is_token(byte) || is_base64(byte),
    };
    let begun = !matches!(kind, Begun(then) if !look.starts_with(body, then));
    if !begun || !look.begins_word(start) || look.are(body, least, is).is_none() {
        return None;
    }
    let head = &look.bytes[body..look.bytes.len().min(body + PEEK)];
    let head = &head[..head.iter().position(|byte| !is(byte)).unwrap_or(head.len())];
    if !matches!(kind, Plain | Hex) && !is_random(head) {
        return None;
    }
    let end = match kind {
        Base64 => body + look.run(body, |byte| is(byte) || *byte == b'='),
        Parts => {
            let end = body + look.run(body, |byte| is(byte) || *byte == b'.');
            // A dot at the end is the sentence's.
            end - look.bytes[body..end].iter().rev().take_while(|byte| **byte == b'.').count()
        }
        _ => look.token_end(body),
    };
    Some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shape_stands_where_it_is_looked_for() {
        let mut known = std::collections::BTreeSet::new();
        let rows = |shapes: fn(u8) -> &'static [Shape], last: u8| {
            (0..=u8::MAX)
                .flat_map(move |byte| shapes(byte).iter().map(move |row| (byte, last, row)))
        };
        for (before, last, shape) in rows(underscored, b'_').chain(rows(dashed, b'-')) {
            let Shape(prefix, least, _) = shape;
            assert!(prefix.ends_with(&[before, last]), "{shape:?} behind {}", before as char);
            assert!(*least >= 10, "{shape:?}");
            assert!(may_stand(before, last), "{shape:?}");
            assert!(known.insert(prefix), "twice: {shape:?}");
        }
    }
}
