//! From a platform's layout and what is said of a class of events to the text of a template. A
//! slot `[[name]]` stands for a text, `[[?name]]…[[/name]]` is there where the slot is, and
//! `[[!name]]…[[/name]]` where it is not. Slots are filled once, when a configuration is read.

use super::data::{ClassRow, Layout, MessagesFile};
use std::collections::BTreeMap;

/// The options of a message: an expression for each that is given or has a default.
pub type Options = BTreeMap<String, String>;

/// The template of a class's message.
///
/// # Errors
/// Names the slot or fact that there is not: a fault of the data files.
pub(super) fn message(
    layout: &Layout,
    class: &ClassRow,
    messages: &MessagesFile,
    options: &Options,
    known: &[&str],
) -> Result<String, String> {
    let facts = facts(layout, class, messages)?;
    let slots = |name: &str| match name {
        "title" => Slot::Text(&class.title),
        "line" => Slot::Text(&class.line),
        "note" => Slot::Text(&class.note),
        "text" => Slot::Text(class.text.as_ref().unwrap_or(&messages.text)),
        "severity" => Slot::Text(class.severity.as_deref().unwrap_or("severity")),
        "facts" => Slot::Text(&facts),
        "links" if class.links => Slot::Text(""),
        "links" => Slot::Absent,
        option => match options.get(option) {
            Some(expression) => Slot::Text(expression),
            None if known.contains(&option) => Slot::Absent,
            None => Slot::Unknown,
        },
    };
    fill(&layout.message, &slots)
}

/// The facts of a class, one after another. Each but the last is left out where it is empty.
fn facts(layout: &Layout, class: &ClassRow, messages: &MessagesFile) -> Result<String, String> {
    let mut text = String::new();
    for (index, name) in class.facts.iter().enumerate() {
        let find = |name: &str| {
            messages.facts.get(name).ok_or_else(|| format!("there is no fact `{name}`"))
        };
        let mut fact = find(name)?;
        if fact.links && layout.links.is_none() {
            // The layout shows links in a place of their own.
            fact = find("time")?;
        }
        let snippet = match fact {
            fact if fact.links => layout.links.as_deref(),
            fact if fact.code => layout.code.as_deref(),
            _ => layout.value.as_deref(),
        };
        let value =
            fill(snippet.unwrap_or("{{ ([[value]]) | clip(2000) }}"), &|name| match name {
                "value" => Slot::Text(&fact.value),
                _ => Slot::Unknown,
            })?;
        let element = fill(&layout.fact, &|name| match name {
            "name" => Slot::Text(&fact.name),
            "value" => Slot::Text(&value),
            "short" => Slot::Text(if fact.wide { "false" } else { "true" }),
            _ => Slot::Unknown,
        })?;
        if index + 1 == class.facts.len() {
            text.push_str(&element);
        } else {
            text.push_str(&format!("{{% if {} %}}{element}, {{% endif %}}", fact.value));
        }
    }
    Ok(text)
}

/// What a slot stands for.
enum Slot<'a> {
    Text(&'a str),
    Absent,
    Unknown,
}

fn fill<'a>(text: &str, slots: &dyn Fn(&str) -> Slot<'a>) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("[[") {
        filled.push_str(&rest[..at]);
        let Some(length) = rest[at..].find("]]") else { return Err("`[[` without `]]`".into()) };
        let name = &rest[at + 2..at + length];
        rest = &rest[at + length + 2..];
        let (kind, plain) = match name.as_bytes().first() {
            Some(b'?' | b'!') => name.split_at(1),
            _ => ("", name),
        };
        let slot = slots(plain);
        let unknown = || Err(format!("there is no slot `[[{plain}]]`"));
        if kind.is_empty() {
            match slot {
                Slot::Text(text) => filled.push_str(text),
                Slot::Absent | Slot::Unknown => return unknown(),
            }
            continue;
        }
        let end = format!("[[/{plain}]]");
        let Some(inside) = rest.find(&end) else { return Err(format!("`{end}` is missing")) };
        let there = match slot {
            Slot::Text(_) => true,
            Slot::Absent => false,
            Slot::Unknown => return unknown(),
        };
        if there == (kind == "?") {
            filled.push_str(&fill(&rest[..inside], slots)?);
        }
        rest = &rest[inside + end.len()..];
    }
    filled.push_str(rest);
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_filled() {
        let slots = |name: &str| match name {
            "a" => Slot::Text("A"),
            "none" => Slot::Absent,
            _ => Slot::Unknown,
        };
        for (text, filled) in [
            ("x [[a]]y", Ok("x Ay")),
            ("[[?a]]b[[a]][[/a]][[!a]]c[[/a]]", Ok("bA")),
            ("[[?none]]b[[none]][[/none]][[!none]]c[[/none]]", Ok("c")),
            ("[[none]]", Err("there is no slot `[[none]]`")),
            ("[[?b]][[/b]]", Err("there is no slot `[[b]]`")),
            ("[[?a]]", Err("`[[/a]]` is missing")),
            ("[[a", Err("`[[` without `]]`")),
        ] {
            let got = fill(text, &slots);
            assert_eq!(got.as_deref().map_err(|error| &**error), filled, "{text}");
        }
    }
}
