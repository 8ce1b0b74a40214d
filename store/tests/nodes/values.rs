use std::path::Path;

use serde_json::{Value, json};
use updraft_core::template::{Part, Ref};
use updraft_store::{
    Store, StoreError,
    nodes::{self, Put, TokenId},
    objects::{self, Objects},
    sources::Sources,
    xcom,
};

use crate::seed::{Seed, finished};

fn reference(task_id: &str, map_index: Option<i32>) -> Ref {
    Ref::XCom { task_id: task_id.to_owned(), key: "return_value".to_owned(), map_index, part: None }
}

fn part(task_id: &str, map_index: Option<i32>, part: Part) -> Ref {
    Ref::XCom { task_id: task_id.to_owned(), key: "return_value".to_owned(), map_index, part: Some(part) }
}

#[tokio::test]
async fn a_current_attempt_pushes_and_pulls_xcoms_of_its_run() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    for value in [json!("first"), json!("second")] {
        let put = nodes::put_xcom(&seed.store, &seed.dags, seed.token, attempt, "return_value", value).await.unwrap();
        assert_eq!(put, Put::Written);
    }
    for index in [1, 0] {
        let mapped = seed.placed(node, "t1", index).await;
        nodes::put_xcom(&seed.store, &seed.dags, seed.token, mapped, "return_value", json!(index * 10)).await.unwrap();
    }
    let refs = [
        reference("t0", None),
        reference("t1", None),
        reference("t1", Some(1)),
        reference("t0", Some(-1)),
        reference("no", None),
    ];
    let values = nodes::resolve(&seed.store, seed.token, attempt, &refs).await.unwrap().unwrap();
    let values: Vec<Option<Value>> = values.into_iter().map(|resolved| resolved.value).collect();
    assert_eq!(values, [Some(json!("second")), Some(json!([0, 10])), Some(json!(10)), Some(json!("second")), None]);
}

#[tokio::test]
async fn only_the_part_of_a_value_that_mapping_needs_is_read() {
    let seed = Seed::new().await;
    parts(&seed, &seed.store).await;
}

#[tokio::test]
async fn the_parts_of_a_value_that_is_a_file_are_the_same() {
    let (seed, folder) = (Seed::new().await, tempfile::tempdir().unwrap());
    let objects = Objects::new(folder.path(), 0);
    let store = seed.store.clone().with_sources(Sources { objects, ..Sources::default() });
    parts(&seed, &store).await;
    assert_eq!(files(folder.path()).len(), 5);
}

async fn parts(seed: &Seed, store: &Store) {
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    let put = |attempt, key: &'static str, value| nodes::put_xcom(store, &seed.dags, seed.token, attempt, key, value);
    put(attempt, "return_value", json!(["a", null, {"x": 1}])).await.unwrap();
    for index in [2, 0] {
        let mapped = seed.placed(node, "t1", index).await;
        put(mapped, "return_value", json!([index, "b"])).await.unwrap();
    }
    let entries = seed.placed(node, "t2", -1).await;
    put(entries, "return_value", json!({"one": 1, "two": [2]})).await.unwrap();
    let text = seed.placed(node, "t3", -1).await;
    put(text, "return_value", json!("text")).await.unwrap();
    let cases = [
        (part("t0", None, Part::Length), Some(json!(3))),
        (part("t0", None, Part::Item(0)), Some(json!(["a"]))),
        (part("t0", None, Part::Item(1)), Some(json!([null]))),
        (part("t0", None, Part::Item(2)), Some(json!([{"x": 1}]))),
        (part("t0", None, Part::Item(3)), None),
        (part("t1", None, Part::Length), Some(json!(2))),
        (part("t1", None, Part::Item(0)), Some(json!([[0, "b"]]))),
        (part("t1", None, Part::Item(1)), Some(json!([[2, "b"]]))),
        (part("t1", None, Part::Item(2)), None),
        (part("t1", Some(2), Part::Length), Some(json!(2))),
        (part("t1", Some(2), Part::Item(1)), Some(json!(["b"]))),
        (part("t2", None, Part::Length), Some(json!(2))),
        (part("t2", None, Part::Item(0)), Some(json!({"one": 1}))),
        (part("t2", None, Part::Item(1)), Some(json!({"two": [2]}))),
        (part("t2", None, Part::Item(2)), None),
        (part("t3", None, Part::Length), None),
        (part("t3", None, Part::Item(0)), None),
        (part("no", None, Part::Length), None),
    ];
    let refs: Vec<Ref> = cases.iter().map(|(reference, _)| reference.clone()).collect();
    let values = nodes::resolve(store, seed.token, attempt, &refs).await.unwrap().unwrap();
    for (value, (reference, expected)) in values.into_iter().zip(cases) {
        assert_eq!(value.value, expected, "{reference:?}");
    }
}

#[tokio::test]
async fn a_fenced_attempt_or_another_token_pushes_and_pulls_nothing() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    let put = nodes::put_xcom(&seed.store, &seed.dags, TokenId(99), attempt, "k", json!(1)).await.unwrap();
    assert_eq!(put, Put::Stale);
    seed.fence(attempt).await;
    let put = nodes::put_xcom(&seed.store, &seed.dags, seed.token, attempt, "k", json!(1)).await.unwrap();
    assert_eq!(put, Put::Stale);
    assert!(seed.xcoms().await.is_empty());
    assert!(nodes::resolve(&seed.store, seed.token, attempt, &[]).await.unwrap().is_none());
}

#[tokio::test]
async fn every_way_to_push_leaves_the_length_that_mapping_needs() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let reported = seed.placed(node, "t1", -1).await;
    seed.report(node, vec![finished(reported, Some(json!({"items": [1, 2, 3], "n": 7})))]).await;
    for (index, value) in [(0, json!([1])), (1, json!([1, 2]))] {
        let put = seed.placed(node, "t2", index).await;
        nodes::put_xcom(&seed.store, &seed.dags, seed.token, put, "return_value", value).await.unwrap();
    }
    let refs = [("t2", "return_value"), ("t1", "items"), ("t1", "n"), ("t1", "return_value"), ("t0", "return_value")];
    let refs = refs.map(|(task_id, key)| (seed.run, task_id.to_owned(), key.to_owned()));
    let mut connection = seed.store.pool().acquire().await.unwrap();
    let lengths = xcom::xcom_lengths(&mut connection, &refs).await.unwrap();
    let lengths: Vec<_> = lengths.iter().map(|x| (x.task_id.as_str(), x.key.as_str(), x.map_index, x.length)).collect();
    let expected = [
        ("t1", "items", -1, Some(3)),
        ("t1", "n", -1, None),
        ("t1", "return_value", -1, Some(2)),
        ("t2", "return_value", 0, Some(1)),
        ("t2", "return_value", 1, Some(2)),
    ];
    assert_eq!(lengths, expected);
}

/// The files under a folder, as texts.
fn files(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(std::fs::read_to_string(path).unwrap()) }
    }
    found
}

/// The seed's store, with a folder for values of more than 100 bytes.
fn with_folder(seed: &Seed, folder: &Path) -> Store {
    seed.store.clone().with_sources(Sources { objects: Objects::new(folder, 100), ..Sources::default() })
}

#[tokio::test]
async fn a_large_value_is_a_file_that_reads_like_any_other_and_goes_with_its_row() {
    let (seed, folder) = (Seed::new().await, tempfile::tempdir().unwrap());
    let store = with_folder(&seed, folder.path());
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    let put = async |value: &Value| {
        let put =
            nodes::put_xcom(&store, &seed.dags, seed.token, attempt, "return_value", value.clone()).await.unwrap();
        assert_eq!(put, Put::Written);
    };
    let large = json!(["x".repeat(200), "y"]);
    put(&large).await;
    assert_eq!(files(folder.path()), [large.to_string()]);
    let row: (Option<Value>, i64, Option<i32>) =
        sqlx::query_as("select value, size, length from xcom").fetch_one(store.pool()).await.unwrap();
    assert_eq!(row, (None, large.to_string().len() as i64, Some(2)));
    let read = nodes::resolve(&store, seed.token, attempt, &[reference("t0", None)]).await.unwrap().unwrap();
    assert_eq!(read[0].value.as_ref(), Some(&large));
    let error = nodes::resolve(&seed.store, seed.token, attempt, &[reference("t0", None)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Data(_)), "a process without the folder says so: {error:?}");
    assert_eq!(objects::sweep(&store).await.unwrap(), 0, "the row names it");

    let larger = json!("z".repeat(300));
    put(&larger).await;
    assert_eq!(objects::sweep(&store).await.unwrap(), 1, "the first was replaced");
    assert_eq!(files(folder.path()), [larger.to_string()]);
    put(&json!("small")).await;
    assert_eq!(objects::sweep(&store).await.unwrap(), 1);
    put(&large).await;
    seed.execute("delete from xcom").await;
    assert_eq!(objects::sweep(&store).await.unwrap(), 1);
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn a_file_whose_row_was_never_written_goes_when_it_is_due() {
    let (seed, folder) = (Seed::new().await, tempfile::tempdir().unwrap());
    let store = with_folder(&seed, folder.path());
    drop(xcom::prepare(&store, json!("x".repeat(200))).await.unwrap());
    assert_eq!(objects::sweep(&store).await.unwrap(), 0, "somebody may be about to name it");
    assert_eq!(files(folder.path()).len(), 1);
    seed.execute("update object_garbage set due = now()").await;
    assert_eq!(objects::sweep(&store).await.unwrap(), 1);
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn a_large_result_pushes_each_key_too() {
    let (seed, folder) = (Seed::new().await, tempfile::tempdir().unwrap());
    let store = with_folder(&seed, folder.path());
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t1", -1).await;
    let result = json!({"small": 1, "large": "x".repeat(200)});
    nodes::put_xcom(&store, &seed.dags, seed.token, attempt, "return_value", result.clone()).await.unwrap();
    let rows: Vec<(String, Option<Value>, bool)> =
        sqlx::query_as("select key, value, place is not null from xcom order by key")
            .fetch_all(store.pool())
            .await
            .unwrap();
    let expected =
        [("large".into(), None, true), ("return_value".into(), None, true), ("small".into(), Some(json!(1)), false)];
    assert_eq!(rows, expected);
    let mut found = files(folder.path());
    found.sort_by_key(String::len);
    assert_eq!(found, [result["large"].to_string(), result.to_string()]);
}

#[tokio::test]
async fn a_bundle_is_read_in_slices() {
    let seed = Seed::new().await;
    seed.execute("insert into bundle (hash, content, size) values ('b1', '\\x0102030405', 5)").await;
    assert_eq!(nodes::bundle_size(&seed.store, "b1").await.unwrap(), Some(5));
    assert_eq!(nodes::bundle_size(&seed.store, "b2").await.unwrap(), None);
    assert_eq!(nodes::bundle_slice(&seed.store, "b1", 0, 3).await.unwrap(), [1, 2, 3]);
    assert_eq!(nodes::bundle_slice(&seed.store, "b1", 3, 3).await.unwrap(), [4, 5]);
}

#[tokio::test]
async fn the_place_of_a_log_outlives_the_attempt() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", 3).await;
    assert!(nodes::log_places(&seed.store, seed.token, &[attempt]).await.unwrap().is_empty(), "never handed out");
    seed.hand_out(node, &[]).await.unwrap();
    seed.fence(attempt).await;
    let place = nodes::log_places(&seed.store, seed.token, &[uuid::Uuid::new_v4(), attempt]).await.unwrap().remove(0);
    assert_eq!((place.dag_id.as_str(), place.run_id.as_str(), place.task_id.as_str()), ("d", "r1", "t0"));
    assert_eq!((place.map_index, place.try_number), (3, 1));
}

#[tokio::test]
async fn xcoms_of_other_runs_are_found_by_run_by_dag_and_by_date() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    seed.execute("update dag_run set logical_date = '2026-01-10T00:00:00Z'").await;
    seed.execute(
        "with other as (
             insert into dag (dag_id, dag_display_name, bundle_name, relative_fileloc, fileloc)
             values ('other', 'other', 'b', 'f', 'f') returning id
         ), runs as (
             insert into dag_run (dag_fk, run_id, tag, state, run_type, run_after, dag_version_id, logical_date)
             select n.fk, n.run_id, 1, 'success', 'manual', now(), r.dag_version_id, n.at
             from dag_run r, lateral (values (r.dag_fk, 'old', timestamptz '2026-01-01T00:00:00Z'),
                                             (r.dag_fk, 'last', timestamptz '2026-01-05T00:00:00Z'),
                                             (r.dag_fk, 'later', timestamptz '2026-01-20T00:00:00Z'),
                                             ((select id from other), r.run_id, null)) as n (fk, run_id, at)
             returning id, run_id
         )
         insert into xcom (dag_run_id, task_id, map_index, key, value, size)
         select id, 'x', i, 'return_value', to_jsonb(run_id || i), 1 from runs, generate_series(0, 1) as i",
    )
    .await;
    let of = |dag_id: Option<&str>, run_id: Option<&str>, include_prior_dates, map_index| Ref::XComOf {
        dag_id: dag_id.map(str::to_owned),
        run_id: run_id.map(str::to_owned),
        include_prior_dates,
        task_id: "x".to_owned(),
        key: "return_value".to_owned(),
        map_index,
    };
    let refs = [
        of(None, Some("old"), false, None),
        of(None, Some("later"), false, Some(1)),
        of(None, None, true, None),
        of(None, Some("old"), true, Some(0)),
        of(Some("other"), None, false, Some(0)),
        of(Some("nobody"), None, false, None),
        of(None, Some("gone"), false, None),
    ];
    let found = nodes::resolve(&seed.store, seed.token, attempt, &refs).await.unwrap().unwrap();
    let values: Vec<Value> = found.into_iter().map(|found| found.value.unwrap_or_default()).collect();
    assert_eq!(json!(values), json!([["old0", "old1"], ["later1"], ["last0", "last1"], ["old0"], ["r10"], null, null]));
}

#[tokio::test]
async fn all_that_a_task_pushed_comes_as_a_list_also_of_a_task_that_is_not_mapped() {
    let seed = Seed::new().await;
    let node = seed.node("n1").await;
    let attempt = seed.placed(node, "t0", -1).await;
    nodes::put_xcom(&seed.store, &seed.dags, seed.token, attempt, "return_value", json!([1])).await.unwrap();
    let refs = [part("t0", None, Part::All), part("t9", None, Part::All)];
    let found = nodes::resolve(&seed.store, seed.token, attempt, &refs).await.unwrap().unwrap();
    assert_eq!(found[0].value, Some(json!([[1]])));
    assert_eq!(found[1].value, None);
}
