/* curl_cases.h: what the parts of curl_cases share. */
#ifndef TALLY_TESTS_CURL_CASES_H
#define TALLY_TESTS_CURL_CASES_H

#include <curl/curl.h>

#include <stddef.h>

#define CHAT   "/v1/chat/completions?x-standin=openai-chat"
#define STREAM "/v1/chat/completions?x-standin=openai-stream"

/* What came in. */
struct sum {
    const char *name;
    unsigned long long bytes, hash;
    unsigned pauses, refuse_at, calls;
    CURL *easy;
};
void add(struct sum *sum, const void *bytes, size_t length);
size_t on_body(char *bytes, size_t size, size_t count, void *data);
void show(const struct sum *sum);
int failed(const char *what);

/* A handle that posts to this path of the base; sum: or NULL. */
CURL *request(const char *path, struct sum *sum);
int perform(CURL *easy);
/* The thread's list of headers, to be freed when it ends. */
extern __thread struct curl_slist *headers;

/* curl_many.c */
int pausing(void);
int many_asking(void);
int many_not_asking(void);
int giving_up(void);
int pushing(void);
int by_events(void);
int threads(void);
int forking(void);

#endif
