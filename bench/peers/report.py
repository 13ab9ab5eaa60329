# SPDX-License-Identifier: Apache-2.0
"""The results as tables for people, and as lines for machines.

A report is what --json writes: {"machine", "peers": {name: {title, version}}, "runs"}; a run has
the shape, dtype, threads, and "results": {name: {ms, spread, ratio, …} or {failed}}.
"""

import csv
import io
import math

import peer
import tensors

OURS = peer.NAMES[0]


def groups(report):
    """Runs of the same dtype and threads, in the order in which they were made."""
    by = {}
    for run in report["runs"]:
        by.setdefault((run["dtype"], run["threads"]), []).append(run)
    return by


def others(report):
    return [name for name in report["peers"] if name != OURS]


def ratio(run, name):
    """The peer's time in rapt's; None if it has none."""
    return run["results"].get(name, {}).get("ratio")


def geometric_mean(runs, name):
    logs = [math.log(ratio(run, name)) for run in runs if ratio(run, name)]
    return math.exp(sum(logs) / len(logs)) if logs else None


def losses(report):
    """(ratio, run, name) of what was faster than rapt, the worst first."""
    found = [
        (ratio(run, name), run, name)
        for run in report["runs"]
        for name in others(report)
        if (ratio(run, name) or 1) < 1
    ]
    return sorted(found, key=lambda loss: loss[0])


def rate(run):
    """rapt's GB/s of keys and values, or GFLOP/s."""
    seconds = run["results"][OURS]["ms"] / 1e3
    if run["decode"]:
        return f"{run['kv_bytes'] / seconds / 1e9:.1f} GB/s"
    return f"{run['flops'] / seconds / 1e9:.0f} GFLOP/s"


def milliseconds(ms):
    return f"{ms:.3f}" if ms < 10 else f"{ms:.1f}"


def cell(run, name, loud=str):
    """A ratio and half its spread; a loss is loud."""
    result = run["results"].get(name)
    if not result:
        return "–"
    if "ratio" not in result:
        return "failed"
    text = f"{result['ratio']:.2f} ±{result['ratio_spread'] * result['ratio'] / 2:.2f}"
    return loud(text) if result["ratio"] < 1 else text


def title(dtype, threads):
    return f"{dtype}, {threads} thread{'s' if threads > 1 else ''}"


def rows(report, runs, loud=str):
    """The table of a group: head, lines and geometric means."""
    names = others(report)
    yield ["shape", "rapt ms", "±", "rate", *(report["peers"][n]["title"] for n in names)]
    for run in runs:
        mine = run["results"].get(OURS, {})
        if "ms" not in mine:
            yield [run["shape"], "failed", "", "", *("" for _ in names)]
            continue
        figures = [milliseconds(mine["ms"]), f"{50 * mine['spread']:.0f}%", rate(run)]
        yield [run["shape"], *figures, *(cell(run, name, loud) for name in names)]
    means = [geometric_mean(runs, name) for name in names]
    yield ["geometric mean", "", "", "", *(f"{m:.2f}" if m else "–" for m in means)]


def text(report):
    """All tables, for a terminal."""
    lines = []
    for (dtype, threads), runs in groups(report).items():
        table = list(rows(report, runs, loud=lambda ratio: ratio + " <"))
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        lines += ["", title(dtype, threads) + ": times of others in that of rapt"]
        for line in table:
            pad = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:]))]
            lines.append("  ".join(pad).rstrip())
    lines += ["", *summary(report)]
    return "\n".join(lines)


def summary(report):
    """The geometric mean over all, and every loss."""
    for name in others(report):
        mean = geometric_mean(report["runs"], name)
        count = sum(1 for run in report["runs"] if ratio(run, name))
        if mean:
            cases = f"{count} case{'s' if count > 1 else ''}"
            yield f"{report['peers'][name]['title']}: {mean:.2f} times rapt's time in {cases}"
    for value, run, name in losses(report):
        case = f"{run['shape']}, {title(run['dtype'], run['threads'])}"
        yield f"faster than rapt: {report['peers'][name]['title']} on {case}: {value:.2f}"
    for run in report["runs"]:
        for name, result in run["results"].items():
            if "failed" in result:
                case = f"{run['shape']}, {title(run['dtype'], run['threads'])}"
                yield f"{report['peers'][name]['title']} failed on {case}: {why(result)}"


def why(result):
    said = [
        f"{name}: {v.get('refused') or 'error {:.1e}'.format(v['wrong'])}"
        for name, v in result.get("variants", {}).items()
        if "ms" not in v
    ]
    return "; ".join(said) or result["failed"]


def machine_line(report):
    facts = report["machine"]
    amx = f"AMX {facts['amx']}, " if facts.get("amx") else ""
    return (
        f"{facts['cpu']}, {facts['cpus']} CPUs, {amx}{facts['cache_mib']} MiB of cache, "
        f"{facts['memory_gib']} GiB, {facts['os']}, Python {facts['python']}, {facts['date']}; "
        f"others took {100 * facts['others']:.0f}% of the CPU time"
    )


def versions(report):
    return " · ".join(f"{p['title']} {p['version']}" for p in report["peers"].values())


def markdown(report):
    """What stands between the markers of a document."""
    lines = [machine_line(report) + ".", "", versions(report) + "."]
    for (dtype, threads), runs in groups(report).items():
        table = list(rows(report, runs, loud=lambda ratio: f"**{ratio}**"))
        lines += ["", f"### {title(dtype, threads)}", "", "| " + " | ".join(table[0]) + " |"]
        lines.append("|---" + "|--:" * (len(table[0]) - 1) + "|")
        lines += ["| " + " | ".join(line) + " |" for line in table[1:]]
    return "\n".join(lines + ["", *(f"- {line}" for line in summary(report))])


BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"


def into_document(document, report):
    """The document with its table replaced; ValueError if it has no markers."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected a document with {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{markdown(report)}\n{END}{after}"


CSV = "shape,dtype,threads,library,version"
CSV_RESULT = "variant,ms,spread,ratio,ratio_spread,turns,error"


def csv_text(report):
    """A line for each library and case."""
    file = io.StringIO()
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow([*CSV.split(","), *CSV_RESULT.split(",")])
    for run in report["runs"]:
        for name, result in run["results"].items():
            if "ms" in result:
                version = report["peers"][name]["version"]
                lines.writerow(
                    [run["shape"], run["dtype"], run["threads"], name, version]
                    + [result[key] for key in CSV_RESULT.split(",")]
                )
    return file.getvalue()


def describe(shape, dtype, threads, results):
    """A run, as reports have it."""
    return {
        "shape": shape.name,
        "text": shape.text(),
        "dtype": dtype,
        "threads": threads,
        "decode": shape.decode,
        "flops": shape.flops(),
        "kv_bytes": shape.kv_bytes(tensors.ITEM[dtype]),
        "results": results,
    }
