//! From text to [`Cron`]: croniter's grammar, including what it makes of the odd cases.

use std::collections::BTreeSet;

use super::{Cron, CronError, DayRule, Field, preset};

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// What one field says, before the fields are combined.
#[derive(Default)]
struct Values {
    star: bool,
    set: BTreeSet<u64>,
    /// `L` in day of month.
    last: bool,
    nearest_weekday: Option<u32>,
    nth: [u8; 7],
}

impl Values {
    /// Nothing is said: croniter keeps the star, or puts one for a field that lists every value.
    fn unrestricted(&self) -> bool {
        self.star
    }

    fn bits(&self, field: Field) -> u64 {
        let (low, high) = field.range();
        if self.star { (low..=high).map(|at| 1 << at).sum() } else { self.set.iter().map(|at| 1 << at).sum() }
    }
}

pub(super) fn parse(text: &str) -> Result<Cron, CronError> {
    let lower = text.trim_ascii().to_ascii_lowercase();
    let expression = match preset(&lower) {
        Some(expression) => expression,
        None if lower.starts_with('@') => return Err(CronError::UnknownPreset(text.trim_ascii().to_owned())),
        None => &lower,
    };
    let texts: Vec<&str> = expression.split_ascii_whitespace().collect();
    if !(5..=7).contains(&texts.len()) {
        return Err(CronError::FieldCount { expression: text.trim_ascii().to_owned(), found: texts.len() });
    }
    let mut fields = Vec::with_capacity(texts.len());
    for (&field, text) in Field::ALL.iter().zip(&texts) {
        fields.push(parse_field(field, text)?);
    }
    let (of_month, of_week) = (Field::DayOfMonth as usize, Field::DayOfWeek as usize);
    for (index, values) in fields.iter_mut().enumerate() {
        let (low, high) = Field::ALL[index].range();
        // A day field that lists every value stays "restricted" unless the other day field is a star: `1-31` with a weekday
        // is an OR of both, so every day.
        let other = if index == of_month { of_week } else { of_month };
        let is_day = index == of_month || index == of_week;
        if values.set.len() as u64 == high - low + 1 && (!is_day || texts[other].contains('*')) {
            values.star = true;
            values.set.clear();
        }
    }
    let week = &fields[of_week];
    let has_nth = week.nth != [0; 7];
    if has_nth && week.set.len() < 7 && week.set.iter().any(|day| week.nth[*day as usize] == 0) {
        return Err(CronError::MixedWeekdays);
    }
    let month = &fields[of_month];
    Ok(Cron {
        seconds: fields.get(Field::Second as usize).map_or(1, |values| values.bits(Field::Second)),
        minutes: fields[Field::Minute as usize].bits(Field::Minute),
        hours: fields[Field::Hour as usize].bits(Field::Hour),
        months: fields[Field::Month as usize].bits(Field::Month),
        days: DayRule {
            of_month: month.bits(Field::DayOfMonth),
            last: month.last,
            nearest_weekday: month.nearest_weekday,
            of_week: week.bits(Field::DayOfWeek),
            nth: week.nth,
            either: !month.unrestricted() && !week.unrestricted(),
        },
        years: fields
            .get(Field::Year as usize)
            .filter(|values| !values.star)
            .map(|values| values.set.iter().map(|year| *year as i32).collect()),
        with_seconds: fields.len() > 5,
        every_hour: fields[Field::Hour as usize].star && fields[Field::Hour as usize].set.is_empty(),
    })
}

fn parse_field(field: Field, text: &str) -> Result<Values, CronError> {
    if text.contains('?') {
        if text != "?" || !matches!(field, Field::DayOfMonth | Field::DayOfWeek) {
            return Err(CronError::QuestionMark { field });
        }
        return Ok(Values { star: true, ..Values::default() });
    }
    let mut values = Values::default();
    let tokens: Vec<&str> = text.split(',').collect();
    for token in &tokens {
        let invalid = || CronError::Invalid { field, token: (*token).to_owned() };
        if token.starts_with(['h', 'r']) && token[1..].chars().next().is_none_or(|next| "(/".contains(next)) {
            return Err(CronError::Hashed { token: (*token).to_owned() });
        }
        if field == Field::DayOfMonth {
            let day = token.strip_suffix('w').or_else(|| token.strip_prefix('w')).filter(|day| is_number(day));
            if let Some(day) = day {
                let day = number(field, day)?;
                if !(1..=31).contains(&day) {
                    return Err(CronError::OutOfRange { field, value: day });
                }
                if tokens.len() > 1 {
                    return Err(CronError::NearestWeekdayInList);
                }
                values.nearest_weekday = Some(day as u32);
                values.set.insert(day);
                continue;
            }
            if *token == "l" {
                values.last = true;
                continue;
            }
        }
        if *token == "*" {
            values.star = true;
            continue;
        }
        let (spec, nth) = if field == Field::DayOfWeek { weekday_of_month(token)? } else { (*token, None) };
        for value in expand(field, spec).map_err(|error| error.unwrap_or_else(invalid))? {
            values.set.insert(value);
            if let Some(nth) = nth {
                values.nth[value as usize] |= 1 << nth;
            }
        }
    }
    Ok(values)
}

/// Splits `mon#2`, `mon-wed#1` (2, 1) and `L5` (0, the last) into days and number.
fn weekday_of_month(token: &str) -> Result<(&str, Option<u8>), CronError> {
    let invalid = || CronError::Invalid { field: Field::DayOfWeek, token: token.to_owned() };
    if let Some(day) = token.strip_prefix('l').filter(|day| is_number(day)) {
        return Ok((day, Some(0)));
    }
    let Some((days, nth)) = token.split_once('#') else { return Ok((token, None)) };
    // A range of numbers with `#` is an error in croniter; of names it is not.
    if days == "*" || (days.contains('-') && days.contains(|c: char| c.is_ascii_digit())) {
        return Err(invalid());
    }
    match nth.parse() {
        Ok(nth @ 1..=5) if is_number(&token[days.len() + 1..]) => Ok((days, Some(nth))),
        _ => Err(invalid()),
    }
}

/// The values of `7`, `1-5`, `*/15`, `5/15`, `fri-mon/2`. `Err(None)`: not such a thing.
fn expand(field: Field, token: &str) -> Result<Vec<u64>, Option<CronError>> {
    let (min, max) = field.range();
    let (range, step) = match token.split_once('/') {
        Some((range, step)) if is_number(step) => (range, Some(number(field, step)?)),
        Some(_) => return Err(None),
        None => (token, None),
    };
    if step == Some(0) {
        return Err(Some(CronError::ZeroStep { token: token.to_owned() }));
    }
    let in_range = |value: u64, from: u64| {
        if (from..=max).contains(&value) { Ok(value) } else { Err(Some(CronError::OutOfRange { field, value })) }
    };
    let (low, high, open_ended) = if range == "*" {
        (min, max, false)
    } else if let Some((low, high)) = range.split_once('-') {
        let high = if field == Field::DayOfMonth && high == "l" { max } else { value(field, high)? };
        (value(field, low)?, high, false)
    } else {
        let low = value(field, range)?;
        if step.is_none() {
            return Ok(vec![in_range(low, min)?]);
        }
        (low, max, true)
    };
    let (low, high) = (in_range(low, min)?, in_range(high, min)?);
    let step = step.unwrap_or(1) as usize;
    if low == high && open_ended {
        return Ok(vec![low]);
    }
    // Both ends written and equal (`mon-mon`): the whole circle.
    let (low, high) = if low == high { (min, max) } else { (low, high) };
    if low < high {
        return Ok((low..=high).step_by(step).collect());
    }
    // Backwards (`fri-mon`, `22-2`): to the end of the field and on from its start. Where a step crosses the end, croniter
    // starts again at the low end plus what was not used up; its arithmetic is kept, odd as it is for steps.
    let mut values: Vec<u64> = (low..=max).step_by(step).collect();
    let last = *values.last().expect("low is at most max");
    let (position, behind, length) = ((last - min) as usize, (max - last) as usize, (max - min + 1) as usize);
    let skip = if position + step > length && behind < step { step - behind } else { 0 };
    values.extend((min + skip as u64..=high).step_by(step));
    Ok(values)
}

/// A number, or a name of a month or weekday. Sunday's 7 becomes 0.
fn value(field: Field, text: &str) -> Result<u64, Option<CronError>> {
    if is_number(text) {
        let value = number(field, text)?;
        return Ok(if field == Field::DayOfWeek && value == 7 { 0 } else { value });
    }
    let position = match field {
        Field::Month => MONTHS.iter().position(|name| *name == text).map(|index| index + 1),
        Field::DayOfWeek => WEEKDAYS.iter().position(|name| *name == text),
        _ => None,
    };
    position.map(|value| value as u64).ok_or(None)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Digits; too many of them are out of range like any other large number.
fn number(field: Field, digits: &str) -> Result<u64, CronError> {
    match digits.parse::<u64>() {
        Ok(value) if value <= 1 << 40 => Ok(value),
        _ => Err(CronError::OutOfRange { field, value: u64::MAX }),
    }
}
