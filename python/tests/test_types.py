# SPDX-License-Identifier: Apache-2.0
"""Signatures say what there is, and types hold under mypy --strict; examples in docstrings run."""

import doctest
import importlib
import inspect
import os
import pathlib
import pkgutil
import subprocess
import sys
import tempfile
import unittest

import rapt

try:
    import mypy
except ImportError:
    mypy = None

PACKAGE = pathlib.Path(rapt.__file__).parent
USER = """
import numpy as np
import rapt

q: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = np.zeros((1, 2, 3, 8), np.float32)
out = rapt.attention(q, q, q, causal=True, window=(2, None), kv_len=[3])
reveal_type(out)
result = rapt.attention(q, q, q, return_lse=True, weights_kind="masked")
plan = rapt.Plan(q, q, q, threads=1)
names: list[str] = rapt.isas()
text: str = plan.isa
print(out.shape, result.lse, plan.run(kv_len=2), plan.threads + 1, names, text)

cache = rapt.KVCache(2, 8, capacity=10, rope=rapt.Rope(8))
cache.append(q, q, sequences=[0])
seen = cache.attend(q, causal=True, window=(3, 0), top_k=2)
layer = rapt.MultiHeadAttention.xavier(32, heads=4, causal=True, rope=rapt.Rope(8))
lengths: list[int] = layer.new_cache(capacity=9).lengths
heads: list[list[rapt.HeadSummary]] = rapt.summarize(q, q, q, causal=True)
entropy: float = heads[0][0].entropy
print(seen, lengths, entropy, rapt.merge([q], [result.lse])[1])
"""
WRONG = """
import rapt
rapt.attention(1, 2, 3, casual=True)
rapt.attention(1, 2, 3, weights_kind="raw")
rapt.attention(1, 2, 3, causal="no")
rapt.KVCache(2, 8, capacity=10).attend(1, casual=True)
rapt.MultiHeadAttention.xavier(32, 4, windows=3)
rapt.summarize(1, 2, 3, return_lse=True)
"""


class Signatures(unittest.TestCase):
    def test_are_explicit(self):
        for thing in (rapt.attention, rapt.Plan, rapt.Plan.run):
            parameters = inspect.signature(thing).parameters.values()
            kinds = {parameter.kind for parameter in parameters}
            self.assertFalse(
                kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
            )
        attention, plan = (
            [(p.name, p.kind, p.default) for p in inspect.signature(thing).parameters.values()]
            for thing in (rapt.attention, rapt.Plan)
        )
        self.assertEqual(attention, plan)

    def test_all_is_there(self):
        for name in rapt.__all__:
            self.assertTrue(getattr(rapt, name).__doc__ or name == "library_path", name)


class Docstrings(unittest.TestCase):
    def test_examples(self):
        ran = 0
        for info in pkgutil.iter_modules([str(PACKAGE)]):
            try:
                module = importlib.import_module(f"rapt.{info.name}")
            except ImportError:  # torch or another that isn't here
                continue
            result = doctest.testmod(module)
            self.assertEqual(result.failed, 0, info.name)
            ran += result.attempted
        self.assertGreater(ran, 5)


@unittest.skipUnless(mypy, "mypy is not here")
class Mypy(unittest.TestCase):
    def run_mypy(self, *paths):
        command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", *map(str, paths)]
        environment = {**os.environ, "MYPYPATH": str(PACKAGE.parent)}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        return done.stdout + done.stderr

    def test_package_and_users(self):
        with tempfile.TemporaryDirectory() as folder:
            user, wrong = pathlib.Path(folder, "user.py"), pathlib.Path(folder, "wrong.py")
            user.write_text(USER, encoding="utf-8")
            wrong.write_text(WRONG, encoding="utf-8")
            text = self.run_mypy(PACKAGE, user, wrong)
        self.assertRegex(text, r"user.py:7: note: Revealed type is \"[^\n]*ndarray")
        errors = [line for line in text.splitlines() if ": error: " in line]
        self.assertTrue(all("wrong.py" in line for line in errors), text)
        for line in 3, 4, 5, 6, 7, 8:
            self.assertIn(f"wrong.py:{line}: error", text)


if __name__ == "__main__":
    unittest.main()
