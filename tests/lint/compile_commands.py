#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Writes compile_commands.json from what make would do, without doing it: always up to date, in
less than a second, and nothing in build/ is touched. Usage: compile_commands.py [OUT]"""

import json
import os
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def compiler_calls(text):
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if " -c " not in line and " -o build/tests/" not in line:
            continue
        try:
            words = shlex.split(line)
        except ValueError:
            continue
        sources = [word for word in words if word.endswith(".c")]
        if len(sources) != 1 or not words[0].split("/")[-1].startswith(("cc", "gcc", "clang")):
            continue
        if "-c" not in words:  # a test program: compiled and linked at once
            words = [word for word in words if not word.endswith(".o") and word[:2] != "-l"]
        yield sources[0], words


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "compile_commands.json")
    environment = {key: value for key, value in os.environ.items()
                   if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "-B", "V=1", "build", "unit"], cwd=ROOT,
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    entries = [{"directory": ROOT, "file": source, "arguments": words}
               for source, words in compiler_calls(done.stdout)]
    if not entries:
        sys.exit(f"compile_commands.py: make -n printed no compiler call:\n{done.stderr}")
    with open(out + ".new", "w") as file:
        json.dump(sorted(entries, key=lambda entry: entry["file"]), file, indent=1)
        file.write("\n")
    os.replace(out + ".new", out)


main()
