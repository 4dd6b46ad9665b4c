"""Judges what stands in the topics by itself: it shares no code with what wrote them, nor with `sluicectl audit`.

Of the raw events it knows what should have become of them; it reads all topics as a subscriber does, committed
records only."""
import dataclasses
import json
import time

from confluent_kafka import Consumer, KafkaError, TopicPartition

READ_SECONDS_MAX = 120


@dataclasses.dataclass
class Record:
    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list
    timestamp: int = 0


@dataclasses.dataclass
class Findings:
    events: int = 0
    quarantined: int = 0
    lost: int = 0  # no result anywhere
    doubled: int = 0  # a result more than once
    torn: int = 0  # in one stream and not in the other, or in a stream and in quarantine
    unordered: int = 0  # behind a later event of its key
    strays: int = 0  # results of no raw event
    wrong: int = 0  # another's value, a raw name, two pseudonyms of one name
    examples: list = dataclasses.field(default_factory=list)

    def good(self):
        return not (self.lost or self.doubled or self.torn or self.unordered or self.strays or self.wrong)

    def note(self, kind, what):
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.examples) < 10:
            self.examples.append(f"{kind}: {what}")


def source(headers):
    """(partition, offset) of the raw record that a record names; None: it names none."""
    for name, value in headers or []:
        if name == "sluice-src":
            _, partition, offset = value.decode().rsplit("/", 2)
            return int(partition), int(offset)
    return None


def read(bootstrap, topic):
    """All committed records, by partition and in its order."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "oracle", "isolation.level": "read_committed",
                         "enable.auto.commit": False, "auto.offset.reset": "earliest", "enable.partition.eof": True,
                         "check.crcs": True, "log_level": 2})
    try:
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        consumer.assign([TopicPartition(topic, at, 0) for at in partitions])
        left, records = set(partitions), []
        deadline = time.monotonic() + READ_SECONDS_MAX
        while left:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{topic} can't be read to its end: partitions {sorted(left)}")
            for message in consumer.consume(1_000, timeout=0.5):
                if message.error() is None:
                    records.append(Record(topic, message.partition(), message.offset(), message.key(), message.value(),
                                          message.headers() or [], message.timestamp()[1]))
                elif message.error().code() == KafkaError._PARTITION_EOF:  # pylint: disable=protected-access
                    left.discard(message.partition())
    finally:
        consumer.close()
    return sorted(records, key=lambda record: (record.partition, record.offset))


def judge(raw, desk, opened, quarantine, *, names, codes, gone=()):
    """`names`: none of which may stand in a result. `gone`: raw records that the topic no longer holds."""
    found = Findings()
    events, places = {}, {}
    for record in [*gone, *raw]:
        event = json.loads(record.value)
        event["at"] = (record.partition, record.offset)
        events[event["number"]] = event
        places[event["at"]] = event["number"]
    found.events = len(events)

    seen = {number: {"desk": 0, "open": 0, "quarantine": 0} for number in events}
    pseudonyms = {"desk": {}, "open": {}}
    for name, records in (("desk", desk), ("open", opened)):
        last = {}
        for record in records:
            place = f"{record.topic}/{record.partition}/{record.offset}"
            if any(raw_name.encode() in record.value for raw_name in names):
                found.note("wrong", f"{place} holds a raw name")
            value = json.loads(record.value)
            event = events.get(value.get("number"))
            if event is None:
                found.note("strays", f"{place}: no event has number {value.get('number')}")
                continue
            seen[event["number"]][name] += 1
            if name == "desk" and source(record.headers) != event["at"]:
                found.note("wrong", f"{place} names {source(record.headers)}, the event stands at {event['at']}")
            if (value["code"] != event["code"] or record.key != event["code"].encode()
                    or not value["unit"]["unit"].endswith("-" + event["code"])):
                found.note("wrong", f"{place}: not what event {event['number']} says")
            if pseudonyms[name].setdefault(event["name"], value["name"]) != value["name"]:
                found.note("wrong", f"{place}: a second pseudonym of one name")
            # Of one key all raw records stand in one partition.
            key = (record.partition, event["code"])
            if event["at"] <= last.get(key, (event["at"][0], -1)):
                if seen[event["number"]][name] == 1:
                    found.note("unordered", f"{place}: event {event['number']} behind {last[key]}")
            else:
                last[key] = event["at"]
        if len(set(pseudonyms[name].values())) != len(pseudonyms[name]):
            found.note("wrong", f"{name}: one pseudonym of two names")
    for record in quarantine:
        number = places.get(source(record.headers))
        if number is None:
            found.note("strays", f"{record.topic}/{record.partition}/{record.offset} names no raw record")
        else:
            seen[number]["quarantine"] += 1

    for number, counts in seen.items():
        event = events[number]
        what = f"event {number} at {event['at']}: {counts}"
        found.quarantined += counts["quarantine"] > 0
        if max(counts.values()) > 1:
            found.note("doubled", what)
        elif not any(counts.values()):
            found.note("lost", what)
        elif (counts["desk"], counts["open"], counts["quarantine"]) not in ((1, 1, 0), (0, 0, 1)):
            found.note("torn", what)
        elif (event["code"] in codes) == (counts["quarantine"] == 1):
            found.note("wrong", what)
    return found


def number_of(record):
    return json.loads(record.value).get("number")


def is_broken(record):
    """Whether the raw event breaks its contract."""
    return json.loads(record.value)["code"].endswith("-broken")
