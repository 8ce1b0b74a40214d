-- The state of a deployment. Airflow's names for tables and columns where Airflow has one; docs/ARCHITECTURE.md says who
-- writes what under which lock. Rules: bigint keys inside, Airflow's string keys at the API; per-run tables begin their
-- primary key with dag_run_id, have no foreign keys among themselves or to dag_run and no unique constraint without it (so
-- that they can be partitioned by ATTACH later); no index names a task_instance column that changes during a run.

-- ── DAG files ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Code by content: what nodes fetch and run from. `content` is a tar.gz.
create table bundle (
    hash        text        not null constraint bundle_pkey primary key,
    content     bytea       not null,
    size        bigint      not null,
    created_at  timestamptz not null default now()
);

-- What the DAG processor last saw of each file; survives a restart, so that an unchanged file is not compiled again.
create table dag_file (
    bundle_name       text        not null,
    relative_fileloc  text        not null,
    -- Hash of the file and of everything it was compiled from; empty while something about the file is unsettled (a DAG
    -- that is about to go, an id that another file holds), so that a restart compiles it again.
    fingerprint       text        not null,
    -- Every path the compiler asked for, found or not, relative to the folder.
    dependencies      text[]      not null default '{}',
    -- Those of them that are included: no DAG files themselves.
    includes          text[]      not null default '{}',
    last_parsed_time  timestamptz not null default now(),
    last_parse_duration double precision not null default 0,
    constraint dag_file_pkey primary key (bundle_name, relative_fileloc)
);

create table dag (
    id                          bigint generated always as identity constraint dag_pkey primary key,
    dag_id                      text        not null constraint dag_dag_id_key unique,
    dag_display_name            text        not null,
    description                 text,
    is_paused                   boolean     not null default false,
    is_stale                    boolean     not null default false,
    bundle_name                 text        not null,
    relative_fileloc            text        not null,
    fileloc                     text        not null,
    owners                      text        not null default '',
    tags                        text[]      not null default '{}',
    timetable_summary           text,
    timetable_description       text,
    max_active_runs             integer     not null default 16,
    max_active_tasks            integer     not null default 16,
    max_consecutive_failed_dag_runs integer not null default 0,
    has_import_errors           boolean     not null default false,
    latest_version_id           bigint,
    last_parsed_time            timestamptz not null default now(),
    last_parse_duration         double precision,
    last_expired                timestamptz,
    next_dagrun                 timestamptz,             -- logical date
    next_dagrun_data_interval_start timestamptz,
    next_dagrun_data_interval_end   timestamptz,
    next_dagrun_create_after    timestamptz,             -- run_after
    created_at                  timestamptz not null default now(),
    -- When max_active_runs or max_active_tasks was last lowered; see limit_lowered.
    lowered_at                  timestamptz not null default now()
) with (fillfactor = 80);
create index dag_next_dagrun_create_after_idx on dag (next_dagrun_create_after) where not is_paused and not is_stale;

create table dag_version (
    id              bigint generated always as identity constraint dag_version_pkey primary key,
    uuid            uuid        not null default gen_random_uuid() constraint dag_version_uuid_key unique,
    dag_fk          bigint      not null constraint dag_version_dag_fkey references dag (id) on delete cascade,
    version_number  integer     not null,
    hash            text        not null,
    -- The compiled DAG. json, not jsonb: key order is kept (params are shown in file order, the hash can be recomputed).
    -- An id's data never changes: a version updated in place gets a new id, so caches by id are never stale.
    data            json        not null,
    source          text        not null,                -- the file's text, for dagSources
    bundle_name     text        not null,
    bundle_version  text,                                -- a git commit, or null for a folder
    bundle_hash     text,
    created_at      timestamptz not null default now(),
    last_updated    timestamptz not null default now(),
    constraint dag_version_number_key unique (dag_fk, version_number)
);

create table import_error (
    id           bigint generated always as identity constraint import_error_pkey primary key,
    bundle_name  text        not null,
    filename     text        not null,
    stacktrace   text        not null,                   -- rendered diagnostics, Airflow's column name
    diagnostics  jsonb       not null default '[]',
    timestamp    timestamptz not null default now(),
    constraint import_error_file_key unique (bundle_name, filename)
);

-- ── Runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

create table dag_run (
    id                       bigint generated always as identity constraint dag_run_pkey primary key,
    dag_fk                   bigint      not null constraint dag_run_dag_fkey references dag (id),
    run_id                   text        not null,
    -- Random at each commit that changes the run's plan state; a cached run is valid only while its tag is the row's.
    tag                      bigint      not null,
    state                    text        not null constraint dag_run_state_check
                                         check (state in ('queued', 'running', 'success', 'failed')),
    run_type                 text        not null constraint dag_run_type_check
                                         check (run_type in ('scheduled', 'manual', 'backfill', 'operator_triggered',
                                                             'asset_triggered', 'asset_materialization')),
    logical_date             timestamptz,
    data_interval_start      timestamptz,
    data_interval_end        timestamptz,
    run_after                timestamptz not null,
    queued_at                timestamptz,
    start_date               timestamptz,
    end_date                 timestamptz,
    last_scheduling_decision timestamptz,
    -- When the run must be looked at again though nothing happens (a retry is due, a timeout passes); API mutations set it to now.
    wake_at                  timestamptz,
    triggered_by             text,
    triggering_user_name     text,
    dag_version_id           bigint      not null,
    bundle_version           text,
    bundle_hash              text,                       -- of a pinned run: the code of its commit
    -- Who set its final state; null: its tasks did.
    marked_by                text,
    clear_number             integer     not null default 0,
    -- The backfill it belongs to, and its place in that (1 is first); no foreign key, as between all per-run tables.
    backfill_id              bigint,
    backfill_ordinal         integer,
    -- It failed, and max_consecutive_failed_dag_runs has not been looked at since.
    failure_unseen           boolean     not null default false,
    -- Why the scheduler gave up planning it; a quarantined run is shown, never silently stuck.
    quarantine_reason        text,
    plan_failures            integer     not null default 0,
    updated_at               timestamptz not null default now(),
    constraint dag_run_run_id_key unique (dag_fk, run_id),
    constraint dag_run_logical_date_key unique (dag_fk, logical_date),
    constraint dag_run_end_date_check check (end_date is null or state in ('success', 'failed'))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
create index dag_run_wake_at_idx on dag_run (wake_at) where wake_at is not null;
create index dag_run_active_idx on dag_run (dag_fk, state) where state in ('queued', 'running');
create index dag_run_queued_idx on dag_run (run_after) where state = 'queued';
create index dag_run_backfill_idx on dag_run (backfill_id) where backfill_id is not null and state in ('queued', 'running');
create index dag_run_failure_unseen_idx on dag_run (dag_fk) where failure_unseen;
-- Written once, when the run is made; asked when old bundles are deleted.
create index dag_run_bundle_hash_idx on dag_run (bundle_hash) where bundle_hash is not null;
create index dag_run_by_dag_idx on dag_run (dag_fk, id desc);

create table dag_run_conf (
    dag_run_id  bigint not null constraint dag_run_conf_pkey primary key,
    conf        jsonb  not null
);

create table dag_run_note (
    dag_run_id  bigint      not null constraint dag_run_note_pkey primary key,
    content     text        not null,
    user_name   text,
    updated_at  timestamptz not null default now()
);

create table task_instance (
    dag_run_id         bigint      not null,
    task_id            text        not null,
    map_index          integer     not null default -1,
    -- Airflow's task instance id: new for every launch and at every clear; equals attempt.attempt_id while that row exists.
    attempt_id         uuid        not null,
    -- A display copy for scheduled, queued and running; the truth about those three is the attempt row.
    state              text        not null default 'none' constraint task_instance_state_check
                                   check (state in ('none', 'scheduled', 'queued', 'running', 'restarting', 'up_for_retry',
                                                    'up_for_reschedule', 'deferred', 'awaiting_input', 'success', 'skipped',
                                                    'failed', 'upstream_failed', 'removed')),
    try_number         integer     not null default 0,
    max_tries          integer     not null default 0,
    scheduled_dttm     timestamptz,
    queued_dttm        timestamptz,
    start_date         timestamptz,
    end_date           timestamptz,
    next_retry_at      timestamptz,
    -- A cleared running task starts anew only after this attempt's stop is confirmed or the deadline passes.
    stopping_attempt   uuid,
    stop_deadline      timestamptz,
    hostname           text        not null default '',
    pid                integer,
    operator           text        not null,
    pool               text        not null,
    pool_slots         integer     not null default 1,
    queue              text        not null,
    priority_weight    integer     not null default 1,
    -- Written once, with the end: why the last try failed.
    failure_class      text,
    failure_reason     text,
    exit_code          bigint,
    rendered_fields    jsonb,
    -- The label of a mapped instance (map_index_template).
    rendered_map_index text,
    -- How often a sensor was asked in this try.
    reschedules        integer     not null default 0,
    -- What a branching task decided, for when its downstreams are cleared (Airflow's XCom skipmixin_key).
    skipmixin          jsonb,
    -- The version of the DAG it became ready or was decided in; null before: the run's.
    dag_version_id     bigint,
    updated_at         timestamptz not null default now(),
    constraint task_instance_pkey primary key (dag_run_id, task_id, map_index),
    constraint task_instance_end_date_check check (end_date is null or state not in ('queued', 'running'))
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- Earlier tries, archived before the next begins.
create table task_instance_history (
    dag_run_id       bigint      not null,
    task_id          text        not null,
    map_index        integer     not null,
    try_number       integer     not null,
    attempt_id       uuid        not null,
    state            text        not null,
    max_tries        integer     not null,
    scheduled_dttm   timestamptz,
    queued_dttm      timestamptz,
    start_date       timestamptz,
    end_date         timestamptz,
    hostname         text        not null default '',
    pid              integer,
    operator         text        not null,
    pool             text        not null,
    pool_slots       integer     not null,
    queue            text        not null,
    priority_weight  integer     not null,
    failure_class    text,
    failure_reason   text,
    exit_code        bigint,
    rendered_fields  jsonb,
    rendered_map_index text,
    dag_version_id   bigint,
    -- A try that was cleared, decided again without running and cleared once more is archived once: as it ran.
    constraint task_instance_history_pkey primary key (dag_run_id, task_id, map_index, try_number)
);

-- The row exists ⇔ the attempt is current. The fence is one DELETE.
create table attempt (
    attempt_id       uuid        not null constraint attempt_pkey primary key,
    -- A callback is a notice's (outbox), no task instance's; its task, map index and try are where its log belongs.
    kind             text        not null default 'task' constraint attempt_kind_check check (kind in ('task', 'callback')),
    dag_run_id       bigint      not null,
    task_id          text        not null,
    map_index        integer     not null,
    try_number       integer     not null,
    dag_fk           bigint      not null,
    class_id         bigint      not null,
    priority_weight  integer     not null,
    -- Dispatch order within a class: priority, then the run's date, then the map index, then the row's own order.
    run_order        timestamptz not null,
    pool             text        not null,
    pool_slots       integer     not null,
    executor_id      bigint,
    created_at       timestamptz not null default now(),
    placed_at        timestamptz,
    handed_at        timestamptz,
    started_at       timestamptz,
    -- What ends an attempt that its node never starts; extended while an image is pulled.
    launch_deadline  timestamptz,
    -- The inbox has its end (lost, or never started): it must not be handed out again while plan has not applied that.
    given_up         boolean     not null default false,
    -- Set: the triggerer, a loop of the scheduler, works on it, and looks then; 'infinity' while it waits for something that
    -- wakes it. Null: dispatch places it on a node, or sets this where max_active_tis_per_dag limits a task of the triggerer's.
    trigger_at       timestamptz,
    -- What the triggerer remembers between looks (core's `triggerer::Memory`); null before the first.
    trigger_state    jsonb,
    -- It waits without holding a slot, for something or for a person.
    waits            text        constraint attempt_waits_check check (waits in ('deferred', 'awaiting_input')),
    -- The run whose end it waits for.
    awaits_run       bigint,
    constraint attempt_trigger_check check (trigger_at is null or executor_id is null),
    constraint attempt_placed_check check ((executor_id is null) = (placed_at is null)),
    constraint attempt_handed_check check (handed_at is null or executor_id is not null)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
-- In the order of dispatch; it walks from run to run. The priority is negated so that one comparison of rows finds the next.
create index attempt_waiting_idx on attempt
    (class_id, (-priority_weight::bigint), run_order, dag_run_id, map_index, created_at)
    where executor_id is null and trigger_at is null;
create index attempt_trigger_idx on attempt (trigger_at) where trigger_at is not null;
create index attempt_awaits_run_idx on attempt (awaits_run) where awaits_run is not null;
create index attempt_triggerers_idx on attempt (class_id) where trigger_at is not null;
create index attempt_deferred_idx on attempt (pool) where waits = 'deferred';
create index attempt_placed_idx on attempt (executor_id) where executor_id is not null;
create index attempt_run_idx on attempt (dag_run_id);

-- What dispatch treats alike. Small; rows are made when a task of that kind first becomes ready and never change.
create table dispatch_class (
    id          bigint generated always as identity constraint dispatch_class_pkey primary key,
    pool        text    not null,
    pool_slots  integer not null,
    queue       text    not null,
    selector    jsonb   not null default '{}',
    runner      text    not null,
    -- max_active_tis_per_dag: the cap and whose it is; null for most.
    cap_key     text,
    cap         integer,
    constraint dispatch_class_key unique nulls not distinct (pool, pool_slots, queue, selector, runner, cap_key, cap)
);

-- The inbox: everything that happens to a task enters here and is deleted by the plan that applied (or refused) it.
create table task_event (
    id          bigint generated always as identity,
    dag_run_id  bigint      not null,
    task_id     text        not null,
    map_index   integer     not null default -1,
    attempt_id  uuid        not null,
    kind        text        not null,
    body        jsonb       not null,
    created_at  timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
create index task_event_run_idx on task_event (dag_run_id, id);

-- Stops to tell the nodes about: offered at each poll until confirmed or past the deadline.
create table attempt_cancel (
    attempt_id   uuid        not null constraint attempt_cancel_pkey primary key,
    dag_run_id   bigint      not null,
    task_id      text        not null,
    map_index    integer     not null,
    executor_id  bigint      not null,
    reason       text        not null,
    grace_ms     bigint      not null,
    created_at   timestamptz not null default now(),
    deadline     timestamptz not null
);
create index attempt_cancel_executor_idx on attempt_cancel (executor_id);

create table xcom (
    dag_run_id  bigint      not null,
    task_id     text        not null,
    map_index   integer     not null default -1,
    key         text        not null,
    value       jsonb,
    -- A large value is a file of the log folder, at this place (store/src/objects.rs).
    place       text,
    -- Bytes of the value as JSON.
    size        bigint      not null,
    -- Items of a list, entries of a mapping, null for anything else: what mapping over it needs.
    length      integer,
    timestamp   timestamptz not null default now(),
    constraint xcom_pkey primary key (dag_run_id, task_id, map_index, key),
    constraint xcom_value_check check ((value is null) <> (place is null))
);

-- Files of the log folder that no row names: to be deleted when due. A place stands here before its file is written, and goes
-- with the statement that makes a row name it.
create table object_garbage (
    place  text        not null constraint object_garbage_pkey primary key,
    due    timestamptz not null default now()
);
create function object_garbage_add() returns trigger language plpgsql as $$
begin
    insert into object_garbage (place) values (old.place) on conflict (place) do nothing;
    return null;
end $$;
create trigger xcom_deleted after delete on xcom
    for each row when (old.place is not null) execute function object_garbage_add();
create trigger xcom_replaced after update on xcom
    for each row when (old.place is not null and old.place is distinct from new.place) execute function object_garbage_add();

-- Which attempts' logs exist, also of fenced ones. A sensor that is asked again and again keeps those of its latest looks.
create table attempt_log (
    dag_run_id  bigint      not null,
    -- The order of the hand-outs: attempt ids are random.
    seq         bigint      not null generated always as identity,
    attempt_id  uuid        not null,
    task_id     text        not null,
    map_index   integer     not null,
    try_number  integer     not null,
    executor_id bigint      not null,
    -- As attempt's: a callback's log follows that of the try.
    kind        text        not null default 'task',
    constraint attempt_log_pkey primary key (dag_run_id, attempt_id)
);
create index attempt_log_attempt_idx on attempt_log (attempt_id);

-- ── Capacity ─────────────────────────────────────────────────────────────────────────────────────────────────────────

create table slot_pool (
    id                bigint generated always as identity constraint slot_pool_pkey primary key,
    pool              text    not null constraint slot_pool_pool_key unique,
    slots             integer not null constraint slot_pool_slots_check check (slots >= -1),   -- -1: infinite
    description       text,
    include_deferred  boolean not null default false,
    lowered_at        timestamptz not null default now()
);
insert into slot_pool (pool, slots, description) values ('default_pool', 128, 'Default pool');

create table executor_token (
    id          bigint generated always as identity constraint executor_token_pkey primary key,
    name        text        not null,
    hash        text        not null constraint executor_token_hash_key unique,   -- SHA-256 of the token, hex
    created_at  timestamptz not null default now(),
    revoked_at  timestamptz
);

create table executor (
    id             bigint generated always as identity constraint executor_pkey primary key,
    name           text        not null constraint executor_name_key unique,
    identity       uuid        not null,
    session        uuid        not null constraint executor_session_key unique,
    token_id       bigint      not null constraint executor_token_fkey references executor_token (id),
    state          text        not null constraint executor_state_check check (state in ('active', 'draining', 'lost', 'offline')),
    hostname       text        not null,
    version        text        not null,
    slots          integer     not null constraint executor_slots_check check (slots >= 0),
    labels         jsonb       not null default '{}',
    queues         text[]      not null default '{default}',
    runners        jsonb       not null default '[]',
    stats          jsonb       not null default '{}',
    registered_at  timestamptz not null default now(),
    last_poll_at   timestamptz not null default now(),
    -- The turn of round-robin: the node assigned longest ago is next. A column, so that a restart does not reset it.
    last_assigned  bigint      not null default 0,
    lowered_at     timestamptz not null default now()
) with (fillfactor = 50);

-- A limit that is lowered ends nothing: what is over it since is legal (`updraft db check` judges what began later).
create function limit_lowered() returns trigger language plpgsql as $$
begin
    new.lowered_at := clock_timestamp();
    return new;
end $$;
create trigger dag_lowered before update on dag
    for each row when (new.max_active_runs < old.max_active_runs or new.max_active_tasks < old.max_active_tasks)
    execute function limit_lowered();
create trigger slot_pool_lowered before update on slot_pool
    for each row when (new.slots >= 0 and (old.slots < 0 or new.slots < old.slots)
                       or new.include_deferred and not old.include_deferred)
    execute function limit_lowered();
create trigger executor_lowered before update on executor
    for each row when (new.slots < old.slots) execute function limit_lowered();

-- One row, stamped by webservers: silence of a node counts only while somebody could have heard it.
create table liveness (
    only_row    boolean     not null default true constraint liveness_pkey primary key constraint liveness_one check (only_row),
    stamped_at  timestamptz not null default now(),
    -- Leases restart here: the end of the last gap in the stamps.
    heard_since timestamptz not null default now(),
    -- Set when more than half of the nodes fell silent at once: leases run once more from here before anybody is lost.
    grace_since timestamptz
);
insert into liveness default values;

-- ── Processes, people, audit ─────────────────────────────────────────────────────────────────────────────────────────

-- Live schedulers and webservers (Airflow's table): who may be preferred for a run, what /monitor/health and /jobs show.
create table job (
    id                bigint generated always as identity constraint job_pkey primary key,
    uuid              uuid        not null constraint job_uuid_key unique,
    job_type          text        not null,
    state             text        not null,
    hostname          text        not null,
    start_date        timestamptz not null default now(),
    end_date          timestamptz,
    latest_heartbeat  timestamptz not null default now()
) with (fillfactor = 50);

-- The audit trail (Airflow's table `log`).
create table log (
    id            bigint generated always as identity constraint log_pkey primary key,
    dttm          timestamptz not null default now(),
    dag_id        text,
    task_id       text,
    run_id        text,
    map_index     integer,
    try_number    integer,
    event         text        not null,
    logical_date  timestamptz,
    owner         text,
    extra         text
);
create index log_dag_idx on log (dag_id, id);
