#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of `rapt bench --html` in Chromium: whether its charts can be read at a desk and on a
phone, in light and in dark.

Needs what test_page.py needs, and skips itself or fails as that does. RAPT_COMMAND is the command.
"""

import os
import pathlib
import subprocess
import tempfile
import unittest

from test_page import main, start_browser

WIDTHS = 1280, 375
SMALLEST = 9  # pixels of a letter on the screen
CONTRAST = 4.5  # WCAG AA

# The boxes of elements, in pixels of the screen.
BOXES = """
return [...document.querySelectorAll(arguments[0])].map(e => {
    const r = e.getBoundingClientRect(), s = e.closest('svg').getBoundingClientRect();
    return {text: e.textContent, left: r.left, right: r.right, top: r.top, bottom: r.bottom,
            svg: {left: s.left, right: s.right, top: s.top, bottom: s.bottom},
            chart: [...document.querySelectorAll('svg')].indexOf(e.closest('svg')),
            size: parseFloat(getComputedStyle(e).fontSize) * s.width
                / e.closest('svg').viewBox.baseVal.width};
});
"""

# The least contrast of texts in charts with the card that they are on.
LEAST_CONTRAST = """
const light = c => c.match(/\\d+/g).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0.05);
return Math.min(...[...document.querySelectorAll('svg text, li')].map(e => {
    const ink = e.closest('svg') ? getComputedStyle(e).fill : getComputedStyle(e).color;
    const a = light(ink), b = light(getComputedStyle(e.closest('figure')).backgroundColor);
    return Math.max(a, b) / Math.min(a, b);
}));
"""


def overlap(a, b):
    return (a["left"] < b["right"] and b["left"] < a["right"] and a["top"] < b["bottom"]
            and b["top"] < a["bottom"])


class BenchPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = pathlib.Path(cls.folder.name) / "page.html"
        command = [os.environ["RAPT_COMMAND"], "bench", "roofline", "--isa", "all",
                   "--threads", "1,2", "--quick", "--time", "0.01", "--html", cls.path,
                   "--case", "minilm-32,minilm-128,minilm-b32-128,bert-base-128,vit-b16-197"]
        subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        cls.driver = start_browser()

    @classmethod
    def tearDownClass(cls):
        cls.driver.quit()
        cls.folder.cleanup()

    def views(self):
        """Opens the page in each width and scheme."""
        for width in WIDTHS:
            for scheme in "light", "dark":
                metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
                media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
                self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
                self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
                self.driver.get(self.path.as_uri())
                yield width

    def test_fits_any_width(self):
        for width in self.views():
            self.assertLessEqual(
                self.driver.execute_script("return document.documentElement.scrollWidth"), width)

    def test_texts_are_large_and_inside_their_charts(self):
        for _ in self.views():
            texts = self.driver.execute_script(BOXES, "svg text")
            self.assertGreater(len(texts), 100)
            for text in texts:
                self.assertGreaterEqual(text["size"], SMALLEST, text)
                self.assertGreaterEqual(text["left"], text["svg"]["left"] - 1, text)
                self.assertLessEqual(text["right"], text["svg"]["right"] + 1, text)
                self.assertGreaterEqual(text["top"], text["svg"]["top"] - 1, text)
                self.assertLessEqual(text["bottom"], text["svg"]["bottom"] + 1, text)

    def test_numbers_of_rooflines_dont_overlap(self):
        for _ in self.views():
            numbers = self.driver.execute_script(BOXES, "text.number")
            self.assertGreater(len(numbers), 5)
            # A line of text is higher than its digits.
            for number in numbers:
                number["top"] += 0.2 * number["size"]
                number["bottom"] -= 0.2 * number["size"]
            for i, number in enumerate(numbers):
                for other in numbers[:i]:
                    self.assertFalse(number["chart"] == other["chart"] and overlap(number, other),
                                     f"{number} {other}")

    def test_texts_stand_out(self):
        for _ in self.views():
            self.assertGreaterEqual(self.driver.execute_script(LEAST_CONTRAST), CONTRAST)

    def test_needs_nothing_but_itself(self):
        self.driver.get(self.path.as_uri())
        resources = "return performance.getEntriesByType('resource').length"
        self.assertEqual(self.driver.execute_script(resources), 0)
        self.assertEqual(self.driver.get_log("browser"), [])


if __name__ == "__main__":
    main()
