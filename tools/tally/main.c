/* main.c: `tally`, the one command-line tool: one subcommand a question. */
#include "command.h"

#include <tally/tally.h>

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

static const struct command commands[] = {
    {"report", "what was spent, grouped", report_command},
    {"tail", "calls as they are committed", tail_command},
    {"calls", "calls in flight, with the tokens so far", calls_command},
    {"clients", "processes that record, and how they ended", clients_command},
    {"lanes", "the rings in shared memory, live", lanes_command},
    {"audit", "prove that every record is accounted for", audit_command},
    {"price", "what usage costs, by which price and why", price_command},
    {"run", "run a program, and count the calls it makes", run_command},
    {"record", "record one call, from a shell script", record_command},
    {"recover", "drain shared memory into the database without an agent", recover_command},
    {"reprice", "price history anew", reprice_command},
    {"doctor", "look for what is wrong, and say what to do", doctor_command},
    {"backup", "copy the database while it is in use", backup_command},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_help(void)
{
    puts("Usage: tally COMMAND [OPTION]...\n"
         "\n"
         "What programs spend on language-model APIs.\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-9s %s\n", commands[i].name, commands[i].summary);
    puts("\n"
         "  tally COMMAND --help   options of a command\n"
         "  tally --version        version\n"
         "\n"
         "TALLY_STATE_DIR names the folder of usage.db, TALLY_ARENA the shared memory.\n"
         "Exit status: 1 if something is wrong or could not be done, 2 for bad arguments;\n"
         "of 'tally run' it is the program's.");
}

/* Names are UTF-8. Where nobody has chosen a locale (containers, cron) take one that can show them. */
static void choose_locale(void)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0 && getenv("LC_ALL") == NULL &&
        getenv("LC_CTYPE") == NULL && getenv("LANG") == NULL)
        setlocale(LC_CTYPE, "C.UTF-8");
}

/* What could not be written was not said. */
static int finish(int status)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    if (errno == EPIPE)
        return status != EXIT_SUCCESS ? status : EXIT_PROBLEM;
    /* An earlier write may have failed: its errno is gone. */
    return complain("the output could not be written%s%s: make room, or send it elsewhere",
                    errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
}

static int run(const struct command *command, int argc, char **argv)
{
    char *name = must_print("tally %s", command->name);

    command_set_name(name);
    int status = finish(command->run(argc, argv));
    command_set_name("tally");
    free(name);
    return status;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    choose_locale();
    if (argc < 2)
        return misuse("say what to do: 'tally --help' lists the commands");
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help();
        return finish(EXIT_SUCCESS);
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("tally %s\n", tally_version());
        return finish(EXIT_SUCCESS);
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return run(&commands[i], argc - 1, argv + 1);
    }
    return misuse("there is no command '%s': 'tally --help' lists them", name);
}
