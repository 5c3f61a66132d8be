//! Walking a JSON text along the paths that have bounds, in one pass and without a tree. The text
//! was checked before: what is not JSON is no concern here.

use crate::event::json::{Key, first_special, nested_length};

/// Where bounds stand: a tree of the paths that have any.
#[derive(Debug)]
pub(super) struct Node<L> {
    keys: Vec<(Box<str>, Node<L>)>,
    /// Elements of an array.
    each: Option<Box<Node<L>>>,
    /// Elements of an array by their `type`, before `each`.
    typed: Vec<(Box<str>, Node<L>)>,
    pub(super) leaf: Option<L>,
    /// Texts of up to this length need no look at what is here, see [`Node::measure`].
    harmless: usize,
}

impl<L> Default for Node<L> {
    fn default() -> Self {
        Node { keys: Vec::new(), each: None, typed: Vec::new(), leaf: None, harmless: 0 }
    }
}

impl<L> Node<L> {
    /// The node at a path, made where there is none: names, `*` for each element of an array,
    /// `*(name)` for each whose `type` is that name.
    pub(super) fn at(&mut self, path: &str) -> &mut Node<L> {
        path.split('.').fold(self, |node, step| {
            if step == "*" {
                return node.each.get_or_insert_default();
            }
            let kind = step.strip_prefix("*(").and_then(|kind| kind.strip_suffix(')'));
            let (list, name) = match kind {
                Some(kind) => (&mut node.typed, kind),
                None => (&mut node.keys, step),
            };
            let known = list.iter().position(|(known, _)| **known == *name);
            let at = known.unwrap_or_else(|| {
                list.push((name.into(), Node::default()));
                list.len() - 1
            });
            &mut list[at].1
        })
    }

    /// Notes for this node and all below how long a whole text may be for none of its values to
    /// matter; `of` tells that of one leaf.
    pub(super) fn measure(&mut self, of: &dyn Fn(&L) -> usize) -> usize {
        let keys = self.keys.iter_mut().chain(&mut self.typed).map(|(_, node)| node);
        let below = keys.chain(self.each.as_deref_mut()).map(|node| node.measure(of)).min();
        let here = self.leaf.as_ref().map(of);
        self.harmless = below.into_iter().chain(here).min().unwrap_or(usize::MAX);
        self.harmless
    }
}

/// A value that has a bound.
pub(super) struct Spot<'t, 'l, L> {
    pub(super) leaf: &'l L,
    /// Where the value begins in the text.
    pub(super) start: usize,
    /// The value as it is written.
    pub(super) raw: &'t str,
    /// How many elements an array has; 0 for anything else.
    pub(super) items: usize,
}

/// Finds the values that have bounds, inner ones before those they stand in.
pub(super) fn walk<'t, 'l, L>(
    text: &'t str,
    root: &'l Node<L>,
    found: &mut dyn FnMut(Spot<'t, 'l, L>),
) {
    Cursor::new(text).whole(root, found);
}

/// [`walk`] without the values that do not matter in a text of this length.
pub(super) fn walk_doubtful<'t, 'l, L>(
    text: &'t str,
    root: &'l Node<L>,
    found: &mut dyn FnMut(Spot<'t, 'l, L>),
) {
    Cursor { length: Some(text.len()), ..Cursor::new(text) }.whole(root, found);
}

/// Every string value of a text with the key it stands under: where it begins, as it is written,
/// the key as it is written between its quotes.
pub(super) fn strings<'t>(text: &'t str, found: &mut dyn FnMut(usize, &'t str, &'t str)) {
    let mut cursor = Cursor::new(text);
    let mut key = "";
    while let Some(ahead) = memchr::memchr(b'"', &text.as_bytes()[cursor.at..]) {
        cursor.at += ahead;
        let start = cursor.at;
        let string = cursor.string().raw;
        let raw = &text[start..cursor.at];
        cursor.space();
        if cursor.peek() == b':' { key = string } else { found(start, raw, key) }
    }
}

/// A string without its quotes.
pub(super) fn inner(raw: &str) -> &str {
    raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default()
}

/// Where the element of this index begins in an array, and where the last one ends.
pub(super) fn element(raw: &str, index: usize) -> (usize, usize) {
    let mut cursor = Cursor { at: 1, ..Cursor::new(raw) };
    let (mut begin, mut end) = (raw.len().saturating_sub(1), 1);
    for number in 0.. {
        cursor.space();
        if matches!(cursor.peek(), b']' | 0) {
            break;
        }
        if number == index {
            begin = cursor.at;
        }
        cursor.skip();
        end = cursor.at;
        cursor.space();
        if cursor.peek() == b',' {
            cursor.at += 1;
        }
    }
    (begin, end)
}

#[derive(Clone, Copy)]
struct Cursor<'t> {
    text: &'t str,
    at: usize,
    /// Values that do not matter in a text of this length are passed over.
    length: Option<usize>,
}

impl<'t> Cursor<'t> {
    fn new(text: &'t str) -> Self {
        Cursor { text, at: 0, length: None }
    }

    fn whole<'l, L>(mut self, root: &'l Node<L>, found: &mut dyn FnMut(Spot<'t, 'l, L>)) {
        self.space();
        self.value(root, found);
    }

    /// The byte ahead; 0 at the end.
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        // Nearly always nothing is to be skipped, and one look tells.
        while self.peek() <= b' ' && matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Steps over a string; returns it as it is written.
    #[inline]
    fn string(&mut self) -> Key<'t> {
        let start = self.at;
        let escaped = self.skip_string();
        Key { raw: inner(&self.text[start..self.at]), escaped }
    }

    /// Steps over a string, and tells whether any of it is escaped.
    #[inline]
    fn skip_string(&mut self) -> bool {
        let bytes = self.text.as_bytes();
        let mut at = self.at + 1;
        let mut escaped = false;
        while let Some(rest) = bytes.get(at..) {
            at += first_special(rest);
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return escaped;
                }
                Some(b'\\') => at += 2,
                _ => break,
            }
            escaped = true;
        }
        self.at = bytes.len();
        escaped
    }

    /// Steps over a value.
    fn skip(&mut self) {
        match self.peek() {
            b'"' => drop(self.skip_string()),
            b'{' | b'[' => self.at += nested_length(&self.text.as_bytes()[self.at..]),
            0 => {}
            _ => {
                self.at += 1;
                while !matches!(self.peek(), b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t' | 0)
                {
                    self.at += 1;
                }
            }
        }
    }

    fn value<'l, L>(&mut self, node: &'l Node<L>, found: &mut dyn FnMut(Spot<'t, 'l, L>)) {
        if self.length.is_some_and(|length| node.harmless >= length) {
            return self.skip();
        }
        let start = self.at;
        let mut items = 0;
        match self.peek() {
            b'{' if !node.keys.is_empty() => self.members(|cursor, key| {
                let child = node.keys.iter().find(|(name, _)| key.is(name));
                match child {
                    Some((_, child)) => cursor.value(child, found),
                    None => cursor.skip(),
                }
                true
            }),
            b'[' => {
                self.at += 1;
                self.space();
                while !matches!(self.peek(), b']' | 0) {
                    items += 1;
                    match node.element(*self) {
                        Some(element) => self.value(element, found),
                        None => self.skip(),
                    }
                    self.next();
                }
                self.at += 1;
            }
            _ => self.skip(),
        }
        if let Some(leaf) = &node.leaf {
            let raw = &self.text[start..self.at.min(self.text.len())];
            found(Spot { leaf, start, raw, items });
        }
    }

    /// Steps over an object; `member` gets each key, the cursor at its value, and steps over that,
    /// and tells whether it wants the next.
    fn members(&mut self, mut member: impl FnMut(&mut Self, Key<'t>) -> bool) {
        self.at += 1;
        self.space();
        while self.peek() == b'"' {
            let key = self.string();
            self.space();
            self.at += 1;
            self.space();
            if !member(self, key) {
                return;
            }
            self.next();
        }
        self.at += 1;
    }

    /// Steps over a comma and the white space around it.
    fn next(&mut self) {
        self.space();
        if self.peek() == b',' {
            self.at += 1;
            self.space();
        }
    }
}

impl<L> Node<L> {
    /// The bounds of the element that begins at the cursor.
    fn element(&self, mut cursor: Cursor<'_>) -> Option<&Node<L>> {
        if !self.typed.is_empty() && cursor.peek() == b'{' {
            let mut kind = "";
            // Nobody gives it twice, and nearly all give it first.
            cursor.members(|cursor, key| {
                let start = cursor.at;
                cursor.skip();
                let found = key.is("type");
                if found {
                    kind = inner(&cursor.text[start..cursor.at]);
                }
                !found
            });
            if let Some((_, node)) = self.typed.iter().find(|(name, _)| **name == *kind) {
                return Some(node);
            }
        }
        self.each.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_matter_is_passed_over() {
        let mut root = Node::default();
        for (path, harmless) in [("a", 20), ("b.*.c", 40), ("b.*(t).c", 0), ("d.e", 19)] {
            root.at(path).leaf = Some(harmless);
        }
        assert_eq!(root.measure(&|harmless| *harmless), 0);
        let found = |text: &str| {
            let mut spots = Vec::new();
            walk_doubtful(text, &root, &mut |spot| spots.push(*spot.leaf));
            spots
        };
        assert!(found(r#"{"a":1,"d":{"e":2}}"#).is_empty());
        assert_eq!(found(r#"{"a":1,"d":{"e":22}}"#), [19]);
        assert_eq!(
            found(r#"{"d":{"e":2}, "a":1, "b":[{"c":3},{"type":"t","c":4}]}"#),
            [19, 20, 40, 0]
        );
    }

    fn found(text: &str, paths: &[&str]) -> Vec<String> {
        let mut root = Node::default();
        for path in paths {
            root.at(path).leaf = Some((*path).to_owned());
        }
        let mut spots = Vec::new();
        walk(text, &root, &mut |spot| {
            assert!(text[spot.start..].starts_with(spot.raw));
            spots.push(format!("{}={}#{}", spot.leaf, spot.raw, spot.items));
        });
        spots
    }

    #[test]
    fn values_are_found_at_their_paths() {
        let text = r#" { "a" : "x\"]", "b":[1, {"c":"d","type":"t"} ,{"type":"u","c":"e"}, [ ]],
            "\u0061b": {"a": null}, "n": -1.5e3 } "#;
        for (paths, spots) in [
            (&["a", "n", "x.y"][..], &[r#"a="x\"]"#.to_owned() + "\"#0", "n=-1.5e3#0".into()][..]),
            (&["b.*.c"], &["b.*.c=\"d\"#0".into(), "b.*.c=\"e\"#0".into()]),
            (&["b.*(t).c"], &["b.*(t).c=\"d\"#0".into()]),
            (&["ab.a"], &["ab.a=null#0".into()]),
        ] {
            assert_eq!(found(text, paths), spots, "{paths:?}");
        }
        assert_eq!(found("[[1,2],[],3]", &["*"]), ["*=[1,2]#2", "*=[]#0", "*=3#0"]);
    }

    #[test]
    fn elements_have_their_place() {
        let raw = r#"[ "a", {"b":[1]} ,3 ]"#;
        for (index, rest) in [(0, r#""a", {"b":[1]} ,3"#), (1, r#"{"b":[1]} ,3"#), (2, "3")] {
            let (begin, end) = element(raw, index);
            assert_eq!(&raw[begin..end], rest);
        }
    }

    #[test]
    fn strings_are_told_from_keys() {
        let mut seen = Vec::new();
        strings(r#"{"a": "x", "b": ["y", {"c":"z"}], "d\"": "w\\"}"#, &mut |_, raw, key| {
            seen.push(format!("{key}:{raw}"));
        });
        assert_eq!(seen, [r#"a:"x""#, r#"b:"y""#, r#"c:"z""#, r#"d\":"w\\""#]);
    }
}
