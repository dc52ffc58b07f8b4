/* command.h: what the subcommands of `tally` share: exit statuses, sentences for people on
 * standard error, the options that most of them take, memory that cannot fail.
 *
 * One process runs one command, on one thread. A function that returns an exit status and is
 * not EXIT_SUCCESS has said why.
 */
#ifndef TALLY_TOOLS_COMMAND_H
#define TALLY_TOOLS_COMMAND_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#define EXIT_PROBLEM 1 /* it could not be done, or what was looked at is not well */
#define EXIT_MISUSE  2 /* the arguments make no sense */

enum format { FORMAT_TABLE, FORMAT_JSON, FORMAT_CSV };

struct command {
    const char *name;
    const char *summary;
    int (*run)(int argc, char **argv);
};

int audit_command(int argc, char **argv);
int backup_command(int argc, char **argv);
int calls_command(int argc, char **argv);
int clients_command(int argc, char **argv);
int doctor_command(int argc, char **argv);
int lanes_command(int argc, char **argv);
int price_command(int argc, char **argv);
int record_command(int argc, char **argv);
int recover_command(int argc, char **argv);
int reprice_command(int argc, char **argv);
int report_command(int argc, char **argv);
int run_command(int argc, char **argv);
int tail_command(int argc, char **argv);

/* "tally report" or the like: stands before each sentence. */
void command_set_name(const char *name);

/* One sentence on standard error, made safe for a terminal. Return EXIT_PROBLEM and EXIT_MISUSE. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));
int misuse(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same for something that does not change the exit status. */
void remark(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- options -------------------------------------------------------------------- */

#define ARENAS_MAX 64

struct common {
    const char *state_directory; /* --state-dir, or NULL */
    const char *arenas[ARENAS_MAX];
    size_t arena_count;
    enum format format;
    bool format_given;
};

/* Codes of getopt_long for long options; those of a command begin at OPTION_OWN. */
enum { OPTION_HELP = 256, OPTION_STATE_DIR, OPTION_ARENA, OPTION_FORMAT, OPTION_JSON, OPTION_OWN = 512 };

/* clang-format off */
#define COMMON_HELP   { "help", no_argument, NULL, OPTION_HELP }
#define COMMON_STATE  { "state-dir", required_argument, NULL, OPTION_STATE_DIR }
#define COMMON_ARENA  { "arena", required_argument, NULL, OPTION_ARENA }
#define COMMON_FORMAT { "format", required_argument, NULL, OPTION_FORMAT }, \
                      { "json", no_argument, NULL, OPTION_JSON }
#define COMMON_END    { NULL, 0, NULL, 0 }
/* clang-format on */

#define OPTIONS_DONE (-1) /* as getopt_long: no more options */
#define OPTIONS_EXIT (-2) /* --help was printed, or a misuse complained about: leave with *status */

/* getopt_long that takes care of --help, of the common options and of mistakes. shorts: "+" first if options end at the first
 * argument that is none. Returns the code of one of
 * the command's own options (optarg is its argument), OPTIONS_DONE, or OPTIONS_EXIT. */
int option_next(int argc, char **argv, const char *shorts, const struct option *longs, const char *help,
                struct common *common, int *status);
/* EXIT_SUCCESS if no arguments are left, else a misuse. */
int no_more_arguments(int argc, char **argv);
/* table or json alone. */
int format_without_csv(const struct common *common);

/* ---- memory: runs out of it with a sentence, never with NULL ----------------------- */

void out_of_memory(void) __attribute__((noreturn));
void *must_allocate(size_t bytes); /* zeroed */
void *must_resize(void *memory, size_t count, size_t size);
char *must_copy(const char *text);
char *must_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
