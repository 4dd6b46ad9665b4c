#!/usr/bin/env python3
"""states.py finds what it is for."""
import os
import unittest

import states

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def changed(path, old, new):
    """Reads as the repository is, but for one text of one file."""
    assert old in read(path), old
    return lambda name: read(name).replace(old, new) if name == path else read(name)


class StatesTest(unittest.TestCase):
    def findings(self, reader):
        return "\n".join(states.check(reader))

    def test_the_page_is_true(self):
        self.assertEqual(self.findings(read), "")

    def test_a_state_without_a_row(self):
        reader = changed("docs/state-machines.md", "| `waiting` |", "| waiting |")
        self.assertIn("describe the state `waiting`", self.findings(reader))

    def test_a_row_without_a_state(self):
        reader = changed("common/kafka/source.h", '"retiring"', '"retired"')
        self.assertIn("`retiring` is no state", self.findings(reader))

    def test_an_alert_that_is_gone(self):
        reader = changed("deploy/prometheus/alerts.yaml", "alert: SluiceWorkerDegraded", "alert: Other")
        self.assertIn("there is no alert SluiceWorkerDegraded", self.findings(reader))

    def test_a_log_line_that_is_gone(self):
        reader = changed("services/processor/probe.cc", '"transaction_aborted"', '"aborted"')
        self.assertIn("nothing logs transaction_aborted", self.findings(reader))

    def test_an_empty_cell(self):
        reader = changed("docs/state-machines.md", "| Until an operator resumes. |", "| |")
        self.assertIn("`paused` needs all 7 cells", self.findings(reader))


if __name__ == "__main__":
    unittest.main()
