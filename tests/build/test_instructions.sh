#!/usr/bin/env bash
# What a record takes of the processor, in instructions: time says little on a busy machine, these do not change with it.
set -u
# shellcheck source=tests/support/tap.sh
. "$TALLY_TEST_SOURCE/tests/support/tap.sh"
bench=$TALLY_TEST_BUILD/tools/bench/bench
# Counted on 2026-11-23 (gcc 12, glibc 2.36), of a record of 128 bytes. Which memcpy() the C library takes is the processor's
# matter: hence the margin. Who makes records cheaper lowers this.
counted=677
margin_percent=15

export TALLY_ARENA=/tally-test-$$-instructions
trap 'rm -f "/dev/shm$TALLY_ARENA" "/dev/shm$TALLY_ARENA".*' EXIT

total() { # total RECORDS: within tally_record(), of a process that makes one more
    rm -f "/dev/shm$TALLY_ARENA"
    valgrind --tool=callgrind --toggle-collect=tally_record --callgrind-out-file="$TMPDIR/callgrind" "$bench" --steady "$1" \
        >"$TMPDIR/log" 2>&1 || { cat "$TMPDIR/log" >&2 && return 1; }
    sed -n 's/^totals: //p' "$TMPDIR/callgrind"
}
cheap() {
    local few many each
    few=$(total 100) && many=$(total 600) || return 1
    rm -f "$TMPDIR/callgrind" "$TMPDIR/log"
    each=$(((many - few) / 500)) # without what the first record takes
    printf "# note: %s instructions a record\n# tries: 500 records counted\n" "$each" >&3
    echo "$each instructions a record, $counted when last looked at"
    [ "$each" -ge $((counted / 4)) ] && [ "$each" -le $((counted * (100 + margin_percent) / 100)) ]
}

exec 3>&1
if command -v valgrind >/dev/null; then
    check 'a record takes no more instructions than it did' cheap
else
    skip 'a record takes no more instructions than it did' 'valgrind is not installed'
fi
finish
