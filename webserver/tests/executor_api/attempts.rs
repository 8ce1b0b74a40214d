use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use serde_json::{Value, json};
use updraft_protocol::{ATTEMPT_TOKEN_HEADER, LogsResponse, ResolveResponse};
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

#[tokio::test]
async fn a_log_is_put_at_offsets_also_after_the_fence() {
    let client = Client::new().await;
    let (_, attempt, _) = running(&client, "t0").await;
    let put = async |offset: u64, text: &'static str| {
        let path = format!("/attempts/{attempt}/logs?offset={offset}");
        let answer = client.send(Method::PUT, &path, &[], Body::from(text)).await;
        (answer.status.as_u16(), answer.json::<LogsResponse>().size)
    };
    assert_eq!(put(0, "one\n").await, (200, 4));
    assert_eq!(put(0, "one\n").await, (200, 4), "a repeated request changes nothing");
    assert_eq!(put(9, "three\n").await, (409, 4), "a gap is answered with the size");
    client.seed.fence(attempt).await;
    assert_eq!(put(4, "two\n").await, (200, 8));
    let size = client.send(Method::GET, &format!("/attempts/{attempt}/logs"), &[], Body::empty()).await;
    assert_eq!(size.json::<LogsResponse>().size, 8);
    let unknown = format!("/attempts/{}/logs?offset=0", Uuid::new_v4());
    assert_eq!(client.send(Method::PUT, &unknown, &[], Body::from("x")).await.refusal().0, 404);
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
