# SPDX-License-Identifier: Apache-2.0
"""What tests of calls that say no have in common."""

import unittest

import numpy as np
import rapt


class Case(unittest.TestCase):
    def same(self, found, expected):
        np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))

    def refused(self, text, call, *args, kind=rapt.InvalidArgument, **options):
        """The call raises an error of rapt's, of that kind, with a text like this."""
        with self.assertRaises(kind) as caught:
            call(*args, **options)
        self.assertIsInstance(caught.exception, rapt.Error)
        self.assertRegex(str(caught.exception), text)
