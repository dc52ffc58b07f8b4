/* contain: run one test program so that nothing of it can outlive it unseen.
 *
 *     contain --timeout SECONDS --report FILE -- PROGRAM [ARGUMENT...]
 *
 * The program gets its own session, /dev/null as input and, where we may mount, a
 * /dev/shm and /var/lib/tally of its own, so that neither other tests nor other users of the machine
 * can be mistaken for leaks or be hit by them. contain is the subreaper of all that
 * descends from it: a process that the test forgets comes to us, wherever it
 * daemonised to, is reported, and killed.
 *
 * The report, one finding a line:
 *   isolated | shared            whether /dev/shm was the test's own
 *   exit N | signal N | timeout | interrupted    how the program itself ended
 *   process PID COMMAND          left over after it, or under way when it was stopped
 *   shm NAME                     left over in /dev/shm
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Processes that were killed last take a moment to be torn down: not a leak if they are
 * gone within this. */
#define GRACE_MS 3000
#define NAMES    4096

struct containment {
    FILE *report;
    pid_t program;
    bool isolated;
    int status;          /* of the program, valid once `ended` */
    bool interrupted;    /* asked to stop by the runner or a terminal */
    bool ended;          /* the program itself */
    size_t names_before; /* of /dev/shm, when it is shared */
    char *before[NAMES];
};

static struct containment self;

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static void refuse(const char *what)
{
    fprintf(stderr, "contain: %s: %s\n", what, strerror(errno));
    exit(125);
}

/* ---- /dev/shm ------------------------------------------------------------- */

static bool shm_isolate(void)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") != 0)
        return false;
    /* Where it is there at all: an agent would take in, and keep, what clients of other tests have spilled there. */
    (void)mount("tmpfs", "/var/lib/tally", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700");
    return true;
}

static bool was_there(const char *name)
{
    for (size_t i = 0; i < self.names_before; i++)
        if (strcmp(self.before[i], name) == 0)
            return true;
    return false;
}

/* In a shared /dev/shm only new objects of ours count: others are at work there too. */
static void shm_walk(void (*visit)(const char *name))
{
    DIR *directory = opendir("/dev/shm");
    const struct dirent *entry;
    struct stat info;

    if (directory == NULL)
        return;
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (!self.isolated && (fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
                               info.st_uid != geteuid()))
            continue;
        visit(entry->d_name);
    }
    closedir(directory);
}

static void shm_remember(const char *name)
{
    if (self.names_before < NAMES)
        self.before[self.names_before++] = strdup(name);
}

static void shm_report(const char *name)
{
    if (!was_there(name))
        fprintf(self.report, "shm %s\n", name);
}

/* ---- processes -------------------------------------------------------------- */

static void reap(void)
{
    pid_t pid;
    int status;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == self.program) {
            self.status = status;
            self.ended = true;
        }
}

static void wait_a_moment(const sigset_t *awaited, int64_t ms)
{
    struct timespec limit = {ms / 1000, ms % 1000 * 1000000};
    int signal = sigtimedwait(awaited, NULL, &limit);

    if (signal == SIGINT || signal == SIGTERM)
        self.interrupted = true;
    reap();
}

/* Our children, which after the program's end are its orphans. Returns how many. */
static int orphans(void (*visit)(pid_t pid, const char *command))
{
    DIR *proc = opendir("/proc");
    const struct dirent *entry;
    int found = 0;

    if (proc == NULL)
        refuse("/proc");
    while ((entry = readdir(proc)) != NULL) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        char path[64];
        char stat[1024];
        int file;
        ssize_t length;
        int parent;
        char state;

        if (pid <= 0)
            continue;
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        file = open(path, O_RDONLY | O_CLOEXEC);
        length = file < 0 ? -1 : read(file, stat, sizeof(stat) - 1);
        if (file >= 0)
            close(file);
        if (length <= 0)
            continue;
        stat[length] = '\0';
        char *name_end = strrchr(stat, ')');
        if (name_end == NULL || sscanf(name_end + 1, " %c %d", &state, &parent) != 2 || parent != getpid())
            continue;
        found++;
        if (visit != NULL) {
            name_end[1] = '\0';
            visit(pid, strchr(stat, '('));
        }
    }
    closedir(proc);
    return found;
}

static void orphan_report(pid_t pid, const char *command)
{
    fprintf(self.report, "process %d %s\n", (int)pid, command);
}

static void orphan_kill(pid_t pid, const char *command)
{
    (void)command;
    kill(pid, SIGKILL); /* its children come to us and have their turn in the next round */
}

static void clear_orphans(const sigset_t *awaited)
{
    int64_t deadline = now_ms() + GRACE_MS;

    reap();
    while (orphans(NULL) > 0 && now_ms() < deadline)
        wait_a_moment(awaited, 50);
    orphans(orphan_report);
    for (int rounds = 0; orphans(orphan_kill) > 0 && rounds < 1000; rounds++)
        wait_a_moment(awaited, 10);
}

/* ---- the whole ----------------------------------------------------------------- */

static void start(char **command, const sigset_t *before)
{
    self.program = fork();
    if (self.program < 0)
        refuse("fork");
    if (self.program > 0)
        return;
    int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    close(null);
    setsid();
    sigprocmask(SIG_SETMASK, before, NULL);
    execv(command[0], command);
    refuse(command[0]);
}

static void attend(int64_t timeout_ms, const sigset_t *awaited)
{
    int64_t deadline = now_ms() + timeout_ms;

    while (!self.ended && !self.interrupted && now_ms() < deadline)
        wait_a_moment(awaited, deadline - now_ms());
    if (!self.ended) {
        fprintf(self.report, self.interrupted ? "interrupted\n" : "timeout\n");
        orphans(orphan_report);
        /* what it had under way is not a leak of its own making: say only that it hung */
        for (int rounds = 0; orphans(orphan_kill) > 0 && rounds < 1000; rounds++)
            wait_a_moment(awaited, 10);
    } else if (WIFSIGNALED(self.status)) {
        fprintf(self.report, "signal %d\n", WTERMSIG(self.status));
    } else {
        fprintf(self.report, "exit %d\n", WEXITSTATUS(self.status));
    }
}

int main(int argc, char **argv)
{
    sigset_t awaited;
    sigset_t before;

    if (argc < 7 || strcmp(argv[1], "--timeout") != 0 || strcmp(argv[3], "--report") != 0 ||
        strcmp(argv[5], "--") != 0) {
        fprintf(stderr, "usage: contain --timeout SECONDS --report FILE -- PROGRAM [ARGUMENT...]\n");
        return 125;
    }
    self.report = fopen(argv[4], "we");
    if (self.report == NULL)
        refuse(argv[4]);
    setvbuf(self.report, NULL, _IOLBF, 0);
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGCHLD);
    sigaddset(&awaited, SIGINT);
    sigaddset(&awaited, SIGTERM);
    sigprocmask(SIG_BLOCK, &awaited, &before);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        refuse("PR_SET_CHILD_SUBREAPER");
    self.isolated = shm_isolate();
    fprintf(self.report, self.isolated ? "isolated\n" : "shared\n");
    if (!self.isolated)
        shm_walk(shm_remember);

    start(argv + 6, &before);
    attend(strtoll(argv[2], NULL, 10) * 1000, &awaited);
    clear_orphans(&awaited);
    shm_walk(shm_report);
    return fclose(self.report) == 0 ? 0 : 125;
}
