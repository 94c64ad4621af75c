// Packs the package and proves that the tarball works for a stranger: once with no compiler on the path, where the
// prebuilt binary must serve, and once without prebuilt binaries, where it must be compiled on installation.
import { spawnSync } from 'node:child_process';
import {
  chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { ensure, tools } from './debian.mjs';
import { root } from './process.mjs';

const installLimitMs = 600_000;
const work = mkdtempSync(join(tmpdir(), 'sip-async-pack-'));

const proxyModule = `
import { defineProxy } from 'sip-async';

export default defineProxy({
  listen: ['udp:127.0.0.1:0'],
  modparam: { async: { workers: 1, ms_timer: 1 } },
  requestRoute(msg) {
    msg.asyncMsRoute('RESUME', 50);
    msg.sendReply(500, 'Not suspended');
  },
  route: {
    RESUME(msg) { msg.sendReply(202, 'Resumed'); },
  },
});
`;

const clientModule = `
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { startProxy } from 'sip-async';

const proxy = await startProxy(new URL('./proxy.mjs', import.meta.url));
const port = proxy.addresses[0].port;
const socket = createSocket('udp4');
socket.bind(0, '127.0.0.1');
await once(socket, 'listening');
const own = '127.0.0.1:' + socket.address().port;
const options = [
  'OPTIONS sip:ping@127.0.0.1:' + port + ' SIP/2.0',
  'Via: SIP/2.0/UDP ' + own + ';branch=z9hG4bKpacksmoke',
  'Max-Forwards: 70',
  'From: <sip:smoke@client.invalid>;tag=1',
  'To: <sip:ping@proxy.invalid>',
  'Call-ID: pack-smoke@client.invalid',
  'CSeq: 1 OPTIONS',
  'Content-Length: 0',
];
socket.send(options.join('\\r\\n') + '\\r\\n\\r\\n', port, '127.0.0.1');
const [reply] = await once(socket, 'message', { signal: AbortSignal.timeout(5000) });
console.log('status ' + reply.toString('latin1').split(' ')[1]);
socket.close();
await proxy.close();
`;

class SmokeFailure extends Error {}

/** Runs a command to its end; anything but a clean exit is a failure that shows all the output. */
function call(command, args, { cwd, path = process.env.PATH, timeoutMs = 60_000 }) {
  const env = { ...process.env, PATH: path };
  const result = spawnSync(command, args, { cwd, env, encoding: 'utf8', timeout: timeoutMs, maxBuffer: 64 << 20 });
  if (result.status === 0) return result.stdout;
  const how = result.error?.message ?? `code ${result.status}, signal ${result.signal}`;
  throw new SmokeFailure(`${command} ${args.join(' ')}: ${how}\n${result.stdout}\n${result.stderr}`);
}

function expect(condition, complaint) {
  if (!condition) throw new SmokeFailure(complaint);
}

/** A copy of the sources to build in, because prebuildify takes the binary away from the tree it works in. */
function stage() {
  const folder = join(work, 'stage');
  const listed = call('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], { cwd: root });
  for (const name of listed.split('\0').filter(Boolean)) {
    // A file that was deleted but is still in the index is listed too.
    if (!existsSync(join(root, name))) continue;
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    cpSync(join(root, name), join(folder, name));
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

function pack(folder, destination) {
  mkdirSync(destination);
  call('npm', ['pack', '--silent', '--pack-destination', destination], { cwd: folder });
  const [tarball] = readdirSync(destination);
  expect(tarball?.endsWith('.tgz'), 'npm pack made no tarball');
  return join(destination, tarball);
}

/** Stands in front of every build tool, notes the call and fails. */
function fakeTools() {
  const folder = join(work, 'fakes');
  const log = join(work, 'fakes.log');
  mkdirSync(folder);
  for (const name of ['cc', 'c++', 'gcc', 'g++', 'clang', 'clang++', 'cmake', 'ninja', 'make', 'node-gyp']) {
    writeFileSync(join(folder, name), `#!/bin/sh\necho "${name} $*" >> '${log}'\nexit 1\n`);
    chmodSync(join(folder, name), 0o755);
  }
  return {
    path: `${folder}${delimiter}${process.env.PATH}`,
    calls: () => (existsSync(log) ? readFileSync(log, 'utf8') : ''),
  };
}

/** Installs the tarball into an empty project and sends one request through a proxy there. */
function installAndTry(name, tarball, path) {
  const project = join(work, name);
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name, version: '1.0.0', private: true }));
  writeFileSync(join(project, 'proxy.mjs'), proxyModule);
  writeFileSync(join(project, 'client.mjs'), clientModule);
  call('npm', ['install', '--no-audit', '--no-fund', tarball], { cwd: project, path, timeoutMs: installLimitMs });
  const said = call(process.execPath, ['client.mjs'], { cwd: project, path });
  expect(said.trim() === 'status 202', `${name}: expected "status 202", got ${JSON.stringify(said)}`);
  return join(project, 'node_modules', 'sip-async');
}

const builtBinaries = (folder) =>
  existsSync(join(folder, 'build/Release'))
    ? readdirSync(join(folder, 'build/Release')).filter((name) => name.endsWith('.node'))
    : [];

ensure([tools.compiler, tools.cmake, tools.generator, tools.strip]);
try {
  const folder = stage();
  call('npm', ['run', 'build:ts'], { cwd: folder, timeoutMs: installLimitMs });
  call('npm', ['run', 'prebuildify'], { cwd: folder, timeoutMs: installLimitMs });

  const fakes = fakeTools();
  const prebuilt = installAndTry('prebuilt', pack(folder, join(work, 'with-prebuilds')), fakes.path);
  expect(fakes.calls() === '', `build tools were called:\n${fakes.calls()}`);
  expect(builtBinaries(prebuilt).length === 0, 'something was compiled although a prebuilt binary is there');
  console.log('pack: prebuilt ok');

  rmSync(join(folder, 'prebuilds'), { recursive: true });
  const compiled = installAndTry('source', pack(folder, join(work, 'without-prebuilds')), process.env.PATH);
  expect(!existsSync(join(compiled, 'prebuilds')), 'the tarball still has prebuilt binaries');
  expect(builtBinaries(compiled).length === 1, 'nothing was compiled');
  console.log('pack: source build ok');
} catch (error) {
  if (!(error instanceof SmokeFailure)) throw error;
  console.error(`pack: ${error.message}`);
  process.exitCode = 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}
