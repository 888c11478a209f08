#!/usr/bin/env python3
"""Checks the include rules of docs/ARCHITECTURE.md: a room includes only the rooms below it.

usage: include_rules.py SOURCE_DIR | include_rules.py --self-test
"""
import os
import re
import sys

# Room -> rooms it may include (itself is always allowed). The longest matching folder decides.
DESCRIPTORS = {"devices/backend_names.h", "devices/device_info.h", "devices/telemetry.h", "devices/topology.h"}  # what "devices (descriptors only)" means
OPENCL_IDENTITY = "devices/opencl/identity.h"
CUDA_ABI = "devices/cuda/abi.h"
RULES = {
    "include": set(),
    "base": set(),
    "report": {"base"},
    "devices": {"base", "include/kernel"},
    "partition": {"base", "descriptors"},
    "scheduler": {"base", "partition", "descriptors"},
    "protocol": {"base", "partition", "descriptors"},
    # How an OpenCL device gets its UUID: the layer must recognise the leased one ("opencl_identity"); how NVIDIA's driver is
    # called ("cuda_abi": declarations alone, which one test compares with cuda.h).
    "interpose": {"base", "partition", "protocol", "opencl_identity", "cuda_abi"},
    "runtime": {"base", "devices", "partition", "scheduler", "protocol", "include"},
    "daemon": {"base", "report", "partition", "scheduler", "protocol", "descriptors"},
    "tools": {"base", "report", "devices", "partition", "scheduler", "protocol", "runtime", "include"},
    "engine": {"include"},
    "tests": None,  # anything
    "bench": None,
}
# scheduler/ is pure: no clock, file, thread or device.
IMPURE = re.compile(
    r'#include\s+[<"](base/(clock|files|log)\.h|thread|chrono|fstream|filesystem|mutex|condition_variable|unistd\.h|'
    r'sys/.*|time\.h|absl/time/.*|absl/synchronization/.*)[>"]')
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
SOURCES = (".h", ".hpp", ".cc", ".c")


def room_of(path):
    return path.split("/")[0]


def target_of(include):
    """The room an include belongs to, or None for what is not ours."""
    if include.startswith("het/"):
        return "include/kernel" if include == "het/kernel.h" else "include"
    if include in DESCRIPTORS:
        return "descriptors"
    if include == OPENCL_IDENTITY:
        return "opencl_identity"
    if include == CUDA_ABI:
        return "cuda_abi"
    room = room_of(include)
    return room if room in RULES and "/" in include else None


def violations(path, text):
    room = room_of(path)
    if room not in RULES or RULES[room] is None:
        return
    is_test = re.search(r"_test(_util)?\.(cc|h)$", path)
    for number, line in enumerate(text.splitlines(), 1):
        if room == "scheduler" and not is_test and IMPURE.match(line):
            yield f"{path}:{number}: scheduler/ is pure and may not have: {line.strip()}"
        match = INCLUDE.match(line)
        if not match:
            continue
        target = target_of(match.group(1))
        if target is None or target == room or (room == "include" and target.startswith("include")):
            continue
        allowed = RULES[room]
        if target in allowed or (target in ("descriptors", "opencl_identity", "cuda_abi") and "devices" in allowed):
            continue
        if target == "include/kernel" and "include" in allowed:
            continue
        if room == "devices" and target in ("descriptors", "opencl_identity", "cuda_abi"):
            continue
        yield (f"{path}:{number}: {room}/ may not include \"{match.group(1)}\" "
               f"(allowed: {', '.join(sorted(allowed)) or 'nothing of ours'})")


def check(source_dir):
    found = []
    files = 0
    for room in RULES:
        for folder, subfolders, names in os.walk(os.path.join(source_dir, room)):
            subfolders.sort()
            for name in sorted(names):
                if not name.endswith(SOURCES):
                    continue
                files += 1
                full = os.path.join(folder, name)
                with open(full, encoding="utf-8", errors="replace") as handle:
                    found += violations(os.path.relpath(full, source_dir), handle.read())
    print("\n".join(found) if found else f"{files} files keep the include rules")
    return 1 if found or files == 0 else 0


def self_test():
    cases = [
        ("engine/a.cc", '#include "base/units.h"', True),
        ("engine/a.cc", '#include "het/het.h"', False),
        ("engine/a.cc", '#include "engine/gguf.h"', False),
        ("daemon/a.cc", '#include "devices/device.h"', True),
        ("daemon/a.cc", '#include "devices/device_info.h"', False),
        ("daemon/a.cc", '#include "runtime/session.h"', True),
        ("scheduler/a.cc", "#include <chrono>", True),
        ("scheduler/a_test.cc", "#include <chrono>", False),
        ("devices/cpu/a.cc", '#include "het/kernel.h"', False),
        ("devices/cpu/a.cc", '#include "het/het.h"', True),
        ("base/a.cc", '#include "devices/device_info.h"', True),
        ("interpose/opencl/a.cc", '#include "devices/opencl/identity.h"', False),
        ("interpose/opencl/a.cc", '#include "devices/opencl/api.h"', True),
        ("interpose/cuda/a.cc", '#include "devices/cuda/abi.h"', False),
        ("interpose/cuda/a.cc", '#include "devices/cuda/api.h"', True),
        ("daemon/a.cc", '#include "devices/opencl/identity.h"', True),
        ("tests/x/a.cc", '#include "daemon/server.h"', False),
    ]
    bad = [case for case in cases if bool(list(violations(case[0], case[1]))) != case[2]]
    print(f"{len(cases) - len(bad)} of {len(cases)} cases as expected", *bad)
    return 1 if bad else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(self_test() if sys.argv[1] == "--self-test" else check(sys.argv[1]))
