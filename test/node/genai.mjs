import { GoogleGenAI } from '@google/genai';
import { collect, finish } from './tell.mjs';

const client = (ask) => new GoogleGenAI({ apiKey: ask.key, httpOptions: { baseUrl: ask.base } });

function params(ask, abortSignal) {
  const contents = [];
  for (const t of ask.turns) {
    if (t.native) contents.push(t.native);
    else if (t.image) contents.push({ role: 'user', parts: [{ inlineData: { mimeType: 'image/png', data: t.image } }, { text: t.user }] });
    else if (t.user) contents.push({ role: 'user', parts: [{ text: t.user }] });
    if (t.results) contents.push({ role: 'user', parts: t.results.map((r) => ({ functionResponse: { id: r.id, name: r.name, response: { output: r.text } } })) });
  }
  const config = { abortSignal };
  if (ask.system) config.systemInstruction = ask.system;
  if (ask.tools) config.tools = [{ functionDeclarations: ask.tools.map((t) => ({ name: t.name, description: t.description, parametersJsonSchema: t.schema })) }];
  if (ask.choice) config.toolConfig = { functionCallingConfig: { mode: 'ANY', ...(ask.choice !== 'required' && { allowedFunctionNames: [ask.choice] }) } };
  if (ask.schema) Object.assign(config, { responseMimeType: 'application/json', responseJsonSchema: ask.schema });
  if (ask.think) config.thinkingConfig = { includeThoughts: true, thinkingBudget: 1024 };
  if (ask.max) config.maxOutputTokens = ask.max;
  if (ask.stop) config.stopSequences = [ask.stop];
  if (ask.n) config.candidateCount = ask.n;
  return { model: ask.model, contents, config };
}

const textOf = (parts) => parts.filter((p) => !p.thought).map((p) => p.text ?? '').join('');

// answer reads an answer's parts, by candidate, and its last response.
function answer(candidates, last, out = {}) {
  const parts = candidates[0] ?? [];
  const calls = parts.filter((p) => p.functionCall).map(({ functionCall: f }) => ({ id: f.id ?? '', name: f.name, args: JSON.stringify(f.args) }));
  const word = finish(last.candidates?.[0]?.finishReason);
  const u = last.usageMetadata ?? {};
  return Object.assign(out, {
    text: textOf(parts), thinking: parts.filter((p) => p.thought).map((p) => p.text ?? '').join(''), calls,
    finish: calls.length && word === 'stop' ? 'tools' : word, choices: candidates.map(textOf),
    usage: {
      input: u.promptTokenCount ?? -1, output: (u.candidatesTokenCount ?? 0) + (u.thoughtsTokenCount ?? 0),
      cached: u.cachedContentTokenCount ?? 0, reasoning: u.thoughtsTokenCount ?? 0,
    },
    native: { role: 'model', parts },
  });
}

async function models(ask) {
  const all = [];
  for await (const m of await client(ask).models.list({ config: { queryBase: true } })) all.push(m.name.replace(/^models\//, ''));
  return { models: all, text: (await client(ask).models.get({ model: ask.model })).name.replace(/^models\//, '') };
}

async function generate(ask) {
  if (ask.models) return models(ask);
  if (ask.count) {
    const { model, contents } = params(ask);
    return { usage: { input: (await client(ask).models.countTokens({ model, contents })).totalTokens } };
  }
  if (ask.embed) {
    const r = await client(ask).models.embedContent({ model: ask.model, contents: ask.embed });
    return { vectors: r.embeddings.map((e) => e.values) };
  }
  const abort = new AbortController();
  const p = params(ask, abort.signal);
  if (!ask.stream) {
    const r = await client(ask).models.generateContent(p);
    return answer(r.candidates.map((c) => c.content?.parts ?? []), r);
  }
  const out = {};
  const candidates = [];
  let last;
  const left = await collect(ask, out, await client(ask).models.generateContentStream(p), (r) => {
    last = r;
    for (const c of r.candidates ?? []) (candidates[c.index ?? 0] ??= []).push(...(c.content?.parts ?? []).filter((q) => q.text || q.functionCall || q.thoughtSignature));
    return r.candidates?.some((c) => c.content?.parts?.length);
  }, () => abort.abort());
  return left ? out : answer(candidates, last, out);
}

export const clients = { genai: generate };
