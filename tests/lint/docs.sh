#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Every path that README.md and docs/**/*.md name exists: targets of links, and whatever looks like a path of
# this repository (begins with one of its folders, or is a Makefile or .md in backticks). For each one that
# does not: "docs/X.md:LINE: no such path Y", and exit 1.
#
# A link is relative to its file, everything else to the top; documents may name each other without docs/.
# Paths may hold * (then something must fit). Parts in capitals, <name>, {a,b} and ... stand for others and
# are passed over.

set -eu
cd "$(dirname "$0")/../.."

found=$(mktemp)
trap 'rm -f "$found"' EXIT

# words FILE: one "LINE KIND PATH" per path in it
words() {
	awk '
		function each(text, pattern, before, after, kind) {
			while (match(text, pattern)) {
				print FNR, kind, substr(text, RSTART + before, RLENGTH - before - after)
				text = substr(text, RSTART + RLENGTH)
			}
		}
		{
			line = " " $0
			each(line, "\\]\\([^) \t]+\\)", 2, 1, "link")
			gsub(/\]\([^) \t]+\)/, "]", line)
			each(line, "`(Makefile|[A-Za-z_]+\\.md)`", 1, 1, "name")
			each(line, "[^A-Za-z0-9_./-](bpf|user|include|tests|deploy|docs|vmlinux)/[A-Za-z0-9_./*<>{}-]*", 1, 0, "path")
		}' "$1" | LC_ALL=C sort -u | sort -s -n -k 1,1
}

# exists PATTERN
exists() {
	# shellcheck disable=SC2086
	set -- $1
	[ -e "$1" ]
}

for file in README.md $(find docs -name '*.md' | LC_ALL=C sort); do
	words "$file" | while read -r line kind path; do
		path=${path%%#*}
		path=${path%.}
		case $path in
		"" | *://* | mailto:* | *"<"* | *"{"* | *..[!/]* | *[A-Z][A-Z][A-Z]/*) continue ;;
		esac
		target=$path
		[ "$kind" != link ] || target=$(dirname "$file")/$path
		exists "$target" || { [ "$kind" = name ] && exists "docs/$path"; } ||
			echo "$file:$line: no such path $path"
	done
done | uniq >"$found"

cat "$found"
[ ! -s "$found" ]
