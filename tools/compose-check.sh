#!/usr/bin/env bash
# compose-check.sh [BINARY]: brings deploy/docker/compose.yaml up with images made here, runs a DAG on its two nodes, reads a log and
# the metrics, restarts the webserver, and takes all down again. Needs docker, docker-compose, busybox and Debian's postgresql.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:-target/release/updraft}
export COMPOSE_PROJECT_NAME=updraft-check-$$
export UPDRAFT_IMAGE=$COMPOSE_PROJECT_NAME POSTGRES_IMAGE=$COMPOSE_PROJECT_NAME-postgres
export UPDRAFT_ADMIN_PASSWORD=check UPDRAFT_JWT_SECRET="a secret of sixty-four characters, the same for all webservers!!"
UPDRAFT_FERNET_KEY=$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')
export UPDRAFT_FERNET_KEY UPDRAFT_DAGS_PAUSED=false DEFAULT_IMAGE=busybox PORT=${PORT:-0}
work=$(mktemp -d)
export DAGS=$work/dags NODES=$work/nodes
compose() { docker-compose -f deploy/docker/compose.yaml "$@"; }
finish() {
  status=$?
  [ $status = 0 ] || compose logs --tail 20 || true
  compose down --volumes --timeout 10 >/dev/null 2>&1 || true
  docker rmi -f "$UPDRAFT_IMAGE" "$POSTGRES_IMAGE" >/dev/null 2>&1 || true
  rm -rf "$work"
  exit $status
}
trap finish EXIT

deploy/docker/build.sh "$binary" >/dev/null
tools/postgres-image.sh "$POSTGRES_IMAGE" >/dev/null
tools/busybox-image.sh
mkdir -p "$DAGS"
cat >"$DAGS/check.yaml" <<'DAG'
tasks:
  first: {bash: echo hello from a container}
  second: {bash: 'echo "and the second"', depends_on: [first]}
  third: {bash: 'true', depends_on: [first]}
DAG
compose up -d
# A port that the daemon chose is another one after a restart.
find_port() { url=http://127.0.0.1:$(compose port webserver 8080 | sed 's/.*://'); }
find_port
updraft() { env -i HOME="$work" PATH="$PATH" UPDRAFT__CLIENT__SERVER="$url" UPDRAFT__CLIENT__PASSWORD=check "$binary" "$@"; }
for _ in $(seq 120); do updraft dags show check >/dev/null 2>&1 && break; sleep 0.5; done
updraft dags trigger check --run-id one --wait
updraft runs logs check one first | grep -q 'hello from a container'
updraft executors list
compose restart -t 10 webserver
find_port
for _ in $(seq 60); do updraft executors list >/dev/null 2>&1 && break; sleep 0.5; done
updraft dags trigger check --run-id two --wait
curl -fsS "$url/metrics" | grep -c '^airflow_\|^updraft_'
echo "compose-check: everything came up, ran and survived a restart"
