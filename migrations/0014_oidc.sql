-- People whom a login provider vouches for (OpenID Connect).

-- The provider's issuer and its id of the person, which stays when the name changes. Null: a user that was made here.
alter table ab_user add column external_id text constraint ab_user_external_id_key unique;
-- Null: no password is right.
alter table ab_user alter column password drop not null;
alter table ab_user add constraint ab_user_login_check check (password is not null or external_id is not null);
