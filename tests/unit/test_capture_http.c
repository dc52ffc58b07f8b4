/* The HTTP reader: what passes through a connection is told to exchanges as it was, whatever the pieces in which it comes. The
 * exchanges here only write down what they are told (exchange_story.h). */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
// clang-format on

#include "capture/http.h"
#include "support/tries.h"
#include "unit/exchange_story.h"

/* A talk is a list of what is sent ('>') and received ('<'), in turn. */
struct said {
    char direction;
    const char *bytes;
};

#define POST(path, more)                                                                                     \
    "POST " path " HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: Bearer k\r\nAccept: */*\r\n" more
#define REQUEST POST("/v1/chat", "Content-Length: 5\r\n\r\n") "{\"a\"}"
#define ASKED_HEAD(path)                                                                                     \
    "open socket\nmethod POST\ntarget " path "\nhost api.example.com\nrequest authorization: Bearer k\n"
#define ASKED    ASKED_HEAD("/v1/chat") "request head end\nrequest body {\"a\"}\nrequest end\n"
#define OK_HEAD  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
#define ANSWERED "status 200\nresponse content-type: application/json\nresponse head end\n"

static struct http http;
static unsigned long long talks;

static enum http_state say(char direction, const char *bytes, size_t length)
{
    if (direction == '<')
        return http_received(&http, bytes, length);
    enum http_state state = http_sending(&http, bytes, length);
    return state == HTTP_OFF ? state : http_sent(&http, length);
}

static const char *play(const struct said *talk, size_t piece, size_t first)
{
    story_begin();
    http_begin(&http, CAPTURE_SOCKET, false);
    enum http_state state = HTTP_ON;
    for (const struct said *said = talk; said->bytes; said++) {
        size_t length = strlen(said->bytes), step = first ? first : piece;
        for (size_t at = 0; at < length; at += step, step = first ? length : piece)
            state = say(said->direction, said->bytes + at, length - at < step ? length - at : step);
    }
    talks++;
    assert_null(story.wrong);
    (void)state;
    return story_text(0);
}

/* Cut at each byte, in pieces of one, of seven, of a packet, and whole: the same story, and then at the end this state. */
static void expect(const struct said *talk, const char *wanted, bool idle)
{
    static const size_t pieces[] = {1 << 30, 1460, 7, 3, 2, 1};
    size_t longest = 0;
    for (const struct said *said = talk; said->bytes; said++)
        longest = strlen(said->bytes) > longest ? strlen(said->bytes) : longest;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0] + longest; i++) {
        bool split = i >= sizeof pieces / sizeof pieces[0];
        const char *text = play(talk, split ? 1 << 30 : pieces[i], split ? i - 5 : 0);
        assert_string_equal(text, wanted);
        assert_int_equal(http_is_idle(&http), idle);
        http_end(&http, false, NULL);
        assert_int_equal(story.open, 0);
    }
}

static void expect_off(const struct said *talk, const char *wanted)
{
    expect(talk, wanted, false);
    (void)play(talk, 1, 0);
    assert_int_equal(http_received(&http, "x", 1), HTTP_OFF);
    assert_int_equal(http_sending(&http, "x", 1), HTTP_OFF);
    assert_int_equal(http_sent(&http, 1), HTTP_OFF);
}

#define TALK(...)                                                                                            \
    (const struct said[])                                                                                    \
    {                                                                                                        \
        __VA_ARGS__,                                                                                         \
        {                                                                                                    \
            0, NULL                                                                                          \
        }                                                                                                    \
    }

static void lengths_and_keep_alive(void **state)
{
    (void)state;
    expect(TALK({'>', REQUEST}, {'<', OK_HEAD "content-LENGTH:  2 \r\nX-Other: 1\r\n\r\n{}"}),
           ASKED ANSWERED "response body {}\ncomplete\n", true);
    /* twice on one connection, and without a body */
    expect(TALK({'>', REQUEST}, {'<', OK_HEAD "Content-Length: 2\r\n\r\n{}"}, {'>', REQUEST},
                {'<', OK_HEAD "Content-Length: 0\r\n\r\n"}),
           ASKED ANSWERED "response body {}\ncomplete\n" ASKED ANSWERED "complete\n", true);
    /* a request whose body says no length has none */
    expect(TALK({'>', POST("/v1/chat", "\r\n")}, {'<', "HTTP/1.1 204 No Content\r\n\r\n"}),
           ASKED_HEAD("/v1/chat") "request head end\nrequest end\nstatus 204\nresponse head end\ncomplete\n",
           true);
    /* the same length twice is one */
    expect(TALK({'>', REQUEST}, {'<', OK_HEAD "Content-Length: 2, 2\r\nContent-Length: 2\r\n\r\n{}"}),
           ASKED ANSWERED "response body {}\ncomplete\n", true);
}

static void chunks(void **state)
{
    (void)state;
    expect(
        TALK({'>', POST("/v1/chat",
                        "Transfer-Encoding: chunked\r\n\r\n") "3\r\n{\"a\r\n2;x=\"y\"\r\n\"}\r\n0\r\n\r\n"},
             {'<', OK_HEAD "Transfer-Encoding: Chunked\r\n\r\n1\r\n{\r\n00001 \r\n}\r\n0;last\r\n"
                           "X-Checksum: 1\r\nMore: 2\r\n\r\n"},
             {'>', REQUEST}, {'<', OK_HEAD "Content-Length: 2\r\n\r\n{}"}),
        ASKED ANSWERED "response body {}\ncomplete\n" ASKED ANSWERED "response body {}\ncomplete\n", true);
    /* stronger than a length */
    expect(TALK({'>', REQUEST},
                {'<', OK_HEAD
                 "Content-Length: 999\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n"}),
           ASKED ANSWERED "response body 0123456789\ncomplete\n", true);
    expect_off(TALK({'>', REQUEST}, {'<', OK_HEAD "Transfer-Encoding: chunked\r\n\r\nx\r\n"}),
               ASKED ANSWERED "give up http_response_garbage\n");
    expect_off(TALK({'>', REQUEST}, {'<', OK_HEAD "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n"}),
               ASKED ANSWERED "response body {\ngive up http_response_garbage\n");
    expect_off(TALK({'>', REQUEST}, {'<', OK_HEAD "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"}),
               ASKED ANSWERED "give up http_response_garbage\n");
    expect_off(TALK({'>', REQUEST}, {'<', OK_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n"}),
               ASKED ANSWERED "give up http_transfer_coding\n");
}

static void interim_responses(void **state)
{
    (void)state;
    expect(TALK({'>', POST("/v1/chat", "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")},
                {'<', "HTTP/1.1 100 Continue\r\n\r\n"}, {'>', "{\"a\"}"},
                {'<', "HTTP/1.1 103 Early Hints\r\nContent-Type: x\r\nContent-Length: 7\r\n\r\n" OK_HEAD
                      "Content-Length: 2\r\n\r\n{}"}),
           ASKED ANSWERED "response body {}\ncomplete\n", true);
    expect_off(TALK({'>', REQUEST}, {'<', "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"},
                    {'<', "PRI *"}),
               ASKED "give up http_upgrade\n");
}

static void bodies_to_the_end(void **state)
{
    (void)state;
    static const struct {
        bool by_peer;
        const char *error, *end;
    } ends[] = {{true, NULL, "complete\n"},
                {true, "connection_reset", "cut connection_reset\n"},
                {false, NULL, "cancelled\n"}};
    for (int i = 0; i < 3; i++) {
        (void)play(TALK({'>', REQUEST}, {'<', "HTTP/1.0 200 OK\r\n\r\nall of \r\n\r\n it"}), 3, 0);
        http_end(&http, ends[i].by_peer, ends[i].error);
        char wanted[400];
        snprintf(wanted, sizeof wanted,
                 ASKED "status 200\nresponse head end\nresponse body all of \r\n\r\n it\n%s", ends[i].end);
        assert_string_equal(story_text(0), wanted);
    }
    /* of a known length it is cut, whoever ends it */
    for (int by_peer = 0; by_peer < 2; by_peer++) {
        (void)play(TALK({'>', REQUEST}, {'<', OK_HEAD "Content-Length: 9\r\n\r\nhalf"}), 3, 0);
        http_end(&http, by_peer, NULL);
        assert_string_equal(story_text(0), by_peer ? ASKED ANSWERED "response body half\ncut\n"
                                                   : ASKED ANSWERED "response body half\ncancelled\n");
    }
}

static void no_bodies_where_there_are_none(void **state)
{
    (void)state;
    expect(TALK({'>', REQUEST "HEAD /a HTTP/1.1\r\n\r\n" REQUEST},
                {'<', "HTTP/1.1 304 Not Modified\r\nContent-Length: 70\r\n\r\n"
                      "HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n" OK_HEAD "Content-Length: 2\r\n\r\n{}"}),
           ASKED "status 304\nresponse head end\ncomplete\n" ASKED ANSWERED "response body {}\ncomplete\n",
           true);
    expect_off(TALK({'>', REQUEST "CONNECT a:443 HTTP/1.1\r\n\r\n"},
                    {'<', OK_HEAD "Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n\x16\x03"}),
               ASKED ANSWERED "response body {}\ncomplete\n");
    /* a proxy that refuses has a body */
    expect(
        TALK({'>', REQUEST "CONNECT a:443 HTTP/1.1\r\n\r\n" REQUEST},
             {'<', OK_HEAD "Content-Length: 2\r\n\r\n{}HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno" OK_HEAD
                           "Content-Length: 2\r\n\r\n{}"}),
        ASKED ANSWERED "response body {}\ncomplete\n" ASKED ANSWERED "response body {}\ncomplete\n", true);
}

static void pipelines(void **state)
{
    (void)state;
    expect(TALK({'>', REQUEST "GET /v1/models HTTP/1.1\r\nHost: h\r\n\r\n" REQUEST
                              "PUT /f HTTP/1.1\r\nContent-Length: 6\r\n\r\nPOST /" REQUEST},
                {'<',
                 OK_HEAD "Content-Length: 1\r\n\r\n1" OK_HEAD "Content-Length: 3\r\n\r\nGET" OK_HEAD
                         "Content-Length: 1\r\n\r\n2" OK_HEAD
                         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" OK_HEAD "Content-Length: 1\r\n\r\n3"}),
           ASKED ANSWERED "response body 1\ncomplete\n" ASKED ANSWERED
                          "response body 2\ncomplete\n" ASKED ANSWERED "response body 3\ncomplete\n",
           true);
    /* as many as there are places, and one more */
    expect(TALK({'>', REQUEST REQUEST REQUEST REQUEST REQUEST REQUEST REQUEST REQUEST}),
           ASKED "(open)\n" ASKED "(open)\n" ASKED "(open)\n" ASKED "(open)\n" ASKED "(open)\n" ASKED
                 "(open)\n" ASKED "(open)\n" ASKED "(open)\n",
           false);
#define GIVEN_UP "give up http_pipelined\n"
    expect_off(TALK({'>', REQUEST REQUEST REQUEST REQUEST REQUEST REQUEST REQUEST REQUEST REQUEST}),
               ASKED GIVEN_UP ASKED GIVEN_UP ASKED GIVEN_UP ASKED GIVEN_UP ASKED GIVEN_UP ASKED GIVEN_UP ASKED
                   GIVEN_UP ASKED GIVEN_UP);
}

static void ignored_ones_are_read_past(void **state)
{
    (void)state;
    expect(TALK({'>', POST("/ignored", "Content-Length: 9\r\n\r\n") "POST / HT"},
                {'<', OK_HEAD "Content-Length: 9\r\n\r\nHTTP/1.1 "}, {'>', REQUEST},
                {'<', OK_HEAD "Content-Length: 2\r\n\r\n{}"}),
           ASKED_HEAD("/ignored") "request head end\ncomplete\n" ASKED ANSWERED
                                  "response body {}\ncomplete\n",
           true);
    expect(TALK({'>', POST("/deaf", "Content-Length: 1\r\n\r\n") "x"},
                {'<', OK_HEAD "Content-Length: 9\r\n\r\nHTTP/1.1 "}, {'>', REQUEST},
                {'<', OK_HEAD "Content-Length: 2\r\n\r\n{}"}),
           ASKED_HEAD("/deaf") "request head end\nrequest body x\nrequest end\n" ANSWERED
                               "complete\n" ASKED ANSWERED "response body {}\ncomplete\n",
           true);
}

static void early_responses(void **state)
{
    (void)state;
    /* refused before the body has left; the rest of it leaves nevertheless, and the connection goes on */
    expect(TALK({'>', POST("/v1/chat", "Content-Length: 5\r\n\r\n") "{\""},
                {'<', "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"}, {'>', "a\"}" REQUEST},
                {'<', OK_HEAD "Content-Length: 2\r\n\r\n{}"}),
           ASKED_HEAD(
               "/v1/chat") "request head end\nrequest body {\"\nrequest end\nstatus 413\nresponse head end\n"
                           "response body no\ncomplete\n" ASKED ANSWERED "response body {}\ncomplete\n",
           true);
    /* before its head has */
    expect(TALK({'>', "POST /v1/chat HTTP/1.1\r\nHost: api.example.com\r\nAu"},
                {'<', "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"}),
           "open socket\nmethod POST\ntarget /v1/chat\nhost api.example.com\nrequest head end\nrequest "
           "end\nstatus 400\n"
           "response head end\ncomplete\n",
           false);
    /* and one that nobody asked for */
    expect_off(TALK({'>', "POST /v1"}, {'<', "HTTP/1.1 408 Too slow\r\n"}), "");
}

static void odd_but_understood(void **state)
{
    (void)state;
    /* bare LF, no reason, obs-fold, empty lines between, a name with space behind it, a line without a name */
    expect(
        TALK({'>', "POST /v1/chat HTTP/1.0\nhost:api.example.com\nAUTHORIZATION:\n  Bearer\n\tk\nno "
                   "name\nContent-Length : 5\n\n{\"a\"}"},
             {'<', "\r\n\nHTTP/1.1 200\nContent-Type:application/json\nContent-Length:\n 2\n\n{}"},
             {'>', "\r\n" REQUEST}, {'<', OK_HEAD "Content-Length: 2\r\n\r\n{}"}),
        "open socket\nmethod POST\ntarget /v1/chat\nhost api.example.com\nrequest authorization: Bearer\tk\n"
        "request head end\nrequest body {\"a\"}\nrequest end\n" ANSWERED
        "response body {}\ncomplete\n" ASKED ANSWERED "response body {}\ncomplete\n",
        true);
    /* a whole URL, to a proxy: it names the host */
    expect(
        TALK({'>', "POST http://api.example.com/v1 HTTP/1.1\r\nHost: proxy\r\n\r\n"}),
        "open socket\nmethod POST\ntarget http://api.example.com/v1\nrequest head end\nrequest end\n(open)\n",
        false);
    story_begin();
    http_begin(&http, CAPTURE_OPENSSL, true);
    story.no_memory = true;
    /* without memory for an exchange all is read past */
    assert_int_equal(say('>', REQUEST, strlen(REQUEST)), HTTP_ON);
    assert_int_equal(say('<', OK_HEAD "Content-Length: 0\r\n\r\n", strlen(OK_HEAD) + 21), HTTP_ON);
    assert_true(http_is_idle(&http));
}

static void garbage(void **state)
{
    (void)state;
    expect_off(TALK({'>', REQUEST "P\001ST / HTTP/1.1\r\n"}), ASKED "give up http_request_garbage\n");
    expect_off(TALK({'>', REQUEST "POST /\r\n"}), ASKED "give up http_request_garbage\n");
    expect_off(TALK({'>', REQUEST "POST / HTTP/2.0\r\n"}), ASKED "give up http_request_garbage\n");
    expect_off(TALK({'>', REQUEST}, {'<', "RTSP/1.0 200 OK\r\n"}), ASKED "give up http_response_garbage\n");
    expect_off(TALK({'>', REQUEST}, {'<', "HTTP/1.1 2x0 OK\r\n"}), ASKED "give up http_response_garbage\n");
    expect_off(TALK({'>', REQUEST}, {'<', "HTTP/1.1 099 OK\r\n"}), ASKED "give up http_response_garbage\n");
    expect_off(TALK({'>', REQUEST}, {'<', "HTTP/1.1 2000 OK\r\n"}), ASKED "give up http_response_garbage\n");
    expect_off(TALK({'>', REQUEST}, {'<', "HTTP/2 200 OK\r\n"}), ASKED "give up http_response_garbage\n");
    expect_off(TALK({'>', REQUEST}, {'<', OK_HEAD "Content-Length: 2\r\nContent-Length: 3\r\n\r\n"}),
               ASKED "status 200\nresponse content-type: application/json\ngive up http_response_length\n");
    expect_off(TALK({'>', REQUEST}, {'<', OK_HEAD "Content-Length: 2, 3\r\n\r\n"}),
               ASKED "status 200\nresponse content-type: application/json\ngive up http_response_length\n");
    expect_off(TALK({'>', REQUEST}, {'<', OK_HEAD "Content-Length: -2\r\n\r\n"}),
               ASKED "status 200\nresponse content-type: application/json\ngive up http_response_length\n");
    expect_off(TALK({'>', REQUEST}, {'<', OK_HEAD "Content-Length: 99999999999999999999999\r\n\r\n"}),
               ASKED "status 200\nresponse content-type: application/json\ngive up http_response_length\n");
    expect_off(TALK({'>', "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"}),
               "open socket\nmethod POST\ntarget /\ngive up http_request_length\n");
}

/* Lines and heads of any length: what is beyond HTTP_LINE_MAX is left out, what is beyond all reason ends it. */
static void long_lines(void **state)
{
    (void)state;
    size_t bytes = 400000;
    char *text = malloc(bytes + 400), *query = malloc(20001);
    assert_true(text && query);
    memset(query, 'q', 20000);
    query[20000] = '\0';
    sprintf(text,
            "POST /v1/chat?%s HTTP/1.1\r\nAuthorization: %s\r\nCookie: %s\r\nHost: h\r\nContent-Length: "
            "1\r\n\r\nx",
            query, query, query);
    const char *told = play(
        (const struct said[]){{'>', text}, {'<', OK_HEAD "Content-Length: 0\r\n\r\n"}, {0, NULL}}, 1460, 0);
    assert_null(strstr(told, "authorization"));
    assert_non_null(
        strstr(told, "\nhost h\nrequest head end\nrequest body x\nrequest end\n" ANSWERED "complete\n"));
    assert_true(strlen(told) < 5000);
    assert_true(http_is_idle(&http));
    for (int in_line = 0; in_line < 2; in_line++) {
        size_t at = (size_t)sprintf(text, "POST / HTTP/1.1\r\n");
        for (; at < bytes; at += 10)
            memcpy(text + at, in_line ? "aaaaaaaaaa" : "a: 345678\n", 10);
        text[at] = '\0';
        told = play((const struct said[]){{'>', text}, {0, NULL}}, 1460, 0);
        assert_string_equal(told, "open socket\nmethod POST\ntarget /\ngive up http_request_garbage\n");
    }
    free(text);
    free(query);
}

/* Of what is given to http_sending() only some leaves, or nothing; the rest comes again, cut in another way. */
static void partial_writes(void **state)
{
    (void)state;
    static const char sent[] = REQUEST POST(
        "/v1/chat", "Transfer-Encoding: chunked\r\n\r\n") "3\r\n{\"a\r\n2\r\n\"}\r\n0\r\n\r\n" REQUEST;
    uint32_t random = 1;
    for (int round = 0; round < 20000; round++) {
        story_begin();
        http_begin(&http, CAPTURE_SOCKET, false);
        for (size_t at = 0; at < sizeof sent - 1;) {
            size_t given = 0, left = sizeof sent - 1 - at;
            random = random * 1664525 + 1013904223;
            for (unsigned pieces = random >> 20 & 3; pieces-- + 1;) { /* as of a vector */
                size_t piece = (random >> 8 ^ pieces * 37) % 120;
                if (piece > left - given)
                    piece = left - given;
                assert_int_equal(http_sending(&http, sent + at + given, piece), HTTP_ON);
                given += piece;
            }
            size_t went = (random >> 28) < 6 ? given : (random >> 16) % (given + 1);
            assert_int_equal(http_sent(&http, went), HTTP_ON);
            at += went;
        }
        assert_null(story.wrong);
        const char *text = story_text(0);
        assert_string_equal(text, ASKED "(open)\n" ASKED "(open)\n" ASKED "(open)\n");
        http_end(&http, false, NULL);
        talks++;
    }
    /* the call has begun before anything has left */
    story_begin();
    http_begin(&http, CAPTURE_SOCKET, false);
    assert_int_equal(http_sending(&http, REQUEST, strlen(REQUEST)), HTTP_ON);
    const char *text = story_text(0);
    assert_string_equal(text, ASKED "(open)\n");
    assert_int_equal(http_sent(&http, 0), HTTP_ON);
    assert_false(http_is_idle(&http));
    /* more than was given has left: bytes that nobody saw */
    assert_int_equal(http_sending(&http, REQUEST, 10), HTTP_ON);
    assert_int_equal(http_sent(&http, 11), HTTP_OFF);
    text = story_text(0);
    assert_string_equal(text, ASKED "give up http_sent_unseen\n");
}

/* Any bytes: nothing is told that must not be told there, and all that was opened is ended. */
static void random_bytes(void **state)
{
    (void)state;
    static const char empty[] = OK_HEAD "Content-Length: 0\r\n\r\n";
    static const char *const words[] = {REQUEST,
                                        "POST / HTTP/1.1\r\n",
                                        "\r\n",
                                        "\n",
                                        "Content-Length: 3\r\n",
                                        "Transfer-Encoding: chunked\r\n",
                                        "3\r\nabc\r\n",
                                        "0\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\n",
                                        "HTTP/1.1 100 C\r\n\r\n",
                                        "HTTP/1.0 204 N\r\n",
                                        "abc",
                                        " ",
                                        "GET / HTTP/1.1\r\n\r\n",
                                        ":",
                                        "HEAD / HTTP/1.1\r\n\r\n",
                                        empty};
    uint32_t random = 7;
    for (int round = 0; round < 50000; round++) {
        story_begin();
        http_begin(&http, CAPTURE_SOCKET, false);
        say('>', REQUEST, strlen(REQUEST));
        for (int i = 0; i < 12; i++) {
            random = random * 1664525 + 1013904223;
            const char *word = words[(random >> 16) % (sizeof words / sizeof words[0])];
            say(random >> 31 ? '<' : '>', word, strlen(word));
        }
        http_end(&http, random >> 30 & 1, NULL);
        assert_null(story.wrong);
        assert_int_equal(story.open, 0);
        talks++;
    }
    tries(talks, "talks read by the HTTP reader");
}

static int last(void **state)
{
    (void)state;
    story_begin();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_and_keep_alive),
        cmocka_unit_test(chunks),
        cmocka_unit_test(interim_responses),
        cmocka_unit_test(bodies_to_the_end),
        cmocka_unit_test(no_bodies_where_there_are_none),
        cmocka_unit_test(pipelines),
        cmocka_unit_test(ignored_ones_are_read_past),
        cmocka_unit_test(early_responses),
        cmocka_unit_test(odd_but_understood),
        cmocka_unit_test(garbage),
        cmocka_unit_test(long_lines),
        cmocka_unit_test(partial_writes),
        cmocka_unit_test(random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, last);
}
