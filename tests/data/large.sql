-- A large deployment that has been running for a while: what the lists are measured over. Set its size first, in the same
-- session:
--
--     set seed.dags = 1000; set seed.runs = 10; set seed.tasks = 100;    -- runs of each DAG, task instances of each run
--
-- All runs are over. Every twentieth failed, with its last task. A tenth of a run's instances are of one mapped task. The DAGs
-- are of a bundle that no processor reads, and paused.

insert into dag (dag_id, dag_display_name, description, is_paused, bundle_name, relative_fileloc, fileloc, owners, tags,
                 timetable_summary, timetable_description)
select 'large_' || lpad(n::text, 4, '0'), 'large ' || n, 'One of many', true, 'large', 'large/' || n || '.yaml',
       '/dags/large/' || n || '.yaml', 'data', array['large', 'team_' || n % 20], '0 3 * * *', 'At 03:00'
from generate_series(1, current_setting('seed.dags')::integer) n;

insert into dag_version (dag_fk, version_number, hash, data, source, bundle_name)
select id, 1, 'large', json_build_object(
           'dag_id', dag_id, 'dag_display_name', dag_display_name, 'description', description, 'doc_md', null,
           'tags', tags, 'schedule', json_build_object('kind', 'cron', 'expressions', json_build_array('0 3 * * *'),
                                                       'timezone', 'UTC'),
           'timezone', 'UTC', 'start_date', '2024-01-01T00:00:00Z', 'end_date', null, 'catchup', false,
           'max_active_runs', 16, 'max_active_tasks', 16, 'dagrun_timeout', null, 'max_consecutive_failed_dag_runs', 0,
           'fail_fast', false, 'is_paused_upon_creation', null, 'render_template_as_native_obj', false,
           'params', '{}'::json, 'param_schemas', '{}'::json, 'default_args', '{}'::json, 'task_groups', '{}'::json,
           'tasks', json_build_array()),
       'large:', 'large'
from dag where bundle_name = 'large';
update dag set latest_version_id = v.id from dag_version v where v.dag_fk = dag.id and dag.bundle_name = 'large';

insert into dag_run (dag_fk, run_id, tag, state, run_type, logical_date, data_interval_start, data_interval_end, run_after,
                     queued_at, start_date, end_date, last_scheduling_decision, triggered_by, dag_version_id)
select d.id, 'scheduled__' || to_char(at, 'YYYY-MM-DD"T"HH24:MI:SS') || '+00:00', 0,
       case when (d.id + n) % 20 = 0 then 'failed' else 'success' end, 'scheduled', at, at, at + interval '1 day',
       at + interval '1 day', at + interval '1 day', at + interval '1 day 1 second', at + interval '1 day 10 minutes',
       at + interval '1 day 10 minutes', 'timetable', d.latest_version_id
from generate_series(1, current_setting('seed.runs')::integer) n,
     lateral (select timestamptz '2025-01-01Z' + n * interval '1 day' as at) day, dag d
where d.bundle_name = 'large'
order by n, d.id;

insert into task_instance (dag_run_id, task_id, map_index, attempt_id, state, try_number, max_tries, scheduled_dttm,
                           queued_dttm, start_date, end_date, hostname, pid, operator, pool, queue, failure_class,
                           failure_reason, exit_code, rendered_fields)
select r.id, case when mapped then 'each' else 'task_' || n end, case when mapped then n - unmapped - 1 else -1 end,
       gen_random_uuid(), case when failed then 'failed' else 'success' end, 1, 2, r.start_date, r.start_date,
       r.start_date + n * interval '5 seconds', r.start_date + n * interval '5 seconds' + interval '4.5 seconds', 'node-1',
       4711, 'airflow.providers.standard.operators.bash.BashOperator', 'default_pool', 'default',
       case when failed then 'exit_code' end, case when failed then 'the command ended with exit code 3' end,
       case when failed then 3 end, jsonb_build_object('bash_command', './step.sh ' || n || ' --day 2025-01-01')
from dag_run r join dag d on d.id = r.dag_fk,
     lateral (select current_setting('seed.tasks')::integer * 9 / 10 as unmapped) parts,
     generate_series(1, current_setting('seed.tasks')::integer) n,
     lateral (select n > unmapped as mapped, r.state = 'failed' and n = current_setting('seed.tasks')::integer as failed) what
where d.bundle_name = 'large'
order by r.id, n;

-- One XCom and one line of the audit trail for every tenth instance.
insert into xcom (dag_run_id, task_id, map_index, key, value, size)
select dag_run_id, task_id, map_index, 'return_value', '42', 2 from task_instance where task_id like 'task\__0' or map_index = 0;
insert into log (dttm, dag_id, task_id, run_id, map_index, event, owner)
select r.start_date + n * interval '1 minute', d.dag_id, 'task_' || n, r.run_id, -1, 'success', 'data'
from dag_run r join dag d on d.id = r.dag_fk, generate_series(1, 10) n
where d.bundle_name = 'large'
order by r.id, n;
