import { startProxy } from 'sip-async';
import { describe, expect, it } from 'vitest';
import { becomesIdle, useProxy } from './support/running-proxy.ts';

const neverText = [
  'undefined', 'null', '1', '0', 'NaN', 'true', '{}', '[]', "['RESUME']", '1n', 'Symbol.iterator', '() => 1',
];
// An empty reason is the usual one, and undefined is how it is left out.
const neverReason = neverText.filter((value) => value !== 'undefined');
const neverNumber = [
  'undefined', 'null', "'200'", 'true', '{}', '[]', '[1]', '1n', 'Symbol.iterator', '() => 1', 'new Date()',
];
const neverDelay = neverNumber.filter((value) => value !== "'200'");

/** A function with one argument replaced by `?`, the values it may not be, and the name that the error gives it. */
const calls: [call: string, never: readonly string[], name: string][] = [
  ['msg.asyncRoute(?, 1)', neverText, 'routename'],
  ["msg.asyncRoute('RESUME', ?)", neverDelay, 'seconds'],
  ['msg.asyncMsRoute(?, 1)', neverText, 'routename'],
  ["msg.asyncMsRoute('RESUME', ?)", neverDelay, 'milliseconds'],
  ['await msg.asyncSleep(?)', neverDelay, 'seconds'],
  ['await msg.asyncMsSleep(?)', neverDelay, 'milliseconds'],
  ['msg.asyncTaskRoute(?)', neverText, 'routename'],
  ["msg.asyncTaskGroupRoute(?, 'abc')", neverText, 'routename'],
  ["msg.asyncTaskGroupRoute('RESUME', ?)", neverText, 'groupname'],
  ["msg.sendReply(?, 'Reason')", neverNumber, 'code'],
  ['msg.sendReply(200, ?)', neverReason, 'reason'],
  ["msg.tReply(?, 'Reason')", neverNumber, 'code'],
  ['msg.tReply(200, ?)', neverReason, 'reason'],
  ["msg.slSendReply(?, 'Reason')", neverNumber, 'code'],
  ['msg.slSendReply(200, ?)', neverReason, 'reason'],
  ['msg.appendToReply(?)', neverText, 'line'],
  ['msg.header(?)', neverText, 'name'],
  ['msg.headers(?)', neverText, 'name'],
];
const table = calls.flatMap(([call, never, name]) =>
  never.map((value) => ({ script: call.replace('?', value), name })),
);

describe('an argument of a wrong type throws a TypeError', () => {
  const running = useProxy(
    `
    asyncWorkersGroup: ['name=abc;workers=1'],
    async requestRoute(msg) {
      let thrown = 'nothing';
      try {
        await scripts[msg.cseq](msg);
      } catch (error) {
        thrown = error instanceof TypeError ? 'TypeError ' + error.message : String(error);
      }
      msg.appendToReply('X-Thrown: ' + thrown);
      msg.sendReply(480);
    },
    route: { RESUME(msg) { msg.sendReply(599); } },`,
    { prelude: `const scripts = [${table.map(({ script }) => `async (msg) => ${script},`).join('\n')}];` },
  );

  const rows = table.map(({ script, name }, cseq) => [script, name, cseq] as const);
  it.each(rows)('%s', async (_script, name, cseq) => {
    const call = running.client.request({ cseq, autoAck: true });
    const final = await call.final();
    expect(final.header('x-thrown')).toMatch(new RegExp(`^TypeError ${name}: expected a `));
    // The call is as it was: it is answered by the route that caught the error, and was never suspended.
    expect(call.finals.map((response) => response.status)).toEqual([480]);
  });

  it('and changes nothing', async () => {
    expect(running.stats.timers).toMatchObject({ pending: 0, fired: 0 });
    await becomesIdle(running.proxy);
  });
});

describe('a program that starts a proxy', () => {
  const running = useProxy('requestRoute(msg) { msg.sendReply(404); },');

  it.each([[undefined], [null], [1], [{}], [['proxy.mjs']]])('startProxy(%j) throws a TypeError', async (module) => {
    await expect(startProxy(module as never)).rejects.toThrow(TypeError);
  });

  const neverTimes: [unknown][] = [['1'], [null], [NaN], [-1], [{}]];
  it.each(neverTimes)('close({ timeoutMs: %j }) throws one, and closes nothing', async (timeoutMs) => {
    expect(() => running.proxy.close({ timeoutMs: timeoutMs as never })).toThrow(TypeError);
    expect((await running.ask({})).status).toBe(404);
  });
});
