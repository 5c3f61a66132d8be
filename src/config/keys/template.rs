//! Templates as users write them: raw text, with the values of its variables beside it.

use crate::config::de::TEMPLATE;
use crate::template::TemplateText;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// A template: text with `{{…}}` for values of the event and `${…}` for variables.
#[derive(Debug, Clone, Default)]
pub(in crate::config) struct TemplateKey(pub(in crate::config) TemplateText);

impl<'de> Deserialize<'de> for TemplateKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = TemplateText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_str<E>(self, text: &str) -> Result<TemplateText, E> {
                Ok(TemplateText { text: text.to_owned(), variables: BTreeMap::new() })
            }

            /// The text, then names and values of its variables by turns.
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<TemplateText, A::Error> {
                let text = parts.next_element()?.unwrap_or_default();
                let mut variables = BTreeMap::new();
                while let Some(name) = parts.next_element()? {
                    variables.insert(name, parts.next_element()?.unwrap_or_default());
                }
                Ok(TemplateText { text, variables })
            }
        }

        deserializer.deserialize_newtype_struct(TEMPLATE, Parts).map(TemplateKey)
    }
}
