"""hetllm on a soft mixed node (tests/soft_drivers): an NVIDIA and an AMD card that are ours, through the code paths of the real
ones. Tokens are those of the processor alone, quotas hold, and a card that is lost in mid-generation costs time only."""

import os
import tempfile
import unittest

import hetllm
import numpy as np

QUESTIONS = ["12+34=", "57+68=", "99+98="]
ANSWERS = ["46\n", "125\n", "197\n"]
NEW = 8
SOFT = {"LD_LIBRARY_PATH": os.environ["HET_SOFT_DRIVERS"], "HET_SOFT_CUDA": "memory=512MiB", "HET_SOFT_HIP": "memory=512MiB"}


def ask(*arguments, **settings):
    return hetllm.generate(hetllm.DEMO, QUESTIONS, NEW, *arguments, env={**SOFT, **settings})


def tokens_of(result):
    return [entry["tokens"] for entry in result["results"]]


class SoftNode(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.expected = tokens_of(ask("--slices", "cpu"))

    def check(self, result, stages):
        self.assertEqual([entry["text"] for entry in result["results"]], ANSWERS)
        self.assertEqual(tokens_of(result), self.expected)
        self.assertEqual(len(result["stages"]), stages)
        for stage in result["stages"]:
            self.assertLessEqual(stage["memoryPeakBytes"], stage["memoryLimitBytes"], stage["slice"])

    def test_each_soft_card_alone_gives_the_processors_tokens(self):
        for card in ("cuda", "hip"):
            result = ask("--slices", card)
            self.check(result, 1)
            self.assertIn("(soft)", str(result["stages"]), "a soft card must be named so")

    def test_nvidia_and_amd_and_the_processor_together(self):
        self.check(ask("--slices", "cuda:50%:32MiB,hip:50%:32MiB,cpu:50%", "--split", "3,4,3"), 3)

    def test_two_slices_of_one_card(self):
        self.check(ask("--slices", "cuda:25%,cuda:50%", "--split", "5,5"), 2)

    def test_prefill_of_f32_matrices_is_the_vendors_librarys(self):
        with tempfile.TemporaryDirectory(prefix="het-test-") as folder:
            model, out = os.path.join(folder, "f32.gguf"), os.path.join(folder, "out.f32")
            hetllm.run_ok("synth", "--layers", 2, "--embd", 64, "--ff", 96, "--heads", 4, "--kv-heads", 2, "--vocab", 320,
                          "--type", "f32", "--seed", 3, "-o", model)

            def logits(device, **settings):
                result = hetllm.run("logits", "-m", model, "--tokens", ",".join(str(7 * i % 300 + 3) for i in range(48)),
                                    "--slices", device, "-o", out, env={**SOFT, **settings})
                return result, np.fromfile(out, "<f4") if result.returncode == 0 else None

            expected = logits("cpu")[1]
            for card, broken in (("cuda", {"HET_SOFT_CUDA": "memory=512MiB;fault=cuLaunchHostFunc:oom"}),
                                 ("hip", {"HET_SOFT_HIP": "memory=512MiB;fault=hipLaunchHostFunc:oom"})):
                values = logits(card)[1]
                self.assertLess(np.linalg.norm(values - expected), 1e-4 * np.linalg.norm(expected), card)
                # The soft libraries compute in a host function: without those, the engine says that they fail.
                result, _ = logits(card, **broken)
                self.assertNotEqual(result.returncode, 0, f"{card}: the library was not asked")
                self.assertIn("matrix product", result.stderr)

    def test_decode_is_replayed_from_recordings(self):
        for card, variable, launch, make in (("cuda", "HET_SOFT_CUDA", "cuGraphLaunch", "cuGraphInstantiateWithFlags"),
                                             ("hip", "HET_SOFT_HIP", "hipGraphLaunch", "hipGraphInstantiate")):
            without = {variable: f"memory=512MiB;fault={launch}:oom"}
            # A driver that launches no graph: the engine says that its replay failed, so it was one.
            texts = [part for question in QUESTIONS for part in ("-p", question)]
            result = hetllm.run("generate", "-m", hetllm.DEMO, *texts, "-n", NEW, "--slices", card, env={**SOFT, **without})
            self.assertNotEqual(result.returncode, 0, f"{card}: nothing was replayed")
            self.assertIn("replay on", result.stderr)
            # It is not asked where replays are turned off, and not where it made no graph.
            self.check(ask("--slices", card, "--no-replay", **without), 1)
            self.check(ask("--slices", card, **{variable: f"memory=512MiB;fault={make}:oom"}), 1)

    def test_a_card_that_is_lost_in_mid_replay_costs_time_only(self):
        ask("--slices", "cuda,hip", "--split", "5,5")
        recovered = 0
        for after in (3, 8):
            result = ask("--slices", "cuda,hip", "--split", "5,5", HET_SOFT_CUDA=f"memory=512MiB;fault=cuGraphLaunch:lost:after={after}")
            self.assertEqual(tokens_of(result), self.expected, f"lost after {after} replays")
            recovered += result["timings"]["recoveries"]
        self.assertGreater(recovered, 0, "no card was lost")

    def test_a_card_that_is_lost_in_mid_generation_costs_time_only(self):
        recovered = 0
        # Once undisturbed, so that the cards' times are known: a card that is lost while they are measured is none in
        # mid-generation.
        ask("--slices", "cuda,hip", "--split", "5,5")
        for after in (100, 200, 400):
            result = ask("--slices", "cuda,hip", "--split", "5,5", HET_SOFT_CUDA=f"memory=512MiB;fault=kernel:lost:after={after}")
            self.assertEqual(tokens_of(result), self.expected, f"lost after {after} kernels")
            recovered += result["timings"]["recoveries"]
        self.assertGreater(recovered, 0, "no card was lost")


if __name__ == "__main__":
    unittest.main(verbosity=2)
