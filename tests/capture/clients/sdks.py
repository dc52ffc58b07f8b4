"""Providers' own libraries for Python, as their users write it: sdks.py openai|anthropic|litellm

Says, for each answer, what the library says has been used: the service's own count, beside tally's.
"""
import asyncio
import json
import sys

MESSAGES = [{"role": "user", "content": "Name a river."}]


def say(kind, model, read, written):
    print(json.dumps([kind, model, read, written]))


def openai():
    from openai import AsyncOpenAI, OpenAI, RateLimitError

    client = OpenAI(max_retries=0)
    answer = client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES)
    say("chat", answer.model, answer.usage.prompt_tokens, answer.usage.completion_tokens)
    for part in client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, stream=True,
                                               stream_options={"include_usage": True}):
        last = part
    say("stream", last.model, last.usage.prompt_tokens, last.usage.completion_tokens)
    answer = client.responses.create(model="gpt-5-mini", input="Name a river.")
    say("responses", answer.model, answer.usage.input_tokens, answer.usage.output_tokens)
    with client.responses.stream(model="gpt-5-mini", input="Name a river.") as stream:
        for _ in stream:
            pass
        answer = stream.get_final_response()
    say("responses stream", answer.model, answer.usage.input_tokens, answer.usage.output_tokens)
    answer = client.embeddings.create(model="text-embedding-3-small", input="river", encoding_format="float")
    say("embeddings", answer.model, answer.usage.prompt_tokens, 0)
    try:
        client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, extra_headers={"x-standin": "openai-error-429"})
    except RateLimitError:
        say("error", None, None, None)

    async def together():
        async with AsyncOpenAI() as client:
            async def streamed():
                async for part in await client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES, stream=True):
                    last = part
                return last
            return await asyncio.gather(*[client.chat.completions.create(model="gpt-5-mini", messages=MESSAGES)
                                          for _ in range(8)], *[streamed() for _ in range(8)])

    for answer in asyncio.run(together()):
        say("async", answer.model, answer.usage.prompt_tokens, answer.usage.completion_tokens)


def anthropic():
    from anthropic import Anthropic, AsyncAnthropic

    def all_input(usage):
        return usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)

    wanted = {"model": "claude-sonnet-4-5", "max_tokens": 99, "messages": MESSAGES}
    client = Anthropic(max_retries=0)
    answer = client.messages.create(**wanted)
    say("message", answer.model, all_input(answer.usage), answer.usage.output_tokens)
    with client.messages.stream(**wanted) as stream:
        answer = stream.get_final_message()
    say("stream", answer.model, all_input(answer.usage), answer.usage.output_tokens)

    async def together():
        async with AsyncAnthropic() as client:
            return await asyncio.gather(*[client.messages.create(**wanted) for _ in range(8)])

    for answer in asyncio.run(together()):
        say("async", answer.model, all_input(answer.usage), answer.usage.output_tokens)


def litellm():
    import litellm as library

    for model in ("openai/gpt-5-mini", "anthropic/claude-sonnet-4-5", "groq/llama-3.3-70b-versatile", "deepseek/deepseek-chat",
                  "mistral/mistral-small-latest", "gemini/gemini-2.5-flash"):
        answer = library.completion(model=model, messages=MESSAGES)
        say("completion", answer.model, answer.usage.prompt_tokens, answer.usage.completion_tokens)
    for part in library.completion(model="openai/gpt-5-mini", messages=MESSAGES, stream=True,
                                   stream_options={"include_usage": True}):
        last = part
    say("stream", last.model, last.usage.prompt_tokens, last.usage.completion_tokens)
    answer = asyncio.run(library.acompletion(model="openai/gpt-5-mini", messages=MESSAGES))
    say("async", answer.model, answer.usage.prompt_tokens, answer.usage.completion_tokens)


{"openai": openai, "anthropic": anthropic, "litellm": litellm}[sys.argv[1]]()
