import { readFileSync } from 'node:fs';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { native } from '../dist/binding.js';
import { TRANSPORTS } from '../dist/transport/transport.js';

const text = readFileSync(new URL('../binding.d.ts', import.meta.url), 'utf8');
const source = ts.createSourceFile('binding.d.ts', text, ts.ScriptTarget.Latest, true);

function declared<Kind extends ts.Statement>(name: string, is: (node: ts.Node) => node is Kind & { name: ts.Identifier }): Kind {
  const found = source.statements.filter(is).find((node) => node.name.text === name);
  if (found === undefined) throw new Error(`binding.d.ts declares no ${name}`);
  return found;
}

const memberNames = (members: ts.NodeArray<ts.TypeElement>) => members.map((member) => member.name!.getText(source));
const membersOf = (name: string) => memberNames(declared(name, ts.isInterfaceDeclaration).members);

/** The words of `type Name = 'one' | 'two'`. */
function wordsOf(name: string): string[] {
  const { type } = declared(name, ts.isTypeAliasDeclaration);
  if (!ts.isUnionTypeNode(type)) throw new Error(`${name} is no union`);
  return type.types.map((word) => {
    if (!ts.isLiteralTypeNode(word) || !ts.isStringLiteral(word.literal)) throw new Error(`${word.getText()} is no word`);
    return word.literal.text;
  });
}

/** Names of a member of Constants that is written out as an object type. */
function fieldsOf(name: string): string[] {
  const member = declared('Constants', ts.isInterfaceDeclaration).members.find((one) => one.name?.getText() === name);
  const type = member && ts.isPropertySignature(member) ? member.type : undefined;
  if (type === undefined || !ts.isTypeLiteralNode(type)) throw new Error(`${name} is no object type`);
  return memberNames(type.members);
}

const sorted = (names: Iterable<string>) => [...names].sort();

describe('the addon', () => {
  it('exports what binding.d.ts declares, and nothing else', () => {
    expect(sorted(Object.keys(native))).toEqual(sorted(membersOf('Binding')));
    expect(membersOf('Binding')).toContain('engineCreate');
  });

  it.each(Object.keys(native).filter((name) => name !== 'constants'))('%s is a function', (name) => {
    expect(typeof native[name as keyof typeof native]).toBe('function');
  });

  it('has the constants that binding.d.ts declares', () => {
    expect(sorted(Object.keys(native.constants))).toEqual(sorted(membersOf('Constants')));
  });

  it.each([
    ['status', wordsOf('StatusName')],
    ['field', wordsOf('FieldName')],
    ['number', wordsOf('NumberName')],
    ['record', fieldsOf('record')],
    ['outcome', fieldsOf('outcome')],
  ] as const)('names the members of constants.%s as binding.d.ts does', (name, names) => {
    expect(sorted(Object.keys(native.constants[name]))).toEqual(sorted(names));
  });

  it.each(['status', 'field', 'number'] as const)('numbers constants.%s without a gap', (name) => {
    const numbers = Object.values(native.constants[name]);
    expect([...numbers].sort((a, b) => a - b)).toEqual(numbers.map((_, i) => i));
  });

  it.each(['engineStats', 'groupStats', 'malformed', 'methods'] as const)('has no name twice in constants.%s', (name) => {
    const names = native.constants[name];
    expect(names.length).toBeGreaterThan(4);
    expect(new Set(names).size).toBe(names.length);
  });

  it('numbers the transports as the language names them', () => {
    expect(native.constants.transports).toEqual(TRANSPORTS);
    expect(sorted(Object.keys(native.constants.outgoing))).toEqual(sorted(fieldsOf('outgoing')));
  });

  it('tells the kinds of a record apart, and keeps the mark clear of the outcomes', () => {
    const { words, taskBegin, taskSize, taskNumber, ...kinds } = native.constants.record;
    expect(words).toBe(8);
    // Behind the four words that every record has.
    expect([taskBegin, taskSize, taskNumber].sort()).toEqual([4, 5, 6]);
    expect(new Set(Object.values(kinds)).size).toBe(Object.keys(kinds).length);
    const { mark, ...outcomes } = native.constants.outcome;
    expect(new Set(Object.values(outcomes)).size).toBe(Object.keys(outcomes).length);
    for (const outcome of Object.values(outcomes)) expect(outcome & mark).toBe(0);
  });
});
