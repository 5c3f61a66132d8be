//! Rampart's policy file: its `notify:` part becomes exports.

use super::Imported;
use super::foreign::Foreign;
use super::literal;
use super::output::{self, Config, Export, Filters, Names, Retry, Source, Webhook};
use crate::presets::{self, Preset};
use std::collections::BTreeMap;

/// The times that Rampart waits, in seconds, and how often it tries in all.
const WAITS: [f64; 3] = [1.0, 5.0, 15.0];
const ATTEMPTS: u64 = 4;

/// What stands below its messages.
const FOOTER: &str = "Rampart Security";

/// How long it waits for an answer.
const TIMEOUT: &str = "5s";

/// Conditions of a notification, and the fields of an event that they look at.
const CONDITIONS: [(&str, &str); 6] = [
    ("session_matches", "session"),
    ("policy_matches", "policy"),
    ("agent_matches", "agent"),
    ("tool_matches", "tool"),
    ("command_matches", "command"),
    ("message_matches", "message"),
];

/// What `on` may name.
const KINDS: [&str; 4] = ["deny", "ask", "watch", "allow"];

/// Keys that a notification has from `notify:` itself.
#[derive(Default)]
struct Common {
    on: Option<Vec<String>>,
    timeout: Option<String>,
    platform: Option<String>,
}

pub(super) fn import(mut file: Foreign) -> Result<Imported, String> {
    let mut notes = vec![
        "where events come from is not in that file: this reads standard input. To follow \
         Rampart's audit log write `type: file` and its `paths`."
            .to_owned(),
    ];
    let Some(mut notify) = file.map("notify")? else {
        return Err("there is no `notify:` in it, so nothing is sent anywhere".to_owned());
    };
    let common = Common {
        on: kinds(&mut notify, &mut notes)?,
        timeout: timeout(&mut notify)?,
        platform: platform(&mut notify)?,
    };
    let mut exports = Vec::new();
    let mut names = Names::default();
    let webhooks = notify.maps("webhooks")?.unwrap_or_default();
    if notify.has("url") {
        exports.push(export(&mut notify, &common, &mut names, &mut notes)?);
    }
    for mut webhook in webhooks {
        exports.push(export(&mut webhook, &common, &mut names, &mut notes)?);
    }
    if exports.is_empty() {
        return Err("`notify:` names no url".to_owned());
    }
    notify.leave(&mut notes);
    if let Some(policies) = file.take("policies") {
        let count = policies.as_array().map_or(1, Vec::len);
        notes.push(format!("policies: all {count} stay with Rampart, which decides by them"));
    }
    for key in ["version", "default_action"] {
        // What Rampart does itself.
        file.take(key);
    }
    file.leave(&mut notes);
    if exports.iter().any(|export| export.webhook.authentication.is_some()) {
        notes.push(
            "requests are signed as Rampart does, with the variable RAMPART_TOKEN as the key"
                .to_owned(),
        );
    }
    let source = Source { name: "rampart".to_owned(), kind: "stdin", schema: "rampart" };
    Ok(Imported { config: Config { sources: vec![source], exports }, notes })
}

/// The kinds of events that a notification is for.
fn kinds(from: &mut Foreign, notes: &mut Vec<String>) -> Result<Option<Vec<String>>, String> {
    let kinds = from.globs("on")?;
    for kind in kinds.iter().flatten().filter(|kind| !KINDS.contains(&kind.as_str())) {
        notes.push(format!("{}: Rampart has no events of the kind `{kind}`", from.place("on")));
    }
    Ok(kinds)
}

fn export(
    webhook: &mut Foreign,
    common: &Common,
    names: &mut Names,
    notes: &mut Vec<String>,
) -> Result<Export, String> {
    let url = webhook.url()?;
    let kinds = kinds(webhook, notes)?.or_else(|| common.on.clone());
    if kinds.as_ref().is_none_or(Vec::is_empty) {
        return Err(format!("{}: missing key, or an empty list", webhook.place("on")));
    }
    let mut when = BTreeMap::new();
    if let Some(mut conditions) = webhook.map("when")? {
        for (condition, field) in CONDITIONS {
            if let Some(globs) = conditions.globs(condition)? {
                when.insert(field.to_owned(), globs);
            }
        }
        conditions.leave(notes);
    }
    let platform = platform(webhook)?.or_else(|| common.platform.clone());
    let timeout = timeout(webhook)?.or_else(|| common.timeout.clone());
    webhook.leave(notes);
    let preset = output::platform(&url, platform.as_deref());
    let (headers, authentication) = match preset {
        Some(_) => (BTreeMap::new(), None),
        None => (signed_headers(), Some(signature())),
    };
    let takes_footer = |preset: &Preset| preset.options().any(|option| option.0 == "footer");
    let footer = preset.filter(|preset| takes_footer(preset)).map(|_| FOOTER);
    Ok(Export {
        name: names.name(&url),
        destination: "webhook",
        enabled: None,
        webhook: Webhook {
            url,
            // By name: the message stays what it is where the address is another one.
            platform: preset.map(|preset| preset.name().to_owned()).or(platform),
            footer,
            headers,
            timeout: timeout.unwrap_or_else(|| TIMEOUT.to_owned()),
            authentication,
            ..Webhook::default()
        },
        filters: Filters { event_kinds: kinds, when },
        redact: None,
        limit_fields: BTreeMap::new(),
        retry: Retry { max_attempts: ATTEMPTS, backoff_seconds: WAITS.to_vec(), jitter: 0 },
    })
}

/// How long it waits for an answer.
fn timeout(map: &mut Foreign) -> Result<Option<String>, String> {
    let place = map.place("timeout");
    let timeout = map.text("timeout")?.map(|text| literal::duration(&text));
    timeout.transpose().map_err(|wrong| format!("{place}: {wrong}"))
}

/// Whose messages it sends.
fn platform(map: &mut Foreign) -> Result<Option<String>, String> {
    let place = map.place("platform");
    let platform = map.text("platform")?;
    match platform.as_deref() {
        Some(name) if !presets::names().contains(&name) => {
            Err(format!("{place}: `{name}` is none of {}", presets::names().join(", ")))
        }
        _ => Ok(platform),
    }
}

/// The headers that Rampart's own requests have.
fn signed_headers() -> BTreeMap<String, String> {
    [
        ("User-Agent", "Rampart/v0.7.0"),
        ("X-Rampart-Event", "{{event_kind}}"),
        ("X-Rampart-Event-ID", "{{audit_id}}"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn signature() -> BTreeMap<String, String> {
    [("type", "rampart"), ("hmac_secret", "${RAMPART_TOKEN}")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}
