-- What is told to people and programs: callbacks, notifications, deadlines.

-- Written in the transaction of the change it tells of, sent afterwards by schedulers, at least once. A queue, pruned by age.
create table outbox (
    -- Message-ID and Idempotency-Key.
    key          uuid        not null default gen_random_uuid() constraint outbox_pkey primary key,
    dag_run_id   bigint      not null,
    -- Empty: the run's own.
    task_id      text        not null,
    map_index    integer     not null,
    -- Of a run: its clear_number, so that a cleared run tells of its end again.
    try_number   integer     not null,
    event        text        not null constraint outbox_event_check
                             check (event in ('execute', 'success', 'failure', 'retry', 'skipped', 'deadline')),
    -- The callback's place in the task's or the DAG's list.
    rule         integer     not null,
    -- A copy: the DAG version may be gone when it is sent.
    action       jsonb       not null,
    kind         text        not null generated always as (action ->> 'action') stored,
    -- Who is told: a host, a connection, or '' for the configured mail server. None of them takes every slot of a kind.
    destination  text        not null generated always as (case action ->> 'action'
                                 when 'http' then coalesce(
                                     lower(substring(action ->> 'url' from '^[^/{]*//(?:[^/@]*@)?([^/?#]+)')), action ->> 'url', '')
                                 else coalesce(action ->> 'conn_id', '') end) stored,
    -- What was true at the change.
    facts        jsonb       not null,
    state        text        not null default 'pending' constraint outbox_state_check
                             -- running: a Python callback whose attempt is on its way to a node, on it, or lost.
                             check (state in ('pending', 'running', 'delivered', 'failed')),
    tries        integer     not null default 0,
    -- When it is tried next; while somebody tries it, when others may.
    due_at       timestamptz not null default now(),
    claimed_by   uuid,
    -- Of a Python callback: its attempt on a node, while `running` and after.
    attempt_id   uuid,
    last_error   text,
    created_at   timestamptz not null default now(),
    -- Somebody wanted it sent again: from then on it is as if it were new.
    retried_at   timestamptz,
    ended_at     timestamptz,
    constraint outbox_event_key unique (dag_run_id, task_id, map_index, try_number, event, rule),
    constraint outbox_running_check check (state <> 'running' or attempt_id is not null and claimed_by is null),
    constraint outbox_ended_check check ((ended_at is not null) = (state in ('delivered', 'failed')))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index outbox_due_idx on outbox (kind, destination, due_at) where state = 'pending';
create index outbox_ended_idx on outbox (ended_at) where ended_at is not null;
create index outbox_attempt_idx on outbox (attempt_id) where state = 'running';

-- By when a run must have ended well; made with the run, deleted when it does so in time.
create table deadline (
    dag_run_id    bigint      not null,
    -- Its place in the DAG's list.
    rule          integer     not null,
    reference     text        not null constraint deadline_reference_check
                              check (reference in ('logical_date', 'queued_at', 'fixed', 'average_runtime')),
    interval_s    double precision not null,
    deadline_time timestamptz not null,
    action        jsonb       not null,
    missed_at     timestamptz,
    constraint deadline_pkey primary key (dag_run_id, rule)
);
create index deadline_due_idx on deadline (deadline_time) where missed_at is null;
