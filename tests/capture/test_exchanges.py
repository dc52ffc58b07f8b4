#!/usr/bin/env python3
"""Every exchange, the project's own and the recorded ones, through a real client of each layer: counted to the token.

Recordings (../shared/corpus) say what a reference reader found; where that is known to be wrong, or capturing cannot see it, stands in
tests/fixtures/understand/exceptions and in exceptions, beside this file, with the reason.
"""
import json
import os
import subprocess
import sys

import world
import adversary
from clients import DEBIAN_PYTHON, PROGRAMS
from tap import Skip, expect, note, tries

EVERY = 1 if os.environ.get("TALLY_TEST_LONG") else 12  # of the recordings, for cuts and codings
SHOWN = 12


def exceptions():
    """{identifier: {field: count or "absent"}}"""
    found = {}
    for path in (f"{world.SOURCE}/tests/fixtures/understand/exceptions", f"{world.HERE}/exceptions"):
        with open(path, encoding="utf-8") as file:
            for line in file:
                words = line.split()
                if words and words[0] == "exchange":
                    found.setdefault(words[1], {})[words[2]] = int(words[3]) if len(words) > 3 else None
    return found


EXCEPTIONS = exceptions()


def line_of(exchange, scheme, wish):
    return json.dumps({"wish": exchange.id + wish, "url": exchange.url.replace("https:", scheme + ":"), "method": exchange.method,
                       "type": exchange.request_type() if exchange.request_bytes() else "", "tags": f"exchange={exchange.id}",
                       "body": exchange.request_bytes().decode()})


def recorded_differences(row, exchange):
    """As tests/unit/test_understand_corpus.c compares: what is not stated is 0 in the reader's counts."""
    known = EXCEPTIONS.get(exchange.id, {})
    counts = world.counts_of(row)
    wanted = exchange.usage or {}
    wrong = []
    for name in world.COUNTS:
        should_be = known.get(name, wanted.get(name, 0))
        if (counts[name] or 0) != should_be:
            wrong.append(f"{exchange.id}: {name} is {counts[name]}, not {should_be}: {exchange.url[:90]}")
    if exchange.usage and any(exchange.usage.values()) and counts["input"] is None and counts["output"] is None:
        wrong.append(f"{exchange.id}: counts are unknown: {exchange.url[:90]}")
    if row["http_status"] != exchange.status:
        wrong.append(f"{exchange.id}: HTTP status {row['http_status']}, not {exchange.status}")
    if exchange.streams and exchange.usage and not row["time_to_first_token_ns"]:
        wrong.append(f"{exchange.id}: a stream without a time to its first token: {exchange.url[:90]}")
    model = exchange.row.get("response_model")
    if model and row["response_model"] and row["response_model"] != model:
        wrong.append(f"{exchange.id}: model {row['response_model']}, not {model}")
    return wrong


def compare(chosen, rows):
    seen, wrong = {}, []
    for row in rows:
        seen.setdefault(row["tags"].get("exchange"), []).append(row)
    for exchange in chosen:
        found = seen.pop(exchange.id, [])
        own = "expect" in exchange.row
        absent = "absent" in EXCEPTIONS.get(exchange.id, {})
        wanted = 1 if exchange.expect or (exchange.usage and not absent) else 0
        if len(found) > 1 or len(found) < wanted or (found and (absent or (own and not wanted))):
            wrong.append(f"{exchange.id}: {len(found)} rows, not {wanted}: {exchange.method} {exchange.url[:90]}")
        for row in found[:1]:
            wrong += world.differences(row, exchange) if own else recorded_differences(row, exchange)
    wrong += [f"{len(found)} rows that belong to no exchange: {key}" for key, found in seen.items()]
    return wrong


def through(place, name, how, scheme, wish="", choose=lambda exchange: not is_made(exchange)):
    """wish: for all, or what yields each one's."""
    chosen = [exchange for exchange in place.exchanges.values() if choose(exchange)]
    plan = place.file(f"plan.{name}", "".join(line_of(e, scheme, wish(e) if callable(wish) else wish) + "\n"
                                                   for e in chosen).encode())
    words = [DEBIAN_PYTHON, f"{PROGRAMS}/replay.py", how[0], plan, *how[1:]]
    if how[0] == "libcurl" and subprocess.run([DEBIAN_PYTHON, "-c", "import pycurl"], stdin=subprocess.DEVNULL,
                                              capture_output=True, check=False).returncode != 0:
        raise Skip("there is no pycurl here")
    since = place.standin.ask("served")["next"]
    done = place.run(words, service=name)
    expect(done.status == 0, f"the client failed: {done.status}\n{done.errors.decode()[-800:]}")
    served = place.standin.ask("served", since=since, count=len(chosen), done=True)["rows"]
    expect([row["exchange"] for row in served] == [e.id for e in chosen], "the stand-in was asked for something else")
    broken = [row["exchange"] for row in served if not row["request_intact"] or row["status"] == 501]
    expect(not broken, f"requests did not come as they were sent: {broken[:5]}")
    wrong = compare(chosen, place.rows(name))
    expect(not wrong, f"{len(wrong)} wrong of {len(chosen)} exchanges\n" + "\n".join(wrong[:SHOWN]))
    if callable(wish):
        tries(len(chosen), "answers made to mislead")
    else:
        tries(len(chosen), f"exchanges{' cut or coded' if wish or how[0] == 'bytes' else ''} through clients")


def sample(limit):
    """Of the recordings every so many, of those that are not longer than so many bytes; of the project's own all that are short enough."""
    number = [0]

    def choose(exchange):
        if exchange.usage is None or is_made(exchange) or len(exchange.body) > limit:
            return False
        if "expect" in exchange.row:
            return True
        number[0] += 1
        return number[0] % EVERY == 0
    return choose


def is_made(exchange):
    return exchange.id.startswith("made-")


def wish_of(exchange):
    """Each of the made ones in a way of its own."""
    return "," + ",".join(exchange.row["wish"])


def tests_of(place):
    note(f"answers made at random: TALLY_TEST_SEED={adversary.SEED}")
    if world.CORPUS not in place.paths:
        note("no recordings: ../shared/corpus is not there; the project's own exchanges only")
    layers = (("libcurl", ("libcurl",), "https"), ("openssl", ("http",), "https"), ("sockets", ("http",), "http"))
    for name, how, scheme in layers:
        yield f"all_through_{name}", lambda n=name, h=how, s=scheme: through(place, f"all-{n}", h, s)
    for name, how, scheme in layers:
        yield f"adversaries_through_{name}", lambda n=name, h=how, s=scheme: through(place, f"made-{n}", h, s, wish_of, is_made)
    for size, limit in ((1, 6000), (7, 40000), (1460, 400000)):
        for name, how, scheme in layers:
            # In TLS it is the writer who cuts; of a plain socket the reader takes as much as it likes.
            wish = f",write={size},chunk={size}" if scheme == "https" else f",chunk={size}"
            how = how if name == "libcurl" else ("bytes", str(size))
            yield (f"cut_{size}_through_{name}", lambda n=name, h=how, s=scheme, w=wish, z=size, m=limit:
                   through(place, f"cut-{z}-{n}", h, s, w, sample(m)))
    for coding in ("gzip", "deflate", "zlib", "br", "zstd"):
        for name, how, scheme in layers:
            yield (f"{coding}_through_{name}", lambda n=name, h=how, s=scheme, c=coding:
                   through(place, f"{c}-{n}", h, s, f",coding={c},chunk=1460", sample(400000)))


if __name__ == "__main__":
    sys.exit(world.play(tests_of, recordings=True, made=adversary.exchanges))
