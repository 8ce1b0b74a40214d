-- Small JSON values that stay with a task through its tries, or with an asset (Airflow 3.3's state stores), and wishes to have a
-- DAG file read anew.

create table task_state_store (
    dag_run_id  bigint      not null,
    task_id     text        not null,
    map_index   integer     not null,
    key         text        not null,
    value       jsonb       not null,
    updated_at  timestamptz not null default now(),
    -- Null: never. From then on nobody sees it; a sweep deletes it.
    expires_at  timestamptz,
    constraint task_state_store_pkey primary key (dag_run_id, task_id, map_index, key)
);
create index task_state_store_expires_idx on task_state_store (expires_at) where expires_at is not null;

create table asset_state_store (
    asset_id    bigint      not null constraint asset_state_store_asset_fkey references asset (id),
    key         text        not null,
    value       jsonb       not null,
    updated_at  timestamptz not null default now(),
    constraint asset_state_store_pkey primary key (asset_id, key)
);

-- Airflow's name. A row goes when the file was read.
create table dag_priority_parsing_request (
    bundle_name       text not null,
    relative_fileloc  text not null,
    requested_at      timestamptz not null default now(),
    constraint dag_priority_parsing_request_pkey primary key (bundle_name, relative_fileloc)
);
