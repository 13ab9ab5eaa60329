# SPDX-License-Identifier: Apache-2.0
"""What a library has to say of itself to be measured. One file peer_NAME.py for each."""

import importlib


class Peer:
    """A library. A process makes one, calls load(), and then works for one number of threads."""

    name = ""
    title = ""
    pip = ""  # what pip install takes

    def environment(self, threads):
        """Variables that must be set before the library is loaded."""
        return {"OMP_NUM_THREADS": str(threads)}

    def load(self, threads):
        """Imports the library and pins its threads. ImportError if it isn't there."""
        raise NotImplementedError

    def version(self):
        """After load()."""
        raise NotImplementedError

    def variants(self, shape, dtype):
        """Names of the ways in which it can compute the shape; none if it can't."""
        raise NotImplementedError

    def prepare(self, variant, shape, dtype, q, copies):
        """A function of the number of a copy that computes it and returns when it's done.

        q is (batch, head, position, channel) in float32, with values that are exact in dtype;
        copies are pairs of keys and values, which may be released afterwards. Everything that a
        program would do once, such as to compile and to make masks, is done here.
        """
        raise NotImplementedError

    def to_numpy(self, out):
        """What the function returned, as a float32 array (batch, head, position, channel)."""
        raise NotImplementedError


# In the order of the tables; rapt is what the others are compared with.
NAMES = ["rapt", "pytorch", "onnxruntime", "openvino", "jax", "numpy"]


def find(name):
    """The peer of that name, not loaded yet."""
    return importlib.import_module(f"peer_{name}").Library()


def numpy_type(dtype):
    """NumPy's type, which for bf16 comes with ml_dtypes."""
    if dtype == "bf16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return {"f32": "f4", "f16": "f2"}[dtype]
