//! Moments, waited for.

use std::time::Duration;

use chrono::NaiveTime;
use serde::{Deserialize, Deserializer, Serialize, de::Error};

use super::{
    Moment, WeekDays,
    values::{flag, span},
};
use crate::yaml::date;

/// Arguments of `TimeSensor`: a time of the day on which the task starts, in the DAG's zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeArgs {
    #[serde(deserialize_with = "time_of_day")]
    pub target_time: NaiveTime,
}

/// Arguments of `TimeDeltaSensor`: so long after the end of the data interval (of a run without one: after `run_after`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeDeltaArgs {
    #[serde(with = "span")]
    pub delta: Duration,
}

/// Arguments of `DateTimeSensor`. A date without a zone is one of the DAG's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DateTimeArgs {
    pub target_time: Moment,
}

/// Arguments of `DayOfWeekSensor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayOfWeekArgs {
    pub week_day: WeekDays,
    /// The day of the logical date instead of today's.
    #[serde(default, deserialize_with = "flag")]
    pub use_task_logical_date: bool,
}

fn time_of_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NaiveTime, D::Error> {
    let text = String::deserialize(deserializer)?;
    date::parse_time(text.trim()).ok_or_else(|| D::Error::custom(format!("`{text}` is no time of day")))
}
