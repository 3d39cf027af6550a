#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Says how many instructions the verifier walked for every program the agent loads on this kernel,
rung by rung, as comments "verifier KERNEL PROGRAM INSTRUCTIONS" between TAP results, so that it
runs in a guest of tests/vm as well. tests/bench/verifier.sh compares them with the record."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import (Agent, Skip, add_test, check, doctor, main, wait_until)  # noqa: E402

KERNEL = ".".join(os.uname().release.split("-")[0].split(".")[:2])
FAMILY = "plimsoll_program_verified_instructions"


def rounds():
    """Every rung that works, one of each probe at a time: [{probe: rung}]"""
    ladders = {}
    for row in doctor():
        if row["available"]:
            ladders.setdefault(row["probe"], []).append(row["rung"])
    longest = max((len(rungs) for rungs in ladders.values()), default=0)
    return [{probe: rungs[min(i, len(rungs) - 1)] for probe, rungs in ladders.items()}
            for i in range(longest)]


def load(choice):
    def measure():
        agent = Agent(*[f"--rung={probe}={rung}" for probe, rung in choice.items()])
        try:
            found = wait_until(lambda: agent.metrics().samples(FAMILY), f"{FAMILY} in /metrics")
        finally:
            agent.stop()
        walked = {labels["program"]: int(value) for labels, value in found}
        if not any(walked.values()):
            raise Skip("this kernel does not tell (5.16 and newer do)")
        for program, count in sorted(walked.items()):
            check(count > 0, f"{program}: no count")
            print(f"# verifier {KERNEL} {program} {count}")
    return measure


try:
    for number, chosen in enumerate(rounds() if os.geteuid() == 0 else []):
        rungs = ", ".join(f"{probe}={rung}" for probe, rung in sorted(chosen.items()))
        add_test(f"verifier accepts {rungs}", load(chosen))
except Exception as error:
    print(f"Bail out! doctor: {error}")
    sys.exit(1)
main()
