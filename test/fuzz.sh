#!/usr/bin/env bash
# fuzz.sh [NAME...] runs every fuzz test, or those whose name holds one of the words, for FUZZTIME each
# (10m). go test writes the input of a finding into testdata/fuzz beside the test, where it stays as a
# seed once the fault is mended. PARALLEL=1 leaves the machine to others.
set -euo pipefail
cd "$(dirname "$0")/.."
GO=${GO:-go}
failed=$(mktemp)
trap 'rm -f "$failed"' EXIT
grep -rn --include='*_test.go' -oE '^func Fuzz\w+' internal | sort | while IFS=: read -r file _ func; do
  name=${func#func } dir=./$(dirname "$file")
  if [ $# -gt 0 ]; then
    hit=
    for word; do case $dir/$name in *"$word"*) hit=1 ;; esac; done
    [ -n "$hit" ] || continue
  fi
  echo "== $dir $name"
  nice "$GO" test "$dir" -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-10m}" -fuzzminimizetime 100x ${PARALLEL:+-parallel "$PARALLEL"} </dev/null || echo "$dir $name" >> "$failed"
done
[ ! -s "$failed" ] || { echo "findings in:"; cat "$failed"; exit 1; } >&2
