#!/usr/bin/env python3
"""Programs that talk HTTP over plain sockets in every way, at their edges (tests/programs/sockets.c), and over TLS
(clients/python_tls_edges.py): they print the same with the library as without it, byte for byte, and what they say should be counted is
counted."""
import collections
import sys

import clients
import world
from tap import expect, tries

PROGRAM = f"{world.BUILD}/tests/programs/sockets"
MODELS = ("gpt-4o-mini", "gpt-5-mini-2025-08-07")
SITUATIONS = ["every_way", "partial", "both_directions", "used_again", "forked", "duplicated", "ended_early", "no_sockets",
              "other_ends", "signals", "cancelled", "many"]
TLS = [clients.DEBIAN_PYTHON, f"{clients.PROGRAMS}/python_tls_edges.py"]
TLS_SITUATIONS = ["kept_alive", "memory", "partial", "cut", "left", "crowd", "by_handle"]


def expected(output):
    """(status, input tokens) of each call, as the program says."""
    lines = [line.split()[1:] for line in output.decode().splitlines() if line.startswith("expect ")]
    return collections.Counter((words[0], int(words[1]) if len(words) > 1 else None) for words in lines)


def one(place, program, name, runs):
    words = [*program, name.removeprefix("tls_")]
    without = place.run(words, preload=False)
    expect(without.status == 0, f"the program fails by itself: {without.status} {without.errors}")
    done = place.run(words, service=name)
    expect(done.same_as(without), f"with the library: {done.status} {done.errors[-500:]}, {len(done.output)} bytes of output, not "
           f"{len(without.output)}")
    runs[name] = expected(done.output)


def counted(place, runs):
    """All of them in one go: it takes the agent a second or two to know that a program has ended."""
    wrong = []
    for name, wanted in runs.items():
        rows = place.rows(name)
        found = collections.Counter((row["status"], row["input_tokens"]) for row in rows)
        if found != wanted:
            wrong.append(f"{name}: missing: {dict(wanted - found)}; not expected: {dict(found - wanted)}")
        wrong += [f"{name}: {row}" for row in rows if row["status"] == "ok" and row["response_model"] not in MODELS]
    expect(not wrong, "\n".join(wrong))
    tries(sum(sum(wanted.values()) for wanted in runs.values()), "calls at the edges of sockets")


def off(place):
    """With the layer switched off nothing is counted, and nothing else is different."""
    for settings in ({"TALLY_DISABLE": "1"}, {"TALLY_CAPTURE": "curl,openssl"}):
        without = place.run([PROGRAM, "every_way"], preload=False)
        done = place.run([PROGRAM, "every_way"], service="off", settings=settings)
        expect(done.same_as(without), f"{settings}: {done.status} {done.errors[-500:]}")
        expect(not place.rows("off"), f"{settings}: calls were counted")
    tries(2, "runs with the layer switched off")


def tests_of(place):
    runs = {}
    for name in SITUATIONS:
        yield name, lambda n=name: one(place, [PROGRAM], n, runs)
    for name in TLS_SITUATIONS:
        yield f"tls_{name}", lambda n=name: one(place, TLS, f"tls_{n}", runs)
    yield "all_counted", lambda: counted(place, runs)
    yield "switched_off", lambda: off(place)


if __name__ == "__main__":
    sys.exit(world.play(tests_of))
