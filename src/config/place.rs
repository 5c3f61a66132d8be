//! Where a problem with a value stands.

use super::problem::Problem;
use super::tree::{KeyPath, Node, Origin};

/// A problem with the value at a path, which may be missing: then it stands at what should hold
/// it in the export itself, not in `defaults`.
pub(super) fn problem_at(
    root: &Node,
    path: &KeyPath,
    message: impl Into<String>,
    fix: Option<String>,
) -> Problem {
    let exact = root.find(path);
    let mut above = path.clone();
    let node = loop {
        match root.find(&above) {
            Some(node) if exact.is_some() || !node.from_defaults => break Some(node),
            _ => {}
        }
        match above.parent() {
            Some(parent) => above = parent,
            None => break None,
        }
    };
    let nowhere = Origin::outside("", std::path::Path::new(""));
    let origin = node.and_then(|node| node.origin.as_deref()).unwrap_or(&nowhere);
    let position = node.map(|node| node.position).unwrap_or_default();
    Problem::new(origin, position, shown(path, exact), message, fix)
}

/// The path of a value as problems show it.
pub(super) fn shown(path: &KeyPath, node: Option<&Node>) -> String {
    match node {
        Some(node) if node.from_defaults => path.in_defaults().to_string(),
        _ => path.to_string(),
    }
}
