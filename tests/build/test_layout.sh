#!/usr/bin/env bash
# The shared-memory layout is the one that was agreed on, and the dump that says so is whole.
set -u
# shellcheck source=tests/support/tap.sh
. "$TALLY_TEST_SOURCE/tests/support/tap.sh"
dump=$TALLY_TEST_BUILD/tools/layout/dump
agreed=$TALLY_TEST_SOURCE/tests/layout/abi-v1.txt
headers=("$TALLY_TEST_SOURCE/include/tally/abi.h" "$TALLY_TEST_SOURCE/include/tally/record.h")

same() {
    diff -u "$agreed" <("$dump")
}

# What the headers name has to stand in the dump, or a change of it would go unseen.
lists_structs() {
    local name missing=0
    while read -r name; do
        grep -q "^struct $name:" "$agreed" || { echo "struct $name is missing" && missing=1; }
    done < <(sed -n 's/^struct \([a-z_]*\) {$/\1/p' "${headers[@]}")
    return "$missing"
}

lists_constants() {
    local name missing=0
    while read -r name; do
        grep -qE "^ +($name|[0-9]+  ${name#TALLY_FIELD_}) *" "$agreed" || { echo "$name is missing" && missing=1; }
    done < <(sed -nE 's/^ +(TALLY_[A-Za-z0-9_]+) = .*/\1/p; s/^#define (TALLY_[A-Z0-9_]+) +[^ ].*[0-9]+u?\)?( .*)?$/\1/p' "${headers[@]}")
    return "$missing"
}

check 'the layout is that of abi-v1.txt (a wanted change of the ABI: make layout)' same
check 'the dump finds its own lists of members complete' "$dump"
check 'every struct of the headers is in the dump' lists_structs
check 'every constant and field id of the headers is in the dump' lists_constants
finish
