#!/usr/bin/env python3
"""Checks that libhet exports every function of het.h and nothing else.

usage: exports.py LIBHET.so HET.h
"""
import re
import subprocess
import sys


def main():
    library, header = sys.argv[1:]
    with open(header, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)
    declared = set(re.findall(r"HET_API[^;]*?\b(het_\w+)\s*\(", text))
    if not declared:
        sys.exit(f"{header}: found no HET_API function")
    lines = subprocess.run(["nm", "-D", "--defined-only", library], check=True, text=True,
                           capture_output=True).stdout.splitlines()
    exported = {line.split()[-1].split("@")[0] for line in lines if line.split()[-2] != "A"}
    failed = False
    for name in sorted(declared - exported):
        print(f"declared and not exported: {name}")
        failed = True
    for name in sorted(exported - declared):
        print(f"exported and not declared: {name}")
        failed = True
    soname = subprocess.run(["readelf", "-d", library], check=True, text=True,
                            capture_output=True).stdout
    if "[libhet.so.0]" not in soname:
        print("the soname is not libhet.so.0")
        failed = True
    print(f"{len(exported)} exported, {len(declared)} declared")
    sys.exit(1 if failed else 0)


main()
