# SPDX-License-Identifier: Apache-2.0
"""The page with charts: one file that needs nothing else, in light and dark."""

import html as escapes
import pathlib

import report as reports

STYLE = "\n" + (pathlib.Path(__file__).parent / "page.css").read_text(encoding="utf-8")

LEFT, BAR, ROW, HEIGHT, WIDTH = 104, 130, 26, 14, 340


def escape(text):
    return escapes.escape(str(text))


def bars(lines, most, mark=None):
    """Bars of (label, value, kind, note, hint), on a scale from 0 to `most`."""
    body = []
    for i, (label, value, kind, note, hint) in enumerate(lines):
        y = i * ROW
        width = max(BAR * min(value / most, 1), 1)
        body.append(
            f'<text x="0" y="{y + 17}">{escape(label)}</text><g><title>{escape(hint)}</title>'
            f'<rect class="{kind}" x="{LEFT}" y="{y + 6}" width="{width:.1f}" height="{HEIGHT}" '
            f'rx="3"/></g><text class="{"loss" if kind == "loss" else ""}" '
            f'x="{LEFT + BAR + 8}" y="{y + 17}">{note}</text>'
        )
    if mark:
        x = LEFT + BAR * mark / most
        body.append(f'<path class="one" d="M{x:.1f} 2V{len(lines) * ROW}"/>')
    return f'<svg viewBox="0 0 {WIDTH} {len(lines) * ROW}" role="img">{"".join(body)}</svg>'


def speed(run, name):
    """GB/s of keys and values, or GFLOP/s."""
    ms = run["results"].get(name, {}).get("ms")
    return ms and (run["kv_bytes"] if run["decode"] else run["flops"]) / ms / 1e6


def case_chart(report, run):
    speeds = {name: speed(run, name) for name in report["peers"]}
    speeds = {name: value for name, value in speeds.items() if value}
    lines = []
    for name, value in speeds.items():
        result = run["results"][name]
        ratio = result["ratio"]
        kind = "ours" if name == reports.OURS else "loss" if ratio < 1 else "other"
        times = "" if name == reports.OURS else f'<tspan class="soft"> · {ratio:.2f}×</tspan>'
        hint = (
            f"{result['variant']}: {reports.milliseconds(result['ms'])} ms, spread "
            f"{100 * result['spread']:.0f}%, error {result['error']:.0e}"
        )
        lines.append((report["peers"][name]["title"], value, kind, f"{value:.3g}{times}", hint))
    unit = "GB/s" if run["decode"] else "GFLOP/s"
    return (
        f'<figure><figcaption>{escape(run["shape"])} <span class="soft">{unit}</span>'
        f"</figcaption>{bars(lines, max(speeds.values(), default=1))}</figure>"
    )


def means_chart(report, runs, caption):
    lines = []
    for name in reports.others(report):
        mean = reports.geometric_mean(runs, name)
        if mean:
            count = sum(1 for run in runs if reports.ratio(run, name))
            kind = "loss" if mean < 1 else "other"
            hint = f"geometric mean of {count} cases"
            lines.append((report["peers"][name]["title"], mean, kind, f"{mean:.2f}×", hint))
    if not lines:
        return ""
    most = max(1.0, *(line[1] for line in lines))
    return (
        f'<figure><figcaption>{escape(caption)} <span class="soft">time in that of rapt</span>'
        f"</figcaption>{bars(lines, most, mark=1)}</figure>"
    )


def table(report, runs):
    head, *lines = reports.rows(report, runs, loud=lambda ratio: f"\0{ratio}\1")
    cells = lambda line, tag: "".join(f"<{tag}>{escape(c)}</{tag}>" for c in line)  # noqa: E731
    body = "".join(f"<tr>{cells(line, 'td')}</tr>" for line in lines)
    body = body.replace("\0", "<b>").replace("\1", "</b>")
    return (
        f'<div class="wide"><table><thead><tr>{cells(head, "th")}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def html(report):
    groups = reports.groups(report)
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>rapt and its peers</title>\n<style>{STYLE}</style></head><body>\n"
        f'<h1>rapt and its peers</h1><p class="soft">{escape(reports.machine_line(report))}</p>\n'
        f'<p class="soft">{escape(reports.versions(report))}</p>\n'
        "<p>The same shapes, numbers and threads in one run, in turns, each result checked. "
        "A ratio is a library's time in that of rapt: 2× is half as fast.</p>\n"
        '<p><span class="key" style="background:var(--ours)"></span>rapt'
        '<span class="key" style="background:var(--other)"></span>slower than rapt'
        '<span class="key" style="background:var(--loss)"></span>faster than rapt</p>\n'
        '<h2>Geometric means</h2><div class="grid">'
    ]
    parts += [means_chart(report, runs, reports.title(*key)) for key, runs in groups.items()]
    parts.append("</div>\n")
    for key, runs in groups.items():
        parts.append(f'<h2>{escape(reports.title(*key))}</h2>\n<div class="grid">')
        parts += [case_chart(report, run) for run in runs if speed(run, reports.OURS)]
        parts.append(f"</div>\n{table(report, runs)}\n")
    return "".join(parts) + "</body></html>\n"
