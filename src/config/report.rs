//! How checks say what they find: a place in the configuration that knows its path, its node and
//! where problems go.

use super::decode::Pruned;
use super::place::{problem_at, shown};
use super::problem::Problem;
use super::tree::{KeyPath, Node, Origin, position_inside};
use super::variables::Variables;
use crate::presets::Choice;
use crate::template::TemplateError;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What all checks share.
pub(super) struct Report<'a> {
    pub(super) root: &'a Node,
    pub(super) pruned: &'a Pruned,
    pub(super) variables: &'a Variables<'a>,
    /// What relative paths of no file count from.
    pub(super) working_dir: &'a std::path::Path,
    pub(super) problems: RefCell<Vec<Problem>>,
    pub(super) warnings: RefCell<Vec<Problem>>,
    /// Files read on the way, beside the configuration's own.
    pub(super) files: RefCell<Vec<PathBuf>>,
    /// Platforms' messages by what they were made from: hundreds of exports share them.
    pub(super) messages: RefCell<BTreeMap<String, Vec<Choice>>>,
}

/// A place in the configuration, there or not.
#[derive(Clone)]
pub(super) struct At<'a> {
    pub(super) report: &'a Report<'a>,
    path: KeyPath,
}

impl<'a> Report<'a> {
    /// The top.
    pub(super) fn top(&'a self) -> At<'a> {
        At { report: self, path: KeyPath::default() }
    }
}

impl<'a> At<'a> {
    pub(super) fn key(&self, key: &str) -> At<'a> {
        At { report: self.report, path: self.path.key(key) }
    }

    pub(super) fn index(&self, index: usize) -> At<'a> {
        At { report: self.report, path: self.path.index(index) }
    }

    pub(super) fn node(&self) -> Option<&'a Node> {
        self.report.root.find(&self.path)
    }

    /// Whether somebody wrote this key.
    pub(super) fn is_present(&self) -> bool {
        self.node().is_some_and(|node| !node.is_null())
    }

    /// Whether its value is unknown: reported already, or a variable that need not be set.
    pub(super) fn is_unknown(&self) -> bool {
        let unset = |node: &Node| {
            let filled = node.as_scalar().and_then(|scalar| scalar.filled.as_ref());
            filled.is_some_and(|filled| filled.unset)
        };
        self.report.pruned.touches(&self.path) || self.node().is_some_and(unset)
    }

    /// A text of this place for a message: `***` where it came from a variable.
    pub(super) fn visible<'t>(&self, text: &'t str) -> &'t str {
        let scalar = self.node().and_then(Node::as_scalar);
        if scalar.is_some_and(|scalar| scalar.filled.is_some()) { "***" } else { text }
    }

    /// The directory that relative paths of this place count from: that of the file that names
    /// them.
    pub(super) fn base(&self) -> &'a std::path::Path {
        let origin = self.node().and_then(|node| node.origin.as_deref());
        origin.map_or(self.report.working_dir, |origin| origin.base.as_path())
    }

    /// A path of this place, counted from its base.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        // Without `.` steps, so that paths and globs compare by their text.
        self.base().join(path).components().collect()
    }

    /// Adds a problem, unless this place was reported already.
    pub(super) fn problem(&self, message: impl Into<String>, fix: impl Into<String>) {
        if !self.is_unknown() {
            let problem = self.describe(message.into(), fix.into());
            self.report.problems.borrow_mut().push(problem);
        }
    }

    /// Adds a warning.
    pub(super) fn warning(&self, message: impl Into<String>, fix: impl Into<String>) {
        if !self.is_unknown() {
            let warning = self.describe(message.into(), fix.into());
            self.report.warnings.borrow_mut().push(warning);
        }
    }

    /// Adds a problem with a template, at its place inside the text where that can be told.
    pub(super) fn template_problem(&self, error: &TemplateError) {
        let TemplateError { line, column, message, fix } = error;
        let mut problem = self.describe(message.clone(), template_fix(fix.as_deref()));
        match self.node().and_then(|node| position_inside(node, *line, *column)) {
            Some(position) => {
                problem.line = Some(position.line);
                problem.column = Some(position.column);
            }
            None => {
                problem.message =
                    format!("line {line}, column {column} of the template: {message}");
            }
        }
        if !self.is_unknown() {
            self.report.problems.borrow_mut().push(problem);
        }
    }

    fn describe(&self, message: String, fix: String) -> Problem {
        let fix = Some(fix).filter(|fix| !fix.is_empty());
        problem_at(self.report.root, &self.path, message, fix)
    }
}

/// What to do about a fault of a template or an expression, where it does not say so itself.
pub(super) fn template_fix(fix: Option<&str>) -> String {
    let all = "correct it there: docs/templates.md tells what templates and expressions can hold";
    fix.unwrap_or(all).to_owned()
}

impl At<'_> {
    /// Adds a problem of this key that stands in a file of its own.
    pub(super) fn problem_in(
        &self,
        origin: &Origin,
        position: super::tree::Position,
        message: String,
        fix: Option<String>,
    ) {
        let problem = Problem::new(origin, position, self, message, fix);
        self.report.problems.borrow_mut().push(problem);
    }
}

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shown(&self.path, self.node()))
    }
}
