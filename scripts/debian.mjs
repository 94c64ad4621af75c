// Development tools that npm cannot bring. Run by itself (`node scripts/debian.mjs`), it installs all of them.
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onPath, run } from './process.mjs';

/** libFuzzer and the sanitizers of clang, which stand in a folder of its version. */
function hasClangRuntime() {
  const inside = (folder) => (existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []);
  return inside('/usr/lib')
    .filter((folder) => basename(folder).startsWith('llvm-'))
    .flatMap((folder) => inside(join(folder, 'lib/clang')))
    .flatMap((folder) => inside(join(folder, 'lib/linux')))
    .some((file) => basename(file).startsWith('libclang_rt.fuzzer-'));
}

/** The server itself, which stands in a folder of its version and not on the path. */
function hasPostgres() {
  const folder = '/usr/lib/postgresql';
  return existsSync(folder) && readdirSync(folder).some((version) => existsSync(join(folder, version, 'bin/postgres')));
}

/**
 * What to look for, and the Debian package that has it. `commands` lists alternatives, of which one is enough.
 */
export const tools = {
  compiler: { commands: ['c++', 'g++', 'clang++'], package: 'g++' },
  cmake: { commands: ['cmake'], package: 'cmake' },
  generator: { commands: ['make', 'ninja'], package: 'make' },
  // node-gyp is written in it, which compiles better-sqlite3 for the tests where none of its binaries can be had.
  python: { commands: ['python3'], package: 'python3' },
  ninja: { commands: ['ninja'], package: 'ninja-build' },
  strip: { commands: ['strip'], package: 'binutils' },
  doctest: { file: '/usr/include/doctest/doctest.h', package: 'doctest-dev' },
  sipp: { commands: ['sipp'], package: 'sip-tester' },
  postgres: { present: hasPostgres, title: 'the PostgreSQL server', package: 'postgresql' },
  // The server without what would start it as a service.
  mariadb: { file: '/usr/sbin/mariadbd', package: 'mariadb-server-core' },
  clang: { commands: ['clang++'], package: 'clang' },
  clangRuntime: { present: hasClangRuntime, title: 'compiler-rt of clang', package: 'libclang-rt-dev' },
  // The tests of relaying compare with it; `npm test` does without it and says so.
  kamailio: { commands: ['kamailio'], package: 'kamailio' },
  valgrind: { commands: ['valgrind'], package: 'valgrind' },
  clangFormat: { commands: ['clang-format'], package: 'clang-format' },
};

export function missing(wanted) {
  return wanted.filter((tool) => {
    if (tool.present) return !tool.present();
    return !(tool.commands ? tool.commands.some(onPath) : existsSync(tool.file));
  });
}

function commandLine(packages) {
  return `sudo apt-get install -y --no-install-recommends ${packages.join(' ')}`;
}

/** Ends the process with 1 after naming the one command that brings what is missing. */
export function refuse(absent) {
  const names = absent.map((tool) => (tool.commands ? tool.commands.join(' or ') : (tool.title ?? tool.file)));
  console.error(`not found: ${names.join(', ')}`);
  console.error(`install with: ${commandLine(absent.map((tool) => tool.package))}`);
  process.exit(1);
}

/**
 * Makes sure that every tool is there. Root gets the missing packages installed; anybody else gets the command to type,
 * since a script that asks for a password in the middle of `npm test` surprises.
 */
export function ensure(wanted) {
  const absent = missing(wanted);
  if (absent.length === 0) return;
  const packages = absent.map((tool) => tool.package);
  if (process.getuid?.() !== 0 || !onPath('apt-get')) refuse(absent);

  console.log(`installing Debian packages: ${packages.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const quiet = ['-qq', '-o', 'DPkg::Lock::Timeout=120', '-o', 'Dpkg::Use-Pty=0'];
  // Lists that could not be refreshed may still be good enough, so only the installation decides.
  run('apt-get', [...quiet, 'update'], { env });
  run('apt-get', [...quiet, 'install', '-y', '--no-install-recommends', ...packages], { env });
  const stillAbsent = missing(wanted);
  if (stillAbsent.length > 0) refuse(stillAbsent);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) ensure(Object.values(tools));
