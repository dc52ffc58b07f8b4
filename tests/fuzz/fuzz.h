/* fuzz.h: what the fuzz targets share. A target takes one input, does with it what the program does
 * with shared memory, and aborts where something holds no more that must hold whatever the input is.
 *
 * One thread. A target keeps its files in a folder of its own in TMPDIR, which tests/fuzz/run.sh removes.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUZZ_LANES 4

/* What libFuzzer calls. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define fuzz_expect(condition)                                                                               \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                   \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

/* The next bytes of the input; zeros where it has come to its end. */
static inline void fuzz_take(struct fuzz_input *input, void *out, size_t bytes)
{
    size_t there = bytes < input->left ? bytes : input->left;
    memset(out, 0, bytes);
    if (there)
        memcpy(out, input->at, there);
    input->at += there;
    input->left -= there;
}

static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
    uint8_t byte;
    fuzz_take(input, &byte, 1);
    return byte;
}

static inline void fuzz_folder(char *out, size_t bytes)
{
    const char *temporary = getenv("TMPDIR");
    snprintf(out, bytes, "%s/fuzz-XXXXXX", temporary ? temporary : "/tmp");
    fuzz_expect(mkdtemp(out));
}

#endif
