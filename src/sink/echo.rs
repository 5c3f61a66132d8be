//! What an answer repeats of its request: receivers put the path that they do not know, or the
//! token that they do not accept, into their error pages. Masked before anything keeps the answer.

use super::spelling::spellings;
use hyper::{HeaderMap, Uri};
use std::collections::BTreeSet;
use std::ops::Range;

/// Shorter pieces of a URL or of a header are no secrets, and stand in ordinary words.
const SHORTEST: usize = 8;

/// What is a secret for certain is masked though it is this short; so is a piece that only its
/// escapes make longer.
const SHORTEST_SECRET: usize = 4;

/// The text with what it repeats as `***`, however it is escaped there or was in the request: of
/// path, query, sensitive headers and the body's variables; and of what the configuration calls a
/// secret, sent or not.
pub(super) fn mask<'a>(
    text: &str,
    target: &'a Uri,
    headers: &'a HeaderMap,
    variables: impl Iterator<Item = &'a str>,
    secrets: impl Iterator<Item = &'a str>,
) -> String {
    let query = target.query().unwrap_or_default();
    // As a form has it, `+` is a blank.
    let form = query.replace('+', " ");
    let values = headers.values().filter(|value| value.is_sensitive());
    let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    let queries = [query, &form];
    let pieces = target.path().split('/').chain([target.path()]).chain(queries);
    // Of `sha256=…` the digits alone, of `v1,… v1,…` each signature.
    let pieces = pieces
        .chain(queries.iter().flat_map(|query| query.split(['&', '='])))
        .chain(values.iter().flat_map(|value| value.split_whitespace()))
        .chain(values.iter().flat_map(|value| value.split([' ', ',', '='])))
        .filter(|piece| piece.len() >= SHORTEST);
    // Of `Bearer …` the token alone.
    let credentials = values.iter().filter_map(|value| Some(value.split_once(' ')?.1));
    let certain = values.iter().copied().chain(credentials).chain(variables).chain(secrets);
    let repeated: BTreeSet<Vec<u8>> = pieces
        .flat_map(spellings)
        .chain(certain.flat_map(spellings))
        .map(|spelling| spelling.bytes)
        .filter(|bytes| bytes.len() >= SHORTEST_SECRET)
        .collect();
    let mut found = Vec::new();
    for spelling in spellings(text) {
        for bytes in &repeated {
            found.extend(spelling.find(bytes));
        }
    }
    without(text, found)
}

/// The text without these parts of it.
fn without(text: &str, mut parts: Vec<Range<usize>>) -> String {
    parts.sort_by_key(|part| part.start);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for part in parts {
        // An escaped byte may be a part of a character.
        let start = text.floor_char_boundary(part.start);
        if start >= done {
            out.push_str(&text[done..start]);
            out.push_str("***");
        }
        done = done.max(text.ceil_char_boundary(part.end));
    }
    out + &text[done..]
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
            ("not a8c", "not a8c"),
            ("X-Short: h3ad", "X-Short: ***"),
            ("not abc7", "not ***"),
            ("a routing key v4r", "a routing key v4r"),
            ("a pw1 is no password", "a pw1 is no password"),
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
