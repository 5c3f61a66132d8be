//! From the tree to what users write, with every fault: deserialize, record what is wrong, take it
//! out of the tree, and again, until it succeeds.

use super::de::{Fault, NodeDe, What};
use super::layers::shown;
use super::problem::{Problem, nearest, quoted};
use super::tree::{Entry, Node, Path, Position, Segment, Source, Value};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// After so many faults nobody reads on.
const MAX_FAULTS: usize = 200;

/// Keys of the contract that a later version brings.
const LATER: [&str; 38] = [
    "accept",
    "add_fields",
    "allow",
    "approval_links",
    "approvals",
    "authentication",
    "batch",
    "batch_template",
    "block_private_networks",
    "body_templates",
    "breaker",
    "compression",
    "decide",
    "decisions",
    "discord",
    "disk_bytes",
    "endpoints",
    "fallback",
    "former_names",
    "framing",
    "git_bindings",
    "history",
    "ingress",
    "limit_fields",
    "max_age",
    "max_bytes",
    "max_document_bytes",
    "mode",
    "on_gone",
    "order",
    "pagerduty",
    "proxy",
    "redact",
    "require_https",
    "slack",
    "tls",
    "unwrap",
    "when_full",
];

/// Words of the contract that a later version brings.
const LATER_WORDS: [&str; 20] = [
    "slack",
    "discord",
    "teams",
    "pagerduty",
    "openclaw",
    "http",
    "cef",
    "syslog",
    "cloudevents",
    "rampart",
    "contextforge",
    "ruleforge",
    "kubernetes",
    "vault",
    "cloudtrail",
    "github",
    "auditd",
    "ocsf",
    "otlp",
    "nats",
];

/// The paths that were taken out or filled with a stub, so that nothing is said about what is
/// missing because of them.
#[derive(Debug, Default)]
pub(super) struct Pruned(BTreeSet<Path>);

impl Pruned {
    pub(super) fn add(&mut self, path: Path) {
        self.0.insert(path);
    }

    /// Whether a path was taken out itself, or something above or below it.
    pub(super) fn touches(&self, path: &Path) -> bool {
        self.0.iter().any(|pruned| pruned.starts_with(path) || path.starts_with(pruned))
    }
}

/// Deserializes a tree, changing it until that succeeds.
pub(super) fn decode<T: DeserializeOwned>(
    root: &mut Node,
    pruned: &mut Pruned,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    for _ in 0..MAX_FAULTS {
        let fault = match T::deserialize(NodeDe(root)) {
            Ok(keys) => return Some(keys),
            Err(fault) => fault,
        };
        let Fault { mut steps, what } = fault;
        steps.reverse();
        let path = Path::new(steps);
        problems.extend(describe(root, &path, &what, pruned));
        repair(root, path, what, pruned)?;
    }
    None
}

/// The problem to tell of, if it is not the consequence of one that was told.
fn describe(root: &Node, path: &Path, what: &What, pruned: &Pruned) -> Option<Problem> {
    let node = root.find(path)?;
    let filled = node.as_scalar().and_then(|scalar| scalar.filled.as_ref());
    if matches!(node.value, Value::Stub) || filled.is_some_and(|filled| filled.unset) {
        return None;
    }
    let given = |text: &str| if filled.is_some() { "***".to_owned() } else { text.to_owned() };
    let (message, fix) = match what {
        What::Missing(key) => {
            let path = path.key(key);
            if pruned.touches(&path) || path.to_string().starts_with("defaults.") {
                return None;
            }
            ("missing key".to_owned(), Some(format!("add `{key}:`")))
        }
        What::UnknownKey { known } => ("unknown key".to_owned(), unknown_key(path, known)),
        What::Word { given: word, known } => {
            (format!("unknown value `{}`", given(word)), Some(unknown_word(word, known)))
        }
        What::Type { found, expected } => (format!("expected {expected}, not {found}"), None),
        What::Value { given: text, expected } => {
            (format!("`{}` is not {expected}", given(text)), None)
        }
        What::Other(message) => (message.clone(), None),
    };
    let (position, key) = match what {
        What::UnknownKey { .. } => (key_position(root, path), path.clone()),
        What::Missing(key) => (node.position, path.key(key)),
        _ => (node.position, path.clone()),
    };
    let nowhere = Source::outside("", std::path::Path::new(""));
    let source = node.source.as_deref().unwrap_or(&nowhere);
    Some(Problem::new(source, position, shown(&key, Some(node)), message, fix))
}

fn key_position(root: &Node, path: &Path) -> Position {
    let entry = match path.segments().split_last() {
        Some((Segment::Key(key), above)) => {
            root.find(&Path::new(above.to_vec())).and_then(|node| node.entry(key))
        }
        _ => None,
    };
    entry.map(|entry| entry.position).unwrap_or_default()
}

fn last_key(path: &Path) -> &str {
    match path.segments().last() {
        Some(Segment::Key(key)) => key,
        _ => "",
    }
}

fn unknown_key(path: &Path, known: &'static [&'static str]) -> Option<String> {
    let key = last_key(path);
    if LATER.contains(&key) {
        return Some("leave it out: not available in this version".to_owned());
    }
    if let Some(near) = nearest(key, known.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    (!known.is_empty()).then(|| format!("known here: {}", quoted(known.iter().copied())))
}

fn unknown_word(word: &str, known: &'static [&'static str]) -> String {
    let all = || quoted(known.iter().copied());
    if LATER_WORDS.contains(&word) {
        return format!("not available in this version; one of {}", all());
    }
    let near = nearest(word, known.iter().copied());
    near.map_or_else(|| format!("one of {}", all()), |near| format!("did you mean `{near}`?"))
}

/// Takes what is wrong out of the tree; `None` when nothing is left to take out.
fn repair(root: &mut Node, path: Path, what: What, pruned: &mut Pruned) -> Option<()> {
    match what {
        What::Missing(key) => {
            pruned.add(path.key(key));
            let node = root.find_mut(path.segments())?;
            let entry = Entry { key: key.to_owned(), ..Entry::default() };
            match &mut node.value {
                Value::Map(entries) => {
                    // Present as null counts as absent.
                    entries.retain(|entry| entry.key != key);
                    entries.push(entry);
                }
                value => *value = Value::Map(vec![entry]),
            }
            Some(())
        }
        What::UnknownKey { known } => {
            // What it was meant for is not missing either.
            let near = nearest(last_key(&path), known.iter().copied());
            if let (Some(near), Some(above)) = (near, path.parent()) {
                pruned.add(above.key(near));
            }
            remove(root, path)
        }
        _ => {
            let stub = matches!(root.find(&path)?.value, Value::Stub);
            // A stub that does not do: do without what holds it.
            let path = if stub { path.parent()? } else { path };
            pruned.add(path.clone());
            remove(root, path)
        }
    }
}

/// Removes a node. An element of a list leaves a stub, so that the others keep their index.
fn remove(root: &mut Node, path: Path) -> Option<()> {
    let (last, above) = path.segments().split_last()?;
    let parent = root.find_mut(above)?;
    match (last, &mut parent.value) {
        (Segment::Key(key), Value::Map(entries)) => entries.retain(|entry| entry.key != *key),
        (Segment::Index(index), Value::List(items)) => {
            let item = items.get_mut(*index)?;
            let source = item.source.take();
            *item = Node { source, position: item.position, ..Node::default() };
        }
        _ => return None,
    }
    Some(())
}
