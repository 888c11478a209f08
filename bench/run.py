#!/usr/bin/env python3
"""Runs the benchmarks of a build and prints their tables, each figure beside the one asked for.

usage: run.py --build BUILD_DIR [NAME...]     (no name: all; --help lists them)
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools", "demo"))
sys.path.insert(0, os.path.join(ROOT, "bench"))
import fleet_reality  # noqa: E402
import inventory  # noqa: E402
from programs import ProgramError, Programs  # noqa: E402

# What each program is held to, as printed above its table.
GOALS = {
    "executor": "<= 0.2 us per empty stage and item; 10 us stages <= 0.3 us over plain loops; 200 us delay line for 16: <= 18 us per item",
    "planner": "80 layers, 16 slices of 8 types: <= 60 ms median",
    "fleet": "openb: one seed <= 0.5 s, a decision <= 50 us mean, 5 ms worst; 100,000 nodes and a million jobs <= 300 s, <= 4 GiB",
    "fleet-reality": "CPU + PoCL, a core each: prefill throughput predicted by hetctl simulate within 5 % of measured",
    "kernels": "decode >= 0.8x of the read bandwidth for F16 and Q8_0, >= 0.6x for Q4_0 with q8 activations; prefill f32 >= 0.5x of the FMA peak",
    "pipeline": "simulated A100+V100+L4+T4: >= 0.97 of plan, >= 1.8x the memory-proportional split",
    "mixed": "CPU + PoCL, a core each, synth 100 M F32: prefill mixed / sum >= 0.90, achieved / planned >= 0.90",
    "report": "30 days x 16 devices, 72,000 rows: <= 2 s",
    "daemon": "hetctl listing <= 20 ms; hetd idle <= 0.5 % CPU and <= 30 MB; under load: the goals below its table",
    "share": "share of a 1 s window: <= 1 point off at worst, 0.2 in the median; on PoCL <= 2 points",
    "share_cost": "a turn nobody contends for: <= 50 ns at 4 active slots, <= 250 ns at 64",
    "share_goals": "P99 of a high class <= 1.10x alone, >= 90 % of the rest harvested; cap +1 point; throughput >= 98 % (85 % at depth 1); "
                   "resize <= 200 ms, memory <= 50 ms; 0 bytes over quota",
    "inventory": "start to full inventory: <= 1 s with all vendors' libraries, <= 100 ms with none",
    "streams": "het's part of an enqueue over the bare API: <= 0.3 us on the soft drivers and on PoCL",
    "replay": "a decode step on a GPU's queue, its kernels launched or replayed: no goal; soft cards here",
    "acquire": "300 processes at one barrier: all leased in 1 s",
    "layer": "<= 1 us per pipelined launch, <= 1 % on clpeak's and CLBlast's own timings",
    "shadow": "CUDA programs on a soft card: <= 0.3 us per launch over the bare driver; 30/70 of two programs within 3 points",
}
# What bench/share is asked: simulated device, then the real ones.
SHARES = [["--weights", "10:90"], ["--weights", "30:70"], ["--weights", "75:25"], ["--weights", "61:39"], ["--weights", "25:25:25:25"],
          ["--weights", "50:50", "--kernel-us", "2000:50"], ["--weights", "75:25", "--depth", "1:4"], ["--weights", "75:25", "--sync"]]
REAL_SHARES = [["--weights", "30:70"], ["--weights", "75:25"], ["--weights", "25:25:25:25"], ["--weights", "75:25", "--depth", "1:4"],
               ["--weights", "75:25", "--kernel-us", "2000:220"], ["--weights", "75:25", "--sync"]]
# About 100 M parameters.
MIXED_SHAPE = ["--layers", "12", "--embd", "768", "--ff", "2048", "--heads", "12", "--kv-heads", "4", "--vocab", "8000",
               "--type", "f32", "--seed", "1"]


def heading(name):
    print(f"\n=== {name}\n    goal: {GOALS[name]}", flush=True)


def run_program(build, name):
    path = os.path.join(build, "bench", name)
    if not os.path.exists(path):
        print(f"not built: {path}")
        return False
    # The soft cards of this build, and PoCL.
    settings = inventory.environment_of(build, True, "") if name in ("streams", "replay") else None
    return subprocess.run([path], env=settings, check=False).returncode == 0


def spread(samples, unit=""):
    return f"{samples['median']:.2f} ({samples['min']:.2f}-{samples['max']:.2f}){unit}"


def halves_of(devices):
    """The host's `cpu` device and an OpenCL device on the same cores, half of each: two slices of a core's worth."""
    cpu = next((d for d in devices if d["backend"] == "cpu" and d["state"] == "ok"), None)
    opencl = next((d for d in devices if d["backend"] == "opencl" and d["state"] == "ok" and cpu
                   and cpu["id"] in d.get("sharesHardwareWith", [])), None)
    if opencl is None:
        raise ProgramError("no OpenCL device of type CPU here (apt-get install pocl-opencl-icd)")
    return {"cpu": f"{cpu['id']}:50%", "opencl": f"{opencl['id']}:50%"}


def mixed(programs):
    model = os.path.join(programs.directory, "synth.gguf")
    subprocess.run(programs.command("hetllm", "synth", *MIXED_SHAPE, "-o", model), check=True)
    programs.start_daemon()
    slices = ",".join(halves_of(programs.json("hetctl", "get", "devices")["items"]).values())
    bench = programs.json("hetllm", "bench", "-m", model, "--slices", slices, "-p", "256", "-n", "8", "-b", "16")
    print("command: hetllm bench -m SYNTH --slices cpu:50%,opencl:50% -p 256 -n 8 -b 16")
    print(f"{'':40} {'prefill tokens/s':>28} {'decode tokens/s':>28}")
    for config in bench["configurations"]:
        print(f"{config['name'][:40]:40} {spread(config['prefillTokensPerSecond']):>28} "
              f"{spread(config['decodeTokensPerSecond']):>28}")
    print(f"prefill mixed / sum: {spread(bench['prefillMixedOverSum'])}")
    print(f"prefill achieved / planned: {spread(bench['configurations'][0]['prefillAchievedOverPlanned'])}")
    decode = bench["configurations"][0]["decodeTokensPerSecond"]["median"]
    weights = programs.json("hetllm", "info", "-m", model)["weight_bytes"]
    # Every step of a group of sequences reads all weights once; a batch makes several groups.
    groups = bench["configurations"][0]["decodePlan"]["inFlight"]
    gigabytes = decode / bench["batch"] * weights * min(groups, bench["batch"]) / 1e9
    limit = subprocess.run([os.path.join(programs.bin, "..", "bench", "kernels"), "--only", "none"], capture_output=True,
                           text=True, check=False).stdout
    print(f"decode reads about {gigabytes:.1f} GB/s of weights; both share one memory bus, whose plain read is:")
    print("\n".join("    " + line for line in limit.splitlines() if "read" in line) or "    (bench/kernels prints it)")
    return True


def reality(programs):
    programs.start_daemon()
    return fleet_reality.run(programs, halves_of(programs.json("hetctl", "get", "devices")["items"]), MIXED_SHAPE)


def daemon(programs):
    run_program(os.path.join(programs.bin, ".."), "daemon_load")
    programs.start_daemon()
    time.sleep(1)
    times = []
    for _ in range(30):
        start = time.monotonic()
        subprocess.run(programs.command("hetctl", "get", "devices"), env=programs.environment, check=True,
                       stdout=subprocess.DEVNULL)
        times.append((time.monotonic() - start) * 1e3)
    print(f"hetctl get devices: median {statistics.median(times):.1f} ms ({min(times):.1f}-{max(times):.1f}), 30 runs")
    pid = programs.daemon.pid

    def cpu_seconds():
        with open(f"/proc/{pid}/stat", encoding="ascii") as handle:
            fields = handle.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = cpu_seconds()
    seconds = 10
    time.sleep(seconds)
    with open(f"/proc/{pid}/status", encoding="ascii") as handle:
        rss = int(re.search(r"VmRSS:\s+(\d+)", handle.read()).group(1)) / 1024
    print(f"hetd idle: {(cpu_seconds() - before) / seconds * 100:.2f} % CPU over {seconds} s, RSS {rss:.1f} MB")
    return True


def share(build):
    """Every case of bench/share in a row, on the simulated device and on PoCL."""
    environment = dict(os.environ, OCL_ICD_VENDORS="pocl.icd", POCL_MEMORY_LIMIT="8")
    good = True
    print(f"{'share --seconds 5 --device':60} {'worst':>8} {'median':>8} {'busy':>7}   median share of each (of the work)")
    for device, cases in (("simulated", SHARES), ("opencl", REAL_SHARES)):
        for case in cases:
            command = [os.path.join(build, "bench", "share"), "--device", device, *case, "--seconds", "5", "-o", "json"]
            run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if run.returncode != 0:
                print(f"{device} {' '.join(case)}: {run.stderr.strip()}")
                good = False
                continue
            result = json.loads(run.stdout)
            shares = "  ".join(f"{c['median']:.4f}" + (f" ({c['work_share']:.4f})" if "work_share" in c else "") for c in result["clients"])
            print(f"{device + ' ' + ' '.join(case):60} {result['worst_error_points']:8.3f} {result['median_error_points']:8.3f} "
                  f"{result['device_busy']:7.3f}   {shares}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("names", nargs="*", help="; ".join(GOALS))
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    unknown = set(options.names) - set(GOALS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(GOALS)}")
    failed = []
    for name in options.names or GOALS:
        heading(name)
        if name not in ("mixed", "daemon", "fleet-reality"):
            runs = {"share": share, "inventory": inventory.main}
            if not (runs[name](build) if name in runs else run_program(build, name)):
                failed.append(name)
            continue
        directory = tempfile.mkdtemp(prefix="het-bench-")
        programs = Programs(build, directory)
        try:
            {"mixed": mixed, "daemon": daemon, "fleet-reality": reality}[name](programs)
        except (ProgramError, subprocess.CalledProcessError) as error:
            print(f"failed: {error}")
            failed.append(name)
        finally:
            programs.stop_daemon()
            shutil.rmtree(directory, ignore_errors=True)
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
