import Anthropic from '@anthropic-ai/sdk';
import { amid, collect, finish } from './tell.mjs';

const client = (ask) => new Anthropic({ baseURL: ask.base, apiKey: ask.key, maxRetries: 0 });

function params(ask) {
  const messages = [];
  for (const t of ask.turns) {
    if (t.native) messages.push(t.native);
    else if (t.image) messages.push({ role: 'user', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: t.image } }, { type: 'text', text: t.user }] });
    else if (t.user) messages.push({ role: 'user', content: t.user });
    if (t.results) messages.push({ role: 'user', content: t.results.map((r) => ({ type: 'tool_result', tool_use_id: r.id, content: r.text })) });
  }
  const p = { model: ask.model, max_tokens: ask.max || 3000, messages };
  if (ask.system) p.system = [{ type: 'text', text: ask.system, ...(ask.mark && { cache_control: { type: 'ephemeral' } }) }];
  if (ask.tools) p.tools = ask.tools.map((t) => ({ name: t.name, description: t.description, input_schema: t.schema }));
  if (ask.choice) p.tool_choice = ask.choice === 'required' ? { type: 'any' } : { type: 'tool', name: ask.choice };
  if (ask.schema) p.output_config = { format: { type: 'json_schema', schema: ask.schema } };
  if (ask.think) p.thinking = { type: 'enabled', budget_tokens: 1024 };
  if (ask.stop) p.stop_sequences = [ask.stop];
  return p;
}

function answer(m, out = {}) {
  const u = m.usage;
  const of = (type) => m.content.filter((b) => b.type === type);
  return Object.assign(out, {
    text: of('text').map((b) => b.text).join(''), thinking: of('thinking').map((b) => b.thinking).join(''), finish: finish(m.stop_reason),
    calls: of('tool_use').map((b) => ({ id: b.id, name: b.name, args: JSON.stringify(b.input) })),
    usage: {
      input: u.input_tokens + u.cache_read_input_tokens + u.cache_creation_input_tokens, output: u.output_tokens,
      cached: u.cache_read_input_tokens, reasoning: u.output_tokens_details?.thinking_tokens ?? -1,
    },
    native: { role: m.role, content: m.content },
  });
}

const piece = (e) => e.type === 'content_block_delta';

async function models(ask) {
  const all = [];
  for await (const m of client(ask).models.list()) all.push(m.id);
  return { models: all, text: (await client(ask).models.retrieve(ask.model)).id };
}

// counted is what counting tokens takes of the parameters.
function counted(ask) {
  const { max_tokens, stop_sequences, ...rest } = params(ask);
  return rest;
}

async function messages(ask) {
  if (ask.count) return { usage: { input: (await client(ask).messages.countTokens(counted(ask))).input_tokens } };
  if (ask.models) return models(ask);
  if (!ask.stream) return answer(await client(ask).messages.create(params(ask)));
  const out = {};
  let m;
  const parts = []; // of arguments, by block
  const stream = await client(ask).messages.create({ ...params(ask), stream: true });
  const left = await collect(ask, out, stream, (e) => {
    if (e.type === 'message_start') m = e.message;
    if (e.type === 'content_block_start') m.content[e.index] = { ...e.content_block };
    if (e.type === 'content_block_delta') add(m.content[e.index], e, parts);
    if (e.type === 'content_block_stop' && parts[e.index] !== undefined) m.content[e.index].input = JSON.parse(parts[e.index] || '{}');
    if (e.type === 'message_delta') {
      m.stop_reason = e.delta.stop_reason;
      for (const [k, v] of Object.entries(e.usage)) m.usage[k] = v ?? m.usage[k];
    }
    return piece(e);
  }, () => stream.controller.abort());
  return left ? out : answer(m, out);
}

function add(block, e, parts) {
  const d = e.delta;
  if (d.type === 'text_delta') block.text += d.text;
  if (d.type === 'thinking_delta') block.thinking += d.thinking;
  if (d.type === 'signature_delta') block.signature = d.signature;
  if (d.type === 'input_json_delta') parts[e.index] = (parts[e.index] ?? '') + d.partial_json;
}

// code asks as Claude Code does: the beta resource, a bearer's token, headers
// and members of its own.
const code = (ask) => new Anthropic({
  baseURL: ask.base, authToken: ask.key, apiKey: null, maxRetries: 0,
  defaultHeaders: { 'x-app': 'cli', 'x-claude-code-session-id': 'c0ffee', 'anthropic-beta': 'claude-code-20250219,interleaved-thinking-2025-05-14' },
}).beta;

// helper streams by messages.stream() and finalMessage().
const helper = (client, more) => async (ask) => {
  if (ask.count) return { usage: { input: (await client(ask).messages.countTokens(counted(ask))).input_tokens } };
  const out = {};
  const stream = client(ask).messages.stream({ ...params(ask), ...more });
  let text = '';
  stream.on('text', (delta) => (text += delta));
  if (await collect(ask, out, stream, piece, () => stream.abort())) return out;
  const a = answer(await amid(out, () => stream.finalMessage()), out);
  if (text !== a.text) throw new Error('the deltas are not the final text');
  return a;
};

export const clients = { anthropic: messages, 'anthropic.stream()': helper(client), 'claude-code': helper(code, { metadata: { user_id: 'user_1_session_c0ffee' } }) };
