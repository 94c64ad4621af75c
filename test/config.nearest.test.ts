import { describe, expect, it } from 'vitest';
import { didYouMean, nearestName } from '../dist/config/nearest.js';

const NAMES = ['listen', 'children', 'asyncWorkers', 'asyncWorkersGroup', 'log', 'modparam', 'route', 'ms_timer'];

describe('nearestName', () => {
  it.each([
    ['asyncWorker', 'asyncWorkers'], // one letter left out
    ['asyncWorkerss', 'asyncWorkers'], // one too many
    ['asyncWorkets', 'asyncWorkers'], // a wrong one
    ['chidlren', 'children'], // two swapped
    ['async_workers', 'asyncWorkers'], // Kamailio's spelling
    ['async_workers_group', 'asyncWorkersGroup'],
    ['ASYNCWORKERS', 'asyncWorkers'],
    ['msTimer', 'ms_timer'],
    ['routes', 'route'],
    ['lgo', 'log'],
  ])('finds for %s the name %s', (misspelt, name) => {
    expect(nearestName(misspelt, NAMES)).toBe(name);
  });

  it.each(['banana', '', 'x', 'abc', 'workers', '__proto__'])('finds nothing for %o', (word) => {
    expect(nearestName(word, NAMES)).toBeNull();
  });

  it('takes the nearest of several, the first among equals', () => {
    expect(nearestName('fr_inv_timr', ['fr_timer', 'fr_inv_timer'])).toBe('fr_inv_timer');
    expect(nearestName('tcb', ['tca', 'tcb'])).toBe('tcb');
    expect(nearestName('tcx', ['tca', 'tcb'])).toBe('tca');
  });

  it('finds nothing among no names', () => {
    expect(nearestName('listen', [])).toBeNull();
  });

  it('counts a swap of neighbours as one edit, so that short words can have one', () => {
    expect(nearestName('upd', ['udp'])).toBe('udp');
    expect(nearestName('xyp', ['udp'])).toBeNull();
  });

  it('refuses a very long word without comparing it letter by letter', () => {
    const long = 'x'.repeat(200_000);
    const begin = process.hrtime.bigint();
    expect(nearestName(long, ['y'.repeat(100_000), ...NAMES])).toBeNull();
    expect(Number(process.hrtime.bigint() - begin) / 1e6).toBeLessThan(1000);
  });
});

describe('didYouMean', () => {
  it('words the nearest name as a question', () => {
    expect(didYouMean('lisen', NAMES)).toBe(', did you mean listen?');
  });

  it('is empty when nothing is near', () => {
    expect(didYouMean('banana', NAMES)).toBe('');
  });
});
