// Writes the vectors of test/vectors as files, for programs that are not JavaScript: the fuzzer's seeds, the benchmark.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import { root } from './process.mjs';

const source = join(root, 'test/vectors');

/**
 * The tables as modules that this Node can import: the types taken out, beside the files that they read.
 * @param {string} folder a build folder
 * @returns {Promise<{ name: string, bytes: string, udp: { is: string } }[]>}
 */
export async function readVectors(folder) {
  const modules = join(folder, 'vectors');
  rmSync(modules, { recursive: true, force: true });
  mkdirSync(join(modules, 'rfc4475'), { recursive: true });
  for (const file of readdirSync(source).filter((name) => name.endsWith('.ts'))) {
    const { outputText } = ts.transpileModule(readFileSync(join(source, file), 'utf8'), {
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
    });
    writeFileSync(join(modules, file.replace(/ts$/, 'mjs')), outputText.replaceAll(/(from '\.[^']*)\.ts'/g, "$1.mjs'"));
  }
  for (const file of readdirSync(join(source, 'rfc4475'))) {
    writeFileSync(join(modules, 'rfc4475', file), readFileSync(join(source, 'rfc4475', file)));
  }
  const { all } = await import(pathToFileURL(join(modules, 'index.mjs')).href);
  return all;
}

/**
 * One file for each vector, named by its number and its name.
 * @param {string} folder a build folder
 * @returns {Promise<string>} where the files are
 */
export async function writeVectors(folder) {
  const files = join(folder, 'messages');
  rmSync(files, { recursive: true, force: true });
  mkdirSync(files, { recursive: true });
  for (const [number, { name, bytes }] of (await readVectors(folder)).entries()) {
    const title = `${String(number).padStart(4, '0')}-${name.replaceAll(/[^\w]+/g, '-').slice(0, 80)}`;
    writeFileSync(join(files, title), Buffer.from(bytes, 'latin1'));
  }
  return files;
}
