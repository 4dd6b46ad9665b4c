#!/usr/bin/env python3
"""Three brokers, many faults: `./run test-faults`.

SLUICE_BINARY_DIR names the build, SLUICE_KAFKA_LIBS the folder of Kafka's jars."""
import argparse
import os
import sys
import tempfile
import time
import traceback

from certificates import Certificates
from cluster import Cluster
from processes import Failed
from scenarios import SCENARIOS, Run

COLUMNS = ("scenario", "seed", "seconds", "faults", "kills", "events", "lost", "doubled", "torn", "out of order",
           "longest without a result")


def campaign(runs, log):
    """`runs`: (scenario, seed, seconds of faults). Rows by COLUMNS, with what else was measured; and what failed."""
    rows, failed = [], []
    with tempfile.TemporaryDirectory(prefix="sluice-faults-") as folder:
        certificates = Certificates(os.path.join(folder, "certificates"))
        cluster = Cluster(folder, certificates)
        try:
            cluster.start()
            for name, seed, seconds in runs:
                begun = time.monotonic()
                log(f"{name}, seed {seed}")
                run = Run(cluster, folder, f"{name}.{seed}", certificates, seed, seconds, log)
                try:
                    found = SCENARIOS[name](run)
                    rows.append((name, seed, round(time.monotonic() - begun), run.site.faults, run.site.kills,
                                 found.events, found.lost, found.doubled, found.torn, found.unordered,
                                 round(run.longest, 1), run.figures))
                    log("  " + ", ".join(f"{column} {value}" for column, value in
                                         zip(COLUMNS[2:], rows[-1][2:-1])) + f" {run.figures or ''}")
                except Exception as error:  # pylint: disable=broad-except
                    failed.append(f"{name}, seed {seed}: {error}")
                    log(f"  FAILED: {error if isinstance(error, Failed) else traceback.format_exc()}")
                    keep(run, log)
                finally:
                    if run.site is not None:
                        run.site.close()
                    cluster.mend()
        finally:
            cluster.close()
    return rows, failed


def keep(run, log):
    """Of a run that failed, the logs."""
    folder = os.environ.get("SLUICE_FAULTS_KEEP")
    if not folder or run.site is None:
        return
    os.makedirs(folder, exist_ok=True)
    for process in [*run.site.everything(), *run.cluster.brokers]:
        if os.path.exists(process.log):
            target = os.path.join(folder, f"{run.name}-{process.name.replace(' ', '-')}.log")
            with open(process.log, encoding="utf-8", errors="replace") as file, \
                    open(target, "w", encoding="utf-8") as out:
                out.write(file.read())
    log(f"  its logs are in {folder}")


def main():
    parser = argparse.ArgumentParser(prog="./run test-faults", description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS),
                        help="repeatable; every scenario if unset")
    parser.add_argument("--seeds", type=int, default=1, help="how many of each scenario (1)")
    parser.add_argument("--seed", type=int, default=1, help="the first one (1)")
    parser.add_argument("--seconds", type=float, default=40, help="of faults in each run (40)")
    parser.add_argument("--list", action="store_true", help="list the scenarios and end")
    arguments = parser.parse_args()
    if arguments.list:
        for name, scenario in SCENARIOS.items():
            print(f"{name}\n    " + " ".join(scenario.__doc__.split()))
        return 0
    begun = time.monotonic()

    def log(text):
        print(f"{time.monotonic() - begun:6.1f} {text}", flush=True)
    rows, failed = campaign([(name, seed, arguments.seconds) for name in arguments.scenario or SCENARIOS
                             for seed in range(arguments.seed, arguments.seed + arguments.seeds)], log)
    print("\n| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row[:-1]) + " |")
    for text in failed:
        print(f"FAILED {text}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
