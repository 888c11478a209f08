"""GGUF files for het's tests and training scripts: a reader, a writer and the weight formats, in numpy only.

It shares no code with the engine on purpose: the engine's reader is tested against what this module writes, and the
other way round. Source of the layout: the GGUF specification, versions 2 and 3, little-endian.

Shapes. A tensor is a numpy array in C order, so the *last* numpy axis is GGUF's ne[0], the contiguous one: a weight
matrix is (output features, input features) and computes y = x @ W.T.

Failures. Everything that cannot be read or written raises GgufError with what was found.
"""

import dataclasses
import struct

import numpy as np

MAGIC = b"GGUF"
DEFAULT_ALIGNMENT = 32
BLOCK = 32  # elements per block of Q8_0 and Q4_0
SUPER = 256  # elements per block of Q4_K, Q5_K and Q6_K

# Scalar types of metadata values: name -> (number in the file, struct format).
SCALARS = {
    "u8": (0, "B"),
    "i8": (1, "b"),
    "u16": (2, "H"),
    "i16": (3, "h"),
    "u32": (4, "I"),
    "i32": (5, "i"),
    "f32": (6, "f"),
    "bool": (7, "?"),
    "u64": (10, "Q"),
    "i64": (11, "q"),
    "f64": (12, "d"),
}
SCALARS_BY_NUMBER = {number: (name, fmt) for name, (number, fmt) in SCALARS.items()}
STRING, ARRAY = 8, 9

# Weight formats: name -> (ggml type, elements per block, bytes per block, general.file_type of a file made of it).
FORMATS = {
    "f32": (0, 1, 4, 0),
    "f16": (1, 1, 2, 1),
    "q4_0": (2, BLOCK, 18, 2),
    "q8_0": (8, BLOCK, 34, 7),
    "bf16": (30, 1, 2, 32),
    "q4_k": (12, SUPER, 144, 14),
    "q5_k": (13, SUPER, 176, 16),
    "q6_k": (14, SUPER, 210, 18),
}
FORMATS_BY_NUMBER = {fmt[0]: name for name, fmt in FORMATS.items()}

# tokenizer.ggml.token_type
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
SPACE = "\u2581"  # SentencePiece writes a space like this


class GgufError(Exception):
    """The file is not what this module reads, or the array is not what it can write."""


# --- weight formats -------------------------------------------------------------------------------------------------


def _blocks(values, size=BLOCK):
    if values.shape[-1] % size:
        raise GgufError(f"rows of {values.shape[-1]} elements cannot be cut into blocks of {size}")
    return np.asarray(values, np.float64).reshape(-1, size)


def _divide(values, scales):
    """values / scales per row, with 0 where the scale is 0 (a block of zeros)."""
    return np.divide(values, scales[:, None], out=np.zeros_like(values), where=scales[:, None] != 0)


def _quantize_q8_0(values):
    """Per block a half d = max|x| / 127, then 32 signed bytes q; x ~ q * d."""
    blocks = _blocks(values)
    scale = (np.abs(blocks).max(axis=1) / 127).astype("<f2")
    q = np.clip(np.rint(_divide(blocks, scale.astype(np.float64))), -127, 127).astype(np.int8)
    return np.concatenate([scale[:, None].view(np.uint8), q.view(np.uint8)], axis=1)


def _dequantize_q8_0(raw):
    scale = raw[:, :2].copy().view("<f2").astype(np.float64)
    return raw[:, 2:].copy().view(np.int8) * scale


def _quantize_q4_0(values):
    """Per block a half d that maps the value of largest magnitude onto -8, then 32 nibbles; x ~ (nibble - 8) * d."""
    blocks = _blocks(values)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)[:, 0]
    scale = (largest / -8).astype("<f2")
    nibbles = np.clip(np.rint(_divide(blocks, scale.astype(np.float64))) + 8, 0, 15).astype(np.uint8)
    packed = nibbles[:, : BLOCK // 2] | nibbles[:, BLOCK // 2 :] << 4
    return np.concatenate([scale[:, None].view(np.uint8), packed], axis=1)


def _dequantize_q4_0(raw):
    scale = raw[:, :2].copy().view("<f2").astype(np.float64)
    packed = raw[:, 2:]
    nibbles = np.concatenate([packed & 15, packed >> 4], axis=1)
    return (nibbles.astype(np.int8) - 8) * scale


def _half(raw):
    """(n, 2) bytes -> (n, 1) float64."""
    return np.ascontiguousarray(raw).view("<f2").astype(np.float64)


def _pack_six_bits(scales, minimums):
    """(n, 8) values 0..63 each -> (n, 12) bytes: four scales, four minimums, then the low nibbles of the last four of
    both; their upper two bits lie on top of the first eight bytes."""
    first = np.concatenate([scales[:, :4] | scales[:, 4:] >> 4 << 6, minimums[:, :4] | minimums[:, 4:] >> 4 << 6], axis=1)
    return np.concatenate([first, scales[:, 4:] & 15 | (minimums[:, 4:] & 15) << 4], axis=1).astype(np.uint8)


def _unpack_six_bits(packed):
    low, high, mixed = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scales = np.concatenate([low & 63, mixed & 15 | low >> 6 << 4], axis=1)
    minimums = np.concatenate([high & 63, mixed >> 4 | high >> 6 << 4], axis=1)
    return scales.astype(np.float64), minimums.astype(np.float64)


def _quantize_minimum_k(values, levels):
    """Q4_K (16 levels) and Q5_K (32): per run of 32 a step and a minimum, as 6-bit multiples of halves d and dmin;
    x ~ d * scale * q - dmin * minimum. The nibbles of runs 2j and 2j+1 share 32 bytes; bit j of the 32 bytes before
    is the fifth bit of run j."""
    runs = _blocks(values, SUPER).reshape(-1, 8, 32)
    lowest = np.minimum(runs.min(axis=2), 0)
    step = (np.maximum(runs.max(axis=2), 0) - lowest) / (levels - 1)
    d = (step.max(axis=1) / 63).astype("<f2")
    dmin = (-lowest.min(axis=1) / 63).astype("<f2")
    scales = np.clip(np.rint(_divide(step, d.astype(np.float64))), 0, 63).astype(np.int64)
    minimums = np.clip(np.rint(_divide(-lowest, dmin.astype(np.float64))), 0, 63).astype(np.int64)
    actual = (d.astype(np.float64)[:, None] * scales)[:, :, None]
    offset = (dmin.astype(np.float64)[:, None] * minimums)[:, :, None]
    q = np.divide(runs + offset, actual, out=np.zeros_like(runs), where=actual != 0)
    q = np.clip(np.rint(q), 0, levels - 1).astype(np.uint8)
    nibbles = (q[:, 0::2] & 15 | (q[:, 1::2] & 15) << 4).reshape(len(q), 128)
    parts = [d[:, None].view(np.uint8), dmin[:, None].view(np.uint8), _pack_six_bits(scales, minimums)]
    if levels == 32:
        parts.append(np.bitwise_or.reduce((q >> 4) << np.arange(8, dtype=np.uint8)[None, :, None], axis=1))
    return np.concatenate([*parts, nibbles], axis=1)


def _dequantize_minimum_k(raw, levels):
    d, dmin = _half(raw[:, :2]), _half(raw[:, 2:4])
    scales, minimums = _unpack_six_bits(raw[:, 4:16])
    nibbles = raw[:, -128:].reshape(-1, 4, 1, 32)
    q = np.concatenate([nibbles & 15, nibbles >> 4], axis=2).reshape(-1, 8, 32).astype(np.float64)
    if levels == 32:
        q += 16 * (raw[:, None, 16:48] >> np.arange(8, dtype=np.uint8)[None, :, None] & 1)
    return ((d * scales)[:, :, None] * q - (dmin * minimums)[:, :, None]).reshape(-1, SUPER)


def _quantize_q6_k(values):
    """Per run of 16 an int8 multiple of a half d; x ~ d * scale * (q - 32). Of each half of 128: 64 bytes of nibbles
    (quarters 0 and 2, then 1 and 3, the later ones above), 32 bytes of the upper bit pairs of the four quarters."""
    runs = _blocks(values, SUPER).reshape(-1, 16, 16)
    largest = np.take_along_axis(runs, np.abs(runs).argmax(axis=2)[:, :, None], axis=2)[:, :, 0]
    step = largest / -32
    d = (np.abs(step).max(axis=1) / 127).astype("<f2")
    scales = np.clip(np.rint(_divide(step, d.astype(np.float64))), -128, 127).astype(np.int8)
    actual = (d.astype(np.float64)[:, None] * scales)[:, :, None]
    q = np.divide(runs, actual, out=np.zeros_like(runs), where=actual != 0)
    q = (np.clip(np.rint(q), -32, 31) + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
    low = np.concatenate([q[:, :, 0] & 15 | (q[:, :, 2] & 15) << 4, q[:, :, 1] & 15 | (q[:, :, 3] & 15) << 4], axis=2)
    high = np.bitwise_or.reduce((q >> 4) << np.array([0, 2, 4, 6], np.uint8)[None, None, :, None], axis=2)
    parts = [low.reshape(len(q), 128), high.reshape(len(q), 64), scales.view(np.uint8), d[:, None].view(np.uint8)]
    return np.concatenate(parts, axis=1)


def _dequantize_q6_k(raw):
    low = raw[:, :128].reshape(-1, 2, 2, 32)
    high = raw[:, 128:192].reshape(-1, 2, 1, 32)
    nibbles = np.concatenate([low & 15, low >> 4], axis=2)  # quarters 0, 1, 2, 3
    pairs = high >> np.array([0, 2, 4, 6], np.uint8)[None, None, :, None] & 3
    q = (nibbles | pairs << 4).astype(np.float64).reshape(-1, 16, 16) - 32
    scales = np.ascontiguousarray(raw[:, 192:208]).view(np.int8) * _half(raw[:, 208:210])
    return (q * scales[:, :, None]).reshape(-1, SUPER)


_K_CODECS = {
    "q4_k": (lambda values: _quantize_minimum_k(values, 16), lambda raw: _dequantize_minimum_k(raw, 16)),
    "q5_k": (lambda values: _quantize_minimum_k(values, 32), lambda raw: _dequantize_minimum_k(raw, 32)),
    "q6_k": (_quantize_q6_k, _dequantize_q6_k),
}


def _encode_bf16(values):
    """Upper half of a float32, rounded to nearest even. (Not for NaN.)"""
    bits = np.ascontiguousarray(values, "<f4").view("<u4").astype(np.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def encode(values, fmt):
    """Array -> bytes in the named format; blocks run along the last axis."""
    if fmt == "f32":
        return np.ascontiguousarray(values, "<f4").tobytes()
    if fmt == "f16":
        return np.ascontiguousarray(values, "<f2").tobytes()
    if fmt == "bf16":
        return _encode_bf16(values).tobytes()
    if fmt == "q8_0":
        return _quantize_q8_0(values).tobytes()
    if fmt == "q4_0":
        return _quantize_q4_0(values).tobytes()
    if fmt in _K_CODECS:
        return _K_CODECS[fmt][0](values).tobytes()
    raise GgufError(f"weight format '{fmt}' is not one of {', '.join(FORMATS)}")


def decode(raw, fmt, shape):
    """Bytes in the named format -> float64 array of that shape; exact."""
    if fmt not in FORMATS:
        raise GgufError(f"weight format '{fmt}' is not one of {', '.join(FORMATS)}")
    raw = np.frombuffer(raw, np.uint8)
    if fmt == "f32":
        values = raw.view("<f4").astype(np.float64)
    elif fmt == "f16":
        values = raw.view("<f2").astype(np.float64)
    elif fmt == "bf16":
        values = (raw.view("<u2").astype("<u4") << 16).view("<f4").astype(np.float64)
    else:
        codecs = {"q8_0": _dequantize_q8_0, "q4_0": _dequantize_q4_0}
        codecs.update((name, codec[1]) for name, codec in _K_CODECS.items())
        values = codecs[fmt](raw.reshape(-1, FORMATS[fmt][2]))
    return values.reshape(shape)


def byte_size(shape, fmt):
    """Bytes that a tensor of this shape takes, without padding."""
    _, elements, size, _ = FORMATS[fmt]
    if shape and shape[-1] % elements:
        raise GgufError(f"rows of {shape[-1]} elements cannot be cut into blocks of {elements} ({fmt})")
    count = 1
    for extent in shape:
        count *= extent
    return count // elements * size


# --- writer ---------------------------------------------------------------------------------------------------------


def _string(text):
    raw = text.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def _metadata_value(kind, value):
    """kind is a key of SCALARS, "string", or either with "[]" behind it."""
    if kind.endswith("[]"):
        element = kind[:-2]
        number = STRING if element == "string" else SCALARS[element][0]
        if element == "string":
            body = b"".join(map(_string, value))
        else:
            body = struct.pack(f"<{len(value)}{SCALARS[element][1]}", *value)
        return struct.pack("<IIQ", ARRAY, number, len(value)) + body
    if kind == "string":
        return struct.pack("<I", STRING) + _string(value)
    number, fmt = SCALARS[kind]
    return struct.pack(f"<I{fmt}", number, value)


def write(path, metadata, tensors, version=3):
    """Writes a file.

    metadata: key -> (kind, value), e.g. {"llama.block_count": ("u32", 6), "tokenizer.ggml.tokens": ("string[]", [..])}.
    tensors: list of (name, array, format name) in file order.
    """
    infos, bodies, offset = [], [], 0
    for name, values, fmt in tensors:
        body = encode(values, fmt)
        assert len(body) == byte_size(values.shape, fmt)
        dims = values.shape[::-1]
        infos.append(_string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, FORMATS[fmt][0], offset))
        padding = -len(body) % DEFAULT_ALIGNMENT
        bodies.append(body + bytes(padding))
        offset += len(body) + padding
    head = MAGIC + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, (kind, value) in metadata.items():
        head += _string(key) + _metadata_value(kind, value)
    head += b"".join(infos)
    with open(path, "wb") as file:
        file.write(head + bytes(-len(head) % DEFAULT_ALIGNMENT))
        for body in bodies:
            file.write(body)


# --- reader ---------------------------------------------------------------------------------------------------------


class _Cursor:
    """Reads little-endian values one behind the other from a bytes-like object."""

    def __init__(self, data):
        self._data = data
        self.position = 0

    def bytes(self, size):
        end = self.position + size
        if end > len(self._data):
            raise GgufError(f"the file ends at byte {len(self._data)}; {size} bytes asked at {self.position}")
        raw = self._data[self.position : end]
        self.position = end
        return raw

    def unpack(self, fmt):
        return struct.unpack(f"<{fmt}", self.bytes(struct.calcsize(f"<{fmt}")))

    def string(self):
        (size,) = self.unpack("Q")
        return bytes(self.bytes(size)).decode("utf-8", errors="replace")

    def value(self, number):
        if number == STRING:
            return self.string()
        if number == ARRAY:
            element, count = self.unpack("IQ")
            if element in SCALARS_BY_NUMBER:
                return list(self.unpack(f"{count}{SCALARS_BY_NUMBER[element][1]}"))
            return [self.value(element) for _ in range(count)]
        if number not in SCALARS_BY_NUMBER:
            raise GgufError(f"metadata type {number} at byte {self.position} is unknown")
        return self.unpack(SCALARS_BY_NUMBER[number][1])[0]


@dataclasses.dataclass
class TensorInfo:
    name: str
    shape: tuple  # numpy order
    fmt: str
    offset: int  # from the start of the file


class GgufFile:
    """A file that was read: `metadata` (key -> value), `infos` (name -> TensorInfo), `tensor(name)` as float64."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self._data = memoryview(file.read())
        cursor = _Cursor(self._data)
        magic = bytes(cursor.bytes(4))
        if magic != MAGIC:
            raise GgufError(f"{path} begins with {magic!r}, not with {MAGIC!r}")
        (self.version,) = cursor.unpack("I")
        if self.version not in (2, 3):
            raise GgufError(f"{path} is GGUF version {self.version}; versions 2 and 3 are read")
        tensor_count, metadata_count = cursor.unpack("QQ")
        self.metadata = {}
        for _ in range(metadata_count):
            key = cursor.string()
            (number,) = cursor.unpack("I")
            self.metadata[key] = cursor.value(number)
        relative = [self._read_info(cursor) for _ in range(tensor_count)]
        alignment = self.metadata.get("general.alignment", DEFAULT_ALIGNMENT)
        start = -(-cursor.position // alignment) * alignment
        self.infos = {i.name: dataclasses.replace(i, offset=start + i.offset) for i in relative}

    @staticmethod
    def _read_info(cursor):
        name = cursor.string()
        (dimensions,) = cursor.unpack("I")
        shape = cursor.unpack(f"{dimensions}Q")[::-1]
        number, offset = cursor.unpack("IQ")
        if number not in FORMATS_BY_NUMBER:
            raise GgufError(f"tensor '{name}' has ggml type {number}; {', '.join(FORMATS)} are read")
        return TensorInfo(name, shape, FORMATS_BY_NUMBER[number], offset)

    def tensor(self, name):
        if name not in self.infos:
            raise GgufError(f"there is no tensor '{name}'")
        info = self.infos[name]
        end = info.offset + byte_size(info.shape, info.fmt)
        if end > len(self._data):
            raise GgufError(f"tensor '{name}' ends at byte {end}; the file ends at {len(self._data)}")
        return decode(self._data[info.offset : end], info.fmt, info.shape)


# --- vocabulary -----------------------------------------------------------------------------------------------------

UNK_ID, BOS_ID, EOS_ID, FIRST_BYTE_ID = 0, 1, 2, 3


def spm_vocabulary(pieces):
    """Tokenizer metadata of type `llama` (SentencePiece): <unk>, <s>, </s>, 256 byte tokens, then the pieces.

    A piece's score falls with its place, as SentencePiece's do: an earlier piece is merged first.
    """
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + list(pieces)
    special = FIRST_BYTE_ID + 256
    return {
        "tokenizer.ggml.model": ("string", "llama"),
        "tokenizer.ggml.tokens": ("string[]", tokens),
        "tokenizer.ggml.scores": ("f32[]", [0.0] * special + [-float(i) for i in range(len(pieces))]),
        "tokenizer.ggml.token_type": (
            "i32[]",
            [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(pieces),
        ),
        "tokenizer.ggml.bos_token_id": ("u32", BOS_ID),
        "tokenizer.ggml.eos_token_id": ("u32", EOS_ID),
        "tokenizer.ggml.unknown_token_id": ("u32", UNK_ID),
        "tokenizer.ggml.add_bos_token": ("bool", True),
        "tokenizer.ggml.add_eos_token": ("bool", False),
        "tokenizer.ggml.add_space_prefix": ("bool", False),
    }


class CharacterTokenizer:
    """Encodes text for a vocabulary whose pieces are all single characters; what is not a piece becomes its bytes."""

    def __init__(self, tokens):
        self._tokens = tokens
        self._ids = {token: i for i, token in enumerate(tokens)}

    def encode(self, text):
        """Token ids without BOS."""
        ids = []
        for character in text.replace(" ", SPACE):
            if character in self._ids:
                ids.append(self._ids[character])
            else:
                ids += [FIRST_BYTE_ID + byte for byte in character.encode("utf-8")]
        return ids

    def decode(self, ids):
        """Text of the ids; control tokens give nothing."""
        raw = b""
        for i in ids:
            if i >= FIRST_BYTE_ID + 256:
                raw += self._tokens[i].encode("utf-8")
            elif i >= FIRST_BYTE_ID:
                raw += bytes([i - FIRST_BYTE_ID])
        return raw.decode("utf-8", errors="replace").replace(SPACE, " ")


def llama_metadata(
    name, fmt, *, context, embd, layers, ff, heads, kv_heads, vocab, rope_base=10000.0, eps=1e-5, arch="llama", head_dim=None
):
    """The keys a file of the Llama family needs beside its tokenizer."""
    keys = {
        "context_length": ("u32", context),
        "embedding_length": ("u32", embd),
        "block_count": ("u32", layers),
        "feed_forward_length": ("u32", ff),
        "attention.head_count": ("u32", heads),
        "attention.head_count_kv": ("u32", kv_heads),
        "attention.layer_norm_rms_epsilon": ("f32", eps),
        "rope.dimension_count": ("u32", head_dim or embd // heads),
        "rope.freq_base": ("f32", rope_base),
        "vocab_size": ("u32", vocab),
    }
    if head_dim:
        keys["attention.key_length"] = keys["attention.value_length"] = ("u32", head_dim)
    return {
        "general.architecture": ("string", arch),
        "general.name": ("string", name),
        "general.file_type": ("u32", FORMATS[fmt][3]),
        "general.alignment": ("u32", DEFAULT_ALIGNMENT),
        **{f"{arch}.{key}": value for key, value in keys.items()},
    }
