#!/usr/bin/env python3
"""Providers' own libraries, from the registry, never changed: what they say has been used is what tally counted."""
import collections
import json
import sys

import clients
import world
from tap import Skip, expect, tries

KEYS = {name: "standin-secret" for name in ("GROQ_API_KEY", "DEEPSEEK_API_KEY", "MISTRAL_API_KEY", "GEMINI_API_KEY")}
# litellm would ask elsewhere for prices as it is imported
KEYS["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"


def own_count(output):
    """What the library says, as (input, output) and how often."""
    return collections.Counter(tuple(json.loads(line)[2:]) for line in output.decode().splitlines() if line.startswith("["))


def in_python(place, name):
    if not place.python:
        raise Skip(place.why_no_python)
    return [place.python, f"{clients.PROGRAMS}/sdks.py", name]


def in_node(place, name):
    if not place.node_path:
        raise Skip(place.why_no_node_path)
    return ["env", f"NODE_PATH={place.node_path}", clients.program("node"), f"{clients.PROGRAMS}/sdks.js", name]


def sdk(place, language, name):
    words = language(place, name)
    name = f"{language.__name__}-{name}"
    without = place.run(words, preload=False, settings=KEYS)
    expect(without.status == 0, f"without the library it fails: {without.status}\n{without.errors.decode()[-1500:]}")
    done = place.run(words, service=name, settings=KEYS)
    expect((done.status, done.output) == (without.status, without.output),
           f"with the library: {done.status} {done.output!r} {done.errors.decode()[-800:]}, without: {without.output!r}")
    rows = place.rows(name)
    said, counted = own_count(done.output), collections.Counter((row["input_tokens"], row["output_tokens"]) for row in rows)
    expect(said == counted, f"it says {sorted(said.items(), key=str)}, counted is {sorted(counted.items(), key=str)}")
    wrong = [row["status"] for row in rows if row["status"] != ("ok" if row["http_status"] == 200 else "error")]
    expect(not wrong, f"statuses of good answers: {wrong}")
    expect(all(row["provider"] and row["key_fingerprint"] for row in rows), "a call without its provider or its key's fingerprint")
    tries(len(rows), "calls of providers' own libraries")


def tests_of(place):
    for name in ("openai", "anthropic", "litellm"):
        yield name, lambda n=name: sdk(place, in_python, n)
    for name in ("openai", "anthropic"):
        yield f"{name}_for_node", lambda n=name: sdk(place, in_node, n)


if __name__ == "__main__":
    sys.exit(world.play(tests_of, modules=True))
