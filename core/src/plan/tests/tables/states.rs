//! §1 and §1.1: the states, their sets, and every transition, the refused ones too.

use super::{S, cells};
use crate::state::TiEvent as E;

#[test]
fn section_1_every_state_is_in_its_sets() {
    //                finished  success-like  failure-like  attempt
    let table = "
        none             .           .             .           .
        scheduled        .           .             .           x
        queued           .           .             .           x
        running          .           .             .           x
        restarting       .           .             .           .
        up_for_retry     .           .             .           .
        up_for_reschedule .          .             .           .
        deferred         .           .             .           x
        awaiting_input   .           .             .           x
        success          x           x             .           .
        skipped          x           x             .           .
        failed           x           .             x           .
        upstream_failed  x           .             x           .
        removed          x           .             .           .
    ";
    let mut rows = 0;
    for (name, expected) in cells(table) {
        let state: S = name.parse().expect("a state");
        let sets = [state.is_finished(), state.is_success_like(), state.is_failure_like(), state.has_attempt()];
        assert_eq!(sets.map(|holds| if holds { "x" } else { "." }).to_vec(), expected, "{name}");
        assert_eq!(state.api(), (state != S::None).then_some(name), "null in the API");
        rows += 1;
    }
    assert_eq!(rows, S::ALL.len());
}

/// Rows are what happens, columns the state before; `.`: a bug that must not be written. The page's rows by "Who / when" are: met
/// dependencies (Ready), the critical section (Placed), the worker's words (Started … FailedFinally), the rules (Skip,
/// UpstreamFailed, TaskRemoved), the executor's (Unplaced, StopConfirmed), users' (Cleared, ClearedWhileRunning, marks).
#[test]
fn section_1_1_every_transition_is_allowed_or_refused() {
    let table = "
        event               none sched queued running restart retry resched deferred input success skipped failed upfailed removed
        Ready               sched .    .      .       .       sched sched   .        .     .       .       .      .        .
        Placed              .    queued .     .       .       .     .       .        .     .       .       .      .        .
        Started             .    running running running .    .     .       running  .     .       .       .      .        .
        Succeeded           success success success success success success success success success success success success success success
        Skip                skipped skipped skipped skipped skipped skipped skipped skipped skipped skipped skipped skipped skipped skipped
        Deferred            .    deferred deferred deferred . .     .       deferred .     .       .       .      .        .
        AwaitsInput         .    input input  input   .       .     .       input    input .       .       .      .        .
        Rescheduled         .    resched resched resched .    .     .       resched  .     .       .       .      .        .
        FailedWithRetry     .    retry retry  retry   .       .     .       retry    retry .       .       .      .        .
        FailedFinally       failed failed failed failed failed failed failed failed failed failed failed failed failed failed
        UpstreamFailed      upfailed . .      .       .       upfailed upfailed .    .     .       .       .      .        .
        Unplaced            .    sched sched  .       .       .     .       .        .     .       .       .      .        .
        ClearedWhileRunning .    restart restart restart restart .  .       restart  restart .     .       .      .        .
        Cleared             none none  none   none    none    none  none    none     none  none    none    none   none     none
        StopConfirmed       .    .     .      .       none    .     .       .        .     .       .       .      .        .
        TaskRemoved         removed removed removed removed removed removed removed removed removed removed removed removed removed .
        TaskRestored        .    .     .      .       .       .     .       .        .     .       .       .      .        none
    ";
    let events = [
        E::Ready,
        E::Placed,
        E::Started,
        E::Succeeded,
        E::Skip,
        E::Deferred,
        E::AwaitsInput,
        E::Rescheduled,
        E::FailedWithRetry,
        E::FailedFinally,
        E::UpstreamFailed,
        E::Unplaced,
        E::ClearedWhileRunning,
        E::Cleared,
        E::StopConfirmed,
        E::TaskRemoved,
        E::TaskRestored,
    ];
    let mut rows = cells(table);
    let (_, columns) = rows.next().expect("a header");
    assert_eq!(columns.len(), S::ALL.len());
    let state = |word: &str| S::ALL[columns.iter().position(|column| *column == word).expect("a column")];
    for event in events {
        let (name, row) = rows.next().expect("a row for each event");
        assert_eq!(name, format!("{event:?}"));
        assert_eq!(row.len(), S::ALL.len(), "{name}");
        for (&from, &to) in S::ALL.iter().zip(&row) {
            assert_eq!(from.next(event).ok(), (to != ".").then(|| state(to)), "{from} and {name}");
        }
    }
    assert!(rows.next().is_none());
}
