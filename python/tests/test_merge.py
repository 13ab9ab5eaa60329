# SPDX-License-Identifier: Apache-2.0
"""Merged parts are attention to the keys of all parts."""

import unittest

import numpy as np
import rapt
from refusals import Case
from test_attention import tensors


class Merge(Case):
    def parts(self, q, k, v, **options):
        pieces = (slice(0, 5), slice(5, 6), slice(6, 37))
        return [
            rapt.attention(q, k[:, :, i], v[:, :, i], return_lse=True, **options) for i in pieces
        ]

    def test_is_attention_to_all_keys(self):
        q, k, v = tensors()
        expected, expected_lse = rapt.attention(q, k, v, return_lse=True)
        parts = self.parts(q, k, v)
        out, lse = rapt.merge(*zip(*parts))
        np.testing.assert_allclose(out, expected, atol=2e-6)
        np.testing.assert_allclose(lse, expected_lse, atol=2e-6)
        again = rapt.merge(*zip(rapt.merge(*zip(*parts[:2])), parts[2]))
        np.testing.assert_allclose(again[0], expected, atol=2e-6)
        kept = np.zeros_like(out)
        self.assertIs(rapt.merge(*zip(*parts), out=kept)[0], kept)
        np.testing.assert_array_equal(kept, out)

    def test_layouts_and_ranks(self):
        q, k, v = tensors()
        outs, lses = zip(*self.parts(q, k, v))
        out, lse = rapt.merge(outs, lses)
        turned, same = rapt.merge([o.swapaxes(1, 2) for o in outs], lses, layout="bshd")
        np.testing.assert_array_equal(turned.swapaxes(1, 2), out)
        np.testing.assert_array_equal(same, lse)
        for at in ((1,), (1, 2)):
            one, one_lse = rapt.merge([o[at] for o in outs], [n[at] for n in lses])
            np.testing.assert_array_equal(one, out[at])
            np.testing.assert_array_equal(one_lse, lse[at])

    def test_empty_parts(self):
        q, k, v = tensors()
        out, lse = rapt.attention(q, k, v, return_lse=True)
        nothing = np.full_like(out, np.nan), np.full_like(lse, -np.inf)
        found = rapt.merge([nothing[0], out], [nothing[1], lse])
        np.testing.assert_array_equal(found[0], out)
        np.testing.assert_array_equal(found[1], lse)
        found = rapt.merge(*zip(nothing))
        self.assertFalse(found[0].any())
        self.assertTrue((found[1] == -np.inf).all())

    def test_refuses(self):
        out, lse = np.zeros((2, 3, 4, 5), np.float32), np.zeros((2, 3, 4), np.float32)
        self.refused("^outs: found 0 parts", rapt.merge, [], [])
        self.refused("^outs: found 2 parts and 1", rapt.merge, [out, out], [lse])
        self.refused("^outs: found None", rapt.merge, None, [lse], kind=rapt.InvalidType)
        self.refused("^lses: found", rapt.merge, [out], 5, kind=rapt.InvalidType)
        self.refused("^outs", rapt.merge, [out.astype(np.float16)], [lse])
        self.refused("^outs: shape", rapt.merge, [out, out[:1]], [lse, lse])
        self.refused("^lses: shape", rapt.merge, [out, out], [lse, lse[..., :3]])
        self.refused("^lses.0.: found 5", rapt.merge, [out], [out])
        self.refused("^outs.0.: found list", rapt.merge, [[1]], [lse], kind=rapt.InvalidType)
        locked = np.broadcast_to(np.float32(1), out.shape)
        self.refused("^out: found a read", rapt.merge, [out], [lse], out=locked)
        self.refused("^out: ", rapt.merge, [out], [lse], out=out[1:])
        self.refused("^out: .*overlaps", rapt.merge, [out], [lse], out=out)
        self.refused("^layout", rapt.merge, [out], [lse], layout=None)


if __name__ == "__main__":
    unittest.main()
