# SPDX-License-Identifier: Apache-2.0
"""Whatever the arguments are, a call computes or says no by an error of rapt's."""

import unittest

import numpy as np
import rapt

try:
    from hypothesis import HealthCheck, given, settings, strategies
except ImportError:
    strategies = None
try:
    import torch
except ImportError:
    torch = None


def anything():
    """Values that mean nothing in most places."""
    numbers = [0, 1, -1, 3, 37, 2**31, 2**63, -(2**70), 0.0, 0.5, -0.0, 1e30, 1e-40]
    others = [None, True, False, "", "bshd", "avx2", "é", b"x", (), [], {}, object(), 1j, ...]
    hard = [float("nan"), float("inf"), np.nan, np.float16(2), np.int8(-1), np.True_]
    arrays = [np.zeros(3), np.zeros((2, 3), int), np.array([1, 2]), np.array("a"), np.array(None)]
    listed = [[1, 2], (3, 0), [None, 1], [0, 2, 5], [[0, 1], [2, 3]], range(3), {1, 2}]
    return strategies.sampled_from(numbers + others + hard + arrays + listed)


def arrays():
    """Arrays of every rank and type, with odd strides."""
    types = "f4 f2 f8 i1 u1 i8 ? c8".split()
    sizes = strategies.lists(strategies.sampled_from([0, 1, 2, 3, 5, 34]), min_size=0, max_size=5)

    def make(draw):
        shape, kind, form = draw
        array = np.zeros(shape, kind)
        if form == "reversed":
            array = array[::-1] if array.ndim else array
        elif form == "transposed":
            array = array.T
        elif form == "fixed":
            array.flags.writeable = False
        elif form == "torch" and torch and kind != "c8":
            return torch.from_numpy(array)
        elif form == "meta" and torch:
            return torch.zeros(shape, device="meta")
        return array

    forms = strategies.sampled_from("plain reversed transposed fixed torch meta".split())
    return strategies.tuples(sizes, strategies.sampled_from(types), forms).map(make)


NAMES = (
    "layout scale causal q_offset window mask mask_start kv_len kv_start cu_q cu_k block_table "
    "key_scale value_scale alibi sinks softcap out return_lse return_max return_weights "
    "weights_kind return_entropy top_k return_distance segments diagonals return_received convert "
    "threads isa"
).split()


@unittest.skipUnless(strategies, "hypothesis is not here")
class Fuzz(unittest.TestCase):
    def works_or_says_no(self, call):
        try:
            call()
        except rapt.Error as error:
            self.assertRegex(str(error), r"^\w+(\[[^\]]*\])*: ")  # it names what is wrong

    if strategies:

        @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            strategies.dictionaries(
                strategies.sampled_from(NAMES), anything() | arrays(), max_size=4
            )
        )
        def test_options(self, options):
            q = np.ones((2, 4, 3, 8), np.float32)
            k = np.ones((2, 2, 5, 8), np.float32)
            self.works_or_says_no(lambda: rapt.attention(q, k, k, **options))
            self.works_or_says_no(lambda: rapt.Plan(q, k, k, **options).run())

        @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
        @given(arrays() | anything(), arrays(), arrays(), strategies.booleans())
        def test_arrays(self, q, k, v, convert):
            self.works_or_says_no(lambda: rapt.attention(q, k, v, convert=convert))
            self.works_or_says_no(lambda: rapt.attention(q, q, q, convert=convert))

        @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
        @given(
            strategies.dictionaries(
                strategies.sampled_from(
                    "q k v out kv_len kv_start q_offset mask_start block_table".split()
                ),
                anything() | arrays(),
                max_size=3,
            )
        )
        def test_runs(self, options):
            q = np.ones((2, 4, 3, 8), np.float32)
            plan = rapt.Plan(q, q, q, causal=True)
            self.works_or_says_no(lambda: plan.run(**options))


if __name__ == "__main__":
    unittest.main()
