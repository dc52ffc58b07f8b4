/* peer.c: processes of contenders: started, asked, ended. One that hangs or dies is out, and its row says so. */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS  60000
#define ANSWER_MS 60000

static void end(struct peer *peer)
{
    int status;

    if (peer->pid == 0)
        return;
    fclose(peer->orders); /* which is what it ends of */
    for (int tenths = 0; tenths < 150 && waitpid(peer->pid, &status, WNOHANG) == 0; tenths++) {
        if (tenths == 100)
            kill(peer->pid, SIGTERM);
        if (tenths == 140)
            kill(peer->pid, SIGKILL);
        usleep(100000);
    }
    fclose(peer->answers);
    peer->pid = 0;
}

static void out(struct peer *peer, const char *why)
{
    snprintf(peer->trouble, sizeof(peer->trouble), "%s", why);
    peer->trouble[strcspn(peer->trouble, "\n\"\\")] = '\0';
    if (peer->pid != 0)
        kill(peer->pid, SIGTERM);
    end(peer);
}

static bool answer(struct peer *peer, int within_ms, char *line, int size)
{
    struct pollfd ready = {.fd = fileno(peer->answers), .events = POLLIN};

    if (poll(&ready, 1, within_ms) == 1 && fgets(line, size, peer->answers) != NULL)
        return true;
    out(peer, ready.revents != 0 ? "ended in the middle" : "did not answer in time");
    return false;
}

static void spawn(struct peer *peer, const struct plan *plan)
{
    char *arguments[] = {NULL, NULL, NULL, NULL};
    posix_spawn_file_actions_t actions;
    char stand[512];
    int orders[2];
    int answers[2];

    snprintf(stand, sizeof(stand), "%s/stand", plan->peers);
    arguments[0] = stand;
    arguments[1] = strdup(peer->kind);
    arguments[2] = strdup(plan->build);
    if (pipe2(orders, O_CLOEXEC) != 0 || pipe2(answers, O_CLOEXEC) != 0)
        give_up("pipe: %s", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, orders[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, answers[1], STDOUT_FILENO);
    if ((errno = posix_spawn(&peer->pid, stand, &actions, NULL, arguments, environ)) != 0)
        give_up("%s: %s", stand, strerror(errno));
    posix_spawn_file_actions_destroy(&actions);
    close(orders[0]);
    close(answers[1]);
    free(arguments[1]);
    free(arguments[2]);
    peer->orders = fdopen(orders[1], "w");
    peer->answers = fdopen(answers[0], "r");
    if (peer->orders == NULL || peer->answers == NULL)
        give_up("out of memory");
}

void peers_start(struct peer *peers, size_t count, const struct plan *plan)
{
    char line[256];

    signal(SIGPIPE, SIG_IGN); /* a peer that has ended is found out when it does not answer */
    for (size_t i = 0; i < count; i++) {
        struct peer *peer = &peers[i];

        spawn(peer, plan);
        int ready_ms = peer->ready_s > 0 ? peer->ready_s * 1000 : READY_MS;

        if (answer(peer, ready_ms, line, sizeof(line)) && strcmp(line, "ready\n") != 0)
            out(peer, strncmp(line, "cannot ", 7) == 0 ? line : "cannot be understood");
    }
}

void peers_stop(struct peer *peers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        end(&peers[i]);
}

static bool ask(struct peer *peer, char order, int count, char *line, int size)
{
    fprintf(peer->orders, "%c %d\n", order, count);
    fflush(peer->orders);
    return answer(peer, ANSWER_MS, line, size);
}

double peer_burst(struct peer *peer, int records)
{
    char line[256];

    if (peer->pid == 0 || !ask(peer, 'b', records, line, sizeof(line)))
        return 0;
    return strtod(line, NULL) / records;
}

double peer_processor(struct peer *peer, int records)
{
    char line[256];

    if (peer->pid == 0 || !ask(peer, 'c', records, line, sizeof(line)))
        return 0;
    return strtod(line, NULL) / records;
}

bool peer_paced(struct peer *peer, int records, double *ns)
{
    char line[8192];
    char *at = line;

    if (peer->pid == 0 || !ask(peer, 'p', records, line, sizeof(line)))
        return false;
    for (int i = 0; i < records; i++) {
        char *before = at;

        ns[i] = strtod(before, &at);
        if (at == before) {
            out(peer, "cannot be understood");
            return false;
        }
    }
    return true;
}
