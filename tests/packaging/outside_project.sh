#!/usr/bin/env bash
# outside_project.sh BUILD_DIR COMPILER: installs the build into a folder and builds outside/ against it, twice.
set -euo pipefail
here="$(dirname "$(readlink -f "$0")")"
build="$1" compiler="$2"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/usr" > "$work/install.log" || { tail -n 5 "$work/install.log"; exit 1; }

cmake -S "$here/outside" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" -DCMAKE_PREFIX_PATH="$work/usr" > "$work/log" 2>&1 &&
  cmake --build "$work/build" >> "$work/log" 2>&1 || { tail -n 20 "$work/log"; exit 1; }
"$work/build/outside" | grep "het works outside"

pc="$(dirname "$(find "$work/usr" -name het.pc)")"
[ -n "$pc" ] || { echo "no het.pc"; exit 1; }
flags="$(PKG_CONFIG_PATH="$pc" pkg-config --cflags --libs het)"
[ "$(PKG_CONFIG_PATH="$pc" pkg-config --modversion het)" = "$("$work/usr/bin/hetctl" version -o json --socket /nowhere | sed -n 's/.*"client": "\(.*\)".*/\1/p')" ] ||
  { echo "het.pc says another version than hetctl"; exit 1; }
# shellcheck disable=SC2086
"$compiler" -std=c++20 "$here/outside/main.cc" -o "$work/with_pkg_config" $flags
LD_LIBRARY_PATH="$pc/.." "$work/with_pkg_config" | grep "het works outside"
