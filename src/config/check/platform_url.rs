//! Checks of what a webhook's URL says by itself and its platform would say too, or otherwise.

use super::template::substituted;
use crate::config::keys::WebhookKeys;
use crate::config::report::At;
use crate::presets::{Parameter, Preset};
use std::collections::BTreeMap;
use url::Url;

/// The URL as it is written, expressions and all; `None` where it is unknown or none.
pub(super) fn written(keys: &WebhookKeys, at: &At<'_>) -> Option<Url> {
    let text = keys.url.as_ref().filter(|_| !at.key("url").is_unknown())?;
    Url::parse(substituted(&text.0).trim()).ok()
}

/// What the URL's query says and the platform or its keys say otherwise: the URL stands.
pub(super) fn parameters(
    url: &Url,
    preset: &Preset,
    options: &BTreeMap<String, String>,
    at: &At<'_>,
) {
    if !preset.knows_path(url.path()) {
        return;
    }
    for Parameter { name, value, option, otherwise } in preset.parameters() {
        let there = url.query_pairs().find(|(known, _)| known == name).map(|(_, there)| there);
        let Some(there) = there else { continue };
        let place = at.key(preset.name()).key(option);
        let differs = options.get(option).is_some_and(|given| *given != there);
        // What `defaults` bring along gives way to what the export says.
        if differs && !place.node().is_some_and(|node| node.from_defaults) {
            place.problem(
                format!("the URL has another `{name}`, which would stand"),
                format!("leave it out, or take `{name}` out of the URL"),
            );
        }
        if let (Some(value), Some(otherwise)) = (value, otherwise)
            && !there.eq_ignore_ascii_case(value)
        {
            at.key("url").warning(
                format!("it has a `{name}` of its own: {otherwise}"),
                format!("take `{name}` out of the URL: `{name}={value}` is added"),
            );
        }
    }
}

/// Refuses the platform's messages at an address that takes another's.
pub(super) fn messages(url: &Url, preset: &Preset, at: &At<'_>) {
    if let Some((ending, other)) = preset.other_messages(url.path()) {
        at.key("url").problem(
            format!("what ends in `{ending}` does not read the messages of `{}`", preset.name()),
            format!("write `platform: {other}`, or leave `{ending}` out"),
        );
    }
}
