#include "jail.h"

#include "test.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define WORDS_MAX 60
#define NO_RIGHT  77

/* The words of a command line that is being made: they last until the next one is. */
static struct {
    char text[8192];
    size_t used;
    const char *list[WORDS_MAX + 2];
    size_t count;
} made;

static void add_words(const char *words)
{
    char *at = made.text + made.used;
    size_t length = strlen(words) + 1;

    assert_true(length <= sizeof(made.text) - made.used);
    memcpy(at, words, length);
    made.used += length;
    for (char *word = strtok(at, " "); word != NULL; word = strtok(NULL, " ")) {
        assert_true(made.count < WORDS_MAX);
        made.list[made.count++] = word;
        for (char *tilde = strchr(word, '~'); tilde != NULL; tilde = strchr(tilde, '~'))
            *tilde = ' ';
    }
    made.list[made.count] = NULL;
}

static const char *const *compose(const char *first, const char *words, const char *program,
                                  const char *arguments)
{
    made.used = made.count = 0;
    if (first != NULL)
        add_words(first);
    add_words(words);
    add_words("--");
    add_words(program);
    add_words(arguments);
    return made.list;
}

struct program *jail_start(struct room *room, const char *words, const char *program, const char *arguments)
{
    return room_start_list(room, "jail-static", compose(NULL, words, program, arguments));
}

static bool not_allowed(const struct program *program)
{
    return program->ended && WIFEXITED(program->status) && WEXITSTATUS(program->status) == NO_RIGHT;
}

void jail_expect_exit(struct room *room, struct program *program, int status)
{
    wait_until(room_ended(program));
    if (not_allowed(program))
        skip_because("no right to namespaces, mounts or filters");
    room_expect_exit(room, program, status);
}

void jail_run(struct room *room, const char *words, const char *program, const char *arguments)
{
    jail_expect_exit(room, jail_start(room, words, program, arguments), 0);
}

/* The only child of a process. */
static pid_t child_of(pid_t pid)
{
    char path[64];
    long child = 0;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &child), 1);
    fclose(file);
    return (pid_t)child;
}

void jail_kill(struct room *room, struct program *program)
{
    assert_int_equal(kill(child_of(program->pid), SIGKILL), 0);
    room_expect_signal(room, program, SIGKILL);
}

/* ---- the agent -------------------------------------------------------------------------- */

int jail_log_lines(const struct room *room, const char *words)
{
    char path[ROOM_PATH_MAX];
    char line[1500];
    int found = 0;

    snprintf(path, sizeof(path), "%s/agent.log", room->directory);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        found += strstr(line, words) != NULL;
    if (file != NULL)
        fclose(file);
    return found;
}

static void become_agent(const struct room *room, const char *words, const char *arguments)
{
    char jail[ROOM_PATH_MAX];
    char agent[ROOM_PATH_MAX];
    char log[ROOM_PATH_MAX];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(log, sizeof(log), "%s/agent.log", room->directory);
    int file = open(log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    dup2(file, 1);
    dup2(file, 2);
    if (file > 2)
        close(file);
    snprintf(jail, sizeof(jail), "%s/tests/programs/jail-static", room_build());
    snprintf(agent, sizeof(agent), "%s/tallyd", room_build());
    compose(jail, words, agent, arguments);
    unsetenv("TALLY_ARENA");
    unsetenv("TALLY_STATE_DIR");
    for (size_t i = 0; i < room->setting_count; i++)
        putenv(room->settings[i]);
    execv(jail, (char *const *)(uintptr_t)made.list);
    _exit(123);
}

static void start(struct room *room, const char *words, const char *arguments)
{
    assert_int_equal(room->agent, 0);
    fflush(NULL);
    room->agent = fork();
    assert_true(room->agent >= 0);
    if (room->agent == 0)
        become_agent(room, words, arguments);
}

void jail_agent_kill(struct room *room)
{
    int status;

    assert_int_equal(kill(child_of(room->agent), SIGKILL), 0);
    wait_until(waitpid(room->agent, &status, WNOHANG) == room->agent);
    room->agent = 0;
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static int agent_status(struct room *room)
{
    int status;

    wait_until(waitpid(room->agent, &status, WNOHANG) == room->agent);
    room->agent = 0;
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_RIGHT)
        skip_because("no right to namespaces, mounts or filters");
    return WEXITSTATUS(status);
}

static void show_log(const struct room *room)
{
    char path[ROOM_PATH_MAX];
    char line[1500];

    snprintf(path, sizeof(path), "%s/agent.log", room->directory);
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        print_error("%s", line);
    if (file != NULL)
        fclose(file);
}

static bool serves(struct room *room, int before)
{
    siginfo_t info = {.si_pid = 0};

    if (jail_log_lines(room, " serves ") > before)
        return true;
    if (waitid(P_PID, (id_t)room->agent, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
        int status = agent_status(room);
        show_log(room);
        fail_msg("the agent left with status %d before it served", status);
    }
    return false;
}

void jail_agent(struct room *room, const char *words, const char *arguments)
{
    int before = jail_log_lines(room, " serves ");

    start(room, words, arguments);
    wait_until(serves(room, before));
}

void jail_agent_refuses(struct room *room, const char *words, const char *arguments, const char *sentence)
{
    int before = jail_log_lines(room, sentence);

    start(room, words, arguments);
    assert_int_equal(agent_status(room), 1);
    assert_int_equal(jail_log_lines(room, sentence), before + 1);
}

/* ---- the volume ---------------------------------------------------------------------------- */

static void volume_path(const struct room *room, char path[ROOM_PATH_MAX])
{
    snprintf(path, ROOM_PATH_MAX, "%s/volume", room->directory);
}

void jail_volume(struct room *room, const char *size)
{
    char path[ROOM_PATH_MAX];
    char options[64];

    volume_path(room, path);
    snprintf(options, sizeof(options), "size=%s,mode=1777", size);
    if (geteuid() != 0)
        skip_because("no right to mount a volume");
    assert_int_equal(mkdir(path, 0755), 0);
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0)
        skip_because("no right to mount a volume");
    assert_int_equal(chmod(path, 01777), 0);
    snprintf(room->arena_path, sizeof(room->arena_path), "%s/volume/arena", room->directory);
    snprintf(room->arena, sizeof(room->arena), "%s/volume/arena", room->directory);
}

int jail_teardown(void **state)
{
    const struct room *room = *state;
    char path[ROOM_PATH_MAX];

    for (size_t i = 0; i < room->program_count; i++)
        if (!room->programs[i].ended)
            kill(room->programs[i].pid, SIGKILL); /* or the volume would stay in use */
    volume_path(room, path);
    umount2(path, MNT_DETACH);
    return room_teardown(state);
}
