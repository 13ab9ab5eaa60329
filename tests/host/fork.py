# SPDX-License-Identifier: Apache-2.0
"""fork.py FIRST WHEN: OpenMP of a library of the host's gets threads, then the process forks.

FIRST is torch, or a library with use_openmp(). WHEN is when rapt is loaded: before the fork or
after it. The children have to compute what the parent does.
"""

import ctypes
import multiprocessing
import sys

import numpy as np

first, when = sys.argv[1:]
q = np.random.default_rng(1).standard_normal((1, 8, 300, 64)).astype(np.float32)


def start_openmp():
    if first == "torch":
        import torch

        torch.set_num_threads(4)
        x = torch.ones(2000, 2000)
        return float((x @ x).sum())
    return ctypes.CDLL(first).use_openmp(4)


def compute(threads):
    import rapt

    return rapt.attention(q, q, q, threads=threads).tobytes()


def main():
    start_openmp()
    expected = compute(1) if when == "before" else None
    if expected is not None and compute(4) != expected:
        return "the parent's threads change the result"
    with multiprocessing.get_context("fork").Pool(3) as pool:
        results = pool.map_async(compute, [1, 4, 2, 4]).get(120)
    if any(result != (expected or results[0]) for result in results):
        return "the children's results differ"
    return None if compute(4) == results[0] else "the parent's result differs"


if __name__ == "__main__":
    sys.exit(main())
