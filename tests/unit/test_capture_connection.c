/* Connections: which are followed, for how long, and what remains of them; descriptors that become another's unseen; forks, vforks, threads
 * and signal handlers at the worst moment. The exchanges only write down what they are told (exchange_story.h). */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include "capture/connection.h"
#include "capture/pool.h"
#include "support/skip.h"
#include "support/tries.h"
#include "unit/exchange_story.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUEST  "POST /v1/chat HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n{\"a\"}"
#define RESPONSE "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
#define ASKED                                                                                                \
    "open socket\nmethod POST\ntarget /v1/chat\nhost h\nrequest head end\nrequest body {\"a\"}\nrequest "    \
    "end\n"
#define ANSWERED "status 200\nresponse head end\nresponse body {}\ncomplete\n"

static int fds[2]; /* a pair of sockets; what a test does to them is of no matter to the other end */

static void sending(int fd, const char *text)
{
    connection_sending(CAPTURE_SOCKET, (uintptr_t)fd, text, strlen(text));
}
static void send_all(int fd, const char *text)
{
    sending(fd, text);
    connection_sent(CAPTURE_SOCKET, (uintptr_t)fd, strlen(text));
}
static void receive(int fd, const char *text)
{
    connection_received(CAPTURE_SOCKET, (uintptr_t)fd, text, strlen(text));
}
static void over(int fd, bool by_peer)
{
    connection_over(CAPTURE_SOCKET, (uintptr_t)fd, by_peer, NULL);
}
static bool known(int fd)
{
    return connection_known(CAPTURE_SOCKET, (uintptr_t)fd);
}
static void expect(const char *wanted)
{
    assert_null(story.wrong);
    assert_string_equal(story_text(0), wanted);
}

/* Blocks that can be had. */
static unsigned free_blocks(void)
{
    static void *blocks[POOL_SMALL_COUNT];
    unsigned count = 0;
    while (count < POOL_SMALL_COUNT && (blocks[count] = pool_take(POOL_SMALL)))
        count++;
    for (unsigned i = 0; i < count; i++)
        pool_give(POOL_SMALL, blocks[i]);
    return count;
}

/* The descriptor becomes that of another socket, and nobody tells. */
static void replace_unseen(int fd)
{
    int other[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, other), 0);
    assert_int_equal(dup2(other[0], fd), fd);
    close(other[0]);
    close(other[1]);
}

static int setup(void **state)
{
    (void)state;
    story_begin();
    return socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
}

static int teardown(void **state)
{
    (void)state;
    over(fds[0], false);
    over(fds[1], false);
    close(fds[0]);
    close(fds[1]);
    return known(fds[0]) || known(fds[1]) || free_blocks() != POOL_SMALL_COUNT;
}

static void from_a_request_to_its_response(void **state)
{
    (void)state;
    errno = EXDEV;
    for (int i = 0; i < 3; i++) {
        assert_false(known(fds[0]));
        sending(fds[0], REQUEST);
        assert_true(known(fds[0]));
        assert_int_equal(free_blocks(), POOL_SMALL_COUNT - 1);
        connection_sent(CAPTURE_SOCKET, (uintptr_t)fds[0], strlen(REQUEST));
        receive(fds[0], "HTTP/1.1 200 OK\r\nContent-Le");
        receive(fds[0], "ngth: 2\r\n\r\n{");
        assert_true(known(fds[0]));
        receive(fds[0], "}");
        assert_false(known(fds[0]));
        assert_int_equal(free_blocks(), POOL_SMALL_COUNT);
        /* others in between are no business of ours */
        send_all(fds[0], "GET / HTTP/1.1\r\n\r\n");
        receive(fds[0], RESPONSE);
    }
    assert_int_equal(errno, EXDEV);
    expect(ASKED ANSWERED ASKED ANSWERED ASKED ANSWERED);
}

static void other_things_are_not_followed(void **state)
{
    int pipes[2];
    char path[] = "/tmp/tally-test-connection-XXXXXX";
    (void)state;
    assert_int_equal(pipe(pipes), 0);
    int file = mkstemp(path);
    unlink(path);
    int not_sockets[] = {pipes[1], file, 65536, 1 << 20, -1};
    for (size_t i = 0; i < sizeof not_sockets / sizeof not_sockets[0]; i++) {
        errno = EXDEV;
        send_all(not_sockets[i], REQUEST);
        assert_int_equal(errno, EXDEV);
        assert_false(known(not_sockets[i]));
        receive(not_sockets[i], RESPONSE);
        over(not_sockets[i], true);
    }
    send_all(fds[0], "GET / HTTP/1.1\r\n\r\n");
    send_all(fds[0], "POST");
    connection_sending(CAPTURE_SOCKET, (uintptr_t)fds[0], NULL, 0);
    connection_sending(CAPTURE_OPENSSL, 0, REQUEST, strlen(REQUEST));
    assert_false(known(fds[0]));
    close(pipes[0]);
    close(pipes[1]);
    close(file);
    expect("");
}

static void vectors(void **state)
{
    static char request[] = REQUEST, response[] = RESPONSE "not received";
    const size_t bytes = strlen(RESPONSE);
    struct iovec out[] = {{request, 2}, {NULL, 0}, {request + 2, 30}, {request + 32, strlen(REQUEST) - 32}};
    struct iovec in[] = {{response, 20}, {response + 20, bytes - 20}, {response + bytes, 12}};
    (void)state;
    connection_sending_vector(CAPTURE_SOCKET, (uintptr_t)fds[0], out, 4);
    connection_sent(CAPTURE_SOCKET, (uintptr_t)fds[0], 10);
    out[0] = (struct iovec){request + 10, 22};
    out[2].iov_len = 0;
    connection_sending_vector(CAPTURE_SOCKET, (uintptr_t)fds[0], out, 4);
    connection_sent(CAPTURE_SOCKET, (uintptr_t)fds[0], strlen(REQUEST) - 10);
    connection_received_vector(CAPTURE_SOCKET, (uintptr_t)fds[0], in, 3, strlen(RESPONSE));
    assert_false(known(fds[0]));
    expect(ASKED ANSWERED);
}

static void ends(void **state)
{
    (void)state;
    send_all(fds[0], REQUEST);
    connection_over(CAPTURE_SOCKET, (uintptr_t)fds[0], true, "connection_reset");
    send_all(fds[0], REQUEST);
    over(fds[0], false);
    send_all(fds[0], REQUEST);
    receive(fds[0], "HTTP/1.1 200 OK\r\n\r\nall");
    over(fds[0], true);
    assert_false(known(fds[0]));
    over(fds[0], true);
    expect(ASKED "cut connection_reset\n" ASKED "cancelled\n" ASKED
                 "status 200\nresponse head end\nresponse body all\ncomplete\n");
}

/* What could not be followed is left alone until the connection ends, and needs no memory until then. */
static void switched_off(void **state)
{
    (void)state;
    send_all(fds[0], REQUEST);
    receive(fds[0], "SSH-2.0");
    assert_int_equal(free_blocks(), POOL_SMALL_COUNT);
    send_all(fds[0], REQUEST);
    receive(fds[0], RESPONSE);
    expect(ASKED "give up http_response_garbage\n");
    over(fds[0], false);
    send_all(fds[0], REQUEST);
    receive(fds[0], RESPONSE);
    expect(ASKED "give up http_response_garbage\n" ASKED ANSWERED);
    /* or until another one is seen to be there */
    send_all(fds[0], REQUEST);
    receive(fds[0], "SSH-2.0");
    replace_unseen(fds[0]);
    send_all(fds[0], REQUEST);
    receive(fds[0], RESPONSE);
    expect(ASKED "give up http_response_garbage\n" ASKED ANSWERED ASKED
                 "give up http_response_garbage\n" ASKED ANSWERED);
}

static void descriptors_that_became_anothers(void **state)
{
    (void)state;
    /* before a response */
    send_all(fds[0], REQUEST);
    replace_unseen(fds[0]);
    receive(fds[0], RESPONSE);
    assert_false(known(fds[0]));
    expect(ASKED "cancelled\n");
    /* before a request */
    send_all(fds[0], REQUEST);
    replace_unseen(fds[0]);
    send_all(fds[0], REQUEST);
    receive(fds[0], RESPONSE);
    expect(ASKED "cancelled\n" ASKED "cancelled\n" ASKED ANSWERED);
    /* before one that is none of ours */
    send_all(fds[0], REQUEST);
    replace_unseen(fds[0]);
    send_all(fds[0], "GET / HTTP/1.1\r\n\r\n");
    assert_false(known(fds[0]));
    expect(ASKED "cancelled\n" ASKED "cancelled\n" ASKED ANSWERED ASKED "cancelled\n");
    /* in the middle of a request */
    story_begin();
    send_all(fds[0], "POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nhalf");
    replace_unseen(fds[0]);
    send_all(fds[0], REQUEST);
    receive(fds[0], RESPONSE);
    expect("open socket\nmethod POST\ntarget /\nrequest head end\nrequest body half\ncancelled\n" ASKED
               ANSWERED);
    /* in the middle of a response */
    story_begin();
    send_all(fds[0], REQUEST);
    receive(fds[0], "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nhalf");
    replace_unseen(fds[0]);
    send_all(fds[0], REQUEST);
    receive(fds[0], RESPONSE);
    expect(ASKED "status 200\nresponse head end\nresponse body half\ncancelled\n" ASKED ANSWERED);
    /* no socket any more */
    story_begin();
    send_all(fds[0], REQUEST);
    int file = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_int_equal(dup2(file, fds[0]), fds[0]);
    close(file);
    over(fds[0], false);
    expect(ASKED "cancelled\n");
}

/* The rest of a request's body leaves by sendfile(): once it is answered, the next one begins. */
static void bodies_that_leave_unseen(void **state)
{
    (void)state;
    send_all(fds[0], "POST / HTTP/1.1\r\nContent-Length: 999\r\n\r\n");
    receive(fds[0], RESPONSE);
    send_all(fds[0], REQUEST);
    receive(fds[0], RESPONSE);
    assert_false(known(fds[0]));
    expect("open socket\nmethod POST\ntarget /\nrequest head end\nrequest end\n" ANSWERED ASKED ANSWERED);
}

static void refused_writes(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        sending(fds[0], REQUEST);
        connection_sent(CAPTURE_SOCKET, (uintptr_t)fds[0], 0);
    }
    sending(fds[0], REQUEST);
    receive(fds[0], RESPONSE); /* by another thread, before this one comes back from its write */
    assert_true(known(fds[0]));
    connection_sent(CAPTURE_SOCKET, (uintptr_t)fds[0], strlen(REQUEST));
    assert_false(known(fds[0]));
    expect(ASKED ANSWERED);
}

/* Objects by the ten thousand: idle ones need nothing; more at work than there is room for are not followed, and do no harm. */
static void many_objects(void **state)
{
    enum { OBJECTS = 12000 };
    (void)state;
    for (int round = 0; round < 2; round++) {
        for (uintptr_t i = 1; i <= OBJECTS; i++) {
            uintptr_t object = 0x7f0000000000 + i * 0x6a0;
            connection_sending(CAPTURE_OPENSSL, object, REQUEST, strlen(REQUEST));
            connection_sent(CAPTURE_OPENSSL, object, strlen(REQUEST));
            assert_true(connection_known(CAPTURE_OPENSSL, object));
            connection_received(CAPTURE_OPENSSL, object, RESPONSE, strlen(RESPONSE));
            assert_false(connection_known(CAPTURE_OPENSSL, object));
        }
        assert_int_equal(free_blocks(), POOL_SMALL_COUNT);
        unsigned at_work = 0;
        for (uintptr_t i = 1; i <= OBJECTS; i++) {
            connection_sending(CAPTURE_OPENSSL, i * 0x6a0, REQUEST, strlen(REQUEST));
            at_work += connection_known(CAPTURE_OPENSSL, i * 0x6a0);
        }
        assert_int_equal(at_work, POOL_SMALL_COUNT);
        for (uintptr_t i = 1; i <= OBJECTS; i++)
            connection_over(CAPTURE_OPENSSL, i * 0x6a0, false, NULL);
        for (uintptr_t i = 1; i <= OBJECTS; i++)
            assert_false(connection_known(CAPTURE_OPENSSL, i * 0x6a0));
        assert_int_equal(free_blocks(), POOL_SMALL_COUNT);
        assert_int_equal(story.open, 0);
    }
    /* off, and freed */
    connection_sending(CAPTURE_OPENSSL, 0x1000, REQUEST, strlen(REQUEST));
    connection_received(CAPTURE_OPENSSL, 0x1000, "SSH", 3);
    assert_true(connection_known(CAPTURE_OPENSSL, 0x1000));
    connection_over(CAPTURE_OPENSSL, 0x1000, false, NULL);
    assert_false(connection_known(CAPTURE_OPENSSL, 0x1000));
    tries(2 * 2 * OBJECTS, "connections followed");
}

/* ---- processes ------------------------------------------------------------------------------------- */

static void wait_for(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

#define child_expect(condition)                                                                              \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: in a child: %s\n", __FILE__, __LINE__, #condition);                      \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

/* A child knows nothing of its parent's connections, on whatever descriptors and objects; it has its own. */
static void nothing_is_known_in_a_child(void)
{
    uint32_t before = story.count;
    const char *text = story_text(0);
    receive(fds[0], RESPONSE);
    send_all(fds[0], "GET / HTTP/1.1\r\n\r\n");
    over(fds[1], false);
    connection_received(CAPTURE_OPENSSL, 0x5000, RESPONSE, strlen(RESPONSE));
    connection_over(CAPTURE_OPENSSL, 0x5000, true, NULL);
    child_expect(!strcmp(text, story_text(1)));
    /* one of its own, in its parent's place: the memory of that one's is free again */
    send_all(fds[0], REQUEST);
    child_expect(known(fds[0]) && story.count == before + 1);
    receive(fds[0], RESPONSE);
    child_expect(!known(fds[0]) && !story.exchanges[before].open &&
                 strstr(story.exchanges[before].text, ANSWERED));
    connection_over(CAPTURE_OPENSSL, 0x5000, false, NULL);
    child_expect(!connection_known(CAPTURE_OPENSSL, 0x5000));
    over(fds[1], false);
    child_expect(free_blocks() == POOL_SMALL_COUNT);
}

static void begin_three(void)
{
    send_all(fds[0], REQUEST);
    send_all(fds[1], REQUEST);
    connection_sending(CAPTURE_OPENSSL, 0x5000, REQUEST, strlen(REQUEST));
}

/* A child, its child, and so on. */
static void generations_of_children(int depth)
{
    for (; depth; depth--) {
        nothing_is_known_in_a_child();
        begin_three();
        pid_t child = fork();
        if (child) {
            int status = 1;
            waitpid(child, &status, 0);
            _exit(status != 0);
        }
    }
    _exit(0);
}

static void forks(void **state)
{
    (void)state;
    begin_three();
    pid_t child = fork();
    if (!child)
        generations_of_children(4);
    wait_for(child);
    receive(fds[0], RESPONSE);
    receive(fds[1], RESPONSE);
    connection_over(CAPTURE_OPENSSL, 0x5000, false, NULL);
    expect(ASKED ANSWERED ASKED ANSWERED "open tls openssl\nmethod POST\ntarget /v1/chat\nhost h\nrequest "
                                         "head end\nrequest body {\"a\"}\nrequest end\n"
                                         "cancelled\n");
}

/* As Python's subprocess does: everything is closed in a child that has its parent's memory. */
static void vforks(void **state)
{
    (void)state;
#ifdef __SANITIZE_THREAD__
    skip_because("ThreadSanitizer makes a fork of it");
#endif
    send_all(fds[0], REQUEST);
    pid_t child = vfork();
    if (!child) {
        over(fds[0], false);
        receive(fds[0], RESPONSE);
        send_all(fds[0], REQUEST);
        send_all(fds[1], REQUEST);
        _exit(0);
    }
    wait_for(child);
    assert_false(known(fds[1]));
    receive(fds[0], RESPONSE);
    expect(ASKED ANSWERED);
    /* of a forked child that has not begun anything */
    send_all(fds[0], REQUEST);
    child = fork();
    if (!child) {
        pid_t grandchild = vfork();
        if (!grandchild) {
            over(fds[0], false);
            _exit(0);
        }
        waitpid(grandchild, NULL, 0);
        send_all(fds[1], REQUEST);
        receive(fds[1], RESPONSE);
        child_expect(strstr(story.exchanges[2].text, ANSWERED));
        _exit(0);
    }
    wait_for(child);
    receive(fds[0], RESPONSE);
    expect(ASKED ANSWERED ASKED ANSWERED);
}

/* ---- at the worst moment ---------------------------------------------------------------------------- */

static int hooked_fd;

static void interrupt(int signal)
{
    (void)signal;
    receive(hooked_fd, RESPONSE);
    send_all(hooked_fd, "more");
    /* one of the handler's own */
    send_all(fds[1], REQUEST);
    receive(fds[1], RESPONSE);
}

static void raise_in_the_middle(void)
{
    story.hook = NULL;
    raise(SIGUSR1);
}

/* A handler that goes on with the connection that its thread is at work on: that one is given up, no other. */
static void signal_handler_in_the_middle(void **state)
{
    (void)state;
    hooked_fd = fds[0];
    story.hook = raise_in_the_middle;
    struct sigaction action = {.sa_handler = interrupt};
    sigaction(SIGUSR1, &action, NULL);
    send_all(fds[0], REQUEST);
    signal(SIGUSR1, SIG_DFL);
    send_all(fds[0], REQUEST);
    receive(fds[0], RESPONSE);
    expect(ASKED "give up connection_contended\n" ASKED ANSWERED);
    over(fds[0], false);
    send_all(fds[0], REQUEST);
    receive(fds[0], RESPONSE);
    expect(ASKED "give up connection_contended\n" ASKED ANSWERED ASKED ANSWERED);
}

static pid_t forked;

static void fork_in_the_middle(void)
{
    story.hook = NULL;
    forked = fork();
}

/* The child comes back into the middle of it, and has a process of its own nevertheless. */
static void fork_in_a_signal_handler(void **state)
{
    (void)state;
    story.hook = fork_in_the_middle;
    send_all(fds[0], REQUEST);
    if (!forked) {
        send_all(fds[1], REQUEST);
        receive(fds[1], RESPONSE);
        child_expect(strstr(story.exchanges[1].text, ANSWERED));
        /* what was being worked on is come to its end, and the parent's */
        send_all(fds[0], REQUEST);
        receive(fds[0], RESPONSE);
        child_expect(strstr(story.exchanges[2].text, ANSWERED));
        child_expect(!known(fds[0]) && free_blocks() == POOL_SMALL_COUNT);
        _exit(0);
    }
    wait_for(forked);
    receive(fds[0], RESPONSE);
    expect(ASKED ANSWERED);
}

static bool waiter_returned;

static void *wait_and_return(void *argument)
{
    (void)argument;
    receive(fds[0], RESPONSE);
    __atomic_store_n(&waiter_returned, true, __ATOMIC_RELEASE);
    return NULL;
}

static void hold_until_given_up(void)
{
    pthread_t thread;
    story.hook = NULL;
    assert_int_equal(pthread_create(&thread, NULL, wait_and_return, NULL), 0);
    pthread_join(thread, NULL);
}

/* Nobody waits for ever for whoever looks at the same connection; and that one then gives it up. */
static void waiting_is_bounded(void **state)
{
    (void)state;
    story.hook = hold_until_given_up;
    send_all(fds[0], REQUEST);
    assert_true(__atomic_load_n(&waiter_returned, __ATOMIC_ACQUIRE));
    expect(ASKED "give up connection_contended\n");
}

static bool held, released;

static void hold_until_released(void)
{
    story.hook = NULL;
    __atomic_store_n(&held, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&released, __ATOMIC_ACQUIRE))
        sched_yield();
}

static void *hold_a_connection(void *argument)
{
    send_all(fds[0], argument);
    return NULL;
}

/* What another thread was at work on at a fork is in no sound state in the child: it is left, and its place is used. */
static void fork_while_another_thread_is_in_the_middle(void **state)
{
    pthread_t thread;
    (void)state;
    story.hook = hold_until_released;
    static char request[] = REQUEST;
    assert_int_equal(pthread_create(&thread, NULL, hold_a_connection, request), 0);
    while (!__atomic_load_n(&held, __ATOMIC_ACQUIRE))
        sched_yield();
    pid_t child = fork();
    if (!child) {
        receive(fds[0], RESPONSE);
        over(fds[0], false);
        send_all(fds[0], REQUEST);
        receive(fds[0], RESPONSE);
        child_expect(strstr(story.exchanges[1].text, ANSWERED));
        child_expect(story.exchanges[0].open && !story.wrong);
        child_expect(!known(fds[0]) && free_blocks() == POOL_SMALL_COUNT - 1);
        _exit(0);
    }
    wait_for(child);
    __atomic_store_n(&released, true, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    receive(fds[0], RESPONSE);
    expect(ASKED ANSWERED);
}

/* ---- threads ---------------------------------------------------------------------------------------- */

#define INTERIM "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
enum { THREADS = 6, ROUNDS = 300 };

static void *receive_interim(void *argument)
{
    for (int i = 0; i < ROUNDS; i++)
        for (const char *at = INTERIM; *at; at++)
            connection_received(CAPTURE_SOCKET, *(uintptr_t *)argument, at, 1);
    return NULL;
}

/* One thread sends and one receives, at the same time, byte by byte. */
static void both_directions_at_once(void **state)
{
    char head[200];
    uintptr_t key = (uintptr_t)fds[0];
    pthread_t thread;
    (void)state;
    snprintf(head, sizeof head, "POST /v1/chat HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n",
             ROUNDS * 40);
    send_all(fds[0], head);
    assert_int_equal(pthread_create(&thread, NULL, receive_interim, &key), 0);
    for (int i = 0; i < ROUNDS * 40; i++)
        send_all(fds[0], &"a"[0]);
    pthread_join(thread, NULL);
    receive(fds[0], RESPONSE);
    assert_false(known(fds[0]));
    const char *body = strstr(story_text(0), "request body ");
    assert_non_null(body);
    assert_int_equal(strspn(body + 13, "a"), ROUNDS * 40);
    assert_string_equal(body + 13 + ROUNDS * 40, "\nrequest end\n" ANSWERED);
}

static void *own_connections(void *argument)
{
    uintptr_t self = (uintptr_t)argument;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return argument;
    for (int i = 0; i < ROUNDS; i++) {
        uintptr_t object = 0x10000 + (uintptr_t)(i % 16) * 64 + self * 0x100000;
        send_all(pair[0], REQUEST);
        connection_sending(CAPTURE_OPENSSL, object, REQUEST, strlen(REQUEST));
        receive(pair[0], RESPONSE);
        connection_sent(CAPTURE_OPENSSL, object, strlen(REQUEST));
        connection_received(CAPTURE_OPENSSL, object, RESPONSE, strlen(RESPONSE));
        if (known(pair[0]) || connection_known(CAPTURE_OPENSSL, object))
            return argument;
        if (i % 50 == 0) {
            pid_t child = fork();
            int status = 1;
            if (!child) {
                /* In the child of a process with other threads: nothing that may wait for one of them. */
                send_all(pair[0], REQUEST);
                receive(pair[0], RESPONSE);
                _exit(known(pair[0]));
            }
            if (waitpid(child, &status, 0) != child || status)
                return argument;
        }
    }
    close(pair[0]);
    close(pair[1]);
    return NULL;
}

static void threads_and_forks(void **state)
{
    pthread_t threads[THREADS];
    (void)state;
    for (uintptr_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, own_connections, (void *)(i + 1)), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    assert_null(story.wrong);
    assert_int_equal(story.open, 0);
    assert_int_equal(story.count, THREADS * ROUNDS * 2);
    for (uint32_t i = 0; i < story.count; i++)
        assert_non_null(strstr(story.exchanges[i].text, ANSWERED));
    tries(story.count, "connections followed");
}

int main(void)
{
#define with_sockets(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        with_sockets(from_a_request_to_its_response),
        with_sockets(other_things_are_not_followed),
        with_sockets(vectors),
        with_sockets(ends),
        with_sockets(switched_off),
        with_sockets(descriptors_that_became_anothers),
        with_sockets(bodies_that_leave_unseen),
        with_sockets(refused_writes),
        with_sockets(many_objects),
        with_sockets(forks),
        with_sockets(vforks),
        with_sockets(signal_handler_in_the_middle),
        with_sockets(fork_in_a_signal_handler),
        with_sockets(waiting_is_bounded),
        with_sockets(fork_while_another_thread_is_in_the_middle),
        with_sockets(both_directions_at_once),
        with_sockets(threads_and_forks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
