//! What a platform makes of an address: its path and query as the platform wants them, and what an
//! address may say by itself.

use super::Preset;
use std::collections::BTreeMap;

/// A parameter that a platform adds to the query of its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameter<'p> {
    /// Its name.
    pub name: &'p str,
    /// Its value, where it is always the same.
    pub value: Option<&'p str>,
    /// Else the option whose value it has.
    pub option: &'p str,
    /// What comes of it where the address says otherwise.
    pub otherwise: Option<&'p str>,
}

impl Preset {
    /// The path and query of an address as the platform wants them; `options` are the values of
    /// its options as plain text.
    pub fn readdress(&self, url: &mut url::Url, options: &BTreeMap<String, String>) {
        let (Some(row), Some(rest)) = (&self.file.url, self.rest(url.path())) else { return };
        let path = format!("{}{rest}", row.write);
        url.set_path(&path);
        for Parameter { name, value, option, .. } in self.parameters() {
            let value = value.or_else(|| options.get(option).map(String::as_str));
            let there = url.query_pairs().any(|(known, _)| known == *name);
            if let Some(value) = value.filter(|_| !there) {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
    }

    /// Whether an address with this path is of a kind that it knows.
    pub fn knows_path(&self, path: &str) -> bool {
        self.rest(path).is_some()
    }

    /// What it adds to the query of an address that does not say it already.
    pub fn parameters(&self) -> impl Iterator<Item = Parameter<'_>> {
        self.file.url.iter().flat_map(|row| {
            row.query.iter().map(|(name, value)| Parameter {
                name,
                value: value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')),
                option: value,
                otherwise: row.otherwise.get(name).map(String::as_str),
            })
        })
    }

    /// The ending of an address that takes another platform's messages, and that platform's name.
    pub fn other_messages(&self, path: &str) -> Option<(&str, &str)> {
        let rest = self.rest(path)?.trim_end_matches('/');
        let endings = self.file.url.iter().flat_map(|row| &row.endings);
        let (ending, other) = endings.into_iter().find(|(ending, _)| rest.ends_with(&***ending))?;
        Some((ending, other))
    }

    /// What of a path follows the beginning that the platform knows. An address of another kind,
    /// such as a proxy's, is none of its business.
    fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        let row = self.file.url.as_ref()?;
        row.instead_of.iter().find_map(|pattern| after(pattern, path))
    }
}

/// What follows a pattern at the beginning of a path; `*` stands for a number.
fn after<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let Some((head, tail)) = pattern.split_once('*') else { return path.strip_prefix(pattern) };
    let rest = path.strip_prefix(head)?;
    let number = rest.find(|c: char| !c.is_ascii_digit()).filter(|length| *length > 0)?;
    rest[number..].strip_prefix(tail)
}
