import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { becomesIdle, useProxy, waitTimerMs } from './support/running-proxy.ts';
import type { RunningProxy } from './support/running-proxy.ts';
import { parameter } from './support/sip-message.ts';
import { newBranch } from './support/sip-request.ts';
import type { RequestOptions } from './support/sip-request.ts';
import type { Transaction } from './support/udp-client.ts';

/** Counts the runs of requestRoute by Call-ID and tells them on demand. */
const prelude = `
  const runs = new Map();
  function isAsked(msg) {
    if (msg.toUser !== 'settle') {
      runs.set(msg.callId, [...(runs.get(msg.callId) ?? []), msg.method]);
      return false;
    }
    msg.appendToReply('X-Runs: ' + (runs.get(msg.header('X-Of')) ?? []).join(' '));
    msg.sendReply(200);
    return true;
  }`;

const definition = `
  asyncWorkersGroup: ['name=abc;workers=1'],
  async requestRoute(msg) {
    if (isAsked(msg)) return;
    const delay = Number(/;d=(\\d+)/.exec(msg.ruri)?.[1] ?? 0);
    if (msg.toUser === 'ringing') msg.sendReply(183);
    if (msg.toUser === 'stateless') msg.slSendReply(404);
    else if (msg.toUser === 'sleep') {
      await msg.asyncMsSleep(delay);
      msg.sendReply(404);
    } else if (delay > 0) msg.asyncMsRoute('RESUME', delay);
    else msg.sendReply(Number(msg.header('X-Status') ?? 404));
  },
  route: {
    RESUME(msg) {
      msg.appendToReply('X-Random: ' + Math.random());
      msg.sendReply(Number(msg.header('X-Status') ?? 404));
    },
  },`;

async function runsOf({ client }: RunningProxy, callId: string): Promise<string> {
  const answer = await client.request({ method: 'OPTIONS', user: 'settle', headers: [`X-Of: ${callId}`] }).final();
  return answer.header('x-runs');
}

const statuses = (call: Transaction) => call.responses.map((response) => response.status);

describe('a request that is repeated', () => {
  const t1Ms = 40;
  const t2Ms = 160;
  const running = useProxy(definition, {
    prelude,
    overrides: { modparam: { tm: { retr_timer1: t1Ms, retr_timer2: t2Ms } } },
  });

  it.each(['route', 'sleep'])('gets 100 again while its INVITE is suspended: %s', async (user) => {
    const { retransmissionsAbsorbed } = running.stats.transport;
    const call = running.client.request({ user, params: ';d=800', autoAck: true });
    await call.provisional();
    for (let i = 0; i < 3; i += 1) {
      call.resend();
      await eventually(() => call.responses.length === i + 2);
    }
    await call.final();
    expect(statuses(call)).toEqual([100, 100, 100, 100, 404]);
    expect(running.stats.transport.retransmissionsAbsorbed).toBe(retransmissionsAbsorbed + 3);
    expect(await runsOf(running, call.request.callId)).toBe('INVITE');
  });

  it.each(['route', 'sleep'])('gets silence while it is suspended and no INVITE: %s', async (user) => {
    const { retransmissionsAbsorbed } = running.stats.transport;
    const call = running.client.request({ method: 'OPTIONS', user, params: ';d=800' });
    for (let i = 0; i < 3; i += 1) {
      await running.settle();
      call.resend();
    }
    await running.settle();
    expect(running.stats.transport.retransmissionsAbsorbed).toBe(retransmissionsAbsorbed + 3);
    expect(statuses(call)).toEqual([]);
    await call.final();
    expect(statuses(call)).toEqual([404]);
    expect(await runsOf(running, call.request.callId)).toBe('OPTIONS');
  });

  it.each(['INVITE', 'OPTIONS'])('gets the provisional reply of the script again: %s', async (method) => {
    const call = running.client.request({ method, user: 'ringing', params: ';d=800', autoAck: true });
    const ringing = () => call.responses.filter((response) => response.status === 183);
    await eventually(() => ringing().length === 1);
    call.resend();
    await eventually(() => ringing().length === 2);
    await call.final();
    expect(statuses(call).slice(-3)).toEqual([183, 183, 404]);
    expect(ringing()[1]?.raw).toBe(ringing()[0]?.raw);
    expect(await runsOf(running, call.request.callId)).toBe(method);
  });

  it.each([
    ['INVITE', 404],
    ['INVITE', 200],
    ['OPTIONS', 404],
    ['OPTIONS', 200],
  ])('gets the same bytes again when it has its final reply: %s %i', async (method, status) => {
    for (const params of ['', ';d=20']) {
      const call = running.client.request({ method, params, headers: [`X-Status: ${status}`], autoAck: true });
      const final = await call.final();
      const before = call.finals.length;
      call.resend();
      call.resend();
      await eventually(() => call.finals.length >= before + 2);
      expect(final.status).toBe(status);
      expect(new Set(call.finals.map(({ raw }) => raw)).size).toBe(1);
      expect(await runsOf(running, call.request.callId)).toBe(method);
    }
  });

  it.each([
    ['within the transaction', 404],
    ['as a transaction of its own', 200],
  ])('repeats a final reply until the ACK comes %s: %i', async (_how, status) => {
    const { acksAbsorbed } = running.stats.transport;
    const call = running.client.request({ headers: [`X-Status: ${status}`] });
    const final = await call.final();
    await eventually(() => call.finals.length === 5);
    let notBeforeMs = 0;
    for (const [i, repeated] of call.finals.entries()) {
      expect(repeated.raw).toBe(final.raw);
      expect(call.elapsedMs(repeated)).toBeGreaterThanOrEqual(notBeforeMs);
      notBeforeMs += Math.min(t1Ms * 2 ** i, t2Ms);
    }
    const ack = call.ack();
    expect(ack.branch === call.request.branch).toBe(status === 404);
    await eventually(() => running.stats.transport.acksAbsorbed === acksAbsorbed + 1);
    await running.settle();
    const sent = call.finals.length;
    await new Promise((done) => setTimeout(done, 3 * t2Ms));
    expect(call.finals).toHaveLength(sent);
    expect(await runsOf(running, call.request.callId)).toBe('INVITE');
    await becomesIdle(running.proxy);
    expect(call.finals).toHaveLength(sent);
  });

  it('absorbs an ACK that is repeated, and one with a strange tag', async () => {
    const call = running.client.request({});
    const { acksAbsorbed } = running.stats.transport;
    const final = await call.final();
    call.ack(final);
    call.ack(final);
    running.client.send(running.client.build({ ...call.request, method: 'ACK', toTag: 'strange' }));
    expect(await runsOf(running, call.request.callId)).toBe('INVITE');
    expect(running.stats.transport.acksAbsorbed).toBe(acksAbsorbed + 3);
  });

  it('is a new request when the wait timer is over', async () => {
    const call = running.client.request({ method: 'OPTIONS' });
    const final = await call.final();
    await becomesIdle(running.proxy);
    expect(performance.now() - call.sentAtMs).toBeGreaterThanOrEqual(waitTimerMs);
    call.resend();
    await eventually(() => call.finals.length === 2);
    expect(await runsOf(running, call.request.callId)).toBe('OPTIONS OPTIONS');
    const tags = call.finals.map((answer) => parameter(answer.header('to'), 'tag'));
    expect(tags[0]).toBe(parameter(final.header('to'), 'tag'));
    expect(tags[1]).not.toBe(tags[0]);
  });

  it('leaves nothing behind', () => becomesIdle(running.proxy));
});

describe('a final reply that nobody acknowledges', () => {
  const t1Ms = 10;
  const running = useProxy(definition, {
    prelude,
    overrides: { modparam: { tm: { retr_timer1: t1Ms, retr_timer2: 4 * t1Ms } } },
  });

  it.each([404, 200])('is given up after 64 T1: %i', async (status) => {
    const { timedOut } = running.stats.transactions;
    const call = running.client.request({ headers: [`X-Status: ${status}`] });
    await eventually(() => running.stats.transactions.timedOut === timedOut + 1);
    expect(performance.now() - call.sentAtMs).toBeGreaterThanOrEqual(64 * t1Ms);
    await becomesIdle(running.proxy);
    await running.settle();
    // 10, 20 and then every 40 ms; fewer when the machine was busy, never more.
    expect(call.finals.length).toBeLessThanOrEqual(1 + 2 + Math.ceil((64 * t1Ms - 3 * t1Ms) / (4 * t1Ms)));
    expect(call.finals.length).toBeGreaterThan(2);
    expect(await runsOf(running, call.request.callId)).toBe('INVITE');
  });
});

describe('matching', () => {
  const running = useProxy(definition, { prelude });

  /** Sends the same call twice with a difference, and counts how often the route ran. */
  async function runsOfBoth(first: string, second: string): Promise<number> {
    const [callId = ''] = /(?<=Call-ID: )\S+/.exec(first) ?? [];
    running.client.send(first);
    running.client.send(second);
    return (await runsOf(running, callId)).split(' ').length;
  }

  const via = (sentBy: string, params: string) => ({ via: `SIP/2.0/UDP ${sentBy};rport${params}` });
  const cookie = (number: number) => `;branch=${shared}${number}`;
  const shared = newBranch();
  const base = { method: 'OPTIONS', fromTag: 'from', params: ';d=50' };

  it.each<[string, RequestOptions, RequestOptions, number]>([
    ['the same branch', via('a.invalid', cookie(1)), {}, 1],
    ['another sent-by host', via('a.invalid', cookie(2)), via('b.invalid', cookie(2)), 2],
    ['another sent-by port', via('a.invalid:5070', cookie(3)), via('a.invalid:5071', cookie(3)), 2],
    ['sent-by in another case', via('a.invalid', cookie(4)), via('A.Invalid', cookie(4)), 1],
    ['another branch', via('a.invalid', cookie(5)), via('a.invalid', cookie(6)), 2],
    ['another method', via('a.invalid', cookie(7)), { method: 'MESSAGE' }, 2],
    ['an extension method', { method: 'FOO', ...via('a.invalid', cookie(8)) }, { method: 'BAR' }, 2],
    ['the same branch, another tag and CSeq', via('a.invalid', cookie(9)), { fromTag: 'other', cseq: 2 }, 1],
    ['RFC 2543: the same', via('a.invalid', ';branch=1'), {}, 1],
    ['RFC 2543: no branch', via('a.invalid', ''), {}, 1],
    ['RFC 2543: another CSeq', via('a.invalid', ';branch=2'), { cseq: 2 }, 2],
    ['RFC 2543: another From tag', via('a.invalid', ';branch=3'), { fromTag: 'other' }, 2],
    ['RFC 2543: another request URI', via('a.invalid', ';branch=4'), { user: 'bob', toUser: 'alice' }, 2],
    ['RFC 2543: another Via', via('a.invalid', ';branch=5'), via('a.invalid', ';branch=6'), 2],
  ])('%s', async (name, first, change, runs) => {
    const one = { ...base, callId: `${name.replace(/\W/g, '-')}@client.invalid`, ...first };
    expect(await runsOfBoth(running.client.build(one), running.client.build({ ...one, ...change }))).toBe(runs);
  });

  it('RFC 2543: the ACK of a call without a branch is absorbed, and ends the repeating', async () => {
    const invite = running.client.request({ via: `SIP/2.0/UDP ${running.client.address};rport` });
    const { acksAbsorbed } = running.stats.transport;
    await invite.final();
    invite.ack();
    await eventually(() => running.stats.transport.acksAbsorbed === acksAbsorbed + 1);
    await running.settle();
    const sent = invite.finals.length;
    await becomesIdle(running.proxy);
    expect(invite.finals).toHaveLength(sent);
    expect(await runsOf(running, invite.request.callId)).toBe('INVITE');
  });
});

describe('a stateless reply', () => {
  const running = useProxy(definition, { prelude });

  it.each(['INVITE', 'OPTIONS'])('makes every retransmission a new message: %s', async (method) => {
    const call = running.client.request({ method, user: 'stateless' });
    await call.final();
    for (let i = 2; i <= 4; i += 1) {
      call.resend();
      await eventually(() => call.finals.length === i);
    }
    // The same tag each time, so that the caller takes them for repetitions.
    expect(new Set(call.finals.map(({ raw }) => raw)).size).toBe(1);
    expect(await runsOf(running, call.request.callId)).toBe(Array(4).fill(method).join(' '));
  });

  it('is not repeated by itself, keeps nothing, and its ACK is absorbed', async () => {
    const call = running.client.request({ user: 'stateless' });
    const { acksAbsorbed } = running.stats.transport;
    await call.final();
    call.ack();
    await eventually(() => running.stats.transport.acksAbsorbed === acksAbsorbed + 1);
    expect(await runsOf(running, call.request.callId)).toBe('INVITE');
    await becomesIdle(running.proxy);
    expect(call.finals.map((final) => final.status)).toEqual([404]);
  });
});
