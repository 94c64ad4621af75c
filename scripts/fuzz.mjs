// Runs the fuzz targets of native/fuzz under libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer.
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { outputOf, provenance } from '../bench/machine.mjs';
import { storeResult } from '../bench/report.mjs';
import { ensure, tools } from './debian.mjs';
import { onPath, root, run } from './process.mjs';
import { readVectors } from './vectors.mjs';

const usage = `Usage: node scripts/fuzz.mjs [options] [target...]
  --seconds N   how long each target runs (60)
  --jobs N      how many run at a time (as many as there are cores, 2 at most)
  --store       write the summary to bench/results
  --keep        add what was found to native/fuzz/corpus, as few inputs as cover the same`;

const folder = join(root, 'build-fuzz');
const corpora = join(root, 'native/fuzz/corpus');

/** @param {string} message @returns {never} */
function refuse(message) {
  console.error(`${message}\n${usage}`);
  process.exit(2);
}

function readOptions() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        seconds: { type: 'string', default: '60' },
        jobs: { type: 'string', default: String(Math.min(2, cpus().length)) },
        store: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    return refuse(/** @type {Error} */ (error).message);
  }
}

const { values, positionals } = readOptions();
const seconds = Number(values.seconds);
const jobs = Number(values.jobs);
if (!(seconds >= 1) || !(jobs >= 1)) refuse('--seconds and --jobs take whole numbers above 0');

const known = readdirSync(join(root, 'native/fuzz')).flatMap((file) => /^(\w+)_fuzz\.cc$/.exec(file)?.[1] ?? []).sort();
const unknown = positionals.find((name) => !known.includes(name));
if (unknown !== undefined) refuse(`unknown target: ${unknown} (there are ${known.join(', ')})`);
const targets = positionals.length > 0 ? positionals : known;

/** Messages are fuzzed whole, values as values. */
const kLongestInput = { header_index: 16_384, guard: 8_192, uri: 1_024, via: 4_096, transaction: 8_192 };

function build() {
  ensure([tools.clang, tools.clangRuntime, tools.cmake, tools.generator]);
  const fresh = !existsSync(join(folder, 'CMakeCache.txt'));
  const generator = fresh && onPath('ninja') ? ['-G', 'Ninja'] : [];
  const configure = [
    '-S', '.', '-B', folder, ...generator, '-DCMAKE_CXX_COMPILER=clang++', '-DCMAKE_BUILD_TYPE=RelWithDebInfo',
    '-DSIP_ASYNC_FUZZ=ON', '-DSIP_ASYNC_SANITIZE=address,undefined',
  ];
  const wanted = targets.flatMap((target) => ['--target', `${target}_fuzz`]);
  if (!run('cmake', configure) || !run('cmake', ['--build', folder, '-j', '2', ...wanted])) process.exit(1);
}

/**
 * What the vectors have to give to a target: messages to those that read messages, header values to the others. A row of
 * datagrams takes each message as one of its own.
 * @param {string} target
 * @param {Buffer} message
 * @returns {Buffer[]}
 */
function seedsOf(target, message) {
  const text = message.toString('latin1');
  const valuesOf = (/** @type {RegExp} */ pattern) => [...text.matchAll(pattern)].map(([, value]) => Buffer.from(value, 'latin1'));
  switch (target) {
    case 'via':
      return valuesOf(/^(?:via|v)[ \t]*:[ \t]*((?:.*\n[ \t])*.*)\r?$/gim);
    case 'uri':
      return [...valuesOf(/^\S+ (.*) SIP/g), ...valuesOf(/^(?:from|to|f|t|contact|m)[ \t]*:[ \t]*(.*)\r?$/gim), ...valuesOf(/<([^>\r\n]*)>/g)];
    case 'transaction': {
      // By itself; and with its retransmission, its CANCEL and its ACK, after a reply and while it sleeps.
      const as = (/** @type {string} */ method) =>
        text.replace(/^(?:INVITE|OPTIONS)/, method).replace(/^(cseq.*)(?:INVITE|OPTIONS)/im, `$1${method}`);
      const row = (/** @type {number[]} */ ...wishes) =>
        [text, text, as('CANCEL'), as('ACK')].map((each, i) => String.fromCharCode(wishes[i]) + each).join('\xff\xfe\n');
      const rows = /^(?:INVITE|OPTIONS)/.test(text) ? [row(0, 0x20, 0x80, 0), row(3, 0, 0, 0x21), row(0x46, 2, 0, 0)] : [];
      return [`\0${text}`, ...rows].map((each) => Buffer.from(each, 'latin1'));
    }
    default:
      return [message];
  }
}

/** @param {string} target @param {readonly { bytes: string }[]} vectors */
function writeSeeds(target, vectors) {
  const seeds = join(folder, 'seeds', target);
  rmSync(seeds, { recursive: true, force: true });
  mkdirSync(seeds, { recursive: true });
  let number = 0;
  for (const { bytes } of vectors) {
    for (const seed of seedsOf(target, Buffer.from(bytes, 'latin1'))) {
      if (seed.length <= kLongestInput[target]) writeFileSync(join(seeds, String(number++)), seed);
    }
  }
  return seeds;
}

/** @param {string} path @returns {{ inputs: number, bytes: number }} */
function sizeOf(path) {
  const files = existsSync(path) ? readdirSync(path) : [];
  return { inputs: files.length, bytes: files.reduce((sum, file) => sum + statSync(join(path, file)).size, 0) };
}

/**
 * Runs a program to its end and keeps what it says.
 * @param {string} command @param {string[]} args
 * @returns {Promise<{ code: number | null, log: string }>}
 */
function collect(command, args) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    child.stderr.setEncoding('latin1').on('data', (/** @type {string} */ text) => (log += text));
    child.once('error', (error) => resolve({ code: null, log: String(error) }));
    child.once('close', (code) => resolve({ code, log }));
  });
}

/** @param {string} target @param {readonly { bytes: string }[]} vectors */
async function fuzz(target, vectors) {
  const found = join(folder, 'found', target);
  const crashes = join(folder, 'crashes');
  mkdirSync(found, { recursive: true });
  mkdirSync(crashes, { recursive: true });
  const corpus = join(corpora, target);
  mkdirSync(corpus, { recursive: true });
  const seeds = writeSeeds(target, vectors);
  const began = performance.now();
  const { code, log } = await collect(join(folder, `${target}_fuzz`), [
    // Leaks are looked for when the corpus is replayed among the tests; here that look would take nearly all the time.
    `-max_total_time=${seconds}`, '-detect_leaks=0', `-max_len=${kLongestInput[target]}`, '-print_final_stats=1', '-timeout=10', '-rss_limit_mb=2048',
    `-artifact_prefix=${crashes}/${target}-`, found, corpus, seeds,
  ]);
  const last = (/** @type {RegExp} */ pattern) => Number([...log.matchAll(pattern)].at(-1)?.[1] ?? 0);
  const runs = last(/stat::number_of_executed_units:\s*(\d+)/g);
  const figures = {
    runs,
    seconds: Math.round((performance.now() - began) / 100) / 10,
    coverage: last(/ cov: (\d+)/g),
    features: last(/ ft: (\d+)/g),
    corpus: sizeOf(corpus).inputs,
  };
  const ok = code === 0 && runs > 0;
  if (!ok) console.error(log.split('\n').slice(-60).join('\n'));
  const text = Object.entries(figures).map(([name, value]) => `${name} ${value}`).join(', ');
  console.log(`fuzz: ${target} ${ok ? 'ok' : 'FAILED'} (${text})`);
  return { target, ok, figures };
}

/** Makes the corpus anew: as few inputs as reach all code that the old one, the seeds and what was found reach together. */
async function keep(/** @type {string} */ target) {
  const corpus = join(corpora, target);
  const merged = join(folder, 'merged', target);
  rmSync(merged, { recursive: true, force: true });
  mkdirSync(merged, { recursive: true });
  const from = [corpus, join(folder, 'seeds', target), join(folder, 'found', target)];
  // Counting how often an edge was taken would keep several times as many.
  const options = ['-set_cover_merge=1', '-use_counters=0', '-detect_leaks=0', `-max_len=${kLongestInput[target]}`];
  const { code, log } = await collect(join(folder, `${target}_fuzz`), [...options, merged, ...from]);
  if (code !== 0) throw new Error(log);
  rmSync(corpus, { recursive: true, force: true });
  cpSync(merged, corpus, { recursive: true });
  const { inputs, bytes } = sizeOf(corpus);
  console.log(`corpus: ${target} ${inputs} inputs, ${bytes} bytes`);
}

build();
const made = { ...provenance([]), compiler: outputOf('clang++', ['--version']).split('\n')[0] };
const vectors = await readVectors(folder);
const waiting = [...targets];
const rows = [];
await Promise.all(
  Array.from({ length: jobs }, async () => {
    for (let target = waiting.shift(); target !== undefined; target = waiting.shift()) rows.push(await fuzz(target, vectors));
  }),
);
if (values.keep) for (const target of targets) await keep(target);
if (values.store) {
  const command = ['node scripts/fuzz.mjs', ...process.argv.slice(2)].join(' ');
  rows.sort((one, other) => one.target.localeCompare(other.target));
  const result = {
    scenario: 'fuzz', title: 'Fuzzing: libFuzzer, AddressSanitizer, UndefinedBehaviorSanitizer', quick: false, rounds: 1,
    provenance: { ...made, command }, rows,
  };
  console.log(`stored ${storeResult(result)}`);
}
process.exitCode = rows.every(({ ok }) => ok) ? 0 : 1;
