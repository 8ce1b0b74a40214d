//! Rules of the format, one claim each; the corpus (`yaml_corpus.rs`) compares whole files.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use updraft_core::{
    dag::{Dag, Schedule},
    diagnostic::Severity,
    yaml::{Files, Loaded, Settings, load},
};

struct Beside(BTreeMap<&'static str, &'static str>);

impl Files for Beside {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.0.get(path).map(|text| text.as_bytes().to_vec())
    }
}

fn settings() -> Settings {
    let mut settings = Settings::new("2026-01-15T12:00:00Z".parse::<DateTime<Utc>>().expect("a date"));
    settings.env.insert("STAGE".to_owned(), "prod".to_owned());
    settings
}

fn load_beside<const N: usize>(text: &str, files: [(&'static str, &'static str); N]) -> Loaded {
    load("team/file.yaml", text.as_bytes(), &Beside(files.into()), &settings())
}

#[track_caller]
fn one_beside<const N: usize>(text: &str, files: [(&'static str, &'static str); N]) -> Dag {
    let loaded = load_beside(text, files);
    let errors: Vec<_> = loaded.diagnostics.iter().filter(|found| found.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!(loaded.dags.len(), 1);
    loaded.dags.into_iter().next().expect("one DAG").dag
}

#[track_caller]
fn one(text: &str) -> Dag {
    one_beside(text, [])
}

fn kinds(loaded: &Loaded) -> Vec<(&str, u32)> {
    loaded.diagnostics.iter().map(|found| (found.kind.as_str(), found.line)).collect()
}

fn upstream(dag: &Dag, task: &str) -> Vec<String> {
    dag.task(task).expect("the task").upstream.iter().map(ToString::to_string).collect()
}

#[test]
fn takes_the_id_from_the_file_when_it_names_none() {
    assert_eq!(one("tasks: {a: {empty: }}").dag_id.as_str(), "file");
    assert_eq!(one("dag_id: x\ntasks: {a: {empty: }}").dag_id.as_str(), "x");
}

#[test]
fn ranks_sources_of_default_args_and_of_other_keys_differently() {
    let dag = one_beside(
        "include: [more.yaml]\ndefault: {default_args: {owner: default}, max_active_runs: 2, description: default}\n\
         default_args: {pool: own}\ntasks: {a: {bash: echo}}",
        [
            (
                "defaults.yml",
                "{max_active_runs: 3, max_active_tasks: 3, tags: [b], default_args: {owner: root, queue: root, pool: root}}",
            ),
            ("team/defaults.yml", "{max_active_runs: 4, tags: [a], default_args: {queue: team}}"),
            ("team/more.yaml", "{max_active_runs: 5, default_args: {owner: more, retries: 5}}"),
        ],
    );
    assert_eq!((dag.max_active_runs, dag.max_active_tasks), (5, 3));
    assert_eq!(dag.description.as_deref(), Some("default"));
    assert_eq!(dag.tags, ["a", "b"]);
    let task = dag.task("a").expect("the task");
    assert_eq!(
        (task.owner.as_str(), task.queue.as_str(), task.pool.as_str(), task.retries),
        ("default", "team", "own", 5)
    );
}

#[test]
fn merges_tasks_in_list_form_by_id() {
    let loaded = load_beside(
        "default: {tasks: [{task_id: load, operator: bash, bash_command: x, queue: q}]}\n\
         d: {tasks: [{task_id: load, bash_command: y}, {task_id: next, operator: empty, dependencies: load}]}",
        [],
    );
    let dag = &loaded.dags[0].dag;
    let task = dag.task("load").expect("the task");
    assert_eq!((task.args["bash_command"].as_str(), task.queue.as_str()), (Some("y"), "q"));
    assert_eq!(upstream(dag, "next"), ["load"]);
}

#[test]
fn points_into_the_file_a_mistake_stands_in() {
    let loaded = load_beside("tasks: {a: {empty: }}", [("team/defaults.yml", "default_args:\n  retries: lots\n")]);
    let found = &loaded.diagnostics[0];
    assert_eq!((found.kind.as_str(), found.file.as_deref(), found.line), ("wrong_type", Some("team/defaults.yml"), 2));
    assert!(loaded.dags.is_empty());
}

#[test]
fn says_a_mistake_in_a_default_once_for_all_its_dags() {
    let loaded = load_beside(
        "default: {default_args: {retries: lots}}\na: {tasks: {t: {operator: empty}}}\nb: {tasks: {t: {operator: empty}}}",
        [],
    );
    assert_eq!(kinds(&loaded), [("wrong_type", 1)]);
    assert!(loaded.dags.is_empty());
}

#[test]
fn expands_allowed_names_but_leaves_the_shell_its_own() {
    let dag = one("description: $STAGE and $OTHER\nmax_active_runs: 3\ntasks: {a: {bash: echo $STAGE, queue: $STAGE}}");
    assert_eq!(dag.description.as_deref(), Some("prod and $OTHER"));
    let task = dag.task("a").expect("the task");
    assert_eq!((task.queue.as_str(), task.args["bash_command"].as_str()), ("prod", Some("echo $STAGE")));
    let loaded = load_beside("d: {tasks: {a: {operator: bash, bash_command: echo $STAGE}}}", []);
    assert_eq!(loaded.dags[0].dag.tasks[0].args["bash_command"], "echo prod");
}

#[test]
fn reads_ids_as_text_and_keeps_yaml_1_1_elsewhere() {
    let dag = one("params: {a: no, b: 010}\ntasks: {no: {empty: }, 1: {empty: , depends_on: no}}");
    assert_eq!(upstream(&dag, "1"), ["no"]);
    assert_eq!((dag.params["a"].as_bool(), dag.params["b"].as_i64()), (Some(false), Some(8)));
}

#[test]
fn unites_dependencies_and_depends_on() {
    let dag = one("tasks: {a: {empty: }, b: {empty: }, c: {empty: , depends_on: [a, b], dependencies: a}}");
    assert_eq!(upstream(&dag, "c"), ["a", "b"]);
}

#[test]
fn names_members_without_prefix_when_the_group_says_so() {
    let dag = one(
        "tasks: {z: {empty: , depends_on: g}}\ntask_groups: {g: {prefix_group_id: false, tasks: {a: {empty: }, b: {empty: , depends_on: a}}}}",
    );
    assert_eq!(upstream(&dag, "b"), ["a"]);
    assert!(dag.task("g.a").is_none());
}

#[test]
fn takes_group_defaults_before_those_of_the_dag() {
    let dag = one(
        "default_args: {queue: dag, pool: dag, owner: dag}\ntasks: {}\ntask_groups:\n  outer:\n    default_args: {queue: outer, pool: outer}\n    \
         task_groups:\n      inner: {default_args: {queue: inner}, tasks: {a: {empty: }, b: {empty: , queue: own}}}",
    );
    let of = |id: &str| {
        let task = dag.task(id).expect("the task");
        (task.queue.clone(), task.pool.clone(), task.owner.clone())
    };
    assert_eq!(of("outer.inner.a"), ("inner".into(), "outer".into(), "dag".into()));
    assert_eq!(of("outer.inner.b"), ("own".into(), "outer".into(), "dag".into()));
}

#[test]
fn connects_tasks_in_order_when_sequential() {
    let dag = one(
        "sequential: true\ntasks: [{id: a, empty: }, {id: b, empty: }, {id: c, empty: , depends_on: a}, {id: d, empty: }]",
    );
    assert_eq!(upstream(&dag, "b"), ["a"]);
    assert_eq!(upstream(&dag, "c"), ["a"]);
    assert_eq!(upstream(&dag, "d"), ["c"]);
}

#[test]
fn gives_every_task_the_environment_and_labels_of_the_dag() {
    let dag = one(
        "env: {A: dag, B: dag}\nworker_selector: {site: [x, y]}\ntasks: {a: {bash: echo, env: {B: own}, worker_selector: {gpu: true}}}",
    );
    let task = dag.task("a").expect("the task");
    assert_eq!((task.env["A"].as_str(), task.env["B"].as_str()), ("dag", "own"));
    assert_eq!(task.worker_selector["site"], ["x", "y"]);
    assert_eq!(task.worker_selector["gpu"], ["true"]);
    assert!(task.args["env"].is_null(), "the operator's own `env` replaces the environment and is not set");
}

#[test]
fn counts_an_offset_in_a_file_of_one_dag() {
    let dag = one("start_date: 2025-03-04T05:06:07+05:00\ntasks: {a: {empty: }}");
    assert_eq!(dag.start_date.map(|at| at.to_rfc3339()).as_deref(), Some("2025-03-04T00:06:07+00:00"));
}

#[test]
fn schedules_in_the_zone_of_the_dag() {
    let dag = one("timezone: Asia/Almaty\nstart_date: 2025-01-01\nschedule: \"@daily\"\ntasks: {a: {empty: }}");
    assert_eq!(dag.start_date.map(|at| at.to_rfc3339()).as_deref(), Some("2024-12-31T19:00:00+00:00"));
    assert!(matches!(dag.schedule, Schedule::Cron { timezone: chrono_tz::Tz::Asia__Almaty, .. }));
}

#[test]
fn renders_a_script_file_in_place_of_its_name() {
    let text = "d: {tasks: {a: {operator: bash, bash_command: scripts/run.sh}}}";
    let loaded = load_beside(text, [("team/scripts/run.sh", "echo {{ ds }}\n")]);
    assert_eq!(loaded.dags[0].dag.tasks[0].args["bash_command"], "echo {{ ds }}\n");
    assert!(loaded.dependencies.contains("team/scripts/run.sh"));
}

#[test]
fn warns_of_a_function_that_is_not_there() {
    let text = "tasks:\n  a: {python: jobs.run}\n  b: {python: jobs.walk}\n  c: {python: elsewhere.fn}\n";
    let loaded = load_beside(text, [("jobs.py", "def run():\n    return 1\n")]);
    assert_eq!(kinds(&loaded), [("python_not_found", 3)]);
    assert_eq!(loaded.dags.len(), 1);
}

#[test]
fn finds_all_mistakes_of_a_file_at_once() {
    let text = "a: {schedule: nonsense, tasks: {t: {bash: echo, retries: x}}}\nb: {tasks: {t: {operator: nothing}}}\nc: {tasks: {t: {empty: }}}\n";
    let loaded = load_beside(text, []);
    assert_eq!(kinds(&loaded), [("invalid_schedule", 1), ("wrong_type", 1), ("unknown_operator", 2)]);
    assert_eq!(loaded.dags.iter().map(|dag| (dag.dag.dag_id.as_str(), dag.line)).collect::<Vec<_>>(), [("c", 3)]);
}

#[test]
fn explains_the_length_of_a_shell_variable() {
    let loaded = load_beside("tasks:\n  a:\n    bash: |\n      x=1\n      echo ${#x}\n", []);
    assert_eq!(kinds(&loaded), [("invalid_template", 5)]);
    assert!(loaded.diagnostics[0].help.as_deref().is_some_and(|help| help.contains("{% raw %}")));
    let dag = one("tasks: {a: {bash: \"{% raw %}echo ${#x}{% endraw %}\"}}");
    assert_eq!(dag.tasks.len(), 1);
}
