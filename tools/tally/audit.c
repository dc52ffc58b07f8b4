/* audit.c: the proof that every record is accounted for, for people and for programs. */
#include "audit_data.h"
#include "command.h"
#include "document.h"
#include "output.h"
#include "text.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: tally audit [--quiet] [--arena NAME]... [--state-dir DIR] [--json]\n"
    "\n"
    "For each lane, each spill log and each client: records written, persisted,\n"
    "waiting in shared memory or in a spill file, and lost, by cause. Exit status 1\n"
    "if any record is unaccounted for, or if a lane cannot be trusted.\n"
    "\n"
    "  -q, --quiet      the summary alone\n"
    "  --arena NAME     look at this arena too, whether or not the database knows it;\n"
    "                   may be repeated\n"
    "  --state-dir DIR  where usage.db is\n"
    "  --json           as JSON: written, persisted, waiting, lost, unaccounted,\n"
    "                   lanes, clients, losses\n"
    "\n"
    "written = persisted + waiting + lost + unaccounted. Lost records are those that\n"
    "were refused with an error (lane_full, no_lane, no_spill, reentered) and those\n"
    "that could not be read any more.\n";

enum lane_column {
    LANE_ARENA,
    LANE_LANE,
    LANE_WRITTEN,
    LANE_PERSISTED,
    LANE_WAITING,
    LANE_LOST,
    LANE_UNACCOUNTED,
    LANE_TWICE,
    LANE_QUARANTINES,
    LANE_STATE
};

/* clang-format off */
#define SUMS(base) \
    [(base)]     = {"written", "WRITTEN", TABLE_RIGHT, 0}, \
    [(base) + 1] = {"persisted", "PERSISTED", TABLE_RIGHT, 0}, \
    [(base) + 2] = {"waiting", "WAITING", TABLE_RIGHT, 0}, \
    [(base) + 3] = {"lost", "LOST", TABLE_RIGHT, 0}, \
    [(base) + 4] = {"unaccounted", "UNACCOUNTED", TABLE_RIGHT, 0}, \
    [(base) + 5] = {"counted_twice", "", TABLE_DATA, 0}

static const struct table_column lane_columns[] = {
    [LANE_ARENA]       = {"arena", "ARENA", TABLE_SHRINK, 1},
    [LANE_LANE]        = {"lane", "LANE", TABLE_RIGHT, 0},
    SUMS(LANE_WRITTEN),
    [LANE_QUARANTINES] = {"quarantines", "", TABLE_DATA, 0},
    [LANE_STATE]       = {"state", "STATE", 0, 0},
};

enum client_column {
    CLIENT_ID, CLIENT_SESSION, CLIENT_SERVICE, CLIENT_HOST, CLIENT_PID, CLIENT_STATE, CLIENT_COMPLETE,
    CLIENT_WRITTEN, CLIENT_PERSISTED, CLIENT_WAITING, CLIENT_LOST, CLIENT_UNACCOUNTED, CLIENT_TWICE
};

static const struct table_column client_columns[] = {
    [CLIENT_ID]       = {"id", "CLIENT", TABLE_RIGHT, 0},
    [CLIENT_SESSION]  = {"session_id", "", TABLE_DATA, 0},
    [CLIENT_SERVICE]  = {"service", "SERVICE", TABLE_SHRINK, 1},
    [CLIENT_HOST]     = {"host", "", TABLE_DATA, 0},
    [CLIENT_PID]      = {"pid", "PID", TABLE_RIGHT, 0},
    [CLIENT_STATE]    = {"state", "STATE", 0, 0},
    [CLIENT_COMPLETE] = {"complete", "COMPLETE", 0, 2},
    SUMS(CLIENT_WRITTEN),
};

enum loss_column {
    LOSS_CAUSE, LOSS_RECORDS, LOSS_NUMBERED, LOSS_ARENA, LOSS_LANE, LOSS_CLIENT, LOSS_FIRST, LOSS_LAST,
    LOSS_DETAIL
};

static const struct table_column loss_columns[] = {
    [LOSS_CAUSE]    = {"cause", "LOST TO", 0, 0},
    [LOSS_RECORDS]  = {"records", "RECORDS", TABLE_RIGHT, 0},
    [LOSS_NUMBERED] = {"numbered", "", TABLE_DATA, 0},
    [LOSS_ARENA]    = {"arena", "", TABLE_DATA, 0},
    [LOSS_LANE]     = {"lane", "LANE", TABLE_RIGHT, 0},
    [LOSS_CLIENT]   = {"client_id", "CLIENT", TABLE_RIGHT, 0},
    [LOSS_FIRST]    = {"first", "FIRST", 0, 1},
    [LOSS_LAST]     = {"last", "LAST", 0, 0},
    [LOSS_DETAIL]   = {"detail", "DETAIL", TABLE_SHRINK, 0},
};
/* clang-format on */

#define TABLE_OF(columns) table_new(columns, sizeof(columns) / sizeof((columns)[0]))

struct audit_tables {
    struct table *lanes;
    struct table *clients;
    struct table *losses;
};

static void fill_sums(struct table *table, size_t at, const struct audit_sums *sums)
{
    char unaccounted[NUMBER_BYTES];
    char twice[NUMBER_BYTES];

    table_integer(table, at, sums->written);
    table_integer(table, at + 1, sums->persisted);
    table_integer(table, at + 2, sums->waiting);
    table_integer(table, at + 3, sums->lost);
    table_integer(table, at + 4, sums->unaccounted);
    table_integer(table, at + 5, sums->twice);
    if (sums->twice != 0)
        table_show(table, at + 4, "%s (%s twice)", number_text(sums->unaccounted, unaccounted),
                   number_text(sums->twice, twice));
}

static struct table *lanes_table(const struct audit *audit)
{
    static const char *const states[] = {"ok", "arena gone", "damaged"};
    struct table *table = TABLE_OF(lane_columns);

    for (size_t i = 0; i < audit->lane_count; i++) {
        const struct audit_lane *lane = &audit->lanes[i];
        if (lane->sums.written == 0 && lane->state != LANE_DAMAGED)
            continue;
        table_row(table);
        table_text(table, LANE_ARENA, audit->arenas[lane->arena].path);
        table_integer(table, LANE_LANE, lane->lane);
        fill_sums(table, LANE_WRITTEN, &lane->sums);
        table_integer(table, LANE_QUARANTINES, lane->quarantines);
        table_text(table, LANE_STATE, states[lane->state]);
        if (lane->trouble != NULL)
            table_text(table, LANE_STATE, lane->trouble);
    }
    return table;
}

static struct table *clients_table(const struct audit *audit)
{
    struct table *table = TABLE_OF(client_columns);

    for (size_t i = 0; i < audit->client_count; i++) {
        const struct audit_client *client = &audit->clients[i];
        table_row(table);
        table_integer(table, CLIENT_ID, client->id);
        table_text(table, CLIENT_SESSION, client->session);
        table_text(table, CLIENT_SERVICE, client->service);
        table_text(table, CLIENT_HOST, client->host);
        table_integer(table, CLIENT_PID, client->pid);
        table_text(table, CLIENT_STATE, client->state);
        table_bool(table, CLIENT_COMPLETE, client->complete);
        fill_sums(table, CLIENT_WRITTEN, &client->sums);
    }
    return table;
}

static struct table *losses_table(const struct audit *audit)
{
    struct table *table = TABLE_OF(loss_columns);

    for (size_t i = 0; i < audit->loss_count; i++) {
        const struct audit_loss *loss = &audit->losses[i];
        table_row(table);
        table_text(table, LOSS_CAUSE, loss->cause);
        if (loss->counted)
            table_integer(table, LOSS_RECORDS, loss->records);
        else
            table_show(table, LOSS_RECORDS, "unknown");
        table_bool(table, LOSS_NUMBERED, loss->numbered);
        if (loss->arena != SIZE_MAX)
            table_text(table, LOSS_ARENA, audit->arenas[loss->arena].path);
        if (loss->lane >= 0)
            table_integer(table, LOSS_LANE, loss->lane);
        if (loss->client_id != 0)
            table_integer(table, LOSS_CLIENT, loss->client_id);
        if (loss->first_ns != 0)
            output_time(table, LOSS_FIRST, loss->first_ns);
        if (loss->last_ns != 0)
            output_time(table, LOSS_LAST, loss->last_ns);
        table_text(table, LOSS_DETAIL, loss->detail);
    }
    return table;
}

/* ---- for programs --------------------------------------------------------------------------------------- */

static cJSON *json_arenas(const struct audit *audit)
{
    cJSON *array = document_array();

    for (size_t i = 0; i < audit->arena_count; i++) {
        const struct audit_arena *arena = &audit->arenas[i];
        cJSON *object = document_object();
        document_text(object, "path", arena->path);
        document_bool(object, "known", arena->id != 0);
        document_bool(object, "retired", arena->retired);
        document_bool(object, "there", arena->there);
        document_integer(object, "refused_no_lane", arena->refused[TALLY_REFUSED_NO_LANE]);
        document_integer(object, "refused_reentered", arena->refused[TALLY_REFUSED_REENTERED]);
        document_integer(object, "refused_no_spill", arena->refused[TALLY_REFUSED_SPILL]);
        document_bool(object, "spill", arena->spill_uid >= 0);
        document_append(array, object);
    }
    return array;
}

static void print_json(const struct audit *audit, const struct audit_tables *tables)
{
    cJSON *document = document_new("audit", 1);
    cJSON *problems = document_array();

    document_bool(document, "clean", audit_clean(audit));
    document_integer(document, "written", audit->total.written);
    document_integer(document, "persisted", audit->total.persisted);
    document_integer(document, "waiting", audit->total.waiting);
    document_integer(document, "lost", audit->total.lost);
    document_integer(document, "unaccounted", audit->total.unaccounted);
    document_integer(document, "counted_twice", audit->total.twice);
    document_integer(document, "damaged_lanes", (wide_t)audit->damaged);
    document_bool(document, "lost_unknown", audit->lost_unknown);
    document_item(document, "arenas", json_arenas(audit));
    document_item(document, "lanes", table_json(tables->lanes));
    document_item(document, "clients", table_json(tables->clients));
    document_item(document, "losses", table_json(tables->losses));
    for (size_t i = 0; i < audit->problem_count; i++)
        document_append(problems, document_string(audit->problems[i]));
    document_item(document, "problems", problems);
    document_print(document);
}

/* ---- for people ------------------------------------------------------------------------------------------- */

static void print_one(struct table *table)
{
    if (table_rows(table) == 0)
        return;
    table_print_here(table);
    putchar('\n');
}

/* One cause's losses, all lanes and clients together. */
static void print_cause(const struct audit *audit, size_t first, int width)
{
    const char *cause = audit->losses[first].cause;
    wide_t records = 0;
    bool unknown = false;
    char text[NUMBER_BYTES];

    for (size_t i = 0; i < audit->loss_count; i++) {
        const struct audit_loss *loss = &audit->losses[i];
        if (strcmp(loss->cause, cause) != 0)
            continue;
        if (i < first)
            return; /* said already */
        records += loss->records;
        unknown = unknown || !loss->counted;
    }
    char *safe = text_shown(cause, strlen(cause));
    printf("             %*s  %s%s\n", width, number_text(records, text), safe,
           unknown ? ", and an unknown number" : "");
    free(safe);
}

static void print_sums(const struct audit *audit)
{
    const struct audit_sums *sums = &audit->total;
    char text[NUMBER_BYTES];
    int width = (int)strlen(number_text(sums->written, text));

    printf("written      %*s\n", width, text);
    printf("persisted    %*s\n", width, number_text(sums->persisted, text));
    printf("waiting      %*s\n", width, number_text(sums->waiting, text));
    printf("lost         %*s\n", width, number_text(sums->lost, text));
    for (size_t i = 0; i < audit->loss_count; i++)
        print_cause(audit, i, width);
    printf("unaccounted  %*s\n", width, number_text(sums->unaccounted, text));
    if (sums->twice != 0)
        printf("twice        %*s\n", width, number_text(sums->twice, text));
}

static void print_people(const struct audit *audit, const struct audit_tables *tables, bool quiet)
{
    if (!quiet) {
        print_one(tables->lanes);
        print_one(tables->clients);
        print_one(tables->losses);
    }
    print_sums(audit);
    if (audit->lost_unknown)
        puts("Note: some losses are of unknown size and not in these numbers.");
    if (audit->agent_missing)
        puts("Note: records wait where no agent runs: start tallyd, or run 'tally recover'.");
    if (audit->damaged != 0)
        printf("Note: the live end of %zu lane%s cannot be trusted; what waits in %s is not counted.\n",
               audit->damaged, audit->damaged == 1 ? "" : "s", audit->damaged == 1 ? "it" : "them");
    puts(audit_clean(audit) ? "Every record is accounted for." : "NOT every record is accounted for.");
    for (size_t i = 0; i < audit->problem_count; i++)
        remark("%s", audit->problems[i]);
}

static int run(const struct common *common, struct db *db, bool quiet)
{
    char *paths[ARENAS_MAX];
    struct audit audit;
    int count = arena_paths(common, paths);
    const char *environment = getenv("TALLY_ARENA");
    bool named = common->arena_count != 0 || (environment != NULL && environment[0] != '\0');

    if (count < 0)
        return EXIT_MISUSE;
    int status = audit_read(&audit, db, paths, (size_t)count, named);
    if (status == EXIT_SUCCESS) {
        audit_balance(&audit);
        struct audit_tables tables = {lanes_table(&audit), clients_table(&audit), losses_table(&audit)};
        if (common->format == FORMAT_JSON)
            print_json(&audit, &tables);
        else
            print_people(&audit, &tables, quiet);
        table_free(tables.lanes);
        table_free(tables.clients);
        table_free(tables.losses);
        status = audit_clean(&audit) ? EXIT_SUCCESS : EXIT_PROBLEM;
    }
    audit_free(&audit);
    for (int i = 0; i < count; i++)
        free(paths[i]);
    return status;
}

int audit_command(int argc, char **argv)
{
    static const struct option longs[] = {
        {"quiet", no_argument, NULL, 'q'}, COMMON_ARENA, COMMON_STATE, COMMON_FORMAT, COMMON_HELP, COMMON_END,
    };
    struct common common = {0};
    struct db db;
    bool quiet = false;
    int status = EXIT_SUCCESS;
    int code;

    while ((code = option_next(argc, argv, "q", longs, help, &common, &status)) >= 0)
        quiet = true;
    if (code == OPTIONS_EXIT || (status = no_more_arguments(argc, argv)) != EXIT_SUCCESS ||
        (status = format_without_csv(&common)) != EXIT_SUCCESS)
        return status;
    if (db_open(&db, common.state_directory) != EXIT_SUCCESS)
        return EXIT_PROBLEM;
    status = run(&common, &db, quiet);
    db_close(&db);
    return status;
}
