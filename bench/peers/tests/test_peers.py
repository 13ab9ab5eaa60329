# SPDX-License-Identifier: Apache-2.0
"""The comparison: shapes, reports, and a whole run with the libraries that are always there."""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

import numpy as np

HERE = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HERE))

import page  # noqa: E402
import peer  # noqa: E402
import report as reports  # noqa: E402
import rounds  # noqa: E402
import run  # noqa: E402
import shapes  # noqa: E402
import tensors  # noqa: E402


class Shapes(unittest.TestCase):
    def test_text(self):
        for shape in shapes.SHAPES.values():
            self.assertEqual(shapes.parse(shape.text(), shape.name), shape)
        shape = shapes.parse("2,6,3,4,9,8,window=3,softcap=2.5,alibi,cold")
        self.assertEqual(shapes.parse(shape.text(), shape.name), shape)
        self.assertTrue(shape.causal and shape.cold and shape.alibi)

    def test_nonsense(self):
        for text in (
            "",
            "1,2,3",
            "1,2,3,4,5,6",
            "1,2,2,4,5,0",
            "1,2,2,4,5,6,fast",
            "1,2,2,4,5,6,window=0",
            "1,2,2,5,4,6,causal",
        ):
            with self.assertRaises(ValueError, msg=text):
                shapes.parse(text)

    def test_scores(self):
        for text in (
            "1,1,1,5,9,4",
            "1,1,1,5,9,4,causal",
            "1,1,1,5,9,4,window=3",
            "1,1,1,9,9,4,window=2",
        ):
            shape = shapes.parse(text)
            mask = shape.mask()
            count = mask.sum() if mask is not None else 45
            self.assertEqual(shape.scores(), count, text)

    def test_shapes_of_the_command(self):
        """A name means what it does in rapt bench, whose table is in C."""
        text = (HERE.parent / "cases.c").read_text(encoding="utf-8")
        forms = {
            "ENCODER": lambda b, h, n, d: (b, h, h, n, n, d),
            "PROMPT": lambda hq, hkv, n, d: (1, hq, hkv, n, n, d),
            "TOKEN": lambda hq, hkv, n, d: (1, hq, hkv, 1, n, d),
        }
        compared = 0
        for form, name, numbers in re.findall(r'(\w+)\("([^"]+)", ([\d, ]+\d)\b', text):
            if name in shapes.SHAPES and form in forms:
                s = shapes.SHAPES[name]
                sizes = (s.batch, s.q_heads, s.kv_heads, s.queries, s.keys, s.dim)
                self.assertEqual(forms[form](*map(int, numbers.split(", "))), sizes, name)
                self.assertEqual(s.causal, form == "PROMPT", name)
                compared += 1
        self.assertGreater(compared, 15)

    def test_names(self):
        self.assertEqual([s.name for s in shapes.select(["bert-base-128"])], ["bert-base-128"])
        self.assertEqual(len(shapes.select(["bert", "bert-base"])), 3)
        self.assertEqual(len(shapes.select(["all"])), len(shapes.SHAPES))
        with self.assertRaises(ValueError):
            shapes.select(["ber"])


class Tensors(unittest.TestCase):
    def test_same_everywhere(self):
        shape = shapes.parse("1,2,1,3,4,8")
        for dtype in tensors.ITEM:
            for a, b in zip(tensors.make(shape, dtype), tensors.make(shape, dtype)):
                np.testing.assert_array_equal(a, b)

    def test_wrong_results_are_seen(self):
        shape = shapes.parse("1,4,2,6,9,8,window=4,alibi,softcap=3")
        q, k, v = tensors.make(shape, "f32")
        right = tensors.oracle.attention(q, k, v, **shape.options())[0]
        self.assertLess(tensors.error(shape, q, k, v, right), 1e-12)
        wrong = tensors.oracle.attention(q, k, v)[0]
        self.assertGreater(tensors.error(shape, q, k, v, wrong), tensors.BOUND["bf16"])
        self.assertEqual(tensors.error(shape, q, k, v, right * np.nan), float("inf"))
        self.assertEqual(tensors.error(shape, q, k, v, right[:, :1]), float("inf"))


def a_report():
    def a_run(name, ratio, **others):
        shape = shapes.SHAPES[name]
        ours = {"ms": 2.0, "spread": 0.1, "ratio": 1.0, "ratio_spread": 0.0}
        its = {"ms": 2.0 * ratio, "spread": 0.2, "ratio": ratio, "ratio_spread": 0.2}
        rest = {"variant": "a", "turns": 3, "error": 1e-7, "variants": {}}
        results = {"rapt": {**ours, **rest}, "numpy": {**its, **rest}, **others}
        return reports.describe(shape, "f32", 1, results)

    facts = {"cpu": "A <CPU>", "cpus": 2, "cache_mib": 4, "memory_gib": 8, "os": "Linux"}
    return {
        "machine": {**facts, "python": "3", "date": "2026-01-02", "others": 0.04},
        "peers": {
            "rapt": {"title": "rapt", "version": "1"},
            "numpy": {"title": "NumPy", "version": "2"},
            "jax": {"title": "JAX", "version": "3"},
        },
        "runs": [
            a_run("bert-base-128", 4.0),
            a_run("llama3-8b-decode-4k", 0.5, jax={"failed": "ended: killed", "variants": {}}),
        ],
    }


class Reports(unittest.TestCase):
    def test_means_and_losses(self):
        report = a_report()
        self.assertAlmostEqual(reports.geometric_mean(report["runs"], "numpy"), 2**0.5)
        self.assertIsNone(reports.geometric_mean(report["runs"], "jax"))
        self.assertEqual([loss[0] for loss in reports.losses(report)], [0.5])
        text = reports.text(report)
        self.assertIn("4.00 ±0.40", text)
        self.assertIn("0.50 ±0.05 <", text)
        self.assertIn("faster than rapt: NumPy on llama3-8b-decode-4k, f32, 1 thread: 0.50", text)
        self.assertIn("JAX failed on llama3-8b-decode-4k, f32, 1 thread: ended: killed", text)
        self.assertIn("2 CPUs, 4 MiB", reports.machine_line(report))
        report["machine"]["amx"] = "for nobody"
        self.assertIn("2 CPUs, AMX for nobody, 4 MiB", reports.machine_line(report))

    def test_document(self):
        before = f"# A\n{reports.BEGIN}\nold\n{reports.END}\nmore\n"
        once = reports.into_document(before, a_report())
        self.assertIn("**0.50 ±0.05**", once)
        self.assertNotIn("old", once)
        self.assertTrue(once.startswith("# A\n") and once.endswith(f"{reports.END}\nmore\n"))
        self.assertEqual(reports.into_document(once, a_report()), once)
        with self.assertRaises(ValueError):
            reports.into_document("no markers", a_report())

    def test_csv(self):
        lines = reports.csv_text(a_report()).splitlines()
        self.assertEqual(len(lines), 5)
        self.assertEqual(len({line.count(",") for line in lines}), 1)

    def test_page(self):
        html = page.html(a_report())
        self.assertIn("A &lt;CPU&gt;", html)
        self.assertIn("<b>0.50 ±0.05</b>", html)
        self.assertNotRegex(html, r"https?://")


class Rounds(unittest.TestCase):
    def test_spread(self):
        self.assertEqual(rounds.spread([4.0]), 0)
        self.assertAlmostEqual(rounds.spread([1.0, 2.0, 3.0]), 1)
        self.assertAlmostEqual(rounds.spread([2.0] * 18 + [9.0, 0.1]), 0)

    def test_library_that_ends(self):
        worker = rounds.Worker("numpy", 1, {})
        self.addCleanup(worker.end)
        self.assertIn("version", worker.answer())
        with self.assertRaises(rounds.Failed):
            worker.ask(do="nonsense")
        self.assertFalse(worker.alive)

    def started(self, *command):
        """A worker that runs something else."""
        worker = rounds.Worker.__new__(rounds.Worker)
        pipe = subprocess.PIPE
        worker.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, start_new_session=True)
        worker.errors = tempfile.TemporaryFile("w+")
        return worker

    def test_cpu_time_of_a_process_is_seen(self):
        code = "import time\nwhile time.process_time() < 0.2: pass\nprint(1)\ninput()"
        worker = self.started(sys.executable, "-u", "-c", code)
        self.addCleanup(worker.end)
        process = worker.process.pid
        if not rounds.machine.read(f"/proc/{process}/schedstat"):
            self.skipTest("the kernel doesn't say")
        self.assertEqual(worker.process.stdout.readline(), b"1\n")
        self.assertGreater(rounds.machine.nanoseconds_of(process), 0.1e9)
        worker.end()
        self.assertEqual(rounds.machine.nanoseconds_of(process), 0)

    def test_end_takes_children_with_it(self):
        with tempfile.TemporaryDirectory() as folder:
            survived = pathlib.Path(folder) / "survived"
            command = 'sh -c "sleep 90; echo >$0" "$0" & echo $!; wait'
            worker = self.started("sh", "-c", command, survived)
            child = int(worker.process.stdout.readline())
            worker.end()
            # One that nobody waits for stays a zombie.
            while not re.search(r"^$|\) [ZX] ", rounds.machine.read(f"/proc/{child}/stat")):
                time.sleep(0.01)
            self.assertFalse(survived.exists())


class Spinning:
    """A clock that only naps move, and processes that each use CPU time until a moment."""

    def __init__(self, *processes, late=0.0):
        self.processes, self.late = processes, late
        self.now, self.naps = 0.0, []

    def monotonic(self):
        return 1000 + self.now

    def sleep(self, seconds):
        self.naps.append(seconds)
        self.now += seconds + self.late

    def nanoseconds_of(self, process):
        rate, until = self.processes[process]
        return 5 * 10**9 + int(1e9 * rate * min(self.now, until))

    def naps_of_rest(self, settle):
        workers = [
            unittest.mock.Mock(**{"process.pid": process}) for process in range(len(self.processes))
        ]
        with unittest.mock.patch.multiple(rounds, time=self, machine=self):
            rounds.rest(workers, settle)
        return self.naps


class Rest(unittest.TestCase):
    """Sizes are sums of powers of two, so that the clock is exact."""

    SETTLE = 1 / 64

    def naps(self, *processes, **options):
        naps = Spinning(*processes, **options).naps_of_rest(self.SETTLE)
        self.assertEqual(set(naps), {self.SETTLE})
        return len(naps)

    def test_ends_when_nobody_spins(self):
        self.assertEqual(self.naps(), 1)
        self.assertEqual(self.naps((0, 9)), 1)
        self.assertEqual(self.naps((0, 9), (rounds.SPINNING / 2, 9)), 1)

    def test_goes_on_while_one_spins(self):
        # The nap in which nobody spun is the last.
        self.assertEqual(self.naps((1, 0.5)), 32 + 1)
        self.assertEqual(self.naps((0, 9), (4, 0.25), (1, 0.125)), 16 + 1)

    def test_what_all_use_counts_together(self):
        self.assertEqual(self.naps(*[(0.75 * rounds.SPINNING, 0.5)] * 2), 32 + 1)

    def test_ends_though_one_spins(self):
        self.assertEqual(self.naps((1, 99)), rounds.SPIN_MOST / self.SETTLE)

    def test_naps_that_take_long_end_it_too(self):
        self.assertEqual(self.naps((1, 99), late=1 - self.SETTLE), rounds.SPIN_MOST)
        self.assertEqual(self.naps((1, 99), late=9), 1)
        self.assertEqual(self.naps((1, 0.5), late=1 - self.SETTLE), 2)


class Run(unittest.TestCase):
    def test_amx_is_held_off(self):
        for flags, names in (([], set()), (["--no-amx"], set(run.NO_AMX))):
            with unittest.mock.patch.object(sys, "argv", ["run.py", *flags]):
                self.assertEqual(set(run.variables(run.options())) - {"RAPT_LIBRARY"}, names)

    def run_py(self, *arguments, status=0):
        command = [sys.executable, HERE / "run.py", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, status, done.stderr)
        return done.stdout if status == 0 else done.stderr

    def test_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            document = path / "document.md"
            document.write_text(f"{reports.BEGIN}{reports.END}", encoding="utf-8")
            shape = "2,4,2,9,21,8,window=5,softcap=3,alibi"
            out = self.run_py(
                *("--peers", "numpy", "--dtypes", "f32", "--threads", "1", "--time", "0.01"),
                *(
                    "--shape",
                    shape,
                    "--shape",
                    "1,4,2,1,50,16,cold",
                    "--shape",
                    "1,2,2,8,8,4,causal",
                ),
                *("--json", path / "a.json", "--csv", path / "a.csv", "--html", path / "a.html"),
                *("--markdown", document),
            )
            report = json.loads((path / "a.json").read_text(encoding="utf-8"))
            self.assertEqual(len(report["runs"]), 3)
            for run in report["runs"]:
                for name in ("rapt", "numpy"):
                    self.assertLess(run["results"][name]["error"], tensors.BOUND["f32"])
                    self.assertGreater(run["results"][name]["ms"], 0)
                self.assertEqual(run["results"]["rapt"]["ratio"], 1)
            again = self.run_py("--from", path / "a.json")
            self.assertEqual(again, out)
            self.assertEqual((path / "a.csv").read_text(encoding="utf-8").count("\n"), 7)
            self.assertIn("| geometric mean |", document.read_text(encoding="utf-8"))
            self.assertIn("</html>", (path / "a.html").read_text(encoding="utf-8"))
            self.assertEqual(len(list(path.iterdir())), 4)

    def test_bad_usage(self):
        self.assertIn("found cupy", self.run_py("--peers", "cupy", status=2))
        self.assertIn("found 0", self.run_py("--threads", "0", status=2))
        self.assertIn("found ber", self.run_py("--shapes", "ber", status=2))
        self.assertIn("found 1,2", self.run_py("--shape", "1,2", status=2))
        self.assertIn("No such file", self.run_py("--from", "/nowhere/a.json", status=1))


class Peers(unittest.TestCase):
    def test_every_library_says_what_it_is(self):
        for name in peer.NAMES:
            library = peer.find(name)
            self.assertEqual(library.name, name)
            self.assertTrue(library.title and library.pip)
            self.assertIn("4", library.environment(4).values())


if __name__ == "__main__":
    unittest.main()
