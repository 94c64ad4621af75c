import { describe, expect, it } from 'vitest';
import { becomesIdle, useProxy } from './support/running-proxy.ts';
import { parameter } from './support/sip-message.ts';

const badReplies = [
  'sendReply(99)', 'sendReply(0)', 'sendReply(-1)', 'sendReply(700)', 'sendReply(1000)', 'sendReply(200.5)',
  'sendReply(NaN)', 'sendReply(Infinity)', 'tReply(99)', 'slSendReply(700)',
  "sendReply(200, 'O\\r\\nK')", "sendReply(200, 'OK\\r')", "sendReply(200, '\\nOK')", "sendReply(200, 'O\\0K')",
  "tReply(200, 'O\\x7fK')", "slSendReply(200, 'OK\\r\\n\\r\\n')", "sendReply(200, 'x'.repeat(201))",
  "appendToReply('X: 1\\r\\nY: 2')", "appendToReply('X: 1\\nY: 2')", "appendToReply('X: 1\\r\\n\\r\\n')",
  "appendToReply('X: \\0')", "appendToReply('no header')", "appendToReply('')", "appendToReply(': value')",
  "appendToReply('two words: value')", "appendToReply('\\r\\n')", "appendToReply(' X: folded')",
];

describe('a reply that would not be SIP', () => {
  const running = useProxy(
    `
    requestRoute(msg) {
      const returned = scripts[msg.cseq](msg);
      const code = msg.asyncError?.code;
      msg.appendToReply('X-Returned: ' + returned);
      msg.appendToReply('X-Code: ' + code);
      msg.sendReply(480);
    },`,
    { prelude: `const scripts = [${badReplies.map((script) => `(msg) => msg.${script},`).join('\n')}];` },
  );

  const rows = badReplies.map((script, cseq) => [script, cseq] as const);
  it.each(rows)('is refused: %s', async (_script, cseq) => {
    const call = running.client.request({ cseq, autoAck: true });
    const final = await call.final();
    expect(final.header('x-returned')).toBe('false');
    expect(final.header('x-code')).toBe('SIPASYNC_ERR_INVALID_STATUS');
    await running.client.request({ method: 'OPTIONS', cseq }).final();
    expect(call.finals.map((response) => response.status)).toEqual([480]);
    expect([...final.headers.keys()].filter((name) => name.length === 1)).toEqual([]);
    expect(running.client.garbage).toEqual([]);
  });
});

describe('a reply', () => {
  const running = useProxy(`
    asyncWorkers: 1,
    requestRoute(msg) {
      if (msg.toUser === 'worker') msg.asyncTaskRoute('REPLY');
      reply(msg);
    },
    route: { REPLY: reply },`,
    {
      prelude: `
      function reply(msg) {
        const code = Number(msg.header('X-Status'));
        const reason = msg.header('X-Reason');
        msg.appendToReply('X-One: 1');
        msg.appendToReply('X-Two : two, 2\\r\\n');
        if (msg.header('X-First')) msg.sendReply(183, 'First');
        if (msg.fromUser === 'stateless') msg.slSendReply(code, reason ?? undefined);
        else if (reason === null) msg.sendReply(code);
        else msg.sendReply(code, reason);
      }`,
    },
  );

  it.each([
    [200, 'OK'],
    [404, 'Not Found'],
    [486, 'Busy Here'],
    [503, 'Service Unavailable'],
    [699, 'Global Failure'],
    [299, 'OK'],
  ])('has the usual reason of its code: %i %s', async (code, reason) => {
    for (const user of ['receiver', 'worker']) {
      const final = await running.ask({ user, headers: [`X-Status: ${code}`] });
      expect(final.startLine).toBe(`SIP/2.0 ${code} ${reason}`);
    }
  });

  const reasons = ['Not found', 'Ünïcödé ☎', ' ', 'a\tb', 'x'.repeat(200)];
  it.each(reasons)('has the reason it is given: %j', async (reason) => {
    // The header's value comes without the white space around it, which is no part of it.
    const final = await running.ask({ headers: ['X-Status: 404', `X-Reason: ${reason}`] });
    const line = Buffer.from(final.startLine, 'latin1').toString('utf8');
    expect(line).toBe(`SIP/2.0 404 ${reason.trim() || 'Not Found'}`);
  });

  it.each(['receiver', 'worker', 'stateless'])('mirrors the request, and completes it: %s', async (fromUser) => {
    const call = running.client.request({
      user: fromUser,
      fromUser,
      autoAck: true,
      via: `SIP/2.0/UDP host.invalid:5099;branch=z9hG4bK${fromUser};rport;x=y`,
      headers: ['X-Status: 200', 'Record-Route: <sip:one.invalid;lr>', 'Record-Route: <sip:two.invalid;lr>'],
    });
    const final = await call.final();
    const { request } = call;
    expect(final.header('via')).toContain(`SIP/2.0/UDP host.invalid:5099;branch=z9hG4bK${fromUser};`);
    expect(parameter(final.header('via'), 'rport')).toBe(String(running.client.port));
    expect(parameter(final.header('via'), 'received')).toBe('127.0.0.1');
    expect(parameter(final.header('via'), 'x')).toBe('y');
    expect(final.header('from')).toBe(`<sip:${fromUser}@client.invalid>;tag=${request.fromTag}`);
    expect(final.header('to')).toMatch(new RegExp(`^<sip:${fromUser}@proxy\\.invalid>;tag=[0-9a-f]{8,}$`));
    expect(final.header('call-id')).toBe(request.callId);
    expect(final.header('cseq')).toBe('1 INVITE');
    expect(final.headers.get('record-route')).toEqual(['<sip:one.invalid;lr>', '<sip:two.invalid;lr>']);
    expect(final.header('x-one')).toBe('1');
    expect(final.header('x-two')).toBe('two, 2');
    expect(final.header('content-length')).toBe('0');
  });

  it('keeps a tag that is there, and all Via lines', async () => {
    const final = await running.ask({
      toTag: 'of-a-dialog',
      method: 'MESSAGE',
      headers: [
        'X-Status: 404',
        'Via: SIP/2.0/TCP second.invalid;branch=z9hG4bK2',
        'v: SIP/2.0/UDP third.invalid;branch=z9hG4bK3',
      ],
    });
    expect(parameter(final.header('to'), 'tag')).toBe('of-a-dialog');
    expect(final.headers.get('via')?.slice(1)).toEqual([
      'SIP/2.0/TCP second.invalid;branch=z9hG4bK2',
      'SIP/2.0/UDP third.invalid;branch=z9hG4bK3',
    ]);
  });

  it('has the same tag in all replies of a transaction, and header lines in the first that is made', async () => {
    const call = running.client.request({ user: 'worker', autoAck: true, headers: ['X-Status: 404', 'X-First: 1'] });
    await call.final();
    const [trying, first, last] = call.responses;
    expect([trying?.status, first?.status, last?.status]).toEqual([100, 183, 404]);
    expect(parameter(trying!.header('to'), 'tag')).toBe('');
    expect(parameter(first!.header('to'), 'tag')).not.toBe('');
    expect(parameter(first!.header('to'), 'tag')).toBe(parameter(last!.header('to'), 'tag'));
    expect([trying, first, last].map((response) => response!.header('x-one'))).toEqual(['', '1', '']);
  });

  it('goes to the port in Via when there is no rport', async () => {
    const call = running.client.request({
      via: `SIP/2.0/UDP ${running.client.address};branch=z9hG4bKnorport`,
      headers: ['X-Status: 404'],
      autoAck: true,
    });
    const final = await call.final();
    expect(final.header('via')).toBe(`SIP/2.0/UDP ${running.client.address};branch=z9hG4bKnorport`);
  });

  it('leaves nothing behind', () => becomesIdle(running.proxy));
});

describe('drop, exit and slReplyError', () => {
  const running = useProxy(`
    requestRoute(msg) {
      if (msg.toUser === 'drop') msg.drop();
      if (msg.toUser === 'exit') msg.exit();
      if (msg.toUser === 'error') msg.slReplyError();
      if (msg.toUser === 'settle') msg.sendReply(200);
    },`);

  it.each(['INVITE', 'OPTIONS'])('drop sends nothing, and repeated requests are absorbed: %s', async (method) => {
    const before = running.stats.transport.retransmissionsAbsorbed;
    const call = running.client.request({ method, user: 'drop' });
    await running.settle();
    call.resend();
    call.resend();
    await running.settle();
    expect(running.stats.transport.retransmissionsAbsorbed).toBe(before + 2);
    await becomesIdle(running.proxy);
    // A 100 is nobody's answer; the stand-in sends it before the route has said anything.
    expect(call.finals).toEqual([]);
    if (method === 'OPTIONS') expect(call.responses).toEqual([]);
  });

  it.each(['exit', 'error', 'nothing'])('a call that is left without a reply gets 500: %s', async (user) => {
    const call = running.client.request({ user, autoAck: true });
    await call.final();
    await running.settle();
    expect(call.finals.map((response) => response.status)).toEqual([500]);
  });
});
