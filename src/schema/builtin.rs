//! The built-in schemas, read from the data files beside this one. What is in them is not known
//! here: another format is another file and its line in the table.

use super::{Element, Field, Mapping, Part, Schema, SeverityMapping, SeverityRule};
use crate::data_file;
use crate::event::{FieldPath, Globs, Severity, SeverityScale};
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The files, by the schemas' names.
const FILES: &[(&str, &str)] = &[
    ("postrider", include_str!("postrider.yaml")),
    ("rampart", include_str!("rampart.yaml")),
    ("contextforge", include_str!("contextforge.yaml")),
    ("ruleforge", include_str!("ruleforge.yaml")),
    ("kubernetes", include_str!("kubernetes.yaml")),
    ("vault", include_str!("vault.yaml")),
    ("cloudtrail", include_str!("cloudtrail.yaml")),
    ("github", include_str!("github.yaml")),
    ("auditd", include_str!("auditd.yaml")),
    ("ocsf", include_str!("ocsf.yaml")),
    ("cloudevents", include_str!("cloudevents.yaml")),
    ("otlp", include_str!("otlp.yaml")),
    ("cef", include_str!("cef.yaml")),
    ("syslog", include_str!("syslog.yaml")),
];

/// The names of the built-in schemas.
pub const NAMES: [&str; FILES.len()] = {
    let mut names = [""; FILES.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = FILES[index].0;
        index += 1;
    }
    names
};

/// A built-in schema.
#[derive(Debug, Clone)]
pub struct BuiltIn {
    /// What it is for.
    pub about: String,
    /// What a line is, where it is not JSON.
    pub format: Option<String>,
    /// The list inside a document that holds the events, where there is one.
    pub unwrap: Option<String>,
    /// Where the fields are.
    pub mapping: Mapping,
}

/// The built-in schema of that name.
pub fn built_in(name: &str) -> Option<BuiltIn> {
    let (_, text) = FILES.iter().find(|(known, _)| *known == name)?;
    // A test reads all of them.
    read(text).ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SchemaFile {
    about: String,
    format: Option<String>,
    unwrap: Option<String>,
    #[serde(default)]
    id: Vec<PartFile>,
    #[serde(default)]
    timestamp: Vec<PartFile>,
    #[serde(default)]
    kind: Vec<PartFile>,
    #[serde(default)]
    agent: Vec<PartFile>,
    #[serde(default)]
    severity: SeverityFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartFile {
    #[serde(default)]
    before: String,
    paths: Vec<String>,
    #[serde(default)]
    element: Option<ElementFile>,
    #[serde(default)]
    optional: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ElementFile {
    of: String,
    r#where: String,
    is: String,
    at: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct SeverityFile {
    rules: Vec<RuleFile>,
    from: Vec<String>,
    map: BTreeMap<String, Severity>,
    scale: SeverityScale,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    when: BTreeMap<String, Vec<String>>,
    is: Severity,
}

/// Reads a schema's file.
pub(super) fn read(text: &str) -> Result<BuiltIn, String> {
    let file: SchemaFile = data_file::read(text)?;
    let rules = file.severity.rules.into_iter().map(rule).collect::<Result<_, String>>()?;
    Ok(BuiltIn {
        about: file.about,
        format: file.format,
        unwrap: file.unwrap,
        mapping: Mapping {
            id: field(file.id)?,
            timestamp: field(file.timestamp)?,
            kind: field(file.kind)?,
            agent: field(file.agent)?,
            severity: SeverityMapping {
                rules,
                from: paths(file.severity.from)?,
                map: file.severity.map,
                scale: file.severity.scale,
                default: Severity::Info,
            },
            timezone: TimeZone::UTC,
        },
    })
}

impl BuiltIn {
    /// Its mapping, ready to read lines with.
    pub fn schema(self) -> Schema {
        Schema::new(self.mapping)
    }
}

fn field(parts: Vec<PartFile>) -> Result<Field, String> {
    let part = |part: PartFile| {
        let PartFile { before, paths: list, element, optional } = part;
        let element = element.map(self::element).transpose()?;
        Ok(Part { before: before.into(), paths: paths(list)?, element, optional })
    };
    parts.into_iter().map(part).collect::<Result<_, String>>().map(Field)
}

fn element(file: ElementFile) -> Result<Element, String> {
    let ElementFile { of, r#where, is, at } = file;
    let path = |text: String| text.parse().map_err(|error| format!("{error}"));
    Ok(Element { of: path(of)?, name: path(r#where)?, is: is.into(), at: path(at)? })
}

fn paths(list: Vec<String>) -> Result<Vec<FieldPath>, String> {
    list.iter().map(|path| path.parse().map_err(|error| format!("{error}"))).collect()
}

fn rule(file: RuleFile) -> Result<SeverityRule, String> {
    let condition = |(path, globs): (String, Vec<String>)| {
        let path: FieldPath = path.parse().map_err(|error| format!("{error}"))?;
        Ok((path, Globs::new(globs).map_err(|error| error.to_string())?))
    };
    let when = file.when.into_iter().map(condition).collect::<Result<_, String>>()?;
    Ok(SeverityRule { when, is: file.is })
}
