#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Builds every tests/fuzz/*_fuzz.c with libFuzzer, AddressSanitizer and
# UndefinedBehaviorSanitizer, and runs each on its corpus. Prints TAP, one test
# per fuzzer. Arguments select fuzzers by name: tests/fuzz/run.sh http1
#
# FUZZ_SECONDS=20   time per fuzzer
#
# The comment on top of a harness says what it is built from:
#   sources: files besides itself (globs)   libs: pkg-config names   flags: for clang
# What was found stays in build/fuzz/<name>/. Exit 1 on a finding.

set -u
cd "$(dirname "$0")/../.." || exit 1

seconds="${FUZZ_SECONDS:-20}"
clang="${CLANG:-clang}"
build="build/fuzz"
number=0
findings=0

listed() # harness, word
{
	sed -n "s/^ \* $2: //p" "$1" | head -n 1
}

compile() # harness, program
{
	local sources libs flags

	read -ra libs <<<"$(listed "$1" libs)"
	read -ra flags <<<"$(listed "$1" flags)"
	# shellcheck disable=SC2207 # globs are meant to be expanded
	sources=($(listed "$1" sources))
	if [ "${#libs[@]}" -gt 0 ]; then
		read -ra libs <<<"$(pkg-config --libs "${libs[@]}")"
	fi
	"$clang" -std=gnu11 -D_GNU_SOURCE -g -O1 -fno-omit-frame-pointer \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		"${flags[@]}" -Iuser -Iinclude -DPLIMSOLL_VERSION='"fuzz"' \
		-o "$2" "$1" "${sources[@]}" "${libs[@]}" -lm -lpthread
}

result() # ok or not ok, name, remark
{
	number=$((number + 1))
	[ "$1" = ok ] || findings=$((findings + 1))
	printf '%s %d - %s\n' "$1" "$number" "$2"
	[ -z "$3" ] || printf '# %s\n' "$3"
}

run_fuzzer() # harness
{
	local name folder found runs

	name="$(basename "$1" _fuzz.c)"
	folder="$build/$name"
	mkdir -p "$folder/corpus"
	if ! compile "$1" "$folder/fuzz" >"$folder/build.log" 2>&1; then
		sed 's/^/# /' "$folder/build.log"
		result "not ok" "$name" "does not build"
		return
	fi
	[ ! -d "tests/fuzz/corpus/$name" ] || cp -r "tests/fuzz/corpus/$name/." "$folder/corpus"
	rm -f "$folder"/crash-* "$folder"/leak-* "$folder"/timeout-* "$folder"/oom-*
	if ! "$folder/fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
		-print_final_stats=1 -artifact_prefix="$folder/" "$folder/corpus" \
		</dev/null >"$folder/run.log" 2>&1; then
		grep -aE 'ERROR|runtime error|broken:|SUMMARY' "$folder/run.log" | sed 's/^/# /'
		found="$(find "$folder" -maxdepth 1 -name '*-*' -type f | head -n 1)"
		result "not ok" "$name" "input: ${found:-none kept}, output: $folder/run.log"
		return
	fi
	runs="$(sed -n 's/^stat::number_of_executed_units: *//p' "$folder/run.log")"
	result ok "$name" "$runs inputs in $seconds s"
}

harnesses=()
for harness in tests/fuzz/*_fuzz.c; do
	if [ "$#" -eq 0 ]; then
		harnesses+=("$harness")
		continue
	fi
	for part in "$@"; do
		[[ "$harness" != *"$part"* ]] || harnesses+=("$harness")
	done
done
printf '1..%d\n' "${#harnesses[@]}"
for harness in "${harnesses[@]}"; do
	run_fuzzer "$harness"
done
[ "$findings" -eq 0 ]
