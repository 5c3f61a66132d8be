//! What an answer repeats of its request: receivers put the path that they do not know, or the
//! token that they do not accept, into their error pages. Masked before anything keeps the answer.

use hyper::{HeaderMap, Uri};

/// Shorter pieces are no secrets, and stand in ordinary words.
const SHORTEST: usize = 8;

/// The text with what it repeats of path, query, configured headers and the body's variables as
/// `***`.
pub(super) fn mask<'a>(
    text: &str,
    target: &'a Uri,
    headers: &'a HeaderMap,
    variables: impl Iterator<Item = &'a str>,
) -> String {
    let query = target.query().unwrap_or_default();
    let values = headers.values().filter(|value| value.is_sensitive());
    let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    let pieces = target.path().split('/').chain(query.split(['&', '=']));
    let whole = [target.path(), query].into_iter().chain(values.iter().copied());
    let mut secrets: Vec<&str> = pieces
        .chain(values.iter().flat_map(|value| value.split_whitespace()))
        .chain(whole)
        .chain(variables)
        .filter(|secret| secret.len() >= SHORTEST)
        .collect();
    // The longest first: what is part of another must not break it up.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn what_a_receiver_repeats_is_masked() {
        let mut headers = HeaderMap::new();
        let mut token = HeaderValue::from_static("Bearer s3cret-token");
        token.set_sensitive(true);
        headers.insert("authorization", token);
        headers.insert("user-agent", HeaderValue::from_static("postrider/0.1.0"));
        let target = "/api/T0/B0SECRETPATH?key=q-secret-q&v=2".parse().unwrap();
        for (text, masked) in [
            ("no /api/T0/B0SECRETPATH here", "no *** here"),
            ("no such webhook: B0SECRETPATH", "no such webhook: ***"),
            ("bad q-secret-q, v=2", "bad ***, v=2"),
            ("unknown token s3cret-token", "unknown token ***"),
            ("unknown: Bearer s3cret-token", "unknown: ***"),
            ("{\"routing_key\":\"v4riable!\"}", "{\"routing_key\":\"***\"}"),
            (
                "Bearer expected by the api for postrider/0.1.0",
                "Bearer expected by the api for postrider/0.1.0",
            ),
        ] {
            assert_eq!(mask(text, &target, &headers, ["v4riable!"].into_iter()), masked, "{text}");
        }
    }
}
