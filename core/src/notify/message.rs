//! The message of a notice: its texts are templates, rendered as the task's own fields are.

use std::fmt::Write;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::Facts;
use crate::{
    dag::CallbackAction,
    spec::TaskSpec,
    state::TaskInstanceState,
    template::{Ref, RenderError, Resolved, render_text},
};

/// What is sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    Email(Email),
    Http(Http),
    Slack(Slack),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// One address each.
    pub to: Vec<String>,
    /// `None`: the server's, or the connection's.
    pub from: Option<String>,
    pub conn_id: Option<String>,
    /// One line.
    pub subject: String,
    pub html: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    pub url: String,
    pub method: String,
    pub headers: IndexMap<String, String>,
    /// `None`: no body.
    pub json: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slack {
    pub conn_id: String,
    pub channel: Option<String>,
    pub text: String,
}

/// Renders an action with the context of `spec`, whose `callback` holds the facts. `None` for what is not a message but runs on
/// a node ([`CallbackAction::Python`]).
///
/// # Errors
/// [`RenderError::Missing`] names everything that all texts still lack, so that one question fetches it.
pub fn render(
    action: &CallbackAction,
    facts: &Facts,
    spec: &TaskSpec,
    resolved: &Resolved,
) -> Result<Option<Message>, RenderError> {
    let mut texts = Texts { spec, resolved, missing: Vec::new() };
    let question = texts.question(facts)?;
    let message = match action {
        CallbackAction::Email { to, subject, body, from, conn_id } => {
            let mut addresses = Vec::new();
            for (index, to) in to.iter().enumerate() {
                let rendered = texts.render(&format!("to[{index}]"), to)?;
                let parts = rendered.split([',', ';']).map(str::trim).filter(|address| !address.is_empty());
                addresses.extend(parts.map(str::to_owned));
            }
            let subject = match subject {
                Some(subject) => texts.render("subject", subject)?,
                None => default_subject(facts, spec),
            };
            let html = match body {
                Some(body) => texts.render("body", body)?,
                None => default_body(facts, spec, question.as_deref()),
            };
            let from = from.as_ref().map(|from| texts.render("from", from)).transpose()?;
            // A line break would end the header and begin another.
            let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
            Message::Email(Email { to: addresses, from, conn_id: conn_id.clone(), subject, html })
        }
        CallbackAction::Http { url, method, json, headers } => {
            let mut rendered = IndexMap::with_capacity(headers.len());
            for (name, value) in headers {
                rendered.insert(name.clone(), texts.render(&format!("headers.{name}"), value)?);
            }
            let json = match json {
                Value::Null if method.eq_ignore_ascii_case("get") => None,
                Value::Null => Some(default_json(facts, spec, question)),
                json => Some(texts.value("json", json)?),
            };
            Message::Http(Http {
                url: texts.render("url", url)?.trim().to_owned(),
                method: method.to_uppercase(),
                headers: rendered,
                json,
            })
        }
        CallbackAction::Slack { conn_id, channel, text } => Message::Slack(Slack {
            conn_id: conn_id.clone(),
            channel: channel.as_ref().map(|channel| texts.render("channel", channel)).transpose()?,
            text: texts.render("text", text)?,
        }),
        CallbackAction::Python { .. } => return Ok(None),
    };
    if texts.missing.is_empty() { Ok(Some(message)) } else { Err(RenderError::Missing(texts.missing)) }
}

/// Renders text after text and collects what is missing.
struct Texts<'a> {
    spec: &'a TaskSpec,
    resolved: &'a Resolved,
    missing: Vec<Ref>,
}

impl Texts<'_> {
    /// What the task asks people, when that is what the notice tells of.
    fn question(&mut self, facts: &Facts) -> Result<Option<String>, RenderError> {
        let asks = asks(facts).then(|| self.spec.args.get("subject").and_then(Value::as_str)).flatten();
        asks.map(|subject| self.render("subject", subject)).transpose()
    }

    fn render(&mut self, field: &str, text: &str) -> Result<String, RenderError> {
        match render_text(text, field, self.spec, self.resolved) {
            Err(RenderError::Missing(missing)) => {
                self.missing.extend(missing.into_iter().filter(|reference| !self.resolved.contains(reference)));
                Ok(String::new())
            }
            other => other,
        }
    }

    fn value(&mut self, field: &str, value: &Value) -> Result<Value, RenderError> {
        Ok(match value {
            Value::String(text) => Value::String(self.render(field, text)?),
            Value::Array(items) => {
                let mut rendered = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    rendered.push(self.value(&format!("{field}[{index}]"), item)?);
                }
                Value::Array(rendered)
            }
            Value::Object(fields) => {
                let mut rendered = Map::with_capacity(fields.len());
                for (name, item) in fields {
                    rendered.insert(name.clone(), self.value(&format!("{field}.{name}"), item)?);
                }
                Value::Object(rendered)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        })
    }
}

/// `Updraft alert: etl.load failed (manual__…, try 3 of 3)`.
fn default_subject(facts: &Facts, spec: &TaskSpec) -> String {
    format!("Updraft alert: {}", headline(facts, spec))
}

fn headline(facts: &Facts, spec: &TaskSpec) -> String {
    let (dag_id, run_id) = (&spec.run.dag_id, &spec.run.run_id);
    let word = word(facts);
    match &facts.ti {
        Some(ti) if !facts.of_run => {
            let mapped = if ti.map_index >= 0 { format!("[{}]", ti.map_index) } else { String::new() };
            let tries = (ti.max_tries + 1).max(ti.try_number);
            format!("{dag_id}.{}{mapped} {word} ({run_id}, try {} of {tries})", ti.task_id, ti.try_number)
        }
        _ => format!("{dag_id} {word} ({run_id})"),
    }
}

fn word(facts: &Facts) -> &'static str {
    use super::Cause;
    match facts.cause {
        Cause::Execute if asks(facts) => "waits for an answer",
        Cause::Execute => "started",
        Cause::Success => "succeeded",
        Cause::Failure => "failed",
        Cause::Retry => "failed and will be retried",
        Cause::Skipped => "was skipped",
        Cause::Deadline => "missed its deadline",
    }
}

/// Whether the instance began to wait for a person.
fn asks(facts: &Facts) -> bool {
    let is_waiting = |ti: &super::TiFacts| ti.state == TaskInstanceState::AwaitingInput;
    facts.cause == super::Cause::Execute && facts.ti.as_ref().is_some_and(is_waiting)
}

/// What Airflow's email alert says: the try, the error, the log, the host.
fn default_body(facts: &Facts, spec: &TaskSpec, question: Option<&str>) -> String {
    let mut html = format!("<p><strong>{}</strong></p>\n<table>\n", escape(&headline(facts, spec)));
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(html, "<tr><th align=\"left\">{name}</th><td>{value}</td></tr>");
    };
    let run = &spec.run;
    if let Some(logical_date) = run.logical_date {
        row("Logical date", &logical_date.format("%Y-%m-%d %H:%M:%S UTC").to_string());
    }
    if let Some(ti) = &facts.ti {
        row("Task", &escape(ti.task_id.as_str()));
        row("Try", &format!("{} of {}", ti.try_number, (ti.max_tries + 1).max(ti.try_number)));
        if let (Some(start), Some(end)) = (ti.start_date, ti.end_date) {
            row("Ran for", &format!("{:.1} s", (end - start).as_seconds_f64().max(0.0)));
        }
        if !ti.hostname.is_empty() {
            row("Host", &escape(&ti.hostname));
        }
    }
    if let Some(question) = question {
        row("Question", &escape(question));
    }
    if let Some(reason) = facts.reason() {
        row("Reason", &format!("<pre>{}</pre>", escape(&reason)));
    }
    if let Some(url) = &facts.log_url {
        row("Log", &format!("<a href=\"{0}\">{0}</a>", escape(url)));
    }
    html.push_str("</table>\n");
    html
}

/// The body of a call that names none: the facts, in Airflow's words.
fn default_json(facts: &Facts, spec: &TaskSpec, question: Option<String>) -> Value {
    let ti = facts.ti.as_ref();
    let mut json = serde_json::json!({
        "event": facts.cause.as_str(),
        "text": headline(facts, spec),
        "dag_id": spec.run.dag_id,
        "dag_run_id": spec.run.run_id,
        "logical_date": spec.run.logical_date,
        "dag_run_state": facts.run.state,
        "task_id": ti.map(|ti| &ti.task_id),
        "map_index": ti.map(|ti| ti.map_index),
        "try_number": ti.map(|ti| ti.try_number),
        "state": ti.map(|ti| ti.state),
        "reason": facts.reason(),
        "log_url": facts.log_url,
    });
    if let Some(question) = question {
        json["question"] = Value::String(question);
    }
    json
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::{
        dag::{Dag, Task},
        ids::{AttemptId, MapIndex},
        notify::{Cause, RunFacts, TiFacts},
        operator::OperatorKind,
        plan::testing::start,
        spec::{CodeRef, Failure, FailureClass, Launch, RunContext},
        state::{DagRunState, DagRunType, TaskInstanceState},
    };

    fn facts(of_run: bool) -> Facts {
        let ti = TiFacts {
            task_id: "load".into(),
            map_index: 2,
            attempt_id: AttemptId(Uuid::nil()),
            try_number: 2,
            max_tries: 2,
            state: TaskInstanceState::Failed,
            start_date: Some(start()),
            end_date: Some(start() + Duration::from_millis(2500)),
            hostname: "n1".into(),
            exit_code: Some(3),
            failure: Some(Failure { class: FailureClass::ExitCode, reason: "exit code 3: a < b".into() }),
        };
        let run = RunFacts { state: DagRunState::Failed, start_date: Some(start()), end_date: None };
        let log_url = Some("https://up/logs/2?a=1&b=2".to_owned());
        Facts { cause: Cause::Failure, of_run, ti: Some(ti), run, deadline: None, log_url }
    }

    fn spec(facts: &Facts) -> TaskSpec {
        let run = RunContext {
            logical_date: Some(start()),
            ..RunContext::of_dag(&Dag::new("etl"), "r1".into(), DagRunType::Manual, start(), json!({"who": "me"}))
        };
        let launch = Launch { attempt_id: AttemptId(Uuid::nil()), map_index: MapIndex(2), try_number: 2, max_tries: 2 };
        let task = Task::new("load", OperatorKind::Bash, "BashOperator");
        let mut spec = TaskSpec::new(launch, &Dag::new("etl"), &task, &Arc::new(run), CodeRef::default());
        spec.callback = Some(Box::new(facts.clone()));
        spec
    }

    fn rendered(action: &CallbackAction, of_run: bool) -> Result<Message, RenderError> {
        let facts = facts(of_run);
        let spec = spec(&facts);
        render(action, &facts, &spec, &Resolved::default()).map(|message| message.expect("a message"))
    }

    fn email(to: &[&str], subject: Option<&str>, body: Option<&str>) -> CallbackAction {
        CallbackAction::Email {
            to: to.iter().map(|&to| to.to_owned()).collect(),
            subject: subject.map(str::to_owned),
            body: body.map(str::to_owned),
            from: None,
            conn_id: None,
        }
    }

    #[test]
    fn texts_see_the_instance_as_it_ended() {
        let text = "{{ ti.task_id }}[{{ ti.map_index }}] {{ ti.state }} after {{ ti.duration }} s, exit {{ ti.exit_code }}, \
                    {{ exception }}, {{ dag_run.state }}, {{ ds }}, {{ ti.log_url }}, {{ dag_run.conf.who }}";
        let action = email(
            &["a@b.org; {{ dag_run.conf.who }}@c.org,", "d@e.org"],
            Some("{{ event }}:\n{{ run_id }}"),
            Some(text),
        );
        let Ok(Message::Email(email)) = rendered(&action, false) else { panic!("an email") };
        assert_eq!(email.to, ["a@b.org", "me@c.org", "d@e.org"]);
        assert_eq!(email.subject, "failure: r1");
        assert_eq!(
            email.html,
            "load[2] failed after 2.5 s, exit 3, exit code 3: a < b, failed, 2026-01-15, https://up/logs/2?a=1&b=2, me"
        );
    }

    #[test]
    fn an_alert_without_texts_says_what_happened_and_where_to_look() {
        let Ok(Message::Email(of_task)) = rendered(&email(&["a@b.org"], None, None), false) else { panic!("an email") };
        assert_eq!(of_task.subject, "Updraft alert: etl.load[2] failed (r1, try 2 of 3)");
        assert!(of_task.html.contains("<pre>exit code 3: a &lt; b</pre>"), "{}", of_task.html);
        assert!(of_task.html.contains("<a href=\"https://up/logs/2?a=1&amp;b=2\">"), "{}", of_task.html);
        let Ok(Message::Email(of_run)) = rendered(&email(&["a@b.org"], None, None), true) else { panic!("an email") };
        assert_eq!(of_run.subject, "Updraft alert: etl failed (r1)");
    }

    #[test]
    fn a_call_renders_every_text_of_its_json_and_none_means_the_facts() {
        let call = |method: &str, json: Value| CallbackAction::Http {
            url: " https://x.org/{{ run_id }} ".to_owned(),
            method: method.to_owned(),
            json,
            headers: [("x-try".to_owned(), "{{ ti.try_number }}".to_owned())].into_iter().collect(),
        };
        let Ok(Message::Http(http)) =
            rendered(&call("post", json!({"a": ["{{ ds }}", 1], "b": {"c": "{{ reason }}"}})), false)
        else {
            panic!("a call")
        };
        assert_eq!((http.url.as_str(), http.method.as_str()), ("https://x.org/r1", "POST"));
        assert_eq!(http.json, Some(json!({"a": ["2026-01-15", 1], "b": {"c": "exit code 3: a < b"}})));
        assert_eq!(http.headers["x-try"], "2");
        let Ok(Message::Http(facts)) = rendered(&call("POST", Value::Null), false) else { panic!("a call") };
        assert_eq!(facts.json.expect("a body")["dag_run_state"], "failed");
        let Ok(Message::Http(get)) = rendered(&call("GET", Value::Null), false) else { panic!("a call") };
        assert_eq!(get.json, None);
    }

    #[test]
    fn what_all_texts_lack_is_asked_for_at_once_and_a_wrong_name_fails_with_its_place() {
        let action = CallbackAction::Slack {
            conn_id: "s".to_owned(),
            channel: Some("{{ var.value.room }}".to_owned()),
            text: "{{ ti.xcom_pull(task_ids='a') }} {{ conn.db.host }}".to_owned(),
        };
        let Err(RenderError::Missing(missing)) = rendered(&action, false) else { panic!("something is missing") };
        assert_eq!(missing.len(), 3, "{missing:?}");
        let action =
            CallbackAction::Slack { conn_id: "s".to_owned(), channel: None, text: "{{ nonsense }}".to_owned() };
        let Err(RenderError::Failed(wrong)) = rendered(&action, false) else { panic!("it fails") };
        assert_eq!((wrong.field.as_str(), wrong.name.as_deref()), ("text", Some("nonsense")));
    }

    #[test]
    fn what_is_wrong_with_a_text_is_said_without_secrets() {
        let facts = facts(false);
        let text = "{{ macros.datetime.fromisoformat(var.value.api_token) }}".to_owned();
        let action = CallbackAction::Slack { conn_id: "s".to_owned(), channel: None, text };
        let token = Ref::Variable { key: "api_token".to_owned() };
        let resolved: Resolved = [(token, Some(json!("s3cr3t-value")))].into_iter().collect();
        let Err(RenderError::Failed(wrong)) = render(&action, &facts, &spec(&facts), &resolved) else {
            panic!("it fails")
        };
        assert_eq!(wrong.message, "`***` is not an ISO 8601 datetime");
    }
}
