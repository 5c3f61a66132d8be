//! Checks of what an export must not carry.

use super::source::field_path;
use crate::config::keys::{CategoryKey, ExportKeys, RedactKeys, StrategyKey};
use crate::config::report::At;
use crate::event::FieldPath;
use crate::event::json::MAX_DEPTH;
use crate::redact::{Category, Redaction, Strategy};
use std::sync::Arc;

/// What an export replaces; `at` is the export.
pub(super) fn redaction(keys: &ExportKeys, at: &At<'_>) -> Option<Arc<Redaction>> {
    let redaction = match &keys.redact {
        Some(redact) => replaced(redact, &at.key("redact")),
        None => Redaction::default(),
    };
    let limits = limits(keys, &at.key("limit_fields"));
    let present = keys.redact.is_some() || !limits.is_empty();
    present.then(|| Arc::new(redaction.with_limits(limits)))
}

fn replaced(keys: &RedactKeys, at: &At<'_>) -> Redaction {
    if keys.fields.is_none() && keys.categories.is_none() {
        at.problem("it names nothing to replace", "add `fields` or `categories`");
    }
    let fields = keys.fields.as_deref().unwrap_or_default();
    if keys.fields.is_some() && fields.is_empty() {
        at.key("fields").problem("an empty list", "name a field, or leave the key out");
    }
    let categories = keys.categories.as_deref().unwrap_or_default();
    if keys.categories.is_some() && categories.is_empty() {
        let fix = "name one of `secrets`, `pii.email`, `pii.phone`, `pii.financial`";
        at.key("categories").problem("an empty list", fix);
    }
    let place = at.key("fields");
    let fields = fields.iter().enumerate();
    let fields = fields.filter_map(|(index, text)| path(text, &place.index(index)));
    let categories = categories.iter().map(|category| match category {
        CategoryKey::Secrets => Category::Secrets,
        CategoryKey::Email => Category::Email,
        CategoryKey::Phone => Category::Phone,
        CategoryKey::Financial => Category::Financial,
    });
    let strategy = match keys.strategy {
        StrategyKey::Mask => Strategy::Mask,
        StrategyKey::Remove => Strategy::Remove,
        StrategyKey::Hash => Strategy::Hash,
    };
    Redaction::new(fields.collect(), categories.collect(), strategy)
}

fn limits(keys: &ExportKeys, at: &At<'_>) -> Vec<(FieldPath, usize)> {
    if keys.limit_fields.as_ref().is_some_and(|limits| limits.is_empty()) {
        at.problem("it limits nothing", "write `payload: 1000`, or leave the key out");
    }
    let limits = keys.limit_fields.iter().flatten();
    limits.filter_map(|(text, bytes)| Some((path(text, &at.key(text))?, bytes.0))).collect()
}

fn path(text: &str, at: &At<'_>) -> Option<FieldPath> {
    let path = field_path(text, at)?;
    if path.segments().len() >= MAX_DEPTH {
        at.problem("no event nests that deep", "shorten the path");
        return None;
    }
    Some(path)
}
