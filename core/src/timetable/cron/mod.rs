//! Cron in croniter's dialect, on naive wall-clock time: no zone, no clock. [`super::zoned`] puts it on a zone's clock.
//!
//! Why not a crate (looked at in November 2026): `croner` 4 is the best one, but reads a sixth field as seconds *first*
//! (croniter: last), refuses `5/15` unless told, writes the last Friday `5#L` (croniter: `L5`) and brings its own
//! daylight-saving rules, which are not Airflow's. `cron` 0.17 has no `L`, `W`, `#` nor five-field form; `saffron` is
//! dormant. A DAG that moves from Airflow must run at the same instants, so the dialect is croniter's to the letter, and
//! `tests/cron_golden.rs` compares with a table that croniter itself made.
//!
//! | field | values | also |
//! | --- | --- | --- |
//! | minute, hour | 0–59, 0–23 | `*`, lists, ranges (also backwards: `22-2`), `*/n`, `5/15` (from 5 on, every 15) |
//! | day of month | 1–31 | `L` (last), `15W` (nearest weekday), `?` (= `*`) |
//! | month | 1–12, `jan`–`dec` | |
//! | day of week | 0–7, `sun`–`sat`; 0 and 7 are Sunday | `mon#2` (second Monday), `L5` (last Friday), `?` |
//! | second (6th, optional) | 0–59 | 0 when absent |
//! | year (7th, optional) | 1970–2099 | |
//!
//! When both day fields are restricted, a day that fits *either* fires; a field that starts with `*/` counts as restricted
//! (unlike Vixie cron), one that lists every value does not.

mod parse;

use std::str::FromStr;

use chrono::{Datelike, Days, Duration, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

/// No match is looked for further away than this, as in croniter. 29 February needs eight at most.
const MAX_YEARS: i32 = 50;

/// A parsed cron expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    /// Bit n: the value n fires. Likewise below.
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
    days: DayRule,
    /// Ascending; `None` is any year.
    years: Option<Vec<i32>>,
    /// Without a seconds field, times are compared in whole minutes.
    with_seconds: bool,
    /// The hour field is `*` (or lists every hour): see [`super::zoned`].
    every_hour: bool,
}

/// Which days fire: day of month, day of week and how they combine.
#[derive(Clone, Debug, PartialEq, Eq)]
struct DayRule {
    /// Bits 1–31; all of them when the field is `*`.
    of_month: u64,
    /// `L`.
    last: bool,
    /// `15W`: replaces `of_month`.
    nearest_weekday: Option<u32>,
    /// Bits 0 (Sunday) – 6; all of them when the field is `*`.
    of_week: u64,
    /// `mon#2`, `L5`: for each weekday the bits 1–5, and bit 0 for the last; replaces `of_week`. All zero: not used.
    nth: [u8; 7],
    /// Both fields are restricted: either one suffices.
    either: bool,
}

/// Why an expression is not cron. The text reads alone; [`CronError::help`] says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    #[error("a cron expression has 5, 6 or 7 fields, `{expression}` has {found}")]
    FieldCount { expression: String, found: usize },
    #[error("`{0}` is not a preset")]
    UnknownPreset(String),
    #[error("{value} is out of range in the {} field", field.name())]
    OutOfRange { field: Field, value: u64 },
    #[error("`{token}` has no meaning in the {} field", field.name())]
    Invalid { field: Field, token: String },
    #[error("the step in `{token}` must be at least 1")]
    ZeroStep { token: String },
    #[error("`?` stands alone, and only in the day-of-month or day-of-week field")]
    QuestionMark { field: Field },
    #[error("`W` takes a single day of month, not a list or range")]
    NearestWeekdayInList,
    #[error("the day-of-week field mixes plain days with `#` or `L` days")]
    MixedWeekdays,
    #[error("`{token}` depends on a hash or on chance; write the number")]
    Hashed { token: String },
}

impl CronError {
    /// What to write instead.
    pub fn help(&self) -> String {
        match self {
            Self::FieldCount { .. } => {
                "5 fields: minute, hour, day of month, month, day of week; a 6th is the second, a 7th the year"
                    .to_owned()
            }
            Self::UnknownPreset(_) => format!("the presets are {}", PRESETS.map(|(name, _)| name).join(", ")),
            Self::OutOfRange { field, .. } | Self::Invalid { field, .. } => field.help(),
            Self::ZeroStep { .. } => "write `*/1`, or `*`".to_owned(),
            Self::QuestionMark { .. } => "write `*`".to_owned(),
            Self::NearestWeekdayInList => "write one day, such as `15W`".to_owned(),
            Self::MixedWeekdays => "write either `mon,fri` or `mon#1,fri#1`".to_owned(),
            Self::Hashed { .. } => "such as `17` for a minute".to_owned(),
        }
    }
}

/// A field of an expression, in croniter's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    Minute,
    Hour,
    DayOfMonth,
    Month,
    DayOfWeek,
    Second,
    Year,
}

impl Field {
    const ALL: [Self; 7] =
        [Self::Minute, Self::Hour, Self::DayOfMonth, Self::Month, Self::DayOfWeek, Self::Second, Self::Year];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day-of-month",
            Self::Month => "month",
            Self::DayOfWeek => "day-of-week",
            Self::Second => "second",
            Self::Year => "year",
        }
    }

    /// Lowest and highest value. Day of week 7 is read as 0 before this is asked.
    const fn range(self) -> (u64, u64) {
        match self {
            Self::Minute | Self::Second => (0, 59),
            Self::Hour => (0, 23),
            Self::DayOfMonth => (1, 31),
            Self::Month => (1, 12),
            Self::DayOfWeek => (0, 6),
            Self::Year => (1970, 2099),
        }
    }

    fn help(self) -> String {
        let (low, high) = self.range();
        match self {
            Self::Month => "month is 1-12 or jan-dec".to_owned(),
            Self::DayOfWeek => {
                "day-of-week is 0-7 (0 and 7 are Sunday) or sun-sat; `mon#2` is the second, `L5` the last".to_owned()
            }
            Self::DayOfMonth => "day-of-month is 1-31, `L` (last) or `15W` (nearest weekday)".to_owned(),
            _ => format!("{} is {low}-{high}", self.name()),
        }
    }
}

/// Airflow's presets and croniter's aliases.
pub const PRESETS: [(&str, &str); 8] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@quarterly", "0 0 1 */3 *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// The expression a preset stands for.
pub fn preset(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(preset, _)| preset.eq_ignore_ascii_case(name)).map(|(_, expression)| *expression)
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, CronError> {
        Self::parse(text)
    }
}

impl Cron {
    /// Reads 5 to 7 fields, or a preset. Letters in any case.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        parse::parse(text)
    }

    /// The first time strictly after `after`; `None` when there is none within 50 years.
    pub fn next(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let start = if self.with_seconds {
            after.with_nanosecond(0)?.checked_add_signed(Duration::seconds(1))?
        } else {
            after.with_nanosecond(0)?.with_second(0)?.checked_add_signed(Duration::minutes(1))?
        };
        let last_year = start.year() + MAX_YEARS;
        let (mut date, mut time) = (start.date(), start.time());
        loop {
            let year = match &self.years {
                None => date.year(),
                Some(years) => *years.iter().find(|year| **year >= date.year())?,
            };
            if year > last_year {
                return None;
            }
            if year != date.year() {
                (date, time) = (NaiveDate::from_ymd_opt(year, 1, 1)?, NaiveTime::MIN);
            }
            match next_bit(self.months, date.month()) {
                None => {
                    (date, time) = (NaiveDate::from_ymd_opt(year + 1, 1, 1)?, NaiveTime::MIN);
                    continue;
                }
                Some(month) if month != date.month() => {
                    (date, time) = (NaiveDate::from_ymd_opt(year, month, 1)?, NaiveTime::MIN);
                }
                Some(_) => {}
            }
            if self.days.matches(date)
                && let Some(time) = self.next_time(time)
            {
                return Some(date.and_time(time));
            }
            (date, time) = (date.succ_opt()?, NaiveTime::MIN);
        }
    }

    /// The last time strictly before `before`; `None` when there is none within 50 years.
    pub fn prev(&self, before: NaiveDateTime) -> Option<NaiveDateTime> {
        const LAST: Option<NaiveTime> = NaiveTime::from_hms_opt(23, 59, 59);
        let start = before.checked_sub_signed(Duration::nanoseconds(1))?.with_nanosecond(0)?;
        let start = if self.with_seconds { start } else { start.with_second(0)? };
        let first_year = start.year() - MAX_YEARS;
        let (mut date, mut time) = (start.date(), start.time());
        loop {
            let year = match &self.years {
                None => date.year(),
                Some(years) => *years.iter().rev().find(|year| **year <= date.year())?,
            };
            if year < first_year {
                return None;
            }
            if year != date.year() {
                (date, time) = (NaiveDate::from_ymd_opt(year, 12, 31)?, LAST?);
            }
            match prev_bit(self.months, date.month()) {
                None => {
                    (date, time) = (NaiveDate::from_ymd_opt(year - 1, 12, 31)?, LAST?);
                    continue;
                }
                Some(month) if month != date.month() => {
                    // Not December, so the next month is in the same year.
                    (date, time) = (NaiveDate::from_ymd_opt(year, month + 1, 1)?.pred_opt()?, LAST?);
                }
                Some(_) => {}
            }
            if self.days.matches(date)
                && let Some(time) = self.prev_time(time)
            {
                return Some(date.and_time(time));
            }
            (date, time) = (date.checked_sub_days(Days::new(1))?, LAST?);
        }
    }

    /// The hour field is `*`: Airflow steps such schedules in elapsed time, so that a repeated hour fires twice.
    pub const fn covers_every_hour(&self) -> bool {
        self.every_hour
    }

    /// The first time of day at or after `from`.
    fn next_time(&self, from: NaiveTime) -> Option<NaiveTime> {
        let (mut hour, mut minute, mut second) = (from.hour(), from.minute(), from.second());
        loop {
            let at = next_bit(self.hours, hour)?;
            if at != hour {
                (hour, minute, second) = (at, 0, 0);
            }
            match next_bit(self.minutes, minute) {
                None => {
                    (hour, minute, second) = (hour + 1, 0, 0);
                    continue;
                }
                Some(at) if at != minute => (minute, second) = (at, 0),
                Some(_) => {}
            }
            match next_bit(self.seconds, second) {
                None => (minute, second) = (minute + 1, 0),
                Some(second) => return NaiveTime::from_hms_opt(hour, minute, second),
            }
        }
    }

    /// The last time of day at or before `from`.
    fn prev_time(&self, from: NaiveTime) -> Option<NaiveTime> {
        let (mut hour, mut minute, mut second) = (from.hour(), from.minute(), from.second());
        loop {
            let at = prev_bit(self.hours, hour)?;
            if at != hour {
                (hour, minute, second) = (at, 59, 59);
            }
            match prev_bit(self.minutes, minute) {
                None => {
                    (hour, minute, second) = (hour.checked_sub(1)?, 59, 59);
                    continue;
                }
                Some(at) if at != minute => (minute, second) = (at, 59),
                Some(_) => {}
            }
            match prev_bit(self.seconds, second) {
                Some(second) => return NaiveTime::from_hms_opt(hour, minute, second),
                None if minute == 0 => (hour, minute, second) = (hour.checked_sub(1)?, 59, 59),
                None => (minute, second) = (minute - 1, 59),
            }
        }
    }
}

impl DayRule {
    fn matches(&self, date: NaiveDate) -> bool {
        let month = self.matches_month(date);
        let week = self.matches_week(date);
        if !self.either {
            return month && week;
        }
        // croniter blanks one field and then the other, but `W` and `#` live outside the fields and stay in force.
        let week_if_blanked = !self.has_nth() || week;
        let month_if_blanked = self.nearest_weekday.is_none() || month;
        (month && week_if_blanked) || (month_if_blanked && week)
    }

    fn matches_month(&self, date: NaiveDate) -> bool {
        match self.nearest_weekday {
            Some(day) => nearest_weekday(date, day) == date.day(),
            None => bit(self.of_month, date.day()) || (self.last && date.day() == days_in_month(date)),
        }
    }

    fn matches_week(&self, date: NaiveDate) -> bool {
        let weekday = date.weekday().num_days_from_sunday();
        if !self.has_nth() {
            return bit(self.of_week, weekday);
        }
        let nth = u64::from(self.nth[weekday as usize]);
        bit(nth, date.day().div_ceil(7)) || (bit(nth, 0) && date.day() + 7 > days_in_month(date))
    }

    fn has_nth(&self) -> bool {
        self.nth != [0; 7]
    }
}

/// The weekday (Monday to Friday) nearest to `day` that lies in the same month as `date`.
fn nearest_weekday(date: NaiveDate, day: u32) -> u32 {
    let last = days_in_month(date);
    let day = day.min(last);
    let first_weekday = (date.weekday().num_days_from_monday() + 35 - (date.day() - 1)) % 7;
    match (first_weekday + day - 1) % 7 {
        5 if day > 1 => day - 1,
        5 => day + 2,
        6 if day < last => day + 1,
        6 => day - 2,
        _ => day,
    }
}

fn days_in_month(date: NaiveDate) -> u32 {
    u32::from(date.num_days_in_month())
}

const fn bit(bits: u64, at: u32) -> bool {
    bits >> at & 1 == 1
}

/// The lowest set bit at or above `from`.
fn next_bit(bits: u64, from: u32) -> Option<u32> {
    let bits = bits & u64::MAX.checked_shl(from)?;
    (bits != 0).then(|| bits.trailing_zeros())
}

/// The highest set bit at or below `from`, which is below 63.
fn prev_bit(bits: u64, from: u32) -> Option<u32> {
    (bits & ((1 << (from + 1)) - 1)).checked_ilog2()
}
