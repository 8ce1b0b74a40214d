//! What a node needs to know to run one attempt, and how an attempt ends. Travels inside the executor protocol.

use std::{collections::HashSet, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    ahead,
    dag::{AssetRef, CallbackAction, Dag, Mapping, Output, Resources, RetryPolicy, Task, TriggerRule, seconds},
    ids::{AttemptId, DagId, MapIndex, RunId, TaskId},
    mapping,
    notify::Facts,
    operator::OperatorKind,
    param,
    state::DagRunType,
};

pub use crate::{
    execution::Execution,
    failure::{Failure, FailureClass},
};

/// The facts of the run that templates and the task's environment may name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunContext {
    pub dag_id: DagId,
    pub run_id: RunId,
    pub run_type: DagRunType,
    pub logical_date: Option<DateTime<Utc>>,
    pub data_interval_start: Option<DateTime<Utc>>,
    pub data_interval_end: Option<DateTime<Utc>>,
    pub run_after: DateTime<Utc>,
    pub start_date: Option<DateTime<Utc>>,
    pub conf: Value,
    /// DAG params, overridden by task params, overridden by conf.
    pub params: Map<String, Value>,
    pub dag_owner: String,
    pub dag_tags: Vec<String>,
    pub dag_description: Option<String>,
    pub render_template_as_native_obj: bool,
    /// Extra names in templates, with their values.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub user_defined_macros: Map<String, Value>,
    /// Folders of template files, relative to the bundle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub template_searchpath: Vec<String>,
    /// The latest successful run with an earlier logical date; looked up when a template of the task names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_success: Option<PreviousRun>,
    /// What `triggering_asset_events` is: asset URI → the events that made the run. `null` when the run was not made by assets.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub triggering_asset_events: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_key: Option<String>,
    /// The time that templates are told when they ask for it: the same in each render of one hand-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dag_display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub triggering_user_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    #[serde(default)]
    pub clear_number: i32,
}

/// The dates of an earlier run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PreviousRun {
    pub data_interval_start: Option<DateTime<Utc>>,
    pub data_interval_end: Option<DateTime<Utc>>,
    pub start_date: Option<DateTime<Utc>>,
    pub end_date: Option<DateTime<Utc>>,
}

impl RunContext {
    /// What a run takes from its DAG; what it has of its own is the caller's to fill in.
    pub fn of_dag(dag: &Dag, run_id: RunId, run_type: DagRunType, run_after: DateTime<Utc>, conf: Value) -> Self {
        Self {
            dag_id: dag.dag_id.clone(),
            run_id,
            run_type,
            logical_date: None,
            data_interval_start: None,
            data_interval_end: None,
            run_after,
            start_date: None,
            params: params(dag, &Map::new(), &conf),
            conf,
            dag_owner: owners(dag),
            dag_tags: dag.tags.clone(),
            dag_description: dag.description.clone(),
            render_template_as_native_obj: dag.render_template_as_native_obj,
            user_defined_macros: dag.user_defined_macros.clone(),
            template_searchpath: dag.template_searchpath.clone(),
            previous_success: None,
            triggering_asset_events: Value::Null,
            partition_key: None,
            now: None,
            dag_display_name: Some(dag.dag_display_name.clone()),
            queued_at: None,
            triggering_user_name: None,
            note: None,
            clear_number: 0,
        }
    }
}

/// What templates may ask of the task beside its arguments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskAttributes {
    pub retries: u32,
    #[serde(with = "seconds")]
    pub retry_delay: Duration,
    pub pool: String,
    pub pool_slots: u32,
    pub queue: String,
    pub priority_weight: i32,
    pub trigger_rule: TriggerRule,
    pub depends_on_past: bool,
    pub wait_for_downstream: bool,
    pub task_display_name: String,
    pub upstream_task_ids: Vec<TaskId>,
    pub downstream_task_ids: Vec<TaskId>,
    /// Whom its emails go to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub email: Vec<String>,
}

impl TaskAttributes {
    fn of(dag: &Dag, task: &Task) -> Self {
        let index = dag.index_of(task.task_id.as_str());
        let downstream = index.into_iter().flat_map(|index| dag.downstream(index));
        let mut email: Vec<String> = Vec::new();
        for callback in &task.callbacks {
            if let CallbackAction::Email { to, .. } = &callback.action {
                email.extend(to.iter().filter(|to| !email.contains(to)).cloned().collect::<Vec<_>>());
            }
        }
        Self {
            retries: task.retries,
            retry_delay: task.retry_delay,
            pool: task.pool.clone(),
            pool_slots: task.pool_slots,
            queue: task.queue.clone(),
            priority_weight: task.priority_weight,
            trigger_rule: task.trigger_rule,
            depends_on_past: task.depends_on_past,
            wait_for_downstream: task.wait_for_downstream,
            task_display_name: task.task_display_name.clone(),
            upstream_task_ids: task.upstream.clone(),
            downstream_task_ids: downstream.map(|task| dag.tasks[task].task_id.clone()).collect(),
            email,
        }
    }
}

/// One attempt, complete: everything but the values its templates fetch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSpec {
    pub attempt_id: AttemptId,
    pub task_id: TaskId,
    pub map_index: MapIndex,
    pub try_number: i32,
    pub max_tries: i32,
    pub operator: OperatorKind,
    pub operator_class: String,
    /// Long-form arguments, unrendered.
    pub args: Map<String, Value>,
    /// Environment added for the task, unrendered.
    pub env: IndexMap<String, String>,
    #[serde(with = "seconds::option")]
    pub execution_timeout: Option<Duration>,
    /// What the node asks about an exception.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    pub do_xcom_push: bool,
    pub multiple_outputs: bool,
    pub owner: String,
    /// The user of the node's machine that its process is; `None`: the node's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_as_user: Option<String>,
    /// What its processes may use of the node.
    #[serde(default, skip_serializing_if = "Resources::is_empty")]
    pub resources: Resources,
    /// The hash of the code bundle the task's files come from, and the DAG file's path in it.
    pub bundle_hash: Option<String>,
    pub relative_fileloc: String,
    /// What makes this one of several instances: the task's own mapping, or its group's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<Mapping>,
    /// [`Self::mapping`] is that of the group around the task: its inputs are names in templates.
    #[serde(default, skip_serializing_if = "is_false")]
    pub mapped_by_group: bool,
    /// Upstream tasks in the same mapped group: of them, the instance of the same index is meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub same_index: Vec<TaskId>,
    /// Names the instance for people; a template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map_index_template: Option<String>,
    /// Another task maps over this one's result, which therefore has to be a list or mapping of at most so many elements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_map_length: Option<u32>,
    /// Images that other tasks of the run need; told with the tasks that begin it, so that the node may fetch them meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<String>,
    /// Tasks come after it whose containers may be created while it runs; the server says which when it is asked.
    #[serde(default, skip_serializing_if = "is_false")]
    pub has_next: bool,
    #[serde(default)]
    pub output: Output,
    /// Environment variables that the node fills in and masks, by source; see [`Task::secrets`].
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub secrets: IndexMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inlets: Vec<AssetRef>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outlets: Vec<AssetRef>,
    /// How often a sensor's condition was found not to hold in this try; looked up when a template of the task names it.
    #[serde(default)]
    pub reschedule_count: u32,
    #[serde(default)]
    pub attributes: TaskAttributes,
    /// Set for a callback: what it tells of, for templates and functions that name the state, the reason, the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Box<Facts>>,
    /// Set for a callback that runs on a node: what is called with the context, in the place of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
    pub run: Arc<RunContext>,
}

/// A function of the DAG's code that is called with the context ([`CallbackAction::Python`](crate::dag::CallbackAction)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The notice's: the same when it is called again.
    #[serde(default)]
    pub key: Uuid,
    /// An import path; with a file, a name in it.
    pub callable: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Given beside the context, as they are in the file: no templates.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub kwargs: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// Which launch of a task instance a spec is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launch {
    pub attempt_id: AttemptId,
    pub map_index: MapIndex,
    pub try_number: i32,
    pub max_tries: i32,
}

/// Where the task's files come from: the hash of the code bundle, and the DAG file's path in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeRef {
    pub bundle_hash: Option<String>,
    pub relative_fileloc: String,
}

impl TaskSpec {
    /// The task as the DAG has it, for one launch in one run.
    pub fn new(launch: Launch, dag: &Dag, task: &Task, run: &Arc<RunContext>, code: CodeRef) -> Self {
        let run = if task.params.is_empty() {
            run.clone()
        } else {
            let mut context = (**run).clone();
            context.params = params(dag, &task.params, &context.conf);
            Arc::new(context)
        };
        let group = mapping::mapped_group(dag, task).map(|(id, _)| id);
        let (mapping, mapped_by_group) = mapping::of_task(dag, task).unzip();
        Self {
            attempt_id: launch.attempt_id,
            task_id: task.task_id.clone(),
            map_index: launch.map_index,
            try_number: launch.try_number,
            max_tries: launch.max_tries,
            operator: task.operator,
            operator_class: task.operator_class.clone(),
            args: task.args.clone(),
            env: task.env.clone(),
            execution_timeout: task.execution_timeout,
            retry_policy: task.retry_policy.clone(),
            do_xcom_push: task.do_xcom_push,
            multiple_outputs: task.multiple_outputs,
            owner: task.owner.clone(),
            run_as_user: task.run_as_user.clone(),
            resources: task.resources.clone(),
            bundle_hash: code.bundle_hash,
            relative_fileloc: code.relative_fileloc,
            mapping: mapping.cloned(),
            mapped_by_group: mapped_by_group.unwrap_or_default(),
            same_index: group.map(|group| same_index(dag, task, group)).unwrap_or_default(),
            map_index_template: task.map_index_template.clone(),
            max_map_length: is_mapped_over(dag, task).then_some(dag.max_map_length),
            images: ahead::images(dag, task),
            has_next: ahead::has_next(dag, task),
            output: task.output,
            secrets: task.secrets.clone(),
            inlets: task.inlets.clone(),
            outlets: task.outlets.clone(),
            reschedule_count: 0,
            attributes: TaskAttributes::of(dag, task),
            callback: None,
            call: None,
            run,
        }
    }

    /// The context of a callback as work for a node: `call` under an attempt id of its own. Nothing of the task is rendered,
    /// limited or pushed: what made the task fail must not keep its callback from saying so.
    #[must_use]
    pub fn calling(self, attempt_id: AttemptId, call: Call) -> Self {
        Self {
            attempt_id,
            operator: OperatorKind::Python,
            args: Map::new(),
            env: IndexMap::new(),
            execution_timeout: None,
            do_xcom_push: false,
            multiple_outputs: false,
            mapping: None,
            mapped_by_group: false,
            map_index_template: None,
            max_map_length: None,
            images: Vec::new(),
            has_next: false,
            output: Output::default(),
            secrets: IndexMap::new(),
            resources: Resources::default(),
            call: Some(call),
            ..self
        }
    }

    /// One of several instances of its task.
    pub fn is_mapped(&self) -> bool {
        self.map_index != MapIndex::UNMAPPED
    }
}

/// The direct upstreams of a task that are in the same mapped group.
fn same_index(dag: &Dag, task: &Task, group: &str) -> Vec<TaskId> {
    let is_inside = |id: &&TaskId| {
        let upstream = dag.task(id.as_str());
        upstream.and_then(|upstream| mapping::mapped_group(dag, upstream)).is_some_and(|(other, _)| other == group)
    };
    task.upstream.iter().filter(is_inside).cloned().collect()
}

/// Whether a downstream, or the mapped group it is in, goes through the task's result. A mapping makes the edge, so the direct
/// downstreams are enough.
fn is_mapped_over(dag: &Dag, task: &Task) -> bool {
    let Some(index) = dag.index_of(task.task_id.as_str()) else { return false };
    dag.downstream(index).any(|downstream| {
        mapping::of_task(dag, &dag.tasks[downstream])
            .is_some_and(|(mapping, _)| mapping::reads_result(mapping, &task.task_id))
    })
}

/// DAG params, overridden by the task's, overridden by conf, which may also add keys (Airflow: `dag_run_conf_overrides_params`).
pub fn params(dag: &Dag, task: &Map<String, Value>, conf: &Value) -> Map<String, Value> {
    let mut params: Map<String, Value> = dag.params.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    params.extend(task.iter().map(|(key, value)| (key.clone(), value.clone())));
    if let Value::Object(conf) = conf {
        params.extend(conf.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    params
}

/// Whether the DAG's params with the conf over them fit their schemas; `Err` says which does not, and why. Keys of the conf that
/// are no param are accepted.
pub fn check_params(dag: &Dag, conf: &Map<String, Value>) -> Result<(), String> {
    for (name, schema) in &dag.param_schemas {
        let text = |error: String| format!("Invalid input for param {name}: {error}");
        let value = conf.get(name).or_else(|| dag.params.get(name));
        let value = value.ok_or_else(|| text("No value passed and Param has no default value".to_owned()))?;
        let validator = param::validator(schema).map_err(|error| text(format!("its schema is not valid: {error}")))?;
        validator.validate(value).map_err(|error| text(error.to_string()))?;
    }
    Ok(())
}

/// Airflow's `dag.owner`: the tasks' owners, each once, in file order.
pub fn owners(dag: &Dag) -> String {
    let mut seen = HashSet::new();
    let owners: Vec<&str> =
        dag.tasks.iter().map(|task| task.owner.as_str()).filter(|owner| seen.insert(*owner)).collect();
    owners.join(", ")
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Success,
    Failed,
    Skipped,
    /// A sensor's condition does not hold yet: it is asked again after its interval, in the same try.
    Rescheduled,
}

/// What a branching task decided about its downstreams (semantics §12.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// These task or group ids; other direct downstreams are skipped, unless they are downstream of one of these.
    Follow(Vec<String>),
    /// A falsy short circuit: all that is downstream, or only the direct downstreams when the task says so.
    Stop,
}
