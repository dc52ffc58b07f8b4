#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

static void notify_socket(struct room *room, struct sockaddr_un *address)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof(address->sun_path), "%s/notify", room->directory);
    if (room->notify >= 0)
        close(room->notify);
    unlink(address->sun_path);
    room->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(room->notify >= 0);
    assert_int_equal(bind(room->notify, (struct sockaddr *)address, sizeof(*address)), 0);
}

static void print_log(const struct room *room)
{
    char path[ROOM_PATH_MAX];
    char line[500];

    snprintf(path, sizeof(path), "%s/agent.log", room->directory);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    while (fgets(line, sizeof(line), file) != NULL)
        print_error("tallyd: %s", line);
    fclose(file);
}

static void become_agent(const struct room *room, const struct sockaddr_un *address)
{
    char path[ROOM_PATH_MAX];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(path, sizeof(path), "%s/agent.log", room->directory);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, 1);
    dup2(log, 2);
    if (log > 2)
        close(log);
    setenv("NOTIFY_SOCKET", address->sun_path, 1);
    unsetenv("TALLY_ARENA");
    unsetenv("TALLY_STATE_DIR");
    for (size_t i = 0; i < room->setting_count; i++) /* it may be the one who makes the arena */
        putenv(room->settings[i]);
    snprintf(path, sizeof(path), "%s/%s/tallyd", room_build(), room->agent_build ? room->agent_build : ".");
    const char *list[10] = {path, "--foreground", "--state-dir", room->state, "--arena", room->arena};
    size_t count = 6;
    if (room->agent_users != NULL) {
        list[4] = "--users";
        list[5] = room->agent_users;
    }
    if (room->agent_config != NULL) {
        list[count++] = "--config";
        list[count++] = room->agent_config;
    }
    execv(path, (char **)(uintptr_t)list);
    dprintf(2, "%s: %s\n", path, strerror(errno));
    _exit(123);
}

/* READY=1 from the agent, or its end. */
static bool ready(struct room *room)
{
    char text[1000];
    struct pollfd poll_for = {.fd = room->notify, .events = POLLIN};
    int status;

    while (poll(&poll_for, 1, 0) == 1) {
        ssize_t got = recv(room->notify, text, sizeof(text) - 1, 0);
        if (got > 0) {
            text[got] = '\0';
            if (strstr(text, "READY=1") != NULL)
                return true;
        }
    }
    if (waitpid(room->agent, &status, WNOHANG) == room->agent) {
        room->agent = 0;
        print_log(room);
        fail_msg("the agent ended before it was ready, with status 0x%x", (unsigned)status);
    }
    return false;
}

void agent_start(struct room *room)
{
    struct sockaddr_un address;

    assert_int_equal(room->agent, 0);
    notify_socket(room, &address);
    fflush(NULL);
    room->agent = fork();
    assert_true(room->agent >= 0);
    if (room->agent == 0)
        become_agent(room, &address);
    wait_until(ready(room));
}

static bool left(const struct room *room, int *status, int options)
{
    return waitpid(room->agent, status, WNOHANG | options) == room->agent;
}

void agent_stop(struct room *room)
{
    int status;

    assert_true(room->agent > 0);
    assert_int_equal(kill(room->agent, SIGTERM), 0);
    wait_until(left(room, &status, 0));
    room->agent = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        print_log(room);
        fail_msg("the agent ended with status 0x%x", (unsigned)status);
    }
}

void agent_kill(struct room *room)
{
    int status;

    assert_true(room->agent > 0);
    assert_int_equal(kill(room->agent, SIGKILL), 0);
    wait_until(left(room, &status, 0));
    room->agent = 0;
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

void agent_pause(struct room *room)
{
    int status;

    assert_int_equal(kill(room->agent, SIGSTOP), 0);
    wait_until(left(room, &status, WUNTRACED));
    assert_true(WIFSTOPPED(status));
}

void agent_resume(struct room *room)
{
    assert_int_equal(kill(room->agent, SIGCONT), 0);
}

bool agent_sanitized(struct room *room)
{
    char path[ROOM_PATH_MAX];

    snprintf(path, sizeof(path), "%s/fuzz/tallyd", room_build());
    if (!SANITIZED && access(path, X_OK) == 0)
        room->agent_build = "fuzz";
    return SANITIZED || room->agent_build != NULL;
}

bool agent_running(const struct room *room)
{
    return room->agent > 0;
}

void agent_recover(struct room *room)
{
    char *output;
    int status = room_capture(room, &output, "tally", "recover", (char *)NULL);

    if (status != 0)
        print_error("tally recover: %s\n", output);
    free(output);
    assert_int_equal(status, 0);
}

bool agent_said(const struct room *room, const char *words)
{
    char path[ROOM_PATH_MAX];
    char line[1200];
    bool found = false;

    snprintf(path, sizeof(path), "%s/agent.log", room->directory);
    FILE *file = fopen(path, "re");
    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
        found = strstr(line, words) != NULL;
    if (file != NULL)
        fclose(file);
    return found;
}
