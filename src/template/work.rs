//! How much text one rendering may go through. The engine counts its steps, but one of them may
//! look at all of an event: to find a field of a large object, or a word in a long list.

use super::failure;
use super::value::{Node, Scalar};
use minijinja::Error;
use minijinja::value::Value;
use std::cell::Cell;

/// Bytes that every rendering may go through: a tenth of a second of work, or some.
const AT_LEAST: u64 = 64 * 1024 * 1024;

/// How many times it may go through its events beside that.
const TIMES: u64 = 64;

/// To make the parts of a list or object takes so many times as long as to look for one.
const OF_PARTS: usize = 8;

/// What a value of a list that the template made counts for, in bytes.
const OF_ITEM: usize = 16;

thread_local! {
    /// What is left to the rendering that is under way on this thread.
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// One rendering, which stays on its thread.
pub(super) struct Work {
    /// What is left to the one around it.
    outer: u64,
}

impl Work {
    /// Begins with so many bytes of events.
    pub(super) fn begin(bytes: usize) -> Work {
        let outer = LEFT.replace(AT_LEAST.saturating_add(TIMES.saturating_mul(bytes as u64)));
        Work { outer }
    }

    /// Whether it was too much: what was looked for since then was not found.
    pub(super) fn is_spent(&self) -> bool {
        LEFT.get() == 0
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        LEFT.set(self.outer);
    }
}

/// Goes through so many bytes once; whether it may.
pub(super) fn look_through(bytes: usize) -> bool {
    let left = LEFT.get().saturating_sub(bytes as u64);
    LEFT.set(left);
    left > 0
}

/// Makes values of the parts of a text of so many bytes; whether it may.
pub(super) fn take_apart(bytes: usize) -> bool {
    look_through(bytes.saturating_mul(OF_PARTS))
}

/// Goes through what a test is given.
///
/// # Errors
/// When that is too much.
pub(super) fn look_at(values: &[Value]) -> Result<(), Error> {
    enough(values.iter().all(|value| look_through(size(value))))
}

/// Goes through what a filter or an operator is given; some look at no more than the ends of it.
///
/// # Errors
/// When that is too much.
pub(super) fn operate(name: &str, args: &[Value]) -> Result<(), Error> {
    const LOOK_AT_ENDS: &[&str] =
        &["length", "count", "first", "last", "default", "d", "__pr_keep"];
    if LOOK_AT_ENDS.contains(&name) { Ok(()) } else { look_at(args) }
}

/// Has made a value; parts of the event are shared and cost nothing.
///
/// # Errors
/// When that was too much.
pub(super) fn made(value: Value) -> Result<Value, Error> {
    let is_shared = value.downcast_object_ref::<Node>().is_some();
    enough(is_shared || look_through(size(&value))).map(|()| value)
}

fn enough(is_enough: bool) -> Result<(), Error> {
    if is_enough { Ok(()) } else { Err(failure(TOO_MUCH)) }
}

/// What is said of a rendering that goes through too much.
pub(super) const TOO_MUCH: &str =
    "the loops take too long: they go through large values again and again";

fn size(value: &Value) -> usize {
    if let Some(text) = value.as_str() {
        text.len()
    } else if let Some(node) = value.downcast_object_ref::<Node>() {
        node.len()
    } else if let Some(scalar) = value.downcast_object_ref::<Scalar>() {
        scalar.len()
    } else {
        value.len().unwrap_or_default().saturating_mul(OF_ITEM)
    }
}
