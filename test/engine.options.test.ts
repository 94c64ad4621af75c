import { describe, expect, it } from 'vitest';
import { createEngine, defineEngineRoutes } from 'sip-async/engine';
import type { EngineOptions, EngineRoutes } from 'sip-async/engine';
import { workerModule } from './fixtures/engine-runs.ts';

const routes: EngineRoutes = { A() {} };
const group = { name: 'far', workers: 1, module: workerModule };

async function faultsOf(options: unknown): Promise<string> {
  try {
    const engine = await createEngine(options as EngineOptions);
    await engine.close();
    return '';
  } catch (error) {
    expect(error).toMatchObject({ code: 'SIPASYNC_ERR_CONFIG' });
    return (error as Error).message;
  }
}

describe('createEngine', () => {
  it.each<[string, EngineOptions]>([
    ['routes', { routes }],
    ['everything', {
      routes,
      local: { nonblock: true, usleep: 0, maxQueue: 1, concurrency: 1 },
      groups: [{ ...group, nonblock: 0, usleep: 10, maxQueue: 5, concurrency: 2 }],
      maxSuspended: 1,
      maxSleepMs: 31_536_000_000,
      maxSuspendMs: 1,
      log: 'silent',
    }],
    ['a group and no routes of its own', { groups: [group] }],
    ['an empty list of groups', { routes, groups: [] }],
    ['what is undefined', { routes, maxSuspended: undefined, groups: undefined, local: undefined } as unknown as EngineOptions],
    ['routes without a prototype', { routes: Object.assign(Object.create(null) as object, routes) }],
  ])('takes %s', async (_, options) => {
    expect(await faultsOf(options)).toBe('');
  });

  it.each<[string, unknown, RegExp]>([
    ['nothing', undefined, /options: expected an object, got nothing/],
    ['null', null, /expected an object, got null/],
    ['a string', 'x', /expected an object/],
    ['an array', [routes], /expected an object, got an array/],
    ['an empty object', {}, /routes: expected at least one route/],
    ['no routes', { routes: {} }, /routes: expected at least one route/],
    ['an array of routes', { routes: [() => 1] }, /routes: expected an object of functions/],
    ['a route that is no function', { routes: { A: 'x' } }, /routes\.A: expected a function, got the string "x"/],
    ['a route without a name', { routes: { '': () => 1 } }, /needs a name/],
    ['an unknown key', { routes, maxSuspend: 5 }, /options\.maxSuspend: unknown key, did you mean maxSuspended\?/],
    ['an unknown key of local', { routes, local: { workers: 2 } }, /options\.local\.workers: unknown key/],
    ['slots of zero', { routes, maxSuspended: 0 }, /options\.maxSuspended: expected an integer from 1 to 16777216, got 0/],
    ['too many slots', { routes, maxSuspended: 16_777_217 }, /maxSuspended/],
    ['half a slot', { routes, maxSuspended: 1.5 }, /maxSuspended/],
    ['a numeric string', { routes, maxSleepMs: '5' }, /maxSleepMs: expected an integer/],
    ['a sleep of more than a year', { routes, maxSleepMs: 31_536_000_001 }, /maxSleepMs/],
    ['maxSuspendMs beyond 31 bits', { routes, maxSuspendMs: 2 ** 31 }, /maxSuspendMs/],
    ['a log level that is none', { routes, log: 'infos' }, /options\.log: .*did you mean info\?/],
    ['one group that is no array', { routes, groups: group }, /groups: expected an array of groups/],
    ['a group string without a module', { routes, groups: ['name=far;workers=1'] }, /groups\[0\]/],
    ['a group that is no object', { routes, groups: [5] }, /groups\[0\]/],
    ['a group without a module', { routes, groups: [{ name: 'far', workers: 1 }] }, /groups\[0\]\.module: expected the URL or path of a module, got nothing/],
    ['a module that is a number', { routes, groups: [{ ...group, module: 5 }] }, /groups\[0\]\.module/],
    ['a module that is empty', { routes, groups: [{ ...group, module: '' }] }, /groups\[0\]\.module/],
    ['a group without workers', { routes, groups: [{ ...group, workers: 0 }] }, /groups\[0\]\.workers: expected an integer from 1 to 256, got 0/],
    ['too many workers', { routes, groups: [{ ...group, workers: 257 }] }, /groups\[0\]\.workers/],
    ['a group without a name', { routes, groups: [{ workers: 1, module: workerModule }] }, /groups\[0\]\.name/],
    ['two groups of one name', { routes, groups: [group, group] }, /groups\[1\]\.name: a group named "far" is defined already/],
    ['a group named local', { routes, groups: [{ ...group, name: 'local' }] }, /groups\[0\]\.name: the name local is reserved/],
    ['a module that is not there', { routes, groups: [{ ...group, module: './nowhere.mjs' }] }, /groups\[0\]\.module: .*nowhere\.mjs cannot be loaded/],
  ])('refuses %s', async (_, options, fault) => {
    expect(await faultsOf(options)).toMatch(fault);
  });

  it('lists all faults at once', async () => {
    const message = await faultsOf({ routes: { A: 1 }, log: 'x', maxSuspended: -1, groups: [{ name: 'local', workers: 0 }] });
    expect(message).toMatch(/: 6 faults\n/);
  });
});

describe('defineEngineRoutes', () => {
  it('gives back what it is given', () => {
    const given = { A() {} };
    expect(defineEngineRoutes(given)).toBe(given);
    expect(Object.keys(given)).toEqual(['A']);
  });

  it.each([undefined, null, 'x', [], 5])('refuses %o', (value) => {
    expect(() => defineEngineRoutes(value as unknown as EngineRoutes)).toThrow(/SIPASYNC_ERR_CONFIG|defineEngineRoutes takes one object/);
  });
});
