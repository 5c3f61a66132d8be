//! The layers of a configuration laid over each other: defaults, files in their order, the
//! environment, `--set`.
//!
//! figment does the laying and remembers which layer each value came from. Its own readers would
//! lose the positions, so what it lays are handles of the nodes of our trees; and lists of named
//! things become dictionaries by name on the way in and lists again on the way out.

use super::tree::{Entry, Node, Origin, Position, Value};
use figment::value::{Dict, Map, Num, Tag, Value as Laid};
use figment::{Figment, Metadata, Profile, Provider};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The lists whose elements are known by their `name`.
const NAMED_LISTS: [&str; 3] = ["sources", "exports", "admin.tokens"];

/// Under this key a dictionary keeps the handle of its own map or list. No document has an empty
/// key: `tree` refuses it.
const SELF: &str = "";

/// Whether a path leads to a list of named things.
pub(super) fn is_named_list(path: &str) -> bool {
    NAMED_LISTS.contains(&path)
}

/// The layers so far.
#[derive(Default)]
pub(super) struct Layers {
    figment: Figment,
    /// Every node that was laid, by its handle; of maps and named lists only the shell.
    nodes: Vec<Entry>,
    /// The origins by their labels, lowest first.
    origins: Vec<Arc<Origin>>,
    /// The elements of the named lists in the order they first appeared, by their keys.
    order: BTreeMap<String, Vec<String>>,
}

/// One layer on its way into figment.
struct Layer<'a> {
    origin: &'a Origin,
    /// Its place in [`Layers::origins`].
    index: usize,
    dict: Dict,
}

impl Provider for Layer<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::from(self.origin.label.clone(), self.index.to_string())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

impl Layers {
    /// Lays a tree over those so far.
    pub(super) fn add(&mut self, origin: Arc<Origin>, tree: Node) {
        let Laid::Dict(_, dict) = self.encode(shell("", tree), "") else { return };
        let layer = Layer { origin: &origin, index: self.origins.len(), dict };
        self.figment = std::mem::take(&mut self.figment).merge(layer);
        self.origins.push(origin);
    }

    /// The labels of the origins, lowest first.
    pub(super) fn labels(&self) -> Vec<String> {
        self.origins.iter().map(|origin| origin.label.clone()).collect()
    }

    /// The key under which the element of a named list is laid, by its index.
    pub(super) fn element_key(&self, list: &str, index: usize) -> Option<&str> {
        self.order.get(list)?.get(index).map(String::as_str)
    }

    fn keep(&mut self, entry: Entry) -> Laid {
        self.nodes.push(entry);
        Laid::Num(Tag::Default, Num::USize(self.nodes.len() - 1))
    }

    fn encode(&mut self, entry: Entry, path: &str) -> Laid {
        let Entry { key, position, mut node } = entry;
        let children: Vec<(String, Entry)> = match std::mem::take(&mut node.value) {
            // A map that only leads to an edited key: the one it edits keeps its place.
            Value::Map(entries) if node.position == Position::default() => {
                let mut dict = Dict::new();
                self.encode_children(&mut dict, named(entries), path);
                return Laid::Dict(Tag::Default, dict);
            }
            Value::Map(entries) => {
                node.value = Value::Map(Vec::new());
                named(entries)
            }
            Value::List(items) if is_named_list(path) => {
                node.value = Value::List(Vec::new());
                self.name_elements(items, path)
            }
            value => {
                node.value = value;
                return self.keep(Entry { key, position, node });
            }
        };
        let handle = self.keep(Entry { key, position, node });
        let mut dict = Dict::from([(SELF.to_owned(), handle)]);
        self.encode_children(&mut dict, children, path);
        Laid::Dict(Tag::Default, dict)
    }

    fn encode_children(&mut self, dict: &mut Dict, children: Vec<(String, Entry)>, path: &str) {
        for (key, child) in children {
            let laid = self.encode(child, &joined(path, &key));
            dict.insert(key, laid);
        }
    }

    /// The elements of a named list by the keys they are laid under: their names. One without a
    /// name, and the second of a name in one file, keep a place of their own, so that `check` can
    /// say what is wrong with them.
    fn name_elements(&mut self, items: Vec<Node>, path: &str) -> Vec<(String, Entry)> {
        let mut named: Vec<(String, Entry)> = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let name = name_of(&item).filter(|name| !named.iter().any(|(key, _)| key == name));
            let key = match name {
                Some(name) => name.to_owned(),
                None => format!("\u{1}{}.{index}", self.origins.len()),
            };
            let order = self.order.entry(path.to_owned()).or_default();
            if !order.contains(&key) {
                order.push(key.clone());
            }
            named.push((key, shell("", item)));
        }
        named
    }

    /// The whole as it lies now.
    pub(super) fn tree(&self) -> Node {
        let dict = self.figment.data().ok().and_then(|mut data| data.remove(&Profile::Default));
        let top = Laid::Dict(Tag::Default, dict.unwrap_or_default());
        let (_, entry) = self.decode(&top, "", "").unwrap_or_default();
        entry.node
    }

    /// The entry that a laid value stands for, and its handle.
    fn decode(&self, laid: &Laid, key: &str, path: &str) -> Option<(usize, Entry)> {
        let kept = |laid: Option<&Laid>| match laid {
            Some(Laid::Num(_, Num::USize(handle))) => {
                self.nodes.get(*handle).map(|entry| (*handle, entry.clone()))
            }
            _ => None,
        };
        let (mut handle, mut entry, tag) = match laid {
            Laid::Dict(_, dict) => {
                let own = dict.get(SELF);
                let led = || {
                    (usize::MAX, shell(key, Node::new(Value::Map(Vec::new()), Position::default())))
                };
                let (handle, entry) = kept(own).unwrap_or_else(led);
                (handle, entry, own.or(dict.values().next()).map_or(Tag::Default, Laid::tag))
            }
            leaf => {
                let (handle, entry) = kept(Some(leaf))?;
                (handle, entry, leaf.tag())
            }
        };
        if let Laid::Dict(_, dict) = laid {
            let child = |key: &String| self.decode(dict.get(key)?, key, &joined(path, key));
            let mut children: Vec<(usize, Entry)> = match (&entry.node.value, self.order.get(path))
            {
                (Value::List(_), Some(order)) => order.iter().filter_map(child).collect(),
                _ => dict.keys().filter(|key| *key != SELF).filter_map(child).collect(),
            };
            entry.node.value = match entry.node.value {
                Value::List(_) => {
                    Value::List(children.into_iter().map(|(_, entry)| entry.node).collect())
                }
                _ => {
                    // Handles rise with the layers and inside each with the text.
                    children.sort_by_key(|(handle, _)| *handle);
                    handle = handle.min(children.first().map_or(handle, |(first, _)| *first));
                    Value::Map(children.into_iter().map(|(_, entry)| entry).collect())
                }
            };
        }
        let origin = self.origin_of(tag);
        entry.node.walk_mut(&mut |node| {
            if node.origin.is_none() {
                node.origin.clone_from(&origin);
            }
        });
        Some((handle, entry))
    }

    /// The layer that figment says a value came from.
    fn origin_of(&self, tag: Tag) -> Option<Arc<Origin>> {
        let metadata = self.figment.get_metadata(tag)?;
        let index: usize = metadata.source.as_ref()?.custom()?.parse().ok()?;
        self.origins.get(index).cloned()
    }
}

fn named(entries: Vec<Entry>) -> Vec<(String, Entry)> {
    entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect()
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn shell(key: &str, node: Node) -> Entry {
    Entry { key: key.to_owned(), position: node.position, node }
}

/// The name of an element of a named list, as written.
pub(super) fn name_of(element: &Node) -> Option<&str> {
    let name = element.get("name")?.as_scalar()?;
    Some(name.text.as_str()).filter(|name| !name.is_empty())
}
