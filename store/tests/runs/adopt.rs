//! §14: a run follows the versions of its DAG; fix the file and clear.

use std::sync::Arc;

use serde_json::{Value, json};
use updraft_core::{
    dag::{Dag, MapInput, Mapping, MappingKind, Task},
    ids::RunId,
    plan::{self as decide, Change, Event, Facts, Finished, Scope, Selection, Started, TaskRef},
    spec::Outcome,
    state::DagRunState,
};
use updraft_store::{
    check,
    plan::{self, Planned},
    runs::{self, ClearRequest, Mutated, Trigger},
};

use crate::seed::{Seed, daily, task};

/// A DAG with one running run.
struct World {
    seed: Seed,
    dag: i64,
    run: i64,
    versions: i32,
}

impl World {
    /// `commit`: the bundle version that pins the run; a folder has none.
    async fn new(dag: &Dag, commit: Option<&str>) -> Self {
        let seed = Seed::new().await;
        let key = seed.dag(dag, None).await;
        if let Some(commit) = commit {
            seed.execute(&format!("update dag_version set bundle_version = '{commit}'")).await;
        }
        let mut transaction = seed.store.begin().await.unwrap();
        let trigger = Trigger {
            dag_id: "d",
            run_id: Some(RunId::from("r")),
            logical_date: None,
            data_interval: None,
            run_after: None,
            conf: None,
            note: None,
            triggered_by: "test",
            user: None,
        };
        let run = runs::trigger(&mut transaction, &seed.dags, &trigger).await.unwrap();
        transaction.commit().await.unwrap();
        let world = Self { seed, dag: key, run, versions: 1 };
        world.start().await;
        world
    }

    async fn start(&self) {
        assert_eq!(runs::start_queued(&self.seed.store).await.unwrap().len(), 1);
        self.pass(&[]).await;
    }

    /// The file was changed.
    async fn change(&mut self, dag: &Dag, commit: Option<&str>) {
        self.versions += 1;
        self.seed.version(self.dag, self.versions, dag, commit).await;
    }

    /// What the reactor does with a run that it does not know.
    async fn pass(&self, changes: &[Change]) {
        let mut transaction = self.seed.store.begin().await.unwrap();
        let locked = plan::lock_one(&mut transaction, self.run).await.unwrap().unwrap();
        let (row, now) = plan::read_row(&mut transaction, locked).await.unwrap();
        let version = row.follows.filter(|_| !row.run.state.is_finished()).unwrap_or(row.dag_version_id);
        let dag: Arc<Dag> = self.seed.dags.get(&mut *transaction, version).await.unwrap();
        if version != row.dag_version_id {
            runs::adopt(&mut transaction, &row, &dag, now).await.unwrap();
        }
        let dag_fk = row.dag_fk;
        let state = plan::load(&mut transaction, vec![(row, dag)]).await.unwrap().pop().unwrap();
        let decided = decide::plan(&state, changes, Scope::All, &Facts::default(), now, &mut plan::new_attempt_id);
        assert!(decided.needs.is_empty(), "{:?}", decided.needs);
        let planned = Planned { dag_fk, dag_version_id: version, state: &state, plan: &decided, tag: rand::random() };
        plan::write(&mut transaction, &self.seed.classes, now, &[planned]).await.unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(check::invariants(&self.seed.store).await.unwrap(), []);
    }

    async fn succeed(&self, task_id: &str, map_index: i32) {
        let attempt = self
            .seed
            .ask(&format!(
                "select attempt_id::text from attempt where task_id = '{task_id}' and map_index = {map_index}"
            ))
            .await;
        let finished = Finished {
            started: Started::default(),
            at: None,
            outcome: Outcome::Success,
            exit_code: Some(0),
            failure: None,
            no_retry: false,
            retry_delay: None,
            decision: None,
            rendered_fields: None,
            rendered_map_index: None,
            outlet_events: None,
        };
        let event = Event::Finished(Box::new(finished));
        let attempt = updraft_core::ids::AttemptId(attempt.parse().unwrap());
        self.pass(&[Change { task_id: task_id.into(), map_index, attempt, event }]).await;
    }

    async fn clear(&self, tasks: &[&str], run_on_latest_version: Option<bool>) {
        let named = |id: &&str| TaskRef { task_id: (*id).to_owned(), map_index: None };
        let request = ClearRequest {
            dag_run_id: self.run,
            selection: Selection { tasks: Some(tasks.iter().map(named).collect()), ..Selection::default() },
            reset_dag_run: true,
            dry_run: false,
            run_on_latest_version,
            by: "ann",
        };
        let mut transaction = self.seed.store.begin().await.unwrap();
        let cleared = runs::clear(&mut transaction, &self.seed.classes, &self.seed.dags, &request).await.unwrap();
        assert!(matches!(cleared, Mutated::Done(_)));
        transaction.commit().await.unwrap();
        assert_eq!(check::invariants(&self.seed.store).await.unwrap(), []);
    }

    /// `a scheduled`, `each[0] none`, in order.
    async fn states(&self) -> Vec<String> {
        let states = self
            .seed
            .ask(
                "select task_id || case when map_index < 0 then '' else '[' || map_index || ']' end || ' ' || state
                 from task_instance order by task_id, map_index",
            )
            .await;
        states.lines().map(ToOwned::to_owned).collect()
    }

    async fn version(&self) -> String {
        self.seed
            .ask(
                "select v.version_number || ' ' || coalesce(r.bundle_version, 'unpinned')
                 from dag_run r join dag_version v on v.id = r.dag_version_id",
            )
            .await
    }
}

/// `first` → `each`, over a list in the file.
fn over(items: &Value) -> Dag {
    let mapping = Mapping {
        kind: MappingKind::Foreach,
        inputs: [("item".to_owned(), MapInput::Literal(items.clone()))].into_iter().collect(),
    };
    let mut dag = daily("d", &["first"]);
    dag.tasks.push(Task { mapping: Some(mapping), ..task("each", Some("first")) });
    dag
}

#[tokio::test]
async fn a_task_that_is_new_joins_a_run_that_goes_on() {
    let mut world = World::new(&daily("d", &["a"]), None).await;
    assert_eq!(world.states().await, ["a scheduled"]);
    world.change(&daily("d", &["a", "b"]), None).await;
    world.pass(&[]).await;
    assert_eq!(
        (world.states().await, world.version().await),
        (vec!["a scheduled".into(), "b none".into()], "2 unpinned".into())
    );
    world.succeed("a", -1).await;
    assert_eq!(world.states().await, ["a success", "b scheduled"]);
}

#[tokio::test]
async fn a_task_that_is_gone_is_removed_unless_it_is_over_and_comes_back_undecided() {
    let mut world = World::new(&daily("d", &["a", "b", "c"]), None).await;
    world.succeed("a", -1).await;
    assert_eq!(world.states().await, ["a success", "b scheduled", "c none"]);
    world.change(&daily("d", &["x"]), None).await;
    world.pass(&[]).await;
    assert_eq!(world.states().await, ["a success", "b removed", "c removed", "x scheduled"]);
    assert_eq!(world.seed.ask("select task_id from attempt").await, "x", "the attempt of b is fenced");
    world.change(&daily("d", &["a", "b", "c"]), None).await;
    world.pass(&[]).await;
    assert_eq!(world.states().await, ["a success", "b scheduled", "c none", "x removed"]);
}

/// Cleared while it ran, then gone: nothing of its stop is left behind.
#[tokio::test]
async fn a_task_that_is_gone_while_it_restarts_is_removed() {
    let mut world = World::new(&daily("d", &["a"]), None).await;
    world.clear(&["a"], None).await;
    assert_eq!(world.states().await, ["a restarting"]);
    world.change(&daily("d", &["x"]), None).await;
    world.pass(&[]).await;
    assert_eq!(world.states().await, ["a removed", "x scheduled"]);
}

#[tokio::test]
async fn a_changed_list_reaches_a_run_that_is_cleared() {
    for (items, expected) in [
        (json!(["a", "b"]), vec!["each[0] scheduled", "each[1] scheduled", "each[2] removed", "first success"]),
        (
            json!(["a", "b", "c", "d"]),
            vec!["each[0] scheduled", "each[1] scheduled", "each[2] scheduled", "each[3] scheduled", "first success"],
        ),
    ] {
        let mut world = World::new(&over(&json!(["a", "b", "c"])), None).await;
        world.succeed("first", -1).await;
        for index in 0..3 {
            world.succeed("each", index).await;
        }
        assert_eq!(world.seed.ask("select state from dag_run").await, "success");
        world.change(&over(&items), None).await;
        world.clear(&["each"], None).await;
        world.start().await;
        assert_eq!(world.states().await, expected, "{items}");
    }
}

/// From a list to none and back: the instances of one kind make room for those of the other.
#[tokio::test]
async fn a_task_may_be_mapped_no_more_and_mapped_again() {
    let mut world = World::new(&over(&json!(["a", "b"])), None).await;
    world.change(&daily("d", &["first", "each"]), None).await;
    world.pass(&[]).await;
    assert_eq!(world.states().await, ["each none", "each[0] removed", "each[1] removed", "first scheduled"]);
    world.change(&over(&json!(["a", "b", "c"])), None).await;
    world.succeed("first", -1).await;
    let expected = ["each[0] scheduled", "each[1] scheduled", "each[2] scheduled", "first success"];
    assert_eq!(world.states().await, expected);
}

#[tokio::test]
async fn a_pinned_run_keeps_its_version_unless_it_is_cleared_onto_the_latest() {
    let mut world = World::new(&daily("d", &["a"]), Some("abc")).await;
    world.change(&daily("d", &["a", "b"]), Some("def")).await;
    world.succeed("a", -1).await;
    assert_eq!((world.states().await, world.version().await), (vec!["a success".into()], "1 abc".into()));
    world.clear(&["a"], Some(false)).await;
    assert_eq!((world.states().await, world.version().await), (vec!["a none".into()], "1 abc".into()));
    world.start().await;
    world.succeed("a", -1).await;
    assert_eq!(world.seed.ask("select state from dag_run").await, DagRunState::Success.as_str());
    world.clear(&["a"], Some(true)).await;
    assert_eq!((world.states().await, world.version().await), (vec!["a none".into(), "b none".into()], "2 def".into()));
}

/// Request → the DAG's own setting → no (§11.3).
#[tokio::test]
async fn the_dag_says_whether_a_clear_goes_to_the_latest_version_when_the_request_does_not() {
    for (setting, expected) in [(None, "1 abc"), (Some(false), "1 abc"), (Some(true), "2 def")] {
        let mut dag = daily("d", &["a"]);
        dag.rerun_with_latest_version = setting;
        let mut world = World::new(&dag, Some("abc")).await;
        world.succeed("a", -1).await;
        world.change(&daily("d", &["a", "b"]), Some("def")).await;
        world.clear(&["a"], None).await;
        assert_eq!(world.version().await, expected, "{setting:?}");
    }
}
