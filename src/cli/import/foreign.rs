//! Another system's file as it is read: values that are taken out one by one, so that what nobody
//! asked for can be named in the end.

use super::literal;
use serde_json::{Map, Value};

/// A map of another system's file.
pub(super) struct Foreign {
    map: Map<String, Value>,
    /// Where it stands, such as `notify.webhooks[0]`; empty at the top.
    place: String,
}

impl Foreign {
    /// Reads a file, YAML or JSON.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let options = serde_saphyr::options! {
            // A key named `on` is no boolean.
            strict_booleans: true,
            with_snippet: false,
        };
        let value: Value =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| match error {
                serde_saphyr::Error::MultipleDocuments { .. } => {
                    "there are several YAML documents in it: keep the one with the webhooks"
                        .to_owned()
                }
                error => error.to_string(),
            })?;
        match value {
            Value::Object(map) => Ok(Foreign { map, place: String::new() }),
            _ => Err("not a map of keys".to_owned()),
        }
    }

    /// Where a key of it stands.
    pub(super) fn place(&self, key: &str) -> String {
        if self.place.is_empty() { key.to_owned() } else { format!("{}.{key}", self.place) }
    }

    /// Whether it has a value of that key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !value.is_null())
    }

    /// Takes a value out.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key).filter(|value| !value.is_null())
    }

    /// Takes a map out; `None` where it is absent.
    pub(super) fn map(&mut self, key: &str) -> Result<Option<Foreign>, String> {
        let place = self.place(key);
        match self.take(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Foreign { map, place })),
            Some(_) => Err(format!("{place}: not a map of keys")),
        }
    }

    /// Takes a list of maps out.
    pub(super) fn maps(&mut self, key: &str) -> Result<Option<Vec<Foreign>>, String> {
        let place = self.place(key);
        let Some(value) = self.take(key) else { return Ok(None) };
        let Value::Array(items) = value else { return Err(format!("{place}: not a list")) };
        let maps = items.into_iter().enumerate().map(|(index, item)| match item {
            Value::Object(map) => Ok(Foreign { map, place: format!("{place}[{index}]") }),
            _ => Err(format!("{place}[{index}]: not a map of keys")),
        });
        maps.collect::<Result<_, _>>().map(Some)
    }

    /// Takes a text out; numbers and booleans are texts too.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, String> {
        let place = self.place(key);
        self.take(key).map(|value| scalar(value, &place)).transpose()
    }

    /// Takes out the URL that must be there.
    pub(super) fn url(&mut self) -> Result<String, String> {
        let place = self.place("url");
        let url = self.text("url")?.ok_or_else(|| format!("{place}: missing key"))?;
        literal::url(&url).map_err(|wrong| format!("{place}: {wrong}"))
    }

    /// Takes a list of globs out, in which `!` means nothing but itself.
    pub(super) fn globs(&mut self, key: &str) -> Result<Option<Vec<String>>, String> {
        let globs = self.texts(key)?;
        Ok(globs.map(|globs| globs.into_iter().map(literal::glob).collect()))
    }

    /// Takes a list of texts out; a single one is a list too.
    pub(super) fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, String> {
        let place = self.place(key);
        let items = match self.take(key) {
            None => return Ok(None),
            Some(Value::Array(items)) => items,
            Some(item) => vec![item],
        };
        items.into_iter().map(|item| scalar(item, &place)).collect::<Result<_, _>>().map(Some)
    }

    /// Takes a number out that is not negative.
    pub(super) fn number(&mut self, key: &str) -> Result<Option<u64>, String> {
        let place = self.place(key);
        match self.take(key) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(format!("{place}: not a whole number")),
            },
        }
    }

    /// Takes a boolean out.
    pub(super) fn boolean(&mut self, key: &str) -> Result<Option<bool>, String> {
        let place = self.place(key);
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(value)),
            Some(_) => Err(format!("{place}: neither true nor false")),
        }
    }

    /// Takes out what is left: each key and its value.
    pub(super) fn rest(&mut self) -> Map<String, Value> {
        std::mem::take(&mut self.map)
    }

    /// Takes out what is left, and notes that nothing came of it.
    pub(super) fn leave(&mut self, notes: &mut Vec<String>) {
        for key in self.rest().keys() {
            notes.push(format!("{}: no key of postrider does that", self.place(key)));
        }
    }
}

fn scalar(value: Value, place: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        _ => Err(format!("{place}: not a text")),
    }
}
