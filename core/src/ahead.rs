//! What a DAG tells of the future of a run: images that a node may fetch, and containers that it may create, before the tasks that
//! need them come.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    dag::{Dag, Task, TaskIndex},
    mapping,
    operator::{OperatorKind, Place, PullPolicy},
};

/// The images that the other tasks of the DAG need, when `task` is among the first that a run gives to a node; else none.
/// Those that stand literally in the file: what a template makes of a name is known when its task runs. A task with a login
/// (`docker_conn_id`) or `pull: never` fetches for itself, or not at all.
pub(crate) fn images(dag: &Dag, task: &Task) -> Vec<String> {
    if !dag.index_of(task.task_id.as_str()).is_some_and(|index| is_first(dag, index)) {
        return Vec::new();
    }
    let others = dag.tasks.iter().filter(|other| other.task_id != task.task_id);
    let named: BTreeSet<&str> = others.filter_map(image).collect();
    named.into_iter().filter(|name| Some(*name) != image(task)).map(str::to_owned).collect()
}

/// The tasks directly after `task` whose containers may be created while it runs, in file order: those whose container follows
/// from the file and the run alone, if they run in one at all. A mapped task, one with a login, a secret, a folder of its own or
/// a shared container, and one whose image is to be asked for each time, wait for their turn.
pub fn next<'a>(dag: &'a Dag, task: &Task) -> impl Iterator<Item = &'a Task> {
    let mut after: Vec<TaskIndex> = foreseeable(dag, task).collect();
    after.sort_unstable();
    after.into_iter().map(|index| &dag.tasks[index])
}

/// Whether [`next`] has any; asked of every task that is handed out.
pub(crate) fn has_next(dag: &Dag, task: &Task) -> bool {
    foreseeable(dag, task).next().is_some()
}

fn foreseeable<'a>(dag: &'a Dag, task: &Task) -> impl Iterator<Item = TaskIndex> + 'a {
    let index = dag.index_of(task.task_id.as_str());
    let after = index.into_iter().flat_map(|index| dag.downstream(index));
    after.filter(|&next| is_foreseeable(dag, &dag.tasks[next]))
}

fn is_foreseeable(dag: &Dag, task: &Task) -> bool {
    let given = |key: &str| task.args.get(key).is_some_and(|value| !matches!(value, Value::Null | Value::Bool(false)));
    let always = task.args.get("pull").and_then(Value::as_str) == Some("always");
    matches!(task.operator, OperatorKind::Docker | OperatorKind::Bash)
        && mapping::of_task(dag, task).is_none()
        && task.secrets.is_empty()
        && !always
        && !["docker_conn_id", "force_pull", "mount_tmp_dir", "reuse"].into_iter().any(given)
}

/// The image of a task's container that may be fetched before it runs.
fn image(task: &Task) -> Option<&str> {
    let name = task.args.get("image")?.as_str().filter(|name| !name.contains("{{") && !name.contains("{%"))?;
    let given = |key: &str| task.args.get(key).filter(|value| !value.is_null());
    let fetchable = task.operator.place() == Place::Node
        && given("docker_conn_id").is_none()
        && given("pull").and_then(|pull| PullPolicy::deserialize(pull).ok()) != Some(PullPolicy::Never)
        && given("image_pull_policy").and_then(Value::as_str) != Some("Never");
    fetchable.then_some(name)
}

/// Whether no task before this one goes to a node.
fn is_first(dag: &Dag, index: TaskIndex) -> bool {
    let mut seen = BTreeSet::new();
    let mut open: Vec<TaskIndex> = dag.upstream(index).collect();
    while let Some(upstream) = open.pop() {
        if dag.tasks[upstream].operator.place() == Place::Node {
            return false;
        }
        if seen.insert(upstream) {
            open.extend(dag.upstream(upstream));
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operator::OperatorKind;

    fn task(id: &str, kind: OperatorKind, upstream: &[&str], args: Value) -> Task {
        let mut task = Task::new(id, kind, "x");
        task.upstream = upstream.iter().map(|id| (*id).into()).collect();
        task.args = args.as_object().unwrap().clone();
        task
    }

    #[test]
    fn the_first_tasks_of_a_node_tell_the_images_of_the_others() {
        use OperatorKind::{Bash, Docker, Empty, TimeDeltaSensor};
        let mut dag = Dag::new("d");
        dag.tasks = vec![
            task("start", Empty, &[], json!({})),
            task("wait", TimeDeltaSensor, &["start"], json!({})),
            task("first", Bash, &["wait"], json!({"bash_command": "x", "image": null})),
            task("beside", Docker, &["start"], json!({"image": "b"})),
            task("later", Docker, &["first"], json!({"image": "a"})),
            task("same", Docker, &["later"], json!({"image": "a"})),
            task("rendered", Docker, &["later"], json!({"image": "a:{{ ds }}"})),
            task("private", Docker, &["later"], json!({"image": "p", "docker_conn_id": "c"})),
            task("never", Docker, &["later"], json!({"image": "n", "pull": "never"})),
            task("bash", Bash, &["later"], json!({"bash_command": "x", "image": "s"})),
        ];
        let told = |id: &str| images(&dag, dag.task(id).unwrap());
        assert_eq!(told("first"), ["a", "b", "s"]);
        assert_eq!(told("beside"), ["a", "s"]);
        assert!(told("later").is_empty());
    }

    #[test]
    fn what_follows_from_the_file_alone_may_be_created_while_its_upstream_runs() {
        use OperatorKind::{Bash, Docker, Python};
        let mut dag = Dag::new("d");
        let args = |more: Value| {
            let mut args = json!({"image": "a", "command": "x"});
            args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            args
        };
        let mut secret = task("secret", Docker, &["first"], args(json!({})));
        secret.secrets.insert("TOKEN".to_owned(), "variable:token".to_owned());
        dag.tasks = vec![
            task("first", Docker, &[], args(json!({}))),
            task("plain", Docker, &["first"], args(json!({"mount_tmp_dir": false, "reuse": null, "pull": "missing"}))),
            task("bash", Bash, &["first"], json!({"bash_command": "x"})),
            secret,
            task("python", Python, &["first"], json!({"image": "a"})),
            task("login", Docker, &["first"], args(json!({"docker_conn_id": "c"}))),
            task("asked", Docker, &["first"], args(json!({"pull": "always"}))),
            task("forced", Docker, &["first"], args(json!({"force_pull": true}))),
            task("folder", Docker, &["first"], args(json!({"mount_tmp_dir": true}))),
            task("shared", Docker, &["first"], args(json!({"reuse": "run"}))),
            task("later", Docker, &["plain"], args(json!({}))),
        ];
        let ids = |id: &str| -> Vec<String> {
            next(&dag, dag.task(id).unwrap()).map(|task| task.task_id.to_string()).collect()
        };
        assert_eq!(ids("first"), ["plain", "bash"]);
        assert_eq!(ids("plain"), ["later"]);
        assert!(ids("later").is_empty());
    }
}
