//! The configuration of ContextForge's webhook notification plugin: each of its webhooks becomes an
//! export.

use super::Imported;
use super::foreign::Foreign;
use super::output::{Config, Export, Filters, Names, Redact, Retry, Source, Webhook, platform};
use serde_saphyr::LitString;
use std::collections::BTreeMap;

/// What the plugin does where its file says nothing: tries after the first one, the first wait in
/// milliseconds, and how long it waits for an answer in seconds.
const RETRY_ATTEMPTS: u64 = 3;
const RETRY_DELAY: u64 = 1_000;
const TIMEOUT: u64 = 10;

/// The most that it tries again.
const MAX_RETRY_ATTEMPTS: u64 = 10;

/// Of which size a field `payload` may be, in bytes.
const MAX_PAYLOAD_SIZE: u64 = 1_000;

/// The plugin's name as its events have it.
const PLUGIN: &str = "WebhookNotificationPlugin";

/// Keys of a plugin's entry that the gateway itself goes by.
const OF_THE_GATEWAY: [&str; 9] =
    ["kind", "description", "version", "author", "hooks", "tags", "mode", "priority", "conditions"];

pub(super) fn import(file: Foreign) -> Result<Imported, String> {
    let mut notes = vec![
        "where events come from is not in that file: this reads standard input. To read them \
         elsewhere change the source."
            .to_owned(),
    ];
    let (plugin, mut config) = plugin(file, &mut notes)?;
    let templates = templates(&mut config, &plugin)?;
    let with_payload = config.boolean("include_payload_data")?.unwrap_or(false);
    let payload_size = config.number("max_payload_size")?.unwrap_or(MAX_PAYLOAD_SIZE);
    let webhooks = config.maps("webhooks")?.unwrap_or_default();
    if webhooks.is_empty() {
        return Err("there are no `webhooks:` in it".to_owned());
    }
    let mut names = Names::default();
    let mut exports = Vec::new();
    for mut webhook in webhooks {
        let mut export = export(&mut webhook, &templates, &mut names, &mut notes)?;
        if with_payload {
            export.limit_fields.insert("payload".to_owned(), payload_size);
        } else {
            let fields = vec!["payload".to_owned()];
            export.redact = Some(Redact { fields, strategy: "remove" });
        }
        webhook.leave(&mut notes);
        exports.push(export);
    }
    for event in templates.keys() {
        if !exports.iter().any(|export| export.webhook.body_templates.contains_key(event)) {
            notes.push(format!(
                "payload_templates.{event}: no webhook here sends its own body for that event"
            ));
        }
    }
    config.leave(&mut notes);
    let source = Source { name: "contextforge".to_owned(), kind: "stdin", schema: "contextforge" };
    Ok(Imported { config: Config { sources: vec![source], exports }, notes })
}

/// The plugin's name and its configuration, wherever in the file they stand.
fn plugin(mut file: Foreign, notes: &mut Vec<String>) -> Result<(String, Foreign), String> {
    if let Some(plugins) = file.maps("plugins")? {
        for mut plugin in plugins {
            let name = plugin.text("name")?.unwrap_or_else(|| PLUGIN.to_owned());
            match plugin.map("config")? {
                Some(config) if config.has("webhooks") => return Ok((name, config)),
                _ => notes.push(format!("the plugin `{name}` sends no notifications")),
            }
        }
        return Err("none of its `plugins:` has `webhooks:`".to_owned());
    }
    if !file.has("config") {
        return Ok((PLUGIN.to_owned(), file));
    }
    let name = file.text("name")?.unwrap_or_else(|| PLUGIN.to_owned());
    let config = file.map("config")?.ok_or("`config:` is empty")?;
    for key in OF_THE_GATEWAY {
        file.take(key);
    }
    file.leave(notes);
    Ok((name, config))
}

/// Its templates by event, `plugin_name` replaced by what it stands for.
fn templates(config: &mut Foreign, plugin: &str) -> Result<BTreeMap<String, String>, String> {
    let Some(mut templates) = config.map("payload_templates")? else {
        return Ok(BTreeMap::new());
    };
    let name = plugin.replace(['"', '\\'], "");
    let value = format!("{{{{plugin_name or plugin or \"{name}\"}}}}");
    let template = |(event, text): (String, serde_json::Value)| match text.as_str() {
        Some(text) => {
            let text = text.replace("{{plugin_name}}", &value);
            Ok((event, text.replace("{{ plugin_name }}", &value)))
        }
        None => Err(format!("payload_templates.{event}: not a text")),
    };
    templates.rest().into_iter().map(template).collect()
}

fn export(
    webhook: &mut Foreign,
    templates: &BTreeMap<String, String>,
    names: &mut Names,
    notes: &mut Vec<String>,
) -> Result<Export, String> {
    let url = webhook.url()?;
    let kinds = webhook.globs("events")?.filter(|kinds| !kinds.is_empty());
    let retries = webhook.number("retry_attempts")?.unwrap_or(RETRY_ATTEMPTS);
    if retries > MAX_RETRY_ATTEMPTS {
        return Err(format!("{}: more than 10", webhook.place("retry_attempts")));
    }
    let delay = webhook.number("retry_delay")?.unwrap_or(RETRY_DELAY) as f64 / 1_000.0;
    let waits = (0..retries.max(1)).map(|n| delay * f64::from(1_u32 << n)).collect();
    let timeout = webhook.number("timeout")?.unwrap_or(TIMEOUT);
    let enabled = webhook.boolean("enabled")?.filter(|enabled| !enabled);
    let authentication = authentication(webhook, notes)?;
    let name = names.name(&url);
    let mut body_templates = BTreeMap::new();
    if platform(&url, None).is_some() && !templates.is_empty() {
        notes.push(format!(
            "payload_templates: not used for `{name}`, whose host refuses messages of another \
             form than its own"
        ));
    } else {
        let takes =
            |event: &str| kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|kind| kind == event));
        let used = templates.iter().filter(|(event, _)| takes(event));
        body_templates.extend(used.map(|(event, text)| (event.clone(), LitString(text.clone()))));
    }
    Ok(Export {
        name,
        destination: "webhook",
        enabled,
        webhook: Webhook {
            url,
            body_templates,
            timeout: format!("{timeout}s"),
            authentication,
            ..Webhook::default()
        },
        filters: Filters { event_kinds: kinds, when: BTreeMap::new() },
        redact: None,
        limit_fields: BTreeMap::new(),
        retry: Retry { max_attempts: retries + 1, backoff_seconds: waits, jitter: 0 },
    })
}

/// How requests are authenticated; its keys are named as postrider's.
fn authentication(
    webhook: &mut Foreign,
    notes: &mut Vec<String>,
) -> Result<Option<BTreeMap<String, String>>, String> {
    let Some(mut given) = webhook.map("authentication")? else { return Ok(None) };
    let kind = given.text("type")?.unwrap_or_else(|| "none".to_owned());
    // Keys, and what the plugin takes where its file says nothing.
    let keys: &[(&str, &str)] = match kind.as_str() {
        "none" => &[],
        "bearer" => &[("token", "")],
        "api_key" => &[("api_key", ""), ("api_key_header", "X-API-Key")],
        "hmac" => &[
            ("hmac_secret", ""),
            ("hmac_algorithm", "sha256"),
            ("hmac_header", "X-Hub-Signature-256"),
        ],
        _ => return Err(format!("{}: `{kind}` is no type of it", given.place("type"))),
    };
    let mut out = BTreeMap::from([("type".to_owned(), kind)]);
    for (key, default) in keys {
        let place = given.place(key);
        let value =
            given.text(key)?.or_else(|| (!default.is_empty()).then(|| (*default).to_owned()));
        out.insert((*key).to_owned(), value.ok_or_else(|| format!("{place}: missing key"))?);
    }
    given.leave(notes);
    Ok((out.len() > 1).then_some(out))
}
