//! Templates and expressions over an event: compiled once when the configuration is read, rendered
//! for each event. Which template an export uses, and what becomes of a failed render, is decided
//! elsewhere.

use crate::event::Event;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A template's text as it was configured, and the values of the variables it names. A variable is
/// a value: it is escaped like any other and can never become template text.
#[derive(Debug, Clone, Default)]
pub struct TemplateText {
    /// The text; `${NAME}` in it stands for a variable, `$${` for a literal `${`.
    pub text: String,
    /// What each `${…}` of the text stands for, by what is written between the braces.
    pub variables: BTreeMap<String, String>,
}

/// Why a template or expression cannot be used; found when the configuration is read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Line in the template's text, from 1.
    pub line: usize,
    /// Column in that line, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do, such as the nearest known filter.
    pub fix: Option<String>,
}

/// Why rendering failed for one event. Holds no value of the event or of a variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RenderError(pub String);

/// What the rendered text becomes part of, which decides how values are written into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// A JSON text: inside a string literal a value is escaped, elsewhere it is written as JSON.
    Json,
    /// Plain text: a string as it is, anything else as JSON text, null as nothing.
    None,
    /// A URL: values are percent-encoded, variables are not.
    Url,
}

/// What a template can see beside the event.
#[derive(Debug, Clone, Copy)]
pub struct RenderContext<'a> {
    /// The export that renders.
    pub export: &'a str,
    /// The delivery's id.
    pub delivery_id: &'a str,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// The time the body was first rendered at.
    pub now: Timestamp,
    /// Write `***` for the values of variables.
    pub mask_variables: bool,
}

/// A compiled template.
#[derive(Debug, Clone)]
pub struct Template {}

/// A compiled expression that an event fulfils or not.
#[derive(Debug, Clone)]
pub struct Expression {}

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// On a syntax error, and on a filter, function or test that does not exist.
    pub fn compile(_text: &TemplateText) -> Result<Template, TemplateError> {
        Ok(Template {})
    }

    /// Appends the rendered text to `out`.
    ///
    /// # Errors
    /// When an operation of the template fails on this event.
    pub fn render(
        &self,
        _event: &Event,
        _context: &RenderContext<'_>,
        _escape: Escape,
        _out: &mut Vec<u8>,
    ) -> Result<(), RenderError> {
        Ok(())
    }

    /// The text itself, where it holds no expression or statement.
    pub fn as_constant(&self) -> Option<&str> {
        None
    }

    /// The top-level names the template reads from the event, for warnings about near misses.
    pub fn names(&self) -> &[String] {
        &[]
    }
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// As [`Template::compile`].
    pub fn compile(_text: &TemplateText) -> Result<Expression, TemplateError> {
        Ok(Expression {})
    }

    /// Whether the event fulfils the expression.
    ///
    /// # Errors
    /// When an operation of the expression fails on this event.
    pub fn eval(&self, _event: &Event) -> Result<bool, RenderError> {
        Ok(true)
    }
}
