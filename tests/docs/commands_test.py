#!/usr/bin/env python3
"""Runs the commands that the guides print, as printed and in their order.

usage: commands_test.py ROOT BINARY_DIR

A command is a line of an `sh` block, or a span of code, that begins with one of our programs' names and says more than
which command it is. It must end with 0. What it needs beside what earlier ones made is made here: files, and the
services that it asks. What isn't run says why in NOT_RUN. Every mention of a command, in all of docs, is of one that
there is, with options that it has.
"""
import glob
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

ROOT, BINARIES = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
PROGRAMS = {"sluicectl": "services/ctl/sluicectl", "sluice-reference": "services/reference/sluice-reference",
            "sluice-pseudonymiser": "services/pseudonymiser/sluice-pseudonymiser"}
BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
TREE = re.compile(r"^## (sluicectl(?: [a-z-]+)*)\n```text\n(.*?)^```", re.MULTILINE | re.DOTALL)

# By page and the command's beginning: why it isn't run here. Each must still be printed there.
NOT_RUN = {
    ("rotate-keys.md", "sluicectl pseudonyms rotate-topic "): "needs Kafka: topic_conversion_kafka_test.cc runs it",
    ("reference-data.md", "sluicectl reference fence "): "needs Kafka: reference_kafka_test.cc runs it",
    ("deploying.md", "sluicectl keys restore --keep"): "a mention of an option; the chart's own: chart_test.py",
    ("contracts.md", "sluicectl lint --against"): "a mention of an option: lint_command_test.cc",
    ("pseudonymiser.md", "sluicectl status --pseudonymiser HOST:PORT"): "HOST:PORT stands for any; run as `status` below",
}


def printed(text):
    """Every command or mention on a page, in its order: (text, whether it stands in a block)."""
    found = []
    for block in BLOCK.finditer(text):
        for line in re.sub(r"\s*\\\n\s*", " ", block.group(1)).split("\n"):
            found.append((block.start(), len(found), line.split("   #")[0].strip(), True))
    outside = FENCE.sub(lambda match: " " * len(match.group(0)), text)
    for span in SPAN.finditer(outside):
        found.append((span.start(), len(found), " ".join(span.group(1).split()), False))
    starts = tuple(program + " " for program in PROGRAMS)
    return [(command, block) for _, _, command, block in sorted(found) if command.startswith(starts)]


def tree():
    """By command, such as `sluicectl keys init`: the options of its help."""
    with open(os.path.join(ROOT, "docs/reference/sluicectl.md"), encoding="utf-8") as source:
        pages = TREE.findall(source.read())
    return {name: set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", help_text.split("Examples:")[0])) for name, help_text in pages}


def resolve(command, known):
    """The longest beginning that is a command."""
    words = command.split()
    for count in range(len(words), 0, -1):
        if " ".join(words[:count]) in known:
            return " ".join(words[:count])
    return words[0]


def commands(text, known):
    """Each that is to be run: what says more than which command it is."""
    return [command for command, block in printed(text)
            if not command.startswith("sluicectl ") or block
            or resolve(command, known) != "sluicectl" and len(command) > len(resolve(command, known)) and "|" not in command]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Page(unittest.TestCase):
    """Runs a page's commands in a folder of their own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        for name, path in PROGRAMS.items():
            os.symlink(os.path.join(BINARIES, path), self.at(name))
        self.environment = {**os.environ, "PATH": self.folder + ":" + os.environ["PATH"]}
        self.known = tree()

    def at(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.at(name), "w", encoding="utf-8") as file:
            file.write(text)

    def wait(self, condition):
        until = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)

    def run_command(self, command, expect=0):
        """Its output; `expect`: its exit code, None for any."""
        done = subprocess.run(["sh", "-c", command], cwd=self.folder, env=self.environment, text=True,
                              capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
        self.assertIn(done.returncode, range(256) if expect is None else (expect,), command + "\n" + done.stdout + done.stderr)
        return done.stdout

    def page(self, name, programs=("sluicectl ",)):
        with open(os.path.join(ROOT, "docs/guides", name), encoding="utf-8") as source:
            found = commands(source.read(), self.known)
        return [c for c in found if c.startswith(programs) and not any(
            page == name and c.startswith(start) for page, start in NOT_RUN)]

    def serve(self, command, http_port):
        """A service, until the test ends; returns once it is ready."""
        with open(self.at("log"), "w", encoding="utf-8") as log:
            process = subprocess.Popen(command.split(), cwd=self.folder, env=self.environment, stdout=log, stderr=log)

        def end():
            process.send_signal(signal.SIGTERM)
            process.wait(20)

        self.addCleanup(end)
        until = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{http_port}/readyz", timeout=5):
                    return
            except OSError:
                with open(self.at("log"), encoding="utf-8") as log:
                    self.assertLess(time.monotonic(), until, log.read())
                self.assertIsNone(process.poll(), command)
                time.sleep(0.05)


class Keys(Page):
    def test_rotate_keys_with_keys_in_a_file(self):
        self.run_command("sluicectl keys init --keyring keyring --key-encryption-key kek --domain intelligence=int")
        self.run_command("echo '{}' > old.jsonl")
        found = self.page("rotate-keys.md", ("sluicectl keys ", "sluicectl trail "))
        self.assertGreaterEqual(len(found), 8, found)
        for command in found:
            if " restore " in command:
                # "Move a damaged keyring away first."
                os.rename(self.at("keyring"), self.at("damaged"))
            self.run_command(command)

    def test_deploying(self):
        found = self.page("deploying.md")
        self.assertEqual(len(found), 2, found)
        for command in found:
            self.run_command(command.removesuffix(" ..."))


class Pseudonymiser(Page):
    """The pages that ask a pseudonymiser, of one with callers of each part."""

    CALLERS = {"admin": "{calls: [list_domains, create_domain, rotate_domain, retire_epoch, destroy_epoch, unlock_callers, "
                        "rotate], domains: ['*']}, {calls: [convert], domains: [intelligence], to: [research]}",
               "analyst": "{calls: [request_reidentification, list_domains], domains: [intelligence]}",
               "first": "{calls: [approve_reidentification], domains: [intelligence]}",
               "second": "{calls: [approve_reidentification], domains: [intelligence]}"}

    def setUp(self):
        super().setUp()
        self.run_command("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout ca.key "
                         "-out ca.crt -subj /CN=ca 2>&1")
        self.certificate("tls", "DNS:localhost,IP:127.0.0.1")
        for caller in self.CALLERS:
            self.certificate(caller, f"URI:spiffe://force.example/{caller}")
        self.run_command("sluicectl keys init --keyring keyring --key-encryption-key kek --domain intelligence=int "
                         "--domain research=res")
        self.write("policy.yaml", "callers:\n" + "".join(
            f"  - {{caller: 'spiffe://force.example/{name}', may: [{may}], limits: {{bulk: true}}}}\n"
            for name, may in self.CALLERS.items()))
        self.port, http = free_port(), free_port()
        # As the guide has it, at places of this folder.
        self.write("pseudonymiser.yaml", f"""
keyring: keyring
key_encryption_key: kek
policy: policy.yaml
state: authority
listen:
  grpc: 127.0.0.1:{self.port}
  http: 127.0.0.1:{http}
  tls: {{certificate: tls.crt, private_key: tls.key, client_ca: ca.crt}}
audit: {{file: audit.jsonl}}
memory_lock: warn
""")
        found = self.page("pseudonymiser.md", ("sluice-pseudonymiser ",))
        self.assertEqual(len(found), 1, found)
        self.run_command(found[0] + " --check")
        self.serve(found[0], http)

    def certificate(self, name, names):
        self.run_command(f"openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr "
                         f"-subj /CN={name} 2>&1")
        self.write(f"{name}.ext", f"subjectAltName={names}\n")
        self.run_command(f"openssl x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 "
                         f"-extfile {name}.ext -out {name}.crt 2>&1")

    def as_caller(self, name, command):
        """With what the page says that every command also takes, before what the shell redirects."""
        options = (f" --pseudonymiser localhost:{self.port} --tls-certificate {name}.crt --tls-private-key {name}.key "
                   "--tls-authority ca.crt")
        command, redirect, output = command.partition(" >")
        return self.run_command(command + options + redirect + output)

    def pseudonymised(self, treatment):
        """One number, as a stream with this treatment would have it, by the service's own keys."""
        self.write("contract.proto", """
syntax = "proto3";
package docs.v1;
import "google/protobuf/timestamp.proto";
import "sluice/contract/v1/options.proto";
message Call {
  option (sluice.contract.v1.event) = {
    id: "id" time: "at" owner: "docs" purpose: "Docs" lawful_basis: "none" retention: "P1Y" time_zone: "Europe/London"
  };
  string id = 1;
  google.protobuf.Timestamp at = 2;
  string phone = 3 [(sluice.contract.v1.field).identifier = PHONE];
}
""")
        os.makedirs(self.at("contracts"), exist_ok=True)
        os.replace(self.at("contract.proto"), self.at("contracts/contract.proto"))
        self.write("processor.yaml", f"""
kafka: {{brokers: ["127.0.0.1:1"], group: docs, instance: docs}}
contracts: [contracts]
pseudonymiser: {{local: {{keyring: keyring, key_encryption_key: kek}}}}
pipeline:
  contract: docs.v1.Call
  input: {{topic: raw}}
  quarantine: {{topic: quarantine, public_key: quarantine.pub}}
  streams:
    - {{name: out, topic: clean, purpose: Docs, domain: intelligence, internal: true, treat: {{PHONE: {treatment}}}}}
""")
        self.run_command("sluicectl keys quarantine --private quarantine.key --public quarantine.pub")
        self.write("events.jsonl", '{"id": "1", "at": "2026-01-01T00:00:00Z", "phone": "+447700900123"}\n')
        self.run_command("sluicectl run processor.yaml "
                         f"--in events.jsonl --out out-{treatment}")
        with open(self.at(f"out-{treatment}/out.jsonl"), encoding="utf-8") as out:
            return json.loads(out.readline())["phone"]

    def test_rotate_keys_with_a_pseudonymiser(self):
        pseudonym = self.pseudonymised("pseudonymise")
        self.write("old.jsonl", json.dumps({"phone": pseudonym}) + "\n")
        found = self.page("rotate-keys.md", ("sluicectl domains ", "sluicectl pseudonyms "))
        self.assertGreaterEqual(len(found), 5, found)
        for command in found:
            if command.startswith("sluicectl pseudonyms convert "):
                command = command.replace("convert ", "convert new.jsonl ", 1)
            self.as_caller("admin", command)
        with open(self.at("new.jsonl"), encoding="utf-8") as new:
            self.assertRegex(json.loads(new.read())["phone"], "^int2-")

    def test_re_identification(self):
        value = self.pseudonymised("encrypt")
        found = self.page("re-identification.md")
        self.assertEqual([c.split()[2] for c in found], ["request", "list", "approve", "redeem"])
        # The page's own words for what differs from case to case.
        request = self.as_caller("analyst", found[0])
        name = re.search(r"\b[0-9a-f]{16,}\b", request).group(0)
        self.assertIn(name, self.as_caller("first", found[1]))
        for approver in ("first", "second"):
            self.as_caller(approver, found[2].replace("5f0c3a...", name))
        redeemed = self.as_caller("analyst", found[3].replace("5f0c3a...", name).replace("int1e-aaaq...", value))
        self.assertIn("+447700900123", redeemed)

    def test_status(self):
        self.assertIn("intelligence", self.as_caller("admin", "sluicectl status"))
        self.as_caller("admin", "sluicectl callers locked")
        self.run_command("sluicectl trail verify audit.jsonl")


class Reference(Page):
    def test_reference_data(self):
        grpc, http = free_port(), free_port()
        self.write("units.csv", "unit,name\nA,One\nB,Two\n")
        self.write("wards.csv", "code,name\n1,North\n2,South\n")
        self.write("reference.yaml", f"""
folder: kept
trail: trail.jsonl
look_interval_ms: 20
listen: {{grpc: "127.0.0.1:{grpc}", http: "127.0.0.1:{http}"}}
sets:
  - {{name: units, csv: units.csv, key: unit, not_personal: [name]}}
  - {{name: wards, csv: wards.csv, key: code, not_personal: [name]}}
""")
        self.serve("sluice-reference --config reference.yaml", http)
        address = f"127.0.0.1:{grpc}"

        def versions():
            return [self.run_command(f"sluicectl reference list {address} --output json", None)]

        # Each set's second version, then one of the units that is refused as it is half as long.
        for name, text in (("wards.csv", "code,name\n1,North\n2,Southern\n"), ("units.csv", "unit,name\nA,One\nB,Too\n")):
            before = versions()
            self.write(name, text)
            self.wait(lambda was=before: versions() != was)
        self.write("units.csv", "unit,name\nA,One\n")
        self.wait(lambda: "shrink_percent_max" in self.run_command(f"sluicectl reference status {address} --output json", None))
        found = self.page("reference-data.md")
        self.assertGreaterEqual(len(found), 5, found)
        for command in found:
            self.assertIn("reference:7090", command)
            self.run_command(command.replace("reference:7090", address))


class Mentions(unittest.TestCase):
    def test_are_of_commands_and_options_that_there_are(self):
        known = tree()
        self.assertGreater(len(known), 40)
        everywhere = {option for options in known.values() for option in options}
        with open(os.path.join(ROOT, "run"), encoding="utf-8") as tasks:
            tasks_options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", tasks.read()))
        pages = [path for path in glob.glob(os.path.join(ROOT, "docs/**/*.md"), recursive=True)
                 + glob.glob(os.path.join(ROOT, "*.md")) if not path.endswith("CHANGELOG.md")]
        mentions = 0
        for path in sorted(pages):
            with open(path, encoding="utf-8") as source:
                text = source.read()
            for command, _ in printed(text):
                if not command.startswith("sluicectl "):
                    continue
                mentions += 1
                where = f"{os.path.relpath(path, ROOT)}: {command}"
                name = resolve(command, known)
                rest = command[len(name):].split()
                # `domains create|rotate` names several.
                word = rest[0].split("|")[0] if rest else ""
                if any(other.startswith(name + " ") for other in known) and word and not word.startswith("-"):
                    self.assertIn(f"{name} {word}", known, where)
                    name = f"{name} {word}"
                for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", command):
                    self.assertIn(option, known.get(name, everywhere) | {"--output", "--colour", "--help"}, where)
            for option in re.findall(r"`(--[a-z][a-z-]*)[^`]*`", text):
                self.assertIn(option, everywhere | tasks_options | OTHERS, f"{os.path.relpath(path, ROOT)}: {option}")
        self.assertGreater(mentions, 60)

    def test_each_exception_still_stands_on_its_page(self):
        known = tree()
        for (page, start), why in NOT_RUN.items():
            with open(os.path.join(ROOT, "docs/guides", page), encoding="utf-8") as source:
                self.assertTrue(any(c.startswith(start) for c in commands(source.read(), known)), f"{page}: {start} ({why})")

    def test_every_guide_with_commands_is_run(self):
        known = tree()
        run = {"rotate-keys.md", "deploying.md", "re-identification.md", "reference-data.md", "pseudonymiser.md"}
        for path in glob.glob(os.path.join(ROOT, "docs/guides/*.md")):
            page = os.path.basename(path)
            with open(path, encoding="utf-8") as source:
                left = [c for c in commands(source.read(), known)
                        if not any(page == other and c.startswith(start) for other, start in NOT_RUN)]
            if page not in run:
                self.assertEqual(left, [], f"{page}: run it in a test above, or say in NOT_RUN why not")


# What pages name that is no option of one of sluicectl's commands or ./run's tasks: sluicectl's own, the services', a
# container engine's.
OTHERS = {"--output", "--colour", "--instance", "--build-arg"}


class Commands(unittest.TestCase):
    def test_are_found_in_blocks_and_spans_in_their_order(self):
        text = ("a `sluicectl keys list`\n```sh\nsluicectl keys add \\\n  --x\nother\n```\n"
                "`sluicectl keys rotate\n  --y` and `keys` and `sluicectl status`\n```yaml\n# `sluicectl keys init --z`\n```\n")
        known = {name: set() for name in ("sluicectl keys list", "sluicectl keys add", "sluicectl keys rotate", "sluicectl status")}
        self.assertEqual([c for c, _ in printed(text)], ["sluicectl keys list", "sluicectl keys add --x",
                                                         "sluicectl keys rotate --y", "sluicectl status"])
        self.assertEqual(commands(text, known), ["sluicectl keys add --x", "sluicectl keys rotate --y"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
