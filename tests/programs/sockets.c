/* sockets.c: a program that talks HTTP over plain sockets in every way that the C library has, at its edges.
 *
 *   sockets SITUATION...        or "all"
 *
 * Knows nothing of tally. Its server is a thread of its own. What it prints (results, errors, hashes of all bytes that came) is the
 * same in every run. Lines that begin with "expect" say what should be counted, if somebody counts:
 *
 *   expect ok NUMBER            a call with NUMBER input tokens
 *   expect cancelled|error      a call that did not get its response, by its own will or not
 */
#include "support/socket_server.h"

#include <poll.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define THREADS          24
#define CALLS_OF_THREADS 20

static atomic_int numbers;

/* ---- a client's parts ---------------------------------------------------------------- */

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0, "socket");
    while (connect(fd, (struct sockaddr *)&server_address, sizeof server_address) != 0)
        must(errno == EINTR || errno == EALREADY || errno == EISCONN, "connect");
    return fd;
}

/* A request of `body_bytes`; the head's length is returned through head_bytes if that is not NULL. */
static size_t request(char *out, size_t room, int number, const char *how, size_t body_bytes,
                      size_t *head_bytes)
{
    static const char start[] = "{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"";
    static const char end[] = "\"}]}";
    if (body_bytes < sizeof start + sizeof end)
        body_bytes = sizeof start + sizeof end;
    int head = snprintf(out, room,
                        "POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\nContent-Type: "
                        "application/json\r\nX-Number: %d\r\nX-How: %s\r\nContent-Length: %zu\r\n\r\n",
                        number, how, body_bytes);
    char *body = out + head;
    must(head > 0 && (size_t)head + body_bytes <= room, "room");
    memset(body, 'x', body_bytes);
    memcpy(body, start, sizeof start - 1);
    memcpy(body + body_bytes - (sizeof end - 1), end, sizeof end - 1);
    if (head_bytes)
        *head_bytes = (size_t)head;
    return (size_t)head + body_bytes;
}

static int next_number(void)
{
    return atomic_fetch_add(&numbers, 1) + 1;
}

typedef ssize_t take(int fd, char *bytes, size_t length);

static ssize_t by_read(int fd, char *bytes, size_t length)
{
    return read(fd, bytes, length);
}
static ssize_t by_recv(int fd, char *bytes, size_t length)
{
    return recv(fd, bytes, length, 0);
}
static ssize_t by_recvfrom(int fd, char *bytes, size_t length)
{
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    return recvfrom(fd, bytes, length, 0, (struct sockaddr *)&from, &size);
}
static ssize_t by_readv(int fd, char *bytes, size_t length)
{
    size_t first = length > 3 ? 3 : length;
    struct iovec parts[] = {{bytes, first}, {bytes + first, 0}, {bytes + first, length - first}};
    return readv(fd, parts, 3);
}
static ssize_t by_recvmsg(int fd, char *bytes, size_t length)
{
    struct iovec parts[] = {{bytes, 0}, {bytes, length / 2}, {bytes + length / 2, length - length / 2}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    return recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
}
static ssize_t by_single_bytes(int fd, char *bytes, size_t length)
{
    return length ? read(fd, bytes, 1) : 0;
}
static ssize_t by_peek(int fd, char *bytes, size_t length)
{
    ssize_t n = recv(fd, bytes, length, MSG_PEEK);
    return n > 0 ? recv(fd, bytes, (size_t)n, 0) : n;
}
static ssize_t by_wait_all(int fd, char *bytes, size_t length)
{
    return recv(fd, bytes, length < 7 ? length : 7, MSG_WAITALL);
}

#ifdef __GLIBC__
ssize_t __read_chk(int fd, void *bytes, size_t length, size_t room);
ssize_t __recv_chk(int fd, void *bytes, size_t length, size_t room, int flags);
ssize_t __recvfrom_chk(int fd, void *bytes, size_t length, size_t room, int flags, struct sockaddr *from,
                       socklen_t *size);
static ssize_t by_read_chk(int fd, char *bytes, size_t length)
{
    return __read_chk(fd, bytes, length, length);
}
static ssize_t by_recv_chk(int fd, char *bytes, size_t length)
{
    return __recv_chk(fd, bytes, length, length, 0);
}
static ssize_t by_recvfrom_chk(int fd, char *bytes, size_t length)
{
    return __recvfrom_chk(fd, bytes, length, length, 0, NULL, NULL);
}
#endif

/* Reads the whole response. Its hash, 0: it was not whole. Interrupted reads are counted by the caller's handler, not here. */
static uint64_t response(int fd, take *way)
{
    char bytes[8192];
    size_t length = 0, whole = sizeof bytes - 1;
    while (length < whole) {
        ssize_t n = way(fd, bytes + length, whole - length);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, -1);
            continue;
        }
        if (n <= 0)
            return 0;
        length += (size_t)n;
        bytes[length] = '\0';
        const char *end = strstr(bytes, "\r\n\r\n");
        if (end && whole == sizeof bytes - 1)
            whole = (size_t)(end + 4 - bytes) + (size_t)header(bytes, "Content-Length: ");
    }
    return hash(1, bytes, length);
}

static void print_ok(int number, uint64_t seen)
{
    if (seen)
        printf("expect ok %d\n%016llx\n", number, (unsigned long long)seen);
    else
        printf("no response\n");
}

/* One call, from its request to its response. */
static void call(int fd, take *way)
{
    char bytes[4096];
    int number = next_number();
    size_t length = request(bytes, sizeof bytes, number, "", 0, NULL);
    must(write(fd, bytes, length) == (ssize_t)length, "write");
    print_ok(number, response(fd, way));
}

/* A call whose answer stops in the middle, of which nothing has been read yet. */
static int begin_waiting(int *fd)
{
    char bytes[4096];
    int number = next_number();
    *fd = dial();
    size_t length = request(bytes, sizeof bytes, number, "wait", 0, NULL);
    must(send(*fd, bytes, length, 0) == (ssize_t)length, "send");
    must(recv(*fd, bytes, 17, MSG_WAITALL) == 17, "the head of the answer");
    return number;
}
static void let_go(void)
{
    must(write(go[1], "g", 1) == 1, "go");
}
/* Its rest, to the end: the head's first 17 bytes have been read. */
static uint64_t rest_of_waiting(int fd)
{
    char bytes[8192] = "HTTP/1.1 200 OK\r\n";
    size_t length = 17, whole = sizeof bytes - 1;
    let_go();
    while (length < whole) {
        ssize_t n = read(fd, bytes + length, whole - length);
        if (n <= 0)
            return 0;
        length += (size_t)n;
        bytes[length] = '\0';
        const char *end = strstr(bytes, "\r\n\r\n");
        if (end)
            whole = (size_t)(end + 4 - bytes) + (size_t)header(bytes, "Content-Length: ");
    }
    return hash(1, bytes, length);
}

/* ---- situations ----------------------------------------------------------------------- */

static void every_way(void)
{
    static take *const ways[] = {by_read,     by_recv,         by_recvfrom,    by_readv,
                                 by_recvmsg,  by_single_bytes, by_peek,        by_wait_all,
#ifdef __GLIBC__
                                 by_read_chk, by_recv_chk,     by_recvfrom_chk
#endif
    };
    char bytes[4096];
    size_t head;
    int fd = dial();
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        call(fd, ways[i]);
    for (int way = 0; way < 6; way++) {
        int number = next_number();
        size_t length = request(bytes, sizeof bytes, number, "", 0, &head);
        struct iovec parts[] = {
            {bytes, 2}, {bytes + 2, 0}, {bytes + 2, head - 2}, {bytes + head, length - head}};
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = 4};
        ssize_t n = way == 0   ? writev(fd, parts, 4)
                    : way == 1 ? sendmsg(fd, &message, MSG_NOSIGNAL)
                    : way == 2 ? sendto(fd, bytes, length, 0, NULL, 0)
                    : way == 3 ? send(fd, bytes, length, MSG_DONTWAIT)
                    : way == 4 ? send(fd, bytes, head, MSG_MORE) + send(fd, bytes + head, length - head, 0)
                               : writev(fd, parts, 3) + write(fd, bytes + head, length - head);
        must(n == (ssize_t)length, "a way of sending");
        print_ok(number, response(fd, by_read));
    }
    close(fd);
}

/* A megabyte through a buffer of some kilobytes, non-blocking. */
static void partial(void)
{
    size_t room = (1u << 20) + 4096;
    char *bytes = malloc(room);
    must(bytes != NULL, "memory");
    for (int round = 0; round < 3; round++) {
        int small = 4096, number = next_number();
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        must(!connect(fd, (struct sockaddr *)&server_address, sizeof server_address), "connect");
        must(!fcntl(fd, F_SETFL, O_NONBLOCK), "fcntl");
        size_t length = request(bytes, room, number, "", 1u << 20, NULL);
        for (size_t sent = 0; sent < length;) {
            struct iovec parts[] = {
                {bytes + sent, (length - sent) / 2},
                {bytes + sent + (length - sent) / 2, length - sent - (length - sent) / 2}};
            ssize_t n = round == 1 ? writev(fd, parts, 2) : write(fd, bytes + sent, length - sent);
            must(n > 0 || errno == EAGAIN, "write");
            if (n > 0)
                sent += (size_t)n;
            else
                poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
        }
        print_ok(number, response(fd, by_recv));
        close(fd);
    }
    free(bytes);
}

/* One thread sends, the other receives; the sender does not wait for more than four answers. */
static struct {
    int fd;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int ahead;
} duplex = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *duplex_send(void *argument)
{
    char bytes[4096];
    int first = *(const int *)argument;
    for (int i = 0; i < 100; i++) {
        size_t length = request(bytes, sizeof bytes, first + i, "", 0, NULL);
        pthread_mutex_lock(&duplex.lock);
        while (duplex.ahead == 4)
            pthread_cond_wait(&duplex.changed, &duplex.lock);
        duplex.ahead++;
        pthread_mutex_unlock(&duplex.lock);
        must(send(duplex.fd, bytes, length, 0) == (ssize_t)length, "send");
    }
    return NULL;
}

static void both_directions(void)
{
    pthread_t thread;
    int first = next_number();
    atomic_fetch_add(&numbers, 99);
    duplex.fd = dial();
    must(!pthread_create(&thread, NULL, duplex_send, &first), "thread");
    for (int i = 0; i < 100; i++) {
        print_ok(first + i, response(duplex.fd, by_single_bytes));
        pthread_mutex_lock(&duplex.lock);
        duplex.ahead--;
        pthread_cond_signal(&duplex.changed);
        pthread_mutex_unlock(&duplex.lock);
    }
    pthread_join(thread, NULL);
    close(duplex.fd);
}

/* Numbers are used again, after closings of all kinds: some of them cannot be seen. */
static void used_again(void)
{
    for (int i = 0; i < 60; i++) {
        int fd = dial();
        call(fd, by_read);
        if (i % 3 == 0)
            close(fd);
        else if (i % 3 == 1)
            syscall(SYS_close, fd);
        else
            fclose(fdopen(fd, "r+"));
    }
    int fd;
    begin_waiting(&fd);
    syscall(SYS_close, fd); /* nobody sees it */
    let_go();
    int next = dial();
    printf("%s\nexpect cancelled\n", next == fd ? "the same number" : "another number");
    call(next, by_recv);
    close(next);
}

/* A child, and one that shares memory, close their copies in the middle of an answer. */
static void forked(void)
{
    int fd, status, number = begin_waiting(&fd);
    pid_t child = fork();
    if (child == 0) {
        close(fd);
        _exit(7);
    }
    must(waitpid(child, &status, 0) == child, "wait");
    print_ok(number, rest_of_waiting(fd));
    printf("%d\n", WEXITSTATUS(status));
    number = begin_waiting(&fd);
    child = vfork();
    if (child == 0) {
        close(fd);
        dup2(go[1], 0);
        close_range(3, ~0u, 0);
        _exit(8);
    }
    must(waitpid(child, &status, 0) == child, "wait");
    print_ok(number, rest_of_waiting(fd));
    printf("%d\n", WEXITSTATUS(status));
    close(fd);
    fflush(stdout);
    child = fork();
    if (child == 0) { /* with calls of its own */
        fd = dial();
        call(fd, by_read);
        fflush(stdout);
        _exit(9);
    }
    must(waitpid(child, &status, 0) == child, "wait");
    next_number();
    printf("%d\n", WEXITSTATUS(status));
}

static void duplicated(void)
{
    int fd = dial(), other = dup2(fd, 200);
    close(fd);
    call(other, by_read);
    int third = dup(other);
    close(other);
    call(third, by_recv);
    close(third);
    begin_waiting(&fd); /* in its place comes another */
    int next = dial();
    must(dup3(next, fd, O_CLOEXEC) == fd, "dup3");
    printf("expect cancelled\n");
    let_go();
    close(next);
    call(fd, by_read);
    begin_waiting(&next);
    closefrom(next);
    printf("expect cancelled\n");
    let_go();
    printf("closed: %d\n", close(next) == -1 && errno == EBADF);
}

static void ended_early(void)
{
    char bytes[4096];
    static const char *const ways[] = {"cut", "reset", "wait", "wait"};
    for (int way = 0; way < 4; way++) {
        int fd = dial();
        size_t length = request(bytes, sizeof bytes, next_number(), ways[way], 0, NULL);
        must(write(fd, bytes, length) == (ssize_t)length, "write");
        size_t total = 0;
        if (way == 1) { /* the server goes when all there is has been read */
            for (size_t half = sizeof bytes - 1; total < half;) {
                ssize_t n = read(fd, bytes + total, half - total);
                must(n > 0, "read");
                total += (size_t)n;
                bytes[total] = '\0';
                const char *end = strstr(bytes, "\r\n\r\n");
                if (end)
                    half = (size_t)(end + 4 - bytes) + (size_t)header(bytes, "Content-Length: ") / 2;
            }
            let_go();
        } else if (way >= 2) {
            must(read(fd, bytes, 10) == 10, "read");
            if (way == 3) /* TCP throws them away */
                printf("%zd\n", recv(fd, NULL, 50, MSG_TRUNC | MSG_WAITALL));
            close(fd);
            let_go();
            printf("expect cancelled\n");
            continue;
        }
        ssize_t n;
        while ((n = read(fd, bytes, sizeof bytes)) > 0)
            total += (size_t)n;
        printf("%zd %d\nexpect error\n", n, n < 0 ? errno : 0);
        close(fd);
    }
}

/* What is no stream socket may begin with the same letters. */
static void no_sockets(void)
{
    char bytes[4096], back[4096];
    size_t length = request(bytes, sizeof bytes, 0, "", 0, NULL);
    int fds[2], file = fileno(tmpfile());
    must(!pipe(fds) && write(fds[1], bytes, length) == (ssize_t)length, "pipe");
    printf("%zd\n", read(fds[0], back, sizeof back));
    close(fds[0]);
    close(fds[1]);
    must(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds) && write(fds[1], bytes, length) == (ssize_t)length,
         "pair");
    printf("%zd\n", read(fds[0], back, sizeof back));
    close(fds[0]);
    close(fds[1]);
    must(write(file, bytes, length) == (ssize_t)length && lseek(file, 0, SEEK_SET) == 0, "file");
    printf("%zd\n", read(file, back, sizeof back));
    int datagrams = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = server_address;
    must(!bind(datagrams, (struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET}, sizeof to),
         "bind");
    socklen_t size = sizeof to;
    getsockname(datagrams, (struct sockaddr *)&to, &size);
    must(!connect(datagrams, (struct sockaddr *)&to, sizeof to), "connect");
    printf("%d\n", send(datagrams, bytes, length, 0) == (ssize_t)length);
    printf("%d\n", recv(datagrams, back, sizeof back, 0) == (ssize_t)length);
    close(datagrams);
    static const int absent[] = {-1, 100000, 5000000, 0x7fffffff};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        errno = 0;
        ssize_t n = write(absent[i], "POST /", 6);
        printf("%zd %d", n, errno);
        n = read(absent[i], back, 1);
        printf(" %zd %d %d %d\n", n, errno, close(absent[i]), errno);
    }
    /* Some ask this way whether memory is there, by a pipe of any number, be it one that was a connection's. */
    enum { NUMBER = 900 };
    void *volatile nowhere = (void *)16;
    must(!pipe(fds), "pipe");
    for (int way = 0; way < 3; way++) {
        int asked = fds[1];
        if (way) {
            int fd = dial();
            must(dup2(fd, NUMBER) == NUMBER, "dup2");
            close(fd);
            if (way == 1)
                close(NUMBER);
            asked = way == 1 ? fcntl(fds[1], F_DUPFD, NUMBER) : dup2(fds[1], NUMBER);
            must(asked == NUMBER, "number");
        }
        ssize_t bad = write(asked, nowhere, 64);
        printf("%zd %d %d\n", bad, errno, (int)write(asked, bytes, 0));
        if (way)
            close(asked);
    }
    close(fds[0]);
    close(fds[1]);
}

/* A gateway at a path; an answer by stdio, which nobody sees: no counts, and no call for ever under way. A body out of a file. */
static void other_ends(void)
{
    char bytes[65536];
    size_t head;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(!connect(fd, (struct sockaddr *)&server_path, sizeof server_path), "connect");
    call(fd, by_read);
    close(fd);
    fd = dial();
    int number = next_number();
    size_t length = request(bytes, sizeof bytes, number, "", 40000, &head);
    FILE *file = tmpfile();
    must(fwrite(bytes + head, 1, length - head, file) == length - head && !fflush(file), "file");
    must(write(fd, bytes, head) == (ssize_t)head, "write");
    for (off_t at = 0; at < (off_t)(length - head);)
        must(sendfile(fd, fileno(file), &at, length - head - (size_t)at) > 0, "sendfile");
    print_ok(number, response(fd, by_recv));
    call(fd, by_recv);
    fclose(file);
    length = request(bytes, sizeof bytes, next_number(), "", 0, NULL);
    must(write(fd, bytes, length) == (ssize_t)length, "write");
    file = fdopen(fd, "r");
    must(file && fgets(bytes, sizeof bytes, file), "fgets");
    printf("%sexpect cancelled\n", bytes);
    fclose(file);
}

/* ---- signals, cancellation, threads ------------------------------------------------------ */

static volatile sig_atomic_t ticks;
static int tick_fd;
static void tick(int signal)
{
    int error = errno;
    (void)signal;
    ticks = ticks + 1;
    if (write(tick_fd, "POST /tick", 10) < 0)
        ticks = ticks + 1;
    errno = error;
}
static sigjmp_buf out;
static void jump(int signal)
{
    siglongjmp(out, signal);
}

static void signals(void)
{
    tick_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct sigaction action = {.sa_handler = tick}; /* reads are interrupted */
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 300}, {0, 300}}, NULL);
    int fd = dial();
    for (int i = 0; i < 200; i++)
        call(fd, i & 1 ? by_read : by_single_bytes);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    close(fd);
    close(tick_fd);
    /* Out of a read by a jump, and on. */
    action.sa_handler = jump;
    sigaction(SIGALRM, &action, NULL);
    int number = begin_waiting(&fd);
    char bytes[8192];
    if (sigsetjmp(out, 1) == 0) {
        setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 20000}}, NULL);
        for (;;)
            if (recv(fd, bytes, sizeof bytes, MSG_PEEK) >= 0)
                pause();
    }
    print_ok(number, rest_of_waiting(fd));
    close(fd);
}

static void *blocked(void *argument)
{
    char bytes[8192];
    while (read((int)(intptr_t)argument, bytes, sizeof bytes) > 0)
        ;
    return NULL;
}

static void cancelled(void)
{
    int fd;
    void *result;
    pthread_t thread;
    begin_waiting(&fd);
    must(!pthread_create(&thread, NULL, blocked, (void *)(intptr_t)fd), "thread");
    pthread_cancel(thread);
    pthread_join(thread, &result);
    printf("%d\nexpect cancelled\n", result == PTHREAD_CANCELED);
    close(fd);
    let_go();
}

static void *one_of_many(void *argument)
{
    uint64_t *seen = argument;
    char bytes[4096];
    int fd = -1;
    for (int i = 0; i < CALLS_OF_THREADS; i++) {
        if (fd < 0)
            fd = dial();
        size_t length = request(bytes, sizeof bytes, (int)seen[i], "", 0, NULL);
        must(send(fd, bytes, length, 0) == (ssize_t)length, "send");
        if (i % 5 == 1) {
            pid_t child = fork();
            if (child == 0)
                _exit(close(fd));
            must(child > 0 && waitpid(child, NULL, 0) == child, "fork");
        }
        seen[i] = response(fd, i & 1 ? by_readv : by_recv);
        if (i % 4 == 3) {
            close(fd);
            fd = -1;
        }
    }
    return NULL;
}

static void many(void)
{
    static uint64_t seen[THREADS][CALLS_OF_THREADS];
    pthread_t threads[THREADS];
    unsigned first = (unsigned)next_number();
    atomic_fetch_add(&numbers, THREADS * CALLS_OF_THREADS - 1);
    for (unsigned i = 0; i < THREADS * CALLS_OF_THREADS; i++)
        seen[i / CALLS_OF_THREADS][i % CALLS_OF_THREADS] = first + i;
    for (int i = 0; i < THREADS; i++)
        must(!pthread_create(&threads[i], NULL, one_of_many, seen[i]), "thread");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < THREADS * CALLS_OF_THREADS; i++)
        print_ok((int)(first + i), seen[i / CALLS_OF_THREADS][i % CALLS_OF_THREADS]);
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } situations[] = {
        {"every_way", every_way},     {"partial", partial},       {"both_directions", both_directions},
        {"used_again", used_again},   {"forked", forked},         {"duplicated", duplicated},
        {"ended_early", ended_early}, {"no_sockets", no_sockets}, {"other_ends", other_ends},
        {"signals", signals},         {"cancelled", cancelled},   {"many", many}};
    signal(SIGPIPE, SIG_IGN);
    server_begin();
    for (size_t i = 0; i < sizeof situations / sizeof situations[0]; i++)
        for (int a = 1; a < count; a++)
            if (!strcmp(arguments[a], situations[i].name) || !strcmp(arguments[a], "all")) {
                printf("- %s\n", situations[i].name);
                fflush(stdout);
                situations[i].run();
            }
    return 0;
}
