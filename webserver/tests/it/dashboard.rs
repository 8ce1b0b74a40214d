//! What the dashboard reads beyond Airflow's API.

use serde_json::{Value, json};

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
