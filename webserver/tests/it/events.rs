//! The event stream: what is told, to whom, and from where on.

use axum::{
    body::{Body, BodyDataStream},
    http::{Method, Request, StatusCode, header},
};
use futures::{StreamExt, future::join_all};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::{Value, json};

use crate::support::TestServer;

const PATH: &str = "/ui/events";
/// Of `seed.sql`: a run of `etl` that is over.
const RUN: &str = "manual__2024-05-01T09:30:00.043063+00:00";

/// An open stream.
struct Events {
    body: BodyDataStream,
    text: String,
}

#[derive(Debug)]
struct Event {
    name: String,
    data: Value,
    id: Option<String>,
}

impl Events {
    async fn open(server: &TestServer, request: Request<Body>) -> Self {
        let response = server.answer(request).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The stream of the admin, behind its first `reset`.
    async fn follow(server: &TestServer, path: &str) -> Self {
        let mut events = Self::open(server, server.request(Method::GET, path, None)).await;
        let event = events.next().await.expect("the stream is open");
        assert_eq!((event.name.as_str(), event.data), ("reset", json!({})));
        events
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let event = field("event: ").zip(field("data: "));
                let id = field("id: ");
                self.text = String::from(rest);
                if let Some((name, data)) = event {
                    return Some(Event { name, data: serde_json::from_str(&data).unwrap(), id });
                }
            }
            let piece = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// Skips to the event of this name about this.
    async fn until(&mut self, name: &str, field: &str, value: impl Into<Value>) -> Event {
        let value = value.into();
        loop {
            let event = self.next().await.expect("the stream goes on");
            if event.name == name && event.data[field] == value {
                return event;
            }
        }
    }
}

async fn pause(server: &TestServer, dag_id: &str, is_paused: bool) {
    let path = format!("/api/v2/dags/{dag_id}");
    let answer = server.call(Method::PATCH, &path, json!({ "is_paused": is_paused })).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

async fn mark_run(server: &TestServer, state: &str) {
    let path = format!("/api/v2/dags/etl/dagRuns/{}", RUN.replace('+', "%2B"));
    let answer = server.call(Method::PATCH, &path, json!({ "state": state })).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
}

#[tokio::test]
async fn what_changes_is_told_with_its_new_state() {
    let server = TestServer::seeded().await;
    let mut events = Events::follow(&server, PATH).await;
    pause(&server, "etl", true).await;
    let dag = events.next().await.unwrap();
    let expected = json!({"dag_id": "etl", "is_paused": true, "is_stale": false, "has_import_errors": false,
                          "next_dagrun_run_after": "2024-05-01T11:00:00Z"});
    assert_eq!((dag.name.as_str(), dag.data), ("dag", expected));
    assert!(dag.id.is_some());

    mark_run(&server, "failed").await;
    let run = events.until("dag_run", "dag_run_id", RUN).await;
    let expected = json!({"dag_id": "etl", "dag_run_id": RUN, "run_type": "manual", "state": "failed"});
    assert_eq!(run.data, expected);

    let path = format!("/api/v2/dags/etl/dagRuns/{}", RUN.replace('+', "%2B"));
    let answer = server.call(Method::DELETE, &path, json!({})).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT, "{}", answer.text());
    let gone = events.until("dag_run", "deleted", true).await;
    assert_eq!(gone.data["dag_run_id"], RUN);

    sqlx::query("delete from import_error").execute(server.store.pool()).await.unwrap();
    server.store.wake().ring(updraft_store::wake::Signal::Dags);
    events.until("import_error", "deleted", true).await;
}

#[tokio::test]
async fn the_instances_that_a_clear_wrote_are_told() {
    let server = TestServer::seeded().await;
    let mut events = Events::follow(&server, PATH).await;
    let body = json!({"dry_run": false, "dag_run_id": RUN, "only_failed": false});
    let answer = server.call(Method::POST, "/api/v2/dags/etl/clearTaskInstances", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    let instance = events.until("task_instance", "task_id", "extract").await;
    assert_eq!((&instance.data["dag_run_id"], &instance.data["state"]), (&json!(RUN), &Value::Null));
    assert_eq!(instance.data["map_index"], -1);
}

#[tokio::test]
async fn a_reader_who_comes_back_goes_on_where_it_was() {
    let server = TestServer::seeded().await;
    let mut events = Events::follow(&server, PATH).await;
    pause(&server, "etl", true).await;
    let id = events.next().await.unwrap().id.expect("the last event of a look has the id");
    drop(events);
    pause(&server, "other", false).await;
    for by_header in [true, false] {
        let path = if by_header { PATH.to_owned() } else { format!("{PATH}?last_event_id={id}") };
        let mut request = server.request(Method::GET, &path, None);
        if by_header {
            request.headers_mut().insert("last-event-id", id.parse().unwrap());
        }
        let event = Events::open(&server, request).await.next().await.unwrap();
        assert_eq!((event.name.as_str(), &event.data["dag_id"]), ("dag", &json!("other")));
    }
    let unknown = server.request(Method::GET, &format!("{PATH}?last_event_id=0000000000000000-7"), None);
    assert_eq!(Events::open(&server, unknown).await.next().await.unwrap().name, "reset");
}

#[tokio::test]
async fn lost_hints_are_told_as_a_reset() {
    let server = TestServer::seeded().await;
    let mut events = Events::follow(&server, PATH).await;
    server.store.wake().ring(updraft_store::wake::Signal::Everything);
    assert_eq!(events.next().await.unwrap().name, "reset");
}

#[tokio::test]
async fn another_webserver_tells_the_same() {
    let server = TestServer::seeded().await;
    let other = server.another().await;
    let mut events = Events::follow(&other, PATH).await;
    mark_run(&server, "failed").await;
    assert_eq!(events.until("dag_run", "dag_run_id", RUN).await.data["state"], "failed");
}

#[tokio::test]
async fn a_filter_leaves_out_other_dags() {
    let server = TestServer::seeded().await;
    let mut events = Events::follow(&server, &format!("{PATH}?dag_id=other&dag_id=third")).await;
    pause(&server, "etl", true).await;
    pause(&server, "other", false).await;
    let event = events.next().await.unwrap();
    assert_eq!(event.data["dag_id"], "other", "{event:?}");
}

#[tokio::test]
async fn a_stream_asks_for_a_token_and_takes_a_cookie() {
    let server = TestServer::seeded().await;
    let bearer = server.request(Method::GET, PATH, None);
    let token = bearer.headers()[header::AUTHORIZATION].to_str().unwrap().replace("Bearer ", "");
    let with_cookie = |cookie: &str| {
        let builder =
            Request::builder().uri(PATH).header(header::COOKIE, cookie).header(header::ACCEPT_ENCODING, "gzip");
        builder.body(Body::empty()).unwrap()
    };
    assert_eq!(server.answer(with_cookie("other=1")).await.status(), StatusCode::UNAUTHORIZED);
    let response = server.answer(with_cookie(&format!("_token={token}"))).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key(header::CONTENT_ENCODING), "a compressed event waits for others");
}

#[tokio::test]
async fn streams_end_with_the_webserver() {
    let server = TestServer::seeded().await;
    let mut events = Events::follow(&server, PATH).await;
    server.app.shutdown.cancel();
    assert!(events.next().await.is_none());
}

/// What 1,000 open browsers cost beyond one: not a look at the database more, not a connection, and a piece of shared text each.
#[tokio::test]
async fn a_thousand_readers_share_one_look_at_the_database() {
    let metrics = PrometheusBuilder::new().install_recorder().unwrap();
    let server = TestServer::seeded().await;
    let mut readers = join_all((0..1_000).map(|_| Events::follow(&server, PATH))).await;
    let before = reads(&metrics);
    mark_run(&server, "failed").await;
    let told = join_all(readers.iter_mut().map(|reader| reader.until("dag_run", "dag_run_id", RUN))).await;
    assert!(told.iter().all(|event| event.data["state"] == "failed"));
    // One look for the run, and perhaps one for the DAGs, which rest a second in between.
    let looks = reads(&metrics) - before;
    assert!((1..=2).contains(&looks), "{looks} looks");
    assert_eq!(gauge(&metrics, "updraft_event_streams"), 1_000);
    drop(readers);
    assert_eq!(gauge(&metrics, "updraft_event_streams"), 0);
}

fn reads(metrics: &PrometheusHandle) -> i64 {
    gauge(metrics, "updraft_event_reads")
}

fn gauge(metrics: &PrometheusHandle, name: &str) -> i64 {
    let text = metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}
