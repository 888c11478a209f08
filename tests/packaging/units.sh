#!/usr/bin/env bash
# units.sh SOURCE_DIR: systemd-analyze on the units; it needs no running systemd.
set -euo pipefail
command -v systemd-analyze > /dev/null || { echo "SKIPPED: no systemd-analyze (apt-get install systemd)"; exit 0; }
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cp "$1"/packaging/systemd/*.service "$1"/packaging/systemd/*.socket "$work/"
# The programs are not installed here; everything else is as it will be.
sed -i -E 's#^ExecStart=/usr/bin/(het[a-z-]*)#ExecStart=/bin/true#' "$work"/*.service
cd "$work"
said="$(systemd-analyze verify --man=no --recursive-errors=no ./hetd.service ./hetd.socket ./hetd-admin.socket ./het-probe.socket ./het-probe@x.service ./het-exporter.service 2>&1 || true)"
if grep -E 'het(d|-probe|-exporter)' <<< "$said"; then echo "systemd-analyze verify says so"; exit 1; fi
for unit in hetd.service het-probe@.service het-exporter.service; do
  line="$(systemd-analyze security --offline=true "./$unit" 2> /dev/null | tail -n 1)"
  level="$(grep -oE '[0-9]+\.[0-9]+' <<< "$line")"
  echo "$unit: exposure $level (at most 2.0)"
  awk -v level="$level" 'BEGIN { exit !(level <= 2.0) }'
done
