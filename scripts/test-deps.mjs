// What the tests need beside `npm ci`: Debian packages, and the SQLite driver. That is compiled where none of its binaries can
// be had, which is nothing that who only runs a proxy should have to wait for.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ensure, tools } from './debian.mjs';
import { root, run } from './process.mjs';

const kDriver = 'better-sqlite3@12.11.1';
const binary = join(root, 'node_modules/better-sqlite3/build/Release/better_sqlite3.node');

ensure([tools.sipp, tools.postgres, tools.mariadb]);
if (!existsSync(binary)) {
  ensure([tools.compiler, tools.generator, tools.python]);
  console.log(`installing ${kDriver} for the tests`);
  const options = ['--no-save', '--save-dev', '--no-audit', '--no-fund', '--loglevel=error'];
  if (!run('npm', ['install', ...options, kDriver])) process.exit(1);
}
