#!/usr/bin/env bash
# A C++ program is compiled, linked with either form of the library, and records; its records are in shared memory.
set -u
# shellcheck source=tests/support/tap.sh
. "$TALLY_TEST_SOURCE/tests/support/tap.sh"
arena=/tally-test-cplusplus-$$
export TALLY_ARENA=$arena
trap 'rm -f "/dev/shm$arena" "$TMPDIR"/use*' EXIT

cat >"$TMPDIR/use.cc" <<'E2'
#include <tally/tally.h>
#include <thread>
static int record_twice()
{
    tally_usage usage = TALLY_USAGE_INIT;
    usage.provider = "openai";
    usage.request_model = "gpt-4o-mini";
    usage.input_tokens = 812;
    return tally_record(&usage) || tally_record(&usage);
}
int main()
{
    int failed = record_twice();
    std::thread other([&failed] { failed |= record_twice(); });
    other.join();
    tally_call call;
    failed |= tally_call_begin(&call, nullptr) || tally_call_end(&call, nullptr);
    return failed || tally_shutdown(0) != TALLY_PUBLISHED;
}
E2
compile() {
    g++ -std=c++17 -Wall -Wextra -Werror -I"$TALLY_TEST_SOURCE/include" "$TMPDIR/use.cc" -o "$TMPDIR/$1" "${@:2}" -lpthread
}
check 'C++ with the shared library' compile use-shared -L"$TALLY_TEST_BUILD" -Wl,-rpath,"$TALLY_TEST_BUILD" -ltally
check 'C++ with the archive' compile use-static "$TALLY_TEST_BUILD/libtally.a"
check 'it runs with the shared library' "$TMPDIR/use-shared"
check 'it runs with the archive' "$TMPDIR/use-static"
# the arena holds what both have written
recorded() {
    [ "$(grep -c gpt-4o-mini <(tr '\0' '\n' <"/dev/shm$arena"))" -eq 8 ]
}
check 'their records stand in shared memory' recorded
finish
