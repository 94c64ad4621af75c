import { describe, expect, it } from 'vitest';
import { becomesIdle, useProxy } from './support/running-proxy.ts';

/** Answers with what a function returned, so that the answer also shows that the script went on. */
const prelude = `
  function report(msg, returned) {
    const code = msg.asyncError?.code;
    msg.appendToReply('X-Returned: ' + returned);
    msg.appendToReply('X-Code: ' + code);
    msg.sendReply(480);
  }`;

interface Refusal {
  /** The call, as it stands in the script. */
  readonly script: string;
  readonly code: string;
}

const range = 'SIPASYNC_ERR_DELAY_OUT_OF_RANGE';
const badDelays = [
  '0', '-1', '-0', '1.5', '0.999', 'NaN', 'Infinity', '-Infinity', '2 ** 53', "''", "' '", "'0'", "'-1'", "'+1'",
  "'1.5'", "'1e1'", "'0x10'", "'four'", "'4s'", "'4 4'", "'Infinity'", "'9999999999999999'", "'\\u0664'",
];

const badNames = ["'NOPE'", "''", "'resume'", "'RESUME '", "'toString'", "'__proto__'", "'requestRoute'"];
const badGroups = ["'nope'", "''", "'ABC'", "'async:workers'", "'__proto__'"];

const refusals: Refusal[] = [
  ...badDelays.flatMap((delay) => [
    { script: `msg.asyncRoute('RESUME', ${delay})`, code: range },
    { script: `msg.asyncMsRoute('RESUME', ${delay})`, code: range },
    { script: `await msg.asyncSleep(${delay})`, code: range },
    { script: `await msg.asyncMsSleep(${delay})`, code: range },
  ]),
  { script: "msg.asyncRoute('RESUME', 101)", code: range },
  { script: "msg.asyncRoute('RESUME', '101')", code: range },
  { script: "msg.asyncMsRoute('RESUME', 30001)", code: range },
  { script: "msg.asyncMsRoute('RESUME', '30001')", code: range },
  { script: 'await msg.asyncSleep(101)', code: range },
  { script: 'await msg.asyncMsSleep(30001)', code: range },
  ...badNames.flatMap((name) => [
    { script: `msg.asyncRoute(${name}, 1)`, code: 'SIPASYNC_ERR_UNKNOWN_ROUTE' },
    { script: `msg.asyncMsRoute(${name}, 1)`, code: 'SIPASYNC_ERR_UNKNOWN_ROUTE' },
    { script: `msg.asyncTaskRoute(${name})`, code: 'SIPASYNC_ERR_UNKNOWN_ROUTE' },
    { script: `msg.asyncTaskGroupRoute(${name}, 'abc')`, code: 'SIPASYNC_ERR_UNKNOWN_ROUTE' },
  ]),
  ...badGroups.map((group) => ({
    script: `msg.asyncTaskGroupRoute('RESUME', ${group})`,
    code: 'SIPASYNC_ERR_UNKNOWN_GROUP',
  })),
];

/** A route that runs what the number in the URI's user stands for. */
function scripts(table: readonly Refusal[]): string {
  const entries = table.map(({ script }, i) => `c${i}: async (msg) => report(msg, ${script}),`);
  return `
    requestRoute(msg) {
      const scripts = {
        ${entries.join('\n')}
      };
      return scripts[msg.toUser]?.(msg);
    },
    route: { RESUME(msg) { msg.sendReply(599, 'Resumed'); } },`;
}

function itRefuses(running: ReturnType<typeof useProxy>, table: readonly Refusal[]): void {
  let sent = 0;
  const rows = table.map(({ script, code }, i) => [script, code, `c${i}`] as const);
  it.each(rows)('%s -> %s', async (_script, code, user) => {
    for (const method of ['INVITE', 'OPTIONS']) {
      const { call, made } = await running.inviteWithoutTrying({ method, user });
      sent += made;
      const final = await call.final();
      expect(final.header('x-returned')).toBe('false');
      expect(final.header('x-code')).toBe(code);
      // Nothing was changed: not even a 100 went out, and the route goes on as if nothing had been called.
      expect(call.responses.map((response) => response.status)).toEqual([480]);
    }
  });

  it('leaves no trace of them in the counters', async () => {
    const { transactions, timers, groups } = running.stats;
    expect(transactions.suspended).toBe(0);
    expect(timers).toMatchObject({ pending: 0, fired: 0, cancelled: 0 });
    for (const group of Object.values(groups)) expect(group).toMatchObject({ queued: 0, done: 0, refused: 0 });
    await becomesIdle(running.proxy);
    expect(running.stats.transactions.completed).toBe(sent);
  });
}

describe('an argument that is out of range is refused', () => {
  const running = useProxy(`asyncWorkersGroup: ['name=abc;workers=1'], ${scripts(refusals)}`, { prelude });
  itRefuses(running, refusals);
});

const noWorkers: Refusal[] = [
  "msg.asyncRoute('RESUME', 1)",
  "msg.asyncMsRoute('RESUME', 1)",
  "msg.asyncTaskRoute('RESUME')",
].map((script) => ({ script, code: 'SIPASYNC_ERR_NO_WORKERS' }));

describe('what needs workers is refused where there are none', () => {
  const running = useProxy(`modparam: { async: { workers: 0 } }, ${scripts(noWorkers)}`, { prelude });
  itRefuses(running, noWorkers);
});

describe('workers=0 does not keep milliseconds from the group "default"', () => {
  const running = useProxy(
    `
    modparam: { async: { workers: 0 } },
    asyncWorkers: 1,
    async requestRoute(msg) {
      if (msg.toUser === 'sleep') report(msg, await msg.asyncMsSleep(5));
      else msg.asyncMsRoute('RESUME', 5);
    },
    route: { RESUME(msg) { msg.sendReply(404); } },`,
    { prelude },
  );

  it('and sleeping needs no worker at all', async () => {
    expect((await running.ask({ user: 'route' })).status).toBe(404);
    expect((await running.ask({ user: 'sleep' })).header('x-returned')).toBe('true');
  });
});

const msTimerOff: Refusal[] = ["msg.asyncMsRoute('RESUME', 10)", 'await msg.asyncMsSleep(10)'].map((script) => ({
  script,
  code: 'SIPASYNC_ERR_MS_TIMER_DISABLED',
}));

describe('milliseconds are refused where ms_timer is 0', () => {
  const running = useProxy(`modparam: { async: { ms_timer: 0 } }, ${scripts(msTimerOff)}`, { prelude });
  itRefuses(running, msTimerOff);
});
