# SPDX-License-Identifier: Apache-2.0
"""rapt.show(): what the page carries."""

import doctest
import html
import os
import pathlib
import re
import tempfile
import threading
import unittest
import unittest.mock

import numpy as np
from pages import (
    WORDS,
    PageCase,
    blocks,
    carried,
    described,
    entropies,
    random_weights,
    rng,
    softmax,
)

import rapt
from rapt import _page, _show


def load_tests(loader, tests, pattern):
    tests.addTests(doctest.DocTestSuite(_show))
    return tests


class Show(PageCase):
    def test_weights_of_layers(self):
        weights = random_weights(3, 1, 2, 9, 9)
        page = rapt.show(list(weights), WORDS, model="mine", text="A title")
        for layer in range(3):
            for head in range(2):
                self.expect(page, f"raw-0-{layer}-{head}", weights[layer, 0, head])
        data = described(page)
        self.assertEqual(data["heads"], [[i, j] for i in range(3) for j in range(2)])
        self.assertEqual(data["model"], "mine")
        self.assertEqual(data["sentences"][0]["text"], "A title")
        self.assertEqual(data["sentences"][0]["keys"]["tokens"], WORDS)
        self.assertFalse(data["computed"])
        self.assertEqual(data["views"], ["raw"])

    def test_layouts_and_types_of_weights(self):
        weights = random_weights(2, 9, 9)
        expected = blocks(rapt.show(weights, WORDS))
        for name, other in {
            "batch of 1": weights[None],
            "five dimensions": weights[None, None],
            "layers": [weights],
            "tuple": (weights[None],),
            "float64": weights.astype(np.float64),
            "big-endian": weights.astype(">f4"),
            "reversed": np.ascontiguousarray(weights[:, ::-1, ::-1])[:, ::-1, ::-1],
            "heads last": np.ascontiguousarray(weights.transpose(1, 2, 0)).transpose(2, 0, 1),
            "lists": weights.tolist(),
        }.items():
            with self.subTest(name):
                found = blocks(rapt.show(other, WORDS))
                self.assertEqual(found.keys(), expected.keys())
                for head, numbers in found.items():
                    np.testing.assert_array_equal(numbers, expected[head])
        half = weights.astype(np.float16)
        self.expect(rapt.show(half, WORDS), "raw-0-0-1", half[1].astype(np.float32))
        one = rapt.show(weights[0], WORDS)
        self.expect(one, "raw-0-0-0", weights[0])
        tiny = np.array([[2.0**-24, 1 - 2.0**-11], [0, 1]], np.float16)  # a subnormal
        self.expect(rapt.show(tiny, causal=False), "raw-0-0-0", tiny.astype(np.float32))

    def test_causal_is_found_out(self):
        weights = random_weights(2, 9, 9, causal=True)
        seen = np.tri(9, dtype=bool)
        page = rapt.show(weights, WORDS)
        self.expect(page, "raw-0-0-1", weights[1], seen)
        self.assertTrue(described(page)["sentences"][0]["raw"]["sight"]["causal"])
        self.expect(rapt.show(weights, WORDS, causal=False), "raw-0-0-1", weights[1])
        weights[1, 0, :2] = 0.5
        self.expect(rapt.show(weights, WORDS), "raw-0-0-1", weights[1])
        with self.assertRaisesRegex(
            rapt.InvalidArgument,
            "^layer 0, head 1, query 0: found 0.5 for key 1, expected 0 for a key out of sight$",
        ):
            rapt.show(weights, WORDS, causal=True)

    def test_queries_and_keys(self):
        q = rng.standard_normal((1, 4, 9, 16)).astype(np.float32)
        k = rng.standard_normal((1, 2, 9, 16)).astype(np.float32)
        scores = q @ k.repeat(2, axis=1).swapaxes(-1, -2)
        place = np.arange(9)
        distance = place[:, None] - place
        for name, options, scaled, seen in (
            ("plain", {}, scores / 4, distance < 99),
            ("causal", {"causal": True}, scores / 4, distance >= 0),
            ("scale", {"scale": 0.5}, scores * 0.5, distance < 99),
            ("softcap", {"softcap": 3.0}, 3 * np.tanh(scores / 12), distance < 99),
            ("window", {"window": (2, 1)}, scores / 4, (distance <= 2) & (distance >= -1)),
            ("both", {"window": (2, None), "causal": True}, scores / 4,
             (distance <= 2) & (distance >= 0)),
        ):  # fmt: skip
            with self.subTest(name):
                weights = softmax(np.where(seen, scaled, -np.inf))
                page = rapt.show(q=q, k=k, tokens=WORDS, **options)
                for head in range(4):
                    self.expect(page, f"raw-0-0-{head}", weights[0, head], seen)
        self.assertTrue(described(rapt.show(q=q, k=k))["computed"])

    def test_chunks_are_the_last_queries(self):
        q, k = rng.standard_normal((2, 2, 9, 8)).astype(np.float32)
        whole = blocks(rapt.show(q=q, k=k, tokens=WORDS, causal=True))["raw-0-0-1"]
        last = rapt.show(q=q[:, 6:], k=k, tokens=WORDS, causal=True)
        np.testing.assert_array_equal(blocks(last)["raw-0-0-1"][:-3], whole[21:-9])
        self.assertEqual(described(last)["sentences"][0]["queries"]["tokens"], WORDS[6:])
        middle = rapt.show(q=q[:, 3:5], k=k, tokens=WORDS, causal=True, q_offset=3)
        np.testing.assert_array_equal(blocks(middle)["raw-0-0-1"][:-2], whole[6:15])
        ranged = rapt.show(q=q, k=k, tokens=WORDS, causal=True, query_range=(3, 5))
        self.assertEqual(ranged.html, middle.html)

    def test_cross_attention(self):
        weights = random_weights(2, 3, 9)
        page = rapt.show(weights, WORDS, query_tokens=["le", "chat", "</s>"])
        self.expect(page, "raw-0-0-1", weights[1])
        text = described(page)["sentences"][0]
        self.assertEqual(text["queries"]["tokens"], ["le", "chat", "</s>"])
        self.assertEqual(text["text"], "le chat </s> → " + " ".join(WORDS))
        self.assertFalse(text["own"])
        mass = text["raw"]["heads"][0]["mass"]
        kinds = described(page)["kinds"]
        there = {kinds[i] for i, share in enumerate(mass) if share is not None}
        self.assertEqual(there, {"first", "separator"})

    def test_ranges_and_groups(self):
        weights = random_weights(1, 100, 100)
        part = rapt.show(weights, query_range=(10, 40), key_range=slice(50, 60))
        found, entropy = carried(part, "raw-0-0-0", np.ones((30, 10), bool))
        np.testing.assert_allclose(found, weights[0, 10:40, 50:60], rtol=5.1e-4, atol=2e-7)
        np.testing.assert_allclose(entropy, entropies(weights[0, 10:40]), atol=6e-4)
        text = described(part)["sentences"][0]
        self.assertEqual((text["queries"]["first"], text["queries"]["tokens"][0]), (10, "10"))
        received = text["raw"]["heads"][0]["received"]
        np.testing.assert_allclose(received, weights[0, 10:40, 50:60].mean(0), atol=1e-6)
        grouped = rapt.show(weights, group=8)
        cells, entropy = carried(grouped, "raw-0-0-0", np.ones((13, 13), bool))
        edges = range(0, 100, 8)
        sums = np.add.reduceat(weights[0], edges, axis=1)
        means = np.stack([sums[i : i + 8].mean(0) for i in edges])
        np.testing.assert_allclose(cells, means, rtol=6e-4, atol=2e-7)
        of_rows = entropies(weights[0])
        np.testing.assert_allclose(entropy, [of_rows[i : i + 8].mean() for i in edges], atol=6e-4)
        self.assertIn("8 neighbouring tokens share a cell", repr(grouped))

    def test_groups_of_a_window(self):
        """Cells have what any of their queries sees, and nothing else."""
        q, k = rng.standard_normal((2, 50, 8)).astype(np.float32)
        distance = np.subtract.outer(np.arange(50), np.arange(50))
        inside = (distance >= 0) & (distance <= 9)
        weights = softmax(np.where(inside, q @ k.T / np.sqrt(8), -np.inf))
        edges = range(0, 50, 4)
        sums = np.add.reduceat(weights, edges, axis=1)
        means = np.stack([sums[i : i + 4].mean(0) for i in edges])
        seen = np.array([[inside[i : i + 4, j : j + 4].any() for j in edges] for i in edges])
        page = rapt.show(q=q, k=k, causal=True, window=(9, None), group=4)
        found, _ = carried(page, "raw-0-0-0", seen)
        np.testing.assert_allclose(found, means, rtol=6e-4, atol=2e-6)

    def test_rows_of_a_long_text_are_computed_some_at_a_time(self):
        q, k = rng.standard_normal((2, 3000, 4)).astype(np.float32)
        page = rapt.show(q=q, k=k, causal=True, query_range=(100, 2100), key_range=(1500, 1540))
        seen = np.tri(3000, dtype=bool)[100:2100]
        weights = softmax(np.where(seen, q[100:2100] @ k.T / 2, -np.inf))[:, 1500:1540]
        found, _ = carried(page, "raw-0-0-0", seen[:, 1500:1540])
        np.testing.assert_allclose(found, weights, rtol=6e-4, atol=2e-7)

    def test_long_texts_have_pages_of_bounded_size(self):
        q, k = rng.standard_normal((2, 1, 3000, 4)).astype(np.float32)
        page = rapt.show(q=q, k=k, causal=True, heads=[0])
        self.assertEqual(described(page)["group"], 2)
        self.assertLess(len(page.html), 34 << 20)
        with self.assertRaisesRegex(rapt.InvalidArgument, "^group: found 1, .* 2.4 GB, .* fewer"):
            rapt.show(q=[q[:1]] * 100, k=[k[:1]] * 100, group=1)

    def test_layers_and_heads_are_chosen(self):
        weights = random_weights(4, 1, 3, 9, 9)
        page = rapt.show([*weights[:2], None, weights[3]], WORDS, layers=[3, 1], heads=[2, 0])
        self.assertEqual(described(page)["heads"], [[3, 2], [3, 0], [1, 2], [1, 0]])
        self.expect(page, "raw-0-3-2", weights[3, 0, 2])
        self.expect(page, "raw-0-1-0", weights[1, 0, 0])
        every = rapt.show([*weights[:2], None, weights[3]], WORDS)
        self.assertEqual(sorted({layer for layer, _ in described(every)["heads"]}), [0, 1, 3])
        ragged = rapt.show([weights[0], weights[1, :, :1]], WORDS)
        self.assertEqual(described(ragged)["heads"], [[0, 0], [0, 1], [0, 2], [1, 0]])
        self.assertEqual(described(rapt.show(list(weights), layers=-1))["heads"][0][0], 3)

    def test_batch(self):
        weights = random_weights(3, 2, 9, 9)
        self.expect(rapt.show([weights], WORDS, batch=2), "raw-0-0-1", weights[2, 1])
        with self.assertRaisesRegex(rapt.InvalidArgument, "^attention: found a batch of 3"):
            rapt.show(weights, WORDS)

    def test_kinds_of_heads(self):
        tokens = list("abcdef") * 2
        same, after, previous = np.zeros((3, 12, 12), np.float32)
        for i in range(12):
            same[i, max(i - 6, 0)] = after[i, max(i - 5, 0)] = previous[i, max(i - 1, 0)] = 1
        page = rapt.show(np.stack([same, after, previous]), tokens)
        kinds = [head.kind for head in page.heads]
        self.assertEqual(kinds, ["duplicate", "induction", "previous"])
        self.assertEqual(page.heads[0].entropy, 0)
        self.assertEqual((page.heads[1].query, page.heads[1].weight), ("b", 1))
        text = str(page)
        self.assertIn("1 layer, 3 heads, 12 tokens", text)
        self.assertRegex(text, r"\n    0    1  induction   0.000 nats   0%  1.000 . → .")

    def test_tokens_of_tokenizers(self):
        for given, shown in (
            (["Ġcat", "s", "Ċ"], ["␣cat", "s", "␊"]),
            (["▁cat", "s", "<0x0A>"], ["␣cat", "s", "␊"]),
            (["cat", "##s", "\ud800"], ["cat", "##s", "?"]),
            (["a\0b", "</script>", " "], ["a␀b", "</script>", "␣"]),
        ):
            page = rapt.show(random_weights(3, 3), given)
            self.assertEqual(described(page)["sentences"][0]["keys"]["tokens"], shown)
            self.assertEqual(page.html.count("</script>"), 1 + 1 + 1)

    def test_rows_of_padding_do_not_count(self):
        """They have no weights, as rapt.transformers gives them."""
        weights = np.tril(np.ones((1, 1, 12, 12), np.float32))
        weights /= weights.sum(3, keepdims=True)
        weights[..., :5] = 0
        weights[:, :, :5] = 0
        weights[0, 0, 5:] /= weights[0, 0, 5:].sum(1, keepdims=True)
        (padded,) = rapt.show(weights).heads
        (alone,) = rapt.show(np.ascontiguousarray(weights[:, :, 5:, 5:])).heads
        self.assertAlmostEqual(padded.entropy, alone.entropy, 5)

    def test_a_notebook_shows_it_in_a_frame(self):
        page = rapt.show(random_weights(1, 3, 3), ['"', "&amp;", "<b>"])
        frame = page._repr_html_()
        self.assertEqual(html.unescape(re.search('srcdoc="([^"]*)"', frame)[1]), page.html)
        self.assertIn('sandbox="allow-scripts"', frame)

    def test_save_is_whole_or_nothing(self):
        page = rapt.show(random_weights(1, 3, 3))
        with tempfile.TemporaryDirectory() as name:
            path = pathlib.Path(name, "a page.html")
            page.save(path)
            self.assertEqual(path.read_text(encoding="utf-8"), page.html)
            mask = os.umask(0)
            os.umask(mask)
            self.assertEqual(path.stat().st_mode & 0o777, 0o666 & ~mask)
            path.write_text("old")
            path.chmod(0o640)
            with unittest.mock.patch("os.fsync", side_effect=OSError("full")):
                self.assertRaises(OSError, page.save, str(path))
            self.assertEqual(path.read_text(), "old")
            page.save(str(path))
            self.assertEqual(path.stat().st_mode & 0o777, 0o640)
            self.assertEqual(os.listdir(name), ["a page.html"])
            self.assertRaises(OSError, page.save, name)
            self.assertRaises(FileNotFoundError, page.save, pathlib.Path(name, "no", "a.html"))
            self.assertEqual(os.listdir(name), ["a page.html"])

    def test_save_replaces_files_alone(self):
        """A link stays a link, and a pipe a pipe: else a device such as /dev/null would be gone."""
        page = rapt.show(random_weights(1, 3, 3))
        with tempfile.TemporaryDirectory() as name:
            target, link = pathlib.Path(name, "page.html"), pathlib.Path(name, "link.html")
            link.symlink_to("page.html")
            page.save(link)
            self.assertTrue(link.is_symlink() and target.is_file())
            self.assertEqual(target.read_text(encoding="utf-8"), page.html)
            pipe, found = pathlib.Path(name, "pipe"), []
            os.mkfifo(pipe)
            reader = threading.Thread(target=lambda: found.append(pipe.read_text("utf-8")))
            reader.start()
            page.save(pipe)
            reader.join()
            self.assertTrue(pipe.is_fifo())
            self.assertEqual(found, [page.html])

    def test_save_takes_any_path_and_refuses_what_is_none(self):
        page = rapt.show(random_weights(1, 3, 3))
        with tempfile.TemporaryDirectory() as name:
            for path in (b"bytes.html", b"\xff.html", "\udcfe.html"):
                whole = os.path.join(os.fsencode(name), os.fsencode(path))
                page.save(whole if isinstance(path, bytes) else os.fsdecode(whole))
                self.assertEqual(pathlib.Path(os.fsdecode(whole)).read_text("utf-8"), page.html)
            before = os.listdir(name)
            for kind, path in (
                (rapt.InvalidType, None),
                (rapt.InvalidType, 3),
                (rapt.InvalidArgument, ""),
                (rapt.InvalidArgument, b""),
                (rapt.InvalidArgument, f"{name}/a\0b"),
                (rapt.InvalidArgument, f"{name}/\ud800"),
            ):
                with self.subTest(path), self.assertRaisesRegex(kind, "^path: "):
                    page.save(path)
            self.assertEqual(os.listdir(name), before)

    def test_open_gives_the_browser_a_file(self):
        page = rapt.show(random_weights(1, 3, 3))
        with unittest.mock.patch("webbrowser.open", return_value=True) as browser:
            self.assertTrue(page.open())
        path = pathlib.Path(browser.call_args[0][0].removeprefix("file://"))
        self.assertEqual(path.read_text(encoding="utf-8"), page.html)
        path.unlink()
        with unittest.mock.patch("webbrowser.open", return_value=False) as browser:
            self.assertFalse(page.open())
        self.assertFalse(os.path.exists(browser.call_args[0][0].removeprefix("file://")))

    def test_structs_are_those_of_the_library(self):
        weights = random_weights(3, 3)
        self.assertRaisesRegex(
            rapt.InvalidArgument, "^texts: found 0", _page.write, _page.Description(), 0
        )
        with unittest.mock.patch("ctypes.sizeof", return_value=8):
            self.assertRaisesRegex(
                rapt.InvalidArgument, "^page: found structs of 8, 8 and 8", rapt.show, weights
            )


if __name__ == "__main__":
    unittest.main()
