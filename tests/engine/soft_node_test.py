"""hetllm on a soft mixed node (tests/soft_drivers): an NVIDIA and an AMD card that are ours, through the code paths of the real
ones. Tokens are those of the processor alone, quotas hold, and a card that is lost in mid-generation costs time only."""

import json
import os
import tempfile
import unittest

import hetllm
import llama_reference
import make_models
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

    def test_long_contexts_are_attended_to_in_parts(self):
        self.check(ask("--slices", "cuda", "--context", 1024), 1)

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

    def test_launches_of_a_layer(self):
        # Of one row in 8 bits: rmsnorm_q8, qkv, rope, kv_append, attention, quantize_q8, o, rmsnorm_q8, gate and up, silu_mul_q8,
        # down. Around the layers: the embedding's row, the wanted rows, norm and head.
        layers, around = 2, 4
        with tempfile.TemporaryDirectory(prefix="het-test-") as folder:
            model = os.path.join(folder, "small.gguf")
            hetllm.run_ok("synth", "--layers", layers, "--embd", 64, "--ff", 96, "--heads", 4, "--kv-heads", 2, "--vocab", 320,
                          "--type", "q4_0", "--seed", 3, "-o", model)
            for tokens, activations, launches in (("5", "q8", 11), ("5,6", "q8", 15), ("5", "f32", 10), ("5,6", "f32", 14)):
                for less in (0, 1):
                    after = layers * launches + around - less
                    result = hetllm.run("logits", "-m", model, "--tokens", tokens, "--activations", activations, "--slices", "cuda",
                                        "-o", os.devnull, env={**SOFT, "HET_SOFT_CUDA": f"memory=512MiB;fault=kernel:illegal:after={after}"})
                    self.assertEqual(result.returncode != 0, less > 0, (tokens, activations, after, result.stderr))

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


class PrefillByHalves(unittest.TestCase):
    """With q8 activations 32 rows at a time go to the vendors' matrix libraries, and attention to matrix units (which is all that
    differs where the weights are f32), as halves: further from the double-precision reference than f32 activations (1e-3,
    logits_test.py), and ten times nearer than 8-bit ones may be (3e-2)."""

    LIMIT = 3e-3
    TOKENS = [1, 15, 7, 200, 33, 300, 4, 77, 9, 9, 9, 120, 301, 2, 64, 65, 66, 259, 260, 261, 3, 45, 46,
              1, 15, 7, 200, 33, 300, 4, 77, 9]  # 32: fewer rows would be 8-bit
    MODELS = ["tied_f32", "gqa3_f16", "gqa3_bf16", "gqa3_q8_0", "odd_q4_0", "super_q4_k", "super_q5_k", "super_q6_k", "mistral_mixed", "qwen2_q4_k"]

    def logits(self, model, card, *arguments, **settings):
        with tempfile.TemporaryDirectory(prefix="het-test-") as folder:
            out = os.path.join(folder, "out.f32")
            result = hetllm.run("logits", "-m", model, "--tokens", ",".join(map(str, self.TOKENS)), "-o", out, "--slices", card,
                                *arguments, env={**SOFT, **settings})
            values = np.fromfile(out, "<f4").reshape(len(self.TOKENS), -1) if result.returncode == 0 else None
            return result, values

    def test_logits_of_every_type(self):
        with tempfile.TemporaryDirectory(prefix="het-test-") as folder:
            for name in self.MODELS:
                model = os.path.join(folder, f"{name}.gguf")
                make_models.write_model(model, name, *make_models.MODELS[name], seed=1)
                expected = llama_reference.Model(model).logits(self.TOKENS)
                errors = {}
                for run in ("cuda --activations q8", "cuda", *(["hip --activations q8"] if name in ("tied_f32", "gqa3_f16", "super_q4_k") else [])):
                    result, values = self.logits(model, *run.split())
                    self.assertEqual(result.returncode, 0, result.stderr)
                    errors[run] = np.linalg.norm(values - expected) / np.linalg.norm(expected)
                    self.assertLess(errors[run], self.LIMIT, (name, run))
                if os.environ.get("HET_PRINT_ERRORS"):
                    print(name, {run: f"{error:.1e}" for run, error in errors.items()}, flush=True)
                own = errors.pop("cuda")
                for run, error in errors.items():
                    self.assertGreater(error, 2 * own, (name, run, "that was het's own arithmetic"))

    def test_a_card_with_a_library_takes_long_prompts_in_large_chunks(self):
        with tempfile.TemporaryDirectory(prefix="het-test-") as folder:
            model = os.path.join(folder, "model.gguf")
            hetllm.run_ok("synth", "--layers", 1, "--embd", 64, "--ff", 96, "--heads", 4, "--kv-heads", 2, "--vocab", 320,
                          "--type", "q4_0", "--seed", 3, "-o", model)

            def rows(*arguments):
                return json.loads(hetllm.run_ok("bench", "--embedded", "-m", model, "-p", 300, "-n", 0, "-b", 1, "-r", 1, "-o",
                                                "llama-bench", *arguments, env=SOFT).stdout)[0]["n_batch"]

            self.assertEqual(rows("--slices", "cuda", "--activations", "q8"), 300)
            # Where the library is not asked, or has no room for more.
            self.assertEqual(rows("--slices", "cuda"), 128)
            self.assertEqual(rows("--slices", "cuda", "--activations", "q8", "--no-library"), 128)
            self.assertEqual(rows("--slices", "cpu", "--activations", "q8"), 128)
            self.assertEqual(rows("--slices", "cuda:100%:1MiB", "--activations", "q8"), 128)

    def test_a_slice_too_small_for_whole_matrices_takes_them_in_parts(self):
        with tempfile.TemporaryDirectory(prefix="het-test-") as folder:
            model = os.path.join(folder, "large.gguf")
            hetllm.run_ok("synth", "--layers", 1, "--embd", 256, "--ff", 512, "--heads", 4, "--kv-heads", 2, "--vocab", 6000,
                          "--type", "q4_0", "--seed", 3, "-o", model)
            # An eighth of 7 MiB holds 1,792 of the head's 6,000 rows as halves: four parts.
            calls = {"cuda": ("HET_SOFT_CUDA", "cuLaunchHostFunc"), "hip": ("HET_SOFT_HIP", "hipLaunchHostFunc")}
            for card, (variable, call) in calls.items():
                _, expected = self.logits(model, card)
                _, values = self.logits(model, f"{card}:100%:7MiB", "--activations", "q8")
                self.assertLess(np.linalg.norm(values - expected), self.LIMIT * np.linalg.norm(expected), card)
                # Seven matrices of the block, and the parts of the head, of the 32 rows that are enough.
                settings = {variable: f"memory=512MiB;fault={call}:oom:after={7 + 4}"}
                self.assertEqual(self.logits(model, f"{card}:100%:7MiB", "--activations", "q8", **settings)[0].returncode, 0, card)
                settings = {variable: f"memory=512MiB;fault={call}:oom:after={7 + 3}"}
                result, _ = self.logits(model, f"{card}:100%:7MiB", "--activations", "q8", **settings)
                self.assertIn("matrix product", result.stderr, card)


if __name__ == "__main__":
    unittest.main(verbosity=2)
