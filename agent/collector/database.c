/* database.c: the ledger's database, and what is done when it is damaged.
 *
 * A new database knows nothing, and the board says how far its predecessor was: the same as after a backup has been
 * put back (drain.c). What the rings still hold is read again, the rest is counted as lost to
 * "database_restored"; it is in the file that was set aside. */
#include "collector/state.h"

#include "log/log.h"
#include "store/store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A check that found nothing is not made again soon: it takes long, and would find nothing again. */
#define CHECK_AGAIN_NS (3600 * SECOND_NS)

static int open_ledger(struct collector *collector, char error[COLLECTOR_ERROR_BYTES])
{
    struct ledger_options options = {.state_directory = collector->config->state_directory,
                                     .prices = collector->prices,
                                     .retention_ns = collector->config->retention_s * SECOND_NS};
    int result = ledger_open(&collector->ledger, &options);
    if (result)
        snprintf(error, COLLECTOR_ERROR_BYTES, "%s",
                 collector->ledger ? ledger_error(collector->ledger) : strerror(-result));
    return result;
}

/* The ledger is closed, and error[] says why. 0: the database has been set aside; -EUCLEAN: it is sound. */
static int set_aside(struct collector *collector, char error[COLLECTOR_ERROR_BYTES])
{
    char name[STORE_ASIDE_NAME_MAX];
    const char *folder = collector->config->state_directory;
    log_line(LOG_WARNING, "%s", error);
    log_line(LOG_WARNING, "checking all of the database, since it seems to be damaged");
    int damaged = store_damaged(folder);
    if (damaged <= 0)
        return damaged ? damaged : -EUCLEAN;
    int result = store_set_aside(folder, name);
    if (result) {
        snprintf(error, COLLECTOR_ERROR_BYTES,
                 "the database in %.400s is damaged and cannot be set aside: %s; move " STORE_FILE
                 " away or put a backup in its place",
                 folder, strerror(-result));
        return result;
    }
    log_line(LOG_FATAL,
             "the database was damaged: it has been set aside as %s/%s, and a new one is begun; get back "
             "what is in it "
             "with sqlite3's .recover, or stop the agent and put a backup in its place",
             folder, name);
    return 0;
}

int database_open(struct collector *collector, char error[COLLECTOR_ERROR_BYTES])
{
    int result = open_ledger(collector, error);
    if (result != -EUCLEAN)
        return result;
    ledger_close(collector->ledger);
    collector->ledger = NULL;
    result = set_aside(collector, error);
    return result ? result : open_ledger(collector, error);
}

int database_replace(struct collector *collector, char error[COLLECTOR_ERROR_BYTES])
{
    int64_t now = clock_now(CLOCK_MONOTONIC);
    if (collector->checked_ns && now - collector->checked_ns < CHECK_AGAIN_NS)
        return 1;
    collector->checked_ns = now;
    snprintf(error, COLLECTOR_ERROR_BYTES, "%s", ledger_error(collector->ledger));
    for (struct served *served = collector->served; served; served = served->next)
        serve_unbind(collector, served);
    ledger_close(collector->ledger);
    collector->ledger = NULL;
    int kept = set_aside(collector, error);
    /* Sound, or nobody knows: then the old one is opened again, as a new agent would. */
    int result = open_ledger(collector, error);
    for (struct served *served = collector->served; !result && served; served = served->next) {
        result = serve_bind_again(collector, served);
        if (result)
            snprintf(error, COLLECTOR_ERROR_BYTES, "%s", ledger_error(collector->ledger));
    }
    if (result)
        return result;
    error[0] = '\0';
    return kept ? 1 : 0;
}
