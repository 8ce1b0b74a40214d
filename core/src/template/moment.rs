//! Datetimes and dates as template values: what Python's `datetime` and pendulum offer and people use.

use std::{cmp::Ordering, fmt, sync::Arc};

use chrono::{
    DateTime, Datelike, FixedOffset, Months, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone,
    Timelike, Utc,
};
use chrono_tz::Tz;
use minijinja::{
    Error, State, Value,
    value::{DynObject, Kwargs, Object, ObjectRepr, from_args},
};

use super::{
    delta::{Delta, elapsed, out_of_range},
    engine::{check_defined, invalid},
    strftime::strftime,
    work,
};
use crate::timetable::localise;

/// The clock a datetime is read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// No zone (Python's naive datetime); kept as if it were UTC.
    Naive,
    Named(Tz),
    Fixed(FixedOffset),
}

/// A datetime, with the methods of Python's `datetime` and pendulum's `DateTime`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    at: DateTime<Utc>,
    zone: Zone,
}

impl Moment {
    pub(super) const fn utc(at: DateTime<Utc>) -> Self {
        Self { at, zone: Zone::Named(Tz::UTC) }
    }

    pub(super) fn from_wall(wall: NaiveDateTime, zone: Zone) -> Result<Self, Error> {
        let at = match zone {
            Zone::Naive => wall.and_utc(),
            Zone::Named(zone) => localise(zone, wall).ok_or_else(out_of_range)?,
            Zone::Fixed(offset) => wall.checked_sub_offset(offset).ok_or_else(out_of_range)?.and_utc(),
        };
        Ok(Self { at, zone })
    }

    pub(super) fn offset(&self) -> Option<FixedOffset> {
        match self.zone {
            Zone::Naive => None,
            Zone::Named(zone) => Some(zone.offset_from_utc_datetime(&self.at.naive_utc()).fix()),
            Zone::Fixed(offset) => Some(offset),
        }
    }

    /// What the clock shows.
    pub(super) fn wall(&self) -> NaiveDateTime {
        match self.offset() {
            Some(offset) => self.at.with_timezone(&offset).naive_local(),
            None => self.at.naive_utc(),
        }
    }

    pub(super) fn zone_name(&self) -> Option<String> {
        match self.zone {
            Zone::Naive => None,
            Zone::Named(zone) => Some(zone.name().to_owned()),
            Zone::Fixed(offset) => Some(offset.to_string()),
        }
    }

    /// `CET`, `+02:00`, or nothing.
    pub(super) fn zone_abbreviation(&self) -> String {
        match self.zone {
            Zone::Naive => String::new(),
            Zone::Named(zone) => {
                let offset = zone.offset_from_utc_datetime(&self.at.naive_utc());
                chrono_tz::OffsetName::abbreviation(&offset).unwrap_or_default().to_owned()
            }
            Zone::Fixed(offset) => format!("UTC{offset}"),
        }
    }

    /// The instant, on UTC's wall.
    pub(super) fn in_utc(&self) -> NaiveDateTime {
        self.at.naive_utc()
    }

    /// Python's `isoformat(sep)`.
    pub(super) fn isoformat(&self, separator: &str) -> String {
        let wall = self.wall();
        let date = wall.date();
        let time = time_text(wall.time());
        let offset = self.offset().map(|offset| offset.to_string()).unwrap_or_default();
        format!("{date}{separator}{time}{offset}")
    }

    pub(super) fn add(self, delta: TimeDelta) -> Result<Self, Error> {
        let at = self.at.checked_add_signed(delta).ok_or_else(out_of_range)?;
        Ok(Self { at, ..self })
    }

    /// pendulum's `add(years=, months=, weeks=, days=, hours=, minutes=, seconds=, microseconds=)`: calendar units move the
    /// wall clock, the rest is elapsed time.
    fn shift(self, kwargs: &Kwargs, sign: i64) -> Result<Self, Error> {
        self.relative(&Units::from_kwargs(kwargs)?, [None; 7], sign)
    }

    /// dateutil's order: months, then the parts that are set (year to microsecond), then days, then elapsed time.
    pub(super) fn relative(self, units: &Units, set: [Option<u32>; 7], sign: i64) -> Result<Self, Error> {
        let mut moment = self;
        if units.months != 0 || units.days != 0 || set.iter().any(Option::is_some) {
            let months = units.months * sign;
            let count = Months::new(u32::try_from(months.unsigned_abs()).map_err(|_| out_of_range())?);
            let wall = moment.wall();
            let wall = if months < 0 { wall.checked_sub_months(count) } else { wall.checked_add_months(count) };
            let wall = wall.and_then(|wall| with_parts(wall, set)).ok_or_else(out_of_range)?;
            let days = TimeDelta::try_days(units.days * sign).ok_or_else(out_of_range)?;
            let wall = wall.checked_add_signed(days).ok_or_else(out_of_range)?;
            moment = Self::from_wall(wall, moment.zone)?;
        }
        moment.add(if sign < 0 { -units.elapsed } else { units.elapsed })
    }

    fn replace(self, kwargs: &Kwargs) -> Result<Self, Error> {
        let wall = self.wall();
        let part = |name: &str, now: u32| kwargs.get::<Option<u32>>(name).map(|value| value.unwrap_or(now));
        let year = kwargs.get::<Option<i32>>("year")?.unwrap_or(wall.year());
        let date = NaiveDate::from_ymd_opt(year, part("month", wall.month())?, part("day", wall.day())?);
        let micros = part("microsecond", wall.nanosecond() / 1_000)?;
        let time = NaiveTime::from_hms_micro_opt(
            part("hour", wall.hour())?,
            part("minute", wall.minute())?,
            part("second", wall.second())?,
            micros,
        );
        kwargs.assert_all_used()?;
        match (date, time) {
            (Some(date), Some(time)) => Self::from_wall(date.and_time(time), self.zone),
            _ => Err(invalid("there is no such date or time")),
        }
    }

    /// pendulum's `start_of(unit)`.
    fn start_of(self, unit: &str) -> Result<Self, Error> {
        let wall = self.wall();
        let date = wall.date();
        let first = |month| NaiveDate::from_ymd_opt(date.year(), month, 1).expect("the first of a month exists");
        let (date, time) = match unit {
            "second" => (date, wall.time().with_nanosecond(0)),
            "minute" => (date, NaiveTime::from_hms_opt(wall.hour(), wall.minute(), 0)),
            "hour" => (date, NaiveTime::from_hms_opt(wall.hour(), 0, 0)),
            "day" => (date, Some(NaiveTime::MIN)),
            "week" => (date.week(chrono::Weekday::Mon).first_day(), Some(NaiveTime::MIN)),
            "month" => (first(date.month()), Some(NaiveTime::MIN)),
            "quarter" => (first((date.month() - 1) / 3 * 3 + 1), Some(NaiveTime::MIN)),
            "year" => (first(1), Some(NaiveTime::MIN)),
            other => return Err(invalid(format!("start_of does not know the unit `{other}`"))),
        };
        Self::from_wall(date.and_time(time.expect("parts of a valid time")), self.zone)
    }

    /// pendulum's `end_of(unit)`: a microsecond before the next one starts.
    fn end_of(self, unit: &str) -> Result<Self, Error> {
        let start = self.start_of(unit)?.wall();
        let next = match unit {
            "second" => start.checked_add_signed(TimeDelta::seconds(1)),
            "minute" => start.checked_add_signed(TimeDelta::minutes(1)),
            "hour" => start.checked_add_signed(TimeDelta::hours(1)),
            "day" => start.checked_add_signed(TimeDelta::days(1)),
            "week" => start.checked_add_signed(TimeDelta::days(7)),
            "month" => start.checked_add_months(Months::new(1)),
            "quarter" => start.checked_add_months(Months::new(3)),
            _ => start.checked_add_months(Months::new(12)),
        };
        let end = next.and_then(|next| next.checked_sub_signed(TimeDelta::microseconds(1))).ok_or_else(out_of_range)?;
        Self::from_wall(end, self.zone)
    }

    pub(super) fn in_timezone(self, name: &str) -> Result<Self, Error> {
        let zone: Tz = name.parse().map_err(|_| invalid(format!("`{name}` is not a time zone")))?;
        Ok(Self { zone: Zone::Named(zone), ..self })
    }

    /// The distance `self − other`; only between two naive or two aware datetimes, as in Python.
    pub(super) fn since(&self, other: &Self) -> Result<TimeDelta, Error> {
        if (self.zone == Zone::Naive) != (other.zone == Zone::Naive) {
            return Err(invalid("a datetime with a time zone and one without cannot be compared or subtracted"));
        }
        Ok(self.at - other.at)
    }
}

/// What `timedelta(…)` and `add(…)` take by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Units {
    months: i64,
    days: i64,
    elapsed: TimeDelta,
}

impl Units {
    pub(super) fn from_kwargs(kwargs: &Kwargs) -> Result<Self, Error> {
        let whole = |name: &str| kwargs.get::<Option<i64>>(name).map(Option::unwrap_or_default);
        let (years, months, weeks, days) = (whole("years")?, whole("months")?, whole("weeks")?, whole("days")?);
        let elapsed = elapsed(kwargs)?;
        kwargs.assert_all_used()?;
        let months = years.checked_mul(12).and_then(|years| years.checked_add(months)).ok_or_else(out_of_range)?;
        let days = weeks.checked_mul(7).and_then(|weeks| weeks.checked_add(days)).ok_or_else(out_of_range)?;
        Ok(Self { months, days, elapsed })
    }
}

/// Sets parts of a wall time; a day beyond its month is the month's last, as dateutil has it.
fn with_parts(wall: NaiveDateTime, set: [Option<u32>; 7]) -> Option<NaiveDateTime> {
    let [year, month, day, hour, minute, second, micro] = set;
    let year = year.map_or(Some(wall.year()), |year| i32::try_from(year).ok())?;
    let first = NaiveDate::from_ymd_opt(year, month.unwrap_or(wall.month()), 1)?;
    let day = day.unwrap_or(wall.day()).min(u32::from(first.num_days_in_month()));
    first.with_day(day)?.and_hms_micro_opt(
        hour.unwrap_or(wall.hour()),
        minute.unwrap_or(wall.minute()),
        second.unwrap_or(wall.second()),
        micro.unwrap_or(wall.nanosecond() / 1_000),
    )
}

fn time_text(time: NaiveTime) -> String {
    let micros = time.nanosecond() / 1_000;
    if micros == 0 { time.format("%H:%M:%S").to_string() } else { format!("{}.{micros:06}", time.format("%H:%M:%S")) }
}

impl Object for Moment {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let wall = self.wall();
        Some(match key {
            "year" => wall.year().into(),
            "month" => wall.month().into(),
            "day" => wall.day().into(),
            "hour" => wall.hour().into(),
            "minute" => wall.minute().into(),
            "second" => wall.second().into(),
            "microsecond" => (wall.nanosecond() / 1_000).into(),
            // pendulum 3: Monday is 0.
            "day_of_week" => wall.weekday().num_days_from_monday().into(),
            "day_of_year" => wall.ordinal().into(),
            "week_of_year" => wall.iso_week().week().into(),
            "days_in_month" => wall.num_days_in_month().into(),
            "quarter" => ((wall.month() - 1) / 3 + 1).into(),
            "int_timestamp" => self.at.timestamp().into(),
            "float_timestamp" => (self.at.timestamp_micros() as f64 / 1e6).into(),
            "timezone_name" | "tzinfo" | "tz" | "timezone" => self.zone_name().map_or(Value::from(()), Value::from),
            _ => return None,
        })
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        args.iter().try_for_each(check_defined)?;
        work::weigh_arguments(args, true)?;
        let wall = self.wall();
        let no_args = || from_args::<()>(args);
        let zone = |args| -> Result<Moment, Error> {
            let (zone,): (Value,) = from_args(args)?;
            self.in_timezone(&zone.to_string())
        };
        Ok(match method {
            "isoformat" => {
                let (separator, kwargs): (Option<&str>, Kwargs) = from_args(args)?;
                let separator = separator.map_or_else(|| kwargs.get("sep"), |given| Ok(Some(given)))?;
                kwargs.assert_all_used()?;
                self.isoformat(separator.unwrap_or("T")).into()
            }
            "strftime" => {
                let (format,): (&str,) = from_args(args)?;
                strftime(self, format).into()
            }
            "date" => no_args().map(|()| Value::from_object(Day(wall.date())))?,
            "time" => no_args().map(|()| time_text(wall.time()).into())?,
            "naive" => no_args().map(|()| Value::from_object(Moment { at: wall.and_utc(), zone: Zone::Naive }))?,
            "timestamp" => no_args().map(|()| Value::from(self.at.timestamp_micros() as f64 / 1e6))?,
            "weekday" => no_args().map(|()| wall.weekday().num_days_from_monday().into())?,
            "isoweekday" => no_args().map(|()| wall.weekday().number_from_monday().into())?,
            "toordinal" => no_args().map(|()| wall.num_days_from_ce().into())?,
            "replace" | "set" => {
                let (kwargs,): (Kwargs,) = from_args(args)?;
                Value::from_object(self.replace(&kwargs)?)
            }
            "add" => {
                let (kwargs,): (Kwargs,) = from_args(args)?;
                Value::from_object(self.shift(&kwargs, 1)?)
            }
            "subtract" => {
                let (kwargs,): (Kwargs,) = from_args(args)?;
                Value::from_object(self.shift(&kwargs, -1)?)
            }
            "in_timezone" | "in_tz" | "astimezone" => Value::from_object(zone(args)?),
            "start_of" => {
                let (unit,): (&str,) = from_args(args)?;
                Value::from_object(self.start_of(unit)?)
            }
            "end_of" => {
                let (unit,): (&str,) = from_args(args)?;
                Value::from_object(self.end_of(unit)?)
            }
            "diff" => {
                let (other,): (Value,) = from_args(args)?;
                let other = other.downcast_object_ref::<Moment>().ok_or_else(|| invalid("diff takes a datetime"))?;
                Value::from_object(Delta(other.since(self)?.abs()))
            }
            "to_date_string" => no_args().map(|()| wall.date().to_string().into())?,
            "to_time_string" => no_args().map(|()| wall.format("%H:%M:%S").to_string().into())?,
            "to_datetime_string" => no_args().map(|()| wall.format("%Y-%m-%d %H:%M:%S").to_string().into())?,
            "to_iso8601_string" | "for_json" => {
                no_args()?;
                let text = self.isoformat("T");
                if self.zone == Zone::Named(Tz::UTC) { text.replace("+00:00", "Z").into() } else { text.into() }
            }
            "to_rfc3339_string" | "to_w3c_string" | "to_atom_string" => {
                no_args().map(|()| self.isoformat("T").into())?
            }
            "is_leap_year" => no_args().map(|()| wall.date().leap_year().into())?,
            "now" | "utcnow" | "today" | "is_past" | "is_future" | "diff_for_humans" | "age" => {
                return Err(invalid(format!(
                    "`{method}` reads the clock; a rendered template must give the same text twice"
                )));
            }
            _ => return Err(invalid(format!("a datetime has no method named `{method}` in templates"))),
        })
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(self.at.cmp(&other.downcast_ref::<Self>()?.at))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.isoformat(" "))
    }
}

/// Python's `date`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Day(pub(super) NaiveDate);

impl Day {
    pub(super) fn midnight(self) -> Moment {
        Moment { at: self.0.and_time(NaiveTime::MIN).and_utc(), zone: Zone::Naive }
    }
}

impl Object for Day {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        matches!(key, "year" | "month" | "day").then(|| Arc::new(self.midnight()).get_value_by_str(key))?
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn call_method(self: &Arc<Self>, state: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        match method {
            "isoformat" => from_args::<()>(args).map(|()| self.0.to_string().into()),
            "strftime" | "weekday" | "isoweekday" | "toordinal" => {
                Arc::new(self.midnight()).call_method(state, method, args)
            }
            "replace" | "add" | "subtract" => {
                let moved = Arc::new(self.midnight()).call_method(state, method, args)?;
                let moved = moved.downcast_object_ref::<Moment>().expect("these methods give a datetime");
                Ok(Value::from_object(Day(moved.wall().date())))
            }
            _ => Err(invalid(format!("a date has no method named `{method}` in templates"))),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
