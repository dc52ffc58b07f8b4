/* log.h: one line an event, on standard error. Any thread.
 *
 * Under systemd (JOURNAL_STREAM is set) a line begins with its priority, "<3>"; elsewhere
 * with "tallyd: ". Control characters in what is printed, which may come from shared
 * memory or the file system, become '?'.
 */
#ifndef TALLY_LOG_H
#define TALLY_LOG_H

enum log_priority {
    LOG_FATAL = 3, /* the agent leaves, or cannot do its work */
    LOG_WARNING = 4,
    LOG_NOTE = 6
};

/* One line. */
void log_line(enum log_priority priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same, for what may happen again and again: at most three lines a minute of each format (a
 * string constant; of each text, if it is "%s"), and then how many were left out. */
void log_often(enum log_priority priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
