//! What is converted to dag-factory's format means the same there.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde_json::Value;
use updraft_core::{
    dag::Dag,
    yaml::{Files, Settings, describe, is_dag_file, load, to_dag_factory},
};

struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.0.join(path)).ok()
    }
}

fn dags(root: &Path, file: &str, bytes: &[u8]) -> Vec<Dag> {
    let now: DateTime<Utc> = "2026-01-15T12:00:00Z".parse().expect("a date");
    let mut settings = Settings::new(now);
    settings.root = Some(root.to_string_lossy().into_owned());
    settings.env = BTreeMap::from([("CONFIG_ROOT_DIR".to_owned(), root.to_string_lossy().into_owned())]);
    let loaded = load(file, bytes, &Folder(root.to_owned()), &settings);
    loaded.dags.into_iter().map(|loaded| loaded.dag).collect()
}

/// A DAG without what the other format says in another place.
fn described(dag: &Dag) -> Value {
    let mut value = describe(dag);
    let fields = value.as_object_mut().expect("a DAG");
    // `default_args` are said by every task, `inputs` are params, the environment of a DAG is that of its tasks.
    for name in ["default_args", "inputs", "params", "param_schemas", "env", "callbacks"] {
        fields.shift_remove(name);
    }
    // Edges of groups are said by their tasks.
    for group in fields["task_groups"].as_object_mut().expect("groups").values_mut() {
        for name in ["upstream_tasks", "downstream_tasks", "upstream_groups", "downstream_groups"] {
            group.as_object_mut().expect("a group").shift_remove(name);
        }
    }
    for task in fields["tasks"].as_object_mut().expect("tasks").values_mut() {
        let task = task.as_object_mut().expect("a task");
        let mut env = task.shift_remove("env").unwrap_or_default();
        if let (Value::Object(more), Some(Value::Object(own))) = (&mut env, task["args"].get("env")) {
            more.extend(own.clone());
        }
        if !env.is_null() {
            task["args"]["env"] = env;
        }
        for name in ["params", "partial", "callbacks", "on_execute", "on_failure", "on_success", "on_retry"] {
            task.shift_remove(name);
        }
    }
    value
}

#[test]
fn what_is_converted_means_the_same_and_what_is_not_is_named() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![manifest.join("../dags")];
    match Some(manifest.join("../../shared/corpus/valid")).filter(|place| place.is_dir()) {
        Some(corpus) => folders.extend(["native", "dagfactory", "legacy"].map(|folder| corpus.join(folder))),
        None => eprintln!("the corpus is not beside this checkout; only the examples were checked"),
    }
    let (mut converted, mut refused) = (0, 0);
    for root in folders {
        for entry in std::fs::read_dir(&root).expect("a folder").flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            if !is_dag_file(&file) {
                continue;
            }
            for dag in dags(&root, &file, &std::fs::read(entry.path()).expect("a file")) {
                match to_dag_factory(&dag) {
                    Ok(text) => {
                        let again = dags(&root, "converted.yml", text.as_bytes());
                        assert_eq!(again.len(), 1, "{file}:\n{text}");
                        assert_eq!(described(&dag), described(&again[0]), "{file}:\n{text}");
                        converted += 1;
                    }
                    Err(missing) => {
                        assert!(missing.iter().all(|line| line.contains("dag-factory has no")), "{missing:?}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(converted > 5 && refused < converted, "{converted} converted, {refused} refused");
}

#[test]
fn native_only_features_are_named_one_by_one() {
    let text = "fail_fast: true\ntasks:\n  a: {bash: echo, when: \"{{ true }}\"}\n  b: {bash: echo, foreach: [1], secrets: {A: 'env:A'}}\n";
    let dag = dags(Path::new("/"), "f.yaml", text.as_bytes()).remove(0);
    assert_eq!(
        to_dag_factory(&dag),
        Err(vec![
            "DAG `f`: dag-factory has no `fail_fast`".to_owned(),
            "task `a`: dag-factory has no `when`".to_owned(),
            "task `b`: dag-factory has no `secrets`".to_owned(),
            "task `b`: dag-factory has no mapping but `expand`".to_owned(),
        ])
    );
}

#[test]
fn short_forms_become_class_paths_and_long_arguments() {
    let text = "\
schedule: 6 hours
start_date: 2025-01-01
default_args: {retries: 2, retry_delay: 1m}
env: {STAGE: prod}
tasks:
  extract: {bash: echo extract}
  wait: {wait_for: 10m, depends_on: extract}
";
    let dag = dags(Path::new("/"), "sales.yaml", text.as_bytes()).remove(0);
    insta::assert_snapshot!(to_dag_factory(&dag).expect("nothing native only"));
}
