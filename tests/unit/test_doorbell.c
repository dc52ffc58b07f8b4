/* A ring wakes; nothing else does; and the thread goes when it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "arena/arena_reader.h"
#include "collector/doorbell.h"

#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "unit/hand_arena.h"

#define LONG_MS 60000

static struct hand_arena arena;
static struct arena_reader reader;
static struct doorbell doorbell;
static int poke;

static int set_up(void **state)
{
    sigset_t blocked;
    (void)state;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    hand_arena_make(&arena, 1);
    poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return arena_reader_open(&reader, arena.path, geteuid(), (gid_t)-1) ||
           doorbell_start(&doorbell, reader.doorbell, poke);
}

static int tear_down(void **state)
{
    (void)state;
    doorbell_stop(&doorbell);
    arena_reader_close(&reader);
    close(poke);
    hand_arena_remove(&arena);
    return 0;
}

static bool poked(int timeout_ms)
{
    struct pollfd polled = {.fd = poke, .events = POLLIN};
    uint64_t count;
    return poll(&polled, 1, timeout_ms) == 1 && read(poke, &count, sizeof count) == (ssize_t)sizeof count;
}

/* As clients ring: add and wake in one call. */
static long ring(void)
{
    return syscall(SYS_futex, &arena.header->doorbell, FUTEX_WAKE_OP, 1, NULL, &arena.header->doorbell,
                   FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_LT, 0));
}

static uint32_t value(void)
{
    uint32_t doorbell_value;
    assert_int_equal(arena_reader_doorbell(&reader, &doorbell_value), 0);
    return doorbell_value;
}

static void each_ring_pokes_once(void **state)
{
    (void)state;
    for (int i = 0; i < 2000; i++) {
        uint32_t before = value();
        doorbell_arm(&doorbell, before);
        ring();
        assert_true(poked(LONG_MS));
        assert_int_equal(value(), before + 1);
    }
    assert_false(poked(0));
}

static void a_ring_before_the_arming_is_not_lost(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        uint32_t before = value();
        ring();
        doorbell_arm(&doorbell, before);
        assert_true(poked(LONG_MS));
    }
}

static void arming_again_keeps_it_armed(void **state)
{
    (void)state;
    uint32_t before = value();
    for (int i = 0; i < 100; i++)
        doorbell_arm(&doorbell, before);
    ring();
    assert_true(poked(LONG_MS));
}

/* The word moved without a ring, as only a hostile client does: a true ring still wakes. */
static void a_moved_word_does_not_deafen(void **state)
{
    (void)state;
    doorbell_arm(&doorbell, value());
    arena.header->doorbell += 5;
    doorbell_arm(&doorbell, value());
    ring();
    assert_true(poked(LONG_MS));
}

static void a_page_that_is_gone_breaks_it(void **state)
{
    (void)state;
    assert_int_equal(truncate(arena.path, 0), 0);
    doorbell_arm(&doorbell, 0);
    assert_true(poked(LONG_MS));
    assert_false(doorbell_sound(&doorbell));
    doorbell_stop(&doorbell); /* comes back */
    assert_int_equal(truncate(arena.path, (off_t)tally_arena_bytes(&reader.header)), 0);
    *arena.header = reader.header;
}

static void stopping_never_hangs(void **state)
{
    (void)state;
    for (int i = 0; i < 300; i++) {
        doorbell_stop(&doorbell);
        assert_int_equal(doorbell_start(&doorbell, reader.doorbell, poke), 0);
        if (i % 2)
            doorbell_arm(&doorbell, value());
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(each_ring_pokes_once),          TEST(a_ring_before_the_arming_is_not_lost),
        TEST(arming_again_keeps_it_armed),   TEST(a_moved_word_does_not_deafen),
        TEST(a_page_that_is_gone_breaks_it), TEST(stopping_never_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
