//! A cron expression in words, as Airflow's `timetable_description` has them: `At 03:00, Monday through Friday`.

use super::cron::{Cron, preset};

/// In English; `None` for what Airflow does not describe either (seconds, years) and for shapes that words do not help
/// (`1-5/2,9` and the like): the expression itself is shown beside it.
pub(super) fn describe(expression: &str) -> Option<String> {
    Cron::parse(expression).ok()?;
    let expression = preset(expression).unwrap_or(expression).to_ascii_lowercase();
    let [minute, hour, day, month, weekday]: [&str; 5] =
        expression.split_ascii_whitespace().collect::<Vec<_>>().try_into().ok()?;
    let sentence = |day: &str, weekday: &str| {
        let mut text = time_of_day(minute, hour)?;
        text.push_str(&days_of_month(day)?);
        text.push_str(&days_of_week(weekday)?);
        text.push_str(&months(month)?);
        let mut letters = text.chars();
        let first = letters.next()?;
        Some(first.to_uppercase().chain(letters).collect::<String>())
    };
    let is_restricted = |field: &str| field != "*" && field != "?";
    if is_restricted(day) && is_restricted(weekday) {
        return Some(format!("{} (or) {}", sentence(day, "*")?, sentence("*", weekday)?));
    }
    sentence(day, weekday)
}

/// The shapes of a field that have words.
enum Shape<'a> {
    All,
    One(&'a str),
    List(Vec<&'a str>),
    Range(&'a str, &'a str),
    /// `*/5`
    Every(&'a str),
    /// `10-50/5`
    EveryWithin(&'a str, &'a str, &'a str),
}

fn shape(field: &str) -> Option<Shape<'_>> {
    if field == "*" || field == "?" || field == "*/1" {
        return Some(Shape::All);
    }
    if field.contains(',') {
        let list: Vec<_> = field.split(',').collect();
        return (!field.contains(['-', '/', '*', '#'])).then_some(Shape::List(list));
    }
    let (base, step) = match field.split_once('/') {
        Some((base, step)) => (base, Some(step)),
        None => (field, None),
    };
    match (base, base.split_once('-'), step) {
        ("*", _, Some(step)) => Some(Shape::Every(step)),
        (_, Some((low, high)), None) => Some(Shape::Range(low, high)),
        (_, Some((low, high)), Some(step)) => Some(Shape::EveryWithin(low, high, step)),
        (one, None, None) => Some(Shape::One(one)),
        (_, None, Some(_)) => None,
    }
}

fn time_of_day(minute: &str, hour: &str) -> Option<String> {
    match (shape(minute)?, shape(hour)?) {
        (Shape::One(minute), Shape::One(hour)) => Some(format!("at {}", clock(hour, minute))),
        (Shape::Range(from, to), Shape::One(hour)) => {
            Some(format!("every minute between {} and {}", clock(hour, from), clock(hour, to)))
        }
        (Shape::One(minute), Shape::List(hours)) => {
            let times: Vec<_> = hours.iter().map(|hour| clock(hour, minute)).collect();
            let (last, first) = times.split_last()?;
            Some(format!("at {} and {last}", first.join(", ")))
        }
        (minutes, hours) => {
            let every_few = matches!(minutes, Shape::All | Shape::Every(_) | Shape::EveryWithin(..));
            let minutes = match minutes {
                Shape::One("0") if !matches!(hours, Shape::Range(..)) => String::new(),
                Shape::All => "every minute".to_owned(),
                Shape::One(minute) => format!("at {minute} minutes past the hour"),
                Shape::List(list) => format!("at {} minutes past the hour", enumerate(&list)),
                Shape::Range(from, to) => format!("minutes {from} through {to} past the hour"),
                Shape::Every(step) => format!("every {step} minutes"),
                Shape::EveryWithin(from, to, step) => {
                    format!("every {step} minutes, minutes {from} through {to} past the hour")
                }
            };
            let hours = match hours {
                Shape::All if minutes.is_empty() => "every hour".to_owned(),
                Shape::All => String::new(),
                Shape::One(hour) if every_few => format!("between {} and {}", clock(hour, "0"), clock(hour, "59")),
                Shape::One(hour) => format!("at {}", clock(hour, "0")),
                Shape::List(list) => {
                    let times: Vec<_> = list.iter().map(|hour| clock(hour, "0")).collect();
                    format!("at {}", enumerate(&times.iter().map(String::as_str).collect::<Vec<_>>()))
                }
                Shape::Range(from, to) => format!("between {} and {}", clock(from, "0"), clock(to, "59")),
                Shape::Every(step) => format!("every {step} hours"),
                Shape::EveryWithin(from, to, step) => {
                    format!("every {step} hours, between {} and {}", clock(from, "0"), clock(to, "59"))
                }
            };
            let separator = if minutes.is_empty() || hours.is_empty() { "" } else { ", " };
            Some(format!("{minutes}{separator}{hours}"))
        }
    }
}

fn days_of_month(field: &str) -> Option<String> {
    if let Some(day) = field.strip_suffix('w').or_else(|| field.strip_prefix('w')) {
        return Some(match day {
            "1" => ", on the first weekday of the month".to_owned(),
            day => format!(", on the weekday nearest day {day} of the month"),
        });
    }
    Some(match shape(field)? {
        Shape::All => String::new(),
        Shape::One("l") => ", on the last day of the month".to_owned(),
        Shape::One(day) => format!(", on day {day} of the month"),
        Shape::List(days) if days.contains(&"l") => return None,
        Shape::List(days) => format!(", on day {} of the month", enumerate(&days)),
        Shape::Range(from, to) => format!(", between day {from} and {to} of the month"),
        Shape::Every(step) => format!(", every {step} days"),
        Shape::EveryWithin(from, to, step) => {
            format!(", every {step} days, between day {from} and {to} of the month")
        }
    })
}

fn days_of_week(field: &str) -> Option<String> {
    if let Some((day, nth)) = field.split_once('#') {
        let nth = ["first", "second", "third", "fourth", "fifth"].get(nth.parse::<usize>().ok()?.checked_sub(1)?)?;
        return Some(format!(", on the {nth} {} of the month", weekday(day)?));
    }
    if let Some(day) = field.strip_prefix('l') {
        return Some(format!(", on the last {} of the month", weekday(day)?));
    }
    Some(match shape(field)? {
        Shape::All => String::new(),
        Shape::One(day) => format!(", only on {}", weekday(day)?),
        Shape::List(days) => {
            let days: Option<Vec<_>> = days.into_iter().map(weekday).collect();
            format!(", only on {}", enumerate(&days?))
        }
        Shape::Range(from, to) => format!(", {} through {}", weekday(from)?, weekday(to)?),
        Shape::Every(step) => format!(", every {step} days of the week"),
        Shape::EveryWithin(..) => return None,
    })
}

fn months(field: &str) -> Option<String> {
    Some(match shape(field)? {
        Shape::All => String::new(),
        Shape::One(one) => format!(", only in {}", month(one)?),
        Shape::List(list) => {
            let list: Option<Vec<_>> = list.into_iter().map(month).collect();
            format!(", only in {}", enumerate(&list?))
        }
        Shape::Range(from, to) => format!(", {} through {}", month(from)?, month(to)?),
        Shape::Every(step) => format!(", every {step} months"),
        Shape::EveryWithin(from, to, step) => {
            format!(", every {step} months, {} through {}", month(from)?, month(to)?)
        }
    })
}

/// `a and b`; `a, b, and c`.
fn enumerate(items: &[&str]) -> String {
    match items {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [first @ .., last] => format!("{}, and {last}", first.join(", ")),
    }
}

fn clock(hour: &str, minute: &str) -> String {
    let two = |text: &str| format!("{:0>2}", text.trim_start_matches('0'));
    format!("{}:{}", two(hour), two(minute))
}

fn weekday(text: &str) -> Option<&'static str> {
    const NAMES: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    match text.parse::<usize>() {
        Ok(number) => NAMES.get(number % 7).copied(),
        Err(_) => NAMES.into_iter().find(|name| name[..3].eq_ignore_ascii_case(text)),
    }
}

fn month(text: &str) -> Option<&'static str> {
    const NAMES: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    match text.parse::<usize>() {
        Ok(number) => NAMES.get(number.checked_sub(1)?).copied(),
        Err(_) => NAMES.into_iter().find(|name| name[..3].eq_ignore_ascii_case(text)),
    }
}
