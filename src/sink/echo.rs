//! What an answer repeats of its request: receivers put the path that they do not know, or the
//! token that they do not accept, into their error pages. Masked before anything keeps the answer.

use hyper::{HeaderMap, Uri};

/// Shorter pieces of a request are no secrets, and stand in ordinary words.
const SHORTEST: usize = 8;

/// What is a secret for certain is masked though it is this short.
const SHORTEST_SECRET: usize = 4;

/// The text with what it repeats as `***`: of path, query, sensitive headers and the body's
/// variables; and of what the configuration calls a secret, sent or not.
pub(super) fn mask<'a>(
    text: &str,
    target: &'a Uri,
    headers: &'a HeaderMap,
    variables: impl Iterator<Item = &'a str>,
    secrets: impl Iterator<Item = &'a str>,
) -> String {
    let query = target.query().unwrap_or_default();
    let values = headers.values().filter(|value| value.is_sensitive());
    let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    let pieces = target.path().split('/').chain(query.split(['&', '=']));
    let whole = [target.path(), query].into_iter().chain(values.iter().copied());
    // Of `sha256=…` the digits alone, of `v1,… v1,…` each signature.
    let parts = values.iter().flat_map(|value| value.split([' ', ',', '=']));
    let mut repeated: Vec<&str> = pieces
        .chain(values.iter().flat_map(|value| value.split_whitespace()))
        .chain(parts)
        .chain(whole)
        .chain(variables)
        .filter(|piece| piece.len() >= SHORTEST)
        .chain(secrets.filter(|secret| secret.len() >= SHORTEST_SECRET))
        .collect();
    // The longest first: what is part of another must not break it up.
    repeated.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    repeated.dedup();
    repeated.into_iter().fold(text.to_owned(), |text, piece| {
        let text = text.replace(piece, "***");
        // Many JSON writers put a backslash before a slash.
        if piece.contains('/') { text.replace(&piece.replace('/', "\\/"), "***") } else { text }
    })
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
            (
                "Bearer expected by the api for postrider/0.1.0",
                "Bearer expected by the api for postrider/0.1.0",
            ),
        ] {
            let (variables, secrets) = (["v4riable!"].into_iter(), ["pw12", "pw1"].into_iter());
            assert_eq!(mask(text, &target, &headers, variables, secrets), masked, "{text}");
        }
    }
}
