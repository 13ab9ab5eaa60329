# SPDX-License-Identifier: Apache-2.0
"""That rapt gives eager's text, and the same bits to a sequence wherever it is."""

import time

import rapt.transformers
import torch
from measure import Different, using
from rapt.transformers._attention import attention
from rapt.transformers._pattern import Padding, Pattern
from transformers import AttentionInterface


def text(model, tokens, lengths, count):
    """Greedy tokens after prompts of some lengths."""
    for length in lengths:
        given, begin = {}, time.perf_counter()
        for name in ("eager", "rapt"):
            with using(model, name):
                given[name] = model.generate(
                    tokens[:, :length],
                    attention_mask=torch.ones_like(tokens[:, :length]),
                    max_new_tokens=count,
                    min_new_tokens=count,
                    do_sample=False,
                )[0, length:].tolist()
        pairs = zip(given["eager"], given["rapt"])
        equal = next((i for i, (a, b) in enumerate(pairs) if a != b), len(given["rapt"]))
        print(
            f"{equal} of {count} greedy tokens are eager's, {len(set(given['rapt']))} different "
            f"ones, after {length} tokens ({time.perf_counter() - begin:.0f} s)\n",
            flush=True,
        )
        if equal < count:
            raise Different(f"found another token after {equal}, expected eager's {count}")


def bits(model, tokens):
    """Every layer of a padded batch, against the same queries, keys and values by themselves."""
    length, pad = tokens.shape[1], tokens.shape[1] // 7
    batch = tokens.repeat(2, 1)
    for side in ("left", "right"):
        kept = torch.ones_like(batch)
        here = slice(pad, length) if side == "left" else slice(0, length - pad)
        kept[0] = 0
        kept[0, here] = 1
        layers = []

        def record(module, *inputs, **options):
            out = attention(module, *inputs, **options)
            layers.append(_equal(module, inputs, options, out[0], here))
            return out

        with rapt.transformers.use(model):
            AttentionInterface.register("rapt", record)
            try:
                model(batch, attention_mask=kept)
            finally:
                rapt.transformers.register()
        print(
            f"padded on the {side}: in {sum(alone for alone, _ in layers)} of {len(layers)} layers "
            f"attention has the bits that it has alone, in {sum(cut for _, cut in layers)} "
            "those of the prompt cut in four\n",
            flush=True,
        )
        if not all(alone and cut for alone, cut in layers):
            raise Different("found other bits, expected the same")


def _equal(module, inputs, options, out, here):
    query, key, value, mask = inputs
    q, k, v = (tensor[:1, :, here] for tensor in (query, key, value))
    length = q.shape[2]

    def cut(cuts):
        parts = []
        for a, b in zip(cuts, cuts[1:]):
            keys = b if mask.span[0] else length
            given = Pattern((1, 1, b - a, keys), mask.span, a, Padding(), mask.dense)
            parts.append(
                attention(module, q[:, :, a:b], k[:, :, :keys], v[:, :, :keys], given, **options)[0]
            )
        return torch.equal(torch.cat(parts, 1), out[:1, here])

    return cut((0, length)), cut((0, length // 5, length // 2, length - 1, length))
