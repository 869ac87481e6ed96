#!/bin/sh
# `make system`: what tests need of the system, program and package. Nothing is done where all is there.
set -eu
missing=
for pair in ip:iproute2 tc:iproute2 nsenter:util-linux chromium:chromium ssh:openssh-client \
  /usr/sbin/sshd:openssh-server; do
  command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair##*:}"
done
# A page without fonts looks like no page that people see.
fc-list 2>/dev/null | grep -q DejaVu || missing="$missing fonts-dejavu-core"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "make system: needs root to install$missing; run it as root, or apt-get install$missing" >&2
  exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
  echo "make system: there is no apt-get here; install$missing in this system's own way" >&2
  exit 1
fi
apt-get update -qq
# shellcheck disable=SC2086  # several packages
apt-get install -y -qq --no-install-recommends $missing
