//! Timedeltas as template values, and how datetimes, dates and timedeltas combine.

use std::{cmp::Ordering, fmt, sync::Arc};

use chrono::TimeDelta;
use minijinja::{
    Error, State, Value,
    value::{DynObject, Kwargs, Object, ObjectRepr, from_args},
};

use super::{
    engine::invalid,
    moment::{Day, Moment},
    relative::Relative,
};

/// Python's `timedelta`, to the microsecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delta(pub(super) TimeDelta);

impl Delta {
    /// `timedelta(days, seconds, microseconds, …)`, by position or by name.
    pub(super) fn from_call(args: &[Value]) -> Result<Self, Error> {
        let (days, seconds, micros, kwargs): (Option<f64>, Option<f64>, Option<f64>, Kwargs) = from_args(args)?;
        let named = |name: &str| kwargs.get::<Option<f64>>(name).map(Option::unwrap_or_default);
        let days = days.unwrap_or_default() + named("days")? + named("weeks")? * 7.0;
        let rest = elapsed(&kwargs)?;
        kwargs.assert_all_used()?;
        let given = from_seconds(days * 86_400.0 + seconds.unwrap_or_default() + micros.unwrap_or_default() * 1e-6)?;
        Ok(Self(given + rest))
    }

    fn micros(self) -> i64 {
        self.0.num_microseconds().unwrap_or(i64::MAX)
    }

    fn seconds_f64(self) -> f64 {
        self.micros() as f64 / 1e6
    }

    /// Python's: a negative delta is −1 day and a positive rest.
    fn parts(self) -> (i64, i64, i64) {
        let micros = self.micros();
        let seconds = micros.div_euclid(1_000_000);
        (seconds.div_euclid(86_400), seconds.rem_euclid(86_400), micros.rem_euclid(1_000_000))
    }

    fn scale(self, factor: f64) -> Result<Self, Error> {
        from_seconds(self.seconds_f64() * factor).map(Self)
    }
}

impl Object for Delta {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.0.is_zero()
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let (days, seconds, microseconds) = self.parts();
        match key {
            "days" => Some(days.into()),
            "seconds" => Some(seconds.into()),
            "microseconds" => Some(microseconds.into()),
            _ => None,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        from_args::<()>(args)?;
        match method {
            "total_seconds" => Ok(self.seconds_f64().into()),
            "total_minutes" => Ok((self.seconds_f64() / 60.0).into()),
            "total_hours" => Ok((self.seconds_f64() / 3600.0).into()),
            "total_days" => Ok((self.seconds_f64() / 86_400.0).into()),
            "in_seconds" => Ok(self.0.num_seconds().into()),
            "in_minutes" => Ok(self.0.num_minutes().into()),
            "in_hours" => Ok(self.0.num_hours().into()),
            "in_days" => Ok(self.0.num_days().into()),
            "in_weeks" => Ok(self.0.num_weeks().into()),
            _ => Err(invalid(format!("a timedelta has no method named `{method}` in templates"))),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        Some(self.0.cmp(&other.downcast_ref::<Self>()?.0))
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, seconds, micros) = self.parts();
        match days {
            0 => {}
            1 | -1 => write!(f, "{days} day, ")?,
            _ => write!(f, "{days} days, ")?,
        }
        write!(f, "{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        if micros == 0 { Ok(()) } else { write!(f, ".{micros:06}") }
    }
}

/// `left + right`, `left - right`, `left * right`, `left / right` when one side is a datetime, date or timedelta; `None` when
/// none is.
pub(super) fn arithmetic(operator: char, left: &Value, right: &Value) -> Option<Result<Value, Error>> {
    let moment = |value: &Value| value.downcast_object_ref::<Moment>().copied();
    let day = |value: &Value| value.downcast_object_ref::<Day>().copied();
    let delta = |value: &Value| value.downcast_object_ref::<Delta>().copied();
    let number = |value: &Value| f64::try_from(value.clone()).ok().filter(|_| value.is_number());
    let sum = |a: TimeDelta, b: TimeDelta| {
        a.checked_add(&b).map(|sum| Value::from_object(Delta(sum))).ok_or_else(out_of_range)
    };
    let on_day = |day: Day, by: TimeDelta| {
        let moved = day.0.checked_add_signed(by).ok_or_else(out_of_range);
        moved.map(|date| Value::from_object(Day(date)))
    };
    if let Some(result) = relative(operator, left, right) {
        return Some(result);
    }
    let is_time = |value: &Value| moment(value).is_some() || day(value).is_some() || delta(value).is_some();
    if !is_time(left) && !is_time(right) {
        return None;
    }
    Some(match (operator, moment(left), moment(right), day(left), day(right), delta(left), delta(right)) {
        ('+', Some(at), _, _, _, _, Some(by)) | ('+', _, Some(at), _, _, Some(by), _) => {
            at.add(by.0).map(Value::from_object)
        }
        ('-', Some(at), _, _, _, _, Some(by)) => at.add(-by.0).map(Value::from_object),
        ('-', Some(to), Some(from), ..) => to.since(&from).map(|distance| Value::from_object(Delta(distance))),
        ('+', _, _, Some(date), _, _, Some(by)) | ('+', _, _, _, Some(date), Some(by), _) => on_day(date, by.0),
        ('-', _, _, Some(date), _, _, Some(by)) => on_day(date, -by.0),
        ('-', _, _, Some(to), Some(from), ..) => Ok(Value::from_object(Delta(to.0 - from.0))),
        ('+', .., Some(a), Some(b)) => sum(a.0, b.0),
        ('-', .., Some(a), Some(b)) => sum(a.0, -b.0),
        ('/', .., Some(a), Some(b)) if !b.0.is_zero() => Ok((a.seconds_f64() / b.seconds_f64()).into()),
        ('*', .., Some(delta), None) if number(right).is_some() => {
            delta.scale(number(right).unwrap_or_default()).map(Value::from_object)
        }
        ('*', .., None, Some(delta)) if number(left).is_some() => {
            delta.scale(number(left).unwrap_or_default()).map(Value::from_object)
        }
        ('/', .., Some(delta), None) if number(right).is_some_and(|by| by != 0.0) => {
            delta.scale(1.0 / number(right).unwrap_or(1.0)).map(Value::from_object)
        }
        _ => Err(invalid(format!("`{operator}` does not combine {} and {}", kind(left), kind(right)))),
    })
}

/// A datetime or date and a `relativedelta`.
fn relative(operator: char, left: &Value, right: &Value) -> Option<Result<Value, Error>> {
    let by = |value: &Value| value.downcast_object_ref::<Relative>().cloned();
    let (at, by, sign) = match (operator, by(left), by(right)) {
        (_, None, None) => return None,
        ('+', Some(by), None) => (right, by, 1),
        ('+', None, Some(by)) => (left, by, 1),
        ('-', None, Some(by)) => (left, by, -1),
        _ => return Some(Err(invalid(format!("`{operator}` does not combine {} and {}", kind(left), kind(right))))),
    };
    if let Some(at) = at.downcast_object_ref::<Moment>() {
        return Some(by.apply(*at, sign).map(Value::from_object));
    }
    let day = at.downcast_object_ref::<Day>()?;
    Some(by.apply(day.midnight(), sign).map(|at| Value::from_object(Day(at.wall().date()))))
}

fn kind(value: &Value) -> String {
    if value.downcast_object_ref::<Moment>().is_some() {
        "a datetime".to_owned()
    } else if value.downcast_object_ref::<Day>().is_some() {
        "a date".to_owned()
    } else if value.downcast_object_ref::<Delta>().is_some() {
        "a timedelta".to_owned()
    } else if value.downcast_object_ref::<Relative>().is_some() {
        "a relativedelta".to_owned()
    } else {
        format!("a {}", value.kind())
    }
}

pub(super) fn out_of_range() -> Error {
    invalid("the result is outside the calendar")
}

/// `hours=` and smaller units.
pub(super) fn elapsed(kwargs: &Kwargs) -> Result<TimeDelta, Error> {
    let mut seconds = 0.0;
    for (name, factor) in
        [("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0), ("milliseconds", 1e-3), ("microseconds", 1e-6)]
    {
        seconds += kwargs.get::<Option<f64>>(name)?.unwrap_or_default() * factor;
    }
    from_seconds(seconds)
}

fn from_seconds(seconds: f64) -> Result<TimeDelta, Error> {
    // Bounded so that neither the product nor the cast below can overflow: about 31,000 years.
    if !seconds.is_finite() || seconds.abs() > 1e12 {
        return Err(out_of_range());
    }
    Ok(TimeDelta::microseconds((seconds * 1e6).round() as i64))
}
