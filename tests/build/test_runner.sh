#!/usr/bin/env bash
# The runner itself: a check that cannot fail is a defect, so each thing that it is
# there to notice is done here once, by a program made for it.
set -u
# shellcheck source=tests/support/tap.sh
. "$TALLY_TEST_SOURCE/tests/support/tap.sh"
room=$TMPDIR/programs
mkdir "$room"
trap 'rm -rf "$room"' EXIT

# program NAME: standard input becomes a test program
program() {
    { echo '#!/bin/sh' && cat; } >"$room/$1"
    chmod +x "$room/$1"
}

# says STATUS TEXT RUN-ARGUMENTS...: the runner ends so and prints a line that holds the text
says() {
    local wanted=$1 text=$2 output status=0
    shift 2
    output=$("$TALLY_TEST_SOURCE/tests/run" --build "$TALLY_TEST_BUILD" "$@" 2>&1) || status=$?
    printf '%s\n(status %d)\n' "$output" "$status"
    [ "$status" -eq "$wanted" ] && grep -qF -- "$text" <<<"$output"
}

# counts LINE RUN-ARGUMENTS...: the very last line is this one
counts() {
    local line=$1 output
    shift
    output=$("$TALLY_TEST_SOURCE/tests/run" --build "$TALLY_TEST_BUILD" "$@" 2>&1)
    printf '%s\n' "$output"
    [ "$(tail -n 1 <<<"$output")" = "$line" ]
}

program good <<<'echo 1..2; echo ok 1 - a; echo ok 2 - b'
program failing <<<'echo 1..2; echo ok 1 - a; echo not ok 2 - b; exit 1'
program cmocka_skip <<<'echo 1..1; echo "# skip: no gizmo"; echo "not ok 1 # SKIP a"'
program skip_all <<<'echo "1..0 # SKIP no gizmo"'
program silent <<<'exit 0'
program short <<<'echo 1..2; echo ok 1 - a'
program status <<<'echo 1..1; echo ok 1 - a; exit 3'
program crash <<<'echo 1..1; echo ok 1 - a; kill -SEGV $$'
program hang <<<'echo 1..1; echo ok 1 - a; exec sleep 1000'
program process <<<'echo 1..1; echo ok 1 - a; setsid sleep 1000 >/dev/null 2>&1 &'
# The ":" keeps the shell from handing its process to sleep, so that one orphan leaves another.
program nested <<<'echo 1..1; echo ok 1 - a; setsid sh -c "sh -c \"sleep 1000; :\"; :" >/dev/null 2>&1 &'
program shm <<<'echo 1..1; : >/dev/shm/tally-runner-leak-$$; echo ok 1 - a'
# shellcheck disable=SC2016 # for the program's shell
program file <<<'echo 1..1; : >"$TMPDIR/forgotten"; echo ok 1 - a'
program input <<<'echo 1..1; read -r line && echo not ok 1 - a || echo ok 1 - a'

check 'all good' counts '2 passed, 0 failed, 0 skipped' "$room/good"
check 'all good: status 0' says 0 'ok' "$room/good"
check 'a failing test' counts '3 passed, 1 failed, 0 skipped' "$room/good" "$room/failing"
check 'a failing test: status 1' says 1 'failing: b' "$room/failing"
check 'a skip counts as one, and says why' says 0 'no gizmo' "$room/cmocka_skip"
check 'a skip in numbers' counts '0 passed, 0 failed, 1 skipped' "$room/cmocka_skip"
check 'a program that skips all' counts '0 passed, 0 failed, 1 skipped' "$room/skip_all"
check 'a program that says nothing' says 1 'said nothing in TAP' "$room/silent"
check 'fewer results than planned' says 1 'planned 2 tests and gave 1 results' "$room/short"
check 'a bad exit status after good results' says 1 'exited with status 3' "$room/status"
check 'a crash' says 1 'died of signal SEGV' "$room/crash"
check 'a program that hangs' says 1 'still ran after 1 s' --timeout 1 "$room/hang"
check 'a process left behind' says 1 'left a process' "$room/process"
check 'a process left behind by one left behind' says 1 'left a process' "$room/nested"
check 'an object left in /dev/shm' says 1 'left /dev/shm/tally-runner-leak' "$room/shm"
check 'a file left behind' says 1 'left a file: forgotten' "$room/file"
check 'no input' says 0 '1 passed' "$room/input"
check 'one program out of two' counts '2 passed, 0 failed, 0 skipped' --only good "$room/good" "$room/failing"
check 'nothing to run is a failure' says 1 'nothing ran' --only nonsense "$room/good"
check 'a program that is not there' says 1 'FAILED' "$room/absent"
rm -f /dev/shm/tally-runner-leak-*
finish
