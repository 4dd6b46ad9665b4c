#!/usr/bin/env python3
"""Writes docs/guides/identifiers.md: each identifier kind's canonical form, as the code makes it.

usage: identifiers.py ROOT BINARIES

The page's text is in common/privacy/identifier_guide.h; its test checks every line of it.
"""
import os
import subprocess
import sys


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    root, binaries = map(os.path.abspath, sys.argv[1:])
    subprocess.run([os.path.join(binaries, "common/privacy/privacy_test"),
                    "--gtest_filter=IdentifierGuide.IsThePage", "--gtest_brief=1"],
                   env={**os.environ,
                        "SLUICE_IDENTIFIER_GUIDE": os.path.join(root, "docs/guides/identifiers.md")},
                   check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
