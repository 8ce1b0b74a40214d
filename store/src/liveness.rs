//! Which nodes are lost, and what becomes of what they had.
//!
//! Silence counts only while somebody could have heard it: webservers stamp one row; a gap in the stamps restarts all leases,
//! and when more than half of the live nodes fall silent at once they get one more lease before anybody is lost.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use updraft_core::{failpoint, lease::Lease};

use crate::{
    Store, StoreError,
    nodes::{inbox, interval},
    wake::Signal,
};

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

/// What the one row of `liveness` says, at one moment.
struct Listening {
    /// Somebody listens.
    goes_on: bool,
    since: DateTime<Utc>,
    /// And has for a whole lease.
    for_a_lease: bool,
    /// The nodes have one more lease, because most of them fell silent at once.
    in_grace: bool,
    /// That lease began less than two leases ago: it is not given twice.
    grace_recent: bool,
}

/// One round of the janitor: loses silent nodes, tells plan of the attempts of lost ones and of launches that took too long,
/// drops cancels past their deadline. Any number of schedulers may do it at once; every word is idempotent.
pub async fn round(store: &Store, lease: Lease) -> Result<Round, StoreError> {
    let mut transaction = store.begin().await?;
    let mut round = Round::default();
    // The one row orders janitors; a second one waits here for milliseconds.
    let listening = sqlx::query_as!(
        Listening,
        r#"select stamped_at > now() - $1::interval as "goes_on!", heard_since as since,
                  heard_since < now() - $2::interval as "for_a_lease!",
                  coalesce(grace_since > now() - $2::interval, false) as "in_grace!",
                  coalesce(grace_since > now() - $2::interval * 2, false) as "grace_recent!"
           from liveness for no key update"#,
        interval(lease.deaf_after()),
        interval(lease.length())
    )
    .fetch_one(&mut *transaction)
    .await?;
    if listening.goes_on && !listening.in_grace {
        lose_silent(&mut transaction, lease, &listening, &mut round).await?;
    }
    // Of a callback there is none: its notice waits for a scheduler.
    let mut runs: BTreeSet<Option<i64>> = lose_attempts(&mut transaction, lease, &listening).await?;
    // After a gap a node first gets the time of a lease to say that it prepares, or has long begun.
    if listening.goes_on && listening.for_a_lease {
        let late = give_up_launches(&mut transaction).await?;
        round.launch_timeouts = late.len();
        runs.extend(late);
    }
    sqlx::query!("delete from attempt_cancel where deadline < now() - interval '1 minute'")
        .execute(&mut *transaction)
        .await?;
    // A node told of a run just when it was deleted. The inbox is small, `dag_run_pkey` serves the rest.
    sqlx::query!("delete from task_event e where not exists (select from dag_run r where r.id = e.dag_run_id)")
        .execute(&mut *transaction)
        .await?;
    failpoint!("janitor.before_commit");
    transaction.commit().await?;
    failpoint!("janitor.after_commit");
    for run in runs {
        store.wake().ring(run.map_or(Signal::Outbox, Signal::Run));
    }
    if !round.lost.is_empty() {
        store.wake().ring(Signal::Dispatch);
    }
    Ok(round)
}

/// Nodes that were silent for a lease are lost, unless they are most.
async fn lose_silent(
    connection: &mut PgConnection,
    lease: Lease,
    listening: &Listening,
    round: &mut Round,
) -> Result<(), StoreError> {
    let silent = sqlx::query!(
        "select id, name from executor
         where state in ('active', 'draining') and greatest(last_poll_at, $1) < now() - $2::interval order by id",
        listening.since,
        interval(lease.length())
    )
    .fetch_all(&mut *connection)
    .await?;
    if silent.is_empty() {
        return Ok(());
    }
    let live = sqlx::query_scalar!(r#"select count(*) as "live!" from executor where state in ('active', 'draining')"#)
        .fetch_one(&mut *connection)
        .await?;
    // A fleet of one has no majority to compare with: its silence is its own.
    let most = live > 1 && silent.len() as i64 * 2 > live;
    if most && !listening.grace_recent {
        sqlx::query!("update liveness set grace_since = now()").execute(connection).await?;
        round.grace = true;
        return Ok(());
    }
    let ids: Vec<i64> = silent.iter().map(|node| node.id).collect();
    sqlx::query!("update executor set state = 'lost' where id = any($1)", &ids).execute(connection).await?;
    round.lost = silent.into_iter().map(|node| node.name).collect();
    Ok(())
}

/// Tells plan of the attempts of nodes that are gone; each one's run, if it is a task's. Also of what was placed on a node between
/// its last poll and its loss. An event that waits already is not repeated.
///
/// A node that said that it ends is expected back for a lease: its containers go on meanwhile. What it never got is placed anew at
/// once.
async fn lose_attempts(
    connection: &mut PgConnection,
    lease: Lease,
    listening: &Listening,
) -> Result<BTreeSet<Option<i64>>, StoreError> {
    let runs = sqlx::query_scalar!(
        "with pick as (
             select a.attempt_id, e.name, e.last_poll_at
             from attempt a join executor e on e.id = a.executor_id
             where not a.given_up
               and (e.state = 'lost'
                    or e.state = 'offline'
                       and (a.handed_at is null or $2 and greatest(e.last_poll_at, $3) < now() - $4::interval))
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
        inbox::LOST,
        listening.goes_on,
        listening.since,
        interval(lease.length())
    )
    .fetch_all(connection)
    .await?;
    Ok(runs.into_iter().collect())
}

/// Tells plan of the attempts that their nodes did not start in time; each one's run, if it is a task's.
async fn give_up_launches(connection: &mut PgConnection) -> Result<Vec<Option<i64>>, StoreError> {
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
    .fetch_all(connection)
    .await?;
    Ok(late)
}
