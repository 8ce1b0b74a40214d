-- How an attempt was carried out (core's `Execution`), written with its start and its end, for people.
alter table task_instance add column execution jsonb;
alter table task_instance_history add column execution jsonb;
