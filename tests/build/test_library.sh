#!/usr/bin/env bash
# libtally as a file: what it exports, what it needs, how it behaves towards dlclose.
set -u
# shellcheck source=tests/support/tap.sh
. "$TALLY_TEST_SOURCE/tests/support/tap.sh"
library=$TALLY_TEST_BUILD/libtally.so
header=$TALLY_TEST_SOURCE/include/tally/tally.h
map=$TALLY_TEST_SOURCE/shim/tally.map

declared() { # the functions that the header gives to users
    grep -v '^#' "$header" | tr '\n' ' ' | grep -o 'TALLY_API [^;(]*(' | sed -E 's/.*[ *]([a-z_]+)\($/\1/' | sort
}
exported() {
    nm -D --defined-only "$library" | awk '$2 ~ /[A-Za-z]/ && $2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort
}
mapped() {
    sed -n '/global:/,/local:/p' "$map" | grep -o 'tally_[a-z_]*' | sort
}
exports_api() {
    [ -n "$(declared)" ] && diff <(declared) <(exported) && diff <(declared) <(mapped)
}
versioned() { # no exported symbol without a version
    [ -z "$(nm -D --defined-only "$library" | awk '$2 != "A" && $3 !~ /@/ { print $3 }')" ]
}
needs_only_libc() {
    local needed
    needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE '^(libc\.so\.6|ld-linux-.*)$')
    echo "$needed"
    [ -z "$needed" ]
}
dynamic() {
    readelf -d "$library" | grep -qE "$1"
}
no_text_relocations() {
    ! dynamic TEXTREL
}
stack_not_executable() {
    readelf -lW "$library" | grep GNU_STACK | grep -qv 'RWE'
}

check 'exports the functions of tally.h and nothing else' exports_api
check 'every exported symbol has a version' versioned
check 'needs no library but libc' needs_only_libc
check 'soname libtally.so.0' dynamic 'SONAME.*\[libtally\.so\.0\]'
check 'is never unloaded: NODELETE' dynamic 'NODELETE'
check 'binds now' dynamic 'BIND_NOW|NOW'
check 'no text relocations' no_text_relocations
check 'no executable stack' stack_not_executable
finish
