//! The triggerer against a real Postgres: no node is there, and none is needed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, in its helpers too")]

use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use updraft_core::{
    dag::{Dag, Sensor, Task},
    lease::Lease,
    operator::OperatorKind::{self, Empty, ExternalTaskSensor, Hitl, TriggerDagRun},
    triggerer::hitl::{Answer, User},
};
use updraft_scheduler::Config;
use updraft_store::{
    Store, check,
    dispatch::{Classes, Rules},
    hitl,
    query::dags,
    runs::{self, ClearRequest, Trigger},
    sources::{Environment, Sources},
    testing::TestDb,
    versions::DagCache,
    wake::Signal,
};
use uuid::Uuid;

struct World {
    _db: TestDb,
    store: Store,
    stops: Vec<(CancellationToken, tokio::task::JoinHandle<()>)>,
}

fn task(id: &str, upstream: &[&str], operator: OperatorKind, args: Value) -> Task {
    let mut task = Task::new(id, operator, format!("airflow.providers.standard.operators.x.{operator:?}"));
    task.upstream = upstream.iter().map(|id| (*id).into()).collect();
    task.args = args.as_object().cloned().unwrap();
    task
}

impl World {
    /// Without a scheduler.
    async fn new() -> Self {
        // As the binary does first; an earlier test of this process may have.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let db = TestDb::new().await;
        let store = db.store().await;
        Self { _db: db, store, stops: Vec::new() }
    }

    async fn started() -> Self {
        let mut world = Self::new().await;
        world.scheduler();
        world
    }

    fn scheduler(&mut self) {
        let config = Config {
            dispatch: Rules::new(100),
            lease: Lease::new(Duration::from_secs(3600)),
            hostname: "here".into(),
            cached_instances: 1000,
            outbox: updraft_scheduler::outbox::Config::default(),
        };
        let stop = CancellationToken::new();
        let (store, token) = (self.store.clone(), stop.clone());
        let task = tokio::spawn(async move { updraft_scheduler::run(store, config, token).await.unwrap() });
        self.stops.push((stop, task));
    }

    async fn dag(&self, id: &str, tasks: Vec<Task>) {
        let mut dag = Dag::new(id);
        dag.tasks = tasks;
        let fk: i64 = sqlx::query_scalar(
            "insert into dag (dag_id, dag_display_name, bundle_name, relative_fileloc, fileloc)
             values ($1, $1, 'b', 'f', 'f') returning id",
        )
        .bind(id)
        .fetch_one(self.store.pool())
        .await
        .unwrap();
        sqlx::query(
            "with v as (insert into dag_version (dag_fk, version_number, hash, data, source, bundle_name)
                        values ($1, 1, 'h', $2, '', 'b') returning id)
             update dag set latest_version_id = (select id from v) where id = $1",
        )
        .bind(fk)
        .bind(serde_json::to_value(&dag).unwrap())
        .execute(self.store.pool())
        .await
        .unwrap();
    }

    async fn trigger_at(&self, dag_id: &str, logical_date: Option<&str>) -> i64 {
        let mut transaction = self.store.begin().await.unwrap();
        let trigger = Trigger {
            dag_id,
            run_id: Some(Uuid::new_v4().to_string().into()),
            logical_date: logical_date.map(|date| date.parse().unwrap()),
            data_interval: None,
            run_after: None,
            conf: None,
            note: None,
            triggered_by: "rest_api",
            user: None,
        };
        let run = runs::trigger(&mut transaction, &DagCache::default(), &trigger).await.unwrap();
        transaction.commit().await.unwrap();
        self.store.wake().ring(Signal::Dags);
        run
    }

    async fn trigger(&self, dag_id: &str) -> i64 {
        self.trigger_at(dag_id, None).await
    }

    /// Waits until a query says true, woken by signals.
    async fn until(&self, what: &'static str) {
        let mut bell = self.store.wake().subscribe();
        let done = async {
            while !sqlx::query_scalar::<_, bool>(what).fetch_one(self.store.pool()).await.unwrap() {
                let _ = tokio::time::timeout(Duration::from_millis(50), bell.recv()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), done).await.unwrap_or_else(|_| panic!("never true: {what}"));
    }

    async fn one<T>(&self, query: &'static str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query_scalar(query).fetch_one(self.store.pool()).await.unwrap()
    }

    async fn stop(self) {
        assert_eq!(check::invariants(&self.store).await.unwrap(), []);
        for (stop, task) in self.stops {
            stop.cancel();
            task.await.unwrap();
        }
    }
}

const ALL_ENDED: &str = "select bool_and(state in ('success', 'failed')) and count(*) > 0 from dag_run";

#[tokio::test(flavor = "multi_thread")]
async fn decisions_need_no_node_and_leave_their_result() {
    let world = World::started().await;
    world
        .dag(
            "d",
            vec![
                task("gate", &[], OperatorKind::ShortCircuit, json!({"condition": "{{ run_id }}"})),
                task("pick", &["gate"], OperatorKind::Branch, json!({"condition": "{{ 'a' }},b"})),
                task("a", &["pick"], Empty, json!({})),
                task("b", &["pick"], Empty, json!({})),
            ],
        )
        .await;
    world.trigger("d").await;
    world.until("select bool_and(state = 'success') and count(*) = 4 from task_instance").await;
    let followed: Value = world.one("select value from xcom where task_id = 'pick' and key = 'return_value'").await;
    assert_eq!(followed, json!(["a", "b"]));
    let shown: Value = world.one("select rendered_fields from task_instance where task_id = 'pick'").await;
    assert_eq!(shown, json!({"condition": "a,b"}));
    let host: String = world.one("select hostname from task_instance where task_id = 'pick'").await;
    assert_eq!(host, "here");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_render_has_no_secrets() {
    let mut world = World::new().await;
    let environment = Environment::new([("AIRFLOW_VAR_API_TOKEN".to_owned(), "s3cr3t-value".to_owned())]);
    world.store = world.store.clone().with_sources(Sources { environment, ..Sources::default() });
    world.scheduler();
    let text = "{{ macros.datetime.fromisoformat(var.value.api_token) }}";
    let mut when = task("when", &[], Empty, json!({}));
    when.when = Some(text.to_owned());
    let tasks = vec![
        task("broken", &[], OperatorKind::Branch, json!({"condition": text})),
        task("unknown", &[], OperatorKind::Branch, json!({"condition": "{{ var.value.api_token }}"})),
        when,
    ];
    world.dag("d", tasks).await;
    world.trigger("d").await;
    world.until("select bool_and(state = 'failed') and count(*) = 3 from task_instance").await;
    let kept: String = world.one("select string_agg(to_jsonb(t)::text, ' ') from task_instance t").await;
    assert!(!kept.contains("s3cr3t"), "{kept}");
    assert!(kept.contains("`***` is not an ISO 8601 datetime"), "{kept}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_previous_successful_run_is_known_where_the_server_renders() {
    let world = World::started().await;
    let text = "{{ prev_start_date_success is not none }}";
    let mut when = task("when", &[], Empty, json!({}));
    when.when = Some(text.to_owned());
    let gate = task("gate", &[], OperatorKind::ShortCircuit, json!({"condition": text}));
    world.dag("d", vec![gate, task("behind", &["gate"], Empty, json!({})), when]).await;
    world.trigger_at("d", Some("2026-01-01T00:00:00Z")).await;
    world.until(ALL_ENDED).await;
    world.trigger_at("d", Some("2026-01-02T00:00:00Z")).await;
    world.until("select count(*) = 2 and bool_and(state = 'success') from dag_run").await;
    let states: Vec<String> = sqlx::query_scalar(
        "select t.task_id || ' ' || t.state from task_instance t join dag_run r on r.id = t.dag_run_id
         order by r.logical_date, t.task_id",
    )
    .fetch_all(world.store.pool())
    .await
    .unwrap();
    assert_eq!(
        states,
        ["behind skipped", "gate success", "when skipped", "behind success", "gate success", "when success"]
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_does_not_render_fails_its_task_and_nobody_elses() {
    let world = World::started().await;
    let bad = task("bad", &[], OperatorKind::Branch, json!({"condition": "{{ params.nothing }}"}));
    let wrong = task("wrong", &[], OperatorKind::TimeDeltaSensor, json!({"delta": "soon"}));
    let good = task("good", &[], OperatorKind::ShortCircuit, json!({"condition": "yes"}));
    world.dag("d", vec![bad, wrong, good]).await;
    world.trigger("d").await;
    world.until(ALL_ENDED).await;
    let states: Vec<(String, String, Option<String>)> =
        sqlx::query_as("select task_id, state, failure_class from task_instance order by task_id")
            .fetch_all(world.store.pool())
            .await
            .unwrap();
    let expected = [
        ("bad", "failed", Some("template_error")),
        ("good", "success", None),
        ("wrong", "failed", Some("invalid_arguments")),
    ];
    assert_eq!(states, expected.map(|(id, state, class)| (id.into(), state.into(), class.map(str::to_owned))));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_waits_deferred_and_rings_on_time() {
    let world = World::started().await;
    let at = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now()) + Duration::from_secs(2);
    let target = json!({"target_time": at.to_rfc3339()});
    world.dag("d", vec![task("wait", &[], OperatorKind::DateTimeSensor, target)]).await;
    world.trigger("d").await;
    world.until("select state = 'deferred' from task_instance").await;
    assert_eq!(check::invariants(&world.store).await.unwrap(), []);
    world.until(ALL_ENDED).await;
    let late: f64 = sqlx::query_scalar("select extract(epoch from end_date - $1)::float8 from task_instance")
        .bind(at)
        .fetch_one(world.store.pool())
        .await
        .unwrap();
    assert!((0.0..1.0).contains(&late), "{late} s after its time");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_that_waited_too_long_fails_without_a_retry_or_is_skipped_softly() {
    let world = World::started().await;
    let sensor = Sensor { timeout: Duration::from_millis(300), ..Sensor::default() };
    let target = json!({"target_time": "2999-01-01T00:00:00Z"});
    let mut hard = task("hard", &[], OperatorKind::DateTimeSensor, target.clone());
    hard.sensor = Some(sensor);
    hard.retries = 3;
    let mut soft = task("soft", &[], OperatorKind::DateTimeSensor, target);
    soft.sensor = Some(Sensor { soft_fail: true, ..sensor });
    world.dag("d", vec![hard, soft]).await;
    world.trigger("d").await;
    world.until(ALL_ENDED).await;
    let hard: (String, i32, String) =
        sqlx::query_as("select state, try_number, failure_class from task_instance where task_id = 'hard'")
            .fetch_one(world.store.pool())
            .await
            .unwrap();
    assert_eq!(hard, ("failed".into(), 1, "sensor_timeout".into()));
    let soft: String = world.one("select state from task_instance where task_id = 'soft'").await;
    assert_eq!(soft, "skipped");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_triggered_run_is_made_once_and_its_end_wakes_who_waits_for_it() {
    let world = World::started().await;
    // The poke interval is a minute: what ends the wait is the end of the run.
    let args = json!({"trigger_dag_id": "child", "wait_for_completion": true, "conf": {"run": "{{ run_id }}"}});
    world.dag("parent", vec![task("go", &[], TriggerDagRun, args)]).await;
    world.dag("child", vec![task("wait", &[], Hitl, json!({"subject": "?", "options": ["Approve", "Reject"]}))]).await;
    world.trigger("parent").await;
    world.until("select count(*) = 1 from task_instance where task_id = 'go' and state = 'deferred'").await;
    world.until("select count(*) = 1 from task_instance where task_id = 'wait' and state = 'awaiting_input'").await;
    let kind: String =
        world.one("select r.run_type from dag_run r join dag d on d.id = r.dag_fk where d.dag_id = 'child'").await;
    assert_eq!(kind, "operator_triggered");
    let passed_on: bool = world.one("select c.conf ->> 'run' = p.run_id from dag_run_conf c, dag_run p join dag d on d.id = p.dag_fk where d.dag_id = 'parent'").await;
    assert!(passed_on);
    approve(&world.store, "alice").await;
    world.until(ALL_ENDED).await;
    let (state, named): (String, bool) = sqlx::query_as(
        "select t.state, x.value #>> '{}' = c.run_id
         from task_instance t join xcom x on x.dag_run_id = t.dag_run_id and x.key = 'trigger_run_id',
              dag_run c join dag d on d.id = c.dag_fk
         where t.task_id = 'go' and d.dag_id = 'child'",
    )
    .fetch_one(world.store.pool())
    .await
    .unwrap();
    assert_eq!((state.as_str(), named), ("success", true));
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_without_a_date_do_not_get_into_each_others_way() {
    let world = World::started().await;
    world.dag("child", vec![task("a", &[], Empty, json!({}))]).await;
    let dateless = |id: &str| task(id, &[], TriggerDagRun, json!({"trigger_dag_id": "child", "logical_date": null}));
    let dated = task("dated", &[], TriggerDagRun, json!({"trigger_dag_id": "child"}));
    world.dag("parent", vec![dateless("one"), dateless("two"), dated]).await;
    world.trigger("parent").await;
    world.until("select count(*) = 4 and bool_and(state = 'success') from dag_run").await;
    let without: i64 = world
        .one("select count(*) from dag_run where run_type = 'operator_triggered' and logical_date is null and data_interval_start is null")
        .await;
    assert_eq!(without, 2);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_exists_already_fails_skips_or_runs_again() {
    let world = World::started().await;
    world.dag("child", vec![task("a", &[], Empty, json!({}))]).await;
    let args = |more: Value| {
        let mut all = json!({"trigger_dag_id": "child", "trigger_run_id": "once"});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let again = |id: &str, more| task(id, &["first"], TriggerDagRun, args(more));
    let first = task("first", &[], TriggerDagRun, args(json!({"wait_for_completion": true, "poke_interval": 1})));
    let fails = again("fails", json!({}));
    let skips = again("skips", json!({"skip_when_already_exists": true}));
    let resets = again("resets", json!({"reset_dag_run": true, "wait_for_completion": true}));
    let nowhere = task("nowhere", &[], TriggerDagRun, json!({"trigger_dag_id": "no_such_dag"}));
    world.dag("parent", vec![first, fails, skips, resets, nowhere]).await;
    world.trigger("parent").await;
    world.until(ALL_ENDED).await;
    let states: Vec<(String, String)> = sqlx::query_as(
        "select t.task_id, t.state from task_instance t join dag_run r on r.id = t.dag_run_id join dag d on d.id = r.dag_fk
         where d.dag_id = 'parent' order by 1",
    )
    .fetch_all(world.store.pool())
    .await
    .unwrap();
    let expected =
        [("fails", "failed"), ("first", "success"), ("nowhere", "failed"), ("resets", "success"), ("skips", "skipped")];
    assert_eq!(states, expected.map(|(id, state)| (id.to_owned(), state.to_owned())));
    let cleared: i32 = world.one("select clear_number from dag_run where run_id = 'once'").await;
    assert_eq!(cleared, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sensor_sees_tasks_of_another_dag_at_the_same_logical_date() {
    let world = World::started().await;
    let mut sensor = task(
        "wait",
        &[],
        ExternalTaskSensor,
        json!({"external_dag_id": "other", "external_task_id": "a", "check_existence": true}),
    );
    sensor.sensor = Some(Sensor { poke_interval: Duration::from_secs(1), ..Sensor::default() });
    world.dag("d", vec![sensor]).await;
    world.dag("other", vec![task("a", &[], Empty, json!({}))]).await;
    world.trigger_at("d", Some("2026-01-01T00:00:00Z")).await;
    world.trigger_at("other", Some("2026-01-02T00:00:00Z")).await;
    world.until("select count(*) = 1 from attempt where (trigger_state ->> 'looks')::integer >= 2").await;
    world.until("select state = 'deferred' from task_instance where task_id = 'wait'").await;
    world.trigger_at("other", Some("2026-01-01T00:00:00Z")).await;
    world.until("select state = 'success' from task_instance where task_id = 'wait'").await;
    world.stop().await;
}

/// Answers every open question with `Approve`.
async fn approve(store: &Store, name: &str) {
    let mut transaction = store.begin().await.unwrap();
    let open: Vec<(i64, Uuid)> =
        sqlx::query_as("select dag_run_id, attempt_id from hitl_detail where responded_at is null")
            .fetch_all(&mut *transaction)
            .await
            .unwrap();
    for (run, attempt) in open {
        let answer = Answer {
            chosen_options: vec!["Approve".into()],
            params_input: serde_json::Map::new(),
            by: Some(User { id: name.into(), name: name.into() }),
            at: std::time::SystemTime::now().into(),
        };
        assert!(hitl::wake(&mut transaction, attempt).await.unwrap().is_some());
        assert!(hitl::answer(&mut transaction, run, attempt, &answer).await.unwrap());
        assert!(!hitl::answer(&mut transaction, run, attempt, &answer).await.unwrap(), "the first answer wins");
    }
    transaction.commit().await.unwrap();
    store.wake().ring(Signal::Trigger);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_waits_without_a_slot_until_it_is_answered() {
    let world = World::started().await;
    let ask = json!({"subject": "Ship {{ run_id }}?", "options": ["Approve", "Reject"]});
    world.dag("d", vec![task("ask", &[], Hitl, ask), task("ship", &["ask"], Empty, json!({}))]).await;
    world.trigger("d").await;
    world.until("select count(*) = 1 from task_instance where task_id = 'ask' and state = 'awaiting_input'").await;
    let rendered: bool = world.one("select h.subject = 'Ship ' || r.run_id || '?' from hitl_detail h, dag_run r").await;
    assert!(rendered);
    assert_eq!(check::invariants(&world.store).await.unwrap(), []);
    approve(&world.store, "alice").await;
    world.until(ALL_ENDED).await;
    let result: Value = world.one("select value from xcom where key = 'return_value'").await;
    assert_eq!(
        (&result["chosen_options"], &result["responded_by_user"]["name"]),
        (&json!(["Approve"]), &json!("alice"))
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_in_time_the_defaults_count_or_the_task_fails() {
    let world = World::started().await;
    let ask = |id: &str, more: Value| {
        let mut all = json!({"subject": "?", "options": ["Approve", "Reject"], "response_timeout": 0.3});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        task(id, &[], Hitl, all)
    };
    world.dag("d", vec![ask("silent", json!({})), ask("trusting", json!({"defaults": ["Approve"]}))]).await;
    world.trigger("d").await;
    world.until(ALL_ENDED).await;
    let states: Vec<(String, String, Option<String>)> =
        sqlx::query_as("select task_id, state, failure_class from task_instance order by 1")
            .fetch_all(world.store.pool())
            .await
            .unwrap();
    let expected = [
        ("silent".into(), "failed".into(), Some("response_timeout".into())),
        ("trusting".into(), "success".into(), None),
    ];
    assert_eq!(states, expected);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_a_waiting_task_asks_anew_at_once() {
    let world = World::started().await;
    world.dag("d", vec![task("ask", &[], Hitl, json!({"subject": "?", "options": ["Approve"]}))]).await;
    let run = world.trigger("d").await;
    world.until("select count(*) = 1 from task_instance where state = 'awaiting_input'").await;
    let mut transaction = world.store.begin().await.unwrap();
    let request = ClearRequest {
        dag_run_id: run,
        selection: updraft_core::plan::Selection::default(),
        reset_dag_run: true,
        run_on_latest_version: None,
        dry_run: false,
        by: "alice",
    };
    let cleared = runs::clear(&mut transaction, &Classes::default(), &DagCache::default(), &request).await.unwrap();
    transaction.commit().await.unwrap();
    match cleared {
        runs::Mutated::Done(outcome) => outcome.ring(&world.store),
        runs::Mutated::NoRun => panic!("the run is there"),
    }
    world.until("select count(*) = 2 from hitl_detail").await;
    world.until("select count(*) = 1 from task_instance where state = 'awaiting_input' and try_number = 2").await;
    let current: i64 =
        world.one("select count(*) from hitl_detail h join attempt a on a.attempt_id = h.attempt_id").await;
    assert_eq!(current, 1, "the question of the fenced try is closed");
    approve_current(&world).await;
    world.until(ALL_ENDED).await;
    world.stop().await;
}

async fn approve_current(world: &World) {
    sqlx::query("delete from hitl_detail h where not exists (select from attempt a where a.attempt_id = h.attempt_id)")
        .execute(world.store.pool())
        .await
        .unwrap();
    approve(&world.store, "alice").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_dag_begins_nothing_and_goes_on_waiting() {
    let world = World::started().await;
    let pause = async |paused: bool| {
        let mut transaction = world.store.begin().await.unwrap();
        assert!(dags::set_paused(&mut transaction, "d", paused).await.unwrap());
        transaction.commit().await.unwrap();
        world.store.wake().ring(Signal::Dags);
    };
    let ask = json!({"subject": "?", "options": ["Approve", "Reject"]});
    let gate = task("gate", &["ask"], OperatorKind::ShortCircuit, json!({"condition": "yes"}));
    world.dag("d", vec![task("ask", &[], Hitl, ask), gate]).await;
    world.trigger("d").await;
    world.until("select count(*) = 1 from task_instance where state = 'awaiting_input'").await;
    pause(true).await;
    approve(&world.store, "alice").await;
    world.until("select state = 'success' from task_instance where task_id = 'ask'").await;
    let gate: String = world.one("select state from task_instance where task_id = 'gate'").await;
    assert_eq!(gate, "none");
    pause(false).await;
    world.until(ALL_ENDED).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_schedulers_share_the_looks_and_nothing_happens_twice() {
    let mut world = World::new().await;
    world.dag("child", vec![task("a", &[], Empty, json!({}))]).await;
    let args = json!({"trigger_dag_id": "child"});
    let go = (0..20).map(|n| task(&format!("go{n}"), &[], TriggerDagRun, args.clone()));
    let gates =
        (0..20).map(|n| task(&format!("gate{n}"), &[], OperatorKind::ShortCircuit, json!({"condition": "yes"})));
    world.dag("d", go.chain(gates).collect()).await;
    sqlx::query("update dag set max_active_runs = 100").execute(world.store.pool()).await.unwrap();
    world.scheduler();
    world.scheduler();
    world.trigger("d").await;
    world.until("select count(*) = 21 and bool_and(state = 'success') from dag_run").await;
    let tries: i32 = world.one("select max(try_number) from task_instance").await;
    assert_eq!(tries, 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_shows_a_heart_of_the_triggerer() {
    let world = World::started().await;
    world.until("select count(*) = 1 from job where job_type = 'TriggererJob' and state = 'running'").await;
    world.stop().await;
}
