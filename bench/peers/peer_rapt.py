# SPDX-License-Identifier: Apache-2.0
"""rapt itself, by its Python package: a plan for each copy."""

import os
import pathlib
import sys

import numpy as np
from peer import Peer, numpy_type


class Library(Peer):
    name = "rapt"
    title = "rapt"
    pip = ". ml_dtypes"

    def load(self, threads):
        sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
        import rapt

        self.rapt, self.threads = rapt, threads

    def version(self):
        isa = os.environ.get("RAPT_ISA") or self.rapt.isas()[0]
        return f"{self.rapt.__version__}, {isa}"

    def variants(self, shape, dtype):
        return ["plan"]

    def prepare(self, variant, shape, dtype, q, copies):
        kind = numpy_type(dtype)
        q = q.astype(kind, copy=False)
        plans = [
            self.rapt.Plan(
                q,
                k.astype(kind, copy=False),
                v.astype(kind, copy=False),
                threads=self.threads,
                **shape.options(),
            )
            for k, v in copies
        ]
        return lambda copy: plans[copy].run()

    def to_numpy(self, out):
        return out.astype(np.float32)
