#!/usr/bin/env python3
"""The rules hold together: every alert is tested, explained, and speaks of metrics that exist."""
import glob
import os
import re
import subprocess
import unittest

import yaml

from promql import ROOT, golden_metrics, metrics_of

PROMETHEUS = os.path.join(ROOT, "deploy/prometheus")
RUNBOOKS = os.path.join(ROOT, "docs/runbooks")
RULE_FILES = [os.path.join(PROMETHEUS, name) for name in ("recording.yaml", "alerts.yaml")]
TEST_FILES = sorted(glob.glob(os.path.join(PROMETHEUS, "tests/*.yaml")))
SECTIONS = ["Symptom", "Meaning", "First three checks", "Commands", "Mending it"]


def load(path):
    with open(path, encoding="utf-8") as file:
        return yaml.safe_load(file)


def rules(kind):
    return [rule for path in RULE_FILES for group in load(path)["groups"]
            for rule in group["rules"] if kind in rule]


def promtool(*arguments):
    done = subprocess.run([os.environ["SLUICE_PROMTOOL"], *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def page_of(alert):
    return os.path.join(RUNBOOKS, alert + ".md")


class RulesTest(unittest.TestCase):
    def test_prometheus_takes_the_rules(self):
        code, text = promtool("check", "rules", *RULE_FILES)
        self.assertEqual(code, 0, text)

    def test_alerts_fire_when_they_should_and_only_then(self):
        code, text = promtool("test", "rules", *TEST_FILES)
        self.assertEqual(code, 0, text)

    def test_every_alert_is_seen_to_fire_and_not_to_fire(self):
        fires, quiet = set(), set()
        for path in TEST_FILES:
            for test in load(path)["tests"]:
                for case in test["alert_rule_test"]:
                    (fires if case["exp_alerts"] else quiet).add(case["alertname"])
        alerts = {rule["alert"] for rule in rules("alert")}
        self.assertEqual(fires, alerts)
        self.assertEqual(quiet, alerts)

    def test_every_alert_says_how_bad_it_is_and_what_to_read(self):
        for rule in rules("alert"):
            name = rule["alert"]
            self.assertIn(rule["labels"]["severity"], ("critical", "warning"), name)
            self.assertEqual(set(rule["annotations"]), {"summary", "runbook_url"}, name)
            self.assertNotIn("{{", rule["annotations"]["summary"], f"{name}: a summary holds no value")
            self.assertEqual(rule["annotations"]["runbook_url"], f"docs/runbooks/{name}.md")

    def test_every_alert_has_its_page_and_every_page_its_alert(self):
        alerts = {rule["alert"] for rule in rules("alert")}
        pages = {name[:-3] for name in os.listdir(RUNBOOKS) if name != "README.md"}
        self.assertEqual(pages, alerts)
        with open(os.path.join(RUNBOOKS, "README.md"), encoding="utf-8") as index:
            self.assertEqual(set(re.findall(r"\]\((\w+)\.md\)", index.read())), alerts)

    def test_every_page_has_its_sections_and_three_checks(self):
        for rule in rules("alert"):
            with open(page_of(rule["alert"]), encoding="utf-8") as file:
                page = file.read()
            self.assertEqual(re.findall(r"^## (.*)$", page, re.M), SECTIONS, rule["alert"])
            self.assertIn(f"`{rule['labels']['severity']}`. {rule['annotations']['summary']}",
                          " ".join(page.split()), rule["alert"])
            checks = page.split("## First three checks")[1].split("##")[0]
            self.assertEqual(re.findall(r"^(\d)\. ", checks, re.M), ["1", "2", "3"], rule["alert"])
            commands = page.split("## Commands\n")[1].split("\n\n")[0].split("\n")
            for command in commands:
                self.assertRegex(command, r"^    (sluicectl|curl) ", rule["alert"])

    def test_every_command_named_exists(self):
        reference = ""
        for page in ("reference/sluicectl.md", "guides/operating.md"):
            with open(os.path.join(ROOT, "docs", page), encoding="utf-8") as file:
                reference += file.read()
        for rule in rules("alert"):
            with open(page_of(rule["alert"]), encoding="utf-8") as file:
                for command in re.findall(r"sluicectl (\w+)", file.read()):
                    self.assertTrue(f"sluicectl {command}" in reference, f"{rule['alert']}: {command}")

    def test_every_metric_named_exists(self):
        known = golden_metrics() | {rule["record"] for rule in rules("record")} | {"up"}
        for rule in rules("expr"):
            name = rule.get("alert") or rule["record"]
            self.assertLessEqual(metrics_of(rule["expr"]), known, name)

    def test_every_metric_is_described_and_nothing_else(self):
        with open(os.path.join(ROOT, "docs/reference/metrics.md"), encoding="utf-8") as file:
            rows = re.findall(r"^\| `(\w+)` \| (?:counter|gauge|histogram) \| [\w, ]*\| \S.* \|$", file.read(), re.M)
        self.assertEqual(rows, sorted(golden_metrics()))

    def test_every_recorded_series_is_used(self):
        used = set().union(*(metrics_of(rule["expr"]) for rule in rules("expr")))
        for path in glob.glob(os.path.join(ROOT, "deploy/grafana/*.json")):
            with open(path, encoding="utf-8") as file:
                used |= set(re.findall(r"\w+:\w+:\w+", file.read()))
        self.assertEqual({rule["record"] for rule in rules("record")} - used, set())


class MetricsOfTest(unittest.TestCase):
    def test_names_are_found_wherever_they_stand(self):
        self.assertEqual(
            metrics_of('sum by (a) (rate(b_total{c="d_total"}[5m])) / on (e) f:g:sum offset 1h '
                       'or absent({__name__="h"}) or max_over_time((i_seconds > 0)[1h:1m])'),
            {"b_total", "f:g:sum", "h", "i_seconds"})

    def test_a_histograms_series_are_the_histograms(self):
        self.assertEqual(metrics_of("rate(sluice_stage_seconds_bucket[5m])"), {"sluice_stage_seconds"})


if __name__ == "__main__":
    unittest.main()
