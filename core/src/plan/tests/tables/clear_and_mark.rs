//! §11: clearing and marking, by what is selected and by the state it is in.

use super::*;
use crate::state::DagRunState as R;

#[test]
fn section_11_1_what_a_clear_selects() {
    let plain = "a; b < a; c < b; d";
    let torn = "s!setup; w < s; t!teardown < s w";
    let rows: [(&str, &str, Selection, &str); 11] = [
        ("all", plain, Selection::default(), "a b c d"),
        ("one", plain, named(&["b"]), "b"),
        ("with upstream", plain, Selection { include_upstream: true, ..named(&["b"]) }, "a b"),
        ("with downstream", plain, Selection { include_downstream: true, ..named(&["b"]) }, "b c"),
        ("only failed", plain, Selection { only_failed: true, ..Selection::default() }, "a c"),
        ("only running", plain, Selection { only_running: true, ..Selection::default() }, "b"),
        ("only failed of one that did not", plain, Selection { only_failed: true, ..named(&["b"]) }, ""),
        ("no such task", plain, named(&["x"]), ""),
        ("work brings setup and teardown", torn, named(&["w"]), "s w t"),
        ("a setup brings its teardown", torn, named(&["s"]), "s t"),
        ("a teardown brings nothing", torn, named(&["t"]), "t"),
    ];
    for (name, text, selection, expected) in rows {
        let mut sim = Sim::new(tasks(text));
        if text == plain {
            put(&mut sim, "a", S::Failed);
            put(&mut sim, "b", S::Running);
            put(&mut sim, "c", S::UpstreamFailed);
        }
        let found = select(&sim.state, &selection);
        let ids: Vec<&str> = found.iter().map(|key| sim.state.dag.tasks[key.task].task_id.as_str()).collect();
        assert_eq!(ids.join(" "), expected, "{name}");
    }
}

fn clear_it(sim: &mut Sim, ids: &[&str]) -> Cleared {
    let mut new = sim.ids();
    let cleared = clear(&sim.state, &named(ids), true, "ann", sim.now, &mut new);
    sim.commit(cleared.plan.clone());
    cleared
}

/// A history row, a new id, `max_tries` = `try_number` + retries; what has an attempt restarts.
#[test]
fn section_11_2_the_effect_on_an_instance_by_its_state() {
    for &state in S::ALL {
        let mut all = tasks("a");
        all[0].retries = 2;
        let mut sim = Sim::new(all);
        put(&mut sim, "a", state);
        let before = sim.ti("a").clone();
        let cleared = clear_it(&mut sim, &["a"]);
        let after = sim.ti("a");
        let restarts = state.has_attempt() || state == S::Restarting;
        assert_eq!(after.state, if restarts { S::Restarting } else { S::None }, "{state}");
        assert_ne!(after.attempt, before.attempt, "{state}: a new id");
        assert_eq!((after.try_number, after.max_tries), (before.try_number, before.try_number + 2), "{state}");
        let archived = !matches!(state, S::None | S::Restarting);
        assert_eq!(cleared.plan.archive.len(), usize::from(archived), "{state}: the try is archived once");
        assert_eq!(after.next_retry_at, None, "{state}");
    }
}

#[test]
fn section_11_3_the_effect_on_the_run_by_its_state() {
    let rows = [(R::Queued, R::Queued), (R::Running, R::Running), (R::Success, R::Queued), (R::Failed, R::Queued)];
    for (state, expected) in rows {
        let mut sim = Sim::new(tasks("a"));
        put(&mut sim, "a", S::Success);
        sim.state.run.state = state;
        sim.state.run.end_date = state.is_finished().then_some(start());
        sim.now += std::time::Duration::from_secs(9);
        let cleared = clear_it(&mut sim, &["a"]);
        let run = &sim.state.run;
        assert_eq!((run.state, run.queued_at, cleared.plan.cleared_runs), (expected, Some(sim.now), 1), "{state}");
        let start_date = (!state.is_finished()).then_some(start());
        assert_eq!((run.start_date, run.end_date), (start_date, None), "{state}");
    }
    let mut sim = Sim::new(tasks("a"));
    assert!(clear_it(&mut sim, &[]).plan.is_empty(), "nothing selected, nothing touched");
}

/// What had an attempt is stopped; what failed downstream of it is cleared, which queues the run again.
#[test]
fn section_11_4_marking_an_instance_by_its_state() {
    for to in [S::Success, S::Failed, S::Skipped] {
        for &state in S::ALL {
            let mut sim = Sim::new(tasks("a; failed < a; gone < a; done < a; t!teardown < a"));
            sim.state.run.state = R::Failed;
            for (id, state) in
                [("failed", S::Failed), ("gone", S::UpstreamFailed), ("done", S::Success), ("t", S::None)]
            {
                put(&mut sim, id, state);
            }
            put(&mut sim, "a", state);
            let mut ids = sim.ids();
            let selection = Selection { include_downstream: false, ..named(&["a"]) };
            let marked = mark_tis(&sim.state, &selection, to, "ann", sim.now, &mut ids);
            if state == to {
                assert!(marked.instances.is_empty() && marked.plan.is_empty(), "{state}: none to mark");
                continue;
            }
            assert_eq!(marked.plan.cancels.len(), usize::from(state.has_attempt()), "{state} → {to}");
            sim.commit(marked.plan);
            let expected = format!("a {to}, failed none, gone none, done success, t none");
            assert_eq!((picture(&sim), sim.run_state()), (expected, R::Queued), "{state} → {to}");
        }
    }
}

#[test]
fn section_11_5_marking_a_run_by_the_state_of_its_instances() {
    for to in [R::Success, R::Failed] {
        for &state in S::ALL {
            let mut sim = Sim::new(tasks("a"));
            put(&mut sim, "a", state);
            let mut ids = sim.ids();
            let plan = mark_run(&sim.state, to, "ann", sim.now, &mut ids);
            sim.commit(plan);
            let expected = match state {
                S::Running | S::Deferred | S::UpForReschedule | S::AwaitingInput if to == R::Success => S::Success,
                S::Running | S::Deferred | S::UpForReschedule | S::AwaitingInput => S::Failed,
                _ if state.is_finished() => state,
                _ => S::Skipped,
            };
            assert_eq!((sim.state_of("a"), sim.run_state()), (expected, to), "{state} → {to}");
        }
    }
}

#[test]
fn section_11_5_marking_a_run_by_its_state_and_its_teardowns() {
    let rows = [
        (R::Running, "a", S::Running, R::Success, R::Success),
        (R::Failed, "a", S::Failed, R::Success, R::Success),
        (R::Success, "a", S::Success, R::Queued, R::Queued),
        (R::Running, "a", S::Running, R::Queued, R::Running),
        (R::Running, "a; t!teardown < a", S::Running, R::Failed, R::Running),
    ];
    for (state, text, a, to, expected) in rows {
        let mut sim = Sim::new(tasks(text));
        put(&mut sim, "a", a);
        sim.state.run.state = state;
        let mut ids = sim.ids();
        let plan = mark_run(&sim.state, to, "ann", sim.now, &mut ids);
        sim.commit(plan);
        assert_eq!(sim.run_state(), expected, "{state} → {to}: {text}");
    }
}
