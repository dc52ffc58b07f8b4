#include "crash/points.h"

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "tally_testpoint_"

static void add(struct points *points, const char *symbol, uintptr_t value)
{
    const char *name = symbol + strlen(PREFIX);
    const char *end = strrchr(name, '_');
    if (strncmp(symbol, PREFIX, strlen(PREFIX)) != 0 || !end || points->count == POINTS_MAX)
        return;
    snprintf(points->point[points->count].name, sizeof points->point[0].name, "%.*s", (int)(end - name),
             name);
    points->point[points->count++].offset = value;
}

static void read_symbols(struct points *points, const char *bytes)
{
    const Elf64_Ehdr *head = (const void *)bytes;
    const Elf64_Shdr *sections = (const void *)(bytes + head->e_shoff);
    for (int i = 0; i < head->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        const Elf64_Sym *symbols = (const void *)(bytes + sections[i].sh_offset);
        const char *names = bytes + sections[sections[i].sh_link].sh_offset;
        for (size_t j = 0; j < sections[i].sh_size / sizeof *symbols; j++)
            add(points, names + symbols[j].st_name, symbols[j].st_value);
    }
}

int points_read(struct points *points, const char *file)
{
    struct stat status;
    points->count = 0;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &status) == 0) {
        char *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes != MAP_FAILED) {
            if (status.st_size > (off_t)sizeof(Elf64_Ehdr) && !memcmp(bytes, ELFMAG, SELFMAG))
                read_symbols(points, bytes);
            munmap(bytes, (size_t)status.st_size);
        }
    }
    close(fd);
    return points->count ? 0 : -1;
}

size_t points_find(const struct points *points, const char *name, uintptr_t out[POINT_COPIES_MAX])
{
    size_t found = 0;
    for (size_t i = 0; i < points->count && found < POINT_COPIES_MAX; i++)
        if (!strcmp(points->point[i].name, name))
            out[found++] = points->point[i].offset;
    return found;
}
