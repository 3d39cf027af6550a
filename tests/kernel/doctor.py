#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""plimsoll doctor: what it says of this kernel, and what each probe needs at the least."""
import json
import os
import platform
import subprocess

PLIMSOLL = os.environ.get("PLIMSOLL", os.path.join(os.path.dirname(__file__), "../../build/plimsoll"))


def kernel():
    major, minor = platform.release().split(".")[:2]
    return int(major), int(minor.split("-")[0])


def main():
    answer = subprocess.run([PLIMSOLL, "doctor", "--json"], capture_output=True, text=True, timeout=120)
    report = json.loads(answer.stdout)
    for rung in report["rungs"]:
        print("# %-14s %-11s %s" % (rung["probe"], rung["rung"], "works" if rung["available"] else rung["reason"]))
    best = {rung["probe"]: rung["rung"] for rung in report["rungs"] if rung["chosen"]}
    promises = [
        ("doctor says why of every rung that does not work",
         all(rung["available"] or rung["reason"] for rung in report["rungs"])),
        ("proc/lifetime can be attached", "proc/lifetime" in best),
        ("net/tcp_conn can be attached", "net/tcp_conn" in best),
    ]
    if kernel() >= (6, 1):
        promises.append(("net/request can be attached", "net/request" in best))
        promises.append(("doctor exits with 0 when every probe can be attached", answer.returncode == 0))
    else:
        promises.append(("doctor says that net/request cannot be attached", "net/request" not in best))
        promises.append(("doctor exits with 1 when a probe cannot be attached", answer.returncode == 1))
    print("1..%d" % len(promises))
    for number, (promise, kept) in enumerate(promises, 1):
        print("%s %d - %s" % ("ok" if kept else "not ok", number, promise))


if __name__ == "__main__":
    main()
