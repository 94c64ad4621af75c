// Compiles a stranger's project against the declarations as they are packed: nothing of this repository's own settings,
// no file that the package leaves out, no skipLibCheck. What must not compile is named next to the line, with its text.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import ts from 'typescript';

const root = join(import.meta.dirname, '../..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

const proxyModule = `
import { defineProxy } from 'sip-async';

export default defineProxy({
  listen: ['udp:127.0.0.1:5060'],
  asyncWorkersGroup: ['name=abc;workers=4', 'name=def;workers=1'],
  requestRoute(msg) {
    msg.asyncRoute('RESUME', 4);
    //! Argument of type '"RESUEM"' is not assignable to parameter of type '"RESUME" | "LATER"'.
    msg.asyncRoute('RESUEM', 4);
    msg.asyncTaskGroupRoute('LATER', 'abc');
    //! Argument of type '"acb"' is not assignable to parameter of type '"abc" | "def"'.
    msg.asyncTaskGroupRoute('LATER', 'acb');
  },
  route: {
    async RESUME(msg) {
      if (await msg.asyncSleep(1)) msg.sendReply(404, 'Not Found');
    },
    LATER(msg) {
      //! Argument of type '"RESUM"' is not assignable to parameter of type '"RESUME" | "LATER"'.
      msg.asyncTaskRoute('RESUM');
    },
  },
});
`;

const clientModule = `
import { startProxy, SipAsyncError } from 'sip-async';
import type { Message, ProxySettings } from 'sip-async';
import definition from './proxy.js';

export const names: readonly string[] = Object.keys(definition.route ?? {});
export const overrides: ProxySettings = { listen: 'udp:127.0.0.1:0', children: 2 };
export function subscriber(msg: Message): string {
  const bytes: Uint8Array | null = msg.raw;
  return msg.fromUser ?? String(bytes?.length);
}
try {
  await using proxy = await startProxy(new URL('./proxy.js', import.meta.url), overrides);
  const active: number = proxy.stats().transactions.active;
  console.log(proxy.addresses.map(String), active);
} catch (error) {
  if (error instanceof SipAsyncError) console.error(error.code);
}
`;

const opsModule = `
import { exec, openDatabase, query, restGet, restPost, sleep, waitForEvent } from 'sip-async/ops';
import type { Operation } from 'sip-async/ops';

export const db = openDatabase({ url: 'postgres://127.0.0.1/x', maxConnections: 2 });
const { signal } = new AbortController();
export const credit: number | undefined = (
  await query<{ credit: number }>(db, 'SELECT credit FROM users WHERE uid = $1', ['alice'])(signal)
).rows[0]?.credit;
export const waiting: Operation<void> = sleep(2);
export const text: string = (await restGet('http://127.0.0.1/')(signal)).body;
export const ms: number = (await restPost<{ ms: number }>('http://127.0.0.1/', 'a=b', { as: 'json' })(signal)).body.ms;
export const bytes: Uint8Array = (await exec('cat', { args: [], as: 'bytes' })(signal)).stdout;
export const contact: string = await waitForEvent<string>('registered', 'sip:alice@example.com')(signal);
//! Argument of type 'string' is not assignable to parameter of type 'number'.
export const wrong = sleep('2');
`;

/** The package's own files come as copies, so that their imports are looked up in the project's folder. */
function install(project) {
  const packed = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root, encoding: 'utf8' });
  if (packed.status !== 0) throw new Error(`npm pack: ${packed.stderr}`);
  const target = join(project, 'node_modules', manifest.name);
  for (const { path } of JSON.parse(packed.stdout)[0].files) {
    if (!path.endsWith('.d.ts') && path !== 'package.json') continue;
    mkdirSync(dirname(join(target, path)), { recursive: true });
    cpSync(join(root, path), join(target, path));
  }
  for (const name of [...Object.keys(manifest.dependencies), '@types/node']) {
    mkdirSync(dirname(join(project, 'node_modules', name)), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(project, 'node_modules', name));
  }
}

/** In which order a union is printed is the compiler's business: it changes with what else it has read. */
function withSortedUnions(text) {
  return text.replaceAll(/"\w+"(?: \| "\w+")+/g, (union) => union.split(' | ').sort().join(' | '));
}

/** @returns the complaints of the compiler, each as `file:line: text` */
function compile(project, names) {
  const program = ts.createProgram({
    rootNames: names.map((name) => join(project, name)),
    options: {
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      skipLibCheck: false,
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      typeRoots: [join(project, 'node_modules/@types')],
      types: ['node'],
      // A library that exports a definition must be able to name its type.
      declaration: true,
      outDir: join(project, 'out'),
    },
  });
  const { diagnostics } = program.emit();
  return [...ts.getPreEmitDiagnostics(program), ...diagnostics].map(({ file, start, messageText }) => {
    const text = withSortedUnions(ts.flattenDiagnosticMessageText(messageText, ' ').replaceAll(/\s+/g, ' '));
    if (file === undefined) return text;
    const { line } = file.getLineAndCharacterOfPosition(start);
    return `${file.fileName.replace(`${project}/`, '')}:${line + 1}: ${text}`;
  });
}

function expected(name, text) {
  const mark = '//! ';
  return text.split('\n').flatMap((line, index) => {
    const at = line.indexOf(mark);
    return at < 0 ? [] : [`${name}:${index + 2}: ${withSortedUnions(line.slice(at + mark.length))}`];
  });
}

const project = mkdtempSync(join(tmpdir(), 'sip-async-types-'));
try {
  install(project);
  const files = { 'proxy.ts': proxyModule, 'client.ts': clientModule, 'ops.ts': opsModule };
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(project, name), text);
  const got = compile(project, Object.keys(files));
  const wanted = Object.entries(files).flatMap(([name, text]) => expected(name, text));
  const faults = [
    ...got.filter((line) => !wanted.includes(line)).map((line) => `not expected: ${line}`),
    ...wanted.filter((line) => !got.includes(line)).map((line) => `missing: ${line}`),
  ];
  for (const fault of faults) console.error(`types as packed: ${fault}`);
  if (faults.length > 0) process.exitCode = 1;
} finally {
  rmSync(project, { recursive: true, force: true });
}
