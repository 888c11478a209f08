"""What the engine's integration tests share: running hetllm, the devices there are, the reference."""

import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
REFERENCE = HERE.parent / "reference"
DEMO = HERE.parent.parent / "engine" / "demo" / "addition.gguf"
# Parts of the devices' names, for --slices: PoCL and rusticl's llvmpipe.
POCL, RUSTICL = "pthread", "llvmpipe"
PROGRAM = os.environ.get("HETLLM", "hetllm")

sys.path.insert(0, str(REFERENCE))

# Two OpenCL vendors on every machine, and nothing in the user's cache or daemon that could change a result.
_cache = tempfile.TemporaryDirectory(prefix="het-test-")
ENVIRONMENT = dict(
    os.environ,
    RUSTICL_ENABLE="llvmpipe",
    POCL_MEMORY_LIMIT="4",
    XDG_CACHE_HOME=os.environ.get("HET_TEST_CACHE", _cache.name),
)
ENVIRONMENT.pop("HET_SOCKET", None)


def run(*arguments, env=None, timeout=120):
    """Runs hetllm without a daemon; returns the finished process with its texts."""
    command = [PROGRAM, *map(str, arguments)]
    if arguments[0] in ("generate", "bench", "logits", "chat", "perplexity"):
        command.append("--embedded")
    if "--simulate" in arguments:
        command.remove("--embedded")
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env={**ENVIRONMENT, **(env or {})}
    )


def run_ok(*arguments, **options):
    result = run(*arguments, **options)
    if result.returncode != 0:
        raise AssertionError(f"hetllm {' '.join(map(str, arguments))} gave {result.returncode}: {result.stderr}")
    return result


def generate(model, prompts, count, *arguments, **options):
    """The JSON of `hetllm generate`."""
    texts = [part for prompt in prompts for part in ("-p", prompt)]
    result = run_ok("generate", "-m", model, *texts, "-n", count, "-o", "json", *arguments, **options)
    return json.loads(result.stdout)


@functools.lru_cache(maxsize=None)
def has_device(name):
    """True when --slices NAME means a device that can be used here."""
    result = run("logits", "-m", DEMO, "--tokens", "1", "--slices", name, "-o", os.devnull)
    if result.returncode == 4:
        return False
    if result.returncode != 0:
        raise AssertionError(f"{name}: {result.stderr}")
    return True


def need_device(test, name):
    if not has_device(name):
        raise unittest.SkipTest(f"there is no device '{name}' here")
