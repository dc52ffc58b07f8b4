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
program none <<<'echo 1..0'
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

program trying <<<'echo 1..3; echo "# tries: 1200 kicks"; echo ok 1 - a; echo "# tries: 34 kicks"; echo "# tries: 5 pulls"; echo ok 2 - b; echo ok 3 - quiet'
program trying_again <<<'echo 1..1; echo "# tries: 1 kicks"; echo ok 1 - a'
program trying_nothing <<<'echo 1..1; echo "# tries: 0 kicks"; echo ok 1 - a'
program trying_failing <<<'echo 1..2; echo "# tries: 7 kicks"; echo not ok 1 - a; echo "# tries: 8 kicks"; echo ok 2 - b; exit 1'
program trying_leaking <<<'echo 1..1; echo "# tries: 7 kicks"; echo ok 1 - a; exit 3'
program trying_skipped <<<'echo 1..2; echo "# tries: 7 kicks"; echo ok 1 - a; echo "# skip: no gizmo"; echo "not ok 2 # SKIP b"'
program trying_late <<<'echo 1..1; echo ok 1 - a; echo "# tries: 9 kicks"'
program trying_badly <<<'echo 1..1; echo "# tries: many kicks"; echo ok 1 - a'

# claims LINE...: the file of claims; @ stands for the programs' folder
claims() {
    printf '%s\n' "$@" | sed "s|@|$room/|g" >"$room/claims"
}

# claims_say STATUS TEXT CLAIM RUN-ARGUMENTS...: with one claim, the runner ends so and prints a line that holds the text
claims_say() {
    local status=$1 text=$2
    claims '# a comment' '' "$3"
    shift 3
    says "$status" "$text" --claims "$room/claims" "$@"
}

check 'all good' counts '2 passed, 0 failed, 0 skipped' "$room/good"
check 'all good: status 0' says 0 'ok' "$room/good"
check 'a failing test' counts '3 passed, 1 failed, 0 skipped' "$room/good" "$room/failing"
check 'a failing test: status 1' says 1 'failing: b' "$room/failing"
check 'a skip counts as one, and says why' says 0 'no gizmo' "$room/cmocka_skip"
check 'a skip in numbers' counts '0 passed, 0 failed, 1 skipped' "$room/cmocka_skip"
check 'a program that skips all' counts '0 passed, 0 failed, 1 skipped' "$room/skip_all"
check 'a program that says nothing' says 1 'said nothing in TAP' "$room/silent"
check 'no test at all' says 1 'ran no test' "$room/none"
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

t=$room/trying
check 'a claim holds' claims_say 0 '| it stands | by kicks | 1,234 kicks, 5 pulls | holds |' 'it stands | by kicks | @trying' "$t"
check 'tries of several programs are added up' claims_say 0 '| 1,235 kicks, 5 pulls | holds |' \
    'it stands | by kicks | @trying, @trying_again' "$t" "$room/trying_again"
check 'a claim about one test' claims_say 0 '| 34 kicks, 5 pulls | holds |' 'it stands | by kicks | @trying:b' "$t"
check 'the last line stays the last' counts '3 passed, 0 failed, 0 skipped' --claims "$room/claims" "$t"
check 'a claim that does not hold' claims_say 1 '| 15 kicks | **FAILED** |' 'it stands | by kicks | @trying_failing' "$room/trying_failing"
check 'another test of that program' claims_say 1 '| 8 kicks | holds |' 'it stands | by kicks | @trying_failing:b' "$room/trying_failing"
check 'a claim whose program fails beside its tests' claims_say 1 '| **FAILED** |' 'it stands | by kicks | @trying_leaking:a' "$room/trying_leaking"
check 'a claim that is skipped' claims_say 0 '|  | skipped: no gizmo |' 'it stands | by kicks | @cmocka_skip' "$room/cmocka_skip"
check 'a claim all of whose program is skipped' claims_say 0 '|  | skipped: no gizmo |' 'it stands | by kicks | @skip_all:a' "$room/skip_all"
check 'a claim that is skipped in part' claims_say 0 '| 7 kicks | holds; in part skipped: no gizmo |' \
    'it stands | by kicks | @trying_skipped' "$room/trying_skipped"
check 'what is said after the last test is about the whole program' claims_say 0 '| 9 kicks | holds |' 'it stands | by kicks | @trying_late' "$room/trying_late"
check 'a claim about no program is an error' claims_say 1 'there is no program' 'it stands | by kicks | @absent' "$t"
check 'a claim about no test is an error' claims_say 1 'has no test c' 'it stands | by kicks | @trying:c' "$t"
check 'a claim that says no tries is an error' claims_say 1 'does not say how often' 'it stands | by kicks | @good' "$room/good"
check 'a test that says no tries is an error' claims_say 1 'does not say how often' 'it stands | by kicks | @trying:quiet' "$t"
check 'a claim that was never tried is an error' claims_say 1 'tried no kicks' 'it stands | by kicks | @trying_nothing' "$room/trying_nothing"
check 'a claim without a program is an error' claims_say 1 'not of the form' 'it stands | by kicks' "$t"
check 'tries that are no number are a failure' says 1 'not a number' "$room/trying_badly"
check 'only the claims of what ran' claims_say 0 '2 passed' 'it stands | by kicks | @trying' --only good "$room/good" "$t"
check 'only the programs of claims' counts '3 passed, 0 failed, 0 skipped' --claims "$room/claims" --claimed "$room/good" "$t"
check 'claims that cannot be read' says 2 'cannot read' --claims "$room/nothing" "$t"
finish
