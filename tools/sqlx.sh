#!/usr/bin/env bash
# sqlx.sh write|check: renews `.sqlx/`, the metadata by which checked queries compile without a database, or says whether it
# is current. Run it inside test-env.sh. It does what `cargo sqlx prepare` does, without the tool.
set -euo pipefail
cd "$(dirname "$0")/.."

base=${UPDRAFT_TEST_DATABASE_URL:?run by: tools/test-env.sh tools/sqlx.sh write}
name=updraft_sqlx_$$
database=${base/\/postgres\?/\/$name?}
psql=$(command -v psql || ls -d /usr/lib/postgresql/*/bin/psql | tail -n 1)
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"; "$psql" -q "$base" -c "drop database if exists $name with (force)"' EXIT
"$psql" -q "$base" -c "create database $name"
for migration in migrations/*.sql; do
  "$psql" -q -v ON_ERROR_STOP=1 "$database" -f "$migration"
done
touch store/src/lib.rs
SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$fresh DATABASE_URL=$database cargo check -q -p updraft-store --all-targets --all-features

case ${1:-} in
  write)
    rm -rf .sqlx
    mkdir .sqlx
    find "$fresh" -name 'query-*.json' -exec cp {} .sqlx/ \;
    echo "$(ls .sqlx | wc -l) queries in .sqlx/"
    ;;
  check)
    mkdir -p .sqlx
    diff -rq "$fresh" .sqlx || { echo ".sqlx/ is not current: run make sqlx and commit it" >&2; exit 1; }
    ;;
  *)
    echo "usage: sqlx.sh write|check" >&2
    exit 2
    ;;
esac
