//! Checks of webhooks: URL, headers, body. The way out, beyond the URL, is checked in `egress` and
//! `tls`.

use super::authentication::authentication;
use super::template::{is_constant, substituted, template};
use super::{egress, platform, tls};
use crate::config::keys::{CompressionKey, TemplateKey, WebhookKeys};
use crate::config::load::read_text;
use crate::config::report::{At, template_fix};
use crate::config::tree::{Origin, Position};
use crate::config::webhook::dot_segments;
use crate::config::{Body, BodyFormat, Compression, Webhook, WebhookUrl, is_json_type};
use crate::template::{Template, TemplateText};
use hyper::Method;
use hyper::header::HeaderName;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;
use url::Url;

/// Headers that the connection itself decides.
pub(super) const FORBIDDEN: [&str; 4] =
    ["host", "content-length", "transfer-encoding", "connection"];

/// Each request in flight has its own task and connection.
const MAX_CONCURRENCY: u32 = 4096;

/// Checks a webhook; returns it with its bodies.
pub(super) fn webhook(keys: Option<&WebhookKeys>, at: &At<'_>) -> Option<(Webhook, Body)> {
    let default = WebhookKeys::default();
    let present = keys.is_some();
    let keys = keys.unwrap_or(&default);
    let url = match &keys.url {
        Some(text) => url(&text.0, &at.key("url")),
        None => {
            let at = if present { at.key("url") } else { at.clone() };
            at.problem("missing key", "add where to send: `webhook: {url: https://…}`");
            None
        }
    };
    if let Some(url) = &url {
        egress::encrypted(url, keys.require_https, &at.key("url"));
    }
    let guard = egress::guard(keys, url.as_ref(), at);
    let proxy = egress::proxy(keys.proxy.as_deref(), &at.key("proxy"));
    let tls = tls::tls(keys.tls.as_ref(), url.as_ref(), &at.key("tls"));
    let headers = headers(keys, &at.key("headers"));
    let authentication = authentication(keys, at);
    let compression = compression(keys, at);
    let own = body(keys, at);
    let json = is_json(keys);
    let platform = platform::platform(keys, url.as_ref().map(|url| &url.host), at);
    let bodies = platform::bodies(keys, own, &platform, json, at);
    let method = method(&keys.method, &at.key("method"));
    let positive = |span: Duration, name: &str| {
        if span.is_zero() {
            at.key(name).problem("it is no time at all", "write a time such as `10s`");
        }
        span
    };
    let (timeout, connect_timeout) =
        (positive(keys.timeout.0, "timeout"), positive(keys.connect_timeout.0, "connect_timeout"));
    if keys.max_body_bytes.0 == 0 {
        at.key("max_body_bytes").problem("no body is that short", "write a size such as `1MiB`");
    }
    if keys.concurrency.0 > MAX_CONCURRENCY {
        at.key("concurrency").problem(
            format!("more than {MAX_CONCURRENCY} requests at once"),
            "lower it: each has a connection of its own",
        );
    }
    let webhook = Webhook {
        url: url?,
        platform,
        method: method?,
        format: BodyFormat::Json,
        json,
        lines: false,
        headers,
        timeout,
        connect_timeout,
        concurrency: NonZeroUsize::new(keys.concurrency.0 as usize)?,
        max_body_bytes: keys.max_body_bytes.0,
        guard,
        proxy,
        tls,
        authentication,
        compression,
    };
    Some((webhook, Body::new(bodies)))
}

/// Reads a URL: what stands before its first expression must fix scheme, host and port.
fn url(text: &TemplateText, at: &At<'_>) -> Option<WebhookUrl> {
    const FIX: &str = "write a whole URL such as `https://hooks.example.com/path`";
    let compiled = template(text, at);
    if at.is_unknown() {
        return Some(placeholder(compiled?));
    }
    let constant = is_constant(&text.text);
    let opens = ["{{", "{%", "{#"].iter().filter_map(|open| text.text.find(open)).min();
    let fixed = TemplateText {
        text: text.text[..opens.unwrap_or(text.text.len())].to_owned(),
        variables: text.variables.clone(),
    };
    let fixed = substituted(&fixed);
    let fixed = fixed.trim();
    let authority = fixed.split_once("://").map(|(_, rest)| rest);
    if !constant && !authority.is_some_and(|rest| rest.contains(['/', '?', '#'])) {
        at.problem(
            "scheme, host and port must be fixed text: only path and query may be a template",
            "write one export for each host, and choose by `filters`",
        );
        return None;
    }
    let parsed = match Url::parse(fixed) {
        Ok(parsed) => parsed,
        Err(error) => {
            at.problem(format!("not a URL: {error}"), FIX);
            return None;
        }
    };
    let https = match parsed.scheme() {
        "https" => true,
        "http" => false,
        _ => {
            at.problem("a webhook is reached by `http` or `https`", FIX);
            return None;
        }
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        at.problem(
            "a user name or password does not belong into the URL",
            "write `authentication: {type: basic, username: …, password: \"${PASSWORD}\"}`",
        );
        return None;
    }
    let host = parsed.host().map(|host| host.to_owned()).filter(|_| parsed.port() != Some(0));
    let Some(host) = host else {
        at.problem("not a URL that can be reached: no host or port", FIX);
        return None;
    };
    let port = parsed.port_or_known_default().unwrap_or(if https { 443 } else { 80 });
    let dots = dot_segments(&without_tags(&substituted(text)));
    Some(WebhookUrl { https, host, port, template: compiled?, dots })
}

/// A template's own text, with a letter for each of its tags.
fn without_tags(text: &str) -> String {
    let mut own = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, close)) = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")]
        .iter()
        .filter_map(|(open, close)| Some((rest.find(open)?, close)))
        .min()
    {
        own.push_str(&rest[..at]);
        own.push('x');
        let end = rest[at..].find(*close).map_or(rest.len(), |length| at + length + close.len());
        rest = &rest[end..];
    }
    own + rest
}

/// Stands in for a URL whose variables need not be set now.
fn placeholder(template: Template) -> WebhookUrl {
    let host = url::Host::Domain("variable.invalid".to_owned());
    WebhookUrl { https: true, host, port: 443, template, dots: 0 }
}

fn method(text: &str, at: &At<'_>) -> Option<Method> {
    let known = [Method::POST, Method::PUT, Method::PATCH, Method::GET, Method::DELETE];
    let method = Method::from_bytes(text.as_bytes());
    match method {
        Ok(method) if method.as_str().bytes().all(|b| b.is_ascii_uppercase() || b == b'-') => {
            if method == Method::CONNECT || method == Method::TRACE {
                at.problem(format!("`{method}` sends no body"), "use `POST`");
            }
            Some(method)
        }
        _ => {
            let upper = text.to_ascii_uppercase();
            let fix = known.iter().find(|method| method.as_str() == upper);
            let fix = fix.map_or("use `POST`, `PUT` or `PATCH`".to_owned(), |method| {
                format!("write `{method}`")
            });
            at.problem(format!("`{}` is not a method", at.visible(text)), fix);
            None
        }
    }
}

fn headers(keys: &WebhookKeys, at: &At<'_>) -> Vec<(HeaderName, Option<Template>)> {
    let mut headers: Vec<(HeaderName, Option<Template>)> = Vec::new();
    for (name, value) in &keys.headers {
        let at = at.key(name);
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            at.problem("not the name of a header", "use letters, digits and `-`");
            continue;
        };
        if FORBIDDEN.contains(&header.as_str()) {
            at.problem(
                format!("`{name}` is decided by the connection"),
                "leave it out: postrider sets it",
            );
            continue;
        }
        if headers.iter().any(|(other, _)| *other == header) {
            at.problem("this header stands here twice: case does not count", "keep one of them");
            continue;
        }
        let Some(TemplateKey(text)) = value else {
            headers.push((header, None));
            continue;
        };
        let constant = substituted(text);
        if is_constant(&text.text) && constant.contains(['\r', '\n', '\0']) {
            at.problem(
                "a header cannot hold a line break or NUL",
                "write it on one line; with `|` a line break follows the text",
            );
            continue;
        }
        if let Some(template) = template(text, &at) {
            headers.push((header, Some(template)));
        }
    }
    headers
}

fn compression(keys: &WebhookKeys, at: &At<'_>) -> Compression {
    let named = keys.headers.keys().find(|name| name.eq_ignore_ascii_case("content-encoding"));
    if let Some(name) = named.filter(|_| keys.compression != CompressionKey::None) {
        at.key("headers").key(name).problem("`compression` sets this header", "leave it out");
    }
    match keys.compression {
        CompressionKey::None => Compression::None,
        CompressionKey::Gzip => Compression::Gzip,
        CompressionKey::Zstd => Compression::Zstd,
    }
}

/// Whether the body is JSON: its content type says so, and unless told otherwise it is.
fn is_json(keys: &WebhookKeys) -> bool {
    content_type(keys).is_none_or(|kind| is_json_type(&kind))
}

/// Refuses lines of CEF that are said to be JSON.
pub(super) fn cef(keys: &WebhookKeys, body: &Body, at: &At<'_>) {
    if let Some((name, text)) = content_type_header(keys)
        && is_json_type(&substituted(text))
    {
        let fix = "leave the header out, or write a `body_template` that makes JSON";
        refuse_cef(body, &at.key("headers").key(name), "a line of CEF is not JSON", fix);
    }
}

/// Refuses a place for events that go out as lines of CEF; a warning where some have bodies of
/// their own, and perhaps all that the filters take.
pub(super) fn refuse_cef(body: &Body, at: &At<'_>, message: &str, fix: &str) {
    if body.templates().next().is_none() {
        at.problem(message, fix);
    } else if !body.takes_all() {
        at.warning(format!("{message}, and some events have no other body"), fix);
    }
}

/// Whether the content type says that the body is lines of JSON, as a batch can be.
pub(super) fn sends_lines(keys: &WebhookKeys) -> bool {
    content_type(keys).is_some_and(|kind| kind.contains("ndjson") || kind.contains("jsonl"))
}

/// The header of the content type, where it depends on the event.
pub(super) fn content_type_varies(keys: &WebhookKeys) -> Option<&str> {
    content_type_header(keys).filter(|(_, text)| !is_constant(&text.text)).map(|(name, _)| name)
}

/// The configured content type without its parameters.
fn content_type(keys: &WebhookKeys) -> Option<String> {
    let value = substituted(content_type_header(keys)?.1).to_ascii_lowercase();
    Some(value.split(';').next().unwrap_or_default().trim().to_owned())
}

/// The header of the content type as it is configured: its name, and its text.
fn content_type_header(keys: &WebhookKeys) -> Option<(&str, &TemplateText)> {
    let header = keys.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let Some((name, Some(TemplateKey(text)))) = header else { return None };
    Some((name, text))
}

fn body(keys: &WebhookKeys, at: &At<'_>) -> Option<Template> {
    let place = at.key("body_template_file");
    match (&keys.body_template, &keys.body_template_file) {
        (Some(_), Some(_)) => {
            place.problem("there is a `body_template` beside it", "keep one of the two");
            None
        }
        (Some(text), None) => template(&text.0, &at.key("body_template")),
        (None, Some(path)) => body_of_file(path, &place),
        (None, None) => None,
    }
}

/// Reads and compiles a body's template from its own file.
fn body_of_file(path: &str, at: &At<'_>) -> Option<Template> {
    if at.is_unknown() {
        return None;
    }
    let full = at.resolve(path);
    at.report.files.borrow_mut().push(full.clone());
    let text = match read_text(&full) {
        Ok(text) => text,
        Err(reason) => {
            let message = format!("`{}` cannot be read: {reason}", at.visible(path));
            at.problem(message, "the path counts from the file that names it");
            return None;
        }
    };
    let label = at.visible(path).to_owned();
    let origin = Origin::file(label, Path::new(&full), text.as_str().into());
    let key = at.to_string();
    let (filled, problems) = at.report.variables.fill_file(&text, &origin, &key);
    at.report.problems.borrow_mut().extend(problems);
    let text = TemplateText { text, variables: filled.values };
    Template::compile(&text)
        .map_err(|error| {
            let position = Position { line: error.line, column: error.column };
            at.problem_in(
                &origin,
                position,
                error.message,
                Some(template_fix(error.fix.as_deref())),
            );
        })
        .ok()
}
