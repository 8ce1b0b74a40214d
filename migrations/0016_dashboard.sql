-- What the dashboard's lists need without reading the instances of every run they show.

-- How many of its instances are failed now; plan keeps it with the instances it writes.
alter table dag_run add column failed_tasks integer not null default 0;
update dag_run r set failed_tasks = t.failed
from (select dag_run_id, count(*) as failed from task_instance where state = 'failed' group by dag_run_id) t
where t.dag_run_id = r.id;
-- What went wrong lately.
create index dag_run_failed_idx on dag_run (end_date)
    where end_date is not null and (failed_tasks > 0 or state = 'failed');

-- The tasks of the latest version, to search in.
alter table dag add column task_ids text[] not null default '{}';
update dag d set task_ids = array(
    select task ->> 'task_id' from dag_version v, json_array_elements(v.data -> 'tasks') task where v.id = d.latest_version_id);
