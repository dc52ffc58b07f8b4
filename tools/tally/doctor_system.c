/* doctor_system.c: the kernel, limits, and what may delete shared memory behind our back. */
#include "doctor.h"
#include "when.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <tally/abi.h>
#include <unistd.h>

/* MADV_WIPEONFORK and expedited membarrier came with it. */
#define KERNEL_MAJOR 4
#define KERNEL_MINOR 14
/* systemd's border between system accounts and people. */
#define SYSTEM_UID_MAX 999
#define YEAR_2024_NS   (INT64_C(1704067200) * WHEN_SECOND_NS)

static void check_kernel(struct doctor *doctor)
{
    struct utsname name;
    int major = 0;
    int minor = 0;

    if (uname(&name) != 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2) {
        doctor_find(doctor, FINDING_WARN, "kernel", NULL, "its version cannot be read");
        return;
    }
    bool old = major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR);
    doctor_find(doctor, old ? FINDING_FAIL : FINDING_OK, "kernel",
                old ? "Linux 4.14 or newer is needed." : NULL, "Linux %s on %s", name.release, name.machine);
}

static void check_membarrier(struct doctor *doctor)
{
    long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

    if (commands < 0 || (commands & (MEMBARRIER_CMD_GLOBAL | MEMBARRIER_CMD_GLOBAL_EXPEDITED)) == 0)
        doctor_find(
            doctor, FINDING_WARN, "membarrier",
            "Nothing is lost; a record may be committed up to a second later. Allow the system call in "
            "the seccomp profile.",
            "refused here: %s", commands < 0 ? strerror(errno) : "no global command");
    else
        doctor_find(doctor, FINDING_OK, "membarrier", NULL, "available");
}

static void check_robust_list(struct doctor *doctor)
{
    struct robust_list_head *head = NULL;
    size_t length = 0;

    if (syscall(SYS_get_robust_list, 0, &head, &length) != 0 || head == NULL)
        doctor_find(doctor, FINDING_WARN, "robust list",
                    "Deaths are then seen by process id and start time alone. Allow get_robust_list in the "
                    "seccomp profile.",
                    "the C library's list cannot be had");
    else
        doctor_find(doctor, FINDING_OK, "robust list", NULL, "available");
}

static void check_file_size(struct doctor *doctor)
{
    struct rlimit limit;
    uint64_t arena = tally_arena_header_bytes(TALLY_LANE_COUNT_DEFAULT) +
                     (uint64_t)TALLY_LANE_COUNT_DEFAULT * TALLY_LANE_BYTES_DEFAULT;
    char have[NUMBER_BYTES];
    char want[NUMBER_BYTES];

    if (getrlimit(RLIMIT_FSIZE, &limit) != 0)
        return;
    if (limit.rlim_cur == RLIM_INFINITY)
        doctor_find(doctor, FINDING_OK, "file size", NULL, "unlimited");
    else if (limit.rlim_cur < arena)
        doctor_find(doctor, FINDING_FAIL, "file size",
                    "Raise it (ulimit -f unlimited; LimitFSIZE= in a unit), or make the arena from a process "
                    "that has no "
                    "limit.",
                    "limited to %s, and an arena takes %s", bytes_text(limit.rlim_cur, have),
                    bytes_text(arena, want));
    else
        doctor_find(doctor, FINDING_OK, "file size", NULL, "limited to %s", bytes_text(limit.rlim_cur, have));
}

static void check_environment(struct doctor *doctor)
{
    const char *disabled = getenv("TALLY_DISABLE");

    if (disabled != NULL && strcmp(disabled, "1") == 0)
        doctor_find(doctor, FINDING_WARN, "environment", "Unset TALLY_DISABLE where calls are to be counted.",
                    "TALLY_DISABLE is 1: programs started from here record nothing");
}

static void check_clock(struct doctor *doctor)
{
    char text[WHEN_BYTES];
    int64_t now_ns = when_now();
    bool wrong = now_ns < YEAR_2024_NS;

    doctor_find(doctor, wrong ? FINDING_FAIL : FINDING_OK, "clock",
                wrong ? "Set the clock: calls are filed under the hour in which they start." : NULL, "%s UTC",
                when_shown(now_ns, text));
}

/* ---- logind's RemoveIPC ------------------------------------------------------------------------------ */

/* The last RemoveIPC= in a file: 1, 0, or `before`. */
static int read_remove_ipc(const char *path, int before)
{
    FILE *file = fopen(path, "re");
    char line[512];

    if (file == NULL)
        return before;
    while (fgets(line, sizeof(line), file) != NULL) {
        const char *at = line + strspn(line, " \t");
        if (strncasecmp(at, "RemoveIPC", 9) != 0)
            continue;
        at += 9 + strspn(at + 9, " \t");
        if (*at != '=')
            continue;
        at += 1 + strspn(at + 1, " \t");
        before = *at == 'y' || *at == 'Y' || *at == '1' || *at == 't' || strncasecmp(at, "on", 2) == 0;
    }
    fclose(file);
    return before;
}

static int read_drop_ins(const char *folder, int before)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, NULL, alphasort);

    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        size_t length = strlen(name);
        if (length > 5 && strcmp(name + length - 5, ".conf") == 0) {
            char *path = must_print("%s/%s", folder, name);
            before = read_remove_ipc(path, before);
            free(path);
        }
        free(entries[i]);
    }
    free(entries);
    return before;
}

static bool lingers(void)
{
    struct passwd *entry = getpwuid(geteuid());
    struct stat status;

    if (entry == NULL)
        return false;
    char *path = must_print("/var/lib/systemd/linger/%s", entry->pw_name);
    bool yes = stat(path, &status) == 0;
    free(path);
    return yes;
}

static void check_remove_ipc(struct doctor *doctor)
{
    struct stat status;

    if (geteuid() <= SYSTEM_UID_MAX || stat("/run/systemd/system", &status) != 0)
        return;
    int removes = read_remove_ipc("/etc/systemd/logind.conf", 1);
    removes = read_drop_ins("/usr/lib/systemd/logind.conf.d", removes);
    removes = read_drop_ins("/run/systemd/logind.conf.d", removes);
    removes = read_drop_ins("/etc/systemd/logind.conf.d", removes);
    if (removes && !lingers())
        doctor_find(
            doctor, FINDING_WARN, "RemoveIPC",
            "Run 'loginctl enable-linger' for this user, or set RemoveIPC=no in logind.conf, or keep an "
            "agent running.",
            "systemd deletes this user's shared memory with the last log-out");
    else
        doctor_find(doctor, FINDING_OK, "RemoveIPC", NULL, "%s",
                    removes ? "this user lingers: shared memory stays" : "off");
}

void doctor_system(struct doctor *doctor)
{
    check_kernel(doctor);
    check_membarrier(doctor);
    check_robust_list(doctor);
    check_file_size(doctor);
    check_clock(doctor);
    check_remove_ipc(doctor);
    check_environment(doctor);
}
