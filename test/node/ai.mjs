// The AI SDK: generateText and streamText over five providers.
import { generateText, jsonSchema, Output, streamText, tool, embedMany } from 'ai';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { amid, collect, finish } from './tell.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;

// providers make a model, say how it is told to think, and to cache.
const openai = (ask) => createOpenAI({ baseURL: `${ask.base}/v1`, apiKey: ask.key });
const compatible = (ask) => createOpenAICompatible({ name: 'gateway', baseURL: `${ask.base}/v1`, apiKey: ask.key, includeUsage: !ask.quiet, supportsStructuredOutputs: true });
const ephemeral = { anthropic: { cacheControl: { type: 'ephemeral' } } };
const providers = {
  'ai-openai': {
    model: (ask) => openai(ask)(ask.model),
    options: (ask) => ({ openai: { store: false, ...(ask.think && { forceReasoning: true, reasoningEffort: 'low', reasoningSummary: 'auto', include: ['reasoning.encrypted_content'] }) } }),
  },
  'ai-openai.chat': {
    model: (ask) => openai(ask).chat(ask.model),
    options: (ask) => ({ openai: ask.think ? { forceReasoning: true, reasoningEffort: 'low' } : {} }),
    embedding: (ask) => openai(ask).textEmbeddingModel(ask.model),
  },
  'ai-openai-compatible': {
    model: (ask) => compatible(ask)(ask.model),
    options: (ask) => ({ gateway: ask.think ? { reasoningEffort: 'low' } : {} }),
    embedding: (ask) => compatible(ask).textEmbeddingModel(ask.model),
  },
  'ai-anthropic': {
    model: (ask) => createAnthropic({ baseURL: `${ask.base}/v1`, apiKey: ask.key })(ask.model),
    options: (ask) => ({ anthropic: ask.think ? { thinking: { type: 'enabled', budgetTokens: 1024 } } : {} }),
    mark: ephemeral,
  },
  'ai-google': {
    model: (ask) => createGoogleGenerativeAI({ baseURL: `${ask.base}/v1beta`, apiKey: ask.key })(ask.model),
    options: (ask) => ({ google: ask.think ? { thinkingConfig: { includeThoughts: true, thinkingBudget: 1024 } } : {} }),
    embedding: (ask) => createGoogleGenerativeAI({ baseURL: `${ask.base}/v1beta`, apiKey: ask.key }).textEmbeddingModel(ask.model),
  },
};

function params(ask, p) {
  const messages = [];
  if (ask.system) messages.push({ role: 'system', content: ask.system, ...(ask.mark && { providerOptions: p.mark }) });
  for (const t of ask.turns) {
    if (t.native) messages.push(...t.native);
    else if (t.image) messages.push({ role: 'user', content: [{ type: 'image', image: t.image, mediaType: 'image/png' }, { type: 'text', text: t.user }] });
    else if (t.user) messages.push({ role: 'user', content: t.user });
    if (t.results) messages.push({ role: 'tool', content: t.results.map((r) => ({ type: 'tool-result', toolCallId: r.id, toolName: r.name, output: { type: 'text', value: r.text } })) });
  }
  return {
    model: p.model(ask), messages, maxRetries: 0, providerOptions: p.options(ask), allowSystemInMessages: true,
    ...(ask.tools && { tools: Object.fromEntries(ask.tools.map((t) => [t.name, tool({ description: t.description, inputSchema: jsonSchema(t.schema) })])) }),
    ...(ask.choice && { toolChoice: ask.choice === 'required' ? 'required' : { type: 'tool', toolName: ask.choice } }),
    ...(ask.schema && { output: Output.object({ schema: jsonSchema(ask.schema) }) }),
    ...(ask.max && { maxOutputTokens: ask.max }),
    ...(ask.stop && { stopSequences: [ask.stop] }),
  };
}

async function answer(ask, r, out = {}) {
  const u = await r.usage;
  return Object.assign(out, {
    text: ask.schema ? JSON.stringify(await r.output) : await r.text, thinking: (await r.reasoningText) ?? '', finish: finish(await r.finishReason),
    calls: (await r.toolCalls).map((c) => ({ id: c.toolCallId, name: c.toolName, args: JSON.stringify(c.input) })),
    usage: {
      input: u.inputTokens ?? -1, output: u.outputTokens ?? -1,
      cached: u.inputTokenDetails?.cacheReadTokens ?? -1, reasoning: u.outputTokenDetails?.reasoningTokens ?? -1,
    },
    native: (await r.response).messages,
  });
}

function driver(p) {
  return async (ask) => {
    if (ask.embed) return { vectors: (await embedMany({ model: p.embedding(ask), values: ask.embed, maxRetries: 0 })).embeddings };
    if (!ask.stream) return answer(ask, await generateText(params(ask, p)));
    const out = {};
    const abort = new AbortController();
    const r = streamText({ ...params(ask, p), abortSignal: abort.signal, onError: () => {} });
    for (const k of ['usage', 'output', 'text', 'reasoningText', 'finishReason', 'toolCalls', 'response']) r[k]?.catch?.(() => {}); // of a stream that fails
    const left = await collect(ask, out, r.fullStream, (part) => {
      if (part.type === 'error') throw part.error;
      return ['text-delta', 'reasoning-delta', 'tool-input-delta', 'tool-call'].includes(part.type);
    }, () => abort.abort());
    return left ? out : amid(out, () => answer(ask, r, out));
  };
}

export const clients = Object.fromEntries(Object.entries(providers).map(([name, p]) => [name, driver(p)]));
