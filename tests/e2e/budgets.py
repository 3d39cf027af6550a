#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Budgets from traffic to notice, and what a configuration changes about endpoints."""

import json
import os
import re
import sys
import time

sys.path[0] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")

from harness import (PATIENCE, ROOT, Agent, Server, check, check_between,  # noqa: E402
                     check_equal, main, named, run_client, test, wait_until)

SHORT_WINDOW = """
product: SHIPYARD
budgets:
  - name: quick
    service: slow-*
    window: 3 s
    min_requests: 5
    p95_response_time_ms: {target: 20, warning: 40, critical: 60}
  - name: errors
    service: failing-*
    window: 3 s
    min_requests: 5
    error_rate_percent: {target: 1, warning: 5, critical: 10}
"""

RULE = "=" * 60


def blocks(log):
    """The console alerts of a log, each as a list of lines: header, rule ... rule."""
    found = []
    for block in re.findall(r"^(\S+ \S+ ALERT \[\w+\]\n=+\n.*?\n=+)$", log, re.M | re.S):
        found.append(block.splitlines())
    return found


def state(agent, service):
    name = named(service)
    return max((value for labels, value in agent.metrics().select("plimsoll_budget_state")
                if name in (labels.get("service"), labels.get("service_name"))), default=None)


@test
def a_breach_is_told_within_seconds_and_its_end_too():
    agent = Agent(config=SHORT_WINDOW, log_format="text")
    server = Server("slow-server")
    run_client("slow-client", server.port, "--path", "/fine", "run", 23)
    wait_until(lambda: state(agent, "slow-server") == 0, "the budget is within its line")
    check_equal(blocks(agent.log()), [], "alerts so far")
    run_client("slow-client", server.port, "--path", "/sleep/80000", "--connections", 10, "run", 2)
    ended = time.monotonic()
    wait_until(lambda: blocks(agent.log()), lambda: f"an alert in {agent.log()[-3000:]}")
    check_between(time.monotonic() - ended, 0, 2 * PATIENCE, "seconds from evidence to alert")
    block = blocks(agent.log())[0]
    text = "\n".join(block)
    check(block[0].endswith("SHIPYARD ALERT [CRITICAL]"), f"the header is {block[0]!r}")
    check_equal(block[1], RULE, "the rule below the header")
    check_equal(block[-1], RULE, "the rule at the end")
    for number, key in enumerate(("Title: ", "Component: ", "Message: ", "Time: "), 2):
        check(block[number].startswith(key), f"line {number} begins with {key!r}: {text}")
    check(re.fullmatch(r"Time: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", block[5]), f"time in {text}")
    check("Recommended Actions:" in block and "  1. " in text, f"actions in {text}")
    details = json.loads(next(line for line in block if line.startswith("Details: "))[9:])
    check("slow-server" in text, f"the service in {text}")
    check("/sleep/" in json.dumps(details), f"the slowest requests in {details}")
    check_equal(state(agent, "slow-server"), 2, "plimsoll_budget_state")
    wait_until(lambda: any("RESOLVED" in lines[0] for lines in blocks(agent.log())),
               lambda: f"a resolved notice in {agent.log()[-3000:]}", 10)
    check_equal([re.search(r"\[(\w+)\]", lines[0]).group(1) for lines in blocks(agent.log())],
                ["CRITICAL", "RESOLVED"], "notices")
    check_equal(agent.stop(), 0, "exit status")
    server.stop()


@test
def errors_break_their_budget_and_json_logs_carry_the_notice():
    agent = Agent(config=SHORT_WINDOW)
    server = Server("failing-server")
    run_client("failing-client", server.port, "--path", "/status/503", "run", 23)

    def notices():
        rows = [json.loads(line) for line in agent.log().splitlines() if line.startswith("{")]
        return [row for row in rows if "failing-server" in json.dumps(row)
                and "critical" in json.dumps(row).lower()]

    wait_until(notices, lambda: f"a critical notice in {agent.log()[-3000:]}")
    for line in agent.log().splitlines():
        json.loads(line)  # every line is one object
    check_equal(state(agent, "failing-server"), 2, "plimsoll_budget_state")
    check_equal(agent.stop(), 0, "exit status")
    server.stop()


@test
def a_new_user_sees_a_breach_without_any_configuration():
    agent = Agent(log_format="text")
    server = Server("default-server")
    run_client("default-client", server.port, "--path", "/sleep/600000", "--connections", 10,
               "run", 1)
    wait_until(lambda: blocks(agent.log()), lambda: f"an alert in {agent.log()[-3000:]}", 3)
    check("default-server" in agent.log(), "the alert names the service")
    check_equal(agent.stop(), 0, "exit status")
    server.stop()


@test
def nine_slow_requests_are_no_verdict_yet():
    agent = Agent()
    server = Server("few-server")
    run_client("few-client", server.port, "--path", "/sleep/600000", "--connections", 9, "run", 1)
    agent.expect_requests("few-server", "server", {("GET", "/sleep/{id}", "200"): 9})
    until = time.monotonic() + 2.5
    wait_until(lambda: time.monotonic() > until, "three judgements have passed")
    check(state(agent, "few-server") in (None, 0), f"no breach, saw {state(agent, 'few-server')}")
    check_equal(agent.stop(), 0, "exit status")
    server.stop()


@test
def the_budget_file_of_the_requirements_loads_as_it_is():
    with open(os.path.join(ROOT, "deploy", "config", "performance_sla.json")) as file:
        agent = Agent(config=file.read())
    server = Server("sla-server")
    run_client("sla-client", server.port, "--path", "/sleep/550000", "--connections", 20, "run", 1)
    wait_until(lambda: state(agent, "sla-server") == 2, "p50 above 500 ms is critical")
    check_equal(agent.stop(), 0, "exit status")
    server.stop()


# ---- endpoints ----

PATTERNS = """
limits:
  endpoints_per_service: 23
routes:
  - /api/projects/{id}/ast
  - {service: "pattern-*", pattern: "/api/tasks/{task}"}
  - /api/tasks/special
"""


@test
def patterns_of_the_user_win_over_the_heuristic():
    agent = Agent(config=PATTERNS)
    server = Server("pattern-server")
    for path, count in (("/api/projects/alpha/ast", 7), ("/api/projects/%d/ast?x=1", 16),
                        ("/api/projects/9", 5), ("/api/tasks/write-tests", 11),
                        ("/api/tasks/special", 3), ("/api/tasks/a/b", 2)):
        run_client("pattern-client", server.port, "--path", path, "run", count)
    agent.expect_requests("pattern-server", "server", {
        ("GET", "/api/projects/{id}/ast", "200"): 23, ("GET", "/api/projects/{id}", "200"): 5,
        ("GET", "/api/tasks/{task}", "200"): 11, ("GET", "/api/tasks/special", "200"): 3,
        ("GET", "/api/tasks/a/b", "200"): 2})
    other = Server("elsewhere")
    run_client("elsewhere-client", other.port, "--path", "/api/tasks/write-tests", "run", 3)
    agent.expect_requests("elsewhere", "server", {("GET", "/api/tasks/write-tests", "200"): 3})
    check_equal(agent.stop(), 0, "exit status")
    server.stop()
    other.stop()


@test
def endpoints_beyond_the_limit_are_counted_in_other():
    agent = Agent(config=PATTERNS)
    server = Server("many-server")
    run_client("many-client", server.port, "--path", "/first", "run", 5)
    agent.expect_requests("many-server", "server", {("GET", "/first", "200"): 5})
    run_client("many-client", server.port, "--path", "/%a", "run", 97)
    run_client("many-client", server.port, "--path", "/first", "run", 5)

    def seen():
        return agent.metrics().requests("many-server", "server")

    wait_until(lambda: sum(seen().values()) >= 107, lambda: f"107 requests, saw {seen()}")
    counts = seen()
    check_equal(sum(counts.values()), 107, "requests")
    check_equal(counts.get(("GET", "/first", "200")), 10, "requests of the first endpoint")
    check_between(len(counts), 2, 24, "endpoints and other")
    check(counts.get(("GET", "other", "200"), 0) >= 107 - 10 - 22, f"other has the rest: {counts}")
    check_equal(agent.stop(), 0, "exit status")
    server.stop()


@test
def a_full_table_counts_in_other():
    agent = Agent(config="limits: {endpoints_max: 16, endpoints_per_service: 16}\n")
    server = Server("full-server")
    run_client("full-client", server.port, "--path", "/%a", "run", 97)
    wait_until(lambda: sum(agent.metrics().requests("full-server", "server").values()) >= 97,
               lambda: f"97 requests, saw {agent.metrics().requests('full-server', 'server')}")
    counted = agent.metrics().requests("full-server", "server")
    check_equal(sum(counted.values()), 97, "requests counted")
    check(any(route == "other" for _, route, _ in counted), f"some in other: {counted}")
    check_equal(agent.metrics().losses("full-server"), {}, "losses")
    check_equal(agent.stop(), 0, "exit status")
    server.stop()


@test
def a_full_table_is_a_counted_loss():
    agent = Agent(config="limits: {endpoints_max: 16, endpoints_per_service: 16}\n")
    server = Server("lost-server")
    for status in range(200, 231):
        run_client("lost-client", server.port, "--path", f"/status/{status}", "run", 3)

    def seen():
        metrics = agent.metrics()
        return (sum(metrics.requests("lost-server", "server").values()),
                metrics.losses("lost-server").get("keys_full", 0))

    wait_until(lambda: sum(seen()) >= 93, lambda: f"93 requests counted or lost, saw {seen()}")
    counted, lost = seen()
    check_equal(counted + lost, 93, "requests counted and lost")
    check_between(counted, 1, 92, "requests counted")
    ratio = agent.metrics().sum("plimsoll_completeness_ratio", service_name="lost-server")
    check_between(ratio, counted / 93 - 0.02, counted / 93 + 0.02, "completeness ratio")
    check_equal(agent.stop(), 0, "exit status")
    server.stop()


@test
def a_full_ring_costs_names_but_no_counts():
    agent = Agent(config="limits: {ring_bytes: 64 KiB, endpoints_per_service: 4000}\n")
    server = Server("ring-server")
    run_client("ring-client", server.port, "--path", "/%a", "--depth", 20, "run", 2003)

    def seen(role):
        return sum(agent.metrics().requests(f"ring-{role}", role).values())

    for role in ("server", "client"):
        wait_until(lambda: seen(role) >= 2003, lambda: f"2003 requests, saw {seen(role)}")
        check_equal(seen(role), 2003, f"requests ({role})")
    check_equal(agent.stop(), 0, "exit status")
    server.stop()


@test
def more_processes_than_are_kept_are_still_counted():
    agent = Agent(config="limits: {processes_max: 64}\n")
    server = Server("crowd-server")
    run_client("crowd-client", server.port, "--path", "/x", "--strict", "spawn", 199)
    agent.expect_requests("crowd-server", "server", {("GET", "/x", "200"): 199})
    check_equal(agent.stop(), 0, "exit status")
    server.stop()


@test
def ten_thousand_routes_stay_bounded_and_exact():
    agent = Agent()
    server = Server("routes-server")
    run_client("routes-client", server.port, "--path", "/kept", "run", 23)
    agent.expect_requests("routes-server", "server", {("GET", "/kept", "200"): 23})
    run_client("routes-client", server.port, "--path", "/r/%a", "--depth", 10, "run", 10007)
    run_client("routes-client", server.port, "--path", "/kept", "run", 23)

    def seen(role):
        return agent.metrics().requests(f"routes-{role}", role)

    for role in ("server", "client"):
        wait_until(lambda: sum(seen(role).values()) >= 10053,
                   lambda: f"10053 requests, saw {sum(seen(role).values())}, "
                           f"losses {agent.metrics().losses('routes-' + role)}")
        counts = seen(role)
        check_equal(sum(counts.values()), 10053, f"requests ({role})")
        check_equal(counts.get(("GET", "/kept", "200")), 46, f"requests of the kept route ({role})")
        check_between(len(counts), 500, 1001, f"routes ({role})")
        check(counts[("GET", "other", "200")] >= 9000, f"other takes the rest ({role})")
    late = Server("late-server")
    run_client("late-client", late.port, "--path", "/late", "run", 23)
    agent.expect_requests("late-server", "server", {("GET", "/late", "200"): 23})
    check_equal(agent.stop(), 0, "exit status")
    server.stop()
    late.stop()


main()
