#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The meaning of TCP connections (probe net/tcp_conn): exact counts against known workloads."""

import os
import socket
import subprocess
import sys

sys.path[0] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")

from harness import (EMULATED, PATIENCE, Agent, Client, Server, Skip, check,  # noqa: E402
                     check_between, check_equal, environment_of, free_port, main, run_client, start, test,
                     tool, wait_until)

shared = {}


def agent():
    """One agent for all; what must be open before it is opened here."""
    if "agent" not in shared:
        shared["agent"] = None
        shared["before"] = Server("conn-before-server")
        shared["held"] = Client("conn-before-client", shared["before"].port, "--connections", 23,
                                "--wait", "run", 1)
        shared["held"].event("connected")
        shared["agent"] = Agent()
    check(shared["agent"], "the agent started")
    return shared["agent"]


def total(name, service, role=None, **labels):
    if role:
        labels["role"] = role
    return agent().metrics().sum("plimsoll_tcp_" + name, service_name=service, **labels)


def expect(name, service, expected, role=None, seconds=5.0, **labels):
    """Reaches the number and is exactly it."""
    wait_until(lambda: total(name, service, role, **labels) >= expected,
               lambda: f"{name} of {service} {role or ''} {labels} is {expected}, "
                       f"saw {total(name, service, role, **labels)}; {agent().losses()}", seconds)
    check_equal(total(name, service, role, **labels), expected, f"{name} of {service}")


def gone(name, service, role=None):
    wait_until(lambda: total(name, service, role) == 0,
               lambda: f"{name} of {service} is 0, saw {total(name, service, role)}; "
                       f"{agent().losses()}")


@test
def finds_connections_that_were_open_before_it():
    agent()
    for service, role in (("conn-before-server", "server"), ("conn-before-client", "client")):
        expect("connections_active", service, 23, role)
    shared["held"].go()
    shared["held"].finish()
    for service, role in (("conn-before-server", "server"), ("conn-before-client", "client")):
        gone("connections_active", service, role)
        expect("connections_closed_total", service, 23, role)


@test
def counts_opened_and_closed_connections_in_both_roles():
    agent()
    server = Server("conn-server")
    run_client("conn-client", server.port, "--each", "run", 97)
    for service, role in (("conn-server", "server"), ("conn-client", "client")):
        expect("connections_opened_total", service, 97, role, server_port=server.port)
        expect("connections_closed_total", service, 97, role, server_port=server.port)
        gone("connections_active", service, role)
        expect("connection_duration_seconds_count", service, 97, role)
    expect("connect_duration_seconds_count", "conn-client", 97)


@test
def shows_active_connections_while_they_are_open():
    agent()
    server = Server("conn-active-server", "--ipv6")
    held = Client("conn-active-client", server.port, "--host", "::1", "--connections", 23, "--hold",
                  "run", 1)
    held.event("done")
    for service, role in (("conn-active-server", "server"), ("conn-active-client", "client")):
        expect("connections_active", service, 23, role)
        expect("connections_closed_total", service, 0, role)
    held.finish()
    for service, role in (("conn-active-server", "server"), ("conn-active-client", "client")):
        gone("connections_active", service, role)


@test
def counts_refused_connects_by_reason():
    agent()
    port = free_port()
    summary = run_client("conn-refused", port, "--connections", 23, "run", 1)
    check(summary["refused"] >= 23, "the connects were refused")
    refused = summary["refused"]
    expect("connect_failures_total", "conn-refused", refused, reason="refused", server_port=port)
    expect("connect_failures_total", "conn-refused", refused)
    expect("connections_opened_total", "conn-refused", 0)
    gone("connections_active", "conn-refused")


@test
def counts_connects_that_time_out():
    agent()
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    port = full.getsockname()[1]
    first = socket.create_connection(("127.0.0.1", port))  # fills the backlog
    script = ("import socket, sys\n"
              "s = socket.socket()\n"
              "s.setsockopt(socket.IPPROTO_TCP, socket.TCP_SYNCNT, 1)\n"
              "try:\n    s.connect(('127.0.0.1', int(sys.argv[1])))\n"
              "except TimeoutError:\n    sys.exit(5)\n")
    callers = [start([sys.executable, "-c", script, str(port)], env=environment_of("conn-timeout"))
               for _ in range(3)]
    results = [caller.wait(60) for caller in callers]
    check_equal(results, [5, 5, 5], "the connects timed out")
    expect("connect_failures_total", "conn-timeout", 3, reason="timeout", server_port=port)
    expect("connect_failures_total", "conn-timeout", 3)
    first.close()
    full.close()


@test
def counts_every_byte_of_both_directions():
    agent()
    server = Server("conn-bytes-server")
    size = 20 << 20
    run_client("conn-bytes-client", server.port, "--method", "POST", "--body", size, "--path",
               f"/bytes/{2 * size}", "--each", "run", 3)
    for service, role in (("conn-bytes-server", "server"), ("conn-bytes-client", "client")):
        expect("connections_closed_total", service, 3, role)
    up = total("bytes_total", "conn-bytes-client", "client", direction="sent")
    down = total("bytes_total", "conn-bytes-client", "client", direction="received")
    check_between(up, 3 * size, 3 * size + 3000, "bytes the client sent")
    check_between(down, 6 * size, 6 * size + 3000, "bytes the client received")
    check_equal(total("bytes_total", "conn-bytes-server", "server", direction="received"), up,
                "bytes the server received")
    check_equal(total("bytes_total", "conn-bytes-server", "server", direction="sent"), down,
                "bytes the server sent")


@test
def times_connects_lives_and_round_trips():
    agent()
    server = Server("conn-times-server")
    run_client("conn-times-client", server.port, "--each", "--path", "/sleep/50000", "run", 7)
    expect("connections_closed_total", "conn-times-client", 7)
    metrics = agent().metrics()
    connect = metrics.mean("plimsoll_tcp_connect_duration_seconds",
                           service_name="conn-times-client")
    life = metrics.mean("plimsoll_tcp_connection_duration_seconds",
                        service_name="conn-times-client")
    check_between(connect, 1e-6, 0.005 if not EMULATED else 1, "mean time to connect")
    check_between(life, 0.05, 0.06 if not EMULATED else 2, "mean life time")
    check(metrics.sum("plimsoll_tcp_rtt_seconds_count", service_name="conn-times-client") > 0,
          "round trips are measured")


@test
def counts_connections_a_reset_ended():
    agent()
    server = Server("conn-reset-server")
    run_client("conn-reset-client", server.port, "--each", "--path", "/reset", "run", 23)
    for service, role in (("conn-reset-server", "server"), ("conn-reset-client", "client")):
        expect("connections_opened_total", service, 23, role)
        expect("connections_closed_total", service, 23, role)
        gone("connections_active", service, role)


@test
def counts_connections_of_short_lived_processes():
    agent()
    server = Server("conn-brief-server")
    run_client("conn-brief-client", server.port, "--strict", "spawn", 97)
    for service, role in (("conn-brief-server", "server"), ("conn-brief-client", "client")):
        expect("connections_opened_total", service, 97, role)
        expect("connections_closed_total", service, 97, role)


# The loopback of a network namespace of its own goes away for a while in the middle of answers.
OUTAGE = """
set -e
ip link set lo up
"$0" --port 18099 >/dev/null & server=$!
until "$1" --port 18099 --strict run 1 >/dev/null; do :; done
"$1" --port 18099 --path /split/40/20 --connections 7 --strict run 1 >/dev/null & client=$!
sleep 0.2
ip link set lo down
sleep 0.4
ip link set lo up
wait $client
awk '/^Tcp:/ && seen++ { print $13 }' /proc/net/snmp
kill $server
"""


@test
def counts_as_many_retransmits_as_the_kernel():
    agent()
    process = start(["unshare", "-n", "sh", "-c", OUTAGE, tool("http_server"),
                     tool("http_client")], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    env=environment_of("conn-outage"), text=True)
    output, errors = process.communicate(timeout=60 * PATIENCE)
    if "not found" in errors or "unshare" in errors:
        raise Skip(f"no network namespace with a loopback here: {errors.strip()}")
    check_equal(process.returncode, 0, f"exit status of the outage ({errors})")
    true = int(output.split()[-1])
    check(true > 0, "the kernel sent again")
    expect("retransmits_total", "conn-outage", true)


@test
def says_which_rung_it_took():
    check(agent().rung("net/tcp_conn"), "plimsoll_probe_info names the rung of net/tcp_conn")
    check_equal(agent().metrics().sum("plimsoll_probe_up", probe="net/tcp_conn"), 1, "probe_up")


@test
def leaves_with_exit_status_0():
    check_equal(agent().stop(), 0, "exit status of the agent")


main()
