"""The services' images, looked into and run as a cluster would run them: without a shell, as nobody, on a
read-only root, without any capability, within a memory limit.

usage: images_test.py DEBIAN  (./run test-images builds them first)"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEBIAN = "13"
SIZE_MIB_MAX = 60
MEMORY_MIB = 256
EVENTS = 5_000
LOCAL_KEYS = "pseudonymiser: {local: {keyring: ../keys/keyring, key_encryption_key: ../keys/kek}}\n"
LOCAL_SETS = "reference: {local: {sets: [{name: boroughs, csv: boroughs.csv, key: code}]}}\n"
SHELLS = ("sh", "bash", "dash", "busybox", "ash", "zsh", "perl", "python3")

# What every container is started with. Debian 12's podman has no bridge here, hence the host's network: nothing
# listens on anything but loopback.
HARDENED = ("--network=host", "--read-only", "--read-only-tmpfs=false", "--cap-drop=all",
            "--security-opt=no-new-privileges", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096",
            f"--memory={MEMORY_MIB}m")


def services():
    lines = (ROOT / "deploy/image/services.txt").read_text().splitlines()
    return dict(line.split() for line in lines if not line.startswith("#"))


def image(name):
    return f"localhost/sluice/{name}:debian{DEBIAN}"


def run(*command, **options):
    found = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if found.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {found.returncode}\n{found.stdout[-3000:]}{found.stderr[-3000:]}")
    return found.stdout


def podman(*arguments):
    return ("podman", "--cgroup-manager=cgroupfs", "--runtime=runc", *arguments)


def wait_until(seconds, ready):
    deadline = time.monotonic() + seconds
    while not (answer := ready()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return answer


class Mounted:
    """An image's files."""

    def __init__(self, name):
        self.name = image(name)

    def __enter__(self):
        return pathlib.Path(run("podman", "image", "mount", self.name).strip())

    def __exit__(self, *_):
        run("podman", "image", "unmount", self.name)


class Contents(unittest.TestCase):
    def test_every_image_is_small(self):
        for line in run(ROOT / "scripts/images.sh", "sizes", DEBIAN).splitlines():
            name, mib = line.split()
            print(f"image.{name}_mib {mib} (Debian {DEBIAN})")
            self.assertLess(float(mib), SIZE_MIB_MAX, name)

    def test_nobody_runs_it_and_there_is_no_shell(self):
        for name, program in services().items():
            config = json.loads(run("podman", "image", "inspect", image(name)))[0]["Config"]
            self.assertEqual(config["User"], "65532:65532")
            self.assertEqual(config["Entrypoint"], ["/usr/bin/service"])
            with Mounted(name) as root:
                self.assertEqual(os.readlink(root / "usr/bin/service"), program)
                programs = {path.name for path in root.rglob("*")
                            if path.is_file() and os.access(path, os.X_OK) and ".so" not in path.name}
                self.assertEqual(programs, {program, "service"}, "what else can be run?")
                self.assertFalse(programs & set(SHELLS))
                writable = [path for path in root.rglob("*")
                            if not path.is_symlink() and path.stat().st_mode & 0o022]
                self.assertEqual(writable, [])

    def test_what_was_stripped_is_found_by_its_build_id(self):
        with Mounted("symbols") as symbols:
            for name, program in services().items():
                with Mounted(name) as root:
                    sections = run("readelf", "-SW", root / "usr/bin" / program)
                    self.assertNotRegex(sections, r"\.debug_info|\.symtab")
                    build_id = re.search(r"Build ID: (\w+)", run("readelf", "-n", root / "usr/bin" / program))[1]
                debug = symbols / "usr/lib/debug/.build-id" / build_id[:2] / f"{build_id[2:]}.debug"
                self.assertRegex(run("readelf", "-SW", debug), r"\.debug_info")
                self.assertIn(build_id, run("readelf", "-n", debug))

    def test_programs_are_hardened(self):
        for name, program in services().items():
            with Mounted(name) as root:
                binary = root / "usr/bin" / program
                self.assertRegex(run("readelf", "-hW", binary), r"Type:\s+DYN")
                self.assertRegex(run("readelf", "-lW", binary), r"GNU_RELRO")
                self.assertRegex(run("readelf", "-dW", binary), r"BIND_NOW|Flags:.*NOW")
                self.assertIn("__stack_chk_fail", run("readelf", "--dyn-syms", "-W", binary))

    def test_the_bill_of_materials_names_every_library_and_its_licence(self):
        for name, program in services().items():
            with Mounted(name) as root:
                bill = json.loads((root / "usr/share/sluice/sbom.spdx.json").read_text())
                self.assertEqual(bill["spdxVersion"], "SPDX-2.3")
                packages = {entry["SPDXID"]: entry for entry in bill["packages"]}
                self.assertEqual(len(packages), len(bill["packages"]))
                for entry in packages.values():
                    self.assertRegex(entry["SPDXID"], r"^SPDXRef-[A-Za-z0-9.-]+$")
                    self.assertTrue(entry["versionInfo"])
                    if entry.get("licenseComments"):
                        licence = root / entry["licenseComments"].lstrip("/")
                        self.assertGreater(licence.stat().st_size, 100, entry["name"])
                    else:
                        self.assertNotEqual(entry["licenseDeclared"], "NOASSERTION", entry["name"])
                contained = {relation["relatedSpdxElement"] for relation in bill["relationships"]
                             if relation["relationshipType"] == "CONTAINS"}
                described = [relation["relatedSpdxElement"] for relation in bill["relationships"]
                             if relation["relationshipType"] == "DESCRIBES"]
                self.assertEqual(set(packages), contained | set(described))
                # No library without its package: as many as there are, by their Debian names.
                names = {entry["name"] for entry in packages.values()}
                libraries = [path.name for path in root.rglob("*.so*") if path.is_file()]
                self.assertGreater(len(libraries), 5)
                for library, package in (("libc.so", "libc6"), ("libstdc++.so", r"libstdc\+\+6"),
                                         ("libprotobuf.so", r"libprotobuf\d+.*"), ("libssl.so", r"libssl3.*")):
                    if any(found.startswith(library) for found in libraries):
                        self.assertTrue(any(re.fullmatch(package, at) for at in names), (library, names))
                self.assertTrue({"protovalidate"} <= names)
                self.assertTrue(any("librdkafka" in at for at in names))


class Running(unittest.TestCase):
    """Events through the images of this release, on a real Kafka."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sluice-images-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.folder.chmod(0o755)
        self.started = []
        self.addCleanup(self.stop)
        (self.folder / "keys").mkdir()
        os.chown(self.folder / "keys", 65532, 65532)

    def stop(self):
        for process in self.started:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def container(self, name, *arguments, options=()):
        return podman("run", "--rm", *HARDENED, *options, "-v", f"{self.folder}/keys:/etc/sluice/keys",
                      "-v", f"{self.folder}/config:/etc/sluice/config:ro", image(name), *arguments)

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def start(self, name, command):
        with open(self.folder / f"{name}.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT)
        self.started.append(process)
        return process

    def start_kafka(self):
        """The demo's: it shows its address when its own events are through."""
        self.start("kafka", (os.environ["SLUICE_BINARY_DIR"] + "/demo/sluice-demo", "--events", "1000", "--keep"))
        found = wait_until(90, lambda: re.search(r"Kafka +(127\.0\.0\.1:\d+)", self.log("kafka")))
        self.assertTrue(found, self.log("kafka"))
        return found[1]

    def configure(self, broker, keys=LOCAL_KEYS, sets=LOCAL_SETS):
        """What a processor runs with, and `local.yaml`, by which sluicectl knows the same pipeline."""
        config = self.folder / "config"
        config.mkdir(exist_ok=True)
        pipeline = (ROOT / "deploy/config/stops-pipeline.yaml").read_text()
        for topic in ("raw.stops", "quarantine.stops", "clean.stops.intelligence", "clean.stops.public"):
            pipeline = re.sub(rf"{re.escape(topic)}\b", f"images.{topic}", pipeline)
        pipeline = pipeline.replace("public_key: quarantine.pub", "public_key: ../keys/quarantine.pub")
        for name, text in (("processor.yaml", keys + sets), ("local.yaml", LOCAL_KEYS + LOCAL_SETS)):
            (config / name).write_text(
                f"kafka: {{brokers: ['{broker}'], group: images, instance: first}}\n"
                f"contracts: [/usr/share/sluice/contracts]\n{text}"
                "pipeline:\n" + "".join(f"  {line}\n" for line in pipeline.splitlines()))

    def make_keys(self):
        keys = "/etc/sluice/keys"
        (self.folder / "config").mkdir(exist_ok=True)
        shutil.copy(ROOT / "deploy/config/boroughs.csv", self.folder / "config")
        run(*self.container("ctl", "keys", "init", "--keyring", f"{keys}/keyring", "--key-encryption-key",
                            f"{keys}/kek", "--domain", "intelligence=int", "--domain", "public=pub"))
        run(*self.container("ctl", "keys", "quarantine", "--private", f"{keys}/quarantine.key", "--public",
                            f"{keys}/quarantine.pub"))

    def certify(self, name, names):
        """NAME.crt and NAME.key of the authority in ca.crt, where containers find their keys."""
        folder = self.folder / "keys"
        key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        if not (folder / "ca.crt").exists():
            run("openssl", "req", "-x509", *key, "-days", "2", "-subj", "/CN=images", "-keyout", folder / "ca.key",
                "-out", folder / "ca.crt")
        run("openssl", "req", "-new", *key, "-subj", f"/CN={name}", "-keyout", folder / f"{name}.key",
            "-out", folder / f"{name}.csr")
        (folder / f"{name}.ext").write_text(f"subjectAltName={names}\n")
        run("openssl", "x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / "ca.crt", "-CAkey",
            folder / "ca.key", "-CAcreateserial", "-days", "2", "-extfile", folder / f"{name}.ext",
            "-out", folder / f"{name}.crt")
        for path in folder.iterdir():
            os.chown(path, 65532, 65532)
        return (f"{{certificate: ../keys/{name}.crt, private_key: ../keys/{name}.key, client_ca: ../keys/ca.crt}}")

    def start_container(self, name, *arguments):
        """A service, once it is ready: its HTTP and its gRPC port."""
        container = f"sluice-images-{os.getpid()}-{name}"
        process = self.start(name, self.container(name, *arguments, options=("--name", container)))
        self.addCleanup(lambda: subprocess.run(podman("rm", "--force", "--ignore", container), check=False,
                                               capture_output=True))
        ports = []
        for kind in ("http", "grpc"):
            found = wait_until(60, lambda at=kind: re.search(rf'"{at}_port":(\d+)', self.log(name)))
            self.assertTrue(found, self.log(name))
            ports.append(found[1])
        self.assertTrue(wait_until(60, lambda: self.get(ports[0], "/readyz")[0] == 200), self.log(name))
        self.assertEqual(self.get(ports[0], "/livez")[0], 200)
        return process, container, *ports

    def value(self, port, metric):
        """The sum of a metric's series."""
        return sum(float(at) for at in re.findall(rf"^{metric}(?:{{[^}}]*}})? (\S+)$", self.get(port, "/metrics")[1], re.M))

    def within_its_limit(self, name, port):
        self.assertEqual(self.value(port, "process_memory_limit_bytes"), MEMORY_MIB * 2**20)
        resident = self.value(port, "process_resident_memory_bytes")
        print(f"{name}: {resident / 2**20:.0f} MiB resident of {MEMORY_MIB}")
        self.assertLess(resident, MEMORY_MIB * 2**20)

    def end(self, name, process, container):
        run(*podman("kill", "--signal", "TERM", container))
        self.assertEqual(process.wait(40), 0, self.log(name))

    def feed(self, broker):
        run(*self.container("ctl", "topics", "apply", "--config", "/etc/sluice/config/local.yaml", "--partitions", "4",
                            "--replication-factor", "1", "--min-insync-replicas", "1"))
        run(*self.container("generator", "--broker", broker, "--topic", "images.raw.stops", "--rate", "1000000",
                            "--events", str(EVENTS)))

    def every_event_has_its_result(self, port):
        self.assertTrue(wait_until(60, lambda: self.value(port, "sluice_events_in_total") == EVENTS),
                        self.log("processor"))
        self.assertEqual(self.value(port, "sluice_events_total"), EVENTS)
        found = json.loads(run(*self.container("ctl", "audit", "--config", "/etc/sluice/config/local.yaml", "--output",
                                               "json")))
        self.assertTrue(found["conserved"], found)
        self.assertEqual(found["in"], EVENTS)
        self.assertEqual(found["clean"] + found["quarantined"] + found["suppressed"], EVENTS)
        self.assertGreater(found["clean"], EVENTS * 0.9)

    def get(self, port, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""

    def test_events_go_through_and_every_one_has_its_result(self):
        broker = self.start_kafka()
        self.make_keys()
        self.configure(broker)
        self.feed(broker)
        process, container, port, _ = self.start_container("processor", "--config", "/etc/sluice/config/processor.yaml")
        self.every_event_has_its_result(port)
        self.within_its_limit("processor", port)
        self.end("processor", process, container)

    def test_keys_and_sets_in_containers_of_their_own(self):
        broker = self.start_kafka()
        self.make_keys()
        config = self.folder / "config"
        (config / "policy.yaml").write_text(
            "callers:\n"
            "  - {caller: processor, may: [{calls: [pseudonymise, list_domains], domains: ['*']}], limits: {bulk: true}}\n"
            "  - {caller: operator, may: [{calls: [list_domains, unlock_callers, rotate_domain], domains: ['*']}]}\n")
        (config / "pseudonymiser.yaml").write_text(
            "keyring: ../keys/keyring\nkey_encryption_key: ../keys/kek\npolicy: policy.yaml\n"
            "audit: {file: ../keys/audit.jsonl, writer: images}\n"
            "state: ../keys/state\n"
            f"listen: {{tls: {self.certify('pseudonymiser', 'IP:127.0.0.1')}}}\n")
        (config / "reference.yaml").write_text(
            "folder: ../keys/sets\ntrail: ../keys/reference.jsonl\n"
            "sets: [{name: boroughs, csv: boroughs.csv, key: code}]\n")
        tls = self.certify("processor", "DNS:processor")
        self.certify("operator", "DNS:operator")
        keys = self.start_container("pseudonymiser", "--config", "/etc/sluice/config/pseudonymiser.yaml")
        sets = self.start_container("reference", "--config", "/etc/sluice/config/reference.yaml")
        self.configure(broker, f"pseudonymiser: {{remote: {{address: '127.0.0.1:{keys[3]}', tls: {tls}}}}}\n",
                       f"reference: {{remote: {{address: '127.0.0.1:{sets[3]}', sets: [boroughs]}}, folder: ../keys/kept}}\n")
        self.feed(broker)
        processor = self.start_container("processor", "--config", "/etc/sluice/config/processor.yaml")
        self.every_event_has_its_result(processor[2])
        self.assertGreater(self.value(keys[2], "sluice_pseudonymiser_values_total"), EVENTS)
        self.assertEqual(self.value(sets[2], "sluice_reference_rows"), 33)
        for name, started in (("pseudonymiser", keys), ("reference", sets), ("processor", processor)):
            self.within_its_limit(name, started[2])
        # What an operator sees, and one act.
        folder = "/etc/sluice/keys"
        as_operator = ("--tls-certificate", f"{folder}/operator.crt", "--tls-private-key", f"{folder}/operator.key",
                       "--tls-authority", f"{folder}/ca.crt")
        run(*self.container("ctl", "domains", "rotate", "public", "--pseudonymiser", f"127.0.0.1:{keys[3]}", *as_operator))
        found = json.loads(run(*self.container("ctl", "status", "--pseudonymiser", f"127.0.0.1:{keys[3]}", "--output",
                                               "json", *as_operator)))
        self.assertEqual([(domain["name"], domain["epoch"]) for domain in found["pseudonymisers"][0]["domains"]],
                         [("intelligence", 1), ("public", 2)])
        found = json.loads(run(*self.container("ctl", "status", f"127.0.0.1:{processor[3]}", "--reference",
                                               f"127.0.0.1:{sets[3]}", "--output", "json")))
        self.assertEqual(found["services"][0]["state"], "running")
        self.assertEqual(found["references"][0]["sets"][0]["rows"], 33)
        for name, started in (("processor", processor), ("reference", sets), ("pseudonymiser", keys)):
            self.end(name, *started[:2])
        run(*self.container("ctl", "trail", "verify", f"{folder}/audit.jsonl"))

    def test_a_misconfigured_one_says_so_and_ends(self):
        (self.folder / "config").mkdir()
        ended = subprocess.run(self.container("processor", "--config", "/etc/sluice/config/none.yaml"),
                               capture_output=True, text=True, check=False)
        self.assertNotEqual(ended.returncode, 0)
        self.assertIn("none.yaml", ended.stderr + ended.stdout)

    def test_nothing_can_be_written_into_it(self):
        (self.folder / "config").mkdir()
        ended = subprocess.run(self.container("ctl", "keys", "quarantine", "--private", "/tmp-key", "--public",
                                              "/tmp-pub"), capture_output=True, text=True, check=False)
        self.assertNotEqual(ended.returncode, 0)
        self.assertRegex(ended.stderr + ended.stdout, r"/tmp-(key|pub)")


if __name__ == "__main__":
    DEBIAN = sys.argv[1]
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]], verbosity=2)
