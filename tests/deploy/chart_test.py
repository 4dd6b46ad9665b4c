#!/usr/bin/env python3
"""The chart: what it renders is valid, hardened, and taken by the processor itself.

usage: chart_test.py ROOT TOOLS BINARIES
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import yaml

ROOT, TOOLS, BINARIES = sys.argv[1:4]
CHART = os.path.join(ROOT, "deploy/helm/sluice")
CASES = {"none": [], "small": ["small"], "large": ["large"], "static": ["small", "static"],
         "volumes": ["large", "volumes"]}
# With pods; without a pipeline there are none.
SITES = ["small", "large", "static", "volumes"]
# Not followed: a CPU limit throttles a batch that is already late; images have versions, so pulling again
# changes nothing; and KEDA, not the Deployment, says how many replicas there are.
SCORE_IGNORED = ["container-image-pull-policy", "deployment-replicas"]


def run(*command, fails=False, stdin=None):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if (done.returncode != 0) != fails:
        raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    # helm says on standard error that it follows a link.
    return done.stdout + done.stderr if fails else done.stdout


def tool(name, *arguments, **more):
    return run(os.path.join(TOOLS, "bin", name), *arguments, **more)


def values(case):
    return [word for name in CASES[case]
            for word in ("--values", f"{CHART}/ci/{name}.yaml")]


def render(case, *arguments):
    return tool("helm", "template", "site", CHART, "--namespace", "ns", *values(case), *arguments)


def documents(text):
    return [document for document in yaml.safe_load_all(text) if document]


def pods(text):
    return [document for document in documents(text)
            if document["kind"] in ("Deployment", "StatefulSet")]


class ChartTest(unittest.TestCase):
    def test_lint_finds_nothing(self):
        for case in CASES:
            tool("helm", "lint", "--strict", CHART, *values(case))

    def test_without_values_it_renders_the_denial_only(self):
        self.assertEqual([d["kind"] for d in documents(render("none"))], ["NetworkPolicy"])

    def test_unit_tests_pass(self):
        tool("helm-unittest", CHART)

    def test_resources_are_what_kubernetes_and_the_operators_declare(self):
        for case in CASES:
            summary = json.loads(tool("kubeconform", "-strict", "-summary", "-output", "json",
                                      "-schema-location",
                                      TOOLS + "/schemas/{{.ResourceKind}}{{.KindSuffix}}.json",
                                      stdin=render(case)))["summary"]
            self.assertGreater(summary["valid"], 5 if case != "none" else 0)
            self.assertEqual(summary["skipped"], 0)

    def test_a_misspelt_field_would_be_found(self):
        wrong = render("small").replace("containerPort:", "containerPortt:")
        tool("kubeconform", "-strict", "-schema-location",
             TOOLS + "/schemas/{{.ResourceKind}}{{.KindSuffix}}.json", stdin=wrong, fails=True)

    def test_kube_score_has_no_complaint(self):
        for case in SITES:
            ignored = [word for name in SCORE_IGNORED for word in ("--ignore-test", name)]
            out = tool("kube-score", "score", "--output-format", "ci",
                       "--ignore-container-cpu-limit", *ignored, "-",
                       stdin=render(case))
            self.assertNotRegex(out, r"\[(CRITICAL|WARNING)\]")

    def test_the_schema_refuses_what_it_does_not_know(self):
        for setting in ["procesor.replicas=2", "processor.replicas=two", "kafka.brokers={broker}",
                        "kafka.security=none", "processor.kind=daemonset", "image.repository=a/",
                        "pipelines.Big.pipeline.contract=x", "reference.replicas=2", "quarantine.publicKey=secret"]:
            text = tool("helm", "template", "site", CHART, *values("small"), "--set", setting,
                        fails=True)
            self.assertIn("schema", text, setting)

    def test_what_is_missing_is_named(self):
        for setting, name in [("kafka.brokers=null", "kafka.brokers"),
                              ("quarantine.publicKey=", "quarantine.publicKey"),
                              ("pseudonymiser.keySecretName=", "pseudonymiser.keySecretName"),
                              ("kafka.sasl.secretName=", "kafka.sasl.secretName"),
                              ("kafka.transactionTimeoutMs=30000", "kafka.transactionTimeoutMs")]:
            text = tool("helm", "template", "site", CHART, *values("small"), "--set", setting,
                        fails=True)
            self.assertIn(name, text)

    def test_a_change_of_configuration_rolls_the_pods_and_nothing_else_does(self):
        def checksum(*arguments):
            return pods(render("small", *arguments))[0]["spec"]["template"]["metadata"][
                "annotations"]["checksum/config"]
        self.assertEqual(checksum(), checksum("--set", "processor.replicas=5"))
        self.assertNotEqual(checksum(), checksum("--set", "processor.config.commit.events=500"))
        self.assertNotEqual(checksum(), checksum("--set", "quarantine.publicKey=-----BEGIN PUBLIC KEY----- x"))

    def test_only_the_pseudonymiser_mounts_the_key_secret(self):
        mounting = [pod["metadata"]["name"] for pod in pods(render("large"))
                    if any((volume.get("secret") or {}).get("secretName") == "sluice-keys"
                           for volume in pod["spec"]["template"]["spec"]["volumes"])]
        self.assertEqual(mounting, ["site-sluice-pseudonymiser"])

    def test_every_policy_and_budget_selects_pods_that_are_there(self):
        for case in SITES:
            text = render(case)
            labels = [pod["spec"]["template"]["metadata"]["labels"] for pod in pods(text)]
            for document in documents(text):
                selector = {"NetworkPolicy": lambda d: d["spec"]["podSelector"]["matchLabels"],
                            "PodDisruptionBudget": lambda d: d["spec"]["selector"]["matchLabels"],
                            "Service": lambda d: d["spec"]["selector"],
                            "PodMonitor": lambda d: d["spec"]["selector"]["matchLabels"],
                            }.get(document["kind"])
                if selector:
                    self.assertTrue(any(selector(document).items() <= has.items() for has in labels),
                                    f"{document['kind']} {document['metadata']['name']}")

    @staticmethod
    def make_certificate(folder):
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", "/CN=test", "-days", "1", "-keyout", f"{folder}/tls.key", "-out", f"{folder}/tls.crt")
        shutil.copy(f"{folder}/tls.crt", f"{folder}/ca.crt")

    def test_the_processor_takes_the_configuration_that_the_chart_writes(self):
        pins = ["--set", "pipelines.stops.config.reference.control.topic=control.stops"]
        for case, rest in (("small", []), ("static", []), ("large", pins)):
            with tempfile.TemporaryDirectory() as folder:
                config = [d for d in documents(render(case, *rest)) if d["kind"] == "ConfigMap" and
                          "processor.yaml" in d["data"]][0]["data"]
                run(f"{BINARIES}/services/ctl/sluicectl", "keys", "init", "--keyring",
                    f"{folder}/keyring", "--key-encryption-key", f"{folder}/kek", "--domain",
                    "intelligence=int", "--domain", "public=pub")
                self.make_certificate(folder)
                for name, text in config.items():
                    for path in ("/etc/sluice/keys", "/etc/sluice/tls", "/var/lib/sluice"):
                        text = text.replace(path, folder)
                    text = text.replace("/usr/share/sluice/contracts", f"{ROOT}/proto")
                    # Secrets that the brokers' operator makes.
                    text = text.replace("/etc/sluice/kafka-", f"{folder}/kafka-")
                    for secret in re.findall(rf"{folder}/kafka-\S+", text):
                        os.makedirs(os.path.dirname(secret), exist_ok=True)
                        with open(secret, "w", encoding="utf-8") as out:
                            out.write("-----BEGIN CERTIFICATE-----\n")
                    text = re.sub(r"^- /etc/sluice/contracts\n", "", text, flags=re.M)
                    with open(f"{folder}/{name}", "w", encoding="utf-8") as out:
                        out.write(text)
                remote = case == "large"
                out = run(f"{BINARIES}/services/processor/sluice-processor", "--config",
                          f"{folder}/processor.yaml", "--instance", "pod-0", "--check", fails=remote)
                # Mistakes are told first, all of them; nothing is left but the service, which isn't there.
                self.assertIn("waits for its reference sets: boroughs" if remote else "ok: plan", out)

    def test_the_reference_service_takes_the_configuration_that_the_chart_writes(self):
        with tempfile.TemporaryDirectory() as folder:
            config = [d for d in documents(render("large")) if d["kind"] == "ConfigMap" and
                      "reference.yaml" in d["data"]][0]["data"]
            for name, text in config.items():
                with open(f"{folder}/{name}", "w", encoding="utf-8") as out:
                    out.write(text.replace("/var/lib/sluice", folder))
            out = run(f"{BINARIES}/services/reference/sluice-reference", "--config",
                      f"{folder}/reference.yaml", "--check")
            self.assertIn("ok", out)

    def test_the_pseudonymiser_takes_the_configuration_that_the_chart_writes(self):
        with tempfile.TemporaryDirectory() as folder:
            config = [d for d in documents(render("large")) if d["kind"] == "ConfigMap" and
                      "pseudonymiser.yaml" in d["data"]][0]["data"]
            run(f"{BINARIES}/services/ctl/sluicectl", "keys", "init", "--keyring", f"{folder}/keyring",
                "--key-encryption-key", f"{folder}/kek", "--domain", "intelligence=int")
            self.make_certificate(folder)
            for name, text in config.items():
                for path in ("/etc/sluice/keys", "/etc/sluice/tls", "/var/lib/sluice-shared", "/var/lib/sluice"):
                    text = text.replace(path, folder)
                with open(f"{folder}/{name}", "w", encoding="utf-8") as out:
                    out.write(text)
            out = run(f"{BINARIES}/services/pseudonymiser/sluice-pseudonymiser", "--config",
                      f"{folder}/pseudonymiser.yaml", "--instance", "pod-0", "--check")
            self.assertIn("ok: 1 domains", out)

    def test_grants_and_locks_are_kept_where_all_replicas_see_them_or_people_are_not_served(self):
        def pseudonymiser(*arguments):
            text = documents(render("large", *arguments))
            pod = [d for d in text if d["kind"] == "StatefulSet" and
                   d["metadata"]["name"].endswith("pseudonymiser")][0]["spec"]["template"]["spec"]
            config = [d["data"]["pseudonymiser.yaml"] for d in text if d["kind"] == "ConfigMap" and
                      "pseudonymiser.yaml" in d["data"]][0]
            return pod, yaml.safe_load(config)
        pod, config = pseudonymiser()
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]}
        self.assertTrue(config["state"].startswith(mounts["shared"] + "/"))
        self.assertIn({"name": "shared", "persistentVolumeClaim": {"claimName": "sluice-pseudonymiser"}},
                      pod["volumes"])
        # What stands in a pod's own folder would be another for each of them.
        pod, config = pseudonymiser("--set", "pseudonymiser.stateClaimName=",
                                    "--set", "pseudonymiser.config.state=/var/lib/sluice/state")
        self.assertNotIn("state", config)
        self.assertNotIn("shared", [volume["name"] for volume in pod["volumes"]])

    def test_what_the_other_services_need_is_asked_for(self):
        for setting, name in [("pseudonymiser.config.audit=null,pseudonymiser.persistence.enabled=false",
                               "pseudonymiser.config.audit.topic"),
                              ("reference.config.sets=null", "reference.config.sets")]:
            self.assertIn(name, tool("helm", "template", "site", CHART, *values("large"), "--set",
                                     setting, fails=True))

    def test_processors_are_let_do_what_pipelines_ask_for_and_no_more(self):
        config = [d for d in documents(render("large")) if d["kind"] == "ConfigMap" and
                  "policy.yaml" in d["data"]][0]["data"]
        callers = {caller["caller"]: caller for caller in yaml.safe_load(config["policy.yaml"])["callers"]}
        values_of = yaml.safe_load(open(f"{CHART}/ci/large.yaml", encoding="utf-8"))
        for pipeline, given in values_of["pipelines"].items():
            own = callers[f"site-sluice-processor-{pipeline}.ns.svc"]
            domains = sorted({s["domain"].split("@")[0] for s in given["pipeline"]["streams"]})
            self.assertEqual(own["may"], [{"calls": ["pseudonymise"], "domains": domains}])
            self.assertEqual(own["limits"], {"bulk": True})
        self.assertNotIn("site-sluice-processor.ns.svc", callers)
        self.assertIn("operator.sluice.example", callers)
        served = yaml.safe_load([d for d in documents(render("large")) if d["kind"] == "ConfigMap" and
                                 "reference.yaml" in d["data"]][0]["data"]["reference.yaml"])
        for entry in served["access"]:
            self.assertEqual(entry["may"], ["read"])
            self.assertTrue(entry["sets"])
            self.assertRegex(entry["caller"], r"^site-sluice-processor-[a-z]+\.ns\.svc$")

    def test_each_pipeline_has_an_identity_of_its_own(self):
        text = documents(render("large"))
        names = {d["metadata"]["name"]: d["spec"] for d in text if d["kind"] == "Certificate"}
        for pod in [d for d in text if d["kind"] in ("Deployment", "StatefulSet") and
                    d["metadata"]["name"].startswith("site-sluice-processor-")]:
            name = pod["metadata"]["name"]
            self.assertEqual(names[name]["dnsNames"][0], f"{name}.ns.svc")
            secrets = [v["secret"]["secretName"] for v in pod["spec"]["template"]["spec"]["volumes"]
                       if v["name"] == "tls"]
            self.assertEqual(secrets, [names[name]["secretName"]])

    def test_alerts_and_dashboards_are_those_of_the_repository(self):
        text = documents(render("large"))
        rules = {d["metadata"]["name"]: d["spec"] for d in text if d["kind"] == "PrometheusRule"}
        for name in ("alerts", "recording"):
            with open(f"{ROOT}/deploy/prometheus/{name}.yaml", encoding="utf-8") as source:
                self.assertEqual(rules[f"site-sluice-{name}"], yaml.safe_load(source))
        shown = {name: board for d in text if "-dashboard-" in d["metadata"]["name"]
                 for name, board in d["data"].items()}
        folder = f"{ROOT}/deploy/grafana"
        boards = [name for name in os.listdir(folder) if name.endswith(".json")]
        self.assertEqual(sorted(shown), sorted(boards))
        for name in boards:
            with open(f"{folder}/{name}", encoding="utf-8") as source:
                self.assertEqual(json.loads(shown[name]), json.load(source))

    def test_notes_name_the_next_command(self):
        for case, command in (("none", "helm upgrade"), ("small", "rollout status deployment/"),
                              ("static", "rollout status statefulset/")):
            # A client-side dry run is the way to see the notes without a cluster.
            out = tool("helm", "install", "site", CHART, "--dry-run=client", *values(case))
            self.assertIn(command, out)


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[4:]], verbosity=2)
