//! Deserializing from the tree: the derived key structs ask, and what is wrong comes back with the
//! way to the node that is wrong. One question ends at its first fault; `decode` asks again.

use super::problem::quoted;
use super::tree::{Entry, Filled, Kind, Node, Scalar, Segment, Value};
use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{
    self, DeserializeSeed, Deserializer, Expected, IntoDeserializer, Unexpected, Visitor,
};
use std::fmt;

/// The name under which a type asks for a template: its raw text and its variables.
pub(super) const TEMPLATE: &str = "$postrider::template";

/// What is wrong, and the way to it.
#[derive(Debug)]
pub(super) struct Fault {
    /// The steps to the node, innermost first.
    pub(super) steps: Vec<Segment>,
    pub(super) what: What,
}

/// What is wrong with a node.
#[derive(Debug)]
pub(super) enum What {
    /// It is something else than was expected.
    Type { found: String, expected: String },
    /// It is of the right kind, but its value is not what was expected.
    Value { given: String, expected: String },
    /// It is none of the known words.
    Word { given: String, known: &'static [&'static str] },
    /// The last step is a key that nobody asks for.
    UnknownKey { known: &'static [&'static str] },
    /// It lacks a key.
    Missing(&'static str),
    /// Anything else.
    Other(String),
}

impl Fault {
    fn new(what: What) -> Fault {
        Fault { steps: Vec::new(), what }
    }

    fn at(mut self, segment: Segment) -> Fault {
        self.steps.push(segment);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Fault::new(What::Other(message.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match unexpected {
            Unexpected::Map => "a map".into(),
            Unexpected::Seq => "a list".into(),
            Unexpected::Str(_) => "text".into(),
            Unexpected::Bool(_) => "true or false".into(),
            Unexpected::Unit | Unexpected::Option => "nothing".into(),
            Unexpected::Unsigned(_) => "a number".into(),
            other => other.to_string(),
        };
        Fault::new(What::Type { found, expected: expected.to_string() })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let given = match unexpected {
            Unexpected::Str(text) => text.to_owned(),
            other => other.to_string(),
        };
        Fault::new(What::Value { given, expected: expected.to_string() })
    }

    fn unknown_variant(variant: &str, known: &'static [&'static str]) -> Self {
        Fault::new(What::Word { given: variant.to_owned(), known })
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Fault::new(What::UnknownKey { known })
    }

    fn missing_field(field: &'static str) -> Self {
        Fault::new(What::Missing(field))
    }
}

/// A node to deserialize from.
pub(super) struct NodeDe<'a>(pub(super) &'a Node);

impl Scalar {
    /// The text with its variables in place.
    pub(super) fn text(&self) -> &str {
        self.filled.as_ref().map_or(&self.text, |filled| &filled.text)
    }
}

impl<'a> NodeDe<'a> {
    fn entries(&self) -> Option<&'a [Entry]> {
        match &self.0.value {
            Value::Map(entries) => Some(entries),
            Value::Stub => Some(&[]),
            _ => None,
        }
    }

    fn items(&self) -> Option<&'a [Node]> {
        match &self.0.value {
            Value::List(items) => Some(items),
            Value::Stub => Some(&[]),
            _ => None,
        }
    }

    fn text(&self) -> Option<&'a str> {
        match &self.0.value {
            Value::Scalar(scalar) if scalar.kind != Kind::Null => Some(scalar.text()),
            Value::Stub => Some(""),
            _ => None,
        }
    }

    /// What was found instead of what the visitor expects.
    fn mismatch(&self, expected: &dyn Expected) -> Fault {
        de::Error::invalid_type(
            match &self.0.value {
                Value::Map(_) => Unexpected::Map,
                Value::List(_) => Unexpected::Seq,
                Value::Scalar(scalar) => match scalar.kind {
                    Kind::Null => Unexpected::Unit,
                    Kind::Bool => Unexpected::Bool(true),
                    Kind::Number => Unexpected::Other("a number"),
                    Kind::Text => Unexpected::Str(""),
                },
                Value::Stub => Unexpected::Unit,
            },
            expected,
        )
    }
}

impl<'de> Deserializer<'de> for NodeDe<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.0.value {
            Value::Map(_) => self.deserialize_map(visitor),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Scalar(scalar) => match scalar.kind {
                Kind::Null => visitor.visit_unit(),
                Kind::Bool => self.deserialize_bool(visitor),
                Kind::Number => visitor.visit_u64(scalar.text().parse().unwrap_or(0)),
                Kind::Text => visitor.visit_borrowed_str(scalar.text()),
            },
            Value::Stub => visitor.visit_unit(),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let substituted = match &self.0.value {
            Value::Scalar(scalar) => scalar.kind == Kind::Bool || scalar.filled.is_some(),
            _ => false,
        };
        match (&self.0.value, self.text()) {
            (Value::Stub, _) => visitor.visit_bool(false),
            (_, Some("true")) if substituted => visitor.visit_bool(true),
            (_, Some("false")) if substituted => visitor.visit_bool(false),
            (_, Some(text)) if substituted => {
                Err(de::Error::invalid_value(Unexpected::Str(text), &"`true` or `false`"))
            }
            _ => Err(self.mismatch(&"true or false")),
        }
    }

    /// Any scalar by its text: a number keeps its digits, so `0640` is a file mode and `5xx` and
    /// `503` stand in one list.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.text() {
            Some(text) => visitor.visit_borrowed_str(text),
            // The visitor of `String` would call it "a string".
            None => Err(self.mismatch(&"text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if name != TEMPLATE {
            return visitor.visit_newtype_struct(self);
        }
        let (text, filled) = match &self.0.value {
            Value::Scalar(scalar) if scalar.kind != Kind::Null => (&*scalar.text, &scalar.filled),
            Value::Stub => ("", &None),
            _ => return Err(self.mismatch(&"text")),
        };
        let values = filled.iter().flat_map(|filled: &Filled| &filled.values);
        let parts = std::iter::once(text)
            .chain(values.flat_map(|(name, value)| [name.as_str(), value.as_str()]));
        visitor.visit_seq(SeqDeserializer::new(parts))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.items() {
            Some(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            None => Err(self.mismatch(&"a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.entries() {
            Some(entries) => visitor.visit_map(Entries { entries: entries.iter(), value: None }),
            None => Err(self.mismatch(&"a map of keys")),
        }
    }

    /// As a map whose null values count as absent keys. A type that also takes a boolean asks
    /// with this, and gets it.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if fields.is_empty() && self.entries().is_none() {
            return self.deserialize_any(visitor);
        }
        match self.entries() {
            Some(entries) => {
                let present: Vec<&Entry> =
                    entries.iter().filter(|entry| !entry.node.is_null()).collect();
                visitor.visit_map(Entries { entries: present.into_iter(), value: None })
            }
            None => Err(self.mismatch(&"a map of keys")),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let word = match &self.0.value {
            Value::Stub => variants.first().copied().unwrap_or_default(),
            _ => match self.text() {
                Some(text) => text,
                None => {
                    let words = quoted(variants.iter().copied());
                    return Err(self.mismatch(&format!("a word: one of {words}").as_str()));
                }
            },
        };
        let word: StrDeserializer<'_, Fault> = word.into_deserializer();
        visitor.visit_enum(word)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct identifier
    }
}

struct Items<I> {
    items: I,
}

impl<'de, I: Iterator<Item = (usize, &'de Node)>> de::SeqAccess<'de> for Items<I> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some((index, node)) = self.items.find(|(_, node)| !node.gone) else { return Ok(None) };
        let element = seed.deserialize(NodeDe(node));
        element.map(Some).map_err(|fault| fault.at(Segment::Index(index)))
    }
}

struct Entries<'de, I> {
    entries: I,
    value: Option<&'de Entry>,
}

impl<'de, I: Iterator<Item = &'de Entry>> de::MapAccess<'de> for Entries<'de, I> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let key: StrDeserializer<'_, Fault> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|fault| fault.at(Segment::Key(entry.key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some(entry) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(NodeDe(&entry.node))
            .map_err(|fault| fault.at(Segment::Key(entry.key.clone())))
    }
}
