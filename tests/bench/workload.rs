//! What is run, and what is read from it afterwards.

use std::{
    collections::HashMap,
    fmt::Write,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::instance::Instance;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Decided in the scheduler.
    Empty,
    /// Handed to a node and reported back, nothing run.
    Noop,
    Process,
    Docker,
    /// The same in a container without a network.
    DockerOffline,
    /// The same as processes of a container that the run's tasks share.
    DockerShared,
}

impl Kind {
    pub(crate) fn is_docker(self) -> bool {
        matches!(self, Self::Docker | Self::DockerOffline | Self::DockerShared)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// One after the other.
    Chain(usize),
    /// One, then this many side by side, then one.
    Fan(usize),
}

pub(crate) struct Workload {
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
    /// At the same time.
    pub(crate) runs: usize,
}

pub(crate) struct Measured {
    pub(crate) tasks: usize,
    pub(crate) seconds: f64,
    /// End of the last upstream to start, sorted. Milliseconds.
    gaps: Vec<f64>,
}

impl Measured {
    /// A percentile of the time between tasks.
    pub(crate) fn gap_ms(&self, share: f64) -> Option<f64> {
        percentile(&self.gaps, share)
    }
}

/// A percentile of what is sorted.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((share * last as f64).round() as usize).copied()
}

/// Start and end of one task, seconds since the epoch.
type Span = (f64, f64);

impl Workload {
    pub(crate) fn name(&self) -> String {
        let shape = match self.shape {
            Shape::Chain(length) => format!("chain of {length}"),
            Shape::Fan(width) => format!("1→{width}→1"),
        };
        let runs = if self.runs == 1 { String::new() } else { format!("{} × ", self.runs) };
        format!("{:?}: {runs}{shape}", self.kind).to_lowercase()
    }

    fn dag_id(&self) -> String {
        let shape = match self.shape {
            Shape::Chain(length) => format!("chain_{length}"),
            Shape::Fan(width) => format!("fan_{width}"),
        };
        format!("{:?}_{shape}_{}", self.kind, self.runs).to_lowercase()
    }

    /// Writes the DAG, runs it once to warm up what only the first run pays (images, bundles, caches), then measures.
    pub(crate) async fn run(&self, instance: &Instance) -> Measured {
        let dag_id = self.dag_id();
        let ledger = instance.folder().join(format!("{dag_id}.ledger"));
        fs::write(instance.folder().join(format!("dags/{dag_id}.yaml")), self.yaml(&ledger)).unwrap();
        loaded(instance, &dag_id).await;
        trigger_and_wait(instance, &dag_id, 1, "warm").await;
        fs::write(&ledger, "").unwrap();
        let begin = Instant::now();
        trigger_and_wait(instance, &dag_id, self.runs, "run").await;
        let seconds = begin.elapsed().as_secs_f64();

        let mut measured = Measured { tasks: 0, seconds, gaps: Vec::new() };
        let ledger = read_ledger(&ledger);
        for number in 0..self.runs {
            let run_id = format!("run_{number}");
            let spans = match self.kind {
                Kind::Process => ledger.get(&run_id).cloned().unwrap_or_default(),
                _ => read_spans(instance, &dag_id, &run_id).await,
            };
            measured.tasks += spans.len();
            measured.gaps.extend(self.gaps(&spans));
        }
        measured.gaps.sort_by(f64::total_cmp);
        measured
    }

    fn gaps(&self, spans: &HashMap<String, Span>) -> Vec<f64> {
        let mut gaps = Vec::new();
        for (task, upstreams) in self.edges() {
            let ends = upstreams.iter().filter_map(|upstream| Some(spans.get(upstream)?.1));
            let last = ends.fold(f64::NEG_INFINITY, f64::max);
            if let Some((start, _)) = spans.get(&task)
                && last.is_finite()
            {
                gaps.push((start - last) * 1000.0);
            }
        }
        gaps
    }

    /// Each task that has upstreams, with them. Of a fan only the first slots' worth start at once, hence only its end counts.
    fn edges(&self) -> Vec<(String, Vec<String>)> {
        match self.shape {
            Shape::Chain(length) => (1..length).map(|n| (format!("t{n}"), vec![format!("t{}", n - 1)])).collect(),
            Shape::Fan(width) => vec![("last".into(), (0..width).map(|n| format!("t{n}")).collect())],
        }
    }

    fn yaml(&self, ledger: &Path) -> String {
        let body = match self.kind {
            Kind::Empty => "empty:".to_owned(),
            Kind::Noop => "noop:".to_owned(),
            // Builtins only: the shell's own fork and exec is the task.
            Kind::Process => format!(
                "bash: 'S=$EPOCHREALTIME; echo \"{{{{ run_id }}}} {{{{ ti.task_id }}}} $S $EPOCHREALTIME\" >> {}'",
                ledger.display()
            ),
            Kind::Docker => "docker: {image: busybox, command: [\"true\"]}".to_owned(),
            Kind::DockerOffline => "docker: {image: busybox, command: [\"true\"], network_mode: none}".to_owned(),
            Kind::DockerShared => "docker: {image: busybox, command: [\"true\"], reuse: run}".to_owned(),
        };
        let mut yaml = "max_active_runs: 100\nmax_active_tasks: 1000\ntasks:\n".to_owned();
        let mut task = |name: &str, depends_on: &str| {
            write!(yaml, "  {name}:\n    {body}\n").expect("a String takes everything");
            if !depends_on.is_empty() {
                writeln!(yaml, "    depends_on: [{depends_on}]").expect("a String takes everything");
            }
        };
        match self.shape {
            Shape::Chain(length) => {
                for n in 0..length {
                    let upstream = if n == 0 { String::new() } else { format!("t{}", n - 1) };
                    task(&format!("t{n}"), &upstream);
                }
            }
            Shape::Fan(width) => {
                task("first", "");
                let mut all = Vec::new();
                for n in 0..width {
                    task(&format!("t{n}"), "first");
                    all.push(format!("t{n}"));
                }
                task("last", &all.join(", "));
            }
        }
        yaml
    }
}

/// Waits until the server has read a DAG's file.
pub(crate) async fn loaded(instance: &Instance, dag_id: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while instance.get(&format!("/api/v2/dags/{dag_id}")).await["dag_id"].is_null() {
        assert!(Instant::now() < deadline, "the DAG {dag_id} does not load");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) async fn trigger_and_wait(instance: &Instance, dag_id: &str, runs: usize, prefix: &str) {
    let path = format!("/api/v2/dags/{dag_id}/dagRuns");
    let triggers =
        (0..runs).map(|number| async move { instance.api.trigger(dag_id, &format!("{prefix}_{number}")).await });
    futures::future::join_all(triggers).await;
    let deadline = Instant::now() + Duration::from_mins(5);
    for number in 0..runs {
        loop {
            let run = instance.get(&format!("{path}/{prefix}_{number}")).await;
            match run["state"].as_str() {
                Some("success") => break,
                Some("failed") => panic!("a run of {dag_id} failed: {}", failed(instance, &run).await),
                _ => {
                    assert!(Instant::now() < deadline, "{dag_id} does not end: {run}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    }
}

/// The first failed task of a run with its tries, for people.
async fn failed(instance: &Instance, run: &Value) -> Value {
    let (dag_id, run_id) = (run["dag_id"].as_str().unwrap(), run["dag_run_id"].as_str().unwrap());
    let found =
        instance.get(&format!("/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances?state=failed&limit=1")).await;
    let task_id = found["task_instances"][0]["task_id"].as_str().unwrap_or_default();
    instance.get(&format!("/ui/tries/{dag_id}/{run_id}/{task_id}")).await
}

async fn read_spans(instance: &Instance, dag_id: &str, run_id: &str) -> HashMap<String, Span> {
    let mut spans = HashMap::new();
    loop {
        let offset = spans.len();
        let path = format!("/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=100&offset={offset}");
        let page = instance.get(&path).await;
        let tasks = page["task_instances"].as_array().cloned().unwrap_or_default();
        if tasks.is_empty() {
            return spans;
        }
        for task in tasks {
            let name = task["task_id"].as_str().unwrap_or_default().to_owned();
            spans.insert(name, (instant(&task["start_date"]), instant(&task["end_date"])));
        }
    }
}

fn instant(value: &Value) -> f64 {
    let parsed = value.as_str().and_then(|text| text.parse::<DateTime<Utc>>().ok());
    parsed.map_or(f64::NAN, |at| at.timestamp_micros() as f64 / 1e6)
}

/// Run → task → span, from the lines that the tasks wrote.
fn read_ledger(file: &Path) -> HashMap<String, HashMap<String, Span>> {
    let mut runs: HashMap<String, HashMap<String, Span>> = HashMap::new();
    for line in fs::read_to_string(file).unwrap_or_default().lines() {
        if let [run, task, start, end] = line.split(' ').collect::<Vec<_>>()[..] {
            let span = (start.parse().unwrap_or(f64::NAN), end.parse().unwrap_or(f64::NAN));
            runs.entry(run.to_owned()).or_default().insert(task.to_owned(), span);
        }
    }
    runs
}
