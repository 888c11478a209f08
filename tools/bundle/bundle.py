#!/usr/bin/env python3
"""Makes a relocatable folder of a build: programs, conformance tests, benchmarks, and the shared libraries they need.

It runs on another x86-64 Linux with glibc >= 2.36 where nothing of het's is installed; no driver, compiler or soft driver is in
it. `bench/gpu_all.sh` in it measures whatever hardware is there.

usage: bundle.py --build BUILD_DIR --output DIR
"""
import argparse
import glob
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIMIT_BYTES = 40 << 20
PROGRAMS = ["hetd", "hetctl", "het-probe", "hetllm"]
# Tests that look for real devices, and skip where there is none.
TESTS = ["cuda_conformance_test", "hip_conformance_test", "level_zero_conformance_test", "gpu_compile_test",
         "portable_kernels_test"]
BENCHMARKS = ["streams", "replay", "kernels", "parts"]
# The C library and the loader belong to the machine.
SYSTEM = re.compile(r"^(ld-linux.*|linux-vdso|libc|libm|libdl|libpthread|librt|libresolv|libutil)\.so")
GLIBC = (2, 36)


def find_program(build, name):
    found = [path for path in glob.glob(os.path.join(build, "**", name), recursive=True)
             if os.access(path, os.X_OK) and os.path.isfile(path)]
    return found[0] if found else None


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def needed(path):
    """{name: where it lies} of all shared libraries that a program needs, but for the system's."""
    libraries = {}
    for line in run("ldd", path).splitlines():
        match = re.match(r"\s*(\S+) => (\S+) \(", line)
        if match and not SYSTEM.match(match.group(1)):
            libraries[match.group(1)] = match.group(2)
        elif "not found" in line:
            sys.exit(f"{path} needs {line.split()[0]}, which is not here")
    return libraries


def newest_glibc(path):
    """The newest GLIBC symbol version that a file asks for."""
    versions = re.findall(r"GLIBC_(\d+)\.(\d+)", run("objdump", "-T", path))
    return max(((int(a), int(b)) for a, b in versions), default=(0, 0))


def install(path, folder, rpath):
    os.makedirs(folder, exist_ok=True)
    target = os.path.join(folder, os.path.basename(path))
    shutil.copy(path, target)
    os.chmod(target, 0o755)
    subprocess.run(["strip", "--strip-unneeded", target], check=True)
    subprocess.run(["patchelf", "--set-rpath", rpath, target], check=True)
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--output", required=True)
    options = parser.parse_args()
    output = os.path.abspath(options.output)
    marker = os.path.join(output, "bundle.txt")
    if os.path.exists(output):
        if os.listdir(output) and not os.path.exists(marker):
            sys.exit(f"{output} is there and is no bundle: it is left alone")
        shutil.rmtree(output)
    os.makedirs(output)
    with open(marker, "w", encoding="ascii") as handle:  # so that what is left of a failure is known as such
        handle.write("unfinished\n")

    libraries, installed = {}, []
    for folder, names in (("bin", PROGRAMS), ("tests", TESTS), ("bench", BENCHMARKS)):
        for name in names:
            # Programs and benchmarks lie in one folder of the build each; a Debian package made there has copies.
            inside = options.build if folder == "tests" else os.path.join(options.build, folder)
            path = find_program(inside, name)
            if path is None:
                if folder == "bin":
                    sys.exit(f"{name} is not built: ./dev build")
                print(f"left out: {name} (not built)")
                continue
            libraries.update(needed(path))
            installed.append(install(path, os.path.join(output, folder), "$ORIGIN/../lib"))
    for path in libraries.values():
        libraries_of = needed(path)
        assert set(libraries_of) <= set(libraries), libraries_of
        installed.append(install(os.path.realpath(path), os.path.join(output, "lib"), "$ORIGIN"))
    for name, path in libraries.items():  # under the name that programs ask for
        real = os.path.basename(os.path.realpath(path))
        if real != name:
            os.rename(os.path.join(output, "lib", real), os.path.join(output, "lib", name))
            installed = [os.path.join(output, "lib", name) if os.path.basename(p) == real else p for p in installed]
    for script in ("gpu_all.sh", "gpu_figures.py", "torch_share.py"):
        shutil.copy(os.path.join(ROOT, "bench", script), os.path.join(output, "bench"))
    os.makedirs(os.path.join(output, "share"))
    shutil.copy(os.path.join(ROOT, "engine", "demo", "addition.gguf"), os.path.join(output, "share"))
    shutil.copy(os.path.join(ROOT, "LICENSE"), output)

    newest = max(newest_glibc(path) for path in installed)
    if newest > GLIBC:
        sys.exit(f"the bundle needs glibc {newest[0]}.{newest[1]}: build it on a system with {GLIBC[0]}.{GLIBC[1]} or older")
    size = sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(output) for name in names)
    if size > LIMIT_BYTES:
        sys.exit(f"the bundle is {size / (1 << 20):.1f} MiB large; it may be {LIMIT_BYTES >> 20}")
    with open(marker, "w", encoding="ascii") as handle:
        handle.write(f"het bundle, needs x86-64 and glibc >= {newest[0]}.{newest[1]}\n"
                     "bench/gpu_all.sh OUTPUT_DIR measures the devices of this machine\n")
    print(f"{output}: {size / (1 << 20):.1f} MiB, {len(installed)} programs and libraries, glibc >= {newest[0]}.{newest[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
