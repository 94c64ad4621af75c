#!/usr/bin/env node
// Lets prebuildify build with cmake-js: prebuildify knows node-gyp's command line only, and two of its options mean
// something else to cmake-js (--target is a CMake target there, not a Node version).
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { run } from './process.mjs';

const { values } = parseArgs({
  strict: false,
  options: { arch: { type: 'string' }, debug: { type: 'boolean' } },
});
const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
const args = [cmakeJs, 'rebuild', '--log-level', 'warn', '--config', values.debug ? 'Debug' : 'Release'];
if (values.arch) args.push('--arch', values.arch);
// A cross build names its toolchain file here: CMAKE_JS_ARGS=--CDCMAKE_TOOLCHAIN_FILE=...
args.push(...(process.env.CMAKE_JS_ARGS ?? '').split(' ').filter(Boolean));

process.exit(run(process.execPath, args, { cwd: process.cwd() }) ? 0 : 1);
