/* books.h: compare what programs counted with the database and with `tally audit`. Used by the test's main thread. */
#ifndef TESTS_SUPPORT_BOOKS_H
#define TESTS_SUPPORT_BOOKS_H

#include "room.h"

struct audit {
    int status; /* exit status */
    int64_t written, persisted, waiting, lost, unaccounted;
};

/* The room's database. A query's only value: 0 if there is no database, no row or NULL. */
int64_t books_number(const struct room *room, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same as text, which the caller frees; "" for NULL. */
char *books_text(const struct room *room, const char *format, ...) __attribute__((format(printf, 2, 3)));
void books_expect_text(const struct room *room, const char *expected, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void books_audit(const struct room *room, struct audit *audit);

/* Spill files, under whatever name, in the room's folders: <state>/spill, spill, and the user's. */
int books_spill_files(const struct room *room);

/* Wait until the agent has all that stands in the arena, or also the end of every client. */
void books_await_drained(const struct room *room);
void books_await_ended(const struct room *room);

/* The main check. Each writer's records are there without a gap and without a double: all that were acknowledged, and
 * at most the one more that was under way when it was killed. The audit accounts for all, nothing waits, nothing numbered is
 * lost, and `refused` records were counted as refused. The independent reading of the arena
 * agrees on how many were written. Everything has to be drained. */
void books_expect_complete(const struct room *room, uint64_t refused);

/* How many records the arena counts as refused: as many as programs do, or at most so many more: those of threads that
 * were killed between the refusal and their own book. */
uint64_t books_refused(const struct room *room, uint64_t killed);

/* books_await_ended(), books_expect_complete(room, 0), and so many clients by their end. */
void books_expect_ends(const struct room *room, int64_t clean, int64_t died, int64_t exec);

#endif
