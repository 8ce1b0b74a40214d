-- What dispatch and people know of executor nodes.

-- A node's share under `weighted_random`, beside the others' weights.
alter table executor add column weight integer not null default 1
    constraint executor_weight_check check (weight >= 1);

-- Somebody's wish that it takes no new work. Beside `state`, so that the wish outlives the node's absence: one that comes back from
-- lost or offline is `draining` when it was to drain.
alter table executor add column is_drained boolean not null default false;
update executor set is_drained = true where state = 'draining';
