#include "command.h"
#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct {
    const char *name;
} command = {.name = "tally"};

void command_set_name(const char *name)
{
    command.name = name;
}

/* ---- sentences -------------------------------------------------------------------- */

static void say(const char *format, va_list arguments)
{
    char *sentence = NULL;

    if (vasprintf(&sentence, format, arguments) < 0) {
        fputs("tally: out of memory\n", stderr);
        return;
    }
    char *safe = text_shown(sentence, strlen(sentence));
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", command.name, safe);
    free(safe);
    free(sentence);
}

int complain(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    return EXIT_PROBLEM;
}

int misuse(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    return EXIT_MISUSE;
}

void remark(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

/* ---- options ------------------------------------------------------------------------ */

static int format_parse(struct common *common, const char *text)
{
    static const char *const names[] = {"table", "json", "csv"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            common->format = (enum format)i;
            common->format_given = true;
            return EXIT_SUCCESS;
        }
    }
    return misuse("--format is table, json or csv, not '%s'", text);
}

static int common_option(struct common *common, int code, const char *help)
{
    switch (code) {
    case OPTION_HELP:
        fputs(help, stdout);
        return EXIT_SUCCESS;
    case OPTION_STATE_DIR:
        if (optarg[0] == '\0')
            return misuse("--state-dir is empty: name the folder that holds usage.db");
        common->state_directory = optarg;
        return EXIT_SUCCESS;
    case OPTION_ARENA:
        if (optarg[0] == '\0')
            return misuse("--arena is empty: name an arena, such as /tally-1000.v1");
        if (common->arena_count == ARENAS_MAX)
            return misuse("--arena was given more than %d times: look at fewer at a time", ARENAS_MAX);
        common->arenas[common->arena_count++] = optarg;
        return EXIT_SUCCESS;
    case OPTION_FORMAT:
        return format_parse(common, optarg);
    default:
        return format_parse(common, "json");
    }
}

static int option_mistake(int code, char **argv)
{
    const char *given = argv[optind - 1];

    if (code == ':') {
        if (optopt > 0 && optopt < OPTION_HELP)
            return misuse("-%c needs a value: '%s --help' says which", optopt, command.name);
        return misuse("%s needs a value: '%s --help' says which", given, command.name);
    }
    if (optopt >= OPTION_HELP)
        return misuse("%s takes no value", given);
    if (optopt > 0)
        return misuse("there is no option -%c: '%s --help' lists them", optopt, command.name);
    return misuse("there is no option %s: '%s --help' lists them", given, command.name);
}

int option_next(int argc, char **argv, const char *shorts, const struct option *longs, const char *help,
                struct common *common, int *status)
{
    char optstring[64];

    bool leading = shorts[0] == '+';

    /* ':' first: a missing value is told apart from an unknown option, and nothing is printed. */
    snprintf(optstring, sizeof(optstring), "%s:h%s", leading ? "+" : "", shorts + leading);
    opterr = 0;
    for (;;) {
        optopt = 0;
        int code = getopt_long(argc, argv, optstring, longs, NULL);
        if (code == -1)
            return OPTIONS_DONE;
        if (code == '?' || code == ':') {
            *status = option_mistake(code, argv);
            return OPTIONS_EXIT;
        }
        if (code == 'h')
            code = OPTION_HELP;
        if (code < OPTION_HELP || code >= OPTION_OWN)
            return code;
        *status = common_option(common, code, help);
        if (*status != EXIT_SUCCESS || code == OPTION_HELP)
            return OPTIONS_EXIT;
    }
}

int no_more_arguments(int argc, char **argv)
{
    if (optind >= argc)
        return EXIT_SUCCESS;
    return misuse("'%s' is one argument too many: '%s --help' says what is taken", argv[optind],
                  command.name);
}

int format_without_csv(const struct common *common)
{
    if (common->format != FORMAT_CSV)
        return EXIT_SUCCESS;
    return misuse("--format is table or json here: more than one table does not go into one CSV");
}

/* ---- memory --------------------------------------------------------------------------- */

void out_of_memory(void)
{
    fprintf(stderr, "%s: out of memory: ask for a shorter time, or for fewer columns\n", command.name);
    exit(EXIT_PROBLEM);
}

static void *checked(void *memory)
{
    if (memory == NULL)
        out_of_memory();
    return memory;
}

void *must_allocate(size_t bytes)
{
    return checked(calloc(1, bytes != 0 ? bytes : 1));
}

void *must_resize(void *memory, size_t count, size_t size)
{
    return checked(reallocarray(memory, count != 0 ? count : 1, size));
}

char *must_copy(const char *text)
{
    return checked(strdup(text));
}

char *must_print(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return checked(length < 0 ? NULL : text);
}
