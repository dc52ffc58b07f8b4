# shellcheck shell=bash
# Sourced by tests that are scripts: TAP on standard output.
#
#   check NAME COMMAND...    one test: passes if the command does; its output is shown if not
#   refute NAME COMMAND...   one test: passes if the command fails
#   skip NAME WHY            one test that cannot be tried here
#   finish                   the plan, last
tap_count=0 tap_failed=0

tap_result() {
    tap_count=$((tap_count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tap_count - $2"
    else
        tap_failed=1
        echo "not ok $tap_count - $2"
        printf '%s\n' "$3" | sed 's/^/# /'
    fi
}

check() {
    local name=$1 output status=0
    shift
    output=$("$@" 2>&1) || status=1
    tap_result "$status" "$name" "$output"
}

refute() {
    local name=$1 output status=0
    shift
    output=$("$@" 2>&1) && status=1
    tap_result "$status" "$name" "succeeded, and should not have: $output"
}

skip() {
    tap_count=$((tap_count + 1))
    echo "ok $tap_count - $1 # SKIP $2"
}

finish() {
    echo "1..$tap_count"
    exit "$tap_failed"
}
