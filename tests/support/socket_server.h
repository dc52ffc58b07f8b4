/* socket_server.h: an HTTP server as threads of the program that is its client, over TCP and a path: for programs that show what becomes of
 * bytes at the edges of sockets. Its answers say what the request's body was, and state as many input tokens as the header X-Number.
 *
 * X-How: "wait" (in the middle, for a byte in go[1]), "cut" (in the middle), "reset" (the same, at a byte in go[1]). */
#ifndef TESTS_SUPPORT_SOCKET_SERVER_H
#define TESTS_SUPPORT_SOCKET_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_in server_address;
static struct sockaddr_un server_path;
static int go[2]; /* a byte in it lets one answer that waits go on */

static void must(bool truth, const char *what)
{
    if (truth)
        return;
    fprintf(stderr, "sockets: %s: %s\n", what, strerror(errno));
    _exit(3);
}

static uint64_t hash(uint64_t before, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++)
        before = (before ^ at[i]) * 1099511628211u;
    return before;
}

static bool put(int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        length -= (size_t)n;
    }
    return true;
}

static long header(const char *head, const char *name)
{
    const char *at = strstr(head, name);
    return at ? strtol(at + strlen(name), NULL, 10) : 0;
}

/* One request, and its answer, which says what the request's body was. false: the connection is over. */
static bool serve(int fd)
{
    char head[4096] = "", body[1024], chunk[65536];
    size_t length = 0;
    uint64_t sum = 0;
    ssize_t n;
    while (length < 4 || memcmp(head + length - 4, "\r\n\r\n", 4) != 0) {
        if (length == sizeof head - 1 || recv(fd, head + length, 1, 0) != 1)
            return false;
        length++;
    }
    head[length] = '\0';
    for (long rest = header(head, "Content-Length: "); rest > 0; rest -= n) {
        n = recv(fd, chunk, (size_t)rest < sizeof chunk ? (size_t)rest : sizeof chunk, 0);
        if (n <= 0)
            return false;
        sum = hash(sum, chunk, (size_t)n);
    }
    int bytes =
        snprintf(body, sizeof body,
                 "{\"id\":\"r\",\"model\":\"gpt-4o-mini\",\"seen\":\"%016llx\",\"choices\":[{\"message\":"
                 "{\"content\":\"{\\\"usage\\\":{\\\"prompt_tokens\\\":999999}}\"}}],\"usage\":{\"prompt_"
                 "tokens\":%ld,\"completion_tokens\":1,\"total_tokens\":%ld}}",
                 (unsigned long long)sum, header(head, "X-Number: "), header(head, "X-Number: ") + 1);
    int head_bytes =
        snprintf(head + length, sizeof head - length,
                 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", bytes);
    const char *how = strstr(head, "X-How: ");
    how = how ? how + 7 : "";
    if (!put(fd, head + length, (size_t)head_bytes) || !put(fd, body, (size_t)bytes / 2))
        return false;
    if ((!strncmp(how, "wait", 4) || !strncmp(how, "reset", 5)) && read(go[0], chunk, 1) != 1)
        return false;
    if (!strncmp(how, "cut", 3))
        return false;
    if (!strncmp(how, "reset", 5)) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
        return false;
    }
    return put(fd, body + bytes / 2, (size_t)(bytes - bytes / 2));
}

static void *server_connection(void *argument)
{
    int fd = (int)(intptr_t)argument;
    while (serve(fd))
        ;
    close(fd);
    return NULL;
}

static void *server(void *argument)
{
    int listener = (int)(intptr_t)argument;
    for (;;) {
        pthread_t thread;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0 && pthread_create(&thread, NULL, server_connection, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    }
    return NULL;
}

static void server_begin(void)
{
    pthread_t thread;
    sigset_t all, before;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int local = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t length = sizeof server_address;
    server_address.sin_family = AF_INET;
    server_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(!bind(listener, (struct sockaddr *)&server_address, sizeof server_address) && !listen(listener, 128),
         "listen");
    must(!getsockname(listener, (struct sockaddr *)&server_address, &length), "getsockname");
    server_path.sun_family = AF_UNIX;
    snprintf(server_path.sun_path + 1, sizeof server_path.sun_path - 1, "tally-test-sockets-%d",
             (int)getpid());
    must(!bind(local, (struct sockaddr *)&server_path, sizeof server_path) && !listen(local, 8), "listen");
    must(!pipe2(go, O_CLOEXEC), "pipe");
    /* Signals are for the client. */
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    must(!pthread_create(&thread, NULL, server, (void *)(intptr_t)listener), "thread");
    must(!pthread_create(&thread, NULL, server, (void *)(intptr_t)local), "thread");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

#endif
