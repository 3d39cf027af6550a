#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# One capability is one stem: every line of probes.def has its files, no file has a stem without a line.
# Then what every file owes the reader: a licence line, the four paragraphs of a BPF source, no words
# that belong to somebody's desk. Long files and functions are only warned of.

set -u
cd "$(dirname "$0")/../.." || exit 1

file_lines=600
function_lines=60
failed=0
list=include/plimsoll/probes.def
# The first commit of a clone: nothing is tracked yet, look at what would be.
mapfile -t tracked < <(git ls-files --cached --others --exclude-standard 2>/dev/null | LC_ALL=C sort -u)
if [ "${#tracked[@]}" -eq 0 ]; then
	mapfile -t tracked < <(find . -type f -not -path './build/*' -not -path './.git/*' -printf '%P\n' | LC_ALL=C sort)
fi

wrong() # place, text
{
	printf '%s: %s\n' "$1" "$2"
	failed=1
}

check_stems()
{
	local place stem file

	while IFS=' ' read -r place stem; do
		for file in "include/plimsoll/$stem.h" "bpf/$stem.bpf.c" "user/probes/$stem.c" "docs/probes/$stem.md"; do
			[ -e "$file" ] || wrong "$list:$place" "probe $stem has no $file"
		done
		grep -qrF --include='*.py' --include='*.c' --include='*.sh' "$stem" tests/kernel ||
			wrong "$list:$place" "no test in tests/kernel names $stem"
	done < <(awk -F'"' '/^PROBE\(/ { print NR, $2 }' "$list")

	for file in include/plimsoll/*/*.h bpf/*/*.bpf.c user/probes/*/*.c docs/probes/*/*.md; do
		[ -e "$file" ] || continue
		stem=${file#include/plimsoll/} stem=${stem#bpf/} stem=${stem#user/probes/} stem=${stem#docs/probes/}
		stem=${stem%.bpf.c} stem=${stem%.c} stem=${stem%.h} stem=${stem%.md}
		grep -q "^PROBE(.*\"$stem\"" "$list" && continue
		# A part of a probe has a header of its own beside it.
		[[ "$file" == user/probes/* && -e "user/probes/$stem.h" ]] && continue
		wrong "$file:1" "$stem is not in $list"
	done
}

check_openings()
{
	local file

	for file in bpf/*/*.bpf.c; do
		awk -v file="$file" '
			BEGIN { split("Sees:,Hooks:,Cost:,Blind spots:", want, ",") }
			FNR <= 60 && index($0, " * " want[found + 1] " ") == 1 { found++ }
			found == 4 || /\*\// { exit }
			END {
				if (found < 4) {
					printf "%s:1: the opening comment lacks \"%s\" (Sees, Hooks, Cost, Blind spots)\n",
						file, want[found + 1]
					exit 1
				}
			}' "$file" || failed=1
	done
}

is_code() # path
{
	case $1 in
	vmlinux/*/vmlinux.h | tests/fuzz/corpus/*) return 1 ;;
	*.c | *.h | *.def | *.sh | *.py | Makefile | tests/lint/hooks/* | tests/vm/guest/*) return 0 ;;
	*) return 1 ;;
	esac
}

check_files()
{
	local file lines

	for file in "${tracked[@]}"; do
		is_code "$file" || continue
		[ -f "$file" ] || continue # deleted, not yet committed
		head -n 3 "$file" | grep -q 'SPDX-License-Identifier: GPL-2.0-only$\|SPDX-License-Identifier: GPL-2.0-only \*/$' ||
			wrong "$file:1" "no SPDX-License-Identifier: GPL-2.0-only in the first lines"
		lines=$(wc -l <"$file")
		[ "$lines" -le $file_lines ] ||
			printf '%s:%d: warning: %d lines, more than %d: could it be two files?\n' \
				"$file" "$lines" "$lines" $file_lines
		case $file in
		*.c | *.h) check_functions "$file" ;;
		esac
	done
}

# In our format a function's body is between a brace in the first column and the next one.
check_functions() # path
{
	awk -v file="$1" -v most=$function_lines '
		/^[A-Za-z_].*\(/ && !/;$/ { head = $0; head_line = FNR }
		/^[ \t].*\)$/ && head_line == FNR - 1 { head_line = FNR }
		/^\{/ { start = FNR }
		/^\}/ {
			if (start && head && FNR - start - 1 > most) {
				match(head, /[A-Za-z_0-9]+\(/)
				printf "%s:%d: warning: %s) is %d lines, more than %d\n", file, start,
					substr(head, RSTART, RLENGTH), FNR - start - 1, most
			}
			start = 0
			head = ""
		}' "$1"
}

# Nothing in the tree speaks of the tools it was written with or the machine it was written on. The
# words are put together here, or this file would be the first to be found.
check_words()
{
	local words paths place

	words="\\b(clau""de|anthro""pic|open""ai|chat""gpt|gpt-[0-9]|co""pilot|gem""ini|cod""ex|language mo""del|ai assis""tant|"
	words+="assis""tants?|ai ses""sions?|coding ses""sions?|this ses""sion|sub""agents?|prompt engi""neering)\\b"
	paths="(^|[^A-Za-z0-9_.-])/(wo""rk|fa""rm)/[a-z.]|\\b[a-z0-9-]+\\.(inter""nal|co""rp|la""n)\\b[:/]"
	paths+="|\\b(artifac""tory|nex""us|go""proxy)[a-z0-9.-]*\\.[a-z]+"
	while IFS= read -r place; do
		wrong "$(printf '%s' "$place" | cut -d: -f1-2)" \
			"speaks of the desk it was written at: $(printf '%s' "$place" | cut -d: -f3- | cut -c1-80)"
	done < <(printf '%s\0' "${tracked[@]}" | grep -zv '^vmlinux/' |
		xargs -0 grep -nHIiE -e "$words" -e "$paths" -- 2>/dev/null)
}

check_stems
check_openings
check_files
check_words
exit $failed
