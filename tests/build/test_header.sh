#!/usr/bin/env bash
# The public headers compile by themselves, without a warning, in the languages that users have.
set -u
# shellcheck source=tests/support/tap.sh
. "$TALLY_TEST_SOURCE/tests/support/tap.sh"
source=$TALLY_TEST_SOURCE
cat >"$TMPDIR/use.c" <<'E2'
#include <tally/tally.h>
/* all constructs that the header offers to users */
static const struct tally_options options = TALLY_OPTIONS_INIT;
int use(struct tally_call *call);
int use(struct tally_call *call)
{
    struct tally_usage usage = TALLY_USAGE_INIT;
    struct tally_client *client = tally_client_new(&options);
    int result = 0;

    usage.provider = "openai";
    usage.input_tokens = 812;
    usage.flags = TALLY_FLAG_STREAMED | TALLY_FLAG_BATCH;
    usage.status = TALLY_STATUS_OK;
    result |= tally_init(&options);
    result |= tally_record(&usage);
    result |= tally_call_begin(call, &usage);
    result |= tally_call_progress(call, &usage);
    result |= tally_call_end(call, &usage);
    result |= tally_client_record(client, &usage);
    result |= tally_client_call_begin(client, call, &usage);
    tally_client_release(client);
    result |= tally_shutdown(TALLY_TIMEOUT_DEFAULT);
    return result == TALLY_DURABLE && tally_version() != NULL;
}
E2
cp "$TMPDIR/use.c" "$TMPDIR/use.cc"
printf '#include <tally/abi.h>\n#include <tally/record.h>\n' >"$TMPDIR/internal.c"
cp "$TMPDIR/internal.c" "$TMPDIR/internal.cc"
trap 'rm -f "$TMPDIR"/use.* "$TMPDIR"/internal.* "$TMPDIR"/values*' EXIT

c() {
    local standard=$1 file=$2
    shift 2
    gcc -std="$standard" -Wall -Wextra -Werror -Wstrict-prototypes -Wconversion "$@" -I"$source/include" -fsyntax-only "$file"
}
cc11() {
    local standard=$1 file=$2
    shift 2
    g++ -std="$standard" -Wall -Wextra -Werror -Wconversion -Wold-style-cast -Wzero-as-null-pointer-constant "$@" \
        -I"$source/include" -fsyntax-only "$file"
}
# Both languages have to make the same "unknown": compared byte for byte.
same_values() {
    local program='#include <tally/tally.h>
#include <stdio.h>
#include <string.h>
int main(void) { struct tally_usage u = TALLY_USAGE_INIT; struct tally_usage z; size_t i; memset(&z, 0, sizeof z); z = u;
for (i = 0; i < sizeof z; i++) printf("%02x", ((const unsigned char *)&z)[i]); return 0; }'
    echo "$program" >"$TMPDIR/values.c"
    cp "$TMPDIR/values.c" "$TMPDIR/values.cc"
    gcc -I"$source/include" "$TMPDIR/values.c" -o "$TMPDIR/values-c" &&
        g++ -I"$source/include" "$TMPDIR/values.cc" -o "$TMPDIR/values-cc" &&
        [ "$("$TMPDIR/values-c")" = "$("$TMPDIR/values-cc")" ]
}

for standard in c99 c11 gnu17; do
    check "tally.h as $standard" c "$standard" "$TMPDIR/use.c"
done
check 'tally.h as pedantic C11' c c11 "$TMPDIR/use.c" -pedantic
for standard in c++98 c++11 c++17 c++20; do
    check "tally.h as $standard" cc11 "$standard" "$TMPDIR/use.cc" -Wno-zero-as-null-pointer-constant
done
check 'abi.h and record.h as gnu11' c gnu11 "$TMPDIR/internal.c"
check 'abi.h and record.h as gnu++17' cc11 gnu++17 "$TMPDIR/internal.cc" -Wno-old-style-cast
check 'TALLY_USAGE_INIT is the same in C and C++' same_values
finish
