"""Writes small random-weight GGUF models of the shapes that the engine's logits are checked on.

    make_models.py DIR [--seed 1]

    tied_f32.gguf      no output.weight: the head is the embedding; plain multi-head attention
    gqa3_f16.gguf      3 query heads to each key/value head
    gqa3_q8_0.gguf     the same weights as gqa3_f16, quantised
    odd_q4_0.gguf      5 layers of Q4_0
    gqa3_bf16.gguf     the same weights as gqa3_f16, in BF16

Sizes are multiples of 32 (a block) and no powers of two; the vocabulary is odd. Norm weights are F32 and differ from 1,
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


TIED = Shape(embd=96, layers=3, ff=224, heads=4, kv_heads=4, tied=True, rope_base=10000.0, eps=1e-5)
GQA3 = Shape(embd=192, layers=4, ff=352, heads=6, kv_heads=2, tied=False, rope_base=500000.0, eps=1e-6)
ODD = Shape(embd=160, layers=5, ff=288, heads=5, kv_heads=5, tied=False, rope_base=20000.0, eps=3e-5)
MODELS = {
    "tied_f32": (TIED, "f32"),
    "gqa3_f16": (GQA3, "f16"),
    "gqa3_q8_0": (GQA3, "q8_0"),
    "gqa3_bf16": (GQA3, "bf16"),
    "odd_q4_0": (ODD, "q4_0"),
}


def random_tensors(shape, rng):
    """[(name, array)] ; a product's output is about the size of its input, logits have a standard deviation of ~2."""
    width = shape.embd // shape.heads * shape.kv_heads
    residual = 1 / np.sqrt(2 * shape.layers)

    def matrix(outputs, inputs, gain=1.0):
        return rng.standard_normal((outputs, inputs)) * (gain / np.sqrt(inputs))

    def norm():
        return 1 + 0.2 * rng.standard_normal(shape.embd)

    # A tied head reads normalised activations, so it wants rows of length ~2; a mere embedding has rows of sqrt(embd).
    named = [("token_embd", matrix(VOCAB, shape.embd, 2.0) if shape.tied else rng.standard_normal((VOCAB, shape.embd)))]
    for layer in range(shape.layers):
        named += [
            (f"blk.{layer}.attn_norm", norm()),
            (f"blk.{layer}.attn_q", matrix(shape.embd, shape.embd, 1.5)),
            (f"blk.{layer}.attn_k", matrix(width, shape.embd, 1.5)),
            (f"blk.{layer}.attn_v", matrix(width, shape.embd)),
            (f"blk.{layer}.attn_output", matrix(shape.embd, shape.embd, residual)),
            (f"blk.{layer}.ffn_norm", norm()),
            (f"blk.{layer}.ffn_gate", matrix(shape.ff, shape.embd)),
            (f"blk.{layer}.ffn_up", matrix(shape.ff, shape.embd)),
            (f"blk.{layer}.ffn_down", matrix(shape.embd, shape.ff, 2 * residual)),
        ]
    named.append(("output_norm", norm()))
    if not shape.tied:
        named.append(("output", matrix(VOCAB, shape.embd, 2.0)))
    return [(f"{name}.weight", values) for name, values in named]


def write_model(path, name, shape, fmt, seed):
    """Matrices in `fmt`, norms in F32. The same shape and seed give the same weights before rounding."""
    metadata = gguf.llama_metadata(
        name,
        fmt,
        context=512,
        embd=shape.embd,
        layers=shape.layers,
        ff=shape.ff,
        heads=shape.heads,
        kv_heads=shape.kv_heads,
        vocab=VOCAB,
        rope_base=shape.rope_base,
        eps=shape.eps,
    )
    metadata.update(gguf.spm_vocabulary(PIECES))
    tensors = random_tensors(shape, np.random.default_rng(seed))
    gguf.write(path, metadata, [(n, v, fmt if v.ndim > 1 else "f32") for n, v in tensors])


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
