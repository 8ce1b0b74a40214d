//! Which nodes are lost, and what becomes of what they had.
//!
//! Silence counts only while somebody could have heard it: webservers stamp one row; a gap in the stamps restarts all leases,
//! and when more than half of the live nodes fall silent at once they get one more lease before anybody is lost.

use std::{collections::BTreeSet, time::Duration};

use sqlx::Acquire;
use updraft_core::failpoint;

use crate::{Store, StoreError, nodes::inbox, wake::Signal};

/// Stamps come every 2 s; without one for this long nobody listens, and nobody is silent. Seconds.
const DEAF_AFTER_SECONDS: f64 = 6.0;

/// What a round found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Nodes lost in this round, by name.
    pub lost: Vec<String>,
    /// More than half of the nodes fell silent at once: they were given one more lease.
    pub grace: bool,
    /// Attempts that were never started in time.
    pub launch_timeouts: usize,
}

/// One round of the janitor: loses silent nodes, tells plan of the attempts of lost ones and of launches that took too long,
/// drops cancels past their deadline. Any number of schedulers may do it at once; every word is idempotent.
pub async fn round(store: &Store, lease: Duration) -> Result<Round, StoreError> {
    let mut transaction = store.begin().await?;
    let mut round = Round::default();
    let lease_seconds = lease.as_secs_f64();
    // The one row orders janitors; a second one waits here for milliseconds.
    let heard = sqlx::query!(
        r#"select stamped_at > now() - make_interval(secs => $1) as "hearing!", heard_since, grace_since,
                  heard_since < now() - make_interval(secs => $2) as "heard_a_lease!",
                  coalesce(grace_since > now() - make_interval(secs => $2), false) as "in_grace!",
                  coalesce(grace_since > now() - make_interval(secs => $2 * 2), false) as "grace_recent!"
           from liveness for no key update"#,
        DEAF_AFTER_SECONDS,
        lease_seconds
    )
    .fetch_one(&mut *transaction)
    .await?;
    if heard.hearing && !heard.in_grace {
        let silent = sqlx::query!(
            r#"select id, name from executor
               where state in ('active', 'draining')
                 and greatest(last_poll_at, $1) < now() - make_interval(secs => $2) order by id"#,
            heard.heard_since,
            lease_seconds
        )
        .fetch_all(&mut *transaction)
        .await?;
        if !silent.is_empty() {
            let live = sqlx::query_scalar!(
                r#"select count(*) as "live!" from executor where state in ('active', 'draining')"#
            )
            .fetch_one(&mut *transaction)
            .await?;
            // A fleet of one has no majority to compare with: its silence is its own.
            let most = live > 1 && silent.len() as i64 * 2 > live;
            if most && !heard.grace_recent {
                sqlx::query!("update liveness set grace_since = now()").execute(&mut *transaction).await?;
                round.grace = true;
            } else {
                let ids: Vec<i64> = silent.iter().map(|node| node.id).collect();
                sqlx::query!("update executor set state = 'lost' where id = any($1)", &ids)
                    .execute(&mut *transaction)
                    .await?;
                round.lost = silent.into_iter().map(|node| node.name).collect();
            }
        }
    }
    let connection = transaction.acquire().await?;
    // Of a callback there is none: its notice waits for a scheduler.
    let mut runs: BTreeSet<Option<i64>> = BTreeSet::new();
    // Also what was placed on a node between its last poll and its loss. An event that waits already is not repeated.
    runs.extend(
        sqlx::query_scalar!(
            "with pick as (
                 select a.attempt_id, e.name, e.last_poll_at
                 from attempt a join executor e on e.id = a.executor_id
                 where e.state in ('lost', 'offline') and not a.given_up
                 order by a.attempt_id for no key update of a
             ), lost as (
                 update attempt a set given_up = true from pick where a.attempt_id = pick.attempt_id
                 returning a.dag_run_id, a.task_id, a.map_index, a.attempt_id, a.kind, a.handed_at, pick.name, pick.last_poll_at
             ), told as (
                 insert into task_event (dag_run_id, task_id, map_index, attempt_id, kind, body)
                 select dag_run_id, task_id, map_index, attempt_id, $1,
                        jsonb_build_object('handed', handed_at is not null, 'reason',
                            'node ' || name || ' has not been heard of since ' || to_char(last_poll_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC')
                 from lost where kind = 'task'
             )
             select case kind when 'task' then dag_run_id end as run from lost",
            inbox::LOST
        )
        .fetch_all(&mut *connection)
        .await?,
    );
    // After a gap a node first gets the time of a lease to say that it prepares, or has long begun.
    if heard.hearing && heard.heard_a_lease {
        let late = sqlx::query_scalar!(
            "with late as (
                 update attempt set launch_deadline = null, given_up = true
                 where launch_deadline < now() and started_at is null and not given_up
                 returning dag_run_id, task_id, map_index, attempt_id, kind
             ), told as (
                 insert into task_event (dag_run_id, task_id, map_index, attempt_id, kind, body)
                 select dag_run_id, task_id, map_index, attempt_id, $1, '{}' from late where kind = 'task'
             )
             select case kind when 'task' then dag_run_id end as run from late",
            inbox::LAUNCH_TIMEOUT
        )
        .fetch_all(&mut *connection)
        .await?;
        round.launch_timeouts = late.len();
        runs.extend(late);
    }
    sqlx::query!("delete from attempt_cancel where deadline < now() - interval '1 minute'").execute(connection).await?;
    failpoint!("janitor.before_commit");
    transaction.commit().await?;
    failpoint!("janitor.after_commit");
    for run in runs {
        store.wake().ring(run.map_or(Signal::Outbox, Signal::Run));
    }
    Ok(round)
}
