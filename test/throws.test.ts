import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProxyProcess } from './support/child.ts';
import { eventually } from './support/eventually.ts';
import { ProxyFile } from './support/proxy-file.ts';
import { proxySource } from './support/running-proxy.ts';
import { SipClient } from './support/udp-client.ts';

const source = proxySource(
  `
  asyncWorkers: 1,
  requestRoute(msg) {
    if (msg.toUser.endsWith('-worker')) msg.asyncTaskRoute('RESUMED');
    return run(msg, msg.toUser);
  },
  route: { RESUMED: (msg) => run(msg, msg.toUser.slice(0, -'-worker'.length)) },`,
  `
  const circular = { toString() { throw new Error('not this one'); } };
  circular.self = circular;
  function run(msg, what) {
    const scripts = {
      thread() {
        msg.appendToReply('X-Thread: ' + threadId);
        msg.sendReply(200);
      },
      sync() { throw new RangeError('thrown by ' + what); },
      async async() { throw new RangeError('thrown by ' + what); },
      async later() { await msg.asyncMsSleep(5); throw new RangeError('thrown by ' + what); },
      rejected: () => Promise.reject(new RangeError('thrown by ' + what)),
      text() { throw 'thrown by ' + what; },
      nothing() { throw undefined; },
      nil: () => Promise.reject(null),
      circular() { throw circular; },
      thenable: () => ({ then() { throw new RangeError('thrown by ' + what); } }),
      getter: () => ({ get then() { throw new RangeError('thrown by ' + what); } }),
      type() { msg.asyncMsRoute(7, 1); },
      code() { msg.sendReply('404'); },
      stack() { const deeper = () => deeper() + 1; deeper(); },
      answered() { msg.sendReply(486); throw new RangeError('thrown by ' + what); },
      async slept() { msg.sendReply(486); await null; throw new RangeError('thrown by ' + what); },
      empty() {},
      async forgot() { await null; },
      unawaited() { msg.asyncMsSleep(5); },
      exit() { msg.exit(); },
      provisional() { msg.sendReply(183); },
    };
    return scripts[what]();
  }`,
);

interface LogLine {
  level: number;
  thread: string;
  msg: string;
  route?: string;
  callId?: string;
  err?: { type: string; message: string; stack: string };
}

/** Numbers of pino. */
const levels = { warn: 40, error: 50 };

describe.each(['error', 'warn'] as const)('with --log %s, a route', (level) => {
  let file: ProxyFile;
  let running: ProxyProcess;
  let client: SipClient;
  beforeAll(async () => {
    file = new ProxyFile(source);
    running = await ProxyProcess.start(file.path, { args: ['--listen', 'udp:127.0.0.1:0', '--log', level] });
    client = await SipClient.open({ port: running.port });
  });
  afterAll(async () => {
    const report = await running.stop();
    await client.close();
    file.remove();
    expect(report).toMatchObject({ code: 0, signal: null, timedOut: false });
  });

  const threadOf = async (where: string) =>
    (await client.request({ user: `thread${where}`, autoAck: true }).final()).header('x-thread');

  const lines = (): LogLine[] =>
    running.child.stderr.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as LogLine);

  const places = [
    ['', 'requestRoute'],
    ['-worker', 'RESUMED'],
  ] as const;
  const inBoth = <Row extends readonly [what: string, ...unknown[]]>(rows: readonly Row[]) =>
    rows.flatMap((row) => places.map(([where, route]) => ({ user: row[0] + where, where, route, row })));

  const throwing = [
    ['sync', 500, 'thrown by sync'],
    ['async', 500, 'thrown by async'],
    ['later', 500, 'thrown by later'],
    ['rejected', 500, 'thrown by rejected'],
    ['thenable', 500, 'thrown by thenable'],
    ['getter', 500, 'thrown by getter'],
    ['type', 500, 'routename: expected a string, got number'],
    ['code', 500, 'code: expected a number, got string'],
    ['stack', 500, 'Maximum call stack size exceeded'],
    ['answered', 486, 'thrown by answered'],
    ['slept', 486, 'thrown by slept'],
    ['text', 500, null],
    ['nothing', 500, null],
    ['nil', 500, null],
    ['circular', 500, null],
  ] as const;

  it.each(inBoth(throwing))('that throws: $user', async ({ user, where, route, row: [, status, message] }) => {
    const thread = await threadOf(where);
    for (const method of ['INVITE', 'OPTIONS']) {
      const call = client.request({ user, method, autoAck: true });
      const final = await call.final();
      expect(final.status).toBe(status);
      const line = (await eventually(() => lines().find(({ callId }) => callId === call.request.callId)))!;
      expect(line).toMatchObject({ level: levels.error, route, msg: 'the route threw' });
      expect(line.thread).toBe(where ? 'default 0' : 'receiver 0');
      if (message !== null) {
        expect(line.err?.message).toBe(message);
        expect(line.err?.stack).toMatch(/proxy\.mjs|message\.js|arguments\.js/);
      }
      // The worker lives: the same thread serves the next call.
      expect(await threadOf(where)).toBe(thread);
      expect(call.finals).toHaveLength(1);
      expect(lines().filter(({ callId }) => callId === call.request.callId)).toHaveLength(1);
    }
  });

  const silent = [['empty'], ['forgot'], ['exit'], ['provisional']] as const;

  it.each(inBoth(silent))('that ends without a reply: $user', async ({ user, where, route }) => {
    const thread = await threadOf(where);
    const call = client.request({ user, autoAck: true });
    expect((await call.final()).status).toBe(500);
    expect(await threadOf(where)).toBe(thread);
    const mine = () => lines().filter(({ callId }) => callId === call.request.callId);
    if (level === 'warn') {
      await eventually(() => mine().length > 0);
      expect(mine()).toMatchObject([{ level: levels.warn, route, msg: 'the route ended without a reply; sent 500' }]);
    } else {
      expect(mine()).toEqual([]);
    }
    expect(call.finals).toHaveLength(1);
  });

  it.each(inBoth([['sync'], ['empty']]))('runs once for a request that is repeated: $user', async ({ user }) => {
    const call = client.request({ user, method: 'OPTIONS' });
    await call.final();
    call.resend();
    await eventually(() => call.finals.length === 2);
    expect(call.finals[1]!.raw).toBe(call.finals[0]!.raw);
    if (user.startsWith('sync')) {
      expect(lines().filter(({ callId }) => callId === call.request.callId)).toHaveLength(1);
    }
  });

  it.each(inBoth([['unawaited']]))('that does not await its sleep: $user', async ({ user, where }) => {
    const thread = await threadOf(where);
    const call = client.request({ user, autoAck: true });
    expect((await call.final()).status).toBe(500);
    expect(call.elapsedMs(call.finals[0]!)).toBeGreaterThanOrEqual(5);
    expect(await threadOf(where)).toBe(thread);
    if (level === 'warn') {
      const line = await eventually(() => lines().find(({ callId }) => callId === call.request.callId));
      expect(line).toMatchObject({ level: levels.warn, route: where ? 'RESUMED' : 'requestRoute' });
    }
  });
});
