#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Runs what `make test` promises: unit tests, kernel and end-to-end tests, the
# fuzz targets and the tests under other kernels. Every program prints TAP.
# Arguments select programs by a part of their path: tests/run.sh http budgets
#
# FUZZ_SECONDS=20            time per fuzz target
# VM_KERNELS="6.1 6.12 newest::fentry"  kernels to boot (tests/vm/run.sh), VM_JOBS=2 at a time
# TEST_TIMEOUT=300           seconds a test program may take
#
# The last line is "N passed, N failed, N skipped". Exit 1 if something failed
# or nothing passed; a program that crashes, hangs, or reports fewer tests than
# it planned has failed.

set -u
cd "$(dirname "$0")/.." || exit 1

export CMOCKA_MESSAGE_OUTPUT=TAP
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
export FUZZ_SECONDS="${FUZZ_SECONDS:-20}"
# The newest preempts itself, which makes it slow there (decision 0008): one rung.
export VM_KERNELS="${VM_KERNELS:-6.1 6.12 newest::fentry}"
# All of it on every rung takes a quarter of an hour a kernel under emulation: make vmtest runs that.
export PLIMSOLL_BRIEF="${PLIMSOLL_BRIEF-1}"
export VM_JOBS="${VM_JOBS:-2}" VM_SECONDS="${VM_SECONDS:-1200}"
test_timeout="${TEST_TIMEOUT:-300}"
long_timeout=7200 # for fuzz and vm, which limit their own parts
failure_lines=200 # of a failed program's output that are shown at the end

passed=0 failed=0 skipped=0
skip_lines=()
failed_programs=()
running=""
program_count=0
selection=("$@")
token="end-of-program-$$-$RANDOM"

work="$(mktemp -d)" || exit 1
trap 'rm -rf "$work"' EXIT
trap 'interrupted 130' INT
trap 'interrupted 143' TERM

red="" green="" yellow="" plain=""
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	red=$'\e[31m' green=$'\e[32m' yellow=$'\e[33m' plain=$'\e[0m'
fi

count_passed() # program, test
{
	passed=$((passed + 1))
	printf '%sok%s   %s: %s\n' "$green" "$plain" "$1" "$2"
}

count_failed() # program, test
{
	failed=$((failed + 1))
	printf '%sFAIL%s %s: %s\n' "$red" "$plain" "$1" "$2"
}

count_skipped() # program, test, reason
{
	skipped=$((skipped + 1))
	skip_lines+=("$1: $2: ${3:-no reason given}")
	printf '%sSKIP%s %s: %s (%s)\n' "$yellow" "$plain" "$1" "$2" "${3:-no reason given}"
}

is_selected() # path
{
	local part

	[ "${#selection[@]}" -eq 0 ] && return 0
	for part in "${selection[@]}"; do
		[[ "$1" == *"$part"* ]] && return 0
	done
	return 1
}

# Prints the program's output, then the token and its exit status. Background
# jobs of a shell ignore SIGINT; tests of signals need it as it was.
supervise() # seconds, program
{
	local child status

	trap 'kill "$child" 2>/dev/null' TERM
	trap '' INT
	env --default-signal=INT,QUIT timeout -k 10 "$1" "$2" </dev/null &
	child=$!
	wait "$child"
	status=$?
	while kill -0 "$child" 2>/dev/null; do
		wait "$child"
		status=$?
	done
	printf '\n%s %d\n' "$token" "$status"
}

# One TAP line; counts into the caller's results, plan, bad and remark.
take_line() # name, line
{
	local name="$1" line="$2" test reason=""
	local result='^(not ok|ok) +[0-9]+ *(.*)$'
	local skip='^(.*)# *[Ss][Kk][Ii][Pp][^ ]* *(.*)$'

	if [[ "$line" =~ ^1\.\.([0-9]+)\ *(.*)$ ]]; then
		plan="${BASH_REMATCH[1]}"
		if [ "$plan" -eq 0 ]; then
			reason="${BASH_REMATCH[2]}"
			[[ "$reason" =~ $skip ]] && reason="${BASH_REMATCH[2]}"
			count_skipped "$name" "all" "$reason"
		fi
		return
	fi
	if [[ "$line" == "Bail out!"* ]]; then
		count_failed "$name" "$line"
		bad=$((bad + 1))
		return
	fi
	if [[ ! "$line" =~ $result ]]; then
		[[ "$line" == "# "* ]] && remark="${line#\# }"
		return
	fi
	results=$((results + 1))
	line="${BASH_REMATCH[1]}"
	test="${BASH_REMATCH[2]#- }"
	if [[ "$test" =~ $skip ]]; then
		reason="${BASH_REMATCH[2]}"
		test="${BASH_REMATCH[1]% }"
		# cmocka says "# SKIP name"; the reason is the remark printed in front of it.
		[ -n "$test" ] || { test="$reason" && reason="$remark"; }
		count_skipped "$name" "$test" "$reason"
	elif [ "$line" = "ok" ]; then
		count_passed "$name" "$test"
	else
		count_failed "$name" "$test"
		bad=$((bad + 1))
	fi
	remark=""
}

# What the single lines could not show.
judge_end() # name, exit status, seconds allowed
{
	local name="$1" status="$2" limit="$3"

	if [ "$status" -eq 124 ] || { [ "$status" -eq 137 ] && [ "$SECONDS" -ge "$limit" ]; }; then
		count_failed "$name" "still running after $limit s"
	elif [ "$status" -gt 128 ]; then
		count_failed "$name" "killed by signal $((status - 128)) ($(kill -l $((status - 128))))"
	elif [ "$results" -eq 0 ] && [ "$plan" != 0 ]; then
		count_failed "$name" "reported no test (exit status $status)"
	elif [ -n "$plan" ] && [ "$plan" -ne "$results" ]; then
		count_failed "$name" "planned $plan tests, reported $results (exit status $status)"
	elif [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
		count_failed "$name" "exit status $status though no test failed"
	else
		return
	fi
	bad=$((bad + 1))
}

run_program() # name, program, seconds
{
	local name="$1" program="$2" limit="$3"
	local line status="" results=0 plan="" bad=0 remark="" blank=""
	local pipe output

	program_count=$((program_count + 1))
	# A new pipe each time: what a program leaves behind may still hold the old one.
	pipe="$work/$program_count.pipe"
	output="$work/$program_count.out"
	mkfifo "$pipe" || exit 1
	SECONDS=0
	supervise "$limit" "$program" >"$pipe" 2>&1 &
	running=$!
	while IFS= read -r line; do
		line="${line%$'\r'}"
		if [[ "$line" == "$token "* ]]; then
			status="${line##* }"
			break
		fi
		# Blank lines at the very end are dropped, the one before the token among them.
		if [ -z "$line" ]; then
			blank+=$'\n'
			continue
		fi
		printf '%s%s\n' "$blank" "$line" >&3
		blank=""
		take_line "$name" "$line"
	done <"$pipe" 3>"$output"
	wait "$running" 2>/dev/null
	running=""
	judge_end "$name" "${status:-255}" "$limit"
	if [ "$bad" -gt 0 ]; then
		failed_programs+=("$name"$'\t'"$output")
	else
		rm -f "$output"
	fi
	rm -f "$pipe"
}

run_unit_tests()
{
	local source name binary

	while IFS= read -r source; do
		name="${source#tests/}"
		name="${name%.c}"
		binary="build/tests/$name"
		is_selected "tests/$name" || continue
		if [ -x "$binary" ]; then
			run_program "${name%_test}" "$binary" "$test_timeout"
		else
			count_failed "${name%_test}" "not built: $binary"
		fi
	done < <(find tests/unit -name '*_test.c' | LC_ALL=C sort)
}

run_scripts() # folder
{
	local script name

	for script in "tests/$1"/*.py; do
		[ -e "$script" ] || continue
		is_selected "$script" || continue
		name="${script#tests/}"
		name="${name%.py}"
		if [ -x "$script" ]; then
			run_program "$name" "$script" "$test_timeout"
		elif [ "$(head -c 2 "$script")" = "#!" ]; then
			count_failed "$name" "not executable: $script"
		fi
	done
}

run_suite() # folder with its own runner
{
	local script="tests/$1/run.sh"

	[ -e "$script" ] || return
	is_selected "$script" || return
	if [ -x "$script" ]; then
		run_program "$1" "$script" "$long_timeout"
	else
		count_failed "$1" "not executable: $script"
	fi
}

print_failures()
{
	local entry output

	[ "${#failed_programs[@]}" -gt 0 ] || return
	for entry in "${failed_programs[@]}"; do
		output="${entry#*$'\t'}"
		printf '\n%s--- %s%s\n' "$red" "${entry%%$'\t'*}" "$plain"
		grep -aEv '^ok +[0-9]+ ' "$output" | tail -n "$failure_lines"
	done
}

print_summary()
{
	local line

	print_failures
	if [ "${#skip_lines[@]}" -gt 0 ]; then
		printf '\n%sskipped:%s\n' "$yellow" "$plain"
		for line in "${skip_lines[@]}"; do
			printf '  %s\n' "$line"
		done
	fi
	printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
}

interrupted() # exit status
{
	trap '' INT TERM
	if [ -n "$running" ]; then
		kill "$running" 2>/dev/null
		wait "$running" 2>/dev/null
	fi
	count_failed "run" "interrupted"
	print_summary
	exit "$1"
}

run_unit_tests
run_scripts kernel
run_scripts e2e
run_suite fuzz
run_suite vm

if [ $((passed + failed + skipped)) -eq 0 ] && [ "${#selection[@]}" -gt 0 ]; then
	printf 'no test has any of these in its path: %s\n' "${selection[*]}" >&2
fi
print_summary
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
