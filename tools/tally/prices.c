#include "prices.h"
#include "command.h"

struct price_table *prices_load(const char *path)
{
    char error[PRICE_ERROR_BYTES];
    struct price_table *prices;

    if ((path != NULL ? price_table_load(&prices, path, error) : price_table_builtin(&prices, error)) == 0)
        return prices;
    complain("%s", error);
    return NULL;
}
