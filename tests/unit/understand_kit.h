/* understand_kit.h: what the tests of understanding share: files of JSON, and counts compared by name. */
#ifndef TESTS_UNIT_UNDERSTAND_KIT_H
#define TESTS_UNIT_UNDERSTAND_KIT_H

// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "understand/understand.h"

static const char *const kit_quantity_names[] = {
#define QUANTITY_X(name) #name,
    QUANTITIES(QUANTITY_X)
#undef QUANTITY_X
};

static inline struct text kit_text(const char *text)
{
    return (struct text){text, text ? (uint32_t)strlen(text) : 0};
}

static inline const char *kit_string(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static inline const cJSON *first_of(const cJSON *list)
{
    return list ? list->child : NULL;
}

/* As a client hands it over: no NUL after it, and memory of just that size. */
static inline void kit_understand(const struct understand_hints *hints, const char *json, size_t length,
                                  struct understood *out)
{
    char *exact = malloc(length ? length : 1);
    assert_non_null(exact);
    if (length)
        memcpy(exact, json, length);
    understand(hints, exact, length, out);
    free(exact);
}

/* Read to its end; the caller frees. */
static inline char *kit_read(FILE *file, size_t *length)
{
    char *bytes = NULL;
    size_t capacity = 0;
    ssize_t got = getdelim(&bytes, &capacity, '\0', file);
    assert_true(got > 0);
    *length = (size_t)got;
    return bytes;
}

/* What a case says of the call besides. */
static inline struct understand_hints kit_hints(const cJSON *one)
{
    const cJSON *hints = cJSON_GetObjectItemCaseSensitive(one, "hints");
    return (struct understand_hints){
        .provider = kit_text(kit_string(hints, "provider")),
        .operation = kit_text(kit_string(hints, "operation")),
        .request_model = kit_text(kit_string(hints, "request_model")),
        .server_address = kit_text(kit_string(hints, "server_address")),
    };
}

/* The cases of a file of fixtures, one after another. */
static inline void kit_each_case(const char *folder, const char *name,
                                 void (*check)(const char *name, const cJSON *one))
{
    char path[700];
    size_t length;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *bytes = kit_read(file, &length);
    fclose(file);
    cJSON *fixtures = cJSON_Parse(bytes);
    if (!fixtures)
        fail_msg("%s is no JSON", path);
    const cJSON *cases = cJSON_GetObjectItemCaseSensitive(fixtures, "cases");
    for (const cJSON *one = first_of(cases); one; one = one->next)
        check(name, one);
    cJSON_Delete(fixtures);
    free(bytes);
}

#endif
