//! TOML as a tree. Several syntax errors are found at once.

use super::{Entry, Fault, Kind, Lines, MAX_DEPTH, Node, Value, check_key, too_deep};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Reads a TOML document; hands every error to `fault` and returns the tree where there is none.
pub(super) fn read(text: &str, fault: &mut impl FnMut(Fault)) -> Option<Node> {
    let lines = Lines::new(text);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        fault(Fault {
            position: lines.position(error.span().map_or(0, |span| span.start)),
            message: format!("not valid TOML: {}", error.message()),
            fix: super::syntax_fix(),
        });
    }
    if !errors.is_empty() {
        return None;
    }
    build_table(table.get_ref(), 0, &lines, 0).map_err(fault).ok()
}

fn build_table(
    table: &DeTable<'_>,
    at: usize,
    lines: &Lines<'_>,
    depth: usize,
) -> Result<Node, Fault> {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        let position = lines.position(key.span().start);
        check_key(key.get_ref(), position)?;
        let node = build(value, lines, depth + 1)?;
        entries.push(Entry { key: key.get_ref().to_string(), position, node });
    }
    Ok(Node::new(Value::Map(entries), lines.position(at)))
}

fn build(value: &Spanned<DeValue<'_>>, lines: &Lines<'_>, depth: usize) -> Result<Node, Fault> {
    let span = value.span();
    let at = lines.position(span.start);
    if depth > MAX_DEPTH {
        return Err(too_deep(at));
    }
    let written = || lines.text.get(span.clone()).unwrap_or_default().replace('_', "");
    Ok(match value.get_ref() {
        DeValue::String(string) => Node::scalar(Kind::Text, string.to_string(), at),
        // An octal number keeps its prefix: a file mode reads it.
        DeValue::Integer(number) if number.radix() == 10 => {
            Node::scalar(Kind::Number, number.as_str(), at)
        }
        DeValue::Integer(_) => Node::scalar(Kind::Number, written(), at),
        DeValue::Float(number) => Node::scalar(Kind::Number, number.as_str(), at),
        DeValue::Boolean(value) => Node::scalar(Kind::Bool, value.to_string(), at),
        DeValue::Datetime(time) => Node::scalar(Kind::Text, time.to_string(), at),
        DeValue::Array(items) => {
            let items: Result<_, _> =
                items.iter().map(|item| build(item, lines, depth + 1)).collect();
            Node::new(Value::List(items?), at)
        }
        DeValue::Table(table) => build_table(table, span.start, lines, depth)?,
    })
}
