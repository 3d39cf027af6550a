# SPDX-License-Identifier: GPL-2.0-only
"""The figures of one run as tables: on the terminal, and as build/bench/results.md in the form of
docs/BENCHMARKS.md."""

import os
import re
import statistics
import time


def host_facts():
    with open("/proc/cpuinfo") as file:
        cpuinfo = file.read()
    model = re.search(r"^model name\s*:\s*(.*)$", cpuinfo, re.M)
    virtual = "a virtual machine" if re.search(r"^flags.*\bhypervisor\b", cpuinfo, re.M) else "metal"
    with open("/proc/meminfo") as file:
        memory = int(re.search(r"^MemTotal:\s+(\d+)", file.read(), re.M).group(1)) / 2**20
    with open("/proc/loadavg") as file:
        busy = file.read().split()[0]
    return [("date", time.strftime("%Y-%m-%d", time.gmtime())),
            ("kernel", f"{os.uname().release} {os.uname().machine}"),
            ("CPUs", f"{os.cpu_count()} x {model.group(1) if model else '?'}, {virtual}"),
            ("memory", f"{memory:.1f} GiB"),
            ("load before the run", busy)]


def show(value):
    if isinstance(value, str):
        return value
    if value != value:
        return "-"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 0.1 else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


class Table:
    def __init__(self, title, method, *columns):
        self.title, self.method, self.columns, self.rows = title, method, columns, []

    def add(self, *cells):
        assert len(cells) == len(self.columns)
        self.rows.append([show(cell) for cell in cells])

    def markdown(self):
        lines = [f"### {self.title}", "", self.method, "",
                 "| " + " | ".join(self.columns) + " |", "|" + "---|" * len(self.columns)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"

    def plain(self):
        widths = [max(len(row[i]) for row in [list(self.columns), *self.rows])
                  for i in range(len(self.columns))]
        lines = [self.title]
        for row in [list(self.columns), *self.rows]:
            lines.append("  " + "  ".join(cell.ljust(width) if i < 2 else cell.rjust(width)
                                          for i, (cell, width) in enumerate(zip(row, widths))))
        return "\n".join(lines) + "\n"


def spread(values):
    return min(values), statistics.median(values), max(values)


def verdict(value, low=None, high=None):
    """The goal, and whether it is met."""
    if low is None and high is None:
        return ""
    good = (low is None or value >= low) and (high is None or value <= high)
    goal = f">= {low:g}" if high is None else f"<= {high:g}" if low is None else f"{low:g} to {high:g}"
    return f"{goal} {'met' if good else 'MISSED'}"
