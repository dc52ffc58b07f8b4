#!/usr/bin/env bash
# The library that programs are preloaded with, as a file: what it exports, what it needs, and that a program does not notice it.
set -u
# shellcheck source=tests/support/tap.sh
. "$TALLY_TEST_SOURCE/tests/support/tap.sh"
library=$TALLY_TEST_BUILD/libtally-preload.so
shim=$TALLY_TEST_SOURCE/shim
trap 'rm -f "$TMPDIR"/probe*' EXIT

exported() {
    nm -D --defined-only "$library" | awk '{ print $3 }' | sort
}
mapped() {
    sed -n '/^global:/,/^local:/p' "$shim/preload/preload.map" | grep -o '[A-Za-z_][A-Za-z_0-9]*;' | tr -d ';' | sort
}
# What is defined to be exported, macros' definitions aside.
defined() {
    {
        grep -hE '^INTERPOSE ' "$shim"/preload/*.c | sed -E 's/^([^(]*[ *])([A-Za-z_0-9]+)\(.*/\2/'
        grep -hoE '\.globl [a-z]+' "$shim/preload/dl.c" | cut -d' ' -f2
    } | sort -u
}
exports_what_stands_before_others() {
    [ -n "$(mapped)" ] && diff <(mapped) <(exported) && diff <(mapped) <(defined)
}
without_versions() {
    ! exported | grep @ && ! readelf -V "$library" | grep -q 'Version definition'
}
needs_only_libc() {
    local needed
    needed=$(readelf -d "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE '^(libc\.so\.6|ld-linux-.*)$')
    echo "$needed"
    [ -z "$needed" ]
}
# libcurl's, OpenSSL's, node's may be missing in a program.
needs_no_function_of_others() {
    local others
    others=$(nm -D --undefined-only "$library" | awk '$1 == "U" && $2 !~ /@(GLIBC|GCC)_/ { print $2 }')
    echo "$others"
    [ -z "$others" ]
}
dynamic() {
    readelf -d "$library" | grep -qE "$1"
}
no_text_relocations() {
    ! dynamic TEXTREL
}
# A program that uses nothing of what is interposed, one that writes much, one that starts others.
unnoticed() {
    local words
    for words in 'exit 3' 'seq 1 20000' 'ls / | sort | cat; echo $$ >/dev/null; (exit 9)' 'kill -TERM $$'; do
        sh -c "$words" >"$TMPDIR/probe.without" 2>&1
        local status=$?
        LD_PRELOAD=$library sh -c "$words" >"$TMPDIR/probe.with" 2>&1
        [ $? -eq "$status" ] && cmp "$TMPDIR/probe.without" "$TMPDIR/probe.with" || return 1
    done
}
makes_no_arena() { # who makes no calls leaves nothing behind
    local arena=/tally-test-$$-preload
    TALLY_ARENA=$arena LD_PRELOAD=$library sh -c 'ls / | wc -l' && [ ! -e "/dev/shm$arena" ]
}
# Whether libcurl is there is answered as without the library; by a handle it is found, and ours stands before it.
asks_for_symbols() {
    cat >"$TMPDIR/probe.c" <<'END'
#include <dlfcn.h>
#include <stdio.h>
static void ask(void *handle, const char *name)
{
    void *symbol = dlsym(handle, name);
    const char *error = dlerror();
    printf("%s: %s, %s\n", name, symbol ? "there" : "not there", error ? "an error" : "no error");
}
int main(void)
{
    ask(RTLD_DEFAULT, "curl_easy_init");
    ask(RTLD_DEFAULT, "SSL_read");
    ask(dlopen(NULL, RTLD_LAZY), "curl_multi_cleanup");
    ask(RTLD_DEFAULT, "read");
    ask(RTLD_NEXT, "dlsym");
    ask(dlopen("libc.so.6", RTLD_LAZY), "curl_easy_setopt");
    ask(dlopen("libc.so.6", RTLD_LAZY), "strlen");
    return 0;
}
END
    gcc -w -D_GNU_SOURCE "$TMPDIR/probe.c" -o "$TMPDIR/probe" && "$TMPDIR/probe" >"$TMPDIR/probe.without" &&
        LD_PRELOAD=$library "$TMPDIR/probe" >"$TMPDIR/probe.with" && diff "$TMPDIR/probe.without" "$TMPDIR/probe.with" &&
        grep -q 'curl_easy_init: not there, an error' "$TMPDIR/probe.with"
}
# A program of another C library, whose loader takes the library too.
of_musl() {
    cat >"$TMPDIR/probe.c" <<'END'
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
    int ends[2], status = 0;
    char bytes[64] = "POST /v1/chat/completions HTTP/1.1\r\n";
    void *symbol = dlsym(RTLD_DEFAULT, "strlen");
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        return 1;
    if (fork() == 0) {
        send(ends[1], bytes, 30, 0);
        quick_exit(5);
    }
    wait(&status);
    printf("%d %d %d\n", symbol != NULL, (int)recv(ends[0], bytes, sizeof bytes, 0), WEXITSTATUS(status));
    fclose(stdout);
    close(ends[0]);
    return 4;
}
END
    musl-gcc "$TMPDIR/probe.c" -o "$TMPDIR/probe" || return 1
    LD_PRELOAD=$library "$TMPDIR/probe" >"$TMPDIR/probe.with"
    [ $? -eq 4 ] && [ "$(cat "$TMPDIR/probe.with")" = '1 30 5' ]
}
# The numbers of shim/preload/curl_abi.h are libcurl's.
has_libcurl_headers() {
    echo '#include <curl/curl.h>' | gcc -E - >/dev/null 2>&1
}
numbers_are_libcurls() {
    {
        echo '#include <curl/curl.h>'
        echo '#include <preload/curl_abi.h>'
        grep -oE '\bOPT_[A-Z_0-9]+\b' "$shim/preload/curl_abi.h" | sort -u |
            sed 's/^OPT_\(.*\)/_Static_assert((long)OPT_\1 == (long)CURLOPT_\1, "\1");/'
        grep -oE '\bCURL_[A-Z_0-9]+ = ' "$shim/preload/curl_abi.h" | cut -d' ' -f1 |
            sed 's/^CURL_\(.*\)/_Static_assert((long)CURL_\1 == (long)CURLE_\1, "\1");/'
        cat <<'END'
#define SAME(ours, theirs) _Static_assert((long)(ours) == (long)(theirs), #ours)
SAME(URL_PART_SCHEME, CURLUPART_SCHEME);
SAME(URL_PART_HOST, CURLUPART_HOST);
SAME(URL_PART_PORT, CURLUPART_PORT);
SAME(URL_PART_PATH, CURLUPART_PATH);
SAME(MULTI_OK, CURLM_OK);
SAME(MULTI_INTERNAL_ERROR, CURLM_INTERNAL_ERROR);
SAME(MULTI_PUSHFUNCTION, CURLMOPT_PUSHFUNCTION);
SAME(MESSAGE_DONE, CURLMSG_DONE);
SAME(CURL_WRITE_PAUSE, CURL_WRITEFUNC_PAUSE);
SAME(sizeof(struct curl_message), sizeof(CURLMsg));
SAME(offsetof(struct curl_message, easy), offsetof(CURLMsg, easy_handle));
SAME(offsetof(struct curl_message, data), offsetof(CURLMsg, data));
SAME(sizeof(struct curl_header_line), sizeof(struct curl_slist));
SAME(offsetof(struct curl_header_line, next), offsetof(struct curl_slist, next));
END
    } >"$TMPDIR/probe.c"
    sed -i 's/_Static_assert((long)CURL_OK == (long)CURLE_OK, "OK");/_Static_assert(CURL_OK == 0, "OK");/' "$TMPDIR/probe.c"
    [ "$(grep -c _Static_assert "$TMPDIR/probe.c")" -ge 40 ] && gcc -w -std=gnu11 -I"$shim" -c "$TMPDIR/probe.c" -o "$TMPDIR/probe.o"
}

check 'exports what stands before others and nothing else' exports_what_stands_before_others
check 'no exported symbol has a version' without_versions
check 'needs no library but libc' needs_only_libc
check 'needs no function of a library that may not be there' needs_no_function_of_others
check 'is never unloaded: NODELETE' dynamic 'NODELETE'
check 'binds now' dynamic 'BIND_NOW|NOW'
check 'no text relocations' no_text_relocations
check 'programs do not notice' unnoticed
check 'a program that makes no calls leaves nothing' makes_no_arena
check 'whoever asks for symbols gets the same answers' asks_for_symbols
if command -v musl-gcc >/dev/null; then
    check 'programs of another C library run' of_musl
else
    skip 'programs of another C library run' 'there is no musl-gcc'
fi
if has_libcurl_headers; then
    check 'the numbers of curl_abi.h are those of libcurl' numbers_are_libcurls
else
    skip 'the numbers of curl_abi.h are those of libcurl' 'the headers of libcurl are not installed'
fi
finish
