# SPDX-License-Identifier: Apache-2.0
"""Times of a model by several implementations of attention, in turns."""

import contextlib
import dataclasses
import time

import rapt.transformers
import torch
from transformers import AttentionInterface, DynamicCache

IMPLEMENTATIONS = ("eager", "sdpa", "rapt")
TOLERANCE = {"f32": 1e-4, "bf16": 0.05}  # of the largest number of eager's


def clock():
    """The processor's time with one thread, which other processes don't add to; else a watch's.

    It is the process's, for rapt makes a long call of the main thread on another one, which waits.
    """
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


class Different(Exception):
    """Implementations that give different results: no time says anything then."""


@dataclasses.dataclass
class Figure:
    """The least seconds of a step, and the share of attention in a run of their own."""

    seconds: float = float("inf")
    share: float = float("nan")


@contextlib.contextmanager
def using(model, name):
    """A model by an implementation, for as long as a block lasts."""
    before = model.config._attn_implementation
    if name == "rapt":
        with rapt.transformers.use(model):
            yield
        return
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextlib.contextmanager
def clocked(name):
    """Adds up the seconds within attention: a list of one number."""
    functions, spent = AttentionInterface._global_mapping, [0.0]
    function = functions[name]

    def timed(*args, **options):
        begin = clock()
        out = function(*args, **options)
        spent[0] += clock() - begin
        return out

    AttentionInterface.register(name, timed)
    try:
        yield spent
    finally:
        AttentionInterface.register(name, function)


def run(model, tokens, count):
    """A prompt, and so many greedy tokens after it: the seconds of each step, and what it gave."""
    cache = DynamicCache(config=model.config) if count else None
    options = {"past_key_values": cache, "logits_to_keep": 1} if count else {}
    seconds, given = [], []
    for _ in range(count + 1):
        begin = clock()
        result = model(tokens, **options)
        seconds.append(clock() - begin)
        given.append(result.logits[:, -1] if count else result.last_hidden_state)
        tokens = given[-1].argmax(-1, keepdim=True) if count else tokens
    return seconds, torch.cat(given)


def compare(found, expected, type_name, name):
    """Raises Different; the tokens that follow may differ in bf16, so only its prompt counts."""
    if type_name != "f32":
        found, expected = found[:1], expected[:1]
    most = float((found - expected).abs().max() / expected.abs().max())
    if most > TOLERANCE[type_name]:
        raise Different(f"{name}: found a difference of {most:.1e} to eager")


def turns(model, tokens, count, rounds, type_name):
    """For "prompt" and "token" each implementation's figure."""
    found = {name: {i: Figure() for i in IMPLEMENTATIONS} for name in ("prompt", "token")}
    expected = None
    for turn in range(rounds + 1):  # the first is for the caches, and for comparison
        for name in IMPLEMENTATIONS[turn % 3 :] + IMPLEMENTATIONS[: turn % 3]:
            with using(model, name):
                seconds, given = run(model, tokens, count)
                if turn == 0:
                    expected = given if expected is None else expected
                    compare(given, expected, type_name, name)
                    continue
                for what, least in (("prompt", seconds[0]), ("token", min(seconds[1:] or [0]))):
                    found[what][name].seconds = min(found[what][name].seconds, least)
    for name in IMPLEMENTATIONS[1:]:
        shares(model, tokens, count, name, found)
    if not count:
        del found["token"]
    return found


def shares(model, tokens, count, name, found):
    """Attention's share of a prompt, and of the tokens after it."""
    with using(model, name), clocked(name) as spent:
        begin = clock()
        cache = DynamicCache(config=model.config) if count else None
        options = {"past_key_values": cache, "logits_to_keep": 1} if count else {}
        model(tokens, **options)
        found["prompt"][name].share = spent[0] / (clock() - begin)
        if count:
            spent[0], begin = 0.0, clock()
            for _ in range(count):
                model(tokens[:, -1:], **options)
            found["token"][name].share = spent[0] / (clock() - begin)
