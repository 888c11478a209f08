"""Writes small random-weight GGUF models of the shapes that the engine's logits are checked on.

    make_models.py DIR [--seed 1]

    tied_f32.gguf      no output.weight: the head is the embedding; plain multi-head attention
    gqa3_f16.gguf      3 query heads to each key/value head
    gqa3_q8_0.gguf     the same weights as gqa3_f16, quantised
    odd_q4_0.gguf      5 layers of Q4_0
    gqa3_bf16.gguf     the same weights as gqa3_f16, in BF16
    super_q4_k.gguf, super_q5_k.gguf, super_q6_k.gguf   blocks of 256
    mistral_mixed.gguf a sliding window, linear RoPE scaling, biases everywhere, a different type for every matrix
    qwen2_q4_k.gguf    biases, the other RoPE pairing
    qwen3_bf16.gguf    q/k norms, heads wider than embedding / heads, YaRN
    factors_f16.gguf   rope_freqs.weight

Sizes are multiples of 32 or 256 (a block) and no powers of two; the vocabulary is odd. Norm weights are F32 and differ from 1,
RoPE bases and epsilons differ from the defaults, so that a key that is not read shows up in the logits.
"""

import argparse
import dataclasses
import pathlib

import numpy as np

import gguf

VOCAB = 307
_LETTERS = "etaoinshrdlu"
# 259 special and byte tokens, then 48 pieces: some of two and three characters, so that a tokenizer has merges to do.
PIECES = (
    ["th", "in", "er", gguf.SPACE + "t", gguf.SPACE + "a", "the", "ing", gguf.SPACE + "the", "12", "34", "==", "\u00e9"]
    + [gguf.SPACE]
    + list(_LETTERS)
    + list("0123456789")
    + list("+-=.,!?():/;'")
)
assert 3 + 256 + len(PIECES) == VOCAB


@dataclasses.dataclass(frozen=True)
class Shape:
    embd: int
    layers: int
    ff: int
    heads: int
    kv_heads: int
    tied: bool
    rope_base: float
    eps: float
    arch: str = "llama"
    head_dim: int = 0  # 0: embd / heads
    biases: tuple = ()
    window: int = 0
    scaling: str = ""
    factor: float = 1.0
    rope_factors: bool = False

    @property
    def head(self):
        return self.head_dim or self.embd // self.heads


TIED = Shape(embd=96, layers=3, ff=224, heads=4, kv_heads=4, tied=True, rope_base=10000.0, eps=1e-5)
GQA3 = Shape(embd=192, layers=4, ff=352, heads=6, kv_heads=2, tied=False, rope_base=500000.0, eps=1e-6)
ODD = Shape(embd=160, layers=5, ff=288, heads=5, kv_heads=5, tied=False, rope_base=20000.0, eps=3e-5)
SUPER = Shape(embd=256, layers=3, ff=512, heads=8, kv_heads=2, tied=False, rope_base=10000.0, eps=1e-5)
MISTRAL = dataclasses.replace(SUPER, arch="mistral", biases=("q", "k", "v", "output"), window=13, scaling="linear", factor=2.0)
QWEN2 = dataclasses.replace(SUPER, arch="qwen2", biases=("q", "k", "v"), tied=True, rope_base=1000000.0, eps=1e-6)
QWEN3 = dataclasses.replace(GQA3, arch="qwen3", head_dim=48, scaling="yarn", factor=4.0)
FACTORS = dataclasses.replace(GQA3, rope_factors=True)
MODELS = {
    "tied_f32": (TIED, "f32"),
    "gqa3_f16": (GQA3, "f16"),
    "gqa3_q8_0": (GQA3, "q8_0"),
    "gqa3_bf16": (GQA3, "bf16"),
    "odd_q4_0": (ODD, "q4_0"),
    "super_q4_k": (SUPER, "q4_k"),
    "super_q5_k": (SUPER, "q5_k"),
    "super_q6_k": (SUPER, "q6_k"),
    "mistral_mixed": (MISTRAL, "mixed"),
    "qwen2_q4_k": (QWEN2, "q4_k"),
    "qwen3_bf16": (QWEN3, "bf16"),
    "factors_f16": (FACTORS, "f16"),
}


def random_tensors(shape, rng):
    """[(name, array)] ; a product's output is about the size of its input, logits have a standard deviation of ~2."""
    width, q_width = shape.head * shape.kv_heads, shape.head * shape.heads
    residual = 1 / np.sqrt(2 * shape.layers)

    def matrix(outputs, inputs, gain=1.0):
        return rng.standard_normal((outputs, inputs)) * (gain / np.sqrt(inputs))

    def norm(size=shape.embd):
        return 1 + 0.2 * rng.standard_normal(size)

    # A tied head reads normalised activations, so it wants rows of length ~2; a mere embedding has rows of sqrt(embd).
    named = [("token_embd", matrix(VOCAB, shape.embd, 2.0) if shape.tied else rng.standard_normal((VOCAB, shape.embd)))]
    for layer in range(shape.layers):
        named += [
            (f"blk.{layer}.attn_norm", norm()),
            (f"blk.{layer}.attn_q", matrix(q_width, shape.embd, 1.5)),
            (f"blk.{layer}.attn_k", matrix(width, shape.embd, 1.5)),
            (f"blk.{layer}.attn_v", matrix(width, shape.embd)),
            (f"blk.{layer}.attn_output", matrix(shape.embd, q_width, residual)),
            (f"blk.{layer}.ffn_norm", norm()),
            (f"blk.{layer}.ffn_gate", matrix(shape.ff, shape.embd)),
            (f"blk.{layer}.ffn_up", matrix(shape.ff, shape.embd)),
            (f"blk.{layer}.ffn_down", matrix(shape.embd, shape.ff, 2 * residual)),
        ]
    named.append(("output_norm", norm()))
    if not shape.tied:
        named.append(("output", matrix(VOCAB, shape.embd, 2.0)))
    # Behind the others, so that shapes that differ in these alone have the same weights.
    biases = []
    for layer in range(shape.layers):
        sizes = {"q": q_width, "k": width, "v": width, "output": shape.embd}
        biases += [(f"blk.{layer}.attn_{name}.bias", 0.5 * rng.standard_normal(sizes[name])) for name in shape.biases]
        if shape.arch == "qwen3":
            named += [(f"blk.{layer}.attn_{name}_norm", norm(shape.head)) for name in "qk"]
    if shape.rope_factors:
        named.append(("rope_freqs", 1 + 7 * rng.random(shape.head // 2)))
    return [(f"{name}.weight", values) for name, values in named] + biases


# A type for every matrix of a model called mixed.
_MIXED = {"attn_q": "q4_k", "attn_k": "q5_k", "attn_v": "q6_k", "attn_output": "q8_0", "ffn_gate": "q4_0", "ffn_up": "bf16",
          "ffn_down": "q4_k", "output": "q6_k", "token_embd": "q5_k"}


def _format_of(name, fmt):
    return _MIXED[name.split(".")[-2]] if fmt == "mixed" else fmt


def write_model(path, name, shape, fmt, seed):
    """Matrices in `fmt`, norms in F32. The same shape and seed give the same weights before rounding."""
    metadata = gguf.llama_metadata(
        name,
        "q4_k" if fmt == "mixed" else fmt,
        context=512,
        embd=shape.embd,
        layers=shape.layers,
        ff=shape.ff,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        vocab=VOCAB,
        rope_base=shape.rope_base,
        eps=shape.eps,
        arch=shape.arch,
        head_dim=shape.head_dim or None,
    )
    if shape.window:
        metadata[f"{shape.arch}.attention.sliding_window"] = ("u32", shape.window)
    if shape.scaling:
        metadata[f"{shape.arch}.rope.scaling.type"] = ("string", shape.scaling)
        metadata[f"{shape.arch}.rope.scaling.factor"] = ("f32", shape.factor)
        metadata[f"{shape.arch}.rope.scaling.original_context_length"] = ("u32", 128)
    metadata.update(gguf.spm_vocabulary(PIECES))
    tensors = random_tensors(shape, np.random.default_rng(seed))
    gguf.write(path, metadata, [(n, v, _format_of(n, fmt) if v.ndim > 1 else "f32") for n, v in tensors])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    for name, (shape, fmt) in MODELS.items():
        path = options.directory / f"{name}.gguf"
        write_model(path, name, shape, fmt, options.seed)
        print(path)


if __name__ == "__main__":
    main()
