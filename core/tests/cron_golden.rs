//! Our cron against a table made with croniter itself; `data/make_cron_golden.py` says how.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use updraft_core::timetable::{cron::Cron, zoned::ZonedCron};

const TABLE: &str = include_str!("data/cron_golden.tsv");

fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("the table's times are in this century")
}

/// Steps as often as the list is long; what comes out is written like the list.
fn walk(start: i64, expected: &str, mut step: impl FnMut(i64) -> Option<i64>) -> String {
    let mut at = start;
    let mut found = Vec::new();
    for _ in expected.split_ascii_whitespace() {
        let Some(next) = step(at) else { break };
        found.push((next - at).to_string());
        at = next;
    }
    found.join(" ")
}

fn naive_step(step: impl Fn(NaiveDateTime) -> Option<NaiveDateTime>) -> impl Fn(i64) -> Option<i64> {
    move |at| Some(step(instant(at).naive_utc())?.and_utc().timestamp())
}

#[test]
fn agrees_with_croniter_and_airflow_in_every_line() {
    let (mut lines, mut wrong) = (0, Vec::new());
    for line in TABLE.lines() {
        lines += 1;
        let fields: Vec<&str> = line.split('\t').collect();
        let ok = match fields[..] {
            ["E", expression] => Cron::parse(expression).is_err(),
            ["N", expression, start, nexts, prevs] => {
                let start = start.parse().unwrap();
                Cron::parse(expression).is_ok_and(|cron| {
                    walk(start, nexts, naive_step(|at| cron.next(at))) == nexts
                        && walk(start, prevs, naive_step(|at| cron.prev(at))) == prevs
                })
            }
            ["Z", expression, zone, start, nexts, prevs] => {
                let start: i64 = start.parse().unwrap();
                let cron = ZonedCron::parse(expression, zone.parse::<Tz>().unwrap()).unwrap();
                // `prevs` begin 30 hours after `start`, but their first distance is from `start`.
                let prevs_start = start + 30 * 3600;
                let (first, rest) = prevs.split_once(' ').unwrap();
                let first = format!("{} {rest}", first.parse::<i64>().unwrap() - 30 * 3600);
                walk(start, nexts, |at| Some(cron.next(instant(at))?.timestamp())) == nexts
                    && walk(prevs_start, &first, |at| Some(cron.prev(instant(at))?.timestamp())) == first
            }
            _ => false,
        };
        if !ok {
            wrong.push(line);
        }
    }
    assert!(lines >= 20_000, "{lines} lines");
    assert!(wrong.is_empty(), "{} of {lines} lines differ:\n{}", wrong.len(), wrong[..wrong.len().min(25)].join("\n"));
}

/// The hours from 2020 to 2035 after which a zone's clock differs from the hour before.
fn transitions(zone: Tz) -> Vec<i64> {
    let offset = |at: i64| zone.offset_from_utc_datetime(&instant(at).naive_utc()).fix();
    let (first, end) = (1_577_836_800, 2_082_758_400);
    (first..end).step_by(3600).filter(|at| offset(*at) != offset(at + 3600)).map(|at| at + 3600).collect()
}

#[test]
fn has_every_change_of_the_clock_in_its_zones_with_every_expression() {
    let mut rows: BTreeMap<(&str, &str), BTreeSet<i64>> = BTreeMap::new();
    let (mut zones, mut expressions) = (BTreeSet::new(), BTreeSet::new());
    for line in TABLE.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        if let ["Z", expression, zone, start, ..] = fields[..] {
            zones.insert(zone);
            expressions.insert(expression);
            rows.entry((zone, expression)).or_default().insert(start.parse().expect("seconds"));
        }
    }
    assert_eq!((zones.len(), expressions.len()), (20, 8));
    let mut missing = Vec::new();
    for zone in zones {
        let changes = transitions(zone.parse().expect("a zone"));
        assert!(changes.len() >= 20, "{zone} changes its clock {} times", changes.len());
        for (expression, at) in expressions.iter().flat_map(|expression| changes.iter().map(move |at| (expression, at)))
        {
            let starts = rows.get(&(zone, *expression));
            if starts.is_none_or(|starts| starts.range(at - 27 * 3600..*at).next().is_none()) {
                missing.push(format!("{zone} {expression} {}", instant(*at)));
            }
        }
    }
    assert!(missing.is_empty(), "{} are missing:\n{}", missing.len(), missing.join("\n"));
}
