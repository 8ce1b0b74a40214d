//! Dates: YAML dates and time stamps, ISO text (calendar and week dates), with or without an offset.

use chrono::{DateTime, Duration, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeZone, Utc, Weekday};
use chrono_tz::Tz;

/// A date as written: local time, and the offset in seconds if the text has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) local: NaiveDateTime,
    pub(crate) offset: Option<i32>,
}

impl Written {
    /// The instant that is meant: by its own offset, or in `zone`.
    pub(crate) fn instant(self, zone: Tz) -> DateTime<Utc> {
        match self.offset {
            Some(offset) => self.local.and_utc() - Duration::seconds(i64::from(offset)),
            None => localise(self.local, zone),
        }
    }
}

/// Reads the text of a date; `None` if it is none, or no day of the calendar.
pub(crate) fn parse(text: &str) -> Option<Written> {
    let text = text.trim();
    let split = text.find(['T', 't', ' ']);
    let (day, rest) = match split {
        Some(at) => (&text[..at], text[at + 1..].trim_start()),
        None => (text, ""),
    };
    let day = parse_day(day)?;
    if rest.is_empty() {
        return split.is_none().then(|| Written { local: day.and_time(NaiveTime::MIN), offset: None });
    }
    let zone_at = rest.find(['Z', 'z', '+', '-', ' ']).unwrap_or(rest.len());
    let offset = parse_offset(rest[zone_at..].trim())?;
    Some(Written { local: day.and_time(parse_time(&rest[..zone_at])?), offset })
}

/// `HH:MM`, `HH:MM:SS`, `HH:MM:SS.fff`, `HHMM`, `HHMMSS`, `HH`.
pub(crate) fn parse_time(text: &str) -> Option<NaiveTime> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let parts: Vec<&str> = if clock.contains(':') {
        clock.split(':').collect()
    } else {
        if !clock.is_ascii() || clock.len() % 2 != 0 {
            return None;
        }
        (0..clock.len()).step_by(2).map(|at| &clock[at..at + 2]).collect()
    };
    let number = |part: &&str| -> Option<u32> {
        ((1..=2).contains(&part.len()) && part.chars().all(|c| c.is_ascii_digit())).then(|| part.parse().ok()).flatten()
    };
    let numbers: Vec<u32> = parts.iter().map(number).collect::<Option<_>>()?;
    let (hour, minute, second) = match numbers[..] {
        [hour] => (hour, 0, 0),
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return None,
    };
    if !fraction.chars().all(|c| c.is_ascii_digit()) || fraction.len() > 9 {
        return None;
    }
    let nanos = format!("{fraction:0<9}").parse().ok()?;
    NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)
}

/// The instant of a local time in a zone: the first of two where the clock goes back, moved on where it skips (as pendulum does).
pub(crate) fn localise(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.with_timezone(&Utc),
        LocalResult::None => {
            let before = zone.from_local_datetime(&(local - Duration::hours(3))).earliest();
            before.map_or_else(|| local.and_utc(), |before| (before + Duration::hours(3)).with_timezone(&Utc))
        }
    }
}

fn parse_day(text: &str) -> Option<NaiveDate> {
    let digits = |part: &str, len: usize| -> Option<u32> {
        (part.len() == len && part.chars().all(|c| c.is_ascii_digit())).then(|| part.parse().ok()).flatten()
    };
    if let Some((year, week)) = text.split_once("-W").or_else(|| text.split_once('W')) {
        let (week, day) = week.split_once('-').or_else(|| week.split_at_checked(2)).unwrap_or((week, "1"));
        let day = if day.is_empty() { "1" } else { day };
        let weekday = match digits(day, 1)? {
            1 => Weekday::Mon,
            2 => Weekday::Tue,
            3 => Weekday::Wed,
            4 => Weekday::Thu,
            5 => Weekday::Fri,
            6 => Weekday::Sat,
            7 => Weekday::Sun,
            _ => return None,
        };
        return NaiveDate::from_isoywd_opt(digits(year, 4)? as i32, digits(week, 2)?, weekday);
    }
    let parts: Vec<&str> = text.split('-').collect();
    match parts[..] {
        // YAML 1.1 time stamps may have one digit for month and day.
        [year, month, day] => {
            let short = |part: &str| digits(part, 2).or_else(|| digits(part, 1));
            NaiveDate::from_ymd_opt(digits(year, 4)? as i32, short(month)?, short(day)?)
        }
        [whole] if whole.len() == 8 && whole.is_ascii() => {
            NaiveDate::from_ymd_opt(digits(&whole[..4], 4)? as i32, digits(&whole[4..6], 2)?, digits(&whole[6..], 2)?)
        }
        _ => None,
    }
}

/// The outer `None` is an offset that is none.
#[expect(clippy::option_option, reason = "no offset and a wrong one are two answers")]
fn parse_offset(text: &str) -> Option<Option<i32>> {
    let (sign, rest) = match text.as_bytes().first() {
        None => return Some(None),
        Some(b'Z' | b'z') if text.len() == 1 => return Some(Some(0)),
        Some(b'+') => (1, &text[1..]),
        Some(b'-') => (-1, &text[1..]),
        _ => return None,
    };
    let compact: String = rest.chars().filter(|c| *c != ':').collect();
    if !compact.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes) = match compact.len() {
        1 | 2 => (compact.parse::<i32>().ok()?, 0),
        4 => (compact[..2].parse::<i32>().ok()?, compact[2..].parse::<i32>().ok()?),
        _ => return None,
    };
    (hours <= 14 && minutes < 60).then_some(Some(sign * (hours * 3600 + minutes * 60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, Option<i32>)> {
        parse(text).map(|written| (written.local.format("%Y-%m-%dT%H:%M:%S%.f").to_string(), written.offset))
    }

    #[test]
    fn reads_dates_and_time_stamps() {
        let table = [
            ("2025-01-31", "2025-01-31T00:00:00", None),
            ("20250131", "2025-01-31T00:00:00", None),
            ("2025-W05-2", "2025-01-28T00:00:00", None),
            ("2025-01-31T10:20:30", "2025-01-31T10:20:30", None),
            ("2024-01-01 10:20:30", "2024-01-01T10:20:30", None),
            ("2025-01-31T10:20:30.5Z", "2025-01-31T10:20:30.500", Some(0)),
            ("2025-03-04T05:06:07+05:00", "2025-03-04T05:06:07", Some(18_000)),
            ("2025-03-04 05:06:07 -0330", "2025-03-04T05:06:07", Some(-12_600)),
        ];
        for (text, local, offset) in table {
            assert_eq!(read(text), Some((local.to_owned(), offset)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "someday",
            "2025-02-30",
            "2025-13-01",
            "2025",
            "2025-01-31T",
            "2025-01-31T25:00",
            "2025-01-31T10:00+99:00",
            "2 days",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn moves_a_skipped_local_time_on() {
        let local = NaiveDate::from_ymd_opt(2025, 3, 30).and_then(|day| day.and_hms_opt(2, 30, 0)).expect("a date");
        assert_eq!(localise(local, Tz::Europe__Berlin).to_rfc3339(), "2025-03-30T01:30:00+00:00");
    }
}
