//! Containers that are created ahead, through the front door: the server says which tasks come next, the node creates, the task uses.

use serde_json::Value;
use tokio::process::Command;

use crate::support::{fleet::docker_answers, open_folder, process::PATIENCE, standalone::Standalone, write};

#[tokio::test]
async fn a_task_runs_in_the_container_that_was_created_while_its_upstream_ran() {
    if !docker_answers().await {
        return;
    }
    let gate = open_folder();
    let dag_id = format!("ahead_{}", uuid::Uuid::new_v4().simple());
    let yaml = format!(
        "tasks:
  first:
    operator: docker
    image: busybox
    command: [sh, -c, 'until [ -e /gate/open ]; do sleep 0.05; done; echo 7']
    mounts: [{{source: {gate}, target: /gate, type: bind}}]
  second: {{operator: docker, image: busybox, command: 'echo {{{{ run_id }}}}', depends_on: first}}
  # What it will say is not known before its upstream has ended.
  third: {{operator: docker, image: busybox, command: 'echo {{{{ ti.xcom_pull(\"first\") }}}}', depends_on: first}}
",
        gate = gate.path().display()
    );
    let mut server = Standalone::shared_with(&[("UPDRAFT__EXECUTOR__PREWARM", "4")]).await;
    write(&server.dags_folder(), &format!("{dag_id}.yaml"), &yaml);
    server.process.line_with("the DAG has a new version").await;
    let trigger = ["dags", "trigger", dag_id.as_str(), "--run-id", "r", "--wait"];
    let open = async {
        loop {
            if let [ahead] = &containers(&dag_id).await[..] {
                std::fs::write(gate.path().join("open"), "").unwrap();
                return ahead.clone();
            }
        }
    };
    let run = async { tokio::join!(server.cli(&trigger), open) };
    let (said, ahead) = tokio::time::timeout(PATIENCE, run).await.expect("a container of the second task waits");
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    let said = server.cli(&["runs", "why", &dag_id, "r", "second", "--output", "json"]).await;
    let answer: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(answer[0]["tries"][0]["container_id"], Value::String(ahead), "{answer}");
    assert!(containers(&dag_id).await.is_empty());
}

/// The ids of the containers that wait for tasks of a DAG.
async fn containers(dag_id: &str) -> Vec<String> {
    let label = format!("label=updraft.dag_id={dag_id}");
    let filters = ["--filter", &label, "--filter", "name=updraft-ahead-"];
    let listed = Command::new("docker").args(["ps", "-aq", "--no-trunc"]).args(filters).output().await.unwrap();
    String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect()
}
