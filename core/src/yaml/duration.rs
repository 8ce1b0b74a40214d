//! Durations: a number of seconds, `5m`, `1h30m`, `2 days`, `PT5M`, `01:30:00`.

use std::time::Duration;

/// Why a text is no duration, with a hint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadDuration {
    pub(crate) message: String,
    pub(crate) help: &'static str,
}

const FORMS: &str = "write seconds (`300`), `5m`, `1h30m`, `2 days`, `PT5M` or `01:30:00`";

/// Reads the text of a duration. Units: ms, s, m, h, d, w and their words; case does not matter (`M` is minutes).
pub(crate) fn parse(text: &str) -> Result<Duration, BadDuration> {
    let text = text.trim();
    let lower = text.to_ascii_lowercase();
    let bad = |help| Err(BadDuration { message: format!("`{text}` is no duration"), help });
    if lower.is_empty() {
        return bad(FORMS);
    }
    if let Some(rest) = lower.strip_prefix('-') {
        return if rest.starts_with(|c: char| c.is_ascii_digit() || c == 'p') {
            Err(BadDuration { message: format!("`{text}` is negative"), help: "a duration cannot be negative" })
        } else {
            bad(FORMS)
        };
    }
    if let Some(seconds) = number(&lower) {
        return from_seconds(seconds).ok_or(BadDuration { message: format!("`{text}` is too long"), help: FORMS });
    }
    let seconds = if lower.contains(':') {
        clock(&lower)
    } else if lower.starts_with('p') {
        iso(&lower)
    } else {
        units(&lower)
    };
    match seconds.and_then(from_seconds) {
        Some(duration) => Ok(duration),
        None if lower.contains("month") || lower.contains("year") => bad(
            "months and years have no fixed length; use days, or dateutil.relativedelta.relativedelta in `schedule`",
        ),
        None => bad(FORMS),
    }
}

/// A duration of up to a century: beyond every use, and well below every limit of the date arithmetic.
pub(crate) fn from_seconds(seconds: f64) -> Option<Duration> {
    (seconds < 3.2e9).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

/// Digits with at most one dot.
fn number(text: &str) -> Option<f64> {
    let fits = text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && text.chars().all(|c| c.is_ascii_digit() || c == '.');
    if fits { text.parse().ok() } else { None }
}

fn clock(text: &str) -> Option<f64> {
    let parts: Vec<&str> = text.split(':').collect();
    let [hours, minutes, seconds] = parts[..] else { return None };
    if minutes.len() != 2 || hours.is_empty() || !hours.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let (minutes, seconds) = (number(minutes)?, number(seconds)?);
    (minutes < 60.0 && seconds < 60.0).then_some(number(hours)? * 3600.0 + minutes * 60.0 + seconds)
}

fn iso(text: &str) -> Option<f64> {
    let (days, time) = text[1..].split_once('t').map_or((&text[1..], None), |(days, time)| (days, Some(time)));
    if days.is_empty() && time.is_none_or(str::is_empty) {
        return None;
    }
    let part = |text: &str, units: &[(char, f64)]| -> Option<f64> {
        let (mut total, mut rest, mut allowed) = (0.0, text, units);
        while !rest.is_empty() {
            let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
            let unit = rest[end..].chars().next()?;
            let index = allowed.iter().position(|(name, _)| *name == unit)?;
            total += number(&rest[..end])? * allowed[index].1;
            allowed = &allowed[index + 1..];
            rest = &rest[end + 1..];
        }
        Some(total)
    };
    let days = part(days, &[('w', 604_800.0), ('d', 86_400.0)])?;
    let time = time.map_or(Some(0.0), |time| part(time, &[('h', 3600.0), ('m', 60.0), ('s', 1.0)]))?;
    Some(days + time)
}

fn units(text: &str) -> Option<f64> {
    let (mut total, mut rest, mut any) = (0.0, text, false);
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if rest.is_empty() {
            return any.then_some(total);
        }
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let count = number(&rest[..end])?;
        rest = rest[end..].trim_start();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        total += count * unit(&rest[..end])?;
        rest = &rest[end..];
        any = true;
    }
}

fn unit(word: &str) -> Option<f64> {
    Some(match word {
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 0.001,
        "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
        "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
        "d" | "day" | "days" => 86_400.0,
        "w" | "week" | "weeks" => 604_800.0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        let table = [
            ("300", 300.0),
            ("1.5", 1.5),
            ("0", 0.0),
            ("5m", 300.0),
            ("5M", 300.0),
            ("1h30m15s", 5415.0),
            ("250ms", 0.25),
            ("2d", 172_800.0),
            ("1w", 604_800.0),
            ("5 minutes", 300.0),
            ("2 Days", 172_800.0),
            ("1 hour 5 minutes", 3900.0),
            ("1 hour, 5 min", 3900.0),
            ("1 days,", 86_400.0),
            ("PT5M", 300.0),
            ("P1DT2H", 93_600.0),
            ("P2W", 1_209_600.0),
            ("01:30:00", 5400.0),
            ("0:00:01.5", 1.5),
        ];
        for (text, seconds) in table {
            assert_eq!(parse(text).map(|d| d.as_secs_f64()), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_none() {
        for text in
            ["", "5 parsecs", "-5m", "-1", "1 month", "P1M", "PT", "P", "m5", "5 5", "1:30", "99:99:99", "1e3", "5m x"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("1 month").is_err_and(|bad| bad.help.contains("no fixed length")));
        assert!(parse("-5m").is_err_and(|bad| bad.help.contains("negative")));
    }
}
