// npm run bench: runs the scenarios, stores what came out with everything needed to judge it, renews the tables.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { isInstalled, pickCores, provenance } from './machine.mjs';
import { renewPages } from './pages.mjs';
import { newestResults, section, storeResult } from './report.mjs';
import { choose, expectedMinutes, versionsOf } from './suite.mjs';
import * as kamailio from './contenders/kamailio.mjs';
import * as pureJs from './contenders/pure-js.mjs';
import * as sipAsync from './contenders/sip-async.mjs';
import * as hostile from './scenarios/hostile.mjs';
import * as mixedLoad from './scenarios/mixed-load.mjs';
import * as native from './scenarios/native.mjs';
import * as nativeQueues from './scenarios/native-queues.mjs';
import * as nativeTimers from './scenarios/native-timers.mjs';
import * as nodeHandoff from './scenarios/node-handoff.mjs';
import * as nodeTimers from './scenarios/node-timers.mjs';
import * as sharedVars from './scenarios/shared-vars.mjs';
import * as sipCapacity from './scenarios/sip-capacity.mjs';
import * as sipCpu from './scenarios/sip-cpu.mjs';
import * as sworker from './scenarios/sworker.mjs';
import * as suspendedMemory from './scenarios/suspended-memory.mjs';
import * as timerLateness from './scenarios/timer-lateness.mjs';

/** @type {import('./suite.mjs').Scenario[]} */
const scenarios = [
  sipCpu,
  sipCapacity,
  suspendedMemory,
  timerLateness,
  sworker,
  sharedVars,
  nodeTimers,
  nodeHandoff,
  native,
  nativeTimers,
  nativeQueues,
  hostile,
  mixedLoad,
];
/** Contenders of the scenarios that name none of their own. @type {import('./turns.mjs').Contender[]} */
const servers = [sipAsync, kamailio, pureJs];
const kRounds = 3;
const kDebianPackages = { sipp: ['sip-tester'], cmake: ['cmake'] };

const usage = `Usage: node bench/run.mjs [options]
  --scenario NAME    only this one (may be repeated); without it all
  --contender NAME   only this one (may be repeated) and the scenarios that have it; nothing stored
  --rounds N         runs of each contender in each case (${kRounds})
  --rate N           calls a second instead of a scenario's own list of rates; nothing stored
  --quick            a minute's look: few cases, one round, nothing stored
  --out FILE         write the results there, leave bench/results, tables and plots alone
  --no-install       do not install missing programs, even as root
  --tables           only renew tables and plots from the stored results
  --list             names of the scenarios and of their contenders`;

/** @param {string} message @returns {never} */
function refuse(message) {
  console.error(`${message}\n${usage}`);
  process.exit(2);
}

function readOptions() {
  try {
    return parseArgs({
      options: {
        scenario: { type: 'string', multiple: true, default: [] },
        contender: { type: 'string', multiple: true, default: [] },
        rounds: { type: 'string' },
        rate: { type: 'string' },
        quick: { type: 'boolean', default: false },
        out: { type: 'string' },
        'no-install': { type: 'boolean', default: false },
        tables: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values;
  } catch (error) {
    return refuse(/** @type {Error} */ (error).message);
  }
}

/** @param {string | undefined} text @param {string} option */
function positiveInteger(text, option) {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d*$/.test(text)) refuse(`${option} takes a whole number above 0`);
  return Number(text);
}

/**
 * A machine made for the benchmarks is often bare; elsewhere nothing is installed unasked.
 * @param {string} what
 * @param {string[]} packages
 */
function install(what, packages) {
  if (packages.length === 0 || process.getuid?.() !== 0 || !isInstalled('apt-get')) return;
  console.error(`${what} is missing: apt-get install ${packages.join(' ')}`);
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const aptGet = (/** @type {string[]} */ args) =>
    spawnSync('apt-get', args, { stdio: ['ignore', 'ignore', 'inherit'], env: environment }).status === 0;
  const attempt = () => aptGet(['install', '-y', '--no-install-recommends', ...packages]);
  // The package lists of a bare machine may be absent or old.
  if (!attempt() && aptGet(['update'])) attempt();
}

/** @param {import('./suite.mjs').Choice[]} chosen */
function provide(chosen) {
  for (const command of new Set(chosen.flatMap(({ scenario }) => scenario.needs))) {
    if (!isInstalled(command)) install(command, kDebianPackages[/** @type {keyof typeof kDebianPackages} */ (command)] ?? []);
  }
  for (const { title, packages = [], unavailable } of new Set(chosen.flatMap(({ contenders }) => contenders))) {
    if (packages.length > 0 && unavailable({}) !== '') install(title, packages);
  }
}

/** @param {import('./suite.mjs').Scenario} scenario */
const contendersOf = (scenario) => scenario.contenders ?? servers;

function printList() {
  for (const scenario of scenarios) {
    const names = contendersOf(scenario).map(({ name }) => name).join(', ');
    console.log(`${scenario.name.padEnd(18)} ${scenario.title}${names === '' ? '' : ` (${names})`}`);
  }
}

function chosenScenarios() {
  try {
    return choose(scenarios, servers, options);
  } catch (error) {
    return refuse(/** @type {Error} */ (error).message);
  }
}

const options = readOptions();
if (options.help) {
  console.log(usage);
} else if (options.list) {
  printList();
} else if (options.tables) {
  for (const page of renewPages(scenarios)) console.log(`renewed ${page}`);
} else {
  await runAll();
}

async function runAll() {
  const chosen = chosenScenarios();
  const context = {
    rounds: positiveInteger(options.rounds, '--rounds') ?? (options.quick ? 1 : kRounds),
    rate: positiveInteger(options.rate, '--rate'),
    quick: options.quick,
    cores: pickCores(),
    log: (/** @type {string} */ line) => console.error(line),
  };
  // A table with some of the contenders or rates must not take the place of the whole one.
  const isWhole = !options.quick && options.contender.length === 0 && context.rate === undefined;
  const stored = isWhole && options.out === undefined;
  if (!options['no-install']) provide(chosen);
  if (stored) mkdirSync(new URL('results/', import.meta.url), { recursive: true });

  announce(chosen, context);
  const made = provenance(process.argv.slice(2));
  const results = [];
  const summaries = [];
  for (const { scenario, contenders } of chosen) {
    const { result, failure } = await runOne(scenario, { ...context, contenders }, made);
    if (result === undefined) {
      console.error(`${scenario.name}: ${failure}`);
      summaries.push(`${scenario.name}: ${failure}`);
      process.exitCode = 1;
      continue;
    }
    results.push(result);
    const unusable = result.rows.filter(({ ok }) => !ok).length;
    const faults = faultsOf(result, contendersOf(scenario).slice(1));
    if (faults > 0) process.exitCode = 1;
    console.log(`\n${scenario.title}\n\n${section(result, scenario)}\n`);
    // After each scenario, so that what an interrupted run has done is kept whole.
    const file = stored ? storeResult(result) : undefined;
    const renewed = stored ? renewPages(scenarios) : [];
    for (const page of renewed) console.log(`renewed ${page}`);
    const counts = `${result.rows.length} rows, ${unusable} not ok, ${faults} with a fault of ours`;
    const where = file === undefined ? 'not stored' : `stored ${file}`;
    summaries.push(`${scenario.name}: ${counts}, ${result.minutes} min, ${where}`);
  }
  if (options.out !== undefined) writeFileSync(options.out, `${JSON.stringify(results, null, 1)}\n`);
  console.log(summaries.join('\n'));
}

/**
 * @param {import('./suite.mjs').Choice[]} chosen
 * @param {{ rounds: number, quick: boolean }} context
 */
function announce(chosen, context) {
  const newest = newestResults();
  const expected = chosen.map(({ scenario }) => expectedMinutes(scenario, context, newest.get(scenario.name)));
  chosen.forEach(({ scenario, contenders }, index) => {
    const minutes = expected[index] === undefined ? 'time unknown' : `about ${expected[index]} min`;
    const names = contenders.map(({ name }) => name).join(', ');
    console.error(`${scenario.name.padEnd(18)} ${minutes}${names === '' ? '' : `: ${names}`}`);
  });
  const known = expected.filter((minutes) => minutes !== undefined);
  const sum = known.reduce((total, minutes) => total + minutes, 0);
  console.error(`${chosen.length} scenarios, about ${sum} minutes${known.length < expected.length ? ' and more' : ''}`);
}

/**
 * @param {import('./suite.mjs').Scenario} scenario
 * @param {object & { rounds: number, contenders: import('./suite.mjs').Chosen[] }} context
 * @param {ReturnType<typeof provenance>} made
 */
async function runOne(scenario, context, made) {
  const missing = scenario.needs.filter((command) => !isInstalled(command));
  if (missing.length > 0) return { failure: `left out, ${missing.join(' and ')} not installed` };
  const started = new Date();
  try {
    const rows = await scenario.run(context);
    const minutes = Math.round((Date.now() - started.getTime()) / 6000) / 10;
    const { name, title } = scenario;
    const load = scenario.needs.includes('sipp') ? { SIPp: made.sipp } : {};
    const versions = { ...versionsOf(scenario, context.contenders), ...load };
    const result = { scenario: name, title, quick: options.quick, rounds: context.rounds, minutes, versions };
    return { result: { ...result, provenance: { ...made, date: started.toISOString() }, rows } };
  } catch (error) {
    return { failure: `failed: ${/** @type {Error} */ (error).message}` };
  }
}

/**
 * What another does wrong, lacks or does not hold belongs into the table; what we do wrong must also be seen by a script.
 * @param {import('./report.mjs').Result} result
 * @param {import('./suite.mjs').Chosen[]} others
 */
function faultsOf({ rows }, others) {
  const own = rows.filter(({ contender }) => !others.some(({ title }) => title === contender));
  return own.filter(({ ok, runs }) => !ok || runs.some((run) => run.why !== undefined)).length;
}
