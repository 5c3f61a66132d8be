//! From a template's text to what the engine runs: bounds on the text, parsing, errors with their
//! place in the text as it was configured. The rewriting in between lives in `rewrite`.

use super::rewrite::{BLOCK, PREFIX, Rewriter, VARIABLE};
use super::scope::{Slot, Slots};
use super::variables::{self, Piece};
use super::{TemplateError, TemplateText, bound, filters, jinja, output};
use minijinja::machinery::ast::Stmt;
use minijinja::machinery::{self, Span, Token};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, UndefinedBehavior};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// The longest text of a template, in bytes, and its longest line, in characters: above that the
/// engine's columns overflow.
pub const MAX_TEMPLATE: usize = 1 << 20;
const MAX_LINE: usize = 60_000;

/// How many operators and brackets one tag may have, and how many branches one template: the
/// engine descends once for each.
const MAX_LINKS: usize = 200;

/// How many steps the engine takes for one event before it gives up.
const FUEL: u64 = 1_000_000;

/// How deep macros and loops may nest while rendering.
const MAX_RECURSION: usize = 200;

/// The name of the one template of an environment.
pub(super) const NAME: &str = "template";

/// What a text was compiled to.
pub(super) struct Program {
    pub(super) environment: Environment<'static>,
    pub(super) slots: Arc<Slots>,
    /// Top-level names read from the event, sorted.
    pub(super) names: Vec<String>,
    /// The same with those of the envelope and of the whole event.
    pub(super) of_event: Vec<String>,
    /// The text, where nothing in it changes.
    pub(super) constant: Option<Box<str>>,
    /// The text with its variables as they are, where nothing else in it changes.
    pub(super) fixed: Option<Box<str>>,
    /// The values of its variables.
    pub(super) variables: Box<[Box<str>]>,
}

/// Changes with a text and the values of its variables.
pub(super) fn digest(text: &TemplateText) -> [u8; 16] {
    let mut hash = Sha256::new();
    let variables = text.variables.iter().flat_map(|(name, value)| [name, value]);
    for part in [&text.text].into_iter().chain(variables) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let hash: [u8; 32] = hash.finalize().into();
    std::array::from_fn(|index| hash[index])
}

/// Compiles a template.
pub(super) fn template(text: &TemplateText) -> Result<Program, TemplateError> {
    let source = Source::new(text);
    source.survey(false)?;
    let tree = machinery::parse(source.text, NAME, whole_text())
        .map_err(|error| source.syntax_error(&error))?;
    let fixed = fixed(&source, &tree)?;
    let mut rewriter = Rewriter::new(source, bound::names(&tree));
    rewriter.body(std::slice::from_ref(&tree))?;
    program(rewriter, fixed)
}

/// Compiles an expression; what it prints is noted as true or false.
pub(super) fn expression(text: &TemplateText) -> Result<Program, TemplateError> {
    let source = Source::new(text);
    source.survey(true)?;
    let tree = machinery::parse_expr(source.text).map_err(|error| source.syntax_error(&error))?;
    let mut rewriter = Rewriter::new(source, bound::nothing_set());
    rewriter.standing(&tree)?;
    program(rewriter, None)
}

fn program(
    rewriter: Rewriter<'_>,
    fixed: Option<(Box<str>, bool)>,
) -> Result<Program, TemplateError> {
    let Rewriter { source, out, slots, bound, .. } = rewriter;
    let mut environment = ENVIRONMENT.clone();
    let names = environment
        .add_template_owned(NAME, out)
        .and_then(|()| Ok(environment.get_template(NAME)?.undeclared_variables(false)))
        .map_err(|error| source.syntax_error(&error))?;
    // Names that the template sets somewhere stand in the rewritten text, all others have numbers.
    let numbered = slots.iter().map(|(name, _)| name.to_string());
    let numbered = numbered.filter(|name| !bound.contains(&**name));
    let is_of_event = |name: &String| !name.starts_with(PREFIX) && Slot::of(name).is_of_event();
    let mut of_event: Vec<String> = names.into_iter().chain(numbered).filter(is_of_event).collect();
    of_event.sort_unstable();
    let is_field = |name: &&String| matches!(Slot::of(name), Slot::Field);
    let names = of_event.iter().filter(is_field).cloned().collect();
    let variables = source.variables.values().map(|value| value.as_str().into()).collect();
    let constant = fixed.clone().filter(|(_, has_variables)| !has_variables).map(|(text, _)| text);
    let fixed = fixed.map(|(text, _)| text);
    let slots = Arc::new(Slots::new(slots));
    Ok(Program { environment, slots, names, of_event, constant, fixed, variables })
}

/// The text of a template without tags, its variables put in as they are; and whether it has any.
fn fixed(source: &Source<'_>, tree: &Stmt<'_>) -> Result<Option<(Box<str>, bool)>, TemplateError> {
    let Stmt::Template(template) = tree else { return Ok(None) };
    let mut text = String::new();
    let mut has_variables = false;
    for child in &template.children {
        let Stmt::EmitRaw(raw) = child else { return Ok(None) };
        let pieces = source.pieces(raw.raw, raw.span())?;
        has_variables |= pieces.iter().any(|piece| matches!(piece, Piece::Variable(..)));
        text.push_str(&variables::joined(&pieces, false));
    }
    Ok(Some((text.into(), has_variables)))
}

/// The filters, tests and settings that all templates share: a table, made once because a
/// configuration may hold thousands of templates.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    let syntax = whole_text()
        .to_builder()
        .block_delimiters(BLOCK[0], BLOCK[1])
        .variable_delimiters(VARIABLE[0], VARIABLE[1])
        .comment_delimiters("\u{1}#", "#\u{1}")
        .build();
    environment.set_syntax(syntax.unwrap_or_default());
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_debug(false);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(MAX_RECURSION);
    environment.set_formatter(output::format);
    jinja::register(&mut environment);
    for &(name, filter) in filters::FILTERS {
        jinja::add_filter(&mut environment, name, filter);
    }
    environment
});

/// Jinja's own syntax, but nothing of the text is cut off.
fn whole_text() -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    // Without delimiters of its own a syntax cannot be invalid.
    builder.keep_trailing_newline(true).build().unwrap_or_default()
}

/// A text as it was configured, to say where in it something is wrong.
#[derive(Clone, Copy)]
pub(super) struct Source<'t> {
    pub(super) text: &'t str,
    variables: &'t BTreeMap<String, String>,
}

impl<'t> Source<'t> {
    fn new(text: &'t TemplateText) -> Self {
        Source { text: &text.text, variables: &text.variables }
    }

    /// An error at a byte of the text.
    fn error_at(&self, at: usize, message: String, fix: Option<String>) -> TemplateError {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        TemplateError {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message,
            fix,
        }
    }

    pub(super) fn refused(
        &self,
        span: Span,
        message: String,
        fix: Option<String>,
    ) -> TemplateError {
        self.error_at(span.start_offset as usize, message, fix)
    }

    fn syntax_error(&self, error: &Error) -> TemplateError {
        let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let Some(range) = error.range() else {
            return TemplateError {
                line: error.line().unwrap_or(1),
                column: 1,
                message,
                fix: None,
            };
        };
        let at = range.start.min(self.text.len());
        let near = &self.text[self.text.floor_char_boundary(at)..];
        let fix = near.starts_with('$').then(|| {
            "inside of a tag a variable stands in quotes: `\"${NAME}\"`, or `\"${NAME}\" | float` \
             for a number"
                .to_owned()
        });
        self.error_at(at, message, fix)
    }

    /// A piece of the text, or a string in one of its tags, taken apart at its variables.
    pub(super) fn pieces<'p>(
        &self,
        piece: &'p str,
        span: Span,
    ) -> Result<Vec<Piece<'p>>, TemplateError>
    where
        't: 'p,
    {
        variables::pieces(piece, self.variables).map_err(|missing| {
            // The piece is mostly a part of the text itself, the place then exact.
            let start = span.start_offset as usize;
            let inner = self.text.get(start..).and_then(|rest| rest.find(piece));
            let at = start + inner.map_or(0, |inner| inner + missing.at);
            self.error_at(at, missing.message, None)
        })
    }

    /// Checks the bounds that keep the engine from running out of stack.
    fn survey(&self, expression: bool) -> Result<(), TemplateError> {
        let too_much = |at, what: &str| Err(self.error_at(at, what.to_owned(), None));
        if self.text.len() > MAX_TEMPLATE {
            return too_much(0, "the template is longer than 1 MiB");
        }
        if let Some(at) = self.text.find('\u{1}') {
            return too_much(at, "the control character U+0001 is not possible in a template");
        }
        if self.text.lines().any(|line| line.len() > MAX_LINE && line.chars().count() > MAX_LINE) {
            return too_much(0, "a line of the template is longer than 60,000 characters");
        }
        let (mut links, mut branches) = (0, 0);
        let mut last = None;
        // The tokenizer repeats an error for ever; what is wrong there the parser says.
        let tokens = machinery::tokenize(self.text, expression, whole_text());
        for (token, span) in tokens.map_while(Result::ok) {
            match &token {
                Token::BlockStart | Token::VariableStart => links = 0,
                Token::BlockEnd | Token::VariableEnd => {}
                Token::Ident(name)
                    if name.starts_with(PREFIX) && !matches!(last, Some(Token::Dot)) =>
                {
                    let message = format!("names beginning with `{PREFIX}` are postrider's own");
                    let fix = Some("use `root[\"…\"]`".to_owned());
                    return Err(self.refused(span, message, fix));
                }
                Token::Ident(name) => {
                    let keyword = matches!(last, Some(Token::BlockStart));
                    branches += usize::from(keyword && *name == "elif");
                    links += usize::from(matches!(*name, "and" | "or" | "not" | "if" | "is"));
                }
                Token::Str(_) | Token::String(_) => {}
                Token::Assign | Token::Comma | Token::Colon => {}
                Token::TemplateData(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => {}
                _ => links += 1,
            }
            if links > MAX_LINKS {
                return too_much(span.start_offset as usize, "too many operators in one tag");
            }
            if branches > MAX_LINKS {
                return too_much(span.start_offset as usize, "too many branches");
            }
            last = Some(token);
        }
        Ok(())
    }
}

/// The nearest of the known names, as a question.
pub(super) fn nearest(name: &str, known: &[&str]) -> Option<String> {
    let near = |other: &&str| strsim::damerau_levenshtein(name, other);
    let best = known.iter().copied().min_by_key(near)?;
    (near(&best) <= name.chars().count().max(3) / 3).then(|| format!("did you mean `{best}`?"))
}
