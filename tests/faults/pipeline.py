"""One pipeline with its topics, its services and its processors, and the events that flow into it."""
import json
import os
import random
import subprocess
import threading
import time
import urllib.request

from confluent_kafka import OFFSET_END, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import NewTopic

import oracle
from processes import ROOT, Failed, Process, free_port, wait_until, write

RAW_PARTITIONS = 6
CODES = [f"c{n:02}" for n in range(40)]
BROKEN_EVERY = 25
NAMES = [f"Zyrkon {first}quist" for first in ("Amber", "Birch", "Cedar", "Dahlia", "Elder", "Fern", "Gorse", "Hazel",
                                              "Iris", "Juni", "Kelp", "Laurel", "Maple", "Nettle", "Oak", "Poplar")]
CONTRACT = """syntax = "proto3";
package faults.v1;
import "buf/validate/validate.proto";
import "google/protobuf/timestamp.proto";
import "sluice/contract/v1/options.proto";
message Report {
  option (sluice.contract.v1.event) = {id: "id" time: "at" owner: "tests" purpose: "Tests" lawful_basis: "none"
                                       retention: "P1Y"};
  option (sluice.contract.v1.not_personal) = {fields: ["number", "code"]};
  string id = 1 [(buf.validate.field).required = true];
  google.protobuf.Timestamp at = 2 [(buf.validate.field).required = true];
  int32 number = 3;
  string code = 4 [(buf.validate.field).string.max_len = 3];
  string name = 5 [(sluice.contract.v1.field).identifier = PERSON_NAME];
}
"""


def binary(service):
    return os.path.join(os.environ["SLUICE_BINARY_DIR"], "services", service,
                        "sluicectl" if service == "ctl" else f"sluice-{service}")


class Site:
    """`listener`: over which of the brokers' listeners the processors come. Methods are for the main thread."""

    def __init__(self, cluster, folder, name, certificates, *, membership="static", session_ms=10_000,
                 transaction_ms=5_000, listener="CLIENT", instances=("a", "b", "c"), rate=300, log=print):
        self.cluster, self.folder, self.name, self.certificates = cluster, folder, name, certificates
        self.membership, self.session_ms, self.transaction_ms = membership, session_ms, transaction_ms
        self.listener, self.rate, self.log = listener, rate, log
        os.makedirs(folder)
        self.kills = self.faults = 0
        self.units = 1  # version of the reference data
        self.keys_port, self.reference_port = free_port(), free_port()
        self._write_files()
        self.keys = Process("pseudonymiser", [binary("pseudonymiser"), "--config", self.path("keys.yaml")],
                            self.path("keys.log"))
        self.reference = Process("reference", [binary("reference"), "--config", self.path("reference.yaml")],
                                 self.path("reference.log"))
        self.processors = {instance: self.processor(instance) for instance in instances}
        self.member = cluster.client(**{"group.id": self.group})
        self.generator = Generator(cluster, self.raw, rate)
        self.watch = Watch(cluster, self.desk)

    raw = property(lambda self: f"raw.{self.name}")
    desk = property(lambda self: f"desk.{self.name}")
    open = property(lambda self: f"open.{self.name}")
    quarantine = property(lambda self: f"quarantine.{self.name}")
    group = property(lambda self: self.name)

    def path(self, name):
        return os.path.join(self.folder, name)

    def ctl(self, *arguments, seconds=60):
        """(exit code, output)"""
        done = subprocess.run([binary("ctl"), *arguments], capture_output=True, text=True, timeout=seconds, check=False)
        return done.returncode, done.stdout + done.stderr

    def must(self, *arguments):
        code, text = self.ctl(*arguments)
        if code != 0:
            raise Failed(f"sluicectl {' '.join(arguments)} ended with {code}:\n{text}")
        return text

    # Files

    def _write_files(self):
        os.makedirs(self.path("contracts"))
        write(self.path("contracts/report.proto"), CONTRACT)
        self.must("keys", "init", "--keyring", self.path("keyring"), "--key-encryption-key", self.path("kek"),
                  "--domain", "desk=desk", "--domain", "open=open")
        self.must("keys", "quarantine", "--private", self.path("quarantine.key"), "--public",
                  self.path("quarantine.pub"))
        self.issue_all()
        write(self.path("policy.yaml"), 'callers: [{caller: "spiffe://sluice/processor", limits: {bulk: true},\n'
              '  may: [{calls: [pseudonymise], domains: ["*"]}]}]\n')
        write(self.path("keys.yaml"), "keyring: keyring\nkey_encryption_key: kek\npolicy: policy.yaml\nstate: state\n"
              "look_interval_ms: 100\naudit: {file: audit.log, writer: test}\n"
              f'listen: {{grpc: "localhost:{self.keys_port}", tls: {self.tls("pseudonymiser", "client_ca")}}}\n')
        self.write_units(1)
        write(self.path("reference.yaml"), "folder: service\ntrail: trail\nlook_interval_ms: 100\n"
              f'listen: {{grpc: "localhost:{self.reference_port}", tls: {self.tls("reference", "client_ca")}}}\n'
              'access: [{caller: "spiffe://sluice/processor", may: [read, look]}]\n'
              "sets:\n  - name: units\n    csv: units.csv\n    schema: {columns: [{name: code}, {name: unit, "
              "not_personal: true}], key: [{column: code}]}\n")

    def issue_all(self, valid=True):
        """Certificates of both services and of the processors, in place of those that were."""
        for name, names in (("pseudonymiser", "DNS:localhost"), ("reference", "DNS:localhost"),
                            ("processor", "URI:spiffe://sluice/processor")):
            self.issue(name, names, valid)

    def issue(self, name, names, valid=True):
        self.certificates.issue(f"{self.name}-{name}", names, valid)

    def tls(self, name, authority):
        stem = os.path.join(self.certificates.folder, f"{self.name}-{name}")
        return f'{{certificate: "{stem}.crt", private_key: "{stem}.key", {authority}: "{self.certificates.authority}"}}'

    def write_units(self, version):
        self.units = version
        write(self.path("units.csv"), "code,unit\n" + "".join(f"{code},unit-{version}-{code}\n" for code in CODES))

    def write_config(self, instance, rest="", file=None):
        """`file`: for a twin, which has everything but a name of its own."""
        file = file or instance
        security = ""
        if self.listener == "TLS":
            security = ', security: {tls: ' + self.tls("processor", "ca") + "}"
        if self.listener == "LATE":
            security = ', properties: {socket.timeout.ms: "2000"}'  # a request that is held longer is given up
        brokers = json.dumps(self.cluster.addresses(self.listener))
        write(self.path(file + ".yaml"), f"""kafka: {{brokers: {brokers}, group: {self.group}, instance: {instance},
  membership: {self.membership}, session_timeout_ms: {self.session_ms},
  transaction_timeout_ms: {self.transaction_ms}{security}}}
commit: {{interval_ms: 100}}
contracts: [contracts]
trail: {file}.trail
pseudonymiser: {{remote: {{address: "localhost:{self.keys_port}", deadline_ms: 1000,
  tls: {self.tls("processor", "client_ca")}}}}}
reference:
  folder: kept-{file}
  remote: {{address: "localhost:{self.reference_port}", sets: [units], tls: {self.tls("processor", "client_ca")}}}
pipeline:
  contract: faults.v1.Report
  input: {{topic: {self.raw}}}
  quarantine: {{topic: {self.quarantine}, public_key: quarantine.pub}}
  enrich:
    - {{set: units, key: code, into: unit, on_missing: keep}}
  streams:
    - {{name: desk, topic: {self.desk}, domain: desk, internal: true, key: code, treat: {{PERSON_NAME: pseudonymise}}}}
    - {{name: open, topic: {self.open}, domain: open, key: code, treat: {{PERSON_NAME: pseudonymise, OCCURRED_AT: drop}}}}
{rest}""")

    # Life

    def processor(self, instance):
        self.write_config(instance)
        return Process(f"processor {instance}", [binary("processor"), "--config", self.path(instance + ".yaml")],
                       self.path(instance + ".log"))

    def make_topics(self, *which):
        topics = which or (self.raw, self.desk, self.open, self.quarantine, self.quarantine + ".positions")
        self.cluster.administer("create_topics", [
            NewTopic(topic, RAW_PARTITIONS if topic == self.raw else 1 if topic.endswith(".positions") else 3,
                     config={"cleanup.policy": "compact"} if topic.endswith(".positions") else {})
            for topic in topics], operation_timeout=20)
        if not wait_until(30, self.cluster.in_sync):
            raise Failed("the topics do not come into sync")

    def start(self, processors=True):
        self.make_topics()
        self.keys.start()
        self.reference.start()
        self.keys.port("grpc_port")
        self.reference.port("grpc_port")
        self.generator.start()
        if processors:
            for process in self.processors.values():
                process.start()
            self.await_flow()
        self.watch.start()

    def await_flow(self, seconds=60):
        """Until every partition of the raw topic has new results, by what the group has committed."""
        before = self.committed()

        def flows():
            now = self.committed()
            return len(now) == RAW_PARTITIONS and all(at > before.get(partition, 0) for partition, at in now.items())
        if not wait_until(seconds, flows, 0.3):
            raise Failed("no events flow:\n" + self.tails())

    def tails(self):
        return "\n".join(f"--- {process.name}\n{process.tail(8)}" for process in self.everything())

    def everything(self):
        return [*self.processors.values(), self.keys, self.reference]

    def committed(self):
        """By raw partition, the offset; without those of which nothing is known."""
        try:
            found = self.member.committed([TopicPartition(self.raw, at) for at in range(RAW_PARTITIONS)], timeout=5)
        except KafkaException:
            return {}
        return {at.partition: at.offset for at in found if at.error is None and at.offset >= 0}

    def ends(self, topic, isolated=False):
        return self.cluster.ends(topic, isolated)

    def kill(self, process):
        if process.kill():
            self.kills += 1
            self.faults += 1

    def metric(self, instance, name):
        """Of a processor's metric, over all its labels; None: it does not answer, or has none."""
        process = self.processors[instance]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{process.port('http_port', 0)}/metrics", timeout=1) as got:
                text = got.read().decode()
        except Exception:  # pylint: disable=broad-except
            return None
        values = [float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                  if line.startswith((name + " ", name + "{"))]
        return sum(values) if values else None

    def addresses(self):
        return [f"127.0.0.1:{process.port('grpc_port')}" for process in self.processors.values() if process.running()]

    def drained(self):
        ends = self.ends(self.raw)
        committed = self.committed()
        return all(committed.get(partition, 0) == end for partition, end in ends.items())

    def settle(self, seconds=120):
        """Everything runs again, nothing more comes, and all that came is worked on. How long that took."""
        begun = time.monotonic()
        self.cluster.mend()
        for process in self.everything():
            if process.running():
                process.thaw()
            else:
                process.start()
        self.generator.stop()
        if not wait_until(seconds, self.drained, 0.3):
            raise Failed(f"not drained in {seconds} s: committed {self.committed()}, ends {self.ends(self.raw)}\n"
                         + self.tails())
        self.watch.stop()
        return time.monotonic() - begun

    def stop(self):
        """All processors, cleanly."""
        for process in self.processors.values():
            if process.running():
                process.thaw()
                process.signal(15)
        for process in self.processors.values():
            if process.running() and (code := process.wait(45)) != 0:
                raise Failed(f"{process.name} ended with {code}:\n{process.tail()}")

    def close(self):
        self.generator.stop()
        self.watch.stop()
        self.member.close()
        for process in self.everything():
            process.kill()

    # Judgement

    def findings(self, gone=()):
        return oracle.judge(oracle.read(self.cluster.bootstrap(), self.raw), *(
            oracle.read(self.cluster.bootstrap(), topic) for topic in (self.desk, self.open, self.quarantine)),
            names=NAMES, codes=set(CODES), gone=gone)

    def audit(self):
        """What `sluicectl audit` finds: by name, its counts."""
        code, text = self.ctl("audit", "--config", self.path(next(iter(self.processors)) + ".yaml"), "--output", "json",
                              seconds=120)
        try:
            return json.loads(text[text.index("{"):])
        except ValueError:
            raise Failed(f"sluicectl audit ended with {code}:\n{text}") from None

    def judge(self):
        """The oracle's findings, which the audit shares. Failed: either found something, or they differ."""
        found, audit = self.findings(), self.audit()
        for name in ("lost", "doubled", "torn", "unordered"):
            if getattr(found, name) != audit[name]:
                raise Failed(f"{name}: the oracle finds {getattr(found, name)}, the audit {audit[name]}\n{found}\n{audit}")
        if not found.good() or not audit["conserved"]:
            raise Failed(f"{found}\n{audit}")
        if audit["in"] != found.events or audit["quarantined"] != found.quarantined:
            raise Failed(f"the counts differ: {found}\n{audit}")
        hanging = [topic for topic in (self.raw, self.desk, self.open, self.quarantine)
                   if self.ends(topic) != self.ends(topic, isolated=True)]
        if hanging:
            raise Failed(f"a transaction is left open on {hanging}")
        return found


class Generator:
    """Writes events at a steady rate on a thread of its own until it is stopped, whatever the brokers do."""

    def __init__(self, cluster, topic, rate):
        self.cluster, self.topic, self.rate = cluster, topic, rate
        self.number = 0
        self.refused = 0
        self.thread = None
        self.ending = threading.Event()
        self.random = random.Random(7)

    def start(self):
        self.ending.clear()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def stop(self):
        """Once the brokers have all that was written."""
        if self.thread is None:
            return
        self.ending.set()
        self.thread.join()
        self.thread = None

    def event(self):
        self.number += 1
        number = self.number
        code = self.random.choice(CODES)
        value = {"id": f"event-{self.topic}-{number}", "at": "2026-03-04T05:06:07Z", "number": number,
                 "code": code if number % BROKEN_EVERY else code + "-broken",
                 "name": self.random.choice(NAMES)}
        return code, json.dumps(value)

    def _run(self):
        producer = Producer({"bootstrap.servers": self.cluster.bootstrap(), "enable.idempotence": True, "log_level": 2,
                             "delivery.timeout.ms": 300_000, "socket.timeout.ms": 5_000, "linger.ms": 5,
                             "reconnect.backoff.max.ms": 500, "topic.metadata.refresh.interval.ms": 2_000})

        def done(error, _):
            if error is not None:
                self.refused += 1
        begun, written = time.monotonic(), 0
        while not self.ending.wait(0.02):
            due = int((time.monotonic() - begun) * self.rate) - written
            for _ in range(min(due, 2_000)):
                key, value = self.event()
                try:
                    producer.produce(self.topic, key=key, value=value, on_delivery=done)
                except BufferError:
                    self.number -= 1
                    break
                written += 1
            producer.poll(0)
        producer.flush(300)


class Watch:
    """Sees results become visible, and how long each raw partition goes without any, on a thread of its own."""

    def __init__(self, cluster, topic):
        self.cluster, self.topic = cluster, topic
        self.thread = None
        self.ending = threading.Event()
        self.lock = threading.Lock()
        self.last, self.gaps = {}, {}

    def start(self):
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def stop(self):
        if self.thread is not None:
            self.ending.set()
            self.thread.join()
            self.thread = None

    def reset(self):
        with self.lock:
            self.gaps = {}
            now = time.monotonic()
            self.last = {partition: now for partition in self.last}

    def longest(self):
        """Seconds without a result: the longest of any raw partition since the last reset, also one that lasts."""
        with self.lock:
            now = time.monotonic()
            return max([*self.gaps.values(), *(now - last for last in self.last.values())], default=0.0)

    def quiet(self):
        """By raw partition, for how long there has been none."""
        with self.lock:
            now = time.monotonic()
            return {partition: now - last for partition, last in self.last.items()}

    def _run(self):
        consumer = Consumer({"bootstrap.servers": self.cluster.bootstrap(), "group.id": "watch", "log_level": 2,
                             "isolation.level": "read_committed", "enable.auto.commit": False,
                             "fetch.wait.max.ms": 20, "socket.timeout.ms": 5_000,
                             "reconnect.backoff.max.ms": 250, "topic.metadata.refresh.interval.ms": 1_000})
        partitions = consumer.list_topics(self.topic, timeout=10).topics[self.topic].partitions
        consumer.assign([TopicPartition(self.topic, at, OFFSET_END) for at in partitions])
        while not self.ending.is_set():
            for message in consumer.consume(200, timeout=0.05):
                if message.error():
                    continue
                at = oracle.source(message.headers())
                if at is None:
                    continue
                now = time.monotonic()
                with self.lock:
                    gap = now - self.last.get(at[0], now)
                    self.gaps[at[0]] = max(gap, self.gaps.get(at[0], 0.0))
                    self.last[at[0]] = now
        consumer.close()
