"""The engine's logits agree with the double-precision reference to 1e-3 (norm of the difference over norm), f32 activations,
on every backend there is and on mixed placements. With HET_PRINT_ERRORS set every error is printed."""

import os
import pathlib
import tempfile
import unittest

import hetllm
import llama_reference
import make_models
import numpy as np

LIMIT = 1e-3
TOKENS = [1, 15, 7, 200, 33, 300, 4, 77, 9, 9, 9, 120, 301, 2, 64, 65, 66, 259, 260, 261, 3, 45, 46] * 2
PLACEMENTS = {
    "cpu": ["cpu"],
    "pocl": [hetllm.POCL],
    "rusticl": [hetllm.RUSTICL],
    "cpu and pocl": ["cpu:50%", f"{hetllm.POCL}:50%"],
    "pocl and cpu": [f"{hetllm.POCL}:50%", "cpu:50%"],
    "pocl and rusticl": [f"{hetllm.POCL}:50%", f"{hetllm.RUSTICL}:50%"],
}
MODELS = ["tied_f32", "gqa3_f16", "gqa3_bf16", "gqa3_q8_0", "odd_q4_0", "super_q4_k", "super_q5_k", "super_q6_k",
          "mistral_mixed", "qwen2_q4_k", "qwen3_bf16", "factors_f16"]


class Logits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls._folder.name)
        cls.expected = {}
        for name in MODELS:
            path = cls.folder / f"{name}.gguf"
            make_models.write_model(path, name, *make_models.MODELS[name], seed=1)
            cls.expected[name] = llama_reference.Model(path).logits(TOKENS)

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()

    def logits(self, name, slices, *arguments):
        model = self.folder / f"{name}.gguf"
        out = self.folder / "out.f32"
        if len(slices) > 1:  # cut inside the blocks, whatever a plan would do with so small a model
            layers = make_models.MODELS[name][0].layers + 2
            arguments += ("--split", f"{layers // 2},{layers - layers // 2}")
        hetllm.run_ok("logits", "-m", model, "--tokens", ",".join(map(str, TOKENS)), "-o", out,
                      "--slices", ",".join(slices), *arguments)
        self.ran = " ".join(map(str, (*slices, *arguments)))
        return np.fromfile(out, "<f4").reshape(len(TOKENS), -1)

    def error(self, name, values):
        expected = self.expected[name]
        self.assertEqual(values.shape, expected.shape)
        return self.shown(name, np.linalg.norm(values - expected) / np.linalg.norm(expected))

    def shown(self, name, error):
        if os.environ.get("HET_PRINT_ERRORS"):
            print(f"{name:14} {self.ran:40} {error:.1e}", flush=True)
        return error

    def test_files_that_llama_cpp_quantised(self):
        tokens = [1, 260, 275, 280, 259, 287, 3, 70, 99, 258]
        out = self.folder / "peer.f32"
        for name in ("peer_q4_k_m", "peer_q6_k"):
            path = hetllm.HERE / "fixtures" / f"{name}.gguf"
            expected = llama_reference.Model(path).logits(tokens)
            for device in ("cpu", hetllm.POCL):
                for activations, limit in (("f32", LIMIT), ("q8", 3e-2)):
                    hetllm.need_device(self, device)
                    hetllm.run_ok("logits", "-m", path, "--tokens", ",".join(map(str, tokens)), "-o", out, "--slices", device,
                                  "--activations", activations)
                    values = np.fromfile(out, "<f4").reshape(expected.shape)
                    self.ran = f"{device} {activations}"
                    error = self.shown(name, np.linalg.norm(values - expected) / np.linalg.norm(expected))
                    self.assertLess(error, limit, (name, device, activations))


def _add_tests():
    for placement, slices in PLACEMENTS.items():
        for name in MODELS:

            def test(self, slices=slices, name=name):
                for part in slices:
                    hetllm.need_device(self, part.split(":")[0])
                self.assertLess(self.error(name, self.logits(name, slices)), LIMIT)

            setattr(Logits, f"test_{name}_on_{placement.replace(' ', '_')}", test)

    def q8(self):
        for device in ("cpu", hetllm.POCL):
            hetllm.need_device(self, device)
            for name in ("gqa3_q8_0", "odd_q4_0", "super_q4_k", "super_q5_k", "super_q6_k", "mistral_mixed"):
                with self.subTest(name, device=device):
                    error = self.error(name, self.logits(name, [device], "--activations", "q8"))
                    self.assertLess(error, 3e-2)
                    self.assertGreater(error, 1e-5)  # it is another arithmetic

    def chunks(self):
        # Equal however the rows are cut into micro-batches.
        for chunk in (1, 5, 32):
            error = self.error("gqa3_f16", self.logits("gqa3_f16", ["cpu"], "--chunk", chunk))
            self.assertLess(error, LIMIT)

    def rows(self):
        # Of one row, neighbouring matrices are one where they can be: of one type (not in mistral_mixed), side by side.
        for device in ("cpu", hetllm.POCL):
            hetllm.need_device(self, device)
            for name, activations, limit in (("odd_q4_0", "f32", LIMIT), ("odd_q4_0", "q8", 3e-2), ("mistral_mixed", "q8", 3e-2),
                                             ("qwen2_q4_k", "q8", 3e-2), ("qwen3_bf16", "f32", LIMIT)):
                error = self.error(name, self.logits(name, [device], "--activations", activations, "--chunk", 1))
                self.assertLess(error, limit, (name, device))

    def halves(self):
        # One row beside F16 or BF16 on the processor.
        for name in ("gqa3_f16", "gqa3_bf16"):
            error = self.error(name, self.logits(name, ["cpu"], "--activations", "q8", "--chunk", 1))
            self.assertLess(error, 1e-3)
            self.assertGreater(error, 1e-5)

    Logits.test_q8_activations_stay_within_3_percent = q8
    Logits.test_q8_activations_are_halves_beside_f16_and_bf16 = halves
    Logits.test_logits_do_not_depend_on_the_chunk = chunks
    Logits.test_logits_of_one_row_at_a_time = rows


_add_tests()

if __name__ == "__main__":
    unittest.main(verbosity=2)
