//! What is wrong with a configuration, where, and what to do: how problems look to people and to
//! programs. Finding them is the business of the other rooms.

use super::tree::{Origin, Position};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// One problem or warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file as it was given, the variable of the environment, or `--set PATH`; absent where
    /// the problem has no place.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub origin: String,
    /// Line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column in the line, in characters, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The way to the key, such as `exports[0].retry.jitter`; empty for the whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub key: String,
    /// What is wrong. Holds no secret.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Problem {
    pub(super) fn new(
        origin: &Origin,
        position: Position,
        key: impl ToString,
        message: impl Into<String>,
        fix: Option<String>,
    ) -> Problem {
        let placed = origin.text.is_some() && position.line > 0;
        Problem {
            origin: origin.label.clone(),
            line: placed.then_some(position.line),
            column: placed.then_some(position.column),
            key: key.to_string(),
            message: message.into(),
            fix,
        }
    }

    /// A problem that stands nowhere in the configuration.
    pub(super) fn general(message: impl Into<String>, fix: impl Into<String>) -> Problem {
        Problem {
            origin: String::new(),
            line: None,
            column: None,
            key: String::new(),
            message: message.into(),
            fix: Some(fix.into()),
        }
    }
}

impl fmt::Display for Problem {
    /// Two lines: `postrider.yaml:14:7: key: message` and `  fix: …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        for number in [self.line, self.column].into_iter().flatten() {
            write!(f, ":{number}")?;
        }
        if !self.origin.is_empty() {
            f.write_str(": ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)?;
        match &self.fix {
            Some(fix) => write!(f, "\n  fix: {fix}"),
            None => Ok(()),
        }
    }
}

/// Why a configuration cannot be used: everything that is wrong with it at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Problems {
    /// What must be put right, in the order of the files.
    pub problems: Vec<Problem>,
    /// What may be meant otherwise.
    pub warnings: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl Problems {
    /// Puts the problems in the order of `origins` and of the text, drops those said twice, and
    /// hides what must not be seen.
    pub(super) fn finish(&mut self, origins: &[String], secrets: &BTreeSet<String>) {
        for list in [&mut self.problems, &mut self.warnings] {
            let rank = |problem: &Problem| {
                let origin = origins.iter().position(|origin| *origin == problem.origin);
                (origin.unwrap_or(origins.len()), problem.line, problem.column)
            };
            list.sort_by_key(rank);
            let mut seen: Vec<Problem> = Vec::new();
            list.retain(|problem| {
                let fresh = !seen.iter().any(|known| known.is_said_by(problem));
                if fresh {
                    seen.push(problem.clone());
                }
                fresh
            });
            for problem in list {
                mask(&mut problem.message, secrets);
                problem.fix.iter_mut().for_each(|fix| mask(fix, secrets));
            }
        }
    }
}

impl Problem {
    /// Whether another says the same of the same place: of one value that several share, by an
    /// anchor or by `defaults`.
    fn is_said_by(&self, other: &Problem) -> bool {
        let place = |problem: &Problem| (problem.line, problem.column);
        let shared = self.line.is_some()
            && place(self) == place(other)
            && (&self.origin, &self.message, &self.fix)
                == (&other.origin, &other.message, &other.fix)
            && without_indices(&self.key) == without_indices(&other.key);
        shared || self == other
    }
}

/// A key with nothing between its brackets: all elements of a list have the same.
fn without_indices(key: &str) -> String {
    let mut inside = false;
    let outside = key.chars().filter(|c| {
        inside = (inside || *c == '[') && *c != ']';
        !inside
    });
    outside.collect()
}

/// Values shorter than this are ordinary words and numbers; hiding them would garble messages.
const LEAST_SECRET: usize = 6;

/// Hides the values of variables. The messages are written so that they hold none: this is the
/// net below them, for texts that come from libraries.
fn mask(text: &mut String, secrets: &BTreeSet<String>) {
    for secret in secrets.iter().filter(|secret| secret.len() >= LEAST_SECRET) {
        if text.contains(secret.as_str()) {
            *text = text.replace(secret.as_str(), "***");
        }
    }
}

/// The known name nearest to a given one, if it is near enough to be meant.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let least = |name: &&str| strsim::osa_distance(given, name);
    let (nearest, distance) =
        known.into_iter().map(|name| (name, least(&name))).min_by_key(|(_, distance)| *distance)?;
    let longest = given.chars().count().max(nearest.chars().count());
    (distance <= 1 + longest / 5 && distance < longest).then_some(nearest)
}

/// Why a file could not be read, without the system's number for it.
pub(super) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// A list of names for a message: `a`, `b`, `c`.
pub(super) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
