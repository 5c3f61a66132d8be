//! The expressions of the rewritten text, see `rewrite`. Every operator that values take part in
//! becomes a filter behind its first operand, so that chains stay flat however long they are.

use super::TemplateError;
use super::compile::nearest;
use super::rewrite::{Rewriter, constant};
use super::scope::{Path, Slot, numbered};
use super::variables::Piece;
use super::{filters, jinja};
use minijinja::machinery::Span;
use minijinja::machinery::ast::{
    BinOpKind, Call, CallArg, CompareOpKind, Expr, Filter, UnaryOpKind,
};
use minijinja::value::{Value, ValueKind};

/// Filters that take the name of another filter or test as their argument.
const OF_FILTERS: &[&str] = &["map"];
const OF_TESTS: &[&str] = &["reject", "rejectattr", "select", "selectattr"];

impl<'t> Rewriter<'t> {
    /// Writes an expression so that a filter may follow it.
    pub(super) fn expr(&mut self, expr: &Expr<'t>) -> Result<(), TemplateError> {
        match expr {
            Expr::Var(name) => {
                self.name(name.id);
                Ok(())
            }
            Expr::Const(constant) => self.constant(&constant.value, constant.span()),
            Expr::GetAttr(_) | Expr::BinOp(_) if self.first_of(expr) => Ok(()),
            Expr::GetAttr(node) => {
                self.base(&node.expr)?;
                self.out.push('.');
                self.out.push_str(node.name);
                Ok(())
            }
            Expr::GetItem(node) => {
                self.base(&node.expr)?;
                self.out.push('[');
                self.expr(&node.subscript_expr)?;
                self.out.push(']');
                Ok(())
            }
            Expr::Slice(node) => {
                self.expr(&node.expr)?;
                let bounds = [&node.start, &node.stop, &node.step];
                self.operator("slice", bounds.map(Option::as_ref))
            }
            Expr::UnaryOp(node) => match node.op {
                UnaryOpKind::Neg => {
                    self.expr(&node.expr)?;
                    self.operator("neg", [])
                }
                UnaryOpKind::Not => {
                    self.out.push_str("(not ");
                    self.expr(&node.expr)?;
                    self.out.push(')');
                    Ok(())
                }
            },
            Expr::BinOp(node) => self.binary(node.op, expr, &node.left, &node.right),
            Expr::Compare(node) => {
                self.expr(&node.expr)?;
                self.out.push_str("|__pr_cmp(");
                for (index, step) in node.ops.iter().enumerate() {
                    self.out.push_str(if index > 0 { ", \"" } else { "\"" });
                    self.out.push_str(chained_sign(step.op));
                    self.out.push_str("\", ");
                    self.expr(&step.expr)?;
                }
                self.out.push(')');
                Ok(())
            }
            Expr::IfExpr(node) => {
                self.out.push('(');
                self.expr(&node.true_expr)?;
                self.out.push_str(" if ");
                self.expr(&node.test_expr)?;
                if let Some(otherwise) = &node.false_expr {
                    self.out.push_str(" else ");
                    self.expr(otherwise)?;
                }
                self.out.push(')');
                Ok(())
            }
            Expr::Filter(node) => self.filter(node, node.span()),
            Expr::Test(node) => {
                self.known("test", node.name, node.span(), jinja::test_names().collect())?;
                self.expr(&node.expr)?;
                self.out.push_str(" is ");
                self.out.push_str(node.name);
                self.arguments(&node.args)
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.listed("[", &list.items, "]"),
            Expr::Tuple(tuple) => self.listed("(", &tuple.items, ")"),
            Expr::Map(map) => {
                self.out.push('{');
                for (key, value) in map.keys.iter().zip(&map.values) {
                    self.expr(key)?;
                    self.out.push_str(": ");
                    self.expr(value)?;
                    self.out.push_str(", ");
                }
                self.out.push('}');
                Ok(())
            }
        }
    }

    fn listed(&mut self, open: &str, items: &[Expr<'t>], close: &str) -> Result<(), TemplateError> {
        self.out.push_str(open);
        for item in items {
            self.expr(item)?;
            self.out.push_str(", ");
        }
        self.out.push_str(close);
        Ok(())
    }

    /// Writes an expression so that `.name` or `[…]` may follow it.
    fn base(&mut self, expr: &Expr<'t>) -> Result<(), TemplateError> {
        if matches!(expr, Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) | Expr::Call(_)) {
            return self.expr(expr);
        }
        self.out.push('(');
        self.expr(expr)?;
        self.out.push(')');
        Ok(())
    }

    fn name(&mut self, name: &str) {
        let at = self.slot(name);
        match self.bound.contains(name) {
            true => self.out.push_str(name),
            // Found sooner than by its name.
            false => self.out.push_str(&numbered(at)),
        }
    }

    /// The number of a name's slot, made where there is none.
    fn slot(&mut self, name: &str) -> usize {
        let known = self.slots.iter().position(|(known, _)| **known == *name);
        known.unwrap_or_else(|| {
            self.slots.push((name.into(), Slot::of(name)));
            self.slots.len() - 1
        })
    }

    /// Writes `a.b or c.d or e`, which is the same wherever it stands in the template, as one name;
    /// `false` for what is none such.
    fn first_of(&mut self, expr: &Expr<'t>) -> bool {
        let mut paths = Vec::new();
        if !self.paths(expr, &mut paths) {
            return false;
        }
        let paths = paths.into_iter().map(|(name, steps)| Path { root: self.slot(name), steps });
        let slot: Box<[Path]> = paths.collect();
        let known = self.slots.iter().position(|(_, known)| match known {
            Slot::First(known) => *known == slot,
            _ => false,
        });
        let name = match known {
            Some(at) => numbered(at),
            None => self.fixed(Slot::First(slot)),
        };
        self.out.push_str(&name);
        true
    }

    /// The paths with `or` between them, each from a name that the template never sets; `false`
    /// where anything else is among them.
    fn paths(&self, expr: &Expr<'t>, found: &mut Vec<(&'t str, Vec<Box<str>>)>) -> bool {
        match expr {
            Expr::Var(name) if !self.bound.contains(name.id) => {
                found.push((name.id, Vec::new()));
                true
            }
            Expr::GetAttr(node) if !matches!(node.expr, Expr::BinOp(_)) => {
                let found_base = self.paths(&node.expr, found);
                if found_base && let Some((_, steps)) = found.last_mut() {
                    steps.push(node.name.into());
                }
                found_base
            }
            Expr::BinOp(node) if matches!(node.op, BinOpKind::ScOr) => {
                self.paths(&node.left, found) && self.paths(&node.right, found)
            }
            _ => false,
        }
    }

    fn constant(&mut self, value: &Value, span: Span) -> Result<(), TemplateError> {
        let written = match value.kind() {
            ValueKind::String => {
                let text = value.as_str().unwrap_or_default();
                let pieces = self.source.pieces(text, span)?;
                match pieces.iter().any(|piece| matches!(piece, Piece::Variable(..))) {
                    true => {
                        let slot = constant(&pieces);
                        self.fixed(slot)
                    }
                    false => quote(&super::variables::joined(&pieces, false)),
                }
            }
            ValueKind::Bool => (if value.is_true() { "true" } else { "false" }).to_owned(),
            // A number that no float can hold is read back as infinite.
            ValueKind::Number if value.to_string() == "inf" => "1e999".to_owned(),
            ValueKind::Number => value.to_string(),
            _ => "none".to_owned(),
        };
        self.out.push_str(&written);
        Ok(())
    }

    /// Ends what was written with an operator and its further operands.
    fn operator<const N: usize>(
        &mut self,
        name: &str,
        operands: [Option<&Expr<'t>>; N],
    ) -> Result<(), TemplateError> {
        self.out.push_str("|__pr_");
        self.out.push_str(name);
        self.out.push('(');
        for (index, operand) in operands.into_iter().enumerate() {
            self.out.push_str(if index > 0 { ", " } else { "" });
            match operand {
                Some(operand) => self.expr(operand)?,
                None => self.out.push_str("none"),
            }
        }
        self.out.push(')');
        Ok(())
    }

    fn binary(
        &mut self,
        op: BinOpKind,
        whole: &Expr<'t>,
        left: &Expr<'t>,
        right: &Expr<'t>,
    ) -> Result<(), TemplateError> {
        let name = match op {
            BinOpKind::ScAnd | BinOpKind::ScOr => {
                self.out.push('(');
                self.logic(whole, matches!(op, BinOpKind::ScAnd))?;
                self.out.push(')');
                return Ok(());
            }
            BinOpKind::Add => "add",
            BinOpKind::Sub => "sub",
            BinOpKind::Mul => "mul",
            BinOpKind::Div => "div",
            BinOpKind::FloorDiv => "floordiv",
            BinOpKind::Rem => "rem",
            BinOpKind::Pow => "pow",
            BinOpKind::Concat => "cat",
            comparing => {
                self.expr(left)?;
                self.out.push_str("|__pr_cmp(\"");
                self.out.push_str(sign(comparing));
                self.out.push_str("\", ");
                self.expr(right)?;
                self.out.push(')');
                return Ok(());
            }
        };
        self.expr(left)?;
        self.operator(name, [Some(right)])
    }

    /// `a and b and c` without a pair of brackets for each.
    fn logic(&mut self, expr: &Expr<'t>, and: bool) -> Result<(), TemplateError> {
        match expr {
            Expr::BinOp(node)
                if matches!(node.op, BinOpKind::ScAnd) == and && is_logic(node.op) =>
            {
                self.logic(&node.left, and)?;
                self.out.push_str(if and { " and " } else { " or " });
                self.expr(&node.right)
            }
            _ => self.expr(expr),
        }
    }

    fn filter(&mut self, node: &Filter<'t>, span: Span) -> Result<(), TemplateError> {
        let own = filters::FILTERS.iter().map(|row| row.0);
        let all = || own.clone().chain(jinja::filter_names()).collect();
        self.known("filter", node.name, span, all())?;
        let known = |index: usize, name: &str| {
            let mut position = 0;
            node.args.iter().find_map(|arg| match arg {
                CallArg::Pos(Expr::Const(constant)) if position == index => {
                    Some(constant.value.clone())
                }
                CallArg::Pos(_) => {
                    position += 1;
                    None
                }
                CallArg::Kwarg(key, Expr::Const(constant)) if *key == name => {
                    Some(constant.value.clone())
                }
                _ => None,
            })
        };
        filters::misused(node.name, &known)
            .map_err(|message| self.source.refused(span, message, None))?;
        let place = usize::from(node.name.ends_with("attr"));
        if let Some(name) = known(place, "").as_ref().and_then(Value::as_str) {
            if OF_FILTERS.contains(&node.name) {
                self.known("filter", name, span, all())?;
            } else if OF_TESTS.contains(&node.name) {
                self.known("test", name, span, jinja::test_names().collect())?;
            }
        }
        if let Some(expr) = &node.expr {
            self.expr(expr)?;
            self.out.push('|');
        }
        self.out.push_str(node.name);
        self.arguments(&node.args)
    }

    /// Refuses a filter, function or test that does not exist.
    fn known(
        &self,
        what: &str,
        name: &str,
        span: Span,
        names: Vec<&str>,
    ) -> Result<(), TemplateError> {
        if names.contains(&name) {
            return Ok(());
        }
        let fix = nearest(name, &names);
        Err(self.source.refused(span, format!("there is no {what} `{name}`"), fix))
    }

    pub(super) fn call(&mut self, call: &Call<'t>) -> Result<(), TemplateError> {
        match &call.expr {
            Expr::Var(name) if self.bound.contains(name.id) => self.out.push_str(name.id),
            Expr::Var(name) => {
                let Some(function) = jinja::function(name.id) else {
                    let known = jinja::FUNCTIONS.iter().chain(&self.bound).copied().collect();
                    return self.known("function", name.id, name.span(), known);
                };
                let written = self.fixed(Slot::Constant(function));
                self.out.push_str(&written);
            }
            Expr::GetAttr(node) => match &node.expr {
                Expr::Var(name) if name.id == "loop" => {
                    self.out.push_str("loop.");
                    self.out.push_str(node.name);
                }
                _ => {
                    let message = format!("values have no methods such as `{}()`", node.name);
                    let filter = jinja::filter_names().find(|name| *name == node.name);
                    let fix = filter.map(|name| format!("use the filter: `| {name}`"));
                    return Err(self.source.refused(node.span(), message, fix));
                }
            },
            other => {
                let message = "only functions and macros can be called".to_owned();
                return Err(self.source.refused(other.span(), message, None));
            }
        }
        self.arguments(&call.args)
    }

    fn arguments(&mut self, args: &[CallArg<'t>]) -> Result<(), TemplateError> {
        self.out.push('(');
        for (index, arg) in args.iter().enumerate() {
            self.out.push_str(if index > 0 { ", " } else { "" });
            let value = match arg {
                CallArg::Pos(value) => value,
                CallArg::Kwarg(name, value) => {
                    self.out.push_str(name);
                    self.out.push('=');
                    value
                }
                CallArg::PosSplat(value) => {
                    self.out.push('*');
                    value
                }
                CallArg::KwargSplat(value) => {
                    self.out.push_str("**");
                    value
                }
            };
            self.expr(value)?;
        }
        self.out.push(')');
        Ok(())
    }
}

fn is_logic(op: BinOpKind) -> bool {
    matches!(op, BinOpKind::ScAnd | BinOpKind::ScOr)
}

fn sign(op: BinOpKind) -> &'static str {
    match op {
        BinOpKind::Eq => "==",
        BinOpKind::Ne => "!=",
        BinOpKind::Lt => "<",
        BinOpKind::Lte => "<=",
        BinOpKind::Gt => ">",
        BinOpKind::Gte => ">=",
        _ => "in",
    }
}

fn chained_sign(op: CompareOpKind) -> &'static str {
    match op {
        CompareOpKind::Eq => "==",
        CompareOpKind::Ne => "!=",
        CompareOpKind::Lt => "<",
        CompareOpKind::Lte => "<=",
        CompareOpKind::Gt => ">",
        CompareOpKind::Gte => ">=",
        CompareOpKind::In => "in",
        CompareOpKind::NotIn => "not in",
    }
}

/// A string literal of the template language.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            control if control < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
