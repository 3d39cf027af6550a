#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The agent against truth it does not control: nginx's own counters and log, wrk, ab, curl, and a
real Prometheus. Counts must be equal, not close."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.parse

sys.path[0] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib")

from harness import (WORK, Agent, Server, Skip, check, check_between, check_equal,  # noqa: E402
                     environment_of, free_port, get, main, named, port_answers, run_client, start,
                     stop, temporary, test, wait_until)

NGINX = """
worker_processes 2;
daemon off;
user root;
pid {work}/nginx.pid;
error_log {work}/nginx-error.log;
events {{ worker_connections 1024; }}
http {{
    log_format truth '$request_method $uri $status $request_time $body_bytes_sent';
    access_log {work}/nginx-access.log truth;
    client_body_temp_path {work}/body;
    proxy_temp_path {work}/proxy;
    fastcgi_temp_path {work}/fastcgi;
    uwsgi_temp_path {work}/uwsgi;
    scgi_temp_path {work}/scgi;
    sendfile on;
    keepalive_requests 1000000;
    client_max_body_size 0;
    upstream backend {{ server 127.0.0.1:{backend}; keepalive 16; }}
    server {{
        listen 127.0.0.1:{port};
        location = /fast {{ access_log off; return 200 "{body}"; }}
        location = /logged {{ return 200 "logged"; }}
        location = /missing {{ return 404; }}
        location /files/ {{ alias {work}/files/; }}
        location /proxy/ {{
            proxy_pass http://backend/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
        location = /stub {{ access_log off; stub_status; }}
    }}
}}
"""

shared = {}


def setup():
    """One agent, one nginx in front of one backend, for all tests here."""
    if shared:
        check("nginx" in shared, "nginx and the agent started")
        return shared
    for program in ("nginx", "wrk", "ab", "curl", "prometheus"):
        if not shutil.which(program) and not os.path.exists(f"/usr/sbin/{program}"):
            raise Skip(f"{program} is not installed")
    shared["agent"] = Agent()
    backend = Server("backend")
    port = free_port()
    os.makedirs(os.path.join(WORK, "files"))
    temporary("files/page.bin", os.urandom(300000))
    config = temporary("nginx.conf", NGINX.format(work=WORK, port=port, backend=backend.port,
                                                  body="b" * 1000))
    shared["log"] = os.path.join(WORK, "nginx-access.log")
    # nginx writes its title over its environment, so only the executable can name it.
    program = os.path.join(WORK, named("harbour"))
    shutil.copy(shutil.which("nginx") or "/usr/sbin/nginx", program)
    process = start([program, "-p", WORK, "-c", config], env=environment_of(""),
                    stdin=subprocess.DEVNULL, stderr=open(temporary("nginx-stderr"), "wb"))
    wait_until(lambda: port_answers(port), "nginx listens")
    shared.update(port=port, nginx=process, backend=backend)
    return shared


def stub_requests():
    """What nginx says it served, this question included."""
    body = get(setup()["port"], "/stub")[2].decode()
    return int(body.splitlines()[2].split()[2])


def counted(route, service="harbour", role="server", status="200"):
    return sum(count for key, count in setup()["agent"].metrics().requests(service, role).items()
               if key[1:] == (route, status))


def load(service, arguments):
    done = subprocess.run(arguments, env=environment_of(service), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60)
    check_equal(done.returncode, 0, f"exit status of {arguments[0]} ({done.stdout[-500:]})")
    return done.stdout


@test
def equals_the_counter_of_nginx_under_wrk():
    port = setup()["port"]
    before = stub_requests()
    load("wrk", ["wrk", "-t1", "-c32", "-d2s", f"http://127.0.0.1:{port}/fast"])
    true = stub_requests() - before - 1
    wait_until(lambda: counted("/fast") >= true, lambda: f"{true}, saw {counted('/fast')}")
    check_equal(counted("/fast"), true, "requests of /fast")
    check(true > 1000, f"wrk made load, saw {true}")
    # wrk leaves with up to 32 requests unanswered; what it received it also received here.
    check_between(counted("/fast", "wrk", "client"), true - 32, true, "client role")
    losses = shared["agent"].metrics().losses("harbour")
    check_equal(losses, {}, "losses of nginx")


@test
def equals_the_access_log_of_nginx_under_ab():
    port = setup()["port"]
    for extra in (["-k"], []):
        output = load("ab", ["ab", "-q", *extra, "-n", "4999", "-c", "23",
                             f"http://127.0.0.1:{port}/logged"])
        check(re.search(r"Complete requests:\s+4999", output), f"ab completed: {output}")
    load("ab", ["ab", "-q", "-k", "-n", "499", "-c", "7", f"http://127.0.0.1:{port}/missing"])
    for route, status, expected in (("/logged", "200", 9998), ("/missing", "404", 499)):
        for service, role in (("harbour", "server"), ("ab", "client")):
            wait_until(lambda: counted(route, service, role, status) >= expected,
                       lambda: f"{expected} {route} ({role}), "
                               f"saw {counted(route, service, role, status)}")
            check_equal(counted(route, service, role, status), expected, f"{route} ({role})")
    with open(shared["log"]) as file:
        rows = [line.split() for line in file]
    check_equal(sum(row[1:3] == ["/logged", "200"] for row in rows), 9998, "lines of the log")


@test
def follows_a_request_through_a_proxy_in_all_four_roles():
    port = setup()["port"]
    load("ab", ["ab", "-q", "-k", "-n", "997", "-c", "16", f"http://127.0.0.1:{port}/proxy/page"])
    for service, role, route in (("ab", "client", "/proxy/page"),
                                 ("harbour", "server", "/proxy/page"),
                                 ("harbour", "client", "/page"), ("backend", "server", "/page")):
        wait_until(lambda: counted(route, service, role) >= 997,
                   lambda: f"997 {route} of {service} ({role}), "
                           f"saw {counted(route, service, role)}, "
                           f"losses {shared['agent'].metrics().losses(service)}")
        check_equal(counted(route, service, role), 997, f"{route} of {service} ({role})")


@test
def counts_files_sent_by_nginx_and_fetched_by_curl():
    port = setup()["port"]
    url = f"http://127.0.0.1:{port}/files/page.bin"
    load("curl", ["curl", "-sS", "-o", "/dev/null", *[url] * 1,
                  *[part for _ in range(22) for part in ("--next", "-sS", "-o", "/dev/null", url)]])
    load("curl", ["curl", "-sS", "-I", url])
    load("curl", ["curl", "-sS", "-o", "/dev/null", "-r", "100-199", url])
    expected = {("GET", "/files/page.bin", "200"): 23, ("HEAD", "/files/page.bin", "200"): 1,
                ("GET", "/files/page.bin", "206"): 1}
    shared["agent"].expect_requests("curl", "client", expected)
    check_equal(counted("/files/page.bin"), 24, "200s of nginx")
    size = shared["agent"].metrics().sum("http_client_response_body_size_bytes_sum",
                                         service_name="curl")
    check_equal(size, 23 * 300000 + 100, "bytes curl received")


@test
def uploads_of_curl_are_counted_once():
    port = setup()["port"]
    path = temporary("upload.bin", os.urandom(3000000))
    for extra in ([], ["-H", "Transfer-Encoding: chunked"]):
        load("curl-up", ["curl", "-sS", "-o", "/dev/null", *extra, "-T", path,
                         f"http://127.0.0.1:{port}/proxy/upload"])
    shared["agent"].expect_requests("curl-up", "client", {("PUT", "/proxy/upload", "200"): 2})


@test
def agrees_with_the_times_of_curl():
    port = setup()["port"]
    output = load("curl-time", ["curl", "-sS", "-w", "%{time_pretransfer} %{time_total}\n", "-o",
                                "/dev/null", f"http://127.0.0.1:{port}/proxy/sleep/100000"])
    before, total = map(float, output.split())
    shared["agent"].expect_requests("curl-time", "client",
                                    {("GET", "/proxy/sleep/{id}", "200"): 1})
    seen = shared["agent"].metrics().mean("http_client_request_duration_seconds",
                                          service_name="curl-time")
    check_between(seen, (total - before) * 0.975 - 5e-4, (total - before) * 1.025 + 5e-5, "seconds")


# ---- Prometheus ----

def prometheus_query(port, query):
    status, _, body = get(port, "/api/v1/query?query=" + urllib.parse.quote(query))
    check_equal(status, 200, f"status of the query {query}")
    return {json.dumps(row["metric"], sort_keys=True): float(row["value"][1])
            for row in json.loads(body)["data"]["result"]}


@test
def a_real_prometheus_scrapes_it_and_answers():
    agent = setup()["agent"]
    port = free_port()
    config = temporary("prometheus.yml", f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: plimsoll
    static_configs: [{{targets: ["127.0.0.1:{agent.port}"]}}]
""")
    process = start(["prometheus", f"--config.file={config}",
                     f"--web.listen-address=127.0.0.1:{port}",
                     f"--storage.tsdb.path={WORK}/tsdb", "--log.level=error"],
                    env=environment_of("prometheus"), stdin=subprocess.DEVNULL,
                    stderr=open(temporary("prometheus-stderr"), "wb"))
    wait_until(lambda: port_answers(port) and get(port, "/-/ready")[0] == 200,
               "prometheus is ready", 15)
    run_client("scraped-client", shared["backend"].port, "--path", "/scraped", "run", 97)
    selector = f'{{service_name="{named("scraped-client")}",http_route="/scraped"}}'

    def answer():
        return sum(prometheus_query(
            port, f"sum(http_client_request_duration_seconds_count{selector})").values())

    wait_until(lambda: answer() == 97, lambda: f"97 in Prometheus, saw {answer()}", 15)
    check_equal(list(prometheus_query(port, 'up{job="plimsoll"}').values()), [1.0], "up")
    p95 = list(prometheus_query(port, "histogram_quantile(0.95, sum by (le) ("
                                "http_client_request_duration_seconds_bucket" + selector + "))")
               .values())
    check(len(p95) == 1 and 0 < p95[0] < 1, f"a p95 in seconds, saw {p95}")
    stop(process)


@test
def knows_what_it_costs_itself():
    metrics = setup()["agent"].metrics()
    for name, low, high in (("resident_memory_bytes", 1e6, 50e6), ("cpu_seconds_total", 1e-3, 60),
                            ("uptime_seconds", 1, 600)):
        check_between(metrics.sum("plimsoll_agent_" + name), low, high, name)
    ratio = {labels["service_name"]: value for labels, value
             in metrics.select("plimsoll_completeness_ratio")}
    check_equal(ratio.get(named("harbour")), 1.0, "completeness of nginx")


@test
def leaves_with_exit_status_0():
    check_equal(setup()["agent"].stop(), 0, "exit status of the agent")


main()
