#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Usage: tests/bench/run.sh [SECTION...]     throughput slow bpf endpoints rest (all)
#        tests/bench/run.sh --vm KERNEL...   throughput in a guest of tests/vm, every rung it has
# What plimsoll costs on this host, as root: tables on the terminal, and build/bench/results.md to
# paste into docs/BENCHMARKS.md. Let nothing else run meanwhile.
#
# BENCH_PAIRS=5          pairs of slices, without and with the agent
# BENCH_SECONDS=1.5      one slice
# BENCH_IDLE_SECONDS=10  the agent at rest
# BENCH_VM_SECONDS=900   for one guest

set -eu
cd "$(dirname "$0")/../.."

if [ "${1:-}" = --vm ]; then
	shift
	seconds=${BENCH_VM_SECONDS:-900}
	VM_TESTS=tests/bench/guest.py VM_SECONDS=$seconds VM_TEST_SECONDS=$seconds exec tests/vm/run.sh "$@"
fi
if [ "$(id -u)" != 0 ]; then
	echo "bench: loading BPF programs needs root" >&2
	exit 1
fi
for program in nginx wrk taskset python3; do
	PATH=$PATH:/usr/sbin command -v $program >/dev/null && continue
	echo "bench: $program is missing: make packages-test" >&2
	exit 1
done
if [ ! -x build/plimsoll ]; then
	echo "bench: build/plimsoll is missing: make build" >&2
	exit 1
fi

mkdir -p build/bench
for tool in load slow_server; do
	[ build/bench/$tool -nt tests/bench/$tool.c ] && continue
	"${CC:-cc}" -O2 -g -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -Wshadow \
		-o build/bench/$tool tests/bench/$tool.c -lpthread
done

# One process holds one end of 10,000 connections.
[ "$(ulimit -n)" -ge 16384 ] || ulimit -n 16384
PATH=$PATH:/usr/sbin PYTHONDONTWRITEBYTECODE=1 exec python3 tests/bench/bench.py "$@"
