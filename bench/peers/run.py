#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times rapt and other libraries that compute attention on CPUs, on the same shapes and numbers,
with as many threads, in turns, and prints their times in that of rapt: more than 1 is slower.

Every result is checked against double precision before it is timed. Of a library that has several
ways to compute a shape the fastest counts. Libraries that are not installed are left out; it says
how to get them.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import signal
import sys

try:
    import numpy  # noqa: F401
except ImportError:
    sys.exit("run.py: NumPy is missing: pip install numpy")

import machine
import page
import peer
import report as reports
import rounds
import shapes
import tensors

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What PyTorch, OpenVINO and JAX compute with, held to the instructions before AMX.
NO_AMX = {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", "MKL_ENABLE_INSTRUCTIONS": "AVX512_E3"}


def split(text):
    return [word for word in text.split(",") if word]


def words(known):
    def parse(text):
        unknown = [word for word in split(text) if word not in known]
        if unknown or not split(text):
            raise argparse.ArgumentTypeError(f"found {text}, expected some of {','.join(known)}")
        return split(text)

    return parse


def counts(text):
    most = len(machine.processors())
    if not split(text) or not all(w.isdigit() and 1 <= int(w) <= most for w in split(text)):
        raise argparse.ArgumentTypeError(f"found {text}, expected numbers of 1 to {most}")
    return [int(word) for word in split(text)]


def parsed(parse):
    """An argument that a function makes something of."""

    def take(text):
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return take


def options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    most = len(machine.processors())
    both = [1, most] if most > 1 else [1]
    add = parser.add_argument
    add(
        "--peers",
        type=words(peer.NAMES[1:]),
        default=peer.NAMES[1:],
        metavar="NAME,...",
        help=f"of {', '.join(peer.NAMES[1:])} (default all that are there)",
    )
    add(
        "--shapes",
        type=parsed(lambda text: shapes.select(split(text))),
        default=[],
        metavar="NAME,...",
        help="names or starts of names, or all; --list prints them",
    )
    add(
        "--shape",
        type=parsed(shapes.parse),
        action="append",
        default=[],
        metavar="SHAPE",
        help=f"one of your own, also several times: {shapes.FORM}",
    )
    add(
        "--threads",
        type=counts,
        default=both,
        metavar="N,...",
        help=f"thread counts (default {','.join(map(str, both))})",
    )
    add(
        "--dtypes",
        type=words(list(tensors.ITEM)),
        default=["f32", "bf16"],
        metavar="TYPE,...",
        help="of f32, f16 and bf16, for all tensors (default f32,bf16)",
    )
    add(
        "--time",
        type=float,
        metavar="SECONDS",
        help="runs of each library in each case (default 0.2, quick 0.1)",
    )
    add("--quick", action="store_true", help="few shapes, less time")
    add(
        "--no-amx",
        action="store_true",
        help="hold oneDNN and MKL to AVX-512, as on processors without AMX",
    )
    add(
        "--library",
        metavar="FILE",
        help="librapt (default RAPT_LIBRARY, build/src/librapt.so, or the installed one)",
    )
    add("--json", metavar="FILE", help="write all results there")
    add("--csv", metavar="FILE", help="write a line for each library and case")
    add("--html", metavar="FILE", help="write a page with charts, which needs no network")
    add("--markdown", metavar="FILE", help="put the tables into that document, between its markers")
    add("--from", dest="source", metavar="FILE", help="measure nothing, take the results of --json")
    add("--list", action="store_true", help="print the shapes and exit")
    chosen = parser.parse_args()
    if chosen.time is not None and not 0 < chosen.time <= 3600:
        parser.error(f"argument --time: found {chosen.time:g}, expected seconds of 0 to 3600")
    return chosen


def variables(chosen):
    """What the processes' environment has besides."""
    held = NO_AMX if chosen.no_amx else {}
    built = ROOT / "build/src/librapt.so"
    library = (
        chosen.library or os.environ.get("RAPT_LIBRARY") or (built if built.exists() else None)
    )
    return {**held, "RAPT_LIBRARY": str(library)} if library else held


def start(chosen, threads, versions):
    """The libraries that are there, with so many threads; notes their versions."""
    workers = []
    for name in peer.NAMES:
        if name != reports.OURS and name not in chosen.peers:
            continue
        worker = rounds.Worker(name, threads, variables(chosen))
        workers.append(worker)
        try:
            said = worker.answer()
        except rounds.Failed as failure:
            said = {"missing": str(failure)}
        if "missing" in said:
            worker.alive = False
            if name == reports.OURS:
                sys.exit(f"run.py: {said['missing']}")
            if name not in versions:
                print(
                    f"{worker.library.title} is not here ({said['missing']}): "
                    f"pip install {worker.library.pip}",
                    file=sys.stderr,
                )
        versions[name] = said.get("version")
    return workers


def computable(dtypes):
    """Those that NumPy's arrays can be of here."""
    if "bf16" not in dtypes or importlib.util.find_spec("ml_dtypes"):
        return dtypes
    print("bf16 is left out: pip install ml_dtypes", file=sys.stderr)
    return [dtype for dtype in dtypes if dtype != "bf16"]


def collect(chosen):
    """Measures everything; the report."""
    seconds = chosen.time or (0.1 if chosen.quick else 0.2)
    list_of = chosen.shapes + chosen.shape or shapes.usual(chosen.quick)
    cases = [(shape, dtype) for dtype in computable(chosen.dtypes) for shape in list_of]
    versions, runs, own, load = {}, [], 0.0, machine.Load()
    for threads in chosen.threads:

        def keep(shape, dtype, results, threads=threads):
            runs.append(reports.describe(shape, dtype, threads, results))
            done = f"{len(runs)}/{len(cases) * len(chosen.threads)}"
            if sys.stderr.isatty():
                print(f"\r\033[K{done} {shape.name} {dtype}", end="", file=sys.stderr, flush=True)

        workers = start(chosen, threads, versions)
        try:
            rounds.measure_all(workers, cases, seconds, threads, keep)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            print("\nrun.py: interrupted; what follows are the results so far", file=sys.stderr)
            break
        finally:
            for worker in workers:
                own += worker.cpu_seconds
                worker.end()
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)
    runs.sort(key=lambda run: chosen.dtypes.index(run["dtype"]))
    return {
        "machine": {**machine.facts(chosen.no_amx), "others": load.others(own)},
        "peers": {
            name: {"title": peer.find(name).title, "version": version}
            for name, version in versions.items()
            if version
        },
        "runs": runs,
    }


def write(path, content):
    """A file that is either complete or as it was."""
    partial = pathlib.Path(f"{path}.partial")
    try:
        partial.write_text(content, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        sys.exit(f"run.py: {path}: {error.strerror}")


def read(path):
    try:
        return pathlib.Path(path).read_text(encoding="utf-8")
    except OSError as error:
        sys.exit(f"run.py: {path}: {error.strerror}")


def write_files(chosen, report):
    if chosen.json:
        write(chosen.json, json.dumps(report, indent=1) + "\n")
    if chosen.csv:
        write(chosen.csv, reports.csv_text(report))
    if chosen.html:
        write(chosen.html, page.html(report))
    if chosen.markdown:
        try:
            write(chosen.markdown, reports.into_document(read(chosen.markdown), report))
        except ValueError as error:
            sys.exit(f"run.py: {chosen.markdown}: {error}")


def main():
    chosen = options()
    if chosen.list:
        for shape in shapes.SHAPES.values():
            print(f"{shape.name:<25}{shape.text()}{'' if shape.name in shapes.ASKED else ' *'}")
        print("\n* if nothing else is asked for")
        return 0
    if chosen.source:
        report = json.loads(read(chosen.source))
    else:
        report = collect(chosen)
    print(reports.machine_line(report))
    print(reports.versions(report))
    print(reports.text(report))
    write_files(chosen, report)
    wrong = any(
        "wrong" in v
        for run in report["runs"]
        for v in run["results"].get(reports.OURS, {}).get("variants", {}).values()
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
