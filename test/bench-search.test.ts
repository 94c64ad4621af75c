import { describe, expect, it } from 'vitest';
import { comparisonsOf } from '../bench/comparisons.mjs';
import { highestRate } from '../bench/scenarios/sip-capacity.mjs';
import { cases } from '../bench/scenarios/sip-cpu.mjs';
import { routeTitles } from '../bench/routes.mjs';
import { rowOf } from '../bench/turns.mjs';

/** A server that holds so many calls a second, and every rate that it was asked. */
function serverThatHolds(limit: number) {
  const asked: number[] = [];
  return { asked, holds: (rate: number) => Promise.resolve(asked.push(rate) > 0 && rate <= limit) };
}

describe('the search for the highest rate', () => {
  it.each([9000, 10_000, 14_321, 40_000])('ends at most 9 %% below a limit of %i/s, wherever it begins', async (limit) => {
    for (const first of [5000, 10_000, 60_000]) {
      const { holds } = serverThatHolds(limit);
      const found = await highestRate(first, holds);
      expect(found).toBeLessThanOrEqual(limit);
      expect(found).toBeGreaterThan(limit * 0.91);
    }
  });

  it('says 0 for a server that holds nothing, and ends', async () => {
    const { asked, holds } = serverThatHolds(0);
    expect(await highestRate(2000, holds)).toBe(0);
    expect(Math.min(...asked)).toBeGreaterThanOrEqual(1000);
  });
});

describe('the cases of sip-cpu', () => {
  it('ask each route by both requests, and no more than one rate of a trial', () => {
    const all = cases(false, undefined);
    for (const method of ['options', 'invite']) {
      const routes = new Set(all.filter((each) => each.method === method).map((each) => each.route));
      expect([...routes].sort()).toEqual(Object.keys(routeTitles).sort());
    }
    expect(new Set(cases(false, 500).map(({ rate }) => rate))).toEqual(new Set([500]));
  });
});

describe('comparisons', () => {
  const row = (route: string, contender: string, us: number, ok = true) =>
    rowOf({ route }, contender, [{ ok, figures: { us } }]);

  it('set our figure beside those of the others in the same case, and leave out what is not usable', () => {
    const rows = [
      row('a', 'sip-async', 1), row('a', 'Kamailio', 2), row('a', 'other', 3, false),
      row('b', 'sip-async', 4, false), row('b', 'Kamailio', 5), row('c', 'sip-async', 6),
    ];
    const caseName = ({ route }: Record<string, unknown>) => String(route);
    const asked = { caseName, figure: 'us', measure: 'CPU', lessIsBetter: true };
    expect(comparisonsOf(rows, asked)).toEqual([
      { case: 'a', measure: 'CPU', lessIsBetter: true, ours: 1, others: [{ contender: 'Kamailio', value: 2 }] },
    ]);
  });
});
