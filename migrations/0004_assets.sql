-- Assets (Airflow's table names): who defines, produces and waits for them, what happened to them, which runs took it.
-- An event waits in asset_dag_run_queue once for each consumer until a run of that consumer takes it, so that no event is lost
-- or taken twice whatever order transactions commit in. Events are written in plan's transactions: their tables have no foreign
-- keys, whose row locks would make plans of different runs meet at a popular asset or consumer.

create table asset (
    id          bigint generated always as identity constraint asset_pkey primary key,
    name        text        not null,
    uri         text        not null,
    "group"     text        not null default 'asset',
    extra       jsonb       not null default '{}',
    -- Some DAG names it (Airflow: a row in asset_active). Rows never go: events refer to them.
    is_active   boolean     not null default false,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint asset_name_uri_key unique (name, uri)
);
-- Of assets that share a name or a URI, one is active.
create unique index asset_active_name_idx on asset (name) where is_active;
create unique index asset_active_uri_idx on asset (uri) where is_active;

create table asset_alias (
    id       bigint generated always as identity constraint asset_alias_pkey primary key,
    name     text not null constraint asset_alias_name_key unique,
    "group"  text not null default 'asset'
);

-- Which assets an alias has stood for.
create table asset_alias_asset (
    alias_id  bigint not null constraint asset_alias_asset_alias_fkey references asset_alias (id),
    asset_id  bigint not null constraint asset_alias_asset_asset_fkey references asset (id),
    constraint asset_alias_asset_pkey primary key (asset_id, alias_id)
);

create table dag_schedule_asset_reference (
    asset_id    bigint      not null constraint dag_schedule_asset_reference_asset_fkey references asset (id),
    dag_fk      bigint      not null constraint dag_schedule_asset_reference_dag_fkey references dag (id) on delete cascade,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint dag_schedule_asset_reference_pkey primary key (asset_id, dag_fk)
);
create index dag_schedule_asset_reference_dag_idx on dag_schedule_asset_reference (dag_fk);

create table dag_schedule_asset_alias_reference (
    alias_id    bigint      not null constraint dag_schedule_asset_alias_reference_alias_fkey references asset_alias (id),
    dag_fk      bigint      not null constraint dag_schedule_asset_alias_reference_dag_fkey references dag (id) on delete cascade,
    created_at  timestamptz not null default now(),
    constraint dag_schedule_asset_alias_reference_pkey primary key (alias_id, dag_fk)
);
create index dag_schedule_asset_alias_reference_dag_idx on dag_schedule_asset_alias_reference (dag_fk);

-- Assets waited for by name or by URI alone (Airflow: dag_schedule_asset_name_reference and …_uri_reference); the other is ''.
create table dag_schedule_asset_ref_reference (
    name        text        not null default '',
    uri         text        not null default '',
    dag_fk      bigint      not null constraint dag_schedule_asset_ref_reference_dag_fkey references dag (id) on delete cascade,
    created_at  timestamptz not null default now(),
    constraint dag_schedule_asset_ref_reference_pkey primary key (name, uri, dag_fk),
    constraint dag_schedule_asset_ref_reference_check check ((name = '') <> (uri = ''))
);
create index dag_schedule_asset_ref_reference_dag_idx on dag_schedule_asset_ref_reference (dag_fk);

create table task_outlet_asset_reference (
    asset_id    bigint      not null constraint task_outlet_asset_reference_asset_fkey references asset (id),
    dag_fk      bigint      not null constraint task_outlet_asset_reference_dag_fkey references dag (id) on delete cascade,
    task_id     text        not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint task_outlet_asset_reference_pkey primary key (asset_id, dag_fk, task_id)
);
create index task_outlet_asset_reference_dag_idx on task_outlet_asset_reference (dag_fk);

create table task_inlet_asset_reference (
    asset_id    bigint      not null constraint task_inlet_asset_reference_asset_fkey references asset (id),
    dag_fk      bigint      not null constraint task_inlet_asset_reference_dag_fkey references dag (id) on delete cascade,
    task_id     text        not null,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint task_inlet_asset_reference_pkey primary key (asset_id, dag_fk, task_id)
);
create index task_inlet_asset_reference_dag_idx on task_inlet_asset_reference (dag_fk);

create table asset_event (
    id                 bigint generated always as identity constraint asset_event_pkey primary key,
    asset_id           bigint      not null,
    extra              jsonb       not null default '{}',
    -- The task instance that emitted it; null for events from the API.
    source_dag_id      text,
    source_run_id      text,
    source_task_id     text,
    source_map_index   integer     not null default -1,
    source_dag_run     bigint,
    source_try_number  integer,
    -- The place among the events of one try: a try that is applied twice emits once.
    ordinal            integer     not null default 0,
    partition_key      text,
    timestamp          timestamptz not null,
    constraint asset_event_source_key unique (source_dag_run, source_task_id, source_map_index, source_try_number, ordinal)
);
create index asset_event_asset_idx on asset_event (asset_id, id desc);
create index asset_event_timestamp_idx on asset_event (timestamp);

-- The aliases an event was emitted through.
create table asset_alias_asset_event (
    event_id  bigint not null,
    alias_id  bigint not null,
    constraint asset_alias_asset_event_pkey primary key (event_id, alias_id)
);
create index asset_alias_asset_event_alias_idx on asset_alias_asset_event (alias_id, event_id);

-- Events that no run of the consumer took yet.
create table asset_dag_run_queue (
    dag_fk      bigint      not null,
    event_id    bigint      not null,
    asset_id    bigint      not null,
    -- Counts towards the consumer's expression: it was not paused when the event happened. Others go along with the next run.
    queued      boolean     not null,
    created_at  timestamptz not null,
    constraint asset_dag_run_queue_pkey primary key (dag_fk, event_id)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
create index asset_dag_run_queue_waiting_idx on asset_dag_run_queue (dag_fk, asset_id) where queued;
create index asset_dag_run_queue_asset_idx on asset_dag_run_queue (asset_id) where queued;

-- The events a run took.
create table dag_run_asset_event (
    dag_run_id  bigint not null,
    event_id    bigint not null,
    constraint dag_run_asset_event_pkey primary key (dag_run_id, event_id)
);
create index dag_run_asset_event_event_idx on dag_run_asset_event (event_id);
