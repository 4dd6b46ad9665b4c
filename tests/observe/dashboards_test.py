#!/usr/bin/env python3
"""What is committed is what generate.py makes, and every panel can be read by somebody who has never seen it."""
import os
import re
import subprocess
import sys
import tempfile
import unittest

from live import as_asked, dashboards, panels
from promql import ROOT, golden_metrics, metrics_of
from rules_test import rules

FOLDER = os.path.join(ROOT, "deploy/grafana")
# Prometheus' own.
OTHERS = {"up", "ALERTS"}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class DashboardsTest(unittest.TestCase):
    def each_panel(self):
        for name, dashboard in dashboards().items():
            for panel in panels(dashboard):
                yield f"{name} / {panel['title']}", panel

    def test_they_are_current(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-B", os.path.join(FOLDER, "generate.py"), folder], check=True)
            self.assertEqual({name + ".json" for name in dashboards()}, set(os.listdir(folder)))
            for name in os.listdir(folder):
                self.assertEqual(read(os.path.join(FOLDER, name)), read(os.path.join(folder, name)),
                                 f"{name}: ./run dashboards")

    def test_every_metric_shown_exists(self):
        known = golden_metrics() | {rule["record"] for rule in rules("record")} | OTHERS
        for name, panel in self.each_panel():
            for target in panel["targets"]:
                self.assertLessEqual(metrics_of(as_asked(target["expr"], "1m")), known, name)

    def test_every_panel_says_what_it_shows_and_in_what_unit(self):
        for name, panel in self.each_panel():
            self.assertRegex(panel.get("description", ""), r"\.$", name)
            if panel["type"] != "table":
                self.assertTrue(panel["fieldConfig"]["defaults"].get("unit"), name)

    def test_a_dashboard_fits_every_installation(self):
        for name, panel in self.each_panel():
            self.assertEqual(panel["datasource"]["uid"], "${datasource}", name)
            for target in panel["targets"]:
                expression = target["expr"]
                self.assertIn('job=~"$job"' if "ALERTS" not in expression else "ALERTS", expression, name)
                self.assertNotRegex(expression, r'(job|instance)="', f"{name}: one installation's name")
                # A fixed window is empty or blurred at some zoom; only what counts a whole hour has one.
                for window in re.findall(r"\b(?:rate|deriv)\([^[]*\[([^]]+)\]", expression):
                    self.assertEqual(window, "$__rate_interval", name)

    def test_no_two_dashboards_share_an_id(self):
        ids = [dashboard["uid"] for dashboard in dashboards().values()]
        self.assertEqual(len(ids), len(set(ids)))


if __name__ == "__main__":
    unittest.main()
