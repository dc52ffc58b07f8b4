/* poor.c: a program in a bad environment: limits are set, then records tried. None of it may be fatal, block or print.
 *
 *   poor files=N fsize=N as=N record=N limits      in any order, one after the other; `limits` lifts the soft limits
 */
#include "support/program.h"

#include <sys/resource.h>

static void set_limit(int which, rlim_t value)
{
    struct rlimit limit;

    getrlimit(which, &limit);
    limit.rlim_cur = value;
    setrlimit(which, &limit);
}

int main(int argc, char **argv)
{
    program_start();
    struct counters_writer *writer = program_writer();

    for (int i = 1; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        rlim_t number = value ? strtoull(value + 1, NULL, 10) : 0;
        if (strncmp(argv[i], "files=", 6) == 0)
            set_limit(RLIMIT_NOFILE, number);
        else if (strncmp(argv[i], "fsize=", 6) == 0)
            set_limit(RLIMIT_FSIZE, number);
        else if (strncmp(argv[i], "as=", 3) == 0)
            set_limit(RLIMIT_AS, number);
        else if (strncmp(argv[i], "record=", 7) == 0)
            program_records(writer, number);
        else if (strcmp(argv[i], "object") == 0) {
            struct tally_client *object = tally_client_new(NULL);
            struct tally_call call;
            tally_client_call_begin(object, &call, NULL);
            tally_call_end(&call, NULL);
            tally_client_release(object);
        } else if (strcmp(argv[i], "wait") == 0) {
            nanosleep(&(struct timespec){0, 120000000},
                      NULL); /* past the pause after which lanes are looked for again */
        } else if (strcmp(argv[i], "limits") == 0) {
            set_limit(RLIMIT_NOFILE, 1024);
            set_limit(RLIMIT_FSIZE, RLIM_INFINITY);
            set_limit(RLIMIT_AS, RLIM_INFINITY);
        }
    }
    program_result(tally_shutdown(100));
    return 0;
}
