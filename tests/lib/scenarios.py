# SPDX-License-Identifier: GPL-2.0-only
"""What a request is: one scenario per meaning, each with exact counts in both roles.

A scenario gets a World (an agent on one rung) and uses service names of its own, so that all of
them share one agent. `expect` compares everything the agent has under a service and role: a
request too many, or under another route, fails as surely as one too few."""

import math
import os
import shutil
import signal
import subprocess
import time

from harness import (EMULATED, Client, Failure, Server, Skip, check, check_between, check_equal,
                     environment_of, named, quantile, run_client, start, stop, temporary, tool,
                     wait_until)

SCENARIOS = []
MEGABYTE = 1 << 20
EMULATED_TRIES = 3
BIG = (10 if EMULATED else 100) * MEGABYTE


def scenario(function):
    SCENARIOS.append(function)
    return function


def of_bytes(function):
    """Depends on what the bytes are, not on how they were moved: the same on every rung."""
    function.of_bytes = True
    return function


class World:
    """An agent, the rung it is on, and names nobody else uses."""

    def __init__(self, agent, rung):
        self.agent = agent
        self.rung = rung
        self.servers = []
        self.repeated = 0  # part of every name after it

    def run(self, scenario):
        """An emulated machine is so slow that the kernel skips programs (decision 0008): a scenario
        that fails there is repeated if the agent says that it missed something meanwhile. Numbers
        that are wrong without a word fail at once."""
        for left in range(EMULATED_TRIES - 1 if EMULATED else 0, -1, -1):
            before, kept = self.agent.losses(), len(self.agent.expectations)
            try:
                scenario(self)
                return
            except Failure as failure:
                after = self.agent.losses()
                if not left or after == before:
                    raise
                print(f"# once more, the agent missed something ({before} before, {after} now): "
                      f"{failure}".replace("\n", "; "), flush=True)
                del self.agent.expectations[kept:]
                self.repeated += 1
            finally:
                while self.servers:
                    self.servers.pop().stop()

    def name(self, what):
        again = f"-{self.repeated}" if self.repeated else ""
        return f"{self.rung}{again}-{what}"

    def server(self, what, *arguments, **options):
        self.servers.append(Server(self.name(what) + "-server", *arguments, **options))
        return self.servers[-1]

    def client(self, what, server, *arguments, **options):
        return run_client(self.name(what) + "-client", server.port, *arguments, **options)

    def expect(self, what, expected, roles=("server", "client"), seconds=5.0):
        self.agent.expect_all([(f"{self.name(what)}-{role}", role, expected) for role in roles],
                              seconds)

    def mean(self, what, role, family="request_duration_seconds", prefix="http"):
        return self.agent.metrics().mean(f"{prefix}_{role}_{family}",
                                         service_name=f"{self.name(what)}-{role}")


def near(measure, low, high, what):
    """measure() is between two true values that enclose it, give or take 2.5 % and 50 us. Count and
    sum of a histogram are two numbers: the last sum may come one sweep after its count."""
    if EMULATED:
        return
    low, high = low * 0.975 - 50e-6, high * 1.025 + 50e-6
    wait_until(lambda: low <= measure() <= high,
               lambda: f"{what} from {low:.6f} to {high:.6f} s, saw {measure():.6f}", 1.5)


def get(route, count, status="200", method="GET"):
    return {(method, route, str(status)): count}


# ---- one connection, many requests ----

@scenario
def counts_each_request_of_a_kept_alive_connection(world):
    server = world.server("keep")
    summary = world.client("keep", server, "--path", "/keep", "run", 97)
    check_equal(summary["connections"], 1, "connections")
    world.expect("keep", get("/keep", 97))
    metrics = world.agent.metrics()
    for role in ("server", "client"):
        ports = {labels["server_port"] for labels, _ in metrics.select(
            f"http_{role}_request_duration_seconds_count", service_name=world.name(f"keep-{role}"))}
        check_equal(ports, {str(server.port)}, f"server_port of the {role}")


@scenario
def counts_each_pipelined_request(world):
    server = world.server("pipeline")
    world.client("pipeline", server, "--path", "/pipe", "--depth", 7, "run", 97)
    world.expect("pipeline", get("/pipe", 97))


@scenario
@of_bytes
def counts_requests_pipelined_with_bodies_and_bodiless_answers(world):
    server = world.server("pipelined-bodies")
    for path, method in (("/status/204", "POST"), ("/bytes/9000", "HEAD"),
                         ("/chunked/500/7", "POST")):
        world.client("pipelined-bodies", server, "--method", method, "--path", path, "--body",
                     1000 if method == "POST" else 0, "--depth", 5, "run", 23)
    world.expect("pipelined-bodies", {("POST", "/status/{id}", "204"): 23,
                                      ("HEAD", "/bytes/{id}", "200"): 23,
                                      ("POST", "/chunked/{id}/{id}", "200"): 23})


@scenario
def counts_a_request_that_arrives_byte_by_byte_once(world):
    server = world.server("split-request")
    world.client("split-request", server, "--path", "/split-request?a=b", "--split", 1, "run", 23)
    world.expect("split-request", get("/split-request", 23))


@scenario
def measures_a_slowly_arriving_request_from_its_first_byte(world):
    server = world.server("slow-request")
    summary = world.client("slow-request", server, "--path", "/slow-request", "--split", 20,
                           "--split-us", 20000, "run", 3)
    world.expect("slow-request", get("/slow-request", 3))
    true = sum(summary["latency_ns"]) / 3e9
    check(true > 0.03, "the client was slow")
    near(lambda: world.mean("slow-request", "server"), true - 500e-6, true, "server mean")
    near(lambda: world.mean("slow-request", "client"), true - 500e-6, true, "client mean")


@scenario
def counts_a_response_sent_in_pieces_once(world):
    server = world.server("split-response")
    summary = world.client("split-response", server, "--path", "/split/7/3", "run", 23)
    world.expect("split-response", get("/split/{id}/{id}", 23))
    true = sum(row[3] for row in server.truth()) / 23
    near(lambda: world.mean("split-response", "server"), true, sum(summary["latency_ns"]) / 23e9,
         "server mean to the last piece")
    near(lambda: world.mean("split-response", "client"), true, sum(summary["latency_ns"]) / 23e9,
         "client mean to the last piece")


@scenario
def counts_a_response_head_sent_byte_by_byte_once(world):
    server = world.server("slow-head")
    summary = world.client("slow-head", server, "--path", "/slow-head/2", "run", 3)
    world.expect("slow-head", get("/slow-head/{id}", 3))
    true = sum(summary["latency_ns"]) / 3e9
    near(lambda: world.mean("slow-head", "server"), true - 500e-6, true, "server mean")


@scenario
@of_bytes
def counts_requests_and_responses_with_big_heads(world):
    server = world.server("big-heads")
    world.client("big-heads", server, "--path", "/headers/60000", "--header-bytes", 60000, "run",
                 23)
    world.expect("big-heads", get("/headers/{id}", 23))


# ---- bodies ----

def sizes(world, what, expected_in, expected_out, slack=0):
    metrics = world.agent.metrics()
    for role in ("server", "client"):
        for direction, expected in (("request", expected_in), ("response", expected_out)):
            seen = metrics.sum(f"http_{role}_{direction}_body_size_bytes_sum",
                               service_name=world.name(f"{what}-{role}"))
            check_between(seen, expected, expected + slack, f"{role} {direction} body bytes")


@scenario
def counts_a_100_megabyte_response_as_one_request(world):
    server = world.server("big-response")
    world.client("big-response", server, "--path", f"/bytes/{BIG}", "run", 1)
    world.client("big-response", server, "--path", "/small", "run", 23)
    world.expect("big-response", {**get("/bytes/{id}", 1), **get("/small", 23)})
    sizes(world, "big-response", 0, BIG + 23 * 3)


@scenario
def counts_a_100_megabyte_upload_as_one_request(world):
    server = world.server("upload")
    world.client("upload", server, "--method", "PUT", "--path", "/upload", "--body",
                 BIG, "run", 1)
    world.client("upload", server, "--method", "POST", "--path", "/upload", "--body", 997, "run",
                 23)
    world.expect("upload", {**get("/upload", 1, method="PUT"), **get("/upload", 23, method="POST")})
    sizes(world, "upload", BIG + 23 * 997, 24 * 3)


@scenario
def counts_chunked_bodies_both_ways(world):
    server = world.server("chunked")
    world.client("chunked", server, "--method", "POST", "--path", "/chunked/100000/997", "--body",
                 50000, "--chunk", 499, "run", 23)
    world.client("chunked", server, "--path", f"/chunked/{20 * MEGABYTE}/60000", "run", 1)
    world.client("chunked", server, "--path", "/chunked/97/1", "--method", "POST", "--body", 97,
                 "--chunk", 1, "--split", 1, "run", 3)
    world.expect("chunked", {("POST", "/chunked/{id}/{id}", "200"): 26,
                             ("GET", "/chunked/{id}/{id}", "200"): 1})
    body_in, body_out = 23 * 50000 + 3 * 97, 23 * 100000 + 20 * MEGABYTE + 3 * 97
    # Whether the framing of chunks is part of the size is not promised.
    sizes(world, "chunked", body_in, body_out, slack=60000)


@scenario
def counts_sendfile_responses(world):
    server = world.server("sendfile")
    world.client("sendfile", server, "--path", "/sendfile/100000", "run", 23)
    world.client("sendfile", server, "--path", f"/sendfile/{BIG}", "run", 1)
    world.client("sendfile", server, "--path", "/after", "run", 1)
    world.expect("sendfile", {**get("/sendfile/{id}", 24), **get("/after", 1)})
    sizes(world, "sendfile", 0, 23 * 100000 + BIG + 3)


@scenario
def counts_a_body_that_ends_with_the_connection(world):
    server = world.server("close-delimited")
    world.client("close-delimited", server, "--path", "/close-delimited/100000", "run", 23)
    world.expect("close-delimited", get("/close-delimited/{id}", 23))


@scenario
@of_bytes
def counts_answers_without_a_body(world):
    server = world.server("bodiless")
    world.client("bodiless", server, "--method", "HEAD", "--path", "/bytes/100000", "run", 23)
    world.client("bodiless", server, "--path", "/status/204", "run", 23)
    world.client("bodiless", server, "--path", "/status/304", "run", 23)
    world.client("bodiless", server, "--path", "/bytes/0", "run", 23)
    world.expect("bodiless", {**get("/bytes/{id}", 23, method="HEAD"), **get("/bytes/{id}", 23),
                              **get("/status/{id}", 23, 204), **get("/status/{id}", 23, 304)})


@scenario
@of_bytes
def counts_every_status_and_method_apart(world):
    server = world.server("status")
    expected = {}
    for status in (200, 201, 301, 400, 404, 429, 500, 503):
        world.client("status", server, "--path", f"/status/{status}", "run", 7)
        expected[("GET", "/status/{id}", str(status))] = 7
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        world.client("status", server, "--method", method, "--path", "/any", "run", 5)
        expected[(method, "/any", "200")] = 5
    world.expect("status", expected)


@scenario
@of_bytes
def counts_http_1_0_with_and_without_keep_alive(world):
    server = world.server("http10")
    world.client("http10", server, "--http10", "--path", "/ten", "run", 23)
    summary = world.client("http10", server, "--http10", "--connection", "keep-alive", "--path",
                           "/ten", "run", 23)
    check_equal(summary["connections"], 1, "connections of the kept-alive client")
    world.expect("http10", get("/ten", 46))


# ---- answers that come early, late or never ----

@scenario
@of_bytes
def counts_100_continue_as_part_of_the_request(world):
    server = world.server("continue")
    world.client("continue", server, "--method", "POST", "--path", "/continue", "--body", 100000,
                 "--expect", "run", 23)
    world.client("continue", server, "--path", "/hints", "run", 23)
    world.expect("continue", {("POST", "/continue", "200"): 23, ("GET", "/hints", "200"): 23})


@scenario
def counts_an_answer_that_comes_before_the_body_is_complete(world):
    server = world.server("early")
    world.client("early", server, "--method", "POST", "--path", "/early", "--body", 200000,
                 "--early", "run", 23)
    world.expect("early", get("/early", 23, 413, "POST"))


def without_response(world, what, route, count):
    """`count` requests of one error type and no status, in both roles."""
    def outcomes(role):
        return world.agent.metrics().requests(world.name(f"{what}-{role}"), role)

    for role in ("server", "client"):
        wait_until(lambda: sum(outcomes(role).values()) >= count,
                   lambda: f"{count} failed requests of the {role}, saw {outcomes(role)}; "
                           f"{world.agent.losses()}")
        seen = outcomes(role)
        for (method, path, outcome), _ in seen.items():
            check((method, path) == ("GET", route) and not outcome.isdigit() and outcome != "none",
                  f"only GET {route} with an error_type and no status ({role}), saw {seen}")
        check_equal(sum(seen.values()), count, f"failed requests of the {role}")


@scenario
def counts_a_reset_before_the_response_as_an_error(world):
    server = world.server("reset")
    summary = world.client("reset", server, "--path", "/reset", "--each", "run", 23)
    check_equal(summary["reset"], 23, "resets seen by the client")
    without_response(world, "reset", "/reset", 23)


@scenario
def counts_a_request_the_client_gave_up_as_an_error(world):
    server = world.server("abort")
    # The server must have read what is then given up, however busy this machine is.
    sleep_us = 1200000 if EMULATED else 400000
    world.client("abort", server, "--path", f"/sleep/{sleep_us}", "--connections", 23,
                 "--abort-us", sleep_us // 2, "run", 1)
    without_response(world, "abort", "/sleep/{id}", 23)


@scenario
def counts_a_request_whose_client_closed_early_once(world):
    server = world.server("closed")
    world.client("closed", server, "--path", "/sleep/60000", "--connections", 23, "--close-us",
                 10000, "run", 1)
    wait_until(lambda: len(server.truth()) == 23, "the server finished 23 requests")
    for role in ("server", "client"):
        service = world.name(f"closed-{role}")
        wait_until(lambda: sum(world.agent.metrics().requests(service, role).values()) == 23,
                   lambda: f"23 requests of the {role} in all, "
                           f"saw {world.agent.metrics().requests(service, role)}")


@scenario
def counts_a_half_closed_request(world):
    server = world.server("half-close")
    world.client("half-close", server, "--path", "/half", "--half-close", "run", 23)
    world.expect("half-close", get("/half", 23))


@scenario
def measures_a_slow_client_to_the_last_byte_the_kernel_took(world):
    server = world.server("slow-client")
    summary = world.client("slow-client", server, "--path", f"/bytes/{6 * MEGABYTE}", "--slow-ms",
                           1, "run", 1)
    world.expect("slow-client", get("/bytes/{id}", 1))
    true = server.truth()[0][3]
    near(lambda: world.mean("slow-client", "server"), true, summary["latency_ns"][0] / 1e9,
         "server latency")


@scenario
def shows_an_answered_request_within_a_second_though_its_connection_idles(world):
    server = world.server("idle")
    client = Client(world.name("idle-client"), server.port, "--path", "/idle", "--hold", "run", 23)
    done_s = client.event("done")["at_ns"] / 1e9
    world.expect("idle", get("/idle", 23))
    if not EMULATED:
        check_between(time.monotonic() - done_s, 0, 1, "seconds until it showed")
    client.finish()


# ---- upgrades: life time is not latency ----

def active_streams(world, what, role, kind):
    return world.agent.metrics().sum("plimsoll_http_upgrades_active", role=role, kind=kind,
                                     service_name=world.name(f"{what}-{role}"))


def check_stream(world, what, kind, verb, count, expected, least_s):
    server = world.server(what)
    client = Client(world.name(f"{what}-client"), server.port, "--connections", count, "--hold",
                    *verb)
    client.event("done")
    opened_s = time.monotonic()
    world.expect(what, expected)
    for role in ("server", "client"):
        wait_until(lambda: active_streams(world, what, role, kind) == count,
                   lambda: f"{count} active {kind} streams of the {role}, "
                           f"saw {active_streams(world, what, role, kind)}")
    wait_until(lambda: time.monotonic() - opened_s > least_s, "the streams are old enough")
    client.finish()
    for role in ("server", "client"):
        wait_until(lambda: active_streams(world, what, role, kind) == 0,
                   lambda: f"no active {kind} stream of the {role} is left")
        service = world.name(f"{what}-{role}")
        metrics = world.agent.metrics()
        check_equal(metrics.sum("plimsoll_http_stream_duration_seconds_count", role=role, kind=kind,
                                service_name=service), count, f"{kind} life times of the {role}")
        check(metrics.mean("plimsoll_http_stream_duration_seconds", role=role, kind=kind,
                           service_name=service) >= least_s,
              f"the life time of {kind} streams ({role}) is their whole life")
        check(EMULATED or world.mean(what, role) < least_s / 2,
              f"the latency of a {kind} request ({role}) is its handshake")
    world.expect(what, expected)


@scenario
@of_bytes
def takes_the_handshake_of_a_websocket_for_its_latency(world):
    check_stream(world, "websocket", "websocket",
                 ["--path", "/websocket", "upgrade", "websocket", 7, 1000], 7,
                 get("/websocket", 7, 101), 0.3)


@scenario
@of_bytes
def takes_the_answer_to_connect_for_its_latency(world):
    server = world.server("tunnel")
    client = Client(world.name("tunnel-client"), server.port, "--hold", "upgrade", "tunnel", 7, 500)
    client.event("done")
    for role in ("server", "client"):
        wait_until(lambda: active_streams(world, "tunnel", role, "tunnel") == 1,
                   lambda: f"one active tunnel of the {role}")
        seen = world.agent.metrics().requests(world.name(f"tunnel-{role}"), role)
        check_equal(sorted((method, status, count) for (method, _, status), count in seen.items()),
                    [("CONNECT", "200", 1)], f"requests of the {role}")
    client.finish()
    for role in ("server", "client"):
        wait_until(lambda: active_streams(world, "tunnel", role, "tunnel") == 0,
                   lambda: f"no tunnel of the {role} is left")


@scenario
@of_bytes
def takes_the_first_byte_of_an_event_stream_for_its_latency(world):
    server = world.server("sse")
    world.client("sse", server, "--path", "/sse/7/50", "--connections", 3, "run", 1)
    world.expect("sse", get("/sse/{id}/{id}", 3))
    for role in ("server", "client"):
        service = world.name(f"sse-{role}")

        def lives():
            return world.agent.metrics().sum("plimsoll_http_stream_duration_seconds_count",
                                             service_name=service, role=role, kind="sse")

        wait_until(lambda: lives() == 3, lambda: f"3 streams that ended ({role}), saw {lives()}")
        check(EMULATED or world.mean("sse", role) < 0.1, f"latency is the first byte ({role})")
        check(world.agent.metrics().mean("plimsoll_http_stream_duration_seconds", kind="sse",
                                         role=role, service_name=service) > 0.3,
              f"the life time is apart ({role})")


@scenario
@of_bytes
def shows_an_event_stream_while_it_runs(world):
    server = world.server("sse-live")
    path = f"/sse/20/{500 if EMULATED else 50}"
    client = Client(world.name("sse-live-client"), server.port, "--path", path, "--wait", "run", 1)
    client.event("connected")
    client.go()
    for role in ("server", "client"):
        wait_until(lambda: active_streams(world, "sse-live", role, "sse") == 1,
                   lambda: f"one running event stream of the {role}", 0.9)
    client.finish()
    world.expect("sse-live", get("/sse/{id}/{id}", 1))


# ---- what is not HTTP ----

def ignored(world, service):
    return {labels["protocol"]: int(value) for labels, value
            in world.agent.metrics().select("plimsoll_ignored_connections_total",
                                            service_name=service) if value}


def check_ignored(world, what, content, protocols):
    server = world.server(what, "--raw")
    path = temporary(f"{world.name(what)}.bytes", content)
    world.client(what, server, "--connections", 23, "raw", path)
    for role in ("server", "client"):
        service = world.name(f"{what}-{role}")
        wait_until(lambda: sum(ignored(world, service).values()) >= 23,
                   lambda: f"23 ignored connections of the {role}, saw {ignored(world, service)}; "
                           f"{world.agent.losses()}")
        seen = ignored(world, service)
        check(sum(seen.values()) == 23 and set(seen) <= protocols,
              f"23 ignored connections ({role}) of {protocols}, saw {seen}")
        world.agent.expect_requests(service, role, {})


@scenario
@of_bytes
def ignores_and_counts_bytes_that_are_not_http(world):
    check_ignored(world, "garbage", bytes(range(200, 256)) * 50, {"other"})


@scenario
@of_bytes
def ignores_and_counts_tls(world):
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(505)
    check_ignored(world, "tls", hello, {"tls"})


@scenario
@of_bytes
def ignores_and_counts_http_2(world):
    settings = b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)
    check_ignored(world, "http2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings, {"http2"})


@scenario
@of_bytes
def survives_hostile_payloads_and_counts_on(world):
    payloads = [b"\x00" * 5000, b"GET", b"GET ", b"GET /", b"GET / HTTP/1.1", b"\r\n" * 5000,
                b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
                b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
                b"GET /" + b"a" * MEGABYTE + b" HTTP/1.1\r\n\r\n",
                b"GET / HTTP/1.1\r\nX: " + b"y" * MEGABYTE + b"\r\n\r\n",
                b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100000 + b"\r\n",
                b"HTTP/1.1 200 OK\r\n\r\n" * 100, b"GET /%00%ff\xff\xfe\x01 HTTP/1.1\r\n\r\n",
                b"G" * 100000, b" / HTTP/1.1\r\n\r\n", b"GET  HTTP/9.9\r\n\r\n",
                b"GET /\xf0\x9f\x9a\xa2\"\\\n HTTP/1.1\r\nHost: x\r\n\r\n"]
    hostile = world.server("hostile")
    raw = world.server("hostile-echo", "--raw")
    for number, payload in enumerate(payloads):
        path = temporary(f"{world.name('payload')}.{number}", payload)
        for server in (hostile, raw):
            run_client(world.name("hostile-client"), server.port, "raw", path)
    good = world.server("bystander")
    world.client("bystander", good, "--path", "/fine", "run", 23)
    world.expect("bystander", get("/fine", 23))
    check_equal(world.agent.process.poll(), None, "exit status of the agent")


# ---- where and how ----

@scenario
def counts_ipv6_and_mapped_ipv4_once_in_each_role(world):
    server = world.server("ipv6", "--ipv6")
    world.client("ipv6", server, "--host", "::1", "--path", "/six", "run", 23)
    world.client("ipv6", server, "--host", "127.0.0.1", "--path", "/mapped", "run", 23)
    world.expect("ipv6", {**get("/six", 23), **get("/mapped", 23)})


def io_family(name):
    def run(world):
        if name.startswith("uring"):
            if world.rung == "tracepoint":
                raise Skip("io_uring has no system call arguments to find its buffers by: "
                           "only the function rungs (fentry, kprobe) see it")
            if not uring_works():
                raise Skip("this kernel has no io_uring")
        server = world.server(name, "--io", name)
        world.client(name, server, "--io", name, "--method", "POST", "--path", "/io", "--body",
                     5000, "run", 23)
        world.client(name, server, "--io", name, "--path", "/bytes/100000", "--depth", 3, "run",
                     23)
        world.expect(name, {("POST", "/io", "200"): 23, ("GET", "/bytes/{id}", "200"): 23})

    run.__name__ = f"counts_requests_moved_by_{name.replace('-', '_')}"
    SCENARIOS.append(run)


def uring_works():
    server = Server("uring-probe", "--io", "uring")
    summary = run_client("uring-probe-client", server.port, "run", 1)
    server.stop()
    return summary["responses"] == 1


for _family in ("read-write", "send-recv", "msg", "vector", "peek", "uring", "uring-rw",
                "uring-msg"):
    io_family(_family)


@scenario
def counts_what_sendmmsg_and_recvmmsg_move_or_counts_the_loss(world):
    """Their buffers are not followed (docs/LIMITS.md): a loss that is told, no false request."""
    server = world.server("mmsg", "--io", "mmsg")
    world.client("mmsg", server, "--io", "mmsg", "--path", "/mmsg", "run", 23)
    for role in ("server", "client"):
        service = world.name(f"mmsg-{role}")

        def told():
            metrics = world.agent.metrics()
            return metrics.requests(service, role) == get("/mmsg", 23) or \
                metrics.losses(service).get("unresolved", 0) >= 1

        wait_until(told, lambda: f"23 requests or a loss ({role}), "
                   f"saw {world.agent.metrics().requests(service, role)}")
        check(world.agent.metrics().requests(service, role) in ({}, get("/mmsg", 23)),
              f"nothing false is counted ({role})")


# ---- endpoints ----

@scenario
@of_bytes
def collapses_ids_of_a_path_into_one_route(world):
    server = world.server("ids")
    paths = ["/users/%d/orders/456", "/users/7/orders/%d", "/v1/users/%d"]
    for path in paths:
        world.client("ids", server, "--path", path, "run", 23)
    for path in ("/docs/0b51c7d2-9a3f-4c1e-8f7e-2a6f3b9c1d00",
                 "/blobs/9f86d081884c7d659a2feaa0c55ad015",
                 "/docs/123e4567-e89b-12d3-a456-426614174000", "/blobs/deadbeefdeadbeef0123456789"):
        world.client("ids", server, "--path", path, "run", 5)
    world.expect("ids", {**get("/users/{id}/orders/{id}", 46), **get("/v1/users/{id}", 23),
                         **get("/docs/{id}", 10), **get("/blobs/{id}", 10)})


@scenario
@of_bytes
def drops_the_query(world):
    server = world.server("query")
    world.client("query", server, "--path", "/search?q=%d&secret=/users/1", "run", 23)
    world.client("query", server, "--path", "/?", "run", 23)
    world.expect("query", {**get("/search", 23), **get("/", 23)})
    check("secret" not in world.agent.metrics().text, "no query reaches /metrics")


@scenario
@of_bytes
def keeps_long_paths_bounded(world):
    server = world.server("long-path")
    world.client("long-path", server, "--path", "/long/" + "segment/" * 1000, "run", 23)
    world.client("long-path", server, "--path", "/short", "run", 23)
    services = world.name("long-path-server"), world.name("long-path-client")
    for service, role in zip(services, ("server", "client")):
        wait_until(lambda: sum(world.agent.metrics().requests(service, role).values()) >= 46,
                   lambda: f"46 requests, saw {world.agent.metrics().requests(service, role)}")
        seen = world.agent.metrics().requests(service, role)
        check_equal(sum(seen.values()), 46, "requests")
        check_equal(len(seen), 2, f"routes in {seen}")
        check(all(len(route) <= 128 for _, route, _ in seen), "routes are bounded")


# ---- who ----

@scenario
@of_bytes
def names_a_service_after_its_executable(world):
    program = temporary(named(f"tool-{world.rung}"))
    shutil.copy(tool("http_server"), program)
    server = world.server("unused", program=program)
    server.stop()
    unnamed = Server("", program=program)
    world.client("executable", unnamed, "--path", "/who", "run", 23)
    world.agent.expect_requests(os.path.basename(program), "server", get("/who", 23))


@scenario
@of_bytes
def names_a_service_after_its_systemd_unit_or_container(world):
    """A cgroup laid out as systemd and containers lay it out is all that tells."""
    base = next((path for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
                 if os.path.exists(os.path.join(path, "cgroup.procs"))), None)
    if not base:
        raise Skip("no writable cgroup2 hierarchy")
    name = named(f"ship-{world.rung}")
    unit = os.path.join(base, "system.slice", f"{name}.service")
    try:
        os.makedirs(unit, exist_ok=True)
    except OSError as error:
        raise Skip(f"cannot make a cgroup: {error}")
    command = ("echo $$ > \"$0/cgroup.procs\" && exec \"$@\"")
    process = start(["sh", "-c", command, unit, tool("http_server")], env=environment_of(""),
                    stdout=subprocess.PIPE, text=True)
    port = int(process.stdout.readline().split()[1])
    run_client(world.name("unit-client"), port, "--path", "/unit", "run", 23)
    world.agent.expect_requests(name, "server", get("/unit", 23))
    stop(process)
    os.rmdir(unit)


@scenario
def loses_no_short_lived_client(world):
    server = world.server("short-lived")
    summary = world.client("short-lived", server, "--path", "/brief", "--strict", "spawn", 97)
    check_equal(summary["responses"], 97, "processes that got their answer")
    world.expect("short-lived", get("/brief", 97))


# ---- truth ----

def check_quantiles(world, what, low, high, roles=("server", "client")):
    """The exported quantiles lie between what the server and what the client measured."""
    for role in roles:
        for text in ("50", "95", "99"):
            q = float(text) / 100

            def value():
                found = world.agent.metrics().select(
                    "plimsoll_request_duration_percentile_seconds", role=role, percentile=text,
                    service_name=world.name(f"{what}-{role}"))
                return found[0][1] if found and not math.isnan(found[0][1]) else None

            def fits():
                seen = value()
                return seen and quantile(low, q) * 0.975 - 50e-6 <= seen \
                    <= quantile(high, q) * 1.025 + 50e-6

            wait_until(fits, lambda: f"{role} p{q * 100:g} within 2.5 % + 50 us of "
                       f"{quantile(low, q):.6f}..{quantile(high, q):.6f} s, saw {value()}", 3)


@scenario
def measures_known_sleeps_truly(world):
    if EMULATED:
        raise Skip("no clock to trust under emulation")
    server = world.server("sleeps")
    clients = [Client(world.name("sleeps-client"), server.port, "--path", f"/sleep/{sleep_us}",
                      "--connections", connections, "run", count)
               for sleep_us, connections, count in ((2000, 2, 60), (20000, 6, 12), (60000, 4, 2))]
    latencies = [ns / 1e9 for client in clients for ns in client.finish()["latency_ns"]]
    check_equal(len(latencies), 200, "answers")
    world.expect("sleeps", get("/sleep/{id}", 200))
    inside = [row[3] for row in server.truth()]
    check_quantiles(world, "sleeps", inside, latencies)
    for role in ("server", "client"):
        near(lambda role=role: world.mean("sleeps", role), sum(inside) / 200,
             sum(latencies) / 200, f"{role} mean")


@scenario
def agrees_with_the_client_when_requests_wait_for_a_busy_server(world):
    if EMULATED:
        raise Skip("no clock to trust under emulation")
    server = world.server("busy", "--workers", 1)
    summary = world.client("busy", server, "--path", "/sleep/1000", "--connections", 64, "run", 23)
    world.expect("busy", get("/sleep/{id}", 64 * 23))
    latencies = [ns / 1e9 for ns in summary["latency_ns"]]
    true = quantile(latencies, 0.5)
    inside = quantile([row[3] for row in server.truth()], 0.5)
    check(true > 20 * inside, f"the server was saturated: {true} against {inside}")

    def p50():
        return world.agent.metrics().sum("plimsoll_request_duration_percentile_seconds",
                                         role="server", percentile="50",
                                         service_name=world.name("busy-server"))

    wait_until(lambda: abs(p50() - true) <= 0.025 * true + 50e-6,
               lambda: f"server p50 within 2.5 % + 50 us of the client's {true:.6f}, "
                       f"saw {p50():.6f} (the server itself: {inside:.6f})", 3)


@scenario
@of_bytes
def is_not_misled_by_a_step_of_the_wall_clock(world):
    if not EMULATED:
        raise Skip("only a machine of its own may have its clock set")
    server = world.server("clock")
    try:
        for step_s in (86400, -2 * 86400):
            time.clock_settime(time.CLOCK_REALTIME, time.time() + step_s)
            world.client("clock", server, "--path", "/clock", "run", 23)
    finally:
        time.clock_settime(time.CLOCK_REALTIME, time.time() + 86400)
    world.expect("clock", get("/clock", 46))
    for role in ("server", "client"):
        check_between(world.mean("clock", role), 0, 10, f"mean latency of the {role}")


@scenario
def times_the_first_byte_apart(world):
    server = world.server("first-byte")
    summary = world.client("first-byte", server, "--path", "/split/5/10", "run", 7)
    world.expect("first-byte", get("/split/{id}/{id}", 7))
    true = sum(summary["first_byte_ns"]) / 7e9
    for role in ("server", "client"):
        seen = world.mean("first-byte", role, "first_byte_seconds", "plimsoll_http")
        near(lambda: seen, 0, true, f"{role} time to the first byte")
        check(seen > 0, f"{role} first-byte time is measured")


# ---- before the agent ----

class Before:
    """Started before the agent: one idle connection that was used, one request in flight."""

    def __init__(self, rung):
        self.rung = rung
        self.server = Server(f"{rung}-before-server")
        self.idle = Client(f"{rung}-before-client", self.server.port, "--path", "/before",
                           "--wait", "run", 23)
        self.idle.event("connected")
        self.flight_server = Server(f"{rung}-flight-server")
        self.flight = Client(f"{rung}-flight-client", self.flight_server.port, "--path", "/gate",
                             "run", 3)

    def check_idle(self, world):
        """A thread that was inside recv when a function rung attached comes out of it unseen: that
        one request is a counted loss there. The tracepoint rung sees it too."""
        self.idle.go()
        self.idle.finish()
        for role in ("server", "client"):
            service = world.name(f"before-{role}")

            def seen():
                metrics = world.agent.metrics()
                lost = 0 if world.rung == "tracepoint" else sum(metrics.losses(service).values())
                return metrics.requests(service, role).get(("GET", "/before", "200"), 0), lost

            wait_until(lambda: sum(seen()) >= 23, lambda: f"23 requests ({role}), saw {seen()} "
                       f"and losses {world.agent.metrics().losses(service)}")
            check(seen() in ((23, 0), (22, 1)), f"23 requests of the {role}, saw {seen()}")

    def check_flight(self, world):
        """The request in flight is a counted loss, the two after it are seen."""
        self.flight_server.process.send_signal(signal.SIGUSR1)
        self.flight.finish()
        for role in ("server", "client"):
            service = world.name(f"flight-{role}")

            def seen():
                return world.agent.metrics().requests(service, role)

            wait_until(lambda: sum(seen().values()) >= 2, lambda: f"2 requests, saw {seen()}")
            check(seen() in (get("/gate", 2), get("/gate", 3)), f"2 or 3 /gate, saw {seen()}")
            in_recv = role == "client" and world.rung != "tracepoint"
            if sum(seen().values()) == 2 and not in_recv:
                losses = world.agent.metrics().losses(service)
                check(sum(losses.values()) >= 1, f"{service} counts its loss, saw {losses}")
