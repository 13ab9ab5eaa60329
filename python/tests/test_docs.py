# SPDX-License-Identifier: Apache-2.0
"""Every block of Python in the guide runs, in order, as a reader would type it."""

import contextlib
import importlib.util
import io
import pathlib
import re
import unittest

DOCS = pathlib.Path(__file__).parents[2] / "docs"
NEEDS = re.compile(r"^(?:import|from) (\w+)", re.M)


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


class Guide(unittest.TestCase):
    def run_page(self, page):
        names, ran = {"__name__": "guide"}, 0
        for block in blocks(page):
            missing = [m for m in NEEDS.findall(block) if not importlib.util.find_spec(m)]
            if missing:
                continue
            with self.subTest(block=block), contextlib.redirect_stdout(io.StringIO()):
                exec(compile(block, str(page), "exec"), names)
            ran += 1
        return ran

    def test_blocks(self):
        pages = sorted(DOCS.glob("python*.md"))
        self.assertGreater(sum(map(self.run_page, pages)), 4)


if __name__ == "__main__":
    unittest.main()
