#include "crash/witness.h"

#include "crash/stage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <unistd.h>

#define ARENA_BYTES_MAX (1u << 20)

static int wrong(struct witness *witness, const char *what)
{
    snprintf(witness->error, sizeof witness->error, "what the victim shares cannot be watched: %.160s", what);
    return -1;
}

static bool peek(pid_t tid, uint64_t from, void *to, size_t bytes)
{
    struct iovec here = {to, bytes};
    struct iovec there = {(void *)(uintptr_t)from, bytes};
    return process_vm_readv(tid, &here, 1, &there, 1, 0) == (ssize_t)bytes;
}

/* A thread that has come to its end has none. */
static void read_list(pid_t tid, struct witness_list *list)
{
    uint64_t head = 0;
    size_t length;
    memset(list, 0, sizeof *list);
    if (syscall(SYS_get_robust_list, tid, &head, &length) || !head ||
        !peek(tid, head, list->head, sizeof list->head))
        return;
    uint64_t node = list->head[0];
    for (int i = 0; i < WITNESS_NODES_MAX && node != head && peek(tid, node & ~UINT64_C(1), &node, 8); i++)
        list->node[i] = node;
}

/* Everything of the arena, the stage behind it. Not mapped: reading a hole of a file would fill it. */
static int read_all(struct witness *witness, uint8_t *to)
{
    size_t arena = witness->bytes - sizeof *stage;
    if (arena && pread(witness->fd, to, arena, 0) != (ssize_t)arena)
        return wrong(witness, "the arena");
    memcpy(to + arena, (const void *)stage, sizeof *stage);
    return 0;
}

int witness_open(struct witness *witness, const char *arena, pid_t tid)
{
    memset(witness, 0, sizeof *witness);
    snprintf(witness->arena, sizeof witness->arena, "%s", arena);
    witness->tid = tid;
    witness->fd = open(arena, O_RDONLY | O_CLOEXEC);
    off_t size = witness->fd < 0 ? 0 : lseek(witness->fd, 0, SEEK_END);
    if (size < 0 || size > (off_t)ARENA_BYTES_MAX)
        return wrong(witness, "the arena's size");
    witness->bytes = (size_t)size + sizeof *stage;
    witness->now = malloc(witness->bytes);
    witness->before = malloc(witness->bytes);
    if (!witness->now || !witness->before)
        return wrong(witness, "no memory");
    read_list(tid, &witness->list);
    return read_all(witness, witness->before);
}

void witness_close(struct witness *witness)
{
    if (witness->fd >= 0)
        close(witness->fd);
    free(witness->now);
    free(witness->before);
    free(witness->changed);
    memset(witness, 0, sizeof *witness);
    witness->fd = -1;
}

/* No other memory may be written to and shared: the stage and the reports have no name. */
static int check_mappings(struct witness *witness)
{
    char path[64];
    char line[512];
    int result = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)witness->tid);
    FILE *file = fopen(path, "re");
    while (result == 0 && file && fgets(line, sizeof line, file)) {
        char modes[8];
        if (sscanf(line, "%*s %7s", modes) == 1 && modes[1] == 'w' && modes[3] == 's' &&
            !strstr(line, witness->arena) && !strstr(line, "/dev/zero"))
            result = wrong(witness, line);
    }
    if (file)
        fclose(file);
    return result;
}

/* Whether the step that has been made was a call: victims are forked, and have their code where it is here. */
static bool called(struct witness *witness)
{
    static const uint8_t call[] = {0x0F, 0x05}; /* the instruction `syscall` */
    struct user_regs_struct registers;
    uint64_t last = witness->instruction;
    witness->instruction = ptrace(PTRACE_GETREGS, witness->tid, NULL, &registers) ? 0 : registers.rip;
    return last && memcmp((const void *)(uintptr_t)last, call, sizeof call) == 0;
}

static int note(struct witness *witness, bool changed)
{
    if (witness->steps == witness->room) {
        uint32_t room = witness->room ? 2 * witness->room : 4096;
        uint8_t *more = realloc(witness->changed, room);
        if (!more)
            return wrong(witness, "no memory");
        witness->changed = more;
        witness->room = room;
    }
    witness->changed[witness->steps++] = changed;
    return 0;
}

bool witness_step(void *argument)
{
    struct witness *witness = argument;
    struct witness_list list;
    if (read_all(witness, witness->now))
        return true;
    read_list(witness->tid, &list);
    bool changed = memcmp(witness->now, witness->before, witness->bytes) != 0 ||
                   memcmp(&list, &witness->list, sizeof list) != 0;
    bool call = called(witness);
    uint8_t *before = witness->before;
    witness->before = witness->now;
    witness->now = before;
    witness->list = list;
    return note(witness, call || changed) || (call && check_mappings(witness));
}

bool witness_saw(const struct witness *witness, uint32_t step)
{
    return step < witness->steps && witness->changed[step];
}
