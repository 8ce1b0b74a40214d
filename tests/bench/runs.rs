//! How fast runs come into being: one large run by hand, and thousands of DAGs that are due at the same minute.

use std::{
    fmt::Write,
    fs,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{floors::sql, instance::Instance};

/// Task instances of one run.
const LARGE: usize = 10_000;
/// DAGs on minute schedules.
const DAGS: usize = 5_000;
/// DAGs of one file.
const PER_FILE: usize = 100;

/// Lines for people: what was measured, its floor and the ratio.
pub(crate) async fn measure(instance: &Instance, quick: bool) -> Vec<String> {
    let share = if quick { 10 } else { 1 };
    vec![large_run(instance, LARGE / share).await, schedules(instance, DAGS / share).await]
}

/// The answer time of a trigger. The DAG is paused: what is measured is the making.
async fn large_run(instance: &Instance, tasks: usize) -> String {
    let mut yaml = "is_paused_upon_creation: true\ntasks:\n".to_owned();
    for number in 0..tasks {
        let upstream = number.checked_sub(100).map(|up| format!("\n    depends_on: [t{up}]")).unwrap_or_default();
        write!(yaml, "  t{number}:\n    empty:{upstream}\n").expect("a String takes everything");
    }
    fs::write(instance.folder().join("dags/large.yaml"), yaml).unwrap();
    until(instance, "select count(*) = 1 from dag where dag_id = 'large'").await;
    let mut seconds = Vec::new();
    for number in 0..5 {
        let begin = Instant::now();
        let body = json!({"logical_date": null, "dag_run_id": format!("run_{number}")});
        instance.post("/api/v2/dags/large/dagRuns", &body).await;
        seconds.push(begin.elapsed().as_secs_f64());
    }
    // The first one reads the DAG.
    let first = seconds[0];
    seconds.sort_by(f64::total_cmp);
    let floor = timed(
        instance,
        &format!(
            "insert into task_instance (dag_run_id, task_id, attempt_id, operator, pool, queue)
             select 0, 't' || n, gen_random_uuid(), 'EmptyOperator', 'default_pool', 'default' from generate_series(1, {tasks}) n"
        ),
    );
    format!(
        "run of {tasks} tasks: created in {:.3} s (median of 5, the first {first:.3} s); INSERT alone {floor:.3} s, ratio {:.1}",
        seconds[2],
        seconds[2] / floor
    )
}

/// The lateness of every run of two minutes: when it was written, after its time.
async fn schedules(instance: &Instance, dags: usize) -> String {
    for file in 0..dags.div_ceil(PER_FILE) {
        let mut yaml = String::new();
        for number in file * PER_FILE..((file + 1) * PER_FILE).min(dags) {
            write!(
                yaml,
                "minute_{number}:\n  schedule: '* * * * *'\n  start_date: 2024-01-01\n  tasks:\n    - task_id: t\n      \
                 operator: airflow.providers.standard.operators.empty.EmptyOperator\n"
            )
            .expect("a String takes everything");
        }
        fs::write(instance.folder().join(format!("dags/minute_{file}.yaml")), yaml).unwrap();
    }
    until(
        instance,
        &format!("select count(*) = {dags} from dag where dag_id like 'minute%' and latest_version_id is not null"),
    )
    .await;
    // From the next whole minute on every DAG is in the schedule; the second one after that is the measured one.
    let measured = sql(instance, "updraft", "select date_trunc('minute', now()) + interval '2 minutes'");
    until(
        instance,
        &format!(
            "select count(*) = {dags} from dag_run r join dag d on d.id = r.dag_fk
             where d.dag_id like 'minute%' and r.run_after = '{measured}'"
        ),
    )
    .await;
    let late = sql(
        instance,
        "updraft",
        &format!(
            "select format('max %s ms, p99 %s ms', round(1000 * max(s)), round(1000 * percentile_cont(0.99) within group (order by s)))
             from (select extract(epoch from r.queued_at - r.run_after) s from dag_run r join dag d on d.id = r.dag_fk
                   where d.dag_id like 'minute%' and r.run_after = '{measured}') late"
        ),
    );
    let longest: f64 = sql(
        instance,
        "updraft",
        &format!("select max(extract(epoch from queued_at - run_after)) from dag_run where run_after = '{measured}'"),
    )
    .parse()
    .unwrap();
    let floor = timed(
        instance,
        "with run as (
             insert into dag_run (dag_fk, run_id, tag, state, run_type, logical_date, run_after, dag_version_id)
             select id, 'floor', 0, 'queued', 'scheduled', '2000-01-01Z', '2000-01-01Z', latest_version_id
             from dag where dag_id like 'minute%' returning id, dag_fk
         ), moved as (
             update dag set next_dagrun = '2000-01-01Z' from run where dag.id = run.dag_fk
         )
         insert into task_instance (dag_run_id, task_id, attempt_id, operator, pool, queue)
         select id, 't', gen_random_uuid(), 'EmptyOperator', 'default_pool', 'default' from run",
    );
    fs::read_dir(instance.folder().join("dags"))
        .unwrap()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("minute_")))
        .for_each(|path| fs::remove_file(path).unwrap());
    sql(instance, "updraft", "update dag set is_paused = true where dag_id like 'minute%'");
    format!(
        "{dags} DAGs due at one minute: runs late by {late}; the same rows in one statement {floor:.3} s, ratio {:.1}",
        longest / floor
    )
}

/// Seconds that a statement takes in a transaction which is then rolled back.
fn timed(instance: &Instance, statement: &str) -> f64 {
    let answer = sql(
        instance,
        "updraft",
        &format!(
            "begin; select clock_timestamp() as begun \\gset\n{statement}; \
             select extract(epoch from clock_timestamp() - :'begun'::timestamptz); rollback"
        ),
    );
    answer.parse().unwrap_or_else(|_| panic!("no seconds: {answer}"))
}

/// Waits until a query says true.
async fn until(instance: &Instance, query: &str) {
    let deadline = Instant::now() + Duration::from_mins(5);
    while sql(instance, "updraft", query) != "t" {
        assert!(Instant::now() < deadline, "never true: {query}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
