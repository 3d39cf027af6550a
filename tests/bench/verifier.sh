#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Usage: tests/bench/verifier.sh [--update] [KERNEL...]
# Instructions the verifier walked for every program that loads, on this kernel (as root) or on the
# named ones under QEMU (tests/vm), against tests/bench/verifier.txt. Exit 1 if one grew by more than a
# tenth. --update writes what was measured into the record. VERIFIER_SECONDS limits one kernel (600).

set -u
cd "$(dirname "$0")/../.." || exit 1

update=
[ "${1:-}" != --update ] || { update=1 && shift; }
record=tests/bench/verifier.txt
seconds=${VERIFIER_SECONDS:-600}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

if [ $# -gt 0 ]; then
	VM_TESTS=tests/bench/verifier.py VM_SECONDS=$seconds VM_TEST_SECONDS=$seconds \
		tests/vm/run.sh "$@" >"$work/out"
elif [ "$(id -u)" != 0 ]; then
	echo "verifier: loading BPF programs needs root" >&2
	exit 1
else
	timeout -k 5 "$seconds" tests/bench/verifier.py >"$work/out"
fi
status=$?
# Programs that several rungs share are measured more than once: the most counts.
sed -nE 's/^# ([0-9.]+: )?verifier ([0-9.]+ [A-Za-z0-9_]+ [0-9]+)$/\2/p' "$work/out" |
	awk '$3 > most[$1 " " $2] { most[$1 " " $2] = $3 } END { for (key in most) print key, most[key] }' |
	LC_ALL=C sort -t' ' -k1,1V -k2,2 >"$work/now"
skipped=$(grep -h ' # SKIP ' "$work/out" | sed 's/^ok [0-9]* - //')
[ -z "$skipped" ] || printf '%s\n' "$skipped"
if [ $status -eq 0 ] && [ ! -s "$work/now" ] && [ -n "$skipped" ]; then
	exit 0 # a kernel that does not tell
fi
if [ $status -ne 0 ] || [ ! -s "$work/now" ]; then
	cat "$work/out" >&2
	echo "verifier: no complete measurement (exit status $status)" >&2
	exit 1
fi

[ -e "$record" ] || : >"$record"
awk -v record="$record" '
	BEGIN { printf "%-7s %-26s %12s %12s %8s\n", "kernel", "program", "instructions", "recorded", "change" }
	FILENAME == record {
		if ($1 !~ /^#/ && NF == 3) {
			was[$1 " " $2] = $3
			line[$1 " " $2] = FNR
			known[$1] = 1
		}
		next
	}
	{
		key = $1 " " $2
		measured[$1] = 1
		seen[key] = 1
		if (!(key in was)) {
			fresh[$1]++
			printf "%-7s %-26s %12d %12s %8s\n", $1, $2, $3, "-", known[$1] ? "new" : ""
			next
		}
		printf "%-7s %-26s %12d %12d %+7.1f%%\n", $1, $2, $3, was[key], 100 * ($3 / was[key] - 1)
		if ($3 > was[key] * 1.1)
			grown[++growing] = sprintf("%s:%d: %s on %s: %d instructions, was %d: more than a tenth longer",
				record, line[key], $2, $1, $3, was[key])
	}
	END {
		for (kernel in fresh)
			if (!known[kernel])
				printf "kernel %s is not in the record (--update puts it there)\n", kernel
		for (key in was) {
			split(key, part, " ")
			if (measured[part[1]] && !seen[key])
				printf "%s:%d: %s no longer loads on %s\n", record, line[key], part[2], part[1]
		}
		for (i = 1; i <= growing; i++)
			print grown[i]
		exit growing > 0
	}' "$record" "$work/now"
status=$?

[ -n "$update" ] || exit $status
{
	echo "# Instructions the verifier walked: kernel, program, count. Written by"
	echo "# tests/bench/verifier.sh --update [KERNEL...]; make verifier fails if one grew by more than a tenth."
	{
		awk 'NR == FNR { measured[$1] = 1; next } !/^#/ && NF == 3 && !measured[$1]' "$work/now" "$record"
		cat "$work/now"
	} | LC_ALL=C sort -t' ' -k1,1V -k2,2
} >"$work/record"
cat "$work/record" >"$record"
echo "$record is up to date"
