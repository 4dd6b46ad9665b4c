#!/usr/bin/env python3
"""Holds docs/state-machines.md, the code's states and the alerts together.

usage: states.py ROOT

Prints one line per finding and ends with 1 when there are any.
"""
import os
import re
import sys

COLUMNS = 7
# Where the names are, and under which heading the page has them.
MACHINES = {
    "The driver": ("common/stream/driver_probe.h", r"DriverStateName\(.*?kNames\[kDriverStates\] = \{(.*?)\}"),
    "The source": ("common/kafka/source.h", r"kStateNames = \{(.*?)\}"),
}
# Where the names of log lines are written.
LOGS = ["services/processor/probe.cc", "common/kafka/source.cc", "common/kafka/connection.cc"]


def rows_of(page, heading):
    """The table under a heading, as {state: [cells]}."""
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0] if f"## {heading}\n" in page else ""
    rows = {}
    for line in section.split("\n"):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if name := re.fullmatch(r"`(\w+)`", cells[0]):
            rows[name.group(1)] = cells
    return rows


def check(read):
    """Yields findings; `read` gives a file's text by its path in the repository."""
    page = read("docs/state-machines.md")
    alerts = set(re.findall(r"- alert: (\w+)", read("deploy/prometheus/alerts.yaml")))
    metrics = set(read("tests/golden/metrics.txt").split())
    logs = "".join(read(path) for path in LOGS)
    for heading, (path, pattern) in MACHINES.items():
        found = re.search(pattern, read(path), re.S)
        names = re.findall(r'"(\w+)"', found.group(1)) if found else []
        if not names:
            yield f"{path}: the states' names aren't where this test looks for them"
        rows = rows_of(page, heading)
        for name in sorted(set(names) - set(rows)):
            yield f"docs/state-machines.md: {heading}: describe the state `{name}`"
        for name in sorted(set(rows) - set(names)):
            yield f"docs/state-machines.md: {heading}: `{name}` is no state"
        for name, cells in rows.items():
            if len(cells) != COLUMNS or not all(cells):
                yield f"docs/state-machines.md: `{name}` needs all {COLUMNS} cells"
                continue
            log, metric, alert = (cell.strip("`") for cell in cells[4:7])
            if f'"{log}"' not in logs:
                yield f"docs/state-machines.md: `{name}`: nothing logs {log}"
            if metric not in metrics:
                yield f"docs/state-machines.md: `{name}`: there is no metric {metric}"
            if alert not in alerts:
                yield f"docs/state-machines.md: `{name}`: there is no alert {alert}"


def main():
    root = sys.argv[1]

    def read(path):
        with open(os.path.join(root, path), encoding="utf-8") as file:
            return file.read()

    findings = list(check(read))
    print("\n".join(findings), end="\n" if findings else "")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
