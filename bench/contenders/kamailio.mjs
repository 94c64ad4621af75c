import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isInstalled, outputOf } from '../machine.mjs';
import { freeUdpPort, startServer } from '../server-process.mjs';

const configuration = fileURLToPath(new URL('kamailio.cfg', import.meta.url));
const kSharedMemoryMb = 4096;
/** What a suspended INVITE of 700 bytes takes at most, with its share of the tables. */
const kSharedBytesPerCall = 16_384;
const kReceiveBufferBytes = 4 << 20;

export const name = 'kamailio';
export const title = 'Kamailio';
/** Debian packages; the second holds the async module in some releases. */
export const packages = ['kamailio', 'kamailio-extra-modules'];

/** What Kamailio says about our configuration with these definitions, asked once. @type {Map<string, string>} */
const verdicts = new Map();

/** @param {string[]} definitions @returns {string} why it refuses the configuration, or an empty string */
function refusalOf(definitions) {
  const key = definitions.join(' ');
  const known = verdicts.get(key);
  if (known !== undefined) return known;
  const args = ['-c', '-f', configuration, ...definitions.flatMap((definition) => ['-A', definition])];
  const check = spawnSync('kamailio', args, { encoding: 'utf8' });
  const refusal = check.status === 0 ? '' : check.stderr.trim().slice(-400);
  verdicts.set(key, refusal);
  return refusal;
}

/**
 * @param {Partial<import('../turns.mjs').StartOptions>} [options]
 * @returns {string} why it cannot run here, or an empty string
 */
export function unavailable({ handOver, tkv, calls = 0 } = {}) {
  if (!isInstalled('kamailio')) return 'kamailio is not installed';
  // Both came after 5.6; a version that has them is measured.
  if (handOver && refusalOf(['WITH_SWORKER']) !== '') return `Kamailio ${version()} has no module sworker here`;
  if (tkv && refusalOf(['WITH_TKV']) !== '') return `Kamailio ${version()} has no async_tkv_emit`;
  const neededMb = sharedMemoryMb(calls);
  const freeMb = Math.floor(freemem() / 2 ** 20);
  return neededMb < freeMb ? '' : `${calls} calls need ${neededMb} MB of shared memory, ${freeMb} MB are free`;
}

/** @param {number} calls at the same time */
function sharedMemoryMb(calls) {
  return Math.max(kSharedMemoryMb, Math.ceil((calls * kSharedBytesPerCall) / 2 ** 20));
}

export function version() {
  return /version: \S+ (\S+)/.exec(outputOf('kamailio', ['-v']))?.[1] ?? 'unknown';
}

/**
 * @param {import('../turns.mjs').StartOptions} options
 * @returns {Promise<import('../server-process.mjs').Server>}
 */
export async function start({ core, port, handOver, relayTo, tkv, calls = 0 }) {
  const definitions = [
    ...(handOver ? ['WITH_SWORKER'] : []),
    ...(tkv ? ['WITH_TKV'] : []),
    ...(relayTo === undefined ? [] : [`RELAY_TO="sip:127.0.0.1:${relayTo}"`]),
  ];
  // It refuses a configuration before it forks; asking first gives its own words instead of a timeout.
  const refusal = refusalOf(definitions);
  if (refusal !== '') throw new Error(`kamailio refuses its configuration: ${refusal}`);

  const folder = mkdtempSync(join(tmpdir(), 'bench-kamailio-'));
  const listenPort = port ?? (await freeUdpPort());
  return startServer({
    command: [
      'kamailio', '-f', configuration, ...definitions.flatMap((definition) => ['-A', definition]),
      '-l', `udp:127.0.0.1:${listenPort}`, '-DD', '-E',
      '-m', String(sharedMemoryMb(calls)), '-x', 'fm', '-X', 'fm', '-b', String(kReceiveBufferBytes),
      '-w', folder, '-Y', folder, '-P', join(folder, 'pid'),
    ],
    core,
    port: listenPort,
    version: version(),
    cleanUp: () => rmSync(folder, { recursive: true, force: true }),
  });
}
