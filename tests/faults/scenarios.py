"""What is done to a pipeline while events flow. Each scenario is a function of a Run; its docstring says what must hold
beside the oracle's judgement: nothing lost, doubled, torn, out of order or wrong, and the audit finds the same.

A seed decides who is hit when. What happens between is up to the machine, so a seed does not replay exactly."""
import dataclasses
import os
import random
import subprocess
import time

from confluent_kafka import KafkaError, KafkaException, TopicPartition

import oracle
from oracle import read
from pipeline import CODES, NAMES, RAW_PARTITIONS, Site
from processes import Failed, Process, wait_until

POINTS = ("after_produce", "after_send_offsets", "during_commit")
HEALTHY_PAUSE_MAX = 10.0
BROKER_DEATH_MAX = 15.0


@dataclasses.dataclass
class Run:
    """One seed of one scenario."""
    cluster: object
    folder: str
    name: str
    certificates: object
    seed: int
    seconds: float
    log: object = print
    site: Site = None
    longest: float = 0.0  # without a result in any partition, where the scenario measures it
    figures: dict = dataclasses.field(default_factory=dict)
    judged: object = None

    def __post_init__(self):
        self.random = random.Random(self.seed)

    def begin(self, **options):
        options.setdefault("membership", ("static", "dynamic")[self.seed % 2])
        self.site = Site(self.cluster, os.path.join(self.folder, self.name), self.name, self.certificates,
                         log=self.log, **options)
        return self.site

    def started(self, **options):
        site = self.begin(**options)
        site.start()
        self.ends = time.monotonic() + self.seconds
        return site

    def going_on(self):
        return time.monotonic() < self.ends

    def pause(self, low, high):
        """The time between two faults is the scenario's own; events go on meanwhile."""
        time.sleep(max(0.0, min(self.random.uniform(low, high), self.ends - time.monotonic() + high)))

    def fault(self, text):
        self.site.faults += 1
        self.log(f"    {text}")

    def finish(self):
        """Everything runs again; then it is judged."""
        settled = self.site.settle()
        self.longest = max(self.longest, self.site.watch.longest())
        self.figures.setdefault("settled", round(settled, 1))
        self.judged = self.site.judge()
        self.site.stop()
        return self.judged


def anyone(run, names=None):
    return run.site.processors[run.random.choice(sorted(names or run.site.processors))]


def kills(run):
    """Processors die at the named points of a commit, each with a transaction open, and come back at once."""
    site = run.started()
    for process in site.processors.values():
        process.kill()
    passes = {name: 0 for name in site.processors}
    while run.going_on():
        for name, process in site.processors.items():
            if process.running():
                continue
            if process.child.returncode == -9 and passes[name]:
                site.kills += 1
                site.faults += 1
            point = run.random.choice(POINTS)
            process.start(SLUICE_FAILPOINT=f"{point}:{run.random.randint(1, 12)}")
            passes[name] += 1
        time.sleep(0.02)
    for process in site.processors.values():  # the next run has no such point
        site.kill(process)
    return run.finish()


def random_kills(run):
    """Processors die at any moment and come back after up to three seconds."""
    site = run.started()
    while run.going_on():
        process = anyone(run)
        run.fault(f"kill {process.name}")
        site.kill(process)
        site.faults -= 1
        run.pause(0.2, 3)
        process.start()
        run.pause(0.5, 4)
    return run.finish()


def freezes(run):
    """Processors stop for up to more than the session timeout and go on: what they held is not theirs any more."""
    site = run.started(session_ms=6_000, transaction_ms=3_000)
    while run.going_on():
        process = anyone(run)
        seconds = run.random.choice((1, 2, 4, 8))  # below and above each of the timeouts
        run.fault(f"freeze {process.name} for {seconds} s")
        process.freeze()
        time.sleep(seconds)
        process.thaw()
        run.pause(1, 3)
    return run.finish()


def storm(run):
    """Members join and leave every second or two."""
    site = run.started(membership="dynamic")
    while run.going_on():
        process = anyone(run)
        if process.running():
            run.fault(f"stop {process.name}")
            if run.random.random() < 0.3:
                site.kill(process)
            else:
                process.signal(15)
                if process.wait(30) != 0:
                    raise Failed(f"{process.name} does not end cleanly:\n{process.tail()}")
        else:
            run.fault(f"start {process.name}")
            process.start()
        run.pause(0.5, 2)
    return run.finish()


def crash_loop(run):
    """One replica of a dynamic group comes up and dies every nine seconds. The healthy ones never stand still for more
    than ten."""
    site = run.started(membership="dynamic", session_ms=30_000, transaction_ms=12_000)
    sick = site.processors["c"]
    healthy = [name for name in site.processors if name != "c"]
    seen, longest = {}, {name: 0.0 for name in healthy}
    died = up = time.monotonic()
    while run.going_on():
        now = time.monotonic()
        if sick.running() and now - up >= 8:
            run.fault("kill processor c")
            site.kill(sick)
            site.faults -= 1
            died = now
        elif not sick.running() and now - died >= 1:
            sick.start()
            up = now
        for name in healthy:
            events = site.metric(name, "sluice_events_in_total")
            if events is None:
                continue
            if name not in seen or seen[name][0] != events:
                seen[name] = (events, now)
            longest[name] = max(longest[name], now - seen[name][1])
        time.sleep(0.1)
    pause = max(longest.values())
    run.figures["healthy members' longest pause"] = round(pause, 1)
    found = run.finish()
    if pause > HEALTHY_PAUSE_MAX:
        raise Failed(f"healthy members stood still for {pause:.1f} s; {HEALTHY_PAUSE_MAX} s at most")
    return found


def twin(run):
    """A second process with a replica's name: one of the two ends, and says why."""
    site = run.started(instances=("a", "b"), session_ms=6_000, transaction_ms=3_000)
    site.write_config("a", file="twin")
    while run.going_on():
        second = Process("twin", [*site.processors["a"].command[:-1], site.path("twin.yaml")], site.path("twin.log"))
        run.fault("start a twin of processor a")
        second.start()
        pair = (second, site.processors["a"])
        if not wait_until(60, lambda: any(not process.running() for process in pair)):  # pylint: disable=cell-var-from-loop
            raise Failed("two live replicas of one name, and both go on")
        gone = next(process for process in pair if not process.running())
        if gone.child.returncode != 1 or "another live" not in gone.output():
            raise Failed(f"{gone.name} ended with {gone.child.returncode}, without a reason:\n{gone.tail()}")
        run.pause(1, 3)
        for process in pair:
            if process.running():
                process.signal(15)
                process.wait(40)
        site.processors["a"].start()
        run.pause(3, 6)
    return run.finish()


def brokers(run):
    """One broker after the other dies and comes back; results go on within 15 s of each death."""
    site = run.started()
    order = list(run.cluster.brokers)
    run.random.shuffle(order)
    turn, slowest = 0, 0.0
    while run.going_on():
        broker = order[turn % len(order)]
        turn += 1
        site.watch.reset()
        run.fault(f"kill {broker.name}")
        broker.kill()
        site.kills += 1
        run.pause(8, 12)
        broker.start()
        run.cluster.await_all()
        wait_until(30, lambda: max(site.watch.quiet().values()) < 1)
        slowest = max(slowest, site.watch.longest())
    run.figures["longest pause after a broker's death"] = round(slowest, 1)
    run.longest = slowest
    found = run.finish()
    if slowest > BROKER_DEATH_MAX:
        raise Failed(f"no results for {slowest:.1f} s after a broker's death; {BROKER_DEATH_MAX} s at most")
    return found


def broker_freezes(run):
    """Brokers stop for up to more than every timeout and go on."""
    run.started(session_ms=6_000, transaction_ms=3_000)
    while run.going_on():
        broker = run.random.choice(run.cluster.brokers)
        seconds = run.random.choice((1, 4, 8, 15))
        run.fault(f"freeze {broker.name} for {seconds} s")
        broker.freeze()
        time.sleep(seconds)
        broker.thaw()
        run.cluster.await_all()
        run.pause(2, 5)
    return run.finish()


def outage(run):
    """Two or all of the brokers die at once."""
    site = run.started()
    while run.going_on():
        victims = run.random.sample(run.cluster.brokers, run.random.choice((2, 3)))
        run.fault("kill " + ", ".join(broker.name for broker in victims))
        for broker in victims:
            broker.kill()
            site.kills += 1
        run.pause(1, 6)
        for broker in victims:
            broker.start()
        run.cluster.await_all()
        run.pause(5, 8)
    return run.finish()


def leaders(run):
    """Leaders of all topics, the group's and the transactions' too, move by order of an administrator."""
    site = run.started()
    moved = [(topic, partition) for topic, count in (
        (site.raw, RAW_PARTITIONS), (site.desk, 3), (site.open, 3), (site.quarantine, 3),
        ("__consumer_offsets", 3), ("__transaction_state", 3)) for partition in range(count)]
    numbers = [broker.number for broker in run.cluster.brokers]
    while run.going_on():
        orders = {at: run.random.sample(numbers, len(numbers)) for at in moved}
        run.fault(f"move the leaders of {len(orders)} partitions")
        run.cluster.reassign(run.folder, orders)
        run.pause(2, 4)
    return run.finish()


def services(run):
    """The services of keys and reference data die, freeze and come back."""
    site = run.started()
    while run.going_on():
        service = run.random.choice((site.keys, site.reference))
        if run.random.random() < 0.5:
            run.fault(f"kill {service.name}")
            site.kill(service)
            site.faults -= 1
            run.pause(0.5, 6)
            service.start()
        else:
            run.fault(f"freeze {service.name}")
            service.freeze()
            run.pause(0.5, 6)
            service.thaw()
        run.pause(2, 4)
    return run.finish()


def reloads(run):
    """Configurations, good and broken ones, and reference data change under load; a broken one is refused and the last
    good one works on."""
    site = run.started()
    for version in range(2, 10_000):
        if not run.going_on():
            break
        instance = run.random.choice(sorted(site.processors))
        process = site.processors[instance]
        kind = run.random.choice(("good", "broken", "units", "units"))
        run.fault(f"reload: {kind}")
        if kind == "units":
            site.write_units(version)
        else:
            # A purpose changes the plan and no record's value; an unknown member is an error.
            site.write_config(instance, "  name: " + site.quarantine + "\n" if kind == "good" else "  colour: red\n")
            process.signal(1)
        run.pause(0.5, 2)
        if not process.running():
            raise Failed(f"{process.name} ended by a reload:\n{process.tail()}")
        if kind == "broken":
            site.write_config(instance)
            process.signal(1)
    return run.finish()


def certificates(run):
    """Everything is on TLS; certificates are renewed under load, also by expired ones, for which the flow may wait."""
    site = run.started(listener="TLS")
    names = {"pseudonymiser": "DNS:localhost", "reference": "DNS:localhost",
             "processor": "URI:spiffe://sluice/processor"}
    while run.going_on():
        name = run.random.choice(sorted(names))
        if run.random.random() < 0.5:
            run.fault(f"renew the certificate of {name}")
            site.issue(name, names[name])
        else:
            run.fault(f"an expired certificate for {name}")
            site.issue(name, names[name], valid=False)
            run.pause(2, 5)
            site.issue(name, names[name])
        if run.random.random() < 0.5:  # connections are made again
            process = anyone(run)
            run.fault(f"kill {process.name}")
            site.kill(process)
            site.faults -= 1
            process.start()
        run.pause(1, 3)
    return run.finish()


def late(run):
    """Requests of transactions arrive seconds late, some of them after their sender gave them up. The processors come
    through proxies before the brokers; their sockets time out after two seconds."""
    site = run.begin(listener="LATE", session_ms=10_000, transaction_ms=8_000)
    before = sum(proxy.held for proxy in run.cluster.proxies)
    site.start()
    run.ends = time.monotonic() + run.seconds
    while run.going_on():
        for number, proxy in enumerate(run.cluster.proxies):
            proxy.hold(run.random.choice((0.005, 0.02, 0.05)), (0.5, 7.0), run.seed * 100 + number)
        run.pause(4, 8)
        for proxy in run.cluster.proxies:
            proxy.release()
        run.pause(1, 4)
    held = sum(proxy.held for proxy in run.cluster.proxies) - before
    site.faults += held
    run.figures["requests held"] = held
    run.figures["producers replaced"] = int(sum(
        site.metric(name, "sluice_producer_recreations_total") or 0 for name in site.processors))
    return run.finish()


def network(run):
    """The processors are cut off from one broker or from all, for up to more than the session timeout. Nobody is told:
    connections stay open and nothing passes."""
    site = run.begin(listener="LATE", session_ms=6_000, transaction_ms=3_000)
    site.start()
    run.ends = time.monotonic() + run.seconds
    while run.going_on():
        proxies = run.random.choice((run.cluster.proxies, [run.random.choice(run.cluster.proxies)]))
        seconds = run.random.choice((1, 3, 8, 12))
        run.fault(f"cut the processors off from {len(proxies)} brokers for {seconds} s")
        for proxy in proxies:
            proxy.cut()
        time.sleep(seconds)
        for proxy in proxies:
            proxy.release()
        run.pause(3, 6)
    return run.finish()


def disk_full(run):
    """A broker's disk is full, so that the broker dies; and the processors' folders are, while reference data changes.
    Neither loses anything, and both go on once there is room."""
    if os.getuid() != 0:
        raise Failed("this scenario mounts small file systems: run it as root")
    site = run.begin()
    small = site.path("kept-a")
    os.makedirs(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=True)
    broker = run.random.choice(run.cluster.brokers)
    try:
        site.start()
        run.ends = time.monotonic() + run.seconds
        version = 2
        while run.going_on():
            run.fault("fill a processor's folder")
            _fill(os.path.join(small, "filler"))
            site.write_units(version)
            version += 1
            run.pause(2, 4)
            os.remove(os.path.join(small, "filler"))
            run.pause(1, 2)
            run.fault(f"fill the disk of {broker.name}")
            with _full_disk(broker):
                site.kills += 1
                run.pause(3, 6)
            broker.start()
            run.cluster.await_all()
        return run.finish()
    finally:
        site.processors["a"].kill()
        subprocess.run(["umount", "-l", small], check=False)


def _fill(path):
    with open(path, "wb") as file:
        try:
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        except OSError:
            pass


class _full_disk:
    """The broker's data moves to a file system with a few free megabytes, and it runs there until these are used up and
    it dies of it; then it moves back."""

    def __init__(self, broker):
        self.broker = broker
        self.mount = broker.data + ".small"

    def __enter__(self):
        broker = self.broker
        broker.kill()
        used = int(subprocess.run(["du", "-sm", "--apparent-size", broker.data], check=True, capture_output=True,
                                  text=True).stdout.split()[0])
        os.makedirs(self.mount, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={used + 400}m", "tmpfs", self.mount], check=True)
        subprocess.run(["cp", "-a", "--sparse=always", broker.data + "/.", self.mount], check=True)
        os.rename(broker.data, broker.data + ".before")
        os.symlink(self.mount, broker.data)
        broker.start()
        if not wait_until(60, lambda: broker.serves() or not broker.running()):
            raise Failed(f"{broker.name} does not start on a small disk:\n{broker.tail()}")
        _fill(os.path.join(self.mount, "filler"))
        if not wait_until(60, lambda: not broker.running()):
            raise Failed(f"{broker.name} lives on a full disk")
        os.remove(os.path.join(self.mount, "filler"))

    def __exit__(self, *_):
        broker = self.broker
        broker.kill()
        os.remove(broker.data)
        subprocess.run(["rm", "-rf", broker.data + ".before"], check=True)
        subprocess.run(["cp", "-a", "--sparse=always", self.mount, broker.data], check=True)
        subprocess.run(["umount", "-l", self.mount], check=True)


def expired_offsets(run):
    """The group's offsets are gone. The processors refuse to start, and go on exactly where they were after
    `sluicectl offsets recover`."""
    site = run.started(membership="dynamic")
    while run.going_on():
        run.pause(2, 4)
        site.stop()
        run.fault("delete the group")
        # One that stopped while it joined may count as a member until the session timeout.
        if not wait_until(60, lambda: deleted(run.cluster, site.group), 0.5):
            raise Failed("the group does not become empty")
        process = anyone(run)
        process.start()
        if process.wait(60) != 1 or "offsets recover" not in process.output():
            raise Failed(f"{process.name} starts without the group's offsets:\n{process.tail()}")
        site.must("offsets", "recover", "--config", site.path("a.yaml"), "--yes", "--reason", "test")
        for process in site.processors.values():
            process.start()
        site.await_flow()
    return run.finish()


def deleted(cluster, group):
    try:
        cluster.administer("delete_consumer_groups", [group])
    except KafkaException as error:
        if error.args[0].code() != KafkaError.NON_EMPTY_GROUP:
            raise
        return False
    return True


def retention(run):
    """The raw topic's head is deleted beyond where the group stands: workers halt with the reason, the oracle and the
    audit count the same events as lost, and the rest flows after `sluicectl offsets set`."""
    site = run.started(membership="dynamic", session_ms=6_000, transaction_ms=3_000)
    run.pause(2, 4)
    site.stop()
    stood = site.committed()
    run.pause(3, 5)
    ends = site.ends(site.raw)
    cut = {partition: stood[partition] + (ends[partition] - stood[partition]) // 2 for partition in (0, 1)}
    gone = [record for record in read(run.cluster.bootstrap(), site.raw)
            if record.offset < cut.get(record.partition, 0)]
    run.fault(f"delete the records before {cut}")
    run.cluster.administer("delete_records", [TopicPartition(site.raw, *at) for at in cut.items()])
    for process in site.processors.values():
        process.start()
    if not wait_until(60, lambda: any("no longer holds" in process.output() for process in site.processors.values())):
        raise Failed("no worker says that its next record is gone:\n" + site.tails())
    audit = site.audit()
    lost = sum(offset - stood[partition] for partition, offset in cut.items())
    if audit["lost"] != lost:
        raise Failed(f"{lost} events are lost, the audit says {audit['lost']}")
    site.stop()
    site.must("offsets", "set", "0=begin", "1=begin", "--config", site.path("a.yaml"), "--yes", "--reason", "test")
    for process in site.processors.values():
        process.start()
    site.settle()
    found = site.findings(gone)
    run.figures["lost, as it must be"] = lost
    if found.lost != lost or found.doubled or found.torn or found.unordered or found.strays or found.wrong:
        raise Failed(f"{lost} events are lost: {found}")
    found.lost = 0
    site.stop()
    run.longest = site.watch.longest()
    run.judged = found
    return found


def recreated(run):
    """The raw topic is deleted and made again: every worker halts or refuses, and nothing of the new one is taken for
    the old one. After `sluicectl offsets recover` it is read from its beginning."""
    site = run.started(membership="dynamic", instances=("a", "b"), session_ms=6_000, transaction_ms=3_000)
    run.pause(2, 4)
    site.generator.stop()
    if not wait_until(60, site.drained, 0.3):
        raise Failed("not drained:\n" + site.tails())
    gone = read(run.cluster.bootstrap(), site.raw)
    run.fault("delete the raw topic and make it again")
    run.cluster.administer("delete_topics", [site.raw], operation_timeout=20)
    time.sleep(run.random.uniform(0, 8))  # within and beyond the time that it may be missing
    site.make_topics(site.raw)
    site.generator.start()
    if not wait_until(60, lambda: all("deleted" in process.output() or "another topic" in process.output()
                                      or "made again" in process.output() for process in site.processors.values())):
        raise Failed("a worker does not see that the topic is another one:\n" + site.tails())
    site.stop()
    process = anyone(run)
    process.start()
    if process.wait(60) != 1 or "offsets recover" not in process.output():
        raise Failed(f"{process.name} starts on a new topic:\n{process.tail()}")
    site.must("offsets", "recover", "--config", site.path("a.yaml"), "--yes", "--reason", "test")
    for process in site.processors.values():
        process.start()
    site.settle()
    fresh = read(run.cluster.bootstrap(), site.raw)
    # Each generation is judged on its own records.
    outputs = [read(run.cluster.bootstrap(), topic) for topic in (site.desk, site.open, site.quarantine)]
    total = oracle.Findings()
    numbers = {id(records): {oracle.number_of(record) for record in records} for records in (gone, fresh)}
    sealed = by_generation(outputs[2])
    for records, quarantine in ((gone, sealed[0]), (fresh, sealed[1])):
        mine = numbers[id(records)]
        part = oracle.judge(records, *([record for record in output if oracle.number_of(record) in mine]
                                       for output in outputs[:2]), quarantine, names=NAMES, codes=set(CODES))
        if not part.good():
            raise Failed(f"{part}")
        total.events += part.events
        total.quarantined += part.quarantined
    site.stop()
    run.longest = site.watch.longest()
    run.judged = total
    return total


def by_generation(quarantine):
    """Positions repeat, so quarantine records name the raw topic's id too. In the order of the two."""
    generations = {}
    for record in sorted(quarantine, key=lambda record: record.timestamp):
        generations.setdefault(dict(record.headers)["sluice-src-id"], []).append(record)
    if len(generations) != 2:
        raise Failed(f"quarantine names {len(generations)} raw topics, not 2")
    return list(generations.values())


def mix(run):
    """Any of the faults of processors, services and brokers, at random."""
    site = run.started(session_ms=6_000, transaction_ms=3_000)
    version = 2
    while run.going_on():
        kind = run.random.choice(("kill", "kill", "kill", "freeze", "broker", "broker freeze", "service", "units",
                                  "leave"))
        run.fault(kind)
        if kind == "kill":
            process = anyone(run)
            site.kill(process)
            site.faults -= 1
            run.pause(0, 2)
            process.start()
        elif kind == "freeze":
            process = anyone(run)
            process.freeze()
            run.pause(0.5, 8)
            process.thaw()
        elif kind in ("broker", "broker freeze"):
            broker = run.random.choice(run.cluster.brokers)
            if kind == "broker":
                broker.kill()
                site.kills += 1
            else:
                broker.freeze()
            run.pause(1, 8)
            run.cluster.mend()
        elif kind == "service":
            service = run.random.choice((site.keys, site.reference))
            site.kill(service)
            site.faults -= 1
            run.pause(0, 3)
            service.start()
        elif kind == "units":
            site.write_units(version)
            version += 1
        elif kind == "leave":
            process = anyone(run)
            process.signal(15)
            if process.wait(40) != 0:
                raise Failed(f"{process.name} does not end cleanly:\n{process.tail()}")
            run.pause(0, 2)
            process.start()
        run.pause(0.3, 2)
    return run.finish()


def rto(run):
    """How long partitions stay without results after one of two processors is killed. Back at once under its name: two
    seconds more than a start; not back: the session timeout and 2 s (static) or 5 s (dynamic)."""
    membership = ("static", "dynamic")[run.seed % 2]
    session = (10_000, 30_000)[run.seed // 2 % 2]
    site = run.started(instances=("a", "b"), membership=membership, session_ms=session, transaction_ms=5_000)
    results = {}
    for back in (True, False):
        run.pause(4, 5)
        site.watch.reset()
        run.fault(f"kill processor a, {'back at once' if back else 'not back'}")
        site.kill(site.processors["a"])
        site.faults -= 1
        if back:
            site.processors["a"].start()
        begun = time.monotonic()
        wait_until(session / 1000 + 30, lambda: time.monotonic() - begun > 1 and max(site.watch.quiet().values()) < 0.5)  # pylint: disable=cell-var-from-loop
        results[back] = site.watch.longest()
    run.figures.update({f"{membership}, session {session // 1000} s, back at once": round(results[True], 1),
                        f"{membership}, session {session // 1000} s, not back": round(results[False], 1)})
    found = run.finish()
    if results[False] > session / 1000 + (2 if membership == "static" else 5):
        raise Failed(f"{run.figures}")
    return found


SCENARIOS = {scenario.__name__.replace("_", "-"): scenario for scenario in (
    kills, random_kills, freezes, storm, crash_loop, twin, brokers, broker_freezes, outage, leaders, services, reloads,
    certificates, late, network, disk_full, expired_offsets, retention, recreated, mix, rto)}
