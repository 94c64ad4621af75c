import { describe, expect, it } from 'vitest';
import { formatListing } from '../dist/cli/ps.js';
import { formatStats } from '../dist/cli/stats.js';
import { formatTable, printable, printableJson } from '../dist/cli/table.js';
import type { SuspendedEntry, ProxyStats } from 'sip-async';

const columns = [{ title: 'NAME' }, { title: 'N', right: true }, { title: 'TEXT', elastic: true }, { title: 'ID', elastic: true }];
const rows = [
  ['a', '1', 'some words that are long', 'identifier'],
  ['bcd', '12345', '-', 'identifier-2'],
];

describe('a table', () => {
  it('aligns its columns, and ends no line with a blank', () => {
    expect(formatTable(columns, [...rows, ['e', '2', '-', '']])).toBe(
      [
        'NAME      N  TEXT                      ID\n',
        'a         1  some words that are long  identifier\n',
        'bcd   12345  -                         identifier-2\n',
        'e         2  -\n',
      ].join(''),
    );
  });

  it('is as wide as the terminal and no wider, as long as there is something to cut', () => {
    const natural = formatTable(columns, rows);
    const width = Math.max(...natural.split('\n').map((line) => line.length));
    expect(formatTable(columns, rows, width)).toBe(natural);
    for (let narrower = width - 1; narrower >= 24; narrower -= 1) {
      const lines = formatTable(columns, rows, narrower).split('\n');
      expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(narrower);
    }
    expect(formatTable(columns, rows, 5)).toBe(formatTable(columns, rows, 24));
  });

  it('cuts the widest column first and shows that it did', () => {
    expect(formatTable(columns, rows, 40)).toBe(
      'NAME     N TEXT             ID\na        1 some words that… identifier\nbcd  12345 -                identifier-2\n',
    );
  });
});

describe('text that callers made', () => {
  it.each([
    ['plain text 1@2', 'plain text 1@2'],
    ['\x1b[2J\x1b]0;title\x07', '?[2J?]0;title?'],
    ['a\r\nb\tc\0', 'a??b?c?'],
    ['\x7f\x9b31m', '??31m'],
    ['\u202egnp.exe\u2066', '?gnp.exe?'],
    ['a\u2028b', 'a?b'],
    ['\ud800', '?'],
    ['é漢🎉', 'é漢🎉'],
  ])('%j is printed as %j', (text, printed) => {
    expect(printable(text)).toBe(printed);
    expect(JSON.parse(printableJson([text]))).toEqual([text]);
    expect(printableJson([text])).not.toMatch(/(?!\n)[\p{C}\u2028]/u);
  });
});

const entry = (over: Partial<SuspendedEntry>): SuspendedEntry => ({
  handle: { index: 17, label: 4 }, kind: 'transaction', state: 'suspended', route: 'RESUME', group: 'async:workers',
  dueInMs: 3912, suspensions: 1, method: 'INVITE', ruri: 'sip:a@b', callId: 'a84b4c76e66710@pc33.example.com', ...over,
});

describe('sip-async ps', () => {
  const entries = [
    entry({ kind: 'task', state: 'queued', dueInMs: 0, group: 'default', method: null, callId: null }),
    entry({}),
    entry({ kind: 'sleep', route: null, group: null, dueInMs: 60_000, callId: 'evil\x1b[31m' }),
    entry({ handle: { index: 262_143, label: 4_294_967_295 }, dueInMs: 86_400_000 }),
  ];

  it('prints a line for each, and how many there are', () => {
    expect(formatListing({ entries, more: false }, Infinity)).toBe(
      [
        'HANDLE             KIND         STATE        DUE IN  ROUTE   GROUP          METHOD  CALL-ID\n',
        '17:4               task         queued          now  RESUME  default        -       -\n',
        '17:4               transaction  suspended      3.9s  RESUME  async:workers  INVITE  a84b4c76e66710@pc33.example.com\n',
        '17:4               sleep        suspended     60.0s  -       -              INVITE  evil?[31m\n',
        '262143:4294967295  transaction  suspended  86400.0s  RESUME  async:workers  INVITE  a84b4c76e66710@pc33.example.com\n',
        '4 waiting: 1 task, 2 transactions, 1 sleep; 1 queued, 3 suspended\n',
      ].join(''),
    );
  });

  it.each([80, 120])('fits into %d columns', (width) => {
    const lines = formatListing({ entries, more: true }, width).split('\n');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(width);
    expect(lines).toContain('4 listed: 1 task, 2 transactions, 1 sleep; 1 queued, 3 suspended');
    expect(lines).toContain('there is more: --limit takes up to 10000');
  });

  it('says that nothing waits', () => {
    expect(formatListing({ entries: [], more: false }, 80)).toBe(
      'HANDLE  KIND  STATE  DUE IN  ROUTE  GROUP  METHOD  CALL-ID\nnothing waits\n',
    );
  });
});

describe('sip-async stats', () => {
  const times = { p50: 0.0625, p99: 12, max: 1234.5678 };
  const group = { workers: 4, idle: 3, queued: 0, highWater: 1024, done: 123_456_789, failed: 1, refused: 2, waitMs: times, runMs: times };
  const figures = {
    transactions: { active: 1, suspended: 2, inScript: 3 },
    timers: { pending: 4_000_000_000, latenessMs: times },
    transport: { malformed: {}, retransmissionsAbsorbed: 5 },
    groups: { 'async:workers': group, a: group },
  } as unknown as ProxyStats;

  it('prints every figure within 80 columns', () => {
    const text = formatStats(figures);
    expect(text).toBe(
      [
        'transactions',
        '  active                            1     suspended                         2',
        '  in script                         3',
        'timers',
        '  pending                  4000000000     lateness ms: p50              0.063',
        '  lateness ms: p99                 12     lateness ms: max           1234.568',
        'transport',
        '  retransmissions absorbed          5',
        'groups           workers  idle  queued  high water       done  failed  refused',
        '  async:workers        4     3       0        1024  123456789       1        2',
        '  a                    4     3       0        1024  123456789       1        2',
        'times in ms      wait p50  p99       max  run p50  p99       max',
        '  async:workers     0.063   12  1234.568    0.063   12  1234.568',
        '  a                 0.063   12  1234.568    0.063   12  1234.568',
        '',
      ].join('\n'),
    );
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('shows the reasons of malformed messages, and figures that it does not know', () => {
    const newer = { transport: { malformed: { noVia: 3, '\x1b[2J': 1 } }, later: { things: 7 }, groups: {} };
    const text = formatStats(newer as unknown as ProxyStats);
    expect(text).toContain('malformed: no via                 3');
    expect(text).toContain('malformed: ?[2 j');
    expect(text).toContain('later\n  things                            7\n');
  });
});
