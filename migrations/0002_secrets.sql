-- Variables and connections. What is secret in them is stored as Fernet tokens (store/src/crypto.rs), never as text.

create table variable (
    id           bigint generated always as identity constraint variable_pkey primary key,
    key          text not null constraint variable_key_key unique,
    val          text not null,                          -- encrypted
    description  text
);

create table connection (
    id           bigint generated always as identity constraint connection_pkey primary key,
    conn_id      text not null constraint connection_conn_id_key unique,
    conn_type    text not null,
    description  text,
    host         text,
    schema       text,
    login        text,
    password     text,                                   -- encrypted
    port         integer,
    extra        text                                    -- encrypted
);
