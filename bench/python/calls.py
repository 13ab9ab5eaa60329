#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a call from Python costs beside its computation, in microseconds: least of many, in turns.

bench/python/calls.py [--rounds N], with the library of RAPT_LIBRARY. Each call's result is first
held against another way of computing it. torch's columns are there if torch is.
"""

import argparse
import time

import numpy as np
import rapt

try:
    import torch
except ImportError:
    torch = None

CALLS = 200  # of each kind, one after the other, between the others' turns


def form(kind, length=1):
    """q, k and v of one decode step of two small heads."""
    arrays = [np.ones((1, 2, n, 8), np.float32) for n in (1, length, length)]
    return [torch.from_numpy(x) for x in arrays] if kind == "torch" else arrays


def new_forms(kind):
    """A call that makes a new form each time, until there are no more of them."""
    waiting = [form(kind, n) for n in range(2, 2000)]

    def call():
        q, k, v = waiting.pop()
        return rapt.attention(q, k, v, threads=1)

    return call


def candidates(kind):
    q, k, v = form(kind)
    plan = rapt.Plan(q, k, v, threads=1)
    step = {"causal": True, "kv_len": 1, "q_offset": 0, "threads": 1}
    found = {
        "plan.run()": plan.run,
        "plan.run(q, k, v)": lambda: plan.run(q, k, v),
        "attention, form seen before": lambda: rapt.attention(q, k, v, threads=1),
        "attention, a decode step": lambda: rapt.attention(q, k, v, **step),
        "attention, a new form": new_forms(kind),
    }
    if kind == "torch":
        torch.set_num_threads(1)
        attend = torch.nn.functional.scaled_dot_product_attention
        found["torch's own attention"] = lambda: attend(q, k, v)
    for name, call in found.items():
        if abs(float(call()[0, 0, 0, 0]) - 1) > 1e-6:
            raise SystemExit(f"{name}: the result is wrong")
    return found


def least(call, best):
    calls = 1 if "new" in call.__qualname__ else CALLS
    for _ in range(CALLS // calls // 20 or 1):
        start = time.perf_counter()
        for _ in range(calls):
            call()
        best = min(best, (time.perf_counter() - start) / calls)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    rounds = min(parser.parse_args().rounds, 190)
    kinds = ["numpy"] + ["torch"] * (torch is not None)
    calls = {(kind, name): call for kind in kinds for name, call in candidates(kind).items()}
    best = dict.fromkeys(calls, 1e9)
    for _ in range(rounds):
        for key, call in calls.items():
            best[key] = least(call, best[key])
    print(f"{'':32}" + "".join(f"{kind:>8}" for kind in kinds))
    for name in dict.fromkeys(name for _, name in calls):
        row = [best.get((kind, name)) for kind in kinds]
        print(f"{name:32}" + "".join(f"{'' if x is None else f'{1e6 * x:.1f}':>8}" for x in row))


main()
