//! Operators that load, and that the engine does not run yet.

use super::{Arg, Kind, Operator, arg, runnable::PYTHON};
use crate::operator::OperatorKind;

const SQL_FILES: &[&str] = &[".sql", ".json"];

const HTTP: &[Arg] = &[
    arg("http_conn_id", Kind::Text).template(),
    arg("endpoint", Kind::Text).template(),
    arg("url", Kind::Text).template(),
    arg("method", Kind::Text),
    arg("data", Kind::Any).template(),
    arg("json", Kind::Any).template(),
    arg("headers", Kind::Map).template(),
    arg("expect", Kind::Text).template(),
    arg("log_response", Kind::Bool),
    arg("response_check", Kind::Text),
    arg("response_check_name", Kind::Text),
    arg("response_check_file", Kind::Text),
    arg("response_check_lambda", Kind::Text),
    arg("response_filter", Kind::Text),
    arg("extra_options", Kind::Map),
    arg("auth_type", Kind::Text),
    arg("request_params", Kind::Any).template(),
    arg("response_error_codes_allowlist", Kind::TextList),
    arg("deferrable", Kind::Bool),
    arg("tcp_keep_alive", Kind::Bool),
];

const SQL: &[Arg] = &[
    arg("sql", Kind::TextOrList).required().template(),
    arg("conn_id", Kind::Text).default("null").template(),
    arg("postgres_conn_id", Kind::Text),
    arg("mysql_conn_id", Kind::Text),
    arg("sqlite_conn_id", Kind::Text),
    arg("mssql_conn_id", Kind::Text),
    arg("snowflake_conn_id", Kind::Text),
    arg("autocommit", Kind::Bool).default("false"),
    arg("parameters", Kind::Any).template().default("null"),
    arg("split_statements", Kind::Bool).default("null"),
    arg("database", Kind::Text).default("null"),
    arg("return_last", Kind::Bool),
    arg("show_return_value_in_logs", Kind::Bool),
    arg("hook_params", Kind::Map),
    arg("warehouse", Kind::Text),
    arg("schema", Kind::Text),
    arg("role", Kind::Text),
    arg("runtime_parameters", Kind::Map),
];

const SQL_CHECK: &[Arg] = &[
    arg("sql", Kind::Text).template(),
    arg("conn_id", Kind::Text).template(),
    arg("snowflake_conn_id", Kind::Text),
    arg("database", Kind::Text),
    arg("parameters", Kind::Any),
    arg("pass_value", Kind::Any).template(),
    arg("tolerance", Kind::Any),
    arg("table", Kind::Text).template(),
    arg("checks", Kind::Map),
    arg("column_mapping", Kind::Map),
    arg("partition_clause", Kind::Text),
    arg("min_threshold", Kind::Any),
    arg("max_threshold", Kind::Any),
    arg("metrics_thresholds", Kind::Map),
    arg("date_filter_column", Kind::Text),
    arg("days_back", Kind::Int),
    arg("follow_task_ids_if_true", Kind::TextOrList),
    arg("follow_task_ids_if_false", Kind::TextOrList),
];

const BRANCH: &[Arg] = &[
    arg("follow_task_ids_if_true", Kind::TextOrList).required(),
    arg("follow_task_ids_if_false", Kind::TextOrList).required(),
    arg("week_day", Kind::Any),
    arg("target_lower", Kind::Any),
    arg("target_upper", Kind::Any),
    arg("use_task_logical_date", Kind::Bool),
    arg("use_task_execution_day", Kind::Bool),
    arg("use_task_execution_date", Kind::Bool),
];

const SHORT_CIRCUIT: &[Arg] = &[
    arg("python_callable", Kind::Text),
    arg("python_callable_name", Kind::Text),
    arg("python_callable_file", Kind::Text),
    arg("op_args", Kind::List).template().default("[]"),
    arg("op_kwargs", Kind::Map).template().default("{}"),
    arg("templates_dict", Kind::Map).template(),
    arg("ignore_downstream_trigger_rules", Kind::Bool).default("true"),
];

const VIRTUALENV: &[Arg] = &[
    arg("python_callable", Kind::Text),
    arg("python_callable_name", Kind::Text),
    arg("python_callable_file", Kind::Text),
    arg("op_args", Kind::List).template().default("[]"),
    arg("op_kwargs", Kind::Map).template().default("{}"),
    arg("templates_dict", Kind::Map).template(),
    arg("requirements", Kind::TextOrList).template(),
    arg("python", Kind::Text).template(),
    arg("python_version", Kind::Text),
    arg("system_site_packages", Kind::Bool),
    arg("string_args", Kind::TextList),
    arg("expect_airflow", Kind::Bool),
    arg("serializer", Kind::Text),
    arg("venv_cache_path", Kind::Text),
    arg("skip_on_exit_code", Kind::ExitCodes),
];

const SSH: &[Arg] = &[
    arg("ssh_conn_id", Kind::Text),
    arg("command", Kind::Text).required().template(),
    arg("environment", Kind::TextMap).template(),
    arg("cmd_timeout", Kind::Duration),
    arg("conn_timeout", Kind::Duration),
    arg("remote_host", Kind::Text).template(),
    arg("get_pty", Kind::Bool),
    arg("banner_timeout", Kind::Duration),
    arg("skip_on_exit_code", Kind::ExitCodes),
];

const EMAIL: &[Arg] = &[
    arg("to", Kind::TextOrList).required().template(),
    arg("subject", Kind::Text).template(),
    arg("html_content", Kind::Text).template(),
    arg("files", Kind::TextList).template(),
    arg("cc", Kind::TextOrList).template(),
    arg("bcc", Kind::TextOrList).template(),
    arg("from_email", Kind::Text).template(),
    arg("conn_id", Kind::Text),
    arg("mime_subtype", Kind::Text),
    arg("mime_charset", Kind::Text),
    arg("custom_headers", Kind::Map),
];

const TRIGGER: &[Arg] = &[
    arg("trigger_dag_id", Kind::Text).required().template(),
    arg("trigger_run_id", Kind::Text).template().default("null"),
    arg("conf", Kind::Map).template().default("null"),
    arg("wait_for_completion", Kind::Bool).default("false"),
    arg("reset_dag_run", Kind::Bool).default("false"),
    arg("failed_states", Kind::TextList).default("[\"failed\"]"),
    arg("allowed_states", Kind::TextList).default("[\"success\"]"),
    arg("logical_date", Kind::Text).template(),
    arg("execution_date", Kind::Text).template(),
    arg("poke_interval", Kind::Duration).default("60.0"),
    arg("skip_when_already_exists", Kind::Bool).default("false"),
    arg("fail_when_dag_is_paused", Kind::Bool),
    arg("deferrable", Kind::Bool),
];

const APPROVAL: &[Arg] = &[
    arg("subject", Kind::Text).required().template(),
    arg("body", Kind::Text).template(),
    arg("options", Kind::TextList),
    arg("defaults", Kind::TextOrList),
    arg("multiple", Kind::Bool),
    arg("fail_on_reject", Kind::Bool),
    arg("assigned_users", Kind::Any),
    arg("notifiers", Kind::Any),
    arg("ignore_downstream_trigger_rules", Kind::Bool),
    arg("options_mapping", Kind::Map),
    arg("response_timeout", Kind::Duration),
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
];

const SQL_SENSOR: &[Arg] = &[
    arg("conn_id", Kind::Text),
    arg("sql", Kind::Text).required().template(),
    arg("parameters", Kind::Any).template(),
    arg("success", Kind::Text),
    arg("success_check_name", Kind::Text),
    arg("success_check_file", Kind::Text),
    arg("success_check_lambda", Kind::Text),
    arg("failure", Kind::Text),
    arg("failure_check_name", Kind::Text),
    arg("failure_check_file", Kind::Text),
    arg("failure_check_lambda", Kind::Text),
    arg("fail_on_empty", Kind::Bool),
    arg("hook_params", Kind::Map),
];

const BASH_SENSOR: &[Arg] = &[
    arg("bash_command", Kind::Text).required().template(),
    arg("env", Kind::TextMap).template(),
    arg("retry_exit_code", Kind::Int),
    arg("output_encoding", Kind::Text),
];

/// A row: class, short names, main argument, modules of Airflow 2 that 3 still has, older paths, arguments.
const fn row(
    class: &'static str,
    aliases: &'static [&'static str],
    main: Option<&'static str>,
    modules: &'static [&'static str],
    old: &'static [&'static str],
    args: &'static [Arg],
) -> Operator {
    Operator {
        class,
        kind: OperatorKind::Unsupported,
        aliases,
        main,
        modules,
        old,
        args,
        sensor: false,
        template_files: &[],
    }
}

impl Operator {
    const fn sensor(mut self) -> Self {
        self.sensor = true;
        self
    }

    const fn files(mut self, files: &'static [(&'static str, &'static [&'static str])]) -> Self {
        self.template_files = files;
        self
    }
}

const SQL_FILE: &[(&str, &[&str])] = &[("sql", SQL_FILES)];

pub(super) const OPERATORS: &[Operator] = &[
    row(
        "airflow.providers.standard.operators.python.PythonVirtualenvOperator",
        &[],
        None,
        &["airflow.operators.python"],
        &["airflow.operators.python_operator.PythonVirtualenvOperator"],
        VIRTUALENV,
    ),
    row(
        "airflow.providers.standard.operators.python.ExternalPythonOperator",
        &[],
        None,
        &["airflow.operators.python"],
        &[],
        VIRTUALENV,
    ),
    row(
        "airflow.providers.standard.operators.python.BranchPythonOperator",
        &["branch"],
        Some("python_callable"),
        &["airflow.operators.python"],
        &["airflow.operators.python_operator.BranchPythonOperator"],
        PYTHON,
    ),
    row(
        "airflow.providers.standard.operators.weekday.BranchDayOfWeekOperator",
        &[],
        None,
        &["airflow.operators.weekday"],
        &[],
        BRANCH,
    ),
    row(
        "airflow.providers.standard.operators.datetime.BranchDateTimeOperator",
        &[],
        None,
        &["airflow.operators.datetime"],
        &[],
        BRANCH,
    ),
    row(
        "airflow.providers.standard.operators.python.ShortCircuitOperator",
        &["short_circuit"],
        Some("python_callable"),
        &["airflow.operators.python"],
        &["airflow.operators.python_operator.ShortCircuitOperator"],
        SHORT_CIRCUIT,
    ),
    row(
        "airflow.providers.standard.operators.latest_only.LatestOnlyOperator",
        &["latest_only"],
        None,
        &["airflow.operators.latest_only"],
        &["airflow.operators.latest_only_operator.LatestOnlyOperator"],
        &[],
    ),
    row(
        "airflow.providers.http.operators.http.HttpOperator",
        &["http"],
        Some("url"),
        &[],
        &[
            "airflow.providers.http.operators.http.SimpleHttpOperator",
            "airflow.operators.http_operator.SimpleHttpOperator",
        ],
        HTTP,
    ),
    row(
        "airflow.providers.common.sql.operators.sql.SQLExecuteQueryOperator",
        &["sql"],
        Some("sql"),
        &[],
        &[
            "airflow.providers.postgres.operators.postgres.PostgresOperator",
            "airflow.providers.mysql.operators.mysql.MySqlOperator",
            "airflow.providers.sqlite.operators.sqlite.SqliteOperator",
            "airflow.providers.microsoft.mssql.operators.mssql.MsSqlOperator",
            "airflow.providers.snowflake.operators.snowflake.SnowflakeOperator",
            "airflow.operators.postgres_operator.PostgresOperator",
            "airflow.operators.mysql_operator.MySqlOperator",
        ],
        SQL,
    )
    .files(SQL_FILE),
    row("airflow.providers.common.sql.operators.sql.SQLCheckOperator", &[], None, &[], &[], SQL_CHECK).files(SQL_FILE),
    row("airflow.providers.common.sql.operators.sql.SQLValueCheckOperator", &[], None, &[], &[], SQL_CHECK)
        .files(SQL_FILE),
    row("airflow.providers.common.sql.operators.sql.SQLIntervalCheckOperator", &[], None, &[], &[], SQL_CHECK),
    row("airflow.providers.common.sql.operators.sql.SQLThresholdCheckOperator", &[], None, &[], &[], SQL_CHECK)
        .files(SQL_FILE),
    row("airflow.providers.common.sql.operators.sql.SQLTableCheckOperator", &[], None, &[], &[], SQL_CHECK),
    row("airflow.providers.common.sql.operators.sql.SQLColumnCheckOperator", &[], None, &[], &[], SQL_CHECK),
    row("airflow.providers.common.sql.operators.sql.BranchSQLOperator", &[], None, &[], &[], SQL_CHECK).files(SQL_FILE),
    row("airflow.providers.snowflake.operators.snowflake.SnowflakeCheckOperator", &[], None, &[], &[], SQL_CHECK)
        .files(SQL_FILE),
    row(
        "airflow.providers.ssh.operators.ssh.SSHOperator",
        &["ssh"],
        Some("command"),
        &[],
        &["airflow.contrib.operators.ssh_operator.SSHOperator"],
        SSH,
    ),
    row(
        "airflow.providers.smtp.operators.smtp.EmailOperator",
        &["email"],
        Some("to"),
        &["airflow.operators.email"],
        &["airflow.operators.email_operator.EmailOperator"],
        EMAIL,
    ),
    row(
        "airflow.providers.standard.operators.trigger_dagrun.TriggerDagRunOperator",
        &["trigger_dag"],
        Some("trigger_dag_id"),
        &["airflow.operators.trigger_dagrun"],
        &["airflow.operators.dagrun_operator.TriggerDagRunOperator"],
        TRIGGER,
    ),
    row(
        "airflow.providers.standard.operators.hitl.ApprovalOperator",
        &["approval"],
        Some("subject"),
        &[],
        &[],
        APPROVAL,
    ),
    row("airflow.providers.standard.operators.hitl.HITLOperator", &[], None, &[], &[], APPROVAL),
    row("airflow.providers.standard.operators.hitl.HITLBranchOperator", &[], None, &[], &[], APPROVAL),
    row("airflow.providers.standard.operators.hitl.HITLEntryOperator", &[], None, &[], &[], APPROVAL),
    row(
        "airflow.providers.standard.sensors.external_task.ExternalTaskSensor",
        &["wait_for_task"],
        None,
        &["airflow.sensors.external_task"],
        &["airflow.sensors.external_task_sensor.ExternalTaskSensor"],
        EXTERNAL_TASK,
    )
    .sensor(),
    row(
        "airflow.providers.standard.sensors.filesystem.FileSensor",
        &["wait_for_file"],
        Some("filepath"),
        &["airflow.sensors.filesystem"],
        &["airflow.contrib.sensors.file_sensor.FileSensor"],
        &[
            arg("filepath", Kind::Text).required().template(),
            arg("fs_conn_id", Kind::Text).default("\"fs_default\""),
            arg("recursive", Kind::Bool).default("false"),
        ],
    )
    .sensor(),
    row(
        "airflow.providers.http.sensors.http.HttpSensor",
        &["wait_for_http"],
        Some("url"),
        &[],
        &["airflow.sensors.http_sensor.HttpSensor"],
        HTTP,
    )
    .sensor(),
    row(
        "airflow.providers.common.sql.sensors.sql.SqlSensor",
        &["wait_for_sql"],
        Some("sql"),
        &[],
        &["airflow.sensors.sql.SqlSensor", "airflow.sensors.sql_sensor.SqlSensor"],
        SQL_SENSOR,
    )
    .sensor()
    .files(SQL_FILE),
    row(
        "airflow.providers.standard.sensors.time.TimeSensor",
        &["wait_for_time"],
        Some("target_time"),
        &["airflow.sensors.time_sensor"],
        &[],
        &[arg("target_time", Kind::Text).required()],
    )
    .sensor(),
    row(
        "airflow.providers.standard.sensors.time_delta.TimeDeltaSensor",
        &["wait_for"],
        Some("delta"),
        &["airflow.sensors.time_delta"],
        &["airflow.sensors.time_delta_sensor.TimeDeltaSensor"],
        &[arg("delta", Kind::Delta).required()],
    )
    .sensor(),
    row(
        "airflow.providers.standard.sensors.date_time.DateTimeSensor",
        &["wait_until"],
        Some("target_time"),
        &["airflow.sensors.date_time"],
        &["airflow.sensors.date_time_sensor.DateTimeSensor"],
        &[arg("target_time", Kind::Text).required().template()],
    )
    .sensor(),
    row(
        "airflow.providers.standard.sensors.bash.BashSensor",
        &["wait_for_bash"],
        Some("bash_command"),
        &["airflow.sensors.bash"],
        &[],
        BASH_SENSOR,
    )
    .sensor(),
    row(
        "airflow.providers.standard.sensors.python.PythonSensor",
        &["wait_for_python"],
        Some("python_callable"),
        &["airflow.sensors.python"],
        &[],
        PYTHON,
    )
    .sensor(),
    row(
        "airflow.providers.standard.sensors.weekday.DayOfWeekSensor",
        &[],
        None,
        &["airflow.sensors.weekday"],
        &[],
        &[arg("week_day", Kind::Any).required(), arg("use_task_logical_date", Kind::Bool)],
    )
    .sensor(),
];
