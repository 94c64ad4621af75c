import { setImmediate } from 'node:timers/promises';
import type { Proxy } from 'sip-async';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Board } from './support/board.ts';
import { eventually } from './support/eventually.ts';
import { matrixDefinition, matrixPrelude, preRoutingDefinition } from './support/matrix-proxy.ts';
import { messageRows, proxyRows } from './support/matrix-rows.ts';
import type { Row } from './support/matrix-rows.ts';
import {
  closedState, drainingState, finals, outcomes, preRoutingState, relayStates, states, suspendedState,
} from './support/matrix-states.ts';
import type { State } from './support/matrix-states.ts';
import { becomesIdle, callsEnd, liveCounters, RunningProxy } from './support/running-proxy.ts';
import type { SipMessage } from './support/sip-message.ts';
import { token } from './support/sip-request.ts';
import { SipCallee } from './support/udp-callee.ts';
import type { Transaction } from './support/udp-client.ts';

const functions = [...new Set(messageRows.map(({ fn }) => fn))];
const board = Board.forThisFile();

/** Where everything that is sent on goes. It refuses what says so, and is silent else. */
let callee: SipCallee;
beforeAll(async () => {
  callee = await SipCallee.open();
  const refuse = (request: SipMessage) => void (request.header('x-refuse') && callee.answer(request, 486));
  for (const method of ['INVITE', 'OPTIONS']) callee.on(method, refuse);
  callee.on('CANCEL', [200]);
  process.env['CALLEE'] = callee.address;
});
afterAll(() => callee.close());

/** A row in a state: how it was started, and the call if there is one. */
interface Run {
  readonly key: string;
  readonly call: Transaction | undefined;
}

function start(running: RunningProxy, state: State, number: number, row: number): Run {
  const key = token();
  const { proxy, client } = running;
  if (state.by === 'task') {
    if (!proxy.asyncTaskGroupData('IN_TASK', 'work', JSON.stringify([key, row]))) throw proxy.asyncError!;
    return { key, call: undefined };
  }
  if (state.by === 'launch') {
    if (!proxy.launch(() => 1, 'IN_TASK', { text: JSON.stringify([key, row]) })) throw proxy.asyncError!;
    return { key, call: undefined };
  }
  if (state.by === 'event') {
    if (!proxy.asyncTkvEmit(1, key, `run ${row}`)) throw proxy.asyncError!;
    return { key, call: undefined };
  }
  const headers = [`X-Do: ${number} ${row}`, ...(state.isAnswered ? ['X-Refuse: yes'] : [])];
  const ruri = `sip:alice@${callee.address}`;
  const request = { method: state.method ?? 'INVITE', ruri, callId: key, headers, body: 'old body' };
  if (state.method === 'ACK') {
    client.send(client.build({ ...request, toUser: 'ack', toTag: 'of-somebody-else' }));
    return { key, call: undefined };
  }
  const call = client.request({ ...request, autoAck: true });
  if (state.cancels) void call.provisional(15_000).then(() => call.cancel());
  return { key, call };
}

/** Starts every row in a state, a few at a time so that no socket overflows. */
async function startAll(running: RunningProxy, state: State, number: number): Promise<Run[]> {
  const runs: Run[] = [];
  for (let row = 0; row < messageRows.length; row += 1) {
    runs.push(start(running, state, number, row));
    if (row % 20 === 19) await setImmediate();
  }
  return runs;
}

const isOver = ({ key, call }: Run, wanted: readonly number[]) =>
  board.of(key).length > 0 && (call?.finals.length ?? 0) >= (call ? wanted.length : 0);

async function finishAll(runs: readonly Run[], state: State): Promise<void> {
  await eventually(() => messageRows.every((row, i) => isOver(runs[i]!, finals(state, row))), { timeoutMs: 15_000 })
    // What is missing is named by the test of its function.
    .catch(() => undefined);
}

/** What differs from the contract, as lines to read. */
function differences(runs: readonly Run[], state: State, fn: string): string[] {
  return messageRows.flatMap((row, i) => {
    if (row.fn !== fn) return [];
    const { key, call } = runs[i]!;
    const got = board.of(key);
    const allowed = outcomes(state, row);
    const lines: string[] = [];
    if (got.length !== 1 || !allowed.includes(String(got[0]))) {
      lines.push(`${row.script}: expected ${allowed.join(' or ')}, got ${got.join(' and ') || 'nothing'}`);
    }
    // A final reply to an INVITE comes again when its ACK is slow; what counts is that there is no other.
    const seen = [...new Map(call?.finals.map(({ raw, status }) => [raw, status])).values()];
    const wanted = call ? finals(state, row) : [];
    if (seen.join() !== wanted.join()) lines.push(`${row.script}: expected the answer ${wanted.join()}, got ${seen.join()}`);
    return lines;
  });
}

/** The tests of one state; `runs` is filled before they run. */
function testState(state: State, runs: readonly Run[]): void {
  it.each(functions)('%s', (fn) => {
    expect(differences(runs, state, fn)).toEqual([]);
  });
}

function describeStates(group: readonly State[], running: RunningProxy): void {
  beforeAll(() => running.start());
  afterAll(() => running.stop());

  describe.each(group.map((state, number) => [state.name, state, number] as const))('%s', (_name, state, number) => {
    const runs: Run[] = [];
    let tasksDone = 0;
    beforeAll(async () => {
      tasksDone = running.stats.tasks.done;
      runs.push(...(await startAll(running, state, number)));
      await finishAll(runs, state);
      await callsEnd(running.proxy, 15_000);
    }, 60_000);
    testState(state, runs);

    it('starts the tasks that it took, each once, and no other', () => {
      const taken = messageRows.filter((row, i) => row.class === 'task' && board.of(runs[i]!.key)[0] === 'true').length;
      const own = state.by === undefined ? 0 : messageRows.length;
      expect(running.stats.tasks.done - tasksDone).toBe(taken + own);
    });
    it('leaves no call', async () => {
      await callsEnd(running.proxy);
      expect(running.client.strays).toEqual([]);
    });
  });

  // What was sent on for an INVITE stays 64 times T1 to answer what comes again (timer D).
  it('leaves nothing alive', () => becomesIdle(running.proxy, 45_000), 60_000);
}

describe('every function of a message with every kind of argument', () => {
  describeStates(states, new RunningProxy(matrixDefinition, { prelude: matrixPrelude(messageRows, states) }));
});

describe('every function of a message of a call that is sent on, or waits for its handle,', () => {
  describeStates(relayStates, new RunningProxy(matrixDefinition, { prelude: matrixPrelude(messageRows, relayStates) }));
});

describe('every function of a message with modparam async return=1', () => {
  const overrides = { modparam: { async: { return: 1 } } };
  const prelude = matrixPrelude(messageRows, [suspendedState]);
  describeStates([suspendedState], new RunningProxy(matrixDefinition, { prelude, overrides }));
});

describe('every function of a message in core:pre-routing', () => {
  const prelude = matrixPrelude(messageRows, [preRoutingState]);
  describeStates([preRoutingState], new RunningProxy(preRoutingDefinition, { prelude }));
});

/** Calls one row on the proxy itself. */
function callOn(proxy: Proxy, row: Row): string {
  const code = () => (proxy.asyncError === null ? '' : ` ${proxy.asyncError.code.replace('SIPASYNC_ERR_', '')}`);
  try {
    const value = (new Function('msg', `return ${row.script}`) as (proxy: Proxy) => unknown)(proxy);
    return `${String(value)}${code()}`;
  } catch (error) {
    return error instanceof Error ? error.constructor.name : 'not an error';
  }
}

function proxyDifferences(proxy: Proxy, expected: (row: Row) => readonly string[]): string[] {
  return proxyRows.flatMap((row) => {
    const got = callOn(proxy, row);
    return expected(row).includes(got) ? [] : [`${row.script}: expected ${expected(row).join(' or ')}, got ${got}`];
  });
}
/** Nothing is taken any more; a wrong type is one all the same, and of two reasons either may be told. */
function whenClosed({ live }: Row): readonly string[] {
  if (live === 'TypeError') return [live];
  return live === 'true' ? ['false CLOSED'] : ['false CLOSED', live];
}

describe('every function of the proxy', () => {
  const running = new RunningProxy(matrixDefinition, { prelude: matrixPrelude(messageRows, [drainingState]) });
  const closing = { closed: undefined as Promise<unknown> | undefined };
  const runs: Run[] = [];
  beforeAll(() => running.start());
  afterAll(() => running.stop());

  it('while the proxy runs', async () => {
    expect(proxyDifferences(running.proxy, ({ live }) => [live])).toEqual([]);
    await becomesIdle(running.proxy);
    expect(running.stats.tasks.done).toBe(proxyRows.filter(({ live }) => live === 'true').length);
  });

  it('while the proxy drains', async () => {
    runs.push(...(await startAll(running, drainingState, 0)));
    await eventually(() => running.stats.transactions.inScript === messageRows.length);
    const { done } = running.stats.tasks;
    closing.closed = running.proxy.close({ timeoutMs: 15_000 });
    expect(proxyDifferences(running.proxy, ({ live }) => [live])).toEqual([]);
    await eventually(() => running.stats.tasks.active === 0);
    expect(running.stats.tasks.done).toBe(done + proxyRows.filter(({ live }) => live === 'true').length);
  });

  describe('and of its messages, while it drains', () => {
    beforeAll(async () => {
      board.open();
      await finishAll(runs, drainingState);
      await closing.closed;
    }, 30_000);
    testState(drainingState, runs);
  });

  it('when the proxy has closed', () => {
    expect(proxyDifferences(running.proxy, whenClosed)).toEqual([]);
    expect(liveCounters(running.stats)).toMatchObject({ suspended: 0, inScript: 0, tasks: 0, queued: 0 });
  });
});

describe('every function of a message', () => {
  describe(closedState.name, () => {
    const running = new RunningProxy(matrixDefinition, { prelude: matrixPrelude(messageRows, [closedState]) });
    const runs: Run[] = [];
    beforeAll(async () => {
      await running.start();
      runs.push(...(await startAll(running, closedState, 0)));
      await eventually(() => running.stats.transactions.inScript === messageRows.length);
      await running.proxy.close({ timeoutMs: 0 });
      board.open();
      await finishAll(runs, closedState);
    }, 30_000);
    afterAll(() => running.stop());
    testState(closedState, runs);
  });
});
