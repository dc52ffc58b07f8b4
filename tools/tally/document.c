#include "document.h"
#include "command.h"
#include "text.h"
#include "when.h"

#include <stdio.h>
#include <string.h>

static cJSON *made(cJSON *item)
{
    if (item == NULL)
        out_of_memory();
    return item;
}

static void added(cJSON_bool done)
{
    if (!done)
        out_of_memory();
}

cJSON *document_object(void)
{
    return made(cJSON_CreateObject());
}

cJSON *document_array(void)
{
    return made(cJSON_CreateArray());
}

void document_append(cJSON *array, cJSON *item)
{
    added(cJSON_AddItemToArray(array, item));
}

void document_item(cJSON *object, const char *name, cJSON *item)
{
    added(cJSON_AddItemToObject(object, name, item));
}

static cJSON *string_of(const char *bytes, size_t length)
{
    char *literal = text_json(bytes, length);
    cJSON *item = made(cJSON_CreateRaw(literal));

    free(literal);
    return item;
}

cJSON *document_string(const char *text)
{
    return string_of(text, strlen(text));
}

void document_bytes(cJSON *object, const char *name, const char *bytes, size_t length)
{
    document_item(object, name, string_of(bytes, length));
}

void document_text(cJSON *object, const char *name, const char *text)
{
    document_item(object, name, text != NULL ? document_string(text) : made(cJSON_CreateNull()));
}

void document_integer(cJSON *object, const char *name, wide_t number)
{
    char text[NUMBER_BYTES];

    document_item(object, name, made(cJSON_CreateRaw(number_text(number, text))));
}

void document_bool(cJSON *object, const char *name, bool value)
{
    document_item(object, name, made(cJSON_CreateBool(value)));
}

void document_time(cJSON *object, const char *name, int64_t unix_ns)
{
    char text[WHEN_BYTES];

    document_text(object, name, when_exact(unix_ns, text));
}

cJSON *document_new(const char *name, int version)
{
    cJSON *document = document_object();
    char *schema = must_print("tally.%s/%d", name, version);

    document_text(document, "schema", schema);
    document_integer(document, "schema_version", version);
    free(schema);
    return document;
}

static void print(cJSON *document, char *text)
{
    if (text == NULL)
        out_of_memory();
    puts(text);
    cJSON_free(text);
    cJSON_Delete(document);
}

void document_print(cJSON *document)
{
    print(document, cJSON_Print(document));
}

void document_print_line(cJSON *document)
{
    print(document, cJSON_PrintUnformatted(document));
}
