#!/usr/bin/env python3
"""The Compose file and the Dockerfile, as far as they can be checked without a container engine: by Compose's own
schema, and by the programs that read the files which are mounted.

usage: compose_test.py ROOT TOOLS BINARIES
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import jsonschema
import yaml

ROOT, TOOLS, BINARIES = (pathlib.Path(argument) for argument in sys.argv[1:4])
FOLDER = ROOT / "deploy/compose"
DOCKERFILE = ROOT / "deploy/image/Dockerfile"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if service["image"].startswith("sluice/")}

# What a laptop's processor does in its own process: between machines these want certificates.
ELSEWHERE = {"pseudonymiser", "reference"}


def run(*command, cwd=None):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, cwd=cwd)
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def images():
    lines = (ROOT / "deploy/image/services.txt").read_text().splitlines()
    return dict(line.split() for line in lines if not line.startswith("#"))


def mounts(service):
    """(here, there) of each file or folder of the repository that a service sees."""
    for volume in service.get("volumes", []):
        here, there = volume.split(":")[:2]
        yield FOLDER / here, there


class ComposeTest(unittest.TestCase):
    def test_it_fits_the_schema_and_a_misspelt_key_does_not(self):
        schema = json.loads((TOOLS / "compose.json").read_text())
        jsonschema.validate(COMPOSE, schema)
        wrong = json.loads(json.dumps(COMPOSE))
        wrong["services"]["kafka"]["volume"] = []
        with self.assertRaises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)

    def test_every_image_of_ours_is_a_stage_and_every_service_is_there(self):
        stages = set(re.findall(r"^FROM service AS (\S+)$", DOCKERFILE.read_text(), re.M))
        self.assertEqual(stages, set(images()))
        used = {service["image"].removeprefix("sluice/") for service in OURS.values()}
        self.assertEqual(used, stages - ELSEWHERE)

    def test_others_images_have_versions(self):
        for name, service in COMPOSE["services"].items():
            if name not in OURS:
                self.assertRegex(service["image"], r":v?\d+\.\d+\.\d+$")

    def test_ours_run_as_in_the_cluster(self):
        for service in OURS.values():
            self.assertTrue(service["read_only"])
            self.assertEqual(service["cap_drop"], ["ALL"])
            self.assertIn("no-new-privileges:true", service["security_opt"])

    def test_ports_are_open_on_loopback_only_and_each_once(self):
        ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
        self.assertTrue(all(port.startswith("127.0.0.1:") for port in ports))
        self.assertEqual(len(ports), len({port.split(":")[1] for port in ports}))

    def test_what_is_mounted_is_there(self):
        for name, service in COMPOSE["services"].items():
            for here, _ in mounts(service):
                if here.name != "keys":
                    self.assertTrue(here.exists(), f"{name}: {here}")

    def test_the_processor_takes_its_configuration_where_it_is_mounted(self):
        with tempfile.TemporaryDirectory() as folder:
            for here, there in mounts(COMPOSE["services"]["processor"]):
                if here.is_file():
                    text = here.read_text().replace("/usr/share/sluice/contracts", f"{ROOT}/proto")
                    pathlib.Path(folder, pathlib.Path(there).relative_to("/etc/sluice")).write_text(text)
            keys = pathlib.Path(folder, "keys")
            keys.mkdir()
            # As README.md has it.
            readme = (FOLDER / "README.md").read_text().replace("\\\n", " ")
            made = re.findall(r"run --rm ctl (keys .*)", readme)
            self.assertEqual(len(made), 2)
            for command in made:
                words = command.replace("/etc/sluice/keys", str(keys)).split()
                run(BINARIES / "services/ctl/sluicectl", *words)
            out = run(BINARIES / "services/processor/sluice-processor", "--config", f"{folder}/processor.yaml", "--check")
            self.assertIn("ok: plan", out)

    def test_its_pipeline_is_the_shipped_one(self):
        ours = yaml.safe_load((FOLDER / "processor.yaml").read_text())["pipeline"]
        shipped = yaml.safe_load((ROOT / "deploy/config/stops-pipeline.yaml").read_text())
        shipped["quarantine"]["public_key"] = "keys/quarantine.pub"
        self.assertEqual(ours, shipped)

    def test_prometheus_takes_its_configuration_and_asks_every_service(self):
        with tempfile.TemporaryDirectory() as folder:
            for here, there in mounts(COMPOSE["services"]["prometheus"]):
                shutil.copy(here, pathlib.Path(folder, pathlib.Path(there).name))
            run(os.environ["SLUICE_PROMTOOL"], "check", "config", f"{folder}/prometheus.yaml")
        config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
        targets = {target.split(":")[0] for job in config["scrape_configs"] for static in job["static_configs"]
                   for target in static["targets"]}
        serving = set(OURS) - {"topics", "ctl", "generator"}
        self.assertEqual(targets, serving)

    def test_grafana_shows_the_dashboards_that_are_mounted(self):
        there = {target: here for here, target in mounts(COMPOSE["services"]["grafana"])}
        providers = yaml.safe_load((FOLDER / "grafana/dashboards.yaml").read_text())["providers"]
        for provider in providers:
            self.assertTrue(list(there[provider["options"]["path"]].glob("*.json")))


class DockerfileTest(unittest.TestCase):
    def test_hadolint_finds_nothing(self):
        self.assertEqual(run(TOOLS / "bin/hadolint", "--no-color", DOCKERFILE), "")

    def test_every_program_is_built_by_this_project(self):
        for program in images().values():
            self.assertTrue(any(BINARIES.glob(f"*/{program}")) or any(BINARIES.glob(f"*/*/{program}")), program)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
