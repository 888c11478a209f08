"""Greedy tokens are the same on every placement, no slice passes its quota, and a device lost in mid-generation costs time
only."""

import json
import pathlib
import tempfile
import unittest

import hetllm
import llama_reference

QUESTIONS = ["12+34=", "57+68=", "99+98=", "10+10=", "45+55="]
ANSWERS = ["46\n", "125\n", "197\n", "20\n", "100\n"]
NEW = 8
MIB = 1 << 20


def tokens_of(result):
    return [entry["tokens"] for entry in result["results"]]


class Generation(unittest.TestCase):
    def ask(self, *arguments, **options):
        return hetllm.generate(hetllm.DEMO, QUESTIONS, NEW, *arguments, **options)

    def assert_within_quota(self, result):
        for stage in result["stages"]:
            self.assertLessEqual(stage["memoryPeakBytes"], stage["memoryLimitBytes"], stage["slice"])
            self.assertGreater(stage["memoryUsedBytes"], 0)

    def test_the_demo_model_answers(self):
        result = self.ask("--slices", "cpu")
        self.assertEqual([entry["text"] for entry in result["results"]], ANSWERS)
        self.assert_within_quota(result)

    def test_tokens_equal_the_reference(self):
        result = self.ask("--slices", "cpu")
        model = llama_reference.Model(hetllm.DEMO)
        for entry in result["results"]:
            expected = model.generate(entry["promptTokens"], len(entry["tokens"]))
            self.assertEqual(entry["tokens"], [int(token) for token in expected])

    def test_mixed_placements_give_the_tokens_of_one_device(self):
        single = tokens_of(self.ask("--slices", "cpu"))
        for other in (hetllm.POCL, hetllm.RUSTICL):
            if not hetllm.has_device(other):
                continue
            mixed = self.ask("--slices", f"cpu:50%,{other}:50%", "--split", "4,6")
            self.assertEqual(len(mixed["stages"]), 2)
            self.assertEqual(tokens_of(mixed), single, other)
            self.assert_within_quota(mixed)
        alone = self.ask("--slices", "cpu", "--chunk", "3")
        self.assertEqual(tokens_of(alone), single)

    def test_a_model_larger_than_any_slice_runs_over_two_within_their_quotas(self):
        hetllm.need_device(self, hetllm.POCL)
        slices = f"cpu:50%:2MiB,{hetllm.POCL}:50%:2MiB"
        for alone in slices.split(","):
            result = hetllm.run("generate", "-m", hetllm.DEMO, "-p", "12+34=", "-n", NEW, "--slices", alone)
            self.assertEqual(result.returncode, 75, result.stderr)
            self.assertIn("does not fit", result.stderr)
        together = self.ask("--slices", slices)
        self.assertEqual(len(together["stages"]), 2)
        self.assertEqual(together["stages"][0]["memoryLimitBytes"], 2 * MIB)
        self.assertEqual([entry["text"] for entry in together["results"]], ANSWERS)
        self.assert_within_quota(together)

    def test_one_prompt_and_many_give_the_same_tokens(self):
        batch = tokens_of(self.ask("--slices", "cpu"))
        for question, expected in zip(QUESTIONS, batch):
            alone = hetllm.generate(hetllm.DEMO, [question], NEW, "--slices", "cpu")
            self.assertEqual(tokens_of(alone)[0], expected)

    def test_sampling_is_repeatable_by_seed(self):
        def sample(seed):
            return tokens_of(self.ask("--slices", "cpu", "--temp", "5", "--seed", seed, "--ignore-eos"))

        self.assertEqual(sample(3), sample(3))
        self.assertNotEqual(sample(3), sample(4))

    def test_text_goes_to_stdout_and_the_table_to_stderr(self):
        result = hetllm.run_ok("generate", "-m", hetllm.DEMO, "-p", "12+34=", "-n", NEW, "--slices", "cpu")
        self.assertEqual(result.stdout.strip(), "46")
        self.assertIn("memory used/quota", result.stderr)


PROFILE = """
name = "pair"
[[device]]
name = "alpha"
vendor = "Alpha Works"
memory = "1GiB"
compute_units = 4
memory_gb_per_s = 1000
f32_tflops = 10
link_latency_us = 1
[[device]]
name = "beta"
vendor = "Beta Works"
memory = "1GiB"
compute_units = 4
memory_gb_per_s = 1000
f32_tflops = 10
link_latency_us = 1
"""


class LostDevice(unittest.TestCase):
    swap = False

    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls._folder.name)

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()

    def ask(self, fault, memory="64MiB", more=()):
        profile = self.folder / "pair.toml"
        profile.write_text(PROFILE + (f"[device.fault]\nlose_after_ops = {fault}\n" if fault else ""))
        texts = [part for question in QUESTIONS for part in ("-p", question)]
        names = ("beta", "alpha") if self.swap else ("alpha", "beta")  # beta is the one that is lost
        return hetllm.run("generate", "-m", hetllm.DEMO, *texts, "-n", NEW, "-o", "json",
                          "--slices", ",".join(f"{name}:100%:{memory}" for name in names), "--split", "5,5",
                          "--simulate", profile, *more)

    def assert_goes_on(self, faults, *more):
        """Equal tokens wherever the device is lost; the timings of the runs that lost it."""
        whole = self.ask(None)
        self.assertEqual(whole.returncode, 0, whole.stderr)
        expected = tokens_of(json.loads(whole.stdout))
        recovered = []
        for fault in faults:
            result = self.ask(fault, more=more)
            self.assertEqual(result.returncode, 0, f"lost after {fault}: {result.stderr}")
            answer = json.loads(result.stdout)
            self.assertEqual(tokens_of(answer), expected, f"lost after {fault} operations")
            if answer["timings"]["recoveries"] > 0:
                self.assertIn("was lost; going on", result.stderr)
                self.assertEqual(len(answer["stages"]), 1)
                recovered.append(answer["timings"])
        self.assertTrue(recovered, "no device was lost")
        return recovered

    def test_generation_goes_on_with_equal_tokens_and_without_the_prompts(self):
        rebuilt = 0
        for timings in self.assert_goes_on((100, 200, 400, 600, 800, 1000, 1200, 1500, 2000)):
            # No row goes through the model twice but the last of each of the 5 sequences, whose logits are wanted.
            if timings["rebuilds"] > 0:
                self.assertLessEqual(timings["prefillTokens"], 5 * 7 + 5)
                rebuilt += 1
        self.assertGreater(rebuilt, 0, "no loss fell into the generation")

    def test_the_prompts_run_again_where_no_inputs_are_kept(self):
        rerun = 0
        for timings in self.assert_goes_on((400, 600, 800), "--no-keep"):
            self.assertEqual(timings["rebuilds"], 0)
            rerun += timings["prefillTokens"] >= 2 * 5 * 7
        self.assertGreater(rerun, 0, "no loss fell into the generation")

    def test_the_first_stage_is_built_again_from_the_tokens(self):
        self.swap = True
        rebuilt = [timings for timings in self.assert_goes_on((400, 600, 800)) if timings["rebuilds"] > 0]
        self.assertTrue(rebuilt)
        for timings in rebuilt:
            self.assertLessEqual(timings["prefillTokens"], 5 * 7 + 5)

    def test_says_so_when_the_rest_is_too_small(self):
        for fault in (400, 600, 800, 1000, 1200):
            result = self.ask(fault, memory="2MiB")
            if "was lost" in result.stderr:
                self.assertEqual(result.returncode, 75, result.stderr)
                self.assertIn("does not fit", result.stderr)
                return
        self.fail("no loss fell into the generation")


if __name__ == "__main__":
    unittest.main(verbosity=2)
