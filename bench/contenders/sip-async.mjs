import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { freeUdpPort, nodeFlags, startServer } from '../server-process.mjs';

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const proxy = fileURLToPath(new URL('sip-async.proxy.mjs', import.meta.url));

export const name = 'sip-async';
export const title = 'sip-async';

/** @returns {string} why it cannot run here, or an empty string */
export function unavailable() {
  return existsSync(main) ? '' : 'not built: npm run build';
}

export function version() {
  return String(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version);
}

/**
 * @param {import('../turns.mjs').StartOptions} options
 * @returns {Promise<import('../server-process.mjs').Server>}
 */
export async function start({ core, port, handOver, relayTo, calls }) {
  const listenPort = port ?? (await freeUdpPort());
  return startServer({
    command: [process.execPath, ...nodeFlags, main, 'run', proxy, '--listen', `udp:127.0.0.1:${listenPort}`],
    core,
    port: listenPort,
    version: version(),
    readyLine: `listening on udp:127.0.0.1:${listenPort}`,
    environment: {
      ...(handOver ? { BENCH_HAND_OVER: '1' } : {}),
      ...(relayTo === undefined ? {} : { BENCH_RELAY_TO: String(relayTo) }),
      ...(calls === undefined ? {} : { BENCH_CALLS: String(calls) }),
    },
  });
}
