import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, describe, expect, it } from 'vitest';
import { checkConfig } from '../dist/config/schema.js';
import { ProxyFile } from './support/proxy-file.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const docs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'));
const pages = ['README.md', ...docs.map((name) => `docs/${name}`)];

const textOf = (path: string) => readFileSync(join(root, path), 'utf8');

interface Fence {
  language: string;
  text: string;
  line: number;
}

/** A page taken apart into its fenced blocks and the rest. */
function split(markdown: string): { fences: Fence[]; prose: string } {
  const fences: Fence[] = [];
  const prose: string[] = [];
  let open: (Fence & { indent: number }) | undefined;
  for (const [index, line] of markdown.split('\n').entries()) {
    const mark = /^( *)```(.*)$/.exec(line);
    if (open === undefined && mark === null) prose.push(line);
    else if (open === undefined) open = { language: mark![2]!.trim(), text: '', line: index + 1, indent: mark![1]!.length };
    else if (mark === null) open.text += `${line.slice(open.indent)}\n`;
    else {
      fences.push(open);
      open = undefined;
    }
  }
  if (open !== undefined) throw new Error(`the fence of line ${open.line} has no end`);
  return { fences, prose: prose.join('\n') };
}

/** The anchors that the headings of a page get where it is shown: GitHub's rule. */
function anchorsOf(path: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading] of split(textOf(path)).prose.matchAll(/^#{1,6} +(.+?) *#*$/gm)) {
    const words = heading!.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll('`', '').trim().toLowerCase();
    const slug = words.replaceAll(/[^\p{L}\p{N}\p{M}\p{Pc} -]/gu, '').replaceAll(' ', '-');
    let anchor = slug;
    for (let number = 1; anchors.has(anchor); number += 1) anchor = `${slug}-${number}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** What is written as code on a page: fenced, and between back ticks. */
function codeOn(path: string): string {
  const { fences, prose } = split(textOf(path));
  const spans = [...prose.matchAll(/(`+)(.+?)\1/g)].map(([, , code]) => code);
  return [...fences.map(({ text }) => text), ...spans].join('\n');
}

describe.each(pages)('%s', (path) => {
  const links = [...split(textOf(path)).prose.replaceAll(/(`+)(.+?)\1/g, '').matchAll(/\]\(([^()\s]+)\)/g)]
    .map(([, target]) => target!)
    .filter((target) => !/^[a-z][a-z+.-]*:/i.test(target));

  it('links to files that exist and to headings that are there', () => {
    const broken = links.filter((target) => {
      const [file = '', anchor] = target.split('#');
      const linked = file === '' ? path : relative(root, join(root, dirname(path), decodeURIComponent(file)));
      if (linked.startsWith('..') || !existsSync(join(root, linked))) return true;
      return anchor !== undefined && (!linked.endsWith('.md') || !anchorsOf(linked).has(decodeURIComponent(anchor)));
    });
    expect(broken).toEqual([]);
  });

  const scripts = split(textOf(path)).fences.filter(({ language }) => ['js', 'javascript', 'ts'].includes(language));
  it.each(scripts.map(({ text, line }) => [line, text] as const))('shows a script that parses in line %i', (_line, text) => {
    const { diagnostics } = ts.transpileModule(text, {
      reportDiagnostics: true,
      compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ESNext },
    });
    expect(diagnostics!.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([]);
  });

  const proxies = scripts.filter(({ text }) => text.includes('defineProxy('));
  const files: ProxyFile[] = [];
  afterAll(() => files.forEach((file) => file.remove()));
  it.each(proxies.map(({ text, line }) => [line, text] as const))('defines a valid proxy in line %i', async (_line, text) => {
    const file = new ProxyFile(text);
    files.push(file);
    const { default: definition } = (await import(/* @vite-ignore */ file.url.href)) as { default: unknown };
    expect(() => checkConfig(definition)).not.toThrow();
  });
});

describe('what the package declares', () => {
  const program = ts.createProgram([join(root, 'dist/index.d.ts')], {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    types: ['node'],
    skipLibCheck: true,
  });
  const checker = program.getTypeChecker();
  const index = checker.getSymbolAtLocation(program.getSourceFile(join(root, 'dist/index.d.ts'))!)!;
  const exported = new Map(checker.getExportsOfModule(index).map((symbol) => [symbol.name, symbol]));

  const isPublic = (member: ts.Symbol) => {
    const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
    const isHidden = member.declarations?.some((declaration) => ts.getCombinedModifierFlags(declaration) & hidden);
    const isInternal = member.getJsDocTags(checker).some(({ name }) => name === 'internal');
    return !isHidden && !isInternal && /^[a-zA-Z]/.test(member.name);
  };

  /** Names of the public members of an exported class or interface, inherited ones included. */
  function membersOf(name: string): string[] {
    const symbol = exported.get(name);
    if (symbol === undefined) throw new Error(`${name} is not exported`);
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    return checker.getDeclaredTypeOfSymbol(target).getProperties().filter(isPublic).map((member) => member.name);
  }

  it('is found', () => {
    expect(membersOf('Message')).toEqual(expect.arrayContaining(['method', 'header', 'avp', 'var', 'asyncRoute', 'atkv', 'exit']));
    expect(membersOf('Message')).not.toContain('goAsynchronous');
    expect(membersOf('ProxyDefinition')).toEqual(expect.arrayContaining(['listen', 'requestRoute']));
  });

  it.each([
    // What is asked of a message stands behind a dot; parameters stand in many ways.
    ['docs/from-kamailio.md', 'Message', '\\.'],
    ['docs/from-kamailio.md', 'TkvEvent', '\\.atkv\\.'],
    ['docs/from-kamailio.md', 'ProxyDefinition', '(?<![\\w$])'],
    ['docs/from-kamailio.md', 'GroupDefinition', '(?<![\\w$])'],
    ['docs/from-kamailio.md', 'AsyncParams', 'modparam\\.async\\.'],
    ['docs/from-kamailio.md', 'TmParams', '(?<![\\w$])'],
    ['docs/from-kamailio.md', 'SworkerParams', '(?<![\\w$])'],
    ['docs/transports.md', 'TlsSettings', '(?<![\\w$])'],
    ['docs/transports.md', 'ConnectionCounters', '(?<![\\w$])'],
    ['docs/variables.md', 'Variables', '(?<![\\w$])'],
    ['docs/variables.md', 'Flags', '(?<![\\w$])'],
  ])('%s names every member of %s', (path, type, before) => {
    const code = codeOn(path);
    const missing = membersOf(type).filter((name) => !new RegExp(`${before}${name}(?![\\w$])`).test(code));
    expect(missing).toEqual([]);
  });
});
