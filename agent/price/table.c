/* table.c: finding an entry; where lists come from. */
#include "price/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "price/table_internal.h"

static const char builtin_text[] =
#include "price/builtin.json.inc"
    ;

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static uint32_t hash_of(const char *name, size_t length)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ lower(name[i])) * UINT64_C(0x100000001b3);
    return (uint32_t)(hash ^ hash >> 32);
}

static bool same_letters(struct price_text a, const char *name, size_t length)
{
    if (a.length != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (lower(a.data[i]) != lower(name[i]))
            return false;
    return true;
}

const struct price_entry *price_table_find(const struct price_table *table, const char *name, size_t length)
{
    const struct price_entry *found = NULL;
    uint32_t at = table->index[hash_of(name, length) & (table->index_size - 1)];
    while (at) {
        const struct price_entry *entry = &table->entries[at - 1];
        if (entry->name.length == length && !memcmp(entry->name.data, name, length))
            return entry;
        if (!found && same_letters(entry->name, name, length))
            found = entry;
        at = entry->next;
    }
    return found;
}

int price_table_index(struct price_table *table, char error[PRICE_ERROR_BYTES])
{
    uint32_t size = 256;
    while (size < table->entry_count * 2)
        size *= 2;
    table->index = calloc(size, sizeof(*table->index));
    if (!table->index)
        return -ENOMEM;
    table->index_size = size;
    /* From the last to the first, so that chains begin with the first. */
    for (uint32_t i = table->entry_count; i-- > 0;) {
        struct price_entry *entry = &table->entries[i];
        uint32_t *slot = &table->index[hash_of(entry->name.data, entry->name.length) & (size - 1)];
        for (uint32_t at = *slot; at; at = table->entries[at - 1].next) {
            const struct price_entry *other = &table->entries[at - 1];
            if (other->name.length == entry->name.length &&
                !memcmp(other->name.data, entry->name.data, entry->name.length)) {
                snprintf(error, PRICE_ERROR_BYTES, "%.200s: \"%.*s\": the entry occurs twice", table->name,
                         (int)(entry->name.length > 90 ? 90 : entry->name.length), entry->name.data);
                return -EINVAL;
            }
        }
        entry->next = *slot;
        *slot = i + 1;
        entry->cells = entry->cell_count ? table->cells + entry->first_cell : NULL;
        for (unsigned cell = 0; cell < entry->cell_count; cell++)
            entry->rates |= UINT64_C(1) << entry->cells[cell].rate;
        entry->factors = entry->factor_count ? table->factors + entry->first_factor : NULL;
        entry->windows = entry->window_count ? table->windows + entry->first_window : NULL;
    }
    return 0;
}

const struct price_cell *price_entry_cell(const struct price_entry *entry, enum price_rate rate,
                                          unsigned tier, enum price_service service)
{
    if (!(entry->rates >> rate & 1))
        return NULL;
    for (unsigned i = 0; i < entry->cell_count; i++) {
        const struct price_cell *cell = &entry->cells[i];
        if (cell->rate == rate && cell->tier == tier && cell->service == service)
            return cell;
    }
    return NULL;
}

/* ---- sources ---- */

static int file_problem(const char *path, int error, char text[PRICE_ERROR_BYTES])
{
    snprintf(text, PRICE_ERROR_BYTES, "cannot read price list %.300s: %s", path, strerror(error));
    return -error;
}

static int read_whole(const char *path, int fd, char **out, size_t *length, char error[PRICE_ERROR_BYTES])
{
    struct stat status;
    if (fstat(fd, &status))
        return file_problem(path, errno, error);
    if (!S_ISREG(status.st_mode))
        return file_problem(path, S_ISDIR(status.st_mode) ? EISDIR : EINVAL, error);
    if (status.st_size < 0 || (size_t)status.st_size > PRICE_FILE_BYTES_MAX)
        return file_problem(path, EFBIG, error);
    size_t size = (size_t)status.st_size;
    char *text = malloc(size + 1);
    if (!text)
        return file_problem(path, ENOMEM, error);
    size_t used = 0;
    while (used < size) {
        ssize_t got = read(fd, text + used, size - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int problem = errno;
            free(text);
            return file_problem(path, problem, error);
        }
        if (got == 0)
            break; /* it is being written anew: half a list does not read */
        used += (size_t)got;
    }
    *out = text;
    *length = used;
    return 0;
}

int price_table_load(struct price_table **out, const char *path, char error[PRICE_ERROR_BYTES])
{
    char *text = NULL;
    size_t length = 0;
    *out = NULL;
    /* Not to hang on a pipe that nobody writes to. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return file_problem(path, errno, error);
    int result = read_whole(path, fd, &text, &length, error);
    close(fd);
    if (!result)
        result = price_table_read(out, path, text, length, error);
    free(text);
    return result;
}

int price_table_builtin(struct price_table **out, char error[PRICE_ERROR_BYTES])
{
    return price_table_read(out, "built-in", builtin_text, sizeof(builtin_text) - 1, error);
}

void price_table_free(struct price_table *table)
{
    if (!table)
        return;
    free(table->name);
    free(table->text);
    free(table->entries);
    free(table->cells);
    free(table->factors);
    free(table->windows);
    free(table->index);
    free(table);
}
