"""Answers made at random, from a seed that is printed, whose texts are full of what looks like usage, events, chunks, heads and ends."""
import json
import os
import random

COUNT = 400 if os.environ.get("TALLY_TEST_LONG") else 60
SEED = int(os.environ.get("TALLY_TEST_SEED", "20261101"))
LIE = {"prompt_tokens": 999999, "completion_tokens": 999999, "total_tokens": 1999998}
FRAGMENTS = [
    json.dumps({"usage": LIE}), json.dumps(json.dumps({"usage": LIE})), '"usage":{"input_tokens":999999,"output_tokens":999999}',
    "\n\ndata: " + json.dumps({"usage": LIE}) + "\n\ndata: [DONE]\n\n", "event: message_delta\ndata: ", "\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}\n",
    "POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n\r\n", "}]}", "{[", "\\", "\\\\",
    '\\"', '"', "\u0000", "\u0007", "\u2028",
    "\ud83d\ude00", "\u00e9\u00df\u0416\u4e2d", "\\u0022usage\\u0022", "usageMetadata", "x" * 3000, " " * 700,
    ": comment\n", "null", "1e999", "\t", "/", '{"model":"not-this-one"}', '"}],"usage":null,"model":"not-this-one","choices":[{"text":"',
]


def text(dice, most=12):
    return "".join(dice.choice(FRAGMENTS) for _ in range(dice.randrange(most)))


def thing(dice, depth=0):
    """Anything that JSON can say, with usage objects where none is meant."""
    kind = dice.randrange(7 if depth < 6 else 4)
    if kind == 0:
        return dice.choice([None, True, False, 0, -1, 1.5e300, 10**15, "", []])
    if kind < 4:
        return text(dice, 4)
    if kind == 4:
        return [thing(dice, depth + 1) for _ in range(dice.randrange(4))]
    keys = ("usage", "model", "usageMetadata", "message", "response", "meta", "id", "a\"b\\", "")
    return {dice.choice(keys): thing(dice, depth + 1) if dice.randrange(3) else LIE for _ in range(dice.randrange(4))}


def pieces(dice):
    return ["A"] + [text(dice, 5) for _ in range(dice.randrange(9))]


def shuffled(dice, members):
    items = list(members.items())
    dice.shuffle(items)
    return dict(items)


def openai_chat(dice, given, made):
    usage = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    message = {"role": "assistant", "content": text(dice), "tool_calls": [{"function": {"arguments": text(dice), "extra": thing(dice)}}]}
    return {"response": shuffled(dice, {"id": "r", "model": "gpt-5-mini", "choices": [{"message": message, "usage": LIE}],
                                        "usage": usage, "metadata": {"usage": LIE}})}


def openai_stream(dice, given, made):
    def chunk(said, **more):
        return {"id": "r", "model": "gpt-5-mini", "choices": [{"index": 0, "delta": {"content": said}}], "usage": None, **more}
    events = [chunk(said) for said in pieces(dice)]
    events.append(chunk("", choices=[], usage={"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}))
    return {"events": events + ["[DONE]"], "content_type": "text/event-stream"}


def anthropic(dice, given, made):
    content = [{"type": "text", "text": text(dice)}, {"type": "tool_use", "name": "t", "input": {"usage": LIE, "a": thing(dice)}}]
    return {"response": shuffled(dice, {"id": "r", "type": "message", "model": "claude-sonnet-4-5", "content": content,
                                        "usage": {"input_tokens": given, "output_tokens": made}})}


def anthropic_stream(dice, given, made):
    start = {"id": "r", "type": "message", "model": "claude-sonnet-4-5", "content": [],
             "usage": {"input_tokens": given, "output_tokens": 1}}
    events = [["message_start", {"type": "message_start", "message": start}]]
    events += [["content_block_delta", {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": said}}]
               for said in pieces(dice)]
    events.append(["message_delta", {"type": "message_delta", "delta": {"stop_reason": text(dice, 2)}, "usage": {"output_tokens": made}}])
    return {"events": events + [["message_stop", {"type": "message_stop"}]], "content_type": "text/event-stream"}


def gemini(dice, given, made):
    usage = {"promptTokenCount": given, "candidatesTokenCount": made, "totalTokenCount": given + made}
    chunks = [{"candidates": [{"content": {"parts": [{"text": said}, {"functionCall": {"args": {"usageMetadata": usage | LIE}}}]}}],
               "modelVersion": "gemini-2.5-flash"} for said in pieces(dice)]
    chunks[-1]["usageMetadata"] = usage
    return dice.choice([{"array": chunks}, {"events": chunks, "content_type": "text/event-stream"}])


def ollama(dice, given, made):
    lines = [{"model": "llama3.2", "message": {"role": "assistant", "content": said}, "done": False} for said in pieces(dice)]
    lines.append({"model": "llama3.2", "message": {"content": ""}, "done": True, "prompt_eval_count": given, "eval_count": made})
    return {"lines": lines, "content_type": "application/x-ndjson"}


SHAPES = [("https://api.openai.com/v1/chat/completions", openai_chat), ("https://api.openai.com/v1/chat/completions", openai_stream),
          ("https://api.anthropic.com/v1/messages", anthropic), ("https://api.anthropic.com/v1/messages", anthropic_stream),
          ("https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent", gemini),
          ("http://localhost:11434/api/chat", ollama)]


def exchanges():
    dice = random.Random(SEED)
    rows = []
    for number in range(COUNT):
        url, shape = SHAPES[number % len(SHAPES)]
        given, made = dice.randrange(1, 90000), dice.randrange(1, 9000)
        request = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": text(dice)}], "metadata": thing(dice),
                   "tools": thing(dice)}
        wish = dice.sample(["chunk=1", "chunk=7", "chunk=1460", "write=100", "write=1460", "coding=gzip", "coding=zlib", "head=20",
                            "early=1"], dice.randrange(4))
        rows.append({"id": f"made-{number}", "url": url, "by_name": True, "request": request, **shape(dice, given, made), "wish": wish,
                     "expect": {"status": "ok", "usage": {"input": given, "output": made}}})
    return rows
