/* run.c: a program, preloaded with what looks at its calls. */
#include "capture/match.h"
#include "capture/settings.h"
#include "command.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As env(1): so that they can be told from the program's own. */
#define EXIT_OURS          125
#define EXIT_CANNOT_INVOKE 126
#define EXIT_NOT_FOUND     127

#define LIBRARY "libtally-preload.so"

static const char help[] =
    "Usage: tally run [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
    "\n"
    "Run a program that knows nothing of tally, and count the calls that it and the\n"
    "programs it starts make to language models' APIs: by libcurl, OpenSSL, plain\n"
    "sockets or node. What they do is not changed; where they would not be seen, they\n"
    "run as without it.\n"
    "\n"
    "  --service NAME       instead of TALLY_SERVICE\n"
    "  --tags K=V,K=V       instead of TALLY_TAGS\n"
    "  --arena NAME         instead of TALLY_ARENA\n"
    "  --match HOST/PATH[=PROVIDER],...    APIs that are not known by themselves, \"*\"\n"
    "                       for anything; instead of TALLY_MATCH\n"
    "  --metadata NAME,...  keys of a request's metadata to keep as tags; instead of\n"
    "                       TALLY_METADATA\n"
    "  --capture LAYER,...  curl, openssl, socket, node: look only there; instead of\n"
    "                       TALLY_CAPTURE\n"
    "  --help\n"
    "\n"
    "Exit status: the program's; 127 if there is no such program, 126 if it cannot be\n"
    "run, 125 if something else is wrong.\n";

enum { OPTION_SERVICE = OPTION_OWN, OPTION_TAGS, OPTION_MATCH, OPTION_METADATA, OPTION_CAPTURE };

static const struct option options[] = {
    {"service", required_argument, NULL, OPTION_SERVICE},
    {"tags", required_argument, NULL, OPTION_TAGS},
    {"match", required_argument, NULL, OPTION_MATCH},
    {"metadata", required_argument, NULL, OPTION_METADATA},
    {"capture", required_argument, NULL, OPTION_CAPTURE},
    COMMON_ARENA,
    COMMON_HELP,
    COMMON_END,
};

static void set(const char *name, const char *value)
{
    if (setenv(name, value, 1) != 0) {
        complain("out of memory");
        exit(EXIT_OURS);
    }
}

/* ---- settings --------------------------------------------------------------------- */

static bool is_layer(const char *name, size_t length)
{
    for (int i = 0; i < CAPTURE_LAYERS; i++) {
        if (strlen(capture_layer_names[i]) == length && memcmp(capture_layer_names[i], name, length) == 0)
            return true;
    }
    return false;
}

static bool layers_are_sound(const char *list)
{
    for (const char *at = list; at != NULL && *at != '\0';) {
        size_t length = strcspn(at, ",");

        if (!is_layer(at, length)) {
            misuse("there is no layer '%.*s' in TALLY_CAPTURE: name some of curl, openssl, socket, node",
                   (int)length, at);
            return false;
        }
        at += length + (at[length] == ',');
    }
    return true;
}

/* In a program nobody would be told. */
static bool settings_are_sound(void)
{
    const char *rows = getenv("TALLY_MATCH");
    char why[256];

    if (rows != NULL && !match_check(rows, why, sizeof(why))) {
        misuse("%s", why);
        return false;
    }
    return layers_are_sound(getenv("TALLY_CAPTURE"));
}

/* ---- the library --------------------------------------------------------------------- */

/* Of what kind a program or library is, and for which processor; the type aside. */
static bool is_alike(const ElfW(Ehdr) * a, const ElfW(Ehdr) * b)
{
    return memcmp(a->e_ident, b->e_ident, EI_OSABI) == 0 && a->e_machine == b->e_machine;
}

/* A file that was cut off would be mapped all the same, and its reader die of SIGBUS. */
static bool is_whole(FILE *file, const ElfW(Ehdr) * header)
{
    struct stat status;

    if (fstat(fileno(file), &status) != 0 || header->e_phentsize != sizeof(ElfW(Phdr)) ||
        fseek(file, (long)header->e_phoff, SEEK_SET) != 0)
        return false;
    for (int i = 0; i < header->e_phnum; i++) {
        ElfW(Phdr) part;

        if (fread(&part, sizeof(part), 1, file) != 1 ||
            part.p_offset + part.p_filesz > (ElfW(Off))status.st_size)
            return false;
    }
    return header->e_phnum > 0;
}

static bool is_for_this_machine(const char *path)
{
    ElfW(Ehdr) here, there;
    FILE *ours = fopen("/proc/self/exe", "re");
    FILE *theirs = fopen(path, "re");
    bool fits = ours != NULL && theirs != NULL && fread(&here, sizeof(here), 1, ours) == 1 &&
                fread(&there, sizeof(there), 1, theirs) == 1 && is_alike(&here, &there) &&
                is_whole(theirs, &there);

    if (ours != NULL)
        fclose(ours);
    if (theirs != NULL)
        fclose(theirs);
    return fits;
}

/* Beside this program, as built, or in lib beside its folder, as installed. Returns it to be freed, or NULL, complained about. */
static char *find_library(void)
{
    static const char *const places[] = {"/" LIBRARY, "/../lib/" LIBRARY};
    char here[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", here, sizeof(here) - 1);

    here[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(here, '/');
    if (slash != NULL)
        *slash = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        char *path = must_print("%s%s", here, places[i]);
        char *real = realpath(path, NULL);

        free(path);
        if (real != NULL)
            return real;
    }
    complain(LIBRARY " is neither beside this program, in %s, nor in %s/../lib: install tally anew", here,
             here);
    return NULL;
}

/* A library that the loader cannot take makes every program say so, or die. */
static bool library_is_sound(const char *path)
{
    if (strpbrk(path, ": \t\n") != NULL) {
        complain("%s: a path with spaces or colons cannot be preloaded: install tally elsewhere", path);
        return false;
    }
    if (!is_for_this_machine(path)) {
        complain("%s is damaged, or for another kind of machine: install tally anew", path);
        return false;
    }
    if (dlopen(path, RTLD_LAZY | RTLD_LOCAL) == NULL) {
        complain("the library cannot be loaded (%s): install tally anew", dlerror());
        return false;
    }
    return true;
}

/* Whether the list, parted by spaces and colons as the loader does, holds it. */
static bool holds(const char *list, const char *path)
{
    while (*list != '\0') {
        size_t length = strcspn(list, ": ");

        if (length == strlen(path) && memcmp(list, path, length) == 0)
            return true;
        list += length + (list[length] != '\0');
    }
    return false;
}

static void preload(const char *path)
{
    const char *there = getenv("LD_PRELOAD");

    if (there == NULL || there[0] == '\0') {
        set("LD_PRELOAD", path);
    } else if (!holds(there, path)) {
        char *list = must_print("%s:%s", path, there);

        set("LD_PRELOAD", list);
        free(list);
    }
}

/* ---- the command ----------------------------------------------------------------------- */

static int invoke(char **arguments)
{
    execvp(arguments[0], arguments);
    if (errno == ENOENT) {
        complain("there is no program '%s'", arguments[0]);
        return EXIT_NOT_FOUND;
    }
    complain("'%s' cannot be run: %s", arguments[0], strerror(errno));
    return EXIT_CANNOT_INVOKE;
}

int run_command(int argc, char **argv)
{
    static const char *const variables[] = {"TALLY_SERVICE", "TALLY_TAGS", "TALLY_MATCH", "TALLY_METADATA",
                                            "TALLY_CAPTURE"};
    struct common common = {0};
    int status = EXIT_SUCCESS;
    int code;

    while ((code = option_next(argc, argv, "+", options, help, &common, &status)) >= OPTION_OWN)
        set(variables[code - OPTION_OWN], optarg);
    if (code == OPTIONS_EXIT)
        return status == EXIT_SUCCESS ? EXIT_SUCCESS : EXIT_OURS;
    if (common.arena_count > 0)
        set("TALLY_ARENA", common.arenas[common.arena_count - 1]);
    if (optind >= argc) {
        misuse("say which program to run: tally run -- PROGRAM ...");
        return EXIT_OURS;
    }
    if (!settings_are_sound())
        return EXIT_OURS;
    char *library = find_library();
    if (library == NULL || !library_is_sound(library)) {
        free(library);
        return EXIT_OURS;
    }
    preload(library);
    free(library);
    return invoke(argv + optind);
}
