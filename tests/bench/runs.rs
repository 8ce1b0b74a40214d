//! How fast a folder becomes DAGs and runs come into being: thousands of files, one large run by hand, thousands of DAGs that are due
//! at the same minute; and what a hundred thousand live instances weigh in the process that plans them.

use std::{
    fmt::Write,
    fs,
    time::{Duration, Instant},
};

use crate::{floors::sql, instance::Instance, loader, memory};

/// Task instances of one run.
const LARGE: usize = 10_000;
/// DAGs on minute schedules.
const DAGS: usize = 5_000;
/// Runs with all their tasks ready.
const LIVE_RUNS: usize = 1_000;
/// Minutes of which each run is waited for.
const MINUTES: i32 = 3;
/// DAGs of one file.
const PER_FILE: usize = 100;

/// Lines for people: what was measured, its floor and the ratio.
pub(crate) async fn measure(instance: &Instance, quick: bool) -> Vec<String> {
    let share = if quick { 10 } else { 1 };
    vec![
        folder(instance, DAGS / share).await,
        large_run(instance, LARGE / share).await,
        schedules(instance, DAGS / share).await,
        memory::measure(instance, DAGS / share, LIVE_RUNS / share).await,
    ]
}

/// A folder of files that appears at once, until the last DAG is in the database; then one of them is touched.
async fn folder(instance: &Instance, files: usize) -> String {
    let dags = instance.folder().join("dags");
    let made = instance.folder().join("cold");
    fs::create_dir(&made).unwrap();
    for number in 0..files {
        // Paused: what is measured is the reading, not the runs of the DAGs.
        let text = loader::file(number);
        let indent = if text.contains("\n  schedule: ") { "  " } else { "" };
        let text = text.replacen("schedule: ", &format!("is_paused_upon_creation: true\n{indent}schedule: "), 1);
        fs::write(made.join(format!("cold_{number}.yaml")), text).unwrap();
    }
    let begin = Instant::now();
    fs::rename(&made, dags.join("cold")).unwrap();
    let count = format!("select count(*) = {files} from dag where relative_fileloc like 'cold/%'");
    until(instance, "updraft", &count).await;
    let cold = begin.elapsed().as_secs_f64();
    let path = dags.join("cold/cold_7.yaml");
    let changed = fs::read_to_string(&path).unwrap().replace("tags: [bench", "tags: [touched, bench");
    let begin = Instant::now();
    fs::write(&path, changed).unwrap();
    until(instance, "updraft", "select 'touched' = any(tags) from dag where relative_fileloc = 'cold/cold_7.yaml'")
        .await;
    let touched = begin.elapsed().as_secs_f64();
    fs::remove_dir_all(dags.join("cold")).unwrap();
    sql(instance, "updraft", "update dag set is_paused = true where relative_fileloc like 'cold/%'");
    format!(
        "{files} files appear: all live in {cold:.2} s ({:.0} files/s; compiling alone: see loader); one touched: live in \
         {touched:.2} s (aim: < 1 s)",
        files as f64 / cold
    )
}

/// The answer time of a trigger. The DAG is paused: what is measured is the making.
async fn large_run(instance: &Instance, tasks: usize) -> String {
    let mut yaml = "is_paused_upon_creation: true\ntasks:\n".to_owned();
    for number in 0..tasks {
        let upstream = number.checked_sub(100).map(|up| format!("\n    depends_on: [t{up}]")).unwrap_or_default();
        write!(yaml, "  t{number}:\n    empty:{upstream}\n").expect("a String takes everything");
    }
    fs::write(instance.folder().join("dags/large.yaml"), yaml).unwrap();
    until(instance, "updraft", "select count(*) = 1 from dag where dag_id = 'large'").await;
    let mut seconds = Vec::new();
    for number in 0..5 {
        let begin = Instant::now();
        instance.api.trigger("large", &format!("run_{number}")).await;
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
        "run of {tasks} tasks: created in {:.3} s (aim: <= 1 s; median of 5, the first {first:.3} s); INSERT alone {floor:.3} s, ratio {:.1}",
        seconds[2],
        seconds[2] / floor
    )
}

/// How late the last run of a minute is, seen from outside.
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
        "updraft",
        &format!("select count(*) = {dags} from dag where dag_id like 'minute%' and latest_version_id is not null"),
    )
    .await;
    // From the next whole minute on every DAG is in the schedule. A run counts from when another session sees it.
    let first = sql(instance, "updraft", "select date_trunc('minute', now()) + interval '2 minutes'");
    let mut late: Vec<f64> = Vec::new();
    for minute in 0..MINUTES {
        let due = format!("(timestamptz '{first}' + interval '{minute} minutes')");
        let count = format!(
            "select count(*) from dag_run r join dag d on d.id = r.dag_fk where d.dag_id like 'minute%' and r.run_after = {due}"
        );
        until(instance, "updraft", &format!("select now() >= {due}")).await;
        let deadline = Instant::now() + Duration::from_mins(1);
        while sql(instance, "updraft", &count).parse::<usize>().unwrap() < dags {
            assert!(Instant::now() < deadline, "not all runs of a minute are made within it");
        }
        late.push(
            sql(instance, "updraft", &format!("select extract(epoch from clock_timestamp() - {due})")).parse().unwrap(),
        );
    }
    let longest = late.iter().copied().fold(0.0, f64::max);
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
        "{dags} DAGs due at one minute: the last run is there {longest:.2} s after its time, in the worst of {MINUTES} minutes (aim: \
         <= 1 s); the same rows in one statement {floor:.3} s, ratio {:.1}",
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
pub(crate) async fn until(instance: &Instance, database: &str, query: &str) {
    let deadline = Instant::now() + Duration::from_mins(5);
    while sql(instance, database, query) != "t" {
        assert!(Instant::now() < deadline, "never true: {query}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
