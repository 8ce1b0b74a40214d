//! `GET /ui/structure/{dag_id}`: tasks, groups and edges of one version of a DAG.

use axum::{Json, extract::State};
use serde::Serialize;
use updraft_core::{
    dag::{Dag, Task},
    outline::{Line, Node, outline},
};
use updraft_store::query::versions;
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        dag_versions::{DagPath, version_not_found},
        dags,
        params::{FromQuery, PathParams, Query, QueryParams},
    },
    error::ApiError,
};

pub(crate) struct StructureQuery {
    version_number: Option<i32>,
}

impl FromQuery for StructureQuery {
    fn read(query: &mut Query) -> Self {
        Self { version_number: query.small_int("version_number") }
    }
}

super::listed! { NodeKind: ["task", "group"]; }

/// A task or a group.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct StructureNode {
    pub(super) id: String,
    label: String,
    #[schema(value_type = NodeKind)]
    kind: &'static str,
    /// The innermost group around it.
    parent: Option<String>,
    /// How many groups are around it.
    depth: u32,
    /// The class without its module; null of groups, and of a task that only runs of other versions have.
    operator: Option<String>,
    trigger_rule: Option<String>,
    /// It, or a group around it, has one instance per element.
    is_mapped: bool,
    is_setup: bool,
    is_teardown: bool,
    /// Of a group: what its file says about it.
    tooltip: Option<String>,
}

impl StructureNode {
    pub(super) fn is_task(&self) -> bool {
        self.kind == "task"
    }

    /// A task that this version does not have.
    pub(super) fn gone(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            label: id.to_owned(),
            kind: "task",
            parent: None,
            depth: 0,
            operator: None,
            trigger_rule: None,
            is_mapped: false,
            is_setup: false,
            is_teardown: false,
            tooltip: None,
        }
    }

    fn new(dag: &Dag, line: &Line<'_>) -> Self {
        let placed = |id: &str, label: &str| Self {
            label: label.to_owned(),
            parent: line.parent.map(str::to_owned),
            depth: line.depth,
            ..Self::gone(id)
        };
        match line.node {
            Node::Task(index) => {
                let task = &dag.tasks[index];
                Self {
                    operator: Some(operator(task)),
                    trigger_rule: Some(word(&task.trigger_rule)),
                    is_mapped: dag.mapping(index).is_some(),
                    is_setup: task.is_setup,
                    is_teardown: task.is_teardown,
                    ..placed(task.task_id.as_str(), &task.task_display_name)
                }
            }
            Node::Group(group) => Self {
                kind: "group",
                is_mapped: group.mapping.is_some(),
                tooltip: Some(group.tooltip.clone()).filter(|tooltip| !tooltip.is_empty()),
                ..placed(&group.group_id, group.display_name.as_deref().unwrap_or(&group.group_id))
            },
        }
    }
}

/// The class without its module.
fn operator(task: &Task) -> String {
    task.operator_class.rsplit('.').next().unwrap_or_default().to_owned()
}

/// As the API spells a word of a closed list.
fn word(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// Tasks and groups in the order of display.
pub(super) fn nodes(dag: &Dag) -> Vec<StructureNode> {
    outline(dag).iter().map(|line| StructureNode::new(dag, line)).collect()
}

/// One task comes before another.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StructureEdge {
    source: String,
    target: String,
    /// Always null: our files give edges no labels.
    label: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StructureResponse {
    dag_version_number: i32,
    nodes: Vec<StructureNode>,
    /// Between tasks.
    edges: Vec<StructureEdge>,
}

/// Tasks, groups and edges of a DAG: of its latest version, or of another one.
#[utoipa::path(get, path = "/ui/structure/{dag_id}", tag = "Updraft", params(DagPath, QueryParams<StructureQuery>),
    responses((status = 200, body = StructureResponse), (status = 404)))]
pub(crate) async fn get_structure(
    State(app): State<App>,
    PathParams(path): PathParams<DagPath>,
    QueryParams(query): QueryParams<StructureQuery>,
) -> Result<Json<StructureResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let row = dags::find(&mut connection, &path.dag_id).await?;
    let number = query.version_number.or(row.version_number).unwrap_or(1);
    let id = match row.latest_version_id.filter(|_| row.version_number == Some(number)) {
        Some(latest) => Some(latest),
        None => versions::key_of(&mut connection, &path.dag_id, number).await?,
    };
    let id = id.ok_or_else(|| version_not_found(&path.dag_id, number))?;
    let dag = app.dags.get(&mut *connection, id).await?;
    let edges = (0..dag.tasks.len()).flat_map(|index| dag.downstream(index).map(move |down| (index, down)));
    let id = |index: usize| dag.tasks[index].task_id.to_string();
    let edges = edges.map(|(from, to)| StructureEdge { source: id(from), target: id(to), label: None });
    Ok(Json(StructureResponse { dag_version_number: number, nodes: nodes(&dag), edges: edges.collect() }))
}
