import { afterAll, describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { continueFrom } from './support/relay-api.ts';
import { callsEnd, finalsOf, statusesOf, targetHeaders, useCallees } from './support/relay-scene.ts';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import type { Transaction, TransactionOptions } from './support/udp-client.ts';

const notes = Notes.forThisFile();

const prelude = `
  ${notePrelude}
  const code = (msg) => msg.asyncError?.code ?? null;`;

const definition = `
  asyncWorkers: 2,
  requestRoute(msg) {
    const scripts = {
      settle() { msg.slSendReply(200); },
      open() {
        msg.avp.set('kept', 'yes');
        const at = msg.tSuspend();
        note(['suspended', at.index, at.label]);
      },
      'open-relayed'() {
        msg.du = msg.header('X-To');
        const at = msg.tSuspend();
        note(['suspended', at.index, at.label]);
      },
      withdrawn() {
        const at = msg.tSuspend();
        note([msg.tCancelSuspend(at.index, at.label), code(msg), msg.tCancelSuspend(at.index, at.label), code(msg)]);
        msg.sendReply(480);
      },
      'withdrawn-relayed'() {
        const at = msg.tSuspend();
        if (msg.tCancelSuspend(at.index, at.label)) msg.tRelay(msg.header('X-To'));
      },
      rescued() {
        msg.avp.set('kept', 'yes');
        msg.tOnFailure('RESCUE');
        msg.tSuspend();
      },
      twice() {
        const at = msg.tSuspend();
        note([msg.tSuspend(), code(msg), typeof at.index, typeof at.label]);
        msg.tCancelSuspend(at.index, at.label);
        msg.sendReply(480);
      },
      answered() {
        msg.sendReply(404);
        note([msg.tSuspend(), code(msg)]);
      },
      continue() {
        const at = msg.header('X-At').split(' ').map(Number);
        note(['continue', msg.tContinue(at[0], at[1], msg.header('X-Route') ?? 'RESUMED'), code(msg)]);
        msg.sendReply(200);
      },
      check() {
        note([msg.tCheckTrans(), msg.tNewtran(), msg.tCheckTrans()]);
        msg.sendReply(200);
      },
      failure() { msg.tOnFailure('OPEN'); msg.tRelay(msg.header('X-To')); },
      reply() { msg.tOnReply('OPEN'); msg.tRelay(msg.header('X-To')); },
    };
    scripts[msg.toUser]();
  },
  route: {
    RESUMED(msg) {
      msg.appendToReply('X-Kept: ' + msg.avp.get('kept'));
      msg.sendReply(404);
    },
    RELAY(msg) { msg.tRelay(); },
    SECOND(msg) { msg.tRelay(msg.header('X-Then')); },
    REPLY(msg) { msg.appendHf('X-Resumed: ' + msg.status); },
    NOTHING() {},
  },
  failureRoute: {
    RESCUE(msg) {
      note([msg.tCheckStatus('408'), msg.avp.get('kept')]);
      msg.tRelay(msg.header('X-To'));
    },
    OPEN(msg) {
      const at = msg.tSuspend();
      note(['suspended', at.index, at.label]);
    },
  },
  onreplyRoute: {
    OPEN(msg) {
      const at = msg.tSuspend();
      note(['suspended', at.index, at.label]);
    },
  },`;

const error = (name: string) => `SIPASYNC_ERR_${name}`;

interface At {
  readonly index: number;
  readonly label: number;
}

/** Where the call waits that was suspended last. */
async function suspended(): Promise<At> {
  const entries = (await notes.atLeast(1)) as unknown[][];
  const entry = entries.findLast(([what]) => what === 'suspended');
  if (!entry) throw new Error(`nothing was suspended: ${JSON.stringify(entries)}`);
  return { index: entry[1] as number, label: entry[2] as number };
}
describe('tSuspend', () => {
  const running = useProxy(definition, {
    prelude,
    overrides: { modparam: { tm: { retr_timer1: 100, retr_timer2: 400, fr_timer: 2000 } } },
  });
  const callees = useCallees();
  afterAll(() => becomesIdle(running.proxy, 15_000));
  const call = (user: string, options: TransactionOptions = {}): Transaction =>
    running.client.request({ user, autoAck: true, headers: targetHeaders(callees), ...options });

  const proceed = (at: At, route = 'RESUMED') => continueFrom(running.proxy, at.index, at.label, route);

  it('keeps a call until the proxy continues it', async () => {
    const one = call('open');
    const at = await suspended();
    await eventually(() => running.stats.transactions.suspended === 1);
    await one.provisional();
    expect(statusesOf(one)).toEqual([100]);
    expect(proceed(at)).toBe(true);
    const final = await one.final();
    expect(final.status).toBe(404);
    expect(final.header('x-kept')).toBe('yes');
    await callsEnd(running.proxy);
  });

  it('keeps a call until another call continues it', async () => {
    const one = call('open');
    const at = await suspended();
    await running.ask({ method: 'OPTIONS', user: 'continue', headers: [`X-At: ${at.index} ${at.label}`] });
    expect((await one.final()).status).toBe(404);
    expect((await notes.atLeast(2)).at(-1)).toEqual(['continue', true, null]);
    await callsEnd(running.proxy);
  });

  it('is continued once: a second attempt, and one with another label, is refused', async () => {
    const one = call('open');
    const at = await suspended();
    for (const label of [at.label + 1, 0, 2 ** 31]) {
      if (label === at.label) continue;
      expect(proceed({ ...at, label })).toBe(false);
      expect(running.proxy.asyncError?.code).toBe(error('STALE_HANDLE'));
    }
    expect(proceed(at)).toBe(true);
    expect(proceed(at)).toBe(false);
    await one.final();
    expect(proceed(at)).toBe(false);
    expect([error('STALE_HANDLE'), error('NOT_SUSPENDED'), error('ALREADY_ANSWERED')]).toContain(running.proxy.asyncError?.code);
    await callsEnd(running.proxy);
    expect(proceed(at)).toBe(false);
    expect(running.proxy.asyncError?.code).toBe(error('STALE_HANDLE'));
    expect(finalsOf(one)).toHaveLength(1);
  });

  it('refuses a route that does not exist, and the call can still be continued', async () => {
    const one = call('open');
    const at = await suspended();
    expect(proceed(at, 'NOWHERE')).toBe(false);
    expect(running.proxy.asyncError?.code).toBe(error('UNKNOWN_ROUTE'));
    expect(proceed(at)).toBe(true);
    expect((await one.final()).status).toBe(404);
    await callsEnd(running.proxy);
  });

  it('is withdrawn, and the script goes on as before', async () => {
    const one = call('withdrawn');
    expect((await one.final()).status).toBe(480);
    const [first, , second, why] = (await notes.atLeast(1))[0] as unknown[];
    expect([first, second]).toEqual([true, false]);
    expect([error('NOT_SUSPENDED'), error('STALE_HANDLE')]).toContain(why);
    await callsEnd(running.proxy);
  });

  it('is withdrawn, and the call is sent on, with its replies (12.4)', async () => {
    callees[0]!.on('INVITE', [180, 200]);
    const one = call('withdrawn-relayed');
    expect((await one.final()).status).toBe(200);
    expect(statusesOf(one)).toEqual([100, 180, 200]);
    await callsEnd(running.proxy);
  });

  it('is refused for a call that is suspended already', async () => {
    expect((await call('twice').final()).status).toBe(480);
    expect(await notes.atLeast(1)).toEqual([[false, error('ALREADY_SUSPENDED'), 'number', 'number']]);
    await callsEnd(running.proxy);
  });

  it('is refused for a call that was answered', async () => {
    expect((await call('answered').final()).status).toBe(404);
    expect(await notes.atLeast(1)).toEqual([[false, error('ALREADY_ANSWERED')]]);
    await callsEnd(running.proxy);
  });

  it('ends with 487 on CANCEL', async () => {
    const one = call('open');
    const at = await suspended();
    expect((await one.cancel().final()).status).toBe(200);
    expect((await one.final()).status).toBe(487);
    expect(proceed(at)).toBe(false);
    await callsEnd(running.proxy);
  });

  it('answers repeated requests with 100 meanwhile', async () => {
    const one = call('open');
    const at = await suspended();
    one.resend();
    await eventually(() => one.responses.length === 2);
    expect(statusesOf(one)).toEqual([100, 100]);
    expect((await notes.atLeast(1)).length).toBe(1);
    proceed(at);
    await one.final();
    await callsEnd(running.proxy);
  });

  it('is listed and can be cancelled by its handle', async () => {
    const one = call('open');
    await suspended();
    const entries = await eventually(() => {
      const all = running.proxy.suspended();
      return all.length === 1 ? all : undefined;
    });
    expect(running.proxy.cancel(entries![0]!.handle)).toBe(true);
    expect((await one.final()).status).toBe(487);
    await callsEnd(running.proxy);
  });

  it('goes on to relay, with what was changed before', async () => {
    callees[0]!.on('INVITE', [180, 404]);
    const one = call('open-relayed');
    const at = await suspended();
    expect(callees[0]!.requests).toEqual([]);
    expect(proceed(at, 'RELAY')).toBe(true);
    expect((await one.final()).status).toBe(404);
    expect(statusesOf(one)).toEqual([100, 180, 404]);
    await callsEnd(running.proxy);
  });

  it('waits in a failure route, and goes on with the second callee', async () => {
    callees[0]!.on('INVITE', [486]);
    callees[1]!.on('INVITE', [200]);
    const one = call('failure');
    const at = await suspended();
    expect(finalsOf(one)).toEqual([]);
    expect(proceed(at, 'SECOND')).toBe(true);
    expect((await one.final()).status).toBe(200);
    await callsEnd(running.proxy);
  });

  it('waits in a reply route, and passes the reply on then', async () => {
    callees[0]!.on('INVITE', [404]);
    const one = call('reply');
    const at = await suspended();
    expect(finalsOf(one)).toEqual([]);
    expect(proceed(at, 'REPLY')).toBe(true);
    const final = await one.final();
    expect(`${final.status} ${final.header('x-resumed')}`).toBe('404 404');
    await callsEnd(running.proxy);
  });

  it('keeps OPTIONS without a provisional reply', async () => {
    const one = call('open', { method: 'OPTIONS' });
    const at = await suspended();
    expect(proceed(at)).toBe(true);
    expect((await one.final()).status).toBe(404);
    expect(statusesOf(one)).toEqual([404]);
    await callsEnd(running.proxy);
  });

  it('answers 500 when the route that continues does nothing', async () => {
    const one = call('open');
    expect(proceed(await suspended(), 'NOTHING')).toBe(true);
    expect((await one.final()).status).toBe(500);
    await callsEnd(running.proxy);
  });

  it('tells whether there is a transaction', async () => {
    expect((await call('check').final()).status).toBe(200);
    expect(await notes.atLeast(1)).toEqual([[true, true, true]]);
    await callsEnd(running.proxy);
  });

  it('throws a TypeError for what is no index, label or name', () => {
    for (const [index, label, route] of [['1', 1, 'RESUMED'], [1, null, 'RESUMED'], [1, 1, 5]] as unknown[][]) {
      expect(() => continueFrom(running.proxy, index as number, label as number, route as string)).toThrow(TypeError);
    }
    expect(proceed({ index: 0.5, label: 1 })).toBe(false);
    expect(proceed({ index: -1, label: 1 })).toBe(false);
    expect(proceed({ index: 2 ** 40, label: 1 })).toBe(false);
  });

  it('lets 200 calls wait and continues them in another order', async () => {
    const all = Array.from({ length: 200 }, () => call('open', { method: 'OPTIONS' }));
    const entries = (await notes.atLeast(all.length)) as [string, number, number][];
    for (const [, index, label] of entries.reverse()) expect(proceed({ index, label })).toBe(true);
    const finals = await Promise.all(all.map((one) => one.final()));
    expect(finals.every(({ status }) => status === 404)).toBe(true);
    await callsEnd(running.proxy);
  });
});

describe('max_suspend', () => {
  const maxSuspendMs = 300;
  const running = useProxy(definition, { prelude, overrides: { modparam: { tm: { max_suspend: maxSuspendMs, retr_timer1: 100 } } } });
  const callees = useCallees();
  afterAll(() => becomesIdle(running.proxy, 15_000));
  const call = (user: string): Transaction => running.client.request({ user, autoAck: true, headers: targetHeaders(callees) });
  const proceed = (at: At) => continueFrom(running.proxy, at.index, at.label, 'RESUMED');

  it('ends a call that nobody continues with 408', async () => {
    const one = call('open');
    const at = await suspended();
    const final = await one.final();
    expect(final.status).toBe(408);
    expect(one.elapsedMs(final)).toBeGreaterThanOrEqual(maxSuspendMs);
    expect(proceed(at)).toBe(false);
    await callsEnd(running.proxy);
    expect(finalsOf(one)).toHaveLength(1);
  });

  it('runs the failure route that was armed, which sends the call on, with its replies (12.4)', async () => {
    callees[0]!.on('INVITE', [180, 200]);
    const one = call('rescued');
    expect((await one.final()).status).toBe(200);
    expect(await notes.atLeast(1)).toEqual([[true, 'yes']]);
    expect(statusesOf(one)).toEqual([100, 180, 200]);
    await callsEnd(running.proxy);
  });

  it('waits in a failure route and ends with the refusal when nobody continues it', async () => {
    callees[0]!.on('INVITE', [486]);
    const one = call('failure');
    await suspended();
    expect([408, 486]).toContain((await one.final()).status);
    await callsEnd(running.proxy);
    expect(finalsOf(one)).toHaveLength(1);
  });
});
