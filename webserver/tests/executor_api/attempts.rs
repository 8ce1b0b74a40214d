use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use serde_json::{Value, json};
use updraft_protocol::{
    ATTEMPT_TOKEN_HEADER, LogAnswer, LogPiece, LogSizeResponse, LogsRequest, LogsResponse, ResolveResponse,
};
use uuid::Uuid;

use crate::{client::Client, seed::Node};

/// A running attempt and its token.
async fn running(client: &Client, task_id: &str) -> (Node, Uuid, String) {
    let node = client.node(task_id).await;
    client.seed.placed(node, task_id, -1).await;
    let start = client.poll(node, &[]).await.start.remove(0);
    (node, start.attempt_id, start.token)
}

#[tokio::test]
async fn xcoms_are_put_and_read_with_the_attempts_token() {
    let client = Client::new().await;
    let (_, attempt, token) = running(&client, "t0").await;
    let path = format!("/attempts/{attempt}/xcom/k");
    let own = [(ATTEMPT_TOKEN_HEADER, token.as_str())];
    let put = client.send(Method::PUT, &path, &own, Body::from("{\"a\": [1]}")).await;
    assert_eq!(put.status, StatusCode::NO_CONTENT);
    let read = client.send(Method::GET, &format!("{path}?task_id=t0"), &own, Body::empty()).await;
    assert_eq!(read.json::<Value>(), json!({"a": [1]}));
    let absent = client.send(Method::GET, &format!("{path}?task_id=t1"), &own, Body::empty()).await;
    assert_eq!(absent.refusal().0, 404);

    let none = client.send(Method::PUT, &path, &[], Body::from("1")).await;
    assert_eq!(none.refusal(), (403, "attempt_token".to_owned()));
    let large = client.send(Method::PUT, &path, &own, Body::from(vec![b' '; (16 << 20) + 1])).await;
    assert_eq!(large.refusal(), (413, "too_large".to_owned()));
    client.seed.fence(attempt).await;
    let stale = client.send(Method::PUT, &path, &own, Body::from("1")).await;
    assert_eq!(stale.refusal(), (409, "stale".to_owned()));
}

#[tokio::test]
async fn references_are_resolved_in_order_and_what_is_absent_is_none() {
    let client = Client::new().await;
    let (_, attempt, token) = running(&client, "t0").await;
    let own = [(ATTEMPT_TOKEN_HEADER, token.as_str())];
    client.send(Method::PUT, &format!("/attempts/{attempt}/xcom/k"), &own, Body::from("7")).await;
    let refs = json!({"refs": [
        {"kind": "variable", "key": "v"},
        {"kind": "xcom", "task_id": "t0", "key": "k", "map_index": null},
        {"kind": "connection", "conn_id": "c"},
        {"kind": "xcom", "task_id": "t9", "key": "k", "map_index": null},
    ]});
    let path = format!("/attempts/{attempt}/resolve");
    let answer = client.send(Method::POST, &path, &own, Body::from(refs.to_string())).await;
    let values: Vec<Option<Value>> =
        answer.json::<ResolveResponse>().refs.into_iter().map(|resolved| resolved.value).collect();
    assert_eq!(values, [None, Some(json!(7)), None, None]);
}

/// The body of a log request.
fn logs_body(pieces: &[(Uuid, u64, &str)]) -> Body {
    let piece = |(attempt_id, offset, text): &(Uuid, u64, &str)| LogPiece {
        attempt_id: *attempt_id,
        offset: *offset,
        length: text.len(),
    };
    let head = LogsRequest { pieces: pieces.iter().map(piece).collect() };
    let texts: String = pieces.iter().map(|(_, _, text)| *text).collect();
    Body::from(head.body(texts.as_bytes()))
}

#[tokio::test]
async fn logs_are_appended_at_offsets_also_after_the_fence() {
    let client = Client::new().await;
    let (_, attempt, _) = running(&client, "t0").await;
    let (_, other, _) = running(&client, "t1").await;
    let unknown = Uuid::new_v4();
    let append = async |pieces: &[(Uuid, u64, &str)]| {
        let answer = client.send(Method::POST, "/logs", &[], logs_body(pieces)).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.json::<LogsResponse>().answers
    };
    let has = |size| LogAnswer::Has { size };
    let answers = append(&[(attempt, 0, "one\n"), (unknown, 0, "x\n"), (other, 0, "eins\n")]).await;
    assert_eq!((&answers[0], &answers[2]), (&has(4), &has(5)));
    assert!(matches!(&answers[1], LogAnswer::Refused { code, .. } if code == "not_found"), "{answers:?}");
    assert_eq!(append(&[(attempt, 0, "one\n")]).await, [has(4)], "a repeated request changes nothing");
    assert_eq!(append(&[(attempt, 9, "three\n"), (other, 5, "zwei\n")]).await, [has(4), has(10)], "a gap");
    client.seed.fence(attempt).await;
    assert_eq!(append(&[(attempt, 4, "two\n")]).await, [has(8)]);
    let size = client.send(Method::GET, &format!("/attempts/{attempt}/logs"), &[], Body::empty()).await;
    assert_eq!(size.json::<LogSizeResponse>().size, 8);
    let size = client.send(Method::GET, &format!("/attempts/{unknown}/logs"), &[], Body::empty()).await;
    assert_eq!(size.refusal().0, 404);
}

#[tokio::test]
async fn a_log_request_that_is_torn_is_refused_whole() {
    let client = Client::new().await;
    let (_, attempt, _) = running(&client, "t0").await;
    let head = |length: usize| format!(r#"{{"pieces":[{{"attempt_id":"{attempt}","offset":0,"length":{length}}}]}}"#);
    let torn = ["no line".to_owned(), format!("{}\nshort", head(6)), format!("{}\nlonger", head(5)), "{}\n".to_owned()];
    for body in torn.into_iter().chain([format!("{}\n", head(usize::MAX))]) {
        let answer = client.send(Method::POST, "/logs", &[], Body::from(body.clone())).await;
        assert_eq!(answer.refusal().0, 400, "{body}");
    }
    let size = client.send(Method::GET, &format!("/attempts/{attempt}/logs"), &[], Body::empty()).await;
    assert_eq!(size.json::<LogSizeResponse>().size, 0);
}

#[tokio::test]
async fn a_bundle_is_streamed() {
    let client = Client::new().await;
    client
        .seed
        .execute(
            "insert into bundle (hash, content, size) values ('b1', decode(repeat('ab', 3000000), 'hex'), 3000000)",
        )
        .await;
    let answer = client.send(Method::GET, "/bundles/b1", &[], Body::empty()).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 3_000_000));
    assert!(answer.body.iter().all(|byte| *byte == 0xab));
    assert_eq!(client.send(Method::GET, "/bundles/b2", &[], Body::empty()).await.refusal().0, 404);
}
