#!/usr/bin/env bash
# rootfs.sh BINARY FOLDER: what an image of Updraft consists of: the binary, the libraries it is linked with, certificates, a user.
# Nothing is downloaded; all of it is this machine's, whose C library is therefore the image's. No shell, no package manager.
set -euo pipefail
binary=${1:?usage: rootfs.sh BINARY FOLDER} root=${2:?usage: rootfs.sh BINARY FOLDER}

mkdir -p "$root"/{usr/bin,etc/ssl/certs,tmp,var/lib/updraft/logs,dags}
install -m 755 "$binary" "$root/usr/bin/updraft"
# "name => /path (address)", and the loader, which stands alone.
ldd "$binary" | grep -o '/[^ ]*' | while read -r library; do
  install -D -m 755 "$library" "$root$library"
done
certificates=/etc/ssl/certs/ca-certificates.crt
[ -e "$certificates" ] || { echo "rootfs.sh: $certificates is missing: install ca-certificates" >&2; exit 1; }
install -m 644 "$certificates" "$root$certificates"
echo 'root:x:0:0:root:/root:/nonexistent' >"$root/etc/passwd"
echo 'updraft:x:1000:1000:Updraft:/var/lib/updraft:/nonexistent' >>"$root/etc/passwd"
printf 'root:x:0:\nupdraft:x:1000:\n' >"$root/etc/group"
# Names in /etc/hosts (which the container runtime writes) before DNS.
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
chmod 1777 "$root/tmp"
