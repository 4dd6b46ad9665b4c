#!/usr/bin/env python3
"""Every panel shows something and no alert speaks while a real pipeline is healthy; once it is gone, one does."""
import signal
import time
import unittest

from live import Live, as_asked, dashboards, panels, wait_until
from rules_test import rules

EVENTS_PER_SECOND = 300
RATE_INTERVAL = "10s"


class LiveTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.live = cls.enterClassContext(Live(EVENTS_PER_SECOND))

    def empty_panels(self):
        empty = []
        for name, dashboard in dashboards().items():
            for panel in panels(dashboard):
                for target in panel["targets"]:
                    expression = as_asked(target["expr"], RATE_INTERVAL)
                    now = time.time()
                    found = (self.live.now(expression) if target.get("instant") else
                             [points for _, points in self.live.over(expression, now - 5, now, 1) if points])
                    if not found:
                        empty.append(f"{name} / {panel['title']}: {expression}")
        return empty

    def test_1_no_panel_is_empty(self):
        wait_until(45, lambda: not self.empty_panels())
        self.assertEqual(self.empty_panels(), [], self.live.tail())

    def test_1_the_services_are_asked_and_a_reload_is_seen(self):
        def total(expression):
            found = self.live.now(f"sum({expression})")
            return found[0][1] if found else 0
        self.assertTrue(wait_until(30, lambda: total(
            'rate(sluice_pseudonymiser_values_total{job="sluice-pseudonymiser"}[10s])') > EVENTS_PER_SECOND))
        self.assertGreater(total('sluice_reference_rows{job="sluice-reference"}'), 30)
        before = total("sluice_edition_swap_seconds_count")
        self.live.reload()
        self.assertTrue(wait_until(20, lambda: total("sluice_edition_swap_seconds_count") > before))
        self.assertGreater(total('sluice_config_reloads_total{result="accepted"}'), 0)
        self.assertEqual(total("sluice_config_reload_refused"), 0)

    def test_2_the_panels_tell_the_truth(self):
        def rate():
            return self.live.now(f"sum(rate(sluice_events_in_total[{RATE_INTERVAL}]))")[0][1]
        self.assertTrue(wait_until(30, lambda: EVENTS_PER_SECOND / 2 < rate() < EVENTS_PER_SECOND * 2), rate())
        # One event in fifty is broken.
        quarantined = self.live.now("job:sluice_quarantined:ratio_rate5m")[0][1]
        self.assertGreater(quarantined, 0.005)
        self.assertLess(quarantined, 0.06)

    def test_3_every_rule_evaluates(self):
        for kind, count in (("alert", len(rules("alert"))), ("record", len(rules("record")))):
            found = self.live.rules(kind)
            self.assertEqual(len(found), count)
            for rule in found:
                self.assertEqual(rule["health"], "ok", rule)

    def test_4_no_alert_speaks_or_is_about_to(self):
        def speaking():
            return [rule["name"] for rule in self.live.rules("alert") if rule["state"] != "inactive"]
        wait_until(20, lambda: not speaking())
        self.assertEqual(speaking(), [])

    def test_5_a_process_that_is_gone_is_noticed(self):
        self.live.demo.send_signal(signal.SIGINT)
        self.live.demo.wait(30)

        def state():
            return {rule["name"]: rule["state"] for rule in self.live.rules("alert")}["SluiceProcessDown"]
        self.assertTrue(wait_until(20, lambda: state() == "pending"), state())


if __name__ == "__main__":
    unittest.main()
