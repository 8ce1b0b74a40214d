//! What the dashboard reads beyond Airflow's API.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use updraft_core::identity::Role;
use updraft_webserver::{Setting, Source};

use crate::support::{TestServer, column};

/// The seed's rows, with what plan and the DAG processor would keep beside them.
async fn server() -> TestServer {
    let server = TestServer::seeded().await;
    run(&server, "update dag_run r set failed_tasks = (select count(*) from task_instance t where t.dag_run_id = r.id and t.state = 'failed');
         update dag d set task_ids = array(select task ->> 'task_id' from dag_version v, json_array_elements(v.data -> 'tasks') task
                                           where v.id = d.latest_version_id)").await;
    server
}

async fn run(server: &TestServer, sql: &'static str) {
    sqlx::raw_sql(sql).execute(server.store.pool()).await.unwrap();
}

/// The entry of a list whose `field` is `value`.
fn entry<'a>(list: &'a Value, field: &str, value: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|item| item[field] == value).unwrap_or_else(|| panic!("{value}: {list}"))
}

#[tokio::test]
async fn a_dag_of_the_list_shows_its_last_runs_and_why_it_needs_a_look() {
    let server = server().await;
    let list = server.read("/ui/dags").await;
    assert_eq!(list["counts"], json!({"all": 2, "failing": 1, "running": 1, "waiting": 0, "paused": 1}), "{list}");
    let etl = entry(&list["dags"], "dag_id", "etl");
    assert_eq!(column(&etl["runs"], "state"), ["success", "failed", "running"], "the oldest first");
    assert_eq!(column(&etl["runs"], "failed_tasks"), ["0", "1", "0"]);
    assert_eq!((&etl["success_rate"], &etl["median_duration"]), (&json!(0.5), &json!(35.25)));
    let why = json!({"kind": "failure", "text": "the command ended with exit code 3", "reason": null,
                     "dag_run_id": "manual__2024-05-01T09:30:00.043063+00:00", "task_id": "load"});
    assert_eq!(etl["why"], why);
    for (query, expected) in [
        ("state=failed", 1),
        ("state=running", 1),
        ("state=waiting", 0),
        ("paused=true", 1),
        ("q=ET", 1),
        ("q=none", 0),
        ("tag=none", 0),
        ("owner=none", 0),
        ("favorite=true", 0),
        ("order_by=failing", 2),
        ("order_by=-next_run", 2),
        ("order_by=last_run&limit=1", 2),
    ] {
        let found = server.read(&format!("/ui/dags?{query}")).await;
        assert_eq!(found["total_entries"], expected, "{query}: {found}");
    }
    assert_eq!(server.get("/ui/dags?state=nothing").await.status, 422);
}

#[tokio::test]
async fn what_waits_longest_is_why_a_dag_that_did_not_fail_needs_a_look() {
    let server = server().await;
    run(
        &server,
        "update dag_run set state = 'success' where state = 'failed';
         update attempt set started_at = null, handed_at = null, placed_at = null, executor_id = null",
    )
    .await;
    let list = server.read("/ui/dags?state=waiting").await;
    let why = &list["dags"][0]["why"];
    assert_eq!((&why["kind"], &why["task_id"]), (&json!("waiting"), &json!("extract")), "{list}");
    assert!(why["reason"]["code"].is_string(), "{why}");
    run(&server, "update dag set is_paused = true").await;
    let list = server.read("/ui/dags?state=waiting").await;
    assert_eq!(list["dags"][0]["why"]["reason"], json!({"code": "dag_paused"}));
}

#[tokio::test]
async fn the_grid_has_a_cell_for_each_task_of_each_run() {
    let server = server().await;
    run(&server, "insert into task_instance (dag_run_id, task_id, map_index, attempt_id, state, operator, pool, queue, start_date)
         select id, 'old_mapped', n, gen_random_uuid(), case when n < 2 then 'success' else 'failed' end, 'BashOperator', 'default_pool',
                'default', '2024-05-01T08:00:03Z' from dag_run, generate_series(0, 2) n where tag = 1").await;
    let grid = server.read("/ui/grid/etl").await;
    assert_eq!(column(&grid["nodes"], "id"), ["extract", "load", "done", "old_mapped"], "what is gone comes last");
    assert_eq!(column(&grid["runs"], "state"), ["success", "failed", "running"]);
    let state = |cell: &Value| grid["states"][cell[0].as_u64().unwrap() as usize].clone();
    let cells = &grid["cells"]["manual__2024-05-01T09:30:00.043063+00:00"];
    let states: Vec<Value> = cells.as_array().unwrap()[..3].iter().map(state).collect();
    assert_eq!(states, ["success", "failed", "upstream_failed"]);
    assert_eq!(cells[0], json!([cells[0][0], 2, 1_714_555_820_000_i64, 1_714_555_830_250_i64]));
    assert_eq!(cells[3], Value::Null);
    let first = &grid["cells"]["scheduled__2024-05-01T08:00:00+00:00"];
    assert_eq!(first[3], json!({"counts": {"success": 2, "failed": 1}, "start": 1_714_550_403_000_i64, "end": null}));
    assert_eq!(first[0], Value::Null, "a run without instances has empty cells");
    let before = server.read("/ui/grid/etl?before=2024-05-01T10:00:00Z&limit=1").await;
    assert_eq!(column(&before["runs"], "state"), ["failed"]);
    assert_eq!(column(&server.read("/ui/grid/etl?run_type=manual&state=success").await["runs"], "state"), [""; 0]);
    assert_eq!(server.get("/ui/grid/none").await.status, 404);
    assert_eq!(server.get("/ui/grid/etl?limit=0").await.status, 422);
}

#[tokio::test]
async fn the_structure_has_nodes_in_order_and_edges() {
    let server = server().await;
    let structure = server.read("/ui/structure/etl").await;
    assert_eq!(structure["dag_version_number"], 2);
    assert_eq!(column(&structure["nodes"], "operator"), ["BashOperator", "BashOperator", "EmptyOperator"]);
    let edge = |source: &str, target: &str| json!({"source": source, "target": target, "label": null});
    assert_eq!(structure["edges"], json!([edge("extract", "load"), edge("load", "done")]));
    assert_eq!(server.read("/ui/structure/etl?version_number=1").await["dag_version_number"], 1);
    for missing in ["/ui/structure/etl?version_number=9", "/ui/structure/none", "/ui/structure/other"] {
        assert_eq!(server.get(missing).await.status, 404, "{missing}");
    }
}

/// The seed's runs ended today, the failed one last.
async fn lately() -> TestServer {
    let server = server().await;
    run(&server, "update dag_run set run_after = now() - interval '3 hours' + tag * interval '10 minutes',
             end_date = case when state in ('success', 'failed') then now() - interval '1 hour' end;
         update task_instance set execution = '{\"last_error\": \"no disk\"}' where state = 'failed';
         insert into task_instance (dag_run_id, task_id, map_index, attempt_id, operator, pool, queue, state)
         select id, 'ask', -1, '30000000-0000-4000-8000-000000000001', 'ApprovalOperator', 'default_pool', 'default', 'awaiting_input'
         from dag_run where state = 'running';
         insert into attempt (attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight, run_order, pool,
                              pool_slots, trigger_at, waits, trigger_state)
         select '30000000-0000-4000-8000-000000000001', id, 'ask', -1, 1, dag_fk, 1, 1, now(), 'default_pool', 1, 'infinity', 'awaiting_input',
                '{\"waiting_for\": {\"code\": \"waiting_for_person\", \"subject\": \"Ship?\"}}' from dag_run where state = 'running';
         insert into hitl_detail (dag_run_id, attempt_id, task_id, map_index, subject, options, multiple, params, assigned_users)
         select id, '30000000-0000-4000-8000-000000000001', 'ask', -1, 'Ship?', '{Approve}', false, '{}', '[]'
         from dag_run where state = 'running'").await;
    server
}

#[tokio::test]
async fn the_first_page_says_what_needs_somebody_and_what_waits() {
    let server = lately().await;
    let home = server.read("/ui/home").await;
    let needs = &home["needs_you"];
    assert_eq!(needs["total"], 4, "{needs}");
    assert_eq!(column(&needs["items"], "kind"), ["approval", "failure", "import_error", "import_error"]);
    let failure = &needs["items"][1];
    assert_eq!((&failure["task_id"], &failure["last_error"]), (&json!("load"), &json!("no disk")));
    assert_eq!(
        (&failure["failed_instances"], &failure["instances"], &failure["map_index"]),
        (&json!(1), &json!(1), &json!(-1))
    );
    assert_eq!(needs["items"][0]["subject"], "Ship?");
    assert_eq!(home["waiting"]["groups"][0]["reason"], json!({"code": "waiting_for_person", "subject": "Ship?"}));
    assert_eq!(home["waiting"]["groups"][0]["examples"][0]["task_id"], "ask");
    assert_eq!(home["waiting"]["total"], 1);
    assert_eq!((&home["dags_total"], &home["runs_24h"]), (&json!(2), &json!(3)));
    assert_eq!(home["hours"].as_array().unwrap().len(), 24);
    assert_eq!(home["health"]["metadatabase"]["status"], "healthy");
}

#[tokio::test]
async fn a_failure_needs_nobody_once_a_later_run_succeeded_or_its_task_was_cleared() {
    let server = lately().await;
    let failures = async || {
        let home = server.read("/ui/home").await;
        column(&home["needs_you"]["items"], "kind").iter().filter(|kind| *kind == "failure").count()
    };
    assert_eq!(failures().await, 1);
    run(&server, "update dag_run set run_after = now() where tag = 1").await;
    assert_eq!(failures().await, 0, "the green run is the later one");
    run(&server, "update dag_run set run_after = now() - interval '4 hours' where tag = 1").await;
    assert_eq!(failures().await, 1);
    run(&server, "update dag_run set state = 'success' where tag = 2").await;
    assert_eq!(failures().await, 1, "a green run has failures too");
    run(&server, "update task_instance set state = 'none' where state = 'failed'; update dag_run set failed_tasks = 0")
        .await;
    assert_eq!(failures().await, 0);
}

#[tokio::test]
async fn a_schedule_says_its_next_runs_and_the_calendar_counts_them_as_planned() {
    let server = server().await;
    let schedule = server.read("/ui/schedule/etl?count=2").await;
    assert_eq!((&schedule["summary"], &schedule["timezone"]), (&json!("0 * * * *"), &json!("UTC")));
    assert_eq!(schedule["next"].as_array().unwrap().len(), 2, "{schedule}");
    assert_eq!(schedule["next"][0]["utc_offset_seconds"], 0);
    let calendar =
        server.read("/ui/calendar/etl?from=2024-05-01T00:00:00Z&to=2024-05-02T00:00:00Z&timezone=Europe/Berlin").await;
    let day =
        json!({"start": "2024-04-30T22:00:00Z", "success": 1, "failed": 1, "running": 1, "queued": 0, "planned": 0});
    assert_eq!(calendar["cells"], json!([day]));
    let hours =
        server.read("/ui/calendar/etl?from=2024-05-01T00:00:00Z&to=2024-05-02T00:00:00Z&granularity=hour").await;
    assert_eq!(
        column(&hours["cells"], "start"),
        ["2024-05-01T08:00:00Z", "2024-05-01T09:00:00Z", "2024-05-01T10:00:00Z"]
    );
    let ahead = server.read("/ui/calendar/etl").await;
    assert!(ahead["cells"].as_array().unwrap().iter().any(|cell| cell["planned"] == 24), "{ahead}");
    for (path, status) in [
        ("/ui/schedule/none", 404),
        ("/ui/schedule/other", 404),
        ("/ui/calendar/none", 404),
        ("/ui/calendar/etl?timezone=No/Where", 422),
        ("/ui/calendar/etl?granularity=week", 422),
        ("/ui/schedule/etl?count=0", 422),
    ] {
        assert_eq!(server.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_broken_file_shows_where_and_which_dags_go_on() {
    let server = server().await;
    run(&server, r#"update dag set has_import_errors = true where dag_id = 'etl';
         update import_error set filename = 'etl.yaml', bundle_name = (select bundle_name from dag where dag_id = 'etl'),
             diagnostics = '[{"severity": "error", "kind": "unknown_key", "line": 2, "column": 1, "end_line": 2, "end_column": 9,
                              "dag_id": null, "task_id": null, "message": "unknown key", "help": "did you mean `schedule`?",
                              "excerpt": [{"line": 2, "text": "shcedule: x"}]}]' where filename = 'broken.yaml'"#).await;
    let list = server.read("/ui/import_errors?order_by=filename").await;
    assert_eq!(
        (&list["total_entries"], column(&list["items"], "filename")),
        (&json!(2), vec!["etl.yaml".to_owned(), "worse.yaml".to_owned()])
    );
    let file = &list["items"][0];
    assert_eq!((&file["dag_ids"], &file["last_good_version"]), (&json!(["etl"]), &json!(2)));
    assert_eq!(
        (&file["errors"][0]["code"], &file["errors"][0]["excerpt"]),
        (&json!("unknown_key"), &json!([{"line": 2, "text": "shcedule: x"}]))
    );
    assert_eq!(list["items"][1]["errors"], json!([]));
    let why = &server.read("/ui/dags?q=etl").await["dags"][0]["why"];
    assert_eq!((&why["kind"], &why["text"]), (&json!("import_error"), &json!("unknown key")));
}

#[tokio::test]
async fn a_pool_shows_who_has_its_slots_and_who_comes_next() {
    let server = server().await;
    run(&server, "insert into executor_token (name, hash) values ('t', 'h');
         insert into executor (name, identity, session, token_id, state, hostname, version, slots)
         values ('n1', gen_random_uuid(), gen_random_uuid(), 1, 'active', 'host', '0', 4);
         delete from attempt; delete from dispatch_class;
         insert into slot_pool (pool, slots) values ('db', 1);
         insert into dispatch_class (pool, pool_slots, queue, runner) values ('db', 1, 'default', 'process');
         insert into attempt (attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight, run_order, pool,
                              pool_slots, executor_id, placed_at)
         select gen_random_uuid(), r.id, task_id, -1, 1, r.dag_fk, c.id, priority, now(), 'db', 1,
                case when priority = 9 then e.id end, case when priority = 9 then now() end
         from executor e, dispatch_class c, (select * from dag_run order by id limit 1) r,
              (values ('has', 9), ('later', 1), ('next', 5)) as t (task_id, priority)").await;
    let pools = server.read("/ui/pools").await;
    let db = entry(&pools["pools"], "name", "db");
    assert_eq!(
        (column(&db["holders"], "task_id"), column(&db["waiting"], "task_id")),
        (vec!["has".to_owned()], vec!["next".to_owned(), "later".to_owned()])
    );
    assert_eq!((&db["occupied"], &db["scheduled"], &db["open"]), (&json!(1), &json!(2), &json!(0)));
    let home = server.read("/ui/home").await;
    let busy = entry(&home["pools"], "name", "db");
    assert_eq!(column(&busy["holders"], "task_id"), ["has"]);
    assert_eq!((&home["nodes"]["active"], &home["nodes"]["away"]), (&json!(1), &json!([])));
    let group =
        home["waiting"]["groups"].as_array().unwrap().iter().find(|group| group["reason"]["code"] == "pool_full");
    assert_eq!(group.map(|group| &group["count"]), Some(&json!(2)), "{home}");
}

#[tokio::test]
async fn search_finds_dags_tasks_runs_and_assets() {
    let server = server().await;
    let found = server.read("/ui/search?q=EXT").await;
    assert_eq!(found["tasks"], json!([{"dag_id": "etl", "task_id": "extract"}]), "{found}");
    let found = server.read("/ui/search?q=manual__").await;
    assert_eq!(column(&found["runs"], "state"), ["failed"]);
    let found = server.read("/ui/search?q=orders").await;
    assert_eq!(column(&found["assets"], "uri"), ["s3://lake/orders"]);
    assert_eq!(column(&server.read("/ui/search?q=etl&limit=1").await["dags"], "dag_id"), ["etl"]);
    assert_eq!(server.read("/ui/search?q=%20").await["dags"], json!([]));
    assert_eq!(server.get("/ui/search").await.status, 422);
}

#[tokio::test]
async fn the_configuration_tells_where_each_value_is_from() {
    let text = str::to_owned;
    let server = TestServer::with(|config| {
        config.exposed = Some(vec![
            Setting {
                section: text("core"),
                option: text("fernet_key"),
                value: text("***"),
                source: Source::Environment,
                origin: Some(text("UPDRAFT__CORE__FERNET_KEY")),
                default: String::new(),
            },
            Setting {
                section: text("webserver"),
                option: text("port"),
                value: text("8080"),
                source: Source::Default,
                origin: None,
                default: text("8080"),
            },
        ]);
    })
    .await;
    let expected = json!({"options": [
        {"section": "core", "key": "fernet_key", "value": "***", "source": "environment",
         "origin": "UPDRAFT__CORE__FERNET_KEY", "default": ""},
        {"section": "webserver", "key": "port", "value": "8080", "source": "default", "origin": null, "default": "8080"},
    ]});
    assert_eq!(server.read("/ui/config").await, expected);
    for (name, role, status) in [("olga", Role::Op, StatusCode::OK), ("uwe", Role::User, StatusCode::FORBIDDEN)] {
        server.add_user(name, role).await;
        let token = server.log_in(name).await;
        let answer = server.send(server.request_as(&token, Method::GET, "/ui/config", None)).await;
        assert_eq!(answer.status, status, "{name}");
    }
    let answer = TestServer::empty().await.get("/ui/config").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.text().contains("chose not to expose the configuration"), "{}", answer.text());
}
