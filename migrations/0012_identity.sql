-- People, what they may do, and the tokens by which programs act for them.

create table ab_user (
    id          bigint      generated always as identity constraint ab_user_pkey primary key,
    username    text        not null constraint ab_user_username_key unique,
    password    text        not null,                    -- argon2id, as a PHC string
    role        text        not null
        constraint ab_user_role_check check (role in ('viewer', 'user', 'op', 'admin')),
    -- Logins carry it; a new password makes a new one, which ends them all.
    epoch       uuid        not null default gen_random_uuid(),
    created_at  timestamptz not null default now()
);

create table api_token (
    id            bigint      generated always as identity constraint api_token_pkey primary key,
    user_id       bigint      not null constraint api_token_user_fkey references ab_user (id) on delete cascade,
    name          text        not null,
    hash          text        not null constraint api_token_hash_key unique,     -- SHA-256 of the token, hex
    created_at    timestamptz not null default now(),
    expires_at    timestamptz,                           -- null: never
    last_used_at  timestamptz                            -- to the hour
);
create index api_token_user_idx on api_token (user_id);

-- Logins that were ended before they expired; a row goes when its login would have expired.
create table revoked_token (
    jti         uuid        not null constraint revoked_token_pkey primary key,
    expires_at  timestamptz not null
);
create index revoked_token_expires_idx on revoked_token (expires_at);
