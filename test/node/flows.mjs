// Drives the gateway with the openai SDK and prints what came of it, as JSON.
import OpenAI from 'openai';

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.KEY, maxRetries: 0 });
const messages = [{ role: 'user', content: 'Hello' }];
const schema = {
  type: 'object',
  properties: { city: { type: 'string' }, days: { type: 'integer' } },
  required: ['city', 'days'],
  additionalProperties: false,
};
const tools = [{ type: 'function', function: { name: 'forecast', parameters: schema } }];

async function failure(f) {
  try {
    await f();
    return null;
  } catch (e) {
    return { class: e.constructor.name, status: e.status, code: e.code, retryAfter: e.headers?.get('retry-after') ?? null };
  }
}

async function streamed(params) {
  const out = { text: '', args: '', finish: '', usage: 0, empty: 0 };
  for await (const chunk of await client.chat.completions.create({ ...params, stream: true })) {
    if (chunk.choices.length === 0) out.empty++;
    if (chunk.usage) out.usage = chunk.usage.total_tokens;
    const choice = chunk.choices[0];
    out.text += choice?.delta?.content ?? '';
    for (const call of choice?.delta?.tool_calls ?? []) out.args += call.function?.arguments ?? '';
    out.finish = choice?.finish_reason ?? out.finish;
  }
  return out;
}

async function helper() {
  const runner = client.chat.completions.stream({ model: 'chat', messages });
  const done = await runner.finalChatCompletion();
  return done.choices[0].message.content;
}

async function cancel() {
  const stream = await client.chat.completions.create({ model: 'slow', messages, stream: true });
  let seen = 0;
  for await (const _ of stream) {
    if (++seen === 3) {
      stream.controller.abort();
      break;
    }
  }
  return seen;
}

const chat = await client.chat.completions.create({ model: 'chat', messages });
const tool = await client.chat.completions.create({ model: 'chat', messages, tools, tool_choice: 'required' });
const structured = await client.chat.completions.create({
  model: 'chat', messages,
  response_format: { type: 'json_schema', json_schema: { name: 'weather', strict: true, schema } },
});
const list = [];
for await (const m of client.models.list()) list.push(m.id);
const wrong = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: 'sk-wrong', maxRetries: 0 });

console.log(JSON.stringify({
  chat: { text: chat.choices[0].message.content, model: chat.model, usage: chat.usage.total_tokens, id: chat._request_id },
  stream: await streamed({ model: 'chat', messages }),
  streamUsage: await streamed({ model: 'chat', messages, stream_options: { include_usage: true } }),
  helper: await helper(),
  tool: tool.choices[0].message.tool_calls[0].function,
  toolStream: await streamed({ model: 'chat', messages, tools, tool_choice: 'required' }),
  structured: structured.choices[0].message.content,
  embedding: (await client.embeddings.create({ model: 'emb', input: ['one', 'two'] })).data.map((d) => d.embedding),
  embeddingFloat: (await client.embeddings.create({ model: 'emb', input: 'one', encoding_format: 'float' })).data.map((d) => d.embedding),
  models: list,
  model: (await client.models.retrieve('sim/chat-model')).id,
  wrongKey: await failure(() => wrong.chat.completions.create({ model: 'chat', messages })),
  unknown: await failure(() => client.chat.completions.create({ model: 'nothing-like-it', messages })),
  limited: await failure(() => client.chat.completions.create({ model: 'limited', messages })),
  cancel: await cancel(),
}));
