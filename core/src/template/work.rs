//! What a render may cost. Fuel counts instructions; this counts what one instruction can do: the values that a filter looks at,
//! the items and the bytes that it makes. One budget serves all texts of a task.

use std::cell::Cell;

use minijinja::{Error, ErrorKind, Value, value::ValueKind};

use super::engine::{check_defined, invalid};

/// Steps for all texts of one render: a value looked at or made is one, so are [`BYTES_A_STEP`] bytes of text.
const BUDGET: u64 = 8_000_000;
const BYTES_A_STEP: u64 = 32;
/// The longest list that a template may make.
pub(super) const MAX_ITEMS: usize = 1_000_000;
/// Values nested deeper than this are refused: what looks at them recurses.
pub(super) const MAX_DEPTH: usize = 64;

thread_local! {
    /// What is left to the render on this thread. A render stays on its thread, and most of what spends has no state to pass.
    static LEFT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// What is left to the texts that are rendered one after the other.
#[derive(Debug)]
pub(super) struct Budget(u64);

impl Default for Budget {
    fn default() -> Self {
        Self(BUDGET)
    }
}

/// Gives the thread its former budget back, whatever happens.
struct Restore(u64);

impl Drop for Restore {
    fn drop(&mut self) {
        LEFT.set(self.0);
    }
}

impl Budget {
    /// Does the work, which may spend what is left and no more; fails when it spent all of it, though it may not have noticed.
    pub(super) fn within<T>(&mut self, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let former = Restore(LEFT.replace(self.0));
        let result = work();
        self.0 = LEFT.get();
        drop(former);
        if self.0 == 0 { result.and(Err(exhausted())) } else { result }
    }
}

fn exhausted() -> Error {
    Error::from(ErrorKind::OutOfFuel)
}

/// Takes steps from the budget; an empty budget fails, and stays empty.
pub(super) fn spend(steps: u64) -> Result<(), Error> {
    if take(steps) { Ok(()) } else { Err(exhausted()) }
}

/// The same for what cannot fail: it cuts its work short, and the render fails at its end.
pub(super) fn take(steps: u64) -> bool {
    let left = LEFT.get();
    if left == u64::MAX {
        return true;
    }
    LEFT.set(left.saturating_sub(steps));
    steps < left
}

pub(super) fn spend_text(bytes: usize) -> Result<(), Error> {
    spend(1 + bytes as u64 / BYTES_A_STEP)
}

pub(super) fn take_text(bytes: usize) -> bool {
    take(1 + bytes as u64 / BYTES_A_STEP)
}

/// Fails for a list that is too long, before anybody goes through it.
pub(super) fn check_items(count: usize) -> Result<(), Error> {
    if count > MAX_ITEMS { Err(invalid(format!("a list of more than {MAX_ITEMS} items"))) } else { Ok(()) }
}

/// Spends a step for each value inside, keys and texts included; refuses what is nested too deeply.
pub(super) fn weigh(value: &Value) -> Result<(), Error> {
    weigh_at(value, 0)
}

fn weigh_at(value: &Value, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(invalid(format!("a value is nested more than {MAX_DEPTH} deep")));
    }
    spend(1)?;
    match value.kind() {
        ValueKind::String => spend_text(value.as_str().map_or(0, str::len)),
        ValueKind::Bytes => spend_text(value.len().unwrap_or_default()),
        ValueKind::Seq | ValueKind::Iterable => {
            check_items(value.len().unwrap_or_default())?;
            value.try_iter()?.try_for_each(|item| weigh_at(&item, depth + 1))
        }
        ValueKind::Map if is_enumerable(value) => value.try_iter()?.try_for_each(|key| {
            weigh_at(&key, depth + 1)?;
            weigh_at(&value.get_item(&key)?, depth + 1)
        }),
        _ => Ok(()),
    }
}

/// Whether a mapping knows its keys; `ti` and the like do not.
pub(super) fn is_enumerable(value: &Value) -> bool {
    value.as_object().is_none_or(|object| object.enumerator_len().is_some())
}

/// A value that holds its items, in the place of one that finds them when it is asked: those can be stacked on one another
/// without end.
pub(super) fn settled(value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter()? {
                spend(1)?;
                items.push(item);
            }
            check_items(items.len())?;
            Ok(Value::from(items))
        }
        ValueKind::Map if is_enumerable(&value) && !value.is_kwargs() => {
            let mut pairs = Vec::new();
            for key in value.try_iter()? {
                spend(1)?;
                let item = value.get_item(&key)?;
                pairs.push((key, item));
            }
            Ok(Value::from_pairs(pairs))
        }
        _ => Ok(value),
    }
}

/// Weighs what a filter, a test or a function is given, texts that it goes through character by character as lists of them.
pub(super) fn weigh_arguments(arguments: &[Value], by_character: bool) -> Result<(), Error> {
    for argument in arguments {
        weigh(argument)?;
        if by_character && let Some(text) = argument.as_str() {
            check_items(text.len())?;
            spend(text.len() as u64)?;
        }
    }
    Ok(())
}

/// A count of items, times or characters from a template.
pub(super) fn count_of(value: &Value) -> Result<usize, Error> {
    check_defined(value)?;
    value.as_usize().ok_or_else(|| invalid("a count is a whole number, not negative"))
}
