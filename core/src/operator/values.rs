//! Values that arguments share, each read also from the text that a template rendered to.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::{Map, Value, json};

use crate::{
    ids::TaskId,
    yaml::{date, duration},
};

/// An argument that is another task's result: `{"__xcom__": {"task_id": …, "key": …}}`, the whole of a value at any depth of
/// the arguments. What `+task`, `+task['key']`, `task.output` and `XComArg(task)` in a file become.
///
/// Whoever renders the arguments puts the value in its place: that of the instance itself when the source is in the same
/// mapped group, the list over all instances when it is mapped otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct XComArg {
    pub task_id: TaskId,
    pub key: String,
}

const XCOM_ARG: &str = "__xcom__";

impl XComArg {
    /// The reference that a value is, if it is one.
    pub fn read(value: &Value) -> Option<Self> {
        let entries = value.as_object().filter(|entries| entries.len() == 1)?;
        serde_json::from_value(entries.get(XCOM_ARG)?.clone()).ok()
    }

    /// As arguments keep it.
    pub fn to_value(&self) -> Value {
        Value::Object(Map::from_iter([(XCOM_ARG.to_owned(), json!(self))]))
    }
}

/// `skip_on_exit_code`: one number, several, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ExitCodes {
    #[default]
    None,
    One(i64),
    Many(Vec<i64>),
}

impl ExitCodes {
    pub fn contains(&self, code: i64) -> bool {
        match self {
            Self::None => false,
            Self::One(one) => *one == code,
            Self::Many(many) => many.contains(&code),
        }
    }
}

/// A command: text for a shell (or a container's own parsing), or words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Command {
    Text(String),
    Words(Vec<String>),
}

/// A time of day, or an instant (of a date without a zone: in the zone it is asked in).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    text: String,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Time(NaiveTime),
    At(date::Written),
}

impl Moment {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let form = date::parse(text)
            .map(Form::At)
            .or_else(|| date::parse_time(text).filter(|_| text.contains(':')).map(Form::Time))?;
        Some(Self { text: text.to_owned(), form })
    }

    /// Whether it is a time of day, which moves with the day it is asked on.
    pub fn is_time_of_day(&self) -> bool {
        matches!(self.form, Form::Time(_))
    }

    /// The instant; a time of day is that of `day` in `zone`.
    pub fn on(&self, day: NaiveDate, zone: Tz) -> DateTime<Utc> {
        match self.form {
            Form::Time(time) => date::localise(day.and_time(time), zone),
            Form::At(written) => written.instant(zone),
        }
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is neither a date nor a time of day")))
    }
}

/// Days of the week: a name in any case (`Monday`, `mon`), or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WeekDays(#[serde(serialize_with = "day_names")] Vec<Weekday>);

impl WeekDays {
    /// Whether the date falls on one of them.
    pub fn contains(&self, day: NaiveDate) -> bool {
        self.0.contains(&day.weekday())
    }
}

fn day_names<S: Serializer>(days: &[Weekday], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(days.iter().map(ToString::to_string))
}

impl<'de> Deserialize<'de> for WeekDays {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = names::deserialize(deserializer)?;
        let days: BTreeSet<u8> = names
            .iter()
            .map(|name| {
                let day: Result<Weekday, _> = name.parse();
                day.map(|day| day.num_days_from_monday() as u8)
                    .map_err(|_| D::Error::custom(format!("`{name}` is no day of the week")))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self(days.into_iter().filter_map(|day| Weekday::try_from(day).ok()).collect()))
    }
}

/// A truth value, or the text of one: `true`, `yes`, `on`, `1`, and their opposites; empty text and `none` are false.
pub(super) fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(flag),
        Value::Number(number) => Ok(number.as_f64() != Some(0.0)),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "" | "false" | "no" | "off" | "0" | "none" => Ok(false),
            _ => Err(D::Error::custom(format!("`{text}` is neither true nor false"))),
        },
        other => Err(D::Error::custom(format!("{other} is neither true nor false"))),
    }
}

/// Names: a list of texts, one text (a list of one), or nothing.
pub(super) mod names {
    use serde::{Deserialize, Deserializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        One(String),
        Many(Vec<String>),
        Nothing(()),
    }

    pub(in crate::operator) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<String>, D::Error> {
        Ok(match Form::deserialize(deserializer)? {
            Form::One(name) => vec![name],
            Form::Many(names) => names,
            Form::Nothing(()) => Vec::new(),
        })
    }
}

/// A duration: seconds, `{"seconds": …}`, or any text that the format takes for one (`10m`, `0:10:00`).
pub(super) mod span {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use serde_json::Value;

    pub(in crate::operator) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(span.as_secs_f64())
    }

    pub(in crate::operator) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let value = Value::deserialize(deserializer)?;
        super::read_span(&value).ok_or_else(|| D::Error::custom(format!("{value} is no duration")))
    }

    /// The same for a duration that may be absent.
    pub(in crate::operator) mod option {
        use std::time::Duration;

        use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
        use serde_json::Value;

        #[expect(clippy::ref_option, reason = "serde's signature")]
        pub(in crate::operator) fn serialize<S: Serializer>(
            span: &Option<Duration>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            span.map(|span| span.as_secs_f64()).serialize(serializer)
        }

        pub(in crate::operator) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Duration>, D::Error> {
            let value = Value::deserialize(deserializer)?;
            if value.is_null() {
                return Ok(None);
            }
            let span = super::super::read_span(&value);
            span.map(Some).ok_or_else(|| D::Error::custom(format!("{value} is no duration")))
        }
    }
}

fn read_span(value: &Value) -> Option<Duration> {
    match value {
        Value::Number(seconds) => duration::from_seconds(seconds.as_f64()?),
        Value::String(text) => duration::parse(text).ok(),
        Value::Object(parts) => duration::from_seconds(parts.get("seconds")?.as_f64()?),
        _ => None,
    }
}

pub(super) const fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Probe {
        #[serde(default, deserialize_with = "flag")]
        flag: bool,
        #[serde(default, with = "span::option")]
        span: Option<Duration>,
        #[serde(default, deserialize_with = "names::deserialize")]
        names: Vec<String>,
    }

    fn probe(value: Value) -> Result<Probe, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_what_templates_render_to() {
        for (text, expected) in [("True", true), ("no", false), ("", false), ("1", true), ("None", false)] {
            assert_eq!(probe(json!({"flag": text})).map(|probe| probe.flag), Ok(expected), "{text}");
        }
        assert!(probe(json!({"flag": "perhaps"})).is_err());
        for value in [json!(600), json!("10m"), json!("0:10:00"), json!({"seconds": 600.0})] {
            assert_eq!(probe(json!({"span": value})).unwrap().span, Some(Duration::from_mins(10)), "{value}");
        }
        assert_eq!(probe(json!({"span": null})).unwrap().span, None);
        assert!(probe(json!({"span": "soon"})).is_err());
        assert_eq!(probe(json!({"names": "a"})).unwrap().names, ["a"]);
        assert_eq!(probe(json!({"names": ["a", "b"]})).unwrap().names, ["a", "b"]);
        assert!(probe(json!({"names": null})).unwrap().names.is_empty());
    }

    #[test]
    fn reads_days_of_the_week_in_any_case() {
        let days: WeekDays = serde_json::from_value(json!(["SUNDAY", "Mon"])).unwrap();
        let day = |day: &str| day.parse::<NaiveDate>().unwrap();
        assert!(days.contains(day("2026-01-12")) && days.contains(day("2026-01-11")));
        assert!(!days.contains(day("2026-01-13")));
        assert!(serde_json::from_value::<WeekDays>(json!("Someday")).is_err());
    }

    #[test]
    fn tells_times_of_day_from_dates() {
        let moment = |text: &str| {
            serde_json::from_value::<Moment>(json!(text))
                .map(|moment| moment.on("2026-01-12".parse().unwrap(), Tz::Europe__Moscow).to_rfc3339())
        };
        assert_eq!(moment("07:30").unwrap(), "2026-01-12T04:30:00+00:00");
        assert_eq!(moment("2025-06-01T10:00:00Z").unwrap(), "2025-06-01T10:00:00+00:00");
        assert_eq!(moment("2025-06-01 10:00").unwrap(), "2025-06-01T07:00:00+00:00");
        assert!(moment("noon").is_err());
    }

    #[test]
    fn tells_a_reference_from_data() {
        let reference = XComArg { task_id: "a".into(), key: "k".to_owned() };
        assert_eq!(XComArg::read(&reference.to_value()), Some(reference));
        assert_eq!(XComArg::read(&json!({"task_id": "a", "key": "k"})), None);
    }
}
