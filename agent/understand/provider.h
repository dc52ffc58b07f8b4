/* provider.h: whose API it was, where the client did not say. */
#ifndef TALLY_UNDERSTAND_PROVIDER_H
#define TALLY_UNDERSTAND_PROVIDER_H

#include <stdbool.h>

#include "understand/understand.h"

/* OpenTelemetry's name, by the server's; NULL: cannot be told. */
const char *provider_of_host(struct text host);
/* Whether Google's models answered, by whatever API. */
bool provider_is_google(const struct understand_hints *hints);
/* Whether a text has this in it, in any case of letters. */
bool text_has(struct text text, const char *part);
bool text_is(struct text text, const char *whole);

#endif
