//! `KubernetesPodOperator` on a node that has Docker and no cluster.

use serde_json::Value;
use updraft_core::{
    operator::{KubernetesPodArgs, PullPolicy, RESULT_FILE},
    spec::Failure,
};

use super::{Plan, Subject, invalid};
use crate::render::Rendered;

impl Plan {
    /// The pod's image, command and environment as a container.
    pub(crate) fn pod(subject: &Subject<'_>, args: KubernetesPodArgs, rendered: &Rendered) -> Result<Self, Failure> {
        let mut plan = Self::new(subject, args.image, rendered);
        plan.image.pull = match args.image_pull_policy.as_deref() {
            Some("Always") => PullPolicy::Always,
            Some("Never") => PullPolicy::Never,
            _ => PullPolicy::Missing,
        };
        plan.body.entrypoint = (!args.cmds.is_empty()).then_some(args.cmds);
        plan.body.cmd = (!args.arguments.is_empty()).then_some(args.arguments);
        let env = pod_env(&args.env_vars)?;
        plan.add_env(env.iter().map(|(name, value)| (name, value)));
        plan.add_labels(args.labels);
        plan.watch.skip = args.skip_on_exit_code;
        plan.watch.show = args.get_logs;
        if args.do_xcom_push {
            plan.take_result_file(RESULT_FILE.to_owned());
        }
        Ok(plan)
    }
}

/// A pod's `env_vars`: a mapping, or a list of `{name, value}`.
fn pod_env(env: &Value) -> Result<Vec<(String, String)>, Failure> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    match env {
        Value::Null => Ok(Vec::new()),
        Value::Object(fields) => Ok(fields.iter().map(|(name, value)| (name.clone(), text(value))).collect()),
        Value::Array(items) => items
            .iter()
            .map(|item| match (item["name"].as_str(), item.get("value_from").or_else(|| item.get("valueFrom"))) {
                (Some(name), None | Some(Value::Null)) => Ok((name.to_owned(), text(&item["value"]))),
                (Some(name), Some(_)) => Err(invalid(format!(
                    "`env_vars`: `{name}` takes its value from the cluster (valueFrom), which this node does not have."
                ))),
                (None, _) => Err(invalid("`env_vars`: every entry of the list needs a `name`.")),
            })
            .collect(),
        _ => Err(invalid("`env_vars` is a mapping or a list of {name, value}.")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pod_variables_are_a_mapping_or_a_list() {
        let expected = vec![("A".to_owned(), "1".to_owned())];
        assert_eq!(pod_env(&json!({"A": 1})).unwrap(), expected);
        assert_eq!(pod_env(&json!([{"name": "A", "value": "1"}])).unwrap(), expected);
        assert!(pod_env(&json!([{"name": "A", "valueFrom": {}}])).unwrap_err().reason.contains("cluster"));
    }
}
