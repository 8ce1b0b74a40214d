//! Filters of lists that look beyond the listed rows.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestServer, column};

async fn dags(server: &TestServer, query: &str) -> Vec<String> {
    column(&server.read(&format!("/api/v2/dags?exclude_stale=false&{query}")).await["dags"], "dag_id")
}

#[tokio::test]
async fn dags_are_found_by_what_they_wait_for() {
    let server = TestServer::seeded().await;
    assert_eq!(dags(&server, "has_asset_schedule=true").await, ["other"]);
    assert_eq!(dags(&server, "has_asset_schedule=false").await, ["etl", "gone"]);
    for part in ["orders", "ORD", "s3://lake", "lake/orders"] {
        assert_eq!(dags(&server, &format!("asset_dependency={part}")).await, ["other"], "{part}");
    }
    assert_eq!(dags(&server, "asset_dependency=old").await, [""; 0]);
}

#[tokio::test]
async fn dags_are_found_by_the_class_of_their_timetable() {
    let server = TestServer::seeded().await;
    let schedules = [
        (r#"{"kind": "none"}"#, "airflow.timetables.simple.NullTimetable"),
        (r#"{"kind": "once"}"#, "airflow.timetables.simple.OnceTimetable"),
        (r#"{"kind": "continuous"}"#, "airflow.timetables.simple.ContinuousTimetable"),
        (
            r#"{"kind": "cron", "expressions": ["0 * * * *"], "timezone": "UTC"}"#,
            "airflow.timetables.trigger.CronTriggerTimetable",
        ),
        (
            r#"{"kind": "cron", "expressions": ["0 * * * *", "1 * * * *"], "timezone": "UTC"}"#,
            "airflow.timetables.trigger.MultipleCronTriggerTimetable",
        ),
        (
            r#"{"kind": "cron_interval", "expression": "0 * * * *", "timezone": "UTC"}"#,
            "airflow.timetables.interval.CronDataIntervalTimetable",
        ),
        (
            r#"{"kind": "delta", "delta": {"months": 0, "duration": 60}}"#,
            "airflow.timetables.trigger.DeltaTriggerTimetable",
        ),
        (
            r#"{"kind": "delta_interval", "delta": {"months": 0, "duration": 60}}"#,
            "airflow.timetables.interval.DeltaDataIntervalTimetable",
        ),
        (r#"{"kind": "events", "dates": []}"#, "airflow.timetables.events.EventsTimetable"),
        (
            r#"{"kind": "partitioned", "timetable": "PartitionedAssetTimetable"}"#,
            "airflow.timetables.simple.PartitionedAssetTimetable",
        ),
        (r#"{"kind": "assets", "expression": {}}"#, "airflow.timetables.simple.AssetTriggeredTimetable"),
        (
            r#"{"kind": "assets", "expression": {}, "timetable": {"kind": "once"}}"#,
            "airflow.timetables.assets.AssetOrTimeSchedule",
        ),
    ];
    for (schedule, _) in schedules {
        // No row is asked for, so that nothing but the schedule is read.
        sqlx::query("update dag_version set data = jsonb_set(data::jsonb, '{schedule}', $1::jsonb)::json")
            .bind(schedule)
            .execute(server.store.pool())
            .await
            .unwrap();
        let mut found = Vec::new();
        for (_, class) in schedules {
            let answer = server.get(&format!("/api/v2/dags?limit=0&timetable_type={class}")).await;
            if answer.json()["total_entries"] == 1 {
                found.push(class);
            }
        }
        let expected: Vec<&str> =
            schedules.iter().filter(|(other, _)| *other == schedule).map(|(_, class)| *class).collect();
        assert_eq!(found, expected, "{schedule}");
    }
    assert_eq!(dags(&server, "timetable_type=my.own.Timetable").await, [""; 0]);
}

#[tokio::test]
async fn tags_are_paged_ordered_and_searched() {
    let server = TestServer::seeded().await;
    let tags = async |query: &str| server.read(&format!("/api/v2/dagTags?{query}")).await;
    assert_eq!(tags("").await, json!({"tags": ["hourly", "prod", "test"], "total_entries": 3}));
    assert_eq!(tags("limit=1&offset=1").await, json!({"tags": ["prod"], "total_entries": 3}));
    assert_eq!(tags("order_by=-name&limit=2").await["tags"], json!(["test", "prod"]));
    assert_eq!(tags("tag_name_pattern=O").await["tags"], json!(["hourly", "prod"]));
    assert_eq!(tags("tag_name_prefix_pattern=t").await, json!({"tags": ["test"], "total_entries": 1}));
    let answer = server.get("/api/v2/dagTags?order_by=dag_id").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
}

async fn runs(server: &TestServer, query: &str) -> Vec<String> {
    column(&server.read(&format!("/api/v2/dags/etl/dagRuns?{query}")).await["dag_runs"], "run_type")
}

#[tokio::test]
async fn runs_are_found_by_the_assets_whose_events_they_took_and_none_by_a_partition() {
    let server = TestServer::seeded().await;
    for part in ["orders", "ORDERS", "s3://lake/ord"] {
        assert_eq!(runs(&server, &format!("consuming_asset_pattern={part}")).await, ["manual"], "{part}");
    }
    // Nothing in the text is a wildcard.
    for part in ["ord%25", "order_", "~", "orders|x", "old"] {
        assert_eq!(runs(&server, &format!("consuming_asset_pattern={part}")).await, [""; 0], "{part}");
    }
    for query in ["partition_key_pattern=a", "partition_key_prefix_pattern=a", "partition_date_gte=2024-05-01"] {
        assert_eq!(runs(&server, query).await, [""; 0], "{query}");
    }
    assert_eq!(runs(&server, "order_by=-partition_date").await, ["scheduled", "manual", "scheduled"]);
    let answer = server.get("/api/v2/dags/etl/dagRuns?partition_date_lte=yesterday").await;
    assert_eq!(answer.json()["detail"][0]["type"], "date_from_datetime_parsing");
}

#[tokio::test]
async fn a_run_shows_every_version_that_its_tasks_ran_in() {
    let server = TestServer::seeded().await;
    let path = "/api/v2/dags/etl/dagRuns/manual__2024-05-01T09:30:00.043063%2B00:00";
    let numbers = |run: &Value| column(&run["dag_versions"], "version_number");
    assert_eq!(numbers(&server.read(path).await), ["2"]);
    // It was cleared: its first try ran in the first version.
    sqlx::raw_sql(
        "update task_instance_history set dag_version_id = (select id from dag_version where version_number = 1);
         update dag_run set clear_number = 1 where tag = 2;",
    )
    .execute(server.store.pool())
    .await
    .unwrap();
    assert_eq!(numbers(&server.read(path).await), ["1", "2"]);
    let list = server.read("/api/v2/dags/~/dagRuns?run_type=manual").await;
    assert_eq!(numbers(&list["dag_runs"][0]), ["1", "2"]);
    // Of a run that is pinned to a commit there is one.
    sqlx::query("update dag_run set bundle_version = 'abc' where tag = 2").execute(server.store.pool()).await.unwrap();
    assert_eq!(numbers(&server.read(path).await), ["2"]);
}

async fn instances(server: &TestServer, path: &str) -> Vec<String> {
    let list = server.read(&format!("/api/v2/dags/{path}")).await;
    column(&list["task_instances"], "task_id")
}

#[tokio::test]
async fn task_instances_are_found_by_the_name_their_dag_shows() {
    let server = TestServer::seeded().await;
    sqlx::query(
        "update dag_version set data = replace(data::text, '\"task_display_name\": \"Extract\"',
                                               '\"task_display_name\": \"Get it all\"')::json where version_number = 2",
    )
    .execute(server.store.pool())
    .await
    .unwrap();
    for (path, expected) in [
        ("etl/dagRuns/~/taskInstances?task_display_name_pattern=get%20IT", vec!["extract", "extract"]),
        ("~/dagRuns/~/taskInstances?task_display_name_prefix_pattern=Get", vec!["extract", "extract"]),
        ("etl/dagRuns/~/taskInstances?task_display_name_prefix_pattern=get", vec![]),
        ("other/dagRuns/~/taskInstances?task_display_name_pattern=get", vec![]),
        ("etl/dagRuns/~/taskInstances?task_display_name_pattern=get&state=running", vec!["extract"]),
    ] {
        assert_eq!(instances(&server, path).await, expected, "{path}");
    }
}

#[tokio::test]
async fn task_instances_are_found_by_their_group_and_none_by_an_executor() {
    let server = TestServer::seeded().await;
    sqlx::query(
        r#"update dag_version set data = jsonb_set(jsonb_set(data::jsonb, '{tasks,0,task_group}', '"outer.inner"'), '{task_groups}',
             '{"outer": {"group_id": "outer", "parent": null, "tooltip": "", "prefix_group_id": true, "display_name": null},
               "outer.inner": {"group_id": "outer.inner", "parent": "outer", "tooltip": "", "prefix_group_id": true,
                               "display_name": null}}')::json where version_number = 2"#,
    )
    .execute(server.store.pool())
    .await
    .unwrap();
    for group in ["outer", "outer.inner"] {
        let path = format!("etl/dagRuns/~/taskInstances?task_group_id={group}");
        assert_eq!(instances(&server, &path).await, ["extract", "extract"], "{group}");
    }
    let status = async |path: &str| server.get(&format!("/api/v2/dags/{path}")).await.status;
    assert_eq!(status("etl/dagRuns/~/taskInstances?task_group_id=none").await, StatusCode::NOT_FOUND);
    assert_eq!(status("~/dagRuns/~/taskInstances?task_group_id=outer").await, StatusCode::BAD_REQUEST);

    let executor = "executor=CeleryExecutor";
    assert_eq!(instances(&server, &format!("etl/dagRuns/~/taskInstances?{executor}")).await, [""; 0]);
    let body = json!({"executor": ["CeleryExecutor"]});
    let list = server.call(Method::POST, "/api/v2/dags/~/dagRuns/~/taskInstances/list", body).await.json();
    assert_eq!(list["total_entries"], 0);
}
