//! The names a template may use: Airflow's context, as far as a node knows it.
//!
//! What depends on the logical date is *undefined* for a run without one, as in Airflow, so that a template fails instead of
//! rendering a wrong day.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use minijinja::{
    Error, State, Value,
    value::{Kwargs, Object, ValueKind, from_args},
};
use serde_json::{Map, Value as Json};

use super::{
    Part, Ref,
    delta::Delta,
    engine::{check_defined, invalid},
    filters::{ds, ds_nodash, ts, ts_nodash, ts_nodash_with_tz},
    json::from_json,
    macros::Macros,
    moment::Moment,
    python,
    record::{Record, connection},
};
use crate::{
    dag::{AssetRef, TriggerRule},
    ids::{AttemptId, TaskId},
    notify::{Facts, TiFacts},
    spec::{PreviousRun, RunContext, TaskAttributes, TaskSpec},
};

/// Defined only when the run has a logical date.
const DATED: [&str; 10] = [
    "logical_date",
    "ds",
    "ds_nodash",
    "ts",
    "ts_nodash",
    "ts_nodash_with_tz",
    "data_interval_start",
    "data_interval_end",
    "prev_data_interval_start_success",
    "prev_data_interval_end_success",
];

/// In Airflow's context, but not in templates here, and why.
const UNAVAILABLE: [(&str, &str); 4] = [
    ("inlet_events", "a template cannot read asset events; `triggering_asset_events` has those that made the run"),
    ("outlet_events", "a template cannot write to the events of its outlets; a Python task can"),
    ("task_state_store", "there is no task state store; keep such values in an XCom or a variable"),
    ("asset_state_store", "there is no asset state store; keep such values in an XCom or a variable"),
];

/// Names that a mapping makes.
const MAPPED: [(&str, &str); 2] = [("item", "foreach"), ("matrix", "matrix")];

/// What was in Airflow 2's context, and what to write now.
const REMOVED: [(&str, &str); 14] = [
    ("execution_date", "logical_date"),
    ("next_execution_date", "data_interval_end"),
    ("next_ds", "data_interval_end | ds"),
    ("next_ds_nodash", "data_interval_end | ds_nodash"),
    ("prev_execution_date", "data_interval_start"),
    ("prev_execution_date_success", "prev_data_interval_start_success"),
    ("prev_ds", "macros.ds_add(ds, -1)"),
    ("prev_ds_nodash", "logical_date.subtract(days=1) | ds_nodash"),
    ("yesterday_ds", "macros.ds_add(ds, -1)"),
    ("yesterday_ds_nodash", "logical_date.subtract(days=1) | ds_nodash"),
    ("tomorrow_ds", "macros.ds_add(ds, 1)"),
    ("tomorrow_ds_nodash", "logical_date.add(days=1) | ds_nodash"),
    ("conf", "dag_run.conf"),
    ("triggering_dataset_events", "triggering_asset_events"),
];

/// The context of one attempt. Cheap to share: each render of a field uses the same one.
#[derive(Clone, Debug)]
pub(super) struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    run: Arc<RunContext>,
    attempt_id: AttemptId,
    task_id: TaskId,
    map_index: i32,
    try_number: i32,
    max_tries: i32,
    operator_class: String,
    owner: String,
    relative_fileloc: String,
    map_index_template: Option<String>,
    reschedule_count: u32,
    attributes: TaskAttributes,
    do_xcom_push: bool,
    execution_timeout: Option<Duration>,
    inlets: Vec<AssetRef>,
    outlets: Vec<AssetRef>,
    /// What the instance's mapping names: `item`, `matrix`, a mapped group's inputs.
    names: Map<String, Json>,
    /// In a callback: what it tells of.
    facts: Option<Box<Facts>>,
    resolved: Arc<HashMap<Ref, Option<Json>>>,
    /// References that were needed and are not fetched yet.
    missing: Mutex<Vec<Ref>>,
    /// The name behind the last error raised from here.
    failed: Mutex<Option<String>>,
    conf: OnceLock<Value>,
    params: OnceLock<Value>,
    /// Names and fetched values, converted once however often a loop names them.
    converted: Mutex<HashMap<String, Value>>,
}

impl Context {
    pub(super) fn new(spec: &TaskSpec, resolved: &Arc<HashMap<Ref, Option<Json>>>, names: &Map<String, Json>) -> Self {
        Self(Arc::new(Inner {
            run: Arc::clone(&spec.run),
            attempt_id: spec.attempt_id,
            task_id: spec.task_id.clone(),
            map_index: spec.map_index.0,
            try_number: spec.try_number,
            max_tries: spec.max_tries,
            operator_class: spec.operator_class.clone(),
            owner: spec.owner.clone(),
            relative_fileloc: spec.relative_fileloc.clone(),
            map_index_template: spec.map_index_template.clone(),
            reschedule_count: spec.reschedule_count,
            attributes: spec.attributes.clone(),
            do_xcom_push: spec.do_xcom_push,
            execution_timeout: spec.execution_timeout,
            inlets: spec.inlets.clone(),
            outlets: spec.outlets.clone(),
            names: names.clone(),
            facts: spec.callback.clone(),
            resolved: Arc::clone(resolved),
            missing: Mutex::default(),
            failed: Mutex::default(),
            conf: OnceLock::new(),
            params: OnceLock::new(),
            converted: Mutex::default(),
        }))
    }

    /// The value minijinja looks names up in.
    pub(super) fn root(&self) -> Value {
        Value::from_object(self.clone())
    }

    /// References asked for since the last call and not fetched yet.
    pub(super) fn take_missing(&self) -> Vec<Ref> {
        std::mem::take(&mut *self.0.missing.lock().expect("nothing panics while it holds the lock"))
    }

    /// The name behind the last error that came from here.
    pub(super) fn take_failed(&self) -> Option<String> {
        self.0.failed.lock().expect("nothing panics while it holds the lock").take()
    }

    /// Why a top-level name is undefined, when there is more to say than that it is.
    pub(super) fn explain(&self, name: &str) -> Option<String> {
        if DATED.contains(&name) && self.0.run.logical_date.is_none() {
            return Some(format!("`{name}` is undefined: this run has no logical date"));
        }
        if let Some((_, why)) = UNAVAILABLE.iter().find(|(unavailable, _)| *unavailable == name) {
            return Some(format!("`{name}` is not available: {why}"));
        }
        if let Some((_, word)) = MAPPED.iter().find(|(mapped, _)| *mapped == name) {
            return Some(format!("`{name}` is there only in the templates of a task with `{word}`"));
        }
        REMOVED
            .iter()
            .find(|(old, _)| *old == name)
            .map(|(_, new)| format!("`{name}` was removed in Airflow 3; write `{{{{ {new} }}}}`"))
    }

    fn fail(&self, name: String, message: String) -> Error {
        *self.0.failed.lock().expect("nothing panics while it holds the lock") = Some(name);
        invalid(message)
    }

    /// A fetched value; `Ok(None)` when there is none on the server; `Err` when it is yet to be asked for.
    fn fetch(&self, reference: Ref) -> Result<Option<&Json>, Error> {
        if let Some(value) = self.0.resolved.get(&reference) {
            return Ok(value.as_ref());
        }
        self.0.missing.lock().expect("nothing panics while it holds the lock").push(reference);
        Err(invalid("a value is to be fetched first"))
    }

    fn lookup(&self, name: &str) -> Option<Value> {
        let inner = &*self.0;
        if let Some(value) = inner.names.get(name) {
            return Some(self.converted(name, value));
        }
        let run = &*inner.run;
        let text = |value: &str| Value::from(value);
        let moment = |at| Value::from_object(Moment::utc(at));
        let previous = |date: fn(&PreviousRun) -> Option<DateTime<Utc>>| {
            run.previous_success.as_ref().and_then(date).map_or(Value::from(()), moment)
        };
        let dated = |format: fn(&Moment) -> String| run.logical_date.map(|at| Value::from(format(&Moment::utc(at))));
        Some(match name {
            "logical_date" => moment(run.logical_date?),
            "ds" => dated(ds)?,
            "ds_nodash" => dated(ds_nodash)?,
            "ts" => dated(ts)?,
            "ts_nodash" => dated(ts_nodash)?,
            "ts_nodash_with_tz" => dated(ts_nodash_with_tz)?,
            "data_interval_start" => run.logical_date.and(run.data_interval_start).map(moment)?,
            "data_interval_end" => run.logical_date.and(run.data_interval_end).map(moment)?,
            "prev_data_interval_start_success" => {
                run.logical_date?;
                previous(|run| run.data_interval_start)
            }
            "prev_data_interval_end_success" => {
                run.logical_date?;
                previous(|run| run.data_interval_end)
            }
            "prev_start_date_success" => previous(|run| run.start_date),
            "prev_end_date_success" => previous(|run| run.end_date),
            "run_id" => text(run.run_id.as_str()),
            "dag_run" => self.dag_run(),
            "dag" => self.dag(),
            "task" => self.task(),
            "ti" | "task_instance" => Value::from_object(TaskInstance(self.clone())),
            "params" => self.params(),
            "var" => Record::value(
                "var",
                vec![
                    ("value", Value::from_object(Variables { context: self.clone(), json: false })),
                    ("json", Value::from_object(Variables { context: self.clone(), json: true })),
                ],
            ),
            "conn" => Value::from_object(Connections(self.clone())),
            "macros" => Value::from_object(Macros::All),
            "inlets" => asset_list(&inner.inlets),
            "outlets" => asset_list(&inner.outlets),
            "task_instance_key_str" => {
                let last = match run.logical_date {
                    Some(at) => ds_nodash(&Moment::utc(at)),
                    None => run.run_id.to_string(),
                };
                format!("{}__{}__{last}", run.dag_id, inner.task_id).into()
            }
            "task_reschedule_count" => inner.reschedule_count.into(),
            "triggering_asset_events" => match &run.triggering_asset_events {
                Json::Null => Value::from_pairs(std::iter::empty::<(Value, Value)>()),
                events => self.converted(name, events),
            },
            "map_index" => inner.map_index.into(),
            "map_index_template" => inner.map_index_template.as_deref().map_or(Value::from(()), Value::from),
            "partition_key" => run.partition_key.as_deref().map_or(Value::from(()), Value::from),
            "partition_date" => Value::from(()),
            // For `macros`: not Airflow's.
            "__now__" => moment(run.now?),
            // Of a callback.
            "exception" | "reason" if inner.facts.is_some() => optional_text(inner.facts.as_ref()?.reason()),
            "event" if inner.facts.is_some() => inner.facts.as_ref()?.cause.as_str().into(),
            "deadline" if inner.facts.is_some() => moment(inner.facts.as_ref()?.deadline?),
            // Jinja's globals: weaker than the context.
            _ => return run.user_defined_macros.get(name).map(|value| self.converted(name, value)),
        })
    }

    /// The value of a name, or of a reference by its text.
    fn converted(&self, name: &str, value: &Json) -> Value {
        let mut converted = self.0.converted.lock().expect("nothing panics while it holds the lock");
        converted.entry(name.to_owned()).or_insert_with(|| from_json(value)).clone()
    }

    fn params(&self) -> Value {
        let params =
            || Value::from_pairs(self.0.run.params.iter().map(|(key, value)| (key.as_str(), from_json(value))));
        self.0.params.get_or_init(params).clone()
    }

    fn conf(&self) -> Value {
        let conf = || match &self.0.run.conf {
            Json::Null => Value::from_pairs(std::iter::empty::<(Value, Value)>()),
            conf => from_json(conf),
        };
        self.0.conf.get_or_init(conf).clone()
    }

    fn dag_run(&self) -> Value {
        let run = &*self.0.run;
        let ended = self.0.facts.as_ref().map(|facts| &facts.run);
        Record::value(
            "dag_run",
            vec![
                ("dag_id", run.dag_id.as_str().into()),
                ("run_id", run.run_id.as_str().into()),
                ("run_type", run.run_type.as_str().into()),
                ("logical_date", moment(run.logical_date)),
                ("data_interval_start", moment(run.data_interval_start)),
                ("data_interval_end", moment(run.data_interval_end)),
                ("run_after", moment(Some(run.run_after))),
                ("start_date", moment(ended.map_or(run.start_date, |ended| ended.start_date))),
                ("end_date", moment(ended.and_then(|ended| ended.end_date))),
                // A task of it runs, unless this is a callback.
                ("state", ended.map_or("running", |ended| ended.state.as_str()).into()),
                ("conf", self.conf()),
                ("queued_at", moment(run.queued_at)),
                ("triggering_user_name", optional_text(run.triggering_user_name.clone())),
                ("note", optional_text(run.note.clone())),
                ("clear_number", run.clear_number.into()),
                ("partition_key", optional_text(run.partition_key.clone())),
                ("external_trigger", (run.run_type != crate::state::DagRunType::Scheduled).into()),
            ],
        )
    }

    fn dag(&self) -> Value {
        let run = &*self.0.run;
        Record::value(
            "dag",
            vec![
                ("dag_id", run.dag_id.as_str().into()),
                ("dag_display_name", run.dag_display_name.as_deref().unwrap_or(run.dag_id.as_str()).into()),
                ("owner", run.dag_owner.as_str().into()),
                ("tags", run.dag_tags.iter().map(|tag| Value::from(tag.as_str())).collect::<Vec<_>>().into()),
                ("description", run.dag_description.as_deref().map_or(Value::from(()), Value::from)),
                ("params", self.params()),
                ("relative_fileloc", self.0.relative_fileloc.as_str().into()),
                ("fileloc", self.0.relative_fileloc.as_str().into()),
                ("render_template_as_native_obj", run.render_template_as_native_obj.into()),
            ],
        )
    }

    fn task(&self) -> Value {
        let inner = &*self.0;
        let class = inner.operator_class.rsplit('.').next().unwrap_or_default();
        let attributes = &inner.attributes;
        Record::value(
            "task",
            vec![
                ("task_id", inner.task_id.as_str().into()),
                ("dag_id", inner.run.dag_id.as_str().into()),
                ("owner", inner.owner.as_str().into()),
                ("task_type", class.into()),
                ("operator_name", class.into()),
                ("params", self.params()),
                ("task_display_name", attributes.task_display_name.as_str().into()),
                ("label", inner.task_id.as_str().rsplit('.').next().unwrap_or_default().into()),
                ("retries", attributes.retries.into()),
                ("retry_delay", delta(attributes.retry_delay)),
                ("execution_timeout", inner.execution_timeout.map_or(Value::from(()), delta)),
                ("pool", attributes.pool.as_str().into()),
                ("pool_slots", attributes.pool_slots.into()),
                ("queue", attributes.queue.as_str().into()),
                ("priority_weight", attributes.priority_weight.into()),
                ("trigger_rule", word(attributes.trigger_rule)),
                ("depends_on_past", attributes.depends_on_past.into()),
                ("wait_for_downstream", attributes.wait_for_downstream.into()),
                ("do_xcom_push", inner.do_xcom_push.into()),
                ("upstream_task_ids", ids(&attributes.upstream_task_ids)),
                ("downstream_task_ids", ids(&attributes.downstream_task_ids)),
                ("email", attributes.email.iter().map(|to| Value::from(to.as_str())).collect::<Vec<_>>().into()),
                ("inlets", asset_list(&inner.inlets)),
                ("outlets", asset_list(&inner.outlets)),
            ],
        )
    }

    /// `xcom_pull(task_ids=None, dag_id=None, key='return_value', include_prior_dates=False, map_indexes=None, default=None,
    /// run_id=None)` (Airflow 3: `RuntimeTaskInstance.xcom_pull`).
    fn xcom_pull(&self, args: &[Value]) -> Result<Value, Error> {
        type Positional = (Option<Value>, Option<Value>, Option<Value>, Option<bool>, Kwargs);
        let (task_ids, dag_id, key, include_prior, kwargs): Positional = from_args(args)?;
        let or_named = |given: Option<Value>, name: &str| match given {
            Some(value) => Ok(Some(value)),
            None => kwargs.get::<Option<Value>>(name),
        };
        let task_ids = or_named(task_ids, "task_ids")?.filter(|value| !value.is_none());
        let dag_id = or_named(dag_id, "dag_id")?.filter(|value| !value.is_none());
        let key = or_named(key, "key")?.map_or_else(|| "return_value".to_owned(), |key| python::text(&key));
        let include_prior = include_prior.or(kwargs.get("include_prior_dates")?).unwrap_or(false);
        let map_indexes = kwargs.get::<Option<Value>>("map_indexes")?.filter(|value| !value.is_none());
        let default = kwargs.get::<Option<Value>>("default")?.unwrap_or(Value::from(()));
        let run_id = kwargs.get::<Option<String>>("run_id")?;
        kwargs.assert_all_used()?;
        let dag_id = dag_id.map(|dag_id| python::text(&dag_id)).filter(|id| id != self.0.run.dag_id.as_str());
        let run_id = run_id.filter(|id| dag_id.is_some() || id != self.0.run.run_id.as_str());
        let elsewhere = dag_id.is_some() || run_id.is_some() || include_prior;
        let reference = |task_id: &str, map_index: Option<i32>| {
            let (task_id, key) = (task_id.to_owned(), key.clone());
            if elsewhere {
                let (dag_id, run_id) = (dag_id.clone(), run_id.clone());
                return Ref::XComOf { dag_id, run_id, include_prior_dates: include_prior, task_id, key, map_index };
            }
            Ref::XCom { task_id, key, map_index, part: map_index.is_none().then_some(Part::All) }
        };
        let is_single =
            |value: &Value| value.as_str().is_some() || !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
        let is_one_task = task_ids.as_ref().is_none_or(is_single);
        let tasks: Vec<String> = match task_ids {
            None => vec![self.0.task_id.to_string()],
            Some(task_id) if is_one_task => vec![python::text(&task_id)],
            Some(list) => list.try_iter()?.map(|task_id| python::text(&task_id)).collect(),
        };
        let Some(map_indexes) = map_indexes else {
            // What all instances of all tasks pushed, one after the other; one value by itself only when one task was named.
            let mut values = Vec::new();
            let wanted: Vec<Ref> = tasks.iter().map(|task_id| reference(task_id, None)).collect();
            for (found, wanted) in all(wanted.iter().map(|wanted| self.fetch(wanted.clone())))?.into_iter().zip(&wanted)
            {
                match found {
                    Some(list @ Json::Array(items)) if !items.is_empty() => {
                        values.extend(self.converted(&format!("{wanted:?}"), list).try_iter()?);
                    }
                    _ => values.push(default.clone()),
                }
            }
            return Ok(match values.pop() {
                Some(one) if is_one_task && values.is_empty() => one,
                last => values.into_iter().chain(last).collect::<Vec<_>>().into(),
            });
        };
        let is_one_index = is_single(&map_indexes);
        let indexes = if is_one_index {
            vec![i32::try_from(map_indexes)?]
        } else {
            map_indexes.try_iter()?.map(i32::try_from).collect::<Result<Vec<_>, _>>()?
        };
        let wanted = tasks.iter().flat_map(|task_id| indexes.iter().map(move |index| (task_id, *index)));
        let found = all(wanted.map(|(task_id, index)| self.fetch(reference(task_id, Some(index)))))?;
        let mut values = found.into_iter().map(|value| match value {
            // Of another run they come as a list of one.
            Some(Json::Array(items)) if elsewhere => items.first().map_or_else(|| default.clone(), from_json),
            value => value.map_or_else(|| default.clone(), from_json),
        });
        if is_one_task && is_one_index {
            return Ok(values.next().unwrap_or(default.clone()));
        }
        Ok(values.collect::<Vec<_>>().into())
    }

    fn variable(&self, key: &str, json: bool, default: Option<Value>) -> Result<Value, Error> {
        let name = || format!("var.{}.{key}", if json { "json" } else { "value" });
        match (self.fetch(Ref::Variable { key: key.to_owned() })?, default) {
            (None, Some(default)) => Ok(default),
            (None, None) => Err(self.fail(name(), format!("the variable `{key}` does not exist"))),
            (Some(Json::String(text)), _) if json => serde_json::from_str(text)
                .map(|json| from_json(&json))
                .map_err(|error| self.fail(name(), format!("the variable `{key}` is not JSON: {error}"))),
            (Some(value), _) if json => Ok(from_json(value)),
            (Some(Json::String(text)), _) => Ok(text.as_str().into()),
            (Some(value), _) => Ok(Value::from(value.to_string())),
        }
    }

    fn connection(&self, conn_id: &str, default: Option<Value>) -> Result<Value, Error> {
        match (self.fetch(Ref::Connection { conn_id: conn_id.to_owned() })?, default) {
            (Some(fields), _) => Ok(connection(conn_id, fields)),
            (None, Some(default)) => Ok(default),
            (None, None) => {
                Err(self.fail(format!("conn.{conn_id}"), format!("the connection `{conn_id}` does not exist")))
            }
        }
    }
}

/// Assets as Airflow shows them to templates: `name`, `uri`, `extra`; aliases have a name only.
fn asset_list(assets: &[AssetRef]) -> Value {
    let shown = assets.iter().map(|asset| match asset {
        AssetRef::Asset { name, uri, group, extra } => Record::value(
            "Asset",
            vec![
                ("name", name.as_str().into()),
                ("uri", uri.as_str().into()),
                ("group", group.as_str().into()),
                ("extra", from_json(&Json::Object(extra.clone()))),
            ],
        ),
        AssetRef::Ref { name, uri } => Record::value(
            "AssetRef",
            vec![
                ("name", name.as_deref().map_or(Value::from(()), Value::from)),
                ("uri", uri.as_deref().map_or(Value::from(()), Value::from)),
            ],
        ),
        AssetRef::Alias { name, group } => {
            Record::value("AssetAlias", vec![("name", name.as_str().into()), ("group", group.as_str().into())])
        }
    });
    Value::from(shown.collect::<Vec<_>>())
}

impl Inner {
    /// The instance that a callback tells of.
    fn ended(&self) -> Option<&TiFacts> {
        self.facts.as_ref()?.ti.as_ref()
    }
}

fn moment(at: Option<DateTime<Utc>>) -> Value {
    at.map_or(Value::from(()), |at| Value::from_object(Moment::utc(at)))
}

fn delta(duration: Duration) -> Value {
    TimeDelta::from_std(duration).map_or(Value::from(()), |duration| Value::from_object(Delta(duration)))
}

/// As it is written in a file.
fn word(rule: TriggerRule) -> Value {
    serde_json::to_value(rule).map_or(Value::from(()), |word| from_json(&word))
}

fn ids(ids: &[TaskId]) -> Value {
    ids.iter().map(|id| Value::from(id.as_str())).collect::<Vec<_>>().into()
}

fn optional_text(text: Option<String>) -> Value {
    text.map_or(Value::from(()), Value::from)
}

/// All of them; every one is asked for before the first gap stops the render.
fn all<T>(values: impl Iterator<Item = Result<T, Error>>) -> Result<Vec<T>, Error> {
    let values: Vec<_> = values.collect();
    values.into_iter().collect()
}

impl Object for Context {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.lookup(key)
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.lookup(key.as_str()?)
    }
}

/// `ti`, `task_instance`.
#[derive(Debug)]
struct TaskInstance(Context);

impl Object for TaskInstance {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let inner = &*self.0.0;
        Some(match key {
            "id" => inner.attempt_id.to_string().into(),
            "task_id" => inner.task_id.as_str().into(),
            "dag_id" => inner.run.dag_id.as_str().into(),
            "run_id" => inner.run.run_id.as_str().into(),
            "map_index" => inner.map_index.into(),
            "try_number" => inner.try_number.into(),
            "max_tries" => inner.max_tries.into(),
            "state" => inner.ended().map_or("running", |ti| ti.state.as_str()).into(),
            // It starts as it is handed out, unless this is a callback.
            "start_date" => moment(inner.ended().map_or(inner.run.now, |ti| ti.start_date)),
            "end_date" => moment(inner.ended().and_then(|ti| ti.end_date)),
            "duration" => {
                let ti = inner.ended()?;
                let seconds = ti.start_date.zip(ti.end_date).map(|(start, end)| (end - start).as_seconds_f64());
                seconds.map_or(Value::from(()), Value::from)
            }
            "hostname" => inner.ended()?.hostname.as_str().into(),
            "exit_code" => inner.ended()?.exit_code.map_or(Value::from(()), Value::from),
            // A node does not know where people look at logs.
            "log_url" => optional_text(inner.facts.as_ref().and_then(|facts| facts.log_url.clone())),
            "pool" => inner.attributes.pool.as_str().into(),
            "pool_slots" => inner.attributes.pool_slots.into(),
            "queue" => inner.attributes.queue.as_str().into(),
            "priority_weight" => inner.attributes.priority_weight.into(),
            "task_display_name" => inner.attributes.task_display_name.as_str().into(),
            "reschedule_count" => inner.reschedule_count.into(),
            "key" => format!("{}__{}__{}", inner.run.dag_id, inner.task_id, inner.run.run_id).into(),
            "operator" => inner.operator_class.rsplit('.').next().unwrap_or_default().into(),
            "task" => self.0.task(),
            "dag_run" => self.0.dag_run(),
            "logical_date" => match inner.run.logical_date {
                Some(at) => Value::from_object(Moment::utc(at)),
                None => Value::from(()),
            },
            _ => return None,
        })
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        args.iter().try_for_each(check_defined)?;
        match method {
            "xcom_pull" => self.0.xcom_pull(args),
            "xcom_push" => {
                Err(self.0.fail("ti.xcom_push".to_owned(), "a template does not push XComs; the task does".to_owned()))
            }
            _ => Err(invalid(format!("`ti` has no method named `{method}` in templates"))),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0.0;
        write!(f, "<TaskInstance: {}.{} {}>", inner.run.dag_id, inner.task_id, inner.run.run_id)
    }
}

/// `var.value`, `var.json`.
#[derive(Debug)]
struct Variables {
    context: Context,
    json: bool,
}

impl Object for Variables {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Some(self.context.variable(key, self.json, None).unwrap_or_else(Value::from))
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        if method != "get" {
            return Err(invalid(format!("`var` has no method named `{method}`")));
        }
        let (key, default, kwargs): (&str, Option<Value>, Kwargs) = from_args(args)?;
        let default = default.map_or_else(|| kwargs.get::<Option<Value>>("default_var"), |given| Ok(Some(given)))?;
        kwargs.assert_all_used()?;
        self.context.variable(key, self.json, Some(default.unwrap_or(Value::from(()))))
    }
}

/// `conn`.
#[derive(Debug)]
struct Connections(Context);

impl Object for Connections {
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Some(self.0.connection(key, None).unwrap_or_else(Value::from))
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn call_method(self: &Arc<Self>, _: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        if method != "get" {
            return Err(invalid(format!("`conn` has no method named `{method}`")));
        }
        let (conn_id, default): (&str, Option<Value>) = from_args(args)?;
        self.0.connection(conn_id, Some(default.unwrap_or(Value::from(()))))
    }
}
