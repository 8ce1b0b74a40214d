//! Python's `strftime` and `strptime` on top of chrono's, where they differ.

use std::fmt::Write;

use chrono::{
    NaiveDate, NaiveDateTime, NaiveTime, Timelike,
    format::{Parsed, StrftimeItems, parse},
};
use minijinja::{Error, ErrorKind};

use super::moment::Moment;

/// Directives that mean the same in both.
const SAME: &str = "aAwdbBmyYHIpMSjUWcxXGuVCDeFgGhkLlnRrsTtv%";

/// Formats as Python does: `%f` has six digits, an unknown directive stays as it is written.
pub(super) fn strftime(moment: &Moment, format: &str) -> String {
    let wall = moment.wall();
    let mut text = String::with_capacity(format.len() + 16);
    let mut rest = format.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let mut directive = rest.next();
        let padding = directive.filter(|c| "-_0".contains(*c));
        if padding.is_some() {
            directive = rest.next();
        }
        // Writing to a String fails only when chrono refuses the directive, which the guards rule out.
        let _ = match directive {
            Some('f') => write!(text, "{:06}", wall.nanosecond() / 1_000),
            Some('z') => {
                let offset = moment.offset().map(|offset| offset.to_string().replace(':', ""));
                text.write_str(&offset.unwrap_or_default())
            }
            Some('Z') => text.write_str(&moment.zone_abbreviation()),
            Some(directive) if SAME.contains(directive) => {
                let padding = padding.map(String::from).unwrap_or_default();
                write!(text, "{}", wall.format(&format!("%{padding}{directive}")))
            }
            other => {
                text.push('%');
                text.extend(padding);
                text.extend(other);
                Ok(())
            }
        };
    }
    text
}

/// Reads a text without a zone; parts that the format lacks are Python's (midnight, 1900-01-01).
pub(super) fn strptime(text: &str, format: &str) -> Result<NaiveDateTime, Error> {
    let fail = |reason: String| {
        Error::new(ErrorKind::InvalidOperation, format!("`{text}` does not match the format `{format}`{reason}"))
    };
    let mut parsed = Parsed::new();
    let chrono_format = format.replace("%f", "%6f");
    parse(&mut parsed, text, StrftimeItems::new(&chrono_format)).map_err(|error| fail(format!(": {error}")))?;
    if parsed.year().is_none()
        && parsed.year_div_100().is_none()
        && parsed.year_mod_100().is_none()
        && parsed.timestamp().is_none()
    {
        parsed.set_year(1900).map_err(|error| fail(format!(": {error}")))?;
    }
    if parsed.month().is_none() && parsed.ordinal().is_none() {
        parsed.set_month(1).map_err(|error| fail(format!(": {error}")))?;
    }
    if parsed.day().is_none() && parsed.ordinal().is_none() {
        parsed.set_day(1).map_err(|error| fail(format!(": {error}")))?;
    }
    let date = parsed.to_naive_date().map_err(|error| fail(format!(": {error}")))?;
    let time = parsed.to_naive_time().unwrap_or_else(|_| {
        let hour = parsed.hour_div_12().unwrap_or(0) * 12 + parsed.hour_mod_12().unwrap_or(0);
        NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or(NaiveTime::MIN)
    });
    Ok(date.and_time(time))
}

/// `YYYY-MM-DD`, the form of `ds`.
pub(super) fn parse_ds(text: &str) -> Result<NaiveDate, Error> {
    strptime(text, "%Y-%m-%d").map(|at| at.date())
}
