//! The way to a value of the configuration: `exports[0].retry.backoff_seconds`.

use std::fmt;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) enum Segment {
    Key(String),
    Index(usize),
}

/// The steps from the top.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) struct KeyPath(Vec<Segment>);

impl KeyPath {
    pub(in crate::config) fn new(segments: Vec<Segment>) -> KeyPath {
        KeyPath(segments)
    }

    pub(in crate::config) fn segments(&self) -> &[Segment] {
        &self.0
    }

    pub(in crate::config) fn key(&self, key: &str) -> KeyPath {
        self.with(Segment::Key(key.to_owned()))
    }

    pub(in crate::config) fn index(&self, index: usize) -> KeyPath {
        self.with(Segment::Index(index))
    }

    pub(in crate::config) fn with(&self, segment: Segment) -> KeyPath {
        let mut segments = self.0.clone();
        segments.push(segment);
        KeyPath(segments)
    }

    /// Without its last step; `None` at the top.
    pub(in crate::config) fn parent(&self) -> Option<KeyPath> {
        let (_, rest) = self.0.split_last()?;
        Some(KeyPath(rest.to_vec()))
    }

    pub(in crate::config) fn starts_with(&self, other: &KeyPath) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The path in `defaults` that gave an export this value.
    pub(in crate::config) fn in_defaults(&self) -> KeyPath {
        let rest = self.0.iter().skip(2).cloned();
        KeyPath(std::iter::once(Segment::Key("defaults".into())).chain(rest).collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                // A dot inside a key would read as a step.
                Segment::Key(key) if key.contains(['.', '[', ' ']) => write!(f, "[{key:?}]")?,
                Segment::Key(key) if n == 0 => f.write_str(key)?,
                Segment::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}
