import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { ChatAnthropic } from '@langchain/anthropic';
import { HumanMessage, SystemMessage, ToolMessage } from '@langchain/core/messages';
import { concat } from '@langchain/core/utils/stream';
import { collect, finish } from './tell.mjs';

const openai = (ask, more) => new ChatOpenAI({
  model: ask.model, apiKey: ask.key, maxRetries: 0, configuration: { baseURL: `${ask.base}/v1` }, streamUsage: !ask.quiet,
  ...(ask.max && { maxTokens: ask.max }), ...more,
});

const models = {
  'langchain-openai': { make: (ask) => openai(ask, ask.think && { reasoning: { effort: 'low' } }) },
  'langchain-openai-responses': {
    include: ['reasoning.encrypted_content'],
    make: (ask) => openai(ask, {
      useResponsesApi: true, zdrEnabled: true, ...(ask.think && { reasoning: { effort: 'low', summary: 'auto' } }),
    }),
  },
  'langchain-anthropic': {
    make: (ask) => new ChatAnthropic({
      model: ask.model, apiKey: ask.key, anthropicApiUrl: ask.base, maxRetries: 0, maxTokens: ask.max || 3000,
      ...(ask.think && { thinking: { type: 'enabled', budget_tokens: 1024 } }),
    }),
  },
};

function messages(ask, name) {
  const all = [];
  const mark = ask.mark && name === 'langchain-anthropic' && { cache_control: { type: 'ephemeral' } };
  if (ask.system) all.push(new SystemMessage({ content: [{ type: 'text', text: ask.system, ...mark }] }));
  for (const t of ask.turns) {
    if (t.native) all.push(t.native);
    else if (t.image) all.push(new HumanMessage({ content: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${t.image}` } }, { type: 'text', text: t.user }] }));
    else if (t.user) all.push(new HumanMessage(t.user));
    for (const r of t.results ?? []) all.push(new ToolMessage({ content: r.text, tool_call_id: r.id, name: r.name }));
  }
  return all;
}

function answer(m, out = {}) {
  const content = typeof m.content === 'string' ? [{ type: 'text', text: m.content }] : m.content;
  const calls = (m.tool_calls ?? []).map((c) => ({ id: c.id, name: c.name, args: JSON.stringify(c.args) }));
  const told = m.response_metadata;
  const word = finish(told.finish_reason ?? told.stop_reason ?? told.status ?? m.additional_kwargs.stop_reason);
  const u = m.usage_metadata ?? {};
  return Object.assign(out, {
    text: content.filter((b) => b.type === 'text').map((b) => b.text).join(''),
    thinking: content.map((b) => b.thinking ?? b.reasoning ?? '').join('') || m.additional_kwargs.reasoning_content || '',
    calls, finish: calls.length && word === 'stop' ? 'tools' : word,
    usage: { input: u.input_tokens ?? -1, output: u.output_tokens ?? -1, cached: u.input_token_details?.cache_read ?? -1, reasoning: u.output_token_details?.reasoning ?? -1 },
    native: m,
  });
}

function bound(ask, name) {
  let model = models[name].make(ask);
  if (!ask.tools) return model;
  const tools = ask.tools.map((t) => ({ type: 'function', function: { name: t.name, description: t.description, parameters: t.schema } }));
  const choice = ask.choice === 'required' && name === 'langchain-anthropic' ? 'any' : ask.choice;
  return model.bindTools(tools, choice ? { tool_choice: choice } : {});
}

// structured asks for an answer of a schema, by the model's own means.
async function structured(ask, name) {
  const method = 'jsonSchema';
  const chain = models[name].make(ask).withStructuredOutput(ask.schema, { name: 'answer', method, includeRaw: true });
  if (!ask.stream) {
    const r = await chain.invoke(messages(ask, name));
    return { ...answer(r.raw), text: JSON.stringify(r.parsed) };
  }
  const out = {};
  let raw;
  await collect(ask, out, await chain.stream(messages(ask, name)), (r) => {
    if (r.raw) raw = raw ? concat(raw, r.raw) : r.raw;
    return true;
  }, () => {});
  return answer(raw, out);
}

function driver(name) {
  return async (ask) => {
    if (ask.embed) {
      const e = new OpenAIEmbeddings({ model: ask.model, apiKey: ask.key, maxRetries: 0, configuration: { baseURL: `${ask.base}/v1` } });
      return { vectors: await e.embedDocuments(ask.embed) };
    }
    if (ask.schema) return structured(ask, name);
    const abort = new AbortController();
    const options = { signal: abort.signal, ...(ask.stop && { stop: [ask.stop] }), ...(models[name].include && { include: models[name].include }) };
    const model = bound(ask, name);
    if (!ask.stream) return answer(await model.invoke(messages(ask, name), options));
    const out = {};
    let whole;
    const left = await collect(ask, out, await model.stream(messages(ask, name), options), (chunk) => {
      whole = whole ? concat(whole, chunk) : chunk;
      return chunk.content.length > 0 || chunk.tool_call_chunks?.length > 0 || chunk.additional_kwargs.reasoning_content;
    }, () => abort.abort());
    return left ? out : answer(whole, out);
  };
}

export const clients = Object.fromEntries(Object.keys(models).map((name) => [name, driver(name)]));
