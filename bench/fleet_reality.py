"""The simulator against reality: what `hetctl simulate` predicts for a CPU + PoCL pipeline beside what hetllm measures.

The profile is measured in one run (stages' busy time per micro-batch, both devices working, layers cut evenly). Predicted
and measured are then the pipelines that the simulator compares: its own cut of the layers and the even one, with a load
that the profile run did not have.
"""
import json
import os
import statistics
import subprocess

LAYERS = 12
PROMPT = 256
PROFILE_BATCH, BATCH, REPEATS = 16, 32, 3


def rows_of(bench):
    return bench["configurations"][0]["prefillPlan"]["chunkRows"]


def layer_ms(bench, backends):
    """Per backend: milliseconds of one layer for one micro-batch, from a stage's busy time."""
    times = {}
    for backend, stage in zip(backends, bench["configurations"][0]["prefillStages"]):
        blocks = stage["end"] - stage["begin"] - 1  # the embedding is in the first stage, the head in the last
        times[backend] = stage["busyMs"] / stage["items"] / blocks
    return times


def node_toml(times, rows):
    text = 'name = "measured"\nmode = "timing"\n'
    for backend, ms in times.items():
        text += (f'[[device]]\nname = "{backend}"\nvendor = "measured"\nmemory = "16GiB"\ncompute_units = 1\n'
                 f"memory_gb_per_s = 10\nf32_tflops = 0.1\nlink_gb_per_s = 10\n"
                 f"[device.op.prefill]\nbatch = [0, {rows}]\nms = [0.0, {ms:.6f}]\n"
                 f"[device.op.decode]\nbatch = [0, 1]\nms = [0.0, {ms / rows:.6f}]\n")
    return text


def predict(programs, times, rows):
    directory = programs.directory
    paths = {name: os.path.join(directory, name) for name in ("node.toml", "model.toml", "trace.csv")}
    with open(paths["node.toml"], "w", encoding="ascii") as handle:
        handle.write(node_toml(times, rows))
    with open(paths["model.toml"], "w", encoding="ascii") as handle:
        handle.write(f'name = "synth"\nlayers = {LAYERS}\nlayer_bytes = 20000000\nkv_bytes_per_token = 4096\n'
                     f"hidden_bytes_per_token = 3072\n")
    with open(paths["trace.csv"], "w", encoding="ascii") as handle:
        handle.write("TIMESTAMP,ContextTokens,GeneratedTokens\n")
        for _ in range(BATCH):
            handle.write(f"2026-01-01 00:00:00,{PROMPT},1\n")
    return programs.json("hetctl", "simulate", "--requests", paths["trace.csv"], "--node", paths["node.toml"], "--model",
                         paths["model.toml"], "--prefill-chunk", str(rows))


def run(programs, slices, shape):
    """`slices`: "cpu" and "opencl" to what hetllm calls them, such as ID:50%."""
    model = os.path.join(programs.directory, "synth.gguf")
    subprocess.run(programs.command("hetllm", "synth", *shape, "-o", model), check=True)

    def measure(order, split, batch, repeats):
        return programs.json("hetllm", "bench", "-m", model, "--slices", ",".join(slices[b] for b in order), "--split",
                             ",".join(str(n + 1) for n in split), "-p", str(PROMPT), "-n", "1", "-b", str(batch), "-r", str(repeats),
                             "--no-solo")

    # Profile and measurement take turns, so that both see the machine in every mood.
    profiles, cases = [], {}
    print(f"profile: hetllm bench -b {PROFILE_BATCH} --split 7,7; measured: -b {BATCH}, {REPEATS} turns")
    for _ in range(REPEATS):
        bench = measure(("cpu", "opencl"), (6, 6), PROFILE_BATCH, 1)
        rows = rows_of(bench)
        profiles.append(layer_ms(bench, ("cpu", "opencl")))
        times = {b: statistics.median(p[b] for p in profiles) for b in ("cpu", "opencl")}
        forecast = {d["deployment"]: d for d in predict(programs, times, rows)["deployments"]}
        for name in ("pipeline", "even split"):
            parts = [part.replace(" (simulated)", "").split(":") for part in forecast[name]["runs"].split("+")]
            if len(parts) != 2:
                continue
            order, split = tuple(p[0] for p in parts), tuple(int(p[1]) for p in parts)
            rate = measure(order, split, BATCH, 1)["configurations"][0]["prefillTokensPerSecond"]["median"]
            cases.setdefault(forecast[name]["runs"], []).append(rate)
    print("a layer, one micro-batch of " + f"{rows} rows: " + ", ".join(f"{b} {ms:.3f} ms" for b, ms in times.items()))
    print(f"{'layers':28} {'predicted tokens/s':>20} {'measured, median (min-max)':>32} {'ratio':>7}   within 5 %")
    result = []
    final = {d["runs"]: d for d in predict(programs, times, rows)["deployments"]}
    for runs, rates in cases.items():
        if runs not in final or len(rates) < 2:
            continue
        predicted = final[runs]["saturated_tokens_per_s"] * PROMPT
        measured = statistics.median(rates)
        ratio = predicted / measured
        result.append({"layers": runs, "predicted": predicted, "measured": measured, "ratio": ratio})
        print(f"{runs:28} {predicted:20.1f} {measured:14.1f} ({min(rates):.1f}-{max(rates):.1f}) {ratio:11.3f}   "
              f"{'met' if abs(ratio - 1) <= 0.05 else 'short'}")
    print(json.dumps({"benchmark": "fleet-reality", "cases": result}))
    return True
