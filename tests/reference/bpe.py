"""Byte-level BPE for tests: trains a small vocabulary, encodes with it, and describes it as GGUF metadata.

Written from the published rules (Radford et al. 2019 for the byte alphabet; the regular expressions of the models' own
tokenizers), with Python's `re` and `unicodedata`; it shares nothing with the engine.
"""

import collections
import functools
import re
import unicodedata


@functools.lru_cache(maxsize=None)
def _class(letter):
    """The characters of a general category as the inside of a class of `re`."""
    parts, begin = [], None
    for code in range(0x110001):
        inside = code < 0x110000 and unicodedata.category(chr(code))[0] == letter
        if inside and begin is None:
            begin = code
        elif not inside and begin is not None:
            parts.append(f"\\U{begin:08x}-\\U{code - 1:08x}")
            begin = None
    return "".join(parts)


_WHITE = "\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"


@functools.lru_cache(maxsize=None)
def patterns(pre):
    letter, number, punctuation = (f"[{_class(c)}]" for c in "LNP")
    other = f"[^{_WHITE}{_class('L')}{_class('N')}]"
    white, not_white = f"[{_WHITE}]", f"[^{_WHITE}]"
    words = f" ?{letter}+| ?{number}+| ?{other}+"
    ends = f"{white}+(?!{not_white})"
    if pre == "gpt-2":
        found = [f"'s|'t|'re|'ve|'m|'ll|'d|{words}|{ends}|{white}+"]
    elif pre == "default":
        found = [
            f"[{_class('P')}$+<=>^~|]+",
            f"'s|'t|'re|'ve|'m|'ll|'d|{words}|{ends}",
            f"{number}+",
            "[0-9][0-9][0-9]",
        ]
    else:
        digits = {"llama-bpe": f"{number}{{1,3}}", "qwen2": number}[pre]
        contraction = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
        joined = f"[^\\r\\n{_class('L')}{_class('N')}]?{letter}+"
        found = [f"{contraction}|{joined}|{digits}| ?{other}+[\\r\\n]*|{white}*[\\r\\n]+|{ends}|{white}+"]
    return [re.compile(pattern) for pattern in found]


def split(text, pre):
    pieces = [text] if text else []
    for pattern in patterns(pre):
        cut = []
        for piece in pieces:
            at = 0
            for match in pattern.finditer(piece):
                cut += [piece[at : match.start()], match.group()]
                at = match.end()
            cut.append(piece[at:])
        pieces = [piece for piece in cut if piece]
    return pieces


def _alphabet():
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


ALPHABET = _alphabet()


def written(text):
    """Bytes that are no UTF-8 come as Python's surrogate escapes."""
    return [ALPHABET[byte] for byte in text.encode("utf-8", errors="surrogateescape")]


def _join(symbols, pair):
    out, i = [], 0
    while i < len(symbols):
        if i + 1 < len(symbols) and (symbols[i], symbols[i + 1]) == pair:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def train(text, count, pre):
    """The first `count` merges."""
    words = collections.Counter(tuple(written(word)) for word in split(text, pre))
    merges = []
    while len(merges) < count:
        pairs = collections.Counter()
        for word, times in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += times
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = collections.Counter({tuple(_join(list(word), best)): times for word, times in words.items()})
    return merges


class Bpe:
    """Bytes are tokens 0..255, merges follow, special tokens come last."""

    def __init__(self, merges, pre, special=()):
        self.pre, self.merges = pre, merges
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.tokens = [ALPHABET[byte] for byte in range(256)] + [a + b for a, b in merges]
        self.normal = len(self.tokens)
        self.tokens += special
        self.ids = {token: i for i, token in reversed(list(enumerate(self.tokens)))}

    def encode(self, text):
        ids = []
        for word in split(text, self.pre):
            symbols = written(word)
            if self.pre == "llama-bpe" and "".join(symbols) in self.ids:
                symbols = ["".join(symbols)]
            while len(symbols) > 1:
                pair = min(zip(symbols, symbols[1:]), key=lambda p: self.ranks.get(p, len(self.ranks)))
                if pair not in self.ranks:
                    break
                symbols = _join(symbols, pair)
            ids += [self.ids[symbol] for symbol in symbols]
        return ids

    def metadata(self, chat_template=""):
        keys = {
            "tokenizer.ggml.model": ("string", "gpt2"),
            "tokenizer.ggml.pre": ("string", self.pre),
            "tokenizer.ggml.tokens": ("string[]", self.tokens),
            "tokenizer.ggml.token_type": ("i32[]", [1] * self.normal + [3] * (len(self.tokens) - self.normal)),
            "tokenizer.ggml.merges": ("string[]", [f"{a} {b}" for a, b in self.merges]),
            "tokenizer.ggml.eos_token_id": ("u32", len(self.tokens) - 1),
            "tokenizer.ggml.bos_token_id": ("u32", len(self.tokens) - 1),
            "tokenizer.ggml.add_bos_token": ("bool", False),
        }
        if chat_template:
            keys["tokenizer.chat_template"] = ("string", chat_template)
        return keys
