//! minijinja's filters, tests and functions within the budget of [`work`]: each pays for what it is given before it looks at it,
//! and what would make more than it is given is measured first.

use minijinja::{
    Environment, Error, State, Value, filters, functions, tests,
    value::{Kwargs, Rest, ValueOrKwargs},
};

use super::{
    engine::{check_defined, check_length, invalid},
    python, work,
};

/// The widest column that a format may ask for. Characters.
const MAX_WIDTH: usize = 10_000;
/// Namespaces may hold one another, which makes a chain as long as they are many.
const MAX_NAMESPACES: u64 = 64;

/// What a filter does with a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// Copies it.
    Whole,
    /// Makes a list of its characters or pieces.
    Characters,
}

pub(super) fn install(environment: &mut Environment<'_>) {
    for (name, plain) in [
        ("lower", Value::from_function(filters::lower)),
        ("upper", Value::from_function(filters::upper)),
        ("title", Value::from_function(filters::title)),
        ("capitalize", Value::from_function(filters::capitalize)),
        ("trim", Value::from_function(filters::trim)),
        ("escape", Value::from_function(filters::escape)),
        ("e", Value::from_function(filters::escape)),
        ("length", Value::from_function(filters::length)),
        ("count", Value::from_function(filters::length)),
        ("truncate", Value::from_function(minijinja_contrib::filters::truncate)),
        ("striptags", Value::from_function(minijinja_contrib::filters::striptags)),
    ] {
        environment.add_filter(name, metered(plain, Reads::Whole, |_| Ok(())));
    }
    for (name, plain) in [
        ("split", Value::from_function(filters::split)),
        ("lines", Value::from_function(filters::lines)),
        ("list", Value::from_function(filters::list)),
        ("reverse", Value::from_function(filters::reverse)),
        ("items", Value::from_function(filters::items)),
        ("sum", Value::from_function(filters::sum)),
        ("select", Value::from_function(filters::select)),
        ("selectattr", Value::from_function(filters::selectattr)),
        ("reject", Value::from_function(filters::reject)),
        ("rejectattr", Value::from_function(filters::rejectattr)),
        ("map", Value::from_function(filters::map)),
        ("min", Value::from_function(filters::min)),
        ("max", Value::from_function(filters::max)),
        ("chain", Value::from_function(filters::chain)),
        ("zip", Value::from_function(filters::zip)),
        ("pprint", Value::from_function(filters::pprint)),
    ] {
        environment.add_filter(name, metered(plain, Reads::Characters, |_| Ok(())));
    }
    for (name, plain) in [
        ("sort", Value::from_function(filters::sort)),
        ("dictsort", Value::from_function(filters::dictsort)),
        ("unique", Value::from_function(filters::unique)),
        ("groupby", Value::from_function(filters::groupby)),
    ] {
        environment.add_filter(name, metered(plain, Reads::Characters, sorting));
    }
    environment.add_filter("batch", metered(Value::from_function(filters::batch), Reads::Characters, pieces));
    environment.add_filter("slice", metered(Value::from_function(filters::slice), Reads::Characters, pieces));
    environment.add_filter("indent", metered(Value::from_function(filters::indent), Reads::Whole, indenting));
    environment.add_filter(
        "format",
        metered(Value::from_function(filters::format), Reads::Whole, |arguments| formatting(arguments, '%')),
    );
    for (name, plain) in [
        ("eq", Value::from_function(tests::is_eq)),
        ("equalto", Value::from_function(tests::is_eq)),
        ("==", Value::from_function(tests::is_eq)),
        ("ne", Value::from_function(tests::is_ne)),
        ("!=", Value::from_function(tests::is_ne)),
        ("lt", Value::from_function(tests::is_lt)),
        ("lessthan", Value::from_function(tests::is_lt)),
        ("<", Value::from_function(tests::is_lt)),
        ("le", Value::from_function(tests::is_le)),
        ("<=", Value::from_function(tests::is_le)),
        ("gt", Value::from_function(tests::is_gt)),
        ("greaterthan", Value::from_function(tests::is_gt)),
        (">", Value::from_function(tests::is_gt)),
        ("ge", Value::from_function(tests::is_ge)),
        (">=", Value::from_function(tests::is_ge)),
        ("in", Value::from_function(tests::is_in)),
        ("sameas", Value::from_function(tests::is_sameas)),
        ("lower", Value::from_function(tests::is_lower)),
        ("upper", Value::from_function(tests::is_upper)),
        ("startingwith", Value::from_function(tests::is_startingwith)),
        ("endingwith", Value::from_function(tests::is_endingwith)),
    ] {
        let metered = metered(plain, Reads::Whole, |_| Ok(()));
        environment.add_test(name, move |state: &mut State, arguments: Rest<ValueOrKwargs>| -> Result<bool, Error> {
            metered(state, arguments).map(|answer| answer.is_true())
        });
    }
    environment.add_function("zip", zip);
    environment.add_function("dict", metered(Value::from_function(functions::dict), Reads::Characters, |_| Ok(())));
    environment.add_function("namespace", namespace);
    // Shows all that a template may name, values of connections among it.
    environment.remove_global("debug");
}

/// The plain thing behind the till. `more` measures what it would make of its arguments.
fn metered(
    plain: Value,
    reads: Reads,
    more: fn(&[Value]) -> Result<(), Error>,
) -> impl Fn(&mut State, Rest<ValueOrKwargs>) -> Result<Value, Error> + Send + Sync + 'static {
    move |state, arguments| {
        let arguments = arguments.into_values();
        work::weigh_arguments(&arguments, reads == Reads::Characters)?;
        more(&arguments)?;
        work::settled(plain.call(state, &arguments)?)
    }
}

/// The positional argument, else the one of this name.
fn argument(arguments: &[Value], position: usize, name: &str) -> Option<Value> {
    let positional = arguments.get(position).filter(|value| !value.is_kwargs());
    let named = || {
        let kwargs = arguments.last().filter(|value| value.is_kwargs())?;
        kwargs.get_attr(name).ok().filter(|value| !value.is_undefined())
    };
    positional.cloned().or_else(named)
}

/// Each value is compared with about as many others as its place in the order has binary digits.
fn sorting(arguments: &[Value]) -> Result<(), Error> {
    let Some(values) = arguments.first() else { return Ok(()) };
    let comparisons = values.len().unwrap_or_default().checked_ilog2().unwrap_or(0) / 4;
    (0..comparisons).try_for_each(|_| work::weigh(values))
}

/// `batch(5)`, `slice(5)`: so many items or lists are made, whatever is given.
fn pieces(arguments: &[Value]) -> Result<(), Error> {
    let Some(count) = argument(arguments, 1, "count").and_then(|count| count.as_usize()) else { return Ok(()) };
    work::check_items(count)?;
    work::spend(count as u64)
}

fn indenting(arguments: &[Value]) -> Result<(), Error> {
    let text = arguments.first().and_then(|text| text.as_str()).unwrap_or_default();
    let Some(width) = argument(arguments, 1, "width").and_then(|width| width.as_usize()) else { return Ok(()) };
    let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let length = lines.saturating_mul(width).saturating_add(text.len());
    check_length(length)?;
    work::spend_text(length)
}

/// Formats by `%` or in braces: what all places together may come to. Widths are written in the format only.
pub(super) fn formatting(arguments: &[Value], mark: char) -> Result<(), Error> {
    let [format, values @ ..] = arguments else { return Ok(()) };
    let format = format.as_str().unwrap_or_default();
    let longest = values.iter().map(|value| python::text(value).len()).max().unwrap_or(0);
    let mut length = format.len();
    for part in format.split(mark).skip(1) {
        let spec = if mark == '{' {
            part.split('}').next().unwrap_or_default()
        } else {
            // The type ends it: a letter, behind the name in parentheses.
            let named = part.strip_prefix('(').and_then(|named| named.split_once(')'));
            named.map_or(part, |(_, spec)| spec).split(char::is_alphabetic).next().unwrap_or_default()
        };
        let numbers = spec.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
        let widest = numbers.map(|number| number.parse().unwrap_or(usize::MAX)).max().unwrap_or(0);
        if widest > MAX_WIDTH {
            return Err(invalid(format!("a width or precision of more than {MAX_WIDTH}")));
        }
        length = length.saturating_add(widest).saturating_add(longest);
    }
    check_length(length)?;
    work::spend_text(length)
}

/// Python's `zip` and, with `fillvalue`, `itertools.zip_longest`: lists (or the keys of mappings) side by side.
fn zip(lists: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let fill = if kwargs.has("fillvalue") { Some(kwargs.get::<Value>("fillvalue")?) } else { None };
    kwargs.assert_all_used()?;
    work::weigh_arguments(&lists, true)?;
    let mut columns = Vec::with_capacity(lists.len());
    for list in lists.iter() {
        check_defined(list)?;
        columns.push(list.try_iter()?.collect::<Vec<Value>>());
    }
    let lengths = columns.iter().map(Vec::len);
    let length = if fill.is_some() { lengths.max() } else { lengths.min() }.unwrap_or(0);
    work::spend((length as u64).saturating_mul(columns.len() as u64))?;
    let row = |at: usize| {
        let cell = |column: &Vec<Value>| column.get(at).or(fill.as_ref()).cloned().unwrap_or_default();
        Value::from(columns.iter().map(cell).collect::<Vec<_>>())
    };
    Ok(Value::from((0..length).map(row).collect::<Vec<_>>()))
}

/// Namespaces made in this render.
struct Namespaces(u64);

fn namespace(state: &mut State, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let arguments = arguments.into_values();
    work::weigh_arguments(&arguments, false)?;
    let made = state.get_or_insert_extension(Namespaces(0)).0 + 1;
    if let Some(namespaces) = state.get_extension_mut::<Namespaces>() {
        namespaces.0 = made;
    }
    if made > MAX_NAMESPACES {
        return Err(invalid(format!("more than {MAX_NAMESPACES} namespaces; make one before the loop")));
    }
    Value::from_function(functions::namespace).call(state, &arguments)
}
