//! Tables for people, JSON for programs.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
};

use anyhow::Result;
use comfy_table::{Cell, Color, ContentArrangement, Table, presets};
use serde_json::Value;

use super::args::Output;

/// Prints a line on stdout. An error (the reader of a pipe went away) ends the command, quietly: see `main`.
pub(crate) fn say(line: fmt::Arguments<'_>) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_fmt(line)?;
    stdout.write_all(b"\n")
}

/// One column: its title and how a cell is made of an item.
pub(super) type Column<'a> = (&'a str, &'a dyn Fn(&Value) -> String);

/// Prints items as a table (borders and colour on a terminal only) or as a JSON list.
pub(super) fn list(items: &[Value], output: Output, columns: &[Column<'_>], empty: &str) -> Result<()> {
    if output == Output::Json {
        say(format_args!("{}", serde_json::to_string_pretty(items)?))?;
        return Ok(());
    }
    if items.is_empty() {
        say(format_args!("{empty}"))?;
        return Ok(());
    }
    let terminal = io::stdout().is_terminal();
    let mut table = Table::new();
    table.load_style(if terminal { presets::UTF8_HORIZONTAL_ONLY } else { presets::NOTHING });
    table.set_content_arrangement(if terminal { ContentArrangement::Dynamic } else { ContentArrangement::Disabled });
    table.set_header(columns.iter().map(|(title, _)| title.to_uppercase()));
    for item in items {
        table.add_row(columns.iter().map(|(title, cell)| {
            let text = cell(item);
            match colour(title, &text).filter(|_| terminal) {
                Some(colour) => Cell::new(text).fg(colour),
                None => Cell::new(text),
            }
        }));
    }
    for line in table.lines() {
        // Without borders a cell's padding is all that stands before the first column.
        say(format_args!("{}", line.trim_end().strip_prefix(' ').unwrap_or(line.trim_end())))?;
    }
    Ok(())
}

/// Prints one thing: `name: value` lines, or the JSON object.
pub(super) fn one(item: &Value, output: Output, fields: &[Column<'_>]) -> Result<()> {
    if output == Output::Json {
        say(format_args!("{}", serde_json::to_string_pretty(item)?))?;
        return Ok(());
    }
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default() + 1;
    for (name, value) in fields {
        say(format_args!("{:width$} {}", format!("{name}:"), value(item)))?;
    }
    Ok(())
}

/// The text at a path of an item; a dash when it is null or absent.
pub(super) fn text(item: &Value, pointer: &str) -> String {
    match item.pointer(pointer) {
        None | Some(Value::Null) => "-".into(),
        Some(Value::String(text)) if text.is_empty() => "-".into(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// `2026-11-22 07:27:03` of an RFC 3339 instant in UTC.
pub(super) fn instant(item: &Value, pointer: &str) -> String {
    let full = text(item, pointer);
    match full.split_once('T') {
        Some((day, time)) => format!("{day} {}", time.split(['.', 'Z', '+']).next().unwrap_or_default()),
        None => full,
    }
}

/// The task's id, with the index of an instance of a mapped one.
pub(super) fn task_name(task: &Value) -> String {
    match task["map_index"].as_i64() {
        Some(index) if index >= 0 => format!("{}[{index}]", text(task, "/task_id")),
        _ => text(task, "/task_id"),
    }
}

/// `1.2 s`, `3 min 4 s`.
pub(super) fn duration(item: &Value, pointer: &str) -> String {
    match item.pointer(pointer).and_then(Value::as_f64) {
        None => "-".into(),
        Some(seconds) if seconds < 60.0 => format!("{seconds:.1} s"),
        Some(seconds) if seconds < 3600.0 => format!("{} min {} s", seconds as u64 / 60, seconds as u64 % 60),
        Some(seconds) => format!("{} h {} min", seconds as u64 / 3600, seconds as u64 % 3600 / 60),
    }
}

fn colour(title: &str, text: &str) -> Option<Color> {
    if title != "state" {
        return None;
    }
    Some(match text {
        "success" | "active" => Color::Green,
        "failed" | "upstream_failed" | "lost" => Color::Red,
        "running" => Color::Cyan,
        "up_for_retry" | "queued" | "restarting" | "draining" => Color::Yellow,
        _ => return None,
    })
}
