//! Airflow's filters, and those of Jinja2 that minijinja lacks or writes differently.

use std::fmt::Write;

use minijinja::{Environment, Error, ErrorKind, State, Value, value::Kwargs};

use super::{
    engine::{OUTPUT_LIMIT, check_defined, check_length, invalid},
    json::{dumps, to_json},
    metered,
    moment::Moment,
    python, work,
};

pub(super) fn install(environment: &mut Environment<'_>) {
    environment.add_filter("ds", |value: Value| moment_text(&value, ds));
    environment.add_filter("ds_nodash", |value: Value| moment_text(&value, ds_nodash));
    environment.add_filter("ts", |value: Value| moment_text(&value, ts));
    environment.add_filter("ts_nodash", |value: Value| moment_text(&value, ts_nodash));
    environment.add_filter("ts_nodash_with_tz", |value: Value| moment_text(&value, ts_nodash_with_tz));

    environment.add_filter("string", |value: Value| check_defined(&value).map(|()| python::text(&value)));
    environment.add_filter("join", join);
    environment.add_filter("replace", replace);
    environment.add_filter("tojson", tojson);
    environment.add_filter("center", center);
    environment.add_filter("wordcount", |value: Value| {
        check_defined(&value).map(|()| python::text(&value).split_whitespace().count())
    });
    environment
        .add_filter("forceescape", |value: Value| check_defined(&value).map(|()| escape_html(&python::text(&value))));
    environment.add_filter("urlencode", |value: Value| check_defined(&value).and_then(|()| urlencode(&value)));
    environment.add_filter("filesizeformat", minijinja_contrib::filters::filesizeformat);
    environment.add_filter("wordwrap", wordwrap);
    environment.add_filter("random", random);
}

/// Jinja2's: lines of at most `width` characters; longer words are broken.
fn wordwrap(value: &Value, width: Option<usize>) -> Result<String, Error> {
    check_defined(value)?;
    let width = width.unwrap_or(79).max(1);
    let text = python::text(value);
    work::spend(text.len() as u64)?;
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        let (mut line, mut used) = (String::new(), 0);
        for word in paragraph.split(' ') {
            let length = word.chars().count();
            if !line.is_empty() && used + 1 + length > width {
                lines.push(std::mem::take(&mut line));
                used = 0;
            } else if !line.is_empty() {
                line.push(' ');
                used += 1;
            }
            for c in word.chars() {
                if used == width {
                    lines.push(std::mem::take(&mut line));
                    used = 0;
                }
                line.push(c);
                used += 1;
            }
        }
        lines.push(line);
    }
    Ok(lines.join("\n"))
}

/// One item of a list, drawn as `macros.random` draws.
fn random(state: &mut State, values: &Value) -> Result<Value, Error> {
    check_defined(values)?;
    work::weigh_arguments(std::slice::from_ref(values), true)?;
    let items: Vec<Value> = values.try_iter()?.collect();
    let drawn = super::dice::fraction(state)?;
    items.get((drawn * items.len() as f64) as usize).cloned().ok_or_else(|| invalid("there is no item to draw"))
}

/// Airflow's date filters take a datetime and leave None alone.
fn moment_text(value: &Value, format: fn(&Moment) -> String) -> Result<Value, Error> {
    check_defined(value)?;
    if value.is_none() {
        return Ok(value.clone());
    }
    match value.downcast_object_ref::<Moment>() {
        Some(moment) => Ok(format(moment).into()),
        None => Err(Error::new(ErrorKind::InvalidOperation, "the filter takes a datetime, such as `logical_date`")),
    }
}

pub(super) fn ds(moment: &Moment) -> String {
    moment.wall().format("%Y-%m-%d").to_string()
}

pub(super) fn ds_nodash(moment: &Moment) -> String {
    moment.wall().format("%Y%m%d").to_string()
}

pub(super) fn ts(moment: &Moment) -> String {
    moment.isoformat("T")
}

pub(super) fn ts_nodash(moment: &Moment) -> String {
    moment.wall().format("%Y%m%dT%H%M%S").to_string()
}

/// Airflow takes `-` and `:` out of the ISO text, the offset's too.
pub(super) fn ts_nodash_with_tz(moment: &Moment) -> String {
    moment.isoformat("T").replace(['-', ':'], "")
}

/// Methods of texts, lists and mappings. Python's, by minijinja's collection, with our bounds.
pub(super) fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let by_character = matches!(name, "split" | "splitlines" | "join");
    work::weigh_arguments(std::slice::from_ref(value), by_character)?;
    work::weigh_arguments(args, by_character)?;
    match (value.as_str(), name, args) {
        (Some(_), "replace", [from, to]) => replace(value, from, to).map(Value::from),
        (Some(_), "center", [width]) => pad(&python::text(value), work::count_of(width)?, Pad::Both).map(Value::from),
        (Some(_), "ljust", [width]) => pad(&python::text(value), work::count_of(width)?, Pad::Right).map(Value::from),
        (Some(_), "rjust", [width]) => pad(&python::text(value), work::count_of(width)?, Pad::Left).map(Value::from),
        (Some(_), "zfill", [width]) => zfill(&python::text(value), work::count_of(width)?).map(Value::from),
        (Some(separator), "join", [values]) => {
            check_length(separator.len().saturating_mul(values.len().unwrap_or_default()))?;
            minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
        }
        (Some(_), "format", _) => {
            let format: Vec<Value> = std::iter::once(value.clone()).chain(args.iter().cloned()).collect();
            metered::formatting(&format, '{')?;
            minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)
        }
        _ => work::settled(minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args)?),
    }
}

/// Where blanks are added.
#[derive(Clone, Copy)]
enum Pad {
    Left,
    Right,
    Both,
}

/// The text with blanks around it up to a width in characters.
fn pad(text: &str, width: usize, side: Pad) -> Result<String, Error> {
    let missing = width.saturating_sub(text.chars().count());
    check_length(text.len().saturating_add(missing))?;
    work::spend_text(missing)?;
    let (left, right) = match side {
        Pad::Left => (missing, 0),
        Pad::Right => (0, missing),
        Pad::Both => (missing / 2, missing - missing / 2),
    };
    Ok(format!("{}{text}{}", " ".repeat(left), " ".repeat(right)))
}

/// Python's `zfill`: zeros behind the sign.
fn zfill(text: &str, width: usize) -> Result<String, Error> {
    let missing = width.saturating_sub(text.chars().count());
    check_length(text.len().saturating_add(missing))?;
    work::spend_text(missing)?;
    let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
    Ok(format!("{sign}{}{digits}", "0".repeat(missing)))
}

/// Measures the result first: a few of these in a row could otherwise fill the memory.
fn replace(value: &Value, from: &Value, to: &Value) -> Result<String, Error> {
    for value in [value, from, to] {
        check_defined(value)?;
    }
    let (text, from, to) = (python::text(value), python::text(from), python::text(to));
    let found = text.matches(&from).count();
    let length = found.saturating_mul(to.len()).saturating_add(text.len());
    if length > OUTPUT_LIMIT {
        return Err(invalid("the result is too long"));
    }
    work::spend_text(length)?;
    Ok(text.replace(&from, &to))
}

#[expect(clippy::needless_pass_by_value, reason = "minijinja passes keyword arguments by value")]
fn join(values: &Value, separator: Option<String>, attribute: Option<Value>, kwargs: Kwargs) -> Result<String, Error> {
    check_defined(values)?;
    work::check_items(values.len().unwrap_or_default())?;
    let separator = separator.map_or_else(|| kwargs.get::<Option<String>>("d"), |given| Ok(Some(given)))?;
    let attribute = attribute.map_or_else(|| kwargs.get::<Option<Value>>("attribute"), |given| Ok(Some(given)))?;
    kwargs.assert_all_used()?;
    let separator = separator.unwrap_or_default();
    let mut text = String::new();
    for (index, value) in values.try_iter()?.enumerate() {
        let value = match &attribute {
            Some(attribute) => value.get_item(attribute)?,
            None => value,
        };
        check_defined(&value)?;
        if index > 0 {
            text.push_str(&separator);
        }
        text.push_str(&python::text(&value));
        work::spend_text(separator.len())?;
        if text.len() > OUTPUT_LIMIT {
            return Err(invalid("the joined text is too long"));
        }
    }
    Ok(text)
}

/// Jinja2's: keys sorted, and safe inside HTML. `indent` gives one field a line.
#[expect(clippy::needless_pass_by_value, reason = "minijinja passes keyword arguments by value")]
fn tojson(value: &Value, indent: Option<usize>, kwargs: Kwargs) -> Result<String, Error> {
    let indent = indent.map_or_else(|| kwargs.get::<Option<usize>>("indent"), |given| Ok(Some(given)))?;
    kwargs.assert_all_used()?;
    let json = to_json(value)?;
    let text = match indent {
        None => dumps(&json, true),
        Some(_) => serde_json::to_string_pretty(&json)
            .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?,
    };
    Ok(text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").replace('\'', "\\u0027"))
}

fn center(value: &Value, width: Option<usize>) -> Result<String, Error> {
    check_defined(value)?;
    pad(&python::text(value), width.unwrap_or(80), Pad::Both)
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;").replace('\'', "&#39;")
}

/// A text, or a mapping or list of pairs as a query string.
fn urlencode(value: &Value) -> Result<String, Error> {
    let quote = |value: &Value, keep: &str| {
        let mut text = String::new();
        for byte in python::text(value).bytes() {
            if byte.is_ascii_alphanumeric() || "-_.~".contains(byte as char) || keep.contains(byte as char) {
                text.push(byte as char);
            } else {
                // Writing to a String does not fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
        text
    };
    if value.as_str().is_some() || value.is_number() {
        return Ok(quote(value, "/"));
    }
    let mut pairs = Vec::new();
    work::weigh(value)?;
    for item in value.try_iter()? {
        let (key, value) = match value.kind() {
            minijinja::value::ValueKind::Map => (item.clone(), value.get_item(&item)?),
            _ => (item.get_item_by_index(0)?, item.get_item_by_index(1)?),
        };
        pairs.push(format!("{}={}", quote(&key, ""), quote(&value, "")));
    }
    Ok(pairs.join("&"))
}
