//! §10 against Postgres: what a backfill leaves of every kind of run, its limits and its end.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use updraft_core::backfill::{Refusal, ReprocessBehavior, Request};
use updraft_store::{
    backfill::{self, Change, CreateError, NewBackfill},
    check, runs,
};

use crate::seed::{Seed, daily};

fn day(day: u32) -> DateTime<Utc> {
    format!("2024-05-{day:02}T00:00:00Z").parse().unwrap()
}

fn new(reprocess: ReprocessBehavior, conf: Option<&Value>) -> NewBackfill<'_> {
    NewBackfill {
        dag_id: "d",
        request: Request { from_date: day(1), to_date: day(5), run_backwards: false, reprocess, max_active_runs: 2 },
        conf,
        run_on_latest_version: None,
        user: Some("ann"),
    }
}

async fn create(seed: &Seed, new: &NewBackfill<'_>) -> Result<i64, CreateError> {
    let mut transaction = seed.store.begin().await.unwrap();
    let made = backfill::create(&mut transaction, &seed.dags, new).await;
    if made.is_ok() {
        transaction.commit().await.unwrap();
    }
    made
}

/// What the scheduler's loop does.
async fn pass(seed: &Seed) {
    while backfill::proceed(&seed.store, &seed.classes, &seed.dags).await.unwrap()
        || backfill::fail_cancelled(&seed.store, &seed.classes, &seed.dags).await.unwrap()
    {}
    while !runs::start_queued(&seed.store).await.unwrap().is_empty() {}
    backfill::complete(&seed.store).await.unwrap();
}

/// Runs of 1 May (queued), 2 (running), 3 (success) and 4 (failed); none on 5.
async fn existing(seed: &Seed) {
    for (day, state) in [(1, "queued"), (2, "running"), (3, "success"), (4, "failed")] {
        seed.execute(&format!(
            "insert into dag_run (dag_fk, run_id, tag, state, run_type, logical_date, run_after, dag_version_id)
             select id, 'r{day}', 1, '{state}', 'scheduled', '2024-05-{day:02}Z', 'infinity', latest_version_id from dag"
        ))
        .await;
    }
    seed.execute(
        "insert into task_instance (dag_run_id, task_id, attempt_id, state, try_number, max_tries, operator, pool, queue, end_date)
         select id, 'a', gen_random_uuid(), case state when 'success' then 'success' when 'failed' then 'failed' else 'none' end,
                case when state in ('success', 'failed') then 1 else 0 end, 2, 'BashOperator', 'default_pool', 'default',
                case when state in ('success', 'failed') then now() end
         from dag_run",
    )
    .await;
}

const DATES: &str = "select to_char(b.logical_date at time zone 'utc', 'DD') || ' ' || coalesce(b.exception_reason, r.run_id || ' ' || r.run_type)
                     from backfill_dag_run b left join dag_run r on r.id = b.dag_run_id order by b.sort_ordinal";

#[tokio::test]
async fn every_existing_run_is_treated_by_its_state_and_the_behaviour() {
    let created = "05 backfill__2024-05-05T00:00:00+00:00 backfill";
    for (behavior, third, fourth) in [
        (ReprocessBehavior::None, "03 already exists", "04 already exists"),
        (ReprocessBehavior::Failed, "03 already exists", "04 r4 backfill"),
        (ReprocessBehavior::Completed, "03 r3 backfill", "04 r4 backfill"),
    ] {
        let seed = Seed::new().await;
        seed.dag(&daily("d", &["a"]), None).await;
        existing(&seed).await;
        create(&seed, &new(behavior, None)).await.unwrap();
        while backfill::proceed(&seed.store, &seed.classes, &seed.dags).await.unwrap() {}
        let expected = ["01 in flight", "02 in flight", third, fourth, created].join("\n");
        assert_eq!(seed.ask(DATES).await, expected, "{behavior:?}");
    }
}

#[tokio::test]
async fn a_run_that_runs_again_is_cleared_and_becomes_the_backfills() {
    let seed = Seed::new().await;
    seed.dag(&daily("d", &["a"]), None).await;
    existing(&seed).await;
    seed.execute("insert into dag_run_conf select id, '{\"old\": 1}' from dag_run where run_id = 'r3'").await;
    let conf = json!({"new": 2});
    let id = create(&seed, &new(ReprocessBehavior::Completed, Some(&conf))).await.unwrap();
    while backfill::proceed(&seed.store, &seed.classes, &seed.dags).await.unwrap() {}
    let run = "select r.state || ' ' || r.run_type || ' ' || r.triggered_by || ' ' || (r.backfill_id = %)::text || ' '
                      || r.backfill_ordinal || ' ' || r.clear_number || ' ' || c.conf::text || ' ' || t.state || ' ' || t.try_number
                      || '/' || t.max_tries || ' ' || (select count(*) from task_instance_history h where h.dag_run_id = r.id)
               from dag_run r join dag_run_conf c on c.dag_run_id = r.id join task_instance t on t.dag_run_id = r.id
               where r.run_id = 'r3'";
    let found = seed.ask(&run.replace('%', &id.to_string())).await;
    assert_eq!(found, "queued backfill backfill true 3 1 {\"new\": 2} none 1/3 1");
    let made =
        "select r.triggered_by || ' ' || r.triggering_user_name || ' ' || c.conf::text || ' ' || r.backfill_ordinal
                from dag_run r join dag_run_conf c on c.dag_run_id = r.id where r.run_id like 'backfill%'";
    assert_eq!(seed.ask(made).await, "backfill ann {\"new\": 2} 5");
}

#[tokio::test]
async fn a_backfill_runs_within_its_limit_and_is_complete_when_its_last_run_ends() {
    let seed = Seed::new().await;
    let mut dag = daily("d", &["a"]);
    dag.max_active_runs = 1;
    seed.dag(&dag, None).await;
    let id = create(&seed, &new(ReprocessBehavior::None, None)).await.unwrap();
    for (running, queued) in [(2, 3), (2, 1), (1, 0)] {
        pass(&seed).await;
        let counts = "select count(*) filter (where state = 'running') || ' ' || count(*) filter (where state = 'queued') from dag_run";
        assert_eq!(seed.ask(counts).await, format!("{running} {queued}"));
        assert_eq!(seed.ask("select (completed_at is null)::text from backfill").await, "true");
        seed.execute("update dag_run set state = 'success', end_date = now() where state = 'running'").await;
    }
    pass(&seed).await;
    let mut connection = seed.store.pool().acquire().await.unwrap();
    assert!(backfill::get(&mut connection, id).await.unwrap().unwrap().completed_at.is_some());
    // The next may come.
    create(&seed, &new(ReprocessBehavior::Completed, None)).await.unwrap();
}

#[tokio::test]
async fn there_is_one_active_backfill_per_dag() {
    let seed = Seed::new().await;
    seed.dag(&daily("d", &["a"]), None).await;
    create(&seed, &new(ReprocessBehavior::None, None)).await.unwrap();
    match create(&seed, &new(ReprocessBehavior::None, None)).await {
        Err(error @ CreateError::AlreadyRunning(_)) => {
            assert_eq!(error.to_string(), "There is already a running backfill for dag d");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_backfill_without_dates_or_dag_is_refused_and_a_dry_run_of_it_is_empty() {
    let seed = Seed::new().await;
    seed.dag(&daily("d", &["a"]), None).await;
    let mut empty = new(ReprocessBehavior::None, None);
    empty.request.from_date = "2024-05-01T01:00:00Z".parse().unwrap();
    empty.request.to_date = "2024-05-01T02:00:00Z".parse().unwrap();
    assert!(matches!(create(&seed, &empty).await, Err(CreateError::Refused(Refusal::Empty))));
    let mut connection = seed.store.pool().acquire().await.unwrap();
    assert_eq!(backfill::dry_run(&mut connection, &seed.dags, &empty).await.unwrap(), Vec::<DateTime<Utc>>::new());
    let unknown = NewBackfill { dag_id: "x", ..empty };
    assert!(matches!(create(&seed, &unknown).await, Err(CreateError::DagNotFound(_))));
}

#[tokio::test]
async fn a_dry_run_names_the_dates_that_would_run() {
    let seed = Seed::new().await;
    seed.dag(&daily("d", &["a"]), None).await;
    existing(&seed).await;
    let mut connection = seed.store.pool().acquire().await.unwrap();
    let mut request = new(ReprocessBehavior::Completed, None);
    request.request.run_backwards = true;
    let dates = backfill::dry_run(&mut connection, &seed.dags, &request).await.unwrap();
    assert_eq!(dates, [day(5), day(4), day(3)]);
    assert_eq!(seed.ask("select count(*)::text from backfill").await, "0");
}

#[tokio::test]
async fn a_cancelled_backfill_fails_what_is_queued_and_lets_run_what_runs() {
    let seed = Seed::new().await;
    seed.dag(&daily("d", &["a", "b"]), None).await;
    let id = create(&seed, &new(ReprocessBehavior::None, None)).await.unwrap();
    pass(&seed).await;
    for expected in [Change::Done, Change::Completed] {
        let mut transaction = seed.store.begin().await.unwrap();
        assert_eq!(backfill::cancel(&mut transaction, id).await.unwrap(), expected);
        transaction.commit().await.unwrap();
    }
    pass(&seed).await;
    let states = "select state || ' ' || count(*) from dag_run group by state order by state";
    assert_eq!(seed.ask(states).await, "failed 3\nrunning 2");
    let found =
        "select is_paused::text || ' ' || (completed_at is not null)::text || ' ' || is_cancelling::text from backfill";
    assert_eq!(seed.ask(found).await, "true true false");
    assert_eq!(check::invariants(&seed.store).await.unwrap(), []);
}

#[tokio::test]
async fn dates_not_yet_processed_when_it_is_cancelled_get_no_run() {
    let seed = Seed::new().await;
    seed.dag(&daily("d", &["a"]), None).await;
    let id = create(&seed, &new(ReprocessBehavior::None, None)).await.unwrap();
    let mut transaction = seed.store.begin().await.unwrap();
    backfill::cancel(&mut transaction, id).await.unwrap();
    transaction.commit().await.unwrap();
    pass(&seed).await;
    assert_eq!(seed.ask("select count(*)::text from dag_run").await, "0");
}

#[tokio::test]
async fn a_paused_backfill_starts_no_run_and_an_unknown_one_is_not_found() {
    let seed = Seed::new().await;
    seed.dag(&daily("d", &["a"]), None).await;
    let id = create(&seed, &new(ReprocessBehavior::None, None)).await.unwrap();
    let mut connection = seed.store.pool().acquire().await.unwrap();
    assert_eq!(backfill::pause(&mut connection, id).await.unwrap(), Change::Done);
    pass(&seed).await;
    assert_eq!(seed.ask("select distinct state from dag_run").await, "queued");
    assert_eq!(backfill::unpause(&mut connection, id).await.unwrap(), Change::Done);
    pass(&seed).await;
    assert_eq!(seed.ask("select count(*)::text from dag_run where state = 'running'").await, "2");
    assert_eq!(backfill::pause(&mut connection, id + 1).await.unwrap(), Change::NotFound);
}

#[tokio::test]
async fn more_dates_than_one_transaction_takes_are_all_processed_in_order() {
    let seed = Seed::new().await;
    seed.dag(&daily("d", &["a"]), None).await;
    let mut many = new(ReprocessBehavior::None, None);
    many.request.from_date = "2023-01-01T00:00:00Z".parse().unwrap();
    many.request.to_date = "2023-12-31T00:00:00Z".parse().unwrap();
    create(&seed, &many).await.unwrap();
    let mut transactions = 0;
    while backfill::proceed(&seed.store, &seed.classes, &seed.dags).await.unwrap() {
        transactions += 1;
    }
    assert_eq!(transactions, 4);
    let ordered = "select count(*) || ' ' || bool_and(backfill_ordinal = extract(doy from logical_date at time zone 'utc')) from dag_run";
    assert_eq!(seed.ask(ordered).await, "365 true");
}
