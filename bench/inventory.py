"""Start to full inventory: from the exec of hetd until it says that its first look at the machine is over, and its list has the
devices that are expected. Each round has folders of its own, so that nothing is known before; a first round warms the files up.
The control of each round is the start and end of one het-probe that looks at nothing: what a process costs on this machine now.

Run by bench/run.py (`./dev bench inventory`).
"""
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

ROUNDS = 11
# Without any driver: files that are no libraries stand before those that this machine may have.
VENDOR_LIBRARIES = ["libcuda.so.1", "libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libze_loader.so.1",
                    "libOpenCL.so.1"]
CASES = [("all vendors' libraries (soft cuda, hip, level_zero; PoCL)", True, {"cuda", "hip", "level_zero", "opencl", "cpu"}, 1000),
         ("none", False, {"cpu"}, 100)]


def environment_of(build, vendors, empty):
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("HET_", "LD_LIBRARY_PATH", "ZE_", "OCL_ICD", "RUSTICL"))}
    if vendors:
        soft = os.path.join(build, "soft_drivers")
        environment.update(LD_LIBRARY_PATH=soft, ZE_ENABLE_ALT_DRIVERS=os.path.join(soft, "libze_soft.so.1"),
                           OCL_ICD_VENDORS="pocl.icd")
    else:
        environment.update(LD_LIBRARY_PATH=empty)
    return environment


def ask(connection, method):
    """One call of org.het.v1 on an open connection."""
    connection.sendall(json.dumps({"method": "org.het.v1." + method, "parameters": {}}).encode() + b"\0")
    answer = b""
    while not answer.endswith(b"\0"):
        got = connection.recv(1 << 16)
        if not got:
            raise OSError("hetd closed the connection")
        answer += got
    return json.loads(answer[:-1])["parameters"]


def one_round(build, environment):
    """(milliseconds, backends of the usable devices)"""
    directory = tempfile.mkdtemp(prefix="het-bench-")
    path = os.path.join(directory, "het.sock")
    start = time.monotonic()
    with open(os.path.join(directory, "log"), "wb") as log:
        daemon = subprocess.Popen([os.path.join(build, "bin", "hetd"), "--runtime-dir", directory, "--state-dir",
                                   os.path.join(directory, "state")], env=environment, stdout=log, stderr=log)
    try:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        while True:
            try:
                connection.connect(path)
                break
            except OSError:
                if daemon.poll() is not None or time.monotonic() - start > 20:
                    with open(os.path.join(directory, "log"), encoding="utf-8", errors="replace") as handle:
                        raise OSError("hetd did not come up: " + handle.read()) from None
                time.sleep(0.0005)
        while ask(connection, "GetInfo")["discovering"]:
            time.sleep(0.0005)
        devices = ask(connection, "ListDevices")["devices"]
        took = (time.monotonic() - start) * 1e3
        connection.close()
        return took, {d["backend"] for d in devices if d["state"] == "ok"}
    finally:
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
        shutil.rmtree(directory, ignore_errors=True)


def control(build):
    """Milliseconds of a het-probe that asks no driver."""
    start = time.monotonic()
    subprocess.run([os.path.join(build, "bin", "het-probe"), "--list"], stdout=subprocess.DEVNULL, check=True)
    return (time.monotonic() - start) * 1e3


def main(build):
    good = True
    empty = tempfile.mkdtemp(prefix="het-no-libraries-")
    for name in VENDOR_LIBRARIES:
        with open(os.path.join(empty, name), "wb"):
            pass
    print(f"{'libraries':60} {'median':>10} {'min':>8} {'max':>8}   devices")
    times = {case[0]: [] for case in CASES}
    controls, found = [], {}
    try:
        for number in range(ROUNDS + 1):
            for name, vendors, expected, _ in CASES:
                took, found[name] = one_round(build, environment_of(build, vendors, empty))
                if not expected <= found[name]:
                    print(f"{name}: no device of {', '.join(sorted(expected - found[name]))}")
                    return False
                if number > 0:
                    times[name].append(took)
            controls.append(control(build))
        print(f"{'control: one het-probe that asks no driver':60} {statistics.median(controls):7.1f} ms "
              f"{min(controls):8.1f} {max(controls):8.1f}")
        for name, _, _, goal in CASES:
            median = statistics.median(times[name])
            print(f"{name:60} {median:7.1f} ms {min(times[name]):8.1f} {max(times[name]):8.1f}   "
                  f"{', '.join(sorted(found[name]))}")
            print(f"{'met' if median <= goal else 'SHORT'}: {median:.0f} ms of {goal} ms")
            good = good and median <= goal
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"failed: {error}")
        return False
    finally:
        shutil.rmtree(empty)
    return good
