// Builds and runs the C++ tests, which need no Node. With --sanitize thread or --sanitize address,undefined, under that
// sanitizer, in a build folder of its own. Arguments after -- go to ctest.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ensure, tools } from './debian.mjs';
import { onPath, root, run } from './process.mjs';

const folders = { '': 'build-native', thread: 'build-native-thread', 'address,undefined': 'build-native-asan' };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { sanitize: { type: 'string', default: '' } },
});
const folder = folders[values.sanitize];
if (folder === undefined) {
  console.error(`--sanitize takes "thread" or "address,undefined", not "${values.sanitize}"`);
  process.exit(2);
}
ensure([tools.compiler, tools.cmake, tools.generator, tools.doctest]);

// Appended last, so that a setting from outside can add to these but not switch a report's failure off.
function withOptions(variable, options) {
  return [process.env[variable], ...options].filter(Boolean).join(':');
}
const env = {
  ...process.env,
  TSAN_OPTIONS: withOptions('TSAN_OPTIONS', ['halt_on_error=1', 'exitcode=66', 'second_deadlock_stack=1']),
  ASAN_OPTIONS: withOptions('ASAN_OPTIONS', ['halt_on_error=1', 'exitcode=67', 'detect_leaks=1']),
  UBSAN_OPTIONS: withOptions('UBSAN_OPTIONS', ['halt_on_error=1', 'exitcode=68', 'print_stacktrace=1']),
};

// A build folder keeps the generator it was configured with; naming another one is an error.
const fresh = !existsSync(join(root, folder, 'CMakeCache.txt'));
const generator = fresh && onPath('ninja') ? ['-G', 'Ninja'] : [];
const configure = [
  '-S', '.', '-B', folder, ...generator,
  '-DCMAKE_BUILD_TYPE=RelWithDebInfo',
  '-DSIP_ASYNC_NATIVE_TESTS=ON',
  `-DSIP_ASYNC_SANITIZE=${values.sanitize}`,
];

// ThreadSanitizer before GCC 14 cannot map its shadow where the kernel randomizes more than 28 bits of an address.
function withoutRandomizedAddresses(command) {
  const setting = '/proc/sys/vm/mmap_rnd_bits';
  const needed = values.sanitize === 'thread' && existsSync(setting) && Number(readFileSync(setting, 'utf8')) > 28;
  return needed && onPath('setarch') ? ['setarch', '-R', ...command] : command;
}
const [command, ...args] = withoutRandomizedAddresses([
  'ctest', '--test-dir', folder, '--output-on-failure', '--no-tests=error', '--timeout', '600', ...positionals,
]);

const passed =
  run('cmake', configure) && run('cmake', ['--build', folder, '-j', '2']) && run(command, args, { env });
process.exit(passed ? 0 : 1);
