#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Usage: tests/lint/run.sh [CHECK...]
# Runs every check beside this file (names.sh is CHECK names), or the named ones. What is wrong comes
# out as "file:line: what"; nothing does when all is well. Exit 1 if a check failed; warnings do not.

set -u
cd "$(dirname "$0")/../.." || exit 1

checks=("$@")
if [ $# -eq 0 ]; then
	for script in tests/lint/*.sh; do
		name=$(basename "$script" .sh)
		case $name in
		run | format) ;; # format is make format-check
		*) checks+=("$name") ;;
		esac
	done
fi

failed=()
for name in "${checks[@]}"; do
	script=tests/lint/$name.sh
	if [ ! -x "$script" ]; then
		echo "$script:1: no such check, or not executable"
		failed+=("$name")
		continue
	fi
	timeout -k 5 "${LINT_TIMEOUT:-300}" "$script" </dev/null 2>&1
	status=$?
	[ $status -ne 124 ] || echo "$script:1: still running after ${LINT_TIMEOUT:-300} s"
	[ $status -eq 0 ] || failed+=("$name")
done

[ "${#failed[@]}" -eq 0 ] && exit 0
echo "lint: failed: ${failed[*]}" >&2
exit 1
