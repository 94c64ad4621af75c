// How counts of instructions are judged. The figures are test data and were measured by nobody.
import { describe, expect, test } from 'vitest';
import { collectedIn, compareCounts, kOtherCompilerPercent, kTolerancePercent, perOperation } from '../scripts/instruction-counts.mjs';

const stored = { arch: 'x64', compiler: 'c++ 1', paths: { wheel: 1000, 'call-invite': 20_000 } };
const counted = (paths: Record<string, number>, rest = {}) => ({ ...stored, paths: { ...stored.paths, ...paths }, ...rest });

describe('counts of instructions', () => {
  test('pass when they are what is stored, and up to the tolerance', () => {
    expect(compareCounts(stored, stored)).toMatchObject({ failures: [], notes: [] });
    expect(compareCounts(stored, stored).lines).toHaveLength(2);
    expect(compareCounts(stored, counted({ wheel: 1000 + 10 * kTolerancePercent })).failures).toEqual([]);
  });

  test('fail above it, and name the path', () => {
    const { failures } = compareCounts(stored, counted({ wheel: 1001 + 10 * kTolerancePercent }));
    expect(failures).toHaveLength(1);
    expect(failures[0]).toMatch(/^wheel: 1051 instructions instead of 1000/);
  });

  test('ask for an update when there are clearly fewer', () => {
    const { failures, notes } = compareCounts(stored, counted({ 'call-invite': 18_000 }));
    expect(failures).toEqual([]);
    expect(notes).toEqual([expect.stringMatching(/^call-invite: 10\.0 % fewer.*--update/)]);
    expect(compareCounts(stored, counted({ 'call-invite': 19_500 })).notes).toEqual([]);
  });

  test('fail for a path that is missing on either side, and for one without a number', () => {
    expect(compareCounts(stored, { ...stored, paths: { wheel: 1000 } }).failures).toEqual(['call-invite: was not measured']);
    expect(compareCounts(stored, counted({ queue: 50 })).failures).toEqual([expect.stringMatching(/^queue: nothing is stored/)]);
    expect(compareCounts(stored, counted({ wheel: NaN })).failures).toHaveLength(1);
  });

  test('of another compiler are held to a wider tolerance, and it says so', () => {
    const other = { compiler: 'c++ 2' };
    const within = compareCounts(stored, counted({ wheel: 1000 + 10 * kOtherCompilerPercent }, other));
    expect(within.failures).toEqual([]);
    expect(within.notes).toEqual([expect.stringMatching(/another compiler \(stored: c\+\+ 1; here: c\+\+ 2\)/)]);
    expect(compareCounts(stored, counted({ wheel: 1001 + 10 * kOtherCompilerPercent }, other)).failures).toHaveLength(1);
  });

  test('of another processor are not compared', () => {
    const { failures, notes, lines } = compareCounts(stored, counted({ wheel: 9000 }, { arch: 'arm64' }));
    expect({ failures, lines }).toEqual({ failures: [], lines: [] });
    expect(notes).toEqual([expect.stringMatching(/not compared.*x64.*arm64/)]);
  });

  test('leave start and end of the process out', () => {
    expect(perOperation({ operations: 100, instructions: 51_000 }, { operations: 300, instructions: 151_000 })).toBe(500);
  });

  test('are read from what callgrind prints, or not at all', () => {
    expect(collectedIn('==1== Events    : Ir\n==1== Collected : 2270136\n')).toBe(2_270_136);
    expect(() => collectedIn('valgrind: no such program')).toThrow(/no count/);
  });
});
