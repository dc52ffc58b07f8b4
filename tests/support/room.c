#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static int room_number; /* of this test program */

/* ---- making and taking down ------------------------------------------------------- */

static void counters_make(struct room *room)
{
    char path[ROOM_PATH_MAX];

    snprintf(path, sizeof(path), "%s/counters", room->directory);
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    assert_true(file >= 0);
    assert_int_equal(fchmod(file, 0666), 0);
    assert_int_equal(ftruncate(file, sizeof(struct counters)), 0);
    room->counters = mmap(NULL, sizeof(struct counters), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    assert_true(room->counters != MAP_FAILED);
    close(file);
}

int room_setup(void **state)
{
    struct room *room = calloc(1, sizeof(*room));
    const char *temporary = getenv("TMPDIR");
    char home[ROOM_PATH_MAX];

    assert_non_null(room);
    *state = room;
    room->notify = -1;
    snprintf(room->directory, sizeof(room->directory), "%s/tally-room.XXXXXX",
             temporary ? temporary : "/tmp");
    assert_non_null(mkdtemp(room->directory));
    assert_int_equal(chmod(room->directory, 0755), 0);
    snprintf(room->state, sizeof(room->state), "%s/state", room->directory);
    snprintf(room->arena, sizeof(room->arena), "/tally-test-%d-%d", (int)getpid(), ++room_number);
    snprintf(room->arena_path, sizeof(room->arena_path), "/dev/shm%s", room->arena);
    counters_make(room);
    /* Where clients spill that know of no agent: inside the room, for all that it starts. */
    snprintf(home, sizeof(home), "%s/home", room->directory);
    setenv("XDG_STATE_HOME", home, 1);
    return 0;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

/* The arena, its board and its lock are what a user has; anything else by that name is a leak. */
static int remove_shared_memory(const struct room *room)
{
    DIR *directory = opendir("/dev/shm");
    const struct dirent *entry;
    const char *base = room->arena + 1;
    size_t length = strlen(base);
    int leaks = 0;

    if (directory == NULL)
        return 0;
    while ((entry = readdir(directory)) != NULL) {
        const char *rest = entry->d_name + length;
        if (strncmp(entry->d_name, base, length) != 0 || (*rest != '\0' && *rest != '.'))
            continue;
        if (strcmp(rest, "") != 0 && strcmp(rest, ".board") != 0 && strcmp(rest, ".lock") != 0) {
            print_error("left in shared memory: %s\n", entry->d_name);
            leaks++;
        }
        unlinkat(dirfd(directory), entry->d_name, 0);
    }
    closedir(directory);
    return leaks;
}

static void end_process(pid_t pid)
{
    kill(pid, SIGKILL);
    kill(pid, SIGCONT);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

int room_teardown(void **state)
{
    struct room *room = *state;

    for (size_t i = 0; i < room->program_count; i++)
        if (!room->programs[i].ended)
            end_process(room->programs[i].pid);
    if (room->agent > 0)
        end_process(room->agent);
    if (room->notify >= 0)
        close(room->notify);
    int leaks = remove_shared_memory(room);
    munmap(room->counters, sizeof(*room->counters));
    nftw(room->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    for (size_t i = 0; i < room->setting_count; i++)
        free(room->settings[i]);
    free(room);
    return leaks ? -1 : 0;
}

void room_set(struct room *room, const char *name, const char *value)
{
    assert_true(room->setting_count < ROOM_SETTINGS_MAX);
    assert_true(asprintf(&room->settings[room->setting_count++], "%s=%s", name, value) > 0);
}

/* ---- programs ------------------------------------------------------------------------- */

const char *room_build(void)
{
    const char *build = getenv("TALLY_TEST_BUILD");

    return build ? build : "build";
}

static void set_names(const struct room *room)
{
    setenv("TALLY_STATE_DIR", room->state, 1);
    /* Most tests are about lanes: what has no room there must show. Those about spill files say so. */
    setenv("TALLY_OVERFLOW", "block", 1);
    if (room->agent_users == NULL)
        setenv("TALLY_ARENA", room->arena, 1);
    else
        unsetenv("TALLY_ARENA");
}

void room_enter(const struct room *room)
{
    /* Programs die of signals on purpose, fork with threads and are killed holding memory. */
    static const char sanitizers[] = "detect_leaks=0:handle_segv=0:handle_abort=0:die_after_fork=0";
    char path[ROOM_PATH_MAX];

    snprintf(path, sizeof(path), "%s/counters", room->directory);
    setenv(COUNTERS_ENVIRONMENT, path, 1);
    setenv("ASAN_OPTIONS", sanitizers, 1);
    setenv("TSAN_OPTIONS", sanitizers, 1);
    set_names(room);
    for (size_t i = 0; i < room->setting_count; i++)
        putenv(room->settings[i]);
}

static void output_path(const struct room *room, size_t index, char path[ROOM_PATH_MAX])
{
    snprintf(path, ROOM_PATH_MAX, "%s/output-%zu", room->directory, index);
}

static void become_program(const struct room *room, const char *name, const char *const *arguments)
{
    char path[ROOM_PATH_MAX * 2];
    char output[ROOM_PATH_MAX];
    char *list[64] = {path};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    output_path(room, room->program_count, output);
    int file = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(file, 1);
    dup2(file, 2);
    if (file > 2)
        close(file);
    if (null > 2)
        close(null);
    for (int i = 0; i < 62 && arguments[i] != NULL; i++)
        list[i + 1] = strdup(arguments[i]);
    if (name[0] == '/')
        snprintf(path, sizeof(path), "%s", name);
    else
        snprintf(path, sizeof(path), "%s/tests/programs/%s", room_build(), name);
    room_enter(room);
    execv(path, list);
    dprintf(2, "%s: %s\n", path, strerror(errno));
    _exit(123);
}

struct program *room_start_list(struct room *room, const char *name, const char *const *arguments)
{
    assert_true(room->program_count < ROOM_PROGRAMS_MAX);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        become_program(room, name, arguments);
    struct program *program = &room->programs[room->program_count++];
    program->pid = pid;
    return program;
}

#define COLLECT_ARGUMENTS(list, last)                                                                        \
    do {                                                                                                     \
        va_list arguments_;                                                                                  \
        size_t count_ = 0;                                                                                   \
        va_start(arguments_, last);                                                                          \
        do                                                                                                   \
            list[count_] = va_arg(arguments_, const char *);                                                 \
        while (list[count_] != NULL && ++count_ < sizeof(list) / sizeof(list[0]) - 1);                       \
        list[count_] = NULL;                                                                                 \
        va_end(arguments_);                                                                                  \
    } while (0)

struct program *room_start(struct room *room, const char *name, ...)
{
    const char *list[60];

    COLLECT_ARGUMENTS(list, name);
    return room_start_list(room, name, list);
}

bool room_ended(struct program *program)
{
    if (!program->ended && waitpid(program->pid, &program->status, WNOHANG) == program->pid)
        program->ended = true;
    return program->ended;
}

static void expect_silence(const struct room *room, const struct program *program)
{
    char path[ROOM_PATH_MAX];
    char text[2000];

    output_path(room, (size_t)(program - room->programs), path);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? 0 : read(file, text, sizeof(text) - 1);
    if (file >= 0)
        close(file);
    if (got > 0 && !room->talkative) {
        text[got] = '\0';
        fail_msg("a program printed: %s", text);
    }
}

int room_wait(struct room *room, struct program *program)
{
    wait_until(room_ended(program));
    expect_silence(room, program);
    return program->status;
}

void room_expect_exit(struct room *room, struct program *program, int status)
{
    int found = room_wait(room, program);

    if (WIFSIGNALED(found))
        fail_msg("a program died of signal %d", WTERMSIG(found));
    assert_int_equal(WEXITSTATUS(found), status);
    assert_int_equal(room->counters->surprises, 0);
}

void room_expect_signal(struct room *room, struct program *program, int signal_number)
{
    int found = room_wait(room, program);

    if (WIFEXITED(found))
        fail_msg("a program exited with status %d and should have died of a signal", WEXITSTATUS(found));
    assert_int_equal(WTERMSIG(found), signal_number);
    assert_int_equal(room->counters->surprises, 0);
}

void room_run(struct room *room, const char *name, ...)
{
    const char *list[60];

    COLLECT_ARGUMENTS(list, name);
    room_expect_exit(room, room_start_list(room, name, list), 0);
}

void room_kill(struct room *room, struct program *program)
{
    assert_int_equal(kill(program->pid, SIGKILL), 0);
    room_expect_signal(room, program, SIGKILL);
}

char room_state_letter(pid_t pid)
{
    char path[64];
    char text[512] = "";

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return '\0';
    ssize_t got = read(file, text, sizeof(text) - 1);
    close(file);
    const char *name_end = strrchr(text, ')');
    if (got <= 0 || name_end == NULL)
        return '\0';
    return name_end[2];
}

/* Whoever inherits it may take a moment to reap it: a zombie is gone enough. */
static bool orphan_gone(pid_t pid)
{
    char letter = room_state_letter(pid);

    return letter == '\0' || letter == 'Z';
}

void room_wait_for_orphan(const struct room *room, pid_t pid)
{
    (void)room;
    wait_until(orphan_gone(pid));
}

int room_capture(const struct room *room, char **output, const char *path, ...)
{
    const char *list[60];
    char name[ROOM_PATH_MAX];
    size_t room_bytes = 1 << 25; /* touched as far as it is used */
    size_t length = 0;
    ssize_t got;
    int ends[2];
    int status;

    COLLECT_ARGUMENTS(list, path);
    snprintf(name, sizeof(name), "%s/%s", room_build(), path);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        char *copies[62] = {name};
        for (int i = 0; list[i] != NULL; i++)
            copies[i + 1] = strdup(list[i]);
        dup2(ends[1], 1);
        set_names(room);
        execv(name, copies);
        _exit(123);
    }
    close(ends[1]);
    *output = calloc(1, room_bytes);
    assert_non_null(*output);
    while (length < room_bytes - 1 && (got = read(ends[0], *output + length, room_bytes - 1 - length)) > 0)
        length += (size_t)got;
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- counters ---------------------------------------------------------------------------- */

/* A program that has ended without coming there never will. */
static bool stage_reached(struct room *room, uint32_t stage)
{
    if (atomic_load(&room->counters->stage) >= stage)
        return true;
    for (size_t i = 0; i < room->program_count; i++)
        if (!room_ended(&room->programs[i]))
            return false;
    if (atomic_load(&room->counters->stage) < stage)
        fail_msg("the programs have ended at stage %u, before stage %u", room->counters->stage, stage);
    return true;
}

void room_await_stage(struct room *room, uint32_t stage)
{
    wait_until(stage_reached(room, stage));
}

void room_go(struct room *room, uint32_t go)
{
    atomic_store(&room->counters->go, go);
}

int64_t room_result(const struct room *room, uint32_t index)
{
    assert_true(index < atomic_load(&room->counters->result_count));
    return atomic_load(&room->counters->results[index]);
}

uint64_t room_acknowledged(const struct room *room)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < room->counters->writer_count; i++)
        sum += atomic_load(&room->counters->writers[i].acknowledged);
    return sum;
}

uint64_t room_attempted(const struct room *room)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < room->counters->writer_count; i++)
        sum += atomic_load(&room->counters->writers[i].attempted);
    return sum;
}

uint64_t room_refused(const struct room *room)
{
    uint64_t sum = 0;

    for (int i = 0; i < COUNTERS_ERRORS_MAX; i++)
        sum += atomic_load(&room->counters->refused[i]);
    return sum;
}
