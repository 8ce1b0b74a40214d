//! Retry policies (semantics §4): the code's own delay and its own refusal, once.

use std::time::Duration;

use super::{super::*, Sim, finished, start, task};
use crate::{
    dag::Task,
    spec::Outcome,
    state::{DagRunState, TaskInstanceState as S},
};

fn sim(retries: u32) -> Sim {
    let a = Task {
        retries,
        retry_delay: Duration::from_secs(300),
        retry_exponential_backoff: 2.0,
        max_retry_delay: Some(Duration::from_secs(400)),
        ..task("a", &[])
    };
    let mut sim = Sim::new(vec![a]);
    sim.begin();
    sim
}

fn fail(sim: &mut Sim, retry_delay: Option<Duration>, no_retry: bool) {
    let mut change = sim.change("a", finished(Outcome::Failed, sim.now));
    if let Event::Finished(finished) = &mut change.event {
        finished.retry_delay = retry_delay;
        finished.no_retry = no_retry;
    }
    sim.step(Scope::Changed, &[change]);
}

#[test]
fn a_policys_delay_takes_the_place_of_the_whole_formula_once() {
    let mut sim = sim(3);
    // Longer than `max_retry_delay`, which belongs to the formula.
    fail(&mut sim, Some(Duration::from_secs(1000)), false);
    assert_eq!((sim.state_of("a"), sim.last.wake_at), (S::UpForRetry, Some(start() + Duration::from_secs(1000))));
    sim.wait(999);
    assert_eq!(sim.state_of("a"), S::UpForRetry);
    sim.wait(1);
    assert_eq!(
        (sim.state_of("a"), sim.ti("a").next_retry_at),
        (S::Scheduled, None),
        "cleared when the next try begins"
    );
    fail(&mut sim, None, false);
    let expected = retry::delay("d", &sim.state.dag.tasks[0], None, 2);
    assert_eq!(sim.last.wake_at, Some(sim.now + expected), "the formula again");
}

#[test]
fn a_policys_zero_begins_the_next_try_with_the_next_plan() {
    let mut sim = sim(1);
    fail(&mut sim, Some(Duration::ZERO), false);
    assert_eq!((sim.state_of("a"), sim.last.wake_at), (S::UpForRetry, Some(sim.now)));
    sim.wait(0);
    assert_eq!((sim.state_of("a"), sim.ti("a").try_number), (S::Scheduled, 2));
}

#[test]
fn a_policy_can_only_fail_earlier_and_never_extend() {
    for (retries, no_retry) in [(3, true), (0, false)] {
        let mut sim = sim(retries);
        fail(&mut sim, Some(Duration::from_secs(10)), no_retry);
        assert_eq!((sim.state_of("a"), sim.ti("a").next_retry_at), (S::Failed, None), "{retries} retries");
        assert_eq!(sim.run_state(), DagRunState::Failed);
    }
}
