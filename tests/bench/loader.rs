//! Compiling a folder of DAG files, on two threads as the scheduler does: beside the floor of reading and parsing the same bytes.

use std::{
    fmt::Write,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use granit_parser::Parser;
use updraft_core::{
    diagnostic::Severity,
    yaml::{self, Settings},
};
use updraft_scheduler::dag_processor::source::FolderFiles;

const THREADS: usize = 2;

/// Files per second of a cold folder, and of the floor.
pub(crate) fn measure(quick: bool) -> Vec<(String, String)> {
    let files = if quick { 500 } else { 5000 };
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = 0;
    for number in 0..files {
        let text = file(number);
        bytes += text.len();
        std::fs::write(folder.path().join(name(number)), text).unwrap();
    }
    let parse = rate(files, |number| {
        let text = std::fs::read_to_string(folder.path().join(name(number))).unwrap();
        assert!(Parser::new_from_str(&text).all(|event| event.is_ok()));
    });
    let compile = rate(files, |number| compile(folder.path(), &name(number)));
    let size = bytes / files;
    vec![
        (
            format!("loader: {files} files of {size} bytes, compiled and hashed (aim: 5,000 in < 5 s)"),
            show(files, compile),
        ),
        ("floor: the same files read and parsed as YAML".to_owned(), show(files, parse)),
    ]
}

fn show(files: usize, rate: f64) -> String {
    format!("{rate:.0} files/s, {:.2} s", files as f64 / rate)
}

/// Calls per second of `work`, once for each number.
fn rate(count: usize, work: impl Fn(usize) + Sync) -> f64 {
    let next = AtomicUsize::new(0);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    work(number);
                }
            });
        }
    });
    count as f64 / begin.elapsed().as_secs_f64()
}

fn compile(root: &Path, name: &str) {
    let files = FolderFiles::new(root);
    let bytes = files.open(name).unwrap();
    let loaded = yaml::load(name, &bytes, &files, &Settings::new(chrono::DateTime::UNIX_EPOCH));
    assert!(loaded.diagnostics.iter().all(|found| found.severity == Severity::Warning), "{:#?}", loaded.diagnostics);
    for loaded in &loaded.dags {
        assert_eq!(loaded.dag.hash().len(), 64);
    }
}

fn name(number: usize) -> String {
    format!("team_{}_dag_{number}.yaml", number % 50)
}

/// A DAG as people have them: twelve tasks with templates, a group, a branch, a sensor, notifications; every third in
/// dag-factory's layout.
pub(crate) fn file(number: usize) -> String {
    let mut text = String::new();
    if number.is_multiple_of(3) {
        writeln!(text, "dag_{number}:\n  schedule: \"{} * * * *\"\n  tags: [bench, compatible]", number % 60).unwrap();
        text.push_str("  default_args:\n    owner: data\n    start_date: 2025-01-01\n    retries: 2\n    retry_delay: 300\n  tasks:\n");
        for task in 0..12 {
            writeln!(
                text,
                "    - task_id: task_{task}\n      operator: airflow.providers.standard.operators.bash.BashOperator\n      \
                 bash_command: ./step.sh {task} --day {{{{ ds }}}} --run {{{{ run_id }}}}\n      dependencies: [{}]",
                if task == 0 { String::new() } else { format!("task_{}", task - 1) }
            )
            .unwrap();
        }
        return text;
    }
    writeln!(text, "dag_id: dag_{number}\nschedule: \"{} 3 * * 1-5\"\ntimezone: Europe/Moscow", number % 60).unwrap();
    text.push_str(
        "start_date: 2025-01-01\ndescription: A nightly load\ntags: [bench, native]\nmax_active_runs: 1\n\
         default_args: {owner: data, retries: 3, retry_delay: 2m, execution_timeout: 1h}\n\
         env: {STAGE: prod}\ninputs:\n  limit: {type: integer, default: 50, minimum: 1, maximum: 500}\n\
         on_failure:\n  - email: oncall@example.org\ntasks:\n",
    );
    text.push_str(
        "  ready: {wait_for_file: \"/srv/drop/{{ ds }}/orders.csv\", poke_interval: 1m, timeout: 2h}\n  \
         choose: {branch: \"{{ 'full' if params.limit > 100 else 'delta' }}\", depends_on: ready}\n  \
         full: {bash: ./load.sh --full, depends_on: choose}\n  delta: {bash: ./load.sh --delta, depends_on: choose}\n",
    );
    for task in 0..4 {
        writeln!(
            text,
            "  step_{task}:\n    bash: |\n      set -e\n      ./step.sh {task} --day {{{{ ds }}}} --limit {{{{ params.limit }}}}\n    \
             depends_on: [full, delta]\n    trigger_rule: none_failed_min_one_success"
        )
        .unwrap();
    }
    text.push_str("task_groups:\n  checks:\n    depends_on: [step_0, step_1, step_2, step_3]\n    tasks:\n");
    for task in 0..4 {
        writeln!(text, "      check_{task}: {{bash: \"./check.sh {{{{ item }}}}\", foreach: [rows, totals]}}").unwrap();
    }
    text
}
