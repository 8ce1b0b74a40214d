//! §5: `depends_on_past`, with the earlier runs read from the database.

use crate::seed::{Seed, daily};

/// An earlier run, so many days before: its type and the states of tasks.
type Earlier<'a> = (i32, &'a str, &'a [(&'a str, &'a str)]);

#[derive(Clone, Copy, Default)]
struct Case<'a> {
    catchup: bool,
    wait_for_downstream: bool,
    ignore_first: bool,
    /// The task begins so many days before the run.
    start_days: Option<i32>,
    /// The run's place in a backfill.
    ordinal: Option<i32>,
    has_no_date: bool,
    earlier: &'a [Earlier<'a>],
}

/// Whether task `a` of a run after these earlier ones is ready. `a` → `b` → `c`.
async fn begins(case: Case<'_>) -> bool {
    let seed = Seed::new().await;
    let mut dag = daily("d", &["a", "b", "c"]);
    dag.catchup = case.catchup;
    let a = &mut dag.tasks[0];
    a.depends_on_past = true;
    a.wait_for_downstream = case.wait_for_downstream;
    a.ignore_first_depends_on_past = case.ignore_first;
    a.start_date = case.start_days.map(|days| {
        let date: chrono::DateTime<chrono::Utc> = "2026-03-01T00:00:00Z".parse().unwrap();
        date - chrono::TimeDelta::days(days.into())
    });
    seed.dag(&dag, None).await;
    for (days, run_type, tasks) in case.earlier {
        seed.execute(&format!(
            "insert into dag_run (dag_fk, run_id, tag, state, run_type, logical_date, run_after, dag_version_id)
             select id, 'e{days}', 1, 'failed', '{run_type}', '2026-03-01'::timestamptz - interval '{days} d', now(),
                    latest_version_id from dag"
        ))
        .await;
        for (task, state) in *tasks {
            seed.execute(&instance(&format!("e{days}"), task, state)).await;
        }
    }
    let date = if case.has_no_date { "null" } else { "'2026-03-01'" };
    let ordinal = case.ordinal.map_or("null".to_owned(), |ordinal| ordinal.to_string());
    seed.execute(&format!(
        "insert into dag_run (dag_fk, run_id, tag, state, run_type, logical_date, run_after, queued_at, start_date, dag_version_id,
                              backfill_ordinal)
         select id, 'this', 1, 'running', 'scheduled', {date}, now(), now(), now(), latest_version_id, {ordinal} from dag"
    ))
    .await;
    for task in ["a", "b", "c"] {
        seed.execute(&instance("this", task, "none")).await;
    }
    let run: i64 = seed.ask("select id::text from dag_run where run_id = 'this'").await.parse().unwrap();
    seed.plan(run).await;
    seed.ask("select task_id from attempt").await == "a"
}

fn instance(run_id: &str, task: &str, state: &str) -> String {
    format!(
        "insert into task_instance (dag_run_id, task_id, attempt_id, state, operator, pool, queue)
         select id, '{task}', gen_random_uuid(), '{state}', 'x', 'default_pool', 'default' from dag_run where run_id = '{run_id}'"
    )
}

#[tokio::test]
async fn a_task_that_depends_on_its_past_begins_as_in_the_table() {
    const GOOD: &[(&str, &str)] = &[("a", "success"), ("b", "success"), ("c", "success")];
    const BAD: &[(&str, &str)] = &[("a", "failed"), ("b", "upstream_failed"), ("c", "upstream_failed")];
    let no = Case::default();
    let catchup = Case { catchup: true, ..no };
    let cases: &[(&str, Case<'_>, bool)] = &[
        ("1 first of a backfill", Case { ordinal: Some(1), earlier: &[(1, "scheduled", BAD)], ..no }, true),
        ("1 second of a backfill", Case { ordinal: Some(2), earlier: &[(1, "scheduled", BAD)], ..no }, false),
        ("2 no earlier run", no, true),
        ("2 no logical date", Case { has_no_date: true, earlier: &[(1, "scheduled", BAD)], ..no }, true),
        (
            "2 the latest earlier run counts",
            Case { earlier: &[(2, "scheduled", BAD), (1, "scheduled", GOOD)], ..no },
            true,
        ),
        ("2 and not the one before", Case { earlier: &[(2, "scheduled", GOOD), (1, "scheduled", BAD)], ..no }, false),
        ("2 a later run does not", Case { earlier: &[(1, "scheduled", GOOD), (-1, "scheduled", BAD)], ..no }, true),
        ("2 without catchup of any type", Case { earlier: &[(2, "scheduled", GOOD), (1, "manual", BAD)], ..no }, false),
        ("2 with catchup not manual", Case { earlier: &[(2, "scheduled", GOOD), (1, "manual", BAD)], ..catchup }, true),
        (
            "2 with catchup a backfill's",
            Case { earlier: &[(2, "scheduled", GOOD), (1, "backfill", BAD)], ..catchup },
            false,
        ),
        ("3 before the task's start", Case { start_days: Some(0), earlier: &[(1, "scheduled", BAD)], ..catchup }, true),
        ("3 not before it", Case { start_days: Some(1), earlier: &[(1, "scheduled", BAD)], ..catchup }, false),
        ("3 only with catchup", Case { start_days: Some(0), earlier: &[(1, "scheduled", BAD)], ..no }, false),
        ("4 the run before lacks the task", Case { earlier: &[(1, "scheduled", &[])], ..no }, false),
        ("4 ignored, the first", Case { ignore_first: true, earlier: &[(1, "scheduled", &[])], ..no }, true),
        (
            "4 ignored, but an earlier run has it",
            Case { ignore_first: true, earlier: &[(2, "scheduled", GOOD), (1, "scheduled", &[])], ..no },
            false,
        ),
        ("5 success", Case { earlier: &[(1, "scheduled", &[("a", "success")])], ..no }, true),
        ("5 skipped", Case { earlier: &[(1, "scheduled", &[("a", "skipped")])], ..no }, true),
        ("5 failed", Case { earlier: &[(1, "scheduled", &[("a", "failed")])], ..no }, false),
        ("5 upstream_failed", Case { earlier: &[(1, "scheduled", &[("a", "upstream_failed")])], ..no }, false),
        ("5 removed", Case { earlier: &[(1, "scheduled", &[("a", "removed")])], ..no }, false),
        ("5 unfinished", Case { earlier: &[(1, "scheduled", &[("a", "running")])], ..no }, false),
        (
            "6 its downstream failed",
            Case {
                wait_for_downstream: true,
                earlier: &[(1, "scheduled", &[("a", "success"), ("b", "failed")])],
                ..no
            },
            false,
        ),
        (
            "6 the second level does not count",
            Case {
                wait_for_downstream: true,
                earlier: &[(1, "scheduled", &[("a", "success"), ("b", "success"), ("c", "failed")])],
                ..no
            },
            true,
        ),
        (
            "6 only where asked for",
            Case { earlier: &[(1, "scheduled", &[("a", "success"), ("b", "failed")])], ..no },
            true,
        ),
    ];
    for (name, case, expected) in cases {
        assert_eq!(begins(*case).await, *expected, "{name}");
    }
}
