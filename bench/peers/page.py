# SPDX-License-Identifier: Apache-2.0
"""The page with charts: one file that needs nothing else, in light and dark."""

import html as escapes

import report as reports

STYLE = """
:root{color-scheme:light dark;--page:#fafaf8;--card:#fff;--ink:#1d1d1b;--soft:#666660;--line:#e4e4de;
--ours:#2a6fd0;--other:#b9b9b1;--loss:#c9570f}
@media(prefers-color-scheme:dark){:root{--page:#161615;--card:#20201f;--ink:#f0f0ec;--soft:#a3a39c;
--line:#363633;--ours:#5c9bf0;--other:#5d5d57;--loss:#ee8648}}
*{box-sizing:border-box}
body{margin:0 auto;padding:24px 16px 48px;max-width:1160px;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,sans-serif}
h1{font-size:26px;margin:0}h2{font-size:19px;margin:36px 0 4px}
p{margin:4px 0;max-width:76ch}.soft{color:var(--soft);font-weight:400}
.grid{display:grid;gap:14px;margin-top:14px;
grid-template-columns:repeat(auto-fill,minmax(min(100%,330px),1fr))}
figure{margin:0;padding:14px;background:var(--card);border:1px solid var(--line);border-radius:10px}
figcaption{font-weight:600;font-size:14px;margin-bottom:6px;overflow-wrap:anywhere}
svg{display:block;width:100%;height:auto}
text{font:12px system-ui,sans-serif;fill:var(--ink);font-variant-numeric:tabular-nums}
text.soft,tspan.soft{fill:var(--soft)}text.loss{fill:var(--loss)}
.ours{fill:var(--ours)}.other{fill:var(--other)}rect.loss{fill:var(--loss)}
.one{stroke:var(--ours);stroke-dasharray:3 3}
.key{display:inline-block;width:11px;height:11px;border-radius:3px;margin:0 5px 0 12px}
.key:first-child{margin-left:0}
.wide{overflow-x:auto;margin-top:14px}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;white-space:nowrap}
th,td{padding:4px 14px 4px 0;text-align:right;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:500}th:first-child,td:first-child{text-align:left}
td b{color:var(--loss)}
"""

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
