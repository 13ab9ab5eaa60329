# SPDX-License-Identifier: Apache-2.0
"""The same numbers for every library, and what has to come out."""

import pathlib
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python/tests"))

import oracle  # noqa: E402

ITEM = {"f32": 4, "f16": 2, "bf16": 2}

# The largest error on a row against its largest element. A bf16 has 8 bits, and libraries round
# weights and sums to it, too.
BOUND = {"f32": 1e-4, "f16": 1e-2, "bf16": 5e-2}

ROWS = 24


def rounded(array, dtype):
    """Float32 numbers that are exact in the type."""
    if dtype == "f16":
        return array.astype(np.float16).astype(np.float32)
    if dtype == "bf16":
        bits = array.view(np.uint32)
        bits += 0x7FFF + ((bits >> 16) & 1)
        bits &= 0xFFFF0000
    return array


def make(shape, dtype):
    """q, k and v in (batch, head, position, channel), as float32; the same in every process."""
    rng = np.random.default_rng([shape.batch, shape.q_heads, shape.queries, shape.keys, shape.dim])
    sizes = [(shape.q_heads, shape.queries), (shape.kv_heads, shape.keys)]
    return [
        rounded(rng.standard_normal((shape.batch, *size, shape.dim), np.float32), dtype)
        for size in (sizes[0], sizes[1], sizes[1])
    ]


def error(shape, q, k, v, out):
    """The largest error of sampled rows, as a part of each row's largest element."""
    expected = (shape.batch, shape.q_heads, shape.queries, shape.dim)
    if out.shape != expected:
        return float("inf")
    rng = np.random.default_rng(1)
    most = 0.0
    for n in range(ROWS):
        b, h, i = (int(rng.integers(size)) for size in expected[:3])
        i = (0, expected[2] - 1)[n] if n < 2 else i
        at = slice(h // shape.group, h // shape.group + 1)
        options = shape.options()
        options["q_offset"] += i
        if options["alibi"] is not None:
            options["alibi"] = options["alibi"][h : h + 1]
        row = oracle.attention(
            q[b : b + 1, h : h + 1, i : i + 1], k[b : b + 1, at], v[b : b + 1, at], **options
        )[0].ravel()
        apart = np.abs(out[b, h, i] - row).max() / np.abs(row).max()
        most = max(most, float(apart) if np.isfinite(apart) else float("inf"))
    return most
