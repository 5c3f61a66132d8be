//! From the tree to what users write, with every fault: deserialize, record what is wrong, take it
//! out of the tree, and again, until it succeeds.

use super::de::{Fault, NodeDe, What};
use super::place::problem_at;
use super::problem::{Problem, nearest, quoted};
use super::tree::{Entry, KeyPath, Node, Position, Segment, Value};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

/// After so many faults nobody reads on.
const MAX_FAULTS: usize = 200;

/// Keys of the contract that a later version brings.
const LATER: [&str; 9] = [
    "accept",
    "approval_links",
    "approvals",
    "decide",
    "decisions",
    "endpoints",
    "git_bindings",
    "history",
    "ingress",
];

/// Words of the contract that a later version brings.
const LATER_WORDS: [&str; 2] = ["http", "nats"];

/// The paths that were taken out or filled with a stub, so that nothing is said about what is
/// missing because of them.
#[derive(Debug, Default)]
pub(super) struct Pruned(BTreeSet<KeyPath>);

impl Pruned {
    pub(super) fn add(&mut self, path: KeyPath) {
        self.0.insert(path);
    }

    /// Whether a path was taken out itself, or something above or below it.
    pub(super) fn touches(&self, path: &KeyPath) -> bool {
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
        let path = KeyPath::new(steps);
        problems.extend(describe(root, &path, &what, pruned));
        repair(root, path, what, pruned)?;
    }
    None
}

/// The problem to tell of, if it is not the consequence of one that was told.
fn describe(root: &Node, path: &KeyPath, what: &What, pruned: &Pruned) -> Option<Problem> {
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
            let fix = Some(format!("add `{key}:`"));
            return Some(problem_at(root, &path, "missing key", fix));
        }
        What::UnknownKey { known } => {
            let top = path.parent().is_some_and(|above| above.to_string() == "defaults");
            let known = known.iter().copied().filter(|known| {
                // Every export has its own name.
                *known != "name" || !(top || node.from_defaults)
            });
            ("unknown key".to_owned(), unknown_key(path, &known.collect::<Vec<_>>()))
        }
        What::Word { given: word, known } => {
            (format!("unknown value `{}`", given(word)), Some(unknown_word(word, known)))
        }
        What::Type { found, expected } => {
            let (what, how) = what_and_how(expected);
            (format!("expected {what}, not {found}"), how)
        }
        What::Value { given: text, expected } => {
            let (what, how) = what_and_how(expected);
            (format!("`{}` is not {what}", given(text)), how)
        }
        What::Other(message) => (message.clone(), None),
    };
    let mut problem = problem_at(root, path, message, fix);
    if let (What::UnknownKey { .. }, Some(line)) = (what, problem.line) {
        let position = key_position(root, path);
        problem.line = Some(position.line).filter(|line| *line > 0).or(Some(line));
        problem.column = Some(position.column).filter(|column| *column > 0).or(problem.column);
    }
    Some(problem)
}

/// What is expected, and how to write it: our own types say both.
fn what_and_how(expected: &str) -> (&str, Option<String>) {
    if let Some((what, how)) = expected.split_once(": ") {
        return (what, Some(how.to_owned()));
    }
    let how = match expected {
        "a list" => "write `[…]`, or each element on a line of its own after `- `",
        "a map of keys" => "write its keys below it, or `{key: value}`",
        "true or false" => "write `true` or `false`",
        "text" => "write text, in quotes where it looks like something else",
        _ => return (expected, None),
    };
    (expected, Some(how.to_owned()))
}

fn key_position(root: &Node, path: &KeyPath) -> Position {
    let entry = match path.segments().split_last() {
        Some((Segment::Key(key), above)) => {
            root.find(&KeyPath::new(above.to_vec())).and_then(|node| node.entry(key))
        }
        _ => None,
    };
    entry.map(|entry| entry.position).unwrap_or_default()
}

fn last_key(path: &KeyPath) -> &str {
    match path.segments().last() {
        Some(Segment::Key(key)) => key,
        _ => "",
    }
}

fn unknown_key(path: &KeyPath, known: &[&str]) -> Option<String> {
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
    if known.len() == 1 {
        return format!("write {}", all());
    }
    if LATER_WORDS.contains(&word) {
        return format!("not available in this version; one of {}", all());
    }
    let near = nearest(word, known.iter().copied());
    near.map_or_else(|| format!("one of {}", all()), |near| format!("did you mean `{near}`?"))
}

/// Takes what is wrong out of the tree; `None` when nothing is left to take out.
fn repair(root: &mut Node, path: KeyPath, what: What, pruned: &mut Pruned) -> Option<()> {
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
            if let (Some(near), Some(above)) = (near, path.parent())
                && root.find(&above.key(near)).is_none()
            {
                pruned.add(above.key(near));
            }
            remove(root, path)
        }
        _ => {
            let stub = matches!(root.find(&path)?.value, Value::Stub);
            if stub && is_plain_element(root, &path) {
                // The others are still to be looked at, each under its own index.
                root.find_mut(path.segments())?.gone = true;
                return Some(());
            }
            // A stub that does not do: do without what holds it.
            let path = if stub { path.parent()? } else { path };
            pruned.add(path.clone());
            remove(root, path)
        }
    }
}

/// Whether this is an element of a list that holds single values alone.
fn is_plain_element(root: &Node, path: &KeyPath) -> bool {
    let element = matches!(path.segments().last(), Some(Segment::Index(_)));
    let list = path.parent().filter(|_| element).and_then(|list| root.find(&list));
    let plain = |item: &Node| !matches!(item.value, Value::Map(_) | Value::List(_));
    list.is_some_and(|list| list.items().iter().all(plain))
}

/// Removes a node. An element of a list leaves a stub, so that the others keep their index.
fn remove(root: &mut Node, path: KeyPath) -> Option<()> {
    let (last, above) = path.segments().split_last()?;
    let parent = root.find_mut(above)?;
    match (last, &mut parent.value) {
        (Segment::Key(key), Value::Map(entries)) => entries.retain(|entry| entry.key != *key),
        (Segment::Index(index), Value::List(items)) => {
            let item = items.get_mut(*index)?;
            let origin = item.origin.take();
            *item = Node { origin, position: item.position, ..Node::default() };
        }
        _ => return None,
    }
    Some(())
}
