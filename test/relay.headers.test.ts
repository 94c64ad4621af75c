import { describe, expect, it } from 'vitest';
import { eventually } from './support/eventually.ts';
import { finalsOf, statusesOf, useRelay, withReference } from './support/relay-scene.ts';
import { parameter } from './support/sip-message.ts';
import type { SipMessage } from './support/sip-message.ts';
import { newBranch } from './support/sip-request.ts';
import { responseTo } from './support/udp-callee.ts';

const branchOf = (message: SipMessage) => parameter(message.header('via'), 'branch');
/** The head of a message without the lines that every hop changes. */
const steady = ({ raw }: { raw: string }) =>
  raw.split('\r\n\r\n')[0]!.split('\r\n').slice(1).filter((line) => !/^(Via|Max-Forwards|Record-Route):/i.test(line));

describe('a request that is passed on', () => {
  const scene = useRelay({ fr_timer: 1500 });

  it('gets a Via of the proxy on top, and the address it came from in the one below', async () => {
    scene.callee.on('INVITE', [404]);
    const call = scene.call('relay', { sentBy: 'caller.invalid:5099', branch: newBranch() });
    await call.final();
    const invite = scene.callee.of('INVITE')[0]!;
    const [own, callers] = invite.headers.get('via')!;
    expect(own).toMatch(new RegExp(`^SIP/2\\.0/UDP 127\\.0\\.0\\.1:${scene.proxy.port};branch=z9hG4bK[^;]+$`));
    expect(callers).toMatch(/^SIP\/2\.0\/UDP caller\.invalid:5099;/);
    expect(parameter(callers!, 'branch')).toBe(call.request.branch);
    expect(parameter(callers!, 'received')).toBe('127.0.0.1');
    expect(parameter(callers!, 'rport')).toBe(String(scene.client.port));
    expect(invite.headers.get('via')).toHaveLength(2);
    await scene.proxy.callsEnd();
  });

  it('keeps every other header and the body as they are, in their order', async () => {
    const body = 'v=0\r\n\x00\x01\xffbytes\r\n\r\nSIP/2.0 200 OK';
    const headers = [
      'Subject: one,  two', 'X-Odd:no space', 'x-odd: Second', 'Require: unknown-extension', 'Supported: timer,\r\n 100rel',
      'X-Empty:', 'P-Asserted-Identity: "J\xc3\xb6rg" <sip:j@client.invalid>',
    ];
    const call = scene.call('relay', { headers, body });
    const invite = await scene.callee.request('INVITE');
    expect(invite.body).toBe(Buffer.from(body, 'utf8').toString('latin1'));
    const sent = Buffer.from(scene.client.build({ ...call.request, headers: call.request.headers }), 'utf8').toString('latin1');
    expect(steady(invite)).toEqual(steady({ raw: sent }));
    expect(invite.startLine).toBe(sent.split('\r\n')[0]);
    scene.callee.answer(invite, 404);
    await call.final();
    await scene.proxy.callsEnd();
  });

  it('loses one of its Max-Forwards', async () => {
    scene.callee.on('OPTIONS', [200]);
    await scene.call('relay', { method: 'OPTIONS', maxForwards: 70 }).final();
    await scene.call('relay', { method: 'OPTIONS', maxForwards: 1 }).final();
    expect(scene.callee.distinct('OPTIONS').map((request) => request.header('max-forwards'))).toEqual(['69', '0']);
  });

  it('gets Max-Forwards 70 when it has none', async () => {
    scene.callee.on('OPTIONS', [200]);
    const text = scene.client.build({ method: 'OPTIONS', user: 'relay', headers: [`X-To: ${scene.callee.uri}`] });
    scene.client.send(text.replace('Max-Forwards: 70\r\n', ''));
    const request = await scene.callee.request('OPTIONS');
    expect(request.headers.get('max-forwards')).toEqual(['70']);
  });

  it.each(['INVITE', 'OPTIONS'])('is refused when it has no hops left: %s', async (method) => {
    const call = scene.call('relay', { method, maxForwards: 0 });
    const final = await call.final();
    expect(`${final.status} ${final.reason}`).toBe('483 Too Many Hops');
    expect(scene.callee.requests).toEqual([]);
    await scene.proxy.callsEnd();
  });

  it('is refused when it comes round in a loop', async () => {
    const call = scene.client.request({ user: 'relay', autoAck: true, headers: [`X-To: sip:127.0.0.1:${scene.proxy.port}`] });
    const final = await call.final(10_000);
    // Kamailio lets it go round until no hops are left.
    expect(final.status).toBe(withReference ? 483 : 482);
    expect(finalsOf(call)).toHaveLength(1);
    await scene.proxy.callsEnd();
  });

  it('may come round with another URI, which is no loop', async () => {
    scene.callee.on('INVITE', [404]);
    const call = scene.client.request({
      user: 'uri', autoAck: true,
      headers: [`X-To: sip:then@127.0.0.1:${scene.proxy.port}`, `X-Then: ${scene.callee.uri}`],
    });
    expect((await call.final()).status).toBe(404);
    const invite = scene.callee.of('INVITE')[0]!;
    expect(invite.headers.get('via')).toHaveLength(3);
    expect(invite.header('max-forwards')).toBe('68');
    await scene.proxy.callsEnd();
  });

  it.each(['changed', 'changed-later'])('has the Request-URI that the script gave it, and so have its ACK and CANCEL: %s', async (user) => {
    const line = (method: string) => `${method} sip:changed@127.0.0.1:5099;x=1 SIP/2.0`;
    const call = scene.call(user);
    const invite = await scene.callee.request('INVITE');
    expect(invite.startLine).toBe(line('INVITE'));
    expect(invite.header('to')).toBe(`<sip:${user}@proxy.invalid>`);
    scene.callee.answer(invite, 180);
    await call.response(({ status }) => status === 180, 5000);
    call.cancel();
    const cancel = await scene.callee.request('CANCEL');
    expect(cancel.startLine).toBe(line('CANCEL'));
    scene.callee.answer(cancel, 200);
    scene.callee.answer(invite, 487);
    expect((await scene.callee.request('ACK')).startLine).toBe(line('ACK'));
    await call.final();
    await scene.proxy.callsEnd();
  });

  it('goes where its Request-URI says when the script names no other place', async () => {
    scene.callee.on('INVITE', [404]);
    const call = scene.call('uri');
    await call.final();
    expect(scene.callee.of('INVITE')[0]!.startLine).toBe(`INVITE ${scene.callee.uri} SIP/2.0`);
    await scene.proxy.callsEnd();
  });

  const extra = ['Subject: secret', 'Organization: us', 'Organization: them', 'Date: Sat, 13 Nov 2010 23:29:00 GMT'];

  it.each(['hf', 'hf-later'])('has the headers that the script added, and not those it removed: %s', async (user) => {
    scene.callee.on('INVITE', [404]);
    const call = scene.call(user, { headers: extra, body: 'unchanged' });
    await call.final();
    const invite = scene.callee.of('INVITE')[0]!;
    expect(invite.headers.get('x-one')).toEqual(['1']);
    expect(invite.header('subject')).toBe('');
    expect(invite.headers.get('x-two')).toEqual(user === 'hf' ? undefined : ['2']);
    expect(invite.headers.get('organization')).toEqual(user === 'hf' ? ['us', 'them'] : undefined);
    expect(invite.header('date')).toBe('Sat, 13 Nov 2010 23:29:00 GMT');
    expect(invite.body).toBe('unchanged');
    // What the callee got is not what the caller's ACK says, and the proxy's ACK has neither.
    const ack = await scene.callee.request('ACK');
    expect(ack.header('x-one')).toBe('');
    await scene.proxy.callsEnd();
  });

  it.each(['body', 'body-later'])('has the body that the script gave it, and its length: %s', async (user) => {
    for (const body of ['', 'the body of the caller']) {
      const count = scene.callee.of('INVITE').length + 1;
      const call = scene.call(user, { body, contentType: 'application/sdp' });
      const invite = await scene.callee.request('INVITE', count);
      expect(invite.body).toBe('changed by the script');
      expect(invite.headers.get('content-length')).toEqual(['21']);
      expect(invite.headers.get('content-type')).toEqual(['text/x-changed']);
      scene.callee.answer(invite, 404);
      await call.final();
    }
    await scene.proxy.callsEnd();
  });

  it('is repeated by the proxy with all its changes', async () => {
    const call = scene.call('hf-later', { headers: extra });
    await scene.callee.request('INVITE', 3);
    expect(new Set(scene.callee.of('INVITE').map(({ raw }) => raw)).size).toBe(1);
    scene.callee.answer(scene.callee.of('INVITE')[0]!, 404);
    await call.final();
    await scene.proxy.callsEnd();
  });
});

describe('a reply that is passed on', () => {
  const scene = useRelay({ fr_timer: 1500 });

  it('loses the Via of the proxy and nothing else', async () => {
    const call = scene.call();
    const invite = await scene.callee.request('INVITE');
    const text = scene.callee.answer(invite, 183, {
      reason: 'Some Progress', headers: ['X-Odd:no space', 'Require: 100rel', 'RSeq: 1'], body: 'early\r\nmedia',
    });
    const [head, body] = text.split('\r\n\r\n');
    const lines = head!.split('\r\n');
    lines.splice(lines.findIndex((line) => line.startsWith('Via:')), 1);
    const progress = await call.response(({ status }) => status === 183, 5000);
    expect(progress.raw).toBe(`${lines.join('\r\n')}\r\n\r\n${body}`);
    scene.callee.answer(invite, 404);
    await call.final();
    await scene.proxy.callsEnd();
  });

  it('has one Via even when the callee wrote both into one line', async () => {
    const call = scene.call();
    const invite = await scene.callee.request('INVITE');
    const text = responseTo(invite, 404, { toTag: 'x' }).replace(/\r\nVia: (.*)\r\nVia: (.*)\r\n/, '\r\nv: $1 ,\r\n  $2\r\n');
    scene.callee.send(text, invite);
    const final = await call.final();
    expect(final.headers.get('via')).toHaveLength(1);
    expect(parameter(final.header('via'), 'branch')).toBe(call.request.branch);
    await scene.proxy.callsEnd();
  });

  it('has the headers that the reply route added, and not those it removed', async () => {
    const call = scene.call('reply');
    const invite = await scene.callee.request('INVITE');
    const headers = ['X-Secret: 1', 'X-Kept: 1'];
    scene.callee.answer(invite, 180, { headers });
    await call.response(({ status }) => status === 180, 5000);
    scene.callee.answer(invite, 200, { headers, body: 'answer' });
    await call.final();
    for (const response of call.responses.slice(1)) {
      expect(response.header('x-reply')).toBe(String(response.status));
      expect(response.header('x-secret')).toBe('');
      expect(response.header('x-kept')).toBe('1');
    }
    expect(call.finals[0]!.body).toBe('answer');
    await scene.proxy.callsEnd();
  });

  it('stays with the proxy when the reply route drops it', async () => {
    const call = scene.call('reply-drop');
    const invite = await scene.callee.request('INVITE');
    scene.callee.answer(invite, 180);
    scene.callee.answer(invite, 183);
    await call.response(({ status }) => status === 183, 5000);
    scene.callee.answer(invite, 404);
    await call.final();
    expect(statusesOf(call)).toEqual([100, 183, 404]);
    await scene.proxy.callsEnd();
  });

  it('goes by its Via when no transaction knows it', async () => {
    const call = scene.call();
    const invite = await scene.callee.request('INVITE');
    scene.callee.answer(invite, 404);
    await call.final();
    const callerBranch = newBranch();
    const unknown = responseTo(invite, 200, { toTag: 'late' })
      .replace(branchOf(invite), `${newBranch()}`)
      .replace(call.request.branch, callerBranch);
    scene.callee.send(unknown, invite);
    await eventually(() => scene.client.strays.length === 1);
    const stray = scene.client.strays.splice(0)[0]!;
    expect(stray.headers.get('via')).toHaveLength(1);
    expect(branchOf(stray)).toBe(callerBranch);
    expect(finalsOf(call)).toHaveLength(1);
    await scene.proxy.callsEnd();
  });

  it.each([
    ['no other Via', (text: string) => text.replace(/(\r\nVia: .*)\r\nVia: .*/, '$1')] as const,
    // RFC 3261 section 18.1.2. Kamailio takes it.
    ...(withReference ? [] : [['a Via of somebody else on top', (text: string, port: number) => text.replace(`127.0.0.1:${port};`, '127.0.0.1:9;')] as const]),
    ['no Via at all', (text: string) => text.replace(/\r\nVia: .*/g, '')] as const,
  ])('goes nowhere with %s', async (_name, forge) => {
    const call = scene.call();
    const invite = await scene.callee.request('INVITE');
    const before = scene.proxy.stats?.transport;
    // The branch is nobody's, so that no transaction takes it.
    const text = responseTo(invite, 200, { toTag: 'forged' }).replace(branchOf(invite), newBranch());
    scene.callee.send(forge(text, scene.proxy.port), invite);
    await scene.settle();
    expect(statusesOf(call)).toEqual([100]);
    expect(scene.client.strays).toEqual([]);
    const after = scene.proxy.stats?.transport;
    if (before && after) {
      const ignored = (of: typeof before) => of.strayResponses + Object.values(of.malformed).reduce((sum, count) => sum + count, 0);
      expect(ignored(after)).toBe(ignored(before) + 1);
    }
    scene.callee.answer(invite, 404);
    expect((await call.final()).status).toBe(404);
    await scene.proxy.callsEnd();
  });

  it('does not end a call by a branch that looks like one of the proxy and is none', async () => {
    const call = scene.call();
    const invite = await scene.callee.request('INVITE');
    const own = branchOf(invite);
    // One character of the branch after the other is another: what the proxy keeps in it must not be taken on trust.
    for (let i = 'z9hG4bK'.length; i < own.length; i += 1) {
      const other = own[i] === '1' ? '2' : '1';
      const forged = own.slice(0, i) + other + own.slice(i + 1);
      const text = responseTo(invite, 603, { toTag: 'forged' }).replace(own, forged).replace(call.request.branch, newBranch());
      scene.callee.send(text, invite);
    }
    await scene.settle();
    expect(statusesOf(call)).toEqual([100]);
    scene.callee.answer(invite, 404);
    expect((await call.final()).status).toBe(404);
    expect(finalsOf(call)).toHaveLength(1);
    scene.client.strays.length = 0;
    await scene.proxy.callsEnd();
  });

  it('of another method does not end the transaction', async () => {
    const call = scene.call();
    const invite = await scene.callee.request('INVITE');
    scene.callee.send(responseTo(invite, 404, { toTag: 'x' }).replace('CSeq: 1 INVITE', 'CSeq: 1 OPTIONS'), invite);
    await scene.settle();
    expect(finalsOf(call)).toEqual([]);
    scene.callee.answer(invite, 486);
    expect((await call.final()).status).toBe(486);
    scene.client.strays.length = 0;
    await scene.proxy.callsEnd();
  });
});

describe('branches', () => {
  const scene = useRelay({ fr_timer: 1500 });

  it('have the headers that the branch route gave each of them', async () => {
    const [first, second] = [scene.callees[0]!, scene.callees[1]!];
    first.on('INVITE', [404]);
    second.on('INVITE', [404]);
    await scene.call('fork-branch').final();
    expect(first.of('INVITE')[0]!.headers.get('x-branch')).toEqual([first.uri]);
    expect(second.of('INVITE')[0]!.headers.get('x-branch')).toEqual([second.uri]);
    await scene.proxy.callsEnd();
  });

  it('are left out when the branch route drops them', async () => {
    const second = scene.callees[1]!.on('INVITE', [404]);
    const call = scene.client.request({
      user: 'fork-branch', autoAck: true,
      headers: [`X-To: ${scene.callee.uri.replace('callee', 'unwanted')}`, `X-Then: ${second.uri}`],
    });
    expect((await call.final()).status).toBe(404);
    expect(scene.callee.requests).toEqual([]);
    await scene.proxy.callsEnd();
  });
});

describe.skipIf(withReference)('what a route changed', () => {
  const scene = useRelay();

  it.each(['reply-exit', 'reply-later-exit'])('is in the reply though its route ended by exit(): %s', async (user) => {
    const call = scene.call(user);
    const invite = await scene.callee.request('INVITE');
    scene.callee.answer(invite, 180);
    scene.callee.answer(invite, 404);
    expect((await call.final()).header('x-reply')).toBe('404');
    expect(call.responses.find(({ status }) => status === 180)?.header('x-reply')).toBe('180');
    await scene.proxy.callsEnd();
  });

  it('is in the branch though its route ended by exit()', async () => {
    scene.callee.on('INVITE', [404]);
    await scene.call('branch-exit').final();
    expect(scene.callee.of('INVITE')[0]!.header('x-branch')).toMatch(/^sip:branch-exit@/);
    await scene.proxy.callsEnd();
  });
});

describe('stateless forwarding', () => {
  const scene = useRelay();

  it('passes request and reply on, and sends no 100', async () => {
    const call = scene.call('stateless');
    const invite = await scene.callee.request('INVITE');
    expect(invite.headers.get('via')).toHaveLength(2);
    expect(invite.header('max-forwards')).toBe('69');
    scene.callee.answer(invite, 180);
    scene.callee.answer(invite, 404);
    expect((await call.final()).status).toBe(404);
    expect(statusesOf(call)).toEqual([180, 404]);
    await scene.proxy.callsEnd();
  });

  it('gives a repeated request the same branch, and another request another', async () => {
    const call = scene.call('stateless', { method: 'OPTIONS' });
    await scene.callee.request('OPTIONS');
    call.resend();
    await scene.callee.request('OPTIONS', 2);
    scene.call('stateless', { method: 'OPTIONS' });
    const third = await scene.callee.request('OPTIONS', 3);
    const [one, two] = scene.callee.of('OPTIONS').map(branchOf);
    expect(two).toBe(one);
    expect(branchOf(third)).not.toBe(one);
    await scene.proxy.callsEnd();
  });

  it('repeats nothing by itself', async () => {
    scene.call('stateless');
    await scene.callee.request('INVITE');
    await new Promise((done) => setTimeout(done, 700));
    expect(scene.callee.requests).toHaveLength(1);
    await scene.proxy.callsEnd();
  });
});
