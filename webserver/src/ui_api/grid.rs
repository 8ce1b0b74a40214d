//! `GET /ui/grid/{dag_id}`: a window of runs by all tasks, small enough to be sent whole.

use std::collections::{BTreeMap, HashMap};

use axum::{Json, extract::State};
use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use updraft_core::state::TaskInstanceState;
use updraft_store::query::grid::{self, Cells, GridRun, MappedCount, Window};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ObjectBuilder, Ref, RefOr, Schema, Type,
        schema::{AnyOfBuilder, ArrayBuilder},
    },
};

use super::structure::{StructureNode, nodes};
use crate::{
    App,
    api::{
        dag_versions::DagPath,
        dags,
        params::{FromQuery, PathParams, Query, QueryParams},
        words,
    },
    error::ApiError,
    time::Timestamp,
};

/// Runs, unless the query says how many.
const RUNS: i32 = 28;
/// Runs at most.
const MOST_RUNS: i32 = 100;

pub(crate) struct GridQuery {
    before: Option<DateTime<Utc>>,
    run_type: Vec<String>,
    state: Vec<String>,
    limit: i64,
}

impl FromQuery for GridQuery {
    fn read(query: &mut Query) -> Self {
        let states: Vec<&str> = updraft_core::state::DagRunState::ALL.iter().map(|state| state.as_str()).collect();
        let types: Vec<&str> = updraft_core::state::DagRunType::ALL.iter().map(|kind| kind.as_str()).collect();
        Self {
            before: query.time("before"),
            run_type: query.words("run_type", &types, &[]),
            state: query.words("state", &states, &[]),
            limit: query.small_int_or("limit", 1, RUNS).min(MOST_RUNS).into(),
        }
    }
}

/// A run, a column.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GridRunResponse {
    dag_run_id: String,
    #[schema(value_type = words::DagRunType)]
    run_type: String,
    #[schema(value_type = words::DagRunState)]
    state: String,
    run_after: Timestamp,
    logical_date: Option<Timestamp>,
    queued_at: Option<Timestamp>,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
    /// Seconds; null: not over, or never begun.
    duration: Option<f64>,
    dag_version_number: Option<i32>,
    /// Whether it has one.
    note: bool,
    /// Task instances that are failed.
    failed_tasks: i32,
}

impl From<GridRun> for GridRunResponse {
    fn from(row: GridRun) -> Self {
        Self {
            duration: row.end_date.zip(row.start_date).map(|(end, start)| (end - start).as_seconds_f64()),
            dag_run_id: row.run_id,
            run_type: row.run_type,
            state: row.state,
            run_after: row.run_after.into(),
            logical_date: row.logical_date.map(Into::into),
            queued_at: row.queued_at.map(Into::into),
            start_date: row.start_date.map(Into::into),
            end_date: row.end_date.map(Into::into),
            dag_version_number: row.version_number,
            note: row.has_note,
            failed_tasks: row.failed_tasks,
        }
    }
}

/// The instances of a mapped task in one run.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct GridMappedCell {
    /// State → how many instances are in it; `none` for those without one.
    counts: BTreeMap<String, i64>,
    /// The first start. Milliseconds since 1970.
    start: Option<i64>,
    /// The last end. Milliseconds since 1970.
    end: Option<i64>,
}

/// A task in a run.
#[derive(Clone, Debug, Default)]
enum GridCell {
    /// The run has no instance of the task.
    #[default]
    Absent,
    /// The index of its state in `states`, its try, start and end.
    Single(usize, i32, Option<i64>, Option<i64>),
    Mapped(GridMappedCell),
}

impl Serialize for GridCell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => serializer.serialize_none(),
            Self::Single(state, try_number, start, end) => (state, try_number, start, end).serialize(serializer),
            Self::Mapped(mapped) => mapped.serialize(serializer),
        }
    }
}

impl PartialSchema for GridCell {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::SchemaType::from_iter([Type::Integer, Type::Null]));
        let single =
            ArrayBuilder::new().items(number).min_items(Some(4)).max_items(Some(4)).description(Some(
                "The index of the state in `states`, the try, start and end (milliseconds since 1970)",
            ));
        let cell = AnyOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::Null))
            .item(single)
            .item(Ref::from_schema_name("GridMappedCell"));
        RefOr::T(Schema::AnyOf(cell.build()))
    }
}

impl ToSchema for GridCell {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push(("GridMappedCell".to_owned(), GridMappedCell::schema()));
        GridMappedCell::schemas(schemas);
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GridResponse {
    /// The version whose tasks are the nodes; null: none ever compiled.
    dag_version_number: Option<i32>,
    /// In the order of display. Tasks that only runs of other versions have come last.
    nodes: Vec<StructureNode>,
    /// The oldest first.
    runs: Vec<GridRunResponse>,
    /// What the indexes in `cells` mean.
    #[schema(value_type = Vec<String>)]
    states: Vec<&'static str>,
    /// Run → a cell for each of `nodes` that is a task, in their order.
    #[schema(value_type = BTreeMap<String, Vec<GridCell>>)]
    cells: BTreeMap<String, Vec<GridCell>>,
}

/// A DAG's last runs, and what became of each task in them.
///
/// `before` (a run's `run_after`) asks for the window before that.
#[utoipa::path(get, path = "/ui/grid/{dag_id}", tag = "Updraft", params(DagPath, QueryParams<GridQuery>),
    responses((status = 200, body = GridResponse), (status = 404)))]
pub(crate) async fn get_grid(
    State(app): State<App>,
    PathParams(path): PathParams<DagPath>,
    QueryParams(query): QueryParams<GridQuery>,
) -> Result<Json<GridResponse>, ApiError> {
    let mut connection = app.connection().await?;
    let row = dags::find(&mut connection, &path.dag_id).await?;
    let dag = dags::compiled(&app, &mut connection, &row).await?;
    let GridQuery { before, run_type, state, limit } = query;
    let window = Window { dag_id: path.dag_id, before, run_type, state, limit };
    let runs = grid::runs(&mut connection, &window).await?;
    let ids: Vec<i64> = runs.iter().map(|run| run.id).collect();
    let (cells, mapped) = grid::cells(&mut connection, &ids).await?;
    drop(connection);

    let mut nodes = dag.as_deref().map(nodes).unwrap_or_default();
    let mut table = Table::new(&nodes);
    for one in cells {
        table.add(one);
    }
    for one in mapped {
        table.add_mapped(one);
    }
    nodes.extend(table.beyond.iter().map(|id| StructureNode::gone(id)));
    let cells = runs.iter().map(|run| (run.run_id.clone(), table.row(run.id))).collect();
    Ok(Json(GridResponse {
        dag_version_number: row.version_number,
        nodes,
        runs: runs.into_iter().rev().map(Into::into).collect(),
        states: TaskInstanceState::ALL.iter().map(|state| state.as_str()).collect(),
        cells,
    }))
}

/// Since 1970.
fn millis(at: Option<DateTime<Utc>>) -> Option<i64> {
    at.map(|at| at.timestamp_millis())
}

/// The cells by run, each run's in the order of the tasks.
struct Table {
    places: HashMap<String, usize>,
    states: HashMap<&'static str, usize>,
    /// Tasks that the nodes lack, in the order of their places behind those.
    beyond: Vec<String>,
    rows: HashMap<i64, Vec<GridCell>>,
}

impl Table {
    fn new(nodes: &[StructureNode]) -> Self {
        let tasks = nodes.iter().filter(|node| node.is_task());
        Self {
            places: tasks.enumerate().map(|(place, node)| (node.id.clone(), place)).collect(),
            states: TaskInstanceState::ALL.iter().enumerate().map(|(index, state)| (state.as_str(), index)).collect(),
            beyond: Vec::new(),
            rows: HashMap::new(),
        }
    }

    fn place(&mut self, task_id: String) -> usize {
        if let Some(place) = self.places.get(&task_id) {
            return *place;
        }
        let place = self.places.len();
        self.beyond.push(task_id.clone());
        self.places.insert(task_id, place);
        place
    }

    fn cell(&mut self, run: i64, place: usize) -> &mut GridCell {
        let row = self.rows.entry(run).or_default();
        if row.len() <= place {
            row.resize(self.places.len().max(place + 1), GridCell::Absent);
        }
        &mut row[place]
    }

    fn add(&mut self, cells: Cells) {
        let Cells { dag_run_id, task_ids, states, try_numbers, starts, ends } = cells;
        let columns = states.into_iter().zip(try_numbers).zip(starts).zip(ends);
        for (task_id, (((state, try_number), start), end)) in task_ids.into_iter().zip(columns) {
            let place = self.place(task_id);
            let state = self.states.get(&*state).copied().unwrap_or_default();
            *self.cell(dag_run_id, place) = GridCell::Single(state, try_number, millis(start), millis(end));
        }
    }

    /// A mapped task that is not expanded yet has its one instance beside none of these.
    fn add_mapped(&mut self, count: MappedCount) {
        let MappedCount { dag_run_id, task_id, state, count, start, end } = count;
        let place = self.place(task_id);
        let cell = self.cell(dag_run_id, place);
        if !matches!(cell, GridCell::Mapped(_)) {
            *cell = GridCell::Mapped(GridMappedCell::default());
        }
        if let GridCell::Mapped(mapped) = cell {
            *mapped.counts.entry(state).or_default() += count;
            mapped.start = mapped.start.into_iter().chain(millis(start)).min();
            mapped.end = mapped.end.max(millis(end));
        }
    }

    fn row(&mut self, run: i64) -> Vec<GridCell> {
        let mut row = self.rows.remove(&run).unwrap_or_default();
        row.resize(self.places.len(), GridCell::Absent);
        row
    }
}
