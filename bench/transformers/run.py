#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real models of transformers by eager, by sdpa and by rapt: the same text, the times, the bits.

bench/transformers/run.py minilm|gemma [--threads 1 2] [--types f32 bf16] [--lengths N ...]
    [--tokens N] [--rounds N] [--text N] [--bits]

Needs what scripts/get-model fetches, torch, transformers and gguf, and the library of
RAPT_LIBRARY. Implementations run in turns, in one process; each figure is the least of all rounds,
of processor time if there is one thread.
What they give is held against eager's before a time is shown. --text N compares N greedy tokens,
and --bits shows what attention gives alone, in a padded batch and in another cut of the prompt.
"""

import argparse
import sys

import measure
import models
import same
import torch

COLUMNS = (
    "ms, the least",
    "threads",
    *measure.IMPLEMENTATIONS,
    "sdpa / rapt",
    "attention in sdpa",
    "in rapt",
)


def arguments():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1])
    parser.add_argument("model", choices=("minilm", "gemma"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--types", nargs="+", choices=models.TYPES, default=["f32", "bf16"])
    parser.add_argument("--lengths", type=int, nargs="+")
    parser.add_argument("--tokens", type=int, default=12, help="decoded after each prompt")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--text", type=int, default=0, help="greedy tokens to compare")
    parser.add_argument("--bits", action="store_true")
    return parser.parse_args()


def row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(*cells):
    row(*cells)
    row(*["--"] + ["--:"] * (len(cells) - 1))


def times(model, tokens, options, name):
    """A table for a type: milliseconds, the ratio to sdpa's, and attention's share of the time."""
    for threads in options.threads:
        torch.set_num_threads(threads)
        for length in options.lengths:
            found = measure.turns(model, tokens[:, :length], options.tokens, options.rounds, name)
            for what, by in found.items():
                shares = [f"{by[i].share:.0%}" for i in ("sdpa", "rapt")]
                least = [by[i].seconds * 1e3 for i in measure.IMPLEMENTATIONS]
                row(
                    f"{what}, {length} tokens, {name}",
                    threads,
                    *[f"{ms:.2f}" for ms in least],
                    f"{least[1] / least[2]:.2f}",
                    *shares,
                )


def main():
    options = arguments()
    options.lengths = options.lengths or models.LENGTHS[options.model]
    if options.model == "minilm":
        options.tokens = 0
    try:
        with torch.inference_mode():
            for name in options.types:
                model, tokens = models.load(options.model, name, max(options.lengths))
                head(*COLUMNS)
                times(model, tokens, options, name)
                print()
                if name == "f32" and options.text:
                    same.text(model, tokens, options.lengths, options.text)
                if options.bits:
                    same.bits(model, tokens[:, : max(options.lengths)])
    except (models.Missing, measure.Different) as error:
        sys.exit(f"bench/transformers: {error}")


if __name__ == "__main__":
    main()
