//! The keys of DAGs, groups and tasks: what the loader knows, and what the JSON Schema ([`super::schema`]) says about it.

use super::operators::Kind;

/// What may stand behind a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Value(Kind),
    /// A mapping by name, or a list.
    Tasks,
    Groups,
    Schedule,
    /// Arguments for every task.
    DefaultArgs,
    /// An `on_*_callback`.
    Callback,
    /// `on_failure` and its relatives.
    Notify,
    Deadline,
    /// A name, or a list of names.
    Names,
    /// Label → value, or values.
    Selector,
    Secrets,
    /// A chain, or a list of chains.
    Flow,
    /// A short name or class path.
    Operator,
    /// Something to go through: a list, mapping, template or task.
    Each,
    /// Name → something to go through.
    EachByName,
    /// `true`, or the names of setups.
    Teardown,
    Output,
}

/// One key.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    /// One line for people.
    pub(super) about: &'static str,
}

const fn key(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, about }
}

const fn value(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { name, shape: Shape::Value(kind), about }
}

/// Every key of a DAG, old ones left out.
pub(super) const DAG: &[Key] = &[
    key("tasks", Shape::Tasks, "the tasks, by name or as a list"),
    key("task_groups", Shape::Groups, "groups of tasks, by name or as a list"),
    key("default_args", Shape::DefaultArgs, "arguments for every task of the DAG"),
    key("schedule", Shape::Schedule, "when it runs: a preset, cron, a duration, a mapping, assets; nothing: by hand"),
    value("start_date", Kind::Date, "no run before"),
    value("end_date", Kind::Date, "no run after"),
    value("timezone", Kind::Text, "IANA name; the zone of the schedule, and of dates without one"),
    value("catchup", Kind::Bool, "make up for runs missed since start_date"),
    value("description", Kind::Text, "one line"),
    value("dag_display_name", Kind::Text, "the name in the UI"),
    value("doc_md", Kind::Text, "documentation in Markdown"),
    value("doc_md_file_path", Kind::Text, "a file with the documentation"),
    value("doc_md_python_callable_name", Kind::Text, "not run"),
    value("doc_md_python_callable_file", Kind::Text, "not run"),
    value("doc_md_python_arguments", Kind::Map, "not run"),
    value("tags", Kind::List, "words to find the DAG by"),
    value("params", Kind::Map, "values for templates and the trigger form"),
    value("max_active_runs", Kind::Int, "runs at a time"),
    value("max_active_tasks", Kind::Int, "running tasks of one run"),
    value("allowed_run_types", Kind::TextOrList, "the types of run that may be made; all without it"),
    value("dagrun_timeout", Kind::Duration, "a run fails after that"),
    value("is_paused_upon_creation", Kind::Bool, "a new DAG starts paused"),
    value("render_template_as_native_obj", Kind::Bool, "templates give values, not text"),
    value("template_searchpath", Kind::TextOrList, "folders of template files"),
    value("user_defined_macros", Kind::Map, "extra names in templates"),
    key("on_success_callback", Shape::Callback, "called when a run succeeds"),
    key("on_failure_callback", Shape::Callback, "called when a run fails"),
    key("on_execute_callback", Shape::Callback, "no effect at a DAG"),
    key("sla_miss_callback", Shape::Callback, "no effect"),
    value("access_control", Kind::Map, "role → permissions; shown"),
    value("default_view", Kind::Text, "of Airflow 2's UI"),
    value("orientation", Kind::Text, "of Airflow 2's UI"),
    value("fail_fast", Kind::Bool, "the first failure stops the run"),
    value("max_consecutive_failed_dag_runs", Kind::Int, "pause after so many failed runs"),
    value("owner_links", Kind::TextMap, "owner → URL"),
    value("auto_register", Kind::Bool, "no effect"),
    value("template_undefined", Kind::Any, "no effect"),
    value("jinja_environment_kwargs", Kind::Map, "no effect"),
    value("user_defined_filters", Kind::Map, "no effect"),
    key("deadline", Shape::Deadline, "what must have ended by when, and what happens otherwise"),
    value("dag_id", Kind::Text, "the id; without it the file's name"),
    value("inputs", Kind::Map, "params: a default value each, or JSON Schema keys"),
    value("env", Kind::TextMap, "environment of every task"),
    key("secrets", Shape::Secrets, "environment that nodes fill in and mask"),
    key("flow", Shape::Flow, "order in chains: start >> [a, b] >> end"),
    value("sequential", Kind::Bool, "each task after the one before it in the file"),
    value("include", Kind::TextOrList, "files with defaults"),
    key("on_failure", Shape::Notify, "send when a run fails"),
    key("on_success", Shape::Notify, "send when a run succeeds"),
    key("worker_selector", Shape::Selector, "labels that nodes must have"),
    value("rerun_with_latest_version", Kind::Bool, "whether cleared runs follow the latest version"),
];

/// Every key of a group.
pub(super) const GROUP: &[Key] = &[
    value("tooltip", Kind::Text, "one line"),
    key("dependencies", Shape::Names, "upstream tasks and groups"),
    key("depends_on", Shape::Names, "upstream tasks and groups"),
    value("parent_group_name", Kind::Text, "the group around it"),
    value("prefix_group_id", Kind::Bool, "put the group's name before those of its tasks"),
    key("default_args", Shape::DefaultArgs, "arguments for every task of the group"),
    value("group_display_name", Kind::Text, "the name in the UI"),
    value("ui_color", Kind::Text, "no effect"),
    value("ui_fgcolor", Kind::Text, "no effect"),
    value("doc_md", Kind::Text, "no effect"),
    value("add_suffix_on_collision", Kind::Bool, "no effect"),
    key("tasks", Shape::Tasks, "its tasks"),
    key("task_groups", Shape::Groups, "groups inside it"),
    value("group_name", Kind::Text, "its name, in a list"),
    value("group_id", Kind::Text, "its name, in a list"),
    key("expand", Shape::EachByName, "all its tasks once per combination; the names stand in templates"),
    key("expand_kwargs", Shape::Each, "all its tasks once per mapping of a list"),
    key("foreach", Shape::Each, "all its tasks once per element, {{ item }}"),
    key("matrix", Shape::EachByName, "all its tasks once per combination, {{ matrix.name }}"),
];

/// Keys of a task that belong to no operator.
pub(super) const TASK: &[Key] = &[
    value("task_id", Kind::Text, "its name, in a list"),
    value("id", Kind::Text, "its name, in a list"),
    key("operator", Shape::Operator, "a short name or class path"),
    value("decorator", Kind::Text, "TaskFlow: airflow.sdk.task"),
    key("dependencies", Shape::Names, "upstream tasks and groups"),
    key("depends_on", Shape::Names, "upstream tasks and groups"),
    value("task_group_name", Kind::Text, "the group it is in"),
    key("expand", Shape::EachByName, "one instance per combination of arguments"),
    key("expand_kwargs", Shape::Each, "one instance per mapping of arguments"),
    value("partial", Kind::Map, "arguments that all instances of expand share"),
    key("foreach", Shape::Each, "one instance per element, {{ item }}"),
    key("matrix", Shape::EachByName, "one instance per combination, {{ matrix.name }}"),
    value("setup", Kind::Bool, "makes what others need"),
    key("teardown", Shape::Teardown, "removes it again: true, or the names of its setups"),
    value("on_failure_fail_dagrun", Kind::Bool, "the failure of this teardown fails the run"),
    value("when", Kind::Text, "a template; false skips the task"),
    key("output", Shape::Output, "what becomes of a command's output"),
    value("env", Kind::TextMap, "environment of the process or container"),
    key("secrets", Shape::Secrets, "environment that the node fills in and masks"),
    key("worker_selector", Shape::Selector, "labels that the node must have"),
    value("variables_as_arguments", Kind::List, "arguments that are Variables: [{variable, attribute}]"),
    value("provide_context", Kind::Bool, "of Airflow 1; no effect"),
    value("python_callable", Kind::Text, "module.function, or code"),
];

/// The names of a table.
pub(super) fn names(keys: &'static [Key]) -> impl Iterator<Item = &'static str> + Clone {
    keys.iter().map(|key| key.name)
}

/// Whether a table has the key.
pub(super) fn has(keys: &'static [Key], name: &str) -> bool {
    keys.iter().any(|key| key.name == name)
}
