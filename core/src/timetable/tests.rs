//! The decision tables of Airflow's timetables, row by row.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;

use super::{cron::Cron, zoned::ZonedCron, *};

fn utc(text: &str) -> DateTime<Utc> {
    let text = if text.len() == 10 { format!("{text}T00:00:00") } else { text.to_owned() };
    text.parse::<NaiveDateTime>().unwrap().and_utc()
}

fn cron(expression: &str) -> Schedule {
    Schedule::cron(expression, Tz::UTC)
}

fn cron_interval(expression: &str) -> Schedule {
    Schedule::CronInterval { expression: expression.to_owned(), timezone: Tz::UTC }
}

fn hours(hours: u64) -> Step {
    Step { months: 0, duration: Duration::from_secs(hours * 3600) }
}

fn restricted(start: Option<&str>, end: Option<&str>, catchup: bool) -> Restriction {
    Restriction { earliest: start.map(utc), latest: end.map(utc), catchup }
}

fn first(schedule: &Schedule, start: Option<&str>, catchup: bool, now: &str) -> Option<DagRunInfo> {
    next_dagrun_info(schedule, None, &restricted(start, None, catchup), utc(now))
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside `next_dagrun_info`")]
fn exact(at: &str) -> Option<DagRunInfo> {
    Some(DagRunInfo::exact(utc(at)))
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside `next_dagrun_info`")]
fn interval(start: &str, end: &str) -> Option<DagRunInfo> {
    Some(DagRunInfo::interval(utc(start), utc(end)))
}

#[test]
fn a_cron_trigger_starts_at_the_first_tick_with_catchup_and_at_the_latest_without() {
    let daily = cron("0 0 * * *");
    assert_eq!(first(&daily, Some("2024-05-01T03:00:00"), true, "2024-05-15T10:20:00"), exact("2024-05-02"));
    assert_eq!(first(&daily, Some("2024-05-01T03:00:00"), false, "2024-05-15T10:20:00"), exact("2024-05-15"));
    assert_eq!(first(&daily, Some("2024-06-01"), false, "2024-05-15T10:20:00"), exact("2024-06-01"));
}

#[test]
fn a_cron_trigger_goes_on_from_the_last_run() {
    let daily = cron("0 0 * * *");
    let last = Some(DataInterval::exact(utc("2024-05-10")));
    let next = |catchup, now| next_dagrun_info(&daily, last, &restricted(Some("2024-05-01"), None, catchup), utc(now));
    assert_eq!(next(true, "2024-05-15T10:20:00"), exact("2024-05-11"));
    assert_eq!(next(false, "2024-05-15T10:20:00"), exact("2024-05-15"));
    assert_eq!(next(false, "2024-05-10T10:20:00"), exact("2024-05-11"));
}

#[test]
fn a_trigger_without_start_date_takes_a_tick_just_missed() {
    let daily = cron("0 3 * * *");
    for catchup in [true, false] {
        assert_eq!(first(&daily, None, catchup, "2024-05-15T05:24:00"), exact("2024-05-15T03:00:00"));
        assert_eq!(first(&daily, None, catchup, "2024-05-15T05:25:00"), exact("2024-05-16T03:00:00"));
    }
}

#[test]
fn ticks_at_both_ends_of_the_restriction_count() {
    let daily = cron("0 0 * * *");
    let next =
        |last, end| next_dagrun_info(&daily, last, &restricted(Some("2024-05-01"), Some(end), true), utc("2025-01-01"));
    assert_eq!(next(None, "2024-05-01"), exact("2024-05-01"));
    assert_eq!(next(Some(DataInterval::exact(utc("2024-05-01"))), "2024-05-02"), exact("2024-05-02"));
    assert_eq!(next(Some(DataInterval::exact(utc("2024-05-02"))), "2024-05-02"), None);
}

#[test]
fn a_trigger_with_an_interval_dates_the_run_by_its_start() {
    let schedule = Schedule::Cron {
        expressions: vec!["0 18 * * *".into()],
        timezone: Tz::UTC,
        interval: Some(hours(9)),
        run_immediately: RunImmediately::default(),
    };
    let info = first(&schedule, Some("2024-05-01"), true, "2024-05-15").unwrap();
    assert_eq!(info, interval("2024-05-01T09:00:00", "2024-05-01T18:00:00").unwrap());
    let manual = infer_manual_data_interval(&schedule, utc("2024-05-15T10:00:00"));
    assert_eq!(manual, DataInterval { start: utc("2024-05-15T01:00:00"), end: utc("2024-05-15T10:00:00") });
}

#[test]
fn several_expressions_fire_together_as_one_schedule() {
    let schedule = Schedule::Cron {
        expressions: vec!["0 9 * * *".into(), "30 17 * * 5".into()],
        timezone: Tz::UTC,
        interval: None,
        run_immediately: RunImmediately::default(),
    };
    // 2024-05-17 is a Friday.
    let last = |at| Some(DataInterval::exact(utc(at)));
    let next = |last, catchup, now| {
        next_dagrun_info(&schedule, last, &restricted(Some("2024-05-01"), None, catchup), utc(now))
    };
    assert_eq!(next(last("2024-05-17T09:00:00"), true, "2024-06-01"), exact("2024-05-17T17:30:00"));
    assert_eq!(next(last("2024-05-17T17:30:00"), true, "2024-06-01"), exact("2024-05-18T09:00:00"));
    assert_eq!(next(None, false, "2024-05-17T18:00:00"), exact("2024-05-17T17:30:00"));
    assert_eq!(next(last("2024-05-17T17:30:00"), false, "2024-05-17T18:00:00"), exact("2024-05-18T09:00:00"));
}

#[test]
fn a_delta_trigger_has_no_grid() {
    let schedule = Schedule::Delta { delta: hours(6), interval: None };
    assert_eq!(first(&schedule, Some("2024-05-01T03:00:00"), true, "2024-05-15"), exact("2024-05-01T03:00:00"));
    assert_eq!(
        first(&schedule, Some("2024-05-01T03:00:00"), false, "2024-05-15T10:20:00"),
        exact("2024-05-15T10:20:00")
    );
    let last = Some(DataInterval::exact(utc("2024-05-15T10:20:00")));
    let next = next_dagrun_info(&schedule, last, &restricted(None, None, false), utc("2024-05-15T10:21:00"));
    assert_eq!(next, exact("2024-05-15T16:20:00"));
}

#[test]
fn a_cron_interval_run_is_made_at_its_end() {
    let daily = cron_interval("0 0 * * *");
    let start = Some("2024-05-01T03:00:00");
    assert_eq!(first(&daily, start, true, "2024-05-15T10:20:00"), interval("2024-05-02", "2024-05-03"));
    assert_eq!(first(&daily, start, false, "2024-05-15T10:20:00"), interval("2024-05-14", "2024-05-15"));
    assert_eq!(first(&daily, start, false, "2024-05-15"), interval("2024-05-14", "2024-05-15"));
    assert_eq!(first(&daily, None, true, "2024-05-15T10:20:00"), None);
    assert_eq!(first(&daily, None, false, "2024-05-15T10:20:00"), interval("2024-05-14", "2024-05-15"));
    let manual = infer_manual_data_interval(&daily, utc("2024-05-15T10:20:00"));
    assert_eq!(manual, DataInterval { start: utc("2024-05-14"), end: utc("2024-05-15") });
}

#[test]
fn an_interval_that_starts_on_the_end_date_still_happens() {
    let daily = cron_interval("0 0 * * *");
    let next = |start: &str, end: &str| {
        let last = DataInterval { start: utc(start), end: utc(end) };
        next_dagrun_info(
            &daily,
            Some(last),
            &restricted(Some("2024-05-01"), Some("2024-05-10"), true),
            utc("2024-06-01"),
        )
    };
    assert_eq!(next("2024-05-09", "2024-05-10"), interval("2024-05-10", "2024-05-11"));
    assert_eq!(next("2024-05-10", "2024-05-11"), None);
}

#[test]
fn an_interval_schedule_that_was_changed_does_not_repeat_an_interval() {
    // It was hourly until 05-10T07:00; now it is daily, and 05-10 has been the start of a run already.
    let daily = cron_interval("0 0 * * *");
    let last = Some(DataInterval { start: utc("2024-05-10"), end: utc("2024-05-10T01:00:00") });
    let next = next_dagrun_info(&daily, last, &restricted(Some("2024-05-01"), None, true), utc("2024-06-01"));
    assert_eq!(next, interval("2024-05-11", "2024-05-12"));
}

#[test]
fn delta_intervals_are_floored_on_the_epoch_grid_or_stepped_by_months() {
    let schedule = Schedule::DeltaInterval { delta: hours(6) };
    let start = Some("2024-05-01T03:00:00");
    assert_eq!(
        first(&schedule, start, true, "2024-05-15T10:20:00"),
        interval("2024-05-01T03:00:00", "2024-05-01T09:00:00")
    );
    assert_eq!(first(&schedule, start, false, "2024-05-15T10:20:00"), interval("2024-05-15", "2024-05-15T06:00:00"));

    let monthly = Schedule::DeltaInterval { delta: Step { months: 1, duration: Duration::ZERO } };
    assert_eq!(first(&monthly, Some("2023-01-31"), false, "2023-03-29"), interval("2023-02-28", "2023-03-28"));
    assert_eq!(first(&monthly, Some("2023-01-31"), false, "2023-02-01"), interval("2023-01-31", "2023-02-28"));
}

#[test]
fn once_runs_once_at_the_start_date_or_now() {
    assert_eq!(first(&Schedule::Once, Some("2024-05-01"), false, "2024-05-15"), exact("2024-05-01"));
    assert_eq!(first(&Schedule::Once, None, true, "2024-05-15"), exact("2024-05-15"));
    let last = Some(DataInterval::exact(utc("2024-05-01")));
    assert_eq!(next_dagrun_info(&Schedule::Once, last, &restricted(None, None, false), utc("2024-05-15")), None);
    let over = restricted(Some("2024-05-02"), Some("2024-05-01"), false);
    assert_eq!(next_dagrun_info(&Schedule::Once, None, &over, utc("2024-05-15")), None);
}

#[test]
fn continuous_goes_on_where_it_ended() {
    let next =
        |last, start| next_dagrun_info(&Schedule::Continuous, last, &restricted(start, None, false), utc("2024-05-15"));
    assert_eq!(next(None, Some("2024-05-01")), interval("2024-05-01", "2024-05-15"));
    let last = DataInterval { start: utc("2024-05-01"), end: utc("2024-05-10") };
    assert_eq!(next(Some(last), Some("2024-05-01")), interval("2024-05-10", "2024-05-15"));
    assert_eq!(next(None, Some("2024-06-01")), exact("2024-06-01"));
}

#[test]
fn events_fire_at_their_dates() {
    let schedule = Schedule::Events { dates: vec![utc("2024-05-20"), utc("2024-05-01"), utc("2024-05-10")] };
    let next = |last: Option<&str>, catchup| {
        let last = last.map(|at| DataInterval::exact(utc(at)));
        next_dagrun_info(&schedule, last, &restricted(None, None, catchup), utc("2024-05-05"))
    };
    assert_eq!(next(None, true), exact("2024-05-01"));
    assert_eq!(next(None, false), exact("2024-05-10"));
    assert_eq!(next(Some("2024-05-10"), true), exact("2024-05-20"));
    assert_eq!(next(Some("2024-05-20"), true), None);
}

#[test]
fn a_dag_restricts_its_tasks_and_tasks_restrict_a_dag_without_dates() {
    let mut dag = Dag::new("d");
    assert_eq!(restriction(&dag), restricted(None, None, false));
    dag.start_date = Some(utc("2024-01-01"));
    dag.end_date = Some(utc("2024-02-01"));
    dag.catchup = true;
    assert_eq!(restriction(&dag), restricted(Some("2024-01-01"), Some("2024-02-01"), true));
}

/// Zone, expression, from, expected ticks (UTC).
#[test]
fn daylight_saving_is_airflows() {
    let zurich = Tz::Europe__Zurich;
    let new_york = Tz::America__New_York;
    for (zone, expression, from, ticks) in [
        (zurich, "30 2 * * *", "2023-03-25T12:00:00", &["2023-03-26T01:30:00", "2023-03-27T00:30:00"][..]),
        (zurich, "0 2 * * *", "2023-03-25T12:00:00", &["2023-03-26T01:00:00", "2023-03-27T00:00:00"]),
        (new_york, "0 1 * * *", "2024-11-02T12:00:00", &["2024-11-03T06:00:00", "2024-11-04T06:00:00"]),
        (zurich, "0 2 * * *", "2023-10-28T12:00:00", &["2023-10-29T01:00:00", "2023-10-30T01:00:00"]),
        (
            zurich,
            "0 */2 * * *",
            "2023-10-28T19:00:00",
            &["2023-10-28T20:00:00", "2023-10-28T22:00:00", "2023-10-29T01:00:00", "2023-10-29T03:00:00"],
        ),
        (
            zurich,
            "30 * * * *",
            "2023-10-28T23:00:00",
            &["2023-10-28T23:30:00", "2023-10-29T00:30:00", "2023-10-29T01:30:00", "2023-10-29T02:30:00"],
        ),
        (
            zurich,
            "30 * * * *",
            "2023-03-26T00:00:00",
            &["2023-03-26T00:30:00", "2023-03-26T01:30:00", "2023-03-26T02:30:00"],
        ),
    ] {
        let cron = ZonedCron::parse(expression, zone).unwrap();
        let mut at = utc(from);
        for tick in ticks {
            at = cron.next(at).unwrap();
            assert_eq!(at, utc(tick), "{zone} {expression} from {from}");
        }
    }
}

#[test]
fn presets_are_their_expressions() {
    for (name, expression) in cron::PRESETS {
        assert_eq!(Cron::parse(name), Cron::parse(expression));
    }
    assert_eq!(Cron::parse("@Daily"), Cron::parse("0 0 * * *"));
}

#[test]
fn a_bad_expression_says_what_is_wrong() {
    let message = |text| {
        let error = Cron::parse(text).unwrap_err();
        format!("{error} ({})", error.help())
    };
    assert_eq!(message("61 * * * *"), "61 is out of range in the minute field (minute is 0-59)");
    assert_eq!(
        message("* * * *"),
        "a cron expression has 5, 6 or 7 fields, `* * * *` has 4 (5 fields: minute, hour, day of month, month, day of \
         week; a 6th is the second, a 7th the year)"
    );
    assert_eq!(
        message("@dayly"),
        "`@dayly` is not a preset (the presets are @hourly, @daily, @midnight, @weekly, @monthly, @quarterly, @yearly, \
         @annually)"
    );
    assert_eq!(message("* * * foo *"), "`foo` has no meaning in the month field (month is 1-12 or jan-dec)");
    assert_eq!(message("*/0 * * * *"), "the step in `*/0` must be at least 1 (write `*/1`, or `*`)");
    assert_eq!(
        message("H * * * *"),
        "`h` depends on a hash or on chance; write the number (such as `17` for a minute)"
    );
}

#[test]
fn an_expression_that_never_matches_ends() {
    let never = Cron::parse("0 0 30 2 *").unwrap();
    let at = utc("2024-05-15").naive_utc();
    assert_eq!((never.next(at), never.prev(at)), (None, None));
    let past = Cron::parse("0 0 * * * 0 2020").unwrap();
    assert_eq!(past.next(at), None);
    assert_eq!(past.prev(at), Some(utc("2020-12-31").naive_utc()));
}

#[test]
fn run_ids_are_named_by_type_and_time() {
    let id = |at: DateTime<Utc>| run_id(crate::state::DagRunType::Scheduled, at).to_string();
    assert_eq!(id(utc("2026-01-15")), "scheduled__2026-01-15T00:00:00+00:00");
    assert_eq!(id(utc("2026-01-15T01:02:03.000450")), "scheduled__2026-01-15T01:02:03.000450+00:00");
}

#[test]
fn a_users_run_id_keeps_to_the_pattern_and_its_own_prefix() {
    use crate::state::DagRunType::{Manual, Scheduled};
    for good in ["manual__2026-01-15T00:00:00+00:00", "a~b", "scheduled_x", "x__y"] {
        assert_eq!(check_run_id(good, Manual), Ok(()), "{good}");
    }
    assert_eq!(check_run_id("", Manual), Err(RunIdError::Length));
    assert_eq!(check_run_id(&"x".repeat(251), Manual), Err(RunIdError::Length));
    assert_eq!(check_run_id("a b", Manual), Err(RunIdError::Character(' ')));
    assert_eq!(check_run_id("a..b", Manual), Err(RunIdError::DoubleDot));
    assert_eq!(check_run_id("scheduled__x", Manual), Err(RunIdError::ReservedPrefix { prefix: Scheduled }));
    assert_eq!(check_run_id("scheduled__x", Scheduled), Ok(()));
}

#[test]
fn summaries_are_airflows() {
    let text = |schedule: &Schedule| summary(schedule);
    assert_eq!(text(&Schedule::None), None);
    assert_eq!(text(&cron("0 0 * * *")).as_deref(), Some("0 0 * * *"));
    assert_eq!(text(&Schedule::Delta { delta: hours(24), interval: None }).as_deref(), Some("1 day, 0:00:00"));
    let months = Step { months: 14, duration: hours(24).duration };
    assert_eq!(
        text(&Schedule::Delta { delta: months, interval: None }).as_deref(),
        Some("relativedelta(years=+1, months=+2, days=+1)")
    );
}

/// Made with cron_descriptor 2.2.1 and Airflow's wrapper around it (`_describe_with_dom_dow_fix`).
#[test]
fn descriptions_of_cron_are_airflows() {
    for (expression, expected) in [
        ("* * * * *", "Every minute"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("0 * * * *", "Every hour"),
        ("30 * * * *", "At 30 minutes past the hour"),
        ("0 0 * * *", "At 00:00"),
        ("30 5 * * 1-5", "At 05:30, Monday through Friday"),
        ("15 */2 * * mon-fri", "At 15 minutes past the hour, every 2 hours, Monday through Friday"),
        ("*/15 7-19 * * 1-5", "Every 15 minutes, between 07:00 and 19:59, Monday through Friday"),
        ("0 9,17 * * *", "At 09:00 and 17:00"),
        ("30 6,14,16 * * *", "At 06:30, 14:30 and 16:30"),
        ("0-10 11 * * *", "Every minute between 11:00 and 11:10"),
        ("0 0 1 * *", "At 00:00, on day 1 of the month"),
        ("0 0 1 */3 *", "At 00:00, on day 1 of the month, every 3 months"),
        ("0 0 1 1 *", "At 00:00, on day 1 of the month, only in January"),
        ("0 0 * * 0", "At 00:00, only on Sunday"),
        ("0 0 * * 7", "At 00:00, only on Sunday"),
        ("0 0 1,15 * *", "At 00:00, on day 1 and 15 of the month"),
        ("0 0 1,10,20 * *", "At 00:00, on day 1, 10, and 20 of the month"),
        ("0 0 L * *", "At 00:00, on the last day of the month"),
        ("0 0 15W * *", "At 00:00, on the weekday nearest day 15 of the month"),
        ("0 0 1W * *", "At 00:00, on the first weekday of the month"),
        ("0 0 * * mon#2", "At 00:00, on the second Monday of the month"),
        ("0 0 * * L5", "At 00:00, on the last Friday of the month"),
        ("0 0 1 * 1", "At 00:00, on day 1 of the month (or) At 00:00, only on Monday"),
        ("0 9-17 * * *", "At 0 minutes past the hour, between 09:00 and 17:59"),
        ("5 9-17 * * *", "At 5 minutes past the hour, between 09:00 and 17:59"),
        ("10,20 * * * *", "At 10 and 20 minutes past the hour"),
        ("10,20,30 * * * *", "At 10, 20, and 30 minutes past the hour"),
        ("10,20 9,17 * * *", "At 10 and 20 minutes past the hour, at 09:00 and 17:00"),
        ("*/20 9,17 * * *", "Every 20 minutes, at 09:00 and 17:00"),
        ("10-50/5 * * * *", "Every 5 minutes, minutes 10 through 50 past the hour"),
        ("0 9-17/2 * * *", "Every 2 hours, between 09:00 and 17:59"),
        ("0 0 */2 * *", "At 00:00, every 2 days"),
        ("0 0 1-7 * *", "At 00:00, between day 1 and 7 of the month"),
        ("0 0 * 1 *", "At 00:00, only in January"),
        ("0 0 * jan,jul *", "At 00:00, only in January and July"),
        ("0 0 * 6-8 *", "At 00:00, June through August"),
        ("0 0 * 1-6/2 *", "At 00:00, every 2 months, January through June"),
        ("0 0 * * 1,3,5", "At 00:00, only on Monday, Wednesday, and Friday"),
        ("0 0 * * */2", "At 00:00, every 2 days of the week"),
        ("5-10 * * * *", "Minutes 5 through 10 past the hour"),
        ("* 9 * * *", "Every minute, between 09:00 and 09:59"),
        ("*/10 9 * * *", "Every 10 minutes, between 09:00 and 09:59"),
        ("0 */4 * * *", "Every 4 hours"),
        ("0 */1 * * *", "Every hour"),
        ("05 03 * * *", "At 03:05"),
        ("0 0 29 2 *", "At 00:00, on day 29 of the month, only in February"),
    ] {
        assert_eq!(description(&cron(expression)), expected, "{expression}");
    }
    for expression in ["0 0 * * * 30", "1-5/2,9 * * * *", "nonsense"] {
        assert_eq!(description(&cron(expression)), "");
    }
}

const ZONES: [Tz; 6] = [
    Tz::UTC,
    Tz::Europe__Zurich,
    Tz::America__New_York,
    Tz::Australia__Lord_Howe,
    Tz::Africa__Casablanca,
    Tz::Antarctica__Troll,
];

fn expressions() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let field = |values: std::ops::Range<u32>| {
        let top = values.end;
        prop_oneof![
            Just("*".to_owned()),
            values.clone().prop_map(|value| value.to_string()),
            (values, 1..6_u32).prop_map(|(value, step)| format!("{value}/{step}")),
            (2..top.max(3)).prop_map(|step| format!("*/{step}")),
        ]
    };
    (field(0..60), field(0..24), field(1..29), field(1..13), field(0..7))
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Whatever the zone does with its clock, a schedule goes forward, and a run starts where the one before ended.
    #[test]
    fn runs_follow_one_another(expression in expressions(), zone in 0..ZONES.len(), start in 1_577_836_800_i64..2_000_000_000, catchup: bool) {
        let timezone = ZONES[zone];
        let trigger = Schedule::cron(expression.clone(), timezone);
        let interval = Schedule::CronInterval { expression, timezone };
        let start = DateTime::from_timestamp(start, 0).unwrap();
        for schedule in [trigger, interval] {
            let restriction = Restriction { earliest: Some(start), latest: None, catchup };
            let (mut last, mut now) = (None, start);
            for _ in 0..30 {
                let Some(info) = next_dagrun_info(&schedule, last, &restriction, now) else { break };
                let next = info.data_interval.unwrap();
                proptest::prop_assert!(next.start >= start);
                proptest::prop_assert!(last.is_none_or(|last| next.end > last.end && next.start > last.start));
                proptest::prop_assert_eq!(info.run_after, next.end);
                last = Some(next);
                now = now.max(info.run_after);
            }
        }
    }

    /// The tick before the next one is never after the time asked for.
    #[test]
    fn next_and_prev_are_inverse(expression in expressions(), at in 1_577_836_800_i64..2_000_000_000) {
        let cron = Cron::parse(&expression).unwrap();
        let at = DateTime::from_timestamp(at, 0).unwrap().naive_utc();
        if let Some(next) = cron.next(at) {
            proptest::prop_assert!(next > at);
            proptest::prop_assert!(cron.prev(next).is_none_or(|prev| prev <= at));
            proptest::prop_assert_eq!(cron.next(next - chrono::TimeDelta::seconds(1)), Some(next));
        }
    }

    #[test]
    fn any_text_is_cron_or_an_error(text in r"[0-9*/,\-?#LWlwhr@a-z ]{0,20}") {
        if let Err(error) = Cron::parse(&text) {
            proptest::prop_assert!(!error.to_string().is_empty() && !error.help().is_empty());
        }
    }
}
