//! Logs of tries: whole, in parts, followed.

use axum::http::{Method, StatusCode, header};
use futures::StreamExt;
use serde_json::{Value, json};
use updraft_webserver::logs::{LogKey, LogStore};
use uuid::Uuid;

use crate::support::{Answer, TestServer};

const MANUAL: &str = "manual__2024-05-01T09:30:00.043063+00:00";
const RUNNING: &str = "scheduled__2024-05-01T10:00:00+00:00";

fn path(run: &str, task: &str, number: i32) -> String {
    let run = run.replace('+', "%2B");
    format!("/api/v2/dags/etl/dagRuns/{run}/taskInstances/{task}/logs/{number}")
}

fn line(text: &str) -> String {
    json!({"timestamp": "2024-05-01T09:30:02Z", "level": "info", "event": text, "logger": "task.stdout"}).to_string()
        + "\n"
}

struct Log<'a> {
    store: &'a LogStore,
    key: LogKey,
}

impl Log<'_> {
    async fn append(&self, text: &str) {
        let size = self.store.size(&self.key).await.unwrap();
        self.store.append(&self.key, size, text.to_owned().into()).await.unwrap();
    }
}

fn log<'a>(server: &'a TestServer, run: &str, number: i32, attempt: u128) -> Log<'a> {
    let key = LogKey {
        dag_id: "etl".to_owned(),
        run_id: run.to_owned(),
        task_id: "extract".to_owned(),
        map_index: -1,
        try_number: number,
        attempt_id: Uuid::from_u128(0x10000000_0000_4000_8000_000000000000 | attempt),
    };
    Log { store: server.logs(), key }
}

fn events(answer: &Value) -> Vec<&str> {
    answer["content"].as_array().unwrap().iter().map(|line| line["event"].as_str().unwrap()).collect()
}

async fn accept(server: &TestServer, path: &str, accept: &str) -> Answer {
    let mut request = server.request(Method::GET, path, None);
    request.headers_mut().insert(header::ACCEPT, accept.parse().unwrap());
    server.send(request).await
}

#[tokio::test]
async fn each_try_has_its_own_log() {
    let server = TestServer::seeded().await;
    log(&server, MANUAL, 1, 1).append(&line("first")).await;
    log(&server, MANUAL, 2, 2).append(&(line("second") + "not json\n" + line("unfinished").trim_end())).await;
    let first = server.read(&path(MANUAL, "extract", 1)).await;
    insta::assert_json_snapshot!(first);
    let second = server.read(&path(MANUAL, "extract", 2)).await;
    assert_eq!(events(&second), ["second", "not json", "unfinished"]);
    assert_eq!(second["continuation_token"], Value::Null);
    let missing = server.get(&path(MANUAL, "extract", 9)).await;
    assert_eq!((missing.status, missing.json()), (StatusCode::NOT_FOUND, json!({"detail": "TaskInstance not found"})));
}

#[tokio::test]
async fn a_running_trys_log_is_followed_by_its_token() {
    let server = TestServer::seeded().await;
    let log = log(&server, RUNNING, 1, 5);
    let path = path(RUNNING, "extract", 1);
    let nothing = server.read(&path).await;
    assert_eq!(events(&nothing), [""; 0]);
    log.append(&(line("one") + &line("two"))).await;
    let token = nothing["continuation_token"].as_str().expect("it runs").to_owned();
    let next = server.read(&format!("{path}?token={token}")).await;
    assert_eq!(events(&next), ["one", "two"]);
    let token = next["continuation_token"].as_str().unwrap().to_owned();
    assert_eq!(events(&server.read(&format!("{path}?token={token}")).await), [""; 0]);
    let late = line("three");
    let followed = format!("{path}?token={token}&wait=20");
    let (held, ()) = tokio::join!(server.read(&followed), log.append(&late));
    assert_eq!(events(&held), ["three"]);
    sqlx::raw_sql(
        "update task_instance set state = 'success', end_date = '2024-05-01T11:00:00Z' where state = 'running'",
    )
    .execute(server.store.pool())
    .await
    .unwrap();
    let token = held["continuation_token"].as_str().unwrap();
    let end = server.read(&format!("{path}?token={token}&wait=20")).await;
    assert_eq!((events(&end), &end["continuation_token"]), (vec![], &Value::Null));
}

#[tokio::test]
async fn a_token_cannot_be_made_up() {
    let server = TestServer::seeded().await;
    for token in ["nonsense", "MTA6MA.AAAA"] {
        let answer = server.get(&format!("{}?token={token}", path(MANUAL, "extract", 1))).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{token}");
    }
}

#[tokio::test]
async fn a_log_comes_as_lines_and_as_text() {
    let server = TestServer::seeded().await;
    log(&server, RUNNING, 1, 5).append(&(line("one") + &line("two"))).await;
    let path = path(RUNNING, "extract", 1);
    let lines = accept(&server, &path, "application/x-ndjson").await;
    assert_eq!(lines.headers[header::CONTENT_TYPE], "application/x-ndjson");
    assert!(lines.headers.contains_key("airflow-continuation-token"));
    let events: Vec<Value> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&events[0]["event"], &events[1]["event"]), (&json!("one"), &json!("two")));
    let text = accept(&server, &path, "text/plain").await;
    assert_eq!(text.text(), "[2024-05-01T09:30:02Z] one\n[2024-05-01T09:30:02Z] two\n");
}

#[tokio::test]
async fn a_long_log_comes_in_parts() {
    let server = TestServer::seeded().await;
    let long = "x".repeat(1000);
    let text: String = (0..3000).map(|number| line(&format!("{number} {long}"))).collect();
    log(&server, MANUAL, 2, 2).append(&text).await;
    let path = path(MANUAL, "extract", 2);
    let mut part = server.read(&path).await;
    let (mut seen, mut parts) = (events(&part).len(), 1);
    while let Some(token) = part["continuation_token"].as_str().map(str::to_owned) {
        part = server.read(&format!("{path}?token={token}")).await;
        (seen, parts) = (seen + events(&part).len(), parts + 1);
    }
    assert_eq!(seen, 3000);
    assert!(parts > 2, "{parts}");
    assert_eq!(events(&server.read(&format!("{path}?full_content=true")).await).len(), 3000);
}

#[tokio::test]
async fn lines_of_a_long_log_are_sent_in_pieces_and_the_token_goes_on_behind_the_last_whole_one() {
    let server = TestServer::seeded().await;
    let path = path(RUNNING, "extract", 1);
    let log = log(&server, RUNNING, 1, 5);
    let long = "x".repeat(1000);
    let text: String = (0..5000).map(|number| line(&format!("{number} {long}"))).collect();
    let begun = line("the end is not there yet");
    let (begun, rest) = begun.split_at(20);
    log.append(&(text + begun)).await;
    for (kind, each) in [("application/x-ndjson", "\"event\":"), ("text/plain", "] ")] {
        let mut request = server.request(Method::GET, &path, None);
        request.headers_mut().insert(header::ACCEPT, kind.parse().unwrap());
        let response = server.answer(request).await;
        let token = response.headers()["airflow-continuation-token"].to_str().unwrap().to_owned();
        let pieces: Vec<_> = response.into_body().into_data_stream().collect().await;
        let pieces: Vec<_> = pieces.into_iter().map(Result::unwrap).collect();
        let most = pieces.iter().map(bytes::Bytes::len).max().unwrap();
        assert!(pieces.len() > 4 && most < 2 << 20, "{kind}: {} pieces, one of {most} bytes", pieces.len());
        let whole = String::from_utf8(pieces.concat()).unwrap();
        assert_eq!((whole.lines().count(), whole.matches(each).count()), (5000, 5000), "{kind}");
        assert!(whole.lines().last().unwrap().contains("4999 xxx"), "{kind}");
        let next = accept(&server, &format!("{path}?token={token}"), kind).await;
        assert_eq!(next.text(), "", "{kind}");
    }
    log.append(rest).await;
    let part = server.read(&format!("{path}?full_content=true")).await;
    assert_eq!(events(&part).last(), Some(&"the end is not there yet"));
}

#[tokio::test]
async fn the_format_is_the_one_that_the_reader_likes_best() {
    let server = TestServer::seeded().await;
    log(&server, MANUAL, 2, 2).append(&line("one")).await;
    for (accepted, kind) in [
        ("text/plain;q=0.5, application/x-ndjson", "application/x-ndjson"),
        ("text/*, application/json;q=0.1", "text/plain; charset=utf-8"),
        ("text/html", "application/json"),
        ("*/*", "application/json"),
    ] {
        let answer = accept(&server, &path(MANUAL, "extract", 2), accepted).await;
        assert_eq!(answer.headers[header::CONTENT_TYPE], kind, "{accepted}");
    }
}

/// Attempts of the running task's first try, handed out in this order.
async fn handed_out(server: &TestServer, attempts: &[u128]) {
    for attempt in attempts {
        sqlx::query(
            "insert into attempt_log (dag_run_id, attempt_id, task_id, map_index, try_number, executor_id)
             select id, $1, 'extract', -1, 1, 1 from dag_run where run_id = $2",
        )
        .bind(Uuid::from_u128(0x10000000_0000_4000_8000_000000000000 | attempt))
        .bind(RUNNING)
        .execute(server.store.pool())
        .await
        .unwrap();
    }
}

/// The attempt that runs now.
async fn current(server: &TestServer, attempt: u128) {
    sqlx::query("update task_instance set attempt_id = $1 where state in ('running', 'up_for_reschedule')")
        .bind(Uuid::from_u128(0x10000000_0000_4000_8000_000000000000 | attempt))
        .execute(server.store.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn looks_of_a_sensor_are_read_in_their_order_and_a_follower_loses_nothing() {
    let server = TestServer::seeded().await;
    let path = path(RUNNING, "extract", 1);
    let look = |attempt| log(&server, RUNNING, 1, attempt);
    // The ids say nothing of the order.
    handed_out(&server, &[9]).await;
    current(&server, 9).await;
    look(9).append(&line("first")).await;
    let mut part = server.read(&path).await;
    assert_eq!(events(&part), ["first"]);
    let next = async |part: &Value| {
        let token = part["continuation_token"].as_str().expect("it goes on").to_owned();
        server.read(&format!("{path}?token={token}")).await
    };
    // The next look is known before a node has it, and the follower asks.
    current(&server, 2).await;
    part = next(&part).await;
    assert_eq!(events(&part), [""; 0]);
    handed_out(&server, &[2]).await;
    look(2).append(&line("second")).await;
    current(&server, 5).await;
    handed_out(&server, &[5]).await;
    look(5).append(&line("third")).await;
    part = next(&part).await;
    assert_eq!(events(&part), ["second", "third"]);
    // A re-dispatched attempt, never handed out, gave way to another one.
    current(&server, 7).await;
    part = next(&part).await;
    current(&server, 3).await;
    handed_out(&server, &[3]).await;
    look(3).append(&line("fourth")).await;
    part = next(&part).await;
    assert_eq!(events(&part), ["fourth"]);
    assert_eq!(events(&server.read(&path).await), ["first", "second", "third", "fourth"]);
    assert_eq!(events(&next(&part).await), [""; 0]);
}

#[tokio::test]
async fn where_nobody_wrote_a_log_it_says_why_the_task_ended() {
    let server = TestServer::seeded().await;
    let failed = server.read(&path(MANUAL, "load", 2)).await;
    assert_eq!(events(&failed), ["the command ended with exit code 3"]);
    assert_eq!((&failed["content"][0]["level"], &failed["continuation_token"]), (&json!("error"), &Value::Null));
    let not_run = server.read(&path(MANUAL, "done", 1)).await;
    assert_eq!(events(&not_run), ["The task did not run, because `load` failed."]);
    let text = accept(&server, &path(MANUAL, "load", 2), "text/plain").await;
    assert_eq!(text.text(), "[2024-05-01T09:31:00Z] the command ended with exit code 3\n");
    log(&server, MANUAL, 2, 2).append(&line("done")).await;
    assert_eq!(events(&server.read(&path(MANUAL, "extract", 2)).await), ["done"]);
}

#[tokio::test]
async fn the_bytes_of_a_log_are_read_by_ranges() {
    let server = TestServer::seeded().await;
    let text = line("one") + &line("two");
    let path = format!("/ui/logs/etl/{}/extract/2", MANUAL.replace('+', "%2B"));
    let ask = async |range: Option<&str>| {
        let mut request = server.request(Method::GET, &path, None);
        if let Some(range) = range {
            request.headers_mut().insert(header::RANGE, range.parse().unwrap());
        }
        server.send(request).await
    };
    let empty = ask(Some("bytes=0-99")).await;
    assert_eq!((empty.status, empty.text()), (StatusCode::OK, String::new()));
    assert_eq!(
        (&empty.headers[header::CONTENT_LENGTH], empty.headers.get(header::CONTENT_RANGE)),
        (&"0".parse().unwrap(), None)
    );
    log(&server, MANUAL, 2, 2).append(&text).await;
    let whole = ask(None).await;
    assert_eq!((whole.status, whole.text()), (StatusCode::OK, text.clone()));
    assert_eq!(whole.headers[header::ACCEPT_RANGES], "bytes");
    let part = ask(Some("bytes=2-10")).await;
    assert_eq!((part.status, part.text()), (StatusCode::PARTIAL_CONTENT, text[2..11].to_owned()));
    assert_eq!(part.headers[header::CONTENT_RANGE], format!("bytes 2-10/{}", text.len()));
    let end = ask(Some("bytes=-4")).await;
    assert_eq!(end.text(), &text[text.len() - 4..]);
    let beyond = ask(Some("bytes=9999-")).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.headers[header::CONTENT_RANGE], format!("bytes */{}", text.len()));
}
