/* retain.c: raw rows go when they are old; rollups stay. */
#include <errno.h>

#include "ledger/internal.h"

static bool pinned(void *context, int64_t client_id)
{
    return ledger_session_in_memory(context, client_id);
}

/* Each call looks at the next slice of ids. A slice with nothing to delete ends the round, and the next
 * begins at the lowest id again. */
static int expire(struct ledger *ledger, int64_t before)
{
    int gone = store_usage_expire(ledger->store, before, &ledger->retain_usage_cursor);
    if (gone)
        return gone < 0 ? gone : 1;
    gone = store_label_expire(ledger->store, ledger->retain_usage_cursor, &ledger->retain_label_cursor);
    if (gone)
        return gone;
    ledger->retain_usage_cursor = 0;
    ledger->retain_label_cursor = 0;
    gone = store_client_expire(ledger->store, before, &ledger->retain_client_cursor, pinned, ledger);
    if (gone > 0) {
        int result = store_log_expire(ledger->store, before);
        return result ? result : 1;
    }
    if (gone)
        return gone;
    ledger->retain_client_cursor = 0;
    return 0;
}

void ledger_set_retention(struct ledger *ledger, int64_t retention_ns)
{
    ledger->options.retention_ns = retention_ns;
}

int ledger_retain(struct ledger *ledger, int64_t now_unix_ns)
{
    if (ledger->in_transaction)
        return ledger_say(ledger, EINVAL, "retention is asked for within a transaction");
    if (ledger->options.retention_ns <= 0 || now_unix_ns <= ledger->options.retention_ns)
        return 0;
    int result = ledger_begin(ledger);
    if (result)
        return result;
    int more = expire(ledger, now_unix_ns - ledger->options.retention_ns);
    result = more < 0 ? more : ledger_commit(ledger);
    if (result)
        ledger_abandon(ledger);
    return result ? result : more;
}
