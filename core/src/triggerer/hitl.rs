//! Questions to people (semantics §16): `ApprovalOperator`, `HITLOperator`, `HITLBranchOperator`, `HITLEntryOperator`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{BadArguments, End, Look, Next, RETURN_VALUE, WaitingFor, after, branch::follow};
use crate::{
    operator::{HitlArgs, HitlKind},
    spec::{Decision, FailureClass},
};

/// The option that lets an approval pass.
pub const APPROVE: &str = "Approve";
/// The option that refuses it.
pub const REJECT: &str = "Reject";

/// A person, as the API shows one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: String,
    pub name: String,
}

/// A question, as it is shown to people.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub subject: String,
    pub body: Option<String>,
    pub options: Vec<String>,
    /// Chosen when nobody answers in time; `None`: the task fails then.
    pub defaults: Option<Vec<String>>,
    pub multiple: bool,
    /// Field → `{value, schema}`.
    pub params: Map<String, Value>,
    /// Who may answer; empty: everybody who may edit the run.
    pub assigned_users: Vec<User>,
    pub deadline: Option<DateTime<Utc>>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub chosen_options: Vec<String>,
    pub params_input: Map<String, Value>,
    /// `None`: nobody answered in time, these are the defaults.
    pub by: Option<User>,
    pub at: DateTime<Utc>,
}

/// Reads the arguments: what to ask.
pub fn question(look: &Look<'_>) -> Result<Question, BadArguments> {
    let args: HitlArgs = look.arguments()?;
    if args.options.is_empty() {
        return Err(BadArguments("`options` must not be empty".to_owned()));
    }
    if let Some(odd) = args.defaults.iter().find(|default| !args.options.contains(default)) {
        return Err(BadArguments(format!("the default `{odd}` is not among the options {:?}", args.options)));
    }
    if !args.multiple && args.defaults.len() > 1 {
        return Err(BadArguments("more than one default needs `multiple: true`".to_owned()));
    }
    let timeout = args.response_timeout.or(look.task.execution_timeout);
    let params = args.params.into_iter().map(|(name, param)| (name, json!(param))).collect();
    Ok(Question {
        subject: args.subject,
        body: args.body,
        options: args.options,
        defaults: Some(args.defaults).filter(|defaults| !defaults.is_empty()),
        multiple: args.multiple,
        params,
        assigned_users: args.assigned_users.iter().map(user).collect::<Result<_, _>>()?,
        deadline: timeout.map(|timeout| after(look.memory.started_at, timeout)),
    })
}

/// A name, or `{id, name}` with one of them at least.
fn user(value: &Value) -> Result<User, BadArguments> {
    let text = |key: &str| match &value[key] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match (value, text("id"), text("name")) {
        (Value::String(name), ..) => Ok(User { id: name.clone(), name: name.clone() }),
        (_, Some(id), Some(name)) => Ok(User { id, name }),
        (_, Some(only), None) | (_, None, Some(only)) => Ok(User { id: only.clone(), name: only }),
        _ => Err(BadArguments(format!("`assigned_users`: {value} names no user; give a name or `{{id, name}}`"))),
    }
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    #[error("User={name} (id={id}) is not a respondent for the task.")]
    NotAssigned { id: String, name: String },
    #[error("{0}")]
    Invalid(String),
}

/// Whether an answer fits its question; the fields' schemas are the caller's.
pub fn check(
    question: &Question,
    chosen: &[String],
    params_input: &Map<String, Value>,
    by: &User,
) -> Result<(), BadAnswer> {
    let User { id, name } = by;
    if !question.assigned_users.is_empty()
        && !question.assigned_users.iter().any(|user| user.id == *id || user.name == *name)
    {
        return Err(BadAnswer::NotAssigned { id: id.clone(), name: name.clone() });
    }
    let invalid = |text: String| Err(BadAnswer::Invalid(text));
    if let Some(odd) = chosen.iter().find(|option| !question.options.contains(option)) {
        return invalid(format!("`{odd}` is not among the options: {}", question.options.join(", ")));
    }
    if !question.multiple && chosen.len() != 1 {
        return invalid(format!("one option must be chosen, not {}", chosen.len()));
    }
    match params_input.keys().find(|name| !question.params.contains_key(*name)) {
        Some(odd) => {
            invalid(format!("`{odd}` is none of the fields: {:?}", question.params.keys().collect::<Vec<_>>()))
        }
        None => Ok(()),
    }
}

/// What stands in the fields at first, with what was put in over it.
pub fn inputs(question: &Question, params_input: &Map<String, Value>) -> Map<String, Value> {
    let first = |(name, param): (&String, &Value)| (name.clone(), param.get("value").cloned().unwrap_or(Value::Null));
    let mut inputs: Map<String, Value> = question.params.iter().map(first).collect();
    inputs.extend(params_input.iter().map(|(name, value)| (name.clone(), value.clone())));
    inputs
}

/// The answer that counts when nobody gave one in time; `None`: the time is not over, or there are no defaults.
pub fn default_answer(question: &Question, now: DateTime<Utc>) -> Option<Answer> {
    question.deadline.filter(|deadline| *deadline <= now)?;
    let chosen_options = question.defaults.clone()?;
    Some(Answer { chosen_options, params_input: inputs(question, &Map::new()), by: None, at: now })
}

/// What becomes of a question that has this answer, or none yet.
pub fn next(look: &Look<'_>, question: &Question, answer: Option<&Answer>) -> Result<Next, BadArguments> {
    if let Some(answer) = answer {
        return Ok(Next::End(answered(look, answer)?));
    }
    if question.deadline.is_some_and(|deadline| deadline <= look.now) {
        let reason = "nobody answered in time, and there are no defaults";
        return Ok(Next::End(End::failed(FailureClass::ResponseTimeout, reason)));
    }
    let waiting_for = WaitingFor::Person { subject: question.subject.clone(), deadline: question.deadline };
    Ok(Next::AwaitInput { waiting_for, until: question.deadline })
}

/// The end of a task that was answered. The answer is always its result, also when it skips what is downstream (Airflow drops it
/// then): who said no must not be lost.
fn answered(look: &Look<'_>, answer: &Answer) -> Result<End, BadArguments> {
    let args: HitlArgs = look.arguments()?;
    let result = json!({
        "chosen_options": answer.chosen_options,
        "params_input": answer.params_input,
        "responded_at": answer.at,
        "responded_by_user": answer.by,
    });
    let end = match HitlKind::of_class(&look.task.operator_class) {
        HitlKind::Approval if !answer.chosen_options.iter().any(|option| option == APPROVE) => {
            if args.fail_on_reject {
                let by = answer.by.as_ref().map_or("the default".to_owned(), |user| user.name.clone());
                End::failed(FailureClass::Rejected, format!("rejected by {by}"))
            } else {
                End::success().deciding(Decision::Stop)
            }
        }
        HitlKind::Branch => {
            let follows = |option: &String| args.options_mapping.get(option).unwrap_or(option).clone();
            let mut end = follow(look, answer.chosen_options.iter().map(follows).collect());
            end.xcoms.clear();
            end
        }
        HitlKind::Approval | HitlKind::Options | HitlKind::Entry => End::success(),
    };
    Ok(end.with(RETURN_VALUE, result))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        dag::Task,
        operator::OperatorKind,
        spec::Outcome,
        triggerer::testing::{Scene, at},
    };

    fn scene(class: &str) -> Scene {
        let mut scene = Scene::new(OperatorKind::Hitl);
        scene.task.operator_class = format!("airflow.providers.standard.operators.hitl.{class}");
        let mut after = Task::new("ship", OperatorKind::Empty, "x.EmptyOperator");
        after.upstream = vec!["t".into()];
        scene.dag.tasks = vec![scene.task.clone(), after];
        scene
    }

    fn args(more: Value) -> Value {
        let mut all = json!({"subject": "Go on?", "options": ["Approve", "Reject"]});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    }

    fn asked(more: Value) -> Result<Question, BadArguments> {
        scene("ApprovalOperator").look_with(args(more), question)
    }

    fn alice() -> User {
        User { id: "alice".into(), name: "alice".into() }
    }

    fn ended(scene: &Scene, more: Value, chosen: &[&str]) -> End {
        let answer = Answer {
            chosen_options: chosen.iter().map(ToString::to_string).collect(),
            params_input: Map::new(),
            by: Some(alice()),
            at: at("2026-01-02T13:00:00Z"),
        };
        scene.look_with(args(more), |look| answered(look, &answer).unwrap())
    }

    #[test]
    fn questions_that_contradict_themselves_are_refused() {
        assert!(asked(json!({"options": []})).is_err());
        assert!(asked(json!({"defaults": "Perhaps"})).is_err());
        assert!(asked(json!({"defaults": ["Approve", "Reject"]})).is_err());
        assert!(asked(json!({"defaults": ["Approve", "Reject"], "multiple": true})).is_ok());
        assert!(asked(json!({"assigned_users": [3]})).is_err());
    }

    #[test]
    fn the_deadline_is_the_response_timeout_or_the_execution_timeout() {
        assert_eq!(asked(json!({})).unwrap().deadline, None);
        assert_eq!(asked(json!({"response_timeout": "1h"})).unwrap().deadline, Some(at("2026-01-02T13:00:00Z")));
        let mut scene = scene("ApprovalOperator");
        scene.task.execution_timeout = Some(Duration::from_secs(60));
        let deadline = scene.look_with(args(json!({})), |look| question(look).unwrap().deadline);
        assert_eq!(deadline, Some(at("2026-01-02T12:01:00Z")));
    }

    #[test]
    fn an_answer_must_come_from_a_respondent_and_fit_the_options_and_fields() {
        let one = asked(json!({"assigned_users": ["bob", {"id": "7", "name": "alice"}]})).unwrap();
        let choose = |question: &Question, chosen: &[&str], input: Value| {
            let chosen: Vec<String> = chosen.iter().map(ToString::to_string).collect();
            check(question, &chosen, input.as_object().unwrap(), &alice())
        };
        assert_eq!(choose(&one, &["Approve"], json!({})), Ok(()));
        assert!(matches!(choose(&one, &["Perhaps"], json!({})), Err(BadAnswer::Invalid(_))));
        assert!(matches!(choose(&one, &["Approve", "Reject"], json!({})), Err(BadAnswer::Invalid(_))));
        assert!(matches!(choose(&one, &["Approve"], json!({"x": 1})), Err(BadAnswer::Invalid(_))));
        let others = asked(json!({"assigned_users": ["bob"]})).unwrap();
        assert!(matches!(choose(&others, &["Approve"], json!({})), Err(BadAnswer::NotAssigned { .. })));
        let many = asked(json!({"multiple": true, "params": {"x": {"value": 1, "schema": {}}}})).unwrap();
        assert_eq!(choose(&many, &["Approve", "Reject"], json!({"x": 2})), Ok(()));
    }

    #[test]
    fn without_an_answer_the_defaults_count_at_the_deadline_or_the_task_fails() {
        let mut scene = scene("ApprovalOperator");
        let more = json!({"response_timeout": 60, "params": {"x": {"value": 1, "schema": {}}}, "defaults": "Reject"});
        let question = scene.look_with(args(more), |look| question(look).unwrap());
        assert_eq!(default_answer(&question, scene.now), None);
        match scene.look_with(args(json!({})), |look| next(look, &question, None).unwrap()) {
            Next::AwaitInput { until, .. } => assert_eq!(until, question.deadline),
            other => panic!("{other:?}"),
        }
        scene.now = at("2026-01-02T12:01:00Z");
        let answer = default_answer(&question, scene.now).unwrap();
        assert_eq!(answer.chosen_options, ["Reject"]);
        assert_eq!(Value::Object(answer.params_input), json!({"x": 1}));
        let without = Question { defaults: None, ..question };
        assert_eq!(default_answer(&without, scene.now), None);
        match scene.look_with(args(json!({})), |look| next(look, &without, None).unwrap()) {
            Next::End(end) => assert_eq!(end.failure.unwrap().class, FailureClass::ResponseTimeout),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_rejection_stops_what_is_downstream_or_fails_and_is_the_result_either_way() {
        let scene = scene("ApprovalOperator");
        let approved = ended(&scene, json!({}), &["Approve"]);
        assert_eq!((approved.outcome, &approved.decision), (Outcome::Success, &None));
        assert_eq!(approved.xcoms[0].1["chosen_options"], json!(["Approve"]));
        assert_eq!(approved.xcoms[0].1["responded_by_user"]["name"], "alice");
        let rejected = ended(&scene, json!({}), &["Reject"]);
        assert_eq!((rejected.outcome, rejected.decision), (Outcome::Success, Some(Decision::Stop)));
        assert_eq!(rejected.xcoms.len(), 1);
        let failed = ended(&scene, json!({"fail_on_reject": true}), &["Reject"]);
        assert_eq!(failed.failure.unwrap().class, FailureClass::Rejected);
    }

    #[test]
    fn a_branch_follows_what_the_chosen_options_map_to() {
        let scene = scene("HITLBranchOperator");
        let more = json!({"options": ["Yes", "ship"], "options_mapping": {"Yes": "ship"}});
        for chosen in ["Yes", "ship"] {
            let end = ended(&scene, more.clone(), &[chosen]);
            assert_eq!(end.decision, Some(Decision::Follow(vec!["ship".into()])), "{chosen}");
            assert_eq!(end.xcoms[0].1["chosen_options"], json!([chosen]));
        }
        assert_eq!(ended(&self::scene("HITLOperator"), more, &["Yes"]).decision, None);
    }
}
