#!/usr/bin/env python3
"""Pictures of the dashboards, from a real run of the demo: our drawing of their queries, not Grafana's.

usage: render.py FOLDER [SECONDS]

Runs the demo and Prometheus for SECONDS (default 90) and writes NAME.png for each dashboard into FOLDER.
"""
import html
import os
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/observe"))
from live import Live, as_asked, dashboards  # noqa: E402

WIDTH, UNIT, GAP, TOP = 1400, 29, 10, 64
COLORS = ["#3274d9", "#2f9e6e", "#e0a526", "#d64550", "#8b5cc4", "#18a2b8", "#d97432", "#6b7a90", "#b0468f", "#7a9a2e"]
STYLE = """
body{margin:0;background:#f3f5f8;font:12px/1.35 "DejaVu Sans",sans-serif;color:#1f2733}
h1{position:absolute;left:14px;top:8px;margin:0;font-size:19px}
.why{position:absolute;left:14px;top:36px;color:#5b6676}
.row{position:absolute;font-weight:bold;color:#5b6676;font-size:13px;padding-top:6px}
.card{position:absolute;box-sizing:border-box;background:#fff;border:1px solid #dde2ea;border-radius:6px;padding:8px 10px;overflow:hidden}
.card b{display:block;white-space:nowrap;overflow:hidden;text-overflow:ellipsis}
.big{font-size:30px;font-weight:bold;margin-top:12px;white-space:nowrap}
.key{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:5px}
.legend{display:flex;flex-wrap:wrap;gap:1px 14px;font-size:11px;color:#3a4454}
table{border-collapse:collapse;margin-top:6px;font-size:11px}td,th{text-align:left;padding:3px 14px 3px 0;border-bottom:1px solid #edf0f4}
"""


def scaled(value, steps):
    for bound, suffix in steps:
        if abs(value) >= bound:
            return f"{value / bound:.3g}{suffix}"
    return f"{value:.3g}"


def shown(value, unit):
    """With its unit, as a person would write it."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        if value == 0:
            return "0 s"
        return (scaled(value, [(86400, " d"), (3600, " h"), (60, " min"), (1, " s")]) if abs(value) >= 1
                else scaled(value, [(1e-3, " ms"), (1e-6, " µs")]))
    if unit in ("bytes", "Bps"):
        return scaled(value, [(2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B")]) + ("/s" if unit == "Bps" else "")
    number = scaled(value, [(1e6, " M"), (1e3, " k")])
    return number + {"eps": " /s", "ops": " /s", "wps": " /s", "reqps": " /s"}.get(unit, "")


def legend_of(target, labels):
    text = target["legendFormat"]
    for name in {part.split("}}")[0] for part in text.split("{{")[1:]}:
        text = text.replace("{{" + name + "}}", labels.get(name, ""))
    return text.strip() or "none"


def legend_rows(texts, width):
    """In how many rows a legend is wrapped, by what its letters measure; the chart leaves them room."""
    rows, used = 1, 0
    for text in texts:
        wide = 29 + 6.4 * len(text)
        if used and used + wide > width:
            rows, used = rows + 1, 0
        used += wide
    return rows


def fixed_colors(panel):
    return {override["matcher"]["options"]: override["properties"][0]["value"]["fixedColor"]
            for override in panel.get("fieldConfig", {}).get("overrides", [])}


def chart(panel, series, start, end, width, height):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    stacked = panel["fieldConfig"]["defaults"].get("custom", {}).get("stacking", {}).get("mode") == "normal"
    floor, drawn = {}, []
    for name, color, points in series:
        if stacked:
            base = [(at, floor.get(at, 0)) for at, _ in points]
            points = [(at, value + floor.get(at, 0)) for at, value in points]
            floor.update(points)
        else:
            base = [(at, 0) for at, _ in points]
        drawn.append((name, color, points, base))
    top = max([value for _, _, points, _ in drawn for _, value in points] + [0]) * 1.1 or 1
    left, bottom = 62, 18
    x = lambda at: left + (at - start) / (end - start) * (width - left - 6)  # noqa: E731
    y = lambda value: 10 + (height - bottom - 10) * (1 - value / top)  # noqa: E731
    out = [f'<svg width="{width}" height="{height}">']
    for i in range(5):
        value = top * i / 4
        out.append(f'<line x1="{left}" x2="{width - 6}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#e8ecf1"/>'
                   f'<text x="{left - 6}" y="{y(value) + 4:.1f}" font-size="10" fill="#6b7a90" text-anchor="end">{shown(value, unit)}</text>')
    for i in range(4):
        at = start + (end - start) * i / 3
        anchor = ("start", "middle", "middle", "end")[i]
        out.append(f'<text x="{x(at):.0f}" y="{height - 3}" font-size="10" fill="#6b7a90" text-anchor="{anchor}">'
                   f'{time.strftime("%H:%M:%S", time.gmtime(at))}</text>')
    for _, color, points, base in drawn:
        line = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in points)
        back = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in reversed(base))
        out.append(f'<polygon points="{line} {back}" fill="{color}" opacity="{0.55 if stacked else 0.08 if len(drawn) < 3 else 0}"/>'
                   f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.6"/>')
    return "".join(out) + "</svg>"


def fill(panel, live, start, end, step, width, height):
    colors = fixed_colors(panel)
    found = []
    for target in panel["targets"]:
        expression = as_asked(target["expr"], "15s")
        if panel["type"] == "table":
            rows = [labels for labels, _ in live.now(expression)]
            names = sorted({name for labels in rows for name in labels} - {"__name__"})
            return ("<table><tr>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>" +
                    "".join("<tr>" + "".join(f"<td>{html.escape(labels.get(name, ''))[:44]}</td>" for name in names) + "</tr>"
                            for labels in rows) + "</table>")
        for labels, points in live.over(expression, start, end, step):
            if points:
                name = legend_of(target, labels)
                found.append((name, colors.get(name) or COLORS[len(found) % len(COLORS)], points))
    unit = panel["fieldConfig"]["defaults"]["unit"]
    if panel["type"] == "stat":
        value = found[0][2][-1][1] if found else 0
        color = [s["color"] for s in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
                 if s["value"] is None or value >= s["value"]][-1]
        return f'<div class="big" style="color:{color}">{shown(value, unit)}</div>'
    texts = [f"{name}: {shown(points[-1][1], unit)}" for name, _, points in found]
    keys = "".join(f'<span><span class="key" style="background:{color}"></span>{html.escape(text)}</span>'
                   for text, (_, color, _) in zip(texts, found))
    room = 12 + 15 * legend_rows(texts, width)
    return chart(panel, found, start, end, width, height - room) + f'<div class="legend">{keys}</div>'


def page(dashboard, live, start, end):
    out = [f'<meta charset="utf-8"><style>{STYLE}</style><h1>{html.escape(dashboard["title"])}</h1>'
           f'<div class="why">{html.escape(dashboard["description"])}</div>']
    column, bottom = (WIDTH - GAP) / 24, 0
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        left, top = GAP + at["x"] * column, TOP + at["y"] * UNIT
        width, height = at["w"] * column - GAP, at["h"] * UNIT - GAP
        bottom = max(bottom, top + height)
        place = f'style="left:{left:.0f}px;top:{top:.0f}px;width:{width:.0f}px;height:{height + (9 if panel["type"] == "row" else 0):.0f}px"'
        if panel["type"] == "row":
            out.append(f'<div class="row" {place}>{html.escape(panel["title"])}</div>')
            continue
        body = fill(panel, live, start, end, max(1, int((end - start) / 90)), int(width - 22), int(height - 36))
        out.append(f'<div class="card" {place}><b>{html.escape(panel["title"])}</b>{body}</div>')
    return "".join(out), int(bottom + GAP)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    seconds = int(sys.argv[2]) if len(sys.argv) == 3 else 90
    with Live(400) as live, tempfile.TemporaryDirectory() as folder:
        # What is drawn is this time itself, with a reload in its middle.
        time.sleep(seconds / 2)
        live.reload()
        time.sleep(seconds - seconds / 2)
        end = time.time()
        for name, dashboard in dashboards().items():
            text, height = page(dashboard, live, end - seconds + 15, end)
            source = os.path.join(folder, name + ".html")
            with open(source, "w", encoding="utf-8") as file:
                file.write(text)
            subprocess.run(["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu",
                            f"--user-data-dir={folder}/profile", f"--window-size={WIDTH},{height}",
                            "--force-device-scale-factor=0.75",
                            f"--screenshot={os.path.abspath(sys.argv[1])}/{name}.png", "file://" + source],
                           check=True, capture_output=True)
            print(f"{name}.png")


if __name__ == "__main__":
    main()
