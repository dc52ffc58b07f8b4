#!/usr/bin/env bash
# `tally run`: the program gets its arguments, its settings and the library; its exit status is the command's.
set -u
# shellcheck source=tests/support/tap.sh
. "$TALLY_TEST_SOURCE/tests/support/tap.sh"
tally=$TALLY_TEST_BUILD/tally
library=$(realpath "$TALLY_TEST_BUILD/libtally-preload.so")
trap 'rm -rf "$TMPDIR"/*' EXIT

# says WORDS... -- COMMAND...: the command's whole output, errors included, is these words
says() {
    local wanted=$1 output
    shift
    output=$("$@" 2>&1)
    echo "$output"
    [ "$output" = "$wanted" ]
}
# ends STATUS TEXT COMMAND...: the exit status, and what stands in the only line on standard error
ends() {
    local status=$1 text=$2 errors
    shift 2
    errors=$("$@" 2>&1 >/dev/null)
    local found=$?
    echo "$found: $errors"
    [ "$found" -eq "$status" ] || return 1
    [ -z "$text" ] && { [ -z "$errors" ] && return 0 || return 1; }
    [[ $errors == "tally run: "*"$text"* && $errors != *$'\n'* ]]
}
dies_as_the_program() {
    # shellcheck disable=SC2016 # the inner shell's
    "$tally" run -- sh -c 'kill -KILL $$'
    [ $? -eq 137 ]
}
settings() {
    env -i PATH="$PATH" "$@" printenv | grep -E '^(TALLY_|LD_PRELOAD)' | sort | tr '\n' ' '
}
alone() { # a copy of the command without, or with another, library
    mkdir -p "$TMPDIR/$1/bin" && cp "$tally" "$TMPDIR/$1/bin/tally"
}
without_library() {
    alone without && ends 125 'libtally-preload.so is neither' "$TMPDIR/without/bin/tally" run -- true
}
with_damaged_library() {
    alone damaged && echo 'no library' >"$TMPDIR/damaged/bin/libtally-preload.so" &&
        ends 125 'damaged' "$TMPDIR/damaged/bin/tally" run -- true || return 1
    head -c 5000 "$library" >"$TMPDIR/damaged/bin/libtally-preload.so"
    ends 125 'damaged' "$TMPDIR/damaged/bin/tally" run -- true || return 1
    # one that needs what is not there
    echo 'extern void nowhere(void); void here(void) { nowhere(); }' | gcc -x c -fPIC -shared -Wl,-z,now - \
        -o "$TMPDIR/damaged/bin/libtally-preload.so" && ends 125 'cannot be loaded' "$TMPDIR/damaged/bin/tally" run -- true
}
with_a_space() {
    alone 'a space' && cp "$library" "$TMPDIR/a space/bin/" && ends 125 'spaces' "$TMPDIR/a space/bin/tally" run -- true
}
in_lib() {
    alone there && mkdir -p "$TMPDIR/there/lib" && cp "$library" "$TMPDIR/there/lib/" &&
        says "$TMPDIR/there/lib/libtally-preload.so" "$TMPDIR/there/bin/tally" run -- printenv LD_PRELOAD
}

check 'arguments are the program'"'"'s' says '<--help><><a b><--><-x>' "$tally" run printf '<%s>' --help '' 'a b' -- -x
check 'two dashes' says '-- -e' "$tally" run -- echo -- -e
check 'the library comes first' says "$library:libm.so.6" env LD_PRELOAD=libm.so.6 "$tally" run -- printenv LD_PRELOAD
check 'the library is there once' says "$library" "$tally" run -- "$tally" run -- printenv LD_PRELOAD
check 'options are settings' says \
    "LD_PRELOAD=$library TALLY_ARENA=/a TALLY_CAPTURE=curl,node TALLY_MATCH=*.example/v1/* TALLY_METADATA=team TALLY_SERVICE=s TALLY_TAGS=a=b " \
    settings "$tally" run --service s --tags=a=b --arena /a --match '*.example/v1/*' --metadata team --capture curl,node --
check 'settings stay as they are' says "LD_PRELOAD=$library TALLY_SERVICE=mine " settings TALLY_SERVICE=mine "$tally" run
check 'a file in lib, beside bin' in_lib
check 'the status is the program'"'"'s' ends 7 '' "$tally" run -- sh -c 'exit 7'
check 'and so is its death' dies_as_the_program
check 'no such program' ends 127 "there is no program 'no-such-program'" "$tally" run -- no-such-program
check 'a program that cannot be run' ends 126 'cannot be run' "$tally" run -- "$TALLY_TEST_SOURCE"
check 'no program' ends 125 'which program' "$tally" run
check 'an unknown option' ends 125 'no option --nonsense' "$tally" run --nonsense true
check 'an unknown layer' ends 125 "no layer 'curls'" "$tally" run --capture openssl,curls -- true
check 'a row that is no row' ends 125 'TALLY_MATCH' "$tally" run --match 'https://a.example/v1' -- true
check 'no library' without_library
check 'a damaged library' with_damaged_library
check 'a path that cannot be preloaded' with_a_space
finish
