#!/usr/bin/env python3
"""The oracle names each planted fault, and calls nothing a fault that is none."""
import json
import unittest

import oracle

NAMES = ["Zyrkon Amberquist", "Zyrkon Birchquist"]
CODES = {"c01", "c02"}


def raw(number, partition, offset, code="c01", name=NAMES[0]):
    return oracle.Record("raw", partition, offset, code.encode(),
                         json.dumps({"number": number, "code": code, "name": name}).encode(), [])


def result(topic, event, offset, partition=0, **changes):
    value = json.loads(event.value)
    value["name"] = f"{topic}1-{NAMES.index(value['name'])}"
    value["unit"] = {"unit": f"unit-1-{value['code']}"}
    value.update(changes)
    headers = [("sluice-src", f"raw/{event.partition}/{event.offset}".encode())] if topic == "desk" else []
    return oracle.Record(topic, partition, offset, value["code"].encode(), json.dumps(value).encode(), headers)


def sealed(event, offset):
    return oracle.Record("quarantine", 0, offset, None, b"sealed",
                         [("sluice-src", f"raw/{event.partition}/{event.offset}".encode())])


class OracleTest(unittest.TestCase):
    def setUp(self):
        self.raw = [raw(1, 0, 0), raw(2, 0, 1, name=NAMES[1]), raw(3, 1, 0, code="c02"), raw(4, 0, 2, "c01-broken"),
                    raw(5, 0, 4)]
        good = [event for event in self.raw if not oracle.is_broken(event)]
        self.desk = [result("desk", event, offset) for offset, event in enumerate(good)]
        self.open = [result("open", event, offset) for offset, event in enumerate(good)]
        self.quarantine = [sealed(self.raw[3], 0)]

    def judge(self):
        return oracle.judge(self.raw, self.desk, self.open, self.quarantine, names=NAMES, codes=CODES)

    def expect(self, **counts):
        found = self.judge()
        self.assertFalse(found.good())
        for kind in ("lost", "doubled", "torn", "unordered", "strays", "wrong"):
            self.assertEqual(getattr(found, kind), counts.get(kind, 0), found)

    def test_a_whole_flow_is_good(self):
        found = self.judge()
        self.assertTrue(found.good(), found)
        self.assertEqual((found.events, found.quarantined), (5, 1))

    def test_a_lost_event(self):
        del self.desk[1], self.open[1]
        self.expect(lost=1)

    def test_a_lost_quarantine_record(self):
        self.quarantine.clear()
        self.expect(lost=1)

    def test_a_doubled_event(self):
        for records, topic in ((self.desk, "desk"), (self.open, "open")):
            records.append(result(topic, self.raw[0], 9))
        self.expect(doubled=1)

    def test_a_doubled_quarantine_record(self):
        self.quarantine.append(sealed(self.raw[3], 1))
        self.expect(doubled=1)

    def test_an_event_in_one_stream_only(self):
        del self.open[2]
        self.expect(torn=1)

    def test_an_event_in_streams_and_in_quarantine(self):
        self.quarantine.append(sealed(self.raw[0], 1))
        self.expect(torn=1)

    def test_events_of_a_key_that_changed_places(self):
        self.desk[0], self.desk[1] = self.desk[1], self.desk[0]
        self.expect(unordered=1)

    def test_other_keys_have_no_order(self):
        self.desk[1], self.desk[2] = self.desk[2], self.desk[1]
        self.assertTrue(self.judge().good())

    def test_a_result_of_nothing(self):
        self.open.append(result("open", raw(77, 0, 3), 9))
        self.expect(strays=1)

    def test_a_quarantine_record_of_nothing(self):
        self.quarantine.append(sealed(raw(77, 0, 3), 9))
        self.expect(strays=1)

    def test_a_good_event_in_quarantine(self):
        self.quarantine.append(sealed(self.raw[0], 1))
        del self.desk[0], self.open[0]
        self.expect(wrong=1)

    def test_a_raw_name(self):
        self.open[0] = result("open", self.raw[0], 0, unit={"unit": "unit-1-c01", "by": NAMES[1]})
        self.expect(wrong=1)

    def test_another_source(self):
        self.desk[0].headers = self.desk[1].headers
        self.expect(wrong=1)

    def test_another_value(self):
        self.desk[2] = result("desk", self.raw[2], 2, code="c01")
        self.expect(wrong=1)

    def test_two_pseudonyms_of_a_name(self):
        self.desk[3] = result("desk", self.raw[4], 3, name="desk1-9")
        self.expect(wrong=1)

    def test_one_pseudonym_of_two_names(self):
        self.open[1] = result("open", self.raw[1], 1, name="open1-0")
        self.expect(wrong=1)


if __name__ == "__main__":
    unittest.main()
