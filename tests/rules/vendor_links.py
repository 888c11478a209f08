#!/usr/bin/env python3
"""Checks that no shipped binary links a vendor library, and that hetd carries no backend.

usage: vendor_links.py BUILD_DIR
"""
import glob
import os
import subprocess
import sys

VENDOR = ("libOpenCL", "libcuda", "libnvidia", "libamdhip", "librocm", "libze_", "libpocl", "libLLVM")


def main(build_dir):
    binaries = [path for pattern in ("bin/*", "lib/libhet.so*")
                for path in glob.glob(os.path.join(build_dir, pattern)) if os.path.isfile(path)]
    names = {os.path.basename(path).split(".")[0] for path in binaries}
    missing = {"hetd", "hetctl", "het-probe", "hetllm", "libhet"} - names
    if missing:
        print("not built:", ", ".join(sorted(missing)))
        return 1
    faults = []
    for path in binaries:
        dynamic = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
        faults += [f"{path} links {line.split('[')[1].rstrip(']')}" for line in dynamic.splitlines()
                   if "NEEDED" in line and any(vendor in line for vendor in VENDOR)]
    hetd = os.path.join(build_dir, "bin", "hetd")
    with open(hetd, "rb") as handle:
        content = handle.read()
    faults += [f"hetd names {word.decode()}: a backend was linked in"
               for word in (b"libOpenCL.so", b"libcuda.so", b"libamdhip64.so") if word in content]
    print("\n".join(faults) if faults else f"{len(binaries)} binaries link no vendor library")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else __doc__)
