/* lanes.c: the rings as they are this moment: who owns them, what waits in them. */
#include "arena_scan.h"
#include "command.h"
#include "document.h"
#include "identity.h"
#include "robust.h"
#include "spill_scan.h"
#include "state.h"
#include "table.h"

#include <inttypes.h>
#include <linux/futex.h>
#include <stdio.h>
#include <unistd.h>

static const char help[] =
    "Usage: tally lanes [--all] [--arena NAME]... [--format table|json|csv]\n"
    "\n"
    "The rings in shared memory as they are now. Needs no agent and no database.\n"
    "\n"
    "  --all            also lanes that nobody owns and in which nothing waits\n"
    "  --arena NAME     look at this arena instead of TALLY_ARENA or the default; may\n"
    "                   be repeated\n"
    "  --format FORMAT  table (default), json or csv; --json is --format json\n"
    "\n"
    "OWNER is held, died (marked by the kernel; its records are kept) or free.\n"
    "RECORDS counts all that the lane has taken, WAITING those that are not on disk\n"
    "yet. CLEAN says whether the last owner published its final sequence number and\n"
    "has recorded nothing since.\n";

enum { OPTION_ALL = OPTION_OWN };

enum column {
    COLUMN_ARENA,
    COLUMN_LANE,
    COLUMN_OWNER,
    COLUMN_PID,
    COLUMN_TID,
    COLUMN_ALIVE,
    COLUMN_RECORDS,
    COLUMN_WAITING,
    COLUMN_BYTES,
    COLUMN_FULL,
    COLUMN_CLEAN,
    COLUMN_REFUSED,
    COLUMN_TENURES,
    COLUMN_STATE
};

/* clang-format off */
static const struct table_column columns[] = {
    [COLUMN_ARENA]   = {"arena", "ARENA", TABLE_SHRINK, 9},
    [COLUMN_LANE]    = {"lane", "LANE", TABLE_RIGHT, 0},
    [COLUMN_OWNER]   = {"owner", "OWNER", 0, 0},
    [COLUMN_PID]     = {"pid", "PID", TABLE_RIGHT, 0},
    [COLUMN_TID]     = {"tid", "TID", TABLE_RIGHT, 5},
    [COLUMN_ALIVE]   = {"alive", "ALIVE", 0, 0},
    [COLUMN_RECORDS] = {"records", "RECORDS", TABLE_RIGHT, 0},
    [COLUMN_WAITING] = {"waiting", "WAITING", TABLE_RIGHT, 0},
    [COLUMN_BYTES]   = {"waiting_bytes", "BYTES", TABLE_RIGHT, 4},
    [COLUMN_FULL]    = {"used_percent", "FULL", TABLE_RIGHT, 6},
    [COLUMN_CLEAN]   = {"clean", "CLEAN", 0, 7},
    [COLUMN_REFUSED] = {"refused", "REFUSED", TABLE_RIGHT, 3},
    [COLUMN_TENURES] = {"tenures", "TENURES", TABLE_RIGHT, 8},
    [COLUMN_STATE]   = {"state", "STATE", 0, 2},
};
/* clang-format on */

static void fill_owner(struct table *table, const struct lane_scan *lane, uint64_t own_namespace)
{
    const struct lane_head *look = &lane->look;
    bool died = (look->owner & FUTEX_OWNER_DIED) != 0;

    table_text(table, COLUMN_OWNER, died ? "died" : look->owner != 0 ? "held" : "free");
    if (look->identity.pid != 0) {
        table_integer(table, COLUMN_PID, look->identity.pid);
        table_integer(table, COLUMN_TID, look->identity.tid);
    }
    /* From another pid namespace, or without /proc, one cannot tell. */
    if (died || look->owner == 0 || identity_gone(&look->identity, own_namespace))
        table_bool(table, COLUMN_ALIVE, false);
    else if (own_namespace != 0 && look->identity.pid_namespace == own_namespace)
        table_bool(table, COLUMN_ALIVE, true);
    else
        table_show(table, COLUMN_ALIVE, "?");
    if (look->owner == 0)
        table_show(table, COLUMN_ALIVE, "-");
}

static void fill_records(struct table *table, const struct arena_scan *scan, const struct lane_scan *lane)
{
    const struct lane_head *look = &lane->look;
    char text[NUMBER_BYTES];

    if (lane->trouble != NULL) {
        table_text(table, COLUMN_STATE, lane->trouble);
        return;
    }
    uint64_t bytes = look->tail - lane->durable.position;
    table_integer(table, COLUMN_RECORDS, look->sequence);
    table_integer(table, COLUMN_WAITING, (wide_t)look->sequence - lane->durable.sequence);
    table_integer(table, COLUMN_BYTES, bytes);
    table_show(table, COLUMN_BYTES, "%s", bytes_text(bytes, text));
    table_integer(table, COLUMN_FULL, (wide_t)bytes * 100 / scan->reader.header.ring_bytes);
    table_show(table, COLUMN_FULL, "%d%%", (int)((wide_t)bytes * 100 / scan->reader.header.ring_bytes));
    table_bool(table, COLUMN_CLEAN, look->final_sequence == look->sequence && look->sequence != 0);
    table_integer(table, COLUMN_REFUSED, look->refused_full);
    table_integer(table, COLUMN_TENURES, lane->tenures);
    table_text(table, COLUMN_STATE, "ok");
}

static void fill(struct table *table, const struct arena_scan *scan, bool all)
{
    uint64_t own_namespace = identity_pid_namespace();

    for (size_t i = 0; i < scan->lane_count; i++) {
        const struct lane_scan *lane = &scan->lanes[i];
        bool idle = robust_free(lane->look.owner) && lane->look.tail == lane->durable.position;
        if (idle && !all && lane->trouble == NULL)
            continue;
        table_row(table);
        table_text(table, COLUMN_ARENA, scan->path);
        table_integer(table, COLUMN_LANE, lane->lane);
        fill_owner(table, lane, own_namespace);
        fill_records(table, scan, lane);
    }
}

static const char *agent_words(const struct arena_scan *scan)
{
    switch (scan->agent) {
    case AGENT_RUNNING:
        return "an agent runs";
    case AGENT_NONE:
        return "no agent runs";
    default:
        return "whether an agent runs cannot be seen by you";
    }
}

static void print_summary(const struct arena_scan *scan)
{
    printf("%s: %u lanes, %zu ever used, %zu held, %zu damaged; %s.\n", scan->path,
           scan->reader.header.lane_count, scan->lane_count, scan->held, scan->damaged, agent_words(scan));
}

static cJSON *json_arena(const struct arena_scan *scan)
{
    static const char *const agents[] = {NULL, "none", "running"};
    cJSON *arena = document_object();

    document_text(arena, "path", scan->path);
    document_integer(arena, "lanes", scan->reader.header.lane_count);
    document_integer(arena, "ring_bytes", scan->reader.header.ring_bytes);
    document_integer(arena, "used", (wide_t)scan->lane_count);
    document_integer(arena, "held", (wide_t)scan->held);
    document_integer(arena, "damaged", (wide_t)scan->damaged);
    document_bool(arena, "board", scan->board_there);
    document_text(arena, "agent", agents[scan->agent]);
    document_integer(arena, "refused_no_lane", scan->refused[TALLY_REFUSED_NO_LANE]);
    document_integer(arena, "refused_reentered", scan->refused[TALLY_REFUSED_REENTERED]);
    document_integer(arena, "refused_no_spill", scan->refused[TALLY_REFUSED_SPILL]);
    return arena;
}

struct lanes_output {
    struct table *table;
    cJSON *arenas;
    bool all;
    enum format format;
};

static int look_at(const char *path, struct lanes_output *output)
{
    struct arena_scan scan;
    int status = EXIT_SUCCESS;
    int error = arena_scan(&scan, path);

    if (error != 0) {
        status = complain("%s %s", path, arena_scan_error(error));
    } else {
        fill(output->table, &scan, output->all);
        document_append(output->arenas, json_arena(&scan));
        if (output->format == FORMAT_TABLE)
            print_summary(&scan);
    }
    arena_scan_free(&scan);
    return status;
}

/* What did not fit in lanes. */
static void print_spill(const struct lanes_output *output, cJSON *document)
{
    char *directory = state_directory(NULL);
    struct spill_scan scan;
    char size[NUMBER_BYTES];

    if (directory == NULL)
        return;
    spill_scan(&scan, directory, "");
    if (document != NULL) {
        cJSON *spill = document_object();
        document_integer(spill, "files", (wide_t)scan.files);
        document_integer(spill, "bytes", (wide_t)scan.bytes);
        document_item(document, "spill", spill);
    } else if (scan.files != 0 && output->format == FORMAT_TABLE) {
        printf("\n%" PRIu64 " spill file%s, %s, wait%s for an agent.\n", scan.files,
               scan.files == 1 ? "" : "s", bytes_text(scan.bytes, size), scan.files == 1 ? "s" : "");
    }
    spill_scan_free(&scan);
    free(directory);
}

static int print(struct lanes_output *output)
{
    if (output->format == FORMAT_CSV) {
        table_csv_heading(output->table, stdout);
        table_csv(output->table, stdout, isatty(STDOUT_FILENO));
    } else if (output->format == FORMAT_JSON) {
        cJSON *document = document_new("lanes", 1);
        document_item(document, "arenas", output->arenas);
        document_item(document, "lanes", table_json(output->table));
        print_spill(output, document);
        document_print(document);
        output->arenas = NULL;
    } else if (table_rows(output->table) != 0) {
        putchar('\n');
        table_print_here(output->table);
    } else {
        puts("No lane is held, and nothing waits in one.");
    }
    if (output->format == FORMAT_TABLE)
        print_spill(output, NULL);
    return EXIT_SUCCESS;
}

int lanes_command(int argc, char **argv)
{
    static const struct option longs[] = {
        {"all", no_argument, NULL, OPTION_ALL}, COMMON_ARENA, COMMON_FORMAT, COMMON_HELP, COMMON_END,
    };
    struct common common = {0};
    struct lanes_output output = {0};
    char *paths[ARENAS_MAX];
    int status = EXIT_SUCCESS;
    int code;

    while ((code = option_next(argc, argv, "a", longs, help, &common, &status)) >= 0)
        output.all = true;
    if (code == OPTIONS_EXIT || (status = no_more_arguments(argc, argv)) != EXIT_SUCCESS)
        return status;
    int count = arena_paths(&common, paths);
    if (count < 0)
        return EXIT_MISUSE;
    output.table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
    output.arenas = document_array();
    output.format = common.format;
    for (int i = 0; i < count; i++) {
        if (look_at(paths[i], &output) != EXIT_SUCCESS)
            status = EXIT_PROBLEM;
        free(paths[i]);
    }
    if (status == EXIT_SUCCESS)
        print(&output);
    cJSON_Delete(output.arenas);
    table_free(output.table);
    return status;
}
