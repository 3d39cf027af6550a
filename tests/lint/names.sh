#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Names others have to live with: BPF maps (bpftool), public functions (the reader of a call), series
# and labels (dashboards). The last two are judged as built: make build first.

set -u
cd "$(dirname "$0")/../.." || exit 1

failed=0
binary=${PLIMSOLL:-build/plimsoll}
map_bytes=15 # BPF_OBJ_NAME_LEN less the NUL

wrong() # place, text
{
	printf '%s: %s\n' "$1" "$2"
	failed=1
}

check_maps()
{
	local place name

	while IFS=' ' read -r place name; do
		[[ "$name" == pl_* ]] || wrong "$place" "map $name: names of maps begin with pl_"
		[ "${#name}" -le $map_bytes ] ||
			printf '%s: warning: map %s: the kernel keeps %d bytes, bpftool shows %s\n' \
				"$place" "$name" $map_bytes "${name:0:map_bytes}"
	done < <(grep -rnE '^\} *[A-Za-z_0-9]+ SEC\("\.maps"\)' bpf |
		sed -E 's/^([^:]*:[0-9]*):\} *([A-Za-z_0-9]+).*/\1 \2/')
}

# A public function begins with the stem of its file, of its folder, of a header of its folder, or with
# the name of a type such a header defines.
check_functions()
{
	local object source folder name line prefixes prefix good

	while IFS= read -r object; do
		source=${object#build/}
		source=${source%.o}.c
		[ -e "$source" ] || continue # left over from a file that is gone
		folder=$(dirname "$source")
		[ "$folder" = user ] && continue
		prefixes=$(
			printf '%s\n' "$(basename "$source" .c)" "$(basename "$folder")"
			for header in "$folder"/*.h; do
				[ -e "$header" ] || continue
				basename "$header" .h
				sed -nE 's/^(struct|enum|union) ([a-z_0-9]+) \{.*/\2/p' "$header"
			done
		)
		while IFS= read -r name; do
			good=
			for prefix in $prefixes; do
				[[ "$name" == "$prefix" || "$name" == "${prefix}_"* ]] && good=1 && break
			done
			[ -n "$good" ] && continue
			line=$(grep -nE "^[A-Za-z_].*\\b$name\\(" "$source" | head -n 1 | cut -d: -f1)
			wrong "$source:${line:-1}" \
				"$name() is public: its name begins with no stem or type of $folder"
		done < <(nm --defined-only --extern-only "$object" | awk '$2 == "T" { print $3 }')
	done < <(find build/user -name '*.o' | LC_ALL=C sort)
}

check_series()
{
	local name text line

	while IFS=$'\t' read -r name text; do
		line=$(grep -rnF "\"$name\"" user --include='*.c' | head -n 1 | cut -d: -f1-2)
		wrong "${line:-user}" "$name: $text"
	done < <("$binary" metrics-doc | awk -F ' [|] ' '
		function say(text) { print name "\t" text }
		/^\| `/ {
			name = $1
			gsub(/[|` ]/, "", name)
			kind = $2
			help = $4
			sub(/ \|$/, "", help)
			if (kind !~ /^(counter|gauge|histogram)$/)
				next # another table
			count++
			if (seen[name]++)
				say("declared twice")
			if (name !~ /^[a-z][a-z0-9]*(_[a-z0-9]+)*$/)
				say("want lower case words with one _ between them")
			if (kind == "counter" && name !~ /_total$/)
				say("a counter ends in _total")
			if (kind != "counter" && name ~ /_total$/)
				say("_total is for counters, this is a " kind)
			if (name ~ /_(count|sum|bucket|created)$/)
				say("this ending belongs to the parts of a histogram")
			if (kind == "histogram" && name !~ /_(seconds|bytes|ratio)$/)
				say("a histogram ends in its unit: _seconds, _bytes or _ratio")
			if (name ~ /_(ns|us|ms|nanoseconds|microseconds|milliseconds|minutes|hours|kb|mb|kib|mib|kilobytes|megabytes|percent|pct)(_|$)/)
				say("base units only: seconds, bytes, ratios")
			if (help !~ /\.$/)
				say("its help is not a sentence: " help)
			labels = $3
			gsub(/[` ]/, "", labels)
			n = split(labels, label, ",")
			for (i = 1; i <= n; i++) {
				if (label[i] !~ /^[a-z][a-z0-9_]*$/ || label[i] ~ /__/)
					say("label " label[i] ": want lower case words")
				if (label[i] ~ /^(le|quantile|job|instance)$/)
					say("label " label[i] " belongs to Prometheus")
			}
		}
		END { if (!count) print "metrics-doc\tlists no series" }')
}

[ -x "$binary" ] || { echo "$binary:1: is not built: make build"; exit 1; }
check_maps
check_functions
check_series
exit $failed
