#!/usr/bin/env python3
"""Ways of using libcurl in which who stands in between may go wrong: programs/curl_cases.c, with both of Debian's libcurls, says and
ends the same with the library as without it, and each of its calls is counted once, as it ended."""
import base64
import collections
import http.server
import subprocess
import sys
import threading

import world
from tap import Skip, expect, tries

# what has to be counted: how many calls ended in which way
OK, ERROR, CANCELLED = "ok", "error", "cancelled"
CASES = {
    "header_data": {OK: 3},
    "to_files": {OK: 2},
    "header_in_body": {OK: 2},
    "refusing": {CANCELLED: 1, OK: 1},
    "changing": {OK: 2},
    "copies": {OK: 4},
    "bodies": {OK: 4},  # and one whose request did not leave
    "codings": {OK: 3},
    "leaving": {CANCELLED: 1, OK: 1},
    "nesting": {OK: 2},
    "pausing": {OK: 5},
    "many_asking": {OK: 99},
    "many_not_asking": {OK: 99},
    "giving_up": {OK: 1, CANCELLED: 3},
    "pushing": {OK: 1},  # not followed from there on, which is said
    "by_events": {OK: 20},
    "threads": {OK: 88},
    "forking": {OK: 3},
    "errors": {ERROR: 5},
    "twice": {OK: 2},
    "crowd": {OK: 1},
    "by_pointer": {OK: 2},
}
# libraries: what the program is linked with, and the other
LIBRARIES = {"openssl": ("-lcurl", "libcurl-gnutls.so.4"), "gnutls": ("-l:libcurl-gnutls.so.4", "libcurl.so.4")}
ANSWER = (b'{"id":"chatcmpl-2","object":"chat.completion","model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":'
          b'{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":7,'
          b'"total_tokens":12}}')


class Twice(http.server.BaseHTTPRequestHandler):
    """Sends whoever asks to where a password is wanted; says something at each turn."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def date_time_string(self, timestamp=None):
        return "Sun, 01 Nov 2026 00:00:00 GMT"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        wanted = "Basic " + base64.b64encode(b"me:secret").decode()
        if self.path.startswith("/moved/"):
            self.answer(307, [("Location", self.path.removeprefix("/moved"))], b'{"usage":{"prompt_tokens":99}}')
        elif self.headers.get("Authorization") != wanted:
            self.answer(401, [("WWW-Authenticate", 'Basic realm="there"')], b'{"usage":{"prompt_tokens":77}}')
        else:
            self.answer(200, [], ANSWER)

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in [*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Cases:
    """All of them are run before the first is judged: what they recorded is waited for once."""

    def __init__(self, place):
        self.place, self.ran, self.missing = place, False, {}
        self.results, self.rows = {}, {}

    def run(self):
        if self.ran:
            return
        self.ran = True
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 8099), Twice)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        for library, (flag, other) in LIBRARIES.items():
            program = self.build(library, flag)
            for _, case in world.filtered([(f"{case}_{library}", case) for case in CASES]) if program else ():
                words = [program, case, "http://api.openai.com", other if case == "by_pointer" else "http://localhost:8099"]
                without = self.place.run(words, preload=False)
                self.results[case, library] = without, self.place.run(words, service=f"{case}-{library}")
                self.place.standin.ask("release")
        server.shutdown()
        server.server_close()
        for row in self.place.rows():
            self.rows.setdefault(row["service"], []).append(row)

    def build(self, library, flag):
        program = f"{self.place.folder}/curl_cases-{library}"
        done = subprocess.run(["gcc", "-g", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", f"{world.HERE}/programs/curl_cases.c",
                               f"{world.HERE}/programs/curl_many.c", "-o", program, flag, "-lpthread"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.missing[library] = (done.stderr.strip().splitlines() or ["?"])[-1]
            return None
        return program

    def check(self, case, library):
        self.run()
        if library in self.missing:
            raise Skip(f"no program can be built with this libcurl: {self.missing[library]}")
        without, with_it = self.results[case, library]
        expect(without.status == 0 and b"FAILED" not in without.output,
               f"fails without the library: {without.status} {without.output[-300:]} {without.errors[-300:]}")
        expect(with_it.same_as(without), f"status {with_it.status}, not {without.status}\n{with_it.output.decode()[-900:]}\n-- not\n"
               f"{without.output.decode()[-900:]}\n{with_it.errors.decode(errors='replace')[-600:]}")
        rows = [row for row in self.rows.get(f"{case}-{library}", []) if case != "bodies" or row["status"] == OK]
        found = collections.Counter(row["status"] for row in rows)
        if case == "crowd":
            found[OK] = min(found[OK], 1)
        expect(found == CASES[case], f"counted {dict(found)}, not {CASES[case]}")
        for row in rows:
            self.check_row(case, row)
        tries(len(rows), "calls by libcurl in strange ways")

    def check_row(self, case, row):
        expect(row["request_model"] == "gpt-4o-mini", f"asked for {row['request_model']!r}")
        expect(row["tags"].get("tally.layer") == "curl", f"seen by {row['tags']}")
        if row["status"] != OK:
            return
        if case == "pushing":
            expect(row["input_tokens"] is None and row["tags"].get("tally.capture") == "http2_push", f"tagged {row['tags']}")
            return
        wanted = {(5, 7)} if case == "twice" else TOKENS(self.place)
        expect((row["input_tokens"], row["output_tokens"]) in wanted,
               f"{row['input_tokens']} and {row['output_tokens']} tokens, not {wanted}")


def TOKENS(place):
    return {(place.exchanges[name].usage["input"], place.exchanges[name].usage["output"])
            for name in ("openai-chat", "openai-stream")}


def tests_of(place):
    cases = Cases(place)
    for library in LIBRARIES:
        for case in CASES:
            yield (f"{case}_{library}", lambda c=case, l=library: cases.check(c, l))


if __name__ == "__main__":
    sys.exit(world.play(tests_of))
