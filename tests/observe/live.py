"""A real Prometheus that scrapes a real run of the demo, and the queries that dashboards ask it."""
import ctypes
import glob
import json
import math
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from promql import ROOT

SCRAPE_SECONDS = 1
PR_SET_PDEATHSIG = 1


def dashboards():
    """By name, as they are committed."""
    made = {}
    for path in sorted(glob.glob(os.path.join(ROOT, "deploy/grafana/*.json"))):
        with open(path, encoding="utf-8") as file:
            made[os.path.splitext(os.path.basename(path))[0]] = json.load(file)
    return made


def panels(dashboard):
    """Those that show data."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def as_asked(expression, rate_interval):
    """The expression as Grafana would send it, with all pipelines and instances chosen."""
    return (expression.replace("$__rate_interval", rate_interval)
            .replace("$job", ".+").replace("$instance", ".+"))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until(seconds, ready):
    """Asks `ready` until it says yes; its last answer."""
    deadline = time.monotonic() + seconds
    while not (answer := ready()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return answer


def start(command, log, **options):
    """Ends with us, however we end."""
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True,
                            preexec_fn=lambda: ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL), **options)


class Live:
    """Demo and Prometheus, from `with` to its end."""

    def __init__(self, events_per_second):
        self.rate = events_per_second

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="sluice-observe-")
        path = self.folder.name
        self.targets = os.path.join(path, "targets.json")
        self.log = open(os.path.join(path, "log"), "w+", encoding="utf-8")
        self.demo = self.prometheus = None
        try:
            self.demo = start([os.environ["SLUICE_BINARY_DIR"] + "/demo/sluice-demo", "--events", "100000000",
                               "--rate", str(self.rate), "--targets", self.targets, "--apart"], self.log)
            self.start_prometheus()
            if not wait_until(60, lambda: self.demo.poll() is not None or os.path.exists(self.targets)):
                raise RuntimeError("the demo doesn't start:\n" + self.tail())
        except BaseException:
            self.__exit__()
            raise
        return self

    def reload(self):
        """Has the processor read its configuration again."""
        for status in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(status, encoding="utf-8") as file:
                    pid, name, _, parent = file.read().split()[:4]
            except (OSError, ValueError):
                continue  # it has just ended
            if int(parent) == self.demo.pid and name.startswith("(sluice-processo"):
                os.kill(int(pid), signal.SIGHUP)
                return
        raise RuntimeError("the demo has no processor:\n" + self.tail())

    def start_prometheus(self):
        path = self.folder.name
        config = {"global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
                  "rule_files": [os.path.join(ROOT, "deploy/prometheus", name)
                                 for name in ("recording.yaml", "alerts.yaml")],
                  "scrape_configs": [{"job_name": "sluice", "file_sd_configs": [{"files": [self.targets]}]}]}
        with open(os.path.join(path, "prometheus.yaml"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        for _ in range(5):  # somebody else may take the port
            self.port = free_port()
            self.prometheus = start([os.environ["SLUICE_PROMETHEUS"], f"--config.file={path}/prometheus.yaml",
                                     f"--storage.tsdb.path={path}/data", f"--web.listen-address=127.0.0.1:{self.port}",
                                     "--log.level=warn"], self.log)
            if wait_until(30, lambda: self.prometheus.poll() is not None or self.is_ready()) and self.is_ready():
                return
        raise RuntimeError("Prometheus doesn't start:\n" + self.tail())

    def __exit__(self, *_):
        for process in (self.demo, self.prometheus):
            if process is None or process.poll() is not None:
                continue
            process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.log.close()
        self.folder.cleanup()

    def tail(self):
        self.log.flush()
        with open(self.log.name, encoding="utf-8") as file:
            return "".join(file.readlines()[-20:])

    def get(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{query}", timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{parameters}: {error.read().decode()}") from error

    def is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False

    def now(self, expression):
        """Series as (labels, value)."""
        return [(series["metric"], float(series["value"][1]))
                for series in self.get("query", query=expression)["result"]]

    def over(self, expression, start_s, end_s, step_s):
        """Series as (labels, [(time, value)...]); values that aren't numbers are left out."""
        answer = self.get("query_range", query=expression, start=start_s, end=end_s, step=step_s)["result"]
        return [(series["metric"], [(at, float(value)) for at, value in series["values"]
                                    if math.isfinite(float(value))]) for series in answer]

    def rules(self, kind):
        return [rule for group in self.get("rules", type=kind)["groups"] for rule in group["rules"]]
