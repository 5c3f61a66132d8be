//! Where an event keeps its envelope's fields: the built-in schemas, which are data (`*.yaml`
//! beside this file), and the mappings that users write. Reading a line checks the whole of it and
//! looks up those fields in one pass.

mod builtin;
mod compiled;
#[cfg(test)]
mod tests;
mod time;

pub use builtin::{BuiltIn, NAMES, built_in};
pub(crate) use time::{is_rfc_3339, may_be, since_1970};

use crate::event::json::{Json, JsonError};
use crate::event::{Envelope, FieldPath, Globs, Severity, SeverityScale};
use compiled::{Compiled, Found};
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A mapping, ready to read lines with.
#[derive(Debug, Clone)]
pub struct Schema {
    mapping: Mapping,
    compiled: Compiled,
}

/// Where the five fields of the envelope are found.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The event's id.
    pub id: Field,
    /// When it happened.
    pub timestamp: Field,
    /// What happened.
    pub kind: Field,
    /// Who did it.
    pub agent: Field,
    /// How bad it is.
    pub severity: SeverityMapping,
    /// The zone of times that name none.
    pub timezone: TimeZone,
}

/// A field of the envelope: its parts one after another. It is absent where a part is that is not
/// optional, and where it has no parts.
#[derive(Debug, Clone, Default)]
pub struct Field(pub Vec<Part>);

/// A part of a field.
#[derive(Debug, Clone)]
pub struct Part {
    /// What stands before it, where anything does.
    pub before: Box<str>,
    /// Where it is: the first of these that is there and not empty.
    pub paths: Vec<FieldPath>,
    /// Where else it is, if at none of them.
    pub element: Option<Element>,
    /// Whether the field can do without it.
    pub optional: bool,
}

/// A value in a list of named ones: `[{"key": "a", "value": 1}]`.
#[derive(Debug, Clone)]
pub struct Element {
    /// The list.
    pub of: FieldPath,
    /// Where an element's name is, inside it.
    pub name: FieldPath,
    /// The name: the first element that has it counts.
    pub is: Box<str>,
    /// Where the value is, inside the element.
    pub at: FieldPath,
}

/// How an event's severity is found: the first rule that holds, else the first field that says
/// something a table knows, else `unknown` where one is there, else the default.
#[derive(Debug, Clone)]
pub struct SeverityMapping {
    /// Rules over other fields, in order.
    pub rules: Vec<SeverityRule>,
    /// The fields with a word or number.
    pub from: Vec<FieldPath>,
    /// Words of those fields that stand for a level, looked up before the usual spellings.
    pub map: BTreeMap<String, Severity>,
    /// What the fields' numbers mean.
    pub scale: SeverityScale,
    /// For events without any of the fields.
    pub default: Severity,
}

impl SeverityMapping {
    /// The level of a word of `map`; as everywhere, a word is known by its letters, not by their
    /// case.
    fn word(&self, text: &str) -> Option<Severity> {
        if self.map.is_empty() {
            return None;
        }
        let in_any_case = || self.map.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        self.map.get(text).or_else(|| in_any_case().map(|(_, known)| known)).copied()
    }
}

/// One severity rule: where every field matches one of its globs, the event is this bad.
#[derive(Debug, Clone)]
pub struct SeverityRule {
    /// The fields to look at.
    pub when: Vec<(FieldPath, Globs)>,
    /// The severity where all of them match.
    pub is: Severity,
}

impl From<FieldPath> for Field {
    fn from(path: FieldPath) -> Self {
        Field(vec![Part { before: "".into(), paths: vec![path], element: None, optional: false }])
    }
}

impl Field {
    /// Where the pieces of a value go for it to be read back, as far as it can be taken apart.
    pub fn places<'a>(&'a self, value: &'a str) -> Vec<(&'a FieldPath, &'a str)> {
        let mut places = Vec::new();
        let mut rest = Some(value);
        for (index, part) in self.0.iter().enumerate() {
            let Some(path) = part.paths.first() else { continue };
            let next = self.0.get(index + 1..).unwrap_or_default();
            let Some(text) = rest else {
                if !part.optional {
                    places.push((path, "test"));
                }
                continue;
            };
            if part.optional && next.iter().any(|part| !part.optional) {
                continue;
            }
            let cut = next
                .iter()
                .find_map(|part| text.split_once(&*part.before).filter(|(own, _)| !own.is_empty()));
            let (own, after) = cut.map_or((text, None), |(own, after)| (own, Some(after)));
            places.push((path, own));
            rest = after;
        }
        places
    }
}

impl Default for Schema {
    /// The `postrider` schema: the fields by their own names at the top level.
    fn default() -> Self {
        let field = |name: &str| -> FieldPath { name.parse().expect("a plain name is a path") };
        Schema::new(Mapping {
            id: field("audit_id").into(),
            timestamp: field("timestamp").into(),
            kind: field("event_kind").into(),
            agent: field("agent_id").into(),
            severity: SeverityMapping {
                rules: Vec::new(),
                from: vec![field("severity")],
                map: BTreeMap::new(),
                scale: SeverityScale::Syslog,
                default: Severity::Info,
            },
            timezone: TimeZone::UTC,
        })
    }
}

impl Schema {
    /// Makes a mapping ready to read lines with.
    pub fn new(mapping: Mapping) -> Self {
        let compiled = Compiled::new(&mapping);
        Schema { mapping, compiled }
    }

    /// Where the fields are found.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Checks that a line is one JSON object and reads its envelope in place. Of repeated keys the
    /// last counts; a field that is neither string, number nor boolean counts as absent.
    ///
    /// # Errors
    /// Where the line is not one JSON object; says what is wrong and at which column.
    pub fn read<'a>(&self, line: &'a str) -> Result<(Json<'a>, Envelope<'a>), JsonError> {
        self.compiled.look(line, |found| {
            let compiled = &self.compiled;
            let zone = &self.mapping.timezone;
            let time = compiled.timestamp.read(found).map(|text| time::rfc_3339(text, zone));
            Envelope {
                audit_id: compiled.id.read(found),
                timestamp: time,
                event_kind: compiled.kind.read(found).unwrap_or(Cow::Borrowed("unknown")),
                severity: self.severity(found),
                agent_id: compiled.agent.read(found).unwrap_or_default(),
            }
        })
    }

    fn severity(&self, found: Found<'_, '_>) -> Severity {
        let severity = &self.mapping.severity;
        let rules = self.compiled.rules.iter().zip(&severity.rules);
        for (spots, rule) in rules {
            let mut conditions = spots.iter().zip(&rule.when);
            if conditions.all(|(spot, (_, globs))| globs.match_value(spot.find(found))) {
                return rule.is;
            }
        }
        let mut is_there = false;
        for spot in &self.compiled.severity {
            let Some(text) = spot.scalar(found) else { continue };
            is_there = true;
            if let Some(known) = severity.word(&text) {
                return known;
            }
            match Severity::read(&text, severity.scale) {
                Severity::Unknown => {}
                known => return known,
            }
        }
        if is_there { Severity::Unknown } else { severity.default }
    }
}
