// Drives the SDKs of one package: reads a JSON object a line, {id, client, ask},
// and writes {id, answer}; see ask and answer in ../blackbox/flow_test.go. An
// answer's handle brings the answer back in a later ask.
import { createInterface } from 'node:readline';

const { clients } = await import(`./${process.argv[2]}.mjs`);
const kept = new Map();
let handles = 0;

async function answer(client, ask) {
  for (const turn of ask.turns ?? []) {
    if (turn.reply) turn.native = kept.get(turn.reply);
  }
  try {
    const { native, ...rest } = await clients[client](ask);
    const handle = ++handles;
    kept.set(handle, native);
    return { ...rest, handle };
  } catch (e) {
    return { error: failure(e), pieces: e.pieces ?? 0 };
  }
}

// failure tells of an SDK's error, whatever its shape. The vendor-shaped body
// is where the SDK put it.
function failure(e) {
  while (e.lastError ?? (e.status ? undefined : e.cause)) e = e.lastError ?? e.cause; // of a retry, or a kind of the SDK's own
  const body = [e.error, e.data, parsed(e.responseBody), parsed(e.message)].find((b) => b && typeof b === 'object') ?? {};
  const inner = body.error?.error ?? body.error ?? body;
  const code = e.code ?? inner.code;
  return {
    class: e.constructor.name,
    status: e.status ?? e.statusCode ?? 0,
    code: String((typeof code === 'string' && code) || inner.status || inner.type || e.type || ''),
    message: e.message,
  };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, client, ask } = JSON.parse(line);
  answer(client, ask).then((a) => process.stdout.write(JSON.stringify({ id, answer: a }) + '\n'));
}
