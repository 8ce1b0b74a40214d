#!/usr/bin/env bash
# build.sh [BINARY]: makes the image `updraft` (UPDRAFT_IMAGE=name:tag for another name) of target/release/updraft or BINARY.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binary=${1:-$here/../../target/release/updraft}
[ -x "$binary" ] || { echo "build.sh: no $binary; build it first: make build" >&2; exit 1; }
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir "$context/root"
"$here/rootfs.sh" "$binary" "$context/root"
# An archive, because it keeps who owns what, and one needs not be root to say so.
tar -C "$context/root" --numeric-owner --owner=0 --group=0 --exclude=./var/lib/updraft -cf "$context/rootfs.tar" .
tar -C "$context/root" --numeric-owner --owner=1000 --group=1000 -rf "$context/rootfs.tar" ./var/lib/updraft
rm -r "$context/root"
docker build --quiet --file "$here/Dockerfile" --tag "${UPDRAFT_IMAGE:-updraft}" "$context"
