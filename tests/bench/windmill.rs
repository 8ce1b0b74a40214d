//! The shapes of Windmill's study of orchestrators: short and long Python tasks, one after the other, beside the same processes
//! started by hand one after the other.

use std::{
    fmt::Write,
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    instance::Instance,
    workload::{loaded, trigger_and_wait},
};

const CODE: &str = "def fibonacci(n):\n    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)\n";

/// How many tasks, and the number that each is asked for.
const SHAPES: [(usize, u32); 2] = [(40, 10), (10, 33)];

/// Seconds beside the bare run's, and what the engine adds.
pub(crate) async fn measure(instance: &Instance, quick: bool) -> Vec<String> {
    let python = python();
    fs::write(instance.folder().join("dags/fibonacci.py"), CODE).unwrap();
    let mut lines = Vec::new();
    for (count, number) in SHAPES {
        let number = if quick { number.min(25) } else { number };
        let dag_id = format!("fibonacci_{count}_{number}");
        let mut yaml = "is_paused_upon_creation: false\nsequential: true\ntasks:\n".to_owned();
        for task in 0..count {
            writeln!(
                yaml,
                "  t{task}: {{operator: python, python_callable_file: fibonacci.py, python_callable_name: fibonacci, op_args: [{number}], \
                 interpreter: {python}}}"
            )
            .expect("a String takes everything");
        }
        fs::write(instance.folder().join(format!("dags/{dag_id}.yaml")), yaml).unwrap();
        loaded(instance, &dag_id).await;
        trigger_and_wait(instance, &dag_id, 1, "warm").await;
        let begin = Instant::now();
        trigger_and_wait(instance, &dag_id, 1, "run").await;
        let ours = begin.elapsed();
        let bare = by_hand(&python, instance.folder(), count, number);
        lines.push(line(count, number, ours, bare));
    }
    lines
}

fn line(count: usize, number: u32, ours: Duration, bare: Duration) -> String {
    let (ours, bare) = (ours.as_secs_f64(), bare.as_secs_f64());
    format!(
        "{count} × python fibonacci({number}) in a chain: {ours:.2} s, by hand {bare:.2} s: {:.1} ms and {:.1} % more per task",
        (ours - bare) * 1000.0 / count as f64,
        (ours / bare - 1.0) * 100.0
    )
}

fn by_hand(python: &str, folder: &Path, count: usize, number: u32) -> Duration {
    let call = format!("from fibonacci import fibonacci; fibonacci({number})");
    let begin = Instant::now();
    for _ in 0..count {
        let status = Command::new(python).args(["-c", &call]).current_dir(folder.join("dags")).status().unwrap();
        assert!(status.success());
    }
    begin.elapsed()
}

/// The interpreter itself: what stands first in `PATH` may be a script that looks for one.
fn python() -> String {
    let system = "/usr/bin/python3";
    if Path::new(system).is_file() {
        return system.to_owned();
    }
    let asked = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    String::from_utf8(asked.stdout).unwrap().trim().to_owned()
}
