//! Jinja's filters, tests and functions, made fit for event values: null goes through instead of
//! failing, numbers of the event count as numbers, and nothing grows without bound. postrider's
//! own filters live in `filters`.

mod anew;

use super::operators::{self, MAX_ITEMS, compare, too_large};
use super::value::{describe, is_null, plain};
use super::{Failure, failure, work};
use minijinja::value::{ArgType, Kwargs, Value, ValueKind};
use minijinja::{Environment, Error, State, filters, functions, tests};
use std::error::Error as _;
use std::slice;

/// What a filter of Jinja makes of null.
#[derive(Clone, Copy, PartialEq)]
enum OfNull {
    /// Null.
    Null,
    /// Whatever Jinja makes of an undefined value.
    Jinja,
}

/// Jinja's filters as the engine has them.
fn borrowed_filters() -> Vec<(&'static str, OfNull, Value)> {
    use OfNull::{Jinja, Null};
    vec![
        ("abs", Null, Value::from_function(filters::abs)),
        ("attr", Null, Value::from_function(filters::attr)),
        ("batch", Null, Value::from_function(filters::batch)),
        ("bool", Jinja, Value::from_function(filters::bool)),
        ("capitalize", Null, Value::from_function(filters::capitalize)),
        ("chain", Jinja, Value::from_function(filters::chain)),
        ("dictsort", Null, Value::from_function(filters::dictsort)),
        ("first", Null, Value::from_function(filters::first)),
        ("float", Null, Value::from_function(filters::float)),
        ("format", Null, Value::from_function(filters::format)),
        ("groupby", Jinja, Value::from_function(filters::groupby)),
        ("indent", Null, Value::from_function(filters::indent)),
        ("int", Null, Value::from_function(filters::int)),
        ("items", Null, Value::from_function(filters::items)),
        ("last", Null, Value::from_function(filters::last)),
        ("lines", Null, Value::from_function(filters::lines)),
        ("list", Jinja, Value::from_function(filters::list)),
        ("lower", Null, Value::from_function(filters::lower)),
        ("map", Jinja, Value::from_function(filters::map)),
        ("max", Null, Value::from_function(filters::max)),
        ("min", Null, Value::from_function(filters::min)),
        ("reject", Jinja, Value::from_function(filters::reject)),
        ("rejectattr", Jinja, Value::from_function(filters::rejectattr)),
        ("reverse", Null, Value::from_function(filters::reverse)),
        ("round", Null, Value::from_function(filters::round)),
        ("select", Jinja, Value::from_function(filters::select)),
        ("selectattr", Jinja, Value::from_function(filters::selectattr)),
        ("slice", Null, Value::from_function(filters::slice)),
        ("split", Null, Value::from_function(filters::split)),
        ("title", Null, Value::from_function(filters::title)),
        ("trim", Null, Value::from_function(filters::trim)),
        ("unique", Jinja, Value::from_function(filters::unique)),
        ("upper", Null, Value::from_function(filters::upper)),
        ("zip", Jinja, Value::from_function(filters::zip)),
    ]
}

/// The arguments of a call as the engine holds them, named ones as one more at the end: nothing is
/// copied, unlike with the engine's own types for that.
struct Args<'a>(&'a [Value]);

impl<'a> ArgType<'a> for Args<'_> {
    type Output = Args<'a>;

    fn from_value(value: Option<&'a Value>) -> Result<Args<'a>, Error> {
        Ok(Args(value.map(slice::from_ref).unwrap_or_default()))
    }

    fn from_state_and_values(
        _: Option<&'a State>,
        values: &'a [Value],
        offset: usize,
    ) -> Result<(Args<'a>, usize), Error> {
        Self::from_state_and_values_mut(None, values, offset)
    }

    fn from_state_and_values_mut(
        _: Option<&State>,
        values: &'a [Value],
        offset: usize,
    ) -> Result<(Args<'a>, usize), Error> {
        let rest = values.get(offset..).unwrap_or_default();
        Ok((Args(rest), rest.len()))
    }
}

/// A filter written here: it gets its value and its arguments.
pub(super) type Filter = fn(&mut State, &[Value]) -> Result<Value, Error>;

/// Tests that look at the value's kind or text; of null they are all false.
fn borrowed_tests() -> Vec<(&'static str, Value)> {
    vec![
        ("boolean", Value::from_function(tests::is_boolean)),
        ("divisibleby", Value::from_function(tests::is_divisibleby)),
        ("endingwith", Value::from_function(tests::is_endingwith)),
        ("even", Value::from_function(tests::is_even)),
        ("false", Value::from_function(tests::is_false)),
        ("float", Value::from_function(tests::is_float)),
        ("int", Value::from_function(tests::is_integer)),
        ("integer", Value::from_function(tests::is_integer)),
        ("iterable", Value::from_function(tests::is_iterable)),
        ("lower", Value::from_function(tests::is_lower)),
        ("mapping", Value::from_function(tests::is_mapping)),
        ("number", Value::from_function(tests::is_number)),
        ("odd", Value::from_function(tests::is_odd)),
        ("sequence", Value::from_function(tests::is_sequence)),
        ("startingwith", Value::from_function(tests::is_startingwith)),
        ("string", Value::from_function(tests::is_string)),
        ("true", Value::from_function(tests::is_true)),
        ("upper", Value::from_function(tests::is_upper)),
    ]
}

/// Tests that compare, with the operator they stand for.
const COMPARISONS: &[(&str, &str)] = &[
    ("eq", "=="),
    ("equalto", "=="),
    ("ge", ">="),
    ("gt", ">"),
    ("greaterthan", ">"),
    ("in", "in"),
    ("le", "<="),
    ("lessthan", "<"),
    ("lt", "<"),
    ("ne", "!="),
    ("sameas", "=="),
];

/// Tests for null: an absent field and null are the same.
const NULL_TESTS: &[(&str, bool)] = &[("defined", false), ("none", true), ("undefined", true)];

/// The functions, by name.
pub(super) fn function(name: &str) -> Option<Value> {
    match name {
        "range" => Some(Value::from_function(range)),
        "dict" => Some(Value::from_function(functions::dict)),
        "namespace" => Some(Value::from_function(functions::namespace)),
        _ => None,
    }
}

/// The names [`function`] knows.
pub(super) const FUNCTIONS: &[&str] = &["dict", "namespace", "range"];

/// The names of all filters of Jinja.
pub(super) fn filter_names() -> impl Iterator<Item = &'static str> {
    borrowed_filters()
        .into_iter()
        .map(|(name, ..)| name)
        .chain(anew::FILTERS.iter().map(|row| row.0))
}

/// The names of all tests.
pub(super) fn test_names() -> impl Iterator<Item = &'static str> {
    let compared = COMPARISONS.iter().map(|row| row.0);
    borrowed_tests()
        .into_iter()
        .map(|(name, _)| name)
        .chain(compared)
        .chain(NULL_TESTS.iter().map(|row| row.0))
}

/// Gives an environment Jinja's filters and tests, and the operators.
pub(super) fn register(environment: &mut Environment<'static>) {
    for (name, of_null, filter) in borrowed_filters() {
        environment.add_filter(name, move |state: &mut State, args: Args<'_>| {
            work::operate(name, args.0)?;
            work::made(borrowed(name, of_null, &filter, state, args.0)?)
        });
    }
    for &(name, filter) in anew::FILTERS {
        add_filter(environment, name, filter);
    }
    for &(name, operator) in operators::OPERATORS {
        environment.add_filter(name, move |state: &mut State, args: Args<'_>| {
            work::operate(name, args.0)?;
            work::made(operator(state, args.0)?)
        });
    }
    for (name, test) in borrowed_tests() {
        environment.add_test(name, move |state: &mut State, args: Args<'_>| {
            work::look_at(args.0)?;
            let args: Vec<Value> = args.0.iter().map(plain).collect();
            // A text that a test does not fit is a text the test is false of.
            let fits = args.first().is_some_and(|value| !is_null(value));
            Ok::<_, Error>(fits && test.call(state, &args).is_ok_and(|verdict| verdict.is_true()))
        });
    }
    for &(name, sign) in COMPARISONS {
        environment.add_test(name, move |state: &State, a: &Value, b: &Value| {
            work::look_at(slice::from_ref(a))?;
            work::look_at(slice::from_ref(b))?;
            compare(state, a, sign, b)
        });
    }
    for &(name, of_null) in NULL_TESTS {
        environment.add_test(name, move |value: &Value| is_null(value) == of_null);
    }
}

/// Gives an environment a filter that is written here.
pub(super) fn add_filter(
    environment: &mut Environment<'static>,
    name: &'static str,
    filter: Filter,
) {
    environment.add_filter(name, move |state: &mut State, args: Args<'_>| {
        work::operate(name, args.0)?;
        work::made(filter(state, args.0).map_err(|error| explained(name, args.0, error))?)
    });
}

fn borrowed(
    name: &str,
    of_null: OfNull,
    filter: &Value,
    state: &mut State,
    args: &[Value],
) -> Result<Value, Error> {
    // `int` and `float` may name what stands in for a value that is no number.
    let null = args.first().is_none_or(is_null);
    if null && of_null == OfNull::Null && !(matches!(name, "int" | "float") && args.len() > 1) {
        return Ok(Value::UNDEFINED);
    }
    let mut args: Vec<Value> = args.iter().map(plain).collect();
    if matches!(name, "max" | "min" | "unique") {
        args[0] = with_plain_items(&args[0])?;
    }
    check_bounds(name, &args)?;
    filter.call(state, &args).map_err(|error| explained(name, &args, error))
}

/// The engine reserves what these arguments ask for before it looks whether it is sensible.
fn check_bounds(name: &str, args: &[Value]) -> Result<(), Error> {
    let mut limited = match name {
        "batch" | "slice" => args.get(1..2).unwrap_or_default().to_vec(),
        "indent" => args.get(1..).unwrap_or_default().to_vec(),
        _ => Vec::new(),
    };
    if let Some(named) = limited.pop_if(|last| last.is_kwargs()) {
        limited.extend(named.get_attr("width").ok());
    }
    let most = if name == "indent" { 1_000 } else { 10_000 };
    if limited.iter().any(|arg| arg.is_integer() && arg.as_i64().is_none_or(|n| n > most)) {
        return Err(failure(format!("filter `{name}` takes at most {most}")));
    }
    if name == "format" {
        let text = args.first().and_then(Value::as_str).unwrap_or_default();
        let wide = |digits: &str| digits.len() > 3;
        if text.contains('*') || text.split(|c: char| !c.is_ascii_digit()).any(wide) {
            return Err(failure("filter `format` takes widths of at most 999"));
        }
    }
    Ok(())
}

/// An error that names the filter and the kind of value, never the value.
fn explained(name: &str, args: &[Value], error: Error) -> Error {
    let told = error.source().is_some_and(|source| source.is::<Failure>() || source.is::<Error>());
    if told || error.kind() == too_large().kind() {
        return error;
    }
    let value = args.first().map_or("nothing", describe);
    failure(format!("filter `{name}` failed on {value}: {}", error.kind()))
}

/// The value a filter is applied to.
pub(super) fn first(args: &[Value]) -> Value {
    args.first().cloned().unwrap_or_default()
}

/// The arguments of a filter that may be named; the value itself not counted.
pub(super) fn argument(args: &[Value], index: usize, name: &str) -> Option<Value> {
    let (positional, named) = match args.split_last() {
        Some((last, rest)) if last.is_kwargs() => (rest, Some(last)),
        _ => (args, None),
    };
    let by_name = || Kwargs::try_from(named?.clone()).ok()?.peek::<Value>(name).ok();
    positional.get(index + 1).map(plain).or_else(|| Some(plain(&by_name()?)))
}

fn with_plain_items(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            Ok(value.try_iter()?.map(|item| plain(&item)).collect())
        }
        _ => Ok(value.clone()),
    }
}

/// `range(stop)`, `range(start, stop)`, `range(start, stop, step)`.
fn range(first: i64, stop: Option<i64>, step: Option<i64>) -> Result<Value, Error> {
    let (start, stop) = stop.map_or((0, first), |stop| (first, stop));
    let step = step.unwrap_or(1);
    if step == 0 {
        return Err(failure("a range needs a step other than 0"));
    }
    let numbers: Vec<i64> = std::iter::successors(Some(start), |number| number.checked_add(step))
        .take_while(|&number| if step > 0 { number < stop } else { number > stop })
        .take(MAX_ITEMS + 1)
        .collect();
    if numbers.len() > MAX_ITEMS {
        return Err(failure(format!("a range has at most {MAX_ITEMS} numbers")));
    }
    work::made(Value::from(numbers))
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn every_name_is_there_once() {
        let mut names: Vec<_> = filter_names().collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(FUNCTIONS.iter().all(|name| function(name).is_some()));
    }
}
