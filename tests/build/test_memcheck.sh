#!/usr/bin/env bash
# A program under valgrind's memcheck: records of texts on the heap, of each length, and no complaint about the library.
set -u
# shellcheck source=tests/support/tap.sh
. "$TALLY_TEST_SOURCE/tests/support/tap.sh"

export TALLY_ARENA=/tally-test-$$-memcheck
trap 'rm -rf "/dev/shm$TALLY_ARENA" "/dev/shm$TALLY_ARENA".* "$TMPDIR/program"*' EXIT
cat >"$TMPDIR/program.c" <<'END'
#include <stdlib.h>
#include <string.h>
#include <tally/tally.h>
int main(void)
{
    for (size_t length = 0; length < 300; length++) {
        struct tally_usage usage = TALLY_USAGE_INIT;
        char *room = malloc(length + 2);
        char *text = room + 1; /* what is aligned memcheck does not mind */
        memset(text, 'a', length);
        text[length] = '\0';
        usage.request_model = usage.session = text;
        if (tally_record(&usage) != 0)
            return 1;
        free(room);
    }
    return tally_shutdown(0) < 0;
}
END
built() {
    ${CC:-cc} -I"$TALLY_TEST_SOURCE/include" "$TMPDIR/program.c" -o "$TMPDIR/program" "$TALLY_TEST_BUILD/libtally.so" \
        -Wl,-rpath,"$TALLY_TEST_BUILD"
}
silent() {
    valgrind --error-exitcode=9 "$TMPDIR/program"
}

if readelf -d "$TALLY_TEST_BUILD/libtally.so" | grep -qE 'lib(a|t|ub)san'; then
    skip 'memcheck says nothing about the library' 'a library with sanitizers does not run under valgrind'
elif command -v valgrind >/dev/null; then
    check 'a program is built' built
    check 'memcheck says nothing about the library' silent
else
    skip 'memcheck says nothing about the library' 'valgrind is not installed'
fi
finish
