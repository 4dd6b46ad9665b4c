#!/usr/bin/env python3
"""Checks what compilers don't: which folder may include which, and the repository's rules.

usage: tidy.py ROOT

Prints one line per finding, `file:line: what to change`, and ends with 1 when there are any.
"""
import os
import re
import sys

# Which libraries each folder may include beside itself; the picture is in docs/architecture.md.
DATA_PATH = ["common/base", "common/contract", "common/event", "common/validation",
             "common/privacy", "common/enrichment", "common/engine"]
LIBRARIES = {
    "common/base": [],
    "common/contract": ["common/base"],
    "common/event": ["common/base", "common/contract"],
    "common/validation": ["common/base", "common/contract", "common/event"],
    "common/privacy": ["common/base", "common/contract", "common/event"],
    "common/enrichment": ["common/base", "common/contract", "common/event"],
    "common/engine": DATA_PATH,
    "common/telemetry": ["common/base"],
    "common/stream": ["common/base", "common/telemetry"],
    "common/kafka": ["common/base", "common/stream"],
    "common/rpc": ["common/base", "common/telemetry"],
    "common/config": ["common/base"],
    "common/trail": ["common/base", "common/telemetry"],
    "common/reference": ["common/base", "common/event", "common/enrichment", "common/kafka"],
    "tests/support": ["common/base"],
}
# Processes compose libraries; beyond that they use only what is named here.
PROCESSES = {
    "services/brokers": [],
    "services/processor": ["services/brokers"],
    "services/pseudonymiser": ["services/brokers"],
    "services/audit": ["services/processor"],
    "services/reference": ["services/brokers"],
    "services/ctl": ["services/brokers", "services/processor", "services/audit"],
    "demo": ["services/processor", "services/audit", "tests/support"],
    "benchmarks": ["services/audit", "services/ctl", "services/processor", "services/pseudonymiser",
                   "tests/support"],
}
# Tests may also use the fixtures, and these.
TESTS_ALSO = {"services/processor": ["services/audit", "services/reference",
                                     "services/pseudonymiser", "demo"],
              "services/ctl": ["services/pseudonymiser", "services/reference"]}

# Third-party headers with one door.
DOORS = [
    (r"librdkafka/", ["common/kafka", "tests/support", "tests/simulation", "benchmarks"]),
    (r"prometheus/", ["common/telemetry"]),
    (r"grpcpp/|grpc/", ["common/rpc"]),
    (r"simdjson", ["common/event", "services/processor", "services/ctl"]),
    (r"re2/", ["common/validation", "common/contract", "common/enrichment"]),
    (r"yaml-cpp/", ["common/config"]),
    (r"libpq-fe", ["common/reference"]),
    (r"pqxx/", ["tests/support", "benchmarks"]),
    (r"lmdb\.h", ["common/reference"]),
    (r"geos_c\.h", ["common/enrichment"]),
    (r"CLI/", ["services", "demo", "benchmarks"]),
]
# The engine and what it uses: no thread, no clock, no network. Files are read only where a contract
# or a keyring is loaded, before there is an engine.
PURE_FORBIDS = r"<(thread|future|sys/socket\.h|sys/epoll\.h|poll\.h)>"
READS_FILES = ["common/contract/loader.cc", "common/privacy/keyring.cc", "common/privacy/key_file.cc",
               "common/base/secure_memory.cc", "common/base/file.cc"]
FILES = r"<(fstream|filesystem|sys/stat\.h|unistd\.h|fcntl\.h)>|common/base/file\.h"
CLOCKS = r"(system_clock|steady_clock|high_resolution_clock)::now|absl::Now\(|\btime\((NULL|nullptr|0)\)"

INCLUDE = re.compile(r'^\s*#include\s+([<"])([^>"]+)[>"]')
FILE_BYTES_MAX = 1 << 20
IMAGE_BYTES_MAX = 200_000
# Where a machine's own folders begin; a path into them works nowhere else.
MACHINE_PATH = re.compile(r'["\s(=](/home/|/root/|/Users/)')
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def folder_of(path):
    """The library or process that a file or an included path belongs to; None: another's."""
    for folder in [*LIBRARIES, *PROCESSES]:
        if path == folder or path.startswith(folder + "/"):
            return folder
    return None


def is_test(path):
    return bool(re.search(r"_(test|fuzz)\.(cc|h)$", path)) or path.endswith("/testing.h")


def allowed(folder, test):
    if folder in LIBRARIES:
        others = list(LIBRARIES[folder])
    else:
        others = [name for name in LIBRARIES if name.startswith("common/")] + PROCESSES[folder]
    if test:
        others += ["tests/support", *TESTS_ALSO.get(folder, [])]
        # A library's test may set its subject up with what stands below it.
        if folder in DATA_PATH:
            others += DATA_PATH[:DATA_PATH.index(folder)]
    return {folder, *others}


def check_source(path, lines):
    folder, test = folder_of(path), is_test(path)
    if path.endswith(".h") and "#pragma once" not in [line.strip() for line in lines]:
        yield 1, "add #pragma once"
    for number, line in enumerate(lines, 1):
        if include := INCLUDE.match(line):
            name = include.group(2)
            used = folder_of(name)
            if folder and used and used not in allowed(folder, test):
                yield number, f"{folder} may not include {used}"
            for pattern, doors in DOORS:
                if re.match(pattern, name) and not path.startswith(tuple(doors)):
                    yield number, f"only {' and '.join(doors)} may include {name}"
        if folder in DATA_PATH and not test:
            if re.search(PURE_FORBIDS, line):
                yield number, "the engine and what it uses start no thread and open no connection"
            if re.search(FILES, line) and path not in READS_FILES:
                yield number, "the engine and what it uses read no file"
            if re.search(CLOCKS, line) and path != "common/base/clock.h":
                yield number, "the engine and what it uses read no clock"
        if path.startswith("common/") and not test and re.search(r"std::cout\b|\bprintf\(", line):
            yield number, "libraries don't print: return a status, or log through common/telemetry"


def check(root):
    """Yields `file:line: text` for every finding under root."""
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in (".git", "build"))
        for file in sorted(files):
            path = os.path.relpath(os.path.join(parent, file), root)
            if path.startswith("tests/tidy/") or path == "LICENSE":
                continue
            if path.startswith("docs/images/") and path.endswith(".png"):
                if os.path.getsize(os.path.join(root, path)) > IMAGE_BYTES_MAX:
                    yield f"{path}:1: is larger than {IMAGE_BYTES_MAX} bytes: draw it smaller"
                continue
            if os.path.getsize(os.path.join(root, path)) > FILE_BYTES_MAX:
                yield f"{path}:1: is larger than {FILE_BYTES_MAX} bytes: generate it instead"
                continue
            try:
                with open(os.path.join(root, path), encoding="utf-8") as text:
                    lines = text.read().split("\n")
            except UnicodeDecodeError:
                if not path.startswith("tests/corpus/"):
                    yield f"{path}:1: isn't UTF-8 text"
                continue
            if path.startswith("tests/corpus/"):
                continue
            if path.endswith((".h", ".cc")):
                for number, text in check_source(path, lines):
                    yield f"{path}:{number}: {text}"
            for number, line in enumerate(lines, 1):
                if UNFINISHED.search(line):
                    yield f"{path}:{number}: finish it, or say what is missing in the documentation"
                if MACHINE_PATH.search(line):
                    yield f"{path}:{number}: a path of one machine"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    findings = list(check(sys.argv[1]))
    print("\n".join(findings))
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
