/* capture.c: what it costs a program to be watched by libtally-preload.so: programs as they are, without and with it, in turns. */
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUESTS 400

/* ---- a provider: one connection at a time, always the same answer -------------------------------- */

static const char answer[] = "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":"
                             "1767225600,\"model\":\"gpt-4o-mini-2024-07-18\","
                             "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
                             "\"The Danube rises in the Black Forest, passes ten "
                             "countries and four capitals, and reaches the Black Sea after some 2,850 "
                             "kilometres; no other river crosses as many "
                             "borders.\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":812,"
                             "\"completion_tokens\":64,\"total_tokens\":876,"
                             "\"prompt_tokens_details\":{\"cached_tokens\":768},\"completion_tokens_"
                             "details\":{\"reasoning_tokens\":0}}}";

/* Whether a whole request has come: its head, and a body as long as that says. */
static bool whole(const char *request)
{
    const char *end = strstr(request, "\r\n\r\n");
    const char *length = strcasestr(request, "\r\ncontent-length:");
    return end && strlen(end + 4) >= (size_t)(length ? atoi(length + 17) : 0);
}

static void serve(int connection)
{
    char response[sizeof answer + 200];
    char request[8192];
    size_t used = 0;
    ssize_t got;
    int length =
        snprintf(response, sizeof response,
                 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                 sizeof answer - 1, answer);
    while ((got = read(connection, request + used, sizeof request - 1 - used)) > 0) {
        used += (size_t)got;
        request[used] = '\0';
        if (!whole(request))
            continue;
        used = 0;
        if (write(connection, response, (size_t)length) != length)
            return;
    }
}

/* Its port; *server is its process. */
static int provider(pid_t *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 16) ||
        getsockname(listener, (struct sockaddr *)&address, &length))
        give_up("no socket for a provider: %s", strerror(errno));
    *server = fork();
    if (*server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            int connection = accept(listener, NULL, NULL);
            setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            serve(connection);
            close(connection);
        }
    }
    close(listener);
    if (*server < 0)
        give_up("fork: %s", strerror(errno));
    return ntohs(address.sin_port);
}

/* ---- contenders ------------------------------------------------------------------------------------- */

#define WORDS_MAX 12

/* ns of a whole process; preload: NULL, or the library. -1: it cannot be run here. */
static int64_t run(const char *const words[WORDS_MAX], const char *preload)
{
    posix_spawn_file_actions_t actions;
    char setting[PATH_MAX + 16];
    char *environment[64] = {NULL};
    char *arguments[WORDS_MAX];
    size_t used = 0;
    int status = 0;
    pid_t pid;

    for (char **each = environ; *each && used < 60; each++)
        if (strncmp(*each, "LD_PRELOAD=", 11) != 0)
            environment[used++] = *each;
    snprintf(setting, sizeof setting, "LD_PRELOAD=%s", preload ? preload : "");
    if (preload)
        environment[used++] = setting;
    memcpy(arguments, words, sizeof arguments); /* exec takes them without const, and changes nothing */
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int64_t start = now_ns();
    int failed = posix_spawnp(&pid, words[0], &actions, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    if (failed || waitpid(pid, &status, 0) != pid || status != 0)
        return -1;
    return now_ns() - start;
}

struct contender {
    const char *title;   /* with the library */
    const char *without; /* the same program alone */
    const char *unit;
    int each;      /* requests, or 1 */
    double factor; /* from ns */
    const char *words[WORDS_MAX];
};

static void compare(const struct plan *plan, struct contender *contender, const char *library)
{
    struct series with;
    struct series without;
    int rounds = rounds_of(plan, 15);

    if (run(contender->words, NULL) < 0 || run(contender->words, library) < 0) {
        output_note("%s: cannot be run here.", contender->title);
        return;
    }
    series_start(&with, contender->unit, contender->title);
    series_start(&without, contender->unit, contender->without);
    for (int round = 0; round < rounds; round++) {
        int64_t alone = run(contender->words, NULL);
        int64_t watched = run(contender->words, library);
        if (alone < 0 || watched < 0)
            give_up("%s failed in the middle", contender->title);
        series_add(&without, (double)alone / contender->each / contender->factor);
        series_add(&with, (double)watched / contender->each / contender->factor);
    }
    output_series(&with);
    output_peer(&without, &with);
    output_note("%s: %+.1f %s.", contender->title, series_median(&with) - series_median(&without),
                contender->unit);
    series_free(&with);
    series_free(&without);
}

void bench_capture(const struct plan *plan)
{
    char library[PATH_MAX];
    char url[128];
    char python[1024];
    pid_t server = -1;
    int port = provider(&server);
    char body[] = "{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"Which river "
                  "crosses most borders?\"}]}";
    char type[] = "Content-Type: application/json";
    char none[] = "pass";

    const char *slash = strrchr(plan->self, '/');
    snprintf(library, sizeof library, "%.*s/../../libtally-preload.so", slash ? (int)(slash - plan->self) : 1,
             slash ? plan->self : ".");
    if (access(library, R_OK) != 0)
        give_up("%s is missing: run make", library);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/v1/chat/completions?[1-%d]", port, REQUESTS);
    snprintf(python, sizeof python,
             "import requests\n"
             "session = requests.Session()\n"
             "for _ in range(%d):\n"
             "    session.post('http://127.0.0.1:%d/v1/chat/completions', json={'model': 'gpt-4o-mini', "
             "'messages': []}).json()\n",
             REQUESTS, port);
    struct contender contenders[] = {
        {"curl, a request, watched",
         "the same alone",
         "us",
         REQUESTS,
         1000,
         {"curl", "-s", "-H", type, "-d", body, url, NULL}},
        {"Python requests, a request, watched",
         "the same alone",
         "us",
         REQUESTS,
         1000,
         {"/usr/bin/python3", "-c", python, NULL}},
        {"dd, 200,000 reads and writes, watched",
         "the same alone",
         "ms",
         1,
         1000000,
         {"dd", "if=/dev/zero", "of=/dev/null", "bs=512", "count=200000", NULL}},
        {"python3 that does nothing, watched",
         "the same alone",
         "ms",
         1,
         1000000,
         {"/usr/bin/python3", "-c", none, NULL}},
        {"true, watched", "the same alone", "us", 1, 1000, {"true", NULL}},
    };
    output_section(
        "Programs watched by libtally-preload.so",
        "Whole processes, without and with it in turns; the first two divided by their 400 requests.");
    for (size_t i = 0; i < sizeof contenders / sizeof contenders[0]; i++)
        compare(plan, &contenders[i], library);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
}
