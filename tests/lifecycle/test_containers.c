/* Programs and the agent in containers of their own, as far as namespaces, mounts and filters make them: another PID
 * namespace with equal pids, a volume under different paths, a read-only root, no /proc, a small /dev/shm, another C library. */
#include "support/jail.h"
#include "support/test.h"
#include "support/tries.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <tally/tally.h>

#define TEXT_MAX 1024

/* What containers have of their own: all but the network, which tally does not use, and here not even that. */
#define CONTAINER "pids ipc uts net "

__attribute__((format(printf, 2, 3))) static const char *text(char out[TEXT_MAX], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(out, TEXT_MAX, format, arguments);
    va_end(arguments);
    assert_true(length >= 0 && length < TEXT_MAX);
    return out;
}

/* The agent sees the volume as /mnt, its clients as /srv. */
static void volume_agent(struct room *room)
{
    char words[TEXT_MAX];
    char arguments[TEXT_MAX];

    jail_agent(room, text(words, CONTAINER "bind=%s/volume:/mnt", room->directory),
               text(arguments, "--state-dir %s --arena /mnt/arena", room->state));
}

static struct program *volume_client(struct room *room, const char *more, const char *program,
                                     const char *arguments)
{
    char words[TEXT_MAX];

    return jail_start(
        room,
        text(words, CONTAINER "bind=%s/volume:/srv set=TALLY_ARENA=/srv/arena %s", room->directory, more),
        program, arguments);
}

static uint32_t lanes_used(const struct room *room)
{
    struct arena_copy copy;

    if (!arena_copy_read(&copy, room->arena_path))
        return 0;
    uint32_t used = copy.lanes_used;
    arena_copy_free(&copy);
    return used;
}

/* Until so many records more have been acknowledged. */
static void let_them_record(struct room *room, uint64_t records)
{
    uint64_t before = room_acknowledged(room);

    wait_until(room_acknowledged(room) >= before + records);
}

/* ---- a shared volume ---------------------------------------------------------------------------- */

static void containers_that_share_a_volume(void **state)
{
    struct room *room = *state;
    struct program *clients[3];

    jail_volume(room, "16m");
    volume_agent(room);
    for (int i = 0; i < 3; i++)
        clients[i] = volume_client(room, "", i == 1 ? "client-static" : "client",
                                   "background=3 begin progress=7 stage=1 await=1 stop end exit=0");
    wait_until(room->counters->writer_count == 3 * 4);
    let_them_record(room, 5000);
    wait_until(books_number(room, "SELECT count(*) FROM clients") == 3);
    /* the same numbers everywhere, in namespaces of their own */
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE pid = 1"), 3);
    assert_int_equal(books_number(room, "SELECT count(DISTINCT pid_namespace) FROM clients"), 3);
    /* killed: seen at once, though the agent cannot see its process; its call in flight is closed; its neighbours of
     * the same numbers go on */
    jail_kill(room, clients[0]);
    wait_until(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'died'") == 1);
    wait_until(
        books_number(room,
                     "SELECT count(*) FROM usage WHERE request_model = 'large' AND status = 'aborted'") == 1);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended IS NOT NULL"), 1);
    let_them_record(room, 5000);
    /* the agent killed, and a new one in a new container */
    jail_agent_kill(room);
    volume_agent(room);
    let_them_record(room, 5000);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended IS NOT NULL"), 1);
    room_go(room, 1);
    jail_expect_exit(room, clients[1], 0);
    jail_expect_exit(room, clients[2], 0);
    books_await_ended(room);
    books_expect_complete(room, books_refused(room, 3));
    books_expect_text(
        room, "2|1",
        "SELECT sum(ended = 'clean') || '|' || sum(ended = 'died') FROM clients WHERE complete = 1");
    agent_stop(room);
}

/* A lane goes from one container to the next; each owner's thread has number 1. */
static void a_lane_that_passes_through_containers(void **state)
{
    struct room *room = *state;
    enum { ROUNDS = 9 };

    jail_volume(room, "16m");
    room_set(room, "TALLY_LANES", "1");
    volume_agent(room);
    for (int i = 0; i < ROUNDS; i++) {
        bool killed = i % 3 != 2;
        struct program *client =
            volume_client(room, "", i % 2 ? "client-static" : "client",
                          killed ? "record=50 stage=1 await=1" : "record=50 stage=1 exit=0");
        room_await_stage(room, 1);
        atomic_store(&room->counters->stage, 0);
        if (killed)
            jail_kill(room, client);
        else
            jail_expect_exit(room, client, 0);
        wait_until(books_number(room, "SELECT count(*) FROM clients WHERE ended IS NOT NULL") == i + 1);
    }
    books_expect_ends(room, ROUNDS / 3, ROUNDS - ROUNDS / 3, 0);
    assert_int_equal(lanes_used(room), 1);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), ROUNDS * 50);
    tries(ROUNDS, "lane takeovers between containers");
    agent_stop(room);
}

/* A program of an image, under another path than the host's, at most reads; an agent that is gone is told from one that is there. */
static void a_shutdown_waits_for_an_agent_in_another_container(void **state)
{
    struct room *room = *state;

    jail_volume(room, "16m");
    volume_agent(room);
    jail_expect_exit(room, volume_client(room, "", "client", "record=20 shutdown=-1 exit=0"), 0);
    assert_int_equal(room_result(room, 0), TALLY_DURABLE);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 20);
    agent_stop(room);
    /* negative: ten seconds, which would not fail this test; that it returns at once is test_shutdown's */
    jail_expect_exit(room, volume_client(room, "", "client", "record=20 shutdown=-1 exit=0"), 0);
    assert_int_equal(room_result(room, 1), 0);
    volume_agent(room);
    books_expect_ends(room, 2, 0, 0);
    agent_stop(room);
}

/* ---- another C library ------------------------------------------------------------------------------ */

static const char *musl(const char *name, char path[TEXT_MAX])
{
    text(path, "%s/musl/tests/programs/%s", room_build(), name);
    if (access(path, X_OK) != 0)
        skip_because(SANITIZED ? "no sanitizer for musl" : "no musl-gcc when the tests were built");
    return path;
}

/* One lane, which musl and glibc take from each other: left cleanly, by SIGKILL, by exec. */
static void musl_and_glibc_take_a_lane_from_each_other(void **state)
{
    static const char *const programs[] = {"client-static", NULL, "client", NULL};
    /* a bare system call at the end of a thread is not among them: musl's pthread_join() waits for ever */
    static const char *const ends[] = {"raise=9", "exit=0", "together=1,10", "threads=3,10", "raise=11"};
    struct room *room = *state;
    char statics[TEXT_MAX];
    char dynamic[TEXT_MAX];
    int64_t died = 0;
    enum { ROUNDS = 40 };

    musl("client-static", statics);
    musl("client", dynamic);
    room_set(room, "TALLY_LANES", "2");
    agent_start(room);
    for (int i = 0; i < ROUNDS; i++) {
        const char *end = ends[i % 5];
        const char *program = i % 4 == 1 ? statics : i % 4 == 3 ? dynamic : programs[i % 4];
        int signal_number = strncmp(end, "raise=", 6) == 0 ? (int)strtol(end + 6, NULL, 10) : 0;
        struct program *client = room_start(room, program, "record=30", end, NULL);
        if (signal_number != 0)
            room_expect_signal(room, client, signal_number);
        else
            room_expect_exit(room, client, 0);
        died += signal_number != 0;
    }
    books_expect_ends(room, ROUNDS - died, died, 0);
    assert_true(lanes_used(room) <= 2);
    tries(ROUNDS, "lane takeovers between musl and glibc");
}

/* Both at once in one arena, killed in mid-work; the kernel marks the lanes of both. */
static void musl_and_glibc_side_by_side(void **state)
{
    struct room *room = *state;
    char statics[TEXT_MAX];
    char dynamic[TEXT_MAX];
    struct program *clients[4];
    enum { ROUNDS = 6 };

    musl("client-static", statics);
    musl("client", dynamic);
    agent_start(room);
    for (int i = 0; i < ROUNDS; i++) {
        const char *const programs[] = {statics, "client-static", dynamic, "client"};
        uint32_t writers = room->counters->writer_count;
        for (int j = 0; j < 4; j++)
            clients[j] = room_start(room, programs[j], "background=3", "await=1", NULL);
        wait_until(room->counters->writer_count == writers + 4 * 4);
        let_them_record(room, 4000);
        for (int j = 0; j < 4; j++)
            room_kill(room, clients[(i + j) % 4]);
        books_await_ended(room);
    }
    books_expect_complete(room, books_refused(room, ROUNDS * 12));
    books_expect_text(room, "24|24", "SELECT count(*) || '|' || sum(ended = 'died') FROM clients");
    /* lanes are used again: those of the dead were found */
    assert_in_range(lanes_used(room), 12, 12 + 4);
    tries(ROUNDS * 12ull, "threads of musl and glibc killed side by side");
}

static void musl_forks_and_threads(void **state)
{
    static const char *const names[] = {"client-static", "client"};
    static const char *const endings[] = {"return", "pthread_exit", "destructor"};
    struct room *room = *state;
    char path[TEXT_MAX];

    room_set(room, "TALLY_BLOCK_MS", "60000");
    agent_start(room);
    for (int i = 0; i < 2; i++) {
        room_run(room, musl(names[i], path), "threads=20,10", "threads=20,10,pthread_exit", "together=16,100",
                 "new=x", "object=3", "free", "begin", "end", "hold=5", "release", "shutdown=-1", "record=5",
                 "shutdowns=4,20,0", "exit=0", NULL);
        books_await_ended(room);
    }
    for (int i = 0; i < 2; i++) {
        musl(i ? "forks" : "forks-static", path);
        room_run(room, path, "threaded", "20", NULL);
        room_run(room, path, "tree", "8", NULL);
        room_run(room, path, "handler", "30", NULL);
        room_run(room, path, "vfork", NULL);
        room_run(room, path, "object", NULL);
        musl(i ? "threads" : "threads-static", path);
        for (int how = 0; how < 3; how++)
            room_run(room, path, "200", "8", endings[how], NULL);
        books_await_ended(room);
    }
    struct program *server = room_start(room, musl("server", path), "4", "3", NULL);
    for (int i = 0; i < 10; i++) {
        let_them_record(room, 300);
        wait_until(room->counters->values[i % 4] != 0);
        kill((pid_t)room->counters->values[i % 4], SIGKILL);
    }
    room_go(room, 1);
    room_expect_exit(room, server, 0);
    books_await_ended(room);
    /* refused as reentered: what was tried in a child of a handler that interrupted recording, as in test_fork */
    struct arena_copy copy;
    assert_true(arena_copy_read(&copy, room->arena_path));
    uint64_t refused = copy.refused_full + copy.refused[COPY_REENTERED];
    assert_in_range(copy.refused_full, 0, room_refused(room) + 10 * 3);
    arena_copy_free(&copy);
    books_expect_complete(room, refused);
}

/* ---- a poor container ----------------------------------------------------------------------------------- */

static int give_entry_to_root(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    return lchown(path, 0, 0);
}

/* The audit is done by the agent's user; here by root, who looks only at what is its own. */
static void give_to_root(const struct room *room)
{
    assert_int_equal(nftw(room->state, give_entry_to_root, 16, FTW_PHYS), 0);
    assert_int_equal(chown(room->arena_path, 0, 0), 0);
}

/* The test's own book, the shared memory and, for the agent, its state: nothing else can be written, and nothing says where a
 * home is. client: words for its container. */
static void readonly_root(struct room *room, const char *client, const char *agent, bool client_first)
{
    char writable[TEXT_MAX / 2];
    char words[TEXT_MAX];
    char arguments[TEXT_MAX];
    char poor[TEXT_MAX];

    if (geteuid() != 0)
        skip_because("no right to mount");
    if (SANITIZED && strstr(client, "noproc") != NULL)
        skip_because("sanitizers need /proc");
    assert_int_equal(mkdir(room->state, 0755), 0);
    assert_int_equal(chown(room->state, *agent ? 65534 : 0, 0), 0);
    /* under a name that everybody may come to */
    snprintf(writable, sizeof(writable),
             "bind=%s:/mnt readonly writable=/mnt/counters writable=/dev/shm set=" COUNTERS_ENVIRONMENT
             "=/mnt/counters",
             room->directory);
    text(poor, "pids %s unset=HOME unset=XDG_STATE_HOME unset=PATH %s", writable, client);
    if (client_first) /* it makes the arena */
        jail_run(room, poor, "client-static", "record=5 exit=0");
    jail_agent(room,
               text(words, "%s writable=/mnt/state unset=HOME unset=XDG_STATE_HOME %s", writable, agent),
               text(arguments, "--state-dir /mnt/state --arena %s", room->arena));
    jail_run(room, poor, "client-static",
             "record=20 together=4,20 new=x object=2 free threads=3,5 shutdown=-1 exit=0");
    struct program *killed = jail_start(room, poor, "client-static", "record=10 begin stage=1 await=1");
    wait_until(books_number(room, "SELECT count(*) FROM open_calls") == 1);
    jail_kill(room, killed);
    books_await_ended(room);
    agent_stop(room);
    give_to_root(room);
    books_expect_complete(room, 0);
    assert_int_equal(room_refused(room), 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'died'"), 1);
    assert_int_equal(books_number(room, "SELECT count(*) FROM clients WHERE ended = 'clean'"),
                     client_first ? 3 : 2);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage WHERE status = 'aborted'"), 1);
}

static void a_readonly_root(void **state)
{
    readonly_root(*state, "", "", true);
}

static void a_readonly_root_without_proc(void **state)
{
    readonly_root(*state, "noproc", "", true);
}

static void a_readonly_root_for_nobody_with_proc_hidden(void **state)
{
    readonly_root(*state, "hidepid as=65534:65534:65534", "as=65534:65534:65534", false);
}

static void a_readonly_root_for_nobody_without_proc(void **state)
{
    readonly_root(*state, "noproc as=65534:65534:65534", "noproc as=65534:65534:65534", true);
}

/* As much /dev/shm as docker gives: as many lanes as there is room for, then spill files; and the agent, when it
 * comes only then, still has room for its board. */
static void sixty_four_mib(struct room *room, bool agent_first)
{
    char words[TEXT_MAX];
    char arguments[TEXT_MAX];

    jail_volume(room, "64m");
    room_set(room, "TALLY_OVERFLOW", "spill");
    room_set(room, "TALLY_LANE_KIB",
             "512"); /* 127 fit: as many threads are enough, instead of five hundred */
    /* the same PID namespace: of one that has spilled and cannot be seen, the end is believed after a minute */
    text(words, "ipc uts net bind=%s/volume:/dev/shm set=TALLY_ARENA=/arena", room->directory);
    text(arguments, "--state-dir %s --arena /arena", room->state);
    if (agent_first)
        jail_agent(room, words, arguments);
    /* some lanes are written to their ends: no page may be missing */
    struct program *first =
        jail_start(room, words, "client-static",
                   "together=40,5000 hold=70 stage=1 await=2 together=10,50 release exit=0");
    room_await_stage(room, 1);
    struct program *second =
        jail_start(room, words, "client", "hold=70 record=50 stage=2 await=2 release exit=0");
    room_await_stage(room, 2);
    assert_in_range(lanes_used(room), 100, 127);
    if (!agent_first)
        jail_agent(room, words, arguments);
    room_go(room, 2);
    jail_expect_exit(room, first, 0);
    jail_expect_exit(room, second, 0);
    assert_int_equal(room_refused(room), 0);
    books_await_ended(room);
    books_expect_complete(room, 0);
    assert_true(books_number(room, "SELECT count(*) FROM arenas WHERE spill_uid >= 0") > 0);
    agent_stop(room);
}

static void sixty_four_mib_with_an_agent(void **state)
{
    sixty_four_mib(*state, true);
}

static void sixty_four_mib_filled_before_the_agent_comes(void **state)
{
    sixty_four_mib(*state, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        jail_test(containers_that_share_a_volume),
        jail_test(a_lane_that_passes_through_containers),
        jail_test(a_shutdown_waits_for_an_agent_in_another_container),
        jail_test(musl_and_glibc_take_a_lane_from_each_other),
        jail_test(musl_and_glibc_side_by_side),
        jail_test(musl_forks_and_threads),
        jail_test(a_readonly_root),
        jail_test(a_readonly_root_without_proc),
        jail_test(a_readonly_root_for_nobody_with_proc_hidden),
        jail_test(a_readonly_root_for_nobody_without_proc),
        jail_test(sixty_four_mib_with_an_agent),
        jail_test(sixty_four_mib_filled_before_the_agent_comes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
