#!/usr/bin/env bash
# What try_in_systemd.sh runs inside, as a unit of the real systemd. Every step says what it saw.
set -euo pipefail
step() { echo "== $*"; }
fail() { echo "FAILED: $*"; journalctl --no-pager -n 40 -u 'hetd*' -u 'het-probe*' 2>&1 || true; exit 1; }
eventually() {  # eventually SECONDS COMMAND...: until it succeeds
  local end=$((SECONDS + $1)); shift
  until "$@" > /dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done
}
as_ana() { runuser -u ana -- "$@"; }

step "install"
dpkg -i /het-debs/*.deb > /het-out/dpkg 2>&1 || { cat /het-out/dpkg; fail "dpkg -i"; }
systemctl is-active hetd.socket hetd.service het-probe.socket || fail "not started by its installation"
systemctl is-enabled hetd.socket hetd.service || fail "not enabled"
[ "$(stat -c '%U %a' /run/het/het.sock)" = "hetd 666" ] || fail "het.sock: $(stat -c '%U %a' /run/het/het.sock)"
[ "$(stat -c '%U:%G %a' /run/het/admin.sock)" = "root:het-admin 660" ] || fail "admin.sock: $(stat -c '%U:%G %a' /run/het/admin.sock)"
[ "$(stat -c '%U %a' /var/lib/het)" = "hetd 750" ] || fail "/var/lib/het: $(stat -c '%U %a' /var/lib/het)"
[ "$(ps -o user= -C hetd)" = hetd ] || fail "hetd runs as $(ps -o user= -C hetd)"

step "units"
systemd-analyze verify --man=no hetd.service hetd.socket het-probe.socket het-exporter.service || fail "verify"
for unit in hetd.service het-exporter.service; do
  systemd-analyze security --no-pager "$unit" | tail -n 1
  systemd-analyze security --no-pager --threshold=20 "$unit" > /dev/null || fail "$unit is exposed"
done

step "an ordinary user leases a slice"
useradd -m ana
eventually 20 sh -c 'hetctl get devices | grep -q " ok "' || { hetctl get devices -o wide; fail "no device"; }
hetctl get devices
[ "$(grep -c . /proc/$(pidof hetd)/maps)" -gt 0 ] && ! grep -qE 'libOpenCL|libcuda' "/proc/$(pidof hetd)/maps" ||
  fail "hetd loaded a driver"
lease=$(as_ana hetctl acquire --device cpu --share 30 --memory 64MiB -o name) || fail "acquire"
as_ana hetctl get leases
as_ana hetctl drain cpu 2> /het-out/denied && fail "an ordinary user may drain"
[ $? != 0 ] && cat /het-out/denied

usermod -a -G het-admin ana
as_ana hetctl --socket /run/het/admin.sock drain cpu && as_ana hetctl --socket /run/het/admin.sock undrain cpu || fail "who is in het-admin may not drain"

step "an engine runs while hetd is killed"
hetllm synth --layers 4 --embd 256 --ff 512 --heads 4 --kv-heads 4 --vocab 512 -o /tmp/m.gguf > /dev/null
chmod 644 /tmp/m.gguf
as_ana hetllm generate -m /tmp/m.gguf --slices cpu:30% -p "abc" -n 4000 --context 4100 --ignore-eos -o json \
  > /het-out/generated 2> /het-out/generate.err &
engine=$!
kept() { [ "$(systemctl show -P NFileDescriptorStore hetd.service)" -ge "$1" ]; }
eventually 30 kept 2 || { cat /het-out/generate.err; fail "systemd keeps no arbiter pages"; }
echo "descriptors in the store: $(systemctl show -P NFileDescriptorStore hetd.service)"
before=$(pidof hetd)
kill -9 "$before"
eventually 10 sh -c "[ -n \"\$(pidof hetd)\" ] && [ \"\$(pidof hetd)\" != $before ] && hetctl get leases" ||
  fail "hetd did not come back"
as_ana hetctl get leases -o name | grep -q "$lease" || fail "the lease is lost"
hetctl get slices -o json | grep -q '"processes": 1' || { hetctl get slices -o json; fail "the new hetd does not see the engine's seat"; }
kill $engine 2> /dev/null || true
wait $engine 2> /dev/null || true
echo "restarted: $before -> $(pidof hetd)"

step "the watchdog is answered, the journal has fields"
[ "$(systemctl show -P WatchdogUSec hetd.service)" = 15s ] || fail "no watchdog"
[ "$(systemctl show -P NRestarts hetd.service)" = 1 ] || fail "restarts: $(systemctl show -P NRestarts hetd.service)"
short=$(as_ana hetctl acquire --device cpu --share 10 --memory 16MiB --ttl 1s -o name)
eventually 10 sh -c "journalctl -t hetd HET_LEASE_ID=$short -o json | grep -q MESSAGE_ID" || fail "no event of an expired lease"
journalctl -t hetd "HET_LEASE_ID=$short" -x --no-pager | tail -n 8

step "report and metrics"
sleep 2
as_ana hetctl report --from -1h 2>&1
as_ana hetctl report --from -1h -o csv 2> /dev/null | head -n 3 | cut -c1-150
as_ana hetctl report --from -1h -o csv 2> /dev/null | grep -q ",HeldIdle,ana," || fail "the report lacks the lease"
as_ana hetctl report --from -1h -o html --file /tmp/ana.html && grep -q '<svg\|createElementNS' /tmp/ana.html || fail "page"
systemctl start het-exporter
het-exporter --once | grep -E '^het_(up|lease_info)' || fail "metrics"
man -w hetctl hetd het-probe het-exporter hetllm 2> /dev/null || ls /usr/share/man/man1/hetctl.1.gz > /dev/null

step "stop and start: the socket stays, the lease too"
systemctl stop hetd.service
eventually 10 as_ana hetctl get leases || fail "no start by the socket"
as_ana hetctl get leases -o name | grep -q "$lease" || fail "the lease is lost by a stop"
as_ana hetctl release "$lease"

step "remove"
systemctl stop het-exporter
dpkg --purge hetllm libhet-dev hetctl hetd libhet0 > /het-out/purge 2>&1 || { cat /het-out/purge; fail "purge"; }
for left in /run/het /var/lib/het /usr/bin/hetd /usr/bin/hetctl; do [ ! -e "$left" ] || fail "$left is left"; done
[ -z "$(pidof hetd || true)" ] || fail "hetd still runs"
systemctl list-units --all --no-legend --plain 'hetd*' 'het-probe*' 'het-exporter*' | grep -q . && fail "units are left: $(systemctl list-units --all 'hetd*' 'het-probe*' 'het-exporter*')"
touch /het-out/passed
