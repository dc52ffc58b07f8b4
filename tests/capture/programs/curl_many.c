/* curl_many.c: libcurl's multi handles, threads, processes. See curl_cases.c. */
#include "curl_cases.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MANY 99

/* ---- many at a time --------------------------------------------------------------------------- */

static void run_multi(CURLM *multi)
{
    int running = 1;
    while (running) {
        if (curl_multi_perform(multi, &running))
            failed("multi_perform");
        if (running)
            curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
}

/* Pauses each time it is called until it is called again. */
static size_t on_pausing(char *bytes, size_t size, size_t count, void *data)
{
    struct sum *sum = data;
    if (++sum->calls % 2) {
        sum->pauses = 1;
        return CURL_WRITEFUNC_PAUSE;
    }
    add(sum, bytes, size * count);
    return size * count;
}
int pausing(void)
{
    static const char *const paths[] = {STREAM ",chunk=100", CHAT, STREAM ",coding=gzip", CHAT,
                                        CHAT ",framing=chunked,chunk=50"};
    CURLM *multi = curl_multi_init();
    for (int i = 0; i < 5; i++) {
        struct sum sum = {.name = paths[i]};
        CURL *easy = request(paths[i], &sum);
        int running = 1;
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_pausing);
        curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
        curl_easy_setopt(easy, CURLOPT_HEADER, (long)(i == 3));
        curl_multi_add_handle(multi, easy);
        while (running) {
            curl_multi_perform(multi, &running);
            if (sum.pauses) {
                sum.pauses = 0;
                curl_easy_pause(easy, CURLPAUSE_CONT);
            } else if (running)
                curl_multi_poll(multi, NULL, 0, 1000, NULL);
        }
        curl_multi_remove_handle(multi, easy);
        curl_easy_cleanup(easy);
        show(&sum);
    }
    curl_multi_cleanup(multi);
    return 0;
}

/* asks: for all that have come to their end, or for every third only */
static int many(bool asks)
{
    static struct sum sums[MANY];
    static CURL *handles[MANY];
    unsigned long long bytes = 0;
    int done = 0, left, wrong = 0;
    CURLM *multi = curl_multi_init();
    CURLMsg *message;
    for (int i = 0; i < MANY; i++) {
        handles[i] = request(i % 2 ? STREAM : CHAT, &sums[i]);
        curl_easy_setopt(handles[i], CURLOPT_PRIVATE, &sums[i]);
        curl_multi_add_handle(multi, handles[i]);
    }
    curl_multi_setopt(multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, 8L);
    run_multi(multi);
    for (int i = 0; !asks && i < MANY; i++) {
        if (i % 3 == 1)
            curl_multi_remove_handle(multi, handles[i]);
    }
    while ((message = curl_multi_info_read(multi, &left))) {
        char *private = NULL;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        struct sum *sum = (struct sum *)(void *)private;
        wrong += message->msg != CURLMSG_DONE || message->data.result || sum->easy != message->easy_handle;
        done++;
        if (left != (asks ? MANY : MANY - MANY / 3) - done)
            wrong++;
        curl_multi_remove_handle(multi, message->easy_handle);
    }
    for (int i = 0; i < MANY; i++) {
        bytes += sums[i].bytes;
        curl_easy_cleanup(handles[i]);
    }
    curl_multi_cleanup(multi);
    printf("%d done, %llu bytes, %d wrong\n", done, bytes, wrong);
    return 0;
}
int many_asking(void)
{
    return many(true);
}
int many_not_asking(void)
{
    return many(false);
}

/* Given up in the middle: removed, cleaned up within the multi handle, and after it. */
int giving_up(void)
{
    struct sum sums[4] = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}};
    CURL *handles[4];
    CURLM *multi = curl_multi_init();
    int running = 4;
    for (int i = 0; i < 4; i++) {
        handles[i] = request(i < 3 ? STREAM ",hold=3" : CHAT, &sums[i]);
        curl_multi_add_handle(multi, handles[i]);
    }
    while (running > 3 || !sums[0].bytes || !sums[1].bytes || !sums[2].bytes) {
        curl_multi_perform(multi, &running);
        curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    curl_multi_remove_handle(multi, handles[0]);
    curl_easy_cleanup(handles[0]);
    curl_easy_cleanup(handles[1]);
    curl_multi_cleanup(multi);
    curl_easy_cleanup(handles[2]);
    show(&sums[3]);
    curl_easy_cleanup(handles[3]);
    return 0;
}

/* Where servers may push, libcurl copies handles by itself. */
static int on_push(CURL *parent, CURL *easy, size_t count, struct curl_pushheaders *pushed, void *data)
{
    (void)parent, (void)easy, (void)count, (void)pushed, (void)data;
    return CURL_PUSH_DENY;
}
int pushing(void)
{
    struct sum sums[2] = {{.name = "before"}, {.name = "after"}};
    CURLM *multi = curl_multi_init();
    CURL *before = request(CHAT, &sums[0]), *after = request(CHAT, &sums[1]);
    curl_multi_add_handle(multi, before);
    curl_multi_setopt(multi, CURLMOPT_PUSHFUNCTION, on_push);
    curl_multi_add_handle(multi, after);
    run_multi(multi);
    curl_easy_cleanup(before);
    curl_easy_cleanup(after);
    curl_multi_cleanup(multi);
    show(&sums[0]);
    show(&sums[1]);
    return 0;
}

/* ---- by events ---------------------------------------------------------------------------------- */

static struct {
    struct pollfd sockets[64];
    int count;
    long timeout_ms;
} events;

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *per_socket)
{
    int i = 0;
    (void)easy, (void)data, (void)per_socket;
    while (i < events.count && events.sockets[i].fd != fd)
        i++;
    if (what == CURL_POLL_REMOVE) {
        if (i < events.count)
            events.sockets[i] = events.sockets[--events.count];
        return 0;
    }
    if (i == events.count)
        events.count++;
    events.sockets[i] = (struct pollfd){fd, (short)((what & 1 ? POLLIN : 0) | (what & 2 ? POLLOUT : 0)), 0};
    return 0;
}
static int on_timer(CURLM *multi, long timeout_ms, void *data)
{
    (void)multi, (void)data;
    events.timeout_ms = timeout_ms;
    return 0;
}
int by_events(void)
{
    struct sum sums[20] = {{0}};
    unsigned long long bytes = 0;
    int running = 1, left;
    CURLM *multi = curl_multi_init();
    CURLMsg *message;
    events.timeout_ms = -1;
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    for (int i = 0; i < 20; i++)
        curl_multi_add_handle(multi, request(STREAM, &sums[i]));
    while (running) {
        struct pollfd sockets[64];
        int count = events.count;
        memcpy(sockets, events.sockets, sizeof sockets);
        if (poll(sockets, (nfds_t)count, events.timeout_ms < 0 ? 1000 : (int)events.timeout_ms) == 0)
            curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
        for (int i = 0; i < count; i++)
            if (sockets[i].revents)
                curl_multi_socket_action(multi, sockets[i].fd,
                                         (sockets[i].revents & POLLIN ? 1 : 0) |
                                             (sockets[i].revents & POLLOUT ? 2 : 0) |
                                             (sockets[i].revents & (POLLERR | POLLHUP) ? 4 : 0),
                                         &running);
        while ((message = curl_multi_info_read(multi, &left))) {
            CURL *easy = message->easy_handle;
            printf("%d\n", message->data.result);
            curl_multi_remove_handle(multi, easy);
            curl_easy_cleanup(easy);
        }
    }
    curl_multi_cleanup(multi);
    for (int i = 0; i < 20; i++)
        bytes += sums[i].bytes;
    printf("%llu bytes\n", bytes);
    return 0;
}

/* ---- threads, processes ---------------------------------------------------------------------------- */

static CURLSH *share;
static pthread_mutex_t locks[CURL_LOCK_DATA_LAST];
static void on_lock(CURL *easy, curl_lock_data data, curl_lock_access access, void *user)
{
    (void)easy, (void)access, (void)user;
    pthread_mutex_lock(&locks[data]);
}
static void on_unlock(CURL *easy, curl_lock_data data, void *user)
{
    (void)easy, (void)user;
    pthread_mutex_unlock(&locks[data]);
}

/* Goes on with a handle that another thread made and used. */
static void *thread(void *data)
{
    struct sum *sum = data;
    for (int i = 0; i < 5; i++) {
        if (curl_easy_perform(sum->easy))
            failed("perform in a thread");
        struct sum own = {0};
        CURL *easy = request(CHAT, &own);
        curl_easy_setopt(easy, CURLOPT_SHARE, share);
        if (curl_easy_perform(easy))
            failed("perform");
        sum->bytes += own.bytes;
        curl_easy_cleanup(easy);
    }
    curl_slist_free_all(headers);
    return NULL;
}
int threads(void)
{
    struct sum sums[8] = {{0}};
    pthread_t ids[8];
    unsigned long long bytes = 0;
    for (int i = 0; i < CURL_LOCK_DATA_LAST; i++)
        pthread_mutex_init(&locks[i], NULL);
    share = curl_share_init();
    curl_share_setopt(share, CURLSHOPT_LOCKFUNC, on_lock);
    curl_share_setopt(share, CURLSHOPT_UNLOCKFUNC, on_unlock);
    curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
    for (int i = 0; i < 8; i++) {
        request(i % 2 ? CHAT : STREAM, &sums[i]);
        if (curl_easy_perform(sums[i].easy))
            failed("perform");
    }
    for (int i = 0; i < 8; i++)
        pthread_create(&ids[i], NULL, thread, &sums[i]);
    for (int i = 0; i < 8; i++) {
        pthread_join(ids[i], NULL);
        bytes += sums[i].bytes;
        curl_easy_cleanup(sums[i].easy);
    }
    curl_share_cleanup(share);
    printf("%llu bytes\n", bytes);
    return 0;
}

/* A child that was made in the middle of a transfer uses the copy of it that it has, and handles of its own. */
static int forked_status = -1;
static size_t on_forking(char *bytes, size_t size, size_t count, void *data)
{
    if (forked_status < 0) {
        struct sum sum = {.name = "child"};
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            CURL *easy = request(CHAT, &sum);
            perform(easy);
            curl_easy_cleanup(easy);
            show(&sum);
            exit(7);
        }
        waitpid(child, &forked_status, 0);
    }
    return on_body(bytes, size, count, data);
}
int forking(void)
{
    struct sum sum = {.name = "parent"};
    CURL *easy = request(STREAM, &sum);
    fflush(stdout);
    pid_t child = fork(); /* with a handle that was not used yet */
    if (child == 0) {
        perform(easy);
        curl_easy_cleanup(easy);
        show(&sum);
        exit(0);
    }
    waitpid(child, NULL, 0);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_forking);
    perform(easy);
    curl_easy_cleanup(easy);
    show(&sum);
    printf("child %d\n", WEXITSTATUS(forked_status));
    return 0;
}
