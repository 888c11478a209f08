"""Tests of the reference itself: file formats, invariants of the forward pass, and the committed demo model."""

import contextlib
import io
import itertools
import math
import pathlib
import struct
import sys
import tempfile
import unittest

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
DEMO = HERE.parent.parent / "engine" / "demo"
sys.path[:0] = [str(HERE), str(DEMO)]
import gguf  # noqa: E402
import llama_reference  # noqa: E402
import make_models  # noqa: E402
import verify  # noqa: E402


class WeightFormats(unittest.TestCase):
    def setUp(self):
        rng = np.random.default_rng(7)
        self.values = rng.standard_normal((6, 768)) * np.array([1e-3, 0.1, 1, 3, 50, 1])[:, None]
        self.values[5] = 0

    def round_trip(self, fmt):
        raw = gguf.encode(self.values, fmt)
        self.assertEqual(len(raw), gguf.byte_size(self.values.shape, fmt))
        return gguf.decode(raw, fmt, self.values.shape)

    def test_q8_0_errs_by_at_most_half_a_step(self):
        step = np.abs(self.values.reshape(-1, 32)).max(axis=1, keepdims=True) / 127
        error = np.abs(self.round_trip("q8_0") - self.values).reshape(-1, 32)
        # Rounding d to half moves the largest value by up to 2^-11 of itself: 127 / 2048 of a step more (and a
        # subnormal d by half of 2^-24 per unit of q).
        self.assertTrue((error <= step * (0.5 + 127 / 2048) + 127 * 2.0**-25).all())

    def test_q4_0_errs_by_at_most_one_step(self):
        # Steps are max/8 with the extreme value at -8; the other sign reaches only +7, so it can miss by a whole step.
        step = np.abs(self.values.reshape(-1, 32)).max(axis=1, keepdims=True) / 8
        error = np.abs(self.round_trip("q4_0") - self.values).reshape(-1, 32)
        self.assertTrue((error <= step * 1.01 + 1e-7).all())
        self.assertLess(np.median(error[2:15] / step[2:15]), 0.3)

    def test_k_types_err_by_at_most_a_step_of_their_run(self):
        # Steps are a 63rd (or 127th) of the largest of the block apart, so a small run beside a large one loses more.
        for fmt, run, steps, bound in (("q4_k", 32, 15, 1.1), ("q5_k", 32, 31, 1.6), ("q6_k", 16, 32, 1.1)):
            error = np.abs(self.round_trip(fmt) - self.values)
            block = np.abs(self.values).reshape(6, -1, 256).max(axis=2).repeat(256, axis=1)
            spread = (2 if steps < 32 else 1) * block
            self.assertTrue((error <= spread / steps * bound + 1e-6).all(), fmt)
            self.assertLess(np.median(error[:5] / spread[:5]) * steps, 0.35, fmt)

    def test_floats_round_to_their_precision(self):
        for fmt, bits in (("f32", 24), ("f16", 11), ("bf16", 8)):
            error = np.abs(self.round_trip(fmt) - self.values)
            self.assertTrue((error <= np.abs(self.values) * 2.0**-bits + 2.0**-25).all(), fmt)

    def test_zeros_stay_zeros(self):
        for fmt in gguf.FORMATS:
            self.assertTrue((self.round_trip(fmt)[5] == 0).all(), fmt)

    def test_blocks_decode_as_their_bytes_say(self):
        half = struct.pack("<e", 0.5)
        nibbles = bytes(i | (15 - i) << 4 for i in range(16))
        q4 = gguf.decode(half + nibbles, "q4_0", (32,))
        expected = [(i - 8) * 0.5 for i in range(16)] + [(15 - i - 8) * 0.5 for i in range(16)]
        self.assertEqual(q4.tolist(), expected)
        q8 = gguf.decode(half + struct.pack("<32b", *range(-16, 16)), "q8_0", (32,))
        self.assertEqual(q8.tolist(), [i * 0.5 for i in range(-16, 16)])
        self.assertEqual(gguf.decode(b"\xc0\x3f\x20\xc0", "bf16", (2,)).tolist(), [1.5, -2.5])

    def test_k_blocks_decode_as_their_bytes_say(self):
        scales = [1, 2, 3, 4, 33, 34, 35, 60]
        minimums = [5, 6, 7, 8, 63, 0, 17, 48]
        twelve = [scales[i] | scales[i + 4] >> 4 << 6 for i in range(4)]
        twelve += [minimums[i] | minimums[i + 4] >> 4 << 6 for i in range(4)]
        twelve += [scales[i + 4] & 15 | (minimums[i + 4] & 15) << 4 for i in range(4)]
        head = struct.pack("<2e", 0.5, 0.25) + bytes(twelve)
        nibbles = np.random.default_rng(1).integers(0, 256, 128).tolist()
        fifth = np.random.default_rng(2).integers(0, 256, 32).tolist()
        q4 = gguf.decode(head + bytes(nibbles), "q4_k", (256,))
        q5 = gguf.decode(head + bytes(fifth) + bytes(nibbles), "q5_k", (256,))
        for run, i in itertools.product(range(8), range(32)):
            code = nibbles[run // 2 * 32 + i] >> 4 * (run % 2) & 15
            self.assertEqual(q4[32 * run + i], 0.5 * scales[run] * code - 0.25 * minimums[run])
            code += 16 * (fifth[i] >> run & 1)
            self.assertEqual(q5[32 * run + i], 0.5 * scales[run] * code - 0.25 * minimums[run])
        low, high = nibbles, np.random.default_rng(3).integers(0, 256, 64).tolist()
        signed = list(range(-8, 8))
        q6 = gguf.decode(bytes(low + high) + struct.pack("<16be", *signed, 0.5), "q6_k", (256,))
        for half, quarter, i in itertools.product(range(2), range(4), range(32)):
            code = low[64 * half + 32 * (quarter % 2) + i] >> 4 * (quarter // 2) & 15
            code += 16 * (high[32 * half + i] >> 2 * quarter & 3)
            at = 128 * half + 32 * quarter + i
            self.assertEqual(q6[at], 0.5 * signed[at // 16] * (code - 32))

    def test_rows_that_are_no_whole_blocks_are_refused(self):
        with self.assertRaises(gguf.GgufError):
            gguf.encode(np.zeros((2, 48)), "q4_0")


class Files(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.path = pathlib.Path(self.directory.name) / "file.gguf"

    def test_what_is_written_is_read(self):
        metadata = {
            "a.string": ("string", "gr\u00fc\u00df"),
            "a.bool": ("bool", True),
            "a.u64": ("u64", 2**63),
            "an.array": ("i32[]", [-1, 0, 7]),
            "names": ("string[]", ["x", "", "\u2581y"]),
        }
        values = np.arange(3 * 64, dtype=np.float64).reshape(3, 64)
        for version in (2, 3):
            gguf.write(self.path, metadata, [("n", values[0, :5], "f32"), ("m", values, "f16")], version)
            file = gguf.GgufFile(self.path)
            self.assertEqual(file.version, version)
            self.assertEqual(file.metadata, {key: value for key, (_, value) in metadata.items()})
            self.assertEqual(file.tensor("n").tolist(), [0, 1, 2, 3, 4])
            self.assertTrue((file.tensor("m") == values).all())
            self.assertTrue(all(info.offset % 32 == 0 for info in file.infos.values()))

    def test_a_file_that_ends_early_is_refused_at_every_length(self):
        gguf.write(self.path, {"k": ("string[]", ["a", "b"])}, [("m", np.ones((2, 16)), "f32")])
        whole = self.path.read_bytes()
        for size in range(len(whole)):
            self.path.write_bytes(whole[:size])
            with self.assertRaises(gguf.GgufError, msg=f"{size} of {len(whole)} bytes"):
                gguf.GgufFile(self.path).tensor("m")


class ForwardPass(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)
        cls.models = {}
        for name, (shape, fmt) in make_models.MODELS.items():
            path = pathlib.Path(cls.directory.name) / f"{name}.gguf"
            make_models.write_model(path, name, shape, fmt, seed=3)
            cls.models[name] = llama_reference.Model(path)
        cls.tokens = [1] + np.random.default_rng(5).integers(3, make_models.VOCAB, 23).tolist()

    def test_a_prefix_gives_the_same_logits(self):
        for name, model in self.models.items():
            whole, part = model.logits(self.tokens), model.logits(self.tokens[:9])
            np.testing.assert_allclose(whole[:9], part, rtol=0, atol=1e-10, err_msg=name)

    def test_a_later_token_changes_only_later_logits(self):
        model = self.models["gqa3_f16"]
        changed = list(self.tokens)
        changed[10] = (changed[10] + 1) % make_models.VOCAB
        difference = np.abs(model.logits(changed) - model.logits(self.tokens)).max(axis=1)
        self.assertTrue((difference[:10] < 1e-10).all())
        self.assertTrue((difference[10:] > 1e-3).all())

    def test_rope_scores_depend_on_the_distance_only(self):
        model = self.models["gqa3_f16"]
        rng = np.random.default_rng(1)
        q, k = rng.standard_normal((2, model.head_dim))
        turned_q, turned_k = (model._rotate(np.tile(v, (20, 1, 1)))[:, 0] for v in (q, k))
        scores = turned_q @ turned_k.T
        for distance in range(20):
            np.testing.assert_allclose(np.diagonal(scores, -distance), scores[distance, 0], atol=1e-10)
        self.assertGreater(np.ptp(scores[:, 0]), 0.1)

    def test_rope_turns_neighbouring_pairs_by_the_written_angle(self):
        model = self.models["tied_f32"]
        x = np.zeros((4, 1, model.head_dim))
        x[:, 0, 2] = 1  # pair 1
        angle = 3 * model.rope_base ** (-2 / model.head_dim)
        turned = model._rotate(x)[3, 0]
        self.assertAlmostEqual(turned[2], math.cos(angle), places=12)
        self.assertAlmostEqual(turned[3], math.sin(angle), places=12)
        self.assertEqual(np.count_nonzero(turned), 2)

    def test_rope_of_halves_turns_pairs_that_lie_half_a_head_apart(self):
        model = self.models["qwen2_q4_k"]
        x = np.zeros((4, 1, model.head_dim))
        x[:, 0, 3] = 1
        angle = 3 * model.rope_base ** (-6 / model.head_dim)
        turned = model._rotate(x)[3, 0]
        self.assertAlmostEqual(turned[3], math.cos(angle), places=12)
        self.assertAlmostEqual(turned[3 + model.head_dim // 2], math.sin(angle), places=12)

    def test_yarn_keeps_fast_pairs_and_slows_down_slow_ones(self):
        model = self.models["qwen3_bf16"]
        plain = model.rope_base ** (-np.arange(0, model.rope_dim, 2) / model.rope_dim)
        self.assertAlmostEqual(model.frequencies[0], plain[0], places=12)
        self.assertAlmostEqual(model.frequencies[-1], plain[-1] / 4, places=12)
        self.assertTrue((np.diff(model.frequencies / plain) <= 1e-12).all())
        self.assertAlmostEqual(model.magnitude, 1 + 0.1 * math.log(4))

    def test_a_window_hides_what_is_too_long_ago(self):
        model = self.models["mistral_mixed"]
        model.window, window = 5, model.window
        try:
            changed = [self.tokens[0] + 1] + self.tokens[1:]
            difference = np.abs(model.logits(changed) - model.logits(self.tokens)).max(axis=1)
        finally:
            model.window = window
        reach = 4 * model.layers  # each layer looks back four tokens
        self.assertTrue((difference[: reach + 1] > 0).all())
        self.assertTrue((difference[reach + 1 :] == 0).all())

    def test_grouped_queries_equal_repeated_key_value_heads(self):
        grouped = self.models["gqa3_f16"]
        full = llama_reference.Model.__new__(llama_reference.Model)
        full.__dict__.update(grouped.__dict__)
        full.kv_heads = grouped.heads
        full._weights = dict(grouped._weights)
        group = grouped.heads // grouped.kv_heads
        for layer, name in itertools.product(range(grouped.layers), ("attn_k", "attn_v")):
            heads = full._weights[f"blk.{layer}.{name}"].reshape(grouped.kv_heads, grouped.head_dim, -1)
            full._weights[f"blk.{layer}.{name}"] = heads.repeat(group, axis=0).reshape(-1, grouped.embd)
        np.testing.assert_allclose(full.logits(self.tokens), grouped.logits(self.tokens), rtol=0, atol=1e-10)

    def test_quantised_weights_stay_near_the_weights(self):
        exact = self.models["gqa3_f16"].logits(self.tokens)
        for name, bound in (("gqa3_q8_0", 0.05), ("gqa3_bf16", 0.02)):
            difference = llama_reference.relative_difference(self.models[name].logits(self.tokens), exact)
            self.assertLess(difference, bound, name)
            self.assertGreater(difference, 1e-4, name)

    def test_a_tied_head_reads_the_embedding(self):
        model = self.models["tied_f32"]
        self.assertIs(model._head, model._embedding)
        self.assertIsNot(self.models["odd_q4_0"]._head, self.models["odd_q4_0"]._embedding)

    def test_generating_ends_at_a_stop_token(self):
        model = self.models["tied_f32"]
        new = model.generate(self.tokens, 6)
        self.assertEqual(len(new), 6)
        self.assertEqual(model.generate(self.tokens, 6, stop={new[2]})[-1], new[2])

    def test_the_commands_write_and_compare_logits(self):
        model = str(pathlib.Path(self.directory.name) / "odd_q4_0.gguf")
        out, other = (str(pathlib.Path(self.directory.name) / n) for n in ("a.f32", "b.f32"))
        tokens = ",".join(map(str, self.tokens))
        self.assertEqual(llama_reference.main(["logits", "-m", model, "--tokens", tokens, "-o", out]), 0)
        logits = np.fromfile(out, "<f4").reshape(len(self.tokens), make_models.VOCAB)
        np.testing.assert_allclose(logits, self.models["odd_q4_0"].logits(self.tokens), rtol=1e-6, atol=1e-6)
        (logits * np.float32(1.01)).tofile(other)

        def compare(largest):
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                code = llama_reference.main(["compare", other, out, "--vocab", "307", "--max", largest])
            return code, float(printed.getvalue())

        code, printed = compare("0.02")
        self.assertEqual(code, 0)
        self.assertAlmostEqual(printed, 0.01, places=5)
        self.assertEqual(compare("0.005")[0], 1)


class DemoModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.model = llama_reference.Model(DEMO / "addition.gguf")
        cls.questions = verify.read_questions(DEMO / "held_out.txt")

    def test_held_out_questions_are_1000_different_right_sums(self):
        self.assertEqual(len({prompt for prompt, _ in self.questions}), 1000)
        for prompt, answer in self.questions:
            a, b = prompt.rstrip("=").split("+")
            self.assertEqual(int(a) + int(b), int(answer))

    def test_answers_the_first_30_held_out_questions(self):
        self.assertEqual(verify.wrong_answers(self.model, self.questions[:30]), [])

    def test_goes_on_behind_answered_questions(self):
        self.assertEqual(verify.wrong_answers(self.model, self.questions[30:45], before=3), [])

    def test_fits_into_four_megabytes(self):
        self.assertLessEqual((DEMO / "addition.gguf").stat().st_size, 4 * 10**6)


if __name__ == "__main__":
    unittest.main()
