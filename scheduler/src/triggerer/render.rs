//! An attempt's arguments become values, as on a node, with values read in the transaction.

use std::time::Duration;

use serde_json::{Map, Value};
use sqlx::PgConnection;
use updraft_core::{
    mask::Mask,
    spec::{Failure, FailureClass, TaskSpec},
    template::{self, Ref, RenderError, Resolved},
};
use updraft_store::{StoreError, resolve::resolve_for_server, sources::Sources};

/// A template may name values that only its earlier values lead to; more rounds than this are a mistake.
const ROUNDS: usize = 20;
/// The work of a render is bounded to about a second. It happens in a transaction that holds the attempt.
const RENDER_TIME: Duration = Duration::from_secs(20);

/// What a render left beside the arguments.
pub(super) struct Rendered {
    /// The template fields as they are shown, secrets masked.
    pub(super) fields: Option<Value>,
    /// For what is said about the arguments.
    pub(super) mask: Mask,
}

/// Renders the arguments in place.
pub(super) async fn render(
    connection: &mut PgConnection,
    sources: &Sources,
    dag_run_id: i64,
    spec: &mut TaskSpec,
) -> Result<Result<Rendered, Failure>, StoreError> {
    let mut known: Vec<Ref> = template::refs(spec);
    for _ in 0..ROUNDS {
        let resolved = match resolve_for_server(&mut *connection, sources, dag_run_id, &known).await {
            Ok(resolved) => resolved,
            Err(StoreError::Secret(reason)) => return Ok(Err(failure(reason))),
            Err(error) => return Err(error),
        };
        let missing = match apart(spec, &resolved, &known).await {
            Ok(Ok((args, fields))) => {
                spec.args = args;
                return Ok(Ok(Rendered { fields, mask: resolved.mask() }));
            }
            Ok(Err(RenderError::Missing(missing))) => missing,
            Ok(Err(RenderError::Failed(wrong))) => return Ok(Err(failure(wrong.to_string()))),
            Err(reason) => return Ok(Err(failure(reason))),
        };
        known.extend(missing);
    }
    Ok(Err(failure(format!("The task's templates still ask for values after {ROUNDS} rounds of fetching them."))))
}

/// The arguments, and the fields that are shown.
type Both = (Map<String, Value>, Option<Value>);

/// Renders on a thread where a long render keeps nothing else waiting, for as long as one may take; the outer `Err` is why
/// nothing came of it.
async fn apart(spec: &TaskSpec, resolved: &Resolved, known: &[Ref]) -> Result<Result<Both, RenderError>, String> {
    let (spec, resolved, known) = (spec.clone(), resolved.clone(), known.to_vec());
    let rendering = tokio::task::spawn_blocking(move || {
        let args = template::render_fields(&spec, &resolved)?;
        let shown = shown(&spec, &args, &resolved, &known);
        Ok((args, shown))
    });
    match tokio::time::timeout(RENDER_TIME, rendering).await {
        Ok(Ok(rendered)) => Ok(rendered),
        Ok(Err(gone)) => Err(format!("The task's templates could not be rendered: {gone}.")),
        Err(tokio::time::error::Elapsed { .. }) => {
            Err(format!("The task's templates did not render within {} s.", RENDER_TIME.as_secs()))
        }
    }
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
        Ref::Variable { .. } | Ref::XCom { .. } | Ref::XComOf { .. } => stars(),
    }
}
