#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The worst case of the bench inside a guest of tests/vm, on every rung its kernel has: nothing but
nginx, wrk and the agent. TAP, with the figures as comments: "ratio KERNEL RUNG MIN MEDIAN MAX"."""

import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from programs import Nginx, doctor_rungs, start_agent, wrk  # noqa: E402
from harness import EMULATED, add_test, check, main  # noqa: E402
from results import spread  # noqa: E402

PAIRS = 5
SECONDS = 4 if EMULATED else 1.5
KERNEL = ".".join(os.uname().release.split("-")[0].split(".")[:2])


def half(nginx, rung):
    agent = start_agent(rung) if rung else None
    try:
        return wrk(nginx.port, SECONDS)["rate"]
    finally:
        if agent:
            agent.stop()


def compare(rung):
    def measure():
        nginx = Nginx()
        half(nginx, None)
        found = []
        for number in range(PAIRS):
            order = (None, rung) if number % 2 == 0 else (rung, None)
            rates = {which: half(nginx, which) for which in order}
            check(rates[None] and rates[rung], "wrk got no answer")
            found.append(rates)
        low, middle, high = spread([rates[rung] / rates[None] for rates in found])
        print(f"# ratio {KERNEL} {rung} {low:.3f} {middle:.3f} {high:.3f}, "
              f"{statistics.median(rates[None] for rates in found):.0f} req/s without the agent")
        nginx.process.terminate()
    return measure


for name in doctor_rungs() if os.geteuid() == 0 else []:
    add_test(f"serves under load on rung {name}", compare(name))
main()
