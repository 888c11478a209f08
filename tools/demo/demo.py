#!/usr/bin/env python3
"""The demo: one model across the devices of this machine.

Starts a private hetd in a temporary directory, shows the devices, leases slices that are each too small for the model,
runs the model across them, checks the answers, and compares with one device alone. Exits 0 when the tokens are equal to
those of a single device and every answer is right.

With --soft it runs on the soft drivers of tests/soft_drivers instead: an NVIDIA and an AMD card that are ours, and say so,
beside the processor. The tokens are compared with those of the processor alone.

usage: demo.py --build BUILD_DIR [--soft] [--keep] [--seed N]
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

from programs import ProgramError, Programs

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.path.join(ROOT, "engine", "demo", "addition.gguf")
QUESTIONS = 12
SOFT_SETTINGS = {"HET_SOFT_CUDA": "memory=1GiB", "HET_SOFT_HIP": "memory=1GiB", "HET_SOFT_LEVEL_ZERO": "memory=1GiB"}
NEW_TOKENS = 5  # three digits, the line's end, and the end of the text
MIB = 1 << 20


def heading(text):
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() and "NO_COLOR" not in os.environ else ("", "")
    print(f"\n{bold}{text}{plain}", flush=True)


def soft_environment(build):
    """The environment in which the vendors' libraries are the soft ones of this build."""
    folder = os.path.join(build, "soft_drivers")
    if not os.path.isdir(folder):
        raise ProgramError(f"{folder} is not there: ./dev build release soft_drivers")
    environment = dict(SOFT_SETTINGS)
    environment["LD_LIBRARY_PATH"] = ":".join(filter(None, [folder, os.environ.get("LD_LIBRARY_PATH")]))
    level_zero = os.path.join(folder, "libze_soft.so.1")
    if os.path.exists(level_zero):
        environment["ZE_ENABLE_ALT_DRIVERS"] = level_zero
    return environment


def choose_soft_devices(devices):
    """The processor first, for comparison, and every soft card: [(device, percent)]."""
    cpu = [(d, 100) for d in devices if d["backend"] == "cpu" and d["state"] == "ok"]
    soft = [(d, 50) for d in devices if "soft" in d["name"] and d["state"] == "ok"]
    if not cpu or not soft:
        raise ProgramError("no soft device was found; see hetd.log (--keep)")
    return cpu + soft


def choose_devices(devices):
    """The devices the demo cuts slices from, with the share of each: [(device, percent)].

    Devices that are the same silicon (the host's processors as `cpu` and as OpenCL devices) divide it between them.
    """
    usable = [d for d in devices if d["state"] == "ok" and not d["simulated"]]
    groups = []
    for device in usable:
        for group in groups:
            if device["id"] in group[0].get("sharesHardwareWith", []):
                group.append(device)
                break
        else:
            groups.append([device])
    chosen = []
    for group in groups:
        # Two at most of one piece of silicon, and never less than a core each.
        units = min(d["computeUnits"] for d in group)
        members = group[:max(1, min(2, units))]
        chosen += [(device, 100 // len(members)) for device in members]
    if not chosen:
        raise ProgramError("no usable device on this machine; hetctl doctor says why")
    return chosen


def questions(seed):
    """Questions the model never saw in training, and their answers."""
    with open(os.path.join(ROOT, "engine", "demo", "held_out.txt"), encoding="ascii") as handle:
        lines = handle.read().split()
    chosen = random.Random(seed).sample(lines, QUESTIONS)
    return [tuple(line.split("=")) for line in chosen]


def spec(chosen, memory):
    return ",".join(f"{device['id']}:{percent}%:{memory}" for device, percent in chosen)


def prompt_arguments(asked):
    return [part for question, _ in asked for part in ("-p", question + "=")]


def refused_alone(programs, chosen, memory, common):
    """True when each slice alone is too small for the model; shows one refusal."""
    for index, (device, percent) in enumerate(chosen):
        arguments = ["generate", "--slices", spec([(device, percent)], memory), *common]
        result = subprocess.run(programs.command("hetllm", *arguments), env=programs.environment,
                                capture_output=True, text=True)
        if result.returncode != 75:
            return False
        if index == 0:
            print(f"alone on {device['name']}: {result.stderr.strip().splitlines()[-1]}")
    return True


def quota_for(programs, chosen, common):
    """The largest quota, in whole MiB, that no slice alone can run the model in while all together can."""
    for mebibytes in range(64, 0, -1):
        memory = mebibytes * MIB
        alone = subprocess.run(programs.command("hetllm", "generate", "--slices", spec(chosen[:1], memory), *common),
                               env=programs.environment, capture_output=True, text=True)
        if alone.returncode == 75:
            return memory
        if alone.returncode != 0:
            raise ProgramError(f"hetllm ended with {alone.returncode}: {alone.stderr.strip()}")
        if mebibytes == 64:
            continue
    raise ProgramError("the model fits every slice")


def text_of(result):
    return result["text"].split("</s>")[0].strip()


def check_answers(results, asked):
    wrong = [f"{question}={text_of(result)}, not {answer}" for result, (question, answer) in zip(results, asked)
             if text_of(result) != answer]
    right = len(asked) - len(wrong)
    print(f"{right} of {len(asked)} answers are right" + (": wrong: " + "; ".join(wrong) if wrong else ""))
    return not wrong


def show_comparison(bench):
    configs = bench["configurations"]
    print(f"{'prefill, tokens/s':34} {'median':>10} {'min':>10} {'max':>10}")
    for config in configs:
        rate = config["prefillTokensPerSecond"]
        print(f"{config['name'][:34]:34} {rate['median']:10.0f} {rate['min']:10.0f} {rate['max']:10.0f}")
    mixed = configs[0]
    if len(configs) > 1:
        total = sum(config["prefillTokensPerSecond"]["median"] for config in configs[1:])
        print(f"mixed / sum of the devices alone: {mixed['prefillTokensPerSecond']['median'] / total:.2f}"
              "   (a model this small is mostly overhead; docs/benchmarks.md has larger ones)")
    achieved = mixed.get("prefillAchievedOverPlanned")
    if achieved:
        print(f"achieved / planned throughput:    {achieved['median']:.2f}")


def compare(programs, chosen):
    heading("Each device alone, on the same prefill batch")
    show_comparison(programs.json("hetllm", "bench", "-m", MODEL, "--slices",
                                  ",".join(f"{d['id']}:{p}%" for d, p in chosen), "-p", "64", "-n", "1", "-b", "16"))


def run(options, programs):
    programs.start_daemon()
    heading("Devices")
    programs.show("hetctl", "get", "devices")
    choose = choose_soft_devices if options.soft else choose_devices
    chosen = choose(programs.json("hetctl", "get", "devices")["items"])
    if len(chosen) < 2:
        print("only one device or core can be used here: the model will run on one slice")

    asked = questions(options.seed)
    common = ["-m", MODEL, "-n", str(NEW_TOKENS), *prompt_arguments(asked)]
    heading("Slices, each too small for the model")
    info = programs.json("hetllm", "info", "-m", MODEL)
    print(f"the model: {info['name']}, {info['blocks']} blocks, {info['weight_bytes'] / MIB:.2f} MiB of weights")
    together = len(chosen) > 1
    memory = quota_for(programs, chosen, common) if together else 64 * MIB
    if together and not refused_alone(programs, chosen, memory, common):
        raise ProgramError("a slice alone holds the model: the quota was not enforced")
    for device, percent in chosen:
        print(f"slice: {percent} % of {device['name']} ({device['backend']}), {memory // MIB} MiB")

    heading("The model across the slices (two-digit sums it never saw in training)")
    report = os.path.join(programs.directory, "report.json")
    mixed_run = subprocess.run(
        programs.command("hetllm", "generate", "--slices", spec(chosen, memory), "--report", report, *common),
        env=programs.environment)
    if mixed_run.returncode != 0:
        raise ProgramError(f"hetllm ended with {mixed_run.returncode}")
    with open(report, encoding="utf-8") as handle:
        mixed = json.load(handle)
    right = check_answers(mixed["results"], asked)
    over = [s["slice"] for s in mixed["stages"] if s["memoryPeakBytes"] > s["memoryLimitBytes"]]
    if over:
        raise ProgramError(f"over quota: {', '.join(over)}")

    if not options.soft:  # what a soft card needs for a token says nothing of a real one
        compare(programs, chosen)

    single = programs.json("hetllm", "generate", "--slices", spec(chosen[:1], 64 * MIB), *common)
    equal = [r["tokens"] for r in mixed["results"]] == [r["tokens"] for r in single["results"]]
    print(f"\ntokens equal to single device: {'yes' if equal else 'no'}", flush=True)
    return 0 if equal and right else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default=os.path.join(ROOT, "build"))
    parser.add_argument("--seed", type=int, default=1, help="which of the held-out questions are asked")
    parser.add_argument("--soft", action="store_true", help="on soft NVIDIA and AMD cards, which are part of this build")
    parser.add_argument("--keep", action="store_true", help="keep the temporary directory with hetd's log")
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="het-demo-")
    programs = Programs(os.path.abspath(options.build), directory)
    try:
        if options.soft:
            programs.environment.update(soft_environment(os.path.abspath(options.build)))
        return run(options, programs)
    except ProgramError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        programs.stop_daemon()
        if options.keep:
            print(f"kept: {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
