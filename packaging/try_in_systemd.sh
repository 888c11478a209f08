#!/usr/bin/env bash
# Installs the packages in a real systemd (systemd-nspawn over a debootstrap root), uses them as an ordinary user,
# kills the daemon, and removes everything again: packaging/try_in_systemd.sh DEB_DIR.
# Prints "SKIPPED: reason" where this machine cannot. The root is kept in the cache and never written to.
set -euo pipefail
here="$(dirname "$(readlink -f "$0")")"
debs="$(readlink -f "$1")"
skip() { echo "SKIPPED: $*"; exit 0; }

[ "$(id -u)" = 0 ] || skip "not root, which systemd-nspawn needs"
for tool in systemd-nspawn debootstrap; do
  command -v "$tool" > /dev/null || skip "no $tool (apt-get install systemd-container debootstrap)"
done
ls "$debs"/hetd_*.deb > /dev/null || { echo "no packages in $debs; ./dev package makes them" >&2; exit 1; }

root="${HET_NSPAWN_ROOT:-${XDG_CACHE_HOME:-$HOME/.cache}/het/bookworm}"
if [ ! -e "$root/.ready" ]; then
  rm -rf "$root"
  mkdir -p "$(dirname "$root")"
  # What the packages depend on, so that nothing is fetched inside.
  timeout 150 debootstrap --variant=minbase \
    --include=systemd,systemd-sysv,dbus,libuv1,libsqlite3-0,libhwloc15,libmd0,libstdc++6,libcpp-httplib0.11,libabsl20220623,libhwy1,libtomlplusplus3,procps \
    bookworm "$root" > "/tmp/het-debootstrap.$$" 2>&1 ||
    { tail -n 3 "/tmp/het-debootstrap.$$"; rm -rf "$root" "/tmp/het-debootstrap.$$"; skip "debootstrap failed"; }
  rm -f "/tmp/het-debootstrap.$$"
  touch "$root/.ready"
fi

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
mkdir "$work/out"
cp "$here/in_systemd.sh" "$work/"
cat > "$work/het-try.service" <<'UNIT'
[Unit]
Description=Tries the packages of het
After=basic.target dbus.socket
SuccessAction=poweroff
FailureAction=poweroff
[Service]
Type=oneshot
ExecStart=/bin/bash /het-try/in_systemd.sh
StandardOutput=file:/het-out/log
StandardError=inherit
TimeoutStartSec=120
UNIT
printf '[Unit]\nWants=het-try.service\n' > "$work/wants.conf"
started=$(date +%s)
timeout 170 systemd-nspawn --quiet --register=no --keep-unit --boot --volatile=overlay --directory="$root" \
  --machine="het-try-$$" --bind-ro="$debs:/het-debs" --bind-ro="$work:/het-try" --bind="$work/out:/het-out" \
  --bind-ro="$work/het-try.service:/etc/systemd/system/het-try.service" \
  --bind-ro="$work/wants.conf:/etc/systemd/system/multi-user.target.d/het-try.conf" \
  > "$work/console" 2>&1 < /dev/null || true
[ -e "$work/out/log" ] || { tail -n 5 "$work/console"; skip "no container boots here"; }
cat "$work/out/log"
[ -e "$work/out/passed" ] || { echo "FAILED" >&2; exit 1; }
echo "passed in $(($(date +%s) - started)) s"
