#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# clang-tidy (.clang-tidy) and cppcheck over bpf/ and user/, with the flags make uses.
#
# The analyzer's search is cut at 40,000 states a function: a fifth of the time, the same findings here.

set -u
cd "$(dirname "$0")/../.." || exit 1

failed=0
work=build/lint
mkdir -p "$work"
tests/lint/compile_commands.py "$work/compile_commands.json" || exit 1
bound=(--extra-arg=-Xclang --extra-arg=-analyzer-config --extra-arg=-Xclang
	--extra-arg=max-nodes=40000)
findings=': (warning|error):|: fatal error:'

# What a tool prints as /full/path:3:1: error: text becomes path:3: text.
place()
{
	sed -E -e "s#^$PWD/##" -e 's#^([^:]+:[0-9]+):[0-9]+: (fatal )?(warning|error): #\1: #' \
		-e 's#,-warnings-as-errors\]$#]#' | LC_ALL=C sort -u
}

tidy() # source...
{
	printf '%s\0' "$@" | xargs -0 -n 2 -P "$(nproc)" \
		clang-tidy -p "$work" --quiet "${bound[@]}" 2>>"$work/tidy.err" >>"$work/tidy.out"
}

run_tidy()
{
	: >"$work/tidy.out"
	: >"$work/tidy.err"
	tidy user/main.c user/*/*.c user/*/*/*.c || failed=1
	# The analyzer follows kernel pointers it knows nothing of for minutes; the verifier does it better.
	# And a step done three times in one condition is how loops are written there.
	bound+=(--checks='-clang-analyzer-*,-misc-redundant-expression')
	tidy bpf/*/*.bpf.c || failed=1
	grep -E "$findings" "$work/tidy.out" | place
	if [ $failed -ne 0 ] && ! grep -qE "$findings" "$work/tidy.out"; then
		grep -vE 'warnings? (generated|treated)' "$work/tidy.err" | tail -n 5 | sed 's/^/clang-tidy: /'
	fi
}

# arrayIndexThenCheck: our lists end in NULL, and the bound asked for next is another array's.
run_cppcheck()
{
	cppcheck --quiet -j "$(nproc)" --std=c11 --language=c --enable=warning,performance,portability \
		--inline-suppr --suppress=missingIncludeSystem --suppress='*:build/*' \
		--suppress=arrayIndexThenCheck \
		--template='{file}:{line}: {message} [{id}]' --error-exitcode=1 \
		'-DLIBBPF_OPTS(type,name,...)=struct type name = { __VA_ARGS__ }' \
		-D_GNU_SOURCE -DPLIMSOLL_VERSION='""' -Iuser -Iinclude user 2>"$work/cppcheck.out" || failed=1
	LC_ALL=C sort -u "$work/cppcheck.out"
}

run_tidy
run_cppcheck
exit $failed
