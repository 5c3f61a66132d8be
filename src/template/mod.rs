//! Templates and expressions over an event: compiled once when the configuration is read, rendered
//! for each event. Which template an export uses, and what becomes of a failed render, is decided
//! elsewhere.

mod bound;
mod compile;
mod cut;
mod expression;
mod filters;
mod jinja;
mod markup;
mod operators;
mod output;
mod percent;
mod rewrite;
mod scope;
mod time;
mod value;
mod variables;
mod work;

#[cfg(test)]
mod tests;

pub use compile::MAX_TEMPLATE;
pub use cut::{cut, thousands, units};
pub use markup::Markup;
pub use output::MAX_OUTPUT;

use crate::event::Event;
use compile::{NAME, Program};
use jiff::Timestamp;
use minijinja::value::Value;
use minijinja::{Error, ErrorKind};
use output::{Progress, Purpose, Writer};
use scope::{EVENTS, Scope, Subject};
use std::collections::BTreeMap;
use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use work::Work;

/// A template's text as it was configured, and the values of the variables it names. A variable is
/// a value: it is escaped like any other and can never become template text.
#[derive(Clone, Default)]
pub struct TemplateText {
    /// The text; `${NAME}` in it stands for a variable, `$${` for a literal `${`.
    pub text: String,
    /// What each `${…}` of the text stands for, by what is written between the braces.
    pub variables: BTreeMap<String, String>,
}

impl fmt::Debug for TemplateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The values of variables are often secrets.
        let names: Vec<_> = self.variables.keys().collect();
        f.debug_struct("TemplateText").field("text", &self.text).field("variables", &names).finish()
    }
}

impl TemplateText {
    /// An expression that gives what this text renders to, to stand in another template behind the
    /// statements that it adds to `before`. `name` tells it from others there. The text must be a
    /// valid template.
    pub fn operand(&self, name: &str, before: &mut TemplateText) -> String {
        before.variables.extend(self.variables.clone());
        if !["{{", "{%", "{#"].iter().any(|open| self.text.contains(open)) {
            return expression::quote(&self.text);
        }
        let name = format!("pr_{name}");
        before.text.push_str(&format!("{{% set {name} %}}{}{{% endset %}}", self.text));
        name
    }
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
    /// As [`Escape::Json`], for a platform that reads markup in its texts: a string is escaped for
    /// that first, wherever it stands.
    Message(Markup),
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

/// One event of a batch, as a template sees it.
#[derive(Debug, Clone, Copy)]
pub struct BatchItem<'a> {
    /// The event.
    pub event: &'a Arc<Event>,
    /// What goes with it.
    pub context: RenderContext<'a>,
}

/// A compiled template. Clones share it.
#[derive(Clone)]
pub struct Template(Arc<Program>, [u8; 16]);

/// A compiled expression that an event fulfils or not. Clones share it.
#[derive(Clone)]
pub struct Expression(Arc<Program>);

impl Template {
    /// Compiles a template.
    ///
    /// # Errors
    /// On a syntax error, on a filter, function or test that does not exist, on a tag that reaches
    /// for another template, on a variable without a value, and on a text beyond [`MAX_TEMPLATE`].
    pub fn compile(text: &TemplateText) -> Result<Template, TemplateError> {
        Ok(Template(Arc::new(compile::template(text)?), compile::digest(text)))
    }

    /// Appends the rendered text to `out`, which is as it was after an error.
    ///
    /// # Errors
    /// When an operation of the template fails on this event, and when the text would be
    /// longer than [`MAX_OUTPUT`] and twice its events, or take too long.
    pub fn render(
        &self,
        event: &Arc<Event>,
        context: &RenderContext<'_>,
        escape: Escape,
        out: &mut Vec<u8>,
    ) -> Result<(), RenderError> {
        match self.as_constant() {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => {
                let subject = Subject::One(event, Some(context));
                drop(run(&self.0, subject, Purpose::Text(escape), out)?);
            }
        }
        Ok(())
    }

    /// Appends the text rendered from many events, which it sees as `events`. What stands beside
    /// them is that of the first.
    ///
    /// # Errors
    /// As [`Self::render`].
    pub fn render_batch(
        &self,
        items: &[BatchItem<'_>],
        escape: Escape,
        out: &mut Vec<u8>,
    ) -> Result<(), RenderError> {
        run(&self.0, Subject::Many(items), Purpose::Text(escape), out).map(drop)
    }

    /// Changes with the text and the values of its variables.
    pub fn digest(&self) -> [u8; 16] {
        self.1
    }

    /// The text itself, where it holds no expression, statement or variable.
    pub fn as_constant(&self) -> Option<&str> {
        self.0.constant.as_deref()
    }

    /// The text with its variables put in unescaped, where it holds no expression or statement:
    /// what a URL is for every event. May hold secrets.
    pub fn as_fixed(&self) -> Option<&str> {
        self.0.fixed.as_deref()
    }

    /// The values of its variables, to be masked wherever they come back.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.0.variables.iter().map(|value| &**value)
    }

    /// The names that mean nothing to a template of a whole batch: all that one event has.
    pub fn names_of_one_event(&self) -> impl Iterator<Item = &str> {
        self.0.of_event.iter().map(|name| &**name).filter(|name| *name != EVENTS)
    }

    /// The top-level names the template reads from the event, sorted, for warnings about near
    /// misses. Names of the envelope and of postrider are not among them.
    pub fn names(&self) -> &[String] {
        &self.0.names
    }
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// As [`Template::compile`].
    pub fn compile(text: &TemplateText) -> Result<Expression, TemplateError> {
        Ok(Expression(Arc::new(compile::expression(text)?)))
    }

    /// Whether the event fulfils the expression.
    ///
    /// # Errors
    /// When an operation of the expression fails on this event, such as ordering a string and a
    /// number. What compares with null is false, not an error.
    pub fn eval(&self, event: &Arc<Event>) -> Result<bool, RenderError> {
        let subject = Subject::One(event, None);
        let scope = run(&self.0, subject, Purpose::Verdict, &mut Vec::new())?;
        Ok(scope.progress.verdict.load(Relaxed))
    }

    /// The top-level names the expression reads from the event, as [`Template::names`].
    pub fn names(&self) -> &[String] {
        &self.0.names
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the text: the values of variables are beside it.
        f.debug_struct("Template").field("names", &self.names()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expression").field("names", &self.names()).finish_non_exhaustive()
    }
}

fn run(
    program: &Program,
    subject: Subject<'_>,
    purpose: Purpose,
    out: &mut Vec<u8>,
) -> Result<Arc<Scope>, RenderError> {
    let progress = Progress::new(purpose, subject.bytes());
    let scope = Arc::new(Scope::new(&program.slots, subject, progress));
    let start = out.len();
    let root = Value::from_dyn_object(scope.clone());
    let work = Work::begin(subject.bytes());
    let written = program.environment.get_template(NAME).and_then(|template| {
        template.render_captured_to(root, Writer::new(scope.clone(), out)).map(drop)
    });
    let trouble = match written {
        _ if work.is_spent() => work::TOO_MUCH.to_owned(),
        Ok(()) => return Ok(scope),
        Err(error) => told(&error, purpose),
    };
    out.truncate(start);
    Err(RenderError(trouble))
}

/// What a failed operation says of itself: text of postrider's own, without a value.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
struct Failure(String);

fn failure(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, "").with_source(Failure(message.into()))
}

/// An engine's error without its details, which may hold values of the event.
fn told(error: &Error, purpose: Purpose) -> String {
    let mut source = error.source();
    let mut own = None;
    while let Some(inner) = source {
        own = own.or_else(|| inner.downcast_ref::<Failure>());
        source = inner.source();
    }
    let what = match (own, error.kind()) {
        (Some(Failure(message)), _) => message.clone(),
        (None, ErrorKind::WriteFailure) => {
            return "the text grows beyond 4 MiB and twice its event".to_owned();
        }
        (None, ErrorKind::OutOfFuel) => "the loops take too long".to_owned(),
        (None, ErrorKind::InvalidOperation) => match error.detail() {
            Some("recursion limit exceeded") => "macros or loops nest too deep".to_owned(),
            _ => "an operation does not fit its value, such as a loop over a number".to_owned(),
        },
        (None, kind) => kind.to_string(),
    };
    match error.line() {
        Some(line) if matches!(purpose, Purpose::Text(_)) => format!("line {line}: {what}"),
        _ => what,
    }
}
