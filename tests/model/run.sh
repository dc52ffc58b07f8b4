#!/usr/bin/env bash
# The models hold as they are, and each switch that takes a precaution away breaks the one it should, by the
# assertion it should. README.md says what they stand for.
#
#   tests/run --build build tests/model/run.sh      as a test
#   tests/model/run.sh                              by itself
set -u
source=${TALLY_TEST_SOURCE:-$(cd "$(dirname "$0")/../.." && pwd)}
# shellcheck source=tests/support/tap.sh
. "$source/tests/support/tap.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/tally-model.XXXXXX") || exit 2
trap 'rm -rf "$work"' EXIT

missing=
for tool in spin cc; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done

# search OPTIMISE MODEL SWITCH...: look at every state; what the search says is in $work/said.
search() {
    local optimise=$1 model=$2
    shift 2
    rm -rf "$work/room" && mkdir "$work/room" || return 1
    cp "$source/tests/model/$model.pml" "$work/room/" || return 1
    (
        cd "$work/room" || exit 1
        spin "${@/#/-D}" -a "$model.pml" >translated 2>&1 || { cat translated && exit 1; }
        cc "$optimise" -w -DSAFETY -DMEMLIM=1536 -o search pan.c && ./search -E -n -m100000
    ) >"$work/said" 2>&1
    awk '/states, stored/ { print $1 }' "$work/said" >>"$work/states"
}

# The search came to its end, and found nothing.
complete() {
    search -O1 "$@"
    grep -q 'errors: 0' "$work/said" && ! grep -qiE 'not completed|too small|error:' "$work/said" && return
    cat "$work/said"
    return 1
}

broken() {
    local assertion=$1
    shift
    search -O0 "$@" # found soon: compiling takes longer than searching
    grep -q "assertion violated.*$assertion" "$work/said" && return
    cat "$work/said"
    return 1
}

mutations=0
# holds MODEL [SWITCH...]; breaks MODEL ASSERTION SWITCH...
holds() {
    local name="$* holds"
    if [ -n "$missing" ]; then
        skip "$name" "not installed:$missing"
    else
        check "$name" complete "$@"
    fi
}
breaks() {
    local model=$1 assertion=$2
    shift 2
    local name="$model with $*: breaks $assertion"
    if [ -n "$missing" ]; then
        skip "$name" "not installed:$missing"
    else
        check "$name" broken "$assertion" "$model" "$@"
        mutations=$((mutations + 1))
    fi
}

holds wake RECORDS=1
holds wake RECORDS=1 LATE_BOARD
for switch in NO_MEMBARRIER NO_SECOND_LOOK ANNOUNCED_AFTER_LOOK ARMED_AFTER_LOOK BOARD_BEFORE_TAIL RING_IN_TWO_STEPS \
    WAIT_WITHOUT_COMPARING POKED_BEFORE_ANSWERED; do
    breaks wake asleep_for_ever RECORDS=1 "$switch"
done
breaks wake asleep_for_ever RECORDS=1 LATE_BOARD BOARD_LOOKED_FOR_ONCE

holds lane
holds lane OWNERS=2 CRASHES=1
holds lane OWNERS=2 DEATHS=1 PAIR
breaks lane no_slot_fits ONE_SLOT
breaks lane number_broken TAIL_BEFORE_SLOT
breaks lane number_broken TAIL_BEFORE_RECORD
breaks lane other_record LEFT_BEFORE_TAIL
breaks lane undrained HEADER_BEFORE_OWNER
breaks lane ended_too_soon ENDED_AT_FIRST_LOOK
breaks lane two_owners TAKEN_WITHOUT_CAS
breaks lane marked PENDING_AFTER_CAS
breaks lane two_owners SAME_TID
breaks lane ended_too_soon SAME_TID NO_PLAIN_LOOK
breaks lane left_behind DEATHS=0 CRASHES=1 PUBLISHED_BEFORE_COMMIT
breaks lane counted_twice DEATHS=0 CRASHES=1 ROWS_WITHOUT_POSITION
breaks lane pair_wrong OWNERS=2 PAIR READ_ONCE
breaks lane pair_wrong OWNERS=2 PAIR SLOT_NUMBER_FIRST

holds reclaim
breaks reclaim living_owner_marked NO_RECLAIM_WORD
breaks reclaim living_owner_marked IDENTITY_READ_BEFORE

holds spill
breaks spill returned_and_lost NO_SECOND_STAT
breaks spill number_missing NAMES_BEFORE_WRITE
breaks spill returned_and_lost TORN_GOES_ON
breaks spill number_missing READ_THEN_UNLINK
breaks spill returned_and_lost UNLINK_BEFORE_COMMIT
breaks spill number_missing NEWEST_FIRST
breaks spill number_missing REPEATED_UNDER_NEW_NUMBER
breaks spill counted_twice NUMBERS_FORGOTTEN
breaks spill counted_twice NEW_LOG_AFTER_TORN
breaks spill counted_twice INTRODUCTION_NUMBERED

holds shutdown
breaks shutdown overslept COUNTER_AFTER_POSITION
breaks shutdown overslept COUNTER_BEFORE_POSITION
breaks shutdown overslept WAIT_WITHOUT_COMPARING
breaks shutdown overslept MOVED_IGNORED
breaks shutdown waits_for_nobody NO_SLICE
breaks shutdown durable_in_truth PUBLISHED_BEFORE_COMMIT
breaks shutdown durable_in_truth NO_AGENT_MEANS_DURABLE

[ -n "$missing" ] || awk -v mutations="$mutations" '{ sum += $1 }
    END { printf "# note: %d searches, %d states\n# tries: %d states\n# tries: %d model mutations\n", NR, sum, sum, mutations }' \
    "$work/states"
finish
