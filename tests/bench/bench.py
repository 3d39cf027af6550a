#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What plimsoll costs: every figure a ratio of slices that took turns, or a difference within one
slice, because two runs on one machine differ by more than what is measured. See run.sh."""

import os
import statistics
import sys
import time

import results
from programs import (Agent, BpfStats, Load, Nginx, SlowServer, bpf_run_ns, cpu_seconds,
                      doctor_rungs, kernel_map_mib, load, peak_mib, program_ns, resident_mib,
                      scrape, start_agent, wrk)
from harness import Failure, ROOT, check, wait_until
from results import Table, spread, verdict

PAIRS = max(1, int(os.environ.get("BENCH_PAIRS", "5")))
SECONDS = float(os.environ.get("BENCH_SECONDS", "1.5"))
IDLE_SECONDS = float(os.environ.get("BENCH_IDLE_SECONDS", "10"))
OUT = os.path.join(ROOT, "build", "bench", "results.md")

NO_STAMPS = "arrival_stamps: false\n"
ROOMY = ("limits:\n  endpoints_per_service: 12000\n  endpoints_max: 32768\n  series_max: 20000\n")
ENDPOINTS = (10, 1000, 10000)
CONNECTIONS = 10000


def say(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def pairs(measure, rung, config):
    """[(without, with, cpu seconds of the agent, agent)] in turns, first the one, then the other."""
    found = []
    for number in range(PAIRS):
        halves = {}
        for which in ("off", "on") if number % 2 == 0 else ("on", "off"):
            agent = start_agent(rung, config) if which == "on" and rung else None
            try:
                before = cpu_seconds(agent.process) if agent else 0
                halves[which] = measure()
                if agent:
                    halves["cpu"] = cpu_seconds(agent.process) - before
            finally:
                if agent:
                    agent.stop()
        found.append((halves["off"], halves["on"], halves.get("cpu", 0)))
    return found


def add_ratio(table, what, rung, found, key, goal):
    ratios = [on[key] / off[key] for off, on, _ in found]
    low, middle, high = spread(ratios)
    table.add(what, rung or "no agent", statistics.median(off[key] for off, _, _ in found),
              statistics.median(on[key] for _, on, _ in found), low, middle, high,
              verdict(middle, **goal))


def throughput(rungs):
    table = Table(
        "Throughput with the agent",
        f"{PAIRS} pairs of slices of {SECONDS:g} s, without and with the agent in turns; the ratio is "
        "taken within each pair. nginx, one worker on CPU 0, `return 200` with 1 KiB; wrk -t1 -c32 on "
        "CPU 1; the agent where the scheduler puts it, watching both of them, so every request is "
        "counted twice: as the server's and as the client's. `control` is the same without any agent: "
        "the noise of the method.",
        "load", "rung", "req/s without", "req/s with", "min", "median", "max", "goal")
    cost = Table(
        "Agent CPU per million requests",
        "CPU time of the agent's process over those slices, by requests answered.",
        "load", "rung", "min s", "median s", "max s", "goal")
    nginx = Nginx()
    wrk(nginx.port, min(1.0, SECONDS))
    add_ratio(table, "control", None, pairs(lambda: wrk(nginx.port, SECONDS), None, None), "rate", {})
    for rung in rungs:
        for what, config, low in (("worst case", None, 0.87), ("no arrival stamps", NO_STAMPS, 0.90)):
            say(f"throughput, {rung}, {what}")
            found = pairs(lambda: wrk(nginx.port, SECONDS), rung, config)
            add_ratio(table, what, rung, found, "rate", {"low": low})
            costs = [cpu / on["requests"] * 1e6 for _, on, cpu in found]
            cost.add(what, rung, *spread(costs), verdict(spread(costs)[1], high=0.1))
    nginx.process.terminate()
    return [table, cost]


def slow_handler(rungs):
    table = Table(
        "A handler of 1 ms",
        f"{PAIRS} pairs of slices of {SECONDS:g} s. A server that sleeps 1 ms for each request, a thread "
        "a connection. `open loop`: 2,000 requests a second on 32 connections, due at fixed times, "
        "latency from when they were due. `closed loop`: 2 connections that ask as soon as they are "
        "answered, about 1,800 req/s, which shows in throughput what latency costs.",
        "what", "rung", "without", "with", "min", "median", "max", "goal")
    server = SlowServer(1000)
    for rung in [None, *rungs]:
        say(f"1 ms handler, {rung or 'control'}")
        found = pairs(lambda: load(server.port, connections=32, rate=2000, seconds=SECONDS), rung, None)
        add_ratio(table, "open loop, req/s", rung, found, "rate", {"low": 0.99} if rung else {})
        add_ratio(table, "open loop, p50 us", rung, found, "p50_us", {})
        add_ratio(table, "open loop, p99 us", rung, found, "p99_us", {"high": 1.02} if rung else {})
        found = pairs(lambda: load(server.port, connections=2, seconds=SECONDS), rung, None)
        add_ratio(table, "closed loop, req/s", rung, found, "rate", {"low": 0.99} if rung else {})
    server.process.terminate()
    return [table]


def ns_per_request(agent, measure):
    """({program: ns per request}, result of measure) with the kernel's own clock on."""
    with BpfStats():
        before = program_ns(agent)
        result = measure()
        after = program_ns(agent)
    return ({program: (after[program] - before.get(program, 0)) / result["requests"]
             for program in after}, result)


def time_in_bpf(rungs):
    table = Table(
        "Time in BPF per request",
        "kernel.bpf_stats_enabled=1 for one slice of the worst case, run time of net/request's programs "
        "by requests. Server and client are both on this host: a request passes each program on both "
        "sides. The clock itself adds some 20 to 60 ns to each run of a program.",
        "program", "rung", "ns per request")
    nginx = Nginx()
    for rung in rungs:
        say(f"time in BPF, {rung}")
        agent = start_agent(rung)
        costs, _ = ns_per_request(agent, lambda: wrk(nginx.port, SECONDS))
        agent.stop()
        for program, cost in sorted(costs.items()):
            table.add(program, rung, cost)
        table.add("all", rung, sum(costs.values()))
    nginx.process.terminate()
    return [table]


def learn(rung, config, nginx, endpoints):
    """An agent that has seen every one of `endpoints` paths and taken them in."""
    agent = start_agent(rung, config)
    load(nginx.port, connections=32, requests=max(2 * endpoints, 2000), paths=endpoints)
    time.sleep(2.5)  # two sweeps and a tick
    return agent


def known_cost(agent, nginx, endpoints):
    """(ns in BPF per request, req/s) over one slice of requests of known kinds."""
    with BpfStats():
        before = bpf_run_ns(agent.process)
        result = load(nginx.port, connections=32, seconds=SECONDS, paths=endpoints)
        spent = bpf_run_ns(agent.process) - before
    return spent / result["requests"], result["rate"]


def take_scrapes(agent, table, endpoints):
    """Rows of memory and scrapes; returns (RSS before any scrape, series)."""
    resident = resident_mib(agent.process)
    seconds, size, samples, metrics = scrape(agent)
    used = metrics.sum("plimsoll_endpoint_slots", state="used")
    check(used >= endpoints, f"{endpoints} endpoints asked for, {used:g} slots used")
    packed_seconds, packed_size, _, _ = scrape(agent, {"Accept-Encoding": "gzip"})
    time.sleep(1.5)
    series = int(metrics.sum("plimsoll_series"))
    table.add(f"{endpoints:,}", resident, peak_mib(agent.process), resident_mib(agent.process), series,
              samples, size / 2**20, seconds * 1e3, packed_size / 2**20, packed_seconds * 1e3)
    return resident, series


def cost_by_endpoints(rung, nginx):
    table = Table(
        "Cost by number of endpoints",
        f"Rung {rung}; nginx and a client that asks for that many paths in turn over 32 connections, both "
        f"watched, limits raised to 32,768 kinds of requests. {PAIRS} rounds, each through all three; "
        "a slice counts once every path is known. Run time of all BPF programs by requests, median; "
        "flat: against 10 endpoints in the same round.",
        "endpoints", "req/s", "ns per request", "flat min", "flat median", "flat max", "goal")
    rounds = []
    for number in range(PAIRS):
        say(f"cost by endpoints, round {number + 1}")
        costs = {}
        for endpoints in ENDPOINTS:
            agent = learn(rung, ROOMY, nginx, endpoints)
            costs[endpoints] = known_cost(agent, nginx, endpoints)
            agent.stop()
        rounds.append(costs)
    for endpoints in ENDPOINTS:
        flat = spread([costs[endpoints][0] / costs[ENDPOINTS[0]][0] for costs in rounds])
        table.add(f"{endpoints:,}", statistics.median(costs[endpoints][1] for costs in rounds),
                  statistics.median(costs[endpoints][0] for costs in rounds), *flat,
                  verdict(flat[1], low=0.9, high=1.1))
    return table


def endpoints_and_memory(rung):
    nginx = Nginx(body=100)
    costs = cost_by_endpoints(rung, nginx)
    table = Table(
        "Memory and scrapes by number of endpoints",
        f"Rung {rung}. Resident memory of the agent in MiB: before anybody read /metrics, at its peak while "
        "the whole of /metrics was read (identity, then gzip), and 1.5 s later. Endpoints count in both "
        "roles. The last row is as many endpoints as make 10,000 series.",
        "endpoints", "RSS", "peak", "RSS after", "series", "samples", "MiB", "ms", "MiB gzip",
        "ms gzip")
    goals = Table("Memory, default limits", f"Rung {rung}.", "what", "MiB", "goal")

    def measure(endpoints, config):
        say(f"memory at {endpoints} endpoints")
        agent = learn(rung, config, nginx, endpoints)
        resident, series = take_scrapes(agent, table, endpoints)
        if not config and endpoints == 1000:
            goals.add("RSS, 1,000 endpoints", resident, verdict(resident, high=25))
            goals.add("BPF maps in the kernel", kernel_map_mib(agent.process), "")
        agent.stop()
        return series

    few, more = measure(10, None), measure(1000, None)
    measure(10000, ROOMY)
    each = (more - few) / 990
    if each > 0:
        measure(max(1, round((10000 - few) / each + 10)), ROOMY)
    nginx.process.terminate()
    return [costs, table, goals]


def connections_and_rest(rung):
    table = Table("Memory, start and rest", f"Rung {rung}, default configuration.",
                  "what", "how", "value", "goal")
    nginx = Nginx(body=100)

    say(f"{CONNECTIONS} connections")
    agent = start_agent(rung)
    empty = resident_mib(agent.process)
    table.add("RSS, nothing seen", "MiB", empty, "")
    crowd = Load(nginx.port, connections=CONNECTIONS, hold=True)
    try:
        check(crowd.line().get("held") == CONNECTIONS, "the connections cannot be opened")
        time.sleep(2.5)
        table.add(f"RSS, {CONNECTIONS:,} connections", "MiB, one request on each, then idle",
                  resident_mib(agent.process), "")
        table.add(f"BPF maps, {CONNECTIONS:,} connections", "MiB in the kernel, without socket storage",
                  kernel_map_mib(agent.process), "")
    finally:
        crowd.stop()
        agent.stop()

    say("start-up")
    ready, first = zip(*(start_up(rung, nginx) for _ in range(PAIRS)))
    table.add("start to ready", f"ms, median of {PAIRS}", statistics.median(ready) * 1e3, "")
    table.add("start to first request in /metrics", f"ms, median of {PAIRS}, 200 req/s running",
              statistics.median(first) * 1e3, verdict(statistics.median(first) * 1e3, high=1000))
    nginx.process.terminate()

    say(f"idle, {IDLE_SECONDS:g} s")
    agent = start_agent(rung)
    time.sleep(1)
    before = cpu_seconds(agent.process)
    time.sleep(IDLE_SECONDS)
    share = (cpu_seconds(agent.process) - before) / IDLE_SECONDS
    agent.stop()
    table.add("CPU at rest", f"% of one CPU over {IDLE_SECONDS:g} s", share * 100, "")
    return [table]


def start_up(rung, nginx):
    """(seconds from exec to ready, to the first request in /metrics)"""
    traffic = Load(nginx.port, connections=4, rate=200, seconds=60)
    time.sleep(0.2)
    began = time.monotonic()
    agent = Agent(f"--rung=net/request={rung}", wait_ready=False)
    try:
        wait_until(lambda: agent.is_ready(), "the agent is ready", 15)
        ready = time.monotonic() - began
        wait_until(lambda: agent.metrics().sum("http_server_request_duration_seconds_count",
                                               server_port=nginx.port),
                   "a request in /metrics", 15)
        return ready, time.monotonic() - began
    finally:
        agent.stop()
        traffic.stop()


def publish(tables, facts):
    if not tables:
        return  # what an earlier run wrote is worth more than nothing
    text = "## Results\n\n| | |\n|---|---|\n"
    text += "".join(f"| {name} | {value} |\n" for name, value in facts)
    text += "\nEvery ratio is of one run: with the agent by without it, slices in turns.\n"
    for table in tables:
        text += "\n" + table.markdown()
        print(table.plain(), flush=True)
    with open(OUT, "w") as file:
        file.write(text)
    say(f"written to {os.path.relpath(OUT, ROOT)}")


SECTIONS = {
    "throughput": throughput,
    "slow": slow_handler,
    "bpf": time_in_bpf,
    "endpoints": lambda rungs: endpoints_and_memory(rungs[0]),
    "rest": lambda rungs: connections_and_rest(rungs[0]),
}


def main():
    wanted = sys.argv[1:] or list(SECTIONS)
    unknown = [name for name in wanted if name not in SECTIONS]
    if unknown:
        sys.exit(f"bench: no section {' '.join(unknown)}; there are {' '.join(SECTIONS)}")
    facts = results.host_facts()
    rungs = doctor_rungs()
    tables, failed = [], False
    try:
        check(rungs, "no rung of net/request works on this kernel: see plimsoll doctor")
        for name in wanted:
            try:
                tables += SECTIONS[name](rungs)
            except Failure as failure:
                print(f"bench: {name}: {failure}", file=sys.stderr)
                failed = True
    finally:
        publish(tables, facts)
    sys.exit(1 if failed else 0)


main()
