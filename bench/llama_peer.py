#!/usr/bin/env python3
"""hetllm beside llama.cpp: the same files, the same threads, interleaved runs.

    llama_peer.py --peer LLAMA_CPP/build/bin [--build build] [--types f16 q8_0 q4_0 q4_k_m] [--rounds 3]

The peer is built by the user, with its defaults, CPU only; its own tool quantises a synthetic F16 model (1.1 B by default) to
the types, so both programs run the same bytes. Decode: 32 tokens behind a prompt of 8, one sequence. Batch: the same with 8
sequences. Prefill: one prompt of --prompt tokens. hetllm runs with q8 activations, as the peer always does for quantised
types. One thread of two: --threads 1 --devices cpu:50%. Another model, F16: --types f16 --model F (and a --prompt that fits).
Every round runs each program once; figures are medians with min-max, the ratio is the median of each round's own ratio.
Before a run the script waits (10 s at most) until nobody else computes, and a round beside which others took more than 4 %
of the processors is run again (twice at most, then kept and counted as "busy").
"""
import argparse
import json
import os
import statistics
import resource
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Goals of cpu / peer; PoCL's decode is held to 0.9 (f16, q8_0) and 0.8 (4-bit).
GOALS = {"decode": 1.0, "prefill": 0.9, "batch": 1.0}
NEW, BATCH = 32, 8


def output_of(command):
    environment = dict(os.environ, POCL_MEMORY_LIMIT=os.environ.get("POCL_MEMORY_LIMIT", "8"))
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)} gave {result.returncode}:\n{result.stderr[-2000:]}")
    return result.stdout


class Others:
    """Processor time that is not this script's children's, stolen time included, as a share of all processors."""

    def __init__(self):
        self.start = self.now()

    @staticmethod
    def now():
        with open("/proc/stat", encoding="ascii") as stat:
            ticks = [int(word) for word in stat.readline().split()[1:9]]
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy - children.ru_utime - children.ru_stime

    def share(self):
        now = self.now()
        return (now[1] - self.start[1]) / (now[0] - self.start[0]) / os.cpu_count()


def wait_for_quiet():
    for _ in range(10):
        others = Others()
        time.sleep(1)
        if others.share() < 0.04:
            return


def measure_round(programs, model, what):
    """Program -> tokens/s, and whether others were in the way to the end."""
    for _ in range(3):
        wait_for_quiet()
        others = Others()
        rates = {name: runner.measure(model, what) for name, runner in programs.items()}
        busy = others.share() > 0.04
        if not busy:
            break
    return rates, busy


class Peer:
    def __init__(self, options):
        self.bin, self.threads, self.prompt = options.peer, str(options.threads), options.prompt

    def program(self, name):
        return os.path.join(self.bin, name)

    def bench(self, model, prompt, new):
        rows = json.loads(output_of([self.program("llama-bench"), "-m", model, "-t", self.threads, "-r", "1", "-o", "json",
                                     "-p", str(prompt), "-n", str(new)]))
        return rows[-1]["avg_ts"]

    def measure(self, model, what):
        if what == "prefill":
            return self.bench(model, self.prompt, 0)
        if what == "decode":
            return self.bench(model, 0, NEW)
        text = output_of([self.program("llama-batched-bench"), "-m", model, "-t", self.threads, "-c", "1024", "-npp", "8",
                          "-ntg", str(NEW), "-npl", str(BATCH)])
        rows = [line.split("|") for line in text.splitlines() if line.startswith("|") and line.split("|")[1].strip().isdigit()]
        return float(rows[-1][8])  # S_TG t/s


class Het:
    def __init__(self, options, device):
        self.program, self.device, self.prompt = os.path.join(options.build, "bin", "hetllm"), device, options.prompt

    def measure(self, model, what):
        shape = {"prefill": (self.prompt, 1, 1), "decode": (8, NEW + 1, 1), "batch": (8, NEW + 1, BATCH)}[what]
        rows = json.loads(output_of([self.program, "bench", "-m", model, "--embedded", "--slices", self.device, "--activations",
                                     "q8", "-r", "1", "-o", "llama-bench", "-p", str(shape[0]), "-n", str(shape[1]), "-b",
                                     str(shape[2])]))
        wanted = 0 if what == "prefill" else -1
        return rows[wanted]["avg_ts"]


def spread(values):
    return f"{statistics.median(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def prepare(options, peer):
    """Type -> file; made once, kept in --directory."""
    os.makedirs(options.directory, exist_ok=True)
    hetllm = os.path.join(options.build, "bin", "hetllm")
    source = options.model or os.path.join(options.directory, "synth-f16.gguf")
    if not os.path.exists(source):
        output_of([hetllm, "synth", *options.shape.split(), "--type", "f16", "-o", source])
    files = {}
    for name in options.types:
        files[name] = source if name == "f16" else os.path.join(options.directory, f"synth-{name}.gguf")
        if not os.path.exists(files[name]):
            output_of([peer.program("llama-quantize"), source, files[name], name.upper(), str(options.threads)])
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True, help="folder with llama-bench, llama-batched-bench and llama-quantize")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--types", nargs="+", default=["f16", "q8_0", "q4_0", "q4_k_m"])
    parser.add_argument("--what", nargs="+", default=["decode", "prefill", "batch"], choices=list(GOALS))
    parser.add_argument("--devices", nargs="+", default=["cpu"], help="of hetllm --slices; pthread is PoCL")
    parser.add_argument("--prompt", type=int, default=256, help="tokens, for prefill")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--directory", default="/tmp/het-peer", help="keeps the models")
    parser.add_argument("--model", help="an F16 file instead of a synthetic one")
    parser.add_argument("--shape", default="--layers 22 --embd 2048 --ff 5632 --heads 32 --kv-heads 4 --vocab 32000",
                        help="of the synthetic model")
    parser.add_argument("-o", "--output", choices=["table", "json"], default="table")
    options = parser.parse_args()
    peer = Peer(options)
    files = prepare(options, peer)
    programs = {"llama.cpp": peer, **{device: Het(options, device) for device in options.devices}}
    report = []
    for name, model in files.items():
        for what in options.what:
            rates, busy_rounds = {program: [] for program in programs}, 0
            for _ in range(options.rounds):
                measured, busy = measure_round(programs, model, what)
                busy_rounds += busy
                for program, rate in measured.items():
                    rates[program].append(rate)
            for device in options.devices:
                ratios = [mine / theirs for mine, theirs in zip(rates[device], rates["llama.cpp"])]
                report.append({"type": name, "what": what, "device": device, "goal": GOALS[what], "peer": rates["llama.cpp"],
                               "het": rates[device], "ratio": statistics.median(ratios), "busyRounds": busy_rounds})
                if options.output == "table":
                    print(f"{name:8} {what:8} {device:10} het {spread(rates[device]):24} llama.cpp "
                          f"{spread(rates['llama.cpp']):24} ratio {statistics.median(ratios):.2f} "
                          f"({min(ratios):.2f}-{max(ratios):.2f})"
                          + (f" busy {busy_rounds}" if busy_rounds else ""), flush=True)
    if options.output == "json":
        print(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
