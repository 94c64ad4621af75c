// Starting and stopping a server under test, whichever it is.
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { treeOf } from './process-tree.mjs';
import { sleep } from './statistics.mjs';

const kStartTimeoutMs = 20_000;
const kStopTimeoutMs = 15_000;
const kLogTailCharacters = 2000;

/**
 * For servers on Node: without two full collections some seconds after the start, which fall into whatever is measured then
 * (docs/production.md, "Pauses").
 */
export const nodeFlags = ['--no-memory-reducer'];

/**
 * @typedef {object} Server
 * @property {number} pid first process of its tree
 * @property {number} port UDP port on 127.0.0.1
 * @property {string} version
 * @property {() => Promise<void>} stop
 */

/** First processes of what is up, so that an interrupted benchmark leaves nothing behind. @type {Set<number>} */
const running = new Set();

/**
 * Has a child killed with its own children if this process ends before it.
 * @param {import('node:child_process').ChildProcess} child
 */
export function killAtExit(child) {
  const { pid } = child;
  if (pid === undefined) return;
  running.add(pid);
  child.once('exit', () => running.delete(pid));
}

/** @param {number} pid @param {NodeJS.Signals} signal */
function signalOne(pid, signal) {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended by itself.
  }
}

process.on('exit', () => {
  for (const pid of running) for (const member of treeOf(pid)) signalOne(member, 'SIGKILL');
});
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) process.on(signal, () => process.exit(130));

/** @returns {Promise<number>} */
export function freeUdpPort() {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4');
    socket.once('error', reject);
    socket.bind(0, '127.0.0.1', () => {
      const { port } = socket.address();
      socket.close(() => resolve(port));
    });
  });
}

/**
 * One OPTIONS to the `direct` route: a server is up when it answers, not when it has printed something.
 * @param {number} port
 * @returns {Promise<boolean>}
 */
function answers(port) {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    const finish = (/** @type {boolean} */ answered) => {
      clearTimeout(timer);
      socket.close(() => resolve(answered));
    };
    const timer = setTimeout(finish, 250, false);
    socket.once('message', (reply) => finish(reply.toString('latin1').startsWith('SIP/2.0 404')));
    // Until the server has its socket, the kernel answers with an ICMP error that arrives here.
    socket.once('error', () => finish(false));
    socket.bind(0, '127.0.0.1', () => {
      const local = `127.0.0.1:${socket.address().port}`;
      const id = `probe-${local}-${process.hrtime.bigint()}`;
      socket.send(
        `OPTIONS sip:direct@127.0.0.1:${port} SIP/2.0\r\nVia: SIP/2.0/UDP ${local};branch=z9hG4bK${id}\r\n` +
          `Max-Forwards: 70\r\nFrom: <sip:probe@127.0.0.1>;tag=probe\r\nTo: <sip:direct@127.0.0.1>\r\n` +
          `Call-ID: ${id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n`,
        port,
        '127.0.0.1',
      );
    });
  });
}

/**
 * @param {object} options
 * @param {string[]} options.command
 * @param {number} options.core
 * @param {number} options.port
 * @param {string} options.version
 * @param {string} [options.readyLine] what it prints once it listens
 * @param {Record<string, string>} [options.environment] on top of ours
 * @param {() => void} [options.cleanUp] after it has ended
 * @returns {Promise<Server>}
 */
export async function startServer({ command, core, port, version, readyLine, environment, cleanUp = () => {} }) {
  // taskset replaces itself by the command, so this pid is the server's.
  const env = { ...process.env, ...environment };
  const child = spawn('taskset', ['-c', String(core), ...command], { stdio: ['ignore', 'pipe', 'pipe'], env });
  const pid = child.pid;
  if (pid === undefined) throw new Error('taskset does not start');
  killAtExit(child);

  let standardOutput = '';
  let log = '';
  let ended = false;
  child.stdout.on('data', (chunk) => (standardOutput = (standardOutput + chunk).slice(-kLogTailCharacters)));
  child.stderr.on('data', (chunk) => (log = (log + chunk).slice(-kLogTailCharacters)));
  const exit = new Promise((resolve) => {
    child.once('exit', () => {
      ended = true;
      resolve(undefined);
    });
  });

  const stop = async () => {
    const members = treeOf(pid);
    signalOne(pid, 'SIGTERM');
    await Promise.race([exit, sleep(kStopTimeoutMs)]);
    if (!ended) {
      for (const member of members) signalOne(member, 'SIGKILL');
      await exit;
    }
    cleanUp();
  };

  const deadline = Date.now() + kStartTimeoutMs;
  const isUp = async () => (readyLine === undefined || standardOutput.includes(readyLine)) && answers(port);
  while (!(await isUp())) {
    if (ended || Date.now() > deadline) {
      await stop();
      throw new Error(`${ended ? 'ended at once' : 'does not answer'}: ${(log || standardOutput).trim().slice(-400)}`);
    }
    await sleep(50);
  }
  return { pid, port, version, stop };
}
