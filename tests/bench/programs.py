# SPDX-License-Identifier: GPL-2.0-only
"""What the bench starts: nginx, wrk, our own load and slow server, the agent; and what it reads of
them. Servers run on CPU 0, clients on CPU 1, the agent where the kernel likes."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
from harness import (Agent, Failure, Metrics, ROOT, at_end, check, doctor,  # noqa: E402
                     environment_of, free_port, port_answers, start, stop, temporary, wait_until)

TOOLS = os.path.join(ROOT, "build", "bench")
HERE = os.path.dirname(os.path.abspath(__file__))
STATS = "/proc/sys/kernel/bpf_stats_enabled"


def pinned(cpu, *arguments):
    if (os.cpu_count() or 1) < 2:
        return list(arguments)
    return ["taskset", "-c", str(cpu), *[str(argument) for argument in arguments]]


class Nginx:
    """One worker that answers every path with `body` bytes."""

    def __init__(self, body=1024):
        self.port = free_port()
        folder = temporary(f"nginx.{self.port}")
        os.mkdir(folder)
        with open(os.path.join(HERE, "nginx.conf")) as file:
            text = file.read()
        for key, value in (("PORT", self.port), ("FOLDER", folder), ("BODY", "x" * body)):
            text = text.replace(f"@{key}@", str(value))
        config = temporary(f"nginx.{self.port}.conf", text)
        self.process = start(pinned(0, "nginx", "-p", folder, "-c", config),
                             env=environment_of("bench-nginx"), stdin=subprocess.DEVNULL)
        at_end(lambda: stop(self.process))  # the worker goes with the master
        wait_until(lambda: port_answers(self.port), "nginx answers")


class SlowServer:
    def __init__(self, microseconds):
        self.process = start(pinned(0, os.path.join(TOOLS, "slow_server"), microseconds),
                             env=environment_of("bench-slow"), stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        check(line.startswith("listening "), f"slow_server said {line!r}")
        self.port = int(line.split()[1])


_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}


def wrk(port, seconds, connections=32):
    """{requests, rate, p50_us, p99_us}; wrk counts whole seconds, so it is told when to stop."""
    process = start(pinned(1, "wrk", "-t1", f"-c{connections}", f"-d{int(seconds) + 30}s",
                           "--latency", f"http://127.0.0.1:{port}/"),
                    env=environment_of("bench-wrk"), stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(seconds)
    finally:
        process.send_signal(signal.SIGINT)
    try:
        text = process.communicate(timeout=30)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise Failure("wrk does not stop") from None
    requests = re.search(r"^\s*(\d+) requests in", text, re.M)
    rate = re.search(r"^Requests/sec:\s+([\d.]+)", text, re.M)
    check(requests and rate, f"wrk said:\n{text}")
    check("Non-2xx" not in text and "Socket errors" not in text, f"wrk said:\n{text}")
    result = {"requests": int(requests.group(1)), "rate": float(rate.group(1))}
    for percent, number, unit in re.findall(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)", text, re.M):
        result[f"p{percent}_us"] = float(number) * _UNITS[unit]
    return result


def _load_command(port, options):
    command = pinned(1, os.path.join(TOOLS, "load"), "--port", port)
    for key, value in options.items():
        command += [f"--{key}"] if value is True else [f"--{key}", str(value)]
    return command


def load(port, seconds_allowed=120, **options):
    """tests/bench/load.c to its end; its summary."""
    done = subprocess.run(_load_command(port, options), stdin=subprocess.DEVNULL,
                          env=environment_of("bench-load"), stdout=subprocess.PIPE,
                          timeout=seconds_allowed)
    check(done.returncode == 0, f"load {options} ended with {done.returncode}")
    return json.loads(done.stdout)


class Load:
    """The same in the background, until stop()."""

    def __init__(self, port, **options):
        self.process = start(_load_command(port, options), env=environment_of("bench-load"),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def line(self):
        return json.loads(self.process.stdout.readline() or "{}")

    def stop(self):
        stop(self.process)


def cpu_seconds(process):
    """Of all its threads, in nanosecond steps (stat has hundredths)."""
    total = 0
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        with open(f"/proc/{process.pid}/task/{thread}/schedstat") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def resident_mib(process):
    with open(f"/proc/{process.pid}/status") as file:
        return int(re.search(r"^VmRSS:\s+(\d+)", file.read(), re.M).group(1)) / 1024


def peak_mib(process):
    with open(f"/proc/{process.pid}/status") as file:
        return int(re.search(r"^VmHWM:\s+(\d+)", file.read(), re.M).group(1)) / 1024


def _sum_of_fds(process, kind, key):
    """The kernel says what a BPF map or program costs with each descriptor of it."""
    found = {}
    for fd in os.listdir(f"/proc/{process.pid}/fdinfo"):
        try:
            with open(f"/proc/{process.pid}/fdinfo/{fd}") as file:
                text = file.read()
        except OSError:
            continue
        number = re.search(rf"^{kind}_id:\s+(\d+)", text, re.M)
        value = re.search(rf"^{key}:\s+(\d+)", text, re.M)
        if number and value:
            found[number.group(1)] = int(value.group(1))
    return sum(found.values())


def kernel_map_mib(process):
    return _sum_of_fds(process, "map", "memlock") / 2**20


def bpf_run_ns(process):
    return _sum_of_fds(process, "prog", "run_time_ns")


def scrape(agent, headers=None, seconds=120):
    """(seconds, bytes, samples, Metrics of our own lines): a big answer is never held whole."""
    connection = http.client.HTTPConnection("127.0.0.1", agent.port, timeout=seconds)
    began = time.monotonic()
    size = samples = 0
    kept, rest = [], b""
    try:
        connection.request("GET", "/metrics", headers=headers or {})
        response = connection.getresponse()
        check(response.status == 200, f"/metrics answered {response.status}")
        while chunk := response.read(1 << 20):
            size += len(chunk)
            if headers:
                continue
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                samples += line[:1] != b"#"
                if line.startswith(b"plimsoll_") and b"_bucket" not in line:
                    kept.append(line)
    finally:
        connection.close()
    return (time.monotonic() - began, size, samples,
            Metrics("\n".join(line.decode() for line in kept)))


def bpf_stats(enabled):
    with open(STATS, "w") as file:
        file.write("1" if enabled else "0")


class BpfStats:
    """with BpfStats(): the kernel counts run times; as it was before afterwards."""

    def __enter__(self):
        with open(STATS) as file:
            before = file.read().strip() != "0"
        self.restore = lambda: bpf_stats(before)
        at_end(self.restore)
        bpf_stats(True)

    def __exit__(self, *_):
        self.restore()


def program_ns(agent):
    """{program: nanoseconds} of net/request, once the agent has read them anew."""
    time.sleep(1.3)
    metrics = scrape(agent)[3]
    return {labels["program"]: value * 1e9 for labels, value
            in metrics.select("plimsoll_program_run_seconds_total", probe="net/request")}


def doctor_rungs():
    """Of net/request, those that work here, best first."""
    return [row["rung"] for row in doctor() if row["probe"] == "net/request" and row["available"]]


def start_agent(rung, config=None):
    return Agent(f"--rung=net/request={rung}", config=config)
