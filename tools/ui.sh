#!/usr/bin/env bash
# ui.sh build|lint|test: the dashboard's npm scripts, with its packages installed when they are not. Without Node it says so
# and succeeds: the binary then serves a page that says how to build the dashboard.
set -euo pipefail
cd "$(dirname "$0")/../ui"

if ! command -v npm >/dev/null; then
  echo "ui: Node and npm are not installed, going on without the dashboard (packages nodejs and npm)" >&2
  exit 0
fi
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  # `npm ci` insists on the optional packages of every platform, which not every registry mirror has; `install` takes the
  # locked versions too, and `--no-save` leaves the lock alone.
  npm ci --no-audit --no-fund >/dev/null 2>&1 || npm install --no-save --no-audit --no-fund
  touch node_modules/.package-lock.json
fi
if [ "${1:-build}" = build ] && [ -e dist/index.html ] &&
  [ -z "$(find src public index.html docs.html package-lock.json vite.config.* -newer dist/index.html 2>/dev/null | head -n 1)" ]; then
  exit 0
fi
npm run -s "${1:-build}"
