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

    def configure(self, broker):
        config = self.folder / "config"
        config.mkdir()
        pipeline = (ROOT / "deploy/config/stops-pipeline.yaml").read_text()
        for topic in ("raw.stops", "quarantine.stops", "clean.stops.intelligence", "clean.stops.public"):
            pipeline = re.sub(rf"{re.escape(topic)}\b", f"images.{topic}", pipeline)
        pipeline = pipeline.replace("public_key: quarantine.pub", "public_key: ../keys/quarantine.pub")
        shutil.copy(ROOT / "deploy/config/boroughs.csv", config)
        (config / "processor.yaml").write_text(
            f"kafka: {{brokers: ['{broker}'], group: images, instance: first}}\n"
            "contracts: [/usr/share/sluice/contracts]\n"
            "pseudonymiser: {local: {keyring: ../keys/keyring, key_encryption_key: ../keys/kek}}\n"
            "reference: {local: {sets: [{name: boroughs, csv: boroughs.csv, key: code}]}}\n"
            "pipeline:\n" + "".join(f"  {line}\n" for line in pipeline.splitlines()))

    def get(self, port, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""

    def test_events_go_through_and_every_one_has_its_result(self):
        self.configure(self.start_kafka())
        keys = "/etc/sluice/keys"
        run(*self.container("ctl", "keys", "init", "--keyring", f"{keys}/keyring", "--key-encryption-key",
                            f"{keys}/kek", "--domain", "intelligence=int", "--domain", "public=pub"))
        run(*self.container("ctl", "keys", "quarantine", "--private", f"{keys}/quarantine.key", "--public",
                            f"{keys}/quarantine.pub"))
        config = "/etc/sluice/config/processor.yaml"
        run(*self.container("ctl", "topics", "apply", "--config", config, "--partitions", "4",
                            "--replication-factor", "1", "--min-insync-replicas", "1"))
        broker = re.search(r"brokers: \['(.*?)'\]", (self.folder / "config/processor.yaml").read_text())[1]
        run(*self.container("generator", "--broker", broker, "--topic", "images.raw.stops", "--rate", "1000000",
                            "--events", str(EVENTS)))

        name = f"sluice-images-{os.getpid()}"
        processor = self.start("processor", self.container("processor", "--config", config,
                                                           options=("--name", name)))
        found = wait_until(60, lambda: re.search(r'"http_port":(\d+)', self.log("processor")))
        self.assertTrue(found, self.log("processor"))
        port = found[1]
        self.assertTrue(wait_until(60, lambda: self.get(port, "/readyz")[0] == 200), self.log("processor"))
        self.assertEqual(self.get(port, "/livez")[0], 200)

        def metrics():
            return self.get(port, "/metrics")[1]

        def value(metric):
            return sum(float(at) for at in re.findall(rf"^{metric}(?:{{[^}}]*}})? (\S+)$", metrics(), re.M))

        self.assertTrue(wait_until(60, lambda: value("sluice_events_in_total") == EVENTS), self.log("processor"))
        self.assertEqual(value("sluice_events_total"), EVENTS)
        self.assertEqual(value("process_memory_limit_bytes"), MEMORY_MIB * 2**20)
        self.assertLess(value("process_resident_memory_bytes"), MEMORY_MIB * 2**20)

        found = json.loads(run(*self.container("ctl", "audit", "--config", config, "--output", "json")))
        print("audit:", json.dumps(found)[:300])
        run(*podman("kill", "--signal", "TERM", name))
        self.assertEqual(processor.wait(40), 0, self.log("processor"))

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
