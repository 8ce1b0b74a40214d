-- The DAG `etl` with two versions and three runs, the paused DAG `other`, the stale DAG `gone`, and what belongs to them.

insert into dag (dag_id, dag_display_name, description, is_paused, is_stale, bundle_name, relative_fileloc, fileloc, owners,
                 tags, timetable_summary, timetable_description, last_parsed_time, last_parse_duration,
                 next_dagrun, next_dagrun_data_interval_start, next_dagrun_data_interval_end, next_dagrun_create_after)
values ('etl', 'ETL', 'Moves data', false, false, 'dags', 'etl.yaml', '/dags/etl.yaml', 'airflow, ops',
        '{prod,hourly}', '0 * * * *', 'At 0 minutes past the hour', '2024-05-01T00:00:00Z', 0.0125,
        '2024-05-01T11:00:00Z', '2024-05-01T11:00:00Z', '2024-05-01T11:00:00Z', '2024-05-01T11:00:00Z'),
       ('other', 'other', null, true, false, 'dags', 'other.yaml', '/dags/other.yaml', 'airflow',
        '{test}', null, null, '2024-05-01T00:00:00Z', null, null, null, null, null),
       ('gone', 'gone', null, false, true, 'dags', 'gone.yaml', '/dags/gone.yaml', '', '{}', null, null,
        '2024-04-01T00:00:00Z', null, null, null, null, null);

insert into dag_version (uuid, dag_fk, version_number, hash, data, source, bundle_name, bundle_hash, created_at)
select ('00000000-0000-0000-0000-00000000000' || number)::uuid, dag.id, number, 'hash' || number,
       '{"dag_id": "etl", "dag_display_name": "ETL", "description": "Moves data", "doc_md": null, "tags": ["prod", "hourly"], "schedule": {"kind": "cron", "expressions": ["0 * * * *"], "timezone": "UTC"}, "timezone": "UTC", "start_date": "2024-01-01T00:00:00Z", "end_date": null, "catchup": false, "max_active_runs": 16, "max_active_tasks": 16, "dagrun_timeout": 3600.0, "max_consecutive_failed_dag_runs": 0, "fail_fast": false, "is_paused_upon_creation": null, "render_template_as_native_obj": false, "params": {"day": "monday", "count": 3}, "param_schemas": {"count": {"type": "integer", "minimum": 1, "description": "How many"}}, "default_args": {"owner": "airflow"}, "task_groups": {}, "tasks": [{"task_id": "extract", "operator_class": "airflow.providers.standard.operators.bash.BashOperator", "operator": "bash", "args": {}, "upstream": [], "task_group": null, "owner": "airflow", "trigger_rule": "all_success", "retries": 1, "retry_delay": 300.0, "retry_exponential_backoff": 0.0, "max_retry_delay": null, "execution_timeout": null, "depends_on_past": false, "wait_for_downstream": false, "ignore_first_depends_on_past": false, "pool": "default_pool", "pool_slots": 1, "queue": "default", "priority_weight": 1, "weight_rule": "downstream", "max_active_tis_per_dag": null, "max_active_tis_per_dagrun": null, "do_xcom_push": true, "multiple_outputs": false, "start_date": null, "end_date": null, "worker_selector": {}, "env": {}, "params": {}, "task_display_name": "Extract", "doc": null, "doc_md": null, "mapped": null}, {"task_id": "load", "operator_class": "airflow.providers.standard.operators.bash.BashOperator", "operator": "bash", "args": {}, "upstream": ["extract"], "task_group": null, "owner": "airflow", "trigger_rule": "all_success", "retries": 1, "retry_delay": 300.0, "retry_exponential_backoff": 0.0, "max_retry_delay": null, "execution_timeout": 90.5, "depends_on_past": false, "wait_for_downstream": false, "ignore_first_depends_on_past": false, "pool": "default_pool", "pool_slots": 1, "queue": "default", "priority_weight": 1, "weight_rule": "downstream", "max_active_tis_per_dag": 2, "max_active_tis_per_dagrun": null, "do_xcom_push": true, "multiple_outputs": false, "start_date": null, "end_date": null, "worker_selector": {}, "env": {}, "params": {}, "task_display_name": "load", "doc": null, "doc_md": null, "mapped": null}, {"task_id": "done", "operator_class": "airflow.providers.standard.operators.empty.EmptyOperator", "operator": "empty", "args": {}, "upstream": ["load"], "task_group": null, "owner": "airflow", "trigger_rule": "all_success", "retries": 1, "retry_delay": 300.0, "retry_exponential_backoff": 0.0, "max_retry_delay": null, "execution_timeout": null, "depends_on_past": false, "wait_for_downstream": false, "ignore_first_depends_on_past": false, "pool": "default_pool", "pool_slots": 1, "queue": "default", "priority_weight": 1, "weight_rule": "downstream", "max_active_tis_per_dag": null, "max_active_tis_per_dagrun": null, "do_xcom_push": true, "multiple_outputs": false, "start_date": null, "end_date": null, "worker_selector": {}, "env": {}, "params": {}, "task_display_name": "done", "doc": null, "doc_md": null, "mapped": null}]}',
       'etl:  # version ' || number, 'dags', null, timestamptz '2024-04-30T00:00:00Z' + number * interval '1 hour'
from dag, generate_series(1, 2) number where dag_id = 'etl';
update dag set latest_version_id = (select max(id) from dag_version where dag_fk = dag.id);

insert into dag_run (dag_fk, run_id, tag, state, run_type, logical_date, data_interval_start, data_interval_end, run_after,
                     queued_at, start_date, end_date, triggered_by, triggering_user_name, dag_version_id)
select dag.id, run.*, version.id
from dag, dag_version version,
     (values ('scheduled__2024-05-01T08:00:00+00:00', 1, 'success', 'scheduled', timestamptz '2024-05-01T08:00:00Z',
              timestamptz '2024-05-01T08:00:00Z', timestamptz '2024-05-01T08:00:00Z', timestamptz '2024-05-01T08:00:00Z',
              timestamptz '2024-05-01T08:00:01Z', timestamptz '2024-05-01T08:00:02Z', timestamptz '2024-05-01T08:00:12.5Z',
              'timetable', null),
             ('manual__2024-05-01T09:30:00.043063+00:00', 2, 'failed', 'manual', null, null, null,
              timestamptz '2024-05-01T09:30:00.043063Z', timestamptz '2024-05-01T09:30:00.05Z',
              timestamptz '2024-05-01T09:30:01Z', timestamptz '2024-05-01T09:31:01Z', 'rest_api', 'admin'),
             ('scheduled__2024-05-01T10:00:00+00:00', 3, 'running', 'scheduled', timestamptz '2024-05-01T10:00:00Z',
              timestamptz '2024-05-01T10:00:00Z', timestamptz '2024-05-01T10:00:00Z', timestamptz '2024-05-01T10:00:00Z',
              timestamptz '2024-05-01T10:00:01Z', timestamptz '2024-05-01T10:00:02Z', null, 'timetable', null)) run
where dag.dag_id = 'etl' and version.id = dag.latest_version_id;
insert into dag_run_conf select id, '{"day": "friday"}' from dag_run where run_type = 'manual';
insert into dag_run_note select id, 'looked at', 'admin' from dag_run where run_type = 'manual';

-- The failed run: extract succeeded at its second try, load failed, done is upstream_failed. The running one: extract runs.
insert into task_instance (dag_run_id, task_id, attempt_id, state, try_number, max_tries, scheduled_dttm, queued_dttm,
                           start_date, end_date, hostname, pid, operator, pool, queue, priority_weight, failure_class,
                           failure_reason, exit_code, rendered_fields)
select run.id, ti.task_id, ti.attempt_id::uuid, ti.state, ti.try_number, 1, run.start_date, run.start_date,
       ti.start_date, ti.end_date, ti.hostname, null, ti.operator, 'default_pool', 'default', 1, ti.failure_class,
       ti.failure_reason, ti.exit_code, null
from (values (2, 'extract', '10000000-0000-4000-8000-000000000002', 'success', 2, timestamptz '2024-05-01T09:30:20Z',
              timestamptz '2024-05-01T09:30:30.25Z', 'node-1', 'airflow.providers.standard.operators.bash.BashOperator',
              null, null, null),
             (2, 'load', '10000000-0000-4000-8000-000000000003', 'failed', 2, timestamptz '2024-05-01T09:30:40Z',
              timestamptz '2024-05-01T09:31:00Z', 'node-2', 'airflow.providers.standard.operators.bash.BashOperator',
              'exit_code', 'the command ended with exit code 3', 3),
             (2, 'done', '10000000-0000-4000-8000-000000000004', 'upstream_failed', 0, timestamptz '2024-05-01T09:31:00Z',
              timestamptz '2024-05-01T09:31:00Z', '', 'airflow.providers.standard.operators.empty.EmptyOperator',
              null, null, null),
             (3, 'extract', '10000000-0000-4000-8000-000000000005', 'running', 1, timestamptz '2024-05-01T10:00:03Z',
              null, 'node-1', 'airflow.providers.standard.operators.bash.BashOperator', null, null, null),
             (3, 'load', '10000000-0000-4000-8000-000000000006', 'none', 0, null,
              null, '', 'airflow.providers.standard.operators.bash.BashOperator', null, null, null))
     ti (run, task_id, attempt_id, state, try_number, start_date, end_date, hostname, operator, failure_class,
         failure_reason, exit_code)
join dag_run run on run.tag = ti.run;

insert into task_instance (dag_run_id, task_id, attempt_id, operator, pool, queue, max_tries)
select id, 'done', '10000000-0000-4000-8000-000000000007', 'airflow.providers.standard.operators.empty.EmptyOperator',
       'default_pool', 'default', 1
from dag_run where tag = 3;
insert into attempt (attempt_id, dag_run_id, task_id, map_index, try_number, dag_fk, class_id, priority_weight, run_order,
                     pool, pool_slots, executor_id, placed_at, handed_at, started_at)
select ti.attempt_id, ti.dag_run_id, ti.task_id, ti.map_index, ti.try_number, run.dag_fk, 1, 1, run.run_after, ti.pool, 1,
       1, ti.start_date, ti.start_date, ti.start_date
from task_instance ti join dag_run run on run.id = ti.dag_run_id where ti.state = 'running';

insert into task_instance_history (dag_run_id, task_id, map_index, try_number, attempt_id, state, max_tries, start_date,
                                   end_date, hostname, operator, pool, pool_slots, queue, priority_weight, failure_class,
                                   failure_reason, exit_code)
select id, 'extract', -1, 1, '10000000-0000-4000-8000-000000000001', 'failed', 1, '2024-05-01T09:30:02Z',
       '2024-05-01T09:30:04Z', 'node-2', 'airflow.providers.standard.operators.bash.BashOperator', 'default_pool', 1,
       'default', 1, 'exit_code', 'the command ended with exit code 1', 1
from dag_run where tag = 2;

insert into import_error (bundle_name, filename, stacktrace, timestamp)
values ('dags', 'broken.yaml', 'error: unknown key `shcedule`', '2024-05-01T07:00:00Z'),
       ('dags', 'worse.yaml', 'error: not YAML', '2024-05-01T07:00:01Z');

insert into log (dttm, dag_id, event, owner, extra)
values ('2024-05-01T06:00:00Z', 'other', 'patch_dag', 'admin', '{"is_paused": true}');

-- What the extract of the failed run asked: its first try nobody answered.
insert into hitl_detail (dag_run_id, attempt_id, task_id, map_index, subject, body, options, defaults, multiple, params,
                         assigned_users, created_at, responded_at, responded_by, chosen_options, params_input)
select id, '10000000-0000-4000-8000-000000000001'::uuid, 'extract', -1, 'Go on?', null, '{Approve,Reject}'::text[], null::text[], false,
       '{}'::jsonb, '[]'::jsonb,
       '2024-05-01T09:30:03Z'::timestamptz, null::timestamptz, null::jsonb, null::text[], null::jsonb
from dag_run where tag = 2
union all
select id, '10000000-0000-4000-8000-000000000002', 'extract', -1, 'Go on?', 'It costs **much**.', '{Approve,Reject}', '{Reject}',
       false, '{"limit": {"value": 3, "schema": {"type": "integer"}}}', '[{"id": "admin", "name": "admin"}]',
       '2024-05-01T09:30:21Z', '2024-05-01T09:30:30Z', '{"id": "admin", "name": "admin"}', '{Approve}', '{"limit": 5}'
from dag_run where tag = 2;

insert into job (uuid, job_type, state, hostname, start_date, end_date, latest_heartbeat)
values ('20000000-0000-4000-8000-000000000001', 'BackfillJob', 'success', 'host-1', '2024-05-01T06:00:00Z', '2024-05-01T07:00:00Z',
        '2024-05-01T06:59:58Z');

-- `orders`, produced by etl.load and waited for by `other`: one event taken by the failed run, one that waits, and an alias.
insert into asset (name, uri, "group", extra, is_active, created_at, updated_at)
values ('orders', 's3://lake/orders', 'sales', '{"owner": "ops"}', true, '2024-05-01T00:00:00Z', '2024-05-01T00:00:00Z'),
       ('old', 's3://lake/old', 'asset', '{}', false, '2024-04-01T00:00:00Z', '2024-04-01T00:00:00Z');
insert into asset_alias (name) values ('daily');
insert into asset_alias_asset (alias_id, asset_id) select l.id, a.id from asset_alias l, asset a where a.name = 'orders';
insert into task_outlet_asset_reference (asset_id, dag_fk, task_id, created_at, updated_at)
select a.id, d.id, 'load', '2024-05-01T00:00:00Z', '2024-05-01T00:00:00Z' from asset a, dag d where a.name = 'orders' and d.dag_id = 'etl';
insert into task_inlet_asset_reference (asset_id, dag_fk, task_id, created_at, updated_at)
select a.id, d.id, 'read', '2024-05-01T00:00:00Z', '2024-05-01T00:00:00Z' from asset a, dag d where a.name = 'orders' and d.dag_id = 'other';
insert into dag_schedule_asset_reference (asset_id, dag_fk, created_at, updated_at)
select a.id, d.id, '2024-05-01T00:00:00Z', '2024-05-01T00:00:00Z' from asset a, dag d where a.name = 'orders' and d.dag_id = 'other';
insert into asset_event (asset_id, extra, source_dag_id, source_run_id, source_task_id, source_dag_run, source_try_number, timestamp)
select a.id, '{"rows": 3}', 'etl', r.run_id, 'load', r.id, 1, '2024-05-01T08:00:12Z' from asset a, dag_run r where a.name = 'orders' and r.tag = 1;
insert into asset_event (asset_id, extra, timestamp)
select a.id, '{"from_rest_api": true}', '2024-05-01T09:00:00Z' from asset a where a.name = 'orders';
insert into dag_run_asset_event (dag_run_id, event_id) select r.id, e.id from dag_run r, asset_event e where r.tag = 2 and e.source_dag_id = 'etl';
insert into asset_dag_run_queue (dag_fk, event_id, asset_id, queued, created_at)
select d.id, e.id, e.asset_id, true, e.timestamp from dag d, asset_event e where d.dag_id = 'other' and e.source_dag_id is null;
