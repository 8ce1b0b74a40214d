-- What the lists of the REST API are sorted by, where it does not change while a run runs; the columns after it make the order
-- complete, so that a page begins behind a row by a condition of the index.
create index task_instance_page_idx on task_instance (map_index, dag_run_id, task_id);
create index dag_run_run_after_idx on dag_run (run_after, id);
create index dag_run_dag_run_after_idx on dag_run (dag_fk, run_after, id);
create index log_dttm_idx on log (dttm, id);
