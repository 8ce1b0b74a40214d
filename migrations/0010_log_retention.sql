-- When the attempt was handed out: its log is deleted by age. Rows come in the order of time, so a few pages of BRIN find the old.
alter table attempt_log add column handed_at timestamptz not null default now();
create index attempt_log_handed_idx on attempt_log using brin (handed_at);

-- Logs that no row names any more, until they are deleted: of old attempts, and of deleted runs.
create table log_garbage (
    attempt_id  uuid        not null constraint log_garbage_pkey primary key,
    dag_id      text        not null,
    run_id      text        not null,
    task_id     text        not null,
    map_index   integer     not null,
    try_number  integer     not null,
    due         timestamptz not null default now()
);
create index log_garbage_due_idx on log_garbage (due);
