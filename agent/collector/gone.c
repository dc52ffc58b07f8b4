/* gone.c: arenas that the database knows and of which nothing is left.
 *
 * The host has been restarted; or an agent left while it drained an arena that had been deleted, or the arena was deleted while
 * no agent ran. Looked for once in an agent's life, after a round in which everything that is there has been drained and all
 * spill files are in: later an arena that loses its name is this agent's own to drain. One whose place cannot
 * be looked at (a volume that is not mounted, say) is left as it is. */
#include "collector/state.h"

#include "arena/arena_versions.h"
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool folder_there(const char *path)
{
    char folder[ARENA_PATH_MAX];
    struct stat status;
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (path[0] != '/' || length >= sizeof folder)
        return false;
    memcpy(folder, path, length);
    folder[length] = '\0';
    return stat(length ? folder : "/", &status) == 0 && S_ISDIR(status.st_mode);
}

static bool gone(void *context, const uint8_t uuid[16], const char *path)
{
    struct tally_arena_header header;
    (void)context;
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT && folder_there(path);
    bool whole =
        pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header && tally_arena_header_sound(&header);
    close(fd);
    /* Another arena has the name. What is none says nothing. */
    return whole && memcmp(header.uuid, uuid, sizeof header.uuid);
}

static void other_version(void *context, const char *path, uint32_t abi)
{
    (void)context;
    log_line(LOG_WARNING,
             "arena %s is of version %u, and this agent knows version %u alone: it is left as it is, and its "
             "records wait; run the agent that belongs to its clients",
             path, abi, TALLY_ABI);
}

void gone_settle(struct collector *collector)
{
    const struct spill *spill = &collector->spill;
    uint8_t boot_id[16];
    if (collector->gone_settled || spill->fd >= 0 || spill->next < spill->list.count || !spill->scanned_ns)
        return;
    arena_boot_id(boot_id);
    int lost = ledger_lose_gone(collector->ledger, boot_id, clock_now(CLOCK_REALTIME), gone, collector);
    if (lost < 0) {
        log_often(LOG_WARNING, "%s", ledger_error(collector->ledger));
        return; /* after the next round */
    }
    collector->gone_settled = true;
    if (!collector->config->arenas[0]) /* they stand beside default names */
        arena_versions(geteuid(), other_version, NULL);
    for (const struct station *station = collector->stations; station; station = station->next)
        if (station->uid != geteuid())
            arena_versions(station->uid, other_version, NULL);
    if (lost)
        log_line(LOG_WARNING,
                 "arenas that were known are gone: of %d lanes nobody can say what was not drained; see "
                 "'tally doctor' for what is lost",
                 lost);
}
