#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Usage: tests/vm/image.sh OUT
# Builds the guest's file system from this machine's own files: the agent, the test programs and the
# tests at the same places below /srv/plimsoll as in this tree, what the tests start (nginx, wrk, ...),
# python with its library, and every shared object they need. OUT is an uncompressed cpio archive:
# unpacking it is the whole boot, and under emulation a decompressor costs more than the bytes it saves.
set -eu

out=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
tree=$root/build/vm/tree
repo=$tree/srv/plimsoll
programs="dash bash nginx wrk ab curl ip tc ss bpftool"
PATH=$PATH:/usr/sbin:/sbin

fail() {
	echo "$1" >&2
	exit 1
}

# Debian joins /bin and /lib with /usr by links: a file is put where its folder really is.
add() {
	folder=$(realpath "$(dirname "$1")")
	[ ! -e "$tree$folder/${1##*/}" ] || return 0
	mkdir -p "$tree$folder"
	cp -L --preserve=mode,timestamps "$1" "$tree$folder/"
}

add_libraries() {
	ldd "$@" 2>/dev/null | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// && $2 ~ /^\(/ { print $1 }' |
		sort -u | while read -r library; do
		add "$library"
	done
}

add_skeleton() {
	rm -rf "$tree"
	mkdir -p "$tree/usr/bin" "$tree/usr/sbin" "$tree/usr/lib" "$tree/usr/lib64" "$tree/etc/nginx" \
		"$tree/proc" "$tree/sys" "$tree/dev" "$tree/tmp" "$tree/modules"
	for folder in bin sbin lib lib64; do
		ln -s usr/$folder "$tree/$folder"
	done
	cat >"$tree/etc/passwd" <<-EOF
		root:x:0:0:root:/root:/bin/sh
		www-data:x:33:33:www-data:/var/www:/bin/sh
		nobody:x:65534:65534:nobody:/nonexistent:/bin/sh
	EOF
	printf 'root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n' >"$tree/etc/group"
	printf '127.0.0.1 localhost guest\n::1 localhost\n' >"$tree/etc/hosts"
	cp /etc/nginx/mime.types "$tree/etc/nginx/" 2>/dev/null || true
	cp /etc/os-release "$tree/etc/"
}

add_programs() {
	busybox=$(command -v busybox) || fail "busybox is missing (package busybox-static)"
	ldd "$busybox" >/dev/null 2>&1 && add_libraries "$busybox"
	cp "$busybox" "$tree/usr/bin/busybox"
	for program in $programs; do
		file=$(command -v "$program") || continue
		add "$file"
		add_libraries "$file"
	done
	# The shell of busybox prefers its own ip and tc to those beside it.
	ln -sf dash "$tree/usr/bin/sh"
	cp "$root/tests/vm/guest/init" "$tree/init"
	${CC:-cc} -O2 -static -Wall -Wextra -Werror -o "$tree/exit" "$root/tests/vm/guest/exit.c"
}

# The Debian python, whatever else is first in PATH: only its library is where we look for it.
add_python() {
	python=/usr/bin/python3
	[ -x $python ] || fail "$python is missing (package python3)"
	library=$($python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
	mkdir -p "$tree$library"
	tar -C "$library" -c --exclude=./test --exclude=./config-\* --exclude=./idlelib --exclude=./tkinter \
		--exclude=./lib2to3 --exclude=./ensurepip --exclude=./distutils --exclude=./pydoc_data \
		--exclude=./curses --exclude=./venv --exclude=./dist-packages --exclude=./sitecustomize.py \
		--exclude=\*.opt-\* --exclude=_test\* --exclude=_codecs_\* --exclude=_curses\* --exclude=_tkinter\* \
		--exclude=_dbm\* --exclude=readline.\* --exclude=nis.\* . | tar -C "$tree$library" -x
	add "$(realpath $python)"
	ln -sf "$(basename "$(realpath $python)")" "$tree/usr/bin/python3"
	add_libraries "$(realpath $python)" "$tree$library"/lib-dynload/*.so
	# Loaded by name when a thread ends.
	add "$(${CC:-cc} -print-file-name=libgcc_s.so.1)"
}

add_ours() {
	[ -x "$root/build/plimsoll" ] || fail "build/plimsoll is missing: run make build first"
	mkdir -p "$repo/build/tests"
	cp -p "$root/build/plimsoll" "$repo/build/"
	add_libraries "$root/build/plimsoll"
	if [ -d "$root/build/tests/lib" ]; then
		cp -rp "$root/build/tests/lib" "$repo/build/tests/"
		find "$root/build/tests/lib" -type f -perm -100 | while read -r tool; do
			add_libraries "$tool"
		done
	fi
	cp -rp "$root/tests" "$repo/"
	if [ -d "$root/deploy/config" ]; then
		mkdir -p "$repo/deploy"
		cp -rp "$root/deploy/config" "$repo/deploy/"
	fi
}

add_skeleton
add_programs
add_python
add_ours
(cd "$tree" && find . -print0 | sort -z | cpio --null --create --quiet --format=newc --owner=0:0) >"$out.new"
mv "$out.new" "$out"
