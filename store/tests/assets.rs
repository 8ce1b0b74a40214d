//! Assets against a real Postgres: registration, events, the queue, and the runs that come of it (semantics §15).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, in its helpers too")]

use std::sync::Arc;

use serde_json::{Map, json};
use updraft_core::{
    asset::{AssetExpression, AssetRef},
    dag::{Dag, Schedule, Task},
    operator::OperatorKind,
};
use updraft_store::{
    Store,
    assets::{self, NewEvent, Source},
    check,
    dags::{self, DagWrite, VersionWrite},
    query::{assets as rows, filter::Page},
    runs::{self, Blueprints},
    testing::TestDb,
    versions::DagCache,
};

struct World {
    store: Store,
    dags: DagCache,
    _db: TestDb,
}

fn one(name: &str) -> AssetExpression {
    AssetExpression::One(AssetRef::asset(name, name))
}

fn all(members: &[AssetExpression]) -> AssetExpression {
    AssetExpression::All(members.to_vec())
}

fn any(members: &[AssetExpression]) -> AssetExpression {
    AssetExpression::Any(members.to_vec())
}

/// A DAG that waits for assets, and has room for many runs.
fn consumer(dag_id: &str, expression: AssetExpression) -> Dag {
    let mut dag = Dag::new(dag_id);
    dag.schedule = Schedule::Assets { expression, timetable: None };
    dag.max_active_runs = 1000;
    dag.tasks = vec![Task::new("read", OperatorKind::Bash, "airflow.providers.standard.operators.bash.BashOperator")];
    dag
}

impl World {
    async fn new() -> Self {
        let db = TestDb::new().await;
        Self { store: db.store().await, dags: DagCache::default(), _db: db }
    }

    /// Writes a DAG as the DAG processor does.
    async fn write(&self, dag: &Dag) {
        let mut transaction = self.store.begin().await.unwrap();
        let (locked, _) = dags::lock(&mut transaction, &[dag.dag_id.to_string()]).await.unwrap();
        let row = locked.get(dag.dag_id.as_str());
        let number = row.and_then(|row| row.version.as_ref()).map_or(1, |version| version.version_number + 1);
        let write = DagWrite {
            dag,
            hash: &dag.hash(),
            id: row.map(|row| row.id),
            is_paused: false,
            bundle_name: "main",
            relative_fileloc: "d.yaml",
            fileloc: "/dags/d.yaml".to_owned(),
            owners: "airflow",
            timetable_summary: None,
            timetable_description: "",
            parse_duration: 0.0,
            version: VersionWrite::New { number },
            source: "",
            bundle_hash: None,
            bundle_version: None,
            next_dagrun: None,
        };
        dags::write_dag(&mut transaction, &write).await.unwrap();
        transaction.commit().await.unwrap();
    }

    async fn emit(&self, events: &[NewEvent<'_>]) -> Vec<i64> {
        let mut transaction = self.store.begin().await.unwrap();
        let now = dags::now(&mut transaction).await.unwrap();
        let ids = assets::emit(&mut transaction, now, events).await.unwrap();
        transaction.commit().await.unwrap();
        ids
    }

    /// An event from the API, and the runs it makes.
    async fn event(&self, name: &str) -> usize {
        assert_eq!(self.emit(&[event(name)]).await.len(), 1, "{name}");
        self.due().await
    }

    async fn due(&self) -> usize {
        assets::create_due(&self.store, &self.dags).await.unwrap()
    }

    async fn set(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(self.store.pool()).await.unwrap();
    }

    /// The runs of a DAG in order, each by the names of the assets whose events it took.
    async fn runs(&self, dag_id: &str) -> Vec<String> {
        sqlx::query_scalar(
            "select coalesce((select string_agg(a.name, '' order by e.id) from dag_run_asset_event t
                              join asset_event e on e.id = t.event_id join asset a on a.id = e.asset_id
                              where t.dag_run_id = r.id), '')
             from dag_run r join dag d on d.id = r.dag_fk where d.dag_id = $1 order by r.id",
        )
        .bind(dag_id)
        .fetch_all(self.store.pool())
        .await
        .unwrap()
    }

    async fn queued(&self, dag_id: &str) -> usize {
        let mut connection = self.store.pool().acquire().await.unwrap();
        assets::queued(&mut connection, Some(dag_id), None, None).await.unwrap().len()
    }

    async fn active(&self) -> Vec<String> {
        sqlx::query_scalar("select uri from asset where is_active order by uri")
            .fetch_all(self.store.pool())
            .await
            .unwrap()
    }
}

fn event(name: &str) -> NewEvent<'_> {
    NewEvent { name, uri: name, extra: Map::new(), aliases: vec![], partition_key: None, source: None }
}

#[tokio::test]
async fn consumers_run_as_in_the_table() {
    let world = World::new().await;
    let (a, b, c) = (one("A"), one("B"), one("C"));
    world.write(&consumer("or", any(&[a.clone(), b.clone()]))).await;
    world.write(&consumer("and", all(&[a.clone(), b.clone()]))).await;
    world.write(&consumer("mixed", all(&[a.clone(), any(&[b.clone(), c.clone()])]))).await;
    assert_eq!(world.event("A").await, 1);
    assert_eq!(world.event("A").await, 1);
    assert_eq!(world.event("B").await, 3);
    assert_eq!(world.runs("or").await, ["A", "A", "B"]);
    assert_eq!(world.runs("and").await, ["AAB"]);
    assert_eq!(world.runs("mixed").await, ["AAB"]);
    assert_eq!(world.event("C").await, 0, "C alone does not fire");
    assert_eq!(world.event("A").await, 2);
    assert_eq!(world.runs("mixed").await, ["AAB", "CA"]);
    assert_eq!(world.queued("and").await, 1, "A waits for B");
}

/// `AssetOrTimeSchedule`: events make runs as without a timetable, time makes them as without assets, and neither takes the
/// other's place.
#[tokio::test]
async fn a_dag_of_assets_or_time_has_runs_of_both() {
    let world = World::new().await;
    let mut dag = consumer("either", one("a"));
    let daily = Schedule::cron("0 0 * * *", dag.timezone);
    dag.schedule = Schedule::Assets { expression: one("a"), timetable: Some(Box::new(daily)) };
    dag.start_date = Some("2020-01-01T00:00:00Z".parse().unwrap());
    world.write(&dag).await;
    world
        .set(
            "update dag set next_dagrun = date_trunc('day', now()), next_dagrun_data_interval_start = date_trunc('day', now()),
                            next_dagrun_data_interval_end = date_trunc('day', now()),
                            next_dagrun_create_after = date_trunc('day', now())",
        )
        .await;
    let types = async || -> Vec<String> {
        let sql =
            "select run_type || case when logical_date is null then '' else ' at a date' end from dag_run order by id";
        sqlx::query_scalar(sql).fetch_all(world.store.pool()).await.unwrap()
    };
    assert_eq!(runs::create_due(&world.store, &Blueprints::default()).await.unwrap(), 1);
    assert_eq!(types().await, ["scheduled at a date"], "no event was needed");
    assert_eq!(world.event("a").await, 1);
    assert_eq!(types().await, ["scheduled at a date", "asset_triggered"], "no tick was needed");
    assert_eq!(world.runs("either").await, ["", "a"], "the scheduled run takes no event");
    assert_eq!(runs::create_due(&world.store, &Blueprints::default()).await.unwrap(), 0);
    let next: bool = sqlx::query_scalar("select next_dagrun_create_after > now() from dag")
        .fetch_one(world.store.pool())
        .await
        .unwrap();
    assert!(next, "the asset's run does not move the timetable's");
}

#[tokio::test]
async fn a_run_says_what_made_it() {
    let world = World::new().await;
    world.write(&consumer("d", one("A"))).await;
    world.event("A").await;
    let (run_id, run_type, triggered_by, dates, is_newest): (String, String, String, bool, bool) = sqlx::query_as(
        "select r.run_id, r.run_type, r.triggered_by,
                r.logical_date is null and r.data_interval_start is null and r.data_interval_end is null,
                r.run_after = (select max(timestamp) from asset_event)
         from dag_run r",
    )
    .fetch_one(world.store.pool())
    .await
    .unwrap();
    let suffix = run_id.strip_prefix("asset_triggered__20").unwrap().rsplit('_').next().unwrap();
    assert_eq!((suffix.len(), run_type.as_str(), triggered_by.as_str()), (8, "asset_triggered", "asset"));
    assert!(dates && is_newest, "{run_id}");
    let mut connection = world.store.pool().acquire().await.unwrap();
    let page = Page { limit: 10, ..Page::default() };
    let events = rows::events(&mut connection, &rows::EventFilter::default(), &page).await.unwrap().rows;
    assert_eq!(events[0].created_dagruns[0].run_id, run_id);
    assert!(events[0].created_dagruns[0].triggering);
    let tasks: i64 =
        sqlx::query_scalar("select count(*) from task_instance").fetch_one(world.store.pool()).await.unwrap();
    assert_eq!(tasks, 1, "the run has its instances");
}

#[tokio::test]
async fn events_of_a_pause_trigger_nothing_and_go_along_with_the_next_run() {
    let world = World::new().await;
    world.write(&consumer("d", one("A"))).await;
    world.set("update dag set is_paused = true").await;
    assert_eq!(world.event("A").await, 0);
    assert_eq!(world.queued("d").await, 0);
    world.set("update dag set is_paused = false").await;
    assert_eq!(world.due().await, 0, "unpausing makes no run");
    assert_eq!(world.event("A").await, 1);
    assert_eq!(world.runs("d").await, ["AA"]);
}

#[tokio::test]
async fn a_pause_after_the_event_holds_the_run_until_it_ends() {
    let world = World::new().await;
    world.write(&consumer("d", one("A"))).await;
    world.emit(&[event("A")]).await;
    world.set("update dag set is_paused = true").await;
    assert_eq!(world.due().await, 0);
    world.set("update dag set is_paused = false").await;
    assert_eq!(world.due().await, 1);
}

#[tokio::test]
async fn a_consumer_without_room_takes_everything_once_it_has_some() {
    let world = World::new().await;
    let mut dag = consumer("d", one("A"));
    dag.max_active_runs = 1;
    world.write(&dag).await;
    assert_eq!(world.event("A").await, 1);
    assert_eq!(world.event("A").await, 0);
    assert_eq!(world.event("A").await, 0);
    world.set("update dag_run set state = 'success'").await;
    assert_eq!(world.due().await, 1);
    assert_eq!(world.runs("d").await, ["A", "AA"]);
}

#[tokio::test]
async fn an_event_out_of_the_queue_triggers_nothing_and_is_not_lost() {
    let world = World::new().await;
    world.write(&consumer("d", all(&[one("A"), one("B")]))).await;
    assert_eq!(world.event("A").await, 0);
    let mut connection = world.store.pool().acquire().await.unwrap();
    assert_eq!(assets::dequeue(&mut connection, Some("d"), None, None).await.unwrap(), 1);
    assert_eq!(world.event("B").await, 0, "A is not there any more");
    assert_eq!(world.event("A").await, 1);
    assert_eq!(world.runs("d").await, ["ABA"]);
}

#[tokio::test]
async fn the_first_run_takes_older_events_only_with_catchup() {
    let world = World::new().await;
    world.write(&consumer("first", one("A"))).await;
    world.event("A").await;
    world.write(&consumer("without", one("A"))).await;
    let mut with = consumer("with", one("A"));
    with.catchup = true;
    world.write(&with).await;
    assert_eq!(world.due().await, 0, "what is over triggers nothing");
    assert_eq!(world.event("A").await, 3);
    assert_eq!(world.event("A").await, 3);
    assert_eq!(world.runs("without").await, ["A", "A"]);
    assert_eq!(world.runs("with").await, ["AA", "A"]);
}

#[tokio::test]
async fn an_asset_out_of_the_file_is_inactive_and_waits_for_nobody() {
    let world = World::new().await;
    world.write(&consumer("d", all(&[one("A"), one("B")]))).await;
    assert_eq!(world.active().await, ["A", "B"]);
    assert_eq!(world.event("A").await, 0);
    world.write(&consumer("d", all(&[one("B"), one("C")]))).await;
    assert_eq!((world.active().await, world.queued("d").await), (vec!["B".to_owned(), "C".to_owned()], 0));
    assert_eq!(world.emit(&[event("A")]).await.len(), 0, "nobody names A any more");
    world.write(&consumer("d", all(&[one("A"), one("B")]))).await;
    assert_eq!(world.event("B").await, 0, "the old event of A is gone with the schedule");
    assert_eq!(world.event("A").await, 1);
}

#[tokio::test]
async fn a_consumer_that_goes_leaves_nothing_and_may_come_back() {
    let world = World::new().await;
    let mut producer = Dag::new("p");
    producer.tasks = vec![Task::new("write", OperatorKind::Empty, "x.EmptyOperator")];
    producer.tasks[0].outlets = vec![AssetRef::asset("A", "A")];
    world.write(&producer).await;
    world.write(&consumer("d", all(&[one("A"), one("B")]))).await;
    world.emit(&[event("A")]).await;
    let mut transaction = world.store.begin().await.unwrap();
    let gone = [("d".to_owned(), "d.yaml".to_owned())];
    assert_eq!(dags::mark_stale(&mut transaction, "main", &gone).await.unwrap(), 1);
    transaction.commit().await.unwrap();
    assert_eq!(
        (world.active().await, world.queued("d").await),
        (vec!["A".to_owned()], 0),
        "the producer still names A"
    );
    world.emit(&[event("A")]).await;
    world.write(&consumer("d", one("A"))).await;
    assert_eq!(world.due().await, 0, "what happened while it was gone is not its own");
    assert_eq!(world.event("A").await, 1);
}

#[tokio::test]
async fn a_try_emits_once() {
    let world = World::new().await;
    world.write(&consumer("d", any(&[one("A"), one("B")]))).await;
    let of = |name: &'static str, ordinal, try_number| {
        let source = Source { dag_run: 7, dag_id: "p", run_id: "r", task_id: "t", map_index: -1, try_number, ordinal };
        NewEvent { source: Some(source), ..event(name) }
    };
    assert_eq!(world.emit(&[of("A", 0, 1), of("B", 1, 1)]).await.len(), 2);
    assert_eq!(world.emit(&[of("A", 0, 1), of("B", 1, 1)]).await.len(), 0, "the same try again");
    assert_eq!(world.emit(&[of("A", 0, 2)]).await.len(), 1, "a try after a clear");
    assert_eq!(world.due().await, 1);
    assert_eq!(world.runs("d").await, ["ABA"]);
}

#[tokio::test]
async fn an_alias_makes_the_asset_and_triggers_who_waits_for_it() {
    let world = World::new().await;
    let alias = AssetRef::Alias { name: "daily".to_owned(), group: "asset".to_owned() };
    world.write(&consumer("by_alias", AssetExpression::One(alias))).await;
    let by_uri = AssetRef::Ref { name: None, uri: Some("s3://lake/1".to_owned()) };
    world.write(&consumer("by_uri", AssetExpression::One(by_uri))).await;
    let through = |aliases| NewEvent { aliases, uri: "s3://lake/1", ..event("day one") };
    assert_eq!(world.emit(&[through(vec![])]).await.len(), 0, "no DAG defines the asset");
    assert_eq!(world.emit(&[through(vec!["daily"])]).await.len(), 1);
    assert_eq!(world.due().await, 2);
    assert_eq!(world.emit(&[through(vec![])]).await.len(), 1, "the alias stands for it from now on");
    assert_eq!(world.due().await, 1);
    assert_eq!((world.runs("by_alias").await.len(), world.runs("by_uri").await.len()), (1, 2));
}

#[tokio::test]
async fn events_with_a_partition_key_wait_for_nobody() {
    let world = World::new().await;
    world.write(&consumer("d", one("A"))).await;
    let keyed = NewEvent { partition_key: Some("2026-01-01"), ..event("A") };
    assert_eq!(world.emit(&[keyed]).await.len(), 1);
    assert_eq!((world.due().await, world.queued("d").await), (0, 0));
}

#[tokio::test]
async fn of_two_assets_with_one_name_the_first_is_active_until_it_goes() {
    let world = World::new().await;
    let named = |uri: &str| AssetExpression::One(AssetRef::asset("orders", uri));
    world.write(&consumer("first", named("s3://a/"))).await;
    world.write(&consumer("second", named("s3://b/"))).await;
    assert_eq!(world.active().await, ["s3://a/"]);
    world.write(&consumer("first", one("other"))).await;
    assert_eq!(world.active().await, ["other", "s3://b/"]);
}

#[tokio::test]
async fn what_a_producer_says_of_an_asset_outlasts_a_consumers_bare_uri() {
    let world = World::new().await;
    let mut producer = Dag::new("p");
    producer.tasks = vec![Task::new("write", OperatorKind::Empty, "x.EmptyOperator")];
    producer.tasks[0].outlets = vec![AssetRef::Asset {
        name: "A".to_owned(),
        uri: "A".to_owned(),
        group: "sales".to_owned(),
        extra: json!({"owner": "me"}).as_object().unwrap().clone(),
    }];
    world.write(&producer).await;
    world.write(&consumer("d", one("A"))).await;
    let mut connection = world.store.pool().acquire().await.unwrap();
    let page = Page { limit: 10, ..Page::default() };
    let found = rows::page(&mut connection, &rows::AssetFilter::default(), &page).await.unwrap().rows;
    let asset = &found[0];
    assert_eq!((asset.group.as_str(), &asset.extra), ("sales", &json!({"owner": "me"})));
    assert_eq!(
        (asset.scheduled_dags[0].dag_id.as_str(), asset.producing_tasks[0].task_id.as_deref()),
        ("d", Some("write"))
    );
}

/// Events come from several transactions at once while two schedulers look: every consumer takes every event, once.
#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_or_taken_twice_by_schedulers_that_race() {
    const EMITTERS: usize = 4;
    const EVENTS: usize = 25;
    let world = Arc::new(World::new().await);
    world.write(&consumer("or", any(&[one("A"), one("B")]))).await;
    world.write(&consumer("and", all(&[one("A"), one("B")]))).await;
    let emitters: Vec<_> = (0..EMITTERS)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move {
                for n in 0..EVENTS {
                    world.emit(&[event(if n % 2 == 0 { "A" } else { "B" })]).await;
                }
            })
        })
        .collect();
    let schedulers: Vec<_> = (0..2)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move {
                let dags = DagCache::default();
                let mut made = 0;
                for _ in 0..40 {
                    made += assets::create_due(&world.store, &dags).await.unwrap();
                }
                made
            })
        })
        .collect();
    for emitter in emitters {
        emitter.await.unwrap();
    }
    for scheduler in schedulers {
        scheduler.await.unwrap();
    }
    world.event("A").await;
    world.event("B").await;
    let total = EMITTERS * EVENTS + 2;
    for dag_id in ["or", "and"] {
        let runs = world.runs(dag_id).await;
        let taken: usize = runs.iter().map(String::len).sum();
        assert_eq!(taken, total, "{dag_id}: every event once: {runs:?}");
        assert!(runs.iter().all(|events| !events.is_empty()), "{dag_id}: no run without an event: {runs:?}");
        if dag_id == "and" {
            assert!(runs.iter().all(|events| events.contains('A') && events.contains('B')), "{runs:?}");
        }
    }
    let waiting: i64 =
        sqlx::query_scalar("select count(*) from asset_dag_run_queue").fetch_one(world.store.pool()).await.unwrap();
    assert_eq!(waiting, 0);
    assert_eq!(check::invariants(&world.store).await.unwrap(), []);
}
