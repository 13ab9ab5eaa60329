# SPDX-License-Identifier: Apache-2.0
"""The package where it is imported: without NumPy, in a subinterpreter, beside torch."""

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

PACKAGE = pathlib.Path(__file__).parents[1]
HAS_TORCH = importlib.util.find_spec("torch") is not None


def python(program):
    """What a program prints in an interpreter of its own."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout.strip()


NO_NUMPY = "import sys; sys.modules['numpy'] = None; import rapt\n"
OPENMP = """
runtimes = {line.split()[-1] for line in open("/proc/self/maps") if "libgomp" in line}
print(len({__import__("os").path.basename(path) for path in runtimes}))
"""


class Import(unittest.TestCase):
    def test_imports_little(self):
        program = "import sys, rapt; print({'numpy', 'torch', 'transformers'} & {*sys.modules})"
        self.assertEqual(python(program), "set()")

    def test_library_that_is_not_there(self):
        """Also where another project's files of the same name have come in between."""
        with tempfile.TemporaryDirectory() as folder:
            info = pathlib.Path(folder, "rapt-9.8.dist-info")
            info.mkdir()
            info.joinpath("METADATA").write_text(
                "Metadata-Version: 2.1\nName: rapt\nVersion: 9.8\n"
            )
            program = (
                "import os, sys; os.environ['RAPT_LIBRARY'] = '/none'\n"
                f"sys.path.append({folder!r})\n"
                "try: import rapt\n"
                "except ImportError as error: print(error)"
            )
            self.assertRegex(python(program), "/none.*RAPT_LIBRARY.*rapt 9.8, another project")

    def test_without_numpy(self):
        self.assertIn("scalar", python(NO_NUMPY + "print(rapt.isas())"))
        program = NO_NUMPY + (
            "class Exported:\n"
            "    def __dlpack__(self, **options): raise BufferError('no')\n"
            "    def __dlpack_device__(self): return (1, 0)\n"
            "try: rapt.attention([1], [2], [3])\n"
            "except rapt.InvalidType as error: print(error)\n"
            "try: rapt.attention(*[Exported()] * 3)\n"
            "except rapt.InvalidArgument as error: print(error)\n"
        )
        self.assertRegex(
            python(program), "(?s)^q: found list.*q: found a Exported that can't be read: no"
        )

    def test_parts_without_their_package(self):
        for name in "torch", "transformers":
            program = (
                f"import sys; sys.modules[{name!r}] = None\n"
                f"try: import rapt.{name}\n"
                "except ImportError as error: print(error)"
            )
            self.assertIn(f"pip install 'rapt-attention[{name}]'", python(program))

    @unittest.skipUnless(HAS_TORCH, "torch is not here")
    def test_torch_without_numpy(self):
        program = (
            "import warnings; warnings.simplefilter('ignore')\n" + NO_NUMPY + "import torch\n"
            "q = torch.randn(1, 2, 3, 8)\n"
            "out = rapt.attention(q, q, q, sinks=[0.0, 1.0], return_lse=True, top_k=1)\n"
            "print(*out.lse.shape, out.top_key.dtype)"
        )
        self.assertEqual(python(program), "1 2 3 torch.int32")

    @unittest.skipUnless(HAS_TORCH, "torch is not here")
    def test_one_openmp_with_torch(self):
        for order in "import torch, rapt", "import rapt, torch":
            program = f"{order}\nq = torch.randn(4, 8, 64, 64)\nrapt.attention(q, q, q)\n{OPENMP}"
            self.assertEqual(python(program), "1", order)

    def test_subinterpreters(self):
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            self.skipTest("this Python's have no import that works here")
        del interpreters
        program = (
            "import _xxsubinterpreters as i\nmade = i.create()\n"
            "i.run_string(made, 'import rapt; assert rapt.isas() and rapt.default_threads() > 0')\n"
            "i.destroy(made)\nprint('done')"
        )
        self.assertEqual(python(program), "done")


if __name__ == "__main__":
    unittest.main()
