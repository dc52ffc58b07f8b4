/* curl_cases.c: uses libcurl in ways in which who stands between it and its user may go wrong. One case a run:
 *
 *     curl_cases CASE BASE [OTHER]     BASE: http://host[:port]; OTHER: of a server that redirects, asks for a password
 *
 * What it prints depends on what was received, and not on how it was cut into pieces. test_curl.py compares. */
#include "curl_cases.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY  "{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"\\\"usage\\\":{}\"}]}"
#define ROUND 8

static const char *base, *other;

/* ---- what comes in ---------------------------------------------------------------- */

void add(struct sum *sum, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    if (!sum->bytes)
        sum->hash = 14695981039346656037ull;
    for (size_t i = 0; i < length; i++)
        sum->hash = (sum->hash ^ at[i]) * 1099511628211ull;
    sum->bytes += length;
}

size_t on_body(char *bytes, size_t size, size_t count, void *data)
{
    struct sum *sum = data;
    sum->calls++;
    if (sum->refuse_at && sum->bytes >= sum->refuse_at)
        return 0;
    add(sum, bytes, size * count);
    return size * count;
}

void show(const struct sum *sum)
{
    printf("%s: %llu bytes, %016llx\n", sum->name, sum->bytes, sum->hash);
}

int failed(const char *what)
{
    printf("FAILED: %s\n", what);
    return 1;
}

static const char *url_of(const char *path)
{
    static __thread char url[ROUND][512];
    static __thread unsigned next;
    char *to = url[next++ % ROUND];
    snprintf(to, sizeof url[0], "%s%s", base, path);
    return to;
}

/* ---- handles ----------------------------------------------------------------------- */

__thread struct curl_slist *headers;

static struct curl_slist *standard_headers(void)
{
    if (!headers) {
        headers = curl_slist_append(NULL, "Content-Type: application/json");
        headers = curl_slist_append(headers, "Authorization: Bearer sk-standin-secret");
    }
    return headers;
}

CURL *request(const char *path, struct sum *sum)
{
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url_of(path));
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, standard_headers());
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, BODY);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (sum) {
        curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, sum);
        sum->easy = easy;
    }
    return easy;
}

int perform(CURL *easy)
{
    long status = 0;
    CURLcode result = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    printf("%d %ld\n", result, status);
    return 0;
}

/* ---- cases: one transfer -------------------------------------------------------------- */

/* HEADERDATA alone: libcurl calls the write function with it. */
static int header_data(void)
{
    struct sum body = {.name = "body"}, head = {.name = "head"};
    CURL *easy = request(CHAT, &body);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &head);
    perform(easy);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_body);
    perform(easy);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, NULL);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, NULL);
    perform(easy);
    show(&body);
    show(&head);
    curl_easy_cleanup(easy);
    return 0;
}

/* No write function: to the FILE given, or stdout; headers to another. */
static int to_files(void)
{
    char line[4096];
    FILE *body = tmpfile(), *head = tmpfile();
    CURL *easy = request(CHAT, NULL);
    fflush(stdout);
    perform(easy);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, body);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, head);
    perform(easy);
    rewind(body);
    rewind(head);
    while (fgets(line, sizeof line, head))
        printf("head: %s", line);
    while (fgets(line, sizeof line, body))
        printf("body: %s", line);
    curl_easy_cleanup(easy);
    fclose(body);
    fclose(head);
    return 0;
}

/* Heads in the body, of one response and of several in a row. */
static int header_in_body(void)
{
    struct sum sum = {.name = "all"};
    CURL *easy = request(STREAM ",chunk=7", &sum);
    curl_easy_setopt(easy, CURLOPT_HEADER, 1L);
    perform(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url_of(CHAT ",early=1"));
    perform(easy);
    curl_easy_cleanup(easy);
    show(&sum);
    return 0;
}

static int refusing(void)
{
    struct sum sum = {.name = "refused", .refuse_at = 1};
    CURL *easy = request(STREAM ",write=300", &sum);
    perform(easy);
    sum.refuse_at = 0;
    curl_easy_setopt(easy, CURLOPT_URL, url_of(CHAT));
    perform(easy);
    curl_easy_cleanup(easy);
    return 0;
}

static struct sum first_part = {.name = "first"}, second_part = {.name = "rest"};
static size_t on_rest(char *bytes, size_t size, size_t count, void *data)
{
    return on_body(bytes, size, count, data);
}
/* Changes who gets the rest. */
static size_t on_change(char *bytes, size_t size, size_t count, void *data)
{
    CURL *easy = ((struct sum *)data)->easy;
    if (curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_rest) ||
        curl_easy_setopt(easy, CURLOPT_WRITEDATA, &second_part))
        failed("setopt within a callback");
    return on_body(bytes, size, count, data);
}
static int changing(void)
{
    CURL *easy = request(STREAM ",write=300", &first_part);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_change);
    perform(easy);
    struct sum both = {.name = "sum", .bytes = first_part.bytes + second_part.bytes};
    show(&both);
    if (!first_part.bytes || !second_part.bytes)
        return failed("not both got some");
    second_part = (struct sum){.name = "again"};
    perform(easy); /* the change stays */
    show(&second_part);
    curl_easy_cleanup(easy);
    return 0;
}

/* ---- copies, resets --------------------------------------------------------------------- */

static CURL *copy_made_within;
static size_t on_copying(char *bytes, size_t size, size_t count, void *data)
{
    struct sum *sum = data;
    if (!copy_made_within && sum->easy)
        copy_made_within = curl_easy_duphandle(sum->easy);
    return on_body(bytes, size, count, data);
}
static int copies(void)
{
    struct sum sum = {.name = "sum"};
    CURL *easy = request(CHAT, &sum);
    CURL *copy = curl_easy_duphandle(easy);
    perform(copy);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_copying);
    perform(easy);
    curl_easy_cleanup(easy);
    curl_easy_setopt(copy_made_within, CURLOPT_URL, url_of("/"));
    curl_easy_setopt(copy_made_within, CURLOPT_HTTPGET, 1L);
    perform(copy_made_within); /* nothing that is looked at */
    curl_easy_setopt(copy_made_within, CURLOPT_URL, url_of(CHAT));
    curl_easy_setopt(copy_made_within, CURLOPT_POSTFIELDS, BODY);
    curl_easy_setopt(copy_made_within, CURLOPT_WRITEFUNCTION, on_body);
    perform(copy_made_within);
    curl_easy_reset(copy);
    curl_easy_setopt(copy, CURLOPT_URL, url_of("/"));
    curl_easy_setopt(copy, CURLOPT_NOBODY, 1L);
    perform(copy);
    curl_easy_reset(copy);
    curl_easy_setopt(copy, CURLOPT_URL, url_of(CHAT));
    curl_easy_setopt(copy, CURLOPT_COPYPOSTFIELDS, BODY);
    curl_easy_setopt(copy, CURLOPT_HTTPHEADER, standard_headers());
    curl_easy_setopt(copy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(copy, CURLOPT_WRITEDATA, &sum);
    perform(copy);
    curl_easy_cleanup(copy);
    curl_easy_cleanup(copy_made_within);
    show(&sum);
    return 0;
}

/* ---- bodies ------------------------------------------------------------------------------- */

struct source {
    const char *at;
    size_t left, piece;
    bool fails;
};
static size_t on_source(char *room, size_t size, size_t count, void *data)
{
    struct source *source = data;
    size_t length = source->left < source->piece ? source->left : source->piece;
    if (source->fails && source->left < 20)
        return CURL_READFUNC_ABORT;
    if (length > size * count)
        length = size * count;
    memcpy(room, source->at, length);
    source->at += length;
    source->left -= length;
    return length;
}
static int rewind_source(void *data, curl_off_t offset, int origin)
{
    struct source *source = data;
    (void)origin;
    source->at = BODY + offset;
    source->left = strlen(BODY) - (size_t)offset;
    return CURL_SEEKFUNC_OK;
}
static int bodies(void)
{
    struct sum sum = {.name = "sum"};
    CURL *easy = request(CHAT, &sum);
    /* read from the program, in pieces, length known and not */
    struct source source = {BODY, strlen(BODY), 10, false};
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, NULL);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_source);
    curl_easy_setopt(easy, CURLOPT_READDATA, &source);
    curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, rewind_source);
    curl_easy_setopt(easy, CURLOPT_SEEKDATA, &source);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)strlen(BODY));
    perform(easy);
    source = (struct source){BODY, strlen(BODY), 7, true};
    perform(easy); /* gives up */
    source = (struct source){BODY, strlen(BODY), 1000, false};
    perform(easy);
    /* copied, and gone; a length that ends it early */
    char *copied = strdup(BODY "}}}}");
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(BODY));
    curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, copied);
    memset(copied, 'x', strlen(copied));
    free(copied);
    perform(easy);
    curl_easy_cleanup(easy);
    /* where it goes, as an object */
    CURLU *where = curl_url();
    curl_url_set(where, CURLUPART_URL, url_of(CHAT), 0);
    easy = request("/nowhere", &sum);
    curl_easy_setopt(easy, CURLOPT_CURLU, where);
    perform(easy);
    curl_easy_cleanup(easy);
    curl_url_cleanup(where);
    show(&sum);
    return 0;
}

/* Decoded by libcurl; not decoded; asked for by hand. */
static int codings(void)
{
    struct sum sum = {.name = "sum"};
    CURL *easy = request(STREAM ",coding=gzip", &sum);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "");
    perform(easy);
    show(&sum);
    curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    perform(easy);
    curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, NULL);
    curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 1L);
    perform(easy);
    show(&sum);
    curl_easy_cleanup(easy);
    return 0;
}

/* ---- ways out of a callback ----------------------------------------------------------------- */

static jmp_buf out;
static size_t on_leaving(char *bytes, size_t size, size_t count, void *data)
{
    on_body(bytes, size, count, data);
    longjmp(out, 1);
}
static int leaving(void)
{
    struct sum sum = {.name = "sum"};
    CURL *volatile easy = request(STREAM, &sum);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_leaving);
    if (!setjmp(out))
        curl_easy_perform(easy);
    curl_easy_cleanup(easy);
    CURL *next = request(CHAT, &sum);
    perform(next);
    curl_easy_cleanup(next);
    return 0;
}

static struct sum inner = {.name = "inner"};
static size_t on_nesting(char *bytes, size_t size, size_t count, void *data)
{
    if (!inner.bytes) {
        CURL *easy = request(CHAT, &inner);
        perform(easy);
        curl_easy_cleanup(easy);
    }
    return on_body(bytes, size, count, data);
}
static int nesting(void)
{
    struct sum sum = {.name = "outer"};
    CURL *easy = request(STREAM, &sum);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_nesting);
    perform(easy);
    curl_easy_cleanup(easy);
    show(&sum);
    show(&inner);
    return 0;
}

/* ---- others ------------------------------------------------------------------------------------------ */

static int errors(void)
{
    struct sum sum = {.name = "sum"};
    CURL *easy = request(CHAT, &sum);
    curl_easy_setopt(easy, CURLOPT_URL, "http://localhost:1/v1/chat/completions");
    perform(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url_of(STREAM ",hold=3"));
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, 1L);
    perform(easy);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, 0L);
    curl_easy_setopt(easy, CURLOPT_URL, url_of(STREAM ",cut=300"));
    perform(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url_of("/v1/chat/completions?x-standin=openai-error-429"));
    perform(easy);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    perform(easy);
    printf("%d\n", curl_easy_setopt(easy, (CURLoption)9999, 1L));
    curl_easy_cleanup(easy);
    return 0;
}

/* Redirected, asked for a password; OTHER says /v1/chat/completions is elsewhere, and wants to know who asks there. */
static int twice(void)
{
    struct sum sum = {.name = "sum"}, head = {.name = "head"};
    char url[512];
    CURL *easy = request(CHAT, &sum);
    snprintf(url, sizeof url, "%s/moved/v1/chat/completions", other);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    struct curl_slist *type = curl_slist_append(NULL, "Content-Type: application/json");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, type); /* and no authorization but libcurl's */
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_USERPWD, "me:secret");
    curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_ANY);
    perform(easy);
    curl_easy_setopt(easy, CURLOPT_HEADER, 1L);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &head);
    perform(easy);
    show(&sum);
    show(&head);
    curl_easy_cleanup(easy);
    curl_slist_free_all(type);
    return 0;
}

/* More handles than are kept account of. */
static int crowd(void)
{
    static CURL *handles[6000];
    struct sum sum = {.name = "sum"};
    for (int i = 0; i < 6000; i++)
        handles[i] = curl_easy_init();
    CURL *late = request(CHAT, &sum);
    curl_easy_perform(late);
    for (int i = 0; i < 6000; i++)
        curl_easy_cleanup(handles[i]);
    curl_easy_cleanup(late);
    late = request(CHAT, &sum);
    perform(late);
    curl_easy_cleanup(late);
    show(&sum);
    return 0;
}

/* Another libcurl beside the one that this is linked with, known by pointers alone. */
static int by_pointer(void)
{
    void *library = dlopen(other, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return failed(dlerror());
    CURL *(*init)(void) = (CURL * (*)(void)) dlsym(library, "curl_easy_init");
    CURLcode (*setopt)(CURL *, CURLoption, ...) =
        (CURLcode(*)(CURL *, CURLoption, ...))dlsym(library, "curl_easy_setopt");
    CURLcode (*act)(CURL *) = (CURLcode(*)(CURL *))dlsym(library, "curl_easy_perform");
    void (*cleanup)(CURL *) = (void (*)(CURL *))dlsym(library, "curl_easy_cleanup");
    curl_version_info_data *(*version)(CURLversion) =
        (curl_version_info_data * (*)(CURLversion)) dlsym(library, "curl_version_info");
    struct sum sum = {.name = "pointer"};
    printf("%s\n%s\n", version(CURLVERSION_NOW)->ssl_version,
           curl_version_info(CURLVERSION_NOW)->ssl_version);
    CURL *easy = init();
    setopt(easy, CURLOPT_URL, url_of(CHAT));
    setopt(easy, CURLOPT_HTTPHEADER, standard_headers());
    setopt(easy, CURLOPT_POSTFIELDS, BODY);
    setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    setopt(easy, CURLOPT_WRITEDATA, &sum);
    printf("%d\n", act(easy));
    show(&sum);
    CURL *own = request(CHAT, &sum);
    perform(own);
    cleanup(easy);
    curl_easy_cleanup(own);
    printf("%s\n", dlsym(library, "no_such_function") ? "found" : dlerror());
    return 0;
}

static const struct {
    const char *name;
    int (*run)(void);
} cases[] = {
    {"header_data", header_data},
    {"to_files", to_files},
    {"header_in_body", header_in_body},
    {"refusing", refusing},
    {"changing", changing},
    {"copies", copies},
    {"bodies", bodies},
    {"codings", codings},
    {"leaving", leaving},
    {"nesting", nesting},
    {"pausing", pausing},
    {"many_asking", many_asking},
    {"many_not_asking", many_not_asking},
    {"giving_up", giving_up},
    {"pushing", pushing},
    {"by_events", by_events},
    {"threads", threads},
    {"forking", forking},
    {"errors", errors},
    {"twice", twice},
    {"crowd", crowd},
    {"by_pointer", by_pointer},
};

int main(int argc, char **argv)
{
    base = argc > 2 ? argv[2] : "";
    other = argc > 3 ? argv[3] : "";
    curl_global_init(CURL_GLOBAL_ALL);
    for (size_t i = 0; argc > 2 && i < sizeof cases / sizeof cases[0]; i++)
        if (!strcmp(cases[i].name, argv[1])) {
            int status = cases[i].run();
            curl_slist_free_all(headers);
            curl_global_cleanup();
            return status;
        }
    return 2;
}
