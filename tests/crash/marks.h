/* marks.h: what a program that is played with (puppets.h) tells by getpriority(MARK_CALL, mark). */
#ifndef TESTS_CRASH_MARKS_H
#define TESTS_CRASH_MARKS_H

#define MARK_CALL     0x54414C4C /* no such thing has a priority: the call fails by itself, too */
#define MARK_SHUTDOWN 1

#endif
