#!/usr/bin/env python3
"""PyTorch, which knows nothing of het, in slices of one NVIDIA GPU: is its memory the quota, and the time its share?

Starts a private hetd, and itself once more under `hetctl run` for each tenant. Prints one JSON object.

usage: torch_share.py BIN_DIR DEVICE_UUID
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

QUOTA = 4 << 30
SECONDS = 8


def fill_memory():
    """Bytes that can be held until the allocation fails."""
    import torch
    held, step = [], 64 << 20
    free, total = torch.cuda.mem_get_info()
    while step >= 1 << 20:
        try:
            held.append(torch.empty(step, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            step //= 2
    print(json.dumps({"held": sum(t.numel() for t in held), "total": total, "free": free}))


def work(begin, seconds):
    """Products done between `begin` and `begin` + `seconds` of the clock."""
    import torch
    a = torch.randn(2048, 2048, device="cuda", dtype=torch.float16)
    done = 0
    while time.time() < begin + seconds:
        for _ in range(20):
            a @ a
        torch.cuda.synchronize()
        done += 20 if time.time() >= begin else 0
    print(json.dumps({"done": done}))


def main(bin_dir, device):
    directory = tempfile.mkdtemp(prefix="het-torch-")
    environment = dict(os.environ, HET_SOCKET=os.path.join(directory, "het.sock"))
    daemon = subprocess.Popen([os.path.join(bin_dir, "hetd"), "--runtime-dir", directory, "--state-dir",
                               os.path.join(directory, "state")], env=environment,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def tenant(share, *arguments):
        return subprocess.Popen([os.path.join(bin_dir, "hetctl"), "run", "--device", device, "--share", str(share), "--memory",
                                 str(QUOTA), "--policy", "capped", "--", sys.executable, os.path.abspath(__file__), *arguments],
                                env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def answer(process):
        out, err = process.communicate(timeout=90)
        if process.returncode != 0:
            raise RuntimeError(err.strip()[-400:])
        return json.loads(out.strip().splitlines()[-1])

    try:
        time.sleep(3)
        memory = answer(tenant(30, "--fill"))
        result = {"memory": f"held {memory['held']} bytes, sees {memory['total']}, quota {QUOTA}"}
        begin = time.time() + 15  # both have started by then
        counts = [answer(p)["done"] for p in [tenant(s, "--work", str(begin), str(SECONDS)) for s in (30, 70)]]
        result["share"] = f"{100 * counts[0] / max(1, sum(counts)):.1f} : {100 * counts[1] / max(1, sum(counts)):.1f}"
    except (RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
        print(json.dumps({"memory": f"failed: {error}", "share": ""}))
        return 1
    finally:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(5)
        except subprocess.TimeoutExpired:
            daemon.kill()
        shutil.rmtree(directory, ignore_errors=True)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--fill"]:
        fill_memory()
    elif len(sys.argv) == 4 and sys.argv[1] == "--work":
        work(float(sys.argv[2]), float(sys.argv[3]))
    elif len(sys.argv) == 3:
        sys.exit(main(*sys.argv[1:]))
    else:
        sys.exit(__doc__)
