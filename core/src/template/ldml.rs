//! Unicode date patterns (`EEEE dd MMMM yyyy`), which `macros.ds_format_locale` takes; names in English, since nodes have no
//! locales.

use std::fmt::Write;

use chrono::{Datelike, NaiveDateTime, Timelike};

/// Formats by a pattern; `Err` names a field that is not known.
pub(super) fn format(at: NaiveDateTime, pattern: &str) -> Result<String, String> {
    let mut text = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\'' {
            quoted(&mut rest, &mut text);
            continue;
        }
        if !c.is_ascii_alphabetic() {
            text.push(c);
            continue;
        }
        let mut width = 1_usize;
        while rest.next_if_eq(&c).is_some() {
            width += 1;
        }
        field(at, c, width, &mut text)?;
    }
    Ok(text)
}

/// Text between quotes as it is; two quotes are one.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>, text: &mut String) {
    if rest.next_if_eq(&'\'').is_some() {
        return text.push('\'');
    }
    while let Some(c) = rest.next() {
        if c != '\'' {
            text.push(c);
        } else if rest.next_if_eq(&'\'').is_some() {
            text.push('\'');
        } else {
            return;
        }
    }
}

fn field(at: NaiveDateTime, letter: char, width: usize, text: &mut String) -> Result<(), String> {
    let number = |text: &mut String, value: u32| {
        // Writing to a String does not fail.
        let _ = write!(text, "{value:0width$}");
    };
    match (letter, width) {
        ('y', 2) => number(text, at.year().rem_euclid(100).unsigned_abs()),
        ('y' | 'Y', 1..=9) => {
            let _ = write!(text, "{:0width$}", at.year());
        }
        ('M' | 'L', 1 | 2) => number(text, at.month()),
        ('M' | 'L', 3) => text.push_str(&at.format("%b").to_string()),
        ('M' | 'L', 4) => text.push_str(&at.format("%B").to_string()),
        ('d', 1 | 2) => number(text, at.day()),
        ('D', 1..=3) => number(text, at.ordinal()),
        ('E', 1..=3) => text.push_str(&at.format("%a").to_string()),
        ('E', 4) => text.push_str(&at.format("%A").to_string()),
        ('H', 1 | 2) => number(text, at.hour()),
        ('h', 1 | 2) => number(text, at.hour12().1),
        ('m', 1 | 2) => number(text, at.minute()),
        ('s', 1 | 2) => number(text, at.second()),
        ('a', _) => text.push_str(if at.hour() < 12 { "AM" } else { "PM" }),
        ('Q' | 'q', 1 | 2) => number(text, at.month0() / 3 + 1),
        ('w', 1 | 2) => number(text, at.iso_week().week()),
        _ => return Err(letter.to_string().repeat(width)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_babels() {
        let at = "2024-07-12T15:04:05".parse().unwrap();
        for (pattern, expected) in [
            ("EEEE dd MMMM yyyy", "Friday 12 July 2024"),
            ("MM-dd-yy", "07-12-24"),
            ("d MMM y 'at' h:mm a", "12 Jul 2024 at 3:04 PM"),
            ("yyyy''QQ", "2024'03"),
            ("HH:mm:ss", "15:04:05"),
        ] {
            assert_eq!(format(at, pattern).as_deref(), Ok(expected), "{pattern}");
        }
        assert_eq!(format(at, "dd VVVV"), Err("VVVV".to_owned()));
    }
}
