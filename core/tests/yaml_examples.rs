//! The example DAGs of this repository load, and what they load as fits the operators that run them.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use updraft_core::{
    dag::{Dag, Task},
    yaml::{Files, Loaded, Settings, is_dag_file, load},
};

struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.0.join(path)).ok()
    }
}

fn settings() -> Settings {
    Settings::new("2026-01-15T12:00:00Z".parse::<DateTime<Utc>>().expect("a date"))
}

fn load_text(text: &str) -> Loaded {
    load("file.yaml", text.as_bytes(), &(), &settings())
}

fn one(text: &str) -> Dag {
    let loaded = load_text(text);
    assert_eq!(loaded.dags.len(), 1, "{:#?}", loaded.diagnostics);
    loaded.dags.into_iter().next().expect("one DAG").dag
}

/// Whoever runs the task reads its arguments with these types after rendering.
fn fits(task: &Task) -> Result<(), String> {
    task.operator.check(&task.operator_class, &serde_json::Value::Object(task.args.clone()))
}

#[test]
fn loads_every_example_without_a_finding() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dags");
    let mut count = 0;
    for entry in std::fs::read_dir(&root).expect("dags/").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_dag_file(&name) {
            continue;
        }
        let bytes = std::fs::read(entry.path()).expect("a file");
        let loaded = load(&name, &bytes, &Folder(root.clone()), &settings());
        assert!(!loaded.dags.is_empty(), "{name}: {:#?}", loaded.diagnostics);
        assert!(loaded.diagnostics.is_empty(), "{name}: {:#?}", loaded.diagnostics);
        for task in loaded.dags.iter().flat_map(|dag| &dag.dag.tasks) {
            fits(task).unwrap_or_else(|error| panic!("{name}: {}: {error}", task.task_id));
        }
        count += loaded.dags.len();
    }
    assert!(count > 4, "the examples were read");
}

#[test]
fn gives_nodes_arguments_that_fit_also_where_keys_are_empty() {
    let dag = one("
tasks:
  a: {bash: echo, env: , cwd: , }
  b: {operator: bash, bash_command: echo, env: , skip_on_exit_code: }
  c: {docker: {image: x, command: date, environment: , mounts: [{source: /a, target: /b, type: bind}], auto_remove: True}}
  d: {docker: {image: x, command: [a, 1, yes], environment: {A: 1, B: }, cpus: 2, mem_limit: 512m, skip_on_exit_code: [1, 2]}}
  e: {kubernetes_pod: {image: x, cmds: date, arguments: , env_vars: {A: b}, labels: {n: 1}}}
  f: {python: 'a.b', op_args: [1, {x: 2}], op_kwargs: }
  g: {python: 'a.b', image: python, interpreter: python3}
  h: {noop: }
");
    for task in &dag.tasks {
        fits(task).unwrap_or_else(|error| panic!("{}: {error}: {:?}", task.task_id, task.args));
    }
    let args = |id: &str| serde_json::to_value(&dag.task(id).expect("the task").args).expect("JSON");
    assert_eq!(args("a")["append_env"], true);
    assert_eq!(args("b")["skip_on_exit_code"], serde_json::Value::Null);
    assert_eq!(args("d")["command"], serde_json::json!(["a", "1", "yes"]));
    assert_eq!(dag.task("h").expect("the task").operator_class, "updraft.operators.noop.NoopOperator");
}

#[test]
fn keeps_its_version_while_only_the_day_changes() {
    let text = "start_date: 2 days\ntasks:\n  a: {bash: echo, start_date: 1 day}\n";
    let load_at = |now: &str| {
        let settings = Settings::new(now.parse().expect("a date"));
        load("f.yaml", text.as_bytes(), &(), &settings).dags.into_iter().next().expect("loads").dag
    };
    let (monday, tuesday) = (load_at("2026-01-12T10:00:00Z"), load_at("2026-01-13T10:00:00Z"));
    assert_ne!(monday.start_date, tuesday.start_date);
    assert_eq!(monday.hash(), tuesday.hash());
    assert_eq!(monday.source_dates["tasks.a.start_date"], "1 day");
}

#[test]
fn warns_of_what_has_no_effect_and_of_what_cannot_run() {
    let loaded = load_text("tasks:\n  a:\n    bash: echo\n    executor: CeleryExecutor\n");
    assert_eq!(loaded.dags.len(), 1);
    assert_eq!((loaded.diagnostics[0].kind.as_str(), loaded.diagnostics[0].line), ("without_effect", 4));
    let loaded = load_text("tasks:\n  a:\n    operator: com.example.Fancy\n    x: 1\n");
    assert_eq!((loaded.diagnostics[0].kind.as_str(), loaded.diagnostics[0].line), ("unsupported_operator", 3));
    assert_eq!(loaded.dags[0].dag.tasks[0].operator_class, "com.example.Fancy");
    assert_eq!(loaded.dags[0].dag.tasks[0].args["x"], 1);
}

#[test]
fn records_every_file_it_looked_for() {
    let loaded = load("team/jobs.yml", b"include: [common.yaml]\ntasks: {a: {bash: echo}}\n", &(), &settings());
    let wanted = ["defaults.yaml", "defaults.yml", "team/common.yaml", "team/defaults.yaml", "team/defaults.yml"];
    assert_eq!(loaded.dependencies.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
    assert_eq!(loaded.includes.iter().map(String::as_str).collect::<Vec<_>>(), ["team/common.yaml"]);
}

#[test]
fn stays_within_its_limits() {
    let started = std::time::Instant::now();
    let mut many = String::from("tasks:\n");
    for index in 0..12_000 {
        writeln!(many, "  t{index}: {{bash: echo, depends_on: [t{}, nobody{index}]}}", index / 2).expect("a text");
    }
    let mut product = String::from("default:\n  tasks:\n");
    for index in 0..900 {
        writeln!(product, "    t{index}: {{bash: echo}}").expect("a text");
    }
    for index in 0..900 {
        writeln!(product, "d{index}: {{}}").expect("a text");
    }
    let mut groups = String::from("tasks: {}\ntask_groups:\n  a:\n    tasks:\n");
    for index in 0..2000 {
        writeln!(groups, "      a{index}: {{empty: }}").expect("a text");
    }
    groups.push_str("  b:\n    depends_on: a\n    tasks:\n");
    for index in 0..2000 {
        writeln!(groups, "      b{index}: {{empty: }}").expect("a text");
    }
    let wide = format!("tasks: {{a: {{bash: echo, x: [{}]}}}}", "y,".repeat(200_000));
    for text in [many, product, groups, wide, "x".repeat(2 << 20)] {
        let loaded = load_text(&text);
        assert!(loaded.dags.is_empty() || loaded.dags.len() < 900);
        assert!(loaded.diagnostics.len() <= 500);
    }
    // Far above what it takes, so that a slow machine does not fail it; a quadratic step would.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn explains_every_kind_that_the_loader_can_find() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_to_string(root.join("../docs/diagnostics.md")).expect("docs/diagnostics.md");
    let mut sources: Vec<PathBuf> = vec![root.join("src/yaml")];
    let mut kinds = std::collections::BTreeSet::new();
    while let Some(path) = sources.pop() {
        if path.is_dir() {
            sources.extend(std::fs::read_dir(&path).expect("a folder").flatten().map(|entry| entry.path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source file");
        // A kind is the first literal after one of the collector's methods.
        for call in [".error(", ".error_help(", ".error_related(", ".warning(", ".warning_help("] {
            for (_, rest) in text.match_indices(call).map(|(at, _)| text.split_at(at + call.len())) {
                if let Some(literal) = rest.trim_start().strip_prefix('"') {
                    kinds.extend(literal.split_once('"').map(|(kind, _)| kind.to_owned()));
                }
            }
        }
    }
    assert!(kinds.len() > 50, "{kinds:?}");
    let silent: Vec<_> = kinds.iter().filter(|kind| !docs.contains(&format!("| `{kind}` |"))).collect();
    assert!(silent.is_empty(), "docs/diagnostics.md does not explain {silent:?}");
}

fn docs(page: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page)
}

/// The code that examples of the documentation name.
struct Beside;

impl Files for Beside {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        (path == "callbacks/alerts.py").then(|| b"def again(context):\n    pass\n".to_vec())
    }
}

#[test]
fn loads_every_example_of_the_documentation() {
    for (page, at_least) in [("dag-files.md", 5), ("notifications.md", 1)] {
        let text = std::fs::read_to_string(docs(page)).expect("the page");
        let blocks: Vec<&str> =
            text.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```").map(|(block, _)| block)).collect();
        assert!(blocks.len() >= at_least, "{page}");
        for block in blocks {
            let loaded = load("file.yaml", block.as_bytes(), &Beside, &settings());
            assert!(
                !loaded.dags.is_empty() && loaded.diagnostics.is_empty(),
                "{page}: {block}\n{:#?}",
                loaded.diagnostics
            );
        }
    }
}
