#!/usr/bin/env python3
"""Calls that end otherwise than well: the program killed in mid-stream, the program that leaves, the provider that breaks off.

The stand-in holds an answer after so many events, so that what has been seen by then is known; nothing is timed.
"""
import signal
import subprocess
import sys

import clients
import world
from tap import Failure, expect, tries, wait_for

# wish, pieces that come before the hold, and what they say has been used by then
STREAMS = [
    ("anthropic-stream", 4, {"input": 472, "output": 2}),
    ("vllm-stream", 3, {"input": 7, "output": 2}),
    ("gemini-stream", 2, {"input": 8, "output": 32}),
    ("openai-stream", 4, {"input": None, "output": None}),
    # no stream: all of it has come but the word that it is all
    ("openai-chat,framing=chunked", 1, {"input": 1117, "output": 46}),
]
WHO = [  # of clients.CLIENTS; the scheme
    ("curl", "https"), ("curl_http2", "https"), ("pycurl", "https"), ("php_curl", "https"), ("python_http", "https"),
    ("python_requests", "https"), ("python_httpx_async", "https"), ("ruby_net_http", "https"), ("perl_lwp", "https"),
    ("php_streams", "https"), ("curl", "http"), ("python_http", "http"), ("python_aiohttp", "http"), ("wget", "http"),
]
COMMANDS = {name: command for name, command, _, _ in clients.CLIENTS}


def step(place, wish, scheme="https"):
    exchange = place.exchanges[wish.split(",")[0]]
    url = exchange.url.replace("https:", scheme + ":") if scheme == "http" else exchange.url.replace("http:", "https:")
    return (wish, url.replace("localhost:8000", "gateway.example.com"), place.file("body." + exchange.id, exchange.request_bytes()))


def open_calls(place, service):
    return place.query("SELECT open_calls.* FROM open_calls JOIN clients ON clients.id = client_id WHERE service = ?", service)


def seen_so_far(place, service, usage, streams):
    rows = open_calls(place, service)
    if len(rows) != 1:
        return None
    counts = world.counts_of(rows[0])
    # Of a stream that has not said anything yet: that its first token has come.
    reached = all(counts[name] == value for name, value in usage.items()) and (rows[0]["time_to_first_token_ns"] or not streams)
    return rows[0] if reached else None


def await_seen(place, service, usage, streams=True):
    try:
        wait_for(lambda: seen_so_far(place, service, usage, streams), "the call in flight")
    except Failure as why:
        raise Failure(f"{service}: {why}; open calls: " + str([
            (row["provider"], world.counts_of(row), row["time_to_first_token_ns"]) for row in open_calls(place, service)])) from None


def killed_in_mid_stream(place, name, scheme):
    """One client a stream, all at one time; each is killed when the agent knows what it has seen."""
    running = []
    try:
        for wish, pieces, usage in STREAMS:
            service = f"killed-{name}-{scheme}-{wish.split(',')[0]}"
            words = COMMANDS[name](place, [step(place, f"{wish},hold={pieces}", scheme)], scheme == "https")
            if words[0] == "sh":
                words = ["sh", "-c", "exec " + words[2]]
            client = place.start_client(words, service=service, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
            running.append((client, service, wish, usage))
        for client, service, wish, usage in running:
            await_seen(place, service, usage, place.exchanges[wish.split(',')[0]].streams)
            expect(client.poll() is None, f"{service}: it has ended by itself")
    finally:
        for client, _, _, _ in running:
            world.end(client, signal.SIGKILL)
        place.standin.ask("release")
    for _, service, wish, usage in running:
        rows = place.rows(service)
        expect(len(rows) == 1, f"{wish}: {len(rows)} rows after the client was killed")
        row, exchange = rows[0], place.exchanges[wish.split(',')[0]]
        counts = world.counts_of(row)
        expect(row["status"] == "aborted", f"{wish}: its status is {row['status']}")
        expect(all(counts[key] == value for key, value in usage.items()), f"{wish}: {counts}, when {usage} had been said")
        expect(row["provider"] == exchange.expect["provider"], f"{wish}: its provider is {row['provider']}")
        expect(row["request_model"] == exchange.expect["request_model"], f"{wish}: the model asked for is {row['request_model']}")
    tries(len(running), "clients killed in mid-stream")


def ended(place, service, words, status, usage, codes=None):
    """One run to its end, and the one row that it has to leave."""
    without = place.run(words, preload=False)
    place.standin.ask("release")
    done = place.run(words, service=service)
    place.standin.ask("release")
    expect(done.same_as(without), f"with the library: {done.status} {done.errors[-300:]}, without: {without.status} "
           f"{without.errors[-300:]}")
    rows = place.rows(service)
    expect(len(rows) == 1, f"{len(rows)} rows")
    counts = world.counts_of(rows[0])
    expect(rows[0]["status"] in status, f"its status is {rows[0]['status']}, not {' or '.join(status)}")
    expect(all(counts[key] == value for key, value in usage.items()), f"{counts}, when {usage} had been said")
    expect(codes is None or rows[0]["http_status"] in codes, f"HTTP status {rows[0]['http_status']}")
    tries(1, "calls that ended in mid-stream")


def piece_bytes(place, name, pieces):
    return sum(len(piece) for piece in place.exchanges[name].pieces[:pieces])


def broken_off(place, name, scheme):
    """The provider's connection ends, or is reset, before the stream does."""
    for how in ("", ",end=reset"):
        wish = f"anthropic-stream,cut={piece_bytes(place, 'anthropic-stream', 4)}{how}"
        words = COMMANDS[name](place, [step(place, wish, scheme)], scheme == "https")
        ended(place, f"cut-{name}-{scheme}{how}", words, ("error",), {"input": 472, "output": 2}, (200,))


def left_by_the_program(place, how, scheme, status):
    """The program closes the connection, exits without a word, or becomes another program, when it has read enough."""
    size = piece_bytes(place, "anthropic-stream", 4)
    words = [clients.DEBIAN_PYTHON, f"{clients.PROGRAMS}/python_leaver.py", how, str(size),
             *step(place, "anthropic-stream,hold=4", scheme)]
    ended(place, f"left-{how}-{scheme}", words, status, {"input": 472}, None)


def nobody_there(place):
    """No connection can be had: the program's own error, and a call that failed."""
    wish, _, path = step(place, "openai-chat")
    words = clients.curl()(place, [(wish, "https://api.openai.com:444/v1/chat/completions", path)], True)
    without, done = place.run(words, preload=False), place.run(words, service="nobody-there")
    expect(done.status == without.status == 7, f"curl ends with {done.status} and {without.status}")
    rows = place.rows("nobody-there")
    expect(len(rows) <= 1 and all(row["status"] == "error" for row in rows), f"rows: {[row['status'] for row in rows]}")
    tries(1, "calls that could not be made")


def tests_of(place):
    for name, scheme in WHO:
        yield f"killed_{name}_{scheme}", lambda n=name, s=scheme: killed_in_mid_stream(place, n, s)
    for name, scheme in (("curl", "https"), ("curl", "http")):
        yield f"broken_off_{name}_{scheme}", lambda n=name, s=scheme: broken_off(place, n, s)
    for how, status in (("close", ("cancelled",)), ("exit", ("aborted",)), ("exec", ("aborted", "cancelled"))):
        for scheme in ("https", "http"):
            yield f"left_by_{how}_{scheme}", lambda h=how, s=scheme, t=status: left_by_the_program(place, h, s, t)
    yield "nobody_there", lambda: nobody_there(place)


if __name__ == "__main__":
    sys.exit(world.play(tests_of, modules=True))
