//! Scheduling through the binary: a DAG as a user writes it, triggered, and how its tasks ended.

use serde_json::Value;

use crate::support::standalone::Standalone;

/// A DAG file, and how a run of it ends: `task` or `task[index]`, each with its state.
struct Story {
    dag_id: &'static str,
    yaml: &'static str,
    run: &'static str,
    tasks: &'static str,
}

const STORIES: &[Story] = &[
    Story {
        dag_id: "mapped",
        yaml: "
tasks:
  list: {bash: \"echo '[1, 2, 3]'\", output: json}
  each: {bash: 'test {{ item }} != 2', foreach: list, max_active_tis_per_dagrun: 2}
  all: {bash: 'true', depends_on: each}
  any: {bash: 'true', depends_on: each, trigger_rule: one_success}
",
        run: "failed",
        tasks: "all=upstream_failed any=success each[0]=success each[1]=failed each[2]=success list=success",
    },
    Story {
        dag_id: "mapped_group",
        yaml: "
task_groups:
  g:
    foreach: [a, b]
    tasks:
      one: {bash: 'test {{ item }} = a'}
      two: {bash: 'echo {{ item }}', depends_on: one}
tasks:
  end: {bash: 'true', depends_on: g, trigger_rule: all_done}
",
        run: "success",
        tasks: "end=success g.one[0]=success g.one[1]=failed g.two[0]=success g.two[1]=upstream_failed",
    },
    Story {
        dag_id: "nothing_to_map",
        yaml: "
tasks:
  list: {bash: \"echo '[]'\", output: json}
  each: {bash: 'echo {{ item }}', foreach: list}
  end: {bash: 'true', depends_on: each}
",
        run: "success",
        tasks: "each=skipped end=skipped list=success",
    },
    Story {
        dag_id: "branching",
        yaml: "
tasks:
  pick: {bash: 'echo b'}
  choose: {branch: \"{{ ti.xcom_pull(task_ids='pick') }}\", depends_on: pick}
  a: {bash: 'true', depends_on: choose}
  b: {bash: 'true', depends_on: choose}
  join: {bash: 'true', depends_on: [a, b], trigger_rule: none_failed_min_one_success}
  stop: {short_circuit: \"{{ 1 > 2 }}\"}
  after: {bash: 'true', depends_on: stop, trigger_rule: all_done}
  guarded: {bash: 'true', when: \"{{ ti.xcom_pull(task_ids='pick') == 'a' }}\", depends_on: pick}
  skips: {bash: exit 99}
",
        run: "success",
        tasks: "a=skipped after=skipped b=success choose=success guarded=skipped join=success pick=success skips=skipped \
                stop=success",
    },
    Story {
        dag_id: "setups",
        yaml: "
tasks:
  up: {bash: 'true', setup: true}
  work: {bash: exit 1, depends_on: up}
  down: {bash: 'true', teardown: up, depends_on: work}
",
        run: "failed",
        tasks: "down=success up=success work=failed",
    },
    Story {
        dag_id: "fails_fast",
        yaml: "
fail_fast: true
tasks:
  bad: {bash: exit 1}
  slow: {bash: sleep 30}
  later: {bash: 'true', depends_on: slow}
",
        run: "failed",
        tasks: "bad=failed later=skipped slow=*",
    },
];

/// The instances of a run, sorted, in the notation of [`Story::tasks`].
fn told(run: &Value) -> Vec<String> {
    let mut told: Vec<String> = run["task_instances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ti| {
            let index = ti["map_index"].as_i64().filter(|index| *index >= 0).map(|index| format!("[{index}]"));
            let (task, state) = (ti["task_id"].as_str().unwrap(), ti["state"].as_str().unwrap_or("none"));
            format!("{task}{}={state}", index.unwrap_or_default())
        })
        .collect();
    told.sort_unstable();
    told
}

#[tokio::test]
async fn runs_end_as_airflow_ends_them() {
    let files: Vec<(String, &str)> =
        STORIES.iter().map(|story| (format!("{}.yaml", story.dag_id), story.yaml)).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let standalone = Standalone::with_dags(&files).await;
    for story in STORIES {
        let triggered = standalone.cli(&["dags", "trigger", story.dag_id, "--run-id", "r", "--wait"]).await;
        let shown = standalone.cli(&["runs", "show", story.dag_id, "r", "--output", "json"]).await;
        let run: Value = serde_json::from_str(&shown.stdout).unwrap_or_else(|_| panic!("{triggered:#?} {shown:#?}"));
        assert_eq!(run["state"], story.run, "{}: {run:#}", story.dag_id);
        let told = told(&run);
        let expected: Vec<&str> = story.tasks.split_whitespace().collect();
        let alike = |told: &String, expected: &&str| {
            told == expected || expected.strip_suffix('*').is_some_and(|start| told.starts_with(start))
        };
        let same =
            told.len() == expected.len() && told.iter().zip(&expected).all(|(told, expected)| alike(told, expected));
        assert!(same, "{}: {told:?} instead of {expected:?}", story.dag_id);
    }
    let check = standalone.cli(&["db", "check"]).await;
    assert_eq!(check.code, Some(0), "{check:#?}");
}
