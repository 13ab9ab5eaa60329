#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of `rapt bench --html` in Chromium: whether its charts can be read at a desk and on a
phone, in light and in dark, whatever was measured.

browser.py says what it needs. RAPT_COMMAND is the command,
BENCH_PAGES the program that makes pages of made-up results.
"""

import os
import pathlib
import subprocess
import tempfile
import unittest

from browser import main, start_browser

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

# Where each bar ends, and where the text behind it begins.
BAR_ENDS = """
return [...document.querySelectorAll('svg g')].map(g => [
    Math.max(...[...g.querySelectorAll('rect')].map(r => r.getBoundingClientRect().right)),
    g.nextElementSibling.getBoundingClientRect().left]);
"""

# The numbers of threads below each plot of them.
THREADS = """
return [...document.querySelectorAll('.grid-of svg')].filter(svg => svg.querySelector('.ideal'))
    .map(svg => [...svg.querySelectorAll('text.middle')].map(e => e.textContent));
"""


def overlap(a, b):
    return (
        a["left"] < b["right"]
        and b["left"] < a["right"]
        and a["top"] < b["bottom"]
        and b["top"] < a["bottom"]
    )


def find_outside(boxes):
    """What leaves its chart by more than a pixel."""
    return [
        b
        for b in boxes
        if b["left"] < b["svg"]["left"] - 1
        or b["right"] > b["svg"]["right"] + 1
        or b["top"] < b["svg"]["top"] - 1
        or b["bottom"] > b["svg"]["bottom"] + 1
    ]


def find_overlaps(texts):
    """Texts of a chart that lie on each other. A line of text is higher than its digits."""
    charts = {}
    for text in texts:
        digits = {
            "top": text["top"] + 0.2 * text["size"],
            "bottom": text["bottom"] - 0.2 * text["size"],
        }
        charts.setdefault(text["chart"], []).append({**text, **digits})
    return [
        (a, b)
        for chart in charts.values()
        for i, a in enumerate(chart)
        for b in chart[:i]
        if overlap(a, b)
    ]


class BenchPage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = pathlib.Path(cls.folder.name)
        program = os.environ["BENCH_PAGES"]
        names = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout
        cls.names = names.splitlines()
        for name in cls.names:
            with open(cls.path / f"{name}.html", "wb") as file:
                subprocess.run([program, name], check=True, stdout=file)
        cls.driver = start_browser()
        cls.views = [
            view
            for width in WIDTHS
            for scheme in ("light", "dark")
            for view in cls.look(width, scheme)
        ]

    @classmethod
    def tearDownClass(cls):
        cls.driver.quit()
        cls.folder.cleanup()

    @classmethod
    def open(cls, name):
        cls.driver.get((cls.path / f"{name}.html").as_uri())

    @classmethod
    def look(cls, width, scheme):
        """What a reader of each page has in front of them."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        cls.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        cls.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        run = cls.driver.execute_script
        for name in cls.names:
            cls.open(name)
            yield {
                "name": f"{name}, {width} pixels, {scheme}",
                "least": 0 if name == "all wrong" else 10,
                "room": width - run("return document.documentElement.scrollWidth"),
                "texts": run(BOXES, "svg text"),
                "shapes": run(BOXES, "svg rect, svg circle, svg path"),
                "bars": run(BAR_ENDS),
                "contrast": run(LEAST_CONTRAST),
                "resources": run("return performance.getEntriesByType('resource').length"),
            }

    def test_fits_any_width(self):
        for view in self.views:
            self.assertGreaterEqual(view["room"], 0, view["name"])

    def test_texts_are_large_and_inside_their_charts(self):
        for view in self.views:
            texts = view["texts"]
            self.assertGreater(len(texts), view["least"], view["name"])
            self.assertEqual([t for t in texts if t["size"] < SMALLEST], [], view["name"])
            self.assertEqual(find_outside(texts), [], view["name"])

    def test_texts_dont_overlap(self):
        for view in self.views:
            self.assertEqual(find_overlaps(view["texts"]), [], view["name"])

    def test_shapes_are_inside_their_charts(self):
        for view in self.views:
            self.assertGreaterEqual(len(view["shapes"]), view["least"], view["name"])
            self.assertEqual(find_outside(view["shapes"]), [], view["name"])

    def test_bars_end_before_their_texts(self):
        self.assertGreater(sum(len(view["bars"]) for view in self.views), 0)
        for view in self.views:
            self.assertEqual([b for b in view["bars"] if b[0] > b[1]], [], view["name"])

    def test_texts_stand_out(self):
        for view in self.views:
            self.assertGreaterEqual(view["contrast"], CONTRAST, view["name"])

    def test_needs_nothing_but_itself(self):
        for view in self.views:
            self.assertEqual(view["resources"], 0, view["name"])
        self.assertEqual(self.driver.get_log("browser"), [])

    def test_points_have_numbers(self):
        for name, numbers in ("usual", 12), ("far below the limit", 12), ("wrong", 8):
            self.open(name)
            charts = {}
            for number in self.driver.execute_script(BOXES, "text.number"):
                charts.setdefault(number["chart"], []).append(number["text"])
            self.assertEqual(len(charts), 8, name)
            for found in charts.values():
                self.assertEqual(len(found), numbers, name)

    def test_the_most_threads_are_named(self):
        for name, last in ("many threads", "128"), ("most threads", "100k"), ("one core", "8"):
            self.open(name)
            for chart in self.driver.execute_script(THREADS):
                self.assertEqual(chart[0], "1", name)
                self.assertEqual(chart[-1], last, name)

    def test_what_the_command_writes(self):
        command = [
            os.environ["RAPT_COMMAND"],
            "bench",
            "roofline",
            "--threads",
            "1,2",
            "--quick",
            "--time",
            "0.01",
            "--html",
            self.path / "run.html",
            "--case",
            "minilm-32",
        ]
        subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.open("run")
        count = (
            "return ['.roofline svg', '.grid-of svg', 'tbody tr']"
            ".map(selector => document.querySelectorAll(selector).length)"
        )
        self.assertEqual(self.driver.execute_script(count), [2, 1, 2])
        self.assertEqual(self.driver.get_log("browser"), [])


if __name__ == "__main__":
    main()
