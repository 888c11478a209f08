#!/usr/bin/env bash
# Packages a finished build tree: packaging/build.sh BUILD_DIR OUT_DIR. Needs debhelper and lintian.
set -euo pipefail
here="$(dirname "$(readlink -f "$0")")"
build="$(readlink -f "$1")"
mkdir -p "$2"
out="$(readlink -f "$2")"

# The libraries go where Debian has those of this architecture.
cmake -DCMAKE_INSTALL_LIBDIR="lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)" "$build" > "$build/package-configure.log" 2>&1 ||
  { tail -n 20 "$build/package-configure.log" >&2; exit 1; }
stage="$build/package"
rm -rf "$stage"
mkdir -p "$stage/het"
cp -rL "$here/debian" "$stage/het/debian"
(cd "$stage/het" && HET_BUILD_DIR="$build" dpkg-buildpackage -b -us -uc -d) > "$build/package.log" 2>&1 ||
  { tail -n 30 "$build/package.log" >&2; exit 1; }
rm -f "$out"/*.deb
cp "$stage"/*.deb "$out/"
lintian --fail-on error --suppress-tags-from-file "$here/lintian-not-here" "$stage"/*.changes
ls -1 "$out"/*.deb
