//! What the operators of a template mean: null compares and calculates without failing, numbers of
//! the event compare by value whatever their digits, and nothing grows without bound. `rewrite`
//! turns every operator into a call of one of these.

use super::failure;
use super::output::{MAX_OUTPUT, Purpose, text_of};
use super::scope::Scope;
use super::value::{Item, Node, Scalar, describe, is_null, plain};
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};
use std::cmp::Ordering;

/// How many elements a list may have that a template builds.
pub(super) const MAX_ITEMS: usize = 100_000;

/// How many values may be kept in one attribute of a namespace, and how deep.
const MAX_KEPT: usize = 1_000;
const MAX_KEPT_DEPTH: usize = 32;

/// An operator: its value, then its operands.
pub(super) type Operator = fn(&State, &[Value]) -> Result<Value, Error>;

/// The operators by the name `rewrite` calls them by.
pub(super) const OPERATORS: &[(&str, Operator)] = &[
    ("__pr_add", |_, args| binary(args, add)),
    ("__pr_sub", |_, args| arithmetic(args, i128::checked_sub, |a, b| a - b)),
    ("__pr_mul", |_, args| binary(args, multiply)),
    ("__pr_div", |_, args| binary(args, divide)),
    ("__pr_floordiv", |_, args| divided(args, floor_div, |a, b| (a / b).floor())),
    ("__pr_rem", |_, args| divided(args, floor_rem, |a, b| a - b * (a / b).floor())),
    ("__pr_pow", |_, args| binary(args, power)),
    ("__pr_neg", |_, args| {
        arithmetic(&[Value::from(0), operand(args, 0)], i128::checked_sub, |_, b| -b)
    }),
    ("__pr_cat", |_, args| concatenate(args)),
    ("__pr_cmp", comparison),
    ("__pr_slice", |_, args| slice(args)),
    ("__pr_keep", |_, args| keep(&operand(args, 0), MAX_KEPT_DEPTH, &mut MAX_KEPT.clone())),
];

fn operand(args: &[Value], index: usize) -> Value {
    args.get(index).map(plain).unwrap_or_default()
}

/// Applies an operator to two operands; null makes null.
fn binary(args: &[Value], of: fn(&Value, &Value) -> Result<Value, Error>) -> Result<Value, Error> {
    let (a, b) = (operand(args, 0), operand(args, 1));
    if is_null(&a) || is_null(&b) { Ok(Value::UNDEFINED) } else { of(&a, &b) }
}

enum Pair {
    Integers(i128, i128),
    Floats(f64, f64),
}

/// Two numbers to calculate with.
fn pair(a: &Value, b: &Value) -> Result<Pair, Error> {
    if !a.is_number() || !b.is_number() {
        return Err(failure(format!("cannot calculate with {} and {}", describe(a), describe(b))));
    }
    let integer = |value: &Value| value.is_integer().then(|| i128::try_from(value.clone()).ok());
    let float = |value: &Value| f64::try_from(value.clone()).unwrap_or(f64::NAN);
    Ok(match (integer(a).flatten(), integer(b).flatten()) {
        (Some(a), Some(b)) => Pair::Integers(a, b),
        _ => Pair::Floats(float(a), float(b)),
    })
}

fn integer(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}

type OfIntegers = fn(i128, i128) -> Option<i128>;
type OfFloats = fn(f64, f64) -> f64;

fn calculate(a: &Value, b: &Value, ints: OfIntegers, floats: OfFloats) -> Result<Value, Error> {
    Ok(match pair(a, b)? {
        Pair::Integers(a, b) => match ints(a, b) {
            Some(number) => integer(number),
            None => Value::from(floats(a as f64, b as f64)),
        },
        Pair::Floats(a, b) => Value::from(floats(a, b)),
    })
}

fn arithmetic(args: &[Value], ints: OfIntegers, floats: OfFloats) -> Result<Value, Error> {
    let (a, b) = (operand(args, 0), operand(args, 1));
    if is_null(&a) || is_null(&b) {
        return Ok(Value::UNDEFINED);
    }
    calculate(&a, &b, ints, floats)
}

fn divided(args: &[Value], ints: OfIntegers, floats: OfFloats) -> Result<Value, Error> {
    if let Pair::Integers(_, 0) | Pair::Floats(_, 0.0) =
        pair(&operand(args, 0), &operand(args, 1)).unwrap_or(Pair::Integers(0, 1))
    {
        return Err(failure("division by zero"));
    }
    arithmetic(args, ints, floats)
}

fn floor_div(a: i128, b: i128) -> Option<i128> {
    let quotient = a.checked_div(b)?;
    if a % b != 0 && (a < 0) != (b < 0) { quotient.checked_sub(1) } else { Some(quotient) }
}

fn floor_rem(a: i128, b: i128) -> Option<i128> {
    let rest = a.checked_rem(b)?;
    if rest != 0 && (rest < 0) != (b < 0) { rest.checked_add(b) } else { Some(rest) }
}

pub(super) fn add(a: &Value, b: &Value) -> Result<Value, Error> {
    if let (Some(first), Some(second)) = (a.as_str(), b.as_str()) {
        return joined(&[first, second]);
    }
    if is_list(a) && is_list(b) {
        let items: Vec<Value> = a.try_iter()?.chain(b.try_iter()?).take(MAX_ITEMS + 1).collect();
        return if items.len() > MAX_ITEMS { Err(too_large()) } else { Ok(Value::from(items)) };
    }
    calculate(a, b, i128::checked_add, |a, b| a + b)
}

fn multiply(a: &Value, b: &Value) -> Result<Value, Error> {
    match (a.as_str(), b.as_usize()) {
        (Some(text), Some(times)) => match text.len().checked_mul(times) {
            Some(length) if length <= MAX_OUTPUT => Ok(Value::from(text.repeat(times))),
            _ => Err(too_large()),
        },
        _ => calculate(a, b, i128::checked_mul, |a, b| a * b),
    }
}

fn divide(a: &Value, b: &Value) -> Result<Value, Error> {
    let (a, b) = match pair(a, b)? {
        Pair::Integers(a, b) => (a as f64, b as f64),
        Pair::Floats(a, b) => (a, b),
    };
    if b == 0.0 { Err(failure("division by zero")) } else { Ok(Value::from(a / b)) }
}

fn power(a: &Value, b: &Value) -> Result<Value, Error> {
    calculate(a, b, |a, b| a.checked_pow(u32::try_from(b).ok()?), f64::powf)
}

fn concatenate(args: &[Value]) -> Result<Value, Error> {
    let texts = args.iter().map(text_of).collect::<Result<Vec<_>, _>>()?;
    joined(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

fn joined(texts: &[&str]) -> Result<Value, Error> {
    if texts.iter().map(|text| text.len()).sum::<usize>() > MAX_OUTPUT {
        return Err(too_large());
    }
    Ok(Value::from(texts.concat()))
}

/// What is said of a value that outgrew its bound.
pub(super) fn too_large() -> Error {
    Error::from(ErrorKind::WriteFailure)
}

fn is_list(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// `a < b <= c`: operands with the operators' signs between them.
fn comparison(state: &State, args: &[Value]) -> Result<Value, Error> {
    let Some((first, rest)) = args.split_first() else { return Ok(Value::from(false)) };
    let mut left = first;
    for step in rest.chunks_exact(2) {
        if !compare(state, left, step[0].as_str().unwrap_or_default(), &step[1])? {
            return Ok(Value::from(false));
        }
        left = &step[1];
    }
    Ok(Value::from(true))
}

/// Whether two values compare like this. Null equals only null and is neither more nor less than
/// anything. Values of different kinds have no order: that fails an expression that decides about
/// an event, which then counts it, and is false in a template, which has a text to finish.
pub(super) fn compare(state: &State, a: &Value, sign: &str, b: &Value) -> Result<bool, Error> {
    match sign {
        "==" => return Ok(equal(a, b)),
        "!=" => return Ok(!equal(a, b)),
        "in" | "not in" => return Ok(contains(state, b, a)? == (sign == "in")),
        _ => {}
    }
    let (a, b) = (plain(a), plain(b));
    if is_null(&a) || is_null(&b) {
        return Ok(false);
    }
    if a.kind() != b.kind() || matches!(a.kind(), ValueKind::Map | ValueKind::Plain) {
        return mismatch(state, format!("cannot order {} and {}", describe(&a), describe(&b)));
    }
    let order = a.cmp(&b);
    Ok(match sign {
        "<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        _ => order != Ordering::Less,
    })
}

fn mismatch(state: &State, what: String) -> Result<bool, Error> {
    match Scope::of(state)?.progress.purpose {
        Purpose::Verdict => Err(failure(what)),
        Purpose::Text(_) => Ok(false),
    }
}

/// Whether two values are the same; numbers by value, lists and objects by their parts.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    if a.kind() == ValueKind::String && b.kind() == ValueKind::String {
        return a.as_str() == b.as_str();
    }
    let (a, b) = (plain(a), plain(b));
    if is_null(&a) || is_null(&b) {
        return is_null(&a) && is_null(&b);
    }
    if is_list(&a) && is_list(&b) {
        let (Ok(a), Ok(b)) = (a.try_iter(), b.try_iter()) else { return false };
        let (a, b): (Vec<_>, Vec<_>) = (a.collect(), b.collect());
        return a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| equal(a, b));
    }
    if a.kind() == ValueKind::Map && b.kind() == ValueKind::Map {
        let (Ok(keys), Some(length)) = (a.try_iter(), a.len()) else { return false };
        return b.len() == Some(length)
            && keys.into_iter().all(|key| match (a.get_item(&key), b.get_item(&key)) {
                (Ok(a), Ok(b)) => equal(&a, &b),
                _ => false,
            });
    }
    // A boolean is no number, whatever the engine's arithmetic makes of it.
    a.kind() == b.kind() && a == b
}

fn contains(state: &State, container: &Value, item: &Value) -> Result<bool, Error> {
    if let Some(node) = container.downcast_object_ref::<Node>()
        && container.kind() == ValueKind::Map
    {
        return Ok(item.as_str().is_some_and(|key| node.has(key)));
    }
    if let Some(event) = container.downcast_object_ref::<Item>() {
        return Ok(item.as_str().is_some_and(|key| event.has(key)));
    }
    // A list that the template wrote.
    if let Some(items) = container.downcast_object_ref::<Vec<Value>>() {
        return Ok(items.iter().any(|element| equal(element, item)));
    }
    let container = plain(container);
    Ok(match container.kind() {
        ValueKind::String => {
            let needle = plain(item);
            match needle.as_str() {
                Some(needle) => container.as_str().is_some_and(|text| text.contains(needle)),
                None => false,
            }
        }
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            container.try_iter()?.any(|element| equal(&element, item))
        }
        ValueKind::Undefined | ValueKind::None => false,
        _ => return mismatch(state, format!("cannot look into {}", describe(&container))),
    })
}

/// `value[start:stop:step]` as Python means it.
fn slice(args: &[Value]) -> Result<Value, Error> {
    let value = operand(args, 0);
    let bound = |index| match operand(args, index) {
        value if is_null(&value) => Ok(None),
        value => value.as_i64().map(Some).ok_or_else(|| failure("a slice needs whole numbers")),
    };
    let (start, stop, step) = (bound(1)?, bound(2)?, bound(3)?.unwrap_or(1));
    if step == 0 {
        return Err(failure("a slice needs a step other than 0"));
    }
    Ok(match value.kind() {
        ValueKind::Undefined | ValueKind::None => Value::UNDEFINED,
        ValueKind::String => {
            let letters: Vec<char> = value.as_str().unwrap_or_default().chars().collect();
            let picked = pick(letters.len(), start, stop, step);
            Value::from(picked.map(|index| letters[index]).collect::<String>())
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            let picked = pick(items.len(), start, stop, step);
            Value::from(picked.map(|index| items[index].clone()).collect::<Vec<_>>())
        }
        _ => return Err(failure(format!("cannot cut {}", describe(&value)))),
    })
}

/// The indexes, all below `length`, that a slice takes.
fn pick(
    length: usize,
    start: Option<i64>,
    stop: Option<i64>,
    step: i64,
) -> impl Iterator<Item = usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let at = |index: i64, low: i64, high: i64| {
        (if index < 0 { index.saturating_add(length) } else { index }).clamp(low, high)
    };
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let first = start.map_or(if step > 0 { low } else { high }, |index| at(index, low, high));
    let end = stop.map_or(if step > 0 { high } else { low }, |index| at(index, low, high));
    std::iter::successors(Some(first), move |index| index.checked_add(step))
        .take_while(move |&index| if step > 0 { index < end } else { index > end })
        .filter_map(|index| usize::try_from(index).ok())
}

/// A copy of a value to keep in a namespace. Copied, a namespace can never hold itself.
fn keep(value: &Value, depth: usize, left: &mut usize) -> Result<Value, Error> {
    let full = || failure("a namespace keeps at most 1000 values in an attribute, 32 deep");
    *left = left.checked_sub(1).ok_or_else(full)?;
    let of_event = value.downcast_object_ref::<Node>().is_some()
        || value.downcast_object_ref::<Item>().is_some()
        || value.downcast_object_ref::<Scalar>().is_some();
    let Some(object) = value.as_object().filter(|_| !of_event) else { return Ok(value.clone()) };
    let depth = depth.checked_sub(1).ok_or_else(full)?;
    Ok(match value.kind() {
        ValueKind::Map => {
            let mut pairs = Vec::new();
            for (key, item) in object.try_iter_pairs().into_iter().flatten() {
                pairs.push((key, keep(&item, depth, left)?));
            }
            Value::from_pairs(pairs)
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter()? {
                items.push(keep(&item, depth, left)?);
            }
            Value::from(items)
        }
        _ => Value::UNDEFINED,
    })
}
