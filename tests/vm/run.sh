#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Usage: tests/vm/run.sh [KERNEL[:TESTS[:RUNG]]...]
# Boots each KERNEL ("6.1", "6.12", ..., "newest"; default $VM_KERNELS, else all we care for) under
# QEMU, runs the kernel tests in it and prints their results as one TAP stream:
#   ok 3 - 6.1: counts each request once
# Emulated CPUs (TCG), never KVM: the same everywhere, with root or without, and too slow for anybody
# to read a timing off it.
#
# VM_JOBS          machines at a time (1); the results of each come in one piece, when it is done
# VM_SECONDS       time for one kernel, boot included (1500)
# VM_TEST_SECONDS  time for one test program (1200)
# VM_SELECT        comma separated parts of names: only these tests of each program
# PLIMSOLL_BRIEF=1 spares what does not depend on hooks
# PLIMSOLL_TIMES=1 says what each test took
# VM_TESTS         comma separated patterns of test programs (tests/kernel/*.py)
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
vm=$root/build/vm
count=0
failed=0
qemu=
work=

# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- ${VM_KERNELS:-5.10 6.1 6.12 6.18 newest}

# point GOOD NAME: one result
point() {
	count=$((count + 1))
	if [ "$1" = ok ]; then
		echo "ok $count - $2"
	else
		failed=$((failed + 1))
		echo "not ok $count - $2"
	fi
}

finish() {
	[ -z "$qemu" ] || kill "$qemu" 2>/dev/null || true
	[ -z "$work" ] || rm -rf "$work"
}

skip_all() {
	for want in "$@"; do
		point ok "$want: boots and shuts down # SKIP $reason"
	done
	echo "1..$count"
	exit 0
}

start_machine() {
	rm -rf "$work"
	mkdir -p "$work/root/modules"
	for module in "$kernel/modules"/*.ko; do
		[ ! -e "$module" ] || cp "$module" "$work/root/modules/"
	done
	# The kernel unpacks archives laid end to end one after the other.
	(cd "$work/root" && find . | cpio --create --quiet --format=newc --owner=0:0) |
		cat "$vm/guest.cpio" - >"$work/initramfs.cpio"
	mkfifo "$work/results.fifo"
	: >"$vm/$label.console"
	append="console=ttyS0 loglevel=5 panic=-1 mitigations=off nokaslr tsc=reliable random.trust_cpu=on"
	append="$append VM_TESTS=$tests VM_TEST_SECONDS=${VM_TEST_SECONDS:-1200}"
	append="$append${VM_SELECT:+ VM_SELECT=$VM_SELECT}${PLIMSOLL_TIMES:+ PLIMSOLL_TIMES=1}"
	append="$append${PLIMSOLL_BRIEF:+ PLIMSOLL_BRIEF=1}${rung:+ PLIMSOLL_RUNG=$rung}"
	# QEMU 7.2 now and then leaves garbage in the flags behind cmpxchg16b; an interrupt there is a
	# double fault, seen in the allocator of 6.12. Kernels did without the instruction until 7.0, where
	# kmalloc_nolock(), and with it socket storage in BPF, needs it.
	cpu=max,la57=off
	[ "${release%%.*}" -ge 7 ] || cpu=$cpu,cx16=off
	timeout -k 5 "${VM_SECONDS:-1500}" qemu-system-x86_64 \
		-accel tcg,thread=multi -cpu "$cpu" -smp 2 -m 1024 \
		-nodefaults -no-user-config -display none -no-reboot \
		-serial "file:$vm/$label.console" -serial file:/dev/stdout \
		-device isa-debug-exit,iobase=0xf4,iosize=0x4 \
		-kernel "$kernel/vmlinuz" -initrd "$work/initramfs.cpio" -append "$append" \
		</dev/null >"$work/results.fifo" 2>"$vm/$label.qemu" &
	qemu=$!
}

# The guest's results become ours, renumbered; what it planned is compared in judge().
forward_results() {
	before=$count
	planned=
	while IFS= read -r line; do
		case $line in
		"ok - "*) point ok "$label: ${line#ok - }" ;;
		"not ok - "*) point no "$label: ${line#not ok - }" ;;
		"1.."*) planned=${line#1..} ;;
		*) echo "# $label: ${line#\# }" ;;
		esac
	done <"$work/results.fifo"
}

# judge STATUS: QEMU ends with 1 when the guest ended it with 0, with 0 after a panic.
judge() {
	case $1 in
	1) why= ;;
	0) why="the kernel panicked or rebooted" ;;
	124 | 137) why="no end within ${VM_SECONDS:-1500} seconds" ;;
	*) why="QEMU ended with $1" ;;
	esac
	if [ -z "$why" ] && [ "$planned" != $((count - before)) ]; then
		why="${planned:-no} results were announced, $((count - before)) arrived"
	fi
	if grep -q -E 'BUG: (unable|kernel|sleeping|scheduling|KASAN)|Oops: |WARNING: CPU' "$vm/$label.console"; then
		why=${why:-"the kernel complained"}
	fi
	if [ -z "$why" ]; then
		point ok "$label: boots and shuts down"
		return
	fi
	point no "$label: boots and shuts down"
	echo "# $label: $why"
	{
		cat "$vm/$label.qemu"
		tail -n 40 "$vm/$label.console"
	} | tr -d '\r' | sed "s/^/# $label: /" >&2
}

test_kernel() {
	IFS=: read -r want tests rung <<-EOF
		$1
	EOF
	label=$want
	tests=${tests:-${VM_TESTS:-tests/kernel/*.py}}
	work=$vm/run.$want
	if ! kernel=$(flock "$vm/fetch.lock" "$root/tests/vm/kernels.sh" "$want" 2>"$vm/$want.fetch"); then
		point ok "$want: boots and shuts down # SKIP $(tail -n 1 "$vm/$want.fetch")"
		return
	fi
	release=$(cat "$kernel/release")
	[ "$want" != newest ] || label=$(echo "$release" | cut -d. -f1-2)
	start_machine
	forward_results
	status=0
	wait "$qemu" || status=$?
	if [ $status = 0 ] && [ "${cpu%cx16=off}" = "$cpu" ]; then
		echo "# $label: a panic that may be the emulator's (see start_machine): once more"
		start_machine
		forward_results
		wait "$qemu" || status=$?
	fi
	qemu=
	judge $status
}

# One run of this script for each kernel; what it says is said at its end, renumbered.
side_by_side() {
	jobs=$VM_JOBS
	export VM_JOBS=1
	mkfifo "$vm/said.$$"
	# shellcheck disable=SC2016
	printf '%s\n' "$@" | xargs -P "$jobs" -I '{}' sh -c \
		'said=$("$0" "$1"); flock "$2" printf "%s\n" "$said"' "$0" '{}' "$vm/said.lock" >"$vm/said.$$" &
	while IFS= read -r line; do
		case $line in
		"ok "*) point ok "${line#ok * - }" ;;
		"not ok "*) point no "${line#not ok * - }" ;;
		"1.."*) ;;
		*) echo "$line" ;;
		esac
	done <"$vm/said.$$"
	rm -f "$vm/said.$$"
	wait
}

reason=
if [ "$(uname -m)" != x86_64 ]; then
	reason="guests are x86_64, this machine is $(uname -m)"
elif ! command -v qemu-system-x86_64 >/dev/null; then
	reason="qemu-system-x86_64 is missing (package qemu-system-x86)"
fi
[ -z "$reason" ] || skip_all "$@"

trap finish EXIT
trap 'exit 130' INT TERM
mkdir -p "$vm"
if [ -z "${VM_IMAGE_MADE:-}" ]; then
	flock "$vm/image.lock" "$root/tests/vm/image.sh" "$vm/guest.cpio"
	export VM_IMAGE_MADE=1
fi
if [ "${VM_JOBS:-1}" -gt 1 ] && [ $# -gt 1 ]; then
	side_by_side "$@"
else
	for want in "$@"; do
		test_kernel "$want"
	done
fi
echo "1..$count"
[ $failed -eq 0 ]
