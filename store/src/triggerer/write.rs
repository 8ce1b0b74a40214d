//! Writing what looks decided.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use updraft_core::triggerer::{Memory, RETURN_VALUE};
use uuid::Uuid;

use super::Claimed;
use crate::{
    StoreError,
    nodes::inbox,
    xcom::{self, sanitised},
};

/// How an attempt waits.
#[derive(Clone, Debug)]
pub struct Waits {
    /// For a person, else for something.
    pub for_input: bool,
    /// `None`: only something that happens wakes it.
    pub until: Option<DateTime<Utc>>,
    pub memory: Memory,
    /// The run whose end wakes it.
    pub awaits_run: Option<i64>,
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub struct Finish {
    pub body: inbox::Finished,
    /// Key and value.
    pub xcoms: Vec<(String, Value)>,
    /// A mapping that is the result pushes each of its keys too.
    pub multiple_outputs: bool,
}

/// What a look leads to.
#[derive(Clone, Debug)]
pub enum Written {
    Waits(Waits),
    Finish(Box<Finish>),
}

/// Writes what became of claimed attempts, in the transaction that locked them; returns their runs, to be rung after the commit.
///
/// Three statements at most, whatever the number.
pub async fn write(connection: &mut PgConnection, looked: &[(&Claimed, Written)]) -> Result<BTreeSet<i64>, StoreError> {
    let mut runs = BTreeSet::new();
    let mut events = Events::default();
    let mut xcoms = XComs::default();
    let mut waiting: Vec<(Uuid, &Waits)> = Vec::new();
    let mut ended = Vec::new();
    for (claimed, written) in looked {
        match written {
            Written::Waits(waits) => {
                waiting.push((claimed.attempt.attempt_id, waits));
                if !claimed.is_waiting {
                    let kind = if waits.for_input { inbox::AWAITING_INPUT } else { inbox::DEFERRED };
                    events.push(claimed, kind, Value::Object(serde_json::Map::new()));
                    runs.insert(claimed.attempt.dag_run_id);
                }
            }
            Written::Finish(finish) => {
                ended.push(claimed.attempt.attempt_id);
                events.push(claimed, inbox::FINISHED, sanitised(serde_json::to_value(&finish.body)?));
                runs.insert(claimed.attempt.dag_run_id);
                for (key, value) in &finish.xcoms {
                    if let Value::Object(entries) = value
                        && finish.multiple_outputs
                        && key == RETURN_VALUE
                    {
                        entries.iter().for_each(|(key, value)| xcoms.push(claimed, key, value));
                    }
                    xcoms.push(claimed, key, value);
                }
            }
        }
    }
    update(connection, &waiting, &ended).await?;
    events.insert(connection).await?;
    xcoms.insert(connection).await?;
    Ok(runs)
}

/// The rows are locked by this transaction. An ended attempt is never due again: plan deletes it.
async fn update(connection: &mut PgConnection, waiting: &[(Uuid, &Waits)], ended: &[Uuid]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = waiting.iter().map(|(id, _)| *id).collect();
    let until: Vec<Option<DateTime<Utc>>> = waiting.iter().map(|(_, waits)| waits.until.filter(in_calendar)).collect();
    let states: Vec<Value> =
        waiting.iter().map(|(_, waits)| serde_json::to_value(&waits.memory)).collect::<Result<_, _>>()?;
    let kinds: Vec<String> = waiting
        .iter()
        .map(|(_, waits)| if waits.for_input { "awaiting_input" } else { "deferred" }.to_owned())
        .collect();
    let awaited: Vec<Option<i64>> = waiting.iter().map(|(_, waits)| waits.awaits_run).collect();
    sqlx::query!(
        "with ended as (
             update attempt set trigger_at = 'infinity', waits = null, awaits_run = null where attempt_id = any($6)
         )
         update attempt a
         set trigger_at = coalesce(w.until, 'infinity'), trigger_state = w.state, waits = w.kind, awaits_run = w.awaits_run
         from unnest($1::uuid[], $2::timestamptz[], $3::jsonb[], $4::text[], $5::bigint[])
              as w (attempt_id, until, state, kind, awaits_run)
         where a.attempt_id = w.attempt_id",
        &ids,
        &until as &[Option<DateTime<Utc>>],
        &states,
        &kinds,
        &awaited as &[Option<i64>],
        ended
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Postgres' calendar ends before chrono's; nothing waits that long.
fn in_calendar(at: &DateTime<Utc>) -> bool {
    at.timestamp() < 9_000_000_000_000
}

/// Inbox rows, column by column.
#[derive(Default)]
struct Events {
    runs: Vec<i64>,
    tasks: Vec<String>,
    indexes: Vec<i32>,
    ids: Vec<Uuid>,
    kinds: Vec<String>,
    bodies: Vec<Value>,
}

impl Events {
    fn push(&mut self, claimed: &Claimed, kind: &str, body: Value) {
        self.runs.push(claimed.attempt.dag_run_id);
        self.tasks.push(claimed.attempt.task_id.clone());
        self.indexes.push(claimed.attempt.map_index);
        self.ids.push(claimed.attempt.attempt_id);
        self.kinds.push(kind.to_owned());
        self.bodies.push(body);
    }

    async fn insert(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        if self.ids.is_empty() {
            return Ok(());
        }
        sqlx::query!(
            "insert into task_event (dag_run_id, task_id, map_index, attempt_id, kind, body)
             select * from unnest($1::bigint[], $2::text[], $3::integer[], $4::uuid[], $5::text[], $6::jsonb[])",
            &self.runs,
            &self.tasks,
            &self.indexes,
            &self.ids,
            &self.kinds,
            &self.bodies
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// XComs, column by column.
#[derive(Default)]
struct XComs {
    runs: Vec<i64>,
    tasks: Vec<String>,
    indexes: Vec<i32>,
    keys: Vec<String>,
    values: Vec<Value>,
    lengths: Vec<Option<i32>>,
}

impl XComs {
    fn push(&mut self, claimed: &Claimed, key: &str, value: &Value) {
        let value = sanitised(value.clone());
        self.runs.push(claimed.attempt.dag_run_id);
        self.tasks.push(claimed.attempt.task_id.clone());
        self.indexes.push(claimed.attempt.map_index);
        self.keys.push(key.to_owned());
        self.lengths.push(xcom::length(&value));
        self.values.push(value);
    }

    async fn insert(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        if self.keys.is_empty() {
            return Ok(());
        }
        // A result with a key of its own name: the last one counts, and a statement may touch a row only once.
        sqlx::query!(
            "insert into xcom (dag_run_id, task_id, map_index, key, value, length, size)
             select distinct on (run, task_id, map_index, key) run, task_id, map_index, key, value, length,
                    octet_length(value::text)
             from unnest($1::bigint[], $2::text[], $3::integer[], $4::text[], $5::jsonb[], $6::integer[]) with ordinality
                  as x (run, task_id, map_index, key, value, length, n)
             order by run, task_id, map_index, key, n desc
             on conflict (dag_run_id, task_id, map_index, key) do update
             set value = excluded.value, place = null, length = excluded.length, size = excluded.size, timestamp = now()",
            &self.runs,
            &self.tasks,
            &self.indexes,
            &self.keys,
            &self.values,
            &self.lengths as &[Option<i32>]
        )
        .execute(connection)
        .await?;
        Ok(())
    }
}
