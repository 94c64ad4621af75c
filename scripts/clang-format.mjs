// Checks the layout of the C++ sources; with --fix, rewrites them.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ensure, tools } from './debian.mjs';
import { root, run } from './process.mjs';

ensure([tools.clangFormat]);

const sources = readdirSync(join(root, 'native'), { recursive: true })
  .filter((name) => /\.(h|cc)$/.test(name))
  .map((name) => join('native', name))
  .sort();
if (sources.length === 0) {
  console.error('no C++ source found under native/');
  process.exit(1);
}
const mode = process.argv.includes('--fix') ? ['-i'] : ['--dry-run', '-Werror'];
process.exit(run('clang-format', [...mode, '--style=file', ...sources]) ? 0 : 1);
