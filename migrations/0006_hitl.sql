-- Questions to people (Airflow's table `hitl_detail`): one per try that asks. Open while the attempt of that id exists and nobody
-- answered; a try that was fenced leaves its question for the history.
create table hitl_detail (
    dag_run_id      bigint      not null,
    attempt_id      uuid        not null,
    task_id         text        not null,
    map_index       integer     not null,
    subject         text        not null,
    body            text,
    options         text[]      not null,
    -- Chosen when nobody answers in time; null: the task fails then.
    defaults        text[],
    multiple        boolean     not null,
    -- Field → {value, schema}.
    params          jsonb       not null,
    -- [{id, name}]; empty: everybody who may edit the run.
    assigned_users  jsonb       not null,
    created_at      timestamptz not null default clock_timestamp(),
    deadline        timestamptz,
    responded_at    timestamptz,
    -- {id, name}; null beside responded_at: nobody answered in time.
    responded_by    jsonb,
    chosen_options  text[],
    params_input    jsonb,
    constraint hitl_detail_pkey primary key (dag_run_id, attempt_id),
    constraint hitl_detail_answer_check check ((responded_at is null) = (chosen_options is null))
);
create index hitl_detail_open_idx on hitl_detail (created_at) where responded_at is null;
