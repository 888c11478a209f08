"""hetllm on a soft Intel card (tests/soft_drivers/level_zero) behind the real Level Zero loader, alone, as two tiles, in a node of
three vendors, and with its driver in a worker process that crashes in mid-generation."""

import os
import unittest

import hetllm

QUESTIONS = ["12+34=", "57+68=", "99+98="]
ANSWERS = ["46\n", "125\n", "197\n"]
NEW = 8
SOFT = {
    "LD_LIBRARY_PATH": os.environ["HET_SOFT_DRIVERS"],
    "ZE_ENABLE_ALT_DRIVERS": os.path.join(os.environ["HET_SOFT_DRIVERS"], "libze_soft.so.1"),
    "HET_SOFT_CUDA": "memory=512MiB",
    "HET_SOFT_HIP": "memory=512MiB",
    "HET_SOFT_LEVEL_ZERO": "memory=512MiB;units=32;tiles=2",
}


def ask(*arguments, **settings):
    return hetllm.generate(hetllm.DEMO, QUESTIONS, NEW, *arguments, env={**SOFT, **settings})


def tokens_of(result):
    return [entry["tokens"] for entry in result["results"]]


class SoftIntel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.expected = tokens_of(ask("--slices", "cpu"))

    def check(self, result, stages):
        self.assertEqual([entry["text"] for entry in result["results"]], ANSWERS)
        self.assertEqual(tokens_of(result), self.expected)
        self.assertEqual(len(result["stages"]), stages)

    def test_the_card_alone_gives_the_processors_tokens(self):
        result = ask("--slices", "level_zero")
        self.check(result, 1)
        self.assertIn("soft Intel", str(result["stages"]), "a soft card must be named so")

    def test_nvidia_amd_intel_and_the_processor_together(self):
        self.check(ask("--slices", "cuda:50%,hip:50%,level_zero:50%,cpu:50%", "--split", "2,3,2,3"), 4)

    def test_a_driver_in_a_worker_process_gives_the_same_tokens(self):
        self.check(ask("--slices", "level_zero,cpu:50%", "--split", "5,5", HET_ISOLATE="level_zero"), 2)

    def test_a_driver_that_crashes_fails_only_its_stages(self):
        recovered = 0
        # Once undisturbed, so that the times are known: a driver that dies while they are measured is none in mid-generation.
        ask("--slices", "level_zero,cpu", "--split", "5,5", HET_ISOLATE="level_zero", HET_SOFT_LEVEL_ZERO="memory=512MiB")
        for after in (100, 200, 400):
            result = ask("--slices", "level_zero,cpu", "--split", "5,5", HET_ISOLATE="level_zero",
                         HET_SOFT_LEVEL_ZERO=f"memory=512MiB;fault=kernel:crash:after={after}")
            self.assertEqual(tokens_of(result), self.expected, f"crashed after {after} kernels")
            recovered += result["timings"]["recoveries"]
        self.assertGreater(recovered, 0, "no driver crashed")


if __name__ == "__main__":
    unittest.main(verbosity=2)
