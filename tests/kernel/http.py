#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The meaning of requests, on every rung of net/request this kernel has.

PLIMSOLL_RUNG=fentry runs one rung only. PLIMSOLL_BRIEF=1 spares emulated machines, and rungs behind
the first, what does not depend on the hooks (as `make test` does; `make vmtest` runs all). Arguments
select tests by a part of their name."""

import os
import sys

sys.path[0] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")

from harness import (AGENT, EMULATED, Agent, Skip, add_test, check, check_equal, main,  # noqa: E402
                     why_no_rung)
from scenarios import SCENARIOS, Before, World  # noqa: E402

RUNGS = ("fentry", "kprobe", "tracepoint")


class Rung:
    """One agent on one rung, started by the first test that needs it."""

    def __init__(self, name):
        self.name = name
        self.before = None
        self.world = None
        self.failure = None

    def start(self):
        if self.failure:
            raise self.failure
        if not self.world:
            try:
                self.before = Before(self.name)
                agent = Agent("--rung", f"net/request={self.name}")
                check_equal(agent.rung(), self.name, "rung of net/request")
            except Exception as error:
                self.failure = error
                raise
            self.world = World(agent, self.name)
        return self.world

    def before_idle(self):
        world = self.start()
        self.before.check_idle(world)

    def before_flight(self):
        world = self.start()
        self.before.check_flight(world)

    def leave(self):
        agent = self.start().agent
        check_equal(agent.stop(), 0, "exit status of the agent")
        self.failure = Skip("the agent of this rung was stopped")

    def register(self, brief):
        def add(name, function):
            add_test(f"{self.name} {name.replace('_', ' ')}", function)

        add("counts on a connection that was open before the agent", self.before_idle)
        add("counts a request in flight at the start as lost", self.before_flight)
        for scenario in SCENARIOS:
            if brief and getattr(scenario, "of_bytes", False):
                continue
            add(scenario.__name__, lambda scenario=scenario: self.start().run(scenario))
        add("still has exactly these counts at the end", lambda: self.start().agent.audit())
        add("leaves with exit status 0", self.leave)


def skip(reason):
    raise Skip(reason)


def register():
    tested = 0
    for name in RUNGS:
        reason = why_no_rung(name)
        if reason:
            add_test(f"{name} rung", lambda reason=reason: skip(reason))
        else:
            Rung(name).register(brief=os.environ.get("PLIMSOLL_BRIEF") and (tested or EMULATED))
            tested += 1
    add_test("has a rung to test", lambda: check(tested, "doctor lists an available rung"))


if os.access(AGENT, os.X_OK) and os.geteuid() == 0:
    try:
        register()
    except Exception as error:
        print(f"Bail out! doctor: {error}")
        sys.exit(1)
main()
