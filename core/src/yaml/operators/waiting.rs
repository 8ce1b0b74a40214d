//! Operators that the scheduler itself decides or waits for: they need the database and the clock, and no node.

use super::{Arg, Kind, Operator, arg, row};
use crate::operator::OperatorKind;

const DAY_OF_WEEK_BRANCH: &[Arg] = &[
    arg("follow_task_ids_if_true", Kind::TextOrList).required(),
    arg("follow_task_ids_if_false", Kind::TextOrList).required(),
    arg("week_day", Kind::TextOrList).required(),
    arg("use_task_logical_date", Kind::Bool),
    arg("use_task_execution_day", Kind::Bool),
];

const DATE_TIME_BRANCH: &[Arg] = &[
    arg("follow_task_ids_if_true", Kind::TextOrList).required(),
    arg("follow_task_ids_if_false", Kind::TextOrList).required(),
    arg("target_lower", Kind::Moment),
    arg("target_upper", Kind::Moment),
    arg("use_task_logical_date", Kind::Bool),
    arg("use_task_execution_date", Kind::Bool),
];

const TRIGGER: &[Arg] = &[
    arg("trigger_dag_id", Kind::Text).required().template(),
    arg("trigger_run_id", Kind::Text).template().default("null"),
    arg("conf", Kind::Map).template().default("null"),
    arg("wait_for_completion", Kind::Bool).template().default("false"),
    arg("reset_dag_run", Kind::Bool).default("false"),
    arg("failed_states", Kind::TextList).default("[\"failed\"]"),
    arg("allowed_states", Kind::TextList).default("[\"success\"]"),
    arg("logical_date", Kind::Moment).template(),
    arg("execution_date", Kind::Moment),
    arg("poke_interval", Kind::Duration).default("60.0"),
    arg("skip_when_already_exists", Kind::Bool).template().default("false"),
    arg("fail_when_dag_is_paused", Kind::Bool),
    arg("deferrable", Kind::Bool),
];

const APPROVAL: &[Arg] = &[
    arg("subject", Kind::Text).required().template(),
    arg("body", Kind::Text).template(),
    arg("options", Kind::TextList).default("[\"Approve\", \"Reject\"]").fixed(),
    arg("defaults", Kind::TextList),
    arg("fail_on_reject", Kind::Bool),
    arg("ignore_downstream_trigger_rules", Kind::Bool),
    arg("assigned_users", Kind::List),
    arg("response_timeout", Kind::Duration),
    arg("notifiers", Kind::Any),
];

const OPTIONS: &[Arg] = &[
    arg("subject", Kind::Text).required().template(),
    arg("body", Kind::Text).template(),
    arg("options", Kind::TextList).required(),
    arg("defaults", Kind::TextList),
    arg("multiple", Kind::Bool),
    arg("assigned_users", Kind::List),
    arg("response_timeout", Kind::Duration),
    arg("notifiers", Kind::Any),
];

const OPTIONS_BRANCH: &[Arg] = &[
    arg("subject", Kind::Text).required().template(),
    arg("body", Kind::Text).template(),
    arg("options", Kind::TextList).required(),
    arg("options_mapping", Kind::TextMap),
    arg("defaults", Kind::TextList),
    arg("multiple", Kind::Bool),
    arg("assigned_users", Kind::List),
    arg("response_timeout", Kind::Duration),
    arg("notifiers", Kind::Any),
];

const ENTRY: &[Arg] = &[
    arg("subject", Kind::Text).required().template(),
    arg("body", Kind::Text).template(),
    arg("options", Kind::TextList).default("[\"OK\"]"),
    arg("defaults", Kind::TextList),
    arg("multiple", Kind::Bool),
    arg("assigned_users", Kind::List),
    arg("response_timeout", Kind::Duration),
    arg("notifiers", Kind::Any),
];

const EXTERNAL_TASK: &[Arg] = &[
    arg("external_dag_id", Kind::Text).required().template(),
    arg("external_task_id", Kind::Text).template().default("null"),
    arg("external_task_ids", Kind::TextOrList).template(),
    arg("external_task_group_id", Kind::Text).template().default("null"),
    arg("execution_delta", Kind::Duration),
    arg("execution_date_fn", Kind::Text),
    arg("execution_date_fn_name", Kind::Text),
    arg("execution_date_fn_file", Kind::Text),
    arg("allowed_states", Kind::TextList),
    arg("failed_states", Kind::TextList),
    arg("skipped_states", Kind::TextList),
    arg("check_existence", Kind::Bool),
    arg("poll_interval", Kind::Duration),
];

pub(super) const OPERATORS: &[Operator] = &[
    row(
        OperatorKind::BranchDayOfWeek,
        "airflow.providers.standard.operators.weekday.BranchDayOfWeekOperator",
        &[],
        None,
        &["airflow.operators.weekday"],
        &[],
        DAY_OF_WEEK_BRANCH,
    ),
    row(
        OperatorKind::BranchDateTime,
        "airflow.providers.standard.operators.datetime.BranchDateTimeOperator",
        &[],
        None,
        &["airflow.operators.datetime"],
        &[],
        DATE_TIME_BRANCH,
    ),
    row(
        OperatorKind::LatestOnly,
        "airflow.providers.standard.operators.latest_only.LatestOnlyOperator",
        &["latest_only"],
        None,
        &["airflow.operators.latest_only"],
        &["airflow.operators.latest_only_operator.LatestOnlyOperator"],
        &[],
    ),
    row(
        OperatorKind::TriggerDagRun,
        "airflow.providers.standard.operators.trigger_dagrun.TriggerDagRunOperator",
        &["trigger_dag"],
        Some("trigger_dag_id"),
        &["airflow.operators.trigger_dagrun"],
        &["airflow.operators.dagrun_operator.TriggerDagRunOperator"],
        TRIGGER,
    ),
    row(
        OperatorKind::Hitl,
        "airflow.providers.standard.operators.hitl.ApprovalOperator",
        &["approval"],
        Some("subject"),
        &[],
        &[],
        APPROVAL,
    ),
    row(OperatorKind::Hitl, "airflow.providers.standard.operators.hitl.HITLOperator", &[], None, &[], &[], OPTIONS),
    row(
        OperatorKind::Hitl,
        "airflow.providers.standard.operators.hitl.HITLBranchOperator",
        &[],
        None,
        &[],
        &[],
        OPTIONS_BRANCH,
    ),
    row(OperatorKind::Hitl, "airflow.providers.standard.operators.hitl.HITLEntryOperator", &[], None, &[], &[], ENTRY),
    row(
        OperatorKind::ExternalTaskSensor,
        "airflow.providers.standard.sensors.external_task.ExternalTaskSensor",
        &["wait_for_task"],
        None,
        &["airflow.sensors.external_task"],
        &["airflow.sensors.external_task_sensor.ExternalTaskSensor"],
        EXTERNAL_TASK,
    )
    .sensor(),
    row(
        OperatorKind::TimeSensor,
        "airflow.providers.standard.sensors.time.TimeSensor",
        &["wait_for_time"],
        Some("target_time"),
        &["airflow.sensors.time_sensor"],
        &[],
        &[arg("target_time", Kind::Moment).required()],
    )
    .sensor(),
    row(
        OperatorKind::TimeDeltaSensor,
        "airflow.providers.standard.sensors.time_delta.TimeDeltaSensor",
        &["wait_for"],
        Some("delta"),
        &["airflow.sensors.time_delta"],
        &["airflow.sensors.time_delta_sensor.TimeDeltaSensor"],
        &[arg("delta", Kind::Delta).required().template()],
    )
    .sensor(),
    row(
        OperatorKind::DateTimeSensor,
        "airflow.providers.standard.sensors.date_time.DateTimeSensor",
        &["wait_until"],
        Some("target_time"),
        &["airflow.sensors.date_time"],
        &["airflow.sensors.date_time_sensor.DateTimeSensor"],
        &[arg("target_time", Kind::Moment).required().template()],
    )
    .sensor(),
    row(
        OperatorKind::DayOfWeekSensor,
        "airflow.providers.standard.sensors.weekday.DayOfWeekSensor",
        &[],
        None,
        &["airflow.sensors.weekday"],
        &[],
        &[
            arg("week_day", Kind::TextOrList).required(),
            arg("use_task_logical_date", Kind::Bool),
            arg("use_task_execution_day", Kind::Bool),
        ],
    )
    .sensor(),
];
