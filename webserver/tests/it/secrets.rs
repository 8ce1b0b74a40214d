//! Variables, connections, pools and XComs over the API.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestServer, column};

async fn expect(server: &TestServer, method: Method, path: &str, body: Value, status: u16) -> Value {
    let answer = server.call(method.clone(), &format!("/api/v2{path}"), body).await;
    assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text());
    if answer.bytes.is_empty() { Value::Null } else { answer.json() }
}

/// The audit trail's words, oldest first.
async fn trail(server: &TestServer) -> (Vec<String>, String) {
    let events = server.read("/api/v2/eventLogs?order_by=id").await;
    (column(&events["event_logs"], "event"), events.to_string())
}

#[tokio::test]
async fn a_variable_lives_and_its_secrets_are_never_answered() {
    let server = TestServer::empty().await;
    let body = json!({"key": "a/b", "value": "plain", "description": "what for"});
    let created = expect(&server, Method::POST, "/variables", body.clone(), 201).await;
    let expected =
        json!({"key": "a/b", "value": "plain", "description": "what for", "is_encrypted": true, "team_name": null});
    assert_eq!(created, expected);
    assert_eq!(server.read("/api/v2/variables/a/b").await, expected, "a key may hold slashes");
    assert_eq!(server.read("/api/v2/variables/a%2Fb").await, expected, "escaped or not");
    let twice = expect(&server, Method::POST, "/variables", body, 409).await;
    assert_eq!(twice["detail"], "The Variable with key: `a/b` already exists");

    let password = json!({"key": "db_password", "value": "hunter2"});
    assert_eq!(expect(&server, Method::POST, "/variables", password, 201).await["value"], "***");
    let nested = json!({"key": "conf", "value": {"url": "u", "api_key": "hunter2"}});
    let value = expect(&server, Method::POST, "/variables", nested, 201).await["value"].clone();
    assert_eq!(serde_json::from_str::<Value>(value.as_str().unwrap()).unwrap(), json!({"url": "u", "api_key": "***"}));

    let listed = server.read("/api/v2/variables?order_by=-key&variable_key_pattern=b").await;
    assert_eq!(
        (column(&listed["variables"], "key"), &listed["total_entries"]),
        (vec!["db_password".into(), "a/b".into()], &json!(2))
    );

    // What a client sends back of a masked value changes nothing.
    let again = json!({"key": "db_password", "value": "***", "description": "new"});
    let patched = expect(&server, Method::PATCH, "/variables/db_password", again, 200).await;
    assert_eq!((&patched["value"], &patched["description"]), (&json!("***"), &json!("new")));
    let mut connection = server.store.pool().acquire().await.unwrap();
    let keys = &server.app.store.sources().keys;
    let stored = updraft_store::variables::get(&mut connection, keys, "db_password").await.unwrap().unwrap();
    assert_eq!(stored.value.unwrap(), "hunter2");

    let masked = json!({"key": "a/b", "value": "new", "description": "other"});
    let patched = expect(&server, Method::PATCH, "/variables/a/b?update_mask=value", masked, 200).await;
    assert_eq!((&patched["value"], &patched["description"]), (&json!("new"), &json!("what for")));
    let other = json!({"key": "x", "value": ""});
    let refused = expect(&server, Method::PATCH, "/variables/a/b", other, 400).await;
    assert_eq!(refused["detail"], "Invalid body, key from request body doesn't match uri parameter");
    expect(&server, Method::DELETE, "/variables/a/b", Value::Null, 204).await;
    let gone = expect(&server, Method::DELETE, "/variables/a/b", Value::Null, 404).await;
    assert_eq!(gone["detail"], "The Variable with key: `a/b` was not found");

    let (events, text) = trail(&server).await;
    assert_eq!(
        events,
        ["post_variable", "post_variable", "post_variable", "patch_variable", "patch_variable", "delete_variable"]
    );
    assert!(!text.contains("hunter2") && !text.contains("plain"), "{text}");
}

#[tokio::test]
async fn a_variable_that_cannot_be_decrypted_is_listed_and_says_what_to_set() {
    let server = TestServer::empty().await;
    sqlx::query("insert into variable (key, val) values ('lost', 'gAAAAA')")
        .execute(server.store.pool())
        .await
        .unwrap();
    assert_eq!(server.read("/api/v2/variables").await["variables"][0]["value"], Value::Null);
    let answer = server.get("/api/v2/variables/lost").await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(answer.text().contains("UPDRAFT__CORE__FERNET_KEY"), "{}", answer.text());
    let body = json!({"key": "lost", "value": "found"});
    assert_eq!(expect(&server, Method::PATCH, "/variables/lost", body, 200).await["value"], "found");
}

#[tokio::test]
async fn a_connection_lives_and_its_secrets_are_never_answered() {
    let server = TestServer::empty().await;
    let body = json!({"connection_id": "db", "conn_type": "postgres", "host": "h", "login": "me", "password": "hunter2",
                      "port": 5432, "extra": "{\"token\": \"hunter2\", \"sslmode\": \"require\"}"});
    let created = expect(&server, Method::POST, "/connections", body.clone(), 201).await;
    let expected = json!({"connection_id": "db", "conn_type": "postgres", "description": null, "host": "h", "login": "me",
                          "schema": null, "port": 5432, "password": "***",
                          "extra": "{\"token\":\"***\",\"sslmode\":\"require\"}", "team_name": null});
    assert_eq!(created, expected);
    assert_eq!(server.read("/api/v2/connections/db").await, expected);
    let twice = expect(&server, Method::POST, "/connections", body, 409).await;
    assert_eq!(twice["detail"]["reason"], "Unique constraint violation");
    let listed = server.read("/api/v2/connections?connection_id_pattern=D").await;
    assert_eq!((&listed["connections"][0], &listed["total_entries"]), (&expected, &json!(1)));

    let back = json!({"connection_id": "db", "conn_type": "mysql", "password": "***", "host": "new",
                      "extra": "{\"token\": \"***\", \"sslmode\": \"off\"}"});
    let patched = expect(&server, Method::PATCH, "/connections/db", back.clone(), 200).await;
    assert_eq!(
        (&patched["conn_type"], &patched["host"], &patched["login"]),
        (&json!("mysql"), &json!("new"), &json!("me"))
    );
    let keys = &server.app.store.sources().keys;
    let mut connection = server.store.pool().acquire().await.unwrap();
    let stored = updraft_store::connections::get(&mut connection, keys, "db").await.unwrap().unwrap().connection;
    assert_eq!(stored.password.as_deref(), Some("hunter2"), "what came back masked stays");
    assert_eq!(stored.extra.as_deref(), Some("{\"token\":\"hunter2\",\"sslmode\":\"off\"}"));
    let only = json!({"connection_id": "db", "conn_type": "x", "password": "new", "host": "x"});
    let patched = expect(&server, Method::PATCH, "/connections/db?update_mask=password", only, 200).await;
    assert_eq!(patched["conn_type"], "mysql");
    let stored = updraft_store::connections::get(&mut connection, keys, "db").await.unwrap().unwrap().connection;
    assert_eq!(stored.password.as_deref(), Some("new"));

    expect(&server, Method::PATCH, "/connections/other", back, 400).await;
    expect(&server, Method::DELETE, "/connections/db", Value::Null, 204).await;
    let gone = expect(&server, Method::GET, "/connections/db", Value::Null, 404).await;
    assert_eq!(gone["detail"], "The Connection with connection_id: `db` was not found");
    let (_, text) = trail(&server).await;
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_connection_that_cannot_be_is_told_why_and_none_is_tested() {
    let server = TestServer::empty().await;
    let body = json!({"connection_id": "a b", "extra": "hunter2", "port": "x", "colour": "red", "team_name": "t"});
    let refused = expect(&server, Method::POST, "/connections", body, 422).await;
    let mut places: Vec<String> =
        refused["detail"].as_array().unwrap().iter().map(|f| f["loc"][1].as_str().unwrap().to_owned()).collect();
    places.sort();
    assert_eq!(places, ["colour", "conn_type", "connection_id", "extra", "port", "team_name"]);
    assert!(!refused.to_string().contains("hunter2"), "{refused}");
    let body = json!({"connection_id": "ok", "conn_type": "http"});
    let refused = expect(&server, Method::POST, "/connections/test", body, 403).await;
    assert!(refused["detail"].as_str().unwrap().starts_with("Testing connections is disabled"));
}

#[tokio::test]
async fn a_pool_counts_the_slots_of_its_attempts() {
    let server = TestServer::seeded().await;
    let body = json!({"name": "db/slow", "slots": 8, "description": "one at a time", "include_deferred": true});
    let created = expect(&server, Method::POST, "/pools", body.clone(), 201).await;
    assert_eq!((&created["open_slots"], &created["occupied_slots"]), (&json!(8), &json!(0)));
    expect(&server, Method::POST, "/pools", body, 409).await;
    sqlx::raw_sql(
        "insert into attempt (attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight,
                              run_order, pool, pool_slots, executor_id, placed_at, handed_at, started_at, waits)
         select gen_random_uuid(), 1, 't' || slots, -1, 1, 1, 1, 1, now(), 'db/slow', slots, executor, placed, placed, started,
                waits
         from (values (1, 1, now(), now(), null), (2, 1, now(), null, null), (4, null, null, null, null),
                      (3, null, null, null, 'deferred')) a (slots, executor, placed, started, waits)",
    )
    .execute(server.store.pool())
    .await
    .unwrap();
    let pool = server.read("/api/v2/pools/db/slow").await;
    let expected = json!({"name": "db/slow", "slots": 8, "description": "one at a time", "include_deferred": true,
                          "occupied_slots": 6, "running_slots": 1, "queued_slots": 2, "scheduled_slots": 4, "open_slots": 2,
                          "deferred_slots": 3, "team_name": null});
    assert_eq!(pool, expected);
    let default = server.read("/api/v2/pools/default_pool").await;
    assert_eq!((&default["running_slots"], &default["open_slots"]), (&json!(1), &json!(127)));
    let listed = server.read("/api/v2/pools?order_by=-name").await;
    assert_eq!(column(&listed["pools"], "name"), ["default_pool", "db/slow"]);

    let endless = json!({"pool": "db/slow", "slots": -1, "include_deferred": false});
    let patched = expect(&server, Method::PATCH, "/pools/db/slow", endless, 200).await;
    assert_eq!(
        (&patched["open_slots"], &patched["occupied_slots"], &patched["description"]),
        (&json!(-1), &json!(3), &json!("one at a time"))
    );
    expect(&server, Method::DELETE, "/pools/db/slow", Value::Null, 204).await;
    expect(&server, Method::DELETE, "/pools/db/slow", Value::Null, 404).await;
}

#[tokio::test]
async fn the_default_pool_stays_and_other_pools_change_whole() {
    let server = TestServer::empty().await;
    let told = expect(&server, Method::DELETE, "/pools/default_pool", Value::Null, 400).await;
    assert_eq!(told["detail"], "Default Pool can't be deleted");
    let told = expect(&server, Method::PATCH, "/pools/default_pool", json!({"slots": 5}), 400).await;
    assert_eq!(told["detail"], "Only slots and included_deferred can be modified on Default Pool");
    let patched =
        expect(&server, Method::PATCH, "/pools/default_pool?update_mask=slots", json!({"slots": 5}), 200).await;
    assert_eq!((&patched["slots"], &patched["open_slots"]), (&json!(5), &json!(5)));
    expect(&server, Method::POST, "/pools", json!({"name": "p", "slots": 1}), 201).await;
    let told = expect(&server, Method::PATCH, "/pools/p?update_mask=slots", json!({"slots": 2}), 422).await;
    assert_eq!(told["detail"][0]["type"], "missing");
    let told = expect(&server, Method::POST, "/pools", json!({"name": "q", "slots": -2}), 422).await;
    assert_eq!(told["detail"][0]["type"], "greater_than_equal");
}

#[tokio::test]
async fn many_are_changed_at_once_and_what_fails_is_told_per_action() {
    let server = TestServer::empty().await;
    expect(&server, Method::POST, "/variables", json!({"key": "old", "value": "1"}), 201).await;
    let body = json!({"actions": [
        {"action": "create", "entities": [{"key": "old", "value": "2"}, {"key": "new", "value": "2"}]},
        {"action": "create", "entities": [{"key": "old", "value": "2"}, {"key": "n2", "value": "2"}], "action_on_existence": "skip"},
        {"action": "update", "entities": [{"key": "old", "value": "3"}, {"key": "no", "value": "3"}], "action_on_non_existence": "skip"},
        {"action": "delete", "entities": ["gone"]},
        {"action": "delete", "entities": ["n2", "gone"], "action_on_non_existence": "skip"},
    ]});
    let response = expect(&server, Method::PATCH, "/variables", body, 200).await;
    let expected = json!({
        "create": {"success": ["n2"], "errors": [
            {"error": "The variables with these keys: {'old'} already exist.", "status_code": 409}]},
        "update": {"success": ["old"], "errors": []},
        "delete": {"success": ["n2"], "errors": [
            {"error": "The variables with these keys: {'gone'} were not found.", "status_code": 404}]},
    });
    assert_eq!(response, expected);
    let listed = server.read("/api/v2/variables").await;
    assert_eq!(
        (column(&listed["variables"], "key"), column(&listed["variables"], "value")),
        (vec!["old".into()], vec!["3".into()])
    );

    let body = json!({"actions": [
        {"action": "create", "entities": [{"connection_id": "a", "conn_type": "http"}, {"connection_id": "b", "conn_type": "ftp"}]},
        {"action": "update", "entities": [{"connection_id": "a", "conn_type": "https", "host": "h"}], "update_mask": ["host"]},
    ]});
    let response = expect(&server, Method::PATCH, "/connections", body, 200).await;
    assert_eq!((&response["create"]["success"], &response["delete"]), (&json!(["a", "b"]), &Value::Null));
    let changed = server.read("/api/v2/connections/a").await;
    assert_eq!((&changed["conn_type"], &changed["host"]), (&json!("http"), &json!("h")));

    let body = json!({"actions": [
        {"action": "create", "entities": [{"name": "p", "slots": 3}]},
        {"action": "delete", "entities": ["default_pool"]},
    ]});
    let response = expect(&server, Method::PATCH, "/pools", body, 200).await;
    assert_eq!(response["create"]["success"], json!(["p"]));
    assert_eq!(response["delete"]["errors"][0]["status_code"], 400);

    let body = json!({"actions": [{"action": "create", "entities": [{"name": "p", "colour": 1}]}, {"action": "make"}]});
    let refused = expect(&server, Method::PATCH, "/pools", body, 422).await;
    let places: Vec<String> = refused["detail"].as_array().unwrap().iter().map(|f| f["loc"].to_string()).collect();
    assert_eq!(
        places,
        [
            r#"["body","actions",0,"entities",0,"slots"]"#,
            r#"["body","actions",0,"entities",0,"colour"]"#,
            r#"["body","actions",1,"action"]"#
        ]
    );
}

#[tokio::test]
async fn an_xcom_is_pushed_read_changed_and_deleted_in_a_tasks_name() {
    let server = TestServer::seeded().await;
    let entries = "/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00/taskInstances/extract/xcomEntries";
    let body = json!({"key": "a/b", "value": {"on": true, "items": [1, null]}});
    let created = expect(&server, Method::POST, entries, body.clone(), 201).await;
    assert_eq!(
        (&created["value"], &created["map_index"], &created["task_display_name"], &created["run_id"]),
        (&body["value"], &json!(-1), &json!("Extract"), &json!("manual__2024-05-01T09:30:00.043063+00:00"))
    );
    let told = expect(&server, Method::POST, entries, body, 409).await;
    assert_eq!(told["detail"], "The XCom with key: `a/b` with mentioned task instance already exists.");
    expect(&server, Method::POST, entries, json!({"key": "k", "value": null, "map_index": 2}), 201).await;

    let entry = format!("{entries}/a/b");
    assert_eq!(server.read(&format!("/api/v2{entry}")).await, created);
    let text = server.read(&format!("/api/v2{entry}?stringify=true&deserialize=true")).await;
    assert_eq!(text["value"], "{'on': True, 'items': [1, None]}");
    let listed = server.read("/api/v2/dags/~/dagRuns/~/taskInstances/~/xcomEntries").await;
    assert_eq!(column(&listed["xcom_entries"], "key"), ["a/b", "k"]);
    assert_eq!(listed["xcom_entries"][0].as_object().unwrap().len(), 10, "no value in a list");
    let listed = server.read(&format!("/api/v2{entries}?map_index=2&xcom_key_prefix_pattern=k")).await;
    assert_eq!((column(&listed["xcom_entries"], "key"), &listed["total_entries"]), (vec!["k".into()], &json!(1)));
    let lengths: Vec<Option<i32>> =
        sqlx::query_scalar("select length from xcom order by key").fetch_all(server.store.pool()).await.unwrap();
    assert_eq!(lengths, [Some(2), None]);

    let changed = expect(&server, Method::PATCH, &entry, json!({"value": "new"}), 200).await;
    assert_eq!(changed["value"], "new");
    expect(&server, Method::DELETE, &entry, Value::Null, 204).await;
    for (method, body) in [(Method::PATCH, json!({"value": 1})), (Method::DELETE, Value::Null)] {
        let told = expect(&server, method, &entry, body, 404).await;
        assert_eq!(told["detail"], "The XCom with key: `a/b` with mentioned task instance doesn't exist.");
    }
    let told = expect(&server, Method::GET, &entry, Value::Null, 404).await;
    assert_eq!(told["detail"], "XCom entry with key: `a/b` not found");
    for (path, detail) in [
        ("/dags/no/dagRuns/r/taskInstances/t/xcomEntries", "Dag with ID: `no` was not found"),
        ("/dags/etl/dagRuns/r/taskInstances/t/xcomEntries", "Dag Run with ID: `r` not found for dag: `etl`"),
        (&entries.replace("extract", "nope"), "Task with ID: `nope` not found in dag: `etl`"),
    ] {
        let told = expect(&server, Method::POST, path, json!({"key": "k", "value": 1}), 404).await;
        assert_eq!(told["detail"], detail);
    }
    let (events, _) = trail(&server).await;
    assert_eq!(
        events[events.len() - 4..],
        ["create_xcom_entry", "create_xcom_entry", "update_xcom_entry", "delete_xcom_entry"]
    );
}
