"""A CUDA program that knows nothing of het, under `hetctl run` on a soft card: it sees its slice, stops at its memory, shares by its
share, and leaves nothing behind."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools", "demo"))
from programs import Programs  # noqa: E402

BUILD = os.environ["HET_BUILD_DIR"]
PROBE = os.path.join(BUILD, "tests", "interpose", "cuda_probe")
SOFT = os.path.join(BUILD, "soft_drivers")


def values(text):
    found = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].lstrip("-").isdigit():
            found[words[0]] = int(words[1])
    return found


class CudaInSlices(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="het-cuda-programs-")
        for name in [name for name in os.environ if name.startswith("HET_") and name != "HET_BUILD_DIR"]:
            del os.environ[name]
        os.environ.update(LD_LIBRARY_PATH=SOFT, HET_SOFT_CUDA="memory=1GiB;devices=2", POCL_MEMORY_LIMIT="8", NO_COLOR="1",
                          POCL_CACHE_DIR=os.path.join(cls.directory, "pocl"))
        cls.programs = Programs(BUILD, cls.directory)
        cls.programs.start_daemon()
        deadline = time.monotonic() + 30
        while len(cls.cards()) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        cls.other_card, cls.card = (card["id"] for card in cls.cards())

    @classmethod
    def tearDownClass(cls):
        cls.programs.stop_daemon()
        shutil.rmtree(cls.directory, ignore_errors=True)

    @classmethod
    def cards(cls):
        return [d for d in cls.programs.json("hetctl", "get", "devices")["items"] if d["backend"] == "cuda"]

    def leases(self):
        return self.programs.json("hetctl", "get", "leases")["items"]

    def run_command(self, *command, share="50", memory="64MiB", more=()):
        return self.programs.command("hetctl", "run", "--device", self.card, "--share", share, "--memory", memory, *more, "--", *command)

    def run_in_slice(self, *command, **terms):
        return subprocess.run(self.run_command(*command, **terms), env=self.programs.environment, capture_output=True, text=True,
                              check=False)

    def succeed(self, result):
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return values(result.stdout)

    def test_each_way_to_find_the_driver_sees_the_slice(self):
        for program, way in ((PROBE, "dlopen"), (PROBE, "proc"), (PROBE + "_linked", "linked")):
            with self.subTest(way=way):
                seen = self.succeed(self.run_in_slice(program, way, "devices"))
                self.assertEqual((seen["devices"], seen["card"], seen["total"], seen["counter"]), (1, 2, 64 << 20, 1))

    def test_a_named_slice_and_a_lease(self):
        subprocess.run(self.programs.command("hetctl", "slice", "create", "nightly", "--device", self.other_card, "--share", "20",
                                             "--memory", "32MiB"), env=self.programs.environment, check=True, capture_output=True)
        result = subprocess.run(self.programs.command("hetctl", "run", "--slice", "nightly", "--", PROBE, "dlopen", "devices"),
                                env=self.programs.environment, capture_output=True, text=True, check=False)
        self.assertEqual(self.succeed(result)["total"], 32 << 20)

    def test_memory_queries_of_nvml_show_the_slice(self):
        seen = self.succeed(self.run_in_slice(PROBE, "dlopen", "management"))
        self.assertEqual((seen["card0_total"], seen["card1_total"]), (1 << 30, 64 << 20))

    def test_children_inherit_and_nested_runs_find_the_driver(self):
        seen = self.succeed(self.run_in_slice("sh", "-c", f"true; {PROBE} dlopen devices; true"))
        self.assertEqual(seen["total"], 64 << 20)
        inner = self.run_command(PROBE, "dlopen", "devices", share="10", memory="16MiB")
        self.assertEqual(self.succeed(self.run_in_slice(*inner))["total"], 16 << 20)

    def test_memory_stops_at_the_byte(self):
        seen = self.succeed(self.run_in_slice(PROBE, "proc", "quota", memory="8MiB"))
        over = [name for name in seen if name.endswith("_over")]
        self.assertEqual(len(over), 10)
        self.assertEqual({seen[name] for name in over}, {2})

    def test_a_killed_program_leaves_nothing(self):
        program = subprocess.Popen(self.run_command(PROBE, "dlopen", "busy", "60", "20000"), env=self.programs.environment,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual(program.stdout.readline(), "ready\n")
        self.assertEqual(len(self.leases()), 1)
        program.stdin.write("go\n")
        program.stdin.flush()
        time.sleep(0.3)
        program.send_signal(signal.SIGKILL)
        program.wait()
        program.stdin.close()
        program.stdout.close()
        deadline = time.monotonic() + 10
        while self.leases() and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.leases(), [])

    def test_two_programs_share_30_70(self):
        programs = [subprocess.Popen(self.run_command(PROBE, "dlopen", "busy", "5", "2000", share=share),
                                     env=dict(self.programs.environment, POCL_MAX_PTHREAD_COUNT="1"), stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True) for share in ("30", "70")]
        for program in programs:
            self.assertEqual(program.stdout.readline(), "ready\n")
        for program in programs:
            program.stdin.write("go\n")
            program.stdin.flush()
        time.sleep(0.8)
        # Of the device's time, as hetd's books have it; the median of three windows, because other work on the machine gets in the way.
        had = []
        for _ in range(3):
            rows = self.programs.json("hetctl", "top", "--interval", "0.8", "--count", "1")["items"]
            had.append(next(row["hadPercent"] for row in rows if row["askedPercent"] == 30))
        for program in programs:
            self.assertGreater(values(program.communicate()[0])["launches"], 0)
        self.assertAlmostEqual(sorted(had)[1], 30, delta=8)

    def test_what_is_missing_is_said_in_one_error(self):
        environment = dict(self.programs.environment)
        del environment["LD_LIBRARY_PATH"]
        doctor = subprocess.run(self.programs.command("hetctl", "doctor"), env=environment, capture_output=True, text=True, check=False)
        if "holds CUDA programs" in doctor.stdout:
            self.skipTest("NVIDIA's own driver is here")
        self.assertIn("no CUDA programs to hold", doctor.stdout)
        result = subprocess.run(self.run_command("true"), env=environment, capture_output=True, text=True, check=False)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("NVIDIA's driver libcuda.so.1", result.stderr)
        self.assertIn("holds CUDA programs",
                      subprocess.run(self.programs.command("hetctl", "doctor"), env=self.programs.environment, capture_output=True,
                                     text=True, check=False).stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
