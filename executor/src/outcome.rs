//! What the end of a process or container means to the operator, wherever it ran and whichever life of the node saw it.

use serde_json::Value;
use updraft_core::{
    mapping::{python_type, refuse_result},
    operator::OperatorKind,
    spec::{FailureClass, Outcome},
};
use updraft_protocol::INLINE_LIMIT;

use crate::{
    attempt::failed,
    report::json_len,
    runner::{End, Finished, Job, failure},
};

/// Applies the operator's rules to an end.
pub(crate) fn settle(job: &Job, end: End) -> End {
    match end {
        End::Finished(finished) => {
            let finished = sensed(job, finished);
            match refused(job, &finished) {
                Some(reason) => failed(job, failure(FailureClass::InvalidResult, reason)),
                None => End::Finished(several(job, finished)),
            }
        }
        end @ (End::Stopped(_) | End::Left) => end,
    }
}

/// A `BashSensor` is tried until its command exits with 0. Every other code means "not yet", unless `retry_exit_code` names the
/// only one that does.
fn sensed(job: &Job, finished: Finished) -> Finished {
    if job.spec.operator != OperatorKind::BashSensor {
        return finished;
    }
    match (finished.outcome, finished.exit_code) {
        // What it printed is not its result.
        (Outcome::Success, _) => Finished { return_value: None, ..finished },
        (Outcome::Failed, Some(code)) if waits(job.spec.args.get("retry_exit_code"), code) => {
            job.log.say("info", &format!("Bash command returned {code}: not yet."));
            Finished::rescheduled().with_exit_code(code)
        }
        _ => finished,
    }
}

/// Whether an exit code other than 0 means "not yet".
fn waits(retry_exit_code: Option<&Value>, code: i64) -> bool {
    retry_exit_code.and_then(Value::as_i64).is_none_or(|retry| retry == code)
}

/// Why a result is not what it has to be.
fn refused(job: &Job, finished: &Finished) -> Option<String> {
    if finished.outcome != Outcome::Success {
        return None;
    }
    let value = finished.return_value.as_ref();
    if let Some(value) = value.filter(|value| job.spec.multiple_outputs && !value.is_object()) {
        let found = python_type(value);
        return Some(format!("Returned output was type <class '{found}'> expected dictionary for multiple_outputs"));
    }
    job.spec.max_map_length.and_then(|limit| refuse_result(value, job.spec.is_mapped(), limit as usize))
}

/// The server pushes each key of a result with `multiple_outputs` that comes with the report; of a larger one, the node does.
fn several(job: &Job, mut finished: Finished) -> Finished {
    if let (true, Some(value @ Value::Object(fields))) = (job.spec.multiple_outputs, &finished.return_value)
        && json_len(value) > INLINE_LIMIT
    {
        finished.xcoms.extend(fields.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
    finished
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_exit_code_means_not_yet_unless_one_is_named() {
        assert!(waits(None, 1) && waits(Some(&json!(null)), 99));
        assert!(waits(Some(&json!(2)), 2) && !waits(Some(&json!(2)), 1));
    }
}
