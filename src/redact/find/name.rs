//! Names whose values are secrets: `password`, `X-Api-Key`, `clientSecret`.

/// How such names end; case, `-`, `_`, `.` and blanks do not count.
const ENDINGS: &[&[u8]] = &[
    b"password",
    b"passwd",
    b"pwd",
    b"dbpass",
    b"passphrase",
    b"passcode",
    b"secret",
    b"token",
    b"apikey",
    b"privatekey",
    b"secretkey",
    b"accesskey",
    b"signingkey",
    b"encryptionkey",
    b"authorization",
    b"cookie",
    b"credentials",
];

/// Tokens that open nothing: they lead to the next page.
const HARMLESS: &[&[u8]] = &[b"page", b"next", b"continuation", b"sync"];

/// Whether what bears this name is a secret.
pub(in crate::redact) fn is_secret(name: &[u8]) -> bool {
    let Some(last) = name.last().map(u8::to_ascii_lowercase) else { return false };
    if !matches!(last, b'd' | b'e' | b'n' | b's' | b't' | b'y') {
        return false;
    }
    ENDINGS.iter().filter(|ending| ending.last() == Some(&last)).any(|ending| {
        without(name, ending).is_some_and(|rest| {
            *ending != b"token" || !HARMLESS.iter().any(|word| without(rest, word).is_some())
        })
    })
}

/// Whether this names the header that carries cookies.
pub(super) fn is_cookie(name: &[u8]) -> bool {
    without(name, b"cookie").is_some()
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
