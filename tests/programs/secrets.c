/* secrets.c: a program that has secrets everywhere about what it records, and records.
 *
 *   secrets RECORDS SECRET
 *
 * SECRET stands in its arguments, its environment, its heap and stack, behind each text that it records and past the
 * place where texts are cut. It also records as user "plain-to-see", which is there to be found.
 */
#include "support/program.h"

#define TEXT_MAX 8192

/* text, and at once behind it the secret, without an end between */
static const char *beside(char room[TEXT_MAX], const char *text, const char *secret)
{
    snprintf(room, TEXT_MAX, "%s%s%s", text, secret, secret);
    return room;
}

/* text ends where it should, and then comes the secret */
static const char *behind(char room[TEXT_MAX], const char *text, const char *secret)
{
    size_t length = strlen(text);

    memcpy(room, text, length + 1);
    snprintf(room + length + 1, TEXT_MAX - length - 1, "%s", secret);
    return room;
}

/* so long that it is cut before the secret begins */
static const char *cut(char room[TEXT_MAX], size_t bytes, const char *secret)
{
    memset(room, 'x', bytes);
    snprintf(room + bytes, TEXT_MAX - bytes, "%s", secret);
    return room;
}

int main(int argc, char **argv)
{
    static char rooms[6][TEXT_MAX];
    static const char json[] = "{\"prompt_tokens\":3}";
    uint64_t records = argc > 2 ? strtoull(argv[1], NULL, 10) : 0;
    const char *secret = argc > 2 ? argv[2] : "";
    char on_stack[256];

    program_start();
    char *on_heap = malloc(256);
    if (on_heap == NULL)
        return 124;
    snprintf(on_heap, 256, "prompt: %s", secret);
    snprintf(on_stack, sizeof(on_stack), "completion: %s", secret);
    for (uint64_t i = 0; i < records; i++) {
        struct tally_usage usage = TALLY_USAGE_INIT;
        usage.provider = behind(rooms[0], "test", secret);
        usage.user = behind(rooms[1], "plain-to-see", secret);
        usage.request_model = cut(rooms[2], 200, secret);
        usage.team = cut(rooms[3], 128, secret);
        usage.tags = cut(rooms[4], 512, secret);
        usage.key_fingerprint = "0a1b2c3d";
        usage.usage_json = beside(rooms[5], json, secret);
        usage.usage_json_length = sizeof(json) - 1;
        usage.output_tokens = (int64_t)i;
        if (tally_record(&usage) != 0)
            program_surprise();
        atomic_fetch_add(&counters->values[0], 1);
    }
    if (strstr(on_heap, secret) == NULL || strstr(on_stack, secret) == NULL ||
        getenv("OPENAI_API_KEY") == NULL)
        program_surprise(); /* and so the compiler has to keep them */
    free(on_heap);
    return 0;
}
