//! The long form of a file says the same as the file, and where each value stands.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use serde_json::Value;
use updraft_core::yaml::{Files, Settings, describe, explain, load};

struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.0.join(path)).ok()
    }
}

/// One file beside the DAG file.
struct Beside(&'static str, &'static str);

impl Files for Beside {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        (path == self.0).then(|| self.1.as_bytes().to_vec())
    }
}

fn settings(root: &Path) -> Settings {
    let now: DateTime<Utc> = "2026-01-15T12:00:00Z".parse().expect("a date");
    let mut settings = Settings::new(now);
    settings.root = Some(root.to_string_lossy().into_owned());
    settings.env = BTreeMap::from([("CONFIG_ROOT_DIR".to_owned(), root.to_string_lossy().into_owned())]);
    settings
}

/// The DAGs by id, without what the long form says in another place.
fn described(root: &Path, file: &str, bytes: &[u8]) -> BTreeMap<String, Value> {
    let loaded = load(file, bytes, &Folder(root.to_owned()), &settings(root));
    loaded
        .dags
        .iter()
        .map(|loaded| {
            let mut dag = describe(&loaded.dag);
            let fields = dag.as_object_mut().expect("a DAG");
            // Every task says its own.
            fields.shift_remove("default_args");
            // The `env` beside a short form is, written out, the operator's own that appends.
            for task in fields["tasks"].as_object_mut().expect("tasks").values_mut() {
                if task["args"]["append_env"] == true
                    && let Value::Object(own) = task["args"]["env"].take()
                {
                    for (name, value) in own {
                        task["env"][name] = value;
                    }
                }
            }
            (loaded.dag.dag_id.to_string(), dag)
        })
        .collect()
}

#[test]
fn the_long_form_of_every_valid_file_loads_as_the_same_dags() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![manifest.join("../dags")];
    match Some(manifest.join("../../shared/corpus/valid")).filter(|place| place.is_dir()) {
        Some(corpus) => folders.extend(["native", "dagfactory", "legacy"].map(|folder| corpus.join(folder))),
        None => eprintln!("the corpus is not beside this checkout; only the examples were checked"),
    }
    let mut count = 0;
    for root in folders {
        for entry in std::fs::read_dir(&root).expect("a folder").flatten() {
            let file = entry.file_name().to_string_lossy().into_owned();
            if !updraft_core::yaml::is_dag_file(&file) {
                continue;
            }
            let bytes = std::fs::read(entry.path()).expect("a file");
            let (text, _) = explain(&file, &bytes, &Folder(root.clone()), &settings(&root));
            let (before, after) = (described(&root, &file, &bytes), described(&root, &file, text.as_bytes()));
            assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "{file}:\n{text}");
            for (dag_id, dag) in before {
                assert_eq!(dag, after[&dag_id], "{file}:\n{text}");
                count += 1;
            }
        }
    }
    assert!(count > 4, "files were read");
}

#[test]
fn every_value_says_where_it_comes_from() {
    let file = "\
schedule: \"@daily\"
default_args: {retries: 2}
tasks:
  extract: {bash: echo extract}
  load:
    bash: |
      set -e
      echo load
    depends_on: extract
    retries: 5
task_groups:
  checks:
    depends_on: load
    tasks:
      rows: {wait_for_task: \"other:last\"}
flow: extract >> checks
";
    let files = Beside("defaults.yml", "# for all\ndefault_args:\n  queue: etl\n");
    let now: DateTime<Utc> = "2026-01-15T12:00:00Z".parse().expect("a date");
    let (text, findings) = explain("sales.yaml", file.as_bytes(), &files, &Settings::new(now));
    assert!(findings.is_empty(), "{findings:#?}");
    insta::assert_snapshot!(text);
}

#[test]
fn a_broken_dag_is_left_out_and_the_findings_say_why() {
    let file = "a: {tasks: {t: {operator: nothing}}}\nb: {tasks: {t: {operator: empty}}}\n";
    let now: DateTime<Utc> = "2026-01-15T12:00:00Z".parse().expect("a date");
    let (text, findings) = explain("f.yaml", file.as_bytes(), &(), &Settings::new(now));
    assert!(text.starts_with("b:") && !text.contains("nothing"), "{text}");
    assert_eq!(findings[0].kind, "unknown_operator");
}
