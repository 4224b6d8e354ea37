import OpenAI, { AzureOpenAI } from 'openai';
import { amid, collect, finish } from './tell.mjs';

const client = (ask) => new OpenAI({ baseURL: `${ask.base}/v1`, apiKey: ask.key, maxRetries: 0 });
const azure = (ask) => new AzureOpenAI({ endpoint: ask.base, apiKey: ask.key, apiVersion: '2025-04-01-preview', maxRetries: 0 });

function chatParams(ask) {
  const messages = [];
  if (ask.system) messages.push({ role: 'system', content: ask.system });
  for (const t of ask.turns ?? []) {
    if (t.native) messages.push(t.native);
    else if (t.image) messages.push({ role: 'user', content: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${t.image}` } }, { type: 'text', text: t.user }] });
    else if (t.user) messages.push({ role: 'user', content: t.user });
    for (const r of t.results ?? []) messages.push({ role: 'tool', tool_call_id: r.id, content: r.text });
  }
  const p = { model: ask.model, messages };
  if (ask.tools) p.tools = ask.tools.map((t) => ({ type: 'function', function: { name: t.name, description: t.description, parameters: t.schema, strict: true } }));
  if (ask.choice) p.tool_choice = ask.choice === 'required' ? 'required' : { type: 'function', function: { name: ask.choice } };
  if (ask.schema) p.response_format = { type: 'json_schema', json_schema: { name: 'answer', schema: ask.schema, strict: true } };
  if (ask.think) p.reasoning_effort = 'low';
  if (ask.max) p.max_completion_tokens = ask.max;
  if (ask.stop) p.stop = ask.stop;
  if (ask.n) p.n = ask.n;
  if (ask.stream && !ask.quiet) p.stream_options = { include_usage: true };
  return p;
}

const usage = (u) => ({
  input: u?.prompt_tokens ?? -1, output: u?.completion_tokens ?? -1,
  cached: u?.prompt_tokens_details?.cached_tokens ?? -1, reasoning: u?.completion_tokens_details?.reasoning_tokens ?? -1,
});

function chatAnswer(message, reason, u, choices, out = {}) {
  return Object.assign(out, {
    text: message.content ?? '', thinking: out.thinking ?? message.reasoning_content ?? '', finish: finish(reason), usage: usage(u), choices,
    calls: (message.tool_calls ?? []).map((c) => ({ id: c.id, name: c.function.name, args: c.function.arguments })),
    native: message,
  });
}

async function embed(ask, client) {
  const r = await client(ask).embeddings.create({ model: ask.model, input: ask.embed });
  return { vectors: r.data.map((d) => d.embedding) };
}

async function models(ask) {
  const all = [];
  for await (const m of client(ask).models.list()) all.push(m.id);
  return { models: all, text: (await client(ask).models.retrieve(ask.model)).id };
}

const chat = (client) => async (ask) => {
  if (ask.embed) return embed(ask, client);
  if (ask.models) return models(ask);
  const p = chatParams(ask);
  if (!ask.stream) {
    const r = await client(ask).chat.completions.create(p);
    return chatAnswer(r.choices[0].message, r.choices[0].finish_reason, r.usage, r.choices.map((c) => c.message.content));
  }
  const out = { thinking: '' };
  const stream = await client(ask).chat.completions.create({ ...p, stream: true });
  const message = { role: 'assistant', content: null };
  const texts = [];
  let u, reason;
  const left = await collect(ask, out, stream, (chunk) => {
    if (!chunk.choices.length && !chunk.usage) throw new Error('an event says nothing');
    u = chunk.usage ?? u;
    for (const { index, delta, finish_reason } of chunk.choices) {
      if (delta.content) texts[index] = (texts[index] ?? '') + delta.content;
      if (index > 0) continue;
      reason = finish_reason ?? reason;
      add(message, delta);
      out.thinking += delta.reasoning_content ?? '';
    }
    return chunk.choices.some(({ delta: d }) => d.content || d.tool_calls || d.reasoning_content);
  }, () => stream.controller.abort());
  return left ? out : chatAnswer(message, reason, u, texts, out);
};

// add adds a delta to a message as applications do.
function add(message, delta) {
  if (delta.content) message.content = (message.content ?? '') + delta.content;
  if (delta.reasoning_details) (message.reasoning_details ??= []).push(...delta.reasoning_details);
  for (const { index, ...call } of delta.tool_calls ?? []) {
    message.tool_calls ??= [];
    if (message.tool_calls[index]) message.tool_calls[index].function.arguments += call.function.arguments;
    else message.tool_calls[index] = call;
  }
}

// helper streams by chat.completions.stream().
async function helper(ask) {
  const out = { thinking: '' };
  const runner = client(ask).chat.completions.stream(chatParams(ask));
  let text = '';
  runner.on('content', (delta) => (text += delta));
  const left = await collect(ask, out, runner, (chunk) => {
    const d = chunk.choices[0]?.delta;
    out.thinking += d?.reasoning_content ?? '';
    return d?.content || d?.tool_calls || d?.reasoning_content;
  }, () => runner.abort());
  if (left) return out;
  const r = await amid(out, () => runner.finalChatCompletion());
  if (text.length !== r.choices.reduce((n, c) => n + (c.message.content ?? '').length, 0)) throw new Error('the deltas are not the final text');
  return chatAnswer(r.choices[0].message, r.choices[0].finish_reason, r.usage, r.choices.map((c) => c.message.content), out);
}

function responsesParams(ask) {
  const input = [];
  for (const t of ask.turns) {
    if (t.native) input.push(...t.native);
    else if (t.image) input.push({ role: 'user', content: [{ type: 'input_image', detail: 'auto', image_url: `data:image/png;base64,${t.image}` }, { type: 'input_text', text: t.user }] });
    else if (t.user) input.push({ role: 'user', content: t.user });
    for (const r of t.results ?? []) input.push({ type: 'function_call_output', call_id: r.id, output: r.text });
  }
  const p = { model: ask.model, input, store: false };
  if (ask.system) p.instructions = ask.system;
  if (ask.tools) p.tools = ask.tools.map((t) => ({ type: 'function', name: t.name, description: t.description, parameters: t.schema, strict: true }));
  if (ask.choice) p.tool_choice = ask.choice === 'required' ? 'required' : { type: 'function', name: ask.choice };
  if (ask.schema) p.text = { format: { type: 'json_schema', name: 'answer', schema: ask.schema, strict: true } };
  if (ask.think) Object.assign(p, { reasoning: { effort: 'low', summary: 'auto' }, include: ['reasoning.encrypted_content'] });
  if (ask.max) p.max_output_tokens = ask.max;
  return p;
}

function responsesAnswer(r, out = {}) {
  const calls = r.output.filter((i) => i.type === 'function_call').map((i) => ({ id: i.call_id, name: i.name, args: i.arguments }));
  const u = r.usage;
  return Object.assign(out, {
    text: r.output_text, calls, finish: calls.length && r.status === 'completed' ? 'tools' : finish(r.status),
    thinking: r.output.filter((i) => i.type === 'reasoning').flatMap((i) => i.summary).map((s) => s.text).join(''),
    usage: { input: u.input_tokens, output: u.output_tokens, cached: u.input_tokens_details.cached_tokens, reasoning: u.output_tokens_details.reasoning_tokens },
    native: r.output.map(plain),
  });
}

// plain takes away what the stream helper adds and the API does not take.
const plain = ({ parsed_arguments, ...item }) => (item.content ? { ...item, content: item.content.map(({ parsed, ...part }) => part) } : item);

const piece = (e) => e.type.endsWith('.delta');

async function responses(ask) {
  if (!ask.stream) return responsesAnswer(await client(ask).responses.create(responsesParams(ask)));
  const out = {};
  let last;
  const stream = await client(ask).responses.create({ ...responsesParams(ask), stream: true });
  const left = await collect(ask, out, stream, (e) => {
    if (e.type === 'response.completed' || e.type === 'response.incomplete') last = e.response;
    if (e.type === 'response.failed') throw Object.assign(new Error(e.response.error.message), { code: e.response.error.code });
    return piece(e);
  }, () => stream.controller.abort());
  if (left) return out;
  if (!last) throw new Error('the stream ended without its last event');
  last.output_text ??= last.output.filter((i) => i.type === 'message').flatMap((i) => i.content).map((c) => c.text ?? '').join('');
  return responsesAnswer(last, out);
}

// responsesHelper streams by responses.stream().
async function responsesHelper(ask) {
  const out = {};
  const runner = client(ask).responses.stream(responsesParams(ask));
  let text = '';
  runner.on('response.output_text.delta', (e) => (text += e.delta));
  const left = await collect(ask, out, runner, (e) => {
    if (e.type === 'response.failed') throw Object.assign(new Error(e.response.error.message), { code: e.response.error.code });
    return piece(e);
  }, () => runner.abort());
  if (left) return out;
  const r = await amid(out, () => runner.finalResponse());
  if (text !== r.output_text) throw new Error('the deltas are not the final text');
  return responsesAnswer(r, out);
}

export const clients = { 'openai-chat': chat(client), 'openai-azure': chat(azure), 'openai-chat.stream()': helper, 'openai-responses': responses, 'openai-responses.stream()': responsesHelper };
