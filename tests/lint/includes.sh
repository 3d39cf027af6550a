#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Every #include against layers.txt. Two rules stand here because they are about files, not folders: a
# probe never includes another probe, and a quoted include names its folder.

set -u
cd "$(dirname "$0")/../.." || exit 1

probes=$(sed -n 's/^PROBE([^"]*"\([^"]*\)".*/\1/p' include/plimsoll/probes.def | tr '\n' ' ')

find include bpf user \( -name '*.c' -o -name '*.h' \) -print0 | LC_ALL=C sort -z |
	xargs -0 grep -nHE '^[[:space:]]*#[[:space:]]*include\>' |
	awk -v rules=tests/lint/layers.txt -v probes=" $probes " '
function wrong(text)
{
	printf "%s:%s: %s\n", file, line, text
	failed = 1
}

# The folder of the rules a file of ours belongs to.
function layer(path,	parts, count)
{
	count = split(path, parts, "/")
	if (path in allowed)
		return path
	if (parts[1] == "include")
		return "include/plimsoll"
	if (parts[1] == "bpf" && parts[2] != "lib")
		return "bpf/*"
	return count > 2 ? parts[1] "/" parts[2] : path
}

# The kernels subsystem: net for bpf/net/x and user/probes/net/x.
function subsystem(path,	parts)
{
	split(path, parts, "/")
	return parts[1] == "bpf" ? parts[2] : parts[3]
}

function read_rules(	row, name, words, count, i)
{
	while ((getline row < rules) > 0) {
		rule_line++
		sub(/[ \t]*#.*/, "", row)
		if (row ~ /^[ \t]*$/)
			continue
		count = split(row, words, /[ \t]+/)
		if (words[1] == "library") {
			library[words[3]] = words[2]
			known["<" words[2] ">"] = 1
			continue
		}
		name = words[1]
		sub(/:$/, "", name)
		allowed[name] = " "
		for (i = 2; i <= count; i++) {
			if (words[i] == "*")
				allowed[name] = allowed[name] above
			else if (words[i] in known || words[i] == "vmlinux")
				allowed[name] = allowed[name] words[i] " "
			else if (words[i] != "") {
				printf "%s:%d: %s stands not above %s\n", rules, rule_line, words[i], name
				failed = 1
			}
		}
		known[name] = 1
		if (name == "include/plimsoll")
			known["plimsoll"] = 1
		if (name ~ /^user\//)
			above = above name " "
	}
	if (!rule_line) {
		printf "%s:1: cannot be read\n", rules
		failed = 1
	}
}

# What an include asks for, in the words of the rules; "" for the C library.
function wanted(path, quoted, target,	first, prefix)
{
	first = target
	sub(/\/.*/, "", first)
	if (quoted) {
		if (target !~ /\//)
			return "?"
		if (target ~ /\.skel\.h$/)
			return "skel"
		return path ~ /^bpf\// ? "bpf/" first : "user/" first
	}
	if (first == "plimsoll")
		return "plimsoll"
	if (target == "vmlinux.h")
		return "vmlinux"
	for (prefix in library)
		if (index(target, prefix) == 1)
			return "<" library[prefix] ">"
	return ""
}

# net/request for a file of that probe, "" for what is a part or a header of several.
function probe_of(path)
{
	sub(/^(user\/probes|bpf|plimsoll)\//, "", path)
	sub(/(\.bpf|\.skel)?\.[ch]$/, "", path)
	return index(probes, " " path " ") ? path : ""
}

function check_probe(path, target,	own, other)
{
	if (path !~ /^(user\/probes|bpf)\//)
		return
	own = probe_of(path)
	other = target
	sub(/^probes\//, "user/probes/", other)
	other = probe_of(other)
	if (target ~ /\.skel\.h$/ && own "" != other "")
		wrong("only the probe itself may include its skeleton: " target)
	else if (own != "" && other != "" && own != other)
		wrong("probe " own " includes what is probe " other "\047s: " target)
	else if (path ~ /^user\/probes\/[^\/]+\// && target ~ /^probes\/[^\/]+\// &&
		 subsystem(path) != subsystem("user/" target))
		wrong("a probe of " subsystem(path) " includes a part of " subsystem("user/" target))
}

BEGIN { read_rules() }

{
	match($0, /^[^:]*:[0-9]*:/)
	file = substr($0, 1, RLENGTH - 1)
	text = substr($0, RLENGTH + 1)
	line = file
	sub(/.*:/, "", line)
	sub(/:[0-9]*$/, "", file)
	if (!match(text, /["<][^">]*[">]/)) {
		wrong("an include whose target is not a plain name")
		next
	}
	quoted = substr(text, RSTART, 1) == "\""
	target = substr(text, RSTART + 1, RLENGTH - 2)
	from = layer(file)
	count++

	if (!(from in allowed)) {
		wrong("layers.txt has no rule for " from)
		next
	}
	check_probe(file, target)
	to = wanted(file, quoted, target)
	if (to == "?") {
		wrong("\"" target "\" names no folder")
		next
	}
	if (to == "skel") {
		if (from != "user/probes")
			wrong(from " may not include a skeleton")
		next
	}
	if (to == "") {
		if (from ~ /^(bpf|include)/)
			wrong(from " may not include <" target ">: there is no C library in the kernel")
		next
	}
	if (to == from || (to == "plimsoll" && from == "include/plimsoll"))
		next
	if (from == "bpf/*" && to == "bpf/" subsystem(file))
		next
	if (!index(allowed[from], " " to " "))
		wrong((from == "bpf/*" ? "bpf/" subsystem(file) : from) " may not include " \
		      (quoted ? "\"" target "\"" : "<" target ">"))
}

END {
	if (!count) {
		print "tests/lint/includes.sh:1: found no #include at all"
		failed = 1
	}
	exit failed
}'
