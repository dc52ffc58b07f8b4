// Providers' own libraries for node, as their users write it: sdks.js openai|anthropic
// Says, for each answer, what the library says has been used: the service's own count, beside tally's.
'use strict';

const messages = [{ role: 'user', content: 'Name a river.' }];

function say(kind, model, read, written) {
  console.log(JSON.stringify([kind, model, read, written]));
}

async function openai() {
  const OpenAI = require('openai');
  const client = new OpenAI({ maxRetries: 0 });
  let answer = await client.chat.completions.create({ model: 'gpt-5-mini', messages });
  say('chat', answer.model, answer.usage.prompt_tokens, answer.usage.completion_tokens);
  let last;
  for await (const part of await client.chat.completions.create({ model: 'gpt-5-mini', messages, stream: true, stream_options: { include_usage: true } }))
    last = part;
  say('stream', last.model, last.usage.prompt_tokens, last.usage.completion_tokens);
  answer = await client.responses.create({ model: 'gpt-5-mini', input: 'Name a river.' });
  say('responses', answer.model, answer.usage.input_tokens, answer.usage.output_tokens);
  try {
    await client.chat.completions.create({ model: 'gpt-5-mini', messages }, { headers: { 'x-standin': 'openai-error-429' } });
  } catch (error) {
    if (error.status !== 429) throw error;
    say('error', null, null, null);
  }
  const many = Array.from({ length: 8 }, () => client.chat.completions.create({ model: 'gpt-5-mini', messages }));
  for (answer of await Promise.all(many)) say('together', answer.model, answer.usage.prompt_tokens, answer.usage.completion_tokens);
}

async function anthropic() {
  const Anthropic = require('@anthropic-ai/sdk');
  const client = new Anthropic({ maxRetries: 0 });
  const wanted = { model: 'claude-sonnet-4-5', max_tokens: 99, messages };
  const allInput = (usage) => usage.input_tokens + (usage.cache_creation_input_tokens || 0) + (usage.cache_read_input_tokens || 0);
  let answer = await client.messages.create(wanted);
  say('message', answer.model, allInput(answer.usage), answer.usage.output_tokens);
  answer = await client.messages.stream(wanted).finalMessage();
  say('stream', answer.model, allInput(answer.usage), answer.usage.output_tokens);
}

({ openai, anthropic })[process.argv[2]]().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
