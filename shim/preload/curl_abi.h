/* curl_abi.h: of libcurl's interface what is spoken here. These numbers and shapes are its ABI, which has not changed since 7.16 and is
 * promised not to. They are named here so that nothing has to be installed to build with; tests/build/test_preload.sh compares them with
 * libcurl's own headers.
 *
 * Variadic functions: curl_easy_setopt(), curl_easy_getinfo(), curl_multi_setopt() take one more argument: a long, a pointer or a curl_off_t.
 * On 64-bit Linux each of these is one integer register, variadic or not, so the argument can be taken and handed on as a pointer. */
#ifndef TALLY_PRELOAD_CURL_ABI_H
#define TALLY_PRELOAD_CURL_ABI_H

#include <stddef.h>

_Static_assert(sizeof(void *) == 8 && sizeof(long) == 8, "an argument of curl_easy_setopt() is one register");

enum {
    OPT_WRITEDATA = 10001,
    OPT_URL = 10002,
    OPT_READDATA = 10009,
    OPT_WRITEFUNCTION = 20011,
    OPT_READFUNCTION = 20012,
    OPT_POSTFIELDS = 10015,
    OPT_HTTPHEADER = 10023,
    OPT_HTTPPOST = 10024,
    OPT_HEADERDATA = 10029,
    OPT_CUSTOMREQUEST = 10036,
    OPT_HEADER = 42,
    OPT_NOBODY = 44,
    OPT_UPLOAD = 46,
    OPT_POST = 47,
    OPT_PUT = 54,
    OPT_POSTFIELDSIZE = 60,
    OPT_HEADERFUNCTION = 20079,
    OPT_HTTPGET = 80,
    OPT_ACCEPT_ENCODING = 10102,
    OPT_POSTFIELDSIZE_LARGE = 30120,
    OPT_CONNECT_ONLY = 141,
    OPT_HTTP_CONTENT_DECODING = 158,
    OPT_COPYPOSTFIELDS = 10165,
    OPT_MIMEPOST = 10269,
    OPT_CURLU = 10282
};

/* CURLcode */
enum {
    CURL_OK = 0,
    CURL_FAILED_INIT = 2,
    CURL_COULDNT_RESOLVE_PROXY = 5,
    CURL_COULDNT_RESOLVE_HOST = 6,
    CURL_COULDNT_CONNECT = 7,
    CURL_HTTP2 = 16,
    CURL_PARTIAL_FILE = 18,
    CURL_HTTP_RETURNED_ERROR = 22,
    CURL_WRITE_ERROR = 23,
    CURL_READ_ERROR = 26,
    CURL_OPERATION_TIMEDOUT = 28,
    CURL_SSL_CONNECT_ERROR = 35,
    CURL_ABORTED_BY_CALLBACK = 42,
    CURL_TOO_MANY_REDIRECTS = 47,
    CURL_GOT_NOTHING = 52,
    CURL_SEND_ERROR = 55,
    CURL_RECV_ERROR = 56,
    CURL_SSL_CERTPROBLEM = 58,
    CURL_PEER_FAILED_VERIFICATION = 60,
    CURL_HTTP2_STREAM = 92
};

/* CURLMcode */
enum { MULTI_OK = 0, MULTI_INTERNAL_ERROR = 4 };

/* What a write callback may return: the same bytes come again. */
#define CURL_WRITE_PAUSE 0x10000001

/* CURLUPart */
enum { URL_PART_SCHEME = 1, URL_PART_HOST = 5, URL_PART_PORT = 6, URL_PART_PATH = 7 };

enum { MULTI_PUSHFUNCTION = 20014 };

#define MESSAGE_DONE 1

struct curl_message {
    int message;
    void *easy;
    union {
        void *whatever;
        int result;
    } data;
};

struct curl_header_line {
    char *data;
    struct curl_header_line *next;
};

typedef size_t curl_transfer_callback(char *bytes, size_t size, size_t count, void *data);

#endif
