#include "crash/ledger_look.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tally/abi.h>
#include <unistd.h>

#define LANES_MAX 8

/* ---- shared memory ------------------------------------------------------------------- */

struct lanes {
    uint32_t count;
    struct tally_lane_header lane[LANES_MAX];
    struct tally_board_lane board[LANES_MAX];
    uint64_t announce;
};

/* What is not there is all zeros. */
static void read_lanes(const struct look *look, struct lanes *lanes)
{
    struct tally_arena_header arena;
    char path[96];
    memset(lanes, 0, sizeof *lanes);
    snprintf(path, sizeof path, "/dev/shm%s", look->arena);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && pread(fd, &arena, sizeof arena, 0) == (ssize_t)sizeof arena &&
        tally_arena_header_sound(&arena) && arena.lane_count <= LANES_MAX) {
        lanes->count = arena.lane_count;
        for (uint32_t i = 0; i < arena.lane_count; i++)
            if (pread(fd, &lanes->lane[i], sizeof lanes->lane[i],
                      (off_t)(tally_lane_offset(&arena, i) + arena.ring_bytes)) < 0)
                lanes->count = 0;
    }
    if (fd >= 0)
        close(fd);
    fd = open(look->board, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 &&
        (pread(fd, lanes->board, lanes->count * sizeof lanes->board[0], TALLY_BOARD_LANES_OFFSET) < 0 ||
         pread(fd, &lanes->announce, sizeof lanes->announce, offsetof(struct tally_board, announce)) < 0))
        lanes->announce = 0;
    if (fd >= 0)
        close(fd);
}

bool look_asleep(const struct look *look)
{
    struct lanes lanes;
    read_lanes(look, &lanes);
    return TALLY_ANNOUNCED_STATE(lanes.announce) == TALLY_AGENT_ASLEEP;
}

static unsigned int spill_files(const struct look *look)
{
    unsigned int count = 0;
    char path[200];
    for (int i = 0; i < 2; i++) {
        const struct dirent *entry;
        snprintf(path, sizeof path, i ? "%s/tally/spill" : "%s/spill", i ? look->home : look->state);
        DIR *listing = opendir(path);
        while (listing && (entry = readdir(listing)))
            count += strstr(entry->d_name, ".spill") != NULL;
        if (listing)
            closedir(listing);
    }
    return count;
}

bool look_waiting(const struct look *look, const pid_t *owner)
{
    struct lanes lanes;
    read_lanes(look, &lanes);
    for (uint32_t i = 0; i < lanes.count; i++)
        if (lanes.lane[i].tail > lanes.board[i].position &&
            (!owner || (pid_t)lanes.lane[i].identity.pid == *owner))
            return true;
    return !owner && spill_files(look);
}

static uint64_t sequence_of(const struct tally_lane_header *lane)
{
    return lane->slot[lane->slot[0].tail == lane->tail ? 0 : 1].sequence;
}

bool look_said_end(const struct look *look, pid_t pid)
{
    struct lanes lanes;
    bool said = false;
    read_lanes(look, &lanes);
    for (uint32_t i = 0; i < lanes.count; i++) {
        if ((pid_t)lanes.lane[i].identity.pid != pid)
            continue;
        if (lanes.lane[i].final_sequence != sequence_of(&lanes.lane[i]))
            return false;
        said = true;
    }
    return said;
}

/* ---- the database ---------------------------------------------------------------------- */

static sqlite3 *open_database(const struct look *look)
{
    char path[160];
    sqlite3 *database = NULL;
    snprintf(path, sizeof path, "%s/usage.db", look->state);
    if (access(path, F_OK) || sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK) {
        sqlite3_close(database);
        return NULL;
    }
    return database;
}

/* A query's only value; -1 if it cannot be had: there is no table yet, or it is locked. */
static int64_t number(sqlite3 *database, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int64_t number(sqlite3 *database, const char *format, ...)
{
    char sql[400];
    sqlite3_stmt *row = NULL;
    int64_t value = -1;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sql, sizeof sql, format, arguments);
    va_end(arguments);
    if (database && sqlite3_prepare_v2(database, sql, -1, &row, NULL) == SQLITE_OK &&
        sqlite3_step(row) == SQLITE_ROW)
        value = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return value;
}

int64_t look_rows(const struct look *look, unsigned int writer)
{
    sqlite3 *database = open_database(look);
    int64_t rows = number(database, "SELECT count(*) FROM usage WHERE user = 'w%u'", writer);
    sqlite3_close(database);
    return rows;
}

#define WRONG(...) (snprintf(error, bytes, __VA_ARGS__), -1)

static bool owned_by(const struct tally_lane_header *lane, pid_t pid)
{
    return (lane->owner & FUTEX_TID_MASK) && !(lane->owner & FUTEX_OWNER_DIED) &&
           (lane->owner & FUTEX_TID_MASK) == lane->identity.tid && (pid_t)lane->identity.pid == pid;
}

/* All that look_now() goes by. */
struct moment {
    struct lanes lanes;
    pid_t living[2];
    ino_t file;
    uint8_t index[96]; /* the head of SQLite's index of its log, which each commit changes */
};

/* With what lies between the members: read_moment() begins with zeros. */
static bool same(const void *one, const void *other, size_t bytes)
{
    return memcmp(one, other, bytes) == 0;
}

/* false: there is no such index; then it cannot be said whether anything has changed. */
static bool read_moment(const struct look *look, const pid_t living[], unsigned int count,
                        struct moment *moment)
{
    char path[160];
    struct stat status;
    memset(moment, 0, sizeof *moment);
    read_lanes(look, &moment->lanes);
    memcpy(moment->living, living, count * sizeof living[0]);
    snprintf(path, sizeof path, "%s/usage.db-shm", look->state);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool read = fd >= 0 && fstat(fd, &status) == 0 &&
                pread(fd, moment->index, sizeof moment->index, 0) == (ssize_t)sizeof moment->index;
    if (fd >= 0)
        close(fd);
    moment->file = read ? status.st_ino : 0;
    return read;
}

int look_now(const struct look *look, const pid_t living[], unsigned int count, char *error, size_t bytes)
{
    static struct moment last; /* at which all was well */
    struct moment moment;
    int result = 0;
    bool known = read_moment(look, living, count, &moment);
    if (known && same(&moment, &last, sizeof moment))
        return 0;
    const struct lanes lanes = moment.lanes;
    sqlite3 *database = open_database(look);
    /* A database that cannot be read right now says nothing. */
    if (number(database, "SELECT count(*) FROM lanes") < 0) {
        sqlite3_close(database);
        return 0;
    }
    for (uint32_t i = 0; i < lanes.count && result == 0; i++) {
        int64_t durable =
            number(database,
                   "SELECT coalesce(sum(position), 0) FROM lanes l JOIN arenas a ON a.id = l.arena_id"
                   " WHERE a.spill_uid < 0 AND lane = %u",
                   i);
        if (durable >= 0 && (uint64_t)durable < lanes.board[i].position)
            result = WRONG("lane %u: the board says %llu, the database holds %lld", i,
                           (unsigned long long)lanes.board[i].position, (long long)durable);
    }
    for (unsigned int i = 0; i < count && result == 0; i++)
        if (number(database, "SELECT count(*) FROM clients WHERE ended IS NOT NULL AND pid = %d",
                   (int)living[i]) > 0)
            result = WRONG("a session is said to have ended, and its process lives");
    for (uint32_t lane = 0; lane < lanes.count && result == 0; lane++)
        for (unsigned int i = 0; i < count; i++)
            if (owned_by(&lanes.lane[lane], living[i]) &&
                number(database,
                       "SELECT tenure_open FROM lanes l JOIN arenas a ON a.id = l.arena_id JOIN clients c"
                       " ON c.id = l.client_id WHERE a.spill_uid < 0 AND lane = %u AND pid = %d",
                       lane, (int)living[i]) == 0)
                result = WRONG("lane %u: the tenure is said to have ended, and its owner lives", lane);
    sqlite3_close(database);
    if (result == 0 && known)
        memcpy(&last, &moment, sizeof last);
    return result;
}

static int check_writer(sqlite3 *database, unsigned int writer, const struct look_end *end, char *error,
                        size_t bytes)
{
    int64_t rows = number(database, "SELECT count(*) FROM usage WHERE user = 'w%u'", writer);
    int64_t distinct = number(database,
                              "SELECT count(DISTINCT output_tokens) FROM usage WHERE user = 'w%u'"
                              " AND output_tokens BETWEEN 1 AND %lld",
                              writer, (long long)rows);
    if (rows < (int64_t)end->acknowledged || rows > (int64_t)end->attempted || distinct != rows)
        return WRONG("writer %u: %llu acknowledged, %llu attempted, %lld rows, %lld distinct", writer + 1,
                     (unsigned long long)end->acknowledged, (unsigned long long)end->attempted,
                     (long long)rows, (long long)distinct);
    int64_t sessions = number(database, "SELECT count(*) FROM clients WHERE pid = %d", (int)end->pid);
    int64_t clean =
        number(database, "SELECT count(*) FROM clients WHERE pid = %d AND ended = 'clean'", (int)end->pid);
    int64_t died =
        number(database, "SELECT count(*) FROM clients WHERE pid = %d AND ended = 'died'", (int)end->pid);
    /* One that was killed before its first record was never heard of. */
    if (sessions != 1 && !(end->killed && sessions == 0))
        return WRONG("writer %u has %lld sessions", writer + 1, (long long)sessions);
    if (sessions && (end->killed && !end->said_clean ? !died : !clean))
        return WRONG("writer %u %s, and the database says it %s", writer + 1,
                     end->killed ? "was killed" : "ended",
                     clean  ? "ended cleanly"
                     : died ? "died"
                            : "has not ended");
    if (!end->killed &&
        number(database, "SELECT tenures <> 1 OR tenures_died <> 0 FROM clients WHERE pid = %d",
               (int)end->pid))
        return WRONG(
            "writer %u had one tenure, and ended it; the database says %lld, of which %lld died", writer + 1,
            (long long)number(database, "SELECT tenures FROM clients WHERE pid = %d", (int)end->pid),
            (long long)number(database, "SELECT tenures_died FROM clients WHERE pid = %d", (int)end->pid));
    return 0;
}

int look_end(const struct look *look, const struct look_end ends[2], char *error, size_t bytes)
{
    struct lanes lanes;
    sqlite3 *database = open_database(look);
    int result = 0;
    read_lanes(look, &lanes);
    for (uint32_t i = 0; i < lanes.count && result == 0; i++) {
        int64_t persisted =
            number(database,
                   "SELECT coalesce(sum(persisted), 0) FROM lanes l JOIN arenas a ON a.id = l.arena_id"
                   " WHERE a.spill_uid < 0 AND lane = %u",
                   i);
        if ((uint64_t)persisted != sequence_of(&lanes.lane[i]))
            result = WRONG("lane %u: %llu records, %lld persisted", i,
                           (unsigned long long)sequence_of(&lanes.lane[i]), (long long)persisted);
    }
    for (unsigned int i = 0; i < 2 && result == 0; i++)
        result = check_writer(database, i, &ends[i], error, bytes);
    if (result == 0 &&
        number(database, "SELECT count(*) FROM clients WHERE tenures_open <> 0 OR complete <> 1"))
        result = WRONG("a session has ended with open tenures, or incomplete");
    if (result == 0 && number(database, "SELECT count(*) FROM lanes WHERE tenure_open <> 0"))
        result = WRONG("a tenure has not ended");
    if (result == 0 && number(database, "SELECT count(*) FROM losses"))
        result = WRONG("something was lost");
    sqlite3_close(database);
    if (result == 0 && spill_files(look))
        result = WRONG("a spill file is left");
    return result;
}

int look_audit(const struct look *look, const char *build)
{
    char program[400];
    int status;
    snprintf(program, sizeof program, "%s/tally", build);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);
        execl(program, "tally", "audit", "--quiet", "--state-dir", look->state, (char *)NULL);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
