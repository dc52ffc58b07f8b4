/* utf8.c: see utf8.h. */
#include "ledger/utf8.h"

#include <string.h>

/* The length of the sound sequence that begins here (1 to 4), or minus the length of the
 * broken one's longest sound beginning (at least 1), as Unicode recommends to replace it (3.9, table 3-7). */
static int sequence(const unsigned char *at, uint32_t left)
{
    unsigned char first = at[0];
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    int length;

    if (first >= 0x01 && first <= 0x7f)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        length = 2;
    else if (first >= 0xe0 && first <= 0xef)
        length = 3;
    else if (first >= 0xf0 && first <= 0xf4)
        length = 4;
    else
        return -1;
    if (first == 0xe0)
        low = 0xa0; /* shorter forms exist */
    if (first == 0xed)
        high = 0x9f; /* surrogates */
    if (first == 0xf0)
        low = 0x90;
    if (first == 0xf4)
        high = 0x8f; /* past U+10FFFF */
    for (int i = 1; i < length; i++) {
        if ((uint32_t)i >= left || at[i] < low || at[i] > high)
            return -i;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

/* Eight bytes of plain ASCII without NUL: the usual case by far. */
static bool plain(const char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    uint64_t zeros = (word - UINT64_C(0x0101010101010101)) & ~word;
    return !((word | zeros) & UINT64_C(0x8080808080808080));
}

bool utf8_sound(const char *bytes, uint32_t length)
{
    uint32_t at = 0;
    while (at < length) {
        if (length - at >= 8 && plain(bytes + at)) {
            at += 8;
            continue;
        }
        int step = sequence((const unsigned char *)bytes + at, length - at);
        if (step < 0)
            return false;
        at += (uint32_t)step;
    }
    return true;
}

uint32_t utf8_mend(const char *bytes, uint32_t length, char *out)
{
    uint32_t at = 0;
    uint32_t used = 0;
    while (at < length) {
        int step = sequence((const unsigned char *)bytes + at, length - at);
        if (step > 0) {
            memcpy(out + used, bytes + at, (size_t)step);
            used += (uint32_t)step;
            at += (uint32_t)step;
        } else {
            memcpy(out + used, "\xef\xbf\xbd", 3);
            used += 3;
            at += (uint32_t)-step;
        }
    }
    return used;
}
