#!/usr/bin/env bash
# An installed tree: everything in its place, usable with pkg-config alone, removed without a trace.
set -u
# shellcheck source=tests/support/tap.sh
. "$TALLY_TEST_SOURCE/tests/support/tap.sh"
root=$TMPDIR/root
arena=/tally-test-$$-install
trap 'rm -rf "$root" "$TMPDIR"/user* "$TMPDIR"/state "/dev/shm$arena" "/dev/shm$arena.board" "/dev/shm$arena.lock"' EXIT
cat >"$TMPDIR/user.c" <<'E2'
#include <stdio.h>
#include <tally/tally.h>
int main(void)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    usage.provider = "openai";
    usage.request_model = "gpt-4o-mini";
    usage.input_tokens = 812;
    usage.output_tokens = 64;
    for (int i = 0; i < 3; i++)
        if (tally_record(&usage) != 0)
            return 1;
    printf("%s %d\n", tally_version(), tally_shutdown(0));
    return 0;
}
E2

in_tree() { # make TARGET into the private root, with what has been built already
    # the variables that make was started with, not its jobserver
    local variables=
    [[ ${MAKEFLAGS-} != *" -- "* ]] || variables=" -- ${MAKEFLAGS#* -- }"
    env -u MAKELEVEL MAKEFLAGS="$variables" make -C "$TALLY_TEST_SOURCE" -s BUILD="$TALLY_TEST_BUILD" PREFIX=/opt/tally DESTDIR="$root" "$@"
}
package() {
    PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_PATH=$root/opt/tally/lib/pkgconfig pkg-config "$@" tally
}
has() {
    local file
    for file in "$@"; do
        [ -s "$root/opt/tally/$file" ] || { echo "$file is missing" && return 1; }
    done
}
man_pages_are_clean() {
    local page count=0
    while IFS= read -r page; do
        mandoc -T lint -W warning "$page" || return 1
        count=$((count + 1))
    done < <(find "$root/opt/tally/share/man" -type f)
    [ "$count" -ge 3 ] || { echo "only $count man pages" && return 1; }
}
# shellcheck disable=SC2046 # flags are words
compile() {
    gcc -Wall -Wextra -Werror "$TMPDIR/user.c" -o "$TMPDIR/user" $(package --cflags --libs)
}
# shellcheck disable=SC2046
compile_static() {
    gcc -Wall -Wextra -Werror "$TMPDIR/user.c" -o "$TMPDIR/user-static" $(package --cflags) \
        "$root/opt/tally/lib/libtally.a" -lpthread
}
runs() {
    local output
    output=$(TALLY_ARENA=$arena TALLY_SERVICE=install-$$ LD_LIBRARY_PATH=$root/opt/tally/lib "$1") || { echo "status $?: $output" && return 1; }
    echo "$output"
    [ "$output" = "$(package --modversion) 0" ]
}
persisted() { # what both programs wrote is there for the installed command to take in; and whatever lies in the machine's common spill folder
    mkdir -p "$TMPDIR/state"
    TALLY_ARENA=$arena "$root/opt/tally/bin/tally" recover --state-dir "$TMPDIR/state" &&
        [ "$(sqlite3 "$TMPDIR/state/usage.db" "SELECT count(*), sum(input_tokens) FROM usage
            JOIN clients ON clients.id = client_id WHERE service = 'install-$$'")" = '6|4872' ]
}
# The installed command finds the installed library.
runs_programs() {
    local preloaded
    preloaded=$("$root/opt/tally/bin/tally" run -- printenv LD_PRELOAD) || return 1
    echo "$preloaded"
    [ "$preloaded" = "$(realpath "$root/opt/tally/lib/libtally-preload.so")" ]
}
unit_points_to_it() {
    grep -q '^ExecStart=/opt/tally/bin/tallyd' "$root/opt/tally/lib/systemd/system/tallyd.service"
}
nothing_left() {
    local left
    left=$(find "$root" -type f -o -type l)
    echo "$left"
    [ -z "$left" ]
}

check 'make install with PREFIX and DESTDIR' in_tree install
check 'libraries and programs' has bin/tally bin/tallyd lib/libtally.a lib/libtally.so lib/libtally.so.0 lib/libtally-preload.so lib/tally-node.js
check 'headers' has include/tally/tally.h include/tally/abi.h include/tally/record.h
check 'the unit starts the installed agent' unit_points_to_it
check 'man pages, without a warning' man_pages_are_clean
check 'pkg-config knows the version' test "$(package --modversion)" = "$(sed -n 's/^#define TALLY_VERSION "\(.*\)"/\1/p' "$TALLY_TEST_SOURCE/include/tally/tally.h")"
check 'a program compiles with pkg-config' compile
check 'a program compiles with the archive' compile_static
check 'the program runs' runs "$TMPDIR/user"
check 'the static program runs' runs "$TMPDIR/user-static"
check 'the installed tally recovers their records' persisted
check 'the installed tally runs programs with the installed library' runs_programs
check 'the installed programs say their version' "$root/opt/tally/bin/tally" --version
check 'make uninstall' in_tree uninstall
check 'uninstall leaves no file' nothing_left
finish
