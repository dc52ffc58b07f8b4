#include "support/command.h"

#include "support/test.h"

#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>

#define WORDS_MAX 60

static char *command_read_file(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = NULL;
    size_t size = 0;

    assert_non_null(file);
    if (getdelim(&text, &size, '\0', file) < 0) {
        free(text);
        text = strdup("");
    }
    fclose(file);
    return text;
}

void command_become(const struct room *room, const char *words)
{
    char *list[WORDS_MAX + 1];
    char name[PATH_MAX];
    char *copy = strdup(words);
    int count = 1;

    snprintf(name, sizeof(name), "%s/tally", room_build());
    list[0] = name;
    for (char *word = strtok(copy, " "); word != NULL && count < WORDS_MAX; word = strtok(NULL, " ")) {
        for (char *c = word; *c != '\0'; c++) {
            if (*c == '~')
                *c = ' ';
        }
        list[count++] = word;
    }
    list[count] = NULL;
    room_enter(room);
    execv(name, list);
    _exit(123);
}

int command_await(pid_t pid)
{
    int status = 0;

    wait_until(waitpid(pid, &status, WNOHANG) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

struct command_result command_run(const struct room *room, const char *words)
{
    char out[ROOM_PATH_MAX];
    char err[ROOM_PATH_MAX];

    snprintf(out, sizeof(out), "%s/out", room->directory);
    snprintf(err, sizeof(err), "%s/err", room->directory);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
        dup2(open(err, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
        command_become(room, words);
    }
    struct command_result result = {.status = command_await(pid)};
    result.out = command_read_file(out);
    result.err = command_read_file(err);
    return result;
}

void command_release(struct command_result *result)
{
    free(result->out);
    free(result->err);
}

size_t command_lines(const char *text)
{
    size_t lines = 0;

    for (; *text != '\0'; text++)
        lines += *text == '\n';
    return lines;
}

void command_expect_sentence(const struct room *room, const char *words, int status)
{
    struct command_result result = command_run(room, words);

    if (result.status != status || result.out[0] != '\0' || command_lines(result.err) != 1 ||
        strncmp(result.err, "tally", 5) != 0)
        fail_msg("tally %s: status %d, wanted %d; out: %s; err: %s", words, result.status, status, result.out,
                 result.err);
    command_release(&result);
}

char *command_expect_success(const struct room *room, const char *words)
{
    struct command_result result = command_run(room, words);

    if (result.status != 0 || result.err[0] != '\0')
        fail_msg("tally %s: status %d; %s", words, result.status, result.err);
    free(result.err);
    return result.out;
}

cJSON *command_expect_json(const struct room *room, const char *words, int status)
{
    struct command_result result = command_run(room, words);
    cJSON *json = cJSON_Parse(result.out);

    if (result.status != status || json == NULL)
        fail_msg("tally %s: status %d, wanted %d; %s%s", words, result.status, status, result.out,
                 result.err);
    assert_int_equal(cJSON_GetObjectItem(json, "schema_version")->valueint, 1);
    assert_int_equal(strncmp(cJSON_GetObjectItem(json, "schema")->valuestring, "tally.", 6), 0);
    command_release(&result);
    return json;
}

int command_number(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItem(object, name);

    if (!cJSON_IsNumber(item))
        fail_msg("no number '%s'", name);
    return item->valueint;
}

void command_change_database(const struct room *room, const char *sql)
{
    char path[ROOM_PATH_MAX + 16];
    sqlite3 *database;

    snprintf(path, sizeof(path), "%s/usage.db", room->state);
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
}
