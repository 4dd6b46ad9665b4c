#!/usr/bin/env python3
"""Checks every link between the repository's pages: the file is there, and the heading.

usage: links.py ROOT

Prints one line per finding, `file:line: what is wrong`, and ends with 1 when there are any. Links to
other sites aren't followed.
"""
import os
import re
import sys

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*)$")
SKIPPED = (".git", "build", "node_modules")


def anchors(text):
    """The anchors of a page's headings, as the usual renderers make them."""
    found, counts, fenced = set(), {}, False
    for line in text.split("\n"):
        if line.startswith("```"):
            fenced = not fenced
        heading = HEADING.match(line)
        if fenced or not heading:
            continue
        anchor = re.sub(r"[^\w\- ]", "", heading.group(1).strip().lower()).replace(" ", "-")
        count = counts.get(anchor, 0)
        counts[anchor] = count + 1
        found.add(anchor if count == 0 else f"{anchor}-{count}")
    return found


def without_code(line):
    return re.sub(r"`[^`]*`", "", line)


def check(root):
    """Yields `file:line: text` for every broken link under root."""
    root, pages = os.path.abspath(root), {}
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in SKIPPED)
        for file in sorted(files):
            if file.endswith(".md"):
                with open(os.path.join(parent, file), encoding="utf-8") as text:
                    pages[os.path.normpath(os.path.join(parent, file))] = text.read()
    known = {page: anchors(text) for page, text in pages.items()}
    for page, text in pages.items():
        name, fenced = os.path.relpath(page, root), False
        for number, line in enumerate(text.split("\n"), 1):
            if line.startswith("```"):
                fenced = not fenced
            if fenced or line.startswith("    "):
                continue
            for target in LINK.findall(without_code(line)):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, anchor = target.partition("#")
                whole = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
                if os.path.commonpath([whole, root]) != root:
                    yield f"{name}:{number}: {target} leads out of the repository"
                elif not os.path.exists(whole):
                    yield f"{name}:{number}: there is no {target}"
                elif anchor and anchor not in known.get(whole, set()):
                    yield f"{name}:{number}: {path or name} has no heading #{anchor}"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    findings = list(check(sys.argv[1]))
    print("\n".join(findings))
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
