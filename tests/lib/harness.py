# SPDX-License-Identifier: GPL-2.0-only
"""What every Python test stands on: TAP output, programs that never outlive the test, waiting for
a condition with a deadline, the agent as a process, and /metrics as numbers.

A test program registers functions with @test and ends with main(). Only the standard library is
used: the same files run inside minimal guests."""

import atexit
import gzip
import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
AGENT = os.environ.get("PLIMSOLL_AGENT", os.path.join(ROOT, "build", "plimsoll"))
TOOLS = os.environ.get("PLIMSOLL_TOOLS", os.path.join(ROOT, "build", "tests", "lib"))
WORK = tempfile.mkdtemp(prefix="plimsoll-test-")


def is_emulated():
    """Under QEMU without KVM: counts hold, times mean nothing."""
    with open("/proc/cpuinfo") as file:
        return "TCG" in file.read()


EMULATED = is_emulated()
PATIENCE = 6 if EMULATED else 1  # deadlines are stretched by this


class Skip(Exception):
    """The test cannot run here; the text says what is missing."""


class Failure(Exception):
    """A promise was not kept; the text says what was expected and what was seen."""


# ---- TAP ----

_tests = []
_cleanups = []


def test(function):
    _tests.append((function.__name__.replace("_", " "), function))
    return function


def add_test(name, function):
    _tests.append((name, function))


def _run_one(number, name, function):
    started = time.monotonic()
    try:
        function()
        print(f"ok {number} - {name}")
        passed = True
    except Skip as skip:
        print(f"ok {number} - {name} # SKIP {skip}")
        passed = True
    except Exception as error:  # a broken test is a failed test, the others still run
        text = str(error) if isinstance(error, Failure) else traceback.format_exc()
        for line in text.splitlines():
            print(f"# {line}")
        print(f"not ok {number} - {name}")
        passed = False
    if os.environ.get("PLIMSOLL_TIMES"):
        print(f"# {time.monotonic() - started:.2f} s")
    sys.stdout.flush()
    return passed


def main():
    """Runs what was registered; arguments select tests by a part of their name."""
    if os.geteuid() != 0:
        print("1..0 # SKIP needs root")
        return
    for path in (AGENT, os.path.join(TOOLS, "http_server")):
        if not os.access(path, os.X_OK):
            print(f"Bail out! {path} is missing: run make build unit first")
            sys.exit(1)
    selected = [(name, function) for name, function in _tests
                if not sys.argv[1:] or any(part in name for part in sys.argv[1:])]
    print(f"1..{len(selected)}")
    failed = 0
    for number, (name, function) in enumerate(selected, 1):
        failed += not _run_one(number, name, function)
    sys.exit(1 if failed else 0)


def check(condition, text):
    if not condition:
        raise Failure(text)


def check_equal(seen, expected, what):
    if seen != expected:
        raise Failure(f"{what}: expected {expected!r}, saw {seen!r}")


def check_between(seen, low, high, what):
    if not low <= seen <= high:
        raise Failure(f"{what}: expected {low:g} to {high:g}, saw {seen:g}")


def wait_until(condition, what, seconds=5.0):
    """Returns the first true value of condition(); `what` may be a function that explains."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise Failure(f"waited {seconds * PATIENCE:g} s for: {text}")
        time.sleep(0.02)


# ---- programs ----

def at_end(function):
    _cleanups.append(function)


def _clean_up():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for function in reversed(_cleanups):
        try:
            function()
        except Exception as error:
            print(f"# at the end: {error}")
    shutil.rmtree(WORK, ignore_errors=True)


atexit.register(_clean_up)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def temporary(name, content=None):
    path = os.path.join(WORK, name)
    if content is not None:
        with open(path, "wb" if isinstance(content, bytes) else "w") as file:
            file.write(content)
    return path


def tool(name):
    return os.path.join(TOOLS, name)


def named(service):
    """The name a service really has: another run of the same test may be going on."""
    suffix = f".{os.getpid()}"
    return service if service.endswith(suffix) else service + suffix


def environment_of(service):
    environment = dict(os.environ)
    environment.pop("OTEL_SERVICE_NAME", None)
    environment.pop("OTEL_RESOURCE_ATTRIBUTES", None)
    if service:
        environment["OTEL_SERVICE_NAME"] = named(service)
    return environment


def start(arguments, **options):
    """A process that is killed at the end at the latest."""
    process = subprocess.Popen([str(argument) for argument in arguments], **options)

    def kill():
        # asked first: a killed master leaves its workers behind, and they hold our output open
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    at_end(kill)
    return process


def stop(process, seconds=5.0):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def port_answers(port, host="127.0.0.1"):
    try:
        socket.create_connection((host, port), 1).close()
        return True
    except OSError:
        return False


# ---- our own server and client ----

class Server:
    """tests/lib/http_server under a service name of its own."""

    number = 0

    def __init__(self, service, *arguments, program=None):
        Server.number += 1
        self.service = service
        self.truth_path = temporary(f"truth.{Server.number}")
        self.process = start(
            [program or tool("http_server"), "--truth", self.truth_path, *arguments],
            env=environment_of(service), stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        check(line.startswith("listening "), f"http_server said {line!r}")
        self.port = int(line.split()[1])

    def truth(self):
        """[(method, path, status, seconds inside the server, body in, body out)]"""
        if not os.path.exists(self.truth_path):
            return []
        with open(self.truth_path) as file:
            rows = [line.split() for line in file]
        return [(row[0], row[1], int(row[2]), (int(row[4]) - int(row[3])) / 1e9, int(row[5]),
                 int(row[6])) for row in rows]

    def stop(self):
        stop(self.process)


def _client_arguments(port, arguments):
    return [tool("http_client"), "--port", str(port), *[str(part) for part in arguments]]


def run_client(service, port, *arguments, seconds=60):
    """Runs tests/lib/http_client to its end; returns its summary."""
    done = subprocess.run(_client_arguments(port, arguments), env=environment_of(service),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          timeout=seconds * PATIENCE)
    check_equal(done.returncode, 0, "exit status of http_client")
    return json.loads(done.stdout.splitlines()[-1])


class Client:
    """An http_client that waits (--wait) or holds its connections (--hold) until told."""

    def __init__(self, service, port, *arguments):
        self.process = start(_client_arguments(port, arguments), env=environment_of(service),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def event(self, name):
        watchdog = threading.Timer(30 * PATIENCE, self.process.kill)
        watchdog.start()
        line = json.loads(self.process.stdout.readline() or "{}")
        watchdog.cancel()
        check_equal(line.get("event"), name, "event of http_client")
        return line

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self):
        self.process.stdin.close()
        summary = self.event("summary")
        self.process.wait()
        return summary


# ---- numbers ----

_SAMPLE = re.compile(r"^[a-zA-Z_:][\w:]*(?:\{.*\})? \S+(?: .*)?$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One scrape; lines are parsed when they are asked for."""

    def __init__(self, text):
        self.text = text
        self.parsed = {}

    def check_lines(self):
        for line in self.text.splitlines():
            check(not line or line.startswith("#") or _SAMPLE.match(line),
                  f"not a sample: {line!r}")

    def samples(self, name):
        if name not in self.parsed:
            self.parsed[name] = [
                (dict(_LABEL.findall(labels)), float(value)) for labels, value
                in re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)", self.text, re.M)]
        return self.parsed[name]

    def select(self, name, **wanted):
        if "service_name" in wanted:
            wanted["service_name"] = named(wanted["service_name"])
        return [(labels, value) for labels, value in self.samples(name)
                if all(labels.get(key, "") == str(text) for key, text in wanted.items())]

    def sum(self, name, **wanted):
        return sum(value for _, value in self.select(name, **wanted))

    def requests(self, service, role):
        """{(method, route, status or error): count}, without what is zero."""
        counts = {}
        family = f"http_{role}_request_duration_seconds_count"
        for labels, value in self.select(family, service_name=service):
            outcome = labels.get("http_response_status_code") or labels.get("error_type", "none")
            key = (labels.get("http_request_method"), labels.get("http_route"), outcome)
            if value:
                counts[key] = counts.get(key, 0) + int(value)
        return counts

    def mean(self, family, **wanted):
        count = self.sum(family + "_count", **wanted)
        return self.sum(family + "_sum", **wanted) / count if count else math.nan

    def losses(self, service):
        return {labels["reason"]: int(value) for labels, value
                in self.select("plimsoll_losses_total", service_name=service) if value}


def quantile(values, q):
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def get(port, path, headers=None, host="127.0.0.1", seconds=10):
    """(status, headers, body as bytes)"""
    connection = http.client.HTTPConnection(host, port, timeout=seconds * PATIENCE)
    try:
        connection.request("GET", path, headers=headers or {})
        response = connection.getresponse()
        body = response.read()
        if response.getheader("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        return response.status, response.headers, body
    finally:
        connection.close()


# ---- the agent ----

class Agent:
    """plimsoll agent as a process; ready when the constructor returns."""

    number = 0

    def __init__(self, *arguments, config=None, log_format="json", wait_ready=True,
                 environment=None):
        Agent.number += 1
        self.port = free_port()
        self.log_path = temporary(f"agent.{Agent.number}.log")
        self.expectations = []
        command = [AGENT, "agent", "--listen", f"127.0.0.1:{self.port}",
                   "--log-format", log_format, *arguments]
        if config is not None:
            self.config_path = temporary(f"agent.{Agent.number}.yaml", config)
            command += ["--config", self.config_path]
        with open(self.log_path, "wb") as log:
            self.process = start(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 env={**environment_of("plimsoll-agent"), **(environment or {})})
        if wait_ready:
            wait_until(self.is_ready, self._why_not_ready, 15)

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def is_ready(self):
        check(self.process.poll() is None,
              f"the agent ended with {self.process.returncode}:\n{self.log()[-2000:]}")
        try:
            return get(self.port, "/health/ready")[0] == 200
        except OSError:
            return False

    def _why_not_ready(self):
        return f"/health/ready is 200; the log says:\n{self.log()[-2000:]}"

    def metrics(self, headers=None):
        status, _, body = get(self.port, "/metrics", headers)
        check_equal(status, 200, "status of /metrics")
        return Metrics(body.decode())

    def rung(self, probe="net/request"):
        rungs = [labels["rung"] for labels, value
                 in self.metrics().select("plimsoll_probe_info", probe=probe) if value]
        return rungs[0] if rungs else None

    def expect_requests(self, service, role, expected, seconds=5.0):
        self.expect_all([(service, role, expected)], seconds)

    def expect_all(self, expectations, seconds=5.0):
        """Exactly these requests, no more and no other, now and when audit() asks again. One
        scrape serves all: scrapes are what takes time in an emulated machine."""
        seen = []

        def arrived():
            metrics = self.metrics()
            seen[:] = [metrics.requests(service, role) for service, role, _ in expectations]
            return all(sum(counts.values()) >= sum(expected.values())
                       for counts, (_, _, expected) in zip(seen, expectations))

        def explain():
            return "\n".join(f"{service} ({role}) has {expected}, saw {counts}, "
                             f"losses {self.metrics().losses(service)}"
                             for counts, (service, role, expected) in zip(seen, expectations)
                             if counts != expected)

        wait_until(arrived, explain, seconds)
        if seen != [expected for _, _, expected in expectations]:
            raise Failure(explain())
        self.expectations.extend(expectations)

    def audit(self):
        """Nothing was counted again, late, or under another name."""
        metrics = self.metrics()
        wrong = [f"{service} ({role}): expected {expected}, now {metrics.requests(service, role)}"
                 for service, role, expected in self.expectations
                 if metrics.requests(service, role) != expected]
        check(not wrong, "\n".join(wrong))

    def losses(self):
        """{reason or program: count} of what the agent says it did not see."""
        metrics, found = self.metrics(), {}
        for family, label in (("plimsoll_losses_total", "reason"),
                              ("plimsoll_program_misses_total", "program")):
            for labels, value in metrics.select(family):
                if value:
                    found[labels[label]] = found.get(labels[label], 0) + int(value)
        return found

    def stop(self, seconds=10.0):
        return stop(self.process, seconds)


_doctor = []


def doctor():
    """[{"probe":, "rung":, "available":, "reason":}], asked once."""
    if not _doctor:
        done = subprocess.run([AGENT, "doctor", "--json"], stdout=subprocess.PIPE,
                              timeout=60 * PATIENCE)
        answer = json.loads(done.stdout)
        rows = answer if isinstance(answer, list) else answer.get("probes", answer.get("rungs"))
        check(isinstance(rows, list) and rows, f"doctor --json: no list of rungs in {answer!r}")
        _doctor.extend(rows)
    return _doctor


def why_no_rung(rung, probe="net/request"):
    """None: it can be tested. Otherwise the reason."""
    forced = os.environ.get("PLIMSOLL_RUNG")
    if forced and forced != rung:
        return f"PLIMSOLL_RUNG={forced}"
    for row in doctor():
        if row["probe"] == probe and row["rung"] == rung:
            return None if row["available"] else row["reason"]
    return "doctor does not list it"
