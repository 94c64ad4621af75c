// A leaky bucket for examples/shaper.mjs: each GET of /KEY adds a drop to the bucket of that key and says after how many ms the
// drop has leaked through. RATE is how many drops leak in a second.
// RATE=5 PORT=8080 node examples/bucket.mjs
import { createServer } from 'node:http';

const { RATE = '5', PORT = '8080' } = process.env;
const dropMs = 1000 / Number(RATE);

/** When the bucket of a key will be empty, in ms. */
const emptyAtMs = new Map();

const server = createServer(({ url }, response) => {
  const nowMs = performance.now();
  for (const [key, atMs] of emptyAtMs) if (atMs <= nowMs) emptyAtMs.delete(key);
  const beginsMs = emptyAtMs.get(url) ?? nowMs;
  emptyAtMs.set(url, beginsMs + dropMs);
  response.end(String(Math.round(beginsMs - nowMs)));
});
server.listen(Number(PORT), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${server.address().port}/`));
