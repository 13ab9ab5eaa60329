#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of `rapt attend --html` in Chromium: what a reader can do with it, by mouse and by key.

browser.py says what it needs. RAPT_COMMAND is the command, LARGE_PAGE the program that makes pages
of so many tokens, layers and heads.
"""

import os
import subprocess

from browser import ActionChains, BrowserCase, By, Keys, main

NAMED_ROLES = {
    "button",
    "radio",
    "checkbox",
    "searchbox",
    "combobox",
    "gridcell",
    "listbox",
    "option",
    "application",
    "grid",
    "toolbar",
    "dialog",
}


class Page(BrowserCase):
    @classmethod
    def make_pages(cls, folder):
        for name, *chosen in ("one",), ("pieces", "--sentence=3"), ("two", "--beside=3"):
            command = [os.environ["RAPT_COMMAND"], "attend", *chosen, "--html"]
            subprocess.run([*command, folder / f"{name}.html"], check=True, stdout=subprocess.PIPE)
        for name, size in ("large", "12"), ("hostile", "2"):
            command = [os.environ["LARGE_PAGE"], "256", size, size]
            with open(folder / f"{name}.html", "wb") as file:
                subprocess.run(command, check=True, stdout=file)

    def test_draws_every_head_that_is_in_sight(self):
        self.open("one")
        self.assertEqual(len(self.driver.find_elements(By.CSS_SELECTOR, ".cell")), 72)
        self.until("waiting.size === 0 && inSight.size > 40")
        plain = self.run_script("""return [...inSight].filter(head => {
            const canvas = cells[head].querySelector("canvas");
            const {width, height} = canvas;
            const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
            return new Set(new Uint32Array(pixels.buffer)).size < 2; })""")
        self.assertEqual(plain, [])

    def test_click_opens_a_head_and_hover_shows_a_word(self):
        self.open("one")
        self.find('.cell[data-head="37"]').click()
        self.until("!document.getElementById('head').hidden")
        self.assertEqual(self.find("#title").text, "Layer 3, head 1")
        self.hover(self.word("queries", "it"))
        words = self.find(".readout").text.split()
        self.assertEqual(words[:4], ["“it”", "attends", "to", "animal"])
        self.assertEqual(f"{float(words[4]):.2f}", "0.68")
        numbers = [text for text in self.texts(".keys .number") if text]
        self.assertEqual(len(numbers), 16)
        self.assertIn(words[4], numbers)
        self.hover(self.word("keys", "animal"))
        self.assertIn("“animal” gets most from", self.find(".readout").text)
        self.hover(self.find("#title"))
        self.assertIn("16 × 16 weights", self.find(".readout").text)
        matrix = self.find(".matrix canvas")
        ActionChains(self.driver).move_to_element_with_offset(matrix, 0, 0).perform()
        self.assertRegex(self.find(".readout").text, "^“.+” to “.+”: 0")
        self.find("#back").click()
        self.assertTrue(self.find("#overview").is_displayed())
        self.driver.back()
        self.until("!document.getElementById('head').hidden")

    def test_keys_alone_reach_everything(self):
        self.open("one")
        for _ in range(20):
            self.press(Keys.TAB)
            if self.run_script("return document.activeElement.matches('.cell')"):
                break
        self.assertTrue(self.focused().startswith("Layer 0, head 0: "))
        self.assertTrue(self.find("#tip").is_displayed())
        self.press(Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
        self.assertTrue(self.focused().startswith("Layer 3, head 1: "))
        self.press(Keys.ENTER)
        self.until("!document.getElementById('head').hidden")
        self.press(*[Keys.ARROW_DOWN] * 3)
        self.assertEqual(self.find('.queries [aria-selected="true"] .name').text, "animal")
        self.press(Keys.ARROW_RIGHT, Keys.ARROW_UP)
        self.assertEqual(self.find('.keys [aria-selected="true"] .name').text, "the")
        self.press(Keys.ENTER)
        self.assertEqual(self.texts('[aria-selected="true"]'), [])
        self.press(Keys.TAB, Keys.ARROW_DOWN, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
        self.assertTrue(self.find(".readout").text.startswith("“the” to “the”: "))
        self.press("]")
        self.until("document.getElementById('title').textContent === 'Layer 3, head 2'")
        self.press("[", Keys.ESCAPE)
        self.until("!document.getElementById('overview').hidden")
        self.assertTrue(self.focused().startswith("Layer 3, head 1: "))
        self.press("?")
        self.assertTrue(self.find("#keys").is_displayed())
        self.press(Keys.ESCAPE)
        self.assertFalse(self.find("#keys").is_displayed())

    def test_search_marks_words_and_sorts_heads(self):
        self.open("pieces")
        self.press("/")
        self.press("readable")
        self.assertEqual(self.texts("mark"), ["unreadable"])
        self.assertEqual(self.find("#sort").get_attribute("value"), "search")
        scores = [float(text) for text in self.texts(".cell .score")]
        self.assertEqual(scores, sorted(scores, reverse=True))
        self.assertGreater(scores[0], scores[-1])
        self.press(Keys.ENTER, Keys.ENTER)
        self.until("!document.getElementById('head').hidden")
        self.assertEqual(self.texts(".keys .found .name"), ["un", "##rea", "##dable"])
        self.press(Keys.ESCAPE, "/", Keys.ESCAPE)
        self.assertEqual(self.texts("mark"), [])
        self.assertEqual(self.find("#sort").get_attribute("value"), "layer")

    def test_sorts_by_entropy_and_by_kind(self):
        self.open("one")
        self.press("e", "s")
        shares = [int(text.split()[0]) for text in self.texts(".cell .share")]
        self.assertEqual(shares, sorted(shares))
        self.assertGreater(shares[-1], shares[0])
        self.press("s")
        groups = self.texts(".group h2")
        self.assertTrue(groups[0].startswith("Previous token1 head"))
        self.assertIn("0·2", self.texts(".group:first-child .caption")[0])
        self.assertEqual(self.run_script("return grid.querySelectorAll('.cell').length"), 72)

    def test_theme_follows_the_system_and_the_toggle(self):
        background = "return getComputedStyle(document.body).backgroundColor"
        self.emulate(scheme="dark")
        self.open("one", "#3.1")
        dark = self.run_script(background)
        self.find("#theme").click()
        light = self.run_script(background)
        self.assertNotEqual(light, dark)
        self.press("t")
        self.assertEqual(self.run_script(background), dark)
        self.emulate(scheme="light")
        self.open("one")
        self.assertEqual(self.run_script(background), light)

    def test_causal_view_hides_later_keys(self):
        self.open("one", "#3.1")
        self.find('input[value="causal"]').find_element(By.XPATH, "..").click()
        self.hover(self.word("queries", "animal"))
        self.assertEqual(len([text for text in self.texts(".keys .number") if text]), 3)
        sums = self.run_script("""return [...Array(16).keys()].map(query =>
            views[0].weights.keys.reduce((sum, _, key) =>
                sum + views[0].weights.at(query, key) * (key <= query), 0))""")
        for total in sums:
            self.assertAlmostEqual(total, 1, delta=5e-4)

    def test_numbers_agree_with_each_other(self):
        """Of every head and view: rows sum to 1, and their entropy is that which C computed."""
        self.open("two")
        worst = self.run_script("""let sums = 0, entropies = 0;
            for (const view of ["raw", "causal"])
                for (const sentence of [0, 1])
                    for (let head = 0; head < headCount; head++) {
                        const w = new Weights(sentence, head, view, false);
                        for (let query = 0; query < w.rows; query++) {
                            let sum = 0, entropy = 0;
                            for (let key = 0; key < w.columns; key++) {
                                const weight = w.at(query, key);
                                sum += weight;
                                entropy -= weight > 0 ? weight * Math.log(weight) : 0;
                            }
                            sums = Math.max(sums, Math.abs(sum - 1));
                            entropies = Math.max(entropies, Math.abs(entropy - w.entropy(query)));
                        }
                    }
            return [sums, entropies]""")
        self.assertLess(worst[0], 5e-4)
        self.assertLess(worst[1], 2e-3)

    def test_joins_word_pieces(self):
        self.open("pieces", "#0.2")
        apart = self.texts(".keys .name")
        self.find("#merge").click()
        joined = self.texts(".keys .name")
        self.assertEqual(len(joined), len(apart) - 2)
        self.assertIn("unreadable", joined)
        self.hover(self.word("queries", "unreadable"))
        self.assertIn("“unreadable” attends to", self.find(".readout").text)
        self.press("m")
        self.assertEqual(self.texts(".keys .name"), apart)

    def test_shows_two_sentences_side_by_side(self):
        self.open("two", "#3.1")
        boxes = [box.rect for box in self.driver.find_elements(By.CSS_SELECTOR, ".sentence .lines")]
        self.assertEqual(len(boxes), 2)
        self.assertEqual(boxes[0]["y"], boxes[1]["y"])
        self.assertGreater(boxes[1]["x"], boxes[0]["x"] + boxes[0]["width"])

    def test_fits_a_phone(self):
        self.resize(375, 700)
        for name in "two", "hostile":
            for head in "", "#1.1":
                self.open(name, head)
                self.assertLessEqual(
                    self.run_script("return document.documentElement.scrollWidth"), 375
                )
                wide = self.run_script("""return [...document.querySelectorAll("body *")]
                    .filter(e => e.getBoundingClientRect().right > 376).map(e => e.outerHTML)""")
                self.assertEqual(wide, [])

    def test_large_page_draws_what_is_in_sight(self):
        self.open("large")
        self.until("waiting.size === 0 && inSight.size > 0")
        drawn = "cells.filter(cell => cell.dataset.shown).length"
        self.assertLess(self.run_script(f"return {drawn}"), 144)
        self.run_script("scrollTo(0, document.body.scrollHeight)")
        self.until("inSight.has(143)")
        self.until("waiting.size === 0 && cells[143].dataset.shown")
        self.press("/", "word25")
        self.assertEqual(len(self.texts(".cell .score")), 144)
        self.press(Keys.ENTER, Keys.ENTER)
        self.until("!document.getElementById('head').hidden")
        self.press(Keys.END)
        self.assertTrue(self.find(".readout").text.startswith("“[SEP]” attends to"))
        self.assertGreater(self.run_script("return views[0].lines.box.scrollTop"), 1000)

    def test_hostile_tokens_are_text(self):
        self.open("hostile", "#1.1")
        names = self.texts(".queries .name")
        self.assertEqual(len(names), 256)
        for token in "</script>", "<!--", "<script>", "<img src=x>", "\"\\'", "<FF FE>":
            self.assertIn(token, names)
        self.assertEqual(self.driver.find_elements(By.CSS_SELECTOR, "img"), [])
        self.assertEqual(self.run_script("return document.scripts.length"), 2 * 2 * 2 + 2)

    def test_everything_has_an_accessible_name(self):
        for head in "", "#3.1":
            self.open("two", head)
            nodes = self.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
            nodes = [node for node in nodes if not node["ignored"]]
            seen = {node["role"]["value"] for node in nodes}
            self.assertLessEqual({"listbox", "option"} if head else {"grid", "gridcell"}, seen)
            nameless = [
                node["role"]["value"]
                for node in nodes
                if node["role"]["value"] in NAMED_ROLES and not node["name"]["value"]
            ]
            self.assertEqual(nameless, [])
            self.assertIn(
                "entropy", " ".join(node["name"]["value"] for node in nodes if "name" in node)
            )

    def test_heeds_reduced_motion(self):
        self.emulate(motion="reduce")
        self.open("one")
        duration = "return getComputedStyle(cells[0]).transitionDuration"
        self.assertEqual(self.run_script(duration), "0s")
        self.emulate()
        self.assertNotEqual(self.run_script(duration), "0s")


if __name__ == "__main__":
    main()
