"""Programs that know nothing of het, under `hetctl run` on PoCL: what they compute is what they compute without it, they see
their slice, stop at its memory, and get no more than its share."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools", "demo"))
from programs import Programs  # noqa: E402

BUILD = os.environ["HET_BUILD_DIR"]


class InSlices(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="het-programs-")
        # One cache for all runs, so that a kernel is compiled once; PoCL alone, with a memory size that stays the same.
        os.environ.update(HOME=cls.directory, POCL_CACHE_DIR=os.path.join(cls.directory, "pocl"), OCL_ICD_VENDORS="pocl.icd",
                          POCL_MEMORY_LIMIT="8", NO_COLOR="1")
        cls.programs = Programs(BUILD, cls.directory)
        cls.programs.start_daemon()
        deadline = time.monotonic() + 30
        while not cls.devices() and time.monotonic() < deadline:
            time.sleep(0.1)
        cls.device = cls.devices()[0]["id"]

    @classmethod
    def tearDownClass(cls):
        cls.programs.stop_daemon()
        shutil.rmtree(cls.directory, ignore_errors=True)

    @classmethod
    def devices(cls):
        return [d for d in cls.programs.json("hetctl", "get", "devices")["items"] if d["backend"] == "opencl"]

    def plain(self, *command):
        return subprocess.run(command, env=self.programs.environment, capture_output=True, text=True, check=False)

    def sliced(self, *command, share="50", memory="2GiB", more=()):
        return self.plain(*self.programs.command("hetctl", "run", "--device", self.device, "--share", share, "--memory", memory,
                                                 *more, "--", *command))

    def succeed(self, result):
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout

    def test_hashcat_cracks_the_same_password_and_sees_its_slice(self):
        command = ["hashcat", "-m", "0", "-a", "3", "--force", "--potfile-disable", "--quiet", "-D", "1",
                   "81dc9bdb52d04dc20036dbd8313ed055", "?d?d?d?d"]
        self.assertIn("81dc9bdb52d04dc20036dbd8313ed055:1234", self.succeed(self.sliced(*command, memory="1GiB")))
        seen = self.sliced("hashcat", "-I", "--force", share="50", memory="1GiB").stdout
        self.assertEqual(re.findall(r"Memory\.Total\.*: (\d+) MB", seen), ["1024"], seen)

    def test_ffmpeg_makes_the_same_picture(self):
        command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-init_hw_device", "opencl=ocl:0.0", "-filter_hw_device", "ocl",
                   "-f", "lavfi", "-i", "testsrc=size=320x240:rate=10:duration=1", "-vf",
                   "format=yuv420p,hwupload,avgblur_opencl=5,hwdownload,format=yuv420p", "-f", "md5", "-"]
        without = self.succeed(self.plain(*command))
        self.assertRegex(without, r"MD5=[0-9a-f]{32}")
        self.assertEqual(self.succeed(self.sliced(*command, share="30")), without)

    def test_ffmpeg_is_told_that_memory_is_short(self):
        command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-init_hw_device", "opencl=ocl:0.0", "-filter_hw_device", "ocl",
                   "-f", "lavfi", "-i", "testsrc=size=1920x1080:rate=10:duration=1", "-vf",
                   "format=yuv420p,hwupload,avgblur_opencl=5,hwdownload,format=yuv420p", "-f", "md5", "-"]
        result = self.sliced(*command, memory="2MiB")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("Failed to create image", result.stderr)

    def test_clblast_passes_its_own_tests(self):
        output = self.succeed(self.sliced("clblast_test_xaxpy", share="40"))
        passed = [int(n) for n in re.findall(r"(\d+) test\(s\) passed", output)]
        failed = [int(n) for n in re.findall(r"(\d+) test\(s\) failed", output)]
        self.assertGreater(sum(passed), 100, output)
        self.assertEqual(sum(failed), 0, output)

    def beside(self, *runs):
        """Runs the programs at once; their results, and the rows of `hetctl top` in the meantime."""
        results = [None] * len(runs)

        def run(i):
            results[i] = self.sliced(*runs[i][0], **runs[i][1])
        threads = [threading.Thread(target=run, args=(i,)) for i in range(len(runs))]
        for thread in threads:
            thread.start()
        rows = []
        while any(thread.is_alive() for thread in threads):
            rows += self.programs.json("hetctl", "top", "-n", "1", "--interval", "1")["items"]
        for thread in threads:
            thread.join()
        for result in results:
            self.succeed(result)
        return results, rows

    def test_clpeak_runs_and_a_cap_holds_it(self):
        (result,), rows = self.beside((["clpeak", "--compute-integer"], {"share": "40", "more": ["--policy", "capped"]}))
        self.assertEqual(len(re.findall(r"int\d*\s*: [\d.]+", result.stdout)), 5, result.stdout)
        # Its kernels are long, and one counts when it ends: so over the whole run. How exact: layer_test, bench/share_goals.
        busy = [row["wallPercent"] for row in rows if "wallPercent" in row]
        self.assertGreater(sum(busy), 0, rows)
        self.assertLess(sum(busy) / len(busy), 60, busy)

    def test_top_shows_who_asked_for_what_and_had_it(self):
        command = ["clpeak", "--compute-integer"]
        _, rows = self.beside((command, {"share": "70"}), (command, {"share": "30"}))
        self.assertEqual({row["askedPercent"] for row in rows}, {30, 70})
        self.assertTrue(any(row.get("hadPercent", 0) > 0 for row in rows))
        self.assertTrue(all(row["memoryBytes"] <= row["memoryLimitBytes"] for row in rows))
        self.assertEqual(self.programs.json("hetctl", "get", "leases")["items"], [])

    def test_a_program_that_is_not_there_is_127_and_leaves_no_lease(self):
        result = self.sliced("no-such-program")
        self.assertEqual(result.returncode, 127)
        self.assertIn("no-such-program", result.stderr)
        deadline = time.monotonic() + 5
        while self.programs.json("hetctl", "get", "leases")["items"] and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.programs.json("hetctl", "get", "leases")["items"], [])

    def test_the_programs_exit_code_is_passed_on(self):
        self.assertEqual(self.sliced("sh", "-c", "exit 7").returncode, 7)


if __name__ == "__main__":
    for needed in ("hashcat", "clpeak", "clblast_test_xaxpy", "ffmpeg"):
        if shutil.which(needed) is None:
            sys.exit(f"{needed} is not installed (./dev setup --test installs it)")
    unittest.main(verbosity=2)
