// Runs at `npm install`. Where the prebuilt binary loads there is nothing to do; elsewhere the addon is compiled.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { ensure, missing, refuse, tools } from './debian.mjs';
import { root } from './process.mjs';

const require = createRequire(import.meta.url);

/** Loads the addon in a process of its own: a binary that crashes while loading must not take npm's step with it. */
function tryLoad() {
  const check = join(dirname(require.resolve('node-gyp-build')), 'build-test.js');
  return spawnSync(process.execPath, [check], { cwd: root, encoding: 'utf8' });
}

function compile() {
  const args = [require.resolve('cmake-js/bin/cmake-js'), 'compile', '--log-level', 'warn'];
  const env = { CMAKE_BUILD_PARALLEL_LEVEL: String(availableParallelism()), ...process.env };
  return spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8', env, maxBuffer: 64 << 20 });
}

function fail(what, result) {
  console.error(`sip-async: ${what}`);
  console.error([result.stdout, result.stderr, result.error?.message].filter(Boolean).join('\n').trim());
  process.exit(1);
}

if (tryLoad().status === 0) process.exit(0);
console.log(`sip-async: no binary for ${process.platform}-${process.arch} loads here, compiling from source`);

const needed = [tools.cmake, tools.generator];
if (!process.env.CXX) needed.unshift(tools.compiler);
// Only in a checkout, where somebody works on the project, may installing it change the system.
if (existsSync(join(root, '.git'))) ensure(needed);
else if (missing(needed).length > 0) refuse(missing(needed));

const startedMs = performance.now();
const compiled = compile();
if (compiled.status !== 0) fail('the compilation failed', compiled);
const loaded = tryLoad();
if (loaded.status !== 0) fail('the compiled binary does not load', loaded);
console.log(`sip-async: compiled in ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
