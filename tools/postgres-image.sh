#!/usr/bin/env bash
# postgres-image.sh [NAME]: an image of this machine's Debian Postgres (default name `updraft-postgres`), for machines that reach no
# registry. It takes POSTGRES_PASSWORD and keeps its data in /var/lib/postgresql/data, as the official image does. For checks only.
set -euo pipefail
name=${1:-updraft-postgres}
bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
version=$(basename "$(dirname "$bin")")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,etc,tmp,usr/lib/postgresql,usr/share/postgresql,var/lib/postgresql/data}
cp -a "/usr/lib/postgresql/$version" "$root/usr/lib/postgresql/"
cp -a "/usr/share/postgresql/$version" "$root/usr/share/postgresql/"
cp -aL /usr/share/zoneinfo "$root/usr/share/"
# What they are linked with, and the loader. `ldd` fails for files that are linked with nothing.
{ find "/usr/lib/postgresql/$version" -type f \( -perm -u+x -o -name '*.so' \) -exec ldd {} + 2>/dev/null || true; } |
  sed -n 's/.*=> \(\/[^ ]*\) (.*/\1/p; s/^\t\(\/lib[^ ]*\) (.*/\1/p' | sort -u | while read -r library; do
    install -D -m 755 "$library" "$root$library"
  done
install -m 755 "$(command -v busybox)" "$root/bin/busybox"
for applet in sh printf chmod; do ln -s busybox "$root/bin/$applet"; done
echo 'postgres:x:999:999::/var/lib/postgresql:/bin/sh' >"$root/etc/passwd"
echo 'postgres:x:999:' >"$root/etc/group"
cat >"$root/bin/start" <<'START'
#!/bin/sh
set -e
data=/var/lib/postgresql/data
if [ ! -s "$data/PG_VERSION" ]; then
  printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
  initdb -D "$data" -U postgres --pwfile=/tmp/password --auth=scram-sha-256 -E UTF8 --no-locale
  echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
fi
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
START
chmod 755 "$root/bin/start"
chmod 1777 "$root/tmp"
tar -C "$root" --numeric-owner --owner=0 --group=0 --exclude=./var/lib/postgresql -cf "$work/rootfs.tar" .
tar -C "$root" --numeric-owner --owner=999 --group=999 -rf "$work/rootfs.tar" ./var/lib/postgresql
rm -r "$root"
cat >"$work/Dockerfile" <<DOCKERFILE
FROM scratch
ADD rootfs.tar /
ENV PATH=/usr/lib/postgresql/$version/bin:/bin
USER 999:999
VOLUME /var/lib/postgresql/data
ENTRYPOINT ["/bin/start"]
DOCKERFILE
docker build --quiet --tag "$name" "$work"
