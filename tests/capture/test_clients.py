#!/usr/bin/env python3
"""Programs that were never changed: each says and ends the same as without the library, and each of its calls is counted, once,
to the token, over https:// and http://.

A client does all of SESSION in one go. What a layer is that should see it stands in clients.py.
"""
import hashlib
import json
import sys

import clients
import world
from tap import expect, tries

SESSION = ["openai-chat", "openai-stream", "anthropic-stream,chunk=7", "gemini-array", "bedrock-converse-stream",
           "openai-chat,coding=gzip", "openai-error-429", "plain-json", "unknown-host", "cohere-v1-stream", "hostile-stream",
           "openai-responses-stream,write=100", "openai-embeddings,framing=close", "openai-stream-without-usage"]


def plan_of(place, scheme):
    steps = []
    for wish in SESSION:
        exchange = place.exchanges[wish.split(",")[0]]
        url = exchange.url.replace("https:", scheme + ":")
        steps.append((wish, url, place.file("body." + exchange.id, exchange.request_bytes())))
    return steps


def check_rows(place, service, layer):
    """Each exchange that is a call has its row, no other has, and what it says is right."""
    wrong, seen, seen_any = [], {}, []
    for row in place.rows(service):
        seen.setdefault(row["tags"].get("exchange"), []).append(row)
    for number, wish in enumerate(SESSION):
        exchange = place.exchanges[wish.split(",")[0]]
        found = seen.pop(f"{number}.{exchange.id}", [])
        wanted = 1 if exchange.expect else 0
        seen_any.append(bool(found))
        if len(found) != wanted:
            wrong.append(f"{wish}: {len(found)} rows, not {wanted}")
        for row in found[:wanted]:
            wrong += world.differences(row, exchange)
            if row["tags"].get("tally.layer") != layer:
                wrong.append(f"{wish}: seen by {row['tags'].get('tally.layer')}, not by {layer}")
    wrong += [f"a row that belongs to nothing: {key}, {rows[0]['server_address']}" for key, rows in seen.items()]
    expect(any(seen_any), "none of the calls was counted")
    expect(not wrong, "\n".join(wrong))


def one(place, name, command, scheme, layer):
    words = command(place, plan_of(place, scheme), scheme == "https")
    since = place.standin.ask("served")["next"]
    without = place.run(words, preload=False)
    expect(without.status == 0, f"the client fails without the library: {without.status}\n{without.errors.decode()[-600:]}")
    served = place.standin.ask("served", since=since, count=len(SESSION), done=True)
    expect(len(served["rows"]) == len(SESSION), f"without the library {len(served['rows'])} requests were made")
    service = f"{name}-{scheme}"
    with_it = place.run(words, service=service)
    expect(with_it.same_as(without), f"status {with_it.status}, not {without.status}; {len(with_it.output)} bytes of output, not "
           f"{len(without.output)}; {with_it.errors.decode(errors='replace')[-600:]}")
    again = place.standin.ask("served", since=served["next"], count=len(SESSION), done=True)["rows"]
    what = ("exchange", "method", "target", "host", "tls", "version", "agent", "coding", "request_bytes", "status", "body_bytes")
    expect(sorted([row[key] for key in what] for row in again) == sorted([row[key] for key in what] for row in served["rows"]),
           "the stand-in was asked for something else with the library")
    if layer == clients.UNSEEN:
        expect(not place.rows(service), "it is said that nothing sees this client, and something does")
        tries(len(SESSION), "calls of clients that cannot be seen, and are not harmed")
        return
    check_rows(place, service, layer)
    tries(sum(1 for wish in SESSION if place.exchanges[wish.split(",")[0]].expect), "calls of unmodified clients")


HEADERS = {"OpenAI-Organization": "org-7", "OpenAI-Project": "proj-8", "x-tally-tags": "ticket=9, session=night,stage=test",
           "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Authorization": "Bearer sk-one-more",
           "Content-Type": "application/json", "x-standin": "openai-chat"}
BODY = {"model": "gpt-5-mini", "user": "u-10", "service_tier": "auto", "messages": [{"role": "user", "content": "user"}],
        "metadata": {"tenant": "acme", "secret": "not-asked-for"}}
SAID = {"team": "org-7", "project": "proj-8", "session": "night", "user": "u-10", "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331", "request_model": "gpt-5-mini", "server_address": "api.openai.com",
        "key_fingerprint": hashlib.sha256(b"sk-one-more").hexdigest()[:12]}
PYTHON = ("import http.client, json, sys; scheme, headers, body = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]; "
          "kind = http.client.HTTPSConnection if scheme == 'https' else http.client.HTTPConnection; "
          "link = kind('api.openai.com'); link.request('POST', '/v1/chat/completions', body, headers); print(link.getresponse().read())")


def what_a_request_says(place, layer, scheme):
    """Who asks, for whom, within what: headers and members of the body that say so reach the row, and no others do."""
    body = json.dumps(BODY)
    if layer == clients.CURL:
        words = [clients.program("curl"), "-sS", f"{scheme}://api.openai.com/v1/chat/completions", "-d", body]
        words += [word for name, value in HEADERS.items() for word in ("-H", f"{name}: {value}")]
    else:
        words = [clients.DEBIAN_PYTHON, "-c", PYTHON, scheme, json.dumps(HEADERS), body]
    service = f"said-{layer}"
    expect(place.run(words, service=service, settings={"TALLY_METADATA": "tenant"}).status == 0, "the client fails")
    rows = place.rows(service)
    expect(len(rows) == 1, f"{len(rows)} rows")
    wrong = [f"{name} is {rows[0][name]!r}, not {value!r}" for name, value in SAID.items() if rows[0][name] != value]
    tags = {"ticket": "9", "stage": "test", "tenant": "acme", "tally.layer": layer}
    if rows[0]["tags"] != tags:
        wrong.append(f"tags are {rows[0]['tags']}, not {tags}")
    expect(not wrong, "\n".join(wrong))
    tries(len(SAID) + len(tags), "things that a request says of itself")


def rows_of_the_users_own(place, layer, scheme):
    """An API that nobody knows, and whose answer states no usage, is a call where TALLY_MATCH names it, and nowhere else."""
    wish, url, path = "plain-json", f"{scheme}://api.example.com/v1/orders", place.file("body.order", b'{"model": "house"}')
    command = clients.curl() if layer == clients.CURL else clients.script(clients.DEBIAN_PYTHON, "python_http.py")
    for name, match, count in (("named", "other.example/x,api.example.com/v1/*=acme", 1), ("not-named", "api.example.com/v2/*", 0)):
        service = f"match-{layer}-{name}"
        expect(place.run(command(place, [(wish, url, path)], True), service=service, settings={"TALLY_MATCH": match}).status == 0,
               "the client fails")
        rows = place.rows(service)
        expect(len(rows) == count, f"{match}: {len(rows)} rows, not {count}")
        for row in rows:
            expect((row["provider"], row["request_model"], row["input_tokens"]) == ("acme", "house", None) and
                   row["tags"].get("tally.capture") == "no_usage", f"{match}: {dict(row)}")
    tries(2, "APIs that users add, and do not add, to the table")


def tests_of(place):
    for layer, scheme in ((clients.CURL, "https"), (clients.OPENSSL, "https"), (clients.SOCKET, "http")):
        yield f"what_a_request_says_to_{layer}", lambda w=layer, s=scheme: what_a_request_says(place, w, s)
        yield f"rows_of_the_users_own_to_{layer}", lambda w=layer, s=scheme: rows_of_the_users_own(place, w, s)
    for name, command, https, http in clients.CLIENTS:
        for scheme, layer in (("https", https), ("http", http)):
            if layer:
                yield (f"{name}_over_{scheme}", lambda n=name, c=command, s=scheme, w=layer: one(place, n, c, s, w))


if __name__ == "__main__":
    sys.exit(world.play(tests_of, modules=True))
