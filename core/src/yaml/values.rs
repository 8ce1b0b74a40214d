//! Reads one value of a known type from a node, or says what is wrong with it.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde_json::{Map, Value};

use super::{
    Context, date, duration,
    node::{Content, Node, Style},
    object::{Family, object},
    scalar,
};

/// The zone of dates without one, and whether a zone in the text is overwritten by it (the compatible dialect).
#[derive(Clone, Copy)]
pub(super) struct Zone {
    pub(super) zone: Tz,
    pub(super) overwrites: bool,
}

/// A date, and its text if it moves with the day it is read on.
pub(super) struct Date {
    pub(super) at: DateTime<Utc>,
    pub(super) relative: Option<String>,
}

impl Context<'_> {
    pub(super) fn wrong_type(&self, key: &str, node: &Node, wanted: &str) {
        self.wrong_type_help(key, node, wanted, None);
    }

    pub(super) fn wrong_type_help(&self, key: &str, node: &Node, wanted: &str, help: Option<String>) {
        let found = match node.as_text() {
            Some(text) if text.chars().count() <= 40 => format!("`{text}`"),
            _ => node.what().to_owned(),
        };
        self.findings.error_help(
            "wrong_type",
            node.mark,
            format!("`{key}` must be {wanted}, and this is {found}"),
            help,
        );
    }

    /// Text: the raw text of any scalar, since `queue: 5` means the queue `5`. Null gives nothing.
    pub(super) fn text(&self, key: &str, node: &Node) -> Option<String> {
        if node.is_null() {
            return None;
        }
        if let Content::Scalar(scalar) = &node.content {
            return Some(scalar.text.to_string());
        }
        if let Some(Family::Url | Family::Enum) = object(node).and_then(|object| object.family()) {
            return self.json(node).and_then(|value| value.as_str().map(str::to_owned));
        }
        self.wrong_type(key, node, "text");
        None
    }

    pub(super) fn boolean(&self, key: &str, node: &Node) -> Option<bool> {
        let value = node.as_scalar().and_then(|scalar| scalar::as_bool(&scalar.text));
        if value.is_none() && !node.is_null() {
            self.wrong_type(key, node, "true or false");
        }
        value
    }

    pub(super) fn integer(&self, key: &str, node: &Node) -> Option<i64> {
        let value = node.as_scalar().and_then(|scalar| match scalar.style {
            Style::Plain => scalar::as_int(&scalar.text),
            _ => scalar.text.trim().parse().ok(),
        });
        if value.is_none() && !node.is_null() {
            self.wrong_type(key, node, "a whole number");
        }
        value
    }

    /// An integer within bounds; outside of them an error `invalid_value`.
    pub(super) fn integer_in(&self, key: &str, node: &Node, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let value = self.integer(key, node)?;
        if range.contains(&value) {
            return Some(value);
        }
        self.findings.error(
            "invalid_value",
            node.mark,
            format!("`{key}` must be between {} and {}, and this is {value}", range.start(), range.end()),
        );
        None
    }

    pub(super) fn number(&self, key: &str, node: &Node) -> Option<f64> {
        let value = node.as_scalar().and_then(|scalar| {
            scalar::as_int(&scalar.text)
                .map(|int| int as f64)
                .or_else(|| scalar::as_float(&scalar.text))
                .or_else(|| scalar.text.trim().parse().ok())
                .filter(|number: &f64| number.is_finite())
        });
        if value.is_none() && !node.is_null() {
            self.wrong_type(key, node, "a number");
        }
        value
    }

    /// Any form of a duration; never negative.
    pub(super) fn duration(&self, key: &str, node: &Node) -> Option<Duration> {
        if node.is_null() {
            return None;
        }
        if let Some(found) = object(node) {
            if found.family() == Some(Family::TimeDelta) {
                let seconds = self.timedelta(&found)?;
                return duration::from_seconds(seconds).or_else(|| {
                    let message = format!("`{key}` must be between nothing and a century");
                    self.findings.error("invalid_duration", node.mark, message);
                    None
                });
            }
            self.unfit_object(key, &found, "a duration");
            return None;
        }
        let Some(text) = node.as_text() else {
            self.wrong_type(key, node, "a duration");
            return None;
        };
        match duration::parse(text) {
            Ok(duration) => Some(duration),
            Err(bad) => {
                let message = format!("`{key}`: {}", bad.message);
                self.findings.error_help("invalid_duration", node.mark, message, Some(bad.help.to_owned()));
                None
            }
        }
    }

    /// A date in any form of the format; `zone` says what a date without offset means.
    pub(super) fn date(&self, key: &str, node: &Node, zone: Zone) -> Option<Date> {
        if node.is_null() {
            return None;
        }
        if let Some(found) = object(node) {
            if matches!(found.family(), Some(Family::DateTime | Family::Date)) {
                return self.object_date(&found, zone.zone).map(|at| Date { at, relative: None });
            }
            self.unfit_object(key, &found, "a date");
            return None;
        }
        let Some(text) = node.as_text() else {
            self.wrong_type(key, node, "a date");
            return None;
        };
        if let Some(written) = date::parse(text) {
            let local = date::localise(written.local, zone.zone);
            let Some(offset) = written.offset else { return Some(Date { at: local, relative: None }) };
            let meant = written.local.and_utc() - chrono::Duration::seconds(i64::from(offset));
            if !zone.overwrites {
                return Some(Date { at: meant, relative: None });
            }
            if meant != local {
                self.findings.warning_help(
                    "offset_ignored",
                    node.mark,
                    format!(
                        "the offset in `{text}` has no effect, as in dag-factory: it is {} in {}",
                        written.local, zone.zone
                    ),
                    Some("set `timezone`, and write the date without an offset".to_owned()),
                );
            }
            return Some(Date { at: local, relative: None });
        }
        if text.chars().any(char::is_alphabetic)
            && let Ok(span) = duration::parse(text)
        {
            let today = self.settings.now.with_timezone(&zone.zone).date_naive().and_time(NaiveTime::MIN);
            let span = chrono::Duration::from_std(span).ok()?;
            let at = date::localise(today - span, zone.zone);
            return Some(Date { at, relative: Some(text.to_owned()) });
        }
        self.findings.error_help(
            "invalid_date",
            node.mark,
            format!("`{key}`: `{text}` is no date"),
            Some("write `2025-01-31`, `2025-01-31T10:20:30`, or a span before today such as `2 days`".to_owned()),
        );
        None
    }

    /// An IANA time zone.
    pub(super) fn timezone(&self, key: &str, node: &Node) -> Option<Tz> {
        if node.is_null() {
            return None;
        }
        let name = match object(node) {
            Some(found) if found.family() == Some(Family::TimeZone) => {
                let text = found.first_or("name").and_then(Node::as_text).map(str::to_owned);
                text.unwrap_or_else(|| "UTC".to_owned())
            }
            _ => self.text(key, node)?,
        };
        let zone = name.parse::<Tz>().ok().or_else(|| name.eq_ignore_ascii_case("utc").then_some(Tz::UTC));
        if zone.is_none() {
            let help = super::suggest::did_you_mean(&name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()))
                .unwrap_or_else(|| "write an IANA name, such as `Europe/Moscow`".to_owned());
            self.findings.error_help(
                "unknown_timezone",
                node.mark,
                format!("there is no time zone `{name}`"),
                Some(help),
            );
        }
        zone
    }

    /// A list of texts; a single word is an error with the hint to write a list.
    pub(super) fn texts(&self, key: &str, node: &Node) -> Option<Vec<String>> {
        if node.is_null() {
            return None;
        }
        let Some(items) = self.items(node) else {
            let help = node.as_text().filter(|text| text.len() < 60).map(|text| format!("write `{key}: [{text}]`"));
            self.wrong_type_help(key, node, "a list", help);
            return None;
        };
        Some(items.iter().filter_map(|item| self.text(key, item)).collect())
    }

    /// The items of a list, `{__type__: builtins.list, items: […]}` too.
    #[expect(clippy::unused_self, reason = "reads like its siblings at every call")]
    pub(super) fn items<'n>(&self, node: &'n Node) -> Option<&'n [Node]> {
        if let Some(found) = object(node) {
            if found.family() != Some(Family::List) {
                return None;
            }
            return Some(found.first_or("items").and_then(Node::as_sequence).unwrap_or(&[]));
        }
        node.as_sequence()
    }

    /// A plain mapping; an error says otherwise.
    pub(super) fn mapping<'n>(&self, key: &str, node: &'n Node) -> Option<&'n super::node::Mapping> {
        if node.is_null() {
            return None;
        }
        let found = node.as_mapping();
        if found.is_none() {
            self.wrong_type(key, node, "a mapping");
        }
        found
    }

    /// A mapping whose values are text.
    pub(super) fn text_map(&self, key: &str, node: &Node) -> Option<Map<String, Value>> {
        let entries = self.mapping(key, node)?;
        let mut result = Map::new();
        for (name, entry) in entries {
            let value = if entry.value.is_null() { String::new() } else { self.text(name, &entry.value)? };
            result.insert(name.to_string(), Value::String(value));
        }
        Some(result)
    }

    /// Any value as JSON, objects converted. Nothing for `ArgNotSet`, and where an error was found.
    pub(super) fn json(&self, node: &Node) -> Option<Value> {
        match &node.content {
            Content::Scalar(scalar) => Some(match scalar.style {
                Style::Plain => scalar::resolve(&scalar.text),
                _ => Value::String(scalar.text.to_string()),
            }),
            Content::Sequence(items) => Some(Value::Array(items.iter().filter_map(|item| self.json(item)).collect())),
            Content::Mapping(entries) => {
                if let Some(found) = object(node) {
                    return self.object_json(node, &found);
                }
                let mut result = Map::new();
                for (key, entry) in entries.iter() {
                    if let Some(value) = self.json(&entry.value) {
                        result.insert(key.to_string(), value);
                    }
                }
                Some(Value::Object(result))
            }
        }
    }

    /// The instant of `local` text of an event list; used where no DAG zone applies.
    pub(super) fn instant(&self, key: &str, node: &Node) -> Option<DateTime<Utc>> {
        self.date(key, node, Zone { zone: Tz::UTC, overwrites: false })
            .map(|date| Utc.from_utc_datetime(&date.at.naive_utc()))
    }
}

/// The JSON of a duration in `default_args` and untyped places.
pub(super) fn duration_json(duration: Duration) -> Value {
    serde_json::json!({ "seconds": duration.as_secs_f64() })
}
