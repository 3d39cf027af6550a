#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Usage: tests/lint/format.sh [--check] [FILE...]
# Lays out our C the way .clang-format says: everything in bpf/, include/, user/ and tests/, or the
# files named. --check changes nothing and says what differs. Another version of the formatter means
# another layout: it is version 14 (CLANG_FORMAT names one).

set -u
cd "$(dirname "$0")/../.." || exit 1

check=
[ "${1:-}" != --check ] || { check=1 && shift; }
formatter=${CLANG_FORMAT:-$(command -v clang-format-14 || command -v clang-format)}
if ! "$formatter" --version 2>/dev/null | grep -q 'version 14\.'; then
	echo "format: clang-format 14 is missing (package clang-format of Debian 12)" >&2
	exit 1
fi

files=()
if [ $# -gt 0 ]; then
	for file in "$@"; do
		case $file in
		vmlinux/* | build/*) ;;
		*.c | *.h) files+=("$file") ;;
		esac
	done
else
	mapfile -t files < <(find bpf include user tests \( -name '*.c' -o -name '*.h' \) | LC_ALL=C sort)
fi
[ "${#files[@]}" -gt 0 ] || exit 0

if [ -z "$check" ]; then
	exec "$formatter" -i "${files[@]}"
fi
"$formatter" --dry-run --ferror-limit=1 -Werror "${files[@]}" 2>&1 |
	sed -nE 's/^([^:]+:[0-9]+):[0-9]+: error: .*/\1: is not laid out as make format does/p'
exit "${PIPESTATUS[0]}"
