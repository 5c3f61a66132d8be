//! What the tree of all layers becomes before it is read: every export filled from `defaults:`,
//! the user's own `x-…` keys gone.

use super::tree::{Entry, Node, Segment, Value};

/// Fills what the exports do not say themselves from `defaults:`. What belongs to another
/// destination than the export's is left out.
pub(super) fn apply_defaults(root: &mut Node) {
    let Some(mut defaults) = root.get("defaults").cloned() else { return };
    defaults.walk_mut(&mut |node| node.from_defaults = true);
    let Value::Map(defaults) = defaults.value else { return };
    let Some(exports) = root.find_mut(&[Segment::Key("exports".into())]) else { return };
    let Value::List(exports) = &mut exports.value else { return };
    for export in exports {
        let own = export.get("destination").or_else(|| {
            defaults.iter().find(|entry| entry.key == "destination").map(|entry| &entry.node)
        });
        let destination = own
            .and_then(Node::as_scalar)
            .map(|scalar| scalar.text().to_owned())
            .unwrap_or_default();
        let Value::Map(entries) = &mut export.value else { continue };
        let fits = |key: &str| {
            key != "name" && (!["webhook", "console", "file"].contains(&key) || key == destination)
        };
        fill(entries, defaults.iter().filter(|entry| fits(&entry.key)));
    }
}

/// Adds the entries that a map does not have, key by key.
fn fill<'a>(entries: &mut Vec<Entry>, from: impl Iterator<Item = &'a Entry>) {
    for default in from {
        match entries.iter_mut().find(|entry| entry.key == default.key) {
            None => entries.push(default.clone()),
            // Its type decides which keys it has: one that names its own stands for itself.
            Some(own) if own.key == "authentication" && own.node.get("type").is_some() => {}
            Some(own) => {
                if let (Value::Map(own), Value::Map(default)) =
                    (&mut own.node.value, &default.node.value)
                {
                    fill(own, default.iter());
                }
            }
        }
    }
}

/// The top-level keys that begin with `x-`, which are the user's own.
pub(super) fn drop_private_keys(root: &mut Node) {
    if let Value::Map(entries) = &mut root.value {
        entries.retain(|entry| !entry.key.starts_with("x-"));
    }
}
