//! Checks of what proves to a receiver who sends: which keys belong to a type, that secrets are
//! usable (they are never shown), and that no two things set one header.

use super::webhook::FORBIDDEN;
use crate::config::keys::{
    AlgorithmKey, AuthenticationSetting, CredentialKeys, CredentialType, WebhookKeys,
};
use crate::config::report::At;
use crate::config::{Authentication, Credential, Secret};
use crate::signature::{
    Algorithm, Form, Key, Part, Pattern, PatternError, SecretError, StandardSecret, Token,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};

/// The types that a key belongs to.
const KEYS_OF: [(&str, &[CredentialType]); 14] = {
    use CredentialType::*;
    [
        ("token", &[Bearer]),
        ("scheme", &[Bearer]),
        ("username", &[Basic]),
        ("password", &[Basic]),
        ("api_key", &[ApiKey]),
        ("api_key_header", &[ApiKey]),
        ("hmac_secret", &[Hmac, Rampart, RuleForge, GitHub]),
        ("hmac_secrets", &[Hmac, Rampart, RuleForge, GitHub]),
        ("hmac_algorithm", &[Hmac]),
        ("hmac_header", &[Hmac]),
        ("hmac_format", &[Hmac]),
        ("hmac_content", &[Hmac]),
        ("hmac_timestamp_header", &[Hmac]),
        ("secrets", &[StandardWebhooks]),
    ]
};

/// Headers that say what the request is, not who sends it.
const TAKEN: [&str; 4] = ["content-type", "content-encoding", "user-agent", "idempotency-key"];

/// Checks the authentication of a webhook.
pub(super) fn authentication(webhook: &WebhookKeys, at: &At<'_>) -> Authentication {
    let AuthenticationSetting { entries, list } = &webhook.authentication;
    let place = at.key("authentication");
    if *list && entries.is_empty() {
        place.problem("an empty list", "name one, or leave the key out");
    }
    let mut authentication = Authentication::default();
    for (index, keys) in entries.iter().enumerate() {
        let at = if *list { place.index(index) } else { place.clone() };
        if keys.kind == CredentialType::None && entries.len() > 1 {
            at.key("type").problem("`none` stands beside others", "leave it out");
        }
        foreign_keys(keys, &at);
        let Some((credential, secrets)) = credential(keys, webhook, &at) else { continue };
        let earlier = authentication.headers();
        for name in credential.headers().iter().filter(|name| earlier.contains(name)) {
            at.problem(
                format!("another one sets the header `{name}` already"),
                "give it another header, or keep one of them",
            );
        }
        authentication.add(credential, secrets.into_iter().map(Secret::new));
    }
    let set = authentication.headers();
    for name in webhook.headers.keys() {
        if set.iter().any(|set| name.eq_ignore_ascii_case(set.as_str())) {
            at.key("headers").key(name).problem(
                "`authentication` sets this header",
                "keep one of the two: leave it out here, or there",
            );
        }
    }
    authentication
}

fn foreign_keys(keys: &CredentialKeys, at: &At<'_>) {
    if at.key("type").is_unknown() {
        return;
    }
    for (key, owners) in KEYS_OF.into_iter().filter(|(_, owners)| !owners.contains(&keys.kind)) {
        let place = at.key(key);
        if place.is_present() {
            let owners: Vec<_> = owners.iter().map(|kind| format!("`{}`", kind.word())).collect();
            place.problem(
                format!("an authentication of type `{}` has no `{key}`", keys.kind.word()),
                format!("leave it out; `{key}` belongs to type {}", owners.join(", ")),
            );
        }
    }
}

/// A proof with its secrets; `None` beside a problem, and where a variable need not be set now.
fn credential(
    keys: &CredentialKeys,
    webhook: &WebhookKeys,
    at: &At<'_>,
) -> Option<(Credential, Vec<String>)> {
    type Ready = fn(Vec<Key>) -> Form;
    let ready: Ready = match keys.kind {
        CredentialType::None => return None,
        CredentialType::Bearer => {
            let token = sent(keys.token.as_deref(), &at.key("token"));
            let scheme = keys.scheme.as_deref().unwrap_or("Bearer");
            let scheme = in_header(scheme, &at.key("scheme"));
            let (token, scheme) = (token?, scheme?);
            return fixed(AUTHORIZATION, &format!("{scheme} {token}"), token);
        }
        CredentialType::Basic => return basic(keys, at),
        CredentialType::ApiKey => {
            let place = at.key("api_key_header");
            let name = header(keys.api_key_header.as_deref().unwrap_or("X-API-Key"), &place);
            let key = sent(keys.api_key.as_deref(), &at.key("api_key"));
            return key.zip(name).and_then(|(key, name)| fixed(name, key, key));
        }
        CredentialType::StandardWebhooks => {
            let (secrets, texts) = standard(keys, &at.key("secrets"))?;
            return Some((Credential::Signed(Form::Standard(secrets)), texts));
        }
        CredentialType::Hmac => return hmac(keys, webhook, at),
        CredentialType::Rampart => Form::rampart,
        CredentialType::RuleForge => Form::ruleforge,
        CredentialType::GitHub => Form::github,
    };
    let (prepared, texts) = hmac_keys(keys, Algorithm::Sha256, at)?;
    Some((Credential::Signed(ready(prepared)), texts))
}

/// A secret that must be there; `None` beside a problem, and where it need not be known now.
fn secret<'a>(text: Option<&'a str>, at: &At<'_>) -> Option<&'a str> {
    match text {
        _ if at.is_unknown() => None,
        None => {
            at.problem("missing key", "add it, best as `${VARIABLE}` or `${file:/path}`");
            None
        }
        Some("") => {
            at.problem("it is empty", "write the secret, or see that its variable has a value");
            None
        }
        Some(text) => Some(text),
    }
}

/// A secret that a header carries as it is.
fn sent<'a>(text: Option<&'a str>, at: &At<'_>) -> Option<&'a str> {
    secret(text, at).and_then(|text| in_header(text, at))
}

fn in_header<'a>(text: &'a str, at: &At<'_>) -> Option<&'a str> {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.trim() == text;
    if !plain || text.is_empty() {
        at.problem(
            "no header can hold it: it is empty, has blanks at an end, a line break or another \
             control character, or is not ASCII",
            "see that it holds the bare text, without a line's end",
        );
        return None;
    }
    Some(text)
}

/// `value` is known to fit into a header.
fn fixed(name: HeaderName, value: &str, secret: &str) -> Option<(Credential, Vec<String>)> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some((Credential::Fixed(name, value), vec![secret.to_owned()]))
}

fn basic(keys: &CredentialKeys, at: &At<'_>) -> Option<(Credential, Vec<String>)> {
    let username = secret(keys.username.as_deref(), &at.key("username"));
    let place = at.key("password");
    // Written as empty it is meant: services take a key as the name of a user without password.
    let blank = place.node().and_then(|node| node.as_scalar());
    let blank = blank.is_some_and(|scalar| scalar.filled.is_none() && scalar.text.is_empty());
    let password = if blank { Some("") } else { secret(keys.password.as_deref(), &place) };
    let (username, password) = (username?, password?);
    for (text, key) in [(username, "username"), (password, "password")] {
        if text.chars().any(char::is_control) {
            at.key(key).problem(
                "it has a line break or another control character",
                "see that it holds the bare text, without a line's end",
            );
            return None;
        }
    }
    if username.contains(':') {
        at.key("username").problem("a user name has no `:`", "put what follows it into `password`");
        return None;
    }
    let value = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
    // Where there is no password, the name is the secret.
    let secret = if password.is_empty() { username } else { password };
    fixed(AUTHORIZATION, &value, secret)
}

/// The name of a header that may carry a secret or a signature.
fn header(name: &str, at: &At<'_>) -> Option<HeaderName> {
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        at.problem("not the name of a header", "use letters, digits and `-`");
        return None;
    };
    let name = header.as_str();
    if FORBIDDEN.contains(&name) || TAKEN.contains(&name) || name.starts_with("x-postrider-") {
        at.problem(format!("`{name}` has a meaning of its own"), "name another header");
        return None;
    }
    Some(header)
}

fn standard(keys: &CredentialKeys, at: &At<'_>) -> Option<(Vec<StandardSecret>, Vec<String>)> {
    const FIX: &str = "write `whsec_` and the base64 of 24 to 64 random bytes, such as \
                       `openssl rand -base64 32` prints";
    let read = |text: &str, at: &At<'_>| match StandardSecret::parse(text) {
        Ok(secret) => Some(secret),
        Err(error) => {
            let asymmetric = error == SecretError::Asymmetric;
            at.problem(
                error.to_string(),
                if asymmetric { "write a secret `whsec_…`" } else { FIX },
            );
            None
        }
    };
    each(keys.secrets.as_deref(), at, read)
}

/// A list of secrets, read one by one, and their texts.
fn each<T>(
    list: Option<&[String]>,
    at: &At<'_>,
    read: impl Fn(&str, &At<'_>) -> Option<T>,
) -> Option<(Vec<T>, Vec<String>)> {
    let list = list.unwrap_or_default();
    if list.is_empty() {
        let message = if at.is_present() { "an empty list" } else { "missing key" };
        at.problem(message, "name the secrets in a list, best as `[\"${VARIABLE}\"]`");
        return None;
    }
    let mut all = Vec::new();
    for (index, text) in list.iter().enumerate() {
        let at = at.index(index);
        // Each one is read, so that each has its own problem.
        all.extend(secret(Some(text), &at).and_then(|text| read(text, &at)));
    }
    (all.len() == list.len()).then(|| (all, list.to_vec()))
}

fn hmac_keys(
    keys: &CredentialKeys,
    algorithm: Algorithm,
    at: &At<'_>,
) -> Option<(Vec<Key>, Vec<String>)> {
    let several = at.key("hmac_secrets");
    let prepare = |text: &str| Key::new(algorithm, text.as_bytes());
    match (&keys.hmac_secret, &keys.hmac_secrets) {
        (Some(_), Some(_)) => {
            several.problem("there is a `hmac_secret` beside it", "keep one of the two");
            None
        }
        (_, Some(list)) => each(Some(list), &several, |text, _| prepare(text)),
        (text, None) => {
            let text = secret(text.as_deref(), &at.key("hmac_secret"))?;
            Some((vec![prepare(text)?], vec![text.to_owned()]))
        }
    }
}

fn hmac(
    keys: &CredentialKeys,
    webhook: &WebhookKeys,
    at: &At<'_>,
) -> Option<(Credential, Vec<String>)> {
    let algorithm = match keys.hmac_algorithm {
        None | Some(AlgorithmKey::Sha256) => Algorithm::Sha256,
        Some(AlgorithmKey::Sha512) => Algorithm::Sha512,
        Some(AlgorithmKey::Sha1) => Algorithm::Sha1,
    };
    let name = keys.hmac_header.as_deref().unwrap_or("X-Signature");
    let name = header(name, &at.key("hmac_header"));
    let place = at.key("hmac_timestamp_header");
    let carrier = keys.hmac_timestamp_header.as_deref().map(|name| header(name, &place));
    let format = format(keys.hmac_format.as_deref(), &at.key("hmac_format"));
    let content = content(keys.hmac_content.as_deref(), &at.key("hmac_content"));
    let prepared = hmac_keys(keys, algorithm, at);
    let (header, format, content) = (name?, format?, content?);
    let timestamp_header = carrier.map_or(Some(None), |name| name.map(Some))?;
    carried(&format, &content, timestamp_header.as_ref(), webhook, at);
    if timestamp_header.as_ref() == Some(&header) {
        place.problem("it carries the signature already", "name another header");
    }
    let (keys, texts) = prepared?;
    let form = Form::Hmac { algorithm, keys, header, format, content, timestamp_header };
    Some((Credential::Signed(form), texts))
}

/// What is signed beside the body must reach the receiver too.
fn carried(
    format: &Pattern,
    content: &Pattern,
    timestamp_header: Option<&HeaderName>,
    webhook: &WebhookKeys,
    at: &At<'_>,
) {
    let signed = content.has(Token::Timestamp);
    if signed && !format.has(Token::Timestamp) && timestamp_header.is_none() {
        at.key("hmac_content").problem(
            "no header carries `{timestamp}`, so no receiver can check the signature",
            "put it into `hmac_format`, such as `t={timestamp},v1={hex}`, or name a \
             `hmac_timestamp_header`",
        );
    }
    if !signed && timestamp_header.is_some() {
        at.key("hmac_timestamp_header").problem(
            "this time is not signed",
            "sign it, such as `hmac_content: \"{timestamp}.{body}\"`, or leave it out",
        );
    }
    let replaced = webhook.headers.keys().any(|name| name.eq_ignore_ascii_case("idempotency-key"));
    if content.has(Token::Id) && !format.has(Token::Id) && replaced {
        at.key("hmac_content").problem(
            "no header carries `{id}`: `headers` replaces `Idempotency-Key`",
            "put it into `hmac_format`, or leave `Idempotency-Key` as it is",
        );
    }
}

/// The header's value.
fn format(text: Option<&str>, at: &At<'_>) -> Option<Pattern> {
    let text = in_header(text.unwrap_or("{algorithm}={hex}"), at)?;
    let pattern = pattern(Pattern::parse_header(text), at)?;
    let signature = |part: &&Part| matches!(part, Part::Token(Token::Hex | Token::Base64));
    if pattern.parts().iter().filter(signature).count() != 1 {
        at.problem("it must hold the signature once", "write `{hex}` or `{base64}` into it");
        return None;
    }
    if pattern.has(Token::Body) {
        at.problem("a header holds no body", "leave `{body}` out");
        return None;
    }
    Some(pattern)
}

/// What is signed.
fn content(text: Option<&str>, at: &At<'_>) -> Option<Pattern> {
    let pattern = pattern(Pattern::parse(text.unwrap_or("{body}")), at)?;
    if pattern.has(Token::Hex) || pattern.has(Token::Base64) {
        at.problem("a signature cannot cover itself", "leave `{hex}` and `{base64}` out");
        return None;
    }
    if !pattern.has(Token::Body) {
        at.problem("the signature must cover the body", "write `{body}` into it");
        return None;
    }
    Some(pattern)
}

fn pattern(parsed: Result<Pattern, PatternError>, at: &At<'_>) -> Option<Pattern> {
    let error = match parsed {
        Ok(pattern) => return Some(pattern),
        Err(error) => error,
    };
    let (message, fix) = match &error {
        PatternError::UnknownToken(token) => (
            format!("there is no `{}`", at.visible(token)),
            "its tokens are `{hex}`, `{base64}`, `{algorithm}`, `{timestamp}`, `{id}` and `{body}`",
        ),
        PatternError::Adjacent => {
            (error.to_string(), "put text between them, such as `{timestamp},{hex}`")
        }
    };
    at.problem(message, fix);
    None
}
