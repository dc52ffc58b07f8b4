/* Options, and what is said about bad ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct agent_config config;
static char error[CONFIG_ERROR_BYTES];
static char file[300];

static enum config_outcome read_options(const char *first, const char *second, const char *third,
                                        const char *fourth)
{
    char *arguments[] = {strdup("tallyd"), NULL, NULL, NULL, NULL, NULL};
    const char *given[] = {first, second, third, fourth};
    int count = 1;
    for (int i = 0; i < 4 && given[i]; i++)
        arguments[count++] = strdup(given[i]);
    enum config_outcome outcome = config_read(&config, count, arguments, error);
    for (int i = 0; i < 6; i++)
        free(arguments[i]);
    return outcome;
}

static int set_up(void **state)
{
    const char *temporary = getenv("TMPDIR");
    (void)state;
    unsetenv("TALLY_ARENA");
    unsetenv("TALLY_GROUP");
    setenv("TALLY_STATE_DIR", "/nowhere/tally", 1);
    snprintf(file, sizeof file, "%s/tally-config-%ld", temporary ? temporary : "/tmp", (long)getpid());
    error[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(file);
    return 0;
}

static void write_file(const char *text)
{
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void defaults(void **state)
{
    (void)state;
    assert_int_equal(read_options(NULL, NULL, NULL, NULL), CONFIG_RUN);
    assert_string_equal(config.state_directory, "/nowhere/tally");
    assert_int_equal(config.arena_count, 1);
    assert_null(config.arenas[0]);
    assert_int_equal(config.commit_interval_ms, 100);
    assert_int_equal(config.retention_s, 30 * 86400);
    assert_false(config.once);
    config_release(&config);
}

static void levels_override_each_other(void **state)
{
    (void)state;
    setenv("TALLY_ARENA", "/of-the-environment", 1);
    assert_int_equal(read_options("--foreground", NULL, NULL, NULL), CONFIG_RUN);
    assert_string_equal(config.arenas[0], "/of-the-environment");
    config_release(&config);
    write_file("# a comment\nstate-dir = /of/the/file\narena = /one\narena = /two\n"
               "commit-interval = 20\nretention = 7\n\n[arenas]\nusers = 1001, 1002\n");
    assert_int_equal(read_options("--config", file, NULL, NULL), CONFIG_RUN);
    assert_string_equal(config.state_directory, "/of/the/file");
    assert_int_equal(config.arena_count, 2);
    assert_string_equal(config.arenas[1], "/two");
    assert_int_equal(config.commit_interval_ms, 20);
    assert_int_equal(config.user_count, 2);
    assert_int_equal(config.users[1], 1002);
    config_release(&config);
    /* also before --config: the command line comes last */
    assert_int_equal(read_options("--arena=/three", "--retention=0", "--config", file), CONFIG_RUN);
    assert_int_equal(config.arena_count, 1);
    assert_string_equal(config.arenas[0], "/three");
    assert_int_equal(config.retention_s, 0);
    config_release(&config);
}

static void retention_in_units(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {{"7", 7 * 86400}, {"7d", 7 * 86400}, {"36h", 36 * 3600},
                 {"90m", 90 * 60}, {"60s", 60},       {"36500", INT64_C(36500) * 86400}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_options("--retention", cases[i].text, NULL, NULL), CONFIG_RUN);
        assert_int_equal(config.retention_s, cases[i].seconds);
        config_release(&config);
    }
}

static void refused(const char *first, const char *second, const char *part)
{
    assert_int_equal(read_options(first, second, NULL, NULL), CONFIG_BAD);
    if (!strstr(error, part))
        fail_msg("\"%s\" does not mention \"%s\"", error, part);
    assert_null(strchr(error, '\n'));
}

static void bad_arguments(void **state)
{
    (void)state;
    refused("--no-such", NULL, "--no-such");
    refused("stray", NULL, "stray");
    refused("--state-dir", NULL, "needs a value");
    refused("--commit-interval", "0", "commit-interval");
    refused("--commit-interval", "ten", "ten");
    refused("--commit-interval", "99999999999999999999", "commit-interval");
    refused("--retention", "-1", "retention");
    refused("--retention", "", "retention");
    refused("--retention", "60x", "60x");
    refused("--retention", "60ss", "60ss");
    refused("--retention", "s", "retention");
    refused("--retention", "36501", "36501");
    refused("--retention", "876001h", "876001h");
    refused("--arena", "", "cannot be the name");
    refused("--arena", "/", "cannot be the name");
    refused("--arena", "relative/path", "cannot be the name");
    refused("--users", "no-such-user-here", "no-such-user-here");
    refused("--group", "no-such-group-here", "no-such-group-here");
    refused("--config", "/no/such/file", "/no/such/file");
}

static void bad_files(void **state)
{
    static const struct {
        const char *text, *line, *part;
    } cases[] = {
        {"\ncolour = blue\n", "line 2", "colour"},
        {"commit-interval = soon\n", "line 1", "soon"},
        {"[arenas]\nowner = x\n", "line 2", "owner"},
        {"retention = 3\n[money]\nprice = 1\n", "line 3", "money"},
        {"retention = 3\nnonsense\n", "line 2", "NAME = VALUE"},
        {"retention = 3\nonce = 1\n", "line 2", "once"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(cases[i].text);
        refused("--config", file, cases[i].line);
        assert_non_null(strstr(error, cases[i].part));
        assert_non_null(strstr(error, file));
    }
}

static void users(void **state)
{
    (void)state;
    assert_int_equal(read_options("--users", "root, 1234", NULL, NULL), CONFIG_RUN);
    assert_int_equal(config.users[0], 0);
    assert_int_equal(config.users[1], 1234);
    config_release(&config);
    assert_int_equal(read_options("--users=*", "--once", NULL, NULL), CONFIG_RUN);
    assert_true(config.all_users && config.once);
    config_release(&config);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(defaults),           TEST(levels_override_each_other),
        TEST(retention_in_units), TEST(bad_arguments),
        TEST(bad_files),          TEST(users),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
