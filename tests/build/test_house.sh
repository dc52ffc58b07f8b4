#!/usr/bin/env bash
# Promises of DESIGN that the source itself shows: what neither side may call, wherever.
set -u
# shellcheck source=tests/support/tap.sh
. "$TALLY_TEST_SOURCE/tests/support/tap.sh"
cd "$TALLY_TEST_SOURCE" || exit 2

# calls PATTERN FOLDER...: lines of code, not of comments, that call one of these
calls() {
    local pattern=$1
    shift
    grep -rnE --include='*.[ch]' "(^|[^_[:alnum:]])($pattern)\(" "$@" | grep -vE ':[0-9]+: *(/?\*|//)'
}

# only PATTERN ALLOWED FOLDER...: nothing but what matches ALLOWED, and as often as there are lines in it
only() {
    local pattern=$1 allowed=$2 found
    shift 2
    found=$(calls "$pattern" "$@" | sed 's/:[0-9]*: */ /' | sort)
    diff <(sort <<<"$allowed") <(echo "$found")
}

none() {
    local pattern=$1
    shift
    ! calls "$pattern" "$@"
}

# A client allocates nothing, and locks nothing but the mutex by which it looks how the C library keeps its list.
check 'the library allocates nothing' none \
    'malloc|calloc|realloc|reallocarray|strdup|strndup|asprintf|vasprintf|fopen|fdopen|opendir|getline|qsort' shim
check 'the library locks nothing' only \
    'pthread_mutex_lock|pthread_mutex_timedlock|pthread_rwlock_[a-z]*lock|pthread_cond_[a-z]*wait|pthread_spin_lock|sem_wait|flockfile|lockf|call_once|pthread_once' \
    'shim/robust.c if (pthread_mutex_lock(&mutex) == 0) {' shim
check 'the library starts no thread' none 'pthread_create|thrd_create|clone|fork|vfork|posix_spawn|system|popen' shim
check 'neither side asserts or aborts' none 'assert|abort|__builtin_trap|__builtin_unreachable' include shim agent

# Lanes are read with pread(2). Mapped are the agent's own board, its own memory, and the one page with the word that the
# kernel waits on.
check 'the agent maps nothing that clients write but the doorbell'"'"'s page' only 'mmap|mmap64|mremap|shmat' \
    'agent/arena/arena_reader.c char *page = mmap(NULL, TALLY_PAGE_BYTES, PROT_READ, MAP_SHARED, reader->fd, 0);
agent/board/board.c void *bytes = mmap(NULL, board->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
agent/collector/collector.c mmap(NULL, BATCH_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);' agent

# Money is a whole number.
no_fractions() {
    ! grep -rnE --include='*.[ch]' '(^|[^_[:alnum:]])(float|double)[ *)]' include shim agent/ledger agent/store agent/price |
        grep -vE ':[0-9]+: *(/?\*|//)'
}
check 'money is nowhere a floating-point number' no_fractions
finish
