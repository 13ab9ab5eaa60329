# SPDX-License-Identifier: Apache-2.0
"""rapt.show(): outputs of models, tensors of torch, and what is refused."""

import contextlib
import functools
import itertools
import signal
import types
import unittest

import numpy as np
from pages import WORDS, PageCase, carried, described, random_weights, rng

import rapt

try:
    import torch
except ImportError:
    torch = None


@contextlib.contextmanager
def stopped_after(seconds):
    """Raises TimeoutError from a signal's handler then."""

    def late(number, frame):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Input(PageCase):
    def test_outputs_of_models(self):
        weights = random_weights(2, 1, 2, 9, 9)
        plain = types.SimpleNamespace(attentions=tuple(weights), cross_attentions=None)
        self.expect(rapt.show(plain, WORDS), "raw-0-1-1", weights[1, 0, 1])
        both = types.SimpleNamespace(
            encoder_attentions=tuple(weights),
            cross_attentions=tuple(weights[:, :, :, :4]),
            decoder_attentions=None,
        )
        page = rapt.show(both, WORDS, which="cross", query_tokens=list("wxyz"))
        self.expect(page, "raw-0-0-0", weights[0, 0, 0, :4])
        for error, output, options in (
            ("^which: found encoder_attentions and cross_attentions, expected .*encoder, cross",
             both, {}),
            ("^attention: found an output without decoder_attentions, expected one of a call with",
             both, {"which": "decoder"}),
            ("^attention: found an output without attentions", types.SimpleNamespace(
                attentions=None), {}),
            ("^which: found 'self'", plain, {"which": "self"}),
            ('^which: found "cross", expected a model', list(weights), {"which": "cross"}),
            ("as generate", types.SimpleNamespace(attentions=(tuple(weights),) * 2), {}),
        ):  # fmt: skip
            with self.subTest(error), self.assertRaisesRegex(rapt.InvalidArgument, error):
                rapt.show(output, WORDS, **options)

    def test_a_signal_ends_it(self):
        """A page of many heads would take minutes."""
        many = [np.broadcast_to(random_weights(1, 2000, 2000), (500, 2000, 2000))] * 4

        with self.assertRaises(TimeoutError), stopped_after(0.2):
            rapt.show(many)

    def test_what_is_too_large_is_refused_at_once(self):
        """Each of these would go on for hours, or take all memory."""
        zeros = functools.partial(np.broadcast_to, np.float32(0))
        many, long = zeros((1, 2**30, 2, 2)), zeros((1, 1, 2**20, 2**20))
        for error, arguments in (
            ("heads: found 1073741824 in all layers, expected at most 1000000: choose some by "
             "heads= or layers=", {"attention": many}),
            ("heads: found more than 1000000", {"attention": many, "heads": itertools.count()}),
            ("heads: found 2000000 in all", {"attention": [zeros((10**6, 2, 2))] * 2}),
            ("attention: found 1073741824 layers, expected at most 1000000",
             {"attention": zeros((2**30, 1, 1, 2, 2))}),
            ("show: found 1 heads of 1048576 queries by 1048576 keys, expected at most "
             "100000000000 weights: choose some by heads=, layers= or query_range=",
             {"attention": long}),
            ("show: found 1 heads of", {"q": zeros((2**20, 8)), "k": zeros((2**20, 8))}),
            ("layer 0: found 1073741824 keys, expected at most 10000000",
             {"attention": zeros((1, 2, 2**30))}),
        ):  # fmt: skip
            with (
                self.subTest(error),
                self.assertRaisesRegex(rapt.InvalidArgument, "^" + error),
                stopped_after(60),
            ):
                rapt.show(**arguments)
        with self.assertRaisesRegex(rapt.OutOfMemory, "^attention: .*expected float32"):
            rapt.show(np.broadcast_to(0.0, (2**29, 2**29)))
        page = rapt.show(many, heads=[2**30 - 1, 5])
        self.assertEqual([head.head for head in page.heads], [2**30 - 1, 5])
        page = rapt.show(long, query_range=(7, 9))
        self.assertEqual(described(page)["sentences"][0]["counts"], [2, 2**20])

    def test_bad_input_is_refused(self):
        good = random_weights(2, 9, 9)
        q = rng.standard_normal((2, 9, 8)).astype(np.float32)
        nan, minus, heavy = good.copy(), good.copy(), good.copy()
        nan[1, 3, 4], minus[0, 2, 1], heavy[0, 1] = np.nan, -0.25, 0.5
        for error, kind, arguments in (
            ("layer 0, head 1, query 3: found nan for key 4, expected a weight of 0 to 1",
             rapt.InvalidArgument, {"attention": nan}),
            ("layer 0, head 0, query 2: found -0.25 for key 1, expected a weight of 0 to 1",
             rapt.InvalidArgument, {"attention": minus}),
            ("layer 0, head 0, query 1: found a row that sums to 4.5, expected a sum of at most 1",
             rapt.InvalidArgument, {"attention": heavy}),
            ("attention: found 6 dimensions, expected 2 to 4", rapt.InvalidArgument,
             {"attention": [good[None, None, None]]}),
            ("attention: found shape .1, 0, 9, 9.*no dimension of 0", rapt.InvalidArgument,
             {"attention": good[None, :0]}),
            ("attention: found no layers", rapt.InvalidArgument, {"attention": []}),
            ("attention: found None in all", rapt.InvalidArgument, {"attention": [None]}),
            ("attention: found dtype bool", rapt.InvalidArgument, {"attention": good > 0}),
            ("q: int too large", rapt.InvalidType, {"q": 10**400, "k": q}),
            ("attention: int too large", rapt.InvalidType, {"attention": [10**400]}),
            ("attention: found dtype complex", rapt.InvalidArgument, {"attention": good * 1j}),
            ("attention: found 'x', expected a model's output", rapt.InvalidType,
             {"attention": "x"}),
            ("layer 1: found 4 queries and 9 keys, expected 9 and 9", rapt.InvalidArgument,
             {"attention": [good, good[:, :4]]}),
            ("show: found nothing, expected attention, or q and k", rapt.InvalidArgument, {}),
            ("show: found q, expected", rapt.InvalidArgument, {"q": q}),
            ("show: found attention and q and k", rapt.InvalidArgument,
             {"attention": good, "q": q, "k": q}),
            ("show: found window, scale or softcap", rapt.InvalidArgument,
             {"attention": good, "scale": 1.0}),
            ("tokens: found 8, expected 9, one for each key", rapt.InvalidArgument,
             {"attention": good, "tokens": WORDS[:8]}),
            ("query_tokens: found 3, expected 9, one for each query", rapt.InvalidArgument,
             {"attention": good, "query_tokens": list("abc")}),
            ("tokens: found 'text', expected a list", rapt.InvalidType,
             {"attention": good, "tokens": "text"}),
            ("tokens: found array", rapt.InvalidType,
             {"attention": good, "tokens": np.array("text")}),
            ("tokens: found 101, expected strings", rapt.InvalidType,
             {"attention": good, "tokens": [101] * 9}),
            ("tokens: found 9 queries from token 0 on and 4 tokens", rapt.InvalidArgument,
             {"attention": good[:, :, :4] / 3}),
            ("tokens: found 4 queries from token 6 on", rapt.InvalidArgument,
             {"attention": good[:, :4], "q_offset": 6}),
            ("layers: found 3, expected -1 to 0", rapt.InvalidArgument,
             {"attention": good, "layers": 3}),
            ("layers: found one without attention, expected some of .1.", rapt.InvalidArgument,
             {"attention": [None, good], "layers": [0, 1]}),
            ("heads: found 'all'", rapt.InvalidType, {"attention": good, "heads": "all"}),
            ("heads: found .0, 0., expected numbers, each of them once", rapt.InvalidArgument,
             {"attention": good, "heads": [0, 0]}),
            ("query_range: found 3 to 3", rapt.InvalidArgument,
             {"attention": good, "query_range": (3, 3)}),
            ("key_range: found 1 numbers", rapt.InvalidArgument,
             {"attention": good, "key_range": (3,)}),
            ("causal: found 'no'", rapt.InvalidType, {"attention": good, "causal": "no"}),
            ("group: found 0", rapt.InvalidArgument, {"attention": good, "group": 0}),
            ("text: found 3", rapt.InvalidType, {"attention": good, "text": 3}),
            ("layer 1: found 9 queries and 9 keys, expected 9 and 4", rapt.InvalidArgument,
             {"q": [q, q], "k": [q[:, :4], q], "query_tokens": WORDS}),
            ("k: found layers .0., expected those of q, .0, 1.", rapt.InvalidArgument,
             {"q": [q, q], "k": [q]}),
            ("layer 0: found 2 heads of queries and 3 of keys", rapt.InvalidArgument,
             {"q": q, "k": np.zeros((3, 9, 8), np.float32)}),
            ("key: shape", rapt.InvalidArgument, {"q": q, "k": q[..., :4]}),
            ("isa", rapt.IsaUnavailable, {"q": q, "k": q, "isa": "none"}),
            ("sight: found offset 9223372036854775807 and window", rapt.InvalidArgument,
             {"attention": good, "q_offset": 2**63 - 1}),
            ("sight: found offset 0 and window 9223372036854775807, -1", rapt.InvalidArgument,
             {"q": q, "k": q, "window": (2**63 - 1, None)}),
            ("window: found 4", rapt.InvalidType, {"q": q, "k": q, "window": 4}),
            ("layer 0, head 0, query 0: found nan", rapt.InvalidArgument,
             {"q": q * np.nan, "k": q}),
        ):  # fmt: skip
            with self.subTest(error), self.assertRaisesRegex(kind, "^" + error):
                rapt.show(**arguments)

    @unittest.skipUnless(torch, "needs torch")
    def test_tensors_of_torch(self):
        scores = torch.randn(1, 2, 9, 9, requires_grad=True)
        weights = scores.softmax(-1)
        plain = weights.detach().numpy()
        self.expect(rapt.show((weights,), WORDS), "raw-0-0-1", plain[0, 1])
        self.expect(rapt.show(weights.double(), WORDS), "raw-0-0-1", plain[0, 1])
        half = weights.bfloat16()
        self.expect(rapt.show(half, WORDS), "raw-0-0-1", half.detach().float().numpy()[0, 1])
        for bad in (weights.to("meta"), weights.to_sparse(), weights > 0, weights * 1j):
            with self.subTest(bad.layout), self.assertRaises(rapt.Error):
                rapt.show(bad, WORDS)


class Transformers(unittest.TestCase):
    """Outputs of models as transformers makes them."""

    def setUp(self):
        try:
            import transformers
        except ImportError:
            self.skipTest("needs transformers")
        torch.manual_seed(3)
        self.transformers = transformers

    def test_encoder(self):
        config = self.transformers.BertConfig(
            vocab_size=32, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=32, attn_implementation="eager",
        )  # fmt: skip
        model = self.transformers.BertModel(config).eval()
        output = model(torch.arange(9)[None], output_attentions=True)
        page = rapt.show(output, WORDS)
        self.assertEqual(len(page.heads), 8)
        found, _ = carried(page, "raw-0-1-3", np.ones((9, 9), bool))
        expected = output.attentions[1][0, 3].detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=5.1e-4)

    def test_decoder_and_cross_attention(self):
        config = self.transformers.T5Config(
            vocab_size=32, d_model=32, d_kv=8, d_ff=32, num_layers=2, num_heads=4,
            decoder_start_token_id=0, attn_implementation="eager",
        )  # fmt: skip
        model = self.transformers.T5ForConditionalGeneration(config).eval()
        output = model(
            input_ids=torch.arange(9)[None], decoder_input_ids=torch.arange(4)[None],
            output_attentions=True,
        )  # fmt: skip
        page = rapt.show(output, WORDS, which="cross", query_tokens=list("wxyz"))
        self.assertEqual(described(page)["sentences"][0]["counts"], [4, 9])
        page = rapt.show(output, list("wxyz"), which="decoder")
        self.assertTrue(described(page)["sentences"][0]["raw"]["sight"]["causal"])


if __name__ == "__main__":
    unittest.main()
