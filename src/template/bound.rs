//! The names that a template sets itself somewhere: they may mean something else than the event's
//! field of that name, from place to place.

use minijinja::machinery::ast::{Expr, Macro, Stmt};
use std::collections::HashSet;

/// The names set in a template's tree, and those that the engine sets.
pub(super) fn names<'t>(tree: &Stmt<'t>) -> HashSet<&'t str> {
    let mut names = nothing_set();
    statement(tree, &mut names);
    names
}

/// The names of a tree that sets none.
pub(super) fn nothing_set<'t>() -> HashSet<&'t str> {
    HashSet::from(["loop", "caller"])
}

fn body<'t>(statements: &[Stmt<'t>], names: &mut HashSet<&'t str>) {
    statements.iter().for_each(|inner| statement(inner, names));
}

fn statement<'t>(statement: &Stmt<'t>, names: &mut HashSet<&'t str>) {
    match statement {
        Stmt::Template(node) => body(&node.children, names),
        Stmt::ForLoop(node) => {
            target(&node.target, names);
            body(&node.body, names);
            body(&node.else_body, names);
        }
        Stmt::IfCond(node) => {
            body(&node.true_body, names);
            body(&node.false_body, names);
        }
        Stmt::WithBlock(node) => {
            node.assignments.iter().for_each(|(name, _)| target(name, names));
            body(&node.body, names);
        }
        Stmt::Set(node) => target(&node.target, names),
        Stmt::SetBlock(node) => {
            target(&node.target, names);
            body(&node.body, names);
        }
        Stmt::FilterBlock(node) => body(&node.body, names),
        Stmt::Macro(node) => {
            names.insert(node.name);
            declared(node, names);
        }
        Stmt::CallBlock(node) => declared(&node.macro_decl, names),
        _ => {}
    }
}

fn declared<'t>(node: &Macro<'t>, names: &mut HashSet<&'t str>) {
    node.args.iter().for_each(|name| target(name, names));
    body(&node.body, names);
}

/// What is assigned to; the attribute of a namespace is no name.
fn target<'t>(target_of: &Expr<'t>, names: &mut HashSet<&'t str>) {
    match target_of {
        Expr::Var(name) => drop(names.insert(name.id)),
        Expr::List(list) => list.items.iter().for_each(|item| target(item, names)),
        Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| target(item, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::machinery::parse;
    use minijinja::syntax::SyntaxConfig;

    #[test]
    fn every_way_to_set_a_name_is_known() {
        for (text, set) in [
            ("{% set a = b %}{% set c, d = e %}{% set n.f = g %}", "a c d"),
            ("{% set a | upper %}{% set b = c %}{% endset %}", "a b"),
            (
                "{% for a, b in c if d %}{% set e = f %}{% else %}{% set g = h %}{% endfor %}",
                "a b e g",
            ),
            ("{% with a = b, c = f(d, e), (g, h) = i %}{% set j = k %}{% endwith %}", "a c g h j"),
            (
                "{% if a %}{% set b = 1 %}{% elif c %}{% set d = 1 %}{% else %}{% set e = 1 %}{% endif %}",
                "b d e",
            ),
            ("{% macro a(b, c=d) %}{% set e = 1 %}{% endmacro %}", "a b c e"),
            ("{% call(a) b(c) %}{% set d = 1 %}{% endcall %}", "a d"),
            ("{% filter upper %}{% set a = 1 %}{% endfilter %}", "a"),
            ("{{ a or b.c }}", ""),
        ] {
            let tree = parse(text, "t", SyntaxConfig::default()).unwrap();
            let mut found: Vec<_> = names(&tree).difference(&nothing_set()).copied().collect();
            found.sort_unstable();
            assert_eq!(found.join(" "), set, "{text}");
        }
    }
}
