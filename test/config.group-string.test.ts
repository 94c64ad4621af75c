import { describe, expect, it } from 'vitest';
import { Faults } from '../dist/config/faults.js';
import { parseGroupString } from '../dist/config/group-string.js';

function parse(text: string): { fields: Record<string, string | number>; faults: string[] } {
  const faults = new Faults();
  const fields = parseGroupString(text, ['asyncWorkersGroup', 0], faults);
  try {
    faults.throwIfAny();
  } catch (error) {
    return { fields, faults: (error as Error).message.split('\n').slice(1).map((line) => line.trim()) };
  }
  return { fields, faults: [] };
}

describe('parseGroupString', () => {
  it.each([
    ['name=abc;workers=4;nonblock=0;usleep=0', { name: 'abc', workers: 4, nonblock: 0, usleep: 0 }],
    ['name=abc;workers=4', { name: 'abc', workers: 4 }],
    ['workers=4;name=abc', { name: 'abc', workers: 4 }],
    ['name=abc;workers=4;', { name: 'abc', workers: 4 }],
    ['NAME=abc;Workers=4;NonBlock=1;uSleep=10;MAXQUEUE=9', { name: 'abc', workers: 4, nonblock: 1, usleep: 10, maxQueue: 9 }],
    [' name = abc ; workers = 4 ; ', { name: 'abc', workers: 4 }],
    ['name="a b";workers=\'4\'', { name: 'a b', workers: 4 }],
    ['name=42;workers=4', { name: '42', workers: 4 }],
    ['name=abc;workers=-4', { name: 'abc', workers: -4 }],
    ['name=abc;workers=+4', { name: 'abc', workers: 4 }],
    // What is no whole number is left for the check of the value to refuse.
    ['name=abc;workers=4.5', { name: 'abc', workers: '4.5' }],
    ['name=abc;workers=0x4', { name: 'abc', workers: '0x4' }],
    ['name=abc;workers=', { name: 'abc', workers: '' }],
    ['name=a=b;workers=1', { name: 'a=b', workers: 1 }],
  ])('reads %s', (text, fields) => {
    expect(parse(text)).toEqual({ fields, faults: [] });
  });

  it.each([
    ['name=abc;worker=4', 'unknown key "worker", did you mean workers?'],
    ['name=abc;max_queue=4', 'unknown key "max_queue", did you mean maxQueue?'],
    ['name=abc;prio=4', 'unknown key "prio", expected one of name, workers, nonblock, usleep, maxQueue, concurrency'],
    ['name=abc;__proto__=4', /unknown key "__proto__"/],
    ['name=abc;workers', 'expected key=value between the semicolons, got "workers"'],
    ['name=abc;;workers=4', 'expected key=value between the semicolons, got ""'],
    ['name=abc;workers=4;;', 'expected key=value between the semicolons, got ""'],
    ['', 'expected key=value between the semicolons, got ""'],
    ['name=abc;NAME=abd', 'name is given twice'],
  ])('refuses %o', (text, fault) => {
    const { faults } = parse(text);
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatch(/^asyncWorkersGroup\[0\]: /);
    expect(faults[0]!.replace('asyncWorkersGroup[0]: ', '')).toMatch(fault);
  });

  it('lists every fault of one string and keeps what is right', () => {
    const { fields, faults } = parse('nam=abc;workers=2;usleep;workers=3');
    expect(fields).toEqual({ workers: 2 });
    expect(faults).toHaveLength(3);
  });
});
