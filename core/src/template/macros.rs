//! `macros`: Airflow's helpers. The clock is that of the hand-out and the dice are the attempt's, so that a text rendered twice is
//! the same twice.

use std::{fmt, sync::Arc};

use chrono::{Days, FixedOffset, NaiveDate, NaiveDateTime};
use minijinja::{
    Error, ErrorKind, State, Value,
    value::{Kwargs, Object, from_args},
};

use super::{
    delta::Delta,
    dice,
    engine::{check_defined, invalid},
    humans,
    json::{dumps, from_json, to_json},
    ldml,
    moment::{Moment, Zone},
    python,
    relative::Relative,
    strftime::{parse_ds, strftime, strptime},
    work,
};
use crate::yaml::plain;

/// The time of this render, in UTC.
fn now(state: &State) -> Result<Moment, Error> {
    let pinned = state.lookup("__now__");
    let moment = pinned.as_ref().and_then(|at| at.downcast_object_ref::<Moment>()).copied();
    moment.ok_or_else(|| invalid("there is no clock where this is rendered"))
}

/// `macros`, and its parts that are modules or classes in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Macros {
    All,
    Datetime,
    Timedelta,
    Json,
    Random,
    Uuid,
    Dateutil,
    /// `dateutil.parser`
    Parser,
    /// `dateutil.relativedelta`
    Relativedelta,
    Time,
    Yaml,
}

impl Object for Macros {
    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let part = match (**self, key) {
            // `macros.datetime.timedelta` is what people try who think of the module.
            (Self::All | Self::Datetime, "datetime") => Self::Datetime,
            (Self::All | Self::Datetime, "timedelta") => Self::Timedelta,
            (Self::All, "json") => Self::Json,
            (Self::All, "uuid") => Self::Uuid,
            (Self::All, "random") => Self::Random,
            (Self::All, "time") => Self::Time,
            (Self::All, "yaml") => Self::Yaml,
            (Self::All, "dateutil") => Self::Dateutil,
            (Self::Dateutil, "parser") => Self::Parser,
            (Self::Dateutil, "relativedelta") => Self::Relativedelta,
            _ => return None,
        };
        Some(Value::from_object(part))
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        args.iter().try_for_each(check_defined)?;
        work::weigh_arguments(args, true)?;
        match **self {
            Self::Random => {
                from_args::<()>(args)?;
                dice::fraction(state).map(Value::from)
            }
            Self::Datetime => datetime(args),
            Self::Timedelta => Delta::from_call(args).map(Value::from_object),
            _ => Err(invalid("this is no function")),
        }
    }

    fn call_method(self: &Arc<Self>, state: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        args.iter().try_for_each(check_defined)?;
        work::weigh_arguments(args, true)?;
        match (**self, method) {
            (Self::All, "ds_add") => {
                let (ds, days): (&str, i64) = from_args(args)?;
                let date = parse_ds(ds)?;
                let count = Days::new(days.unsigned_abs());
                let moved = if days < 0 { date.checked_sub_days(count) } else { date.checked_add_days(count) };
                moved.map(|date| date.to_string().into()).ok_or_else(|| invalid("the result is outside the calendar"))
            }
            (Self::All, "ds_format") => {
                let (ds, input, output): (&str, &str, &str) = from_args(args)?;
                let at = Moment::from_wall(strptime(ds, input)?, Zone::Naive)?;
                Ok(strftime(&at, output).into())
            }
            (Self::All, "datetime_diff_for_humans") => {
                let (at, since): (Value, Option<Value>) = from_args(args)?;
                let since = since.filter(|since| !since.is_none());
                let wall = |value: &Value| match value.downcast_object_ref::<Moment>() {
                    Some(moment) => Ok(moment.in_utc()),
                    None => parse_iso(&python::text(value)).map(|moment| moment.in_utc()),
                };
                Ok(match since {
                    Some(since) => humans::distance(wall(&at)?, wall(&since)?).into(),
                    None => humans::from_now(wall(&at)?, now(state)?.in_utc()).into(),
                })
            }
            (Self::All, "ds_format_locale") => ds_format_locale(args),
            (Self::Uuid, "uuid1" | "uuid4") => {
                from_args::<()>(args)?;
                dice::uuid(state).map(Value::from)
            }
            (Self::Parser, "parse" | "isoparse") => {
                let (text,): (&str,) = from_args(args)?;
                parse_loose(text).map(Value::from_object)
            }
            (Self::Relativedelta, "relativedelta") => Relative::from_call(args).map(Value::from_object),
            (Self::Datetime, "strptime") => {
                let (text, format): (&str, &str) = from_args(args)?;
                Moment::from_wall(strptime(text, format)?, Zone::Naive).map(Value::from_object)
            }
            (Self::Datetime, "fromisoformat") => {
                let (text,): (&str,) = from_args(args)?;
                parse_iso(text).map(Value::from_object)
            }
            (Self::Datetime, "now") => {
                let (zone, kwargs): (Option<Value>, Kwargs) = from_args(args)?;
                let zone = zone.map_or_else(|| kwargs.get::<Option<Value>>("tz"), |given| Ok(Some(given)))?;
                kwargs.assert_all_used()?;
                let now = now(state)?;
                match zone.filter(|zone| !zone.is_none()) {
                    Some(zone) => now.in_timezone(&python::text(&zone)).map(Value::from_object),
                    None => Moment::from_wall(now.in_utc(), Zone::Naive).map(Value::from_object),
                }
            }
            (Self::Datetime, "utcnow" | "today") => {
                from_args::<()>(args)?;
                Moment::from_wall(now(state)?.in_utc(), Zone::Naive).map(Value::from_object)
            }
            (Self::Time, "time") => {
                from_args::<()>(args)?;
                Ok((now(state)?.in_utc().and_utc().timestamp_micros() as f64 / 1e6).into())
            }
            (Self::Time, "time_ns") => {
                from_args::<()>(args)?;
                Ok((now(state)?.in_utc().and_utc().timestamp_micros() * 1_000).into())
            }
            (Self::Time, "strftime") => {
                let (format,): (&str,) = from_args(args)?;
                Ok(strftime(&now(state)?, format).into())
            }
            (Self::Yaml, "dump" | "safe_dump") => {
                let (value, kwargs): (Value, Kwargs) = from_args(args)?;
                let sort_keys = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(true);
                if kwargs.get::<Option<bool>>("default_flow_style")?.unwrap_or(false) {
                    return Err(invalid(
                        "`macros.yaml.dump` writes blocks only; `macros.json.dumps` writes in one line",
                    ));
                }
                kwargs.assert_all_used()?;
                Ok(plain::dump(&to_json(&value)?, sort_keys).into())
            }
            (Self::Yaml, "safe_load") => {
                let (text,): (Value,) = from_args(args)?;
                plain::load(&python::text(&text))
                    .map(|value| from_json(&value))
                    .map_err(|error| invalid(format!("not YAML: {error}")))
            }
            (Self::Json, "dumps") => {
                let (value, kwargs): (Value, Kwargs) = from_args(args)?;
                let sort_keys = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
                kwargs.assert_all_used()?;
                Ok(dumps(&to_json(&value)?, sort_keys).into())
            }
            (Self::Json, "loads") => {
                let (text,): (Value,) = from_args(args)?;
                serde_json::from_str(&python::text(&text))
                    .map(|json| from_json(&json))
                    .map_err(|error| invalid(format!("not JSON: {error}")))
            }
            (Self::Time | Self::Yaml, _) => {
                let module = if **self == Self::Time { "time" } else { "yaml" };
                Err(invalid(format!("`macros.{module}` has no function named `{method}` in templates")))
            }
            _ => match self.get_value_by_str(method) {
                Some(part) => part.call(state, args),
                None => Err(invalid(format!("`macros` has nothing named `{method}`"))),
            },
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<macros>")
    }
}

/// `datetime(year, month, day, hour=0, minute=0, second=0, microsecond=0)`.
fn datetime(args: &[Value]) -> Result<Value, Error> {
    const NAMES: [&str; 7] = ["year", "month", "day", "hour", "minute", "second", "microsecond"];
    let (given, kwargs): (&[Value], Kwargs) = from_args(args)?;
    if given.len() > NAMES.len() {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    let mut parts = [0; 7];
    for (index, name) in NAMES.into_iter().enumerate() {
        parts[index] = match given.get(index) {
            Some(value) => u32::try_from(value.clone())?,
            None => match kwargs.get::<Option<u32>>(name)? {
                Some(value) => value,
                None if index < 3 => return Err(invalid(format!("datetime needs a {name}"))),
                None => 0,
            },
        };
    }
    kwargs.assert_all_used()?;
    let [year, month, day, hour, minute, second, micro] = parts;
    let date = i32::try_from(year).ok().and_then(|year| NaiveDate::from_ymd_opt(year, month, day));
    let wall = date.and_then(|date| date.and_hms_micro_opt(hour, minute, second, micro));
    Moment::from_wall(wall.ok_or_else(|| invalid("there is no such date or time"))?, Zone::Naive)
        .map(Value::from_object)
}

/// `ds_format_locale(ds, input_format, output_format, locale=None)`: the output is a Unicode date pattern.
fn ds_format_locale(args: &[Value]) -> Result<Value, Error> {
    let (ds, input, output, locale): (&str, &str, &str, Option<&str>) = from_args(args)?;
    if let Some(locale) = locale.filter(|locale| !locale.to_ascii_lowercase().starts_with("en")) {
        return Err(invalid(format!("`ds_format_locale` knows English names only, not those of `{locale}`")));
    }
    ldml::format(strptime(ds, input)?, output)
        .map(Value::from)
        .map_err(|field| invalid(format!("`{field}` is no field of a date pattern that is known here")))
}

/// ISO 8601, and what people write instead.
fn parse_loose(text: &str) -> Result<Moment, Error> {
    const FORMATS: [&str; 10] = [
        "%Y/%m/%d",
        "%Y%m%d",
        "%Y%m%dT%H%M%S",
        "%Y/%m/%d %H:%M:%S",
        "%m/%d/%Y",
        "%m/%d/%Y %H:%M:%S",
        "%d %B %Y",
        "%d %b %Y",
        "%B %d, %Y",
        "%b %d, %Y",
    ];
    let text = text.trim();
    parse_iso(text).or_else(|error| {
        let wall = FORMATS.iter().find_map(|format| strptime(text, format).ok());
        wall.map_or(Err(error), |wall| Moment::from_wall(wall, Zone::Naive))
    })
}

/// ISO 8601 with or without an offset; a date alone is its midnight.
pub(super) fn parse_iso(text: &str) -> Result<Moment, Error> {
    if let Ok(at) = chrono::DateTime::parse_from_rfc3339(text) {
        let offset: FixedOffset = *at.offset();
        let zone = if offset.local_minus_utc() == 0 { Zone::Named(chrono_tz::UTC) } else { Zone::Fixed(offset) };
        return Moment::from_wall(at.naive_local(), zone);
    }
    let naive = text
        .replacen(' ', "T", 1)
        .parse::<NaiveDateTime>()
        .or_else(|_| text.parse::<NaiveDate>().map(|date| date.and_time(chrono::NaiveTime::MIN)));
    match naive {
        Ok(wall) => Moment::from_wall(wall, Zone::Naive),
        Err(_) => Err(invalid(format!("`{text}` is not an ISO 8601 datetime"))),
    }
}
