"""Three real Kafka brokers, each of them controller too, on free loopback ports."""
import os
import shutil
import subprocess

from confluent_kafka import Consumer, ElectionType, TopicPartition
from confluent_kafka.admin import AdminClient

from processes import Failed, Process, free_port, wait_until, write
from proxy import Proxy

BROKERS = 3
CLUSTER_ID = "c2x1aWNlLXRlc3QtbG9jYQ"
HEAP_MB = 320


def jars():
    folder = os.environ.get("SLUICE_KAFKA_LIBS") or os.path.expanduser("~/.cache/sluice/kafka-4.1.0/libs")
    if not os.path.isdir(folder):
        raise Failed(f"no Kafka in {folder}: run `./run setup`, or set SLUICE_KAFKA_LIBS to the folder of its jars")
    return folder


def java():
    found = shutil.which("java", path=os.environ.get("JAVA_HOME", "") + "/bin:" + os.environ["PATH"])
    if not found:
        raise Failed("no java in JAVA_HOME or PATH, which Kafka needs: run `./run setup`")
    return found


class Broker(Process):
    """Its data stays over kills; `folder` has it."""

    def __init__(self, number, folder):
        self.number, self.folder = number, folder
        self.data = os.path.join(folder, "data")
        os.makedirs(self.data)
        self.port, self.late_port, self.tls_port, self.controller_port = (free_port() for _ in range(4))
        self.properties = os.path.join(folder, "server.properties")
        super().__init__(f"broker {number}", self.java("kafka.Kafka", self.properties),
                         os.path.join(folder, "broker.log"))

    def java(self, main, *arguments):
        return [java(), f"-Xmx{HEAP_MB}m", "-XX:-UsePerfData", f"-XX:ErrorFile={self.folder}/jvm-error.log",
                "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true",
                "-Dorg.slf4j.simpleLogger.showDateTime=true",
                "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
                "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
                "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.coordinator.group=info",
                "-cp", jars() + "/*", main, *arguments]

    def configure(self, brokers, certificates, late):
        """`late`: the port that clients of the listener LATE are sent to."""
        voters = ",".join(f"{broker.number}@127.0.0.1:{broker.controller_port}" for broker in brokers)
        listeners = {"CLIENT": self.port, "LATE": self.late_port, "TLS": self.tls_port}
        write(self.properties, "".join(f"{name}={value}\n" for name, value in {
            "process.roles": "broker,controller",
            "node.id": self.number,
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "CLIENT",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,CLIENT:PLAINTEXT,LATE:PLAINTEXT,TLS:SSL",
            "listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in
                                  {**listeners, "CONTROLLER": self.controller_port}.items()),
            "advertised.listeners": ",".join(f"{name}://127.0.0.1:{port}" for name, port in
                                             {**listeners, "LATE": late}.items()),
            "log.dirs": self.data,
            "auto.create.topics.enable": "false",
            "default.replication.factor": BROKERS,
            "min.insync.replicas": 2,
            "offsets.topic.replication.factor": BROKERS,
            "offsets.topic.num.partitions": 3,
            "transaction.state.log.replication.factor": BROKERS,
            "transaction.state.log.min.isr": 2,
            "transaction.state.log.num.partitions": 3,
            "group.initial.rebalance.delay.ms": 0,
            "auto.leader.rebalance.enable": "false",  # leaders move when a scenario says so
            "log.cleaner.dedupe.buffer.size": 8388608,
            "num.network.threads": 2,
            "num.io.threads": 4,
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": certificates.keystore("broker", "DNS:localhost,IP:127.0.0.1"),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": certificates.authority,
            "listener.name.tls.ssl.client.auth": "required",
        }.items()))

    def format(self):
        done = subprocess.run(self.java("kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", CLUSTER_ID,
                                        "-c", self.properties), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"Kafka's folder could not be formatted:\n{done.stdout}{done.stderr}")

    def serves(self):
        return "Kafka Server started" in self.output()


class Cluster:
    def __init__(self, folder, certificates):
        self.brokers, self.proxies = [], []
        for number in range(1, BROKERS + 1):
            os.makedirs(os.path.join(folder, f"broker-{number}"))
            self.brokers.append(Broker(number, os.path.join(folder, f"broker-{number}")))
        for broker in self.brokers:
            self.proxies.append(Proxy(broker.late_port))
            broker.configure(self.brokers, certificates, self.proxies[-1].port)
            broker.format()
        self.questions = self.client()

    def start(self):
        for broker in self.brokers:
            broker.start()
        self.await_all()

    def await_all(self, seconds=120):
        """Until every broker serves, and is in every partition's in-sync set."""
        for broker in self.brokers:
            if not wait_until(seconds, lambda: broker.serves() or not broker.running()) or not broker.running():
                raise Failed(f"{broker.name} does not start:\n{broker.tail()}")
        if not wait_until(seconds, self.in_sync, 0.3):
            raise Failed("the brokers do not come into sync")

    def in_sync(self):
        try:
            topics = self.questions.list_topics(timeout=5).topics
        except Exception:  # pylint: disable=broad-except
            return False
        return all(partition.leader >= 0 and len(partition.isrs) == BROKERS
                   for topic in topics.values() for partition in topic.partitions.values())

    def mend(self):
        """All brokers run again."""
        for proxy in self.proxies:
            proxy.release()
        for broker in self.brokers:
            if broker.running():
                broker.thaw()
            else:
                broker.start()
        self.await_all()

    def addresses(self, listener="CLIENT"):
        if listener == "LATE":
            return [f"127.0.0.1:{proxy.port}" for proxy in self.proxies]
        return [f"127.0.0.1:{broker.tls_port if listener == 'TLS' else broker.port}" for broker in self.brokers]

    def bootstrap(self):
        return ",".join(self.addresses())

    def client(self, **settings):
        """A consumer that joins nothing: for questions."""
        return Consumer({"bootstrap.servers": self.bootstrap(), "group.id": "questions", "log_level": 2,
                         "socket.timeout.ms": 5_000, "reconnect.backoff.max.ms": 500, **settings})

    def administer(self, what, *arguments, **named):
        """The answers to a call of AdminClient."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap(), "log_level": 2})
        return {key: future.result(60) for key, future in getattr(admin, what)(*arguments, **named).items()}

    def ends(self, topic, isolated=False):
        """By partition, the log's end; `isolated`: the last stable offset."""
        client = self.client(**{"isolation.level": "read_committed" if isolated else "read_uncommitted"})
        try:
            partitions = client.list_topics(topic, timeout=10).topics[topic].partitions
            return {at: client.get_watermark_offsets(TopicPartition(topic, at), timeout=10)[1] for at in partitions}
        finally:
            client.close()

    def leader(self, topic, partition):
        """The broker; None: there is none, or nobody says."""
        try:
            leader = self.questions.list_topics(topic, timeout=5).topics[topic].partitions[partition].leader
        except Exception:  # pylint: disable=broad-except
            return None
        return next((broker for broker in self.brokers if broker.number == leader), None)

    def reassign(self, folder, orders):
        """`orders`: by (topic, partition), the brokers' numbers, the next leader first. Then the leaders move."""
        path = os.path.join(folder, "reassign.json")
        write(path, '{"version":1,"partitions":[' + ",".join(
            f'{{"topic":"{topic}","partition":{partition},"replicas":{list(order)}}}'
            for (topic, partition), order in orders.items()) + "]}")
        subprocess.run(self.brokers[0].java("org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
                                            "--bootstrap-server", self.bootstrap(), "--reassignment-json-file", path,
                                            "--execute"),
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        admin = AdminClient({"bootstrap.servers": self.bootstrap(), "log_level": 2})
        admin.elect_leaders(ElectionType.PREFERRED, [TopicPartition(*partition) for partition in orders]).result(60)

    def close(self):
        for broker in self.brokers:
            broker.kill()
        for proxy in self.proxies:
            proxy.close()
