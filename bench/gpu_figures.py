#!/usr/bin/env python3
"""The figures that het is held to on GPUs, each beside what was measured: what bench/gpu_all.sh prints at its end.

usage: gpu_figures.py OUTPUT_DIR        (the folder that gpu_all.sh wrote; what is not in it is "not measured")
"""
import glob
import json
import os
import re
import sys

BACKENDS = ("cuda", "hip", "level_zero")
MODELS = [("1.1B", kind) for kind in ("q4_0", "q8_0", "f16")] + [("7B", kind) for kind in ("q4_0", "q8_0", "f16")]


def text_of(folder, name):
    path = os.path.join(folder, name + ".txt")
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as handle:
        return handle.read()


def json_of(folder, name):
    text = text_of(folder, name)
    try:
        return json.loads(text[text.index("{"):text.rindex("}") + 1])
    except ValueError:
        return None


def peaks(folder):
    """{"copy": bytes/s read and written, "flops": FLOP/s, "of": what} of the first GPU, from the conformance programs."""
    for backend in BACKENDS:
        found = re.search(r"peaks: copy ([\d.]+) GB/s \(read and written\), (.*?) ([\d.]+) GFLOP/s",
                          text_of(folder, f"performance-{backend}"))
        if found:
            return {"copy": float(found[1]) * 1e9, "of": found[2], "flops": float(found[3]) * 1e9}
    return None


def percent(value, of):
    return f"{100 * value / of:.0f} %" if of else "?"


def conformance(folder):
    said = []
    for backend in BACKENDS:
        text = text_of(folder, f"conformance-{backend}")
        passed = re.search(r"\[  PASSED  \] (\d+) test", text)
        failed = re.findall(r"\[  FAILED  \] (\S+)", text)
        if passed or failed:
            said.append(f"{backend}: {passed[1] if passed else 0} passed" + (f", {len(failed)} FAILED" if failed else ""))
    return "; ".join(said)


def sanitizer(folder):
    text = text_of(folder, "sanitizer")
    found = re.search(r"ERROR SUMMARY: (\d+) error", text)
    return f"{found[1]} errors" if found else ""


def copy(folder):
    top = peaks(folder)
    if not top:
        return ""
    read = 0
    for backend in BACKENDS:
        for device in (json_of(folder, f"probe-{backend}") or {}).get("devices", []):
            read = max(read, device.get("memoryBytesPerSecond", 0))
    return f"{top['copy'] / 1e9:.0f} GB/s, {percent(top['copy'], read)} of the plain read rate measured there"


def engine(folder, size, kind, what):
    runs = sorted(glob.glob(os.path.join(folder, f"engine-{size}-{kind}-*.txt")))
    top = peaks(folder)
    info = json_of(folder, f"info-{size}-{kind}")
    if not runs or not top:
        return ""
    result = json_of(folder, os.path.basename(runs[0])[:-4])
    if not result or not info:
        return ""
    config = result["configurations"][0]
    if what == "decode":
        rate = (config["decodeTokensPerSecond"] or {}).get("median", 0)
        return f"{rate:.0f} tokens/s, {percent(rate * info['weight_bytes'], top['copy'])} of the copy's bandwidth"
    rate = (config["prefillTokensPerSecond"] or {}).get("median", 0)
    return f"{rate:.0f} tokens/s, {percent(rate * info['flops_per_token'], top['flops'])} of the {top['of']} peak"


def parts(folder):
    result = json_of(folder, "parts")
    if not result:
        return ""
    return "; ".join(f"{goal['what']}: {goal['value']:.2f}" for goal in result["goals"]) or "; ".join(result["notes"])


def halves(folder):
    result = json_of(folder, "halves")
    if not result or not result.get("prefillMixedOverSum"):
        return ""
    decode = (result.get("decodeMixedOverSum") or {}).get("median", 0)
    return f"prefill {result['prefillMixedOverSum']['median']:.2f}, decode {decode:.2f} of the sum"


def variant(folder, option, phase):
    """The kept model's rate beside the one that it has with `option`."""
    other = json_of(folder, f"variant-{option}")
    if not other:
        return ""
    base = json_of(folder, os.path.basename(sorted(glob.glob(os.path.join(folder, "engine-*.txt")), key=os.path.getmtime)[0])[:-4])
    rates = [(run["configurations"][0][phase] or {}).get("median", 0) for run in (base, other) if run]
    said = option.replace("chunk-", "chunk ")
    return f"{rates[0]:.0f} tokens/s, {rates[1]:.0f} with --{said}" if len(rates) == 2 else ""


def torch(folder, key):
    result = json_of(folder, "torch") or {}
    return str(result.get(key, ""))


FIGURES = [
    ("conformance", "green", conformance),
    ("conformance under compute-sanitizer", "0 errors, where the tool works", sanitizer),
    ("copy within the device", ">= 90 % of the peak measured there", copy),
    *[(f"decode, {size} {kind}", ">= 60 % of bandwidth / bytes read", lambda f, s=size, k=kind: engine(f, s, k, "decode"))
      for size, kind in MODELS],
    *[(f"prefill of 2,048 tokens, {size} {kind}", f">= {50 if size == '7B' else 30} % of the matrix peak",
       lambda f, s=size, k=kind: engine(f, s, k, "prefill")) for size, kind in MODELS],
    ("decode, first model, replayed", "-", lambda f: variant(f, "no-replay", "decodeTokensPerSecond")),
    ("prefill, first model, by the library", "-", lambda f: variant(f, "no-library", "prefillTokensPerSecond")),
    ("prefill, first model, 128 rows at a time", "-", lambda f: variant(f, "chunk-128", "prefillTokensPerSecond")),
    ("four 25 % parts in one process", "each within 1 point, together >= 95 %", parts),
    ("pipeline over two slices of one GPU", ">= 0.9 of the sum", halves),
    ("PyTorch under hetctl run: memory", "the quota, exactly", lambda f: torch(f, "memory")),
    ("PyTorch under hetctl run: 30/70", "within 3 points", lambda f: torch(f, "share")),
    ("het's part of a launch", "<= 0.3 us", lambda f: "; ".join(re.findall(r"(\w+: het's part of a launch, us: [\d.]+)",
                                                                           text_of(f, "streams")))),
]


def main(folder):
    names = [device["name"] for backend in BACKENDS for device in (json_of(folder, f"probe-{backend}") or {}).get("devices", [])]
    if any("soft" in name for name in names):
        print("on soft cards: no line of this is a figure of hardware")
    print(f"{'figure':42} {'asked':42} measured")
    for name, asked, measure in FIGURES:
        print(f"{name:42} {asked:42} {measure(folder) or 'not measured'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]) if len(sys.argv) == 2 else __doc__)
