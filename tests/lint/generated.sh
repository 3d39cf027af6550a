#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What is generated into the tree says what the source says: docs/METRICS.md (make docs).

set -u
cd "$(dirname "$0")/../.." || exit 1

binary=${PLIMSOLL:-build/plimsoll}
document=docs/METRICS.md
[ -x "$binary" ] || { echo "$binary:1: is not built: make build"; exit 1; }
[ -e "$document" ] || { echo "$document:1: is missing: make docs"; exit 1; }
generated=$("$binary" metrics-doc) || { echo "$document:1: $binary metrics-doc failed"; exit 1; }
line=$(diff <(printf '%s\n' "$generated") "$document" | sed -nE '1s/^[0-9,]+[acd]([0-9]+).*/\1/p')
[ -z "$line" ] && exit 0
echo "$document:$line: is not what the declarations say: make docs"
exit 1
