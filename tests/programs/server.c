/* server.c: a pre-forking server. The parent records once, then keeps WORKERS processes of THREADS threads
 * alive, replacing those that are killed, until the test says go; then it ends them with SIGTERM.
 *
 *   server WORKERS THREADS [UID]    UID: workers give up root for it before they record
 *
 * values[i] is the pid of worker i.
 */
#include "support/program.h"

#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define WORKERS_MAX 32

static pid_t workers[WORKERS_MAX];
static int ending; /* atomic: set by the handler on one thread, read by the others */

static void end_server(int signal_number)
{
    (void)signal_number;
    __atomic_store_n(&ending, 1, __ATOMIC_RELAXED);
}

static void *serve(void *unused)
{
    struct counters_writer *writer = program_writer();

    while (!__atomic_load_n(&ending, __ATOMIC_RELAXED))
        program_record_paced(writer);
    return unused;
}

static void worker(pid_t server, int threads, uid_t uid)
{
    pthread_t others[16];
    sigset_t mask;

    signal(SIGTERM, end_server);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != server) /* it was killed before we could ask to go with it */
        _exit(0);
    if (uid != 0 && (setgroups(0, NULL) != 0 || setgid(uid) != 0 || setuid(uid) != 0))
        _exit(122);
    sigemptyset(&mask);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    for (int i = 1; i < threads; i++)
        pthread_create(&others[i], NULL, serve, NULL);
    serve(NULL);
    for (int i = 1; i < threads; i++)
        pthread_join(others[i], NULL);
    exit(0);
}

static void keep_workers(pid_t server, int count, int threads, uid_t uid)
{
    for (int i = 0; i < count; i++) {
        if (workers[i] != 0 && waitpid(workers[i], NULL, WNOHANG) != workers[i])
            continue;
        pid_t child = fork();
        if (child == 0)
            worker(server, threads, uid);
        workers[i] = child;
        atomic_store(&counters->values[i], (uint64_t)child);
    }
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1;
    int threads = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1;
    uid_t uid = argc > 3 ? (uid_t)strtoul(argv[3], NULL, 10) : 0;
    pid_t server = getpid();

    if (count > WORKERS_MAX || threads > 16)
        return 125;
    program_start();
    program_record(program_writer());
    while (atomic_load(&counters->go) == 0) {
        keep_workers(server, count, threads, uid);
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    for (int i = 0; i < count; i++) {
        int status;
        kill(workers[i], SIGTERM);
        waitpid(workers[i], &status, 0);
    }
    return 0;
}
