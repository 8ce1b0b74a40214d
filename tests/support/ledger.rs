//! What tasks say of themselves: each appends its start and its end, with its attempt, to one file. Held against the attempts that
//! the database knows, it tells whether anything ran unknown, twice, or was lost.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::Path,
};

use updraft_store::Store;
use uuid::Uuid;

/// A try of a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) run: String,
    pub(crate) task: String,
    pub(crate) try_number: i32,
}

/// A bash script, indented for a DAG file, that writes the ledger around `work`.
pub(crate) fn script(ledger: &Path, work: &str) -> String {
    let line = |what: &str| {
        format!(
            "echo \"{what} {{{{ run_id }}}} {{{{ ti.task_id }}}} {{{{ ti.try_number }}}} $UPDRAFT_ATTEMPT_ID\" >> {}",
            ledger.display()
        )
    };
    format!("    bash: |\n      {}\n      {work}\n      {}\n", line("start"), line("end"))
}

/// What the ledger says.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The tries that ended, each once.
    pub(crate) ended: BTreeSet<Key>,
    /// The tries that began while an earlier one of the same task had not ended.
    pub(crate) overlapping: usize,
}

impl Ledger {
    /// How many tries ended so far, nothing checked.
    pub(crate) fn count_ended(file: &Path) -> usize {
        fs::read_to_string(file).unwrap_or_default().lines().filter(|line| line.starts_with("end ")).count()
    }

    /// Reads it and holds it against the attempts: every line is an attempt's that the database knows, no try ended twice, and a try
    /// overlapped an earlier one only when that was lost with its node. `hint` is said when something is wrong.
    pub(crate) async fn check(store: &Store, file: &Path, hint: &str) -> Self {
        let known: Vec<(String, String, i32, Uuid, Option<String>)> = sqlx::query_as(
            "select r.run_id, t.task_id, t.try_number, t.attempt_id, t.failure_class
             from task_instance t join dag_run r on r.id = t.dag_run_id
             union all
             select r.run_id, h.task_id, h.try_number, h.attempt_id, h.failure_class
             from task_instance_history h join dag_run r on r.id = h.dag_run_id",
        )
        .fetch_all(store.pool())
        .await
        .unwrap();
        let attempts: HashMap<Uuid, (Key, Option<String>)> = known
            .into_iter()
            .map(|(run, task, try_number, attempt, class)| (attempt, (Key { run, task, try_number }, class)))
            .collect();
        let mut ledger = Self::default();
        let mut open: HashMap<(String, String), BTreeMap<i32, Uuid>> = HashMap::new();
        let text = fs::read_to_string(file).unwrap();
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [what, run, task, try_number, attempt] = words[..] else { panic!("half a line: {line:?} ({hint})") };
            let attempt: Uuid = attempt.parse().unwrap();
            let key = Key { run: run.into(), task: task.into(), try_number: try_number.parse().unwrap() };
            let (known, _) = attempts.get(&attempt).unwrap_or_else(|| panic!("nobody knows of {line:?} ({hint})"));
            assert_eq!(known, &key, "{hint}");
            let tries = open.entry((key.run.clone(), key.task.clone())).or_default();
            if what == "start" {
                // Whatever has not ended here was lost with its node, or killed with it: never simply forgotten.
                for earlier in tries.values() {
                    let class = attempts[earlier].1.as_deref();
                    assert!(
                        matches!(class, Some("node_lost" | "launch_timeout" | "node_error" | "signal")),
                        "{line:?} overlaps an earlier try that ended as {class:?} ({hint})"
                    );
                }
                ledger.overlapping += usize::from(!tries.is_empty());
                tries.insert(key.try_number, attempt);
            } else {
                assert!(ledger.ended.insert(key.clone()), "{line:?} ended twice ({hint})");
                tries.remove(&key.try_number);
            }
        }
        ledger
    }
}
