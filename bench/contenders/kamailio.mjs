import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isInstalled, outputOf } from '../machine.mjs';
import { freeUdpPort, startServer } from '../server-process.mjs';

const configuration = fileURLToPath(new URL('kamailio.cfg', import.meta.url));
const kSharedMemoryMb = 4096;
const kReceiveBufferBytes = 4 << 20;

export const name = 'kamailio';
export const title = 'Kamailio';
/** Debian packages; the second holds the async module in some releases. */
export const packages = ['kamailio', 'kamailio-extra-modules'];

/** @returns {string} why it cannot run here, or an empty string */
export function unavailable() {
  return isInstalled('kamailio') ? '' : 'kamailio is not installed';
}

export function version() {
  return /version: \S+ (\S+)/.exec(outputOf('kamailio', ['-v']))?.[1] ?? 'unknown';
}

/**
 * @param {{ core: number, port?: number }} options
 * @returns {Promise<import('../server-process.mjs').Server>}
 */
export async function start({ core, port }) {
  // It refuses a configuration before it forks; asking first gives its own words instead of a timeout.
  const check = spawnSync('kamailio', ['-c', '-f', configuration], { encoding: 'utf8' });
  if (check.status !== 0) throw new Error(`kamailio refuses its configuration: ${check.stderr.trim().slice(-400)}`);

  const folder = mkdtempSync(join(tmpdir(), 'bench-kamailio-'));
  const listenPort = port ?? (await freeUdpPort());
  return startServer({
    command: [
      'kamailio', '-f', configuration, '-l', `udp:127.0.0.1:${listenPort}`, '-DD', '-E',
      '-m', String(kSharedMemoryMb), '-x', 'fm', '-X', 'fm', '-b', String(kReceiveBufferBytes),
      '-w', folder, '-Y', folder, '-P', join(folder, 'pid'),
    ],
    core,
    port: listenPort,
    version: version(),
    cleanUp: () => rmSync(folder, { recursive: true, force: true }),
  });
}
