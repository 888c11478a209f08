"""Reference of the forward pass of the Llama family (llama, mistral, qwen2, qwen3) in double precision, with numpy only, written without het's engine.

    llama_reference.py logits   -m F --tokens 1,15,7 -o OUT.f32     one row of vocabulary size per token, float32
    llama_reference.py generate -m F --tokens 1,15,7 -n 8           greedy; prints the new token ids, comma-separated
    llama_reference.py compare  A.f32 B.f32 --vocab N [--max 1e-3]  prints norm(A-B)/norm(B); exit 1 above --max

OUT.f32 has no header: little-endian float32, row-major (tokens, vocabulary). Weights are dequantised exactly and all
arithmetic is float64, so what differs from it is the other side's rounding. Exit codes: 0, 1 (compare: too far apart),
2 (usage, or a file that cannot be read; the message is on stderr).
"""

import argparse
import sys

import numpy as np

import gguf

# Tensors that would change the result and that this reference does not implement.
_UNSUPPORTED_TENSORS = ("blk.0.ffn_gate_inp.weight", "blk.0.ffn_gate.bias")
# Which elements RoPE turns together: neighbours, or the two halves.
_HALVES = {"llama": False, "mistral": False, "qwen2": True, "qwen3": True}


def yarn_ramp(pairs, rope_dim, base, length):
    """0 for pairs that turn more than 32 times over `length` positions, 1 for those below one turn, linear between
    (Peng et al. 2023, equations 22 to 25)."""

    def pair_of(turns):
        return rope_dim * np.log(length / (turns * 2 * np.pi)) / (2 * np.log(base))

    low, high = max(0, np.floor(pair_of(32))), min(rope_dim - 1, np.ceil(pair_of(1)))
    return np.clip((np.arange(pairs) - low) / max(0.001, high - low), 0, 1)


class Model:
    """The weights of a GGUF file as float64, and its forward pass."""

    def __init__(self, path):
        file = gguf.GgufFile(path)
        meta = file.metadata
        arch = meta.get("general.architecture")
        if arch not in _HALVES:
            raise gguf.GgufError(f"{path} has architecture '{arch}'; {', '.join(_HALVES)} are implemented")
        for name in _UNSUPPORTED_TENSORS:
            if name in file.infos:
                raise gguf.GgufError(f"{path} has a tensor '{name}'; not implemented")
        try:
            self.layers = meta[f"{arch}.block_count"]
            self.embd = meta[f"{arch}.embedding_length"]
            self.heads = meta[f"{arch}.attention.head_count"]
            self.eps = meta[f"{arch}.attention.layer_norm_rms_epsilon"]
        except KeyError as error:
            raise gguf.GgufError(f"{path} lacks the metadata {error}") from error
        self.kv_heads = meta.get(f"{arch}.attention.head_count_kv", self.heads)
        self.head_dim = meta.get(f"{arch}.attention.key_length", self.embd // self.heads)
        self.rope_dim = meta.get(f"{arch}.rope.dimension_count", self.head_dim)
        self.rope_base = meta.get(f"{arch}.rope.freq_base", 10000.0)
        self.halves = _HALVES[arch]
        self.window = meta.get(f"{arch}.attention.sliding_window", 0)
        self.metadata = meta
        self._weights = {name.removesuffix(".weight"): file.tensor(name) for name in file.infos}
        self._embedding = self._weights["token_embd"]
        self._head = self._weights.get("output", self._embedding)
        self.vocab = self._head.shape[0]
        self._read_rope(arch)

    def _read_rope(self, arch):
        pairs = self.rope_dim // 2
        frequencies = self.rope_base ** (-np.arange(0, self.rope_dim, 2) / self.rope_dim)
        frequencies = frequencies / self._weights.get("rope_freqs", 1.0)
        scaling = self.metadata.get(f"{arch}.rope.scaling.type", "none")
        factor = self.metadata.get(f"{arch}.rope.scaling.factor", 1.0)
        self.magnitude = 1.0
        if scaling == "linear":
            frequencies = frequencies / factor
        elif scaling == "yarn":
            length = self.metadata[f"{arch}.rope.scaling.original_context_length"]
            ramp = yarn_ramp(pairs, self.rope_dim, self.rope_base, length)
            frequencies = frequencies * (1 - ramp) + frequencies / factor * ramp
            self.magnitude = 1 + 0.1 * np.log(factor)
        elif scaling != "none":
            raise gguf.GgufError(f"RoPE scaling '{scaling}' is not implemented")
        self.frequencies = frequencies

    def _norm(self, x, name):
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.eps) * self._weights[name]

    def _rotate(self, x):
        """RoPE on the first rope_dim features. x: (..., T, heads, head_dim)."""
        angles = np.arange(x.shape[-3])[:, None] * self.frequencies
        dim = self.rope_dim
        first, second = (slice(0, dim // 2), slice(dim // 2, dim)) if self.halves else (slice(0, dim, 2), slice(1, dim, 2))
        turned = (x[..., first] + 1j * x[..., second]) * (self.magnitude * np.exp(1j * angles))[:, None, :]
        out = x.copy()
        out[..., first] = turned.real
        out[..., second] = turned.imag
        return out

    def _attention(self, x, prefix):
        """Causal attention with grouped queries. x: (..., T, embd), normalised."""
        length = x.shape[-2]

        def project(name, heads):
            y = x @ self._weights[prefix + name].T + self._weights.get(f"{prefix}{name}.bias", 0.0)
            y = y.reshape(*x.shape[:-1], heads, self.head_dim)
            return self._norm(y, f"{prefix}{name}_norm") if f"{prefix}{name}_norm" in self._weights else y

        q = self._rotate(project("attn_q", self.heads))
        k = self._rotate(project("attn_k", self.kv_heads))
        v = project("attn_v", self.kv_heads)
        hidden = np.triu(np.ones((length, length), bool), 1)  # what comes later
        if self.window:
            hidden |= np.tril(np.ones((length, length), bool), -self.window)  # and what is too long ago
        group = self.heads // self.kv_heads
        mixed = np.empty_like(q)
        for head in range(self.heads):
            scores = q[..., head, :] @ k[..., head // group, :].swapaxes(-1, -2) / np.sqrt(self.head_dim)
            scores = np.where(hidden, -np.inf, scores)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            weights /= weights.sum(axis=-1, keepdims=True)
            mixed[..., head, :] = weights @ v[..., head // group, :]
        out = mixed.reshape(*x.shape[:-1], -1) @ self._weights[prefix + "attn_output"].T
        return out + self._weights.get(prefix + "attn_output.bias", 0.0)

    def _feed_forward(self, x, prefix):
        gate = x @ self._weights[prefix + "ffn_gate"].T
        up = x @ self._weights[prefix + "ffn_up"].T
        return (gate / (1 + np.exp(-gate)) * up) @ self._weights[prefix + "ffn_down"].T

    def logits(self, tokens):
        """Token ids (T) or (batch, T) -> logits (..., T, vocab); position 0 is the first token of each row."""
        tokens = np.asarray(tokens)
        if tokens.size and not (0 <= tokens.min() and tokens.max() < self._embedding.shape[0]):
            raise gguf.GgufError(f"a token is outside the vocabulary of {self._embedding.shape[0]}")
        x = self._embedding[tokens]
        for layer in range(self.layers):
            prefix = f"blk.{layer}."
            x = x + self._attention(self._norm(x, prefix + "attn_norm"), prefix)
            x = x + self._feed_forward(self._norm(x, prefix + "ffn_norm"), prefix)
        return self._norm(x, "output_norm") @ self._head.T

    def generate(self, tokens, count, stop=()):
        """Greedy continuation: at most `count` new ids; ends behind an id of `stop`."""
        tokens, new = list(tokens), []
        while len(new) < count and not (new and new[-1] in stop):
            new.append(int(self.logits(tokens + new)[-1].argmax()))
        return new


def relative_difference(a, b):
    """norm(a - b) / norm(b), in double precision; nan if anything is not finite."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def _read_rows(path, vocab):
    values = np.fromfile(path, "<f4")
    if values.size == 0 or values.size % vocab:
        raise gguf.GgufError(f"{path} has {values.size} floats, which is not a number of rows of {vocab}")
    return values.reshape(-1, vocab)


def _compare(options):
    a, b = _read_rows(options.a, options.vocab), _read_rows(options.b, options.vocab)
    if a.shape != b.shape:
        raise gguf.GgufError(f"{options.a} has {len(a)} rows, {options.b} has {len(b)}")
    difference = relative_difference(a, b)
    print(f"{difference:.6e}")
    return 0 if difference <= options.max else 1  # nan is not <=


def _ids(text):
    return [int(token) for token in text.split(",")]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    logits = commands.add_parser("logits")
    generate = commands.add_parser("generate")
    for command in (logits, generate):
        command.add_argument("-m", "--model", required=True)
        command.add_argument("--tokens", type=_ids, required=True, help="comma-separated ids, BOS included")
    logits.add_argument("-o", "--output", required=True)
    generate.add_argument("-n", type=int, default=16)
    compare = commands.add_parser("compare")
    compare.add_argument("a")
    compare.add_argument("b")
    compare.add_argument("--vocab", type=int, required=True)
    compare.add_argument("--max", type=float, default=float("inf"))
    options = parser.parse_args(arguments)
    try:
        if options.command == "compare":
            return _compare(options)
        model = Model(options.model)
        if options.command == "logits":
            model.logits(options.tokens).astype("<f4").tofile(options.output)
        else:
            print(",".join(map(str, model.generate(options.tokens, options.n))))
    except (gguf.GgufError, OSError) as error:
        print(f"llama_reference: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
