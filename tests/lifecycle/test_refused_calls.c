/* System calls that a container's filter refuses, or an old kernel does not have: each in turn, for the client and, for those that it
 * can do without, for the agent. The host program never falls; what is acknowledged is kept, what is not is an error. */
#include "support/jail.h"
#include "support/test.h"
#include "support/tries.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <tally/abi.h>

#define CALL(name)                                                                                           \
    {                                                                                                        \
#name, SYS_##name                                                                                    \
    }
static const struct {
    const char *name;
    int number;
} calls[] = {
    /* what libtally calls, on whatever path */
    CALL(openat),
    CALL(newfstatat),
    CALL(fstat),
    CALL(stat),
    CALL(lstat),
    CALL(statx),
    CALL(pread64),
    CALL(pwrite64),
    CALL(read),
    CALL(ftruncate),
    CALL(fallocate),
    CALL(fchmod),
    CALL(fchown),
    CALL(linkat),
    CALL(renameat2),
    CALL(unlink),
    CALL(madvise),
    CALL(getrandom),
    CALL(prlimit64),
    CALL(getrlimit),
    CALL(get_robust_list),
    CALL(set_robust_list),
    CALL(kcmp),
    CALL(kill),
    CALL(tgkill),
    CALL(gettid),
    CALL(getpid),
    CALL(geteuid),
    CALL(uname),
    CALL(readlink),
    CALL(fcntl),
    CALL(rt_sigprocmask),
    CALL(membarrier),
    CALL(getdents64),
    CALL(mkdir),
    CALL(access),
    CALL(readlinkat),
    CALL(faccessat),
    CALL(close),
    CALL(munmap),
    /* what some later one might */
    CALL(memfd_create),

    CALL(close_range),
    CALL(io_uring_setup),
};
enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

static void each_call_refused_to_the_client(struct room *room, const char *overflow)
{
    static const int errors[] = {EPERM, ENOSYS};
    unsigned long long runs = 0;

    if (SANITIZED)
        skip_because("sanitizers need these calls themselves");
    room_set(room, "TALLY_OVERFLOW", overflow);
    room_set(room, "TALLY_LANE_KIB", "16");
    room_set(room, "TALLY_LANES", "64");
    for (unsigned int i = 0; i < CALLS; i++)
        for (unsigned int j = 0; j < 4; j++) {
            char refuse[64];
            snprintf(refuse, sizeof(refuse), "refuse=%d,%d", calls[i].number, errors[j % 2]);
            bool before = j < 2; /* before the first record, or while a lane is held */
            struct program *client =
                room_start(room, i % 2 ? "client" : "client-static", before ? refuse : "record=3",
                           before ? "record=3" : refuse, "record=300", "together=1,5", "new=x", "object=2",
                           "free", "begin", "progress=1", "end", "shutdown=50", "record=1", "_exit=0", NULL);
            int status = room_wait(room, client);
            if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
                skip_because("no right to filter system calls");
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || room->counters->surprises != 0)
                fail_msg("%s refused with errno %d %s the first record: status 0x%x, %llu surprises",
                         calls[i].name, errors[j % 2], before ? "before" : "after", (unsigned)status,
                         (unsigned long long)room->counters->surprises);
            runs++;
        }
    tries(runs, "system calls refused to a client");
    agent_start(room);
    books_await_drained(room);
    /* what was acknowledged is there once; what was refused was an error of a call, and counted where there was an arena */
    agent_stop(room);
    agent_recover(room);
    for (uint32_t i = 0; i < room->counters->writer_count; i++) {
        const struct counters_writer *writer = &room->counters->writers[i];
        assert_int_equal(writer->attempted, writer->acknowledged);
    }
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage WHERE user LIKE 'w%%'"),
                     room_acknowledged(room));
    assert_int_equal(
        books_number(room, "SELECT count(*) FROM (SELECT user FROM usage WHERE user LIKE 'w%%' GROUP BY "
                           "user HAVING count(*) <> max(output_tokens) OR count(*) <> "
                           "count(DISTINCT output_tokens))"),
        0);
    struct audit audit;
    books_audit(room, &audit);
    assert_int_equal(audit.unaccounted, 0);
    assert_true((uint64_t)audit.lost <=
                room_refused(room) + 4ull * CALLS * 3); /* calls in flight are refused, too */
}

static void refused_to_a_client_that_spills(void **state)
{
    each_call_refused_to_the_client(*state, "spill");
}

static void refused_to_a_client_that_drops(void **state)
{
    each_call_refused_to_the_client(*state, "drop");
}

/* ---- the agent ------------------------------------------------------------------------------------------- */

static bool announces(const struct room *room, enum tally_announcement state)
{
    char path[sizeof(room->arena_path) + 8];
    uint64_t announce = 0;

    snprintf(path, sizeof(path), "%s.board", room->arena_path);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t got = pread(file, &announce, sizeof(announce), offsetof(struct tally_board, announce));
    close(file);
    return got == (ssize_t)sizeof(announce) && TALLY_ANNOUNCED_STATE(announce) == state;
}

/* Without membarrier a wake-up may be lost, so that no sleep may be without a bound. Here each is lost on purpose: the ring
 * is refused to the client, and its lane is left again before the agent looks. */
static void membarrier_refused_to_the_agent(struct room *room, int error)
{
    char words[64];
    char arguments[ROOM_PATH_MAX * 2];
    char ring[64];
    enum { ROUNDS = 2 };

    /* a folder for spill files that is missing would bound the agent's sleeps, too */
    snprintf(words, sizeof(words), "refuse=%d:%d unset=XDG_STATE_HOME", (int)SYS_membarrier, error);
    snprintf(arguments, sizeof(arguments), "--state-dir %s --arena %s --retention 0", room->state,
             room->arena);
    snprintf(ring, sizeof(ring), "refuse=%d,%d,%d", (int)SYS_futex, EPERM, FUTEX_WAKE_OP);
    jail_agent(room, words, arguments);
    for (int i = 0; i < ROUNDS; i++) {
        wait_until(announces(room, TALLY_AGENT_ASLEEP));
        room_run(room, i % 2 ? "client" : "client-static", ring, "record=5", "exit=0", NULL);
        wait_until(books_number(room, "SELECT count(*) FROM usage") == (i + 1) * 5);
    }
    assert_int_equal(jail_log_lines(room, "membarrier is refused here: the agent looks once a second"), 1);
    assert_int_equal(jail_log_lines(room, "membarrier"), 1);
    books_expect_ends(room, ROUNDS, 0, 0);
    agent_stop(room);
    tries(ROUNDS, "lost wake-ups of an agent without membarrier");
}

static void membarrier_forbidden_to_the_agent(void **state)
{
    membarrier_refused_to_the_agent(*state, EPERM);
}

static void membarrier_unknown_to_the_agent(void **state)
{
    membarrier_refused_to_the_agent(*state, ENOSYS);
}

/* What the agent can do without. */
static void optional_calls_refused_to_the_agent(void **state)
{
    static const int optional[] = {SYS_inotify_init1, SYS_inotify_add_watch, SYS_statx,
                                   SYS_memfd_create,  SYS_renameat2,         SYS_madvise,
                                   SYS_kcmp,          SYS_getrandom,         SYS_get_robust_list};
    struct room *room = *state;
    char arguments[ROOM_PATH_MAX * 2];
    int64_t rows = 0;

    if (SANITIZED)
        skip_because("sanitizers need these calls themselves");
    snprintf(arguments, sizeof(arguments), "--state-dir %s --arena %s", room->state, room->arena);
    for (unsigned int i = 0; i < sizeof(optional) / sizeof(optional[0]); i++) {
        char words[64];
        snprintf(words, sizeof(words), "refuse=%d:%d", optional[i], i % 2 ? ENOSYS : EPERM);
        jail_agent(room, words, arguments);
        room_run(room, "client", "record=20", "exit=0", NULL);
        struct program *killed = room_start(room, "client-static", "record=20", "raise=9", NULL);
        room_expect_signal(room, killed, SIGKILL);
        rows += 40;
        wait_until(books_number(room, "SELECT count(*) FROM usage") == rows);
        books_await_ended(room);
        agent_stop(room);
    }
    agent_start(room);
    books_expect_ends(room, rows / 40, rows / 40, 0);
    tries(sizeof(optional) / sizeof(optional[0]), "system calls refused to an agent");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(refused_to_a_client_that_spills),     room_test(refused_to_a_client_that_drops),
        room_test(membarrier_forbidden_to_the_agent),   room_test(membarrier_unknown_to_the_agent),
        room_test(optional_calls_refused_to_the_agent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
