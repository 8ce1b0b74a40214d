//! An attempt's arguments become values, as on a node, with values read in the transaction.

use serde_json::{Map, Value};
use sqlx::PgConnection;
use updraft_core::{
    spec::{Failure, FailureClass, TaskSpec},
    template::{self, Ref, RenderError, Resolved},
};
use updraft_store::{StoreError, resolve::resolve_for_server, sources::Sources};

/// A template may name values that only its earlier values lead to; more rounds than this are a mistake.
const ROUNDS: usize = 20;

/// Renders the arguments in place; returns the template fields as they are shown, secrets masked.
pub(super) async fn render(
    connection: &mut PgConnection,
    sources: &Sources,
    dag_run_id: i64,
    spec: &mut TaskSpec,
) -> Result<Result<Option<Value>, Failure>, StoreError> {
    let mut known: Vec<Ref> = template::refs(spec);
    for _ in 0..ROUNDS {
        let resolved = match resolve_for_server(&mut *connection, sources, dag_run_id, &known).await {
            Ok(resolved) => resolved,
            Err(StoreError::Secret(reason)) => return Ok(Err(failure(reason))),
            Err(error) => return Err(error),
        };
        let missing = match template::render_fields(spec, &resolved) {
            Ok(args) => {
                let shown = shown(spec, &args, &resolved, &known);
                spec.args = args;
                return Ok(Ok(shown));
            }
            Err(RenderError::Missing(missing)) => missing,
            Err(RenderError::Failed(wrong)) => return Ok(Err(failure(wrong.to_string()))),
        };
        known.extend(missing);
    }
    Ok(Err(failure(format!("The task's templates still ask for values after {ROUNDS} rounds of fetching them."))))
}

fn failure(reason: String) -> Failure {
    Failure { class: FailureClass::TemplateError, reason }
}

/// The template fields for people. Where a template names variables or connections they are rendered once more with `***` in
/// the place of every such value, so that no secret gets into the database.
fn shown(spec: &TaskSpec, args: &Map<String, Value>, resolved: &Resolved, known: &[Ref]) -> Option<Value> {
    let names = spec.operator.template_fields();
    if names.is_empty() {
        return None;
    }
    let is_secret = |reference: &&Ref| matches!(reference, Ref::Variable { .. } | Ref::Connection { .. });
    let secrets: Vec<&Ref> = known.iter().filter(is_secret).collect();
    let mut masked = None;
    if !secrets.is_empty() {
        let mut hidden = resolved.clone();
        for reference in secrets {
            hidden.insert(reference.clone(), Some(stars(reference)));
        }
        // What does not render with stars is not shown.
        masked = Some(template::render_fields(spec, &hidden).unwrap_or_default());
    }
    let args = masked.as_ref().unwrap_or(args);
    let fields = names.iter().filter_map(|name| Some(((*name).to_owned(), args.get(*name)?.clone()))).collect();
    Some(Value::Object(fields))
}

fn stars(reference: &Ref) -> Value {
    let stars = || Value::from("***");
    match reference {
        Ref::Connection { .. } => {
            let names = ["conn_type", "host", "schema", "login", "password", "extra"];
            Value::Object(names.into_iter().map(|name| (name.to_owned(), stars())).collect())
        }
        Ref::Variable { .. } | Ref::XCom { .. } => stars(),
    }
}
