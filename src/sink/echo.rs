//! What an answer repeats of its request: receivers put the path that they do not know, or the
//! token that they do not accept, into their error pages. Masked before anything keeps the answer.

use super::reading::Reading;
use hyper::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use std::ops::Range;

/// Shorter pieces of a URL or of a header are no secrets, and stand in ordinary words.
const SHORTEST: usize = 8;

/// What is a secret for certain is masked though it is this short.
const SHORTEST_SECRET: usize = 4;

/// Layers of escapes that are looked behind: a body repeated as a text in JSON that stands in a page
/// has three.
const LAYERS: usize = 4;

/// The text with what it repeats as `***`, however it is escaped: of path, query, sensitive headers
/// and the body's variables; and of what the configuration calls a secret, sent or not.
pub(super) fn mask<'a>(
    text: &str,
    target: &'a Uri,
    headers: &'a HeaderMap,
    variables: impl Iterator<Item = &'a str>,
    secrets: impl Iterator<Item = &'a str>,
) -> String {
    let query = target.query().unwrap_or_default();
    let values = headers.values().filter(|value| value.is_sensitive());
    let values: Vec<_> =
        values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok()).collect();
    let pieces = target.path().split('/').chain(query.split(['&', '=']));
    let whole = [target.path(), query].into_iter();
    // Of `sha256=…` the digits alone, of `v1,… v1,…` each signature.
    let parts = values.iter().flat_map(|value| value.split([' ', ',', '=']));
    let repeated = pieces
        .chain(whole)
        .flat_map(written)
        .chain(values.iter().flat_map(|value| value.split_whitespace()).map(Cow::Borrowed))
        .chain(parts.map(Cow::Borrowed))
        .filter(|piece| piece.len() >= SHORTEST);
    // Of `Bearer …` the token alone.
    let credentials = values.iter().filter_map(|value| Some(value.split_once(' ')?.1));
    let certain = values.iter().copied().chain(credentials).chain(variables).chain(secrets);
    let certain = certain.filter(|secret| secret.len() >= SHORTEST_SECRET).map(Cow::Borrowed);
    let repeated = repeated.chain(certain);
    let repeated: Vec<_> = repeated.collect();
    let mut found: Vec<Range<usize>> = Vec::new();
    let innermost = read_through(text, |read| {
        found.extend(repeated.iter().flat_map(|piece| read.find(piece.as_bytes())));
    });
    for piece in &repeated {
        let piece = read_through(piece, |_| {});
        if piece.bytes().len() >= SHORTEST_SECRET {
            found.extend(innermost.find(piece.bytes()));
        }
    }
    without(text, found)
}

/// Shows every layer of a text; returns what is left when all escapes are gone.
fn read_through(text: &str, mut look: impl FnMut(&Reading)) -> Reading {
    let mut read = Reading::new(text);
    look(&read);
    for _ in 0..LAYERS {
        let Some(inner) = read.unescaped() else { break };
        look(&inner);
        read = inner;
    }
    read.without_backslashes()
}

/// What a piece of a URL may be taken for: as it is written, decoded, and decoded as a form's.
fn written(piece: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let decoded = percent_decode_str(piece).decode_utf8().ok();
    let of_form = piece.contains('+').then(|| piece.replace('+', " "));
    let of_form =
        of_form.and_then(|piece| Some(percent_decode_str(&piece).decode_utf8().ok()?.into_owned()));
    [Some(Cow::Borrowed(piece)), decoded, of_form.map(Cow::Owned)].into_iter().flatten()
}

/// The text with `***` in place of these.
fn without(text: &str, mut ranges: Vec<Range<usize>>) -> String {
    ranges.sort_by_key(|range| range.start);
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    let mut ranges = ranges.into_iter().peekable();
    while let Some(range) = ranges.next() {
        // What is part of another must not break it up.
        let mut end = range.end;
        while let Some(next) = ranges.next_if(|next| next.start <= end) {
            end = end.max(next.end);
        }
        let start = text.floor_char_boundary(range.start).max(from);
        masked.push_str(&text[from..start]);
        masked.push_str("***");
        from = text.ceil_char_boundary(end);
    }
    masked.push_str(&text[from..]);
    masked
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn what_a_receiver_repeats_is_masked() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer s3cret-token"),
            ("x-hub-signature-256", "sha256=757107ea0eb2509f"),
            ("x-short", "h3ad"),
            ("x-shorter", "a8c"),
            ("proxy-authorization", "Token abc7"),
            ("webhook-signature", "v1,g0hM9SsE/OTPJTGt= v1,tZ1I4/hDygAJgO5T="),
        ] {
            let mut value = HeaderValue::from_static(value);
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        headers.insert("user-agent", HeaderValue::from_static("postrider/0.1.0"));
        let target = "/api/T0/B0SECRETPATH?key=q-secret-q&v=2".parse().unwrap();
        for (text, masked) in [
            ("no /api/T0/B0SECRETPATH here", "no *** here"),
            ("no such webhook: B0SECRETPATH", "no such webhook: ***"),
            ("bad q-secret-q, v=2", "bad ***, v=2"),
            ("unknown token s3cret-token", "unknown token ***"),
            ("unknown: Bearer s3cret-token", "unknown: ***"),
            ("{\"routing_key\":\"v4riable!\"}", "{\"routing_key\":\"***\"}"),
            ("{\"path\":\"\\/api\\/T0\\/B0SECRETPATH\"}", "{\"path\":\"***\"}"),
            ("not 757107ea0eb2509f", "not ***"),
            ("not tZ1I4/hDygAJgO5T=", "not ***="),
            ("{\"not\":\"tZ1I4\\/hDygAJgO5T\"}", "{\"not\":\"***\"}"),
            ("the password pw12 is wrong", "the password *** is wrong"),
            ("a pw1 is no password", "a pw1 is no password"),
            ("not a8c", "not a8c"),
            ("X-Short: h3ad", "X-Short: ***"),
            ("not abc7", "not ***"),
            ("a routing key v4r", "a routing key v4r"),
            (
                "Bearer expected by the api for postrider/0.1.0",
                "Bearer expected by the api for postrider/0.1.0",
            ),
        ] {
            let (variables, secrets) = (["v4riable!"].into_iter(), ["pw12", "pw1"].into_iter());
            assert_eq!(mask(text, &target, &headers, variables, secrets), masked, "{text}");
        }
    }

    #[test]
    fn what_is_repeated_in_other_signs_is_masked() {
        let target = "/T0/%C3%BC%22s%20cret?w=a%2Bb+c%2Fdefg".parse().unwrap();
        for (text, masked) in [
            ("no ü\"s cret", "no ***"),
            ("no \\u00fc\\\"s cret", "no ***"),
            ("no \\\\u00fc\\\\\\\"s cret", "no ***"),
            ("no &#252;&quot;s cret, é", "no ***, é"),
            ("no %c3%bc%22s%20cret", "no ***"),
            ("no a%2Bb+c%2Fdefg or a+b c/defg", "no *** or ***"),
            ("no v4riable%21é", "no ***é"),
            ("v4riable!v4riable! \"s3cret\\", "*** \"***"),
            ("\"s3cret\\\\\"", "\"***\""),
            ("&quot;q\\&quot;uote\\\\&quot;", "&quot;***\\\\&quot;"),
        ] {
            let (variables, secrets) =
                (["v4riable!"].into_iter(), ["s3cret\\", "q\"uote\\"].into_iter());
            assert_eq!(
                mask(text, &target, &HeaderMap::new(), variables, secrets),
                masked,
                "{text}"
            );
        }
    }

    #[test]
    fn no_other_spelling_hides_what_is_repeated() {
        let target: Uri =
            "/hook/p%2Fath%20s3cret?sig=Zm9v%2Bbar%2F9%3D&to=a+b+c+d+e".parse().unwrap();
        let secret = r#"k3y&S3cr3t"V4<l>u/e'\é"#;
        let mask = |text: &str| {
            mask(text, &target, &HeaderMap::new(), [].into_iter(), [secret].into_iter())
        };
        for text in [
            "Zm9v%2Bbar%2F9%3D",
            "Zm9v%2bbar%2f9%3d",
            "Zm9v+bar/9=",
            r"Zm9v+bar\/9=",
            r"Zm9v\u002Bbar\u002f9\u003d",
            "Zm9v&#43;bar&#x2F;9&#61;",
            "Zm9v%252Bbar%252F9%253D",
            "p/ath s3cret",
            "a b c d e",
            "a%20b%20c%20d%20e",
            secret,
            r#"k3y\u0026S3cr3t\"V4\u003cl\u003eu\/e\u0027\\\u00e9"#,
            r#"k3y&S3cr3t\"V4<l>u/e'\\é"#,
            r#"k3y\\u0026S3cr3t\\\"V4<l>u/e'\\\\é"#,
            r"k3y&amp;S3cr3t&quot;V4&lt;l&gt;u/e&#39;\é",
            r"k3y&amp;S3cr3t&#34;V4&lt;l&gt;u/e&apos;\&#xe9;",
            "k3y%26S3cr3t%22V4%3Cl%3Eu%2Fe%27%5C%C3%A9",
            "k3y%26S3cr3t%22V4%3cl%3eu/e'%5c%c3%a9",
            r#"k3y\x26S3cr3t\"V4\x3cl\x3eu/e\'\\é"#,
        ] {
            assert_eq!(mask(&format!("é {text}, é")), "é ***, é", "{text}");
        }
        for text in [
            "k3y&amp;S3cr3t",
            r"100% of C:\new &c; \u12 \ud800 %C3 &#x110000; &; &",
            "%",
            r"\",
            r"\u+123",
        ] {
            assert_eq!(mask(text), text);
        }
    }

    #[test]
    fn half_a_character_is_masked_whole() {
        let target: Uri = "/%A9abcdefgh".parse().unwrap();
        let masked = mask("éabcdefgh", &target, &HeaderMap::new(), [].into_iter(), [].into_iter());
        assert_eq!(masked, "***");
    }

    proptest::proptest! {
        #[test]
        fn no_answer_breaks_it(
            text in "([%&#\\\\;xu0-9a-f]|é|&amp;){0,40}",
            piece in "(%[0-9A-F]{2}|[a-f0-9]){3,9}",
        ) {
            let target: Uri = format!("/{piece}").parse().unwrap();
            mask(&text, &target, &HeaderMap::new(), [].into_iter(), [piece.as_str()].into_iter());
        }
    }
}
