-- DAGs that users marked (Airflow's table). A user is who a token names, however they logged in.
create table dag_favorite (
    user_name  text   not null,
    dag_fk     bigint not null constraint dag_favorite_dag_fkey references dag (id) on delete cascade,
    constraint dag_favorite_pkey primary key (user_name, dag_fk)
);
create index dag_favorite_dag_idx on dag_favorite (dag_fk);
