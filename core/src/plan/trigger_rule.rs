//! Trigger rules: whether a task may run, from the states of its direct upstreams (semantics §3, Airflow 3:
//! `ti_deps/deps/trigger_rule_dep.py`).

use crate::{dag::TriggerRule, state::TaskInstanceState};

/// How many direct upstream instances are in each finished state, and how many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Upstreams {
    pub total: usize,
    pub success: usize,
    pub failed: usize,
    pub skipped: usize,
    pub upstream_failed: usize,
    pub removed: usize,
    /// Of the upstreams, the setups, and those of them that succeeded and were skipped.
    pub setups: usize,
    pub setup_success: usize,
    pub setup_skipped: usize,
}

impl Upstreams {
    /// Counts one upstream instance.
    pub fn count(&mut self, state: TaskInstanceState, is_setup: bool) {
        self.total += 1;
        if is_setup {
            self.setups += 1;
            self.setup_success += usize::from(state == TaskInstanceState::Success);
            self.setup_skipped += usize::from(state == TaskInstanceState::Skipped);
        }
        match state {
            TaskInstanceState::Success => self.success += 1,
            TaskInstanceState::Failed => self.failed += 1,
            TaskInstanceState::Skipped => self.skipped += 1,
            TaskInstanceState::UpstreamFailed => self.upstream_failed += 1,
            TaskInstanceState::Removed => self.removed += 1,
            TaskInstanceState::None
            | TaskInstanceState::Scheduled
            | TaskInstanceState::Queued
            | TaskInstanceState::Running
            | TaskInstanceState::Restarting
            | TaskInstanceState::UpForRetry
            | TaskInstanceState::UpForReschedule
            | TaskInstanceState::Deferred
            | TaskInstanceState::AwaitingInput => {}
        }
    }

    /// Instances that are finished, in any way.
    pub fn done(&self) -> usize {
        self.success + self.failed + self.skipped + self.upstream_failed + self.removed
    }
}

/// What a rule says now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Run,
    /// More upstreams have to finish.
    Wait,
    /// The rule can no longer be met, and what that makes of the task.
    Skip,
    UpstreamFailed,
    /// The instance's element is gone.
    Remove,
}

/// The rule's verdict: the first immediate state that matches, else run or wait (semantics §3.2). `map_index` is that of the
/// instance asked about, -1 for an ordinary one.
#[expect(clippy::many_single_char_names, reason = "the letters of semantics §3.1")]
pub fn evaluate(rule: TriggerRule, up: &Upstreams, map_index: i32) -> Verdict {
    use Verdict::{Remove, Run, Skip, UpstreamFailed, Wait};
    if up.total == 0 || rule == TriggerRule::Always {
        return Run;
    }
    let Upstreams { total, success: s, failed: f, skipped: k, upstream_failed: u, removed: r, .. } = *up;
    let done = up.done() >= total;
    let run_when = |condition: bool| if condition { Run } else { Wait };
    match rule {
        TriggerRule::AllSuccess if u + f > 0 => UpstreamFailed,
        TriggerRule::AllSuccess if k > 0 => Skip,
        TriggerRule::AllSuccess if r > 0 && s > 0 && map_index >= 0 && map_index as usize >= s => Remove,
        TriggerRule::AllSuccess => run_when(s + r == total),
        TriggerRule::AllFailed if s + k > 0 => Skip,
        TriggerRule::AllFailed => run_when(f + u + r == total),
        TriggerRule::AllDone => run_when(done),
        TriggerRule::AllDoneSetupSuccess if done && up.setups > 0 && up.setup_skipped == up.setups => Skip,
        TriggerRule::AllDoneSetupSuccess if done && up.setups > 0 && up.setup_success == 0 => UpstreamFailed,
        TriggerRule::AllDoneSetupSuccess => run_when(done),
        TriggerRule::AllDoneMinOneSuccess if k > 0 => Skip,
        TriggerRule::AllDoneMinOneSuccess if done && s == 0 => UpstreamFailed,
        TriggerRule::AllDoneMinOneSuccess => run_when(s + f + u == total - r && s >= 1),
        TriggerRule::OneSuccess if done && up.done() == k => Skip,
        TriggerRule::OneSuccess if done && s == 0 => UpstreamFailed,
        TriggerRule::OneSuccess => run_when(s >= 1),
        TriggerRule::OneFailed if done && f + u == 0 => Skip,
        TriggerRule::OneFailed => run_when(f + u >= 1),
        TriggerRule::OneDone if done && s + f == 0 => Skip,
        TriggerRule::OneDone => run_when(s + f >= 1),
        TriggerRule::NoneFailed | TriggerRule::NoneFailedMinOneSuccess if u + f > 0 => UpstreamFailed,
        TriggerRule::NoneFailed => run_when(s + k + r == total),
        TriggerRule::NoneFailedMinOneSuccess if k == total => Skip,
        TriggerRule::NoneFailedMinOneSuccess if done && s == 0 => UpstreamFailed,
        TriggerRule::NoneFailedMinOneSuccess => run_when(s + k + r == total && s >= 1),
        TriggerRule::NoneSkipped if k > 0 => Skip,
        TriggerRule::NoneSkipped => run_when(done),
        TriggerRule::AllSkipped if s + f + u > 0 => Skip,
        TriggerRule::AllSkipped => run_when(k == total),
        TriggerRule::Always => Run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: [TriggerRule; 11] = [
        TriggerRule::AllSuccess,
        TriggerRule::AllFailed,
        TriggerRule::AllDone,
        TriggerRule::AllDoneMinOneSuccess,
        TriggerRule::OneSuccess,
        TriggerRule::OneFailed,
        TriggerRule::OneDone,
        TriggerRule::NoneFailed,
        TriggerRule::NoneSkipped,
        TriggerRule::NoneFailedMinOneSuccess,
        TriggerRule::AllSkipped,
    ];

    /// Executed against Airflow 3.3.2 (semantics §3.3): upstream states, then the verdict per rule in the order above.
    const AIRFLOW: &str = "
        S  run  sk   run  run  run  sk   run  run  run  run  sk
        F  uf   run  run  uf   uf   run  run  uf   run  uf   sk
        K  sk   sk   run  sk   sk   sk   sk   run  sk   sk   run
        U  uf   run  run  uf   uf   run  sk   uf   run  uf   sk
        R  run  run  run  uf   uf   sk   sk   run  run  uf   wait
        -  wait wait wait wait wait wait wait wait wait wait wait
        SS run  sk   run  run  run  sk   run  run  run  run  sk
        SF uf   sk   run  run  run  run  run  uf   run  uf   sk
        SK sk   sk   run  sk   run  sk   run  run  sk   run  sk
        SU uf   sk   run  run  run  run  run  uf   run  uf   sk
        S- wait sk   wait wait run  wait run  wait wait wait sk
        FF uf   run  run  uf   uf   run  run  uf   run  uf   sk
        FK uf   sk   run  sk   uf   run  run  uf   sk   uf   sk
        FU uf   run  run  uf   uf   run  run  uf   run  uf   sk
        F- uf   wait wait wait wait run  run  uf   wait uf   sk
        KK sk   sk   run  sk   sk   sk   sk   run  sk   sk   run
        KU uf   sk   run  sk   uf   run  sk   uf   sk   uf   sk
        K- sk   sk   wait sk   wait wait wait wait sk   wait wait
        UU uf   run  run  uf   uf   run  sk   uf   run  uf   sk
        U- uf   wait wait wait wait run  wait uf   wait uf   sk
    ";

    #[test]
    fn decides_every_row_of_airflows_truth_table_alike() {
        let mut rows = 0;
        for line in AIRFLOW.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let mut cells = line.split_whitespace();
            let states = cells.next().expect("a row begins with its upstream states");
            let mut up = Upstreams::default();
            for letter in states.chars() {
                up.count(
                    match letter {
                        'S' => TaskInstanceState::Success,
                        'F' => TaskInstanceState::Failed,
                        'K' => TaskInstanceState::Skipped,
                        'U' => TaskInstanceState::UpstreamFailed,
                        'R' => TaskInstanceState::Removed,
                        _ => TaskInstanceState::Running,
                    },
                    false,
                );
            }
            for (rule, expected) in RULES.into_iter().zip(cells.by_ref()) {
                let verdict = match evaluate(rule, &up, -1) {
                    Verdict::Run => "run",
                    Verdict::Wait => "wait",
                    Verdict::Skip => "sk",
                    Verdict::UpstreamFailed => "uf",
                    Verdict::Remove => "rm",
                };
                assert_eq!(verdict, expected, "{rule:?} with upstreams {states}");
            }
            assert_eq!(evaluate(TriggerRule::Always, &up, -1), Verdict::Run);
            assert_eq!(evaluate(TriggerRule::AllDoneSetupSuccess, &up, -1), evaluate(TriggerRule::AllDone, &up, -1));
            rows += 1;
        }
        assert_eq!(rows, 20);
    }

    #[test]
    fn a_task_without_upstreams_runs_under_every_rule() {
        for rule in RULES {
            assert_eq!(evaluate(rule, &Upstreams::default(), -1), Verdict::Run);
        }
    }
}
