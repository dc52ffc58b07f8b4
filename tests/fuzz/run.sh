#!/usr/bin/env bash
# Each fuzz target over its corpus, and then on its own for TALLY_FUZZ_SECONDS (5). Inputs that were
# new to a target are kept in TALLY_FUZZ_KEEP, if that names a folder, else thrown away; what made one fail is
# printed as base64 and, with TALLY_FUZZ_KEEP, kept there as well.
set -u
# shellcheck source=tests/support/tap.sh
. "$TALLY_TEST_SOURCE/tests/support/tap.sh"
corpus=$TALLY_TEST_SOURCE/tests/fuzz/corpus
programs=$TALLY_TEST_BUILD/fuzz/tests/fuzz
seconds=${TALLY_FUZZ_SECONDS:-5}

# Memory files: the targets make one for each input.
work=$(mktemp -d /dev/shm/tally-fuzz.XXXXXX) || exit 2
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work
export ASAN_OPTIONS=detect_leaks=1

fuzz() {
    local target=$1 keep=${TALLY_FUZZ_KEEP:-$work}
    shift
    mkdir -p "$keep/$target" "$keep/failures"
    "$programs/$target" -timeout=60 -rss_limit_mb=4096 -artifact_prefix="$keep/failures/$target-" \
        -print_final_stats=1 "$@" >"$work/log" 2>&1 && return
    tail -n 40 "$work/log"
    return 1
}

figures() {
    awk -v target="$1" '/^stat::number_of_executed_units/ { runs = $2 }
        match($0, /cov: [0-9]+/) { edges = substr($0, RSTART + 5, RLENGTH - 5) }
        END { printf "# note: %s: %d inputs, %d edges\n# tries: %d inputs of %s\n", target, runs, edges, runs, target }' \
        "$work/log"
}

for folder in "$corpus"/*/; do
    target=$(basename "$folder")
    if [ ! -x "$programs/$target" ]; then
        skip "$target" 'no clang with libFuzzer (clang-14, libclang-rt-14-dev) when the tests were built'
        continue
    fi
    check "$target: its corpus" fuzz "$target" -runs=0 "$folder"
    check "$target: $seconds s of new inputs" fuzz "$target" -max_total_time="$seconds" -max_len=8192 -len_control=0 \
        "${TALLY_FUZZ_KEEP:-$work}/$target" "$folder"
    figures "$target"
done
finish
