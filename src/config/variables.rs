//! Variables in values: `${VAR}`, `${VAR:-default}`, `${env.VAR}`, `${file:/path}`, and `$${` for a
//! literal `${`. They are found in parsed values, never in a file's text, so that no value can
//! become configuration.

use super::place::shown;
use super::problem::{Problem, reason};
use super::tree::{Filled, KeyPath, Node, Origin, Position, Segment, Value, position_inside};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A longer secret is a mistake in the path.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Gives variables their values.
pub(super) struct Variables<'a> {
    environment: &'a BTreeMap<String, String>,
    /// Accept variables without a value.
    no_env: bool,
    /// Every value that was given, to be hidden in messages.
    secrets: RefCell<BTreeSet<String>>,
    /// Every file that was asked for one.
    files: RefCell<BTreeSet<PathBuf>>,
}

/// A variable that has no value or is written wrongly.
#[derive(Debug)]
pub(super) struct Missing {
    /// Byte of the text it stands at.
    at: usize,
    message: String,
    fix: Option<String>,
}

/// What a variable stands for.
enum Found {
    Value(String),
    /// The default, as it stands in the file for all to read.
    Default(String),
    Unset {
        message: String,
        fix: String,
    },
    Malformed(String),
}

impl<'a> Variables<'a> {
    pub(super) fn new(environment: &'a BTreeMap<String, String>, no_env: bool) -> Self {
        Variables { environment, no_env, secrets: RefCell::default(), files: RefCell::default() }
    }

    /// Every file asked so far.
    pub(super) fn files(&self) -> BTreeSet<PathBuf> {
        self.files.borrow().clone()
    }

    /// Every value given so far.
    pub(super) fn into_secrets(self) -> BTreeSet<String> {
        self.secrets.into_inner()
    }

    /// Fills every scalar of a tree; what has no value becomes a problem. In an export with
    /// `enabled: false` a missing variable is accepted: that is how one runs without its secret.
    pub(super) fn fill_tree(&self, root: &mut Node, problems: &mut Vec<Problem>) {
        self.fill(root, &KeyPath::default(), false, problems);
    }

    fn fill(&self, node: &mut Node, path: &KeyPath, disabled: bool, problems: &mut Vec<Problem>) {
        let off = |export: &Node| {
            export.get("enabled").and_then(Node::as_scalar).is_some_and(|on| on.text == "false")
        };
        let in_exports = path.segments() == [Segment::Key("exports".into())];
        match &mut node.value {
            Value::Map(entries) => {
                for entry in entries {
                    self.fill(&mut entry.node, &path.key(&entry.key), disabled, problems);
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let disabled = disabled || (in_exports && off(item));
                    self.fill(item, &path.index(index), disabled, problems);
                }
            }
            Value::Scalar(_) => self.fill_scalar(node, path, disabled, problems),
            Value::Stub => {}
        }
    }

    /// Fills one scalar.
    pub(super) fn fill_scalar(
        &self,
        node: &mut Node,
        path: &KeyPath,
        accept_unset: bool,
        problems: &mut Vec<Problem>,
    ) {
        let Some(scalar) = node.as_scalar().filter(|scalar| scalar.text.contains("${")) else {
            return;
        };
        let nowhere = Origin::outside("", Path::new(""));
        let origin = node.origin.as_deref().unwrap_or(&nowhere);
        let (filled, missing) =
            self.fill_text(&scalar.text, &origin.base, self.no_env || accept_unset);
        for missing in missing {
            let (line, column) = line_and_column(&scalar.text, missing.at);
            let position = position_inside(node, line, column).unwrap_or(node.position);
            let key = shown(path, Some(node));
            problems.push(Problem::new(origin, position, key, missing.message, missing.fix));
        }
        if let Value::Scalar(scalar) = &mut node.value {
            scalar.filled = Some(filled);
        }
    }

    /// The problems of variables in a text that stands in a file of its own.
    pub(super) fn fill_file(
        &self,
        text: &str,
        origin: &Origin,
        key: &str,
    ) -> (Filled, Vec<Problem>) {
        let (filled, missing) = self.fill_text(text, &origin.base, self.no_env);
        let problem = |missing: Missing| {
            let (line, column) = line_and_column(text, missing.at);
            Problem::new(origin, Position { line, column }, key, missing.message, missing.fix)
        };
        (filled, missing.into_iter().map(problem).collect())
    }

    fn fill_text(&self, text: &str, base: &Path, accept_unset: bool) -> (Filled, Vec<Missing>) {
        let mut filled = Filled::default();
        let mut missing = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let at = text.len() - rest.len() + start;
            let (before, after) = (&rest[..start], &rest[start + 2..]);
            if let Some(before) = before.strip_suffix('$') {
                filled.text.push_str(before);
                filled.text.push_str("${");
                rest = after;
                continue;
            }
            filled.text.push_str(before);
            let Some((inside, after)) = after.split_once('}') else {
                missing.push(Missing {
                    at,
                    message: "`${` without its `}`".into(),
                    fix: Some("close it, or write `$${` for a literal `${`".into()),
                });
                filled.unset = true;
                return (filled, missing);
            };
            rest = after;
            match self.look_up(inside, base) {
                Found::Value(value) => {
                    filled.text.push_str(&value);
                    self.secrets.borrow_mut().insert(value.clone());
                    filled.values.insert(inside.to_owned(), value);
                }
                Found::Default(value) => {
                    filled.text.push_str(&value);
                    filled.values.insert(inside.to_owned(), value);
                }
                Found::Unset { .. } if accept_unset => {
                    filled.unset = true;
                    filled.values.insert(inside.to_owned(), String::new());
                }
                Found::Unset { message, fix } => {
                    filled.unset = true;
                    missing.push(Missing { at, message, fix: Some(fix) });
                }
                Found::Malformed(message) => {
                    filled.unset = true;
                    let fix = "write `${NAME}`, `${NAME:-default}`, `${file:/path}`, or `$${` for \
                               a literal `${`";
                    missing.push(Missing { at, message, fix: Some(fix.into()) });
                }
            }
        }
        filled.text.push_str(rest);
        (filled, missing)
    }

    /// What is written between the braces.
    fn look_up(&self, inside: &str, base: &Path) -> Found {
        if let Some(path) = inside.strip_prefix("file:") {
            let path = base.join(path);
            self.files.borrow_mut().insert(path.clone());
            return match read_secret(&path) {
                Ok(value) => Found::Value(value),
                Err(reason) => Found::Unset {
                    message: format!("the file of `${{{inside}}}` cannot be read: {reason}"),
                    fix: "create it, or correct the path".into(),
                },
            };
        }
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let name = name.strip_prefix("env.").unwrap_or(name);
        let valid = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !valid || name.is_empty() || default.is_some_and(|default| default.contains("${")) {
            return Found::Malformed(format!("`${{{inside}}}` is no variable"));
        }
        match (self.environment.get(name), default) {
            (Some(value), None) => Found::Value(value.clone()),
            (Some(value), Some(_)) if !value.is_empty() => Found::Value(value.clone()),
            (_, Some(default)) => Found::Default(default.to_owned()),
            (None, None) => Found::Unset {
                message: format!("`${{{inside}}}` is not set"),
                fix: format!("set the environment variable, or write `${{{name}:-default}}`"),
            },
        }
    }
}

fn read_secret(path: &PathBuf) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| reason(&error))?;
    let mut value = String::new();
    let read = file.take(MAX_SECRET_BYTES + 1).read_to_string(&mut value);
    read.map_err(|error| reason(&error))?;
    if value.len() as u64 > MAX_SECRET_BYTES {
        return Err(format!("it is longer than {MAX_SECRET_BYTES} bytes"));
    }
    if value.ends_with('\n') {
        value.pop();
        if value.ends_with('\r') {
            value.pop();
        }
    }
    Ok(value)
}

/// Line and column of a byte of a text, from 1.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
}
