/* test.h: what a lifecycle test includes: cmocka in the order that it wants, and the support library. */
#ifndef TESTS_SUPPORT_TEST_H
#define TESTS_SUPPORT_TEST_H

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include "support/agent.h"
#include "support/arena_copy.h"
#include "support/books.h"
#include "support/room.h"
#include "support/skip.h"
#include "support/wait.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sanitizers do not bear threads that end by a bare system call, or limits on memory. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif
#if defined(__SANITIZE_THREAD__)
#define SANITIZED_THREADS true /* vfork becomes fork, and signals come late */
#else
#define SANITIZED_THREADS false
#endif

/* A test with a room of its own. */
#define room_test(function) cmocka_unit_test_setup_teardown(function, room_setup, room_teardown)

#endif
