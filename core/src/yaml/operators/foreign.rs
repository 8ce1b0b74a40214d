//! Operators that load and are shown, and that nothing here runs: they say so when they are started.

use super::{Arg, Kind, Operator, arg, row};
use crate::operator::OperatorKind;

const SQL_FILES: &[(&str, &[&str])] = &[("sql", &[".sql", ".json"])];

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

pub(super) const OPERATORS: &[Operator] = &[
    row(
        OperatorKind::Unsupported,
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
        OperatorKind::Unsupported,
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
    .files(SQL_FILES),
    row(
        OperatorKind::Unsupported,
        "airflow.providers.common.sql.operators.sql.SQLCheckOperator",
        &[],
        None,
        &[],
        &[],
        SQL_CHECK,
    )
    .files(SQL_FILES),
    row(
        OperatorKind::Unsupported,
        "airflow.providers.common.sql.operators.sql.SQLValueCheckOperator",
        &[],
        None,
        &[],
        &[],
        SQL_CHECK,
    )
    .files(SQL_FILES),
    row(
        OperatorKind::Unsupported,
        "airflow.providers.common.sql.operators.sql.SQLIntervalCheckOperator",
        &[],
        None,
        &[],
        &[],
        SQL_CHECK,
    ),
    row(
        OperatorKind::Unsupported,
        "airflow.providers.common.sql.operators.sql.SQLThresholdCheckOperator",
        &[],
        None,
        &[],
        &[],
        SQL_CHECK,
    )
    .files(SQL_FILES),
    row(
        OperatorKind::Unsupported,
        "airflow.providers.common.sql.operators.sql.SQLTableCheckOperator",
        &[],
        None,
        &[],
        &[],
        SQL_CHECK,
    ),
    row(
        OperatorKind::Unsupported,
        "airflow.providers.common.sql.operators.sql.SQLColumnCheckOperator",
        &[],
        None,
        &[],
        &[],
        SQL_CHECK,
    ),
    row(
        OperatorKind::Unsupported,
        "airflow.providers.common.sql.operators.sql.BranchSQLOperator",
        &[],
        None,
        &[],
        &[],
        SQL_CHECK,
    )
    .files(SQL_FILES),
    row(
        OperatorKind::Unsupported,
        "airflow.providers.snowflake.operators.snowflake.SnowflakeCheckOperator",
        &[],
        None,
        &[],
        &[],
        SQL_CHECK,
    )
    .files(SQL_FILES),
    row(
        OperatorKind::Unsupported,
        "airflow.providers.ssh.operators.ssh.SSHOperator",
        &["ssh"],
        Some("command"),
        &[],
        &["airflow.contrib.operators.ssh_operator.SSHOperator"],
        SSH,
    ),
    row(
        OperatorKind::Unsupported,
        "airflow.providers.smtp.operators.smtp.EmailOperator",
        &["email"],
        Some("to"),
        &["airflow.operators.email"],
        &["airflow.operators.email_operator.EmailOperator"],
        EMAIL,
    ),
    row(
        OperatorKind::Unsupported,
        "airflow.providers.http.sensors.http.HttpSensor",
        &["wait_for_http"],
        Some("url"),
        &[],
        &["airflow.sensors.http_sensor.HttpSensor"],
        HTTP,
    )
    .sensor(),
    row(
        OperatorKind::Unsupported,
        "airflow.providers.common.sql.sensors.sql.SqlSensor",
        &["wait_for_sql"],
        Some("sql"),
        &[],
        &["airflow.sensors.sql.SqlSensor", "airflow.sensors.sql_sensor.SqlSensor"],
        SQL_SENSOR,
    )
    .sensor()
    .files(SQL_FILES),
];
