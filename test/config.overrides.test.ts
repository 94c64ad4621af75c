import { describe, expect, it } from 'vitest';
import { checkConfig } from '../dist/config/schema.js';
import { definition, faultsOf } from './support/config-faults.ts';

describe('overrides', () => {
  const own = () =>
    definition({
      listen: ['udp:127.0.0.1:5060', 'udp:127.0.0.1:5061'],
      children: 2,
      asyncWorkers: 2,
      asyncWorkersGroup: ['name=abc;workers=4'],
      log: 'info',
      modparam: { async: { workers: 3, ms_timer: 10 }, tm: { fr_timer: 1000, wt_timer: 100 } },
      route: { RESUME() {} },
    });

  it('take precedence, and leave alone what they do not name', () => {
    const config = checkConfig(own(), { children: 4, log: 'silent', asyncWorkers: 0 });
    expect(config).toEqual({
      ...checkConfig(own()),
      children: 4,
      log: 'silent',
      groups: checkConfig(own()).groups.filter(({ name }) => name !== 'default'),
    });
  });

  it('replace lists as a whole', () => {
    const config = checkConfig(own(), { listen: ['udp:127.0.0.1:0'], asyncWorkersGroup: 'name=xyz;workers=1' });
    expect(config.listen).toEqual([{ transport: 'udp', host: '127.0.0.1', port: 0 }]);
    expect(config.groups.map(({ name }) => name)).toEqual(['async:workers', 'default', 'xyz']);
  });

  it('merge modparam key by key', () => {
    const config = checkConfig(own(), { modparam: { async: { ms_timer: 0 }, tm: { wt_timer: 1, max_suspend: 9 }, sworker: { xdata: '$var(y)' } } });
    expect(config.groups[0]!.workers).toBe(3);
    expect(config.async.msTimerMs).toBe(0);
    expect(config.tm).toMatchObject({ frTimerMs: 1000, wtTimerMs: 1, maxSuspendMs: 9 });
    expect(config.sworker.xdata).toBe('$var(y)');
  });

  it('may be left out or empty', () => {
    expect(checkConfig(own(), {})).toEqual(checkConfig(own()));
    expect(checkConfig(own(), undefined)).toEqual(checkConfig(own()));
  });

  it.each([
    [null, 'overrides: expected an object, got null'],
    ['x', 'overrides: expected an object, got the string "x"'],
    [{ children: 0 }, 'overrides.children: expected an integer from 1 to 64, got 0'],
    [{ childern: 1 }, 'overrides.childern: unknown key, did you mean children?'],
    [{ listen: ['udp:127.0.0.1:0', 'wss:127.0.0.1:0'] }, 'overrides.listen: transport wss needs tls.key and tls.cert'],
    [{ asyncWorkersGroup: ['name=a;workers=x'] }, 'overrides.asyncWorkersGroup[0].workers: expected an integer from 1 to 256, got the string "x"'],
    [{ asyncWorkersGroup: ['name=default;workers=1'] }, 'overrides.asyncWorkersGroup[0].name: the group "default" is defined already, by asyncWorkers'],
    [{ modparam: { async: { mode: 2 } } }, 'overrides.modparam.async.mode: expected 0 or 1, got 2'],
    [{ asyncTkvGname: 'abd' }, 'overrides.asyncTkvGname: expected the name of a worker group, got the string "abd", did you mean abc?'],
    [{ asyncTkvEvcb: 'core:tkv' }, 'overrides.asyncTkvEvcb: expected the name of an eventRoute, got the string "core:tkv"'],
    [{ route: {} }, 'overrides.route: routes come from the proxy module only'],
    [{ requestRoute: () => {} }, 'overrides.requestRoute: routes come from the proxy module only'],
  ])('have faults of their own: %o', (overrides, fault) => {
    expect(faultsOf(own(), overrides)).toEqual([fault]);
  });

  it('do not hide a fault of the definition', () => {
    expect(faultsOf(definition({ children: 0 }), { children: 1 })).toHaveLength(1);
    expect(faultsOf(definition({ children: 0 }), { children: 65 })).toHaveLength(2);
  });
});
