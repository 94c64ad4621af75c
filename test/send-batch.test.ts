import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ProxyProcess } from './support/child.ts';
import { eventually } from './support/eventually.ts';
import { ProxyFile } from './support/proxy-file.ts';
import { proxySource } from './support/running-proxy.ts';
import { SipClient } from './support/udp-client.ts';

// `gather` holds its thread until more requests stand behind it, so that they run as one batch. `block` holds it until the
// test has seen what it waits for.
const source = proxySource(
  `
  asyncWorkersGroup: [{ name: 'g', workers: 1 }],
  requestRoute(msg) {
    if (msg.toUser.startsWith('g-')) msg.asyncTaskGroupRoute('RUN', 'g');
    run(msg);
  },
  route: { RUN: (msg) => run(msg) },`,
  `
  import { writeFileSync } from 'node:fs';
  const at = (name) => new URL('./' + name, import.meta.url);
  function hold(name) {
    writeFileSync(at(name), '');
    while (!existsSync(at(name + '-end')));
  }
  function run(msg) {
    const what = msg.toUser.replace('g-', '');
    if (what === 'gather' || what === 'block') hold(what);
    if (what === 'exit') {
      msg.sendReply(404);
      process.exit(0);
    }
    msg.sendReply(404);
  }`,
);

describe.each([
  ['receiver', ''],
  ['worker', 'g-'],
])('replies of one batch of routes in a %s', (_, prefix) => {
  let file: ProxyFile;
  let running: ProxyProcess;
  let client: SipClient;

  beforeEach(async () => {
    file = new ProxyFile(source);
    running = await ProxyProcess.start(file.path, { args: ['--listen', 'udp:127.0.0.1:0'] });
    client = await SipClient.open({ port: running.port });
  });
  afterEach(async () => {
    for (const name of ['gather', 'block']) open(name);
    await client.close();
    await running.stop();
    file.remove();
  });

  const open = (name: string) => writeFileSync(join(file.folder, `${name}-end`), '');
  const call = (user: string) => client.request({ method: 'OPTIONS', user: prefix + user });
  /** Requests that their thread finds together: it is held while they come in. */
  const together = async (users: string[]) => {
    const first = call('gather');
    await eventually(() => existsSync(join(file.folder, 'gather')));
    const calls = users.map(call);
    // Whoever reads for the thread that is held answers this one behind them.
    const behind = client.request({ method: 'INVITE', user: 'behind' });
    await eventually(() => behind.responses.length > 0);
    open('gather');
    return { first, calls, behind };
  };

  it('do not wait for one that blocks behind them', async () => {
    const { first, calls } = await together(['a', 'b', 'c', 'block']);
    await eventually(() => existsSync(join(file.folder, 'block')));
    const early = await Promise.all([first, ...calls.slice(0, 3)].map((each) => each.final()));
    expect(early.map((reply) => reply.status)).toEqual([404, 404, 404, 404]);
    expect(calls[3]!.responses).toEqual([]);
    open('block');
    expect((await calls[3]!.final()).status).toBe(404);
  });

  it('leave when one of them ends the process or its thread', async () => {
    const { first, calls } = await together(['a', 'b', 'exit']);
    const replies = await Promise.all([first, ...calls].map((each) => each.final()));
    expect(replies.map((reply) => reply.status)).toEqual([404, 404, 404, 404]);
  });

  it('all arrive once', async () => {
    const { calls } = await together(Array.from({ length: 200 }, (_, i) => `many-${i}`));
    await Promise.all(calls.map((each) => each.final()));
    expect(calls.every((each) => each.responses.length === 1)).toBe(true);
  });
});
