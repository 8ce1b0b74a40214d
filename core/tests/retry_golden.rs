//! The delay between tries against a table made with Python's own floats; `data/make_retry_golden.py` says how.
#![expect(clippy::unwrap_used, reason = "a test ends where its table is not as it says")]

use std::time::Duration;

use chrono::{DateTime, Utc};
use updraft_core::{
    dag::Task,
    operator::OperatorKind,
    plan::retry,
    yaml::{Settings, load},
};

const TABLE: &str = include_str!("data/retry_golden.tsv");

/// What the file's `true` means.
fn multiplier_of_true() -> f64 {
    let text = "tasks: {a: {bash: echo, retries: 3, retry_exponential_backoff: true}}";
    let settings = Settings::new("2026-01-15T12:00:00Z".parse::<DateTime<Utc>>().unwrap());
    load("d.yaml", text.as_bytes(), &(), &settings).dags[0].dag.tasks[0].retry_exponential_backoff
}

#[test]
fn agrees_with_airflow_to_the_digit_in_every_line() {
    let micros = |text: &str| Duration::from_micros(text.parse().unwrap());
    let (mut lines, mut wrong) = (0, Vec::new());
    for line in TABLE.lines() {
        lines += 1;
        let [delay, multiplier, longest, date, task_id, try_number, expected] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let task = Task {
            retry_delay: micros(delay),
            retry_exponential_backoff: multiplier.parse().unwrap_or_else(|_| multiplier_of_true()),
            max_retry_delay: (longest != "-").then(|| micros(longest)),
            ..Task::new(task_id, OperatorKind::Bash, "x.BashOperator")
        };
        let date = (date != "-").then(|| date.parse::<DateTime<Utc>>().unwrap());
        let found = retry::delay("d", &task, date, try_number.parse().unwrap());
        if found != micros(expected) {
            wrong.push(format!("{line}: {found:?}"));
        }
    }
    assert!(lines >= 400, "{lines} lines");
    assert!(wrong.is_empty(), "{} of {lines} lines differ:\n{}", wrong.len(), wrong.join("\n"));
}
