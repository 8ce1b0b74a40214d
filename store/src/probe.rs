//! Whether a Postgres that a connection names can be used: for tests of connections. It is not this deployment's database.

use std::str::FromStr;

use sqlx::{
    ConnectOptions, Connection as _,
    postgres::{PgConnectOptions, PgSslMode},
};
use updraft_core::connection::Connection;

/// Where Postgres listens unless a connection says otherwise.
pub const POSTGRES_PORT: u16 = 5432;

/// Logs in and runs `select 1`. Waits as long as the server does: the caller bounds it.
///
/// # Errors
/// Why it cannot be used, in the server's words where it gave some; without the password.
pub async fn postgres(connection: &Connection) -> Result<(), String> {
    let mut server = options(connection)?.connect().await.map_err(|error| told(&error))?;
    // Not one of our schema's statements, hence not checked against it.
    sqlx::raw_sql("select 1").execute(&mut server).await.map_err(|error| told(&error))?;
    // The answer is known; that a connection ends badly changes nothing.
    if let Err(error) = server.close().await {
        tracing::debug!(%error, "a connection that was tested did not end well");
    }
    Ok(())
}

/// Nothing that this process' environment says about its own database (`PGPASSWORD`, `PGDATABASE`, …) is sent to another.
fn options(connection: &Connection) -> Result<PgConnectOptions, String> {
    let text = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
    let extra = connection.extra_object();
    let mode = extra.get("sslmode").and_then(serde_json::Value::as_str).unwrap_or("prefer");
    let mode = PgSslMode::from_str(mode).map_err(|_| "the extra `sslmode` is none of Postgres' words".to_owned())?;
    let port = match connection.port.filter(|port| *port != 0) {
        Some(port) => u16::try_from(port).map_err(|_| format!("{port} is no port"))?,
        None => POSTGRES_PORT,
    };
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(text(&connection.host).as_deref().unwrap_or("localhost"))
        .port(port)
        .password(connection.password.as_deref().unwrap_or_default())
        .ssl_mode(mode)
        .application_name("updraft connection test");
    if let Some(login) = text(&connection.login) {
        options = options.username(&login);
    }
    let database = text(&connection.schema).unwrap_or_else(|| options.get_username().to_owned());
    if let Some(path) = extra.get("sslrootcert").and_then(serde_json::Value::as_str) {
        options = options.ssl_root_cert(path);
    }
    Ok(options.database(&database))
}

fn told(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_connection_does_not_say_is_postgres_default() {
        let connection = Connection { login: Some("me".to_owned()), ..Connection::default() };
        let options = options(&connection).unwrap();
        assert_eq!((options.get_host(), options.get_port()), ("localhost", 5432));
        assert_eq!((options.get_username(), options.get_database()), ("me", Some("me")));
    }

    #[test]
    fn a_field_that_cannot_be_is_told() {
        let with = |extra: &str, port| Connection { extra: Some(extra.to_owned()), port, ..Connection::default() };
        assert!(options(&with(r#"{"sslmode": "hunter2"}"#, None)).is_err_and(|text| !text.contains("hunter2")));
        assert_eq!(options(&with("{}", Some(-1))).unwrap_err(), "-1 is no port");
    }
}
