#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Pages of rapt.show() in Chromium: frames of a notebook, two texts, long texts, windows, tokens.

browser.py says what it needs; NumPy, too. RAPT_LIBRARY is the library.
"""

import sys

from browser import ActionChains, BrowserCase, By, Keys, main

try:
    import numpy as np
except ImportError:
    print("missing: NumPy")
    sys.exit(1 if "--required" in sys.argv else 77)

import rapt

SOURCE = ["▁The", "▁old", "▁cat", "▁sat", "<0x0A>", "</s>"]
TARGET = ["Le", "Ġvieux", "Ġch", "at"]
rng = np.random.default_rng(5)


def weights(*shape):
    numbers = np.exp(2 * rng.standard_normal(shape))
    return numbers / numbers.sum(-1, keepdims=True)


class ShownPage(BrowserCase):
    @classmethod
    def make_pages(cls, folder):
        cls.cross = weights(3, 4, 6)
        cross = rapt.show([cls.cross, None, cls.cross[:2]], SOURCE, query_tokens=TARGET)
        cross.save(folder / "cross.html")
        q, k = rng.standard_normal((2, 1, 3000, 4)).astype(np.float32)
        rapt.show(q=q, k=k, causal=True, window=(500, None)).save(folder / "long.html")
        q, k = rng.standard_normal((2, 12, 4)).astype(np.float32)
        chunk = rapt.show(q=q[8:], k=k, tokens=list("abcdefghijkl"), causal=True, window=(2, 0))
        chunk.save(folder / "chunk.html")
        frames = "".join(page._repr_html_() for page in (cross, chunk))
        notebook = f"<!doctype html><link rel=icon href='data:,'><p>A notebook</p>{frames}"
        (folder / "notebook.html").write_text(notebook, encoding="utf-8")

    def test_two_texts(self):
        self.open("cross")
        cells = self.texts(".cell .caption span:first-child")
        self.assertEqual(cells, ["0·0", "0·1", "0·2", "2·0", "2·1"])
        self.assertEqual(self.texts(".group h2"), ["Layer 0", "Layer 2"])
        self.assertIn("5 heads, 2 layers", self.find("#model").text)
        self.assertIn("as they were given", self.find("#facts").text)
        self.assertFalse(self.find("#views").is_displayed())
        self.assertEqual(self.texts("#texts p"), ["Le vieux chat → The old cat sat ␊ </s>"])
        self.find('.cell[data-head="4"]').click()
        self.until("!document.getElementById('head').hidden")
        self.assertEqual(self.find("#title").text, "Layer 2, head 1")
        self.assertEqual(self.texts(".queries .name"), ["Le", "␣vieux", "␣ch", "at"])
        self.assertEqual(self.texts(".keys .name"), ["␣The", "␣old", "␣cat", "␣sat", "␊", "</s>"])
        self.assertIn("4 × 6 weights", self.find(".readout").text)
        found = self.run_script("return [...views[0].weights.values]")
        np.testing.assert_allclose(found, self.cross[1].ravel(), rtol=6e-4)

    def test_words_of_two_texts_are_joined(self):
        self.open("cross", "#0.0")
        self.press("m")
        self.assertEqual(self.texts(".queries .name"), ["Le", "vieux", "chat"])
        self.assertEqual(self.texts(".keys .name"), ["The", "old", "cat", "sat", "␊", "</s>"])
        found = self.run_script("return [...views[0].weights.values]")
        expected = np.stack([*self.cross[0, :2], self.cross[0, 2:].mean(0)])
        np.testing.assert_allclose(found, expected.ravel(), rtol=6e-4)

    def test_matrix_and_words_of_two_texts_go_to_their_ends(self):
        self.open("cross", "#0.0")
        self.press(Keys.END, Keys.ARROW_RIGHT)
        self.assertEqual(self.find('.keys [aria-selected="true"] .name').text, "␣sat")
        self.press(Keys.END, Keys.ARROW_LEFT)
        self.assertEqual(self.find('.queries [aria-selected="true"] .name').text, "at")
        self.press(Keys.TAB, Keys.TAB, Keys.ARROW_DOWN, *[Keys.ARROW_RIGHT] * 9)
        self.assertTrue(self.find(".readout").text.startswith("“at” to “</s>”: 0"))

    def test_search_finds_words_of_both_texts(self):
        self.open("cross")
        self.press("/")
        self.press("at")
        self.assertEqual(self.texts("mark"), ["chat", "cat", "sat"])

    def test_a_window_and_a_chunk(self):
        self.open("chunk", "#0.0")
        self.assertEqual(self.texts(".queries .name"), list("ijkl"))
        self.assertEqual(len(self.texts(".keys .name")), 12)
        self.hover(self.word("queries", "j"))
        seen = self.run_script(
            "return [...document.querySelectorAll('.keys .word')]"
            ".filter(w => w.lastChild.textContent).map(w => w.firstChild.textContent)"
        )
        self.assertEqual(seen, ["h", "i", "j"])
        sums = self.run_script(
            "return [0, 1, 2, 3].map(q => views[0].weights.keys.reduce("
            "(sum, _, k) => sum + views[0].weights.at(q, k), 0))"
        )
        np.testing.assert_allclose(sums, 1, atol=1e-3)
        self.assertIn("Computed by rapt", self.find("#facts").get_attribute("textContent"))

    def test_a_long_text_is_of_groups(self):
        self.open("long")
        self.assertIn("A weight is of 2 queries and 2 keys", self.find("#legend").text)
        self.until("waiting.size === 0")
        self.find(".cell").click()
        self.until("!document.getElementById('head').hidden")
        self.assertIn("1500 × 1500 weights", self.find(".readout").text)
        self.press(Keys.END)
        self.assertTrue(self.find(".readout").text.startswith("“2998 2998” attends to"))
        self.assertFalse(self.find("#merge-label").is_displayed())
        sums = self.run_script(
            "const w = views[0].weights; return [0, 700, 1499].map(q => "
            "w.keys.reduce((sum, _, k) => sum + w.at(q, k), 0))"
        )
        np.testing.assert_allclose(sums, 1, atol=1e-3)
        self.assertEqual(
            self.run_script("return [0, 700, 1499].map(q => views[0].weights.sights[q])"),
            [[0, 0], [450, 700], [1249, 1499]],
        )
        self.assertLessEqual(self.run_script("return views[0].lines.all.length"), 3000)

    def test_frames_of_a_notebook_do_not_meet(self):
        self.open("notebook")
        frames = self.driver.find_elements(By.TAG_NAME, "iframe")
        self.assertEqual(len(frames), 2)
        self.driver.switch_to.frame(frames[0])
        self.until("waiting.size === 0 && inSight.size > 0")
        ActionChains(self.driver).click(self.find('.cell[data-head="1"]')).perform()
        self.until("!document.getElementById('head').hidden")
        self.assertEqual(self.find("#title").text, "Layer 0, head 1")
        self.find("#back").click()
        self.assertTrue(self.find("#overview").is_displayed())
        self.find('.cell[data-head="2"]').click()
        self.driver.switch_to.default_content()
        self.driver.switch_to.frame(frames[1])
        self.assertTrue(self.find("#overview").is_displayed())
        self.assertEqual(len(self.texts(".cell")), 1)
        self.driver.switch_to.default_content()

    def test_fits_a_phone(self):
        self.resize(375, 700)
        for name, head in ("cross", "#0.1"), ("chunk", "#0.0"), ("cross", ""):
            self.open(name, head)
            width = "return document.documentElement.scrollWidth"
            self.assertLessEqual(self.run_script(width), 375)


if __name__ == "__main__":
    main()
