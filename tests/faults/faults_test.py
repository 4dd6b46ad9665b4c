#!/usr/bin/env python3
"""A short campaign: each kind of fault once. `./run test-faults` is the long one."""
import sys
import unittest

from campaign import COLUMNS, campaign

SEED = 1
SECONDS = {"kills": 10, "crash-loop": 30, "brokers": 10, "late": 12, "services": 8, "expired-offsets": 4}


class FaultsTest(unittest.TestCase):
    def test_nothing_is_lost_doubled_torn_or_out_of_order(self):
        rows, failed = campaign([(name, SEED, seconds) for name, seconds in SECONDS.items()],
                                lambda text: print(text, file=sys.stderr, flush=True))
        self.assertEqual(failed, [])
        self.assertEqual([row[0] for row in rows], list(SECONDS))
        for row in rows:
            facts = dict(zip(COLUMNS, row))
            self.assertGreater(facts["faults"], 0, facts)
            self.assertGreater(facts["events"], 500, facts)


if __name__ == "__main__":
    unittest.main()
