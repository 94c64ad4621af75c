import { afterAll, describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { heldOf, heldOne, heldPrelude, operationsPrelude } from './support/held-operations.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { targetHeaders, useCallees } from './support/relay-scene.ts';
import { becomesIdle, callsEnd, RunningProxy, useProxy } from './support/running-proxy.ts';
import { token } from './support/sip-request.ts';
import type { Transaction, TransactionOptions } from './support/udp-client.ts';

const notes = Notes.forThisFile();

const prelude = `
  ${notePrelude}
  ${heldPrelude}
  ${operationsPrelude}
  const attempt = (action) => { try { return action(); } catch (error) { return error.code?.slice(13) ?? 'ends'; } };
  const start = (msg, text) => note(['started', msg.launch(operations.late, 'REPORT', { text }), code(msg)]);`;

const definition = `
  asyncWorkers: 1,
  asyncTkvGname: 'default', asyncTkvEvcb: 'core:tkv',
  async requestRoute(msg) {
    const operation = operations[msg.header('X-Operation') ?? 'late'];
    switch (msg.toUser) {
      case 'reported':
        note([msg.launch(operation, 'REPORT', { timeout: Number(msg.header('X-Timeout') ?? 60) }), code(msg)]);
        await null;
        note('behind');
        break;
      case 'text': msg.launch(operation, 'REPORT', { text: msg.header('X-Text') ?? '' }); break;
      case 'held': msg.launch(held(msg.callId), 'REPORT', { timeout: Number(msg.header('X-Timeout') ?? 60), text: 'held' }); break;
      case 'silent': msg.launch(operation); msg.launch(operation, null, {}); break;
      case 'throwing': msg.launch(operation, 'THROWS'); msg.launch(operation, 'REJECTS'); break;
      case 'faked': msg.launch(operation, 'FAKED', { text: 'a text' }); break;
      case 'chain': msg.launch(operation, 'CHAIN', { text: '50' }); break;
      case 'variables': msg.avp.set('a', 1); msg.launch(operation, 'VARIABLES'); break;
      case 'refused':
        note([
          msg.launch(operation, 'NOPE'), code(msg), msg.launch(operation, 'REPORT', { timeout: 0 }), code(msg),
          msg.launch(operation, 'REPORT', { timeout: 31536001 }), code(msg),
          msg.launch(operation, 'REPORT', { text: 'x'.repeat((1 << 20) + 1) }), code(msg),
        ]);
        break;
      case 'inert':
        try { msg.exit(); } catch {}
        note(attempt(() => msg.launch(operation, 'REPORT')));
        return;
      case 'worker': msg.asyncTaskRoute('WORKER'); break;
      case 'task': msg.asyncTaskData('TASK', ''); break;
      case 'event': msg.asyncTkvEmit(1, 'a', 'b'); break;
      case 'suspended': msg.launch(operations.value, 'REPORT', { text: 'beside' }); msg.asyncMsRoute('RESUMED', 20); break;
      case 'relay': msg.launch(operation, 'REPORT', { text: 'beside' }); msg.tOnReply('REPLY'); msg.tOnFailure('FAILURE');
        msg.tOnBranch('BRANCH'); msg.tRelay(msg.header('X-To')); return;
    }
    msg.sendReply(200);
  },
  route: {
    REPORT(msg) { note(['report', msg.rc, text(msg.result), msg.launchText, threadId > 0]); },
    WORKER(msg) { msg.launch(operations.late, 'REPORT', { text: 'of a worker' }); msg.sendReply(200); },
    TASK(msg) { start(msg, 'of a task'); },
    RESUMED(msg) { note(['resumed', msg.rc, msg.launchText]); msg.sendReply(200); },
    THROWS() { note('throws'); throw new Error('of the route'); },
    async REJECTS() { await null; note('rejects'); throw new Error('of the route'); },
    FAKED(msg) {
      note([msg.method, msg.isRequest, typeof msg.ruri, msg.srcIp, Buffer.isBuffer(msg.raw), msg.header('X'), msg.route,
        msg.asyncData, msg.atkv.type, msg.asyncGname, msg.tCheckTrans(), msg.avp.get('a') ?? null]);
      note([attempt(() => msg.sendReply(200)), code(msg), attempt(() => msg.async(() => 1, 'REPORT')), code(msg),
        attempt(() => msg.asyncRoute('REPORT', 1)), code(msg), attempt(() => msg.tNewtran()), code(msg)]);
      msg.exit();
    },
    CHAIN(msg) {
      const left = Number(msg.launchText);
      if (left === 0) note('end');
      else msg.launch(left % 2 === 0 ? operations.value : operations.promise, 'CHAIN', { text: String(left - 1) });
    },
    VARIABLES(msg) { note(msg.avp.get('a') ?? null); msg.avp.set('a', 2); },
  },
  eventRoute: { 'core:tkv'(msg) { start(msg, 'of an event'); }, 'tm:canceled'(msg) { start(msg, 'of a CANCEL'); } },
  failureRoute: { FAILURE(msg) { start(msg, 'of a failure'); } },
  onreplyRoute: { REPLY(msg) { start(msg, 'of a reply'); } },
  branchRoute: { BRANCH(msg) { start(msg, 'of a branch'); } },`;

describe('launch()', () => {
  // What is sent on for an INVITE stays 64 times T1.
  const running = useProxy(definition, { prelude, overrides: { modparam: { tm: { retr_timer1: 50, retr_timer2: 200 } } } });
  const callees = useCallees();
  afterAll(() => becomesIdle(running.proxy, 15_000));
  const call = (user: string, options: TransactionOptions = {}): Transaction =>
    running.client.request({ user, method: 'OPTIONS', autoAck: true, ...options });

  it.each([
    ['value', 1, 'value'],
    ['nothing', 1, 'undefined'],
    ['promise', 1, 'promised'],
    ['late', 1, 'late'],
    ['throws', -1, 'thrown'],
    ['rejects', -1, 'thrown'],
    ['late-throws', -1, 'thrown'],
  ])('2, 3: reports an operation that is %s once, behind the script', async (operation, rc, result) => {
    const final = await call('reported', { headers: [`X-Operation: ${operation}`] }).final();
    expect(final.status).toBe(200);
    await notes.atLeast(3);
    await becomesIdle(running.proxy);
    expect(notes.entries).toEqual([[true, null], 'behind', ['report', rc, result, null, false]]);
  });

  it('6: reports an operation that never ends at its deadline, and aborts it', async () => {
    const before = running.stats.operations;
    const key = token();
    await call('held', { callId: key, headers: ['X-Timeout: 0.03'] }).final();
    expect(await notes.atLeast(1)).toEqual([['report', -2, 'TIMEOUT', 'held', false]]);
    const [{ signal, resolve }] = heldOf(key) as [(ReturnType<typeof heldOf>)[0]];
    expect(signal.reason).toMatchObject({ code: 'SIPASYNC_ERR_TIMEOUT' });
    resolve('too late');
    await eventually(() => running.stats.operations.late === before.late + 1);
    await becomesIdle(running.proxy);
    expect(notes.entries).toHaveLength(1);
    expect(running.stats.operations).toMatchObject({ pending: 0, timedOut: before.timedOut + 1, done: before.done });
  });

  it.each([['X-Text: a text', 'a text'], ['X-Text: \u00fcber', '\u00fcber'], ['X-No: 1', '']])(
    'brings the text: %s',
    async (header, expected) => {
      await call('text', { headers: [header] }).final();
      const [entry] = (await notes.atLeast(1)) as unknown[][];
      expect(entry!.slice(0, 4)).toEqual(['report', 1, 'late', expected]);
    },
  );

  it('only counts what has no report route', async () => {
    const before = running.stats;
    await call('silent').final();
    await becomesIdle(running.proxy);
    expect(running.stats.operations.done).toBe(before.operations.done + 2);
    expect(notes.entries).toEqual([]);
  });

  it('survives report routes that throw', async () => {
    await call('throwing').final();
    await notes.atLeast(2);
    await becomesIdle(running.proxy);
    expect([...notes.entries].sort()).toEqual(['rejects', 'throws']);
  });

  it('shows a made-up request, which belongs to no call', async () => {
    await call('faked').final();
    expect(await notes.atLeast(2)).toEqual([
      ['OPTIONS', true, 'string', '127.0.0.1', true, null, 'FAKED', null, null, null, false, null],
      Array(4).fill([false, 'NO_TRANSACTION']).flat(),
    ]);
  });

  it('keeps the variables of calls and reports apart', async () => {
    await call('variables').final();
    await call('variables').final();
    expect(await notes.atLeast(2)).toEqual([null, null]);
  });

  it('11: may be launched from its own reports', async () => {
    await call('chain').final();
    expect(await notes.atLeast(1)).toEqual(['end']);
  });

  it('refuses what it cannot do, and reports nothing of that', async () => {
    await call('refused').final();
    await becomesIdle(running.proxy);
    expect(notes.entries).toEqual([[
      false, 'UNKNOWN_ROUTE', false, 'DELAY_OUT_OF_RANGE', false, 'DELAY_OUT_OF_RANGE', false, 'PAYLOAD_TOO_LARGE',
    ]]);
  });

  it('throws where the script has ended', async () => {
    await call('inert').final();
    expect(notes.entries).toEqual(['SUSPENDED']);
  });

  it('reports in the thread that launched: a worker', async () => {
    await call('worker').final();
    expect(await notes.atLeast(1)).toEqual([['report', 1, 'late', 'of a worker', true]]);
  });

  it.each(['task', 'event'])('works in %s', async (user) => {
    await call(user).final();
    const what = user === 'task' ? 'of a task' : 'of an event';
    expect(await notes.atLeast(2)).toEqual([['started', true, null], ['report', 1, 'late', what, true]]);
  });

  it('goes on beside a suspension', async () => {
    expect((await call('suspended').final()).status).toBe(200);
    // In two threads, so in any order.
    expect([...await notes.atLeast(2)].sort()).toEqual([['report', 1, 'value', 'beside', false], ['resumed', null, null]]);
  });

  it('works in reply, failure and branch routes, and takes nothing from the reply', async () => {
    callees[0]!.on('INVITE', [180, 486]);
    const one = call('relay', { method: 'INVITE', headers: targetHeaders(callees) });
    expect((await one.final()).status).toBe(486);
    expect(one.provisionals.map(({ status }) => status)).toContain(180);
    await eventually(() => notes.entries.filter((entry) => (entry as unknown[])[0] === 'report').length === 5);
    const texts = notes.entries.filter((entry) => (entry as unknown[])[0] === 'report').map((entry) => (entry as unknown[])[3]);
    expect([...texts].sort()).toEqual(['beside', 'of a branch', 'of a failure', 'of a reply', 'of a reply']);
    await callsEnd(running.proxy);
  });

  it('works in the event of a CANCEL', async () => {
    const one = call('relay', { method: 'INVITE', headers: targetHeaders(callees) });
    callees[0]!.on('CANCEL', [200]);
    const sent = await callees[0]!.request('INVITE');
    callees[0]!.answer(sent, 180);
    await one.response(({ status }) => status === 180, 5000);
    one.cancel();
    await callees[0]!.request('CANCEL');
    callees[0]!.answer(sent, 487);
    expect((await one.final()).status).toBe(487);
    await eventually(() => notes.entries.some((entry) => (entry as unknown[])[3] === 'of a CANCEL'));
    await callsEnd(running.proxy);
  });

  it('is listed while it waits, and ended by proxy.cancel', async () => {
    const before = running.stats.operations;
    const key = token();
    await callsEnd(running.proxy);
    await call('held', { callId: key }).final();
    const { signal } = await heldOne(key);
    const [entry, ...others] = running.proxy.suspended();
    expect(others).toEqual([]);
    expect(entry).toMatchObject({
      kind: 'launch', state: 'suspended', route: 'REPORT', group: null, suspensions: 1, method: null, ruri: null, callId: null,
    });
    expect(entry!.dueInMs).toBeGreaterThan(30_000);
    const { index, label } = entry!.handle;
    expect(running.proxy.tContinue(index, label, 'REPORT')).toBe(false);
    expect(running.proxy.cancel(entry!.handle)).toBe(true);
    expect(await notes.atLeast(1)).toEqual([['report', -1, 'CANCELLED', 'held', false]]);
    expect(signal.reason).toMatchObject({ code: 'SIPASYNC_ERR_CANCELLED' });
    await callsEnd(running.proxy);
    expect(notes.entries).toHaveLength(1);
    expect(running.proxy.cancel(entry!.handle)).toBe(false);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_STALE_HANDLE');
    expect(running.stats.operations).toMatchObject({ pending: 0, cancelled: before.cancelled + 1 });
  });

  it('is there on the proxy', async () => {
    const seen: unknown[] = [];
    expect(running.proxy.launch((signal) => seen.push(signal), 'REPORT', { text: 'of the proxy' })).toBe(true);
    expect(seen).toHaveLength(1);
    expect(seen[0]).toBeInstanceOf(AbortSignal);
    expect(await notes.atLeast(1)).toEqual([['report', 1, 1, 'of the proxy', false]]);
    expect(running.proxy.launch(() => 1, 'NOPE')).toBe(false);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_UNKNOWN_ROUTE');
    expect(running.proxy.launch(() => 1)).toBe(true);
    expect(running.proxy.asyncError).toBeNull();
    expect(() => running.proxy.launch(7 as never)).toThrow(TypeError);
    expect(() => running.proxy.launch(() => 1, 7 as never)).toThrow(TypeError);
    expect(() => running.proxy.launch(() => 1, 'REPORT', { timout: 1 } as never)).toThrow(/timout is unknown/);
    await callsEnd(running.proxy);
  });
});

describe('launch() without a slot', () => {
  const running = new RunningProxy(definition, { prelude, overrides: { maxTransactions: 2 } });

  it('17: is not started, and reported so in a later turn', async () => {
    await running.start();
    const { proxy } = running;
    const ends: (() => void)[] = [];
    const hold = () => new Promise<void>((resolve) => ends.push(resolve));
    expect([proxy.launch(hold, 'REPORT', { text: '1' }), proxy.launch(hold, 'REPORT', { text: '2' })]).toEqual([true, true]);
    expect(proxy.launch(hold, 'REPORT', { text: '3' })).toBe(false);
    expect(proxy.asyncError?.code).toBe('SIPASYNC_ERR_SLOTS_EXHAUSTED');
    expect(ends).toHaveLength(2);
    expect(notes.entries).toEqual([]);
    // 22: the first of all slots is one as any other.
    expect(proxy.suspended().map(({ handle }) => handle.index).sort()).toEqual([0, 1]);
    expect(await notes.atLeast(1)).toEqual([['report', -1, 'SLOTS_EXHAUSTED', '3', false]]);
    expect(proxy.launch(hold, 'FAKED')).toBe(false);
    const [, faked] = await notes.atLeast(2);
    expect((faked as unknown[]).slice(0, 4)).toEqual(['OPTIONS', true, 'string', '127.0.0.1']);
    // Without a report route it is only counted.
    expect(proxy.launch(hold)).toBe(false);
    expect(proxy.stats().operations).toMatchObject({ pending: 2, refused: 3 });
    for (const end of ends) end();
    await becomesIdle(proxy);
    expect(proxy.launch(() => 'again', 'REPORT')).toBe(true);
    await eventually(() => notes.entries.some((entry) => (entry as unknown[])[2] === 'again'));
    await running.stop();
  });
});

describe('launch() and the end', () => {
  async function started(overrides = {}): Promise<RunningProxy> {
    const running = new RunningProxy(definition, { prelude, overrides });
    await running.start();
    return running;
  }

  it('20: close() waits for operations that end in time', async () => {
    const running = await started();
    await running.ask({ user: 'reported', method: 'OPTIONS', headers: ['X-Operation: late'] });
    const report = await running.proxy.close();
    expect(report).toMatchObject({ answered: 0, dropped: 0 });
    expect(notes.entries.at(-1)).toEqual(['report', 1, 'late', null, false]);
    await running.stop();
  });

  it('20: close() reports those that do not, before it is done, and aborts them', async () => {
    const running = await started();
    const key = token();
    await running.ask({ user: 'held', method: 'OPTIONS', callId: key });
    const { signal, resolve } = await heldOne(key);
    const report = await running.proxy.close({ timeoutMs: 0 });
    expect(report.dropped).toBe(1);
    expect(signal.reason).toMatchObject({ code: 'SIPASYNC_ERR_CLOSED' });
    expect(notes.entries).toEqual([['report', -1, 'CLOSED', 'held', false]]);
    expect(running.stats).toMatchObject({ operations: { pending: 0, cancelled: 1 }, tasks: { active: 0 } });
    expect(running.proxy.launch(() => 1, 'REPORT')).toBe(false);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_CLOSED');
    resolve('nobody listens');
    await running.stop();
    expect(notes.entries).toHaveLength(1);
  });

  it('20: the same in workers, and for many', async () => {
    const source = `
      asyncWorkers: 3,
      requestRoute(msg) { msg.asyncTaskRoute('WORKER'); },
      route: {
        WORKER(msg) {
          for (let i = 0; i < 100; i += 1) msg.launch(operations.never, 'REPORT', { timeout: 60, text: String(i) });
          msg.sendReply(200);
        },
        REPORT(msg) { note([msg.rc, text(msg.result), msg.launchText, msg.launch(operations.value, 'REPORT'), code(msg)]); },
      },`;
    const running = new RunningProxy(source, { prelude });
    await running.start();
    await Promise.all(Array.from({ length: 6 }, () => running.ask({ method: 'OPTIONS' })));
    expect(running.stats.operations.pending).toBe(600);
    const report = await running.proxy.close({ timeoutMs: 0 });
    expect(report.dropped).toBe(600);
    const texts = notes.entries.map((entry) => {
      const [rc, result, text, ...launched] = entry as unknown[];
      expect([rc, result, ...launched]).toEqual([-1, 'CLOSED', false, 'CLOSED']);
      return Number(text);
    });
    expect([...texts].sort((a, b) => a - b)).toEqual(Array.from({ length: 600 }, (_, i) => Math.floor(i / 6)));
    expect(running.stats).toMatchObject({ operations: { pending: 0, cancelled: 600 }, tasks: { active: 0 } });
    await running.stop();
  }, 30_000);

  it('a thread that dies: the one that takes its place reports', async () => {
    const source = `
      asyncWorkers: 1,
      requestRoute(msg) { msg.asyncTaskRoute(msg.toUser); },
      route: {
        START(msg) {
          for (const text of ['a', 'b']) msg.launch(operations.never, 'REPORT', { timeout: 60, text });
          msg.sendReply(200);
        },
        ASYNC(msg) { msg.async(operations.never, 'REPORT', { timeout: 60 }); },
        DIE() { process.exit(3); },
        REPORT(msg) { note([msg.rc, text(msg.result), msg.launchText, threadId > 0]); },
      },`;
    const running = new RunningProxy(source, { prelude });
    await running.start();
    await running.ask({ user: 'START', method: 'OPTIONS' });
    const waiting = running.client.request({ user: 'ASYNC', autoAck: true });
    await eventually(() => running.stats.operations.pending === 3);
    expect((await running.ask({ user: 'DIE', method: 'OPTIONS' })).status).toBe(500);
    // The call that waited is answered, as one that sleeps is.
    expect((await waiting.final()).status).toBe(500);
    await eventually(() => notes.entries.length === 2, { timeoutMs: 20_000 });
    expect([...notes.entries].sort()).toEqual([[-1, 'THREAD_ENDED', 'a', true], [-1, 'THREAD_ENDED', 'b', true]]);
    await becomesIdle(running.proxy);
    expect(running.stats.operations).toMatchObject({ pending: 0, cancelled: 3 });
    await running.stop();
  }, 30_000);

  it('a thread that is stuck: the main thread reports for it when the proxy closes', async () => {
    const source = `
      asyncWorkers: 1,
      requestRoute(msg) { msg.asyncTaskRoute('STUCK'); },
      route: {
        STUCK(msg) { msg.launch(operations.never, 'REPORT', { timeout: 60, text: 'stuck' }); msg.sendReply(200); spinUntilReleased(); },
        REPORT(msg) { note([msg.rc, text(msg.result), msg.launchText, threadId > 0]); },
      },`;
    const running = new RunningProxy(source, { prelude });
    await running.start();
    await running.ask({ method: 'OPTIONS' });
    await running.proxy.close({ timeoutMs: 0 });
    expect(notes.entries).toEqual([[-1, 'THREAD_ENDED', 'stuck', false]]);
    expect(running.stats).toMatchObject({ operations: { pending: 0, cancelled: 1 }, tasks: { active: 0 } });
    await running.stop();
  }, 30_000);
});

describe('many launches', () => {
  const running = useProxy(definition, { prelude });

  it('7: one of 1,000 runs into its deadline, and the other 999 are not touched', async () => {
    const { proxy } = running;
    const ends: (() => void)[] = [];
    for (let i = 0; i < 1000; i += 1) {
      const hold = i === 500 ? () => new Promise(() => undefined) : () => new Promise<void>((resolve) => ends.push(resolve));
      expect(proxy.launch(hold, 'REPORT', { timeout: i === 500 ? 0.02 : 60, text: String(i) })).toBe(true);
    }
    expect(await notes.atLeast(1)).toEqual([['report', -2, 'TIMEOUT', '500', false]]);
    expect(proxy.stats().operations).toMatchObject({ pending: 999, timedOut: 1 });
    expect(proxy.suspended().filter(({ kind }) => kind === 'launch')).toHaveLength(999);
    for (const end of ends) end();
    await becomesIdle(proxy);
    expect(notes.entries).toHaveLength(1000);
    expect(new Set(notes.entries.map((entry) => (entry as unknown[])[3])).size).toBe(1000);
  }, 30_000);

  it('19: 10,000 cycles leave nothing', async () => {
    const { proxy } = running;
    const { done } = proxy.stats().operations;
    for (let round = 0; round < 100; round += 1) {
      for (let i = 0; i < 100; i += 1) expect(proxy.launch(() => (i % 2 === 0 ? i : Promise.resolve(i)))).toBe(true);
      await eventually(() => proxy.stats().operations.pending === 0, { intervalMs: 1 });
    }
    expect(proxy.stats().operations.done).toBe(done + 10_000);
    await becomesIdle(proxy);
  }, 60_000);

  it('5: result and deadline at the same time: one of the two is reported, once', async () => {
    const { proxy } = running;
    const before = proxy.stats().operations;
    for (let i = 0; i < 300; i += 1) {
      const ms = 3 + (i % 15);
      proxy.launch(() => new Promise((resolve) => setTimeout(resolve, ms, 'value')), 'REPORT', { timeout: ms / 1000, text: String(i) });
    }
    await becomesIdle(proxy);
    expect(notes.entries).toHaveLength(300);
    expect(new Set(notes.entries.map((entry) => (entry as unknown[])[3])).size).toBe(300);
    const timedOut = notes.entries.filter((entry) => (entry as unknown[])[1] === -2).length;
    await eventually(() => proxy.stats().operations.late === before.late + timedOut);
    expect(proxy.stats().operations).toMatchObject({ done: before.done + 300 - timedOut, timedOut: before.timedOut + timedOut });
  }, 30_000);
});
