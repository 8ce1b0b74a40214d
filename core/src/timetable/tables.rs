//! The tables of semantics §9 as data, row by row: what Airflow 3.3.2 was seen to do. Beside [`super::tests`], which state what
//! the tables do not.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;

use super::{zoned::ZonedCron, *};
use crate::{
    dag::{AssetExpression, Task},
    operator::OperatorKind,
    state::DagRunType,
};

fn utc(text: &str) -> DateTime<Utc> {
    let text = if text.len() == 10 { format!("{text}T00:00:00") } else { text.to_owned() };
    let parse = |format| NaiveDateTime::parse_from_str(&text, format).ok();
    parse("%Y-%m-%dT%H:%M:%S%.f").or_else(|| parse("%Y-%m-%dT%H:%M")).unwrap().and_utc()
}

fn cron(expression: &str) -> Schedule {
    Schedule::cron(expression, Tz::UTC)
}

fn every(hours: u64) -> Step {
    Step { months: 0, duration: Duration::from_secs(hours * 3600) }
}

fn months(months: i32) -> Step {
    Step { months, duration: Duration::ZERO }
}

fn cron_interval(expression: &str) -> Schedule {
    Schedule::CronInterval { expression: expression.to_owned(), timezone: Tz::UTC }
}

fn partitioned_daily() -> Schedule {
    let timetable = "CronPartitionTimetable".to_owned();
    Schedule::Partitioned { timetable, expression: Some("0 0 * * *".to_owned()) }
}

fn by_assets(time: Option<Schedule>) -> Schedule {
    Schedule::Assets { expression: AssetExpression::Any(vec![]), timetable: time.map(Box::new) }
}

fn events() -> Schedule {
    Schedule::Events { dates: vec![utc("2024-05-20"), utc("2024-04-01"), utc("2024-05-10")] }
}

/// One row: what is asked, and `start → end` of the run that comes next.
struct Row {
    case: &'static str,
    schedule: Schedule,
    catchup: bool,
    /// The last run's data interval.
    last: Option<(&'static str, &'static str)>,
    start_date: Option<&'static str>,
    end_date: Option<&'static str>,
    now: &'static str,
    next: Option<(&'static str, &'static str)>,
}

/// Checks the run, and that it is made at the end of what it covers and dated by the beginning.
fn check(rows: &[Row]) {
    for row in rows {
        let restriction =
            Restriction { earliest: row.start_date.map(utc), latest: row.end_date.map(utc), catchup: row.catchup };
        let interval = |(start, end): (&str, &str)| DataInterval { start: utc(start), end: utc(end) };
        let next = next_dagrun_info(&row.schedule, row.last.map(interval), &restriction, utc(row.now));
        assert_eq!(next.map(|next| next.data_interval.unwrap()), row.next.map(interval), "{}", row.case);
        if let (Some(next), Some((start, end))) = (next, row.next) {
            assert_eq!((next.logical_date, next.run_after), (Some(utc(start)), utc(end)), "{}", row.case);
        }
    }
}

/// §9.1: the timetables without a grid. What a file's `schedule` becomes is in `tests/yaml_schedule.rs`.
#[test]
fn timetables_without_a_grid_row_by_row() {
    let row = |case, schedule, catchup, last, start_date, end_date, next| Row {
        case,
        schedule,
        catchup,
        last,
        start_date,
        end_date,
        now: "2024-05-15T10:20",
        next,
    };
    let now = "2024-05-15T10:20";
    let may = Some("2024-05-01");
    let first = ("2024-05-01", "2024-05-01");
    check(&[
        row("none never", Schedule::None, true, None, may, None, None),
        row("partitioned never", partitioned_daily(), true, None, may, None, None),
        row("assets have no times", by_assets(None), true, None, may, None, None),
        row("assets or time: the time's", by_assets(Some(Schedule::Once)), true, None, may, None, Some(first)),
        row("events: the first after the start", events(), true, None, may, None, Some(("2024-05-10", "2024-05-10"))),
        row("events: the next", events(), false, None, may, None, Some(("2024-05-20", "2024-05-20"))),
        row("once at the start date", Schedule::Once, true, None, may, None, Some(first)),
        row("once ignores catchup", Schedule::Once, false, None, may, None, Some(first)),
        row("once without start date: now", Schedule::Once, false, None, None, None, Some((now, now))),
        row("once is once", Schedule::Once, false, Some(first), may, None, None),
        row("once: start after end", Schedule::Once, false, None, Some("2024-05-02"), may, None),
        row("continuous: first", Schedule::Continuous, false, None, may, None, Some(("2024-05-01", now))),
        row(
            "continuous: from the end of the one before",
            Schedule::Continuous,
            false,
            Some(("2024-05-01", "2024-05-10")),
            may,
            None,
            Some(("2024-05-10", now)),
        ),
        row(
            "continuous: after the end date",
            Schedule::Continuous,
            false,
            Some(("2024-05-01", "2024-05-10")),
            may,
            Some("2024-05-12"),
            None,
        ),
    ]);
}

/// §9.2, the table and its ✔ lines.
#[test]
fn trigger_timetables_row_by_row() {
    let daily = || cron("0 0 * * *");
    let at_three = || cron("0 3 * * *");
    let row = |case, schedule, catchup, last: Option<&'static str>, start_date, now, next: Option<&'static str>| Row {
        case,
        schedule,
        catchup,
        last: last.map(|at| (at, at)),
        start_date,
        end_date: None,
        now,
        next: next.map(|at| (at, at)),
    };
    let may = Some("2024-05-01T03:00");
    let now = "2024-05-15T10:20";
    check(&[
        row("last run, catchup", daily(), true, Some("2024-05-10"), may, now, Some("2024-05-11")),
        row("last run, no catchup: latest tick", daily(), false, Some("2024-05-10"), may, now, Some("2024-05-15")),
        row("last run, no catchup: next tick", daily(), false, Some("2024-05-15"), may, now, Some("2024-05-16")),
        row("start date, catchup", daily(), true, None, may, now, Some("2024-05-02")),
        row("start date, no catchup", daily(), false, None, may, now, Some("2024-05-15")),
        row("start date ahead", daily(), false, None, Some("2024-06-01T03:00"), now, Some("2024-06-02")),
        row("neither, in the 10 %", at_three(), true, None, None, "2024-05-15T05:24", Some("2024-05-15T03:00")),
        row("neither, beyond", at_three(), true, None, None, "2024-05-15T05:25", Some("2024-05-16T03:00")),
        row("neither, no catchup", at_three(), false, None, None, "2024-05-15T05:24", Some("2024-05-15T03:00")),
        row("neither, no catchup, beyond", at_three(), false, None, None, "2024-05-15T05:25", Some("2024-05-16T03:00")),
        row(
            "five minutes at least",
            cron("*/10 * * * *"),
            false,
            None,
            None,
            "2024-05-15T10:05",
            Some("2024-05-15T10:00"),
        ),
        row("and no more", cron("*/10 * * * *"), false, None, None, "2024-05-15T10:05:01", Some("2024-05-15T10:10")),
        row(
            "delta starts at now",
            Schedule::Delta { delta: every(6), interval: None },
            false,
            None,
            may,
            now,
            Some(now),
        ),
        row(
            "delta steps",
            Schedule::Delta { delta: every(6), interval: None },
            false,
            Some(now),
            may,
            now,
            Some("2024-05-15T16:20"),
        ),
        row("delta with catchup", Schedule::Delta { delta: every(6), interval: None }, true, None, may, now, may),
    ]);
}

/// §9.2: `run_immediately` counts only where there is neither a last run nor a start date.
#[test]
fn run_immediately_row_by_row() {
    use RunImmediately::{Always, IfRecent, Within};
    let two_hours = Within(Duration::from_secs(7200));
    let (past, next) = ("2024-05-15T03:00", "2024-05-16T03:00");
    for (run_immediately, now, first) in [
        (Always, "2024-05-15T03:00", past),
        (Always, "2024-05-16T02:59", past),
        (two_hours, "2024-05-15T05:00", past),
        (two_hours, "2024-05-15T05:00:01", next),
        (Within(Duration::ZERO), "2024-05-15T03:00", past),
        (Within(Duration::ZERO), "2024-05-15T03:00:01", next),
        (Within(Duration::MAX), "2024-05-16T02:59", past),
        (IfRecent, "2024-05-15T05:24", past),
        (IfRecent, "2024-05-15T05:25", next),
    ] {
        let schedule = Schedule::Cron {
            expressions: vec!["0 3 * * *".to_owned()],
            timezone: Tz::UTC,
            interval: None,
            run_immediately,
        };
        for catchup in [true, false] {
            let free = Restriction { earliest: None, latest: None, catchup };
            let found = next_dagrun_info(&schedule, None, &free, utc(now));
            assert_eq!(found, Some(DagRunInfo::exact(utc(first))), "{run_immediately:?} at {now}, catchup {catchup}");
        }
        let started = Restriction { earliest: Some(utc("2024-05-10")), latest: None, catchup: false };
        let found = next_dagrun_info(&schedule, None, &started, utc(now));
        assert_eq!(found, Some(DagRunInfo::exact(utc(past))), "no effect with a start date");
    }
    let delta = Schedule::Delta { delta: every(6), interval: Some(every(9)) };
    let free = Restriction { earliest: None, latest: None, catchup: false };
    let expected = DagRunInfo::interval(utc("2024-05-14T18:00"), utc("2024-05-15T03:00"));
    assert_eq!(next_dagrun_info(&delta, None, &free, utc("2024-05-15T03:00")), Some(expected), "a delta has no grid");
}

/// §9.5, the restriction of a DAG: its dates, else its tasks'.
#[test]
fn restrictions_row_by_row() {
    for (case, dags, tasks, expected) in [
        ("no dates", ("", ""), &[("", "")][..], ("", "")),
        ("the DAG's", ("2024-01-01", "2024-02-01"), &[("", "")], ("2024-01-01", "2024-02-01")),
        ("the DAG's, of no tasks", ("2024-01-01", "2024-02-01"), &[], ("2024-01-01", "2024-02-01")),
        (
            "the DAG's before its tasks'",
            ("2024-01-01", "2024-02-01"),
            &[("2024-01-05", "2024-01-20")],
            ("2024-01-01", "2024-02-01"),
        ),
        ("the earliest task's", ("", ""), &[("2024-01-07", ""), ("2024-01-05", ""), ("", "")], ("2024-01-05", "")),
        ("one task never ends", ("", ""), &[("", "2024-01-20"), ("", "")], ("", "")),
        ("every task ends", ("", ""), &[("", "2024-01-20"), ("", "2024-01-25")], ("", "2024-01-25")),
    ] {
        let date = |text: &str| (!text.is_empty()).then(|| utc(text));
        let mut dag = Dag::new("d");
        (dag.start_date, dag.end_date, dag.catchup) = (date(dags.0), date(dags.1), true);
        for (index, (start, end)) in tasks.iter().enumerate() {
            let mut task = Task::new(format!("t{index}"), OperatorKind::Empty, "empty");
            (task.start_date, task.end_date) = (date(start), date(end));
            dag.tasks.push(task);
        }
        let expected = Restriction { earliest: date(expected.0), latest: date(expected.1), catchup: true };
        assert_eq!(restriction(&dag), expected, "{case}");
    }
}

/// §9.2, the end date; §9.3: "ticks after end_date are not produced, both bounds inclusive", "stops when start > end_date".
#[test]
fn end_dates_row_by_row() {
    let row = |case, schedule, last, end_date, next| Row {
        case,
        schedule,
        catchup: true,
        last: Some(last),
        start_date: Some("2024-05-01"),
        end_date: Some(end_date),
        now: "2024-06-15",
        next,
    };
    let daily = || cron("0 0 * * *");
    let interval = || cron_interval("0 0 * * *");
    check(&[
        row("tick on it", daily(), ("2024-05-09", "2024-05-09"), "2024-05-10", Some(("2024-05-10", "2024-05-10"))),
        row("tick after it", daily(), ("2024-05-10", "2024-05-10"), "2024-05-10", None),
        row(
            "interval starts on it",
            interval(),
            ("2024-05-09", "2024-05-10"),
            "2024-05-10",
            Some(("2024-05-10", "2024-05-11")),
        ),
        row("interval starts after it", interval(), ("2024-05-10", "2024-05-11"), "2024-05-10", None),
    ]);
}

/// §9.3, line by line.
#[test]
fn interval_timetables_row_by_row() {
    let daily = || cron_interval("0 0 * * *");
    let row = |case, schedule, catchup, last, start_date, now, next| Row {
        case,
        schedule,
        catchup,
        last,
        start_date,
        end_date: None,
        now,
        next,
    };
    let may = Some("2024-05-01T03:00");
    let now = "2024-05-15T10:20";
    let six = || Schedule::DeltaInterval { delta: every(6) };
    let monthly = || Schedule::DeltaInterval { delta: months(1) };
    check(&[
        row("first with catchup", daily(), true, None, may, now, Some(("2024-05-02", "2024-05-03"))),
        row("first without", daily(), false, None, may, now, Some(("2024-05-14", "2024-05-15"))),
        row(
            "later with catchup",
            daily(),
            true,
            Some(("2024-05-02", "2024-05-03")),
            may,
            now,
            Some(("2024-05-03", "2024-05-04")),
        ),
        row(
            "later without",
            daily(),
            false,
            Some(("2024-05-02", "2024-05-03")),
            may,
            now,
            Some(("2024-05-14", "2024-05-15")),
        ),
        row(
            "on the tick the interval is complete",
            daily(),
            false,
            None,
            may,
            "2024-05-15",
            Some(("2024-05-14", "2024-05-15")),
        ),
        row("no start date, catchup: never", daily(), true, None, None, now, None),
        row(
            "the schedule was changed: once further",
            daily(),
            true,
            Some(("2024-05-10", "2024-05-10T01:00")),
            may,
            now,
            Some(("2024-05-11", "2024-05-12")),
        ),
        row("delta, no grid with catchup", six(), true, None, may, now, Some(("2024-05-01T03:00", "2024-05-01T09:00"))),
        row("delta, epoch grid without", six(), false, None, may, now, Some(("2024-05-15", "2024-05-15T06:00"))),
        row(
            "months from the start date, the day sticks",
            monthly(),
            false,
            None,
            Some("2023-01-31"),
            "2023-03-29",
            Some(("2023-02-28", "2023-03-28")),
        ),
    ]);
}

/// §9.2 and §9.3: the interval of a run by hand.
#[test]
fn manual_runs_row_by_row() {
    let at = "2024-05-15T10:20";
    for (case, schedule, start) in [
        ("trigger", cron("0 0 * * *"), at),
        (
            "trigger with an interval",
            Schedule::Cron {
                expressions: vec!["0 0 * * *".into()],
                timezone: Tz::UTC,
                interval: Some(every(9)),
                run_immediately: RunImmediately::default(),
            },
            "2024-05-15T01:20",
        ),
        ("delta trigger", Schedule::Delta { delta: every(6), interval: None }, at),
        (
            "delta trigger with an interval",
            Schedule::Delta { delta: every(6), interval: Some(every(9)) },
            "2024-05-15T01:20",
        ),
        ("delta interval", Schedule::DeltaInterval { delta: every(6) }, "2024-05-15T04:20"),
        ("none", Schedule::None, at),
    ] {
        let expected = DataInterval { start: utc(start), end: utc(at) };
        assert_eq!(infer_manual_data_interval(&schedule, utc(at)), expected, "{case}");
    }
    let complete = DataInterval { start: utc("2024-05-14"), end: utc("2024-05-15") };
    assert_eq!(
        infer_manual_data_interval(&cron_interval("0 0 * * *"), utc(at)),
        complete,
        "the last complete interval"
    );
}

/// §9.4, the table: zone, expression, from, the ticks that follow.
#[test]
fn daylight_saving_row_by_row() {
    let (zurich, new_york) = (Tz::Europe__Zurich, Tz::America__New_York);
    for (case, zone, expression, from, ticks) in [
        ("every hour through the gap", zurich, "0 * * * *", "2023-03-26", "2023-03-26T01:00 2023-03-26T02:00"),
        (
            "every hour through the fold",
            zurich,
            "0 * * * *",
            "2023-10-28T23:30",
            "2023-10-29 2023-10-29T01:00 2023-10-29T02:00",
        ),
        ("gap: moved forward", zurich, "30 2 * * *", "2023-03-25T12:00", "2023-03-26T01:30 2023-03-27T00:30"),
        ("gap: at its begin", zurich, "0 2 * * *", "2023-03-25T12:00", "2023-03-26T01:00 2023-03-27"),
        ("fold: the second", new_york, "0 1 * * *", "2024-11-02T12:00", "2024-11-03T06:00 2024-11-04T06:00"),
        ("fold: the second, east", zurich, "0 2 * * *", "2023-10-28T12:00", "2023-10-29T01:00 2023-10-30T01:00"),
        (
            "three hours between two",
            zurich,
            "0 */2 * * *",
            "2023-10-28T19:00",
            "2023-10-28T20:00 2023-10-28T22:00 2023-10-29T01:00 2023-10-29T03:00",
        ),
    ] {
        let cron = ZonedCron::parse(expression, zone).unwrap();
        let mut at = utc(from);
        for tick in ticks.split(' ') {
            at = cron.next(at).unwrap();
            assert_eq!(at, utc(tick), "{case}");
        }
    }
    // Fixed deltas: absolute time, also where a day has 23 hours.
    let schedule = Schedule::Delta { delta: every(24), interval: None };
    let restriction = Restriction { earliest: None, latest: None, catchup: true };
    let last = DataInterval::exact(utc("2023-03-25T12:00"));
    let next = next_dagrun_info(&schedule, Some(last), &restriction, utc("2023-03-26")).unwrap();
    assert_eq!(next.run_after, utc("2023-03-26T12:00"));
}

/// §9.6: what is made when the stored next run is due, and where the pointer goes.
#[test]
fn due_runs_row_by_row() {
    let daily = cron("0 0 * * *");
    let info = |at: &str| DagRunInfo::exact(utc(at));
    let last = |at: &str| Some(DataInterval::exact(utc(at)));
    for (case, catchup, stored, before, now, run, next) in [
        ("on time", false, "2024-05-15", Some("2024-05-14"), "2024-05-15T00:00:00.2", Some("2024-05-15"), "2024-05-16"),
        ("one per look", true, "2024-05-12", Some("2024-05-11"), "2024-05-15T10:00", Some("2024-05-12"), "2024-05-13"),
        (
            "unpaused: the latest",
            false,
            "2024-05-12",
            Some("2024-05-11"),
            "2024-05-15T10:00",
            Some("2024-05-15"),
            "2024-05-16",
        ),
        // A backfill made that run meanwhile: nothing to do until the next tick.
        ("the latest is there", false, "2024-05-12", Some("2024-05-15"), "2024-05-15T10:00", None, "2024-05-16"),
    ] {
        let restriction = Restriction { earliest: Some(utc("2024-05-01")), latest: None, catchup };
        let found = due(&daily, &restriction, info(stored), before.and_then(last), utc(now));
        assert_eq!(found, Due { run: run.map(info), next: Some(info(next)) }, "{case}");
    }
    let restriction = Restriction { earliest: Some(utc("2024-05-01")), latest: None, catchup: false };
    let once = due(&Schedule::Once, &restriction, info("2024-05-01"), None, utc("2024-05-15"));
    assert_eq!(once, Due { run: Some(info("2024-05-01")), next: None }, "once and never again");
    let over = Restriction { latest: Some(utc("2024-05-15")), ..restriction };
    let end = due(&daily, &over, info("2024-05-15"), last("2024-05-14"), utc("2024-05-15T00:00:01"));
    assert_eq!(end, Due { run: Some(info("2024-05-15")), next: None }, "the end date is the last");
}

/// §9.6 of a continuous schedule: it covers the time up to its making, not up to when it was stored.
#[test]
fn a_continuous_run_ends_where_it_is_made() {
    let restriction = Restriction { earliest: Some(utc("2024-05-01")), latest: None, catchup: false };
    let stored = DagRunInfo::interval(utc("2024-05-14T09:00"), utc("2024-05-14T09:00"));
    let last = Some(DataInterval { start: utc("2024-05-14T08:00"), end: utc("2024-05-14T09:00") });
    let now = utc("2024-05-14T09:00:30");
    let found = due(&Schedule::Continuous, &restriction, stored, last, now);
    assert_eq!(found.run, Some(DagRunInfo::interval(utc("2024-05-14T09:00"), now)));
    assert_eq!(found.next, Some(DagRunInfo::interval(now, now)), "as soon as this one has ended");
}

/// §9.7.
#[test]
fn run_ids_row_by_row() {
    for (run_type, prefix) in [
        (DagRunType::Scheduled, "scheduled"),
        (DagRunType::Manual, "manual"),
        (DagRunType::Backfill, "backfill"),
        (DagRunType::AssetTriggered, "asset_triggered"),
        (DagRunType::OperatorTriggered, "operator_triggered"),
        (DagRunType::AssetMaterialization, "asset_materialization"),
    ] {
        let at = utc("2026-01-15T01:02:03");
        assert_eq!(run_id(run_type, at).as_str(), format!("{prefix}__2026-01-15T01:02:03+00:00"));
        let suffixed = run_id_with_suffix(run_type, at, "puFfETDJ");
        assert_eq!(suffixed.as_str(), format!("{prefix}__2026-01-15T01:02:03+00:00_puFfETDJ"));
    }
    let micros = run_id(DagRunType::Manual, utc("2026-01-15T01:02:03.043063"));
    assert_eq!(micros.as_str(), "manual__2026-01-15T01:02:03.043063+00:00");
}
