import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { freeUdpPort, nodeFlags, startServer } from '../server-process.mjs';

const main = fileURLToPath(new URL('pure-js/main.mjs', import.meta.url));
/** A million calls that wait need a heap of several gigabytes. */
const kHeapMb = 12_288;

export const name = 'pure-js';
export const title = 'sip + setTimeout (pure JS)';

/** @returns {string} the file that tells the version of the npm package `sip`, or an empty string */
function packageFile() {
  try {
    return createRequire(import.meta.url).resolve('sip/package.json');
  } catch {
    return '';
  }
}

export function version() {
  return packageFile() === '' ? 'none' : String(JSON.parse(readFileSync(packageFile(), 'utf8')).version);
}

/** @returns {string} why it cannot run here, or an empty string */
export function unavailable() {
  return packageFile() === '' ? 'the npm package sip is not installed' : '';
}

/**
 * @param {import('../turns.mjs').StartOptions} options
 * @returns {Promise<import('../server-process.mjs').Server>}
 */
export async function start({ core, port, handOver, relayTo }) {
  const listenPort = port ?? (await freeUdpPort());
  return startServer({
    command: [process.execPath, ...nodeFlags, `--max-old-space-size=${kHeapMb}`, main, String(listenPort)],
    core,
    port: listenPort,
    version: `sip ${version()}`,
    readyLine: `listening on udp:127.0.0.1:${listenPort}`,
    environment: {
      ...(handOver ? { BENCH_HAND_OVER: '1' } : {}),
      ...(relayTo === undefined ? {} : { BENCH_RELAY_TO: String(relayTo) }),
    },
  });
}
