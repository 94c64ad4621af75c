import { afterAll, describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { heldOf, heldOne, heldPrelude, operationsPrelude } from './support/held-operations.ts';
import { notePrelude, Notes } from './support/notes.ts';
import { finalsOf, statusesOf } from './support/relay-scene.ts';
import { becomesIdle, callsEnd, RunningProxy, useProxy } from './support/running-proxy.ts';
import { cancelFor, token } from './support/sip-request.ts';
import type { Transaction, TransactionOptions } from './support/udp-client.ts';

const notes = Notes.forThisFile();

const prelude = `
  ${notePrelude}
  ${heldPrelude}
  ${operationsPrelude}
  /** What the resume route says in its reply. */
  function answer(msg) {
    const { result } = msg;
    msg.appendToReply('X-Outcome: ' + JSON.stringify([msg.rc, text(result), result === thrown, code(msg)]));
    msg.appendToReply('X-Thread: ' + threadId);
    msg.sendReply(404);
  }`;

const definition = `
  asyncWorkers: 1,
  requestRoute(msg) {
    const timeout = msg.header('X-Timeout') === null ? undefined : Number(msg.header('X-Timeout'));
    const options = timeout === undefined ? {} : { timeout };
    switch (msg.toUser) {
      case 'held': msg.async(held(msg.callId), 'RESUMED', options); break;
      case 'noted':
        note('before');
        msg.async((signal) => { note('started'); return operations[msg.header('X-Operation')](signal); }, 'NOTED', options);
        note('behind');
        break;
      case 'state':
        msg.avp.set('a', 'kept').add('a', 2);
        msg.xavp.set('x', { deep: true });
        msg.flags.set(5);
        msg.ruri = 'sip:changed@example.com';
        msg.var.gone = 1;
        msg.async(operations.value, 'STATE', options);
        break;
      case 'first':
        note([msg.rc, msg.result, msg.launchText]);
        msg.async(operations.value, 'AGAIN', options);
        break;
      case 'loop':
        msg.avp.set('left', 100);
        msg.async(operations.value, 'LOOP', options);
        break;
      case 'worker': msg.asyncTaskRoute('WORKER'); break;
      case 'refused': {
        const tries = [
          () => msg.async(operations.value, 'NOPE'),
          () => msg.async(operations.value, 'RESUMED', { timeout: 0 }),
          () => msg.async(operations.value, 'RESUMED', { timeout: -1 }),
          () => msg.async(operations.value, 'RESUMED', { timeout: NaN }),
          () => msg.async(operations.value, 'RESUMED', { timeout: Infinity }),
          () => msg.async(operations.value, 'RESUMED', { timeout: 31536001 }),
          () => { msg.sendReply(480); return msg.async(operations.value, 'RESUMED'); },
        ];
        note(tries.map((one) => [one(), code(msg)]));
        break;
      }
      case 'task': msg.asyncTaskData('TASK', ''); msg.sendReply(200); break;
      case 'inside':
        msg.async(() => { try { msg.sendReply(200); } catch (error) { return error.code.slice(13); } }, 'RESUMED');
        break;
      case 'swallowed':
        try { msg.async(operations.late, 'RESUMED'); } catch {}
        try { msg.sendReply(200); } catch (error) { note(error.code.slice(13)); }
        break;
      case 'cancels':
        msg.async(() => {
          globalThis.statementsProxy.cancel({ index: msg.index, label: msg.generation });
          return 'of nobody';
        }, 'RESUMED');
        break;
      case 'throws-then': msg.async(operations.value, 'THROWS'); break;
      case 'ends-then': msg.async(operations.value, 'NOTHING'); break;
      default: msg.async(operations[msg.toUser], 'RESUMED', options);
    }
  },
  route: {
    RESUMED: answer,
    NOTED(msg) { note(['resumed', msg.rc, text(msg.result)]); answer(msg); },
    STATE(msg) {
      msg.sendReply(200, JSON.stringify([msg.avp.getAll('a'), msg.xavp.get('x'), msg.flags.get(5), msg.ruri, Object.keys(msg.var),
        msg.method, msg.signal.aborted, msg.tCheckTrans(), msg.route]));
    },
    AGAIN(msg) {
      note([msg.rc, msg.result]);
      if (msg.result === 'value') msg.async(operations['late-throws'], 'AGAIN');
      msg.asyncMsRoute('PLAIN', 1);
    },
    PLAIN(msg) { note([msg.rc, msg.result]); msg.sendReply(404); },
    LOOP(msg) {
      const left = msg.avp.get('left') - 1;
      msg.avp.set('left', left);
      if (left === 0) return void msg.sendReply(404);
      msg.async(left % 2 === 0 ? operations.value : operations.turn, 'LOOP');
    },
    WORKER(msg) { msg.avp.set('thread', threadId); msg.async(operations.late, 'WORKED'); },
    WORKED(msg) { msg.appendToReply('X-Same: ' + (msg.avp.get('thread') === threadId)); answer(msg); },
    TASK(msg) { note([msg.async(operations.value, 'RESUMED'), code(msg), msg.rc, msg.result]); },
    THROWS() { throw new Error('thrown by the route'); },
    NOTHING() {},
  },`;

const outcome = async (call: Transaction): Promise<unknown> => JSON.parse((await call.final(20_000)).header('x-outcome')!);

describe('async()', () => {
  const running = useProxy(definition, { prelude });
  afterAll(() => becomesIdle(running.proxy, 15_000));
  const call = (user: string, options: TransactionOptions = {}): Transaction =>
    running.client.request({ user, autoAck: true, ...options });

  it.each([
    ['value', [1, 'value', false, null]],
    ['nothing', [1, 'undefined', false, null]],
    ['promise', [1, 'promised', false, null]],
    ['thenable', [1, 'thenable', false, null]],
    ['turn', [1, 'turned', false, null]],
    ['late', [1, 'late', false, null]],
    ['throws', [-1, 'thrown', true, null]],
    ['rejects', [-1, 'thrown', true, null]],
    ['bad-thenable', [-1, 'thrown', true, null]],
    ['late-throws', [-1, 'thrown', true, null]],
  ])('an operation that is %s: its route is told', async (user, expected) => {
    const one = call(user);
    expect(await outcome(one)).toEqual(expected);
    expect(statusesOf(one)).toEqual([100, 404]);
  });

  it.each(['value', 'throws', 'promise', 'rejects', 'late', 'late-throws'])(
    'has one order of events, whether the operation is ready at once or not: %s',
    async (operation) => {
      await call('noted', { headers: [`X-Operation: ${operation}`] }).final();
      expect(notes.entries.map((entry) => (Array.isArray(entry) ? entry[0] as unknown : entry))).toEqual([
        'before', 'started', 'resumed',
      ]);
    },
  );

  it('keeps what belongs to the call, and nothing of the run', async () => {
    const final = await call('state').final();
    expect(JSON.parse(final.reason)).toEqual([
      [2, 'kept'], { deep: true }, true, 'sip:changed@example.com', [], 'INVITE', false, true, 'STATE',
    ]);
  });

  it('has rc and result in the route of the operation, and nowhere else', async () => {
    await call('first').final();
    expect(notes.entries).toEqual([[null, null, null], [1, 'value'], [-1, {}], [null, null]]);
  });

  it('goes on in the thread that suspended: a worker', async () => {
    const final = await call('worker').final();
    expect(final.header('x-same')).toBe('true');
    expect(Number(final.header('x-thread'))).toBeGreaterThan(0);
  });

  it('may be used a hundred times in one call', async () => {
    expect((await call('loop').final(20_000)).status).toBe(404);
  });

  it('resumes at the deadline when the operation never ends', async () => {
    const before = running.stats.operations;
    const one = call('never', { headers: ['X-Timeout: 0.05'] });
    expect(await outcome(one)).toEqual([-2, 'TIMEOUT', false, null]);
    expect(one.elapsedMs(one.finals[0]!)).toBeGreaterThanOrEqual(50);
    expect(running.stats.operations).toMatchObject({ pending: 0, timedOut: before.timedOut + 1, late: before.late });
  });

  it('aborts the signal at the deadline, with the error that the route gets, and throws a late value away', async () => {
    const key = token();
    const before = running.stats.operations;
    const one = call('held', { callId: key, headers: ['X-Timeout: 0.02'] });
    const { signal, resolve } = await heldOne(key);
    expect(await outcome(one)).toEqual([-2, 'TIMEOUT', false, null]);
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toMatchObject({ code: 'SIPASYNC_ERR_TIMEOUT' });
    resolve('too late');
    await eventually(() => running.stats.operations.late === before.late + 1);
    await callsEnd(running.proxy);
    expect(finalsOf(one)).toHaveLength(1);
    expect(running.stats.operations).toMatchObject({ pending: 0, done: before.done, timedOut: before.timedOut + 1 });
  });

  it('does not count an operation as late that only obeys its signal', async () => {
    const before = running.stats.operations;
    expect(await outcome(call('obedient', { headers: ['X-Timeout: 0.01'] }))).toEqual([-2, 'TIMEOUT', false, null]);
    await running.settle();
    expect(running.stats.operations.late).toBe(before.late);
  });

  it('tells a late error from obedience', async () => {
    const key = token();
    const before = running.stats.operations;
    await Promise.all([call('held', { callId: key, headers: ['X-Timeout: 0.01'] }).final(), heldOne(key)]);
    heldOf(key)[0]!.reject(new Error('much later'));
    await eventually(() => running.stats.operations.late === before.late + 1);
  });

  it.each(['0.0001', '0.001', '0.0015'])('takes a timeout of %s s', async (timeout) => {
    expect(await outcome(call('never', { headers: [`X-Timeout: ${timeout}`] }))).toEqual([-2, 'TIMEOUT', false, null]);
  });

  it('refuses what it cannot do, and changes nothing', async () => {
    const final = await call('refused').final();
    expect(final.status).toBe(480);
    expect(notes.entries).toEqual([[
      [false, 'UNKNOWN_ROUTE'], ...Array(5).fill([false, 'DELAY_OUT_OF_RANGE']), [false, 'ALREADY_ANSWERED'],
    ]]);
  });

  it('is refused where there is no call', async () => {
    await call('task').final();
    expect(await notes.atLeast(1)).toEqual([[false, 'NO_TRANSACTION', null, null]]);
  });

  it('leaves a message that is inert to the operation and to a script that swallows the end', async () => {
    expect(await outcome(call('inside'))).toEqual([1, 'SUSPENDED', false, null]);
    expect(await outcome(call('swallowed'))).toEqual([1, 'late', false, null]);
    expect(notes.entries).toEqual(['SUSPENDED']);
  });

  it.each(['throws-then', 'ends-then'])('answers 500 for a route that does nothing: %s', async (user) => {
    expect((await call(user).final()).status).toBe(500);
  });

  it('absorbs retransmissions while it waits', async () => {
    const key = token();
    const one = call('held', { callId: key });
    const { resolve } = await heldOne(key);
    await one.provisional();
    const { retransmissionsAbsorbed } = running.stats.transport;
    for (let i = 0; i < 5; i += 1) one.resend();
    await eventually(() => running.stats.transport.retransmissionsAbsorbed === retransmissionsAbsorbed + 5);
    await eventually(() => one.provisionals.length === 6);
    expect(heldOf(key)).toHaveLength(1);
    resolve('now');
    expect(await outcome(one)).toEqual([1, 'now', false, null]);
  });

  it('is listed, and no handle but the operation ends it', async () => {
    const key = token();
    const one = call('held', { callId: key, headers: ['X-Timeout: 60'] });
    const { resolve } = await heldOne(key);
    const [entry, ...others] = running.proxy.suspended();
    expect(others).toEqual([]);
    expect(entry).toMatchObject({
      kind: 'transaction', state: 'suspended', route: 'RESUMED', group: null, suspensions: 1, method: 'INVITE', callId: key,
    });
    expect(entry!.dueInMs).toBeGreaterThan(30_000);
    expect(entry!.dueInMs).toBeLessThanOrEqual(60_001);
    const { index, label } = entry!.handle;
    expect(running.proxy.tContinue(index, label, 'RESUMED')).toBe(false);
    expect(running.proxy.asyncError?.code).toBe('SIPASYNC_ERR_NOT_SUSPENDED');
    resolve('by itself');
    expect(await outcome(one)).toEqual([1, 'by itself', false, null]);
  });

  it('is ended by a CANCEL: 487, the signal aborts, no route runs', async () => {
    const key = token();
    const before = running.stats.operations;
    const one = call('held', { callId: key, headers: ['X-Timeout: 60'] });
    const { signal, resolve } = await heldOne(key);
    await one.provisional();
    const headers = ['Reason: SIP;cause=200;text="Call completed elsewhere"'];
    running.client.start({ ...cancelFor(one.request), headers }, {});
    await eventually(() => signal.aborted);
    expect((await one.final()).status).toBe(487);
    expect(signal.reason).toMatchObject({ code: 'SIPASYNC_ERR_CANCELLED' });
    expect((signal.reason as Error).message).toContain('Call completed elsewhere');
    resolve('nobody wants it');
    await eventually(() => running.stats.operations.late === before.late + 1);
    await callsEnd(running.proxy);
    expect(statusesOf(one)).toEqual([100, 487]);
    expect(running.stats.operations).toMatchObject({ pending: 0, cancelled: before.cancelled + 1, done: before.done });
  });

  it('is ended by proxy.cancel', async () => {
    const key = token();
    const one = call('held', { callId: key });
    const { signal } = await heldOne(key);
    const [entry] = running.proxy.suspended();
    expect(running.proxy.cancel(entry!.handle)).toBe(true);
    expect((await one.final()).status).toBe(487);
    await eventually(() => signal.aborted);
    expect(signal.reason).toMatchObject({ code: 'SIPASYNC_ERR_CANCELLED' });
    expect(running.proxy.cancel(entry!.handle)).toBe(false);
  });

  it('13: is ended by a CANCEL in the very start of its operation', async () => {
    (globalThis as { statementsProxy?: unknown }).statementsProxy = running.proxy;
    const before = running.stats.operations;
    const one = call('cancels');
    expect((await one.final()).status).toBe(487);
    await callsEnd(running.proxy);
    expect(finalsOf(one).map(({ status }) => status)).toEqual([487]);
    expect(running.stats.operations).toMatchObject({
      pending: 0, cancelled: before.cancelled + 1, late: before.late + 1, done: before.done,
    });
  });

  it('15: answers a CANCEL that comes again', async () => {
    const key = token();
    const one = call('held', { callId: key });
    await heldOne(key);
    await one.provisional();
    const cancel = one.cancel();
    await cancel.final();
    cancel.resend();
    await eventually(() => cancel.finals.length === 2);
    expect(cancel.finals.map(({ status }) => status)).toEqual([200, 200]);
    expect((await one.final()).status).toBe(487);
    await callsEnd(running.proxy);
  });

  it('9: takes a timeout beyond 32 bits of milliseconds', async () => {
    const key = token();
    const one = call('held', { callId: key, headers: [`X-Timeout: ${30 * 24 * 3600}`] });
    const { resolve } = await heldOne(key);
    const [entry] = running.proxy.suspended();
    expect(entry!.dueInMs).toBeGreaterThan(2 ** 31);
    resolve('soon');
    expect(await outcome(one)).toEqual([1, 'soon', false, null]);
  });

  it('12: a signal that is looked at behind the CANCEL is aborted', async () => {
    const key = token();
    const one = call('held', { callId: key });
    const { signal } = await heldOne(key);
    await one.provisional();
    one.cancel();
    await one.final();
    await eventually(() => running.stats.operations.pending === 0);
    let heard = signal.aborted;
    signal.addEventListener('abort', () => (heard = true));
    expect(heard).toBe(true);
  });
});

describe('async() with max_suspend', () => {
  const running = useProxy(definition, { prelude, overrides: { modparam: { tm: { max_suspend: 30 } } } });

  it('has it as its deadline', async () => {
    const one = running.client.request({ user: 'never', autoAck: true });
    expect(await outcome(one)).toEqual([-2, 'TIMEOUT', false, null]);
    expect(one.elapsedMs(one.finals[0]!)).toBeGreaterThanOrEqual(30);
    await becomesIdle(running.proxy);
  });
});

describe.each([1, -1])('async() with modparam async return=%i', (value) => {
  const running = useProxy(definition, { prelude, overrides: { modparam: { async: { return: value } } } });

  it.each(['value', 'throws', 'late'])('lets the script go on, always before the route: %s', async (operation) => {
    const final = await running.ask({ user: 'noted', headers: [`X-Operation: ${operation}`] });
    expect(final.status).toBe(404);
    expect(notes.entries.map((entry) => (Array.isArray(entry) ? entry[0] as unknown : entry))).toEqual([
      'before', 'started', 'behind', 'resumed',
    ]);
    await becomesIdle(running.proxy);
  });
});

describe('async() without transactions', () => {
  const definitionOfTasks = `
    asyncWorkers: 1,
    requestRoute() {},
    route: { TASK(msg) { note([msg.async(operations.value, 'TASK'), code(msg)]); } },`;

  it('is refused', async () => {
    const running = new RunningProxy(definitionOfTasks, { prelude, overrides: { modparam: { async: { mode: 1 } } } });
    await running.start();
    expect(running.proxy.asyncTaskData('TASK', '')).toBe(true);
    expect(await notes.atLeast(1)).toEqual([[false, 'MODE_NO_TM']]);
    await running.stop();
  });
});
