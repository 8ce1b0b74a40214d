//! Dispatch classes: what dispatch treats alike, as small ids.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
};

use sqlx::PgConnection;
use updraft_core::{
    dag::{Dag, Task},
    dispatch::{Cap, Class, TRIGGERER},
    operator::{OperatorKind, Place},
};

use crate::{StoreError, plan::Planned};

/// What makes a class; `selector` in one canonical spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    pool: String,
    pool_slots: i32,
    queue: String,
    selector: String,
    runner: &'static str,
    capped: Option<String>,
    cap: Option<i32>,
}

/// The classes this process has met; ids never change. Cheap to clone.
#[derive(Clone, Default)]
pub struct Classes {
    known: Arc<Mutex<HashMap<Key, i64>>>,
}

impl Classes {
    /// Makes sure that every class of the plans' new attempts has an id: no statement when all are known.
    pub(crate) async fn prepare(
        &self,
        connection: &mut PgConnection,
        planned: &[Planned<'_>],
    ) -> Result<(), StoreError> {
        let mut missing: BTreeSet<Key> = BTreeSet::new();
        {
            let known = self.lock();
            for one in planned {
                for new in &one.plan.attempts {
                    let key = key(&one.state.dag, &one.state.dag.tasks[new.key.task]);
                    if !known.contains_key(&key) {
                        missing.insert(key);
                    }
                }
            }
        }
        for key in missing {
            self.make(connection, key).await?;
        }
        Ok(())
    }

    /// The class of a task's callbacks: they run where a process of the task would, in no pool.
    pub(crate) async fn of_callbacks(&self, connection: &mut PgConnection, task: &Task) -> Result<i64, StoreError> {
        let key = Key {
            pool: String::new(),
            pool_slots: 0,
            queue: task.queue.clone(),
            selector: canonical(task),
            runner: PROCESS,
            capped: None,
            cap: None,
        };
        let known = self.lock().get(&key).copied();
        match known {
            Some(id) => Ok(id),
            None => self.make(connection, key).await,
        }
    }

    async fn make(&self, connection: &mut PgConnection, key: Key) -> Result<i64, StoreError> {
        let selector: serde_json::Value = serde_json::from_str(&key.selector)?;
        // Two statements: ON CONFLICT DO NOTHING returns no row for a class that another process made.
        sqlx::query!(
            "insert into dispatch_class (pool, pool_slots, queue, selector, runner, cap_key, cap)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
            key.pool,
            key.pool_slots,
            key.queue,
            selector,
            key.runner,
            key.capped,
            key.cap
        )
        .execute(&mut *connection)
        .await?;
        let id = sqlx::query_scalar!(
            "select id from dispatch_class
             where pool = $1 and pool_slots = $2 and queue = $3 and selector = $4 and runner = $5
               and cap_key is not distinct from $6 and cap is not distinct from $7",
            key.pool,
            key.pool_slots,
            key.queue,
            selector,
            key.runner,
            key.capped,
            key.cap
        )
        .fetch_one(&mut *connection)
        .await?;
        self.lock().insert(key, id);
        Ok(id)
    }

    /// The id of a task's class.
    ///
    /// # Errors
    /// [`StoreError::Inconsistent`] when [`Self::prepare`] did not see the task.
    pub(crate) fn id(&self, dag: &Dag, task: &Task) -> Result<i64, StoreError> {
        self.lock()
            .get(&key(dag, task))
            .copied()
            .ok_or_else(|| StoreError::Inconsistent(format!("task {} has no dispatch class", task.task_id)))
    }

    /// Forgets everything: after a rollback an id may never have existed.
    pub fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, i64>> {
        self.known.lock().expect("nothing panics while it holds the lock")
    }
}

fn key(dag: &Dag, task: &Task) -> Key {
    Key {
        pool: task.pool.clone(),
        pool_slots: i32::try_from(task.pool_slots).unwrap_or(i32::MAX),
        queue: task.queue.clone(),
        selector: canonical(task),
        runner: runner(task),
        capped: task.max_active_tis_per_dag.map(|_| format!("{}/{}", dag.dag_id, task.task_id)),
        cap: task.max_active_tis_per_dag.map(|cap| i32::try_from(cap).unwrap_or(i32::MAX)),
    }
}

/// The labels of the nodes a task may go to.
fn canonical(task: &Task) -> String {
    let mut selector: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (label, values) in &task.worker_selector {
        let mut values: Vec<&str> = values.iter().map(String::as_str).collect();
        values.sort_unstable();
        selector.insert(label, values);
    }
    serde_json::to_string(&selector).expect("text keys")
}

/// The runner of what is a process of its node.
const PROCESS: &str = "process";

/// The runner a task needs on its node.
fn runner(task: &Task) -> &'static str {
    match task.operator {
        operator if operator.place() == Place::Triggerer => TRIGGERER,
        OperatorKind::Docker | OperatorKind::KubernetesPod => "docker",
        OperatorKind::Bash
        | OperatorKind::Python
        | OperatorKind::BranchPython
        | OperatorKind::ShortCircuitPython
        | OperatorKind::BashSensor
        | OperatorKind::PythonSensor
            if task.args.get("image").is_some_and(|image| !image.is_null()) =>
        {
            "docker"
        }
        OperatorKind::Bash
        | OperatorKind::Python
        | OperatorKind::BranchPython
        | OperatorKind::ShortCircuitPython
        | OperatorKind::BashSensor
        | OperatorKind::PythonSensor => PROCESS,
        _ => "native",
    }
}

/// Every class. A small table; read at each dispatch so that two processes never differ.
pub(super) async fn all(connection: &mut PgConnection) -> Result<HashMap<i64, Class>, StoreError> {
    let rows = sqlx::query!("select id, pool, pool_slots, queue, selector, runner, cap_key, cap from dispatch_class")
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(|row| {
            let class = Class {
                id: row.id,
                pool: row.pool,
                pool_slots: u32::try_from(row.pool_slots).unwrap_or(0),
                queue: row.queue,
                selector: serde_json::from_value(row.selector)?,
                runner: row.runner,
                cap: row
                    .cap_key
                    .zip(row.cap.and_then(|cap| u32::try_from(cap).ok()))
                    .map(|(of, limit)| Cap { of, limit }),
            };
            Ok((row.id, class))
        })
        .collect()
}
