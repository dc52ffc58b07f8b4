/* peer_local.c: the contenders that need no more than libc, SQLite and a socket. `bench --peer NAME` is one of them. */
#include "peer.h"
#include "workload.h"

#include "peers/order.h"
#include "peers/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sqlite3.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct {
    struct tally_usage usage;
    struct message message;
    uint64_t *taken; /* by the reader; shared */
    uint64_t sent;
    mqd_t queue;
    int socket[2]; /* the reader's, the writer's */
    sqlite3_stmt *insert;
} self;

static void await_taken(void)
{
    reader_await(self.taken, self.sent);
}

/* On the disk that is measured. */
static const char *folder(void)
{
    const char *path = getenv("TALLY_BENCH_FOLDER");

    return path != NULL ? path : ".";
}

static void await_nothing(void)
{
}

/* ---- tally -------------------------------------------------------------------------------------- */

static void record_tally(uint64_t number)
{
    self.usage.input_tokens = (int64_t)number;
    int result = tally_record(&self.usage);
    if (result != 0)
        give_up("tally_record: %s", strerror(-result));
}

static int serve_tally(void)
{
    self.usage = workload_usage();
    return order_serve(record_tally, workload_drain);
}

/* ---- a bare ring: one writer, one reader, in shared memory; as many bytes as a lane has by default --------- */

#define SLOTS 1016

static struct ring {
    _Alignas(64) uint64_t tail; /* the writer's */
    _Alignas(64) uint64_t head; /* the reader's */
    _Alignas(64) struct message slot[SLOTS];
} * ring;
static uint64_t head_seen;

static void record_ring(uint64_t number)
{
    uint64_t tail = self.sent;

    while (tail - head_seen >= SLOTS) {
        head_seen = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE); /* pairs with read_ring()'s release */
        if (tail - head_seen >= SLOTS)
            sched_yield();
    }
    self.message.number = number;
    memcpy(&ring->slot[tail % SLOTS], &self.message, sizeof(self.message));
    self.sent = tail + 1;
    __atomic_store_n(&ring->tail, self.sent, __ATOMIC_RELEASE); /* pairs with read_ring()'s acquire */
}

static void record_ring_clock(uint64_t number)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    self.message.time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    record_ring(number);
}

static void read_ring(void)
{
    struct timespec rest = {.tv_nsec = 1000000};
    static volatile uint64_t sum; /* so that it is really read */
    uint64_t head = 0;
    int empty = 0;

    for (;;) {
        uint64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE); /* pairs with record_ring() */

        empty = head == tail ? empty + 1 : 0;
        if (empty > 1000) /* nothing comes: the processor is another contender's */
            nanosleep(&rest, NULL);
        else if (empty > 0)
            sched_yield();
        for (; head < tail; head++) {
            struct message message;

            memcpy(&message, &ring->slot[head % SLOTS], sizeof(message));
            sum += message.number + (uint64_t)message.filling[100];
        }
        __atomic_store_n(&ring->head, head, __ATOMIC_RELEASE); /* pairs with record_ring()'s acquire */
    }
}

static void start_ring(void)
{
    ring = shared_memory(sizeof(*ring));
    self.taken = &ring->head;
    reader_start(read_ring);
}

static int serve_ring(void)
{
    start_ring();
    return order_serve(record_ring, await_taken);
}

static int serve_ring_clock(void)
{
    start_ring();
    return order_serve(record_ring_clock, await_taken);
}

/* ---- POSIX message queue ---------------------------------------------------------------------------- */

static void record_queue(uint64_t number)
{
    self.message.number = number;
    if (mq_send(self.queue, (const char *)&self.message, sizeof(self.message), 0) != 0)
        give_up("mq_send: %s", strerror(errno));
    self.sent++;
}

static void read_queue(void)
{
    struct message message;

    while (mq_receive(self.queue, (char *)&message, sizeof(message), NULL) >= 0)
        __atomic_add_fetch(self.taken, 1, __ATOMIC_RELEASE); /* pairs with reader_await() */
}

static int serve_queue(void)
{
    /* As many as a ring's; who may not have so many gets the ten that everybody may. */
    struct mq_attr attributes = {.mq_maxmsg = SLOTS, .mq_msgsize = sizeof(struct message)};
    char name[64];

    snprintf(name, sizeof(name), "/tally-bench-%d", (int)getpid());
    self.queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes);
    if (self.queue < 0) {
        attributes.mq_maxmsg = 10;
        self.queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes);
    }
    if (self.queue < 0)
        return printf("cannot mq_open: %s\n", strerror(errno)) < 0;
    mq_unlink(name);
    self.taken = shared_memory(sizeof(*self.taken));
    reader_start(read_queue);
    return order_serve(record_queue, await_taken);
}

/* ---- a datagram to a daemon that writes a file ---------------------------------------------------------- */

static void record_datagram(uint64_t number)
{
    self.message.number = number;
    if (send(self.socket[1], &self.message, sizeof(self.message), 0) != (ssize_t)sizeof(self.message))
        give_up("send: %s", strerror(errno));
    self.sent++;
}

static void read_datagrams(void)
{
    struct message message;
    int file = open(folder(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

    while (recv(self.socket[0], &message, sizeof(message), 0) > 0) {
        if (write(file, &message, sizeof(message)) < 0)
            return;
        __atomic_add_fetch(self.taken, 1, __ATOMIC_RELEASE); /* pairs with reader_await() */
    }
}

static int serve_datagram(void)
{
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, self.socket) != 0)
        return printf("cannot make sockets: %s\n", strerror(errno)) < 0;
    self.taken = shared_memory(sizeof(*self.taken));
    reader_start(read_datagrams);
    return order_serve(record_datagram, await_taken);
}

/* ---- SQLite, a transaction a record ----------------------------------------------------------------------- */

static void record_sqlite(uint64_t number)
{
    sqlite3_bind_int64(self.insert, 1, order_now_ns());
    sqlite3_bind_text(self.insert, 2, self.usage.provider, -1, SQLITE_STATIC);
    sqlite3_bind_text(self.insert, 3, self.usage.operation, -1, SQLITE_STATIC);
    sqlite3_bind_text(self.insert, 4, self.usage.request_model, -1, SQLITE_STATIC);
    sqlite3_bind_text(self.insert, 5, self.usage.team, -1, SQLITE_STATIC);
    sqlite3_bind_int64(self.insert, 6, (int64_t)number);
    sqlite3_bind_int64(self.insert, 7, self.usage.output_tokens);
    sqlite3_bind_int64(self.insert, 8, self.usage.duration_ns);
    if (sqlite3_step(self.insert) != SQLITE_DONE)
        give_up("SQLite: a row cannot be inserted");
    sqlite3_reset(self.insert);
}

static int serve_sqlite(void)
{
    char path[512];
    sqlite3 *database;

    self.usage = workload_usage();
    snprintf(path, sizeof(path), "%s/autocommit.db", folder());
    if (sqlite3_open(path, &database) != SQLITE_OK ||
        sqlite3_exec(
            database,
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE usage (id INTEGER PRIMARY KEY, "
            "time INTEGER, provider TEXT, operation TEXT, model TEXT, team TEXT, input INTEGER, output "
            "INTEGER, duration INTEGER)",
            NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_prepare_v2(database, "INSERT INTO usage VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", -1,
                           &self.insert, NULL) != SQLITE_OK)
        return printf("cannot use SQLite: %s\n", sqlite3_errmsg(database)) < 0;
    return order_serve(record_sqlite, await_nothing);
}

/* ---- Redis: XADD, and its answer ----------------------------------------------------------------------------- */

static void record_redis(uint64_t number)
{
    char request[512];
    char answer[256];
    int length =
        snprintf(request, sizeof(request),
                 "*5\r\n$4\r\nXADD\r\n$5\r\nusage\r\n$1\r\n*\r\n$6\r\nrecord\r\n$112\r\n%0112llu\r\n",
                 (unsigned long long)number);

    if (write(self.socket[0], request, (size_t)length) != length ||
        read(self.socket[0], answer, sizeof(answer)) <= 0 || answer[0] != '$')
        give_up("Redis does not answer XADD");
}

static int serve_redis(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/redis.socket", folder());
    self.socket[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (self.socket[0] < 0 || connect(self.socket[0], (struct sockaddr *)&address, sizeof(address)) != 0)
        return printf("cannot reach Redis: %s\n", strerror(errno)) < 0;
    return order_serve(record_redis, await_nothing);
}

int peer_main(const char *name)
{
    static const struct {
        const char *name;
        int (*serve)(void);
    } kinds[] = {
        {"tally", serve_tally},       {"ring", serve_ring},   {"ring-clock", serve_ring_clock},
        {"queue", serve_queue},       {"redis", serve_redis}, {"datagram", serve_datagram},
        {"autocommit", serve_sqlite},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return kinds[i].serve();
    give_up("there is no contender '%s'", name);
}
