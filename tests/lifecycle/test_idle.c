/* An agent whose clients are quiet: it makes few system calls, and still sees whatever becomes of them.
 *
 * What it does differently for them begins when it waits for their processes' ends by pidfds: each test waits for these
 * first. */
#include "support/jail.h"
#include "support/test.h"

#include "support/tries.h"

#include <dirent.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <tally/abi.h>

/* How many processes the agent waits for. */
static int awaited(const struct room *room)
{
    char path[320];
    char target[64];
    const struct dirent *entry;
    int count = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)room->agent);
    DIR *listing = opendir(path);
    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        ssize_t length = readlinkat(dirfd(listing), entry->d_name, target, sizeof(target) - 1);
        target[length > 0 ? length : 0] = '\0';
        count += strcmp(target, "anon_inode:[pidfd]") == 0 || strncmp(target, "pidfd:", 6) == 0;
    }
    if (listing != NULL)
        closedir(listing);
    return count;
}

/* The agent, by what it says on its board. */
static bool asleep(const struct room *room)
{
    char path[sizeof(room->arena_path) + 8];
    uint64_t announce = 0;

    snprintf(path, sizeof(path), "%s.board", room->arena_path);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = pread(file, &announce, sizeof(announce), offsetof(struct tally_board, announce));
    close(file);
    return got == (ssize_t)sizeof(announce) && TALLY_ANNOUNCED_STATE(announce) == TALLY_AGENT_ASLEEP;
}

static int64_t running(const struct room *room)
{
    return books_number(room, "SELECT count(*) FROM clients WHERE ended IS NULL OR ended = 'running'");
}

static int64_t ended(const struct room *room, const char *how)
{
    return books_number(room, "SELECT count(*) FROM clients WHERE ended = '%s'", how);
}

/* Clients that have recorded, and record once more and exit when the test lets stage 1 go. */
static void start_quiet(struct room *room, struct program **clients, int count)
{
    for (int i = 0; i < count; i++)
        clients[i] = room_start(room, i % 2 ? "client" : "client-static", "record=1", "await=1", "record=1",
                                "exit=0", NULL);
}

static void let_go(struct room *room, struct program **clients, int first, int count)
{
    room_go(room, 1);
    for (int i = first; i < count; i++)
        room_expect_exit(room, clients[i], 0);
}

/* ---- the agent, look by look --------------------------------------------------------------------- */

struct watch {
    struct room *room;
    int calls; /* since the look before */
    bool (*look)(struct watch *watch);
    int looks;
    /* of the looks */
    int counts[32];
    struct program **victims;
    int victim_count;
    int64_t open; /* tenures */
    bool killed;
};

/* Whenever the agent is about to wait, and stands still: `look`, until that says no. */
static void watch_agent(struct watch *watch)
{
    pid_t pid = watch->room->agent;
    bool first = true; /* not seen from its beginning */

    if (ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD) != 0)
        skip_because("no right to trace");
    assert_int_equal(ptrace(PTRACE_INTERRUPT, pid, NULL, NULL), 0);
    for (;;) {
        struct __ptrace_syscall_info info = {.op = PTRACE_SYSCALL_INFO_NONE};
        int status;
        assert_int_equal(waitpid(pid, &status, __WALL), pid);
        assert_true(WIFSTOPPED(status));
        if (WSTOPSIG(status) == (SIGTRAP | 0x80))
            assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
            watch->calls++;
            if (info.entry.nr == SYS_ppoll) {
                if (!first && !watch->look(watch))
                    break;
                watch->calls = 0;
                first = false;
            }
        }
        assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
    }
    assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
}

static bool count_calls(struct watch *watch)
{
    watch->counts[watch->looks++] = watch->calls;
    return watch->looks < 11;
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static int64_t open_tenures(const struct room *room)
{
    return books_number(room, "SELECT count(*) FROM lanes WHERE tenure_open");
}

/* Kill one whenever all others are awaited, which is in a sleep: the next look finds it, whichever lanes have their turn. */
static bool kill_before_a_look(struct watch *watch)
{
    if (watch->killed) {
        assert_int_equal(open_tenures(watch->room), --watch->open);
        watch->killed = false;
    }
    if (watch->victim_count == 0)
        return false;
    if (asleep(watch->room) && awaited(watch->room) == watch->open) {
        room_kill(watch->room, watch->victims[--watch->victim_count]);
        watch->killed = true;
    }
    return true;
}

/* Lanes are few, for once a minute all are looked at. */
static void few_calls_and_every_death(void **state)
{
    enum { CLIENTS = 100, KILLED = 30, WATCHED = 4 };
    struct room *room = *state;
    struct program *clients[CLIENTS];
    struct watch count = {.room = room, .look = count_calls};
    struct watch kills = {.room = room,
                          .look = kill_before_a_look,
                          .victims = clients + KILLED - WATCHED,
                          .victim_count = WATCHED,
                          .open = CLIENTS};

    room_set(room, "TALLY_LANES", "128");
    agent_start(room);
    start_quiet(room, clients, CLIENTS);
    wait_until(awaited(room) == CLIENTS);
    watch_agent(&count);
    qsort(count.counts, (size_t)count.looks, sizeof(count.counts[0]), by_number);
    printf("# note: %d to %d system calls a look with %d quiet clients\n", count.counts[0],
           count.counts[count.looks - 1], CLIENTS);
    /* one for each lane whose turn it is, and some for all */
    assert_true(count.counts[count.looks / 2] <= CLIENTS / 4);
    watch_agent(&kills);
    for (int i = 0; i < KILLED - WATCHED; i++)
        room_kill(room, clients[i]);
    wait_until(ended(room, "died") == KILLED);
    wait_until(awaited(room) == CLIENTS - KILLED);
    assert_int_equal(running(room), CLIENTS - KILLED);
    let_go(room, clients, KILLED, CLIENTS);
    books_expect_ends(room, CLIENTS - KILLED, KILLED, 0);
    assert_int_equal(awaited(room), 0);
    tries(CLIENTS, "quiet clients that ended");
}

/* ---- what becomes of them ------------------------------------------------------------------------- */

/* Of neither a process ends. */
static void an_exec_and_a_thread_that_leaves(void **state)
{
    struct room *room = *state;

    agent_start(room);
    struct program *client =
        room_start(room, "client", "record=1", "hold=3", "await=1", "release", "await=2", "exit=0", NULL);
    wait_until(open_tenures(room) == 4);
    struct program *program = room_start(room, "execs", "quiet", "10", NULL);
    wait_until(awaited(room) == 2); /* processes, not threads */
    room_go(room, 1);
    room_await_stage(room, 2);
    wait_until(ended(room, "exec") == 1);
    wait_until(open_tenures(room) == 2);
    assert_int_equal(running(room), 2);
    assert_false(room_ended(program));
    assert_false(room_ended(client));
    room_go(room, 2);
    room_expect_exit(room, program, 0);
    room_expect_exit(room, client, 0);
    books_expect_ends(room, 2, 0, 1);
}

/* The kernel does not mark the lanes of such a process. */
static void a_death_that_nobody_marks(void **state)
{
    struct room *room = *state;
    char refuse[32];

    agent_start(room);
    snprintf(refuse, sizeof(refuse), "refuse=%d,%d", SYS_get_robust_list, EPERM);
    struct program *client =
        room_start(room, "client-static", refuse, "record=1", "stage=1", "await=9", NULL);
    wait_until(room_ended(client) || room->counters->stage == 1);
    if (client->ended)
        skip_because("no right to filter system calls");
    wait_until(awaited(room) == 1);
    room_kill(room, client);
    books_expect_ends(room, 0, 1, 0);
    wait_until(awaited(room) == 0);
}

static uint32_t doorbell(const struct room *room)
{
    uint32_t value = 0;
    int file = open(room->arena_path, O_RDONLY | O_CLOEXEC);

    assert_int_equal(pread(file, &value, sizeof(value), offsetof(struct tally_arena_header, doorbell)),
                     sizeof(value));
    close(file);
    return value;
}

/* It took its lane when there was no board. With the record that makes it look for one it rings. */
static void a_record_of_one_that_came_first(void **state)
{
    struct room *room = *state;
    struct program *client;

    client =
        room_start(room, "client", "record=1", "stage=1", "await=1", "record=1", "await=2", "exit=0", NULL);
    room_await_stage(room, 1);
    agent_start(room);
    wait_until(awaited(room) == 1);
    uint32_t before = doorbell(room);
    room_go(room, 1);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 2);
    assert_int_equal(doorbell(room), before + 1);
    room_go(room, 2);
    room_expect_exit(room, client, 0);
    books_expect_ends(room, 1, 0, 0);
}

/* ---- without what it takes ------------------------------------------------------------------------- */

static void more_clients_than_descriptors(void **state)
{
    enum { CLIENTS = 24 };
    struct room *room = *state;
    struct program *clients[CLIENTS];
    struct rlimit limit = {140, 140};

    agent_start(room);
    assert_int_equal(prlimit(room->agent, RLIMIT_NOFILE, &limit, NULL), 0);
    start_quiet(room, clients, CLIENTS);
    wait_until(awaited(room) > 0 && awaited(room) < CLIENTS);
    for (int i = 0; i < CLIENTS / 2; i++)
        room_kill(room, clients[i]);
    wait_until(ended(room, "died") == CLIENTS / 2);
    let_go(room, clients, CLIENTS / 2, CLIENTS);
    books_expect_ends(room, CLIENTS / 2, CLIENTS / 2, 0);
    assert_int_equal(awaited(room), 0);
}

static void no_pidfds(struct room *room, long call, int error)
{
    enum { CLIENTS = 8 };
    struct program *clients[CLIENTS];
    char words[64];
    char arguments[ROOM_PATH_MAX * 2];

    if (SANITIZED)
        skip_because("sanitizers need these calls themselves");
    snprintf(words, sizeof(words), "refuse=%ld:%d", call, error);
    snprintf(arguments, sizeof(arguments), "--state-dir %s --arena %s", room->state, room->arena);
    jail_agent(room, words, arguments);
    start_quiet(room, clients, CLIENTS);
    wait_until(jail_log_lines(room, "pidfds are refused here") == 1);
    for (int i = 0; i < CLIENTS / 2; i++)
        room_kill(room, clients[i]);
    wait_until(ended(room, "died") == CLIENTS / 2);
    let_go(room, clients, CLIENTS / 2, CLIENTS);
    books_await_ended(room);
    assert_int_equal(jail_log_lines(room, "pidfds"), 1);
    assert_int_equal(awaited(room), 0);
    books_expect_ends(room, CLIENTS / 2, CLIENTS / 2, 0);
}

static void pidfds_refused(void **state)
{
    no_pidfds(*state, SYS_pidfd_open, EPERM);
}

static void epoll_unknown(void **state)
{
    no_pidfds(*state, SYS_epoll_create1, ENOSYS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        room_test(few_calls_and_every_death),
        room_test(an_exec_and_a_thread_that_leaves),
        room_test(a_death_that_nobody_marks),
        room_test(a_record_of_one_that_came_first),
        room_test(more_clients_than_descriptors),
        room_test(pidfds_refused),
        room_test(epoll_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
