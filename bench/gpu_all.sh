#!/usr/bin/env bash
# Everything that het measures on the GPUs of a machine, in one call of under 8 minutes, into one report.
#
# usage: gpu_all.sh OUTPUT_DIR        (from a bundle, or from a checkout that is built)
#
# Writes OUTPUT_DIR/report.txt and the programs' JSON. A part that fails or takes too long is said to, and the rest goes on.
# Its last table has every figure that het is held to on GPUs, measured or not (gpu_figures.py). Without a GPU it measures
# nothing, lists them, and ends with 3. HET_GPU_ALL_QUICK=1 takes small models only (to try the script itself).
set -uo pipefail
here="$(cd "$(dirname "$(readlink -f "$0")")" && pwd)"
root="$(dirname "$here")"
[ -d "$root/bin" ] || root="$root/build"   # a checkout
[ -x "$root/bin/het-probe" ] || { echo "no het programs beside $here: build first, or use a bundle" >&2; exit 2; }
[ $# -eq 1 ] || { sed -n '4p' "$0" >&2; exit 2; }
output="$1"
mkdir -p "$output" || exit 2
output="$(cd "$output" && pwd)"
report="$output/report.txt"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
begin=$SECONDS
budget=470
unset HET_SOCKET

left() { echo $((budget - (SECONDS - begin))); }
say() { printf '%s\n' "$*" | tee -a "$report"; }
title() { say ""; say "== $* (at $((SECONDS - begin)) s)"; }
# part SECONDS NAME COMMAND...: runs it with a time limit; its output goes to the report and to NAME.txt.
part() {
  local limit="$1" name="$2"; shift 2
  local rest; rest="$(left)"
  if [ "$rest" -lt 5 ]; then say "$name: left out, the time is up"; return 1; fi
  [ "$rest" -lt "$limit" ] && limit="$rest"
  timeout -k 5 "$limit" "$@" > "$output/$name.txt" 2>&1
  local code=$?
  [ "$code" -eq 0 ] || say "$name: ended with $code$([ "$code" -eq 124 ] && echo " (over $limit s)")"
  return "$code"
}
show() { sed 's/^/    /' "$output/$1.txt" | tail -n "${2:-40}" | tee -a "$report"; }
program() { find "$root" -name "$1" -type f -perm -u+x -print -quit 2>/dev/null; }
# gpus: "UUID BACKEND NAME" of every usable GPU of a vendor's own backend.
gpus() {
  python3 - "$output" <<'PY'
import glob, json, sys
for path in sorted(glob.glob(sys.argv[1] + "/probe-*.txt")):
    try:
        with open(path, encoding="utf-8") as handle:
            text = handle.read()
        answer = json.loads(text[text.index("{"):text.rindex("}") + 1])
    except ValueError:
        continue
    for device in answer.get("devices", []):
        if device["state"] == "ok" and device["backend"] in ("cuda", "hip", "level_zero"):
            print(device["id"], device["backend"], device["name"])
PY
}

: > "$report"
say "het on the GPUs of this machine, $(date -u '+%Y-%m-%d %H:%M UTC')"
say "$(uname -srm), $(grep -m1 'model name' /proc/cpuinfo | cut -d: -f2- | sed 's/^ //'), $(nproc) processors"
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total,pci.bus_id --format=csv,noheader >> "$report" 2>&1
command -v rocm-smi >/dev/null && rocm-smi --showproductname --showdriverversion >> "$report" 2>&1

title "devices"
for backend in cuda hip level_zero opencl; do
  part 60 "probe-$backend" "$root/bin/het-probe" --backend "$backend" --measure || continue
  python3 - "$output/probe-$backend.txt" "$backend" <<'PY' | tee -a "$report"
import json, sys
with open(sys.argv[1], encoding="utf-8") as handle:
    text = handle.read()
try:
    answer = json.loads(text[text.index("{"):text.rindex("}") + 1])
except ValueError:
    sys.exit(f"{sys.argv[2]}: no answer")
if "unavailable" in answer:
    print(f"{sys.argv[2]}: {answer['unavailable']}")
for d in answer.get("devices", []):
    print(f"{d['backend']}: {d['name']}, {d['state']} {d.get('reason', '')}, {d['memoryBytes'] / 2**30:.1f} GiB, "
          f"{d['computeUnits']} units, {d.get('memoryBytesPerSecond', 0) / 1e9:.0f} GB/s, "
          f"{d.get('flopsPerSecond', 0) / 1e12:.2f} TFLOP/s f32 (yardstick kernels), {d.get('driverVersion', '')}")
PY
done
mapfile -t found < <(gpus)
if [ "${#found[@]}" -eq 0 ]; then
  say ""
  say "no usable GPU: nothing was measured. With one, this would be:"
  python3 "$here/gpu_figures.py" "$output" | tee -a "$report"
  exit 3
fi

title "conformance"
for backend in cuda hip level_zero; do
  printf '%s\n' "${found[@]}" | grep -q " $backend " || continue
  test="$(program "${backend}_conformance_test")"
  [ -n "$test" ] || { say "$backend: its conformance test is not here"; continue; }
  part 90 "conformance-$backend" "$test" --gtest_brief=1
  show "conformance-$backend" 12
  part 40 "performance-$backend" "$test" --performance
  show "performance-$backend" 14
  kernels="$(program portable_kernels_test)"
  [ -z "$kernels" ] || { part 60 "kernels-$backend" "$kernels" --performance "$backend"; show "kernels-$backend" 60; }
done

title "het's part of a launch"
bench="$root/bench/streams"
[ -x "$bench" ] && part 60 streams "$bench" && show streams 20

title "a decode step on the queue, launched and replayed"
[ -x "$root/bench/replay" ] && part 60 replay "$root/bench/replay" && show replay 20

first="${found[0]%% *}"
seven="--layers 32 --embd 4096 --ff 11008 --heads 32 --kv-heads 32"
# The most telling first: what the time does not suffice for is said to be left out.
models=("1.1B-q4_0 --layers 22 --type q4_0" "7B-q4_0 $seven --type q4_0" "1.1B-f16 --layers 22 --type f16"
  "7B-f16 $seven --type f16" "1.1B-q8_0 --layers 22 --type q8_0" "7B-q8_0 $seven --type q8_0")
[ -n "${HET_GPU_ALL_QUICK:-}" ] && models=("tiny-q4_0 --layers 2 --embd 256 --ff 512 --heads 4 --kv-heads 2 --vocab 512 --type q4_0")
prompt=2048; generated=32
[ -n "${HET_GPU_ALL_QUICK:-}" ] && prompt=64 && generated=4
kept=""
title "four parts of one GPU"
for backend in cuda hip level_zero; do
  printf '%s\n' "${found[@]}" | grep -q " $backend " || continue
  [ -x "$root/bench/parts" ] && part 40 parts "$root/bench/parts" --backend "$backend" --json && { show parts 30; break; }
done

title "engine, each GPU alone: synthetic weights, q8 activations, $prompt tokens of prompt, $generated generated, batch 1"
for model in "${models[@]}"; do
  name="${model%% *}"
  # shellcheck disable=SC2086
  part 60 "synth-$name" "$root/bin/hetllm" synth ${model#* } -o "$work/$name.gguf" || continue
  part 10 "info-$name" "$root/bin/hetllm" info -m "$work/$name.gguf" -o json
  for gpu in "${found[@]}"; do
    uuid="${gpu%% *}"
    part 60 "engine-$name-${uuid:0:8}" "$root/bin/hetllm" bench --embedded --activations q8 -m "$work/$name.gguf" --slices "$uuid" \
      -p "$prompt" -n "$generated" -b 1 -r 3 -o json && { say "$name on ${gpu#* }"; show "engine-$name-${uuid:0:8}" 24; }
    [ "${name%%-*}" = 7B ] && break   # the large one on the first GPU only
  done
  [ -z "$kept" ] && kept="$name" || rm -f "$work/$name.gguf"
done

if [ -n "$kept" ]; then
  title "engine, the first GPU without replays, without the matrix library, with smaller micro-batches, with f32 activations ($kept)"
  for variant in "--activations q8 --no-replay" "--activations q8 --no-library" "--activations q8 --chunk 128" "--activations f32"; do
    name="variant-${variant##*--}" name="${name// /-}"
    # shellcheck disable=SC2086
    part 40 "$name" "$root/bin/hetllm" bench --embedded -m "$work/$kept.gguf" --slices "$first" \
      -p "$prompt" -n "$generated" -b 1 -r 3 -o json $variant && { say "$variant"; show "$name" 24; }
  done
  title "engine, two halves of the first GPU ($kept)"
  part 60 halves "$root/bin/hetllm" bench --embedded --activations q8 -m "$work/$kept.gguf" --slices "$first:50%,$first:50%" \
    -p "$prompt" -n "$generated" -b 8 -r 3 -o json && show halves 40
  title "engine, the first GPU and the processor ($kept)"
  part 60 mixed "$root/bin/hetllm" bench --embedded --activations q8 -m "$work/$kept.gguf" --slices "$first,cpu" \
    -p "$prompt" -n "$generated" -b 8 -r 3 && show mixed 20
fi

if printf '%s\n' "${found[@]}" | grep -q " cuda "; then
  title "tools that may be here: PyTorch in slices, compute-sanitizer"
  if python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
    part 90 torch python3 "$here/torch_share.py" "$root/bin" "$first"; show torch 4
  else
    say "no PyTorch with CUDA here"
  fi
  sanitizer="$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)"
  test="$(program cuda_conformance_test)"
  if [ -x "$sanitizer" ] && [ -n "$test" ]; then
    part 90 sanitizer "$sanitizer" --tool memcheck "$test" --gtest_brief=1 --gtest_filter='-*Threads*'; show sanitizer 6
  else
    say "no compute-sanitizer here"
  fi
fi

title "the figures"
python3 "$here/gpu_figures.py" "$output" | tee -a "$report"
title "done"
say "report: $report"
