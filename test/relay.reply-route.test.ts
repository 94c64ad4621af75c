import { describe, expect, it } from 'vitest';
import { callsEnd, statusesOf, targetHeaders, useCallees } from './support/relay-scene.ts';
import { useProxy } from './support/running-proxy.ts';

const definition = `
  asyncWorkers: 1,
  requestRoute(msg) {
    if (msg.ruri.includes('settle')) return void msg.slSendReply(200);
    if (msg.header('X-Armed')) msg.tOnReply('ONE');
    msg.du = msg.header('X-To');
    msg.tRelay();
  },
  async replyRoute(msg) {
    msg.appendHf('X-All: ' + msg.status + ' ' + msg.route + ' ' + msg.isRequest);
    if (msg.header('X-Sleep')) await msg.asyncMsSleep(20);
    if (msg.header('X-Exit')) msg.exit();
    if (msg.header('X-Drop')) msg.drop();
    if (msg.header('X-Later')) msg.asyncMsRoute('LATER', 20);
    if (msg.header('X-Throw')) throw new Error('on purpose');
  },
  route: { LATER: (msg) => msg.appendHf('X-Later-Done: ' + msg.status) },
  onreplyRoute: { ONE: (msg) => msg.appendHf('X-One: ' + msg.status) },`;
// The same without a promise: what ends such a route comes as an exception, and not as a rejection.
const synchronous = definition.replace('async replyRoute', 'replyRoute').replace(/if \(msg\.header\('X-Sleep'\)\).*\n/, '\n');

describe.each([
  ['asynchronous', definition],
  ['synchronous', synchronous],
])('replyRoute, %s', (kind, text) => {
  const running = useProxy(text);
  const callees = useCallees(1);

  async function call(headers: readonly string[], replyHeaders: readonly string[] = []) {
    const [callee] = callees;
    const transaction = running.client.request({
      user: 'anybody', autoAck: true, headers: [...targetHeaders([callee!]), ...headers],
    });
    const invite = await callee!.request('INVITE');
    callee!.answer(invite, 180, { headers: replyHeaders });
    callee!.answer(invite, 404, { headers: replyHeaders });
    const final = await transaction.final();
    await callsEnd(running.proxy);
    return { final, transaction };
  }

  it('runs for each reply without being armed', async () => {
    const { final, transaction } = await call([]);
    expect(final.header('x-all')).toMatch(/^404 \w+ false$/);
    expect(final.header('x-one')).toBe('');
    expect(statusesOf(transaction)).toEqual([100, 180, 404]);
  });

  it.each([[[]], [['X-Exit: 1']], ...(kind === 'asynchronous' ? [[['X-Sleep: 1']]] : [])])(
    'runs before the one that was armed: %j', async (replyHeaders) => {
      const { final } = await call(['X-Armed: 1'], replyHeaders);
      expect(final.header('x-all')).not.toBe('');
      expect(final.header('x-one')).toBe('404');
    },
  );

  it('that drops a provisional reply ends both; a final one goes its way', async () => {
    const { final, transaction } = await call(['X-Armed: 1'], ['X-Drop: 1']);
    expect(statusesOf(transaction)).toEqual([100, 404]);
    expect(final.header('x-one')).toBe('');
  });

  it('that suspends goes on in the route that it names, and not in the one that was armed', async () => {
    const { final } = await call(['X-Armed: 1'], ['X-Later: 1']);
    expect(final.header('x-later-done')).toBe('404');
    expect(final.header('x-one')).toBe('');
  });

  it('that throws keeps no reply back', async () => {
    const { final } = await call(['X-Armed: 1'], ['X-Throw: 1']);
    expect(final.status).toBe(404);
  });
});
