//! A mapping made ready for one pass over a line: the top-level members that any of its paths
//! begins with are collected while the line is checked, and the rest of a path is followed inside
//! them.

use super::{Element, Field, Mapping};
use crate::event::json::{Json, JsonError, Key, Member};
use crate::event::{Envelope, FieldPath};
use std::borrow::Cow;

/// How many members are collected without asking for memory.
const FEW: usize = 12;

/// The members that were found, in the order of [`Compiled::roots`].
pub(super) type Found<'f, 'a> = &'f [Option<Member<'a>>];

/// A mapping made ready.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    /// The top-level members that are looked for.
    roots: Box<[Root]>,
    /// Their lengths, one bit each: most other members have another one.
    lengths: u64,
    pub(super) id: Parts,
    pub(super) timestamp: Parts,
    pub(super) kind: Parts,
    pub(super) agent: Parts,
    pub(super) severity: Box<[Spot]>,
    /// The fields of each severity rule.
    pub(super) rules: Box<[Box<[Spot]>]>,
}

/// The name of a top-level member.
#[derive(Debug, Clone)]
struct Root {
    name: Box<str>,
    /// See [`head`].
    head: u64,
}

/// Where one value is: a top-level member, and the way on from it.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    root: usize,
    /// Whether the top-level member is all of the way.
    is_member: bool,
    path: FieldPath,
}

/// A field of the envelope.
#[derive(Debug, Clone)]
pub(super) enum Parts {
    /// One path, as nearly all are.
    One(Spot),
    Several(Box<[Part]>),
}

#[derive(Debug, Clone)]
pub(super) struct Part {
    before: Box<str>,
    spots: Box<[Spot]>,
    /// The list of an element, and which of its elements it is.
    element: Option<(Spot, Element)>,
    optional: bool,
}

impl Compiled {
    pub(super) fn new(mapping: &Mapping) -> Self {
        let mut roots = Vec::new();
        let rule = |paths: Vec<&FieldPath>, roots: &mut Vec<Root>| -> Box<[Spot]> {
            paths.into_iter().map(|path| Spot::new(path, roots)).collect()
        };
        // The order is that in which events usually have them; it costs nothing.
        let id = Parts::new(&mapping.id, &mut roots);
        let timestamp = Parts::new(&mapping.timestamp, &mut roots);
        let kind = Parts::new(&mapping.kind, &mut roots);
        let agent = Parts::new(&mapping.agent, &mut roots);
        let severity = rule(mapping.severity.from.iter().collect(), &mut roots);
        let rules = mapping.severity.rules.iter();
        let rules = rules
            .map(|rules| rule(rules.when.iter().map(|(path, _)| path).collect(), &mut roots))
            .collect();
        let lengths = roots.iter().fold(0, |lengths, root| lengths | length_bit(&root.name));
        Compiled { roots: roots.into(), lengths, id, timestamp, kind, agent, severity, rules }
    }

    /// Checks a line and makes an envelope of what was found on the way.
    pub(super) fn look<'a>(
        &self,
        line: &'a str,
        read: impl FnOnce(Found<'_, 'a>) -> Envelope<'a>,
    ) -> Result<(Json<'a>, Envelope<'a>), JsonError> {
        let (mut few, mut many) = ([None; FEW], Vec::new());
        let found = match few.get_mut(..self.roots.len()) {
            Some(found) => found,
            None => {
                many.resize(self.roots.len(), None);
                &mut many
            }
        };
        let json = Json::check_object(line, |member| {
            if let Some(found) = self.root(member.key).and_then(|root| found.get_mut(root)) {
                *found = Some(member);
            }
        })?;
        Ok((json, read(found)))
    }

    /// Which of the members that are looked for this is.
    #[inline]
    fn root(&self, key: Key<'_>) -> Option<usize> {
        if key.escaped {
            return self.roots.iter().position(|root| key.is(&root.name));
        }
        if self.lengths & length_bit(key.raw) == 0 {
            return None;
        }
        let head = head(key.raw);
        self.roots.iter().position(|root| root.head == head && *root.name == *key.raw)
    }
}

/// The first eight bytes of a name, in one word: nearly always they tell it from the others.
#[inline]
fn head(name: &str) -> u64 {
    match name.as_bytes().first_chunk::<8>() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => name.bytes().rev().fold(0, |word, byte| word << 8 | u64::from(byte)),
    }
}

/// The bit that stands for a name's length.
fn length_bit(name: &str) -> u64 {
    1 << name.len().min(63)
}

impl Spot {
    fn new(path: &FieldPath, roots: &mut Vec<Root>) -> Self {
        let name = path.segments().next().unwrap_or_default();
        let root = roots.iter().position(|root| *root.name == *name).unwrap_or_else(|| {
            roots.push(Root { name: name.into(), head: head(name) });
            roots.len() - 1
        });
        Spot { root, is_member: path.segments().nth(1).is_none(), path: path.clone() }
    }

    pub(super) fn find<'a>(&self, found: Found<'_, 'a>) -> Option<Json<'a>> {
        self.path.find_from(self.member(found)?.value, 1)
    }

    /// The text of a string, number or boolean there.
    pub(super) fn scalar<'a>(&self, found: Found<'_, 'a>) -> Option<Cow<'a, str>> {
        let member = self.member(found)?;
        if self.is_member { member.as_scalar() } else { self.find(found)?.as_scalar() }
    }

    fn member<'a>(&self, found: Found<'_, 'a>) -> Option<Member<'a>> {
        *found.get(self.root)?
    }

    fn text<'a>(&self, found: Found<'_, 'a>) -> Option<Cow<'a, str>> {
        self.scalar(found).filter(|text| !text.is_empty())
    }
}

impl Element {
    fn text<'a>(&self, list: Json<'a>) -> Option<Cow<'a, str>> {
        let is = |item: &Json<'a>| {
            self.name.find(*item).and_then(Json::as_str).is_some_and(|name| *name == *self.is)
        };
        let item = list.items().find(is)?;
        self.at.find(item)?.as_scalar().filter(|text| !text.is_empty())
    }
}

impl Parts {
    fn new(field: &Field, roots: &mut Vec<Root>) -> Self {
        if let [part] = &field.0[..]
            && let ([path], None) = (&part.paths[..], &part.element)
        {
            return Parts::One(Spot::new(path, roots));
        }
        let part = |part: &super::Part| Part {
            before: part.before.clone(),
            spots: part.paths.iter().map(|path| Spot::new(path, roots)).collect(),
            element: part.element.clone().map(|element| (Spot::new(&element.of, roots), element)),
            optional: part.optional,
        };
        Parts::Several(field.0.iter().map(part).collect())
    }

    /// The field's text; `None` where it is absent or empty.
    pub(super) fn read<'a>(&self, found: Found<'_, 'a>) -> Option<Cow<'a, str>> {
        let parts = match self {
            Parts::One(spot) => return spot.text(found),
            Parts::Several(parts) => parts,
        };
        let mut whole: Option<Cow<'a, str>> = None;
        for part in parts {
            let text = part.spots.iter().find_map(|spot| spot.text(found));
            let text = text.or_else(|| {
                let (list, element) = part.element.as_ref()?;
                element.text(list.find(found)?)
            });
            whole = match (text, whole) {
                (None, whole) if part.optional => whole,
                (None, _) => return None,
                (Some(text), None) => Some(text),
                (Some(text), Some(whole)) => {
                    Some(Cow::Owned([&*whole, &*part.before, &*text].concat()))
                }
            };
        }
        whole
    }
}
