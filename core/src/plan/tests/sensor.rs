//! Sensors, deferral and `when` (semantics §12.4, §12.5; yaml-dags §10.7).

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};

use super::{super::*, Sim, start, task};
use crate::{
    dag::{Dag, MapInput, Mapping, MappingKind, Sensor, Task},
    spec::{Outcome, RunContext},
    state::{DagRunType, TaskInstanceState as S},
    template::Ref,
};

fn sensor(edit: impl FnOnce(&mut Sensor)) -> Sim {
    let mut sensor = Sensor { timeout: Duration::from_secs(150), ..Sensor::default() };
    edit(&mut sensor);
    let mut sim = Sim::new(vec![Task { sensor: Some(sensor), retries: 2, ..task("wait", &[]) }]);
    sim.begin();
    sim
}

#[test]
fn a_rescheduled_sensor_is_asked_again_in_the_same_try() {
    let mut sim = sensor(|_| {});
    let first = sim.attempt("wait");
    let wake_at = sim.end("wait", Outcome::Rescheduled).wake_at;
    assert_eq!((sim.state_of("wait"), wake_at), (S::UpForReschedule, Some(start() + Duration::from_secs(60))));
    sim.wait(60);
    assert_eq!((sim.state_of("wait"), sim.ti("wait").try_number), (S::Scheduled, 1));
    assert_ne!(sim.attempt("wait"), first);
    assert!(sim.last.archive.is_empty() && sim.last.forget_xcoms.is_empty());
    assert_eq!(sim.ti("wait").start_date, Some(start()), "the try began with its first start");
}

#[test]
fn a_sensor_that_waited_too_long_fails_without_a_retry_or_is_skipped() {
    for (soft_fail, expected) in [(false, S::Failed), (true, S::Skipped)] {
        let mut sim = sensor(|sensor| sensor.soft_fail = soft_fail);
        for _ in 0..3 {
            sim.end("wait", Outcome::Rescheduled);
            sim.wait(60);
        }
        sim.end("wait", Outcome::Rescheduled);
        assert_eq!(sim.state_of("wait"), expected);
    }
}

#[test]
fn a_deferred_task_keeps_its_attempt_and_resumes() {
    let mut sim = Sim::new(vec![task("a", &[])]);
    sim.begin();
    let attempt = sim.attempt("a");
    let change = sim.change("a", Event::Deferred);
    sim.step(Scope::Changed, &[change]);
    assert_eq!((sim.state_of("a"), sim.attempt("a")), (S::Deferred, attempt));
    let change = sim.change("a", Event::AwaitingInput);
    sim.step(Scope::Changed, &[change]);
    assert_eq!(sim.state_of("a"), S::AwaitingInput);
    sim.succeed("a");
    assert_eq!(sim.state_of("a"), S::Success);
}

/// What templates may name, with one parameter that is 0 and one as given.
pub(super) fn context(items: &Value) -> Arc<RunContext> {
    Arc::new(RunContext {
        logical_date: Some(start()),
        start_date: Some(start()),
        params: Map::from_iter([("go".to_owned(), json!(0)), ("items".to_owned(), items.clone())]),
        ..RunContext::of_dag(&Dag::new("d"), "r".into(), DagRunType::Manual, start(), json!({}))
    })
}

#[test]
fn when_skips_the_task_before_it_is_scheduled() {
    for (when, expected) in [
        ("{{ params.go }}", S::Skipped),
        ("{{ params.go == 0 }}", S::Scheduled),
        ("no", S::Skipped),
        ("{{ nothing.like.this }}", S::Failed),
    ] {
        let mut sim = Sim::new(vec![Task { when: Some(when.into()), ..task("a", &[]) }]);
        assert_eq!(sim.begin().needs, Needs::from([Need::Context]));
        sim.facts.context = Some(context(&json!([])));
        sim.begin();
        assert_eq!(sim.state_of("a"), expected, "{when}");
    }
}

#[test]
fn when_asks_for_the_results_it_names() {
    let when = "{{ ti.xcom_pull(task_ids='a') == 'yes' }}";
    let mut sim = Sim::new(vec![task("a", &[]), Task { when: Some(when.into()), ..task("b", &["a"]) }]);
    sim.facts.context = Some(context(&json!([])));
    sim.begin();
    let needs = sim.succeed("a").needs.clone();
    let Some(Need::Value(reference)) = needs.first() else { panic!("{needs:?}") };
    sim.facts.values.insert(reference.clone(), Some(json!(["yes"])));
    sim.begin();
    assert_eq!(sim.state_of("b"), S::Scheduled);
}

#[test]
fn why_a_when_or_a_foreach_does_not_render_is_kept_without_secrets() {
    let text = "{{ macros.datetime.fromisoformat(var.value.api_token) }}";
    let over = |text: &str| {
        let inputs = [("item".to_owned(), MapInput::Template(text.to_owned()))].into_iter().collect();
        Some(Mapping { kind: MappingKind::Foreach, inputs })
    };
    for task in [
        Task { when: Some(text.into()), ..task("a", &[]) },
        Task { mapping: over(text), ..task("a", &[]) },
        Task { mapping: over("{{ [var.value.api_token] | first }}"), ..task("a", &[]) },
    ] {
        let mut sim = Sim::new(vec![task]);
        sim.facts.context = Some(context(&Value::Null));
        let token = Ref::Variable { key: "api_token".to_owned() };
        sim.facts.values.insert(token, Some(json!("s3cr3t-value")));
        sim.begin();
        let ti = sim.state.ti(Key::unmapped(0)).expect("the instance");
        let failure = ti.failure.as_ref().expect("it fails");
        assert!(!failure.reason.contains("s3cr3t"), "{}", failure.reason);
    }
}
