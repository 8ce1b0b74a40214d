//! What the lists of the REST API read in a deployment of 1,000 DAGs, 10,000 runs and 1,000,000 task instances.
//!
//! Not what a plan promises but what it did: Postgres counts, per table, the sequential scans of a transaction and the rows they
//! and the indexes fetched.
#![expect(clippy::unwrap_used, reason = "a test ends where something it needs does not work")]

use std::{collections::BTreeMap, time::Duration};

use sqlx::{ConnectOptions, Connection, PgConnection, Row};
use updraft_store::{
    Store,
    query::{
        calendar::{self, Granularity},
        dag_overview::{self, OverviewFilter},
        dag_runs::{self, RunFilter},
        dags::{self, DagFilter},
        event_logs::{self, EventLogFilter},
        filter::{Order, OrderBy, Page, Range},
        grid::{self, Window},
        home, needs, pool_use, search,
        seek::{Position, Seek},
        task_instances::{self, TiFilter},
        totals::Totals,
        versions::{self, VersionFilter},
        xcoms::{self, XComFilter},
    },
    testing::TestDb,
    waiting,
};

const SEED: &str = include_str!("../../tests/data/large.sql");
/// Rows of a page.
const LIMIT: i64 = 100;
/// A statement is planned with its values five times before Postgres may keep a plan without them.
const TIMES: usize = 7;

/// A list and its filter.
enum List {
    Tis(Box<TiFilter>),
    Runs(Box<RunFilter>),
    Dags(DagFilter),
    Versions(VersionFilter),
    Logs(EventLogFilter),
    XComs(XComFilter),
}

/// Where a page begins.
#[derive(Clone)]
enum Place {
    Start,
    /// By offset, where the second page begins.
    Second,
    /// By cursor; `None`: at the start.
    Cursor(Option<Position>),
}

/// Sequential scans and rows read, per table.
type Reads = BTreeMap<String, (i64, i64)>;

impl List {
    fn names(&self) -> OrderBy {
        match self {
            Self::Tis(_) => task_instances::ORDER_BY,
            Self::Runs(_) => dag_runs::ORDER_BY,
            Self::Dags(_) => dags::ORDER_BY,
            Self::Versions(_) => versions::ORDER_BY,
            Self::Logs(_) => event_logs::ORDER_BY,
            Self::XComs(_) => xcoms::ORDER_BY,
        }
    }

    /// The tables that must not be read whole: those that grow with every run, and the list's own. Where Postgres joins a hundred
    /// rows with a thousand DAGs it may well read the DAGs.
    fn tables(&self) -> &'static [&'static str] {
        match self {
            Self::Dags(_) => &["dag", "dag_version"],
            Self::Versions(_) => &["dag_version"],
            _ => &["task_instance", "dag_run", "log", "xcom"],
        }
    }

    /// How many rows a page has.
    async fn page(&self, connection: &mut PgConnection, page: &Page) -> usize {
        match self {
            Self::Tis(filter) => task_instances::page(connection, filter, page).await.unwrap().rows.len(),
            Self::Runs(filter) => dag_runs::page(connection, filter, page).await.unwrap().rows.len(),
            Self::Dags(filter) => dags::page(connection, filter, page).await.unwrap().rows.len(),
            Self::Versions(filter) => versions::page(connection, filter, page).await.unwrap().rows.len(),
            Self::Logs(filter) => event_logs::page(connection, filter, page).await.unwrap().rows.len(),
            Self::XComs(filter) => xcoms::page(connection, filter, page).await.unwrap().rows.len(),
        }
    }

    /// The most that a page read, of some that were asked for one after the other, and its rows.
    async fn reads(&self, connection: &mut PgConnection, order: &[&str], place: Place) -> (Reads, usize) {
        let order = order.iter().map(|name| sort_key(self.names(), name)).collect();
        // Counted once, and not again meanwhile.
        let totals = Totals::kept_for(u32::MAX, Duration::from_hours(1));
        let (offset, seek) = match place {
            Place::Start => (0, None),
            Place::Second => (LIMIT, None),
            Place::Cursor(from) => (0, Some(Seek { from, backwards: false })),
        };
        let page = Page { limit: LIMIT, offset, order, seek, totals };
        self.page(connection, &page).await;
        let (mut most, mut rows) = (Reads::new(), 0);
        for _ in 0..TIMES {
            let before = counters(connection).await;
            rows = self.page(connection, &page).await;
            for (table, (scans, read)) in counters(connection).await {
                let (old_scans, old_read) = before.get(&table).copied().unwrap_or_default();
                let most = most.entry(table).or_default();
                *most = (most.0.max(scans - old_scans), most.1.max(read - old_read));
            }
        }
        (most, rows)
    }
}

fn sort_key(names: OrderBy, name: &str) -> Order {
    let (name, descending) = name.strip_prefix('-').map_or((name, false), |name| (name, true));
    let (_, expression, kind) = names.iter().find(|(known, ..)| *known == name).unwrap();
    Order { expression, kind, descending }
}

async fn counters(connection: &mut PgConnection) -> Reads {
    let rows = sqlx::query(
        "select relname::text, seq_scan, seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
}

/// The large deployment with some instances at work: of the newest run of every hundredth DAG the first nine.
async fn large() -> (TestDb, Store) {
    let db = TestDb::new().await;
    let options: sqlx::postgres::PgConnectOptions = db.url.parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    for part in [
        "set seed.dags = 1000; set seed.runs = 10; set seed.tasks = 100",
        SEED,
        "update dag_run set state = 'running', end_date = null
         where id in (select max(r.id) from dag_run r join dag d on d.id = r.dag_fk where d.dag_id like '%00' group by d.id);
         insert into attempt (attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight,
                              run_order, pool, pool_slots, executor_id, placed_at, started_at)
         select t.attempt_id, t.dag_run_id, t.task_id, t.map_index, 1, r.dag_fk, 1, 1, r.run_after, t.pool, 1, 1, now(), now()
         from task_instance t join dag_run r on r.id = t.dag_run_id where r.state = 'running' and t.task_id like 'task\\__';
         update task_instance t set state = 'running', end_date = null from attempt a where a.attempt_id = t.attempt_id
             and a.dag_run_id = t.dag_run_id and a.task_id = t.task_id",
        "vacuum analyze",
    ] {
        sqlx::raw_sql(part).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let store = db.store().await;
    (db, store)
}

/// A place in the middle of a list.
async fn middle(connection: &mut PgConnection, columns: &str) -> Place {
    let sql = format!(
        "select array[{columns}] from dag_run r join task_instance t on t.dag_run_id = r.id
         where r.id = (select max(id) / 2 from dag_run) and t.task_id = 'task_50'"
    );
    let from: Position = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(connection).await.unwrap();
    Place::Cursor(Some(from))
}

#[tokio::test]
async fn lists_read_what_they_show_and_not_the_table() {
    let (_db, store) = large().await;
    let mut connection = store.pool().acquire().await.unwrap();
    let dag = || Some("large_0500".to_owned());
    let run = || Some("scheduled__2025-01-05T00:00:00+00:00".to_owned());
    let running = || vec!["running".to_owned()];
    let day = Range { gte: Some("2025-01-06T00:00:00Z".parse().unwrap()), ..Range::default() };
    let by_run_after = middle(&mut connection, "r.run_after::text, r.id::text, t.task_id, t.map_index::text").await;
    let runs_by_run_after = middle(&mut connection, "r.run_after::text, r.id::text").await;
    let by_id = middle(&mut connection, "r.id::text").await;
    let by_map_index = middle(&mut connection, "t.map_index::text, t.dag_run_id::text, t.task_id").await;
    let first = || Place::Cursor(None);

    let tis = |filter: TiFilter| List::Tis(Box::new(filter));
    let runs = |filter: RunFilter| List::Runs(Box::new(filter));
    let logs = |filter: EventLogFilter| List::Logs(filter);
    let all = TiFilter::default;
    let (all_runs, all_logs) = (RunFilter::default, EventLogFilter::default);
    let of_dag = || RunFilter { dag_id: dag(), ..RunFilter::default() };
    // A list, its order, where the page begins, the rows it has, and how many of any table it may read.
    let cases: Vec<(List, &[&str], Place, usize, i64)> = vec![
        (tis(all()), &["map_index"], Place::Start, 100, 120),
        (tis(all()), &["-map_index"], Place::Start, 100, 120),
        (tis(all()), &["map_index"], Place::Second, 100, 320),
        (tis(all()), &["id"], Place::Start, 100, 120),
        (tis(all()), &["-id"], Place::Start, 100, 120),
        (tis(all()), &["run_after"], Place::Start, 100, 500),
        (tis(all()), &["-run_after"], Place::Start, 100, 500),
        (tis(all()), &["map_index"], first(), 100, 120),
        (tis(all()), &["map_index"], by_map_index, 100, 120),
        (tis(all()), &["-run_after"], by_run_after, 100, 500),
        (tis(TiFilter { state: running(), ..all() }), &["map_index"], Place::Start, 90, 220),
        (tis(TiFilter { dag_id: dag(), ..all() }), &["map_index"], Place::Start, 100, 1_100),
        (tis(TiFilter { dag_id: dag(), run_id: run(), ..all() }), &["map_index"], Place::Start, 100, 220),
        (
            tis(TiFilter { dag_id: dag(), task_id: Some("task_7".to_owned()), ..all() }),
            &["map_index"],
            Place::Start,
            10,
            120,
        ),
        (runs(all_runs()), &["id"], Place::Start, 100, 120),
        (runs(all_runs()), &["-id"], Place::Start, 100, 120),
        (runs(all_runs()), &["-run_after"], Place::Start, 100, 120),
        (runs(all_runs()), &["-run_after"], Place::Second, 100, 320),
        (runs(all_runs()), &["-run_after"], first(), 100, 120),
        (runs(all_runs()), &["-run_after"], runs_by_run_after.clone(), 100, 120),
        (runs(all_runs()), &["run_after"], runs_by_run_after, 100, 120),
        (runs(all_runs()), &["id"], by_id, 100, 120),
        (runs(all_runs()), &["dag_id"], Place::Start, 100, 220),
        (runs(RunFilter { run_after: day, ..all_runs() }), &["-run_after"], Place::Start, 100, 120),
        (runs(RunFilter { state: running(), ..all_runs() }), &["id"], Place::Start, 10, 120),
        (runs(of_dag()), &["id"], Place::Start, 10, 120),
        (runs(of_dag()), &["-run_after"], Place::Start, 10, 120),
        (runs(of_dag()), &["-logical_date"], Place::Start, 10, 120),
        (List::Dags(DagFilter { exclude_stale: true, ..DagFilter::default() }), &["dag_id"], Place::Start, 100, 120),
        (List::Dags(DagFilter { paused: Some(true), ..DagFilter::default() }), &["-dag_id"], Place::Start, 100, 120),
        (List::Versions(VersionFilter::default()), &["id"], Place::Start, 100, 120),
        (List::Versions(VersionFilter { dag_id: dag(), ..VersionFilter::default() }), &["id"], Place::Start, 1, 120),
        (logs(all_logs()), &["id"], Place::Start, 100, 120),
        (logs(all_logs()), &["-when"], Place::Start, 100, 120),
        (logs(EventLogFilter { dag_id: dag(), ..all_logs() }), &["id"], Place::Start, 100, 220),
        (
            List::XComs(XComFilter { dag_id: dag(), run_id: run(), ..XComFilter::default() }),
            &["dag_id", "task_id", "run_id", "map_index", "key"],
            Place::Start,
            10,
            220,
        ),
    ];
    let mut wrong = Vec::new();
    for (number, (list, order, place, expected, bound)) in cases.into_iter().enumerate() {
        let (reads, rows) = list.reads(&mut connection, order, place).await;
        assert_eq!(rows, expected, "case {number}, {order:?}");
        for table in list.tables() {
            let (scans, read) = reads.get(*table).copied().unwrap_or_default();
            if scans > 0 || read > bound {
                wrong.push(format!("case {number}, {order:?}: {table} read {read} rows in {scans} sequential scans"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The most that `ask` read, of some times one after the other.
async fn most_reads(connection: &mut PgConnection, ask: impl AsyncFn(&mut PgConnection)) -> Reads {
    let mut most = Reads::new();
    for _ in 0..TIMES {
        let before = counters(connection).await;
        ask(connection).await;
        for (table, (scans, read)) in counters(connection).await {
            let (old_scans, old_read) = before.get(&table).copied().unwrap_or_default();
            let most = most.entry(table).or_default();
            *most = (most.0.max(scans - old_scans), most.1.max(read - old_read));
        }
    }
    most
}

#[tokio::test]
async fn the_dashboard_reads_what_it_shows_and_not_the_runs_there_were() {
    let (_db, store) = large().await;
    let mut connection = store.pool().acquire().await.unwrap();
    // Ten DAGs failed just now, one task of a hundred each.
    sqlx::raw_sql(
        "create temp table broken as
             select max(r.id) as id from dag_run r join dag d on d.id = r.dag_fk where d.dag_id like '%50' group by d.id;
         update task_instance t set state = 'failed' from broken b where t.dag_run_id = b.id and t.task_id = 'task_50';
         update dag_run r set state = 'failed', end_date = now(), failed_tasks = 1 from broken b where r.id = b.id;
         analyze dag_run; analyze task_instance",
    )
    .execute(&mut *connection)
    .await
    .unwrap();
    let rows = sqlx::query("select id from dag order by dag_id limit 50").fetch_all(&mut *connection).await.unwrap();
    let dags: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let rows = sqlx::query("select id from broken").fetch_all(&mut *connection).await.unwrap();
    let broken: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    let pools = vec!["default_pool".to_owned()];
    let order = |names: OrderBy, name| vec![sort_key(names, name)];
    let totals = Totals::kept_for(u32::MAX, Duration::from_hours(1));
    let page = |name| Page {
        limit: 50,
        order: order(dag_overview::ORDER_BY, name),
        totals: totals.clone(),
        ..Page::default()
    };
    let window = Window { dag_id: "large_0500".to_owned(), limit: 5, ..Window::default() };
    let year = ("2025-01-01T00:00:00Z".parse().unwrap(), "2026-01-01T00:00:00Z".parse().unwrap());

    // What is asked, and how many runs and task instances it may read.
    let mut wrong = Vec::new();
    let mut judge = |name: &str, reads: &Reads, runs: i64, instances: i64| {
        for (table, bound) in [("dag_run", runs), ("task_instance", instances)] {
            let (scans, read) = reads.get(table).copied().unwrap_or_default();
            if scans > 0 || read > bound {
                wrong.push(format!("{name}: {table} read {read} rows in {scans} sequential scans"));
            }
        }
    };
    let c = &mut *connection;
    let reads = most_reads(c, async |c| {
        assert_eq!(dag_overview::page(c, &OverviewFilter::default(), &page("name")).await.unwrap().rows.len(), 50);
    });
    judge("the list of DAGs", &reads.await, 0, 0);
    let reads = most_reads(c, async |c| {
        assert_eq!(dag_overview::page(c, &OverviewFilter::default(), &page("failing")).await.unwrap().rows.len(), 50);
    });
    judge("the failing DAGs first", &reads.await, 3 * 1_000, 0);
    let reads = most_reads(c, async |c| {
        assert_eq!(dag_overview::last_runs(c, &dags, 4).await.unwrap().len(), 200);
    });
    judge("the last runs of a page", &reads.await, 220, 0);
    let reads = most_reads(c, async |c| assert_eq!(dag_overview::first_failures(c, &broken).await.unwrap().len(), 10));
    judge("the first failures", &reads.await, 0, 1_100);
    let reads = most_reads(c, async |c| drop(waiting::of_dags(c, 512, &dags).await.unwrap()));
    judge("what waits of a page", &reads.await, 120, 0);
    let reads = most_reads(c, async |c| {
        let runs: Vec<i64> = grid::runs(c, &window).await.unwrap().iter().map(|run| run.id).collect();
        let (cells, mapped) = grid::cells(c, &runs).await.unwrap();
        let instances = cells.iter().map(|run| run.states.len() as i64).chain(mapped.iter().map(|task| task.count));
        assert_eq!(instances.sum::<i64>(), 500);
    });
    judge("the grid", &reads.await, 20, 1_100);
    let reads = most_reads(c, async |c| {
        let found = needs::failures(c, 50).await.unwrap();
        assert_eq!(found.chunk_by(|one, other| one.dag_id == other.dag_id).count(), 10);
    });
    judge("failures", &reads.await, 120, 2_200);
    let reads = most_reads(c, async |c| assert_eq!(home::running(c, 20).await.unwrap().1, 90));
    judge("what runs", &reads.await, 90 * 11, 90 * 10);
    let reads = most_reads(c, async |c| assert_eq!(home::hours(c).await.unwrap().len(), 24));
    judge("the last hours", &reads.await, 20, 0);
    let reads = most_reads(c, async |c| drop(waiting::all(c, 512).await.unwrap()));
    judge("what waits", &reads.await, 100, 20_000);
    let reads = most_reads(c, async |c| {
        pool_use::holders(c, &pools, 10).await.unwrap();
        pool_use::waiting(c, &pools, 10).await.unwrap();
    });
    judge("pools", &reads.await, 40, 0);
    let reads = most_reads(c, async |c| {
        let cells = calendar::cells(c, "large_0500", year, Granularity::Day, "UTC", &[]).await.unwrap();
        assert!(!cells.is_empty());
    });
    judge("the calendar", &reads.await, 20, 0);
    let reads = most_reads(c, async |c| assert_eq!(search::search(c, "large", 8).await.unwrap().dags.len(), 8));
    judge("search", &reads.await, 2_100, 0);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
