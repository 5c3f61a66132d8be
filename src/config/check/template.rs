//! Checks of templates and expressions: compiled here, their errors placed in the file.

use crate::config::keys::TemplateKey;
use crate::config::report::At;
use crate::template::{Expression, Template, TemplateText};

/// What a template sees beside the event's own fields.
const RESERVED: [&str; 8] = [
    "audit_id",
    "timestamp",
    "event_kind",
    "severity",
    "agent_id",
    "event_json",
    "root",
    "postrider",
];

/// Compiles a template.
pub(super) fn template(text: &TemplateText, at: &At<'_>) -> Option<Template> {
    match Template::compile(text) {
        Ok(template) => {
            warn_of_near_misses(template.names(), at);
            Some(template)
        }
        Err(error) => {
            at.template_problem(&error);
            None
        }
    }
}

/// Compiles a template of a whole batch.
pub(super) fn of_batch(text: &TemplateText, at: &At<'_>) -> Option<Template> {
    let template = Template::compile(text).map_err(|error| at.template_problem(&error)).ok()?;
    for name in template.names_of_one_event() {
        at.problem(
            format!("`{name}` is of one event, and a batch has many"),
            format!("go through them: `{{% for e in events %}}{{{{ e.{name} }}}}{{% endfor %}}`"),
        );
    }
    Some(template)
}

/// Compiles an expression.
pub(super) fn expression(key: &TemplateKey, at: &At<'_>) -> Option<Expression> {
    if key.0.text.trim().is_empty() {
        at.problem("it is empty", "write an expression, or leave the key out");
        return None;
    }
    Expression::compile(&key.0).map_err(|error| at.template_problem(&error)).ok()
}

/// Whether a text has anything to render.
pub(super) fn is_constant(text: &str) -> bool {
    !["{{", "{%", "{#"].iter().any(|open| text.contains(open))
}

/// A text without expressions, its variables in place.
pub(super) fn substituted(template: &TemplateText) -> String {
    let mut text = template.text.clone();
    for (name, value) in &template.variables {
        text = text.replace(&format!("${{{name}}}"), value);
    }
    text
}

fn warn_of_near_misses(names: &[String], at: &At<'_>) {
    for name in names {
        if let Some(meant) = near_miss(name) {
            at.warning(
                format!("`{name}` is taken as a field of the event"),
                format!("did you mean `{meant}`?"),
            );
        }
    }
}

/// The reserved name that a name nearly is. One slip only, and never of a short word: events have
/// fields such as `event_id` and `route`.
fn near_miss(name: &str) -> Option<&'static str> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    if RESERVED.contains(&name) {
        return None;
    }
    RESERVED.into_iter().find(|reserved| {
        plain(name) == *reserved
            || (reserved.len() > 5 && strsim::osa_distance(name, reserved) == 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_of_reserved_names() {
        for (name, meant) in [
            ("event_jsn", Some("event_json")),
            ("eventjson", Some("event_json")),
            ("Severity", Some("severity")),
            ("agent-id", Some("agent_id")),
            ("event_josn", Some("event_json")),
            ("event_json", None),
            ("event_id", None),
            ("agent", None),
            ("route", None),
            ("user", None),
        ] {
            assert_eq!(near_miss(name), meant, "{name}");
        }
    }
}
