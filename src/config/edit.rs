//! One key edited from outside: `POSTRIDER__A__B=value` and `--set a.b=value` as a layer of their
//! own. Elements of lists are named by index or by their `name`.

use super::layers::{Layers, is_named_list, name_of};
use super::problem::{nearest, quoted};
use super::reference::takes_text;
use super::tree::{Entry, Kind, Node, Position, Value, read_value};

/// A longer way leads to no key.
const MAX_STEPS: usize = 32;

/// An edit.
pub(super) struct Edit<'a> {
    pub(super) segments: Vec<String>,
    pub(super) value: &'a str,
    /// Names are in upper case with `_` for what a variable's name cannot hold.
    pub(super) from_environment: bool,
}

/// Why an edit cannot be made.
pub(super) struct Mistake {
    pub(super) message: String,
    pub(super) fix: Option<String>,
}

impl Edit<'_> {
    /// The layer that makes this edit over the layers so far.
    pub(super) fn layer(&self, layers: &Layers) -> Result<Node, Mistake> {
        if self.segments.len() > MAX_STEPS {
            let message = format!("more than {MAX_STEPS} steps");
            return Err(Mistake { message, fix: None });
        }
        let root = layers.tree();
        let walk = Walk { edit: self, layers };
        walk.graft(Some(&root), "", &self.segments, &mut Vec::new(), false)
    }
}

struct Walk<'a> {
    edit: &'a Edit<'a>,
    layers: &'a Layers,
}

impl Walk<'_> {
    /// A node that holds only what leads to the edited key, or with `whole` a copy of `node` with
    /// the key edited. `way` collects the keys as the schema knows them.
    fn graft(
        &self,
        node: Option<&Node>,
        path: &str,
        rest: &[String],
        way: &mut Vec<String>,
        whole: bool,
    ) -> Result<Node, Mistake> {
        let Some(first) = rest.first() else { return self.value(way) };
        if first.is_empty() {
            let between = if self.edit.from_environment { "two `_`" } else { "one dot" };
            let message = "an empty step in the path".to_owned();
            let fix = Some(format!("write {between} between keys"));
            return Err(Mistake { message, fix });
        }
        let below = |key: &str| if path.is_empty() { key.into() } else { format!("{path}.{key}") };
        if !whole && is_named_list(path) {
            let items = match node.map(|node| &node.value) {
                Some(Value::List(items)) => items.as_slice(),
                _ => &[],
            };
            let (index, used) = self.element(items, path, rest)?;
            let key = self.layers.element_key(path, index).unwrap_or(first).to_owned();
            way.push("0".into());
            let child = self.graft(items.get(index), &below(&key), &rest[used..], way, false)?;
            return Ok(leading_to(key, child));
        }
        match node.map(|node| &node.value) {
            Some(Value::List(items)) => {
                let (index, used) = self.element(items, path, rest)?;
                way.push(index.to_string());
                let child = self.graft(items.get(index), "", &rest[used..], way, true)?;
                let mut items = items.clone();
                items[index] = child;
                Ok(Node::new(Value::List(items), Position::default()))
            }
            Some(Value::Map(entries)) => {
                let (key, used) = self.key(entries, rest);
                way.push(key.clone());
                let old = entries.iter().position(|entry| entry.key == key);
                let child = old.map(|index| &entries[index].node);
                let child = self.graft(child, &below(&key), &rest[used..], way, whole)?;
                if !whole {
                    return Ok(leading_to(key, child));
                }
                let mut entries = entries.clone();
                entries.retain(|entry| entry.key != key);
                entries.push(Entry { key, position: Position::default(), node: child });
                Ok(Node::new(Value::Map(entries), Position::default()))
            }
            _ => {
                let (key, used) = self.key(&[], rest);
                way.push(key.clone());
                let child = self.graft(None, &below(&key), &rest[used..], way, whole)?;
                Ok(leading_to(key, child))
            }
        }
    }

    /// The edited value: text where the key holds text, else read as YAML.
    fn value(&self, way: &[String]) -> Result<Node, Mistake> {
        let text = self.edit.value;
        if takes_text(way) && text != "null" {
            return Ok(Node::scalar(Kind::Text, text, Position::default()));
        }
        let mut node = read_value(text).map_err(|message| Mistake { message, fix: None })?;
        node.walk_mut(&mut |node| {
            node.position = Position::default();
            if let Value::Map(entries) = &mut node.value {
                entries.iter_mut().for_each(|entry| entry.position = Position::default());
            }
        });
        Ok(node)
    }

    fn plain(&self, text: &str) -> String {
        if self.edit.from_environment {
            text.to_lowercase().replace(['-', '.'], "_")
        } else {
            text.to_owned()
        }
    }

    /// The element that the first steps name, by index or name, and how many they are: a name may
    /// hold dots.
    fn element(
        &self,
        items: &[Node],
        path: &str,
        rest: &[String],
    ) -> Result<(usize, usize), Mistake> {
        for used in (1..=rest.len()).rev() {
            let name = self.plain(&rest[..used].join("."));
            let has_name = |item: &Node| name_of(item).is_some_and(|own| self.plain(own) == name);
            if let Some(index) = items.iter().position(has_name) {
                return Ok((index, used));
            }
        }
        if let Some(index) = rest[0].parse().ok().filter(|index| *index < items.len()) {
            return Ok((index, 1));
        }
        let names: Vec<&str> = items.iter().filter_map(name_of).collect();
        let list = if path.is_empty() { "the list" } else { path };
        let near = nearest(&self.plain(&rest[0]), names.iter().copied());
        let fix = match near {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if items.is_empty() => {
                Some("name it in a file first: here it can be edited".into())
            }
            None if names.is_empty() => Some(format!("{list} has {} elements", items.len())),
            None => Some(format!("{list} has {}", quoted(names))),
        };
        Err(Mistake { message: format!("{list} has no element `{}`", rest[0]), fix })
    }

    /// The key that the first steps name, and how many they are: a key may hold dots.
    fn key(&self, entries: &[Entry], rest: &[String]) -> (String, usize) {
        for used in (1..=rest.len()).rev() {
            let name = self.plain(&rest[..used].join("."));
            if let Some(entry) = entries.iter().find(|entry| self.plain(&entry.key) == name) {
                return (entry.key.clone(), used);
            }
        }
        let first = &rest[0];
        (if self.edit.from_environment { first.to_lowercase() } else { first.clone() }, 1)
    }
}

/// A map of nothing but one key. Without a position, it takes no place of its own in `layers`.
fn leading_to(key: String, node: Node) -> Node {
    let entry = Entry { key, position: Position::default(), node };
    Node::new(Value::Map(vec![entry]), Position::default())
}
