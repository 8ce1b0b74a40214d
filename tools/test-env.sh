#!/usr/bin/env bash
# test-env.sh COMMAND…: runs a command with what the tests need, and stops what it started:
#   a throw-away Postgres (fsync off, Unix socket only) at UPDRAFT_TEST_DATABASE_URL, unless that is set already;
#   a Docker daemon, when docker is installed, none answers and we may start one;
#   the image `busybox`, made of Debian's busybox-static, when the daemon has none;
#   the program moto_server, which speaks S3, at UPDRAFT_TEST_MOTO;
#   Airflow's clients and schemathesis, in the folder UPDRAFT_TEST_CLIENTS, and Airflow's own OpenAPI document as JSON at
#   UPDRAFT_TEST_CONTRACT. These from PyPI, kept in the user's cache.
set -euo pipefail

work=$(mktemp -d /tmp/updraft-test.XXXXXX)
chmod 755 "$work"
postgres_pid= docker_pid=

cleanup() {
  status=$?
  trap - EXIT INT TERM
  [ -z "$postgres_pid" ] || { kill -QUIT "$postgres_pid" 2>/dev/null || true; wait "$postgres_pid" 2>/dev/null || true; }
  [ -z "$docker_pid" ] || { kill -TERM "$docker_pid" 2>/dev/null || true; wait "$docker_pid" 2>/dev/null || true; }
  rm -rf "$work"
  exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() { echo "test-env: $*" >&2; }

postgres_bin() {
  local newest
  newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
  if [ -n "$newest" ]; then echo "$newest"; return; fi
  command -v postgres >/dev/null || { say "no Postgres server programs: install the package postgresql"; exit 1; }
  dirname "$(readlink -f "$(command -v postgres)")"
}

start_postgres() {
  local bin as=() dir=$work/pg
  bin=$(postgres_bin)
  mkdir "$dir"
  if [ "$(id -u)" = 0 ]; then
    chown postgres "$dir"
    as=(setpriv --reuid=postgres --regid=postgres --init-groups)
  fi
  (cd "$dir" && "${as[@]}" "$bin/initdb" -D "$dir/data" -U postgres --auth=trust --no-sync -E UTF8 --no-locale >"$work/initdb.log" 2>&1) ||
    { cat "$work/initdb.log" >&2; exit 1; }
  (cd "$dir" && exec setsid "${as[@]}" "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= -c fsync=off \
    -c synchronous_commit=off -c full_page_writes=off -c max_connections=500 -c shared_buffers=256MB -c jit=off \
    -c max_wal_senders=0 -c wal_level=minimal -c autovacuum_naptime=60 >"$work/postgres.log" 2>&1) &
  postgres_pid=$!
  for _ in $(seq 200); do
    "$bin/pg_isready" -q -h "$dir" && break
    kill -0 "$postgres_pid" 2>/dev/null || { cat "$work/postgres.log" >&2; exit 1; }
    sleep 0.05
  done
  # `exec` made the subshell's pid setsid's, and that the server's.
  export UPDRAFT_TEST_DATABASE_URL="postgres://postgres@localhost/postgres?host=$dir"
}

start_docker() {
  command -v docker >/dev/null || { say "docker is not installed: tests that need it will fail"; return; }
  timeout 10 docker info >/dev/null 2>&1 && return
  if [ "$(id -u)" != 0 ] || ! command -v dockerd >/dev/null; then
    say "no Docker daemon answers and this user cannot start one: tests that need it will fail"
    return
  fi
  setsid dockerd >"$work/dockerd.log" 2>&1 &
  docker_pid=$!
  for _ in $(seq 300); do
    timeout 10 docker info >/dev/null 2>&1 && return
    kill -0 "$docker_pid" 2>/dev/null || { tail -n 20 "$work/dockerd.log" >&2; say "dockerd ended"; docker_pid=; return; }
    sleep 0.1
  done
  tail -n 20 "$work/dockerd.log" >&2
  say "dockerd did not answer within 30 s"
}

# cached_venv NAME PACKAGE…: prints the folder of a Python environment with just these packages, made by whoever asks first.
# Fails where Python or PyPI is not to be had. A function `finish_NAME HOME` is part of the making.
cached_venv() {
  local home=${XDG_CACHE_HOME:-$HOME/.cache}/updraft-test/$1 log=$work/$1.log finish=finish_$1
  shift
  mkdir -p "$(dirname "$home")"
  (
    flock 9
    [ "$(cat "$home/packages" 2>/dev/null)" = "$*" ] && exit
    rm -rf "$home"
    {
      python3 -m venv "$home" && timeout 300 "$home/bin/pip" install -q "$@" &&
        { ! declare -F "$finish" || "$finish" "$home"; } && echo "$*" >"$home/packages"
    } >"$log" 2>&1 || rm -rf "$home"
  ) 9>"$home.lock"
  [ -d "$home" ] && echo "$home"
}

# An empty UPDRAFT_TEST_MOTO: tests of the object store say that they are skipped.
find_moto() {
  local home
  if home=$(cached_venv moto 'moto[server,s3]==5.*'); then export UPDRAFT_TEST_MOTO=$home/bin/moto_server
  else say "no moto_server (python3-venv and PyPI are needed): tests of the object store are skipped"
  fi
}

# An empty UPDRAFT_TEST_CLIENTS: tests with Airflow's clients say that they are skipped.
find_clients() {
  local home
  if home=$(cached_venv clients apache-airflow-client==3.3.2 apache-airflow-ctl==0.1.5 schemathesis==4.32.5); then
    export UPDRAFT_TEST_CLIENTS=$home/bin UPDRAFT_TEST_CONTRACT=$home/airflow-api-v2.json
  else say "no clients of Airflow (python3-venv and PyPI are needed): tests with them are skipped"
  fi
}

# Airflow's document comes with its server, of which nothing else is installed.
finish_clients() {
  local wheel=$work/wheel
  timeout 300 "$1/bin/pip" download -q --no-deps -d "$wheel" apache-airflow-core==3.3.2 && "$1/bin/python" - "$1" "$wheel"/*.whl <<'PYTHON'
import json, sys, zipfile, yaml
home, wheel = sys.argv[1:]
text = zipfile.ZipFile(wheel).read("airflow/api_fastapi/core_api/openapi/v2-rest-api-generated.yaml")
json.dump(yaml.load(text, yaml.CSafeLoader), open(f"{home}/airflow-api-v2.json", "w"), default=str)
PYTHON
}

[ -n "${UPDRAFT_TEST_DATABASE_URL:-}" ] || start_postgres
[ -n "${UPDRAFT_TEST_MOTO+set}" ] || find_moto
[ -n "${UPDRAFT_TEST_CLIENTS+set}" ] || find_clients
start_docker
"$(dirname "$0")/busybox-image.sh"

# In the background with a wait, so that a signal to this script reaches the trap at once.
"$@" &
wait $!
