//! `updraft variables | connections | pools`, by REST. Sets and imports are bulk requests, so that they are one transaction.

use std::{
    fs,
    io::{self, Read},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use updraft_core::{
    connection::Connection,
    redact::{MASK, is_sensitive},
};

use super::{
    App,
    client::Client,
    entity_args::{ConnectionFlags, ConnectionsCommand, OnExisting, PoolsCommand, VariablesCommand},
    output::{list, one, say, text},
};

const VARIABLES: &[&str] = &["api", "v2", "variables"];
const CONNECTIONS: &[&str] = &["api", "v2", "connections"];
const POOLS: &[&str] = &["api", "v2", "pools"];

pub(super) async fn variables(app: &App, command: VariablesCommand) -> Result<ExitCode> {
    let client = Client::connect(app).await?;
    match command {
        VariablesCommand::List { output, .. } => list(
            &client.list(VARIABLES, "variables", &[("order_by", "key")], usize::MAX).await?,
            output.output,
            &[
                ("key", &|item| text(item, "/key")),
                ("value", &|item| text(item, "/value")),
                ("description", &|item| text(item, "/description")),
            ],
            "There are no variables.",
        )?,
        VariablesCommand::Get { key, .. } => {
            let variable = client.get(&[VARIABLES, &[&key]].concat(), &[]).await?;
            say(format_args!("{}", variable["value"].as_str().unwrap_or_default()))?;
        }
        VariablesCommand::Set { key, value, description, .. } => {
            let mut entity = json!({"key": key, "value": given(value)?});
            if let Some(description) = description {
                entity["description"] = description.into();
            }
            bulk(&client, VARIABLES, "create", vec![entity], "overwrite").await?;
            say(format_args!("Variable {key} is set."))?;
        }
        VariablesCommand::Delete { key, .. } => {
            client.delete(&[VARIABLES, &[&key]].concat()).await?;
            say(format_args!("Variable {key} is deleted."))?;
        }
        VariablesCommand::Import { file, action_on_existing, .. } => {
            let entities = variables_of(read_object(&file)?)?;
            let action = match action_on_existing {
                OnExisting::Overwrite => "overwrite",
                OnExisting::Skip => "skip",
                OnExisting::Fail => "fail",
            };
            let done = bulk(&client, VARIABLES, "create", entities, action).await?;
            say(format_args!("{done} variables imported."))?;
        }
        VariablesCommand::Export { file, .. } => {
            let items = client.list(VARIABLES, "variables", &[("order_by", "key")], usize::MAX).await?;
            let exported: Map<String, Value> = items
                .into_iter()
                .map(|mut item| {
                    let (key, value) = (text(&item, "/key"), item["value"].take());
                    let value = match item["description"].take() {
                        Value::Null => value,
                        description => json!({"value": value, "description": description}),
                    };
                    (key, value)
                })
                .collect();
            write(&file, "variables", exported)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn connections(app: &App, command: ConnectionsCommand) -> Result<ExitCode> {
    let client = Client::connect(app).await?;
    match command {
        ConnectionsCommand::List { output, .. } => list(
            &client.list(CONNECTIONS, "connections", &[("order_by", "conn_id")], usize::MAX).await?,
            output.output,
            &[
                ("conn_id", &|item| text(item, "/connection_id")),
                ("type", &|item| text(item, "/conn_type")),
                ("host", &|item| text(item, "/host")),
                ("port", &|item| text(item, "/port")),
                ("schema", &|item| text(item, "/schema")),
                ("login", &|item| text(item, "/login")),
                ("description", &|item| text(item, "/description")),
            ],
            "There are no connections.",
        )?,
        ConnectionsCommand::Get { conn_id, output, .. } => {
            let found = client.get(&[CONNECTIONS, &[&conn_id]].concat(), &[]).await?;
            one(
                &found,
                output.output,
                &[
                    ("conn_id", &|item| text(item, "/connection_id")),
                    ("type", &|item| text(item, "/conn_type")),
                    ("description", &|item| text(item, "/description")),
                    ("host", &|item| text(item, "/host")),
                    ("port", &|item| text(item, "/port")),
                    ("schema", &|item| text(item, "/schema")),
                    ("login", &|item| text(item, "/login")),
                    ("password", &|item| text(item, "/password")),
                    ("extra", &|item| text(item, "/extra")),
                ],
            )?;
        }
        ConnectionsCommand::Add(flags) => {
            let conn_id = flags.conn_id.clone();
            client.post(CONNECTIONS, &connection_of(*flags)?).await?;
            say(format_args!("Connection {conn_id} is added."))?;
        }
        ConnectionsCommand::Delete { conn_id, .. } => {
            client.delete(&[CONNECTIONS, &[&conn_id]].concat()).await?;
            say(format_args!("Connection {conn_id} is deleted."))?;
        }
        ConnectionsCommand::Import { file, overwrite, .. } => {
            let entities = connections_of(read_object(&file)?)?;
            let action = if overwrite { "overwrite" } else { "skip" };
            let done = bulk(&client, CONNECTIONS, "create", entities, action).await?;
            say(format_args!("{done} connections imported."))?;
        }
        ConnectionsCommand::Export { file, .. } => {
            let items = client.list(CONNECTIONS, "connections", &[("order_by", "conn_id")], usize::MAX).await?;
            let exported: Map<String, Value> = items
                .into_iter()
                .map(|mut item| {
                    let conn_id = text(&item, "/connection_id");
                    if let Some(fields) = item.as_object_mut() {
                        fields.remove("connection_id");
                        fields.remove("team_name");
                    }
                    (conn_id, item)
                })
                .collect();
            write(&file, "connections", exported)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn pools(app: &App, command: PoolsCommand) -> Result<ExitCode> {
    let client = Client::connect(app).await?;
    match command {
        PoolsCommand::List { output, .. } => list(
            &client.list(POOLS, "pools", &[("order_by", "name")], usize::MAX).await?,
            output.output,
            &[
                ("name", &|item| text(item, "/name")),
                ("slots", &|item| text(item, "/slots")),
                ("running", &|item| text(item, "/running_slots")),
                ("queued", &|item| text(item, "/queued_slots")),
                ("scheduled", &|item| text(item, "/scheduled_slots")),
                ("deferred", &|item| text(item, "/deferred_slots")),
                ("open", &|item| text(item, "/open_slots")),
                ("description", &|item| text(item, "/description")),
            ],
            "There are no pools.",
        )?,
        PoolsCommand::Get { name, output, .. } => {
            let pool = client.get(&[POOLS, &[&name]].concat(), &[]).await?;
            one(
                &pool,
                output.output,
                &[
                    ("name", &|item| text(item, "/name")),
                    ("description", &|item| text(item, "/description")),
                    ("slots", &|item| text(item, "/slots")),
                    ("occupied", &|item| text(item, "/occupied_slots")),
                    ("open", &|item| text(item, "/open_slots")),
                    ("include deferred", &|item| text(item, "/include_deferred")),
                ],
            )?;
        }
        PoolsCommand::Set { name, slots, description, include_deferred, .. } => {
            let description = Some(description).filter(|description| !description.is_empty());
            let entity =
                json!({"name": name, "slots": slots, "description": description, "include_deferred": include_deferred});
            bulk(&client, POOLS, "create", vec![entity], "overwrite").await?;
            say(format_args!("Pool {name} is set."))?;
        }
        PoolsCommand::Delete { name, .. } => {
            client.delete(&[POOLS, &[&name]].concat()).await?;
            say(format_args!("Pool {name} is deleted."))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One action on many; how many succeeded.
async fn bulk(client: &Client, path: &[&str], action: &str, entities: Vec<Value>, on_existence: &str) -> Result<usize> {
    let body = json!({"actions": [{"action": action, "entities": entities, "action_on_existence": on_existence}]});
    let answer = client.patch(path, &body).await?;
    if let Some(error) = answer.pointer(&format!("/{action}/errors/0/error")) {
        bail!("{}", error.as_str().unwrap_or("the server refused it"));
    }
    Ok(answer.pointer(&format!("/{action}/success")).and_then(Value::as_array).map_or(0, Vec::len))
}

/// The variables of a file. Masked values are passed over and told: an export does not hold secrets.
fn variables_of(file: Map<String, Value>) -> Result<Vec<Value>> {
    let mut entities = Vec::with_capacity(file.len());
    for (key, value) in file {
        let entity = match value {
            // Airflow's form with a description; any other object is itself the value.
            Value::Object(fields)
                if fields.contains_key("value")
                    && fields.keys().all(|name| name == "value" || name == "description") =>
            {
                let description = fields.get("description").cloned().unwrap_or_default();
                json!({"key": key, "value": fields["value"], "description": description})
            }
            value => json!({"key": key, "value": value}),
        };
        if entity["value"] == MASK && is_sensitive(&key) {
            eprintln!("Variable {key} is passed over: the file has {MASK} instead of its value.");
        } else {
            entities.push(entity);
        }
    }
    if entities.is_empty() {
        bail!("the file has no variable to import");
    }
    Ok(entities)
}

/// The connections of a file: objects or URIs. One with a masked password is passed over and told.
fn connections_of(file: Map<String, Value>) -> Result<Vec<Value>> {
    let mut entities = Vec::with_capacity(file.len());
    for (conn_id, value) in file {
        let text = match value {
            Value::String(uri) => uri,
            object => object.to_string(),
        };
        let fields = Connection::parse(&text).with_context(|| format!("the connection {conn_id} cannot be read"))?;
        let masked = |text: &Option<String>| text.as_deref().is_some_and(|text| text.contains(MASK));
        if fields.password.as_deref() == Some(MASK) || masked(&fields.extra) {
            eprintln!("Connection {conn_id} is passed over: the file has {MASK} instead of a secret.");
        } else {
            entities.push(entity_of(&conn_id, &fields)?);
        }
    }
    if entities.is_empty() {
        bail!("the file has no connection to import");
    }
    Ok(entities)
}

fn connection_of(flags: ConnectionFlags) -> Result<Value> {
    let fields = match (flags.conn_uri.or(flags.conn_json), flags.conn_type) {
        (Some(whole), _) => Connection::parse(&given(whole)?).context("the connection cannot be read")?,
        (None, conn_type) => Connection {
            conn_type: conn_type.unwrap_or_default(),
            description: flags.conn_description,
            host: flags.conn_host,
            schema: flags.conn_schema,
            login: flags.conn_login,
            password: flags.conn_password.map(given).transpose()?,
            port: flags.conn_port.map(i32::from),
            extra: flags.conn_extra,
        },
    };
    entity_of(&flags.conn_id, &fields)
}

fn entity_of(conn_id: &str, fields: &Connection) -> Result<Value> {
    let mut entity = serde_json::to_value(fields)?;
    entity["connection_id"] = conn_id.into();
    Ok(entity)
}

/// The text, or all of standard input for `-`.
fn given(text: String) -> Result<String> {
    if text == "-" { standard_input() } else { Ok(text) }
}

/// All of standard input, without the line break at its end.
pub(super) fn standard_input() -> Result<String> {
    let mut read = String::new();
    io::stdin().read_to_string(&mut read).context("reading standard input")?;
    Ok(read.strip_suffix('\n').unwrap_or(&read).to_owned())
}

fn read_object(file: &Path) -> Result<Map<String, Value>> {
    let text = if file == Path::new("-") {
        standard_input()?
    } else {
        fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?
    };
    serde_json::from_str(&text).with_context(|| format!("{} holds no JSON object", file.display()))
}

fn write(file: &Path, what: &str, exported: Map<String, Value>) -> Result<()> {
    let count = exported.len();
    let text = serde_json::to_string_pretty(&Value::Object(exported))?;
    if file == Path::new("-") {
        say(format_args!("{text}"))?;
    } else {
        fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))?;
        say(format_args!("{count} {what} written to {}; secrets in it are masked.", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_file_of_variables_has_values_with_or_without_a_description() {
        let file = object(json!({"a": "1", "b": {"value": [2], "description": "d"}, "c": {"x": 1}, "my_token": "***"}));
        let expected = [
            json!({"key": "a", "value": "1"}),
            json!({"key": "b", "value": [2], "description": "d"}),
            json!({"key": "c", "value": {"x": 1}}),
        ];
        assert_eq!(variables_of(file).unwrap(), expected);
    }

    #[test]
    fn a_file_of_connections_has_uris_or_fields() {
        let file = object(
            json!({"a": "http://me:pw@h", "b": {"conn_type": "ftp"}, "c": {"conn_type": "x", "password": "***"}}),
        );
        let found = connections_of(file).unwrap();
        let ids: Vec<&str> = found.iter().map(|entity| entity["connection_id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!((&found[0]["password"], &found[1]["conn_type"]), (&json!("pw"), &json!("ftp")));
        let error = connections_of(object(json!({"a": "hunter2"}))).unwrap_err();
        assert!(format!("{error:#}").contains("connection a") && !format!("{error:#}").contains("hunter2"));
    }
}
