import { startProxy } from 'sip-async';
import type { Proxy } from 'sip-async';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ProxyFile } from './support/proxy-file.ts';
import { becomesIdle, callsEnd, proxySource, useProxy } from './support/running-proxy.ts';
import type { SipMessage } from './support/sip-message.ts';
import { SipCallee } from './support/udp-callee.ts';
import { SipClient } from './support/udp-client.ts';

// Each code that sending on can give, raised by what a caller sends, and what that caller then gets.

let callee: SipCallee;
beforeAll(async () => {
  callee = await SipCallee.open();
  callee.on('INVITE', [486]).on('OPTIONS', [200]).on('CANCEL', [200]);
});
afterAll(() => callee.close());

/** Tells by a reply what a function came to. */
const tell = `
  const codeOf = (msg) => msg.asyncError?.code.replace('SIPASYNC_ERR_', '') ?? 'none';
  const told = (msg, result) => {
    msg.appendToReply('X-Result: ' + result + ' ' + codeOf(msg));
    msg.sendReply(480);
  };`;
/** T1 is short, so that what was sent on is soon forgotten. */
const overrides = { modparam: { tm: { retr_timer1: 50, retr_timer2: 200, fr_timer: 2000 } } };
const resultOf = (reply: SipMessage) => reply.header('x-result');

describe('a relay that is not taken', () => {
  const running = useProxy(
    `
    dns: { servers: ['127.0.0.1:9'], timeout: 300 },
    requestRoute(msg) {
      if (msg.method === 'ACK') return;
      const to = msg.header('X-To') ?? undefined;
      switch (msg.header('X-Do')) {
        case 'tell': return told(msg, msg.tRelay(to));
        case 'forward': return told(msg, msg.forward(to));
        case 'error': return void (msg.tRelay(to) || msg.slReplyError());
        case 'answered': msg.sendReply(404); msg.tRelay(to); return post(msg);
        case 'header': msg.appendHf('X-Long: ' + 'x'.repeat(65_000)); return told(msg, msg.tRelay(to));
        case 'variables': msg.avp.set('x', 'x'.repeat(1 << 20)); return told(msg, msg.tRelay(to));
        case 'many': {
          for (let i = 0; i < 64; i += 1) msg.tRelay(to);
          return told(msg, msg.tRelay(to));
        }
        case 'unknown': return told(msg, [msg.tOnFailure('NONE'), msg.tOnReply('NONE'), msg.tOnBranch('NONE')]);
        case 'cancelled': msg.tNewtran(); return new Promise((resolve) => {
          msg.signal.onabort = () => { msg.tRelay(to); resolve(post(msg)); };
        });
        case 'posted': return told(msg, posted.splice(0));
        default: msg.tRelay(to);
      }
    },
    eventRoute: { 'tm:canceled'(msg) { if (msg.header('X-Event')) { msg.tRelay(msg.header('X-To')); post(msg); } } },
    route: { IN_TASK(msg) { msg.tRelay('127.0.0.1:9'); post(msg); } },`,
    { prelude: `${tell}\n  const posted = [];\n  const post = (msg) => void posted.push(codeOf(msg));`, overrides },
  );
  afterEach(() => callsEnd(running.proxy));
  afterAll(() => becomesIdle(running.proxy));

  const ask = (does: string, options: { to?: string; maxForwards?: number; ruri?: string } = {}) => {
    const { to, ...rest } = options;
    return running.ask({ headers: [`X-Do: ${does}`, ...(to === undefined ? [] : [`X-To: ${to}`])], ...rest });
  };

  const nowhere = ['tcp:127.0.0.1:5060', 'sips:x@127.0.0.1', '[::1]:5060', '127.0.0.1:99999', 'sip:x@127.0.0.1;transport=sctp'];
  it.each(nowhere)('UNROUTABLE: %s', async (to) => {
    expect(resultOf(await ask('tell', { to }))).toBe('false UNROUTABLE');
    expect((await ask('nothing', { to })).status).toBe(478);
    expect((await ask('error', { to })).status).toBe(478);
    expect(resultOf(await ask('forward', { to }))).toBe('false UNROUTABLE');
  });
  it('UNROUTABLE: a name, without a transaction that could wait for it', async () => {
    expect(resultOf(await ask('forward', { to: 'nowhere.invalid' }))).toBe('false UNROUTABLE');
  });
  it('is taken when its target is a name, and gives 478 when that does not resolve', async () => {
    expect((await ask('nothing', { to: 'nowhere.invalid' })).status).toBe(478);
  });

  it('TOO_MANY_HOPS', async () => {
    const to = callee.address;
    expect(resultOf(await ask('tell', { to, maxForwards: 0 }))).toBe('false TOO_MANY_HOPS');
    expect(resultOf(await ask('forward', { to, maxForwards: 0 }))).toBe('false TOO_MANY_HOPS');
    expect((await ask('nothing', { to, maxForwards: 0 })).status).toBe(483);
    expect((await ask('error', { to, maxForwards: 0 })).status).toBe(483);
    expect((await ask('nothing', { to, maxForwards: 1 })).status).toBe(486);
  });

  it('LOOP_DETECTED', async () => {
    const own = String(running.proxy.addresses[0]).replace('udp:', '');
    // The second time round it is refused, and the refusal goes back the way the request came.
    expect((await ask('nothing', { to: own })).status).toBe(482);
    expect((await ask('error', { to: own })).status).toBe(482);
    expect(resultOf(await ask('forward', { to: own }))).toBe('false LOOP_DETECTED');
  });

  it('ALREADY_ANSWERED, CANCELLED, and NO_TRANSACTION for the CANCEL and a data task', async () => {
    expect((await ask('answered', { to: callee.address })).status).toBe(404);
    const headers = ['X-Do: cancelled', `X-To: ${callee.address}`, 'X-Event: yes'];
    const call = running.client.request({ headers, autoAck: true });
    await call.provisional();
    call.cancel();
    expect((await call.final()).status).toBe(487);
    await callsEnd(running.proxy);
    expect(running.proxy.asyncTaskData('IN_TASK', 'x')).toBe(false);
    const results = resultOf(await ask('posted')).split(' ')[0]!.split(',');
    expect(results.sort()).toEqual(['ALREADY_ANSWERED', 'CANCELLED', 'NO_TRANSACTION']);
    expect(callee.requests.filter((request) => request.header('x-do') === 'cancelled')).toEqual([]);
  });

  it('SLOTS_EXHAUSTED: more than 64 branches', async () => {
    expect(resultOf(await ask('many', { to: callee.address }))).toBe('false SLOTS_EXHAUSTED');
  });
  it('INVALID_STATUS: a message that is too long to be sent', async () => {
    expect(resultOf(await ask('header', { to: callee.address }))).toBe('false INVALID_STATUS');
  });
  it('PAYLOAD_TOO_LARGE: the variables of the call', async () => {
    expect(resultOf(await ask('variables', { to: callee.address }))).toBe('false PAYLOAD_TOO_LARGE');
  });
  it('UNKNOWN_ROUTE: arming what the module does not define', async () => {
    expect(resultOf(await ask('unknown'))).toBe('false,false,false UNKNOWN_ROUTE');
  });
});

describe('a relay that is not taken after one that was', () => {
  const running = useProxy(
    `
    requestRoute(msg) {
      if (msg.method === 'ACK') return;
      const to = msg.header('X-To');
      msg.tOnFailure('FAILED');
      msg.tRelay(to);
      if (msg.header('X-Late') !== null) msg.asyncMsRoute('LATE', 20);
      if (msg.header('X-Twice') !== null) msg.tRelay('tcp:127.0.0.1:9');
    },
    route: { LATE(msg) { msg.tRelay('tcp:127.0.0.1:9'); } },
    failureRoute: { FAILED(msg) { if (msg.header('X-Twice') === null) msg.tRelay('tcp:127.0.0.1:9'); } },`,
    { overrides },
  );
  afterEach(() => callsEnd(running.proxy));
  afterAll(() => becomesIdle(running.proxy));

  const where = [['in the same run', ['X-Twice: yes']], ['in a resumed route', ['X-Late: yes']], ['in a failure route', []]] as const;
  it.each(where)('leaves the answer to that: %s', async (_where, more) => {
    expect((await running.ask({ headers: [`X-To: ${callee.address}`, ...more] })).status).toBe(486);
  });
});

describe('WRONG_ROUTE', () => {
  const running = useProxy(
    `
    requestRoute(msg) {
      if (msg.method === 'ACK') return;
      msg.tOnBranch('BRANCH');
      msg.tOnReply('REPLY');
      msg.tRelay(msg.header('X-To'));
    },
    branchRoute: { BRANCH(msg) { for (const entry of refused(msg)) msg.appendHf('X-Branch: ' + entry); } },
    onreplyRoute: { REPLY(msg) { for (const entry of refused(msg)) msg.appendHf('X-Reply: ' + entry); } },`,
    {
      prelude: `${tell}
      const calls = {
        tRelay: ['127.0.0.1:9'], forward: ['127.0.0.1:9'], tOnFailure: [null], tOnBranch: [null], appendBranch: ['sip:x@127.0.0.1'],
        tOnReply: ['REPLY'], recordRoute: [], sendReply: [480], slReplyError: [], tNewtran: [],
      };
      const refused = (msg) => Object.entries(calls).flatMap(([name, args]) => msg[name](...args) ? [] : [name + ' ' + codeOf(msg)]);`,
      overrides,
    },
  );
  afterAll(() => becomesIdle(running.proxy));

  const both = ['tRelay', 'forward', 'tOnFailure', 'tOnBranch', 'appendBranch', 'sendReply', 'slReplyError'];
  it('in a reply route: nothing is sent on, armed or answered there', async () => {
    const reply = await running.ask({ headers: [`X-To: ${callee.address}`] });
    expect(reply.status).toBe(486);
    const wrong = [...both, 'tOnReply', 'recordRoute'].map((name) => `${name} WRONG_ROUTE`);
    expect([...(reply.headers.get('x-reply') ?? [])].sort()).toEqual([...wrong, 'tNewtran NO_TRANSACTION'].sort());
  });
  it('in a branch route: but a reply route may be armed there, and the route recorded', async () => {
    const before = callee.requests.length;
    await running.ask({ headers: [`X-To: ${callee.address}`] });
    const seen = callee.requests[before]!.headers.get('x-branch') ?? [];
    const wrong = both.map((name) => `${name} WRONG_ROUTE`);
    expect([...seen].sort()).toEqual([...wrong, 'tNewtran NO_TRANSACTION'].sort());
  });
});

describe('an open suspension', () => {
  const running = useProxy(
    `
    requestRoute(msg) {
      const { index, generation } = msg;
      const wrong = [
        msg.tContinue(index, generation, 'RESUME') || codeOf(msg),
        msg.tCancelSuspend(index, generation) || codeOf(msg),
        msg.tContinue(index, generation + 1, 'RESUME') || codeOf(msg),
        msg.tContinue(index, generation, 'NONE') || codeOf(msg),
      ];
      const handle = msg.tSuspend();
      wrong.push(msg.tSuspend() || codeOf(msg));
      msg.tContinue(handle.index, handle.label, 'RESUME');
      wrong.push(msg.tContinue(handle.index, handle.label, 'RESUME') || codeOf(msg));
      wrong.push(msg.tCancelSuspend(handle.index, handle.label) || codeOf(msg));
      results.push(...wrong);
    },
    modparam: { async: { workers: 0 } },
    route: { RESUME(msg) { msg.appendToReply('X-Result: ' + results.splice(0)); msg.sendReply(480); } },`,
    { prelude: `${tell}\n  const results = [];` },
  );

  it('NOT_SUSPENDED, STALE_HANDLE, UNKNOWN_ROUTE and ALREADY_SUSPENDED', async () => {
    expect(resultOf(await running.ask({})).split(',')).toEqual([
      'NOT_SUSPENDED', 'NOT_SUSPENDED', 'STALE_HANDLE', 'UNKNOWN_ROUTE', 'ALREADY_SUSPENDED', 'NOT_SUSPENDED', 'NOT_SUSPENDED',
    ]);
  });
  it('STALE_HANDLE and CLOSED from the program', async () => {
    const { proxy } = running;
    expect(proxy.tContinue(4_000_000_000, 0, 'RESUME')).toBe(false);
    expect(proxy.asyncError?.code).toBe('SIPASYNC_ERR_STALE_HANDLE');
    await becomesIdle(proxy);
    await proxy.close({ timeoutMs: 0 });
    expect(proxy.tContinue(0, 0, 'RESUME')).toBe(false);
    expect(proxy.asyncError?.code).toBe('SIPASYNC_ERR_CLOSED');
  });
});

describe('MODE_NO_TM', () => {
  let file: ProxyFile;
  let proxy: Proxy;
  let client: SipClient;
  beforeAll(async () => {
    client = await SipClient.open({ port: 9 });
    file = new ProxyFile(proxySource(`
      asyncWorkers: 1,
      modparam: { async: { mode: 1 } },
      route: { TASK(msg) { shv.set('relay.errors', [msg.tRelay('127.0.0.1:9') || codeOf(msg)].join()); } },`,
    `${tell}\n  import { shv } from 'sip-async';`));
    proxy = await startProxy(file.url);
  });
  afterAll(async () => {
    await proxy.close();
    await client.close();
    file.remove();
  });

  it('is what relaying gives where there are no transactions', async () => {
    const { shv } = await import('sip-async');
    expect(proxy.asyncTaskData('TASK', '')).toBe(true);
    await becomesIdle(proxy);
    expect(shv.get('relay.errors')).toBe('MODE_NO_TM');
  });
});
