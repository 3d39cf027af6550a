#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The agent as a process: start, refusal to start, signals, reload, health, command line."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path[0] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")

from harness import (AGENT, PATIENCE, ROOT, Agent, Client, Metrics, Server, Skip,  # noqa: E402
                     check, check_between, check_equal, doctor, environment_of, free_port, get,
                     main, named, run_client, start, temporary, test, wait_until)


def run_agent(*arguments, seconds=10, **options):
    """(exit status, everything it said) of a call that is expected to end by itself."""
    process = start([AGENT, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT, text=True, **options)
    try:
        output, _ = process.communicate(timeout=seconds * PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, output


def attached_programs():
    """Ids of every BPF program in the kernel."""
    done = subprocess.run(["bpftool", "-j", "prog", "show"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=30)
    if done.returncode:
        raise Skip(f"bpftool prog show: {done.stderr.decode().strip()}")
    return {row["id"] for row in json.loads(done.stdout or b"[]") or []}


def no_new_programs(before):
    wait_until(lambda: attached_programs() <= before,
               lambda: f"programs {attached_programs() - before} are gone")


# ---- signals ----

def ends_cleanly_on(number):
    before = attached_programs()
    agent = Agent()
    check(attached_programs() > before, "the agent attached programs")
    server = Server("signal-server")
    client = Client("signal-client", server.port, "--path", "/gate", "--connections", 7, "run", 1)
    sent = time.monotonic()
    agent.process.send_signal(number)
    agent.process.wait(10 * PATIENCE)
    check_between(time.monotonic() - sent, 0, 2 * PATIENCE, "seconds to exit with open requests")
    check_equal(agent.process.returncode, 0, "exit status")
    no_new_programs(before)
    server.process.send_signal(signal.SIGUSR1)
    check_equal(client.finish()["responses"], 7, "answers after the agent left")
    server.stop()


@test
def sigterm_ends_it_within_two_seconds_and_leaves_nothing_attached():
    ends_cleanly_on(signal.SIGTERM)


@test
def sigint_ends_it_within_two_seconds_and_leaves_nothing_attached():
    ends_cleanly_on(signal.SIGINT)


@test
def kill_9_leaves_nothing_attached():
    before = attached_programs()
    agent = Agent()
    check(attached_programs() > before, "the agent attached programs")
    agent.process.kill()
    agent.process.wait()
    no_new_programs(before)


# ---- refusals ----

@test
def a_port_in_use_ends_it_with_a_word_about_the_address():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, output = run_agent("agent", "--listen", address)
    check(status not in (0, 2) and status > 0, f"a failing exit status, saw {status}")
    check(address in output and "in use" in output.lower(), f"says why, saw {output!r}")


@test
def without_root_it_says_what_it_needs():
    program = temporary("plimsoll")
    with open(AGENT, "rb") as source, open(program, "wb") as copy:
        copy.write(source.read())
    os.chmod(program, 0o755)
    os.chmod(os.path.dirname(program), 0o755)
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program,
                           "agent", "--listen", f"127.0.0.1:{free_port()}"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=10)
    check(done.returncode > 0, f"a failing exit status, saw {done.returncode}")
    check(re.search(r"root|CAP_BPF", done.stdout), f"names the right it lacks, saw {done.stdout!r}")


@test
def a_config_that_is_missing_or_wrong_ends_it_with_status_2():
    status, output = run_agent("agent", "--config", "/nonexistent/plimsoll.yaml")
    check_equal(status, 2, "exit status")
    check("/nonexistent/plimsoll.yaml" in output, f"names the file, saw {output!r}")
    path = temporary("bad.yaml", "listen: 127.0.0.1:9\nbudgets:\n  - name: x\n"
                                 "    p95_response_time_ms: {target: fast}\n")
    for command in ("agent", "check-config"):
        arguments = ("--config", path) if command == "agent" else (path,)
        status, output = run_agent(command, *arguments)
        check_equal(status, 2, f"exit status of {command}")
        check(re.search(r"bad\.yaml:4\b", output) and "target" in output,
              f"{command} names file, line and key, saw {output!r}")


@test
def an_unknown_option_or_rung_ends_it_with_a_word():
    for arguments in (("agent", "--no-such-option"), ("no-such-command",),
                      ("agent", "--rung", "net/request=nonsense"),
                      ("agent", "--rung", "no/such=fentry"), ("agent", "--listen", "nonsense")):
        status, output = run_agent(*arguments)
        check(status > 0 and output.strip(), f"{arguments}: status {status}, said {output!r}")


@test
def monitoring_switched_off_ends_it_cleanly():
    status, _ = run_agent("agent", env={**environment_of(""), "MONITORING_ENABLED": "false"})
    check_equal(status, 0, "exit status")


# ---- command line ----

@test
def help_and_version_answer_without_starting_anything():
    for arguments, wanted in ((("--help",), "agent"), (("agent", "--help"), "--listen"),
                              (("version",), "plimsoll"), (("doctor", "--help"), "doctor")):
        status, output = run_agent(*arguments)
        check_equal(status, 0, f"exit status of {arguments}")
        check(wanted in output, f"{arguments} says {wanted}, saw {output!r}")


@test
def doctor_lists_every_rung_and_why_not():
    rows = doctor()
    seen = {(row["probe"], row["rung"]) for row in rows}
    for rung in ("fentry", "kprobe", "tracepoint"):
        check(("net/request", rung) in seen, f"net/request {rung} is listed")
    check(any(row["probe"] == "net/tcp_conn" for row in rows), "net/tcp_conn is listed")
    for row in rows:
        check(isinstance(row["available"], bool), f"available is a bool in {row}")
        check(row["available"] or row.get("reason"), f"a reason stands in {row}")
    status, output = run_agent("doctor")
    check_equal(status, 0, "exit status of doctor")
    check(os.uname().release in output and "net/request" in output, "it names kernel and probe")


@test
def doctor_leaves_nothing_attached():
    before = attached_programs()
    run_agent("doctor")
    no_new_programs(before)


@test
def the_shipped_configurations_are_valid():
    folder = os.path.join(ROOT, "deploy", "config")
    names = sorted(os.listdir(folder))
    check("plimsoll.yaml" in names, "deploy/config/plimsoll.yaml is shipped")
    for name in names:
        status, output = run_agent("check-config", os.path.join(folder, name))
        check_equal(status, 0, f"exit status for {name} ({output})")


# ---- reload ----

def route_counts(agent, service):
    return agent.metrics().requests(service, "server")


@test
def sighup_takes_a_good_config_and_keeps_the_old_one_against_a_bad_one():
    budget = ("budgets:\n  - name: {name}\n    service: reload-*\n    window: 5 s\n"
              "    min_requests: 3\n    p95_response_time_ms: {{target: {limit}, "
              "warning: {limit}, critical: {limit}}}\n")
    agent = Agent(config=budget.format(name="first", limit=5000))
    server = Server("reload-server")

    def budgets():
        run_client("reload-client", server.port, "run", 5)
        return {labels["budget"] for labels, _ in agent.metrics().select("plimsoll_budget_state")
                if labels.get("service_name", labels.get("service")) == named("reload-server")}

    def has(name):
        return lambda: any(name in budget for budget in budgets())

    wait_until(has("first"), lambda: f"the first budget, saw {budgets()}")
    temporary(os.path.basename(agent.config_path), budget.format(name="second", limit=4000))
    agent.process.send_signal(signal.SIGHUP)
    wait_until(has("second"), lambda: f"the second budget, saw {budgets()}")
    check(not has("first")(), f"the first budget is gone, saw {budgets()}")
    temporary(os.path.basename(agent.config_path), "budgets:\n  - name: [\n")
    agent.process.send_signal(signal.SIGHUP)
    wait_until(lambda: re.search(r"agent\.\d+\.yaml:\d+", agent.log()),
               lambda: f"the log names file and line, saw {agent.log()[-1000:]}")
    check(has("second")(), f"the second budget is kept, saw {budgets()}")
    check_equal(get(agent.port, "/health/ready")[0], 200, "/health/ready")
    check_equal(agent.stop(), 0, "exit status")
    server.stop()


# ---- health and /metrics ----

@test
def health_answers_for_machines():
    agent = Agent()
    for path in ("/health", "/health/ready", "/health/live"):
        started = time.monotonic()
        status, _, body = get(agent.port, path)
        check_equal(status, 200, f"status of {path}")
        check_between(time.monotonic() - started, 0, 0.1 * PATIENCE, f"seconds {path} took")
        if path == "/health":
            answer = json.loads(body)
            check(answer.get("status") or answer.get("overall_status"), f"a status in {answer}")
    check_equal(get(agent.port, "/nonsense")[0], 404, "status of an unknown path")
    check_equal(agent.stop(), 0, "exit status")


@test
def metrics_are_clean_for_promtool_in_every_form():
    agent = Agent()
    server = Server("promtool-server")
    run_client("promtool-client", server.port, "--path", "/x", "run", 23)
    run_client("promtool-client", server.port, "--path", "/reset", "--each", "run", 3)
    run_client("promtool-client", server.port, "--path", "/websocket", "upgrade", "websocket", 1, 9)
    agent.expect_requests("promtool-server", "server",
                          {**{("GET", "/x", "200"): 23}, **{
                              key: count for key, count in route_counts(agent, "promtool-server")
                              .items() if key[1] != "/x"}})
    text = get(agent.port, "/metrics")[2]
    done = subprocess.run(["promtool", "check", "metrics"], input=text, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=30)
    check(done.returncode == 0 and not done.stdout.strip(),
          f"promtool check metrics: {done.stdout.decode()}")
    status, headers, zipped = get(agent.port, "/metrics", {"Accept-Encoding": "gzip"})
    check_equal(headers["Content-Encoding"], "gzip", "Content-Encoding")
    Metrics(zipped.decode()).check_lines()
    status, headers, body = get(agent.port, "/metrics",
                                {"Accept": "application/openmetrics-text;version=1.0.0"})
    check("openmetrics" in headers["Content-Type"], f"OpenMetrics, saw {headers['Content-Type']}")
    check(body.endswith(b"# EOF\n"), "OpenMetrics ends with # EOF")
    check_equal(agent.stop(), 0, "exit status")
    server.stop()


@test
def hostile_scrapers_do_not_stop_it():
    agent = Agent()
    sockets = []
    for number in range(300):
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(("127.0.0.1", agent.port))
        sockets.append(connection)
    for number, connection in enumerate(sockets):
        try:
            connection.send((b"GET /metrics HTTP/1.1\r\nX: ", b"A" * 70000, b"\x00\xff\r\n\r\n")
                            [number % 3])
        except OSError:
            pass  # the agent may refuse
    for connection in sockets:
        connection.close()
    server = Server("scraped-server")
    run_client("scraped-client", server.port, "--path", "/x", "run", 23)
    agent.expect_requests("scraped-server", "server", {("GET", "/x", "200"): 23})
    check_equal(agent.stop(), 0, "exit status")
    server.stop()


main()
