"""Bad input gives one clear message and the exit code that it should: 2 usage, 4 not found, 69 no daemon, 75 no capacity."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import hetllm

import gguf  # hetllm put its folder on the path


class Errors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls._folder.name)
        cls.good = cls.folder / "good.gguf"
        hetllm.run_ok("synth", "--layers", 2, "--embd", 64, "--ff", 96, "--heads", 4, "--kv-heads", 2, "--vocab", 320,
                      "--type", "f32", "-o", cls.good)

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()

    def refused(self, code, *arguments, **options):
        """Runs hetllm, expects this exit code, and gives back the one message on stderr."""
        result = hetllm.run(*arguments, **options)
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertEqual(result.stdout, "")
        if code != 2:
            self.assertTrue(result.stderr.startswith("hetllm: "), result.stderr)
        return result.stderr

    def generate(self, *arguments, model=None):
        return ("generate", "-m", model or self.good, "-p", "hello", "-n", 2, *arguments)

    def test_a_file_that_is_not_there(self):
        self.assertIn("No such file", self.refused(4, *self.generate(model="/nowhere.gguf")))

    def test_a_truncated_file(self):
        raw = self.good.read_bytes()
        for size in (0, 3, 20, 500, len(raw) // 2, len(raw) - 40):
            broken = self.folder / "broken.gguf"
            broken.write_bytes(raw[:size])
            self.assertIn("not a usable GGUF file", self.refused(1, "info", "-m", broken))

    def test_a_file_of_another_architecture(self):
        other = self.folder / "other.gguf"
        gguf.write(other, {"general.architecture": ("string", "mamba")}, [])
        message = self.refused(1, "info", "-m", other)
        self.assertIn("architecture 'mamba'", message)
        self.assertIn("runs: llama, mistral, qwen2, qwen3", message)

    def test_a_type_that_is_not_run(self):
        raw = bytearray(self.good.read_bytes())
        at = raw.index(b"output.weight") + len(b"output.weight") + 4 + 16
        raw[at] = 16
        other = self.folder / "iq2.gguf"
        other.write_bytes(raw)
        message = self.refused(1, "info", "-m", other)
        self.assertIn("has type 16 (IQ2_XXS)", message)

    def test_unknown_and_ambiguous_slices_list_the_devices(self):
        message = self.refused(4, *self.generate("--slices", "tpu9"))
        self.assertIn("there is no device 'tpu9'", message)
        self.assertIn("cpu", message)
        if hetllm.has_device(hetllm.POCL) and hetllm.has_device(hetllm.RUSTICL):
            message = self.refused(2, *self.generate("--slices", "opencl"))
            self.assertIn("means 2 devices", message)

    def test_usage(self):
        self.refused(2, "generate", "-m", self.good)
        self.refused(2, "frobnicate")
        self.refused(2, *self.generate("--slices", "cpu:200%"))
        self.refused(2, *self.generate("--slices", "cpu:50%:lots"))
        self.refused(2, *self.generate("--activations", "q3"))
        self.refused(2, *self.generate("--split", "1,2", "--slices", "cpu"))
        self.refused(2, "logits", "-m", self.good, "--tokens", "1,320", "-o", os.devnull)
        self.refused(2, "synth", "--embd", "63", "-o", self.folder / "x.gguf")
        self.refused(2, "synth", "--type", "q9", "-o", self.folder / "x.gguf")

    def test_more_than_the_model_was_trained_for(self):
        message = self.refused(2, "generate", "-m", self.good, "-p", "hello", "-n", 5000)
        self.assertIn("trained for 2048", message)
        self.assertIn("--context", message)

    def test_a_quota_that_cannot_be_met(self):
        message = self.refused(75, *self.generate("--slices", "cpu:100%:900TiB"))
        self.assertRegex(message, r"\d")  # what is free
        self.assertIn("does not fit", self.refused(75, *self.generate("--context", 200000, "--slices", "cpu:100%:2MiB")))

    def test_a_daemon_that_is_not_there(self):
        result = subprocess.run(
            [hetllm.PROGRAM, *map(str, self.generate("--socket", self.folder / "no.sock"))],
            capture_output=True, text=True, env=hetllm.ENVIRONMENT, timeout=60)
        self.assertEqual(result.returncode, 69, result.stderr)
        self.assertIn("no.sock", result.stderr)

    def test_an_output_that_cannot_be_written(self):
        message = self.refused(1, "synth", "--layers", 1, "--embd", 64, "--heads", 2, "--kv-heads", 1, "--ff", 64,
                               "--vocab", 300, "-o", "/nowhere/x.gguf")
        self.assertIn("/nowhere/x.gguf", message)
        result = hetllm.run("logits", "-m", self.good, "--tokens", "1", "-o", "/dev/full", "--slices", "cpu")
        self.assertEqual(result.returncode, 1)
        self.assertIn("No space left", result.stderr)

    def test_info_as_json_has_every_layer(self):
        info = json.loads(hetllm.run_ok("info", "-m", self.good, "-o", "json").stdout)
        self.assertEqual([layer["name"] for layer in info["layers"]], ["embedding", "block 0", "block 1", "head"])
        self.assertEqual(info["layers"][0]["weight_bytes"], 64 * 320 * 4)
        self.assertEqual(info["layers"][1]["kv_bytes_per_token"], 2 * 32 * 4)
        block = 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 96)
        self.assertEqual(info["layers"][1]["flops_per_token"], block)
        self.assertEqual(info["vocabulary"], 320)

    def test_a_file_that_shrinks_while_it_is_used(self):
        victim = self.folder / "shrinks.gguf"
        victim.write_bytes(self.good.read_bytes())
        command = [hetllm.PROGRAM, "chat", "-m", str(victim), "--slices", "cpu", "--embedded", "--chat-template", "zephyr", "-n", "4"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=hetllm.ENVIRONMENT)
        process.stdin.write(b"hello\n")
        process.stdin.flush()
        process.stdout.readline()  # it is loaded, and answers
        os.truncate(victim, 4096)
        _, errors = process.communicate(b"again\n", timeout=30)
        self.assertEqual(process.returncode, 1, errors)
        self.assertIn(b"shrinks.gguf' became shorter", errors)

    def test_architecture_and_type_of_a_synthetic_model_must_be_known(self):
        self.assertIn("qwen3", self.refused(2, "synth", "--arch", "gemma", "-o", self.folder / "x.gguf"))
        self.assertIn("q4_k_m", self.refused(2, "synth", "--type", "q3_k", "-o", self.folder / "x.gguf"))
        self.assertIn("multiples of 256", self.refused(2, "synth", "--embd", 64, "--heads", 4, "--kv-heads", 2, "--type", "q6_k",
                                                       "-o", self.folder / "x.gguf"))

    def test_ctrl_c_ends_it_soon_and_cleanly(self):
        command = [hetllm.PROGRAM, "generate", "-m", str(self.good), "-p", "hello", "-n", "200000", "--ignore-eos",
                   "--context", "200100", "--slices", "cpu", "--embedded"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=hetllm.ENVIRONMENT)
        process.stdout.read(20)  # it generates
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130, errors)
        self.assertIn(b"interrupted", errors)
        self.assertLess(time.monotonic() - begin, 10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
