#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Every shell script, whatever its name ends in, through shellcheck; Python must at least compile.

set -u
cd "$(dirname "$0")/../.." || exit 1

scripts=()
python=()
while IFS= read -r -d '' file; do
	case $(head -c 64 "$file" | head -n 1 | tr -d '\0') in
	'#!'*python3*) python+=("$file") ;;
	'#!'*sh) scripts+=("$file") ;;
	*) [[ "$file" == *.py ]] && python+=("$file") ;;
	esac
done < <(find .ci tests deploy docs user -type f -not -path 'tests/fuzz/corpus/*' -print0 2>/dev/null | LC_ALL=C sort -z)

failed=0
shellcheck --format=gcc "${scripts[@]}" || failed=1
python3 -c '
import sys
bad = False
for path in sys.argv[1:]:
    try:
        compile(open(path, encoding="utf-8").read(), path, "exec")
    except (SyntaxError, ValueError) as error:
        print("%s:%s: %s" % (path, getattr(error, "lineno", 1), getattr(error, "msg", error)))
        bad = True
sys.exit(bad)' "${python[@]}" || failed=1
exit $failed
