"""Trains het's demo model: a small Llama that adds two numbers of two digits, written as GGUF.

    apt-get install -y --no-install-recommends python3-torch python3-numpy libopenblas0-pthread
    /usr/bin/python3 engine/demo/train.py

It runs some minutes on two CPU cores and writes addition.gguf and held_out.txt beside itself. The questions in
held_out.txt are never trained on, in either order: "34+12" is held out together with "12+34".

Training text is "<s>" and lines "12+34=46\n", one token per character; the loss counts the digits of the sum, the
newline and the "</s>" that follows it. A context holds one line or several, so that the model also continues a list.
"""

import argparse
import math
import pathlib
import random
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tests" / "reference"))
import gguf  # noqa: E402

DIM, LAYERS, HEADS, KV_HEADS, FF = 128, 8, 4, 2, 256
HEAD_DIM = DIM // HEADS
CONTEXT = 160
ROPE_BASE, EPS = 10000.0, 1e-5
PIECES = list("0123456789+=") + [gguf.SPACE] + list("abcdefghijklmnopqrstuvwxyz.,?-")
VOCAB = 3 + 256 + len(PIECES)
HELD_OUT = 1000
IGNORE = -1


# --- questions ------------------------------------------------------------------------------------------------------


def split(seed):
    """All pairs of 10..99 -> (training pairs, held-out pairs); a held-out pair is held out in both orders."""
    unordered = [(a, b) for a in range(10, 100) for b in range(a + 1, 100)]
    random.Random(seed).shuffle(unordered)
    held = [pair for a, b in unordered[: HELD_OUT // 2] for pair in ((a, b), (b, a))]
    random.Random(seed + 1).shuffle(held)
    kept_out = set(held)
    train = [(a, b) for a in range(10, 100) for b in range(10, 100) if (a, b) not in kept_out]
    return train, held


def line(a, b):
    return f"{a}+{b}={a + b}\n"


class Lines:
    """Token and target rows of the training lines, and batches of contexts made from them."""

    def __init__(self, pairs, tokenizer, rng):
        self._rng = rng
        self._lines = []
        for a, b in pairs:
            ids = tokenizer.encode(line(a, b))
            answer = 6  # tokens of "12+34="; the last of them predicts the first digit
            targets = [IGNORE] * (answer - 1) + ids[answer:] + [gguf.EOS_ID]
            self._lines.append((ids, targets))

    def batch(self, contexts, lines):
        """Two (contexts, T) tensors: tokens, and the token each should predict (IGNORE where it does not matter)."""
        tokens, targets = [], []
        for _ in range(contexts):
            row, row_targets = [gguf.BOS_ID], [IGNORE]
            for i in self._rng.integers(len(self._lines), size=lines):
                row += self._lines[i][0]
                row_targets += self._lines[i][1]
            tokens.append(row[:CONTEXT])
            targets.append(row_targets[:CONTEXT])
        width = max(map(len, tokens))
        tokens = [row + [gguf.EOS_ID] * (width - len(row)) for row in tokens]
        targets = [row + [IGNORE] * (width - len(row)) for row in targets]
        return torch.tensor(tokens), torch.tensor(targets)


# --- model ----------------------------------------------------------------------------------------------------------


class RmsNorm(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(DIM))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * self.weight


def linear(inputs, outputs, gain=1.0):
    layer = torch.nn.Linear(inputs, outputs, bias=False)
    torch.nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs))
    return layer


def rotate(x, cos, sin):
    """RoPE on pairs (2i, 2i+1), the convention of GGUF's architecture `llama`. x: (batch, heads, T, HEAD_DIM)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Block(torch.nn.Module):
    """One decoder layer. Q, K and V are one matrix while training, as are gate and up: fewer, larger products."""

    def __init__(self):
        super().__init__()
        residual = 1 / math.sqrt(2 * LAYERS)
        self.attn_norm, self.ffn_norm = RmsNorm(), RmsNorm()
        self.qkv = linear(DIM, (HEADS + 2 * KV_HEADS) * HEAD_DIM)
        self.attn_output = linear(DIM, DIM, residual)
        self.gate_up = linear(DIM, 2 * FF)
        self.ffn_down = linear(FF, DIM, residual)

    def forward(self, x, cos, sin, mask):
        batch, length, _ = x.shape
        qkv = self.qkv(self.attn_norm(x)).view(batch, length, -1, HEAD_DIM).transpose(1, 2)
        q, k, v = qkv.split([HEADS, KV_HEADS, KV_HEADS], 1)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        q = q.reshape(batch, KV_HEADS, -1, HEAD_DIM)  # the query heads of a group lie behind one another as rows
        scores = (q @ k.transpose(-1, -2)).view(batch, KV_HEADS, -1, length, length) / math.sqrt(HEAD_DIM) + mask
        mixed = scores.softmax(-1).view(batch, KV_HEADS, -1, length) @ v
        mixed = mixed.view(batch, HEADS, length, HEAD_DIM).transpose(1, 2).reshape(batch, length, DIM)
        x = x + self.attn_output(mixed)
        gate, up = self.gate_up(self.ffn_norm(x)).split(FF, -1)
        return x + self.ffn_down(F.silu(gate) * up)

    def tensors(self, prefix):
        width = KV_HEADS * HEAD_DIM
        q, k, v = self.qkv.weight.split([DIM, width, width])
        gate, up = self.gate_up.weight.split(FF)
        named = {
            "attn_norm": self.attn_norm.weight,
            "attn_q": q,
            "attn_k": k,
            "attn_v": v,
            "attn_output": self.attn_output.weight,
            "ffn_norm": self.ffn_norm.weight,
            "ffn_gate": gate,
            "ffn_up": up,
            "ffn_down": self.ffn_down.weight,
        }
        return [(f"{prefix}{name}.weight", tensor) for name, tensor in named.items()]


class Llama(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(VOCAB, DIM)
        self.blocks = torch.nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = RmsNorm()
        self.head = linear(DIM, VOCAB)
        angles = torch.outer(torch.arange(CONTEXT), ROPE_BASE ** (-torch.arange(0, HEAD_DIM, 2) / HEAD_DIM))
        self._cos, self._sin = angles.cos(), angles.sin()

    def forward(self, tokens, wanted=None):
        """(batch, T) ids -> (batch, T, VOCAB) logits, or (n, VOCAB) of the n positions in the mask `wanted`."""
        length = tokens.shape[1]
        mask = torch.full((length, length), -math.inf).triu(1)
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, self._cos[:length], self._sin[:length], mask)
        if wanted is not None:
            x = x[wanted]
        return self.head(self.norm(x))

    def tensors(self):
        named = [("token_embd.weight", self.embedding.weight)]
        for i, block in enumerate(self.blocks):
            named += block.tensors(f"blk.{i}.")
        return named + [("output_norm.weight", self.norm.weight), ("output.weight", self.head.weight)]


# --- training -------------------------------------------------------------------------------------------------------


@torch.no_grad()
def accuracy(model, pairs, tokenizer):
    """Share of the pairs whose every answer token is the most likely one given the right ones before it, which is
    when greedy decoding answers exactly."""
    right = 0
    for length in (9, 10):
        encoded = ([gguf.BOS_ID] + tokenizer.encode(line(a, b)) for a, b in pairs)
        rows = [ids for ids in encoded if len(ids) == length + 1]
        if rows:
            tokens = torch.tensor(rows)
            best = model(tokens[:, :-1])[:, 6:].argmax(-1)
            right += (best == tokens[:, 7:]).all(-1).sum().item()
    return right / len(pairs)


def train(model, lines, held, tokenizer, options, rng):
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": options.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
    )
    average = [p.detach().clone() for p in model.parameters()]  # exponential average of the weights: what is written
    begin = time.monotonic()
    for step in range(options.steps):
        warmup = min(1.0, (step + 1) / 50)
        progress = step / options.steps
        for group in optimizer.param_groups:
            group["lr"] = options.lr * warmup * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * progress)))
        per_context = int(rng.choice([1, 2, 4, 16], p=[0.4, 0.25, 0.25, 0.1]))
        tokens, targets = lines.batch(options.lines // per_context, per_context)
        wanted = targets != IGNORE
        loss = F.cross_entropy(model(tokens, wanted), targets[wanted])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for kept, weight in zip(average, model.parameters()):
                kept.lerp_(weight, min(0.01, 10 / (step + 10)) if step > 50 else 1.0)
        if step % 100 == 99:
            share = accuracy(model, held[:200], tokenizer)
            seconds = time.monotonic() - begin
            print(f"step {step + 1}: loss {loss.item():.4f}, first 200 held out {share:.3f}, {seconds:.0f} s", flush=True)
    with torch.no_grad():
        for kept, weight in zip(average, model.parameters()):
            weight.copy_(kept)


def save(model, path):
    metadata = gguf.llama_metadata(
        "het two-digit addition", "f16", context=CONTEXT, embd=DIM, layers=LAYERS, ff=FF, heads=HEADS,
        kv_heads=KV_HEADS, vocab=VOCAB, rope_base=ROPE_BASE, eps=EPS,
    )
    metadata.update(gguf.spm_vocabulary(PIECES))
    tensors = [(name, t.detach().numpy(), "f16" if t.dim() > 1 else "f32") for name, t in model.tensors()]
    gguf.write(path, metadata, tensors)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--lines", type=int, default=128, help="lines per step")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=pathlib.Path, default=HERE, help="folder to write to")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(options.seed)
    pairs, held = split(options.seed)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "held_out.txt").write_text("".join(line(a, b) for a, b in held))

    tokenizer = gguf.CharacterTokenizer(gguf.spm_vocabulary(PIECES)["tokenizer.ggml.tokens"][1])
    model = Llama()
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {len(pairs)} training pairs, {len(held)} held out")
    train(model, Lines(pairs, tokenizer, rng), held, tokenizer, options, rng)
    print(f"held out, exact: {accuracy(model, held, tokenizer):.4f}")
    save(model, options.output / "addition.gguf")


if __name__ == "__main__":
    main()
