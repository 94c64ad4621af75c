// npm run bench: runs the scenarios, stores what came out with everything needed to judge it, renews the tables.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { isInstalled, pickCores, provenance } from './machine.mjs';
import { regeneratePages, section, storeResult } from './report.mjs';
import * as kamailio from './contenders/kamailio.mjs';
import * as pureJs from './contenders/pure-js.mjs';
import * as sipAsync from './contenders/sip-async.mjs';
import * as hostile from './scenarios/hostile.mjs';
import * as mixedLoad from './scenarios/mixed-load.mjs';
import * as native from './scenarios/native.mjs';
import * as sharedVars from './scenarios/shared-vars.mjs';
import * as sipCapacity from './scenarios/sip-capacity.mjs';
import * as sipCpu from './scenarios/sip-cpu.mjs';
import * as sworker from './scenarios/sworker.mjs';
import * as suspendedMemory from './scenarios/suspended-memory.mjs';
import * as timerLateness from './scenarios/timer-lateness.mjs';

const scenarios = [sipCpu, sipCapacity, suspendedMemory, timerLateness, sworker, sharedVars, native, hostile, mixedLoad];
/** These start no server of a contender's, so nothing is compared with Kamailio. */
const serverless = [sworker.name, sharedVars.name, native.name, hostile.name, mixedLoad.name];
/** @type {import('./turns.mjs').Contender[]} */
const contenders = [sipAsync, kamailio, pureJs];
/** The servers that ours is compared with. */
const others = contenders.filter((contender) => contender !== sipAsync).map((contender) => contender.title);
const kRounds = 3;
const kDebianPackages = { sipp: ['sip-tester'], kamailio: kamailio.packages, cmake: ['cmake'] };

const usage = `Usage: node bench/run.mjs [options]
  --scenario NAME    only this one (may be repeated); without it all
  --contender NAME   only this one (may be repeated): ${contenders.map(({ name }) => name).join(', ')}
  --rounds N         runs of each contender in each case (${kRounds})
  --rate N           calls a second of sip-cpu and sworker instead of its own list
  --quick            a minute's look: few cases, one round, nothing stored
  --out FILE         write the results there, leave bench/results and the tables alone
  --no-install       do not install missing programs, even as root
  --tables           only renew the tables from the stored results
  --list             names of the scenarios`;

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

/**
 * @template {{ name: string }} T
 * @param {T[]} all
 * @param {string[]} names
 * @returns {T[]}
 */
function pick(all, names) {
  const unknown = names.find((each) => !all.some(({ name }) => name === each));
  if (unknown !== undefined) refuse(`unknown name: ${unknown} (there are ${all.map(({ name }) => name).join(', ')})`);
  return names.length === 0 ? all : all.filter(({ name }) => names.includes(name));
}

/** @param {string | undefined} text @param {string} option */
function positiveInteger(text, option) {
  if (text === undefined) return undefined;
  if (!/^[1-9]\d*$/.test(text)) refuse(`${option} takes a whole number above 0`);
  return Number(text);
}

/**
 * A machine made for the benchmarks is often bare; elsewhere nothing is installed unasked.
 * @param {string} command
 * @param {boolean} mayInstall
 */
function provide(command, mayInstall) {
  if (isInstalled(command) || !mayInstall || process.getuid?.() !== 0 || !isInstalled('apt-get')) return;
  const packages = kDebianPackages[/** @type {keyof typeof kDebianPackages} */ (command)] ?? [];
  console.error(`${command} is missing: apt-get install ${packages.join(' ')}`);
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const aptGet = (/** @type {string[]} */ args) =>
    spawnSync('apt-get', args, { stdio: ['ignore', 'ignore', 'inherit'], env: environment }).status === 0;
  const install = () => aptGet(['install', '-y', '--no-install-recommends', ...packages]);
  // The package lists of a bare machine may be absent or old.
  if (!install() && aptGet(['update'])) install();
}

const options = readOptions();
if (options.help) {
  console.log(usage);
} else if (options.list) {
  for (const { name, title } of scenarios) console.log(`${name.padEnd(18)} ${title}`);
} else if (options.tables) {
  for (const page of regeneratePages(scenarios)) console.log(`renewed ${page}`);
} else {
  await runAll();
}

async function runAll() {
  const chosen = pick(scenarios, options.scenario);
  const context = {
    contenders: pick(contenders, options.contender),
    rounds: positiveInteger(options.rounds, '--rounds') ?? (options.quick ? 1 : kRounds),
    rate: positiveInteger(options.rate, '--rate'),
    quick: options.quick,
    cores: pickCores(),
    log: (/** @type {string} */ line) => console.error(line),
  };
  const stored = !options.quick && options.out === undefined;
  const needed = new Set(chosen.flatMap(({ needs }) => needs));
  if (chosen.some(({ name }) => !serverless.includes(name)) && context.contenders.includes(kamailio)) needed.add('kamailio');
  for (const command of needed) provide(command, !options['no-install']);
  if (stored) mkdirSync(new URL('results/', import.meta.url), { recursive: true });

  const made = provenance(process.argv.slice(2));
  const results = [];
  for (const scenario of chosen) {
    const missing = scenario.needs.filter((command) => !isInstalled(command));
    if (missing.length > 0) {
      console.error(`${scenario.name}: left out, ${missing.join(' and ')} not installed`);
      process.exitCode = 1;
      continue;
    }
    const started = new Date().toISOString();
    let rows;
    try {
      rows = await scenario.run(context);
    } catch (error) {
      console.error(`${scenario.name}: ${/** @type {Error} */ (error).message}`);
      process.exitCode = 1;
      continue;
    }
    const { name, title } = scenario;
    const result = {
      scenario: name,
      title,
      quick: options.quick,
      rounds: context.rounds,
      provenance: { ...made, date: started },
      rows,
    };
    results.push(result);
    // What another server does wrong, lacks or does not hold belongs into the table; what we do wrong must also be seen by a script.
    const isFaulty = (/** @type {import('./turns.mjs').Row} */ { contender, ok, runs }) =>
      contender === sipAsync.title ? runs.some((run) => run.why !== undefined) : !ok && !others.includes(contender);
    if (rows.some(isFaulty)) process.exitCode = 1;
    console.log(`\n${scenario.title}\n\n${section(result, scenario)}\n`);
    if (stored) console.log(`stored ${storeResult(result)}`);
  }
  if (options.out !== undefined) writeFileSync(options.out, `${JSON.stringify(results, null, 1)}\n`);
  if (stored) for (const page of regeneratePages(scenarios)) console.log(`renewed ${page}`);
}
