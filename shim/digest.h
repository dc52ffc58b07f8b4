/* digest.h: SHA-256, as hex digits: of a price list, so that a row says by content which one priced it (compare with sha256sum(1)); of an API
 * key, so that a fingerprint of it can be kept and not the key. No allocation, no state. */
#ifndef TALLY_SHIM_DIGEST_H
#define TALLY_SHIM_DIGEST_H

#include <stddef.h>

#define DIGEST_TEXT_BYTES 65

/* 64 hex digits and a NUL. */
void digest_sha256(const void *data, size_t length, char out[DIGEST_TEXT_BYTES]);

#endif
