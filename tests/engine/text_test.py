"""Text in and out of hetllm: tokenizers against an independent one, chat, perplexity, sampling, streaming."""

import json
import math
import os
import select
import pathlib
import random
import re
import signal
import subprocess
import tempfile
import time
import unittest

import hetllm
import numpy as np

import bpe  # hetllm put its folder on the path
import gguf
import llama_reference
import make_models

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TEXTS = [
    "Hello world's end, it's 2024!? we'll WE'LL  two   spaces",
    "line\n\n  indented\r\n\tTab \n \n x=1234567;\n",
    "\u043f\u0440\u0438\u0432\u0435\u0442 \u4e2d\u6587 \u0661\u0662\u0663 caf\u00e9 e\u0301 \U0001F600\U0001F468\u200d\U0001F469 \u00a0x\u2028y",
    "a<b>=c|d~e^f$g 'tis 'S ' ''' ...  ",
    " ",
    "\n",
    "<|im_end|> is text",
]
PRES = ["default", "gpt-2", "llama-bpe", "qwen2"]


class Files(unittest.TestCase):
    """A qwen2 model with byte-level BPE for every set of rules."""

    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls._folder.name)
        corpus = (ROOT / "README.md").read_text() + "".join(TEXTS)
        cls.bpes = {}
        shape = make_models.QWEN2
        for pre in PRES:
            found = bpe.Bpe(bpe.train(corpus, 60, pre), pre, ["<|im_start|>", "<|im_end|>"])
            cls.bpes[pre] = found
            tensors = make_models.random_tensors(shape, np.random.default_rng(4))
            # The table of the model is cut or repeated to the size of the vocabulary.
            rows = [(n, np.resize(v, (len(found.tokens), shape.embd)) if n == "token_embd.weight" else v) for n, v in tensors]
            metadata = gguf.llama_metadata("bpe", "q6_k", context=256, embd=shape.embd, layers=shape.layers, ff=shape.ff,
                                           heads=shape.heads, kv_heads=shape.kv_heads, vocab=len(found.tokens), arch="qwen2")
            metadata.update(found.metadata("{{'<|im_start|>' + message['role']}}"))
            gguf.write(cls.folder / f"{pre}.gguf", metadata, [(n, v, "q6_k" if v.ndim > 1 else "f32") for n, v in rows])

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()

    def model(self, pre="qwen2"):
        return self.folder / f"{pre}.gguf"

    def tokenize(self, model, text, *arguments):
        path = self.folder / "text.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
        out = hetllm.run_ok("tokenize", "-m", model, "-f", path, *arguments).stdout.strip()
        return [int(token) for token in out.split(",")] if out else []

    def detokenize(self, model, tokens):
        command = [hetllm.PROGRAM, "detokenize", "-m", str(model), "--tokens", ",".join(map(str, tokens))]
        return subprocess.run(command, capture_output=True, check=True, env=hetllm.ENVIRONMENT).stdout


class Tokens(Files):
    def test_every_rule_gives_the_tokens_of_the_independent_tokenizer(self):
        pick = random.Random(3)
        mixed = ["".join(pick.choices("ab C'sS \n\r1\u00e9\u4e2d\u0661!$\U0001F600\t", k=60)) for _ in range(12)]
        for pre in PRES:
            for text in TEXTS + mixed:
                self.assertEqual(self.tokenize(self.model(pre), text), self.bpes[pre].encode(text), (pre, text))

    def test_any_bytes_come_back(self):
        pick = random.Random(5)
        for model in (self.model(), self.model("default"), hetllm.DEMO):
            for _ in range(6):
                raw = bytes(pick.randrange(1, 256) for _ in range(50))
                self.assertEqual(self.detokenize(model, self.tokenize(model, raw, "--no-bos")), raw)

    def test_special_tokens_are_taken_only_when_asked(self):
        special = len(self.bpes["qwen2"].tokens) - 1
        self.assertNotIn(special, self.tokenize(self.model(), "x<|im_end|>"))
        self.assertEqual(self.tokenize(self.model(), "x<|im_end|>", "--special")[-1], special)

    def test_unknown_rules_are_refused_by_name(self):
        key = b"tokenizer.ggml.pre"
        raw = self.model().read_bytes()
        at = raw.index(b"qwen2", raw.index(key))
        other = self.folder / "other.gguf"
        other.write_bytes(raw[:at] + b"qwen9" + raw[at + 5 :])
        result = hetllm.run("tokenize", "-m", other, "-p", "x")
        self.assertEqual(result.returncode, 1)
        self.assertIn("'qwen9'", result.stderr)
        self.assertIn("llama-bpe", result.stderr)

    def test_broken_merges_are_refused(self):
        good = self.bpes["qwen2"]
        metadata = {**gguf.llama_metadata("x", "f32", context=8, embd=32, layers=1, ff=32, heads=1, kv_heads=1, vocab=8),
                    **good.metadata(), "tokenizer.ggml.merges": ("string[]", ["nospace"])}
        path = self.folder / "merges.gguf"
        gguf.write(path, metadata, [])
        self.assertIn("'nospace'", hetllm.run("tokenize", "-m", path, "-p", "x").stderr)

    def test_greedy_text_of_a_bpe_model_is_that_of_the_reference(self):
        prompt = "Hello world's"
        result = hetllm.generate(self.model(), [prompt], 8, "--slices", "cpu", "--ignore-eos")
        entry = result["results"][0]
        self.assertEqual(entry["promptTokens"], self.bpes["qwen2"].encode(prompt))
        expected = llama_reference.Model(self.model()).generate(entry["promptTokens"], 8)
        self.assertEqual(entry["tokens"], expected)


class Streams(Files):
    def test_streamed_text_is_never_cut_inside_a_character(self):
        command = [hetllm.PROGRAM, "generate", "-m", str(self.model()), "-p", "\u4e2d\u6587", "-n", "150", "--temp", "3", "--seed",
                   "7", "--ignore-eos", "--slices", "cpu", "--embedded"]
        reader, writer = os.pipe()
        process = subprocess.Popen(command, stdout=writer, stderr=subprocess.DEVNULL, env=hetllm.ENVIRONMENT)
        os.close(writer)
        seen = [b""]
        while piece := os.read(reader, 65536):
            seen.append(seen[-1] + piece)
        os.close(reader)
        self.assertEqual(process.wait(timeout=30), 0)
        self.assertGreater(len(seen), 20)
        whole = seen[-1].rstrip(b"\n")
        for shown in seen:
            for back in (1, 2, 3):
                # A lead byte so near to the end that its character is not there yet, unless nothing more came.
                lead = shown[-back] if len(shown) >= back else 0
                size = 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2 if lead >= 0xC2 else 1
                waits = 0xC2 <= lead < 0xF5 and all(b & 0xC0 == 0x80 for b in shown[len(shown) - back + 1 :])
                # Random weights also emit lead bytes that no character follows: those are shown as they are.
                at = len(shown) - back
                character = whole[at : at + size].decode("utf-8", "replace")
                real = len(character) == 1 and character != "\ufffd"
                self.assertFalse(waits and size > back and real, shown[-6:])

    def test_sampling_options_narrow_the_choice(self):
        def tokens(*arguments):
            result = hetllm.generate(self.model(), ["Hello"], 12, "--slices", "cpu", "--ignore-eos", *arguments)
            return result["results"][0]["tokens"]

        greedy = tokens()
        for narrow in (("--top-k", 1), ("--top-p", 0), ("--min-p", 1)):
            self.assertEqual(tokens("--temp", 2, *narrow), greedy, narrow)
        self.assertNotEqual(tokens("--temp", 2), greedy)
        punished = tokens("--repeat-penalty", 50)
        self.assertEqual(len(set(punished)), len(punished))

    def chat(self, text, *arguments, model=None):
        command = [hetllm.PROGRAM, "chat", "-m", str(model or self.model()), "--slices", "cpu", "--embedded", "--temp", "0",
                   *map(str, arguments)]
        return subprocess.run(command, input=text.encode("utf-8"), capture_output=True, env=hetllm.ENVIRONMENT, timeout=60)

    def test_chat_goes_on_as_if_the_conversation_were_one_prompt(self):
        both = self.chat("Hello\nspaces\n", "-n", 6)
        self.assertEqual(both.returncode, 0, both.stderr)
        found, model = self.bpes["qwen2"], llama_reference.Model(self.model())
        start, end = len(found.tokens) - 2, len(found.tokens) - 1
        line, tokens, answers = found.encode("\n"), [], b""
        for question in ("Hello", "spaces"):
            tokens += [start, *found.encode("user\n"), *found.encode(question), end, *line]
            tokens += [start, *found.encode("assistant\n")]
            new = model.generate(tokens, 6, stop={end})
            raw = self.detokenize(self.model(), [token for token in new if token < start])
            answers += raw + b"\n"
            tokens += [*found.encode(raw.decode("utf-8", errors="surrogateescape")), end, *line]
        self.assertEqual(both.stdout, answers)

    def test_a_conversation_that_outgrows_its_context_is_told_so_and_goes_on(self):
        result = self.chat("word " * 60 + "\nhi\n", "-n", 8, "--context", 64)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(b"Nothing is dropped", result.stderr)
        self.assertGreater(len(result.stdout), 0)  # the second question is answered

    def test_chat_needs_a_template(self):
        result = self.chat("hi\n", model=hetllm.DEMO)
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"--chat-template: chatml", result.stderr)

    def test_ctrl_c_ends_a_waiting_chat_and_gives_the_lease_back(self):
        command = [hetllm.PROGRAM, "chat", "-m", str(self.model()), "--slices", "cpu", "--embedded", "-n", "4"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=hetllm.ENVIRONMENT)
        process.stdin.write(b"hi\n")
        process.stdin.flush()
        # Until it has answered and is silent: a signal before that ends the answer only.
        output = process.stdout.fileno()
        self.assertTrue(os.read(output, 4096))
        while select.select([output], [], [], 1.0)[0]:
            self.assertTrue(os.read(output, 4096), "it ended by itself")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        self.assertEqual(process.returncode, 130, errors)
        self.assertIn(b"interrupted", errors)


class Perplexity(Files):
    def measure(self, device, *arguments):
        text = self.folder / "text.txt"
        text.write_text("".join(TEXTS) * 3)
        out = hetllm.run_ok("perplexity", "-m", self.model(), "-f", text, "-w", 64, "--windows", 3, "--slices", device, "-o",
                            "json", *arguments).stdout
        return json.loads(out)

    def test_it_is_that_of_the_reference_and_equal_on_every_device(self):
        model = llama_reference.Model(self.model())
        tokens = self.bpes["qwen2"].encode("".join(TEXTS) * 3)
        losses = []
        for window in range(3):
            part = tokens[64 * window : 64 * window + 64]
            logits = model.logits(part)
            for at in range(32, 63):
                row = logits[at] - logits[at].max()
                losses.append(math.log(np.exp(row).sum()) - row[part[at + 1]])
        expected = math.exp(np.mean(losses))
        devices = ["cpu"] + [name for name in (hetllm.POCL, hetllm.RUSTICL) if hetllm.has_device(name)]
        for device in devices:
            result = self.measure(device)
            self.assertEqual(result["tokens"], len(losses))
            self.assertLess(abs(result["perplexity"] / expected - 1), 1e-3, device)

    def test_a_text_shorter_than_a_window_is_refused(self):
        text = self.folder / "short.txt"
        text.write_text("hi")
        result = hetllm.run("perplexity", "-m", self.model(), "-f", text)
        self.assertEqual(result.returncode, 2)
        self.assertIn("fewer than one window", result.stderr)


class PeerJson(unittest.TestCase):
    def test_bench_writes_what_llama_bench_users_read(self):
        out = hetllm.run_ok("bench", "-m", hetllm.DEMO, "--slices", "cpu", "-p", 16, "-n", 4, "-b", 2, "-r", 2, "-o",
                            "llama-bench").stdout
        prefill, decode = json.loads(out)
        self.assertEqual((prefill["n_prompt"], prefill["n_gen"]), (16, 0))
        self.assertEqual((decode["n_prompt"], decode["n_gen"]), (0, 4))
        for entry in (prefill, decode):
            self.assertEqual(len(entry["samples_ts"]), 2)
            self.assertGreater(entry["avg_ts"], 0)
            self.assertGreaterEqual(entry["n_threads"], 1)
            self.assertTrue(re.match("llama ", entry["model_type"]))


if __name__ == "__main__":
    unittest.main(verbosity=2)
