//! Notices against a real mail server and a real HTTP server (small ones, made here), with real schedulers on Postgres.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics, in its helpers too")]

#[path = "sinks/scripted.rs"]
mod scripted;
mod sinks;

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use updraft_core::{
    dag::{Callback, CallbackAction, CallbackEvent, Dag, Deadline, DeadlineReference, Task},
    lease::Lease,
    operator::OperatorKind,
    yaml,
};
use updraft_scheduler::{
    Config,
    outbox::{self, Smtp, SmtpTls},
};
use updraft_store::{
    Store,
    dispatch::{Classes, Rules},
    outbox::{Ended, Retried, Room, claim, mark, retry},
    runs::{self, ClearRequest, Trigger},
    sources::{Environment, Sources},
    testing::TestDb,
    versions::DagCache,
    wake::Signal,
};
use uuid::Uuid;

use self::{
    scripted::{Answer, Scripted},
    sinks::{HttpSink, SmtpSink},
};

struct World {
    db: TestDb,
    store: Store,
    schedulers: Vec<(CancellationToken, tokio::task::JoinHandle<()>)>,
}

fn http(url: &str) -> CallbackAction {
    CallbackAction::Http {
        url: url.to_owned(),
        method: "POST".to_owned(),
        json: json!({"text": "{{ ti.task_id }} of {{ dag.dag_id }} is {{ ti.state }}: {{ reason }}", "run": "{{ run_id }}"}),
        headers: [("x-event".to_owned(), "{{ event }}".to_owned())].into_iter().collect(),
    }
}

fn email(to: &str) -> CallbackAction {
    CallbackAction::Email { to: vec![to.to_owned()], subject: None, body: None, from: None, conn_id: None }
}

/// A task that fails when it is started, and calls `actions` then.
fn failing(actions: Vec<CallbackAction>) -> Task {
    let mut task = Task::new("load", OperatorKind::Unsupported, "acme.operators.Secret<Operator>");
    task.callbacks = actions.into_iter().map(|action| Callback { on: CallbackEvent::Failure, action }).collect();
    task
}

fn mail_server(port: u16) -> Smtp {
    Smtp {
        host: "127.0.0.1".to_owned(),
        port: Some(port),
        user: None,
        password: None,
        tls: SmtpTls::Off,
        mail_from: Some("Updraft <updraft@example.org>".to_owned()),
    }
}

impl World {
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let db = TestDb::new().await;
        let store = db.store().await;
        Self { db, store, schedulers: Vec::new() }
    }

    async fn dag(&self, dag: &Dag) {
        let fk: i64 = sqlx::query_scalar(
            "insert into dag (dag_id, dag_display_name, bundle_name, relative_fileloc, fileloc, max_active_runs)
             values ($1, $1, 'b', 'f', 'f', 100) returning id",
        )
        .bind(dag.dag_id.as_str())
        .fetch_one(self.store.pool())
        .await
        .unwrap();
        sqlx::query(
            "with v as (insert into dag_version (dag_fk, version_number, hash, data, source, bundle_name)
                        values ($1, 1, 'h', $2, '', 'b') returning id)
             update dag set latest_version_id = (select id from v) where id = $1",
        )
        .bind(fk)
        .bind(serde_json::to_value(dag).unwrap())
        .execute(self.store.pool())
        .await
        .unwrap();
    }

    /// Another scheduler, with connections of its own.
    async fn scheduler(&mut self, outbox: outbox::Config) {
        self.scheduler_with(outbox, &[]).await;
    }

    /// One whose environment holds these connections.
    async fn scheduler_with(&mut self, outbox: outbox::Config, connections: &[(&str, Value)]) {
        let environment =
            connections.iter().map(|(id, fields)| (format!("AIRFLOW_CONN_{}", id.to_uppercase()), fields.to_string()));
        let sources = Sources { environment: Environment::new(environment), ..Sources::default() };
        let config = Config {
            dispatch: Rules::new(100),
            lease: Lease::new(Duration::from_secs(3600)),
            hostname: "test".into(),
            cached_instances: 1000,
            outbox,
        };
        let stop = CancellationToken::new();
        let (store, token) = (self.db.store().await.with_sources(sources), stop.clone());
        let task = tokio::spawn(async move { updraft_scheduler::run(store, config, token).await.unwrap() });
        self.schedulers.push((stop, task));
    }

    /// Clears every task of a run.
    async fn clear(&self, run: i64) {
        let mut transaction = self.store.begin().await.unwrap();
        let request = ClearRequest {
            dag_run_id: run,
            selection: updraft_core::plan::Selection::default(),
            reset_dag_run: true,
            dry_run: false,
            run_on_latest_version: None,
            by: "a test",
        };
        runs::clear(&mut transaction, &Classes::default(), &DagCache::default(), &request).await.unwrap();
        transaction.commit().await.unwrap();
    }

    async fn trigger(&self, dag_id: &str) -> i64 {
        self.trigger_at(dag_id, None).await
    }

    async fn trigger_at(&self, dag_id: &str, logical_date: Option<DateTime<Utc>>) -> i64 {
        let mut transaction = self.store.begin().await.unwrap();
        let trigger = Trigger {
            dag_id,
            run_id: Some(Uuid::new_v4().to_string().into()),
            logical_date,
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

    /// Waits until a query says true, woken by signals.
    async fn until(&self, what: &'static str) {
        let mut bell = self.store.wake().subscribe();
        let done = async {
            while !sqlx::query_scalar::<_, bool>(what).fetch_one(self.store.pool()).await.unwrap() {
                let _ = tokio::time::timeout(Duration::from_millis(50), bell.recv()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), done).await.unwrap_or_else(|_| panic!("never true: {what}"));
    }

    /// What waits for its next try is due now.
    async fn hurry(&self) {
        sqlx::query("update outbox set due_at = now() where state = 'pending' and claimed_by is null")
            .execute(self.store.pool())
            .await
            .unwrap();
        self.store.wake().ring(Signal::Outbox);
    }

    async fn end(self) {
        for (stop, task) in self.schedulers {
            stop.cancel();
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_failed_task_and_its_run_are_told_by_email_and_http_with_the_same_kind_of_key() {
    let mut world = World::new().await;
    let (mail, web) = (SmtpSink::start().await, HttpSink::start(&[]).await);
    let mut dag = Dag::new("etl");
    dag.tasks = vec![failing(vec![email("ops@example.org, boss@example.org"), http(&web.url("/hook"))])];
    dag.callbacks = vec![
        Callback { on: CallbackEvent::Success, action: http(&web.url("/well")) },
        Callback { on: CallbackEvent::Failure, action: http(&web.url("/run")) },
    ];
    world.dag(&dag).await;
    let config = outbox::Config {
        smtp: Some(mail_server(mail.port)),
        base_url: Some("https://updraft.example.org/".to_owned()),
        ..outbox::Config::default()
    };
    world.scheduler(config).await;
    world.trigger("etl").await;
    world.until("select count(*) = 3 and bool_and(state = 'delivered') from outbox").await;

    let keys: Vec<(String, Uuid)> =
        sqlx::query_as("select kind || task_id, key from outbox").fetch_all(world.store.pool()).await.unwrap();
    let key = |what: &str| keys.iter().find(|(kind, _)| kind == what).unwrap().1.to_string();
    let letter = mail.letters().pop().expect("one letter");
    assert_eq!(letter.from, "updraft@example.org");
    assert_eq!(letter.to, ["ops@example.org", "boss@example.org"]);
    assert!(letter.text.contains(&format!("Message-ID: <{}@example.org>", key("emailload"))), "{}", letter.text);
    assert!(letter.text.contains("Subject: Updraft alert: etl.load failed"), "{}", letter.text);
    let body = letter.unfolded();
    assert!(body.contains("acme.operators.Secret&lt;Operator&gt;"), "{body}");
    assert!(body.contains("https://updraft.example.org/dags/etl/runs/"), "{body}");
    let calls = web.calls();
    let hook = calls.iter().find(|call| call.path == "/hook").expect("the task's call");
    assert_eq!(hook.header("idempotency-key"), Some(key("httpload").as_str()));
    assert_eq!(hook.header("x-event"), Some("failure"));
    let text = hook.json["text"].as_str().unwrap();
    assert!(text.starts_with("load of etl is failed: operator `acme.operators.Secret<Operator>`"), "{text}");
    let run = calls.iter().find(|call| call.path == "/run").expect("the run's call");
    assert_eq!(run.header("idempotency-key"), Some(key("http").as_str()));
    assert!(!calls.iter().any(|call| call.path == "/well"));
    world.end().await;
}

#[tokio::test]
async fn what_is_answered_with_an_error_is_tried_again_with_the_same_key_and_what_is_refused_is_not() {
    let mut world = World::new().await;
    let web = HttpSink::start(&[("/flaky", &[503, 200]), ("/gone", &[404]), ("/moved", &[301])]).await;
    let mut dag = Dag::new("d");
    dag.tasks = vec![failing(vec![http(&web.url("/flaky")), http(&web.url("/gone")), http(&web.url("/moved"))])];
    world.dag(&dag).await;
    world.scheduler(outbox::Config::default()).await;
    world.trigger("d").await;
    world.until("select count(*) = 2 from outbox where state = 'failed'").await;
    world.until("select bool_or(state = 'pending' and last_error is not null) from outbox").await;
    world.hurry().await;
    world.until("select count(*) = 1 from outbox where state = 'delivered' and tries = 2").await;

    let errors: Vec<String> = sqlx::query_scalar("select last_error from outbox where state = 'failed' order by rule")
        .fetch_all(world.store.pool())
        .await
        .unwrap();
    assert_eq!(errors[0], "404 Not Found: the sink says 404");
    assert!(errors[1].contains("redirects are not followed"), "{}", errors[1]);
    let calls = web.calls();
    let keys: Vec<_> =
        calls.iter().filter(|call| call.path == "/flaky").map(|call| call.header("idempotency-key")).collect();
    assert_eq!((keys.len(), keys[0]), (2, keys[1]));
    assert_eq!(calls.iter().filter(|call| call.path == "/gone").count(), 1);
    world.end().await;
}

#[tokio::test]
async fn two_schedulers_send_each_notice_once() {
    let mut world = World::new().await;
    let web = HttpSink::start(&[]).await;
    let mut dag = Dag::new("many");
    let mut task = Task::new("one", OperatorKind::Empty, "EmptyOperator");
    let url = web.url("/told");
    task.callbacks = [CallbackEvent::Execute, CallbackEvent::Success]
        .into_iter()
        .flat_map(|on| [Callback { on, action: http(&url) }, Callback { on, action: http(&url) }])
        .collect();
    dag.tasks = vec![task];
    world.dag(&dag).await;
    world.scheduler(outbox::Config::default()).await;
    world.scheduler(outbox::Config::default()).await;
    for _ in 0..25 {
        world.trigger("many").await;
    }
    world.until("select count(*) = 100 from outbox where state = 'delivered'").await;
    let calls = web.calls();
    let keys: HashSet<_> = calls.iter().map(|call| call.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!((calls.len(), keys.len()), (100, 100));
    world.end().await;
}

#[tokio::test]
async fn a_mail_server_that_hangs_holds_up_neither_runs_nor_calls() {
    let mut world = World::new().await;
    let web = HttpSink::start(&[]).await;
    // The kernel takes the connections and nobody ever says a word.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut dag = Dag::new("d");
    dag.tasks = vec![failing(vec![email("ops@example.org"), http(&web.url("/hook"))])];
    world.dag(&dag).await;
    let config = outbox::Config {
        smtp: Some(mail_server(silent.local_addr().unwrap().port())),
        timeout: Duration::from_secs(600),
        ..outbox::Config::default()
    };
    world.scheduler(config).await;
    for _ in 0..20 {
        world.trigger("d").await;
    }
    // All while not one email has got anywhere.
    world.until("select count(*) = 20 from dag_run where state = 'failed'").await;
    world.until("select count(*) = 20 from outbox where kind = 'http' and state = 'delivered'").await;
    let waiting: i64 = sqlx::query_scalar("select count(*) from outbox where kind = 'email' and state = 'pending'")
        .fetch_one(world.store.pool())
        .await
        .unwrap();
    assert_eq!(waiting, 20);
    world.end().await;
}

#[tokio::test]
async fn a_claim_whose_time_passed_is_somebody_elses_and_its_word_does_not_count() {
    let world = World::new().await;
    let mut dag = Dag::new("d");
    dag.tasks = vec![failing(vec![http("http://127.0.0.1:1/")])];
    world.dag(&dag).await;
    let run = world.trigger("d").await;
    sqlx::query(
        "insert into outbox (dag_run_id, task_id, map_index, try_number, event, rule, action, facts)
         values ($1, 'load', -1, 1, 'failure', 0, $2, '{\"cause\": \"failure\", \"run\": {\"state\": \"failed\"}}')",
    )
    .bind(run)
    .bind(serde_json::to_value(http("http://127.0.0.1:1/")).unwrap())
    .execute(world.store.pool())
    .await
    .unwrap();
    let first = claim(&world.store, "http", &Room::of(10), Duration::ZERO).await.unwrap();
    let again = claim(&world.store, "http", &Room::of(10), Duration::from_secs(60)).await.unwrap();
    assert!(claim(&world.store, "http", &Room::of(10), Duration::ZERO).await.unwrap().is_empty(), "it is being sent");
    assert_eq!((first[0].claim.key, first[0].tries), (again[0].claim.key, 1));
    assert_eq!(again[0].tries, 2);
    let failed = Ended::Failed { error: "late".to_owned() };
    assert!(!mark(world.store.pool(), first[0].claim, &failed).await.unwrap());
    assert!(mark(world.store.pool(), again[0].claim, &Ended::Delivered).await.unwrap());
    let state: String = sqlx::query_scalar("select state from outbox").fetch_one(world.store.pool()).await.unwrap();
    assert_eq!(state, "delivered");
}

#[tokio::test]
async fn a_host_that_hangs_holds_up_no_other_host() {
    let mut world = World::new().await;
    let web = HttpSink::start(&[]).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Another host by its name.
    let silent = format!("http://localhost:{}/never", silent.local_addr().unwrap().port());
    let mut dag = Dag::new("d");
    dag.tasks = vec![failing(vec![http(&silent), http(&web.url("/hook"))])];
    world.dag(&dag).await;
    for _ in 0..100 {
        world.trigger("d").await;
    }
    let config = outbox::Config { timeout: Duration::from_secs(600), ..outbox::Config::default() };
    world.scheduler(config).await;
    world.until("select count(*) = 100 from outbox where state = 'delivered'").await;
    let waiting: i64 = sqlx::query_scalar("select count(*) from outbox where state = 'pending' and tries = 1")
        .fetch_one(world.store.pool())
        .await
        .unwrap();
    assert_eq!(waiting, 16, "so many are on their way to the silent one");
    world.end().await;
}

#[tokio::test]
async fn a_notice_that_failed_is_sent_again_when_somebody_asks() {
    let mut world = World::new().await;
    let web = HttpSink::start(&[("/gone", &[404, 503, 200])]).await;
    let mut dag = Dag::new("d");
    dag.tasks = vec![failing(vec![http(&web.url("/gone"))])];
    world.dag(&dag).await;
    // It gives up at once on what is older than this.
    let config = outbox::Config { give_up_after: Duration::from_secs(30), ..outbox::Config::default() };
    world.scheduler(config).await;
    world.trigger("d").await;
    world.until("select count(*) = 1 from outbox where state = 'failed'").await;
    let key: Uuid = sqlx::query_scalar("update outbox set created_at = now() - interval '1 day' returning key")
        .fetch_one(world.store.pool())
        .await
        .unwrap();
    let mut connection = world.store.pool().acquire().await.unwrap();
    assert_eq!(retry(&mut connection, Uuid::new_v4()).await.unwrap(), Retried::NoNotice);
    assert_eq!(retry(&mut connection, key).await.unwrap(), Retried::Again);
    assert_eq!(retry(&mut connection, key).await.unwrap(), Retried::NotFailed);
    world.store.wake().ring(Signal::Outbox);
    world.until("select bool_and(state = 'pending' and last_error like '503%') from outbox").await;
    world.hurry().await;
    world.until("select bool_and(state = 'delivered' and tries = 2) from outbox").await;
    let calls = web.calls();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|call| call.header("idempotency-key") == Some(key.to_string().as_str())));
    world.end().await;
}

#[tokio::test]
async fn what_slack_answers_decides_what_becomes_of_a_message() {
    let mut world = World::new().await;
    let ok = r#"{"ok": true, "ts": "1"}"#;
    let slack = Scripted::start(&[
        ("/webhook/T/B/x", &[Answer::text(200, "ok")]),
        ("/webhook/closed", &[Answer::text(403, "action_prohibited")]),
        ("/well/chat.postMessage", &[Answer::text(200, ok)]),
        ("/busy/chat.postMessage", &[Answer::text(200, r#"{"ok": false, "error": "ratelimited"}"#)]),
        ("/nowhere/chat.postMessage", &[Answer::text(200, r#"{"ok": false, "error": "channel_not_found"}"#)]),
        ("/odd/chat.postMessage", &[Answer::text(200, "<html>")]),
    ])
    .await;
    let token = |path: &str| json!({"conn_type": "slack", "host": slack.url(path), "password": "xoxb-1"});
    let connections = [
        ("hook", json!({"conn_type": "slackwebhook", "host": slack.url("/webhook"), "password": "/T/B/x"})),
        ("closed", json!({"conn_type": "slackwebhook", "host": slack.url("/webhook/closed")})),
        ("well", token("/well")),
        ("busy", token("/busy")),
        ("nowhere", token("/nowhere")),
        ("odd", token("/odd")),
        ("empty", json!({"conn_type": "slack"})),
    ];
    let say = |conn_id: &str, channel: Option<&str>| CallbackAction::Slack {
        conn_id: conn_id.to_owned(),
        channel: channel.map(str::to_owned),
        text: "{{ ti.task_id }} failed".to_owned(),
    };
    let mut actions: Vec<_> = connections.iter().map(|(id, _)| say(id, Some("#ops"))).collect();
    actions.extend([say("well", None), say("absent", None)]);
    let mut dag = Dag::new("d");
    dag.tasks = vec![failing(actions)];
    world.dag(&dag).await;
    world.scheduler_with(outbox::Config::default(), &connections).await;
    world.trigger("d").await;
    world.until("select count(*) = 9 and bool_and(tries > 0 and claimed_by is null) from outbox").await;
    let found: Vec<(String, String, Option<String>)> =
        sqlx::query_as("select destination, state, last_error from outbox order by rule")
            .fetch_all(world.store.pool())
            .await
            .unwrap();
    let table = [
        ("hook", "delivered", None),
        ("closed", "failed", Some("403 Forbidden: action_prohibited")),
        ("well", "delivered", None),
        ("busy", "pending", Some("Slack says ratelimited")),
        ("nowhere", "failed", Some("Slack says channel_not_found")),
        ("odd", "pending", Some("Slack's answer cannot be read")),
        ("empty", "pending", Some("neither a webhook URL as host nor a token")),
        ("well", "failed", Some("needs a `channel`")),
        ("absent", "pending", Some("there is no connection `absent`")),
    ];
    for ((conn_id, state, error), found) in table.iter().zip(&found) {
        assert_eq!((*conn_id, *state), (found.0.as_str(), found.1.as_str()), "{found:?}");
        let said = found.2.as_deref().unwrap_or_default();
        assert!(error.is_none_or(|error| said.contains(error)) && !said.contains("xoxb"), "{found:?}");
    }
    let calls = slack.calls();
    let call = |path: &str| calls.iter().find(|call| call.path == path).unwrap_or_else(|| panic!("{path}: {calls:?}"));
    assert_eq!(call("/webhook/T/B/x").json, json!({"text": "load failed", "channel": "#ops"}));
    let posted = call("/well/chat.postMessage");
    assert_eq!(posted.header("authorization"), Some("Bearer xoxb-1"));
    assert_eq!(posted.json, json!({"text": "load failed", "channel": "#ops"}));
    world.end().await;
}

#[tokio::test]
async fn a_server_that_asks_for_a_longer_wait_gets_it_and_in_the_end_it_is_given_up() {
    let mut world = World::new().await;
    let later = Answer { headers: "retry-after: 600\r\n", ..Answer::text(429, "slowly") };
    let web = Scripted::start(&[("/busy", &[later]), ("/broken", &[Answer::text(500, "oh")])]).await;
    let mut dag = Dag::new("d");
    dag.tasks = vec![failing(vec![http(&web.url("/busy")), http(&web.url("/broken"))])];
    world.dag(&dag).await;
    world.scheduler(outbox::Config { give_up_after: Duration::from_secs(3600), ..outbox::Config::default() }).await;
    world.trigger("d").await;
    world.until("select count(*) = 2 and bool_and(last_error is not null and claimed_by is null) from outbox").await;
    let waits: Vec<f64> =
        sqlx::query_scalar("select extract(epoch from due_at - now())::float8 from outbox order by rule")
            .fetch_all(world.store.pool())
            .await
            .unwrap();
    assert!((500.0..=600.0).contains(&waits[0]) && waits[1] < 60.0, "{waits:?}");
    sqlx::query("update outbox set created_at = now() - interval '2 hours'").execute(world.store.pool()).await.unwrap();
    world.hurry().await;
    world.until("select bool_and(state = 'failed' and tries >= 2) from outbox").await;
    world.end().await;
}

/// A DAG whose one task waits for a node that never comes, with these deadlines.
fn waiting(dag_id: &str, deadlines: Vec<Deadline>) -> Dag {
    let mut dag = Dag::new(dag_id);
    dag.tasks = vec![Task::new("wait", OperatorKind::Bash, "BashOperator")];
    dag.deadlines = deadlines;
    dag
}

fn deadline(reference: DeadlineReference, interval: Duration, url: &str) -> Deadline {
    Deadline { reference, interval, action: http(url) }
}

#[tokio::test]
async fn a_run_that_misses_a_deadline_is_told_of_once_also_by_a_scheduler_that_starts_later() {
    let mut world = World::new().await;
    let web = HttpSink::start(&[]).await;
    let hour = Duration::from_secs(3600);
    let past = "2026-01-01T00:00:00Z".parse().unwrap();
    world
        .dag(&waiting(
            "late",
            vec![
                deadline(DeadlineReference::QueuedAt, hour, &web.url("/far")),
                deadline(DeadlineReference::Fixed(past), Duration::from_secs(1), &web.url("/fixed")),
                deadline(DeadlineReference::LogicalDate, hour, &web.url("/undated")),
                deadline(DeadlineReference::QueuedAt, Duration::ZERO, &web.url("/at_once")),
            ],
        ))
        .await;
    // No scheduler lives when the deadlines pass.
    world.trigger("late").await;
    world.scheduler(outbox::Config::default()).await;
    world.scheduler(outbox::Config::default()).await;
    world.until("select count(*) = 2 from outbox where state = 'delivered' and event = 'deadline'").await;
    let mut paths: Vec<String> = web.calls().iter().map(|call| call.path.clone()).collect();
    paths.sort();
    assert_eq!(paths, ["/at_once", "/fixed"]);
    let call = web.calls().into_iter().find(|call| call.path == "/fixed").unwrap();
    assert_eq!(call.header("x-event"), Some("deadline"));
    assert!(
        call.json["text"].as_str().unwrap().contains("the deadline 2026-01-01 00:00:01 UTC passed"),
        "{:?}",
        call.json
    );
    let left: Vec<(i32, bool)> = sqlx::query_as("select rule, missed_at is not null from deadline order by rule")
        .fetch_all(world.store.pool())
        .await
        .unwrap();
    assert_eq!(left, [(0, false), (1, true), (3, true)], "a run without a logical date has no deadline from it");
    world.end().await;
}

#[tokio::test]
async fn a_run_that_ends_well_loses_its_deadlines_and_its_like_give_the_average() {
    let mut world = World::new().await;
    let web = HttpSink::start(&[]).await;
    let mut dag = waiting("well", vec![]);
    dag.tasks = vec![Task::new("one", OperatorKind::Empty, "EmptyOperator")];
    dag.deadlines = vec![
        deadline(DeadlineReference::QueuedAt, Duration::from_secs(3600), &web.url("/far")),
        deadline(DeadlineReference::AverageRuntime { max_runs: 2 }, Duration::from_secs(60), &web.url("/average")),
    ];
    world.dag(&dag).await;
    let count = async |run: i64| -> i64 {
        sqlx::query_scalar("select count(*) from deadline where dag_run_id = $1")
            .bind(run)
            .fetch_one(world.store.pool())
            .await
            .unwrap()
    };
    let first = world.trigger("well").await;
    assert_eq!(count(first).await, 1, "there is no average yet");
    let second = world.trigger("well").await;
    world.scheduler(outbox::Config::default()).await;
    world.until("select count(*) = 2 from dag_run where state = 'success'").await;
    world.until("select count(*) = 0 from deadline").await;
    // As if they had taken 100 and 200 seconds.
    for (run, seconds) in [(first, 100), (second, 200)] {
        sqlx::query("update dag_run set start_date = end_date - make_interval(secs => $2) where id = $1")
            .bind(run)
            .bind(f64::from(seconds))
            .execute(world.store.pool())
            .await
            .unwrap();
    }
    sqlx::query("update dag set is_paused = true").execute(world.store.pool()).await.unwrap();
    let third = world.trigger("well").await;
    let seconds: f64 = sqlx::query_scalar(
        "select extract(epoch from d.deadline_time - r.queued_at)::float8 from deadline d join dag_run r on r.id = d.dag_run_id
         where r.id = $1 and d.rule = 1",
    )
    .bind(third)
    .fetch_one(world.store.pool())
    .await
    .unwrap();
    assert!((seconds - 210.0).abs() < 0.001, "{seconds}");
    world.end().await;
}

#[tokio::test]
async fn a_cleared_run_counts_its_deadline_from_then_and_tells_of_it_again() {
    let mut world = World::new().await;
    let web = HttpSink::start(&[]).await;
    let mut dag = waiting("again", vec![deadline(DeadlineReference::QueuedAt, Duration::ZERO, &web.url("/late"))]);
    dag.tasks = vec![failing(vec![])];
    world.dag(&dag).await;
    world.scheduler(outbox::Config::default()).await;
    let run = world.trigger("again").await;
    world.until("select count(*) = 1 from outbox where state = 'delivered'").await;
    world.until("select count(*) = 1 from dag_run where state = 'failed'").await;
    world.clear(run).await;
    world.store.wake().ring(Signal::Everything);
    world.until("select count(*) = 2 from outbox where state = 'delivered' and event = 'deadline'").await;
    assert_eq!(web.calls().len(), 2);
    world.end().await;
}

#[tokio::test]
async fn a_function_waits_for_a_node_and_a_lost_one_is_called_again_until_it_is_too_old() {
    let mut world = World::new().await;
    let python = CallbackAction::Python { callable: "mod.told".to_owned(), file: None, kwargs: serde_json::Map::new() };
    let mut dag = Dag::new("etl");
    let mut task = failing(vec![python.clone()]);
    task.queue = "gpu".to_owned();
    dag.tasks = vec![task];
    dag.callbacks = vec![Callback { on: CallbackEvent::Failure, action: python }];
    world.dag(&dag).await;
    world.scheduler(outbox::Config { give_up_after: Duration::from_secs(3600), ..outbox::Config::default() }).await;
    world.trigger("etl").await;
    world.until("select count(*) = 2 and bool_and(state = 'running') from outbox").await;
    let attempts: Vec<(String, String, i32, String, String)> = sqlx::query_as(
        "select a.kind, a.task_id, a.pool_slots, c.queue, c.runner from attempt a join dispatch_class c on c.id = a.class_id
         join outbox o on o.attempt_id = a.attempt_id",
    )
    .fetch_all(world.store.pool())
    .await
    .unwrap();
    let expected = ("callback".to_owned(), "load".to_owned(), 0, "gpu".to_owned(), "process".to_owned());
    assert_eq!(attempts, [expected.clone(), expected], "the run's goes where its last instance would");

    // Whatever gives up an attempt writes this.
    let lose = "with lost as (update attempt set given_up = true where kind = 'callback')
                update outbox set created_at = created_at - $1::float8 * interval '1 second'";
    sqlx::query(lose).bind(0.0).execute(world.store.pool()).await.unwrap();
    world.store.wake().ring(Signal::Outbox);
    world.until("select bool_and(state = 'pending' and due_at > now() and last_error like '%lost%') from outbox").await;
    world.until("select count(*) = 0 from attempt").await;
    world.hurry().await;
    world
        .until("select bool_and(state = 'running' and tries = 2) and (select count(*) = 2 from attempt) from outbox")
        .await;
    sqlx::query(lose).bind(4000.0).execute(world.store.pool()).await.unwrap();
    world.store.wake().ring(Signal::Outbox);
    world.until("select bool_and(state = 'failed') and not exists (select from attempt) from outbox").await;
    world.end().await;
}

#[tokio::test]
async fn a_run_that_had_ended_well_and_is_cleared_has_its_deadline_again() {
    let mut world = World::new().await;
    let mut dag = waiting(
        "again",
        vec![
            deadline(DeadlineReference::LogicalDate, Duration::from_secs(3600), "http://127.0.0.1:1/"),
            deadline(DeadlineReference::QueuedAt, Duration::from_secs(3600), "http://127.0.0.1:1/"),
        ],
    );
    dag.tasks = vec![Task::new("one", OperatorKind::Empty, "EmptyOperator")];
    world.dag(&dag).await;
    world.scheduler(outbox::Config::default()).await;
    let run = world.trigger("again").await;
    world.until("select count(*) = 1 from dag_run where state = 'success'").await;
    world.until("select count(*) = 0 from deadline").await;
    // So that it does not end again at once.
    sqlx::query("update dag set is_paused = true").execute(world.store.pool()).await.unwrap();
    world.clear(run).await;
    let left: Vec<(i32, f64)> = sqlx::query_as(
        "select d.rule, extract(epoch from d.deadline_time - r.queued_at)::float8
         from deadline d join dag_run r on r.id = d.dag_run_id",
    )
    .fetch_all(world.store.pool())
    .await
    .unwrap();
    assert_eq!(left, [(1, 3600.0)]);
    world.end().await;
}

#[tokio::test]
async fn deadlines_of_a_file_count_from_what_they_name() {
    let world = World::new().await;
    let text = "
schedule: null
deadline:
  - {reference: logical_date, interval: 30m, http: 'http://127.0.0.1:1/'}
  - {reference: queued_at, interval: 2h, email: ops@example.org}
  - {reference: 2026-01-31T06:00:00Z, interval: 90s, slack: {conn_id: s, text: late}}
  - {reference: average_runtime, interval: 1 day, max_runs: 2, http: 'http://127.0.0.1:1/'}
tasks:
  one: {empty: }
";
    let now = "2026-01-15T12:00:00Z".parse().unwrap();
    let loaded = yaml::load("late.yaml", text.as_bytes(), &(), &yaml::Settings::new(now));
    assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
    world.dag(&loaded.dags[0].dag).await;
    // Two runs that took 100 and 200 seconds.
    for seconds in [100, 200] {
        let run = world.trigger("late").await;
        sqlx::query("update dag_run set state = 'success', start_date = now(), end_date = now() + make_interval(secs => $2) where id = $1")
            .bind(run)
            .bind(f64::from(seconds))
            .execute(world.store.pool())
            .await
            .unwrap();
    }
    let dated = world.trigger_at("late", Some("2026-01-20T00:00:00Z".parse().unwrap())).await;
    let undated = world.trigger("late").await;
    let made = async |run: i64| -> Vec<(i32, String, String, f64)> {
        sqlx::query_as(
            "select d.rule, d.reference, d.action ->> 'action', extract(epoch from d.deadline_time - case d.reference
                 when 'logical_date' then r.logical_date when 'fixed' then '2026-01-31T06:00:00Z' else r.queued_at end)::float8
             from deadline d join dag_run r on r.id = d.dag_run_id where r.id = $1 order by d.rule",
        )
        .bind(run)
        .fetch_all(world.store.pool())
        .await
        .unwrap()
    };
    let row = |rule, reference: &str, action: &str, seconds| (rule, reference.to_owned(), action.to_owned(), seconds);
    let table = [
        row(0, "logical_date", "http", 1800.0),
        row(1, "queued_at", "email", 7200.0),
        row(2, "fixed", "slack", 90.0),
        row(3, "average_runtime", "http", 86400.0 + 150.0),
    ];
    assert_eq!(made(dated).await, table);
    assert_eq!(made(undated).await, table[1..]);
}
