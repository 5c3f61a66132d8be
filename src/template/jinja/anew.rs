//! Filters of Jinja that are written anew, because the engine's know nothing of null and bounds or
//! write values in the manner of Python.

use super::{Filter, argument, first};
use crate::template::failure;
use crate::template::operators::{MAX_ITEMS, add, too_large};
use crate::template::output::{MAX_OUTPUT, json_of, text_of};
use crate::template::value::{describe, is_null, plain};
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, HtmlEscape};

/// The filters, by name.
pub(super) const FILTERS: &[(&str, Filter)] = &[
    ("count", |_, args| length(args)),
    ("d", |_, args| default(args)),
    ("default", |_, args| default(args)),
    ("e", |_, args| html(args)),
    ("escape", |_, args| html(args)),
    ("join", |_, args| join(args)),
    ("length", |_, args| length(args)),
    ("replace", |_, args| replace(args)),
    ("safe", |_, args| safe(args)),
    ("sort", |_, args| sort(args)),
    ("string", |_, args| string(args)),
    ("sum", |_, args| sum(args)),
    ("tojson", |_, args| Ok(Value::from_safe_string(json_of(&first(args))?))),
];

fn length(args: &[Value]) -> Result<Value, Error> {
    let value = plain(&first(args));
    match value.len() {
        Some(length) => Ok(Value::from(length)),
        None if is_null(&value) => Ok(Value::from(0)),
        None => Err(failure(format!("{} has no length", describe(&value)))),
    }
}

fn default(args: &[Value]) -> Result<Value, Error> {
    let value = first(args);
    let lax = argument(args, 1, "boolean").is_some_and(|lax| lax.is_true());
    if is_null(&value) || (lax && !value.is_true()) {
        return Ok(argument(args, 0, "default_value").unwrap_or_else(|| Value::from("")));
    }
    Ok(value)
}

fn html(args: &[Value]) -> Result<Value, Error> {
    let text = text_of(&first(args))?;
    Ok(Value::from(HtmlEscape(&text).to_string()))
}

/// Text that is JSON already where JSON is due; the template answers for it.
fn safe(args: &[Value]) -> Result<Value, Error> {
    let value = first(args);
    if is_null(&value) {
        return Ok(Value::UNDEFINED);
    }
    Ok(Value::from_safe_string(text_of(&value)?))
}

fn string(args: &[Value]) -> Result<Value, Error> {
    let value = first(args);
    if is_null(&value) { Ok(Value::UNDEFINED) } else { Ok(Value::from(text_of(&value)?)) }
}

/// A list's elements; null has none.
fn items(value: &Value, filter: &str) -> Result<Vec<Value>, Error> {
    match value.kind() {
        ValueKind::Number | ValueKind::Bool | ValueKind::Plain => {
            Err(failure(format!("filter `{filter}` cannot take {}", describe(value))))
        }
        _ => Ok(value.try_iter()?.take(MAX_ITEMS).collect()),
    }
}

fn attribute_of(item: &Value, attribute: Option<&Value>) -> Value {
    let Some(path) = attribute.and_then(|attribute| attribute.as_str()) else { return plain(item) };
    let found = path.split('.').try_fold(item.clone(), |value, name| value.get_attr(name).ok());
    plain(&found.unwrap_or_default())
}

fn join(args: &[Value]) -> Result<Value, Error> {
    let between = argument(args, 0, "d").map(|value| text_of(&value)).transpose()?;
    let between = between.unwrap_or_default();
    let attribute = argument(args, 1, "attribute");
    let mut text = String::new();
    for (index, item) in items(&plain(&first(args)), "join")?.iter().enumerate() {
        // Only what an attribute is taken from is looked into; an element keeps its digits.
        let item =
            if attribute.is_some() { attribute_of(item, attribute.as_ref()) } else { item.clone() };
        if index > 0 {
            text.push_str(&between);
        }
        text.push_str(&text_of(&item)?);
        if text.len() > MAX_OUTPUT {
            return Err(too_large());
        }
    }
    Ok(Value::from(text))
}

fn replace(args: &[Value]) -> Result<Value, Error> {
    let value = first(args);
    if is_null(&value) {
        return Ok(Value::UNDEFINED);
    }
    let part = |index, name| text_of(&argument(args, index, name).unwrap_or_default());
    let (text, old, new) = (text_of(&value)?, part(0, "old")?, part(1, "new")?);
    let growth = text.matches(&old).count().saturating_mul(new.len());
    if text.len().saturating_add(growth) > MAX_OUTPUT {
        return Err(too_large());
    }
    Ok(Value::from(text.replace(&old, &new)))
}

fn sort(args: &[Value]) -> Result<Value, Error> {
    let attribute = argument(args, usize::MAX - 1, "attribute");
    let flag = |name| argument(args, usize::MAX - 1, name).is_some_and(|flag| flag.is_true());
    let (reverse, case_sensitive) = (flag("reverse"), flag("case_sensitive"));
    let mut keyed: Vec<(Value, Value)> = items(&first(args), "sort")?
        .into_iter()
        .map(|item| {
            let key = attribute_of(&item, attribute.as_ref());
            let lower = key.as_str().filter(|_| !case_sensitive).map(str::to_lowercase);
            (lower.map_or(key, Value::from), item)
        })
        .collect();
    keyed.sort_by(|a, b| if reverse { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) });
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

fn sum(args: &[Value]) -> Result<Value, Error> {
    let attribute = argument(args, 0, "attribute");
    let mut total = argument(args, 1, "start").unwrap_or_else(|| Value::from(0));
    for item in items(&first(args), "sum")? {
        let number = attribute_of(&item, attribute.as_ref());
        if !is_null(&number) {
            total = add(&total, &number)?;
        }
    }
    Ok(total)
}
