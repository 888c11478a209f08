#!/usr/bin/env python3
"""What a user waits for before the first token, and what a model takes in memory.

    startup.py --model BIG.gguf [--build build] [--devices cpu pthread] [--rounds 5]

First token: from the start of the process to the first byte of the answer, demo model, page cache warm; goal 300 ms. Load: the
same with the big model and one token to generate, so it holds the start, the load and two passes over the weights, and the
time of the demo model is given beside it; goal 1 s for 1 GB. Memory: the largest proportional set (PSS) while the big model
generates, over its file and its KV cache; goal 1.05. Pages of the file count where this process maps them.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEMO = os.path.join(ROOT, "engine", "demo", "addition.gguf")
CONTEXT = 2048


def command(options, device, model, *more):
    return [os.path.join(options.build, "bin", "hetllm"), "generate", "-m", model, "-p", "12+34=", "--slices", device, "--embedded",
            "--activations", "q8", "--ignore-eos", *more]


def first_byte(arguments):
    begin = time.monotonic()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(1)
        seconds = time.monotonic() - begin
        errors = process.communicate()[1]
    if process.returncode != 0:
        sys.exit(f"{' '.join(arguments)} gave {process.returncode}: {errors.decode()[-500:]}")
    return seconds


def largest_pss(arguments):
    """Bytes: all, and of these private ones."""
    largest = private = 0
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as rollup:
                    fields = {line.split(":")[0]: int(line.split()[1]) << 10 for line in rollup if line.endswith("kB\n")}
            except (OSError, ValueError):
                break
            largest = max(largest, fields.get("Pss", 0))
            private = max(private, fields.get("Pss_Anon", 0))
            time.sleep(0.05)
    return largest, private


def spread(seconds):
    return f"{statistics.median(seconds):.3f} s ({min(seconds):.3f}-{max(seconds):.3f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--model", required=True, help="about 1 GB, with a tokenizer")
    parser.add_argument("--devices", nargs="+", default=["cpu"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    options = parser.parse_args()
    os.environ.setdefault("POCL_MEMORY_LIMIT", "8")
    info = json.loads(subprocess.run([os.path.join(options.build, "bin", "hetllm"), "info", "-m", options.model, "-o", "json"],
                                     capture_output=True, check=True).stdout)
    file_bytes = os.path.getsize(options.model)
    needed = file_bytes + info["kv_bytes_per_token"] * CONTEXT
    report = []
    for device in options.devices:
        token, load = [], []
        first_byte(command(options, device, DEMO, "-n", "1"))  # kernels are built once, and the page cache is warm
        first_byte(command(options, device, options.model, "-n", "1"))
        for _ in range(options.rounds):
            token.append(first_byte(command(options, device, DEMO, "-n", "1")))
            load.append(first_byte(command(options, device, options.model, "-n", "1")))
        pss, private = largest_pss(command(options, device, options.model, "-n", "24", "--context", str(CONTEXT)))
        report.append({"device": device, "firstTokenSeconds": token, "loadSeconds": load, "fileBytes": file_bytes, "pssBytes": pss,
                       "anonymousBytes": private, "pssOverFileAndKv": pss / needed})
        if options.output == "table":
            print(f"{device:8} first token {spread(token)}, goal 0.3; with {file_bytes / 1e9:.2f} GB {spread(load)}, goal 1 / GB; "
                  f"memory {pss / 1e6:.0f} MB ({private / 1e6:.0f} anonymous) of {needed / 1e6:.0f}: {pss / needed:.3f} (1.05)",
                  flush=True)
    if options.output == "json":
        print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
