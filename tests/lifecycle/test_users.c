/* Several users on one machine, and one agent that root runs for them: whose arena is whose, who may read what, and what a user
 * namespace makes of it. */
#include "support/jail.h"
#include "support/test.h"
#include "support/tries.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <tally/tally.h>

#define TEXT_MAX 1024

enum { ONE = 1001, OTHER = 65534, GROUP = 1100 };

__attribute__((format(printf, 2, 3))) static const char *text(char out[TEXT_MAX], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(out, TEXT_MAX, format, arguments);
    va_end(arguments);
    assert_true(length >= 0 && length < TEXT_MAX);
    return out;
}

/* A /dev/shm of the room's, so that default names, which would be the machine's, may be used; and what a user needs of the
 * room under a name that all may come to. more: of the jail, before it becomes a user. */
static const char *words(char out[TEXT_MAX], const struct room *room, const char *more)
{
    return text(
        out,
        "bind=%s/volume:/dev/shm bind=%s:/mnt unset=TALLY_ARENA unset=HOME set=XDG_STATE_HOME=/nowhere "
        "set=" COUNTERS_ENVIRONMENT "=/mnt/counters %s",
        room->directory, room->directory, more);
}

static const char *as(char out[TEXT_MAX], const struct room *room, int uid, const char *groups,
                      const char *more)
{
    char who[TEXT_MAX / 2];

    snprintf(who, sizeof(who), "%s as=%d:%d:%s", more, uid, uid, groups);
    return words(out, room, who);
}

static void root_agent(struct room *room, const char *arguments)
{
    char jail[TEXT_MAX];
    char all[TEXT_MAX];

    jail_agent(room, words(jail, room, ""), text(all, "--state-dir /mnt/state %s", arguments));
}

static mode_t mode_of(const struct room *room, const char *name, uid_t *owner, gid_t *group)
{
    char path[TEXT_MAX];
    struct stat status;

    if (stat(text(path, "%s/%s", room->directory, name), &status) != 0)
        fail_msg("there is no %s", path);
    if (owner != NULL)
        *owner = status.st_uid;
    if (group != NULL)
        *group = status.st_gid;
    return status.st_mode & 07777;
}

static int64_t rows_of(const struct room *room, int uid)
{
    return books_number(
        room, "SELECT count(*) FROM usage u JOIN clients c ON c.id = u.client_id WHERE c.uid = %d", uid);
}

static void all_ended(struct room *room, int64_t rows)
{
    wait_until(books_number(room, "SELECT count(*) FROM usage") == rows &&
               books_number(room, "SELECT count(*) FROM clients WHERE ended IS NULL") == 0);
    assert_int_equal(
        books_number(room, "SELECT count(*) FROM clients WHERE ended <> 'clean' OR complete <> 1"), 0);
    assert_int_equal(books_number(room, "SELECT coalesce(sum(records), 0) FROM losses WHERE numbered = 1"),
                     0);
    assert_int_equal(
        books_number(room, "SELECT count(*) FROM (SELECT user FROM usage GROUP BY user HAVING count(*) <> "
                           "max(output_tokens) OR count(*) <> count(DISTINCT output_tokens))"),
        0);
}

/* ---- an agent for all --------------------------------------------------------------------- */

static void root_serves_several_users(void **state)
{
    struct room *room = *state;
    char jail[TEXT_MAX];
    uid_t owner;

    jail_volume(room, "32m");
    root_agent(room, "--users 1001,65534");
    /* the first record makes the arena, which the agent finds a moment later */
    for (int i = 0; i < 3; i++)
        jail_run(room,
                 as(jail, room,
                    i == 0   ? ONE
                    : i == 1 ? OTHER
                             : 0,
                    "", ""),
                 "client-static", "record=5 exit=0");
    all_ended(room, 15);
    jail_run(room, as(jail, room, ONE, "", ""), "client-static", "record=30 shutdown=-1 exit=0");
    jail_run(room, as(jail, room, OTHER, "", ""), "client-static",
             "record=40 together=4,5 shutdown=-1 exit=0");
    jail_run(room, words(jail, room, ""), "client-static", "record=10 shutdown=-1 exit=0");
    /* each sees by its board that its records are on disk: the boards are root's, and may be read */
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(room_result(room, i), TALLY_DURABLE);
    all_ended(room, 115);
    assert_int_equal(rows_of(room, ONE), 35);
    assert_int_equal(rows_of(room, OTHER), 65);
    assert_int_equal(rows_of(room, 0), 15);
    assert_int_equal(mode_of(room, "volume/tally-1001.v1", &owner, NULL), 0600);
    assert_int_equal(owner, ONE);
    assert_int_equal(mode_of(room, "volume/tally-65534.v1", &owner, NULL), 0600);
    assert_int_equal(owner, OTHER);
    assert_int_equal(mode_of(room, "volume/tally-1001.v1.board", &owner, NULL), 0644);
    assert_int_equal(owner, 0);
    /* and the database is nobody's but root's */
    assert_int_equal(mode_of(room, "state/usage.db", &owner, NULL) & 07, 0);
    assert_int_equal(owner, 0);
    agent_stop(room);
}

static void each_users_spill_is_taken_in(void **state)
{
    struct room *room = *state;
    char jail[TEXT_MAX];
    static const int users[] = {ONE, OTHER, 0};

    jail_volume(room, "32m");
    room_set(room, "TALLY_OVERFLOW", "spill");
    room_set(room, "TALLY_LANE_KIB", "16");
    root_agent(room, "--users 1001,65534");
    for (int i = 0; i < 3; i++)
        jail_run(room, as(jail, room, users[i], "", ""), "client-static", "record=5 shutdown=-1 exit=0");
    agent_pause(room);
    for (int i = 0; i < 3; i++)
        jail_run(room, as(jail, room, users[i], "", ""), "client-static", "record=1000 exit=0");
    assert_int_equal(room_refused(room), 0);
    /* all in the agent's folder, where one may add but not touch another's */
    assert_int_equal(mode_of(room, "state/spill", NULL, NULL), 01777);
    assert_true(books_spill_files(room) >= 3);
    room->talkative = true;
    jail_expect_exit(
        room,
        jail_start(
            room, as(jail, room, 1002, "", ""), "/bin/sh",
            "-c cd~/mnt/state/spill;for~file~in~*;do~cat~$file||rm~-f~$file||mv~$file~x||exit~55;done"),
        55);
    room->talkative = false;
    agent_resume(room);
    all_ended(room, 3 * 1005);
    for (int i = 0; i < 3; i++)
        assert_int_equal(rows_of(room, users[i]), 1005);
    assert_int_equal(books_number(room, "SELECT count(DISTINCT spill_uid) FROM arenas WHERE spill_uid >= 0"),
                     3);
    agent_stop(room);
}

/* ---- whose arena is whose --------------------------------------------------------------------- */

static void one_user_cannot_use_anothers_arena(void **state)
{
    struct room *room = *state;
    char jail[TEXT_MAX];
    char more[TEXT_MAX];

    jail_volume(room, "32m");
    room_set(room, "TALLY_OVERFLOW", "drop");
    root_agent(room, "--users 1001,65534");
    jail_run(room, as(jail, room, ONE, "", ""), "client-static", "record=5 exit=0");
    jail_run(room, as(jail, room, OTHER, "", ""), "client-static", "record=5 exit=0");
    /* by its name */
    jail_run(room, as(jail, room, OTHER, "", text(more, "set=TALLY_ARENA=/tally-%d.v1", ONE)),
             "client-static", "record=7 shutdown=0 exit=0");
    assert_int_equal(room->counters->refused[EACCES], 7);
    /* nor does root fall for one that is a user's: what a user made, that user may write */
    jail_run(room, words(jail, room, text(more, "set=TALLY_ARENA=/tally-%d.v1", ONE)), "client-static",
             "record=7 shutdown=0 exit=0");
    assert_int_equal(room->counters->refused[EACCES], 14);
    /* somebody took another's default name before him: refused, not used, and the agent does not read it */
    agent_stop(room);
    assert_int_equal(unlink(text(more, "%s/volume/tally-65534.v1", room->directory)), 0);
    jail_run(room, as(jail, room, ONE, "", "set=TALLY_ARENA=/tally-65534.v1"), "client-static",
             "record=3 exit=0");
    jail_run(room, as(jail, room, OTHER, "", ""), "client-static", "record=7 shutdown=0 exit=0");
    assert_int_equal(room->counters->refused[EACCES], 21);
    root_agent(room, "--users 1001,65534");
    wait_until(jail_log_lines(room, "tally-65534.v1 is not to be trusted") > 0);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 10);
    agent_stop(room);
}

static void two_users_share_an_arena_by_a_group(void **state)
{
    struct room *room = *state;
    char jail[TEXT_MAX];
    gid_t group;

    jail_volume(room, "32m");
    room_set(room, "TALLY_OVERFLOW", "spill");
    room_set(room, "TALLY_GROUP", "1100");
    room_set(room, "TALLY_LANE_KIB", "16");
    static const char shared[] = "set=TALLY_ARENA=/shared";
    /* made by whichever of them comes first */
    jail_run(room, as(jail, room, ONE, "1100", shared), "client-static", "record=10 exit=0");
    jail_run(room, as(jail, room, OTHER, "1100", shared), "client-static", "record=20 together=3,5 exit=0");
    assert_int_equal(mode_of(room, "volume/shared", NULL, &group), 0660);
    assert_int_equal(group, GROUP);
    root_agent(room, "--arena /shared");
    wait_until(rows_of(room, ONE) == 10 && rows_of(room, OTHER) == 35);
    assert_int_equal(mode_of(room, "state/spill", NULL, &group), 01770);
    assert_int_equal(group, GROUP);
    /* lanes pass from one to the other, and both spill into the agent's folder */
    agent_pause(room);
    jail_run(room, as(jail, room, OTHER, "1100", shared), "client-static", "record=500 exit=0");
    jail_run(room, as(jail, room, ONE, "1100", shared), "client-static", "record=500 exit=0");
    assert_true(books_spill_files(room) >= 2);
    agent_resume(room);
    wait_until(rows_of(room, ONE) == 510 && rows_of(room, OTHER) == 535);
    assert_int_equal(room_refused(room), 0);
    /* who is not of the group is refused, also one who says that he was */
    jail_run(room, as(jail, room, 1002, "", shared), "client-static", "record=7 exit=0");
    assert_int_equal(room->counters->refused[EACCES], 7);
    all_ended(room, 510 + 535);
    agent_stop(room);
}

/* A thread keeps the lane that it has; threads that begin after setuid come to the new user's arena. */
static void workers_that_become_a_user(void **state)
{
    struct room *room = *state;
    char jail[TEXT_MAX];

    jail_volume(room, "32m");
    root_agent(room, "--users 65534");
    jail_run(room, words(jail, room, ""), "client-static",
             "record=5 uid=65534 record=5 together=3,10 shutdown=-1 exit=0");
    all_ended(room, 40);
    books_expect_text(
        room, "10|30",
        "SELECT sum(a.path LIKE '%%tally-0.v1') || '|' || sum(a.path LIKE '%%tally-65534.v1') FROM usage u "
        "JOIN lanes l ON l.id = u.lane_id JOIN arenas a ON a.id = l.arena_id");
    agent_stop(room);
}

/* One agent, told of two arenas by its configuration. What one service does to its own is no harm to the other's. */
static void an_arena_a_service(void **state)
{
    struct room *room = *state;
    char jail[TEXT_MAX];
    char path[TEXT_MAX];

    jail_volume(room, "32m");
    room_set(room, "TALLY_OVERFLOW", "drop");
    room_set(room, "ASAN_OPTIONS", "handle_sigbus=0");
    room_set(room, "TSAN_OPTIONS", "handle_sigbus=0");
    FILE *file = fopen(text(path, "%s/tallyd.conf", room->directory), "we");
    assert_non_null(file);
    fprintf(file, "arena = /tally-web\narena = /tally-batch\n");
    fclose(file);
    root_agent(room, "--config /mnt/tallyd.conf");
    struct program *web = jail_start(room, words(jail, room, "set=TALLY_ARENA=/tally-web"), "client-static",
                                     "record=10 stage=1 await=1 record=10 exit=0");
    room_await_stage(room, 1);
    struct program *batch =
        jail_start(room, words(jail, room, "set=TALLY_ARENA=/tally-batch"), "client-static",
                   "record=20 stage=2 await=1 record=20 shutdown=-1 exit=0");
    room_await_stage(room, 2);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 30);
    assert_int_equal(truncate(text(path, "%s/volume/tally-web", room->directory), 0), 0);
    room_go(room, 1);
    room_expect_signal(room, web, SIGBUS);
    jail_expect_exit(room, batch, 0);
    assert_int_equal(room_result(room, 0), TALLY_DURABLE);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage WHERE user = 'w1'"), 40);
    assert_int_equal(books_number(room, "SELECT count(*) FROM usage"), 50);
    agent_stop(room);
}

/* ---- user namespaces ------------------------------------------------------------------------------ */

static void root_of_a_user_namespace(void **state)
{
    struct room *room = *state;
    char jail[TEXT_MAX];
    char path[TEXT_MAX];
    uid_t owner;

    jail_volume(room, "32m");
    room_set(room, "TALLY_OVERFLOW", "drop");
    static const char inside[] = "user=0:100000:65536 set=TALLY_ARENA=/inside";
    /* agent and programs in namespaces of the same map, as a pod's or a daemon's containers have: as anywhere else */
    assert_int_equal(mkdir(text(path, "%s/state", room->directory), 0700), 0);
    assert_int_equal(chown(path, 100000, 100000), 0);
    jail_agent(room, words(jail, room, inside), "--state-dir /mnt/state");
    jail_run(room, words(jail, room, inside), "client-static", "record=20 together=2,10 shutdown=-1 exit=0");
    assert_int_equal(room_result(room, 0), TALLY_DURABLE);
    assert_int_equal(mode_of(room, "volume/inside", &owner, NULL), 0600);
    assert_int_equal(owner, 100000);
    all_ended(room, 40);
    agent_stop(room);
    /* the agent outside: to it that is a stranger's arena, and it says so */
    jail_agent_refuses(room, words(jail, room, ""), "--state-dir /mnt/other --arena /inside",
                       "arena /dev/shm/inside is not to be trusted");
    /* and one of the outer root's shows no owner inside: refused, unless a group that both know says otherwise */
    jail_agent(room, words(jail, room, ""), "--state-dir /mnt/other --arena /outside");
    jail_run(room, words(jail, room, "user=0:100000:65536 set=TALLY_ARENA=/outside"), "client-static",
             "record=7 exit=0");
    assert_int_equal(room->counters->refused[EACCES], 7);
    agent_stop(room);
    snprintf(room->state, sizeof(room->state), "%s/third", room->directory);
    jail_agent(room, words(jail, room, ""), "--state-dir /mnt/third --arena /group --group 100000");
    jail_run(room, words(jail, room, "user=0:100000:65536 set=TALLY_ARENA=/group set=TALLY_GROUP=0"),
             "client-static", "record=20 shutdown=-1 exit=0");
    assert_int_equal(room_result(room, 1), TALLY_DURABLE);
    wait_until(books_number(room, "SELECT count(*) FROM usage") == 20);
    agent_stop(room);
    assert_int_equal(room_refused(room), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        jail_test(root_serves_several_users),          jail_test(each_users_spill_is_taken_in),
        jail_test(one_user_cannot_use_anothers_arena), jail_test(two_users_share_an_arena_by_a_group),
        jail_test(workers_that_become_a_user),         jail_test(an_arena_a_service),
        jail_test(root_of_a_user_namespace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
