#!/usr/bin/env python3
"""Runs the commands that a guide prints, as printed and in their order.

usage: commands_test.py ROOT SLUICECTL

A command is a line of an `sh` block, or a span of code, that begins with one of PREFIXES. It must end with 0; what it
needs beside what earlier ones made is made here.
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT, SLUICECTL = sys.argv[1], os.path.abspath(sys.argv[2])
PREFIXES = ("sluicectl keys ", "sluicectl trail ")
BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")


def commands(text):
    """Each command of the page, in its order."""
    found = []
    for block in BLOCK.finditer(text):
        for line in re.sub(r"\s*\\\n\s*", " ", block.group(1)).split("\n"):
            found.append((block.start(), len(found), line.strip()))
    outside = BLOCK.sub(lambda match: " " * len(match.group(0)), text)
    for span in SPAN.finditer(outside):
        found.append((span.start(), len(found), " ".join(span.group(1).split())))
    return [command for _, _, command in sorted(found) if command.startswith(PREFIXES)]


class Guide(unittest.TestCase):
    def run_page(self, page, before, count_min):
        with open(os.path.join(ROOT, "docs/guides", page), encoding="utf-8") as source:
            printed = commands(source.read())
        self.assertGreaterEqual(len(printed), count_min, printed)
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(SLUICECTL, os.path.join(folder, "sluicectl"))
            environment = {**os.environ, "PATH": folder + ":" + os.environ["PATH"]}

            def run(command):
                return subprocess.run(["sh", "-c", command], cwd=folder, env=environment, text=True,
                                      capture_output=True, timeout=60, check=False)

            for command in before:
                done = run(command)
                self.assertEqual(done.returncode, 0, command + "\n" + done.stderr)
            for command in printed:
                if " restore " in command:
                    # "Move a damaged keyring away first."
                    os.rename(os.path.join(folder, "keyring"), os.path.join(folder, "damaged"))
                done = run(command)
                self.assertEqual(done.returncode, 0, command + "\n" + done.stdout + done.stderr)

    def test_rotate_keys(self):
        self.run_page("rotate-keys.md", [
            "sluicectl keys init --keyring keyring --key-encryption-key kek --domain intelligence=int",
            "echo '{}' > old.jsonl"], 8)


class Commands(unittest.TestCase):
    def test_are_found_in_blocks_and_spans_in_their_order(self):
        text = ("a `sluicectl keys list`\n```sh\nsluicectl keys add \\\n  --x\nother\n```\n"
                "`sluicectl keys rotate\n  --y` and `keys` and `sluicectl status`\n")
        self.assertEqual(commands(text), ["sluicectl keys list", "sluicectl keys add --x",
                                          "sluicectl keys rotate --y"])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
