/* jail.c: what a container engine does, as far as namespaces and mounts go, and then a program in it.
 *
 *   jail WORD... -- PROGRAM [ARGUMENT...]       PROGRAM without a slash: a neighbour of this one
 *
 * Words are obeyed in order; those about mounts and pids begin a mount namespace of its own first:
 *   ipc, uts, net             namespaces; net has no interface that is up
 *   user=INSIDE:OUTSIDE:COUNT a user namespace with this map of uids and gids; uid and gid 0 of it
 *   pids                      a PID namespace: the program is its process 1, with a /proc that shows it
 *   tmpfs=PATH:SIZE:MODE, bind=FROM:TO
 *   readonly                  everything mounted so far
 *   writable=PATH             again, from there on
 *   noproc, hidepid           /proc is not there; it hides others' processes
 *   as=UID:GID:GROUP,...      become this user
 *   powerless                 no capabilities, none to be had by exec
 *   refuse=NUMBER:ERRNO:SECOND   that system call fails; SECOND, if not 0: only with this second argument
 *   run=COMMAND               by the shell, as far as we have come
 *   set=NAME=VALUE, unset=NAME, clear (the environment but for what the test itself needs), folder=PATH
 *
 * Signals that end or reload go to the program. Its status, or the signal that it died of, is the jail's. 77: no right to
 * do a word, and which one is said.
 */
#include "support/program.h"
#include "support/refuse.h"

#include <grp.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static struct {
    bool mounts; /* we have a namespace of our own */
    bool pids;   /* asked for, but not entered yet: only a child can be in it */
    const char *word;
    char parts[3][512]; /* of the word's value */
} self;

static void refuse_word(void)
{
    fprintf(stderr, "jail: %s: %s\n", self.word, strerror(errno));
    _exit(77);
}

static void must(bool done)
{
    if (!done)
        refuse_word();
}

static void own_mounts(void)
{
    if (self.mounts)
        return;
    must(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    self.mounts = true;
}

static void change_flags(const char *path, uint64_t set, uint64_t clear, unsigned flags)
{
    struct mount_attr change = {.attr_set = set, .attr_clr = clear};

    must(syscall(SYS_mount_setattr, AT_FDCWD, path, flags, &change, sizeof(change)) == 0);
}

static void write_file(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);

    must(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
    close(file);
}

/* Who makes a user namespace has all rights in it, and none outside: the map is written by a child that has stayed behind. */
static void do_user(void)
{
    char map[1600];
    char path[64];
    char byte = 0;
    int ends[2];
    int status;
    pid_t parent = getpid();

    snprintf(map, sizeof(map), "%s %s %s", self.parts[0], self.parts[1], self.parts[2]);
    must(pipe(ends) == 0);
    pid_t child = fork();
    if (child == 0) {
        close(ends[1]);
        if (read(ends[0], &byte, 1) != 1)
            _exit(1);
        snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)parent);
        write_file(path, map);
        snprintf(path, sizeof(path), "/proc/%d/gid_map", (int)parent);
        write_file(path, map);
        _exit(0);
    }
    must(unshare(CLONE_NEWUSER) == 0 && write(ends[1], &byte, 1) == 1);
    close(ends[0]);
    close(ends[1]);
    must(waitpid(child, &status, 0) == child && status == 0);
    must(setgroups(0, NULL) == 0 && setgid(0) == 0 && setuid(0) == 0);
}

static void do_pids(void)
{
    own_mounts();
    must(unshare(CLONE_NEWPID) == 0);
    self.pids = true;
}

static void do_tmpfs(void)
{
    char options[1100];

    own_mounts();
    snprintf(options, sizeof(options), "size=%s,mode=%s", self.parts[1], self.parts[2]);
    must(mount("tmpfs", self.parts[0], "tmpfs", MS_NOSUID | MS_NODEV, options) == 0);
}

static void do_bind(void)
{
    own_mounts();
    must(mount(self.parts[0], self.parts[1], NULL, MS_BIND | MS_REC, NULL) == 0);
}

static void do_readonly(void)
{
    own_mounts();
    change_flags("/", MOUNT_ATTR_RDONLY, 0, AT_RECURSIVE);
}

static void do_writable(void)
{
    own_mounts();
    must(mount(self.parts[0], self.parts[0], NULL, MS_BIND, NULL) == 0);
    change_flags(self.parts[0], 0, MOUNT_ATTR_RDONLY, 0);
}

static void do_noproc(void)
{
    own_mounts();
    must(mount("tmpfs", "/proc", "tmpfs", MS_RDONLY, "size=4k") == 0);
}

static void do_hidepid(void)
{
    own_mounts();
    must(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2") == 0);
}

static void do_as(void)
{
    gid_t groups[16];
    size_t count = 0;

    for (const char *at = self.parts[2]; *at != '\0' && count < 16; at += *at == ',') {
        char *end;
        groups[count++] = (gid_t)strtoul(at, &end, 10);
        at = end;
    }
    must(setgroups(count, groups) == 0 && setgid((gid_t)strtoul(self.parts[1], NULL, 10)) == 0 &&
         setuid((uid_t)strtoul(self.parts[0], NULL, 10)) == 0);
}

static void do_powerless(void)
{
    /* capset(2): version 3, this process, three empty sets of two words each */
    uint32_t header[2] = {0x20080522, 0};
    uint32_t none[6] = {0};

    for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && geteuid() == 0)
            refuse_word();
    must(syscall(SYS_capset, header, none) == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
}

static void do_refuse(void)
{
    must(refuse_call((uint32_t)strtoul(self.parts[0], NULL, 10), (uint32_t)strtoul(self.parts[1], NULL, 10),
                     (uint32_t)strtoul(self.parts[2], NULL, 10)) == 0);
}

static void do_clear(void)
{
    static const char *const kept[] = {COUNTERS_ENVIRONMENT, "ASAN_OPTIONS", "TSAN_OPTIONS", "NOTIFY_SOCKET"};
    const char *values[4];

    for (int i = 0; i < 4; i++) /* the texts stay where the kernel has put them */
        values[i] = getenv(kept[i]);
    clearenv();
    for (int i = 0; i < 4; i++)
        if (values[i] != NULL)
            setenv(kept[i], values[i], 1);
}

static void do_run(void)
{
    must(system(strchr(self.word, '=') + 1) == 0); // NOLINT(cert-env33-c): the test's own words
}
static void do_set(void)
{
    char name[512];
    const char *assignment = strchr(self.word, '=') + 1;
    size_t length = strcspn(assignment, "=");

    snprintf(name, sizeof(name), "%.*s", (int)length, assignment);
    must(setenv(name, assignment + length + (assignment[length] == '='), 1) == 0);
}
static void do_unset(void)
{
    must(unsetenv(self.parts[0]) == 0);
}
static void do_folder(void)
{
    must(chdir(self.parts[0]) == 0);
}
static void do_ipc(void)
{
    must(unshare(CLONE_NEWIPC) == 0);
}
static void do_uts(void)
{
    must(unshare(CLONE_NEWUTS) == 0);
}
static void do_net(void)
{
    must(unshare(CLONE_NEWNET) == 0);
}

static const struct {
    const char *name;
    void (*obey)(void);
} words[] = {
#define WORD(name)                                                                                           \
    {                                                                                                        \
#name, do_##name                                                                                     \
    }
    WORD(ipc),      WORD(uts),      WORD(net),    WORD(user),    WORD(pids), WORD(tmpfs),     WORD(bind),
    WORD(readonly), WORD(writable), WORD(noproc), WORD(hidepid), WORD(as),   WORD(powerless), WORD(refuse),
    WORD(set),      WORD(unset),    WORD(clear),  WORD(folder),  WORD(run),
};

static void obey(const char *word)
{
    size_t length = strcspn(word, "=");
    const char *at = word[length] ? word + length + 1 : "";

    self.word = word;
    for (int i = 0; i < 3; i++) {
        size_t part = strcspn(at, ":");
        snprintf(self.parts[i], sizeof(self.parts[i]), "%.*s", (int)part, at);
        at += part + (at[part] == ':');
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strlen(words[i].name) == length && strncmp(words[i].name, word, length) == 0) {
            words[i].obey();
            return;
        }
    fprintf(stderr, "jail: no word '%s'\n", word);
    _exit(125);
}

/* Outside of the PID namespace: pass signals on, and end as the program does. */
static void attend(pid_t child, const sigset_t *passed)
{
    struct rlimit none = {0, 0};
    int status;

    for (;;) {
        int signal_number = 0;
        sigwait(passed, &signal_number);
        if (signal_number != SIGCHLD)
            kill(child, signal_number);
        else if (waitpid(child, &status, WNOHANG) == child)
            break;
    }
    if (WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    setrlimit(RLIMIT_CORE, &none);
    signal(WTERMSIG(status), SIG_DFL);
    sigprocmask(SIG_UNBLOCK, passed, NULL);
    raise(WTERMSIG(status));
    _exit(126);
}

static void enter_pids(void)
{
    sigset_t passed;
    sigset_t before;

    sigemptyset(&passed);
    sigaddset(&passed, SIGTERM);
    sigaddset(&passed, SIGINT);
    sigaddset(&passed, SIGHUP);
    sigaddset(&passed, SIGCHLD);
    sigprocmask(SIG_BLOCK, &passed, &before);
    self.word = "pids";
    pid_t child = fork();
    must(child >= 0);
    if (child > 0)
        attend(child, &passed);
    sigprocmask(SIG_SETMASK, &before, NULL);
    must(mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0);
    self.pids = false;
}

/* Found before anything is taken away: later the folder may be closed to us, or there may be no /proc to find ourselves by. */
static int find_program(const char *name)
{
    char path[1024];
    ssize_t length = strchr(name, '/') == NULL ? readlink("/proc/self/exe", path, sizeof(path) - 1) : 0;

    path[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(path, '/');
    size_t before = slash == NULL ? 0 : (size_t)(slash + 1 - path);
    snprintf(path + before, sizeof(path) - before, "%s", name);
    int file = open(path, O_PATH | O_CLOEXEC);
    if (file < 0) {
        fprintf(stderr, "jail: %s: %s\n", path, strerror(errno));
        _exit(123);
    }
    return file;
}

int main(int argc, char **argv)
{
    int words_end = 1;

    while (words_end < argc && strcmp(argv[words_end], "--") != 0)
        words_end++;
    if (words_end + 1 >= argc)
        return 125;
    int program = find_program(argv[words_end + 1]);
    for (int i = 1; i < words_end; i++) {
        obey(argv[i]);
        if (self.pids)
            enter_pids();
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* here, for becoming another user forgets it */
    syscall(SYS_execveat, program, "", argv + words_end + 1, environ, AT_EMPTY_PATH);
    self.word = argv[words_end + 1];
    refuse_word();
}
