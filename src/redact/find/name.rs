//! Names whose values are secrets: `password`, `X-Api-Key`, `clientSecret`.

/// How such names end, by their last letter; case, `-`, `_`, `.` and blanks do not count.
fn endings(last: u8) -> &'static [&'static [u8]] {
    match last.to_ascii_lowercase() {
        b'd' => &[b"password", b"passwd", b"pwd"],
        b'e' => &[b"passphrase", b"passcode", b"cookie"],
        b'n' => &[b"token", b"authorization"],
        b's' => &[b"dbpass", b"credentials"],
        b't' => &[b"secret"],
        b'y' => {
            &[b"apikey", b"privatekey", b"secretkey", b"accesskey", b"signingkey", b"encryptionkey"]
        }
        _ => &[],
    }
}

/// Tokens that open nothing: they lead to the next page.
const HARMLESS: &[&[u8]] = &[b"page", b"next", b"continuation", b"sync"];

/// Whether what bears this name is a secret.
pub(in crate::redact) fn is_secret(name: &[u8]) -> bool {
    let endings = name.last().map_or(&[][..], |last| endings(*last));
    endings.iter().any(|ending| {
        without(name, ending).is_some_and(|rest| {
            *ending != b"token" || !HARMLESS.iter().any(|word| without(rest, word).is_some())
        })
    })
}

/// Whether this names the header that carries cookies.
pub(super) fn is_cookie(name: &[u8]) -> bool {
    without(name, b"cookie").is_some()
}

/// Whether this names the header that carries credentials.
pub(super) fn is_authorization(name: &[u8]) -> bool {
    without(name, b"authorization").is_some()
}

/// What stands before the ending.
fn without<'a>(name: &'a [u8], ending: &[u8]) -> Option<&'a [u8]> {
    let mut rest = name;
    for wanted in ending.iter().rev() {
        loop {
            let (last, before) = rest.split_last()?;
            rest = before;
            if last.eq_ignore_ascii_case(wanted) {
                break;
            }
            if !matches!(last, b'-' | b'_' | b'.' | b' ') {
                return None;
            }
        }
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::is_secret;

    #[test]
    fn names_of_secrets_and_near_misses() {
        for (name, secret) in [
            ("password", true),
            ("Password", true),
            ("db_password", true),
            ("user.pass-word", true),
            ("PGPASSWORD", true),
            ("api_key", true),
            ("X-API-Key", true),
            ("apiKey", true),
            ("access_token", true),
            ("clientSecret", true),
            ("Authorization", true),
            ("Proxy-Authorization", true),
            ("Set-Cookie", true),
            ("aws_secret_access_key", true),
            ("private key", true),
            ("token", true),
            ("tokens", false),
            ("max_tokens", false),
            ("token_count", false),
            ("token_type", false),
            ("next_page_token", false),
            ("nextToken", false),
            ("password_changed_at", false),
            ("password_policy", false),
            ("secretary", false),
            ("key", false),
            ("monkey", false),
            ("public_key", false),
            ("keyboard", false),
            ("author", false),
            ("", false),
            ("-", false),
        ] {
            assert_eq!(is_secret(name.as_bytes()), secret, "{name}");
        }
    }
}
