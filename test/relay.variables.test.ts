import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { becomesIdle, callsEnd, useProxy } from './support/running-proxy.ts';
import type { SipMessage } from './support/sip-message.ts';
import { SipCallee } from './support/udp-callee.ts';

// Where variables and changes are in the routes that sending on leads to: docs/variables.md.

let callees: SipCallee[] = [];
beforeEach(async () => {
  callees = await Promise.all([SipCallee.open(), SipCallee.open(), SipCallee.open()]);
  for (const callee of callees) callee.on('INVITE', [486]);
});
afterEach(async () => {
  await Promise.all(callees.splice(0).map((callee) => callee.close()));
});

const overrides = { modparam: { tm: { retr_timer1: 50, retr_timer2: 200 } } };
const own = (name: string) => ({ headers }: SipMessage) => headers.get(name) ?? [];

describe.each([['returns', ''], ['ends by exit()', 'msg.exit();']])('a route that %s', (_how, end) => {
  const running = useProxy(
    `
    requestRoute(msg) {
      if (msg.method === 'ACK') return;
      msg.tOnFailure('FAILED');
      msg.tOnReply('REPLY');
      msg.tOnBranch('BRANCH');
      const [first, second] = msg.headers('X-To');
      msg.ruri = first;
      msg.appendBranch(second);
      msg.appendHf('X-Call: request');
      msg.avp.set('before', 'relay');
      msg.flags.set(3);
      msg.tRelay();
      msg.avp.set('after', 'relay');
      ${end}
    },
    branchRoute: {
      BRANCH(msg) {
        msg.appendHf('X-Branch: ' + [msg.avp.get('before'), msg.avp.get('branch'), msg.flags.get(3)]);
        msg.avp.set('branch', 'set');
        ${end}
      },
    },
    onreplyRoute: {
      REPLY(msg) {
        msg.appendHf('X-Reply: ' + [msg.avp.get('before'), msg.avp.get('branch'), msg.flags.get(3), msg.ruri]);
        msg.avp.set('reply', msg.status);
        ${end}
      },
    },
    failureRoute: {
      FAILED(msg) {
        const names = ['before', 'after', 'branch', 'reply'];
        msg.appendHf('X-Failed: ' + [...names.map((name) => msg.avp.get(name)), msg.ruri === msg.headers('X-To')[0]]);
        msg.ruri = msg.headers('X-To')[2];
        msg.tRelay();
        ${end}
      },
    },`,
    { overrides },
  );
  afterEach(() => callsEnd(running.proxy));
  afterAll(() => becomesIdle(running.proxy));

  const call = () => running.ask({ headers: callees.map(({ uri }) => `X-To: ${uri}`) });

  it('leaves its variables to the routes behind it', async () => {
    await call();
    const [again] = callees[2]!.of('INVITE');
    expect(own('x-failed')(again!)).toEqual(['relay,relay,,486,true']);
  });

  it('makes an appended branch once, not again in the failure route', async () => {
    await call();
    expect(callees.map((callee) => callee.distinct('INVITE').length)).toEqual([1, 1, 1]);
  });

  it('of a branch begins with what the call has, and keeps what it sets for that branch', async () => {
    await call();
    for (const callee of callees) expect(own('x-branch')(callee.of('INVITE')[0]!)).toEqual(['relay,,true']);
  });

  it('of a reply sees the variables of the call; what it changes is in the reply alone', async () => {
    const reply = await call();
    expect(own('x-reply')(reply)).toEqual(['relay,,true,']);
    expect(own('x-call')(reply)).toEqual([]);
    expect(own('x-reply')(callees[2]!.of('INVITE')[0]!)).toEqual([]);
  });

  it('adds to what was changed before', async () => {
    await call();
    expect(own('x-call')(callees[2]!.of('INVITE')[0]!)).toEqual(['request']);
    expect(own('x-failed')(callees[0]!.of('INVITE')[0]!)).toEqual([]);
  });
});
