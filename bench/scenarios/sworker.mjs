// What it costs to hand every message over to a group: CPU time for each call, and whether the rate is held, beside the same
// proxy that does everything in its receiver, and the same with an event route that only looks.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { atFixedRate } from '../fixed-rate.mjs';
import { runSipp } from '../load.mjs';
import { contenderTable } from '../report.mjs';
import { freeUdpPort, startServer } from '../server-process.mjs';
import { withSpread } from '../statistics.mjs';
import { inTurns } from '../turns.mjs';

export const name = 'sworker';
export const title = 'CPU time per call, handed over to a group of two and not';
export const needs = ['sipp'];
export const minutes = 6;

const kWarmUpSeconds = 3;
const kLoadSeconds = 8;
const kQuickLoadSeconds = 3;
const kRates = { options: [4000, 12_000, 24_000], invite: [4000, 8000] };

const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** @param {string} file @param {string} ownTitle @returns {import('../turns.mjs').Contender} */
function variant(file, ownTitle) {
  const module = fileURLToPath(new URL(`../sworker/${file}.proxy.mjs`, import.meta.url));
  return {
    name: file,
    title: ownTitle,
    unavailable: () => (existsSync(main) ? '' : 'not built: npm run build'),
    async start({ core }) {
      const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
      const port = await freeUdpPort();
      return startServer({
        command: [process.execPath, main, 'run', module, '--listen', `udp:127.0.0.1:${port}`],
        core,
        port,
        version,
        readyLine: `listening on udp:127.0.0.1:${port}`,
      });
    },
  };
}

export const contenders = [
  variant('handed-over', 'handed over'),
  variant('direct', 'without'),
  variant('event-only', 'event route only'),
];

/** @param {boolean} quick @param {number | undefined} rate replaces the list */
export function cases(quick, rate) {
  return /** @type {const} */ (['options', 'invite']).flatMap((method) => {
    const rates = rate === undefined ? (quick ? kRates[method].slice(0, 1) : kRates[method]) : [rate];
    return rates.map((each) => ({ method, rate: each }));
  });
}

/** @param {import('../turns.mjs').Context & { rate?: number }} context */
export async function run(context) {
  const core = context.cores.load;
  return inTurns(context, cases(context.quick, context.rate), async (server, { method, rate }) => {
    const load = { method, route: 'direct', rate };
    const warmUpSeconds = context.quick ? 1 : kWarmUpSeconds;
    await runSipp({ ...load, port: server.port, core, calls: rate * warmUpSeconds });
    return atFixedRate(server, core, { ...load, seconds: context.quick ? kQuickLoadSeconds : kLoadSeconds });
  });
}

/** @param {import('../turns.mjs').Row[]} rows */
export function table(rows) {
  return contenderTable(rows, {
    caseColumns: {
      request: ({ method }) => String(method).toUpperCase(),
      'calls/s': ({ rate }) => String(rate),
    },
    figureTitle: 'us/call',
    figure: (row) => withSpread(row.figures.cpuUsPerCall ?? null),
    ratio: (row) => row.figures.cpuUsPerCall?.median ?? NaN,
  });
}
