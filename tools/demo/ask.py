"""A program as anybody would write it: asks two providers, and reads one answer as it streams in. Knows nothing of tally."""
import json
import os
import sys
import urllib.request

MESSAGES = [{"role": "user", "content": "Name a river."}]


def ask(url, headers, **request):
    wanted = urllib.request.Request(url, json.dumps({"messages": MESSAGES, **request}).encode(),
                                    {"Content-Type": "application/json", **headers})
    return urllib.request.urlopen(wanted)


def openai():
    with ask("https://api.openai.com/v1/chat/completions", {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"},
             model="gpt-5-mini") as answer:
        print(json.load(answer)["choices"][0]["message"]["content"])


def anthropic(wish):
    # The stand-in may be told, by a header that no provider knows, to stop in the middle.
    with ask("https://api.anthropic.com/v1/messages", {"x-api-key": os.environ["ANTHROPIC_API_KEY"], "x-standin": wish},
             model="claude-sonnet-4-5", max_tokens=1024, stream=True) as answer:
        for line in answer:
            said = json.loads(line[5:]) if line.startswith(b"data:") else {}
            print(said.get("delta", {}).get("text", ""), end="", flush=True)
        print()


if len(sys.argv) > 1:
    anthropic(sys.argv[1])
else:
    for _ in range(3):
        openai()
    anthropic("")
