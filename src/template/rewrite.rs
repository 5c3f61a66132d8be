//! Turns the parsed template into the text that the engine runs: operators become calls that know
//! null, configuration variables become values, and what a template may not do is refused with its
//! place. Statements live here, expressions in `expression`.
//!
//! The engine keeps only texts it owns, not syntax trees, so the changed tree is written out again,
//! between delimiters that no template can contain, each tag on the line it had.

use super::TemplateError;
use super::compile::Source;
use super::expression::quote;
use super::scope::{Slot, numbered};
use super::value::{Scalar, ScalarKind};
use super::variables::{self, Piece};
use bytes::Bytes;
use minijinja::machinery::Span;
use minijinja::machinery::ast::{CallBlock, Expr, ForLoop, IfCond, Macro, Set, Stmt};
use minijinja::value::Value;
use std::collections::HashSet;

/// The start and end of a block and of an expression in the rewritten text.
pub(super) const BLOCK: [&str; 2] = ["\u{1}%", "%\u{1}"];
pub(super) const VARIABLE: [&str; 2] = ["\u{1}{", "}\u{1}"];

/// What every name of the rewritten text begins with that is not the template's own.
pub(super) const PREFIX: &str = "__pr";

/// Writes the rewritten text and collects the names in it.
pub(super) struct Rewriter<'t> {
    pub(super) source: Source<'t>,
    pub(super) out: String,
    /// The line that `out` has reached.
    line: usize,
    /// Names that the template itself sets somewhere.
    pub(super) bound: HashSet<&'t str>,
    pub(super) slots: Vec<(Box<str>, Slot)>,
    /// Inside of how many blocks whose output is captured.
    capturing: usize,
}

impl<'t> Rewriter<'t> {
    pub(super) fn new(source: Source<'t>, bound: HashSet<&'t str>) -> Self {
        Rewriter {
            source,
            out: String::with_capacity(source.text.len() * 2),
            line: 1,
            bound,
            slots: Vec::new(),
            capturing: 0,
        }
    }

    /// Adds a fixed value under a name of its own.
    pub(super) fn fixed(&mut self, slot: Slot) -> String {
        let name = numbered(self.slots.len());
        self.slots.push((name.as_str().into(), slot));
        name
    }

    /// Begins a tag on the line that the template has it on.
    fn open(&mut self, start: &str, span: Span) {
        self.out.push_str(start);
        let line = usize::from(span.start_line);
        while self.line < line {
            self.out.push('\n');
            self.line += 1;
        }
        self.out.push(' ');
    }

    fn block(&mut self, span: Span, keyword: &str) {
        self.open(BLOCK[0], span);
        self.out.push_str(keyword);
    }

    fn close(&mut self, end: &str) {
        self.out.push(' ');
        self.out.push_str(end);
    }

    fn end(&mut self, keyword: &str) {
        self.out.push_str(BLOCK[0]);
        self.out.push(' ');
        self.out.push_str(keyword);
        self.close(BLOCK[1]);
    }

    /// An expression that stands alone, for its truth.
    pub(super) fn standing(&mut self, expr: &Expr<'t>) -> Result<(), TemplateError> {
        self.open(VARIABLE[0], expr.span());
        self.expr(expr)?;
        self.close(VARIABLE[1]);
        Ok(())
    }

    pub(super) fn body(&mut self, statements: &[Stmt<'t>]) -> Result<(), TemplateError> {
        statements.iter().try_for_each(|statement| self.statement(statement))
    }

    /// What is printed here becomes a value before anybody sees it.
    fn captured(&mut self, statements: &[Stmt<'t>]) -> Result<(), TemplateError> {
        self.capturing += 1;
        let written = self.body(statements);
        self.capturing -= 1;
        written
    }

    fn statement(&mut self, statement: &Stmt<'t>) -> Result<(), TemplateError> {
        let (span, what) = match statement {
            Stmt::Template(template) => return self.body(&template.children),
            Stmt::EmitExpr(emit) => {
                self.open(VARIABLE[0], emit.span());
                self.expr(&emit.expr)?;
                self.close(VARIABLE[1]);
                return Ok(());
            }
            Stmt::EmitRaw(raw) => return self.raw(raw.raw, raw.span()),
            Stmt::ForLoop(node) => return self.for_loop(node, node.span()),
            Stmt::IfCond(node) => {
                self.condition(node, "if", node.span())?;
                self.end("endif");
                return Ok(());
            }
            Stmt::WithBlock(node) => {
                self.block(node.span(), "with ");
                for (index, (target, value)) in node.assignments.iter().enumerate() {
                    self.out.push_str(if index > 0 { ", " } else { "" });
                    self.target(target);
                    self.out.push_str(" = ");
                    self.expr(value)?;
                }
                self.close(BLOCK[1]);
                self.body(&node.body)?;
                self.end("endwith");
                return Ok(());
            }
            Stmt::Set(node) => return self.set(node, node.span()),
            Stmt::SetBlock(node) => {
                self.block(node.span(), "set ");
                self.target(&node.target);
                if let Some(filter) = &node.filter {
                    self.out.push_str(" | ");
                    self.expr(filter)?;
                }
                self.close(BLOCK[1]);
                self.captured(&node.body)?;
                self.end("endset");
                return Ok(());
            }
            Stmt::FilterBlock(node) => {
                self.block(node.span(), "filter ");
                self.expr(&node.filter)?;
                self.close(BLOCK[1]);
                self.captured(&node.body)?;
                self.end("endfilter");
                return Ok(());
            }
            Stmt::Macro(node) => {
                self.block(node.span(), "macro ");
                self.out.push_str(node.name);
                self.parameters(node)?;
                self.close(BLOCK[1]);
                self.captured(&node.body)?;
                self.end("endmacro");
                return Ok(());
            }
            Stmt::CallBlock(node) => return self.call_block(node, node.span()),
            Stmt::Do(node) => {
                self.block(node.span(), "do ");
                self.call(&node.call)?;
                self.close(BLOCK[1]);
                return Ok(());
            }
            Stmt::AutoEscape(node) => (node.span(), "autoescape"),
            Stmt::Block(node) => (node.span(), "block"),
            Stmt::Import(node) => (node.span(), "import"),
            Stmt::FromImport(node) => (node.span(), "from"),
            Stmt::Extends(node) => (node.span(), "extends"),
            Stmt::Include(node) => (node.span(), "include"),
        };
        let why = match what {
            "autoescape" => "values are always escaped for the place they stand in",
            _ => "a template stands alone",
        };
        Err(self.source.refused(span, format!("`{what}` is not possible: {why}"), None))
    }

    /// The template's own text, with the configuration's variables as values.
    fn raw(&mut self, text: &'t str, span: Span) -> Result<(), TemplateError> {
        let pieces = self.source.pieces(text, span)?;
        for piece in pieces {
            match piece {
                Piece::Text(text) if self.capturing == 0 => {
                    self.out.push_str(text);
                    self.line += text.matches('\n').count();
                }
                // Printed as a value, captured text is counted: captures have a bound of their own.
                Piece::Text(text) => self.printed(&quote(text)),
                Piece::Variable(_, value) => {
                    let scalar = |text: &str| {
                        Scalar::value(ScalarKind::Variable, Bytes::copy_from_slice(text.as_bytes()))
                    };
                    let slot = Slot::Variable { value: scalar(value), masked: scalar("***") };
                    let name = self.fixed(slot);
                    self.printed(&name);
                }
            }
        }
        Ok(())
    }

    fn printed(&mut self, expression: &str) {
        self.out.push_str(VARIABLE[0]);
        self.out.push(' ');
        self.out.push_str(expression);
        self.close(VARIABLE[1]);
    }

    fn for_loop(&mut self, node: &ForLoop<'t>, span: Span) -> Result<(), TemplateError> {
        self.block(span, "for ");
        self.target(&node.target);
        self.out.push_str(" in ");
        self.expr(&node.iter)?;
        if let Some(filter) = &node.filter_expr {
            self.out.push_str(" if ");
            self.expr(filter)?;
        }
        self.out.push_str(if node.recursive { " recursive" } else { "" });
        self.close(BLOCK[1]);
        self.body(&node.body)?;
        if !node.else_body.is_empty() {
            self.end("else");
            self.body(&node.else_body)?;
        }
        self.end("endfor");
        Ok(())
    }

    fn condition(
        &mut self,
        node: &IfCond<'t>,
        keyword: &str,
        span: Span,
    ) -> Result<(), TemplateError> {
        self.block(span, keyword);
        self.out.push(' ');
        self.expr(&node.expr)?;
        self.close(BLOCK[1]);
        self.body(&node.true_body)?;
        match node.false_body.as_slice() {
            [] => Ok(()),
            [Stmt::IfCond(next)] => self.condition(next, "elif", next.span()),
            body => {
                self.end("else");
                self.body(body)
            }
        }
    }

    fn set(&mut self, node: &Set<'t>, span: Span) -> Result<(), TemplateError> {
        self.block(span, "set ");
        self.target(&node.target);
        self.out.push_str(" = ");
        self.expr(&node.expr)?;
        if matches!(node.target, Expr::GetAttr(_)) {
            self.out.push_str("|__pr_keep()");
        }
        self.close(BLOCK[1]);
        Ok(())
    }

    fn call_block(&mut self, node: &CallBlock<'t>, span: Span) -> Result<(), TemplateError> {
        self.block(span, "call");
        self.parameters(&node.macro_decl)?;
        self.out.push(' ');
        self.call(&node.call)?;
        self.close(BLOCK[1]);
        self.captured(&node.macro_decl.body)?;
        self.end("endcall");
        Ok(())
    }

    fn parameters(&mut self, node: &Macro<'t>) -> Result<(), TemplateError> {
        self.out.push('(');
        let required = node.args.len().saturating_sub(node.defaults.len());
        for (index, parameter) in node.args.iter().enumerate() {
            self.out.push_str(if index > 0 { ", " } else { "" });
            self.target(parameter);
            if let Some(default) = index.checked_sub(required).and_then(|at| node.defaults.get(at))
            {
                self.out.push('=');
                self.expr(default)?;
            }
        }
        self.out.push(')');
        Ok(())
    }

    /// What is assigned to: a name, an attribute of a namespace, or several names.
    fn target(&mut self, target: &Expr<'t>) {
        match target {
            Expr::Var(name) => self.out.push_str(name.id),
            Expr::GetAttr(attribute) => {
                self.target(&attribute.expr);
                self.out.push('.');
                self.out.push_str(attribute.name);
            }
            Expr::List(names) => {
                self.out.push('(');
                for name in &names.items {
                    self.target(name);
                    self.out.push_str(", ");
                }
                self.out.push(')');
            }
            _ => {}
        }
    }
}

/// A fixed text with the configuration's variables put in.
pub(super) fn constant(pieces: &[Piece<'_>]) -> Slot {
    Slot::Variable {
        value: Value::from(variables::joined(pieces, false)),
        masked: Value::from(variables::joined(pieces, true)),
    }
}
