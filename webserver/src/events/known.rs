//! What readers know, and what they are told when it is no longer so.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};
use updraft_store::query::changes::{Catalog, DagState, ImportErrorState, InstanceRow, RunRow, Since};

use super::ring::Change;
use crate::{api::task_instances, permission::Kind, time::Timestamp};

/// Of a run with more changed task instances than this at once, only that is told.
pub(super) const INSTANCES: usize = 100;
/// Runs that are remembered. Of a run that was forgotten something may be told twice.
const RUNS: usize = 10_000;

/// The state that was told last.
#[derive(Default)]
pub(super) struct Known {
    catalog: Catalog,
    runs: HashMap<i64, Told>,
}

/// Of a run.
struct Told {
    dag_id: String,
    run_id: String,
    state: String,
    since: Since,
}

impl Known {
    /// Readers begin by reading everything, which is this or newer.
    pub(super) fn new(catalog: Catalog) -> Self {
        Self { catalog, runs: HashMap::new() }
    }

    pub(super) fn has_new(&self, runs: &BTreeSet<i64>) -> bool {
        runs.iter().any(|run| !self.runs.contains_key(run))
    }

    /// Since when the instances of these runs are to be asked for.
    pub(super) fn since(&self, runs: &BTreeSet<i64>) -> BTreeMap<i64, Since> {
        runs.iter().map(|run| (*run, self.since_of(*run))).collect()
    }

    fn since_of(&self, run: i64) -> Since {
        self.runs.get(&run).map(|known| known.since).unwrap_or_default()
    }

    /// What is new of the runs that were asked for. `None`: one is gone of which nobody knows what it was, so nobody can be told.
    pub(super) fn learn_runs(&mut self, asked: &BTreeSet<i64>, rows: Vec<RunRow>) -> Option<Vec<Change>> {
        if self.runs.len() > RUNS {
            self.runs.clear();
        }
        let mut changes = Vec::new();
        let mut gone = asked.clone();
        for row in rows {
            gone.remove(&row.id);
            // A run's end is the last that is told of it.
            changes.extend(instances(&row));
            if self.runs.get(&row.id).is_none_or(|known| known.state != row.state) {
                changes.push(run(&row));
            }
            let since = row.since(self.since_of(row.id));
            let RunRow { id, dag_id, run_id, state, .. } = row;
            self.runs.insert(id, Told { dag_id, run_id, state, since });
        }
        for id in gone {
            let Told { dag_id, run_id, .. } = self.runs.remove(&id)?;
            let data = json!({"dag_id": dag_id, "dag_run_id": run_id, "deleted": true});
            changes.push(change(Kind::DagRun, Some(&dag_id), "dag_run", &data));
        }
        Some(changes)
    }

    /// What of the catalogue is not as it was.
    pub(super) fn learn_catalog(&mut self, now: Catalog) -> Vec<Change> {
        let was = std::mem::replace(&mut self.catalog, now);
        let now = &self.catalog;
        let mut changes = compare(&was.dags, &now.dags, |dag_id, state| dag(dag_id, state));
        changes.extend(compare(&was.executors, &now.executors, |name, state| executor(name, state)));
        changes.extend(compare(&was.import_errors, &now.import_errors, |id, state| import_error(*id, state)));
        changes
    }
}

/// An event for each entry that is new, different, or (`None`) gone.
fn compare<K: Ord, V: PartialEq>(
    was: &BTreeMap<K, V>,
    now: &BTreeMap<K, V>,
    event: impl Fn(&K, Option<&V>) -> Change,
) -> Vec<Change> {
    let changed = now.iter().filter(|(key, value)| was.get(key) != Some(value)).map(|(key, value)| (key, Some(value)));
    let gone = was.keys().filter(|key| !now.contains_key(key)).map(|key| (key, None));
    changed.chain(gone).map(|(key, value)| event(key, value)).collect()
}

fn dag(dag_id: &str, state: Option<&DagState>) -> Change {
    let data = match state {
        Some(state) => json!({
            "dag_id": dag_id,
            "is_paused": state.is_paused,
            "is_stale": state.is_stale,
            "has_import_errors": state.has_import_errors,
            "next_dagrun_run_after": state.next_dagrun_create_after.map(Timestamp::from),
        }),
        None => json!({"dag_id": dag_id, "deleted": true}),
    };
    change(Kind::Dag, Some(dag_id), "dag", &data)
}

fn run(row: &RunRow) -> Change {
    let RunRow { dag_id, run_id, run_type, state, .. } = row;
    let data = json!({"dag_id": dag_id, "dag_run_id": run_id, "run_type": run_type, "state": state});
    change(Kind::DagRun, Some(dag_id), "dag_run", &data)
}

fn instances(row: &RunRow) -> Vec<Change> {
    let RunRow { dag_id, run_id, instances, .. } = row;
    if instances.len() > INSTANCES {
        let data = json!({"dag_id": dag_id, "dag_run_id": run_id});
        return vec![change(Kind::TaskInstance, Some(dag_id), "task_instances", &data)];
    }
    let one = |instance: &InstanceRow| {
        let data = json!({
            "dag_id": dag_id,
            "dag_run_id": run_id,
            "task_id": instance.task_id,
            "map_index": instance.map_index,
            "state": task_instances::state(&instance.state),
            "try_number": instance.try_number,
        });
        change(Kind::TaskInstance, Some(dag_id), "task_instance", &data)
    };
    instances.iter().map(one).collect()
}

fn executor(name: &str, state: Option<&String>) -> Change {
    let data = match state {
        Some(state) => json!({"name": name, "state": state}),
        None => json!({"name": name, "deleted": true}),
    };
    change(Kind::Executor, None, "executor", &data)
}

fn import_error(id: i64, state: Option<&ImportErrorState>) -> Change {
    let data = match state {
        Some(ImportErrorState { bundle_name, filename, timestamp }) => json!({
            "import_error_id": id,
            "bundle_name": bundle_name,
            "filename": filename,
            "timestamp": Timestamp::from(*timestamp),
        }),
        None => json!({"import_error_id": id, "deleted": true}),
    };
    change(Kind::ImportError, None, "import_error", &data)
}

/// JSON has no line breaks between its tokens and none within, so one `data` line holds it.
fn change(kind: Kind, dag_id: Option<&str>, name: &str, data: &Value) -> Change {
    Change { kind, dag_id: dag_id.map(str::to_owned), text: format!("event: {name}\ndata: {data}\n") }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use sqlx::types::Json;

    use super::*;

    fn row(id: i64, state: &str, instances: usize) -> RunRow {
        let instance = |index: usize| InstanceRow {
            task_id: "t".to_owned(),
            map_index: index as i32,
            state: if index == 0 { "none" } else { "running" }.to_owned(),
            try_number: 1,
        };
        RunRow {
            id,
            dag_id: "etl".to_owned(),
            run_id: "r".to_owned(),
            run_type: "manual".to_owned(),
            state: state.to_owned(),
            updated_at: DateTime::UNIX_EPOCH,
            placed_at: None,
            instances: Json((0..instances).map(instance).collect()),
        }
    }

    fn texts(changes: &[Change]) -> Vec<&str> {
        changes.iter().map(|change| change.text.as_str()).collect()
    }

    #[test]
    fn a_run_is_told_once_per_state_and_its_instances_whenever_they_were_written() {
        let mut known = Known::default();
        let runs = BTreeSet::from([1]);
        assert_eq!(known.since(&runs)[&1], Since::default());
        let changes = known.learn_runs(&runs, vec![row(1, "running", 2)]).unwrap();
        insta::assert_snapshot!(texts(&changes).concat(), @r#"
        event: task_instance
        data: {"dag_id":"etl","dag_run_id":"r","task_id":"t","map_index":0,"state":null,"try_number":1}
        event: task_instance
        data: {"dag_id":"etl","dag_run_id":"r","task_id":"t","map_index":1,"state":"running","try_number":1}
        event: dag_run
        data: {"dag_id":"etl","dag_run_id":"r","run_type":"manual","state":"running"}
        "#);
        assert_eq!(known.since(&runs)[&1].written, Some(DateTime::UNIX_EPOCH));
        let changes = known.learn_runs(&runs, vec![row(1, "running", 1)]).unwrap();
        assert_eq!(changes.len(), 1, "{changes:?}");
    }

    #[test]
    fn of_many_instances_only_that_is_told() {
        let mut known = Known::default();
        let changes = known.learn_runs(&BTreeSet::from([1]), vec![row(1, "running", INSTANCES + 1)]).unwrap();
        assert_eq!(texts(&changes)[0], "event: task_instances\ndata: {\"dag_id\":\"etl\",\"dag_run_id\":\"r\"}\n");
        assert_eq!(changes.len(), 2);
    }

    #[test]
    fn a_deleted_run_is_told_to_those_who_know_it() {
        let mut known = Known::default();
        let runs = BTreeSet::from([1]);
        known.learn_runs(&runs, vec![row(1, "success", 0)]).unwrap();
        let changes = known.learn_runs(&runs, Vec::new()).unwrap();
        let expected = "event: dag_run\ndata: {\"dag_id\":\"etl\",\"dag_run_id\":\"r\",\"deleted\":true}\n";
        assert_eq!(texts(&changes), [expected]);
        assert_eq!(known.learn_runs(&runs, Vec::new()), None, "nobody knows what it was");
    }

    #[test]
    fn the_catalogue_is_compared() {
        let dag = |is_paused| DagState {
            is_paused,
            is_stale: false,
            has_import_errors: false,
            latest_version_id: Some(1),
            next_dagrun_create_after: Some(DateTime::UNIX_EPOCH),
        };
        let error = ImportErrorState {
            bundle_name: "dags-folder".to_owned(),
            filename: "b.yaml".to_owned(),
            timestamp: DateTime::UNIX_EPOCH,
        };
        let before = Catalog {
            dags: [("same", true), ("unpaused", true), ("gone", true)].map(|(id, p)| (id.to_owned(), dag(p))).into(),
            executors: [("n1".to_owned(), "active".to_owned())].into(),
            import_errors: [(7, error.clone())].into(),
        };
        let mut known = Known::new(before.clone());
        assert_eq!(known.learn_catalog(before), []);
        let changes = known.learn_catalog(Catalog {
            dags: [("same", true), ("unpaused", false)].map(|(id, p)| (id.to_owned(), dag(p))).into(),
            executors: [("n1".to_owned(), "lost".to_owned())].into(),
            import_errors: [(8, error)].into(),
        });
        insta::assert_snapshot!(texts(&changes).concat(), @r#"
        event: dag
        data: {"dag_id":"unpaused","is_paused":false,"is_stale":false,"has_import_errors":false,"next_dagrun_run_after":"1970-01-01T00:00:00Z"}
        event: dag
        data: {"dag_id":"gone","deleted":true}
        event: executor
        data: {"name":"n1","state":"lost"}
        event: import_error
        data: {"import_error_id":8,"bundle_name":"dags-folder","filename":"b.yaml","timestamp":"1970-01-01T00:00:00Z"}
        event: import_error
        data: {"import_error_id":7,"deleted":true}
        "#);
    }
}
