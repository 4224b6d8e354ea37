// What the drivers share.

const words = {
  stop: 'stop', length: 'length', tool_calls: 'tools', 'tool-calls': 'tools',
  end_turn: 'stop', stop_sequence: 'stop', max_tokens: 'length', tool_use: 'tools',
  completed: 'stop', incomplete: 'length', STOP: 'stop', MAX_TOKENS: 'length',
};

// finish puts an SDK's word for why an answer ended in the flows' words.
export const finish = (word) => words[word] ?? String(word ?? '');

// collect runs over a stream and counts its pieces: look says whether an event
// is one. An error that comes amid it carries the count. leave is called after
// ask.cancel pieces; then the answer is not whole, and collect returns true.
export async function collect(ask, out, events, look, leave) {
  out.pieces = 0;
  try {
    for await (const event of events) {
      if (look(event)) out.pieces++;
      if (ask.cancel && out.pieces >= ask.cancel) {
        leave();
        return true;
      }
    }
  } catch (e) {
    e.pieces = out.pieces;
    throw e;
  }
  return false;
}

// amid makes an error of f tell how much of the answer came before it.
export async function amid(out, f) {
  try {
    return await f();
  } catch (e) {
    e.pieces = out.pieces;
    throw e;
  }
}
