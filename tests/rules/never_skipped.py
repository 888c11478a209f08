#!/usr/bin/env python3
"""Checks that the tests of every backend are there, and that a skip within them is a failure.

The devices of these tests are part of every machine that tests het: the processor, PoCL, rusticl, the simulated device and
the soft cards. A configuration that left one out, or a test that may skip, would let a backend go untested unseen.

usage: never_skipped.py BUILD_DIR
"""
import json
import subprocess
import sys

REQUIRED = [
    # The conformance suite.
    "cpu_conformance_test", "simulated_conformance_test", "opencl_pocl_conformance_test", "opencl_rusticl_conformance_test",
    "cuda_soft_conformance_test", "cuda_soft_part_conformance_test", "hip_soft_conformance_test", "hip_soft_part_conformance_test",
    "level_zero_soft_conformance_test", "isolated_conformance_test", "opencl_accelerator_test",
    # The engine's kernels against the double-precision reference.
    "native_kernels_test", "engine_kernels_pocl_wide", "engine_kernels_pocl_lanes", "engine_kernels_rusticl", "engine_kernels_cuda",
    "engine_kernels_hip", "engine_kernels_level_zero",
]


def properties(test):
    return {item["name"]: item["value"] for item in test.get("properties", [])}


def main(build):
    shown = subprocess.run(["ctest", "--test-dir", build, "--show-only=json-v1"], capture_output=True, text=True, check=True)
    tests = {test["name"]: test for test in json.loads(shown.stdout)["tests"]}
    faults = []
    for name in REQUIRED:
        if name not in tests:
            faults.append(f"{name} is not there: a part was left out (./dev build says which)")
            continue
        have = properties(tests[name])
        if have.get("DISABLED"):
            faults.append(f"{name} is disabled")
        fails_on = have.get("FAIL_REGULAR_EXPRESSION", [])
        fails_on = [fails_on] if isinstance(fails_on, str) else fails_on
        if not any("SKIPPED" in one for one in fails_on) or not any("Running 0 tests" in one for one in fails_on):
            faults.append(f"{name} may skip: it needs NO_SKIP in its het_test()")
        if any(have.get("SKIP_REGULAR_EXPRESSION", [])) or "SKIP_RETURN_CODE" in have:
            faults.append(f"{name} has a way to be skipped")
    print("\n".join(faults) if faults else f"{len(REQUIRED)} tests are there, and none may skip")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else __doc__)
