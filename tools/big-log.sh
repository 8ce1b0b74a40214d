#!/usr/bin/env bash
# big-log.sh [MIB] [BINARY]: one task writes so much (default 1024 MiB) through a node and a webserver that are processes of their
# own; prints the peak memory of each, the time, and what arrived. Run it inside test-env.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
mib=${1:-1024} binary=$(realpath "${2:-target/release/updraft}")
base=${UPDRAFT_TEST_DATABASE_URL:?run by: tools/test-env.sh tools/big-log.sh}
name=updraft_big_log_$$
psql=$(command -v psql || ls -d /usr/lib/postgresql/*/bin/psql | tail -n 1)
work=$(mktemp -d)
chmod 755 "$work"
pids=()
finish() {
  status=$?
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  [ $status = 0 ] || tail -n 5 "$work"/*.log
  "$psql" -q "$base" -c "drop database if exists $name with (force)" || true
  rm -rf "$work"
  exit $status
}
trap finish EXIT
"$psql" -q "$base" -c "create database $name"
export UPDRAFT__DATABASE__URL=${base/\/postgres\?/\/$name?} UPDRAFT__CORE__DATA_DIR=$work/data UPDRAFT__CORE__DAGS_FOLDER=$work/dags
export UPDRAFT__AUTH__ADMIN_PASSWORD=p UPDRAFT__AUTH__JWT_SECRET="a secret of sixty-four characters, the same for all webservers!!"
export UPDRAFT__CORE__DAGS_ARE_PAUSED_AT_CREATION=false UPDRAFT__EXECUTOR__DOCKER=false UPDRAFT__WEBSERVER__LOG_LIMIT=$((4 << 30))
export UPDRAFT__CLIENT__PASSWORD=p
mkdir -p "$work/dags"
# A line of 1023 letters and its end.
echo "tasks: {flood: {bash: 'yes \"\$(printf %01023d 7)\" | head -n $((mib * 1024))'}}" >"$work/dags/flood.yaml"
"$binary" db migrate
"$binary" executor token create big --file "$work/token"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export UPDRAFT__WEBSERVER__PORT=$port UPDRAFT__CLIENT__SERVER=http://127.0.0.1:$port
"$binary" webserver >"$work/webserver.log" 2>&1 & pids+=($!)
"$binary" scheduler >"$work/scheduler.log" 2>&1 & pids+=($!)
UPDRAFT__CORE__DATA_DIR=$work/node "$binary" executor --name big --server "http://127.0.0.1:$port" --token-file "$work/token" \
  >"$work/executor.log" 2>&1 & pids+=($!)
for _ in $(seq 120); do "$binary" dags show flood >/dev/null 2>&1 && break; sleep 0.25; done
peak() { awk '/VmHWM/ { printf "%d MiB", $2 / 1024 }' "/proc/$1/status"; }
begin=$(date +%s%N)
"$binary" dags trigger flood --run-id r --wait >/dev/null
ran=$(date +%s%N)
last=-1
while :; do
  size=$(find "$work/data/logs" -name 'attempt=*' -printf '%s\n' 2>/dev/null | awk '{ sum += $1 } END { print sum + 0 }')
  [ "$size" -gt 0 ] && [ "$size" = "$last" ] && break
  last=$size
  sleep 2
done
echo "task: $(((ran - begin) / 1000000)) ms, log: $((size >> 20)) MiB arrived by $((($(date +%s%N) - begin) / 1000000)) ms"
echo "peak memory: webserver $(peak "${pids[0]}"), executor $(peak "${pids[2]}")"
echo "left in the node's spool: $(du -sm "$work/node" | cut -f1) MiB"
