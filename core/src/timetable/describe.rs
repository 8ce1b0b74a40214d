//! A schedule in a few words: the API's `timetable_summary` and `timetable_description`.

use std::time::Duration;

use super::cron_text::describe;
use crate::dag::{Schedule, Step};

/// `0 0 * * *`, `@once`, `1 day, 0:00:00`, `Asset`; `None` (the API's null) for a DAG without schedule.
pub fn summary(schedule: &Schedule) -> Option<String> {
    Some(match schedule {
        Schedule::None => return None,
        Schedule::Once => "@once".to_owned(),
        Schedule::Continuous => "@continuous".to_owned(),
        Schedule::Cron { expressions, .. } => expressions.join(", "),
        Schedule::CronInterval { expression, .. } => expression.clone(),
        Schedule::Delta { delta, .. } | Schedule::DeltaInterval { delta } => delta_text(*delta),
        Schedule::Events { dates } => format!("{} events", dates.len()),
        Schedule::Partitioned { timetable, expression } => expression.as_ref().unwrap_or(timetable).clone(),
        Schedule::Assets { timetable: None, .. } => "Asset".to_owned(),
        Schedule::Assets { timetable: Some(timetable), .. } => {
            format!("Asset or {}", summary(timetable).unwrap_or_else(|| "None".to_owned()))
        }
    })
}

/// A sentence for people, or an empty text where Airflow has none either.
pub fn description(schedule: &Schedule) -> String {
    match schedule {
        Schedule::None => "Never, external triggers only".to_owned(),
        Schedule::Once => "Once, as soon as possible".to_owned(),
        Schedule::Continuous => "As frequently as possible, but only one run at a time.".to_owned(),
        Schedule::Cron { expressions, .. } => {
            let texts: Vec<_> = expressions.iter().filter_map(|expression| describe(expression)).collect();
            if texts.len() == expressions.len() { texts.join(", ") } else { String::new() }
        }
        Schedule::CronInterval { expression, .. } => describe(expression).unwrap_or_default(),
        Schedule::Delta { .. } | Schedule::DeltaInterval { .. } => String::new(),
        Schedule::Events { dates } => match (dates.iter().min(), dates.iter().max()) {
            (Some(first), Some(last)) => format!(
                "{} events between {} and {}",
                dates.len(),
                super::run_id::isoformat(*first),
                super::run_id::isoformat(*last)
            ),
            _ => "No events".to_owned(),
        },
        Schedule::Partitioned { timetable, expression } => {
            let when = expression.as_deref().and_then(describe).map(|text| format!("{text}, ")).unwrap_or_default();
            format!("{when}by partitions ({timetable}), which are not run yet: no run is made")
        }
        Schedule::Assets { timetable: None, .. } => "Triggered by assets".to_owned(),
        Schedule::Assets { timetable: Some(timetable), .. } => {
            format!("Triggered by assets or {}", description(timetable))
        }
    }
}

/// Python's `str(timedelta)`, or of a `relativedelta` when months are in it.
fn delta_text(step: Step) -> String {
    if step.months == 0 {
        return timedelta_text(step.duration);
    }
    let seconds = step.duration.as_secs();
    let parts = [
        ("years", i64::from(step.months / 12)),
        ("months", i64::from(step.months % 12)),
        ("days", (seconds / 86_400) as i64),
        ("hours", (seconds / 3_600 % 24) as i64),
        ("minutes", (seconds / 60 % 60) as i64),
        ("seconds", (seconds % 60) as i64),
    ];
    let parts: Vec<String> =
        parts.iter().filter(|(_, value)| *value != 0).map(|(name, value)| format!("{name}={value:+}")).collect();
    format!("relativedelta({})", parts.join(", "))
}

/// `0:20:00`, `1 day, 0:00:00`, `2 days, 3:00:00.500000`.
pub(crate) fn timedelta_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let days = match seconds / 86_400 {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        days => format!("{days} days, "),
    };
    let micros = match duration.subsec_micros() {
        0 => String::new(),
        micros => format!(".{micros:06}"),
    };
    format!("{days}{}:{:02}:{:02}{micros}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}
