#!/usr/bin/env python3
"""Writes docs/reference/ from the .proto files' comments and the programs' own help.

usage: reference.py ROOT BINARIES [--check]

--check writes nothing, and ends with 1 and the names of the pages that aren't current.
"""
import os
import re
import subprocess
import sys

NOTE = ("<!-- Written by scripts/reference.py from {source}; `./run docs` writes it anew. -->\n\n")


class Proto:
    """Messages, enums and services of one .proto file, with the comments above them."""

    DECLARATION = re.compile(r"^(message|enum|service|oneof)\s+(\w+)\s*\{")
    EXTEND = re.compile(r"^extend\s+([\w.]+)\s*\{")
    FIELD = re.compile(r"^((?:repeated|optional)\s+)?(map<[^>]+>|[\w.]+)\s+(\w+)\s*=\s*(\d+)\s*(\[.*)?;?")
    VALUE = re.compile(r"^(\w+)\s*=\s*(-?\d+)\s*(\[.*)?;")
    RPC = re.compile(r"^rpc\s+(\w+)\((stream\s+)?([\w.]+)\)\s+returns\s+\((stream\s+)?([\w.]+)\)")

    # What a request may hold, of buf.validate's rules.
    BOUNDS = (("max_items", "{} items"), ("max_bytes", "{} bytes"), ("bytes.max_len", "{} bytes"))

    @classmethod
    def bounds(cls, options):
        found = [text.format(f"{int(bound.group(1)):,}") for rule, text in cls.BOUNDS
                 if (bound := re.search(re.escape(rule) + r"(?: = |: )(\d+)", options))]
        return f"At most {' of '.join(found)}." if found and "buf.validate" in options else ""

    def __init__(self, text):
        self.about, self.blocks = "", []  # (kind, name, comment, rows)
        self.parse(text)

    def parse(self, text):
        stack, comment, first = [], [], True
        for line in text.split("\n"):
            line = line.strip()
            if line.startswith("//"):
                comment.append(line[2:].strip())
                continue
            if line.startswith("syntax"):
                self.about = " ".join(comment)
                comment = []
                continue
            if not line:
                comment = []
                continue
            told, comment = " ".join(comment), []
            if line.startswith(("package", "import", "option", "reserved")):
                continue
            declaration, extend = self.DECLARATION.match(line), self.EXTEND.match(line)
            if declaration or extend:
                kind, name = declaration.groups() if declaration else ("extend", extend.group(1))
                if kind == "oneof":
                    stack.append(stack[-1])
                    if told:
                        stack[-1][3].append((f"(one of `{name}`)", "", told))
                else:
                    outer = stack[-1][1] + "." if stack else ""
                    block = (kind, name if kind == "extend" else outer + name, told, [])
                    self.blocks.append(block)
                    if not line.endswith("}"):
                        stack.append(block)
                continue
            if line == "}":
                if stack:
                    stack.pop()
                continue
            if not stack:
                continue
            rows = stack[-1][3]
            if rpc := self.RPC.match(line):
                call, many_in, request, many_out, response = rpc.groups()
                rows.append((call, f"{'stream ' if many_in else ''}{request} → {'stream ' if many_out else ''}{response}", told))
            elif stack[-1][0] == "enum" and (value := self.VALUE.match(line)):
                rows.append((value.group(1), value.group(2), told))
            elif field := self.FIELD.match(line):
                label, kind, name, _, options = field.groups()
                if "(required) = true" in (options or ""):
                    told = (told + " " if told else "") + "**Required.**"
                if (label or "").strip() == "repeated":
                    kind = f"list of {kind}"
                told = " ".join(part for part in (told, self.bounds(options or "")) if part)
                rows.append((name, kind, told))


def cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def page_of_protos(root, title, files):
    text = f"# {title}\n" + NOTE.format(source=", ".join(f"`{file}`" for file in files))
    for file in files:
        with open(os.path.join(root, file), encoding="utf-8") as source:
            proto = Proto(source.read())
        text += proto.about + "\n\n" if proto.about else ""
        for kind, name, about, rows in proto.blocks:
            if not rows and not about:
                continue
            text += f"## {'Options of ' + name if kind == 'extend' else name}\n"
            text += about + "\n\n" if about else ""
            if rows:
                second = {"enum": "number", "service": "takes → gives"}.get(kind, "type")
                text += f"| {'value' if kind == 'enum' else 'name'} | {second} | |\n|---|---|---|\n"
                for row in rows:
                    text += f"| `{row[0]}` | {cell(row[1])} | {cell(row[2])} |\n" if not row[0].startswith("(") \
                        else f"| {row[0]} | | {cell(row[2])} |\n"
                text += "\n"
    return text.rstrip("\n") + "\n"


def help_of(program, path):
    return subprocess.run([program, *path, "--help"], check=True, capture_output=True, text=True,
                          env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100"}).stdout


def commands_in(text):
    found, listed = [], False
    for line in text.split("\n"):
        if line.startswith("Subcommands:"):
            listed = True
        elif listed and (name := re.match(r"^  (\S+)", line)):
            found.append(name.group(1))
        elif listed and not line.startswith(" "):
            listed = False
    return found


def page_of_program(program, name):
    text = f"# {name}\n" + NOTE.format(source=f"`{name} --help`")

    def add(path):
        nonlocal text
        told = help_of(program, path)
        title = " ".join([name, *path])
        text += (f"## {title}\n" if path else "") + "```text\n" + told.rstrip("\n") + "\n```\n\n"
        for command in commands_in(told):
            add([*path, command])

    add([])
    return text.rstrip("\n") + "\n"


def pages(root, binaries):
    def protos(folder):
        return sorted(os.path.join("proto/sluice", folder, file)
                      for file in os.listdir(os.path.join(root, "proto/sluice", folder)) if file.endswith(".proto"))

    result = {
        "configuration.md": page_of_protos(root, "Configuration", [
            *(file for file in reversed(protos("config/v1")) if not file.endswith("options.proto")),
            "proto/sluice/reference/v1/schema.proto"]),
        "contract.md": page_of_protos(root, "Contract options", ["proto/sluice/contract/v1/options.proto"]),
        "sluicectl.md": page_of_program(os.path.join(binaries, "services/ctl/sluicectl"), "sluicectl"),
    }
    services = sorted(folder for folder in os.listdir(os.path.join(root, "proto/sluice"))
                      if folder not in ("config", "contract"))
    for service in services:
        files = [file for version in sorted(os.listdir(os.path.join(root, "proto/sluice", service)))
                 for file in protos(f"{service}/{version}")]
        calls = [file for file in files
                 if "\nservice " in open(os.path.join(root, file), encoding="utf-8").read()]
        if calls:
            result[f"{service}.md"] = page_of_protos(root, f"gRPC of the {service}", calls)
    return result


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--check"]
    if len(arguments) != 2:
        sys.exit(__doc__)
    root, binaries = arguments
    folder, stale = os.path.join(root, "docs/reference"), []
    wanted = pages(root, binaries)
    there = set(os.listdir(folder)) if os.path.isdir(folder) else set()
    for name, text in wanted.items():
        path = os.path.join(folder, name)
        current = open(path, encoding="utf-8").read() if os.path.exists(path) else None
        if current != text:
            stale.append(name)
            if "--check" not in sys.argv:
                os.makedirs(folder, exist_ok=True)
                with open(path, "w", encoding="utf-8") as page:
                    page.write(text)
    for name in sorted(there - set(wanted)):  # a page that was written here and isn't any more
        with open(os.path.join(folder, name), encoding="utf-8") as page:
            if page.readline().startswith(NOTE.split("{")[0]):
                stale.append(name)
    if "--check" in sys.argv and stale:
        sys.exit(f"docs/reference isn't current: {', '.join(stale)}; ./run docs writes it anew")


if __name__ == "__main__":
    main()
