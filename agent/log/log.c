#include "log/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_BYTES     1024
#define LOG_GATES          64
#define LOG_GATE_LINES_MAX 3
#define LOG_GATE_SECONDS   60

struct log_gate {
    uint64_t key; /* 0: free */
    time_t since; /* monotonic seconds */
    unsigned int lines;
    unsigned int left_out;
};

static struct {
    pthread_mutex_t mutex;
    struct log_gate gates[LOG_GATES];
} logger = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void print_line(enum log_priority priority, unsigned int left_out, const char *format,
                       va_list arguments)
{
    char line[LOG_LINE_BYTES];
    int length = getenv("JOURNAL_STREAM") ? snprintf(line, sizeof line, "<%d>", priority)
                                          : snprintf(line, sizeof line, "tallyd: ");
    size_t used = (size_t)length;

    length = vsnprintf(line + used, sizeof line - used, format, arguments);
    if (length > 0)
        used += (size_t)length;
    if (used < sizeof line && left_out) {
        length = snprintf(line + used, sizeof line - used, " (and %u times more)", left_out);
        used += length > 0 ? (size_t)length : 0;
    }
    if (used > sizeof line - 2)
        used = sizeof line - 2;
    for (size_t i = 0; i < used; i++) {
        unsigned char c = (unsigned char)line[i];
        if (c < 0x20 || c == 0x7f)
            line[i] = '?';
    }
    line[used++] = '\n';
    /* One write, so that lines of several processes on one terminal stay whole. Nobody is left to
     * tell if it fails. */
    if (write(STDERR_FILENO, line, used) < 0)
        return;
}

void log_line(enum log_priority priority, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line(priority, 0, format, arguments);
    va_end(arguments);
}

/* Lines of one format count as the same, whatever numbers stand in them. Where the text is all there is
 * ("%s"), it is the text that counts. */
static uint64_t gate_key(const char *format, va_list arguments)
{
    uint64_t key = (uint64_t)(uintptr_t)format;
    if (!strcmp(format, "%s"))
        for (const char *at = va_arg(arguments, const char *); *at; at++)
            key = (key ^ (unsigned char)*at) * UINT64_C(0x100000001B3);
    return key | 1;
}

/* Whether a line may be printed now. With more keys than gates the oldest gate is given away, which at
 * worst prints a line too many. */
static int gate_open(uint64_t key, unsigned int *left_out)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct log_gate *gate = &logger.gates[0];
    for (size_t i = 0; i < LOG_GATES; i++) {
        if (logger.gates[i].key == key) {
            gate = &logger.gates[i];
            break;
        }
        if (gate->key && (!logger.gates[i].key || logger.gates[i].since < gate->since))
            gate = &logger.gates[i];
    }
    if (gate->key != key || now.tv_sec - gate->since >= LOG_GATE_SECONDS) {
        *left_out = gate->key == key ? gate->left_out : 0;
        *gate = (struct log_gate){.key = key, .since = now.tv_sec, .lines = 1};
        return 1;
    }
    if (gate->lines >= LOG_GATE_LINES_MAX) {
        gate->left_out++;
        return 0;
    }
    gate->lines++;
    return 1;
}

void log_often(enum log_priority priority, const char *format, ...)
{
    unsigned int left_out = 0;
    va_list arguments;
    va_start(arguments, format);
    uint64_t key = gate_key(format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&logger.mutex);
    int open = gate_open(key, &left_out);
    pthread_mutex_unlock(&logger.mutex);
    if (!open)
        return;
    va_start(arguments, format);
    print_line(priority, left_out, format, arguments);
    va_end(arguments);
}
