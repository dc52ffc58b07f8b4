#include "crash/agent_scene.h"

#include "support/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <tally/abi.h>

/* What clients record in scene_prepare(), besides one call each. */
#define WRITER_0    9
#define WRITER_1    11
#define SCENE_LANES 4

bool scene_long(void)
{
    const char *value = getenv("TALLY_TEST_LONG");
    return value != NULL && value[0] != '\0' && strcmp(value, "0") != 0;
}

int scene_setup(void **state)
{
    static struct scene scene;
    void *room = NULL;

    setenv("TMPDIR", "/dev/shm", 1);
    int result = room_setup(&room);
    scene = (struct scene){.room = room, .patience = 2};
    snprintf(scene.log, sizeof scene.log, "%s/agent.log", scene.room->directory);
    snprintf(scene.kept, sizeof scene.kept, "%s/kept", scene.room->directory);
    room_set(scene.room, "TALLY_LANES", "4");
    setenv("TALLY_LANES", "4", 1); /* an agent, too, makes an arena: where there is none, or none any more */
    *state = &scene;
    return result;
}

static void print_log(const struct scene *scene)
{
    char line[600];
    FILE *file = fopen(scene->log, "re");

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        print_error("its log: %s", line);
    if (file != NULL)
        fclose(file);
}

int scene_teardown(void **state)
{
    struct scene *scene = *state;
    void *room = scene->room;

    if (scene->trying[0] != '\0') {
        print_error("%s: %s\n", scene->name, scene->trying);
        print_log(scene);
    }
    return room_teardown(&room);
}

/* ---- files --------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void remove_tree(const char *path)
{
    if (access(path, F_OK) == 0)
        assert_int_equal(nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void scene_copy(const char *from, const char *to)
{
    static char bytes[1 << 16];
    struct stat status;
    ssize_t got;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(in >= 0 && out >= 0);
    assert_int_equal(fstat(in, &status), 0);
    while ((got = read(in, bytes, sizeof bytes)) > 0)
        assert_int_equal(write(out, bytes, (size_t)got), got);
    assert_int_equal(fchmod(out, status.st_mode & 0777), 0);
    close(in);
    close(out);
}

/* Folders in folders, and files. */
static void copy_tree(const char *from, const char *to)
{
    DIR *listing = opendir(from);
    const struct dirent *entry;
    struct stat status;

    assert_non_null(listing);
    assert_int_equal(stat(from, &status), 0);
    assert_int_equal(mkdir(to, status.st_mode & 07777), 0);
    while ((entry = readdir(listing)) != NULL) {
        char below[ROOM_PATH_MAX * 2];
        char copy[ROOM_PATH_MAX * 2];
        snprintf(below, sizeof below, "%s/%s", from, entry->d_name);
        snprintf(copy, sizeof copy, "%s/%s", to, entry->d_name);
        if (entry->d_name[0] == '.')
            continue;
        if (entry->d_type == DT_DIR)
            copy_tree(below, copy);
        else
            scene_copy(below, copy);
    }
    closedir(listing);
}

void scene_sibling(const struct scene *scene, const char *suffix, char path[ROOM_PATH_MAX])
{
    snprintf(path, ROOM_PATH_MAX, "%s%s", scene->room->arena_path, suffix);
}

void scene_path(const struct scene *scene, const char *name, char path[ROOM_PATH_MAX])
{
    snprintf(path, ROOM_PATH_MAX, "%s/%s", scene->room->directory, name);
}

static void kept_path(const struct scene *scene, const char *name, char path[ROOM_PATH_MAX])
{
    assert_true(mkdir(scene->kept, 0700) == 0 || errno == EEXIST);
    assert_true(snprintf(path, ROOM_PATH_MAX, "%.200s/%s", scene->kept, name) < ROOM_PATH_MAX);
}

static void keep_tree(const struct scene *scene, const char *name)
{
    char from[ROOM_PATH_MAX];
    char to[ROOM_PATH_MAX];

    scene_path(scene, name, from);
    kept_path(scene, name, to);
    remove_tree(to);
    copy_tree(from, to);
}

static void keep_file(const struct scene *scene, const char *suffix, const char *name)
{
    char from[ROOM_PATH_MAX];
    char to[ROOM_PATH_MAX];

    scene_sibling(scene, suffix, from);
    kept_path(scene, name, to);
    scene_copy(from, to);
}

void scene_keep_state(const struct scene *scene)
{
    keep_tree(scene, "state");
}

void scene_keep_home(const struct scene *scene)
{
    keep_tree(scene, "home");
}

void scene_keep_board(const struct scene *scene)
{
    keep_file(scene, ".board", "board");
}

void scene_keep_arena(const struct scene *scene)
{
    keep_file(scene, "", "arena");
}

static void put_back(const struct scene *scene, const char *name, const char *to)
{
    char from[ROOM_PATH_MAX];
    struct stat status;

    kept_path(scene, name, from);
    if (stat(from, &status) != 0)
        return;
    if (S_ISDIR(status.st_mode))
        copy_tree(from, to);
    else
        scene_copy(from, to);
}

void scene_reset(struct scene *scene)
{
    static const char *const suffixes[] = {".board", ".board.new", ".lock"};
    char path[ROOM_PATH_MAX];

    scene->changed = false;
    scene_path(scene, "home", path);
    remove_tree(path);
    put_back(scene, "home", path);
    remove_tree(scene->room->state);
    put_back(scene, "state", scene->room->state);
    for (int i = 0; i < 3; i++) {
        scene_sibling(scene, suffixes[i], path);
        unlink(path);
    }
    scene_sibling(scene, ".board", path);
    put_back(scene, "board", path);
    kept_path(scene, "arena", path);
    if (access(path, F_OK) == 0) {
        unlink(scene->room->arena_path);
        put_back(scene, "arena", scene->room->arena_path);
    }
    unlink(scene->log);
}

/* ---- preparing ------------------------------------------------------------------------------ */

static void age(const struct scene *scene)
{
    char path[ROOM_PATH_MAX + 16];
    sqlite3 *database;

    snprintf(path, sizeof path, "%s/usage.db", scene->room->state);
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database,
                                  "UPDATE usage_rows SET time_unix_ns = time_unix_ns - 864000000000000;"
                                  "PRAGMA wal_checkpoint(TRUNCATE)",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(database);
}

/* The second client's call never ends: it is closed as aborted, whoever comes to do it. */
void scene_prepare(struct scene *scene)
{
    if (scene->prepare) {
        scene->prepare(scene);
        return;
    }
    room_run(scene->room, "client", "record=9", "begin", "progress=3", "end", "shutdown=0", NULL);
    if (scene->existing) {
        scene_recover(scene);
        scene->old_rows = books_number(scene->room, "SELECT count(*) FROM usage");
        if (scene->retention)
            age(scene);
        scene_keep_state(scene);
        scene_keep_board(scene);
    }
    room_run(scene->room, "client", "record=6", "begin", "progress=7", "record=5", "_exit=0", NULL);
}

/* ---- running -------------------------------------------------------------------------------- */

struct watcher {
    struct scene *scene;
    calls_look look;
    void *context;
    uint32_t waits;
    bool ended;
    int64_t passed_s; /* of the agent's time, beside our own */
};

static void become_agent(void *context)
{
    const struct scene *scene = ((struct watcher *)context)->scene;
    char path[ROOM_PATH_MAX * 2];
    int log = open(scene->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int null = open("/dev/null", O_RDONLY);

    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    close(log);
    close(null);
    unsetenv("NOTIFY_SOCKET");
    unsetenv("TALLY_ARENA");
    unsetenv("TALLY_STATE_DIR");
    snprintf(path, sizeof path, "%s/tallyd", room_build());
    const char *arguments[] = {path,
                               "--state-dir",
                               scene->room->state,
                               "--arena",
                               scene->room->arena,
                               "--commit-interval",
                               "1",
                               "--retention",
                               scene->retention ? "5" : "0",
                               scene->once ? "--once" : NULL,
                               NULL};
    execv(path, (char *const *)(uintptr_t)arguments);
}

/* The agent's waits are over at once; and then the clock says that they were not. */
static void hurry(struct watcher *watcher, const struct call *call)
{
    struct timespec time = {0, 0};

    if (call->entered && call->which == __NR_ppoll && call->argument[2] != 0) {
        calls_write(call, call->argument[2], &time, sizeof time);
        watcher->passed_s += 2;
    } else if (!call->entered && call->which == __NR_clock_gettime && call->argument[0] == CLOCK_MONOTONIC &&
               call->result == 0) {
        calls_read(call, &time, call->argument[1], sizeof time);
        time.tv_sec += watcher->passed_s;
        calls_write(call, call->argument[1], &time, sizeof time);
    }
}

static enum look watch(void *context, const struct call *call)
{
    struct watcher *watcher = context;
    struct scene *scene = watcher->scene;
    bool clock = scene->hurried && call->which == __NR_clock_gettime;
    enum look verdict = watcher->look && !clock ? watcher->look(watcher->context, call) : LOOK_ON;

    if (verdict != LOOK_ON)
        return verdict;
    if (scene->hurried && (scene->changed || !scene->change))
        hurry(watcher, call);
    if (!call->entered || call->which != __NR_ppoll)
        return verdict;
    if (scene->change && !scene->changed) {
        if (scene_read_board(scene) != scene->durable)
            return verdict;
        scene->change(scene);
        scene->changed = true;
    }
    /* Once more than it was to see, or when nothing more comes by itself. */
    bool idle = scene->hurried && call->argument[2] == 0;
    if (!watcher->ended && (++watcher->waits == scene->patience || idle)) {
        watcher->ended = true;
        kill(call->pid, SIGTERM);
    }
    return verdict;
}

void scene_run(struct scene *scene, struct outcome *outcome, calls_look look, void *context)
{
    struct watcher watcher = {.scene = scene, .look = look, .context = context};

    calls_run(outcome, become_agent, watch, &watcher, scene->hurried);
}

void scene_settle(struct scene *scene)
{
    scene_recover(scene);
    if (scene->change && !scene->changed) {
        scene->change(scene);
        scene->changed = true;
        scene_recover(scene);
    }
}

void scene_recover(struct scene *scene)
{
    int status;

    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct scene normal = *scene;
        struct watcher watcher = {.scene = &normal};
        normal.once = true;
        snprintf(normal.log, sizeof normal.log, "%s/recovery.log", scene->room->directory);
        become_agent(&watcher);
        _exit(123);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("a normal agent afterwards ended with status 0x%x", (unsigned)status);
}

/* ---- the books --------------------------------------------------------------------------------- */

static void expect_one(const struct scene *scene, int64_t expected, const char *sql)
{
    int64_t found = books_number(scene->room, "%s", sql);
    if (found != expected)
        fail_msg("%s: %lld, not %lld", sql, (long long)found, (long long)expected);
}

static void expect_rows(const struct scene *scene)
{
    const struct counters *counters = scene->room->counters;
    int64_t first = books_number(scene->room, "SELECT count(*) FROM usage WHERE user='w0'");
    bool expired = scene->retention && first == 0;

    assert_int_equal(counters->writers[0].acknowledged, WRITER_0);
    assert_int_equal(counters->writers[1].acknowledged, WRITER_1);
    if (!expired)
        expect_one(scene, WRITER_0,
                   "SELECT count(DISTINCT output_tokens) * (count(*) = max(output_tokens)) FROM usage "
                   "WHERE user='w0'");
    expect_one(scene, WRITER_1,
               "SELECT count(DISTINCT output_tokens) * (count(*) = max(output_tokens)) FROM usage "
               "WHERE user='w1'");
    expect_one(scene, expired ? 1 : 2, "SELECT count(*) FROM usage WHERE user IS NULL");
    expect_one(scene, 1, "SELECT count(*) FROM usage WHERE status='aborted' AND output_tokens=7");
    /* Sums stay when rows go. */
    expect_one(scene, WRITER_0 + WRITER_1 + 2, "SELECT sum(calls) FROM usage_hourly");
    expect_one(scene, 0, "SELECT count(*) FROM open_calls");
    expect_one(scene, 1, "SELECT count(*) FROM clients WHERE ended='clean'");
    expect_one(scene, 1, "SELECT count(*) FROM clients WHERE ended='died'");
    expect_one(scene, 0, "SELECT count(*) FROM losses");
}

static bool begins_with_any(const char *name, const char *const *beginnings)
{
    for (int i = 0; beginnings != NULL && i < 4 && beginnings[i] != NULL; i++)
        if (strncmp(name, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

static void expect_names(const char *folder, const char *prefix, const char *const *allowed,
                         const char *const *beginnings)
{
    DIR *listing = opendir(folder);
    const struct dirent *entry;

    assert_non_null(listing);
    while ((entry = readdir(listing)) != NULL) {
        bool known = strncmp(entry->d_name, prefix, strlen(prefix)) != 0 || entry->d_name[0] == '.' ||
                     begins_with_any(entry->d_name, beginnings);
        for (int i = 0; allowed[i] != NULL && !known; i++)
            known = strcmp(entry->d_name + strlen(prefix), allowed[i]) == 0;
        if (!known)
            fail_msg("left behind: %s/%s", folder, entry->d_name);
    }
    closedir(listing);
}

static void expect_files(const struct scene *scene)
{
    static const char *const state[] = {"usage.db", "tallyd.lock", "spill", NULL};
    static const char *const memory[] = {"", ".board", ".lock", NULL};

    expect_names(scene->room->state, "", state, scene->left);
    expect_names("/dev/shm", scene->room->arena + 1, memory, NULL);
    assert_int_equal(books_spill_files(scene->room), 0);
}

/* How far the board says that lanes are durable; 0 if there is none. */
uint64_t scene_read_board(const struct scene *scene)
{
    struct tally_board_lane lanes[SCENE_LANES] = {{0}};
    char path[ROOM_PATH_MAX];
    uint64_t sum = 0;

    scene_sibling(scene, ".board", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (pread(fd, lanes, sizeof lanes, TALLY_BOARD_LANES_OFFSET) == (ssize_t)sizeof lanes)
        for (int i = 0; i < SCENE_LANES; i++)
            sum += lanes[i].sequence;
    close(fd);
    return sum;
}

/* As the next agent does first. Readers may not. */
static void roll_back(const struct room *room)
{
    char path[ROOM_PATH_MAX + 16];
    sqlite3 *database;

    snprintf(path, sizeof path, "%s/usage.db", room->state);
    if (access(path, F_OK) != 0)
        return;
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "SELECT count(*) FROM sqlite_master", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(database);
}

/* What the database will say when it is opened next. Opened in a copy: a reader would mend what the next agent
 * is to find. */
static uint64_t read_durable(const struct scene *scene)
{
    static const char *const suffixes[] = {"", "-wal", "-journal"};
    char from[ROOM_PATH_MAX + 16];
    char to[ROOM_PATH_MAX + 16];
    struct room copy = *scene->room;

    snprintf(copy.state, sizeof copy.state, "%s/copy", scene->room->directory);
    remove_tree(copy.state);
    assert_int_equal(mkdir(copy.state, 0700), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "%s/usage.db%s", scene->room->state, suffixes[i]);
        snprintf(to, sizeof to, "%s/usage.db%s", copy.state, suffixes[i]);
        if (access(from, F_OK) == 0)
            scene_copy(from, to);
    }
    roll_back(&copy);
    uint64_t durable = (uint64_t)books_number(&copy, "SELECT sum(sequence) FROM lanes");
    remove_tree(copy.state);
    return durable;
}

void scene_expect_board_behind(const struct scene *scene)
{
    if (scene->board_ahead)
        return;
    uint64_t board = scene_read_board(scene);
    uint64_t durable = read_durable(scene);

    if (board > durable)
        fail_msg("the board says %llu records are durable, the database has %llu", (unsigned long long)board,
                 (unsigned long long)durable);
}

static bool log_says(const struct scene *scene, const char *words)
{
    char line[1200];
    bool found = false;
    FILE *file = fopen(scene->log, "re");

    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL)
        found = strstr(line, words) != NULL;
    if (file != NULL)
        fclose(file);
    return found;
}

void scene_expect_drained(const struct scene *scene)
{
    struct arena_copy copy;

    if (scene->prepare) {
        /* A spill file that cannot be opened or read is said to be left: it waits, and says so. */
        if (!log_says(scene, "left alone") && !log_says(scene, "cannot be"))
            assert_int_equal(read_durable(scene), scene->books.persisted + scene->books.lost);
        return;
    }
    assert_true(arena_copy_read(&copy, scene->room->arena_path));
    assert_int_equal(read_durable(scene), copy.sequences);
    arena_copy_free(&copy);
}

/* Of a situation: the same books whatever has happened, and all that was acknowledged, unless some was lost by design. */
static void expect_situation(struct scene *scene)
{
    const struct counters *counters = scene->room->counters;
    struct scene_books books = {.rows = books_number(scene->room, "SELECT count(*) FROM usage")};
    int64_t acknowledged = scene->strange_rows;
    struct audit audit;

    for (uint32_t i = 0; i < counters->writer_count; i++) {
        int64_t count = (int64_t)counters->writers[i].acknowledged;
        acknowledged += count;
        if (scene->cause == NULL &&
            books_number(scene->room,
                         "SELECT count(DISTINCT output_tokens) * (count(*) = max(output_tokens)) FROM usage "
                         "WHERE user='w%u'",
                         i) != count)
            fail_msg("writer %u: not its %lld records", i, (long long)count);
    }
    assert_int_equal(
        books_number(scene->room, "SELECT count(DISTINCT user || ' ' || output_tokens) FROM usage"),
        books.rows - scene->strange_rows);
    books_audit(scene->room, &audit);
    books.persisted = audit.persisted;
    books.lost = audit.lost;
    assert_int_equal(audit.status, 0);
    assert_int_equal(audit.written, audit.persisted + audit.lost);
    assert_int_equal(audit.waiting + audit.unaccounted, 0);
    assert_int_equal(books_number(scene->room, "SELECT sum(records) FROM losses WHERE cause='%s'",
                                  scene->cause ? scene->cause : ""),
                     books.lost);
    assert_int_equal(books.lost > 0, scene->cause != NULL);
    assert_int_equal(books.rows + books.lost >= acknowledged, true);
    assert_int_equal(books_number(scene->room, "SELECT sum(calls) FROM usage_hourly"), books.rows);
    expect_one(scene, 0, "SELECT count(*) FROM open_calls");
    expect_one(scene, 0, "SELECT count(*) FROM clients WHERE ended IS NULL");
    books_expect_text(scene->room, "ok", "PRAGMA integrity_check");
    if (scene->known && memcmp(&books, &scene->books, sizeof books) != 0)
        fail_msg("%lld rows, %lld records, %lld lost; undisturbed it was %lld, %lld, %lld",
                 (long long)books.rows, (long long)books.persisted, (long long)books.lost,
                 (long long)scene->books.rows, (long long)scene->books.persisted,
                 (long long)scene->books.lost);
    scene->books = books;
    scene->known = true;
}

void scene_expect_complete(struct scene *scene)
{
    struct arena_copy copy;
    struct audit audit;

    expect_files(scene); /* first: readers leave SQLite's log and index */
    if (scene->prepare) {
        expect_situation(scene);
        return;
    }
    assert_true(arena_copy_read(&copy, scene->room->arena_path));
    assert_int_equal(copy.damaged, 0);
    expect_rows(scene);
    assert_int_equal(books_number(scene->room, "SELECT sum(persisted) FROM lanes"), copy.sequences);
    assert_int_equal(scene_read_board(scene), copy.sequences);
    books_audit(scene->room, &audit);
    assert_int_equal(audit.status, 0);
    assert_int_equal(audit.persisted, copy.sequences);
    assert_int_equal(audit.written, copy.sequences);
    assert_int_equal(audit.waiting + audit.lost + audit.unaccounted, 0);
    books_expect_text(scene->room, "ok", "PRAGMA integrity_check");
    arena_copy_free(&copy);
}

void scene_expect_sentence(const struct scene *scene)
{
    char line[1200];
    char last[1200] = "";
    FILE *file = fopen(scene->log, "re");

    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        memcpy(last, line, sizeof last);
    fclose(file);
    size_t length = strlen(last);
    if (strncmp(last, "tallyd: ", 8) != 0 || length < 20 || last[length - 1] != '\n' ||
        strstr(last, "(null)") != NULL || strstr(last, "Success") != NULL)
        fail_msg("its last words are no sentence: \"%s\"", last);
}
