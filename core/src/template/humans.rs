//! Distances for people, as pendulum's `diff_for_humans` writes them in English.

use chrono::{Datelike, Months, NaiveDateTime};

/// How far `at` is from `other`: `5 days after`, `1 month before`.
pub(super) fn distance(at: NaiveDateTime, other: NaiveDateTime) -> String {
    format!("{} {}", length(at, other), if at > other { "after" } else { "before" })
}

/// The same from the present: `in 5 days`, `1 month ago`.
pub(super) fn from_now(at: NaiveDateTime, now: NaiveDateTime) -> String {
    let length = length(at, now);
    if at > now { format!("in {length}") } else { format!("{length} ago") }
}

fn length(at: NaiveDateTime, other: NaiveDateTime) -> String {
    let (from, to) = (at.min(other), at.max(other));
    // Whole months first, then what is left: the calendar's distance.
    let index = |at: NaiveDateTime| i64::from(at.year()) * 12 + i64::from(at.month0());
    let between = u32::try_from(index(to) - index(from)).unwrap_or(0);
    let is_whole = from.checked_add_months(Months::new(between)).is_some_and(|moved| moved <= to);
    let months = if is_whole { between } else { between.saturating_sub(1) };
    let rest = to - from.checked_add_months(Months::new(months)).unwrap_or(from);
    let (years, months) = (months / 12, months % 12);
    let (days, hours, minutes) = (rest.num_days(), rest.num_hours() % 24, rest.num_minutes() % 60);
    let seconds = rest.num_seconds() % 60;
    if years > 0 {
        count(i64::from(years + u32::from(months > 6)), "year")
    } else if months == 11 && days > 15 {
        count(1, "year")
    } else if months > 0 {
        count(i64::from(months) + i64::from(days >= 27), "month")
    } else if days >= 7 {
        count(days / 7 + i64::from(days % 7 > 3), "week")
    } else if days > 0 {
        count(days + i64::from(hours >= 22), "day")
    } else if hours > 0 {
        count(hours, "hour")
    } else if minutes > 0 {
        count(minutes, "minute")
    } else if seconds > 10 {
        count(seconds, "second")
    } else {
        "a few seconds".to_owned()
    }
}

fn count(number: i64, unit: &str) -> String {
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_pendulums() {
        let at = |text: &str| text.parse::<NaiveDateTime>().unwrap();
        let base = at("2024-01-31T00:00:00");
        for (other, expected) in [
            ("2024-01-31T00:00:05", "a few seconds before"),
            ("2024-01-31T00:00:11", "11 seconds before"),
            ("2024-01-30T23:59:00", "1 minute after"),
            ("2024-01-30T21:00:00", "3 hours after"),
            ("2024-02-01T22:00:00", "2 days before"),
            ("2024-02-10T00:00:00", "1 week before"),
            ("2024-02-12T00:00:00", "2 weeks before"),
            ("2024-02-29T00:00:00", "1 month before"),
            ("2024-03-28T00:00:00", "2 months before"),
            ("2024-12-28T00:00:00", "11 months before"),
            ("2025-01-20T00:00:00", "1 year before"),
            ("2022-06-30T00:00:00", "2 years after"),
        ] {
            assert_eq!(distance(base, at(other)), expected, "{other}");
        }
    }
}
