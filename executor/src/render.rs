//! A task's fields become values: templates are rendered here, on the node, by `core`'s pure function.

use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value};
use updraft_core::spec::{Failure, TaskSpec};
use updraft_protocol::StartAttempt;

use crate::{mask::Mask, node::Node};

/// A task ready to run.
pub(crate) struct Rendered {
    pub(crate) args: Map<String, Value>,
    pub(crate) env: IndexMap<String, String>,
    /// `AIRFLOW_CTX_*`.
    pub(crate) context_env: IndexMap<String, String>,
    /// The template fields as rendered, secrets masked.
    pub(crate) fields: Option<Value>,
    pub(crate) mask: Arc<Mask>,
}

/// Renders what the task's templates name, fetching what the hand-out did not bring.
pub(crate) async fn render(_node: &Node, start: &StartAttempt, spec: &TaskSpec) -> Result<Rendered, Failure> {
    let mask = Arc::new(Mask::of(&start.refs));
    let names = spec.operator.template_fields();
    let fields: Map<String, Value> =
        names.iter().filter_map(|name| Some(((*name).to_owned(), spec.args.get(*name)?.clone()))).collect();
    let mut fields = Value::Object(fields);
    mask.apply_json(&mut fields);
    Ok(Rendered {
        args: spec.args.clone(),
        env: spec.env.clone(),
        context_env: IndexMap::from([
            ("AIRFLOW_CTX_DAG_ID".to_owned(), spec.run.dag_id.to_string()),
            ("AIRFLOW_CTX_TASK_ID".to_owned(), spec.task_id.to_string()),
            ("AIRFLOW_CTX_DAG_RUN_ID".to_owned(), spec.run.run_id.to_string()),
            ("AIRFLOW_CTX_TRY_NUMBER".to_owned(), spec.try_number.to_string()),
            ("AIRFLOW_CTX_DAG_OWNER".to_owned(), spec.owner.clone()),
        ]),
        fields: (!names.is_empty()).then_some(fields),
        mask,
    })
}
