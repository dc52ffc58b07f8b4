/* digest.h: SHA-256 of a price list, so that a row's prices can be told apart by content, and compared with sha256sum(1). */
#ifndef TALLY_PRICE_DIGEST_H
#define TALLY_PRICE_DIGEST_H

#include <stddef.h>

#define DIGEST_TEXT_BYTES 65

/* 64 hex digits and a NUL. */
void digest_sha256(const void *data, size_t length, char out[DIGEST_TEXT_BYTES]);

#endif
