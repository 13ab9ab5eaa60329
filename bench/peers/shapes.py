# SPDX-License-Identifier: Apache-2.0
"""The problems, named and written as `rapt bench` does."""

import dataclasses
import re

import numpy as np


@dataclasses.dataclass(frozen=True)
class Shape:
    """B,Hq,Hkv,Sq,Skv,D and the flags; causal aligns the last query with the last key."""

    name: str
    batch: int
    q_heads: int
    kv_heads: int
    queries: int
    keys: int
    dim: int
    causal: bool = False
    window: int = 0  # a causal query's own key and those before it, together; 0 for all
    softcap: float = 0.0
    alibi: bool = False
    cold: bool = False  # keys and values come from memory

    @property
    def group(self):
        return self.q_heads // self.kv_heads

    @property
    def q_offset(self):
        return self.keys - self.queries if self.causal else 0

    @property
    def decode(self):
        """Bound by the memory: one query, which sees all keys."""
        return self.queries == 1 and not self.window

    @property
    def plainly_causal(self):
        """What libraries call causal: the first query aligned with the first key."""
        return self.causal and not self.window and self.queries == self.keys

    def text(self):
        """What parse() makes it of."""
        flags = [name for name in ("causal", "alibi", "cold") if getattr(self, name)]
        flags += [f"window={self.window}"] if self.window else []
        flags += [f"softcap={self.softcap:g}"] if self.softcap else []
        sizes = (self.batch, self.q_heads, self.kv_heads, self.queries, self.keys, self.dim)
        return ",".join([*map(str, sizes), *flags])

    def scores(self):
        """How many scores of one head exist."""
        if not self.causal:
            return self.queries * self.keys
        seen = np.arange(self.q_offset + 1, self.keys + 1)
        return int(np.minimum(seen, self.window or self.keys).sum())

    def flops(self):
        return 4 * self.dim * self.batch * self.q_heads * self.scores()

    def kv_bytes(self, item):
        return 2 * self.batch * self.kv_heads * self.keys * self.dim * item

    def mask(self):
        """(queries, keys), true where a query attends a key; None if it attends all."""
        if not self.causal:
            return None
        query = self.q_offset + np.arange(self.queries)[:, None]
        key = np.arange(self.keys)
        ok = key <= query
        return ok & (key > query - self.window) if self.window else ok

    def slopes(self):
        """The slopes of ALiBi, a geometric sequence as for a power of two of heads."""
        return (2.0 ** (-8 * np.arange(1, self.q_heads + 1) / self.q_heads)).astype(np.float32)

    def options(self):
        """What the oracle and rapt.attention() are told."""
        return {
            "causal": self.causal,
            "q_offset": self.q_offset,
            "window": (self.window - 1, -1) if self.window else None,
            "softcap": self.softcap or None,
            "alibi": self.slopes() if self.alibi else None,
        }


TABLE = """
minilm-32                1,12,12,32,32,32
minilm-128               1,12,12,128,128,32
minilm-b32-128           32,12,12,128,128,32
bert-base-128            1,12,12,128,128,64
bert-base-512            1,12,12,512,512,64
bert-base-b8-128         8,12,12,128,128,64
vit-b16-197              1,12,12,197,197,64
sd15-4096-d40            2,8,8,4096,4096,40
sd15-1024-d80            2,8,8,1024,1024,80
sd15-256-d160            2,8,8,256,256,160
sd15-cross-d40           2,8,8,4096,77,40
whisper-1500             1,20,20,1500,1500,64
whisper-cross            1,20,20,1,1500,64,cold
gpt2-xl-1024             1,25,25,1024,1024,64,causal
llama3-8b-512            1,32,8,512,512,128,causal
llama3-8b-2048           1,32,8,2048,2048,128,causal
llama3-8b-decode-4k      1,32,8,1,4096,128,cold
llama3-8b-decode-4k-warm 1,32,8,1,4096,128
mistral-chunk-window     1,32,8,256,8192,128,window=4096
qwen2.5-0.5b-2048        1,14,2,2048,2048,64,causal
qwen2.5-0.5b-decode-8k   1,14,2,1,8192,64,cold
qwen2.5-1.5b-2048        1,12,2,2048,2048,128,causal
qwen2.5-1.5b-decode-8k   1,12,2,1,8192,128,cold
gemma2-2b-2048           1,8,4,2048,2048,256,causal,softcap=50
bloom-560m-2048          1,16,16,2048,2048,64,causal,alibi
phi3-mini-2048           1,32,32,2048,2048,96,causal
falcon-7b-2048           1,71,1,2048,2048,64,causal
"""

# Not among those that are timed if nothing is asked for.
ASKED = {
    "minilm-b32-128",
    "bert-base-b8-128",
    "qwen2.5-1.5b-decode-8k",
    "qwen2.5-1.5b-2048",
    "bloom-560m-2048",
    "phi3-mini-2048",
    "falcon-7b-2048",
}
QUICK = ["minilm-128", "bert-base-512", "llama3-8b-512", "llama3-8b-decode-4k"]

FORM = "B,Hq,Hkv,Sq,Skv,D[,causal][,window=N][,softcap=X][,alibi][,cold], Hq a multiple of Hkv"


def parse(text, name=None):
    """A shape from its text; ValueError says what was expected."""
    numbers = re.match(r"((?:[1-9]\d*,){5}[1-9]\d*)(?:,|$)", text)
    if not numbers:
        raise ValueError(f"found {text}, expected {FORM}")
    sizes = [int(n) for n in numbers[1].split(",")]
    flags = {}
    for flag in filter(None, text[numbers.end() :].split(",")):
        key, _, value = flag.partition("=")
        if flag in ("causal", "alibi", "cold"):
            flags[flag] = True
        elif key == "window" and re.fullmatch(r"[1-9]\d*", value):
            flags.update(window=int(value), causal=True)
        elif key == "softcap" and re.fullmatch(r"\d+(\.\d+)?", value) and float(value) > 0:
            flags["softcap"] = float(value)
        else:
            raise ValueError(f"{text}: found {flag}, expected {FORM}")
    shape = Shape(name or text, *sizes, **flags)
    if shape.q_heads % shape.kv_heads or (shape.causal and shape.queries > shape.keys):
        raise ValueError(f"found {text}, expected {FORM}, and no more causal queries than keys")
    return shape


SHAPES = {name: parse(text, name) for name, text in map(str.split, TABLE.strip().splitlines())}


def select(words):
    """Shapes by names, starts of names up to a dash, or "all"; ValueError says which is none."""
    chosen = {}
    for word in words:
        found = [SHAPES[word]] if word in SHAPES else []
        found = found or [s for n, s in SHAPES.items() if n.startswith(word + "-") or word == "all"]
        if not found:
            raise ValueError(f"found {word}, expected a name or the start of one, or all")
        chosen.update((shape.name, shape) for shape in found)
    return list(chosen.values())


def usual(quick):
    return [SHAPES[n] for n in QUICK] if quick else [s for n, s in SHAPES.items() if n not in ASKED]
