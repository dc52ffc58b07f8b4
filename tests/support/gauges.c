#include "test.h"

#include "support/gauges.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <tally/abi.h>

#define READINGS_A_SECOND 4
#define LOOKS_A_READING   25 /* at lane 0: a delay is known to a hundredth of a second */

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- one process's ----------------------------------------------------------------------- */

/* The number after a word at the beginning of a line of a /proc file. */
static double proc_number(pid_t process, const char *name, const char *word)
{
    char path[64];
    char line[200];
    double value = -1;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)process, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        fail_msg("the agent is gone: there is no %s", path);
    while (file != NULL && value < 0 && fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, word, strlen(word)) == 0)
            value = strtod(line + strlen(word), NULL);
    if (file != NULL)
        fclose(file);
    assert_true(value >= 0);
    return value;
}

static double count_descriptors(pid_t process)
{
    char path[64];
    double count = 0;
    const struct dirent *entry;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)process);
    DIR *listing = opendir(path);
    assert_non_null(listing);
    while ((entry = readdir(listing)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(listing);
    return count;
}

/* ---- files ----------------------------------------------------------------------------------- */

static double allocated(const char *folder, const char *name)
{
    char path[ROOM_PATH_MAX * 4];
    struct stat info;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return stat(path, &info) == 0 ? (double)info.st_blocks * 512 : 0;
}

static double allocated_in(const char *folder, const char *part)
{
    const struct dirent *entry;
    double sum = 0;
    DIR *listing = opendir(folder);

    while (listing != NULL && (entry = readdir(listing)) != NULL)
        if (entry->d_name[0] != '.' && strstr(entry->d_name, part) != NULL)
            sum += allocated(folder, entry->d_name);
    if (listing != NULL)
        closedir(listing);
    return sum;
}

/* ---- arena and board ----------------------------------------------------------------------------- */

struct shared {
    int arena, board;
    struct tally_arena_header header;
};

static void open_shared(struct shared *shared, const struct room *room)
{
    char path[ROOM_PATH_MAX];

    snprintf(path, sizeof(path), "%s.board", room->arena_path);
    shared->arena = open(room->arena_path, O_RDONLY | O_CLOEXEC);
    shared->board = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(shared->arena >= 0 && shared->board >= 0);
    assert_int_equal(pread(shared->arena, &shared->header, sizeof(shared->header), 0),
                     sizeof(shared->header));
    assert_true(tally_arena_header_sound(&shared->header));
}

static void close_shared(struct shared *shared)
{
    close(shared->arena);
    close(shared->board);
}

static uint64_t lane_tail(const struct shared *shared, uint32_t lane)
{
    struct tally_lane_header header;

    assert_int_equal(pread(shared->arena, &header, sizeof(header),
                           (off_t)(tally_lane_offset(&shared->header, lane) + shared->header.ring_bytes)),
                     sizeof(header));
    return header.tail;
}

static uint64_t lane_durable(const struct shared *shared, uint32_t lane)
{
    struct tally_board_lane entry;

    assert_int_equal(
        pread(shared->board, &entry, sizeof(entry), (off_t)(TALLY_BOARD_LANES_OFFSET + lane * sizeof(entry))),
        sizeof(entry));
    return entry.position;
}

static double bytes_waiting(const struct shared *shared)
{
    struct tally_lane_entry entries[TALLY_LANE_COUNT_MAX];
    size_t bytes = shared->header.lane_count * sizeof(*entries);
    double sum = 0;

    assert_int_equal(pread(shared->arena, entries, bytes, TALLY_LANE_TABLE_OFFSET), bytes);
    for (uint32_t lane = 0; lane < shared->header.lane_count; lane++) {
        if (entries[lane].tenures == 0)
            continue;
        /* durable first: it is never more than the tail read after it */
        uint64_t durable = lane_durable(shared, lane);
        sum += (double)(lane_tail(shared, lane) - durable);
    }
    return sum;
}

/* From now until what has just been published on lane 0 is durable: one delay at a time. */
struct delay {
    uint64_t tail; /* what is waited for; 0: nothing */
    double since, last_ms;
};

static void look_at_delay(struct delay *delay, const struct shared *shared)
{
    double now = seconds_now();

    if (delay->tail != 0 && lane_durable(shared, 0) >= delay->tail) {
        delay->last_ms = (now - delay->since) * 1000;
        delay->tail = 0;
    }
    if (delay->tail == 0) {
        uint64_t tail = lane_tail(shared, 0);
        if (tail > lane_durable(shared, 0)) {
            delay->tail = tail;
            delay->since = now;
        }
    }
}

/* ---- readings ------------------------------------------------------------------------------------ */

static struct gauge *new_gauge(struct gauges *gauges)
{
    if (gauges->count == gauges->room) {
        gauges->room = gauges->room ? gauges->room * 2 : 256;
        gauges->list = realloc(gauges->list, gauges->room * sizeof(*gauges->list));
        assert_non_null(gauges->list);
    }
    memset(&gauges->list[gauges->count], 0, sizeof(*gauges->list));
    return &gauges->list[gauges->count++];
}

/* Records that were acknowledged within the time a row is kept, up to now. */
static double count_young(const struct gauges *gauges)
{
    const struct gauge *last = &gauges->list[gauges->count - 1];

    for (size_t i = gauges->count; i-- > 0;)
        if (last->at_s - gauges->list[i].at_s >= gauges->kept_s)
            return last->acknowledged - gauges->list[i].acknowledged;
    return last->acknowledged;
}

static void read_gauge(struct gauges *gauges, const struct room *room, pid_t agent,
                       const struct shared *shared)
{
    static const char *const spill_folders[] = {"state/spill", "home/tally/spill"};
    char board[ROOM_PATH_MAX];
    struct gauge *gauge = new_gauge(gauges);

    snprintf(board, sizeof(board), "%s.board", room->arena + 1);
    gauge->memory = proc_number(agent, "smaps_rollup", "Pss:") * 1024;
    gauge->threads = proc_number(agent, "status", "Threads:");
    gauge->descriptors = count_descriptors(agent);
    gauge->database = allocated(room->state, "usage.db");
    gauge->log = allocated(room->state, "usage.db-wal") + allocated(room->state, "usage.db-shm");
    gauge->shared_memory = allocated("/dev/shm", room->arena + 1) + allocated("/dev/shm", board);
    for (size_t i = 0; i < 2; i++) {
        char folder[ROOM_PATH_MAX * 2];
        snprintf(folder, sizeof(folder), "%s/%s", room->directory, spill_folders[i]);
        gauge->spill += allocated_in(folder, ".spill");
    }
    gauge->waiting = bytes_waiting(shared);
    /* ids have no gaps, and old rows go from the lowest: quicker than to count them */
    gauge->rows = (double)books_number(room, "SELECT max(id) - min(id) + 1 FROM usage");
    gauge->most_rows = gauge->rows;
    if (gauges->count > 1 && gauge[-1].most_rows > gauge->rows)
        gauge->most_rows = gauge[-1].most_rows;
    gauge->acknowledged = (double)(room_acknowledged(room) + atomic_load(&room->counters->values[3]));
}

void gauges_read(struct gauges *gauges, const struct room *room, pid_t agent, double seconds)
{
    const double pause_s = 1.0 / READINGS_A_SECOND / LOOKS_A_READING;
    double start = seconds_now();
    double origin = gauges->count ? start - gauges->list[gauges->count - 1].at_s : start;
    struct delay delay = {0};
    struct shared shared;

    open_shared(&shared, room);
    while (seconds_now() - start < seconds) {
        for (int i = 0; i < LOOKS_A_READING; i++) {
            look_at_delay(&delay, &shared);
            nanosleep(&(struct timespec){0, (long)(pause_s * 1e9)}, NULL);
        }
        read_gauge(gauges, room, agent, &shared);
        struct gauge *gauge = &gauges->list[gauges->count - 1];
        double late_ms = delay.tail ? (seconds_now() - delay.since) * 1000 : 0;
        gauge->at_s = seconds_now() - origin;
        gauge->delay_ms = late_ms > delay.last_ms ? late_ms : delay.last_ms;
        gauge->young = count_young(gauges);
    }
    close_shared(&shared);
}

void gauges_free(struct gauges *gauges)
{
    free(gauges->list);
    gauges->list = NULL;
    gauges->count = gauges->room = 0;
}

/* ---- judging --------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double first = *(const double *)a;
    double second = *(const double *)b;

    return first < second ? -1 : first > second;
}

static double figure(const struct gauge *from, size_t count, const struct gauge_rule *rule)
{
    double *values = calloc(count ? count : 1, sizeof(*values));

    assert_non_null(values);
    for (size_t i = 0; i < count; i++) {
        double divisor;
        memcpy(&values[i], (const char *)&from[i] + rule->field, sizeof(*values));
        memcpy(&divisor, (const char *)&from[i] + rule->divisor, sizeof(divisor));
        if (rule->divisor != rule->field)
            values[i] /= divisor > 1 ? divisor : 1;
    }
    qsort(values, count, sizeof(*values), compare);
    double value = count == 0 ? 0 : values[rule->sort == GAUGE_GREATEST ? count - 1 : count / 2];
    free(values);
    return value;
}

bool gauges_flat(const struct gauges *gauges, double warm_s, const struct gauge_rule *rule)
{
    size_t first = 0;
    double thirds[3];

    while (first < gauges->count && gauges->list[first].at_s < warm_s)
        first++;
    size_t third = (gauges->count - first) / 3;
    assert_true(third >= 4);
    for (size_t i = 0; i < 3; i++)
        thirds[i] = figure(&gauges->list[first + i * third], third, rule);
    double most = thirds[0] * rule->factor + rule->constant;
    bool flat = thirds[2] <= most;
    printf("# note: %-24s %8.1f %8.1f %8.1f %s (%s of each third; the last may be %.1f)%s\n", rule->name,
           thirds[0] / rule->unit_size, thirds[1] / rule->unit_size, thirds[2] / rule->unit_size, rule->unit,
           rule->sort == GAUGE_GREATEST ? "most" : "median", most / rule->unit_size,
           flat ? "" : ": NOT FLAT");
    return flat;
}
