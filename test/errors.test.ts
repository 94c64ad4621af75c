import { readFileSync } from 'node:fs';
import { SipAsyncError } from 'sip-async';
import { describe, expect, it } from 'vitest';
import { ERROR_TEXT, makeError, SipAsyncError as InternalError } from '../dist/errors.js';
import type * as errors from '../dist/errors.js';

const NAMES = Object.keys(ERROR_TEXT) as errors.ErrorName[];

/** A second copy of the module, as two versions of the package in one process have. */
async function otherCopy(): Promise<typeof errors> {
  const url = new URL('../dist/errors.js', import.meta.url);
  const source = readFileSync(url, 'utf8');
  const copy = `data:text/javascript;base64,${Buffer.from(source).toString('base64')}`;
  return (await import(/* @vite-ignore */ copy)) as typeof errors;
}

describe('SipAsyncError', () => {
  it('is the class that the package exports', () => {
    expect(makeError('CLOSED')).toBeInstanceOf(SipAsyncError);
    expect(SipAsyncError).toBe(InternalError);
  });

  it('is an Error with a name, a code and a stack that names the caller', () => {
    const error = makeError('UNKNOWN_ROUTE', 'RESUM');
    expect(error).toBeInstanceOf(Error);
    expect(error.name).toBe('SipAsyncError');
    expect(Object.keys(error)).toEqual(['code']);
    expect(error.code).toBe('SIPASYNC_ERR_UNKNOWN_ROUTE');
    expect(error.message).toBe('no route block of this name is defined: RESUM');
    expect(error.stack).toContain('errors.test');
    expect(error.stack).toMatch(/^SipAsyncError: no route block/);
  });

  it.each(NAMES)('%s has its own sentence and code', (name) => {
    const error = makeError(name);
    expect(error.code).toBe(`SIPASYNC_ERR_${name}`);
    expect(error.message).toBe(ERROR_TEXT[name]);
    expect(error.message).toMatch(/^[a-z].*[^.]$/);
    expect(Object.values(ERROR_TEXT).filter((text) => text === ERROR_TEXT[name])).toHaveLength(1);
  });

  it('keeps its cause, and has no such property without one', () => {
    const cause = new Error('bind EADDRINUSE');
    expect(makeError('LISTEN', 'udp:127.0.0.1:5060', cause).cause).toBe(cause);
    expect(Object.hasOwn(makeError('LISTEN'), 'cause')).toBe(false);
  });

  it('recognises the errors of another copy of the package, both ways', async () => {
    const other = await otherCopy();
    expect(other.SipAsyncError).not.toBe(InternalError);
    expect(other.makeError('CLOSED') instanceof SipAsyncError).toBe(true);
    expect(makeError('CLOSED') instanceof other.SipAsyncError).toBe(true);
  });

  it.each([null, undefined, 'x', 1, {}, new Error('x'), { code: 'SIPASYNC_ERR_CLOSED' }])(
    'does not take %o for its own',
    (value) => {
      expect(value instanceof SipAsyncError).toBe(false);
    },
  );

  it('leaves a subclass its own instanceof', () => {
    class Narrower extends SipAsyncError {}
    expect(makeError('CLOSED') instanceof Narrower).toBe(false);
    const narrow = new Narrower('SIPASYNC_ERR_CLOSED', 'x');
    expect(narrow instanceof Narrower).toBe(true);
    expect(narrow instanceof SipAsyncError).toBe(true);
  });
});

describe('docs/errors.md', () => {
  const rows = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `SIPASYNC_ERR_'))
    .map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()));
  const documented = rows.map(([code]) => code?.replaceAll('`', '').replace('SIPASYNC_ERR_', ''));

  it('has one row for each code, and no row for what is none', () => {
    expect([...documented].sort()).toEqual([...NAMES].sort());
  });

  it('says in each row what causes it, what to do and where it is met', () => {
    for (const row of rows) {
      expect(row, row[0]).toHaveLength(4);
      for (const cell of row) expect(cell, row[0]).not.toBe('');
      expect(row[3], row[0]).toMatch(/returned|thrown/);
    }
  });

  it('knows every code that the public contract names', () => {
    const contract =
      'UNKNOWN_ROUTE UNKNOWN_GROUP GROUP_FULL NO_WORKERS MS_TIMER_DISABLED DELAY_OUT_OF_RANGE NO_TRANSACTION ' +
      'SLOTS_EXHAUSTED ALREADY_SUSPENDED NOT_SUSPENDED STALE_HANDLE CANCELLED ALREADY_ANSWERED MODE_NO_TM TKV_DISABLED ' +
      'PAYLOAD_TOO_LARGE SUSPENDED CONFIG CLOSED';
    expect(NAMES).toEqual(expect.arrayContaining(contract.split(' ')));
  });
});
