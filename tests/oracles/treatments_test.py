#!/usr/bin/env python3
"""Treatments against libraries that aren't ours: generated values through `sluicectl run`, judged by
phonenumbers, python-stdnum, dateutil, regex, decimal, jsonschema and protobuf.

SLUICE_BINARY_DIR names the build. SLUICE_ORACLE_SEED and SLUICE_ORACLE_SIZE (1) choose other values and more.
"""
import collections
import datetime
import decimal
import json
import os
import random
import re
import subprocess
import tempfile
import unicodedata
import unittest

import jsonschema
import phonenumbers
import regex
from dateutil import relativedelta, tz
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf import duration_pb2, timestamp_pb2  # noqa: F401, what schemas import
from stdnum.gb import nhs as stdnum_nhs

SLUICECTL = os.path.join(os.environ["SLUICE_BINARY_DIR"], "services/ctl/sluicectl")
SEED = int(os.environ.get("SLUICE_ORACLE_SEED", "1"))
SIZE = int(os.environ.get("SLUICE_ORACLE_SIZE", "1"))
LONDON = tz.gettz("Europe/London")

CONTRACT = """
syntax = "proto3";
package oracle.v1;
import "google/protobuf/timestamp.proto";
import "sluice/contract/v1/options.proto";
message Stay {
  option (sluice.contract.v1.event) = {
    id: "id" time: "at" owner: "tests" purpose: "Tests" lawful_basis: "none" retention: "P1Y"
    time_zone: "Europe/London"
  };
  string id = 1;
  google.protobuf.Timestamp at = 2;
  string guest = 3 [(sluice.contract.v1.field).identifier = PERSON_NAME];
  string phone = 4 [(sluice.contract.v1.field).identifier = PHONE];
  string nhs = 5 [(sluice.contract.v1.field).identifier = NHS_NUMBER];
  string mark = 6 [(sluice.contract.v1.field).identifier = VRM];
  string licence = 7 [(sluice.contract.v1.field).identifier = DRIVING_LICENCE];
  string postcode = 8 [(sluice.contract.v1.field).identifier = POSTCODE];
  string born = 9 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
  string until = 10 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
  google.protobuf.Timestamp left = 11 [(sluice.contract.v1.field).quasi = EVENT_TIME];
  double lat = 12 [(sluice.contract.v1.field).quasi = LATITUDE];
  double lon = 13 [(sluice.contract.v1.field).quasi = LONGITUDE];
  int64 room = 14 [(sluice.contract.v1.field).quasi = ATTRIBUTE];
  float score = 15 [(sluice.contract.v1.field).quasi = ATTRIBUTE];
  double weight = 16 [(sluice.contract.v1.field).quasi = ATTRIBUTE];
  Sort sort = 17 [(sluice.contract.v1.field).sensitive = RELIGION];
  optional bool seen = 18 [(sluice.contract.v1.field).sensitive = HEALTH];
  repeated string phones = 19 [(sluice.contract.v1.field).identifier = PHONE];
  repeated string births = 20 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
  string street = 21 [(sluice.contract.v1.field).quasi = LOCATION_TEXT];
  Visit visit = 22;
  repeated Visit visits = 23;
  map<string, string> lines = 24 [(sluice.contract.v1.field).key = {not_personal: true},
                                  (sluice.contract.v1.field).value = {identifier: PHONE}];
  map<int32, Visit> by_room = 25 [(sluice.contract.v1.field).key = {not_personal: true}];
}
message Visit {
  string host = 1 [(sluice.contract.v1.field).identifier = PERSON_NAME];
  string day = 2 [(sluice.contract.v1.field).quasi = DATE_OF_BIRTH];
  optional int32 floor = 3 [(sluice.contract.v1.field).quasi = ATTRIBUTE];
  repeated string phones = 4 [(sluice.contract.v1.field).identifier = PHONE];
}
enum Sort { SORT_UNSPECIFIED = 0; SHORT = 1; LONG = 2; }
"""

# Every field, and the treatments that it can have.
TIMES = [{"generalise": part} for part in ("year", "month", "day", "hour")]
DATES = [{"generalise": part} for part in ("year", "month", "day")] + [
    {"generalise": {"age_bands": [18, 25, 60]}}, {"shift": {"person": "guest"}}]
IDENTIFIER = ["pseudonymise", "encrypt", {"pseudonymise": {"linkage": "period", "every": "year"}},
              {"pseudonymise": {"linkage": "event"}}, {"pseudonymise": {"linkage": "none"}},
              {"mask": {"keep_first": 1, "keep_last": 2}}]
ANY = ["keep", "drop", {"constant": "same"}]
POINT = [{"generalise": {"grid_metres": metres}} for metres in (100, 5000)]
NUMBER = [{"generalise": {"bucket": width}} for width in (0.1, 0.25, 3, 1000)]
TREATMENTS = {
    "at": ANY[:2] + TIMES, "guest": ANY + IDENTIFIER, "phone": ANY + IDENTIFIER, "nhs": ANY + IDENTIFIER,
    "mark": ANY + IDENTIFIER, "licence": ANY + IDENTIFIER,
    "postcode": ANY + IDENTIFIER + [{"generalise": part} for part in ("sector", "district", "area")],
    "born": ANY + DATES, "until": ANY + DATES, "left": ANY + TIMES + [{"shift": {"person": "guest"}}],
    "room": ANY + NUMBER[2:], "score": ANY + NUMBER, "weight": ANY + NUMBER, "sort": ANY, "seen": ANY,
    "phones": ANY + IDENTIFIER, "births": ANY + DATES, "street": ANY + [{"mask": {"keep_first": 2}}],
    "id": ["keep", "drop", "pseudonymise"],
}
# In messages, in lists of them and in maps.
for path in ("visit", "visits[]", "by_room[].value"):
    TREATMENTS |= {f"{path}.host": TREATMENTS["guest"], f"{path}.day": TREATMENTS["born"], f"{path}.floor": TREATMENTS["room"],
                   f"{path}.phones": TREATMENTS["phone"]}
TREATMENTS["lines[].value"] = TREATMENTS["phone"]


def pipeline(*streams):
    """A pipeline of streams, each (name, fields, output, domain): it treats `fields` so and drops the others."""
    kinds = ("PERSON_NAME", "PHONE", "NHS_NUMBER", "VRM", "DRIVING_LICENCE", "POSTCODE", "DATE_OF_BIRTH", "EVENT_TIME",
             "LOCATION", "ATTRIBUTE", "RELIGION", "HEALTH", "OCCURRED_AT", "EVENT_ID")
    return {
        "contract": "oracle.v1.Stay", "input": {"topic": "raw"},
        "quarantine": {"topic": "quarantine", "public_key": "quarantine.pub"},
        "streams": [{"name": name, "topic": f"clean.{name}", "purpose": "Tests", "domain": domain, "internal": True,
                     "format": output, "treat": {kind: "drop" for kind in kinds}, "fields": fields}
                    for name, fields, output, domain in streams]}


def yaml_of(config):
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items())


class Oracle(unittest.TestCase):
    def setUp(self):
        self.random = random.Random(f"{SEED} {self.id()}")
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        os.mkdir(self.at("contracts"))
        with open(self.at("contracts/oracle.proto"), "w", encoding="utf-8") as file:
            file.write(CONTRACT)
        self.runs = 0

    def at(self, name):
        return os.path.join(self.folder.name, name)

    def write(self, name, text):
        with open(self.at(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.at(name)

    def sluicectl(self, *arguments):
        done = subprocess.run([SLUICECTL, *arguments, "--contracts", self.at("contracts")], capture_output=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        return done.stdout

    def run_events(self, config, events):
        """By stream: its file, as bytes; and how many events went to quarantine."""
        self.runs += 1
        path = self.write(f"pipeline{self.runs}.yaml", yaml_of(config))
        lines = "".join(json.dumps(event) + "\n" for event in events)
        source = self.write(f"events{self.runs}.jsonl", lines)
        out = self.at(f"out{self.runs}")
        self.sluicectl("run", path, "--throwaway-keys", "--in", source, "--out", out)
        files = {}
        for stream in config["streams"]:
            suffix = "jsonl" if stream["format"] == "json" else "binpb"
            with open(os.path.join(out, f"{stream['name']}.{suffix}"), "rb") as file:
                files[stream["name"]] = file.read()
        with open(os.path.join(out, "quarantine.jsonl"), "rb") as refused:
            return files, refused.read().count(b"\n")

    def treated(self, fields, events):
        """Each event as the stream has it; none of them may go to quarantine."""
        events = [{"id": str(i), "at": "2026-05-05T09:10:11Z", **event} for i, event in enumerate(events)]
        files, refused = self.run_events(pipeline(("out", fields, "json", "tests")), events)
        self.assertEqual(refused, 0)
        records = [json.loads(line) for line in files["out"].splitlines()]
        self.assertEqual(len(records), len(events))
        return records

    # A character is a grapheme cluster of which something is drawn.

    PARTS = ["a", "B", "7", "-", "é", "e\u0301", "\u0301", " ", "\t", "\u00a0", "\u200b", "\u200e", "\ufeff", "\u00ad",
             "\u2060", "\u3164", "\u2800", "한", "\u1112\u1161\u11ab", "👩\u200d👧", "👍🏽", "🇬🇧", "ß", "漢", "न\u0940", "\u202e",
             "o\u0308\u0323", "\U000e0041", "ﬁ", "\r\n"]

    @staticmethod
    def drawn(cluster):
        hidden = set("\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5")
        return any(unicodedata.category(c)[0] not in "CZM" and c not in hidden for c in cluster)

    def test_mask_shows_whole_characters_and_no_more_than_it_says(self):
        for first, last in ((0, 0), (2, 0), (0, 3), (2, 2)):
            texts = ["".join(self.random.choices(self.PARTS, k=self.random.randint(1, 9))) for _ in range(400 * SIZE)]
            mask = {"mask": {"keep_first": first, "keep_last": last}}
            once = [record.get("guest", "") for record in self.treated({"guest": mask}, [{"guest": t} for t in texts])]
            for text, masked in zip(texts, once):
                visible = [c for c in regex.findall(r"\X", text) if self.drawn(c)]
                shown = [c for c in regex.findall(r"\X", masked) if c != " "]
                self.assertEqual(len(shown), len(visible), ascii(text))
                short = len(visible) <= first + last
                for i, (was, now) in enumerate(zip(visible, shown)):
                    kept = not short and (i < first or i >= len(visible) - last)
                    want = "".join(c for c in was if self.drawn(c) or unicodedata.category(c)[0] == "M" or c in "\u200d\ufe0f"
                                   ) if kept else "*"
                    self.assertEqual(now, want, f"{ascii(text)} -> {ascii(masked)}")
            twice = self.treated({"guest": mask}, [{"guest": t} for t in once])
            self.assertEqual(once, [record.get("guest", "") for record in twice])

    def test_blank_is_absent(self):
        blank = [p for p in self.PARTS if not self.drawn(p)]
        texts = ["".join(self.random.choices(blank, k=self.random.randint(0, 6))) for _ in range(200 * SIZE)]
        for how in ("pseudonymise", "encrypt", {"pseudonymise": {"linkage": "none"}}):
            for record in self.treated({"guest": how, "nhs": how}, [{"guest": t, "nhs": t} for t in texts]):
                self.assertEqual(record, {})

    # Buckets are decimal, never above the value, and in order.

    def test_buckets_agree_with_decimal(self):
        decimal.getcontext().prec = 60
        for width in (0.1, 0.25, 0.7, 3, 10, 1000, 1e9):
            numbers = [0.0, -0.0, 0.1, 0.7, 3.1, -0.1, 1e15, -1e15, 9.9999999999, 1e-9, -1e-9]
            for _ in range(300 * SIZE):
                number = self.random.choice([self.random.uniform(-100, 100), round(self.random.uniform(-50, 50), 1),
                                             self.random.uniform(-1e12, 1e12), self.random.randint(-40, 40) * width])
                numbers.append(number)
            wanted = {"generalise": {"bucket": width}}
            # A bucket of one whole number shows it, and is refused.
            fields = ("weight", "room") if width > 1 else ("weight",)
            records = self.treated({field: wanted for field in fields},
                                   [{"weight": n, "room": str(int(n))} for n in numbers])
            for number, record in zip(numbers, records):
                for value, field in list(zip((number, int(number)), fields)):
                    exact = decimal.Decimal(repr(value))
                    step = decimal.Decimal(repr(width))
                    bound = (exact / step).to_integral_value(decimal.ROUND_FLOOR) * step
                    self.assertEqual(record[field], float(bound), f"{value!r} by {width}")
                    self.assertLessEqual(record[field], value)
            bounds = [bound for _, bound in sorted(zip(numbers, (r["weight"] for r in records)))]
            self.assertEqual(bounds, sorted(bounds))
            again = self.treated({"weight": wanted}, [{"weight": r["weight"]} for r in records])
            self.assertEqual([r["weight"] for r in again], [r["weight"] for r in records])

    # One person's dates move by one number of days.

    def date(self, first=1930, last=2025):
        return datetime.date(first, 1, 1) + datetime.timedelta(self.random.randrange((last - first) * 365))

    def test_shift_keeps_spans_and_order(self):
        fields = {field: {"shift": {"person": "guest"}} for field in ("born", "until", "left", "births")}
        people = {}
        events = []
        for i in range(500 * SIZE):
            left = datetime.datetime.combine(self.date(), datetime.time(i % 24, i % 60, i % 60), datetime.timezone.utc)
            events.append({"guest": f"Guest {i % 90}", "born": str(self.date()), "until": str(self.date()),
                           "left": left.strftime("%Y-%m-%dT%H:%M:%SZ"), "births": [str(self.date()) for _ in range(3)]})
        for event, record in zip(events, self.treated(fields, events)):
            moved = {datetime.date.fromisoformat(record[field][:10]) - datetime.date.fromisoformat(event[field][:10])
                     for field in ("born", "until", "left")}
            moved |= {datetime.date.fromisoformat(b) - datetime.date.fromisoformat(a)
                      for a, b in zip(event["births"], record["births"])}
            self.assertEqual(len(moved), 1, event)
            self.assertEqual(record["left"][10:], event["left"][10:])
            days = moved.pop().days
            self.assertTrue(0 < abs(days) <= 183)
            self.assertEqual(people.setdefault(event["guest"], days), days)
        self.assertGreater(len(set(people.values())), 50)

    def test_placeholders_at_the_calendars_ends_are_absent(self):
        events = [{"guest": f"Guest {i}", "born": day, "until": "1999-09-09"} for i in range(100 * SIZE)
                  for day in ("9999-12-31", "0001-01-01", "9999-08-01")]
        for record in self.treated({"born": {"shift": {"person": "guest"}}, "until": "keep"}, events):
            self.assertEqual(record, {"until": "1999-09-09"})

    def test_ages_and_calendar_parts_follow_london(self):
        bands = [18, 25, 60]
        events = []
        for _ in range(600 * SIZE):
            born = self.date(1940, 2020)
            if self.random.random() < 0.6:  # near a birthday, near midnight
                age = self.random.choice((1, 18, 25, 60))
                born = born.replace(day=min(born.day, 28))
                at = datetime.datetime.combine(born + relativedelta.relativedelta(years=age), datetime.time(0), LONDON)
                at = at.astimezone(datetime.timezone.utc) + datetime.timedelta(minutes=self.random.randint(-90, 90))
            else:
                at = datetime.datetime(2021, 1, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(
                    minutes=self.random.randrange(5 * 365 * 24 * 60))
            events.append({"born": str(born), "at": at.strftime("%Y-%m-%dT%H:%M:00Z")})
        for part, digits in (("year", 4), ("month", 7), ("day", 10), ("hour", 13)):
            fields = {"born": {"generalise": {"age_bands": bands}}, "at": {"generalise": part}}
            for event, record in zip(events, self.treated(fields, events)):
                at = datetime.datetime.fromisoformat(event["at"][:-1] + "+00:00").astimezone(LONDON)
                self.assertEqual(record["at"], at.strftime("%Y-%m-%dT%H")[:digits], event)
                born = datetime.date.fromisoformat(event["born"])
                if (born.month, born.day) == (2, 29):  # of age on 1 March
                    born += datetime.timedelta(1)
                age = relativedelta.relativedelta(at.date(), born).years
                below = [b for b in bands if b > age]
                low = max([0] + [b for b in bands if b <= age])
                self.assertEqual(record["born"], f"{low}-{below[0] - 1}" if below else f"{low}+", event)

    # What keeps a format keeps its validity.

    PARTLY = ("11373", "11469", "76245")  # blocks that are allotted in part are none of their type

    def preserved(self, field, values):
        return [record[field] for record in self.treated({field: "format_preserve"}, [{field: v} for v in values])]

    def test_a_valid_phone_becomes_a_valid_one_of_its_type(self):
        values = []
        while len(values) < 2500 * SIZE:
            digits = self.random.choice(("7", "7", "7", "1", "1", "2", "2", "3", "8", "9"))
            text = "+44" + digits + "".join(self.random.choices("0123456789", k=9))
            if phonenumbers.is_valid_number(phonenumbers.parse(text)) and text[3:8] not in self.PARTLY:
                values.append(text)
        types = collections.Counter()
        for value, made in zip(values, self.preserved("phone", values)):
            was, now = phonenumbers.parse(value), phonenumbers.parse(made)
            self.assertTrue(phonenumbers.is_valid_number(now), f"{value} -> {made}")
            kind = phonenumbers.number_type(was)
            if value[3:5] in ("84", "87"):
                self.assertIn(made[3:5], ("84", "87"))
            else:
                self.assertEqual(phonenumbers.number_type(now), kind, f"{value} -> {made}")
            types[kind] += 1
        self.assertGreater(len(types), 3)

    def test_other_numbers_of_a_mobiles_beginning_never_become_pagers_or_personal(self):
        values = ["+447" + self.random.choice("12345789") + "".join(self.random.choices("0123456789", k=8))
                  for _ in range(1000 * SIZE)]
        for value, made in zip(values, self.preserved("phone", values)):
            if phonenumbers.is_valid_number(phonenumbers.parse(value)):
                continue
            kind = phonenumbers.number_type(phonenumbers.parse(made))
            self.assertNotIn(kind, (phonenumbers.PhoneNumberType.PAGER, phonenumbers.PhoneNumberType.PERSONAL_NUMBER),
                             f"{value} -> {made}")

    def test_nhs_numbers_keep_their_check_digit_and_country(self):
        values = []
        while len(values) < 800 * SIZE:
            body = self.random.choice("4674603") + "".join(self.random.choices("0123456789", k=8))
            values += [body + str(d) for d in range(10) if stdnum_nhs.is_valid(body + str(d))]
        for value, made in zip(values, self.preserved("nhs", values)):
            self.assertTrue(stdnum_nhs.is_valid(made), made)
            self.assertEqual(value[0] in "467", made[0] in "467", f"{value} -> {made}")

    def test_vehicle_ages_are_issued_and_licences_have_real_dates(self):
        letters = "ABCDEFGHJKLMNOPRSTUVWXY"
        issued = [f"{n:02}" for n in list(range(2, 26)) + list(range(51, 76))]
        values = ["".join(self.random.choices("ABCDEFGHKLMNOPRSVWY", k=1) + self.random.choices(letters, k=1))
                  + self.random.choice(issued) + "".join(self.random.choices(letters, k=3)) for _ in range(800 * SIZE)]
        for made in self.preserved("mark", values):
            self.assertIn(made[2:4], issued)
        values = []
        for _ in range(800 * SIZE):
            born = self.date(1930, 2008)
            month = born.month + self.random.choice((0, 50))
            values.append("ARCHE%d%02d%02d%dAB9XY" % (born.year // 10 % 10, month, born.day, born.year % 10))
        for made in self.preserved("licence", values):
            month = int(made[6:8])
            year = int(made[5] + made[10])
            datetime.date(2000 + year if year else 2000, month - 50 if month > 50 else month, int(made[8:10]))

    # What is written is valid by the stream's own schemas, whatever the pipeline.

    def event(self, i):
        r = self.random
        word = lambda: "".join(r.choices(self.PARTS, k=r.randint(0, 6)))
        event = {"id": r.choice((str(i), word())), "at": f"2026-{r.randint(1, 12):02}-{r.randint(1, 28):02}T{r.randint(0, 23):02}:30:00Z",
                 "guest": r.choice(("Ann Archer", word())), "phone": r.choice(("07700 900123", word())),
                 "nhs": r.choice(("943 476 5919", word())), "mark": r.choice(("AB12 CDE", word())), "licence": word(),
                 "postcode": r.choice(("SW1A 1AA", "GIR 0AA", "e1 6an", "")), "born": r.choice((str(self.date()), "")),
                 "until": r.choice((str(self.date()), "9999-12-31", "")), "left": "2026-01-02T03:04:05.678Z",
                 "lat": r.choice((0, 51.5, -33.25)), "lon": r.choice((0, -0.125, 151.2)), "room": str(r.randint(-2**40, 2**40)),
                 "score": r.choice((0, 0.7, -3.5, 1e20)), "weight": r.choice((0, 0.1, -2.5)), "sort": r.choice(("LONG", "SORT_UNSPECIFIED")),
                 "seen": r.choice((True, False)), "phones": [r.choice(("020 7946 0018", word())) for _ in range(r.randint(0, 3))],
                 "births": [r.choice((str(self.date()), "")) for _ in range(r.randint(0, 3))], "street": word()}
        visit = lambda: {name: value for name, value in {
            "host": r.choice(("Bea Bell", word())), "day": r.choice((str(self.date()), "")), "floor": r.randint(-3, 3),
            "phones": [r.choice(("020 7946 0018", "")) for _ in range(r.randint(0, 3))]}.items() if r.random() < 0.7}
        event |= {"visit": visit(), "visits": [visit() for _ in range(r.randint(0, 3))],
                  "lines": {r.choice(("day", "night", "")): r.choice(("07700 900123", word())) for _ in range(2)},
                  "by_room": {str(r.randint(-5, 5)): visit() for _ in range(r.randint(0, 2))}}
        return {name: value for name, value in event.items() if name in ("id", "at") or r.random() < 0.8}

    def read_delimited(self, data, message):
        at, out = 0, []
        while at < len(data):
            size = shift = 0
            while True:
                byte = data[at]
                at += 1
                size |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            out.append(message.FromString(data[at:at + size]))
            at += size
        return out

    def message_of(self, schema, i):
        path = self.write(f"schema{i}.proto", schema)
        descriptors = self.at(f"schema{i}.binpb")
        subprocess.run(["protoc", f"-I{self.folder.name}", f"--descriptor_set_out={descriptors}", "--include_imports", path],
                       check=True, capture_output=True)
        files = descriptor_pb2.FileDescriptorSet()
        with open(descriptors, "rb") as file:
            files.ParseFromString(file.read())
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        last = files.file[-1]
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{last.package}.{last.message_type[0].name}"))

    def test_every_pipelines_output_is_valid_by_its_own_schemas(self):
        for i in range(8 * SIZE):
            streams = []
            for number in range(self.random.choice((1, 2, 3))):
                fields = {name: self.random.choice(options) for name, options in TREATMENTS.items()}
                fields["lat"] = fields["lon"] = self.random.choice(ANY[:2] + POINT)
                # Each in both formats, of one run and so with one set of keys.
                domain = self.random.choice(("tests", "others"))
                streams += [(f"json{number}", fields, "json", domain), (f"binary{number}", fields, "protobuf", domain)]
            self.random.shuffle(streams)
            events = [self.event(n) for n in range(60)]
            config = self.write(f"config{i}.yaml", yaml_of(pipeline(*streams)))
            files, refused = self.run_events(pipeline(*streams), events)
            self.assertLess(refused, len(events) // 2, streams)
            for name, fields, _, _ in streams:
                if name.startswith("json"):
                    self.check_schemas(config, name, fields, files, len(events) - refused, i)

    def check_schemas(self, config, name, fields, files, count, i):
        other = name.replace("json", "binary")
        validator = jsonschema.Draft202012Validator(json.loads(self.sluicectl("schema", config, name, "--as", "json-schema")))
        message = self.message_of(self.sluicectl("schema", config, name).decode(), f"{i}{name}")
        other_message = self.message_of(self.sluicectl("schema", config, other).decode(), f"{i}{other}")
        lines = files[name].splitlines()
        messages = self.read_delimited(files[other], other_message)
        self.assertEqual((len(lines), len(messages)), (count, count), fields)
        # Without linkage, a value has another pseudonym in each record.
        compared = self.unkeyed if any("none" in str(treatment) for treatment in fields.values()) else self.text_of
        for line, from_binary in zip(lines, messages):
            record = json.loads(line, object_pairs_hook=self.members_apart)
            errors = [error.message for error in validator.iter_errors(record)]
            self.assertEqual(errors, [], f"{record} of {fields}")
            self.assertEqual(compared(json_format.Parse(line, message())), compared(from_binary), fields)
        validator.validate(json.loads(self.sluicectl("schema", config, name, "--as", "sample")))
        json_format.Parse(self.sluicectl("schema", config, name, "--as", "sample"), message())

    def members_apart(self, pairs):
        self.assertEqual(len(pairs), len(dict(pairs)), "two members of one name")
        return dict(pairs)

    @staticmethod
    def text_of(message):
        return json_format.MessageToJson(message, preserving_proto_field_name=True, sort_keys=True)

    @classmethod
    def unkeyed(cls, message):
        return re.sub(r"[a-z]{1,8}[0-9]+e?-[a-z2-7]{26,}", "keyed", cls.text_of(message))


if __name__ == "__main__":
    unittest.main()
