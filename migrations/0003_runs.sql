-- Backfills (Airflow's tables): what was asked for, and one row for each of its dates. Notes of task instances.

create table backfill (
    id                     bigint generated always as identity constraint backfill_pkey primary key,
    dag_fk                 bigint      not null constraint backfill_dag_fkey references dag (id) on delete cascade,
    from_date              timestamptz not null,
    to_date                timestamptz not null,
    dag_run_conf           jsonb,
    is_paused              boolean     not null default false,
    reprocess_behavior     text        not null constraint backfill_reprocess_behavior_check
                                       check (reprocess_behavior in ('none', 'failed', 'completed')),
    run_backwards          boolean     not null,
    run_on_latest_version  boolean     not null,
    max_active_runs        integer     not null constraint backfill_max_active_runs_check check (max_active_runs > 0),
    triggering_user_name   text,
    created_at             timestamptz not null default now(),
    updated_at             timestamptz not null default now(),
    completed_at           timestamptz,
    -- It was cancelled and has queued runs left to fail; the scheduler does that in transactions of bounded size.
    is_cancelling          boolean     not null default false
);
create unique index backfill_active_key on backfill (dag_fk) where completed_at is null;
create index backfill_by_dag_idx on backfill (dag_fk, id);
create index backfill_cancelling_idx on backfill (id) where is_cancelling;

-- One row per date, written with the backfill; the scheduler then makes its run, or says why there is none.
create table backfill_dag_run (
    backfill_id          bigint      not null constraint backfill_dag_run_backfill_fkey references backfill (id) on delete cascade,
    -- The order of processing, from 1.
    sort_ordinal         integer     not null,
    logical_date         timestamptz not null,
    data_interval_start  timestamptz not null,
    data_interval_end    timestamptz not null,
    run_after            timestamptz not null,
    dag_run_id           bigint,
    exception_reason     text        constraint backfill_dag_run_exception_reason_check
                                     check (exception_reason in ('in flight', 'already exists', 'unknown')),
    constraint backfill_dag_run_pkey primary key (backfill_id, sort_ordinal),
    constraint backfill_dag_run_outcome_check check (dag_run_id is null or exception_reason is null)
);
-- The dates still to be processed.
create index backfill_dag_run_open_idx on backfill_dag_run (backfill_id, sort_ordinal)
    where dag_run_id is null and exception_reason is null;

-- It stays with the instance through its tries.
create table task_instance_note (
    dag_run_id  bigint      not null,
    task_id     text        not null,
    map_index   integer     not null,
    content     text        not null,
    user_name   text,
    updated_at  timestamptz not null default now(),
    constraint task_instance_note_pkey primary key (dag_run_id, task_id, map_index)
);
